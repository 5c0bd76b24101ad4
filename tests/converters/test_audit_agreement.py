"""Agreement of annotators, held to worked examples that others published."""

from __future__ import annotations

import numpy as np
import pytest

from edge_rai_converters.audit import cohen_kappa, fleiss_kappa, krippendorff_alpha
from edge_rai_converters.audit.agreement import find_disagreement

LEFT_OUT = np.nan
# Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, LEFT_OUT, LEFT_OUT, LEFT_OUT],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, LEFT_OUT, 3],
        [LEFT_OUT, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, LEFT_OUT],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, LEFT_OUT],
    ]
)
# The table of Wikipedia's "Fleiss' kappa": fourteen raters, ten subjects, five categories.
SUBJECTS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def proposals() -> tuple[list[str], list[str]]:
    """Wikipedia's "Cohen's kappa", 50 proposals: both yes 20, only A 5, only B 10, both no 15."""
    return ["yes"] * 25 + ["no"] * 25, ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15


def test_cohens_kappa_is_that_of_the_textbook_example() -> None:
    assert cohen_kappa(*proposals()) == pytest.approx(0.4)


def test_cohens_kappa_is_scikit_learns() -> None:
    from sklearn.metrics import cohen_kappa_score

    generator = np.random.default_rng(0)
    first = generator.integers(0, 5, 300)
    second = np.where(generator.random(300) < 0.6, first, generator.integers(0, 5, 300))
    assert cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_kappa_is_that_of_the_worked_example() -> None:
    assert fleiss_kappa(SUBJECTS) == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_alpha_is_that_of_the_worked_example(level: str, alpha: float) -> None:
    assert krippendorff_alpha(OBSERVERS, level) == pytest.approx(alpha, abs=5e-4)


def test_ratings_of_one_annotator_alone_change_no_alpha() -> None:
    alone = np.full((4, 1), LEFT_OUT)
    alone[2] = 5
    assert krippendorff_alpha(np.hstack([OBSERVERS, alone]), "interval") == krippendorff_alpha(OBSERVERS, "interval")


def test_one_value_everywhere_has_no_agreement_beyond_chance() -> None:
    assert np.isnan(krippendorff_alpha(np.ones((3, 9))))
    assert np.isnan(cohen_kappa([1, 1], [1, 1]))
    assert np.isnan(fleiss_kappa([[3, 0], [3, 0]]))


def test_full_agreement_is_one() -> None:
    labels = np.array([0, 1, 2, 1, 0])
    assert cohen_kappa(labels, labels) == 1
    assert krippendorff_alpha(np.tile(labels, (3, 1)), "ordinal") == 1
    assert fleiss_kappa([[3, 0], [0, 3]]) == 1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: cohen_kappa([1, 2], [1]), "two annotators label the same rows; got .2,. and .1,. labels"),
        (lambda: fleiss_kappa([[2, 0], [1, 2]]), "the same number of annotators, at least 2; there are 2 to 3"),
        (lambda: krippendorff_alpha([[1, np.nan], [np.nan, 2]]), "no row was labelled by two annotators"),
        (lambda: krippendorff_alpha(OBSERVERS, "ratio"), "the level is 'ratio'; it can be nominal, ordinal, interval"),
    ],
    ids=["lengths", "raters", "alone", "level"],
)
def test_what_has_no_agreement_is_refused_in_a_sentence(call: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


def test_finding_names_every_measure_that_the_labels_allow() -> None:
    (finding,) = find_disagreement({f"observer {place}": row for place, row in enumerate(OBSERVERS)})
    assert finding.severity == "warning", "0.743 is below 0.8 and above 0.667"
    assert finding.numbers["alpha_nominal"] == pytest.approx(0.743, abs=5e-4)
    assert finding.numbers["alpha_ordinal"] == pytest.approx(0.815, abs=5e-4)
    assert finding.numbers["alpha_interval"] == pytest.approx(0.849, abs=5e-4)
    assert finding.numbers["rows"] == 11, "the last unit has one rating"
    assert "fleiss" in finding.numbers
    assert "11 rows with two or more, 8 with all" in finding.sentence


def test_finding_of_two_annotators_in_text_has_cohens_kappa_and_one_alpha() -> None:
    (finding,) = find_disagreement(dict(zip("AB", (np.array(part, object) for part in proposals()), strict=True)))
    assert set(finding.numbers) == {"cohen", "alpha_nominal", "rows"}
    assert finding.numbers["cohen"] == pytest.approx(0.4)
    assert finding.severity == "error"


def test_annotators_without_a_row_in_common_are_an_error() -> None:
    (finding,) = find_disagreement({"a": np.array([1.0, np.nan]), "b": np.array([np.nan, 1.0])})
    assert finding.severity == "error"
    assert "no row has two of the labels 'a', 'b'" in finding.sentence
