"""The gate's tests of counts and means, held against published values, scipy, and exact sums over all outcomes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from edge_rai_converters.gate import betting, exact, paired
from edge_rai_converters.gate.slices import Family, Slices

ALPHA = 0.05


def floats(*values: float) -> npt.NDArray[np.float64]:
    return np.array(values, np.float64)


def test_tails_agree_with_scipy() -> None:
    generator = np.random.default_rng(0)
    rows = np.r_[generator.integers(1, 600, 300), generator.integers(1, 1_000_000, 300)]
    counts = (generator.random(600) * rows).astype(np.int64)
    shares = np.clip(counts / rows + generator.normal(0, 0.02, 600), 1e-7, 1 - 1e-7)
    assert exact.at_most(counts, rows, shares) == pytest.approx(stats.binom.cdf(counts, rows, shares), abs=1e-8)
    assert exact.at_least(counts, rows, shares) == pytest.approx(stats.binom.sf(counts - 1, rows, shares), abs=1e-8)
    few = rows < 400
    assert exact.at_most(counts[few], rows[few], shares[few]) == pytest.approx(
        stats.binom.cdf(counts[few], rows[few], shares[few]), abs=1e-12
    )


@pytest.mark.parametrize(("count", "rows"), [(0, 1), (0, 50), (3, 50), (50, 50), (17, 1000), (4000, 8000), (1, 10**6)])
def test_limits_of_shares_are_those_of_clopper_and_pearson(count: int, rows: int) -> None:
    low, high = exact.lower_share(floats(count), rows, ALPHA), exact.upper_share(floats(count), rows, ALPHA)
    assert low == pytest.approx(0.0 if count == 0 else stats.beta.ppf(ALPHA, count, rows - count + 1), abs=1e-8)
    assert high == pytest.approx(1.0 if count == rows else stats.beta.ppf(1 - ALPHA, count + 1, rows - count), abs=1e-8)


def test_nothing_known_is_everything_possible() -> None:
    assert exact.lower_share(floats(0), floats(0), ALPHA) == pytest.approx(0, abs=1e-8)
    assert exact.upper_share(floats(0), floats(0), ALPHA) == pytest.approx(1, abs=1e-8)
    assert paired.not_worse(floats(0), floats(0), floats(0), floats(0.1)) == 1
    assert paired.upper_loss(floats(0), floats(0), floats(0), ALPHA) == 1


def test_tango_gives_the_intervals_that_packages_of_r_give() -> None:
    # Of R: contingencytables::Tango_asymptotic_score_CI_paired_2x2(cavo_2012) in that package's tests;
    # PropCIs::scoreci.mp(7, 1, 21, 0.95), as ratesci has it to three digits; PropCIs::scoreci.mp(25, 28, 618, 0.9).
    for losses, gains, rows, low, high, level in (
        (6, 16, 161, -0.1240, -0.0054, 0.975),
        (1, 7, 21, -0.517, -0.026, 0.975),
        (28, 25, 618, -0.0148, 0.0247, 0.95),
    ):
        quantile, half = stats.norm.ppf(level), 5e-4 if rows == 21 else 5e-5
        assert (
            paired.tango(losses, gains, rows, high + half) < -quantile < paired.tango(losses, gains, rows, high - half)
        )
        assert paired.tango(losses, gains, rows, low + half) < quantile < paired.tango(losses, gains, rows, low - half)


@pytest.mark.parametrize(
    ("margin", "least"),
    [(0.01, (299, 473, 1049)), (0.02, (149, 236, 523)), (0.05, (59, 93, 208))],
)
def test_exact_test_passes_from_as_many_rows_as_the_table_says(margin: float, least: tuple[int, ...]) -> None:
    for losses, rows in zip((0, 1, 5), least, strict=True):
        assert exact.at_most(losses, rows, margin) <= ALPHA < exact.at_most(losses, rows - 1, margin)
        if losses < 5:
            assert paired.not_worse(floats(losses), floats(0), floats(rows), floats(margin)) <= ALPHA
            assert paired.not_worse(floats(losses), floats(0), floats(rows - 1), floats(margin)) > ALPHA
        about = paired.rows_for_events(floats(losses / rows), floats(margin), ALPHA)
        assert about == pytest.approx(rows, rel=0.02)
    assert paired.least_rows(floats(margin), ALPHA) == least[0]


def size(rows: int, margin: float, flips: float) -> float:
    """Chance of passing cells that are truly worse by the margin, summed over all outcomes that matter."""
    lost, gained = (flips + margin) / 2, (flips - margin) / 2
    most = [int(rows * share + 8 * math.sqrt(rows * share) + 12) for share in (lost, gained)]
    b, c = np.meshgrid(np.arange(min(rows, most[0]) + 1), np.arange(min(rows, most[1]) + 1), indexing="ij")
    chance = stats.binom.pmf(b, rows, lost) * stats.binom.pmf(c, rows - b, gained / (1 - lost))
    losses, gains = b.ravel().astype(float), c.ravel().astype(float)
    p = paired.not_worse(losses, gains, np.full(len(losses), float(rows)), np.full(len(losses), margin))
    return float(chance.ravel()[p <= ALPHA].sum())


@pytest.mark.parametrize("rows", [30, 100, 499, 500, 1000, 3000])
def test_truly_worse_cells_pass_in_at_most_five_percent(rows: int) -> None:
    cells = [(m, f) for m in (0.002, 0.01, 0.02, 0.05) for f in (0.002, 0.01, 0.02, 0.04, 0.1) if f >= m]
    assert max(size(rows, margin, flips) for margin, flips in cells) <= ALPHA


def test_limit_is_the_margin_with_which_a_cell_would_just_pass() -> None:
    generator = np.random.default_rng(1)
    rows = generator.integers(40, 5000, 200).astype(float)
    losses, gains = (generator.binomial(rows.astype(int), share).astype(float) for share in (0.02, 0.015))
    limit = paired.upper_loss(losses, gains, rows, ALPHA)
    assert (paired.not_worse(losses, gains, rows, limit + 1e-6) <= ALPHA).all()
    assert (paired.not_worse(losses, gains, rows, limit - 1e-6) > ALPHA).all()


def test_mcnemar_is_the_binomial_test() -> None:
    for losses, gains in ((122, 20), (0, 0), (5, 5), (283, 4)):
        flips = losses + gains
        expected = stats.binomtest(losses, flips, 0.5, alternative="greater").pvalue if flips else 1.0
        assert paired.worse(floats(losses), floats(gains)) == pytest.approx(expected, rel=1e-9)
    assert paired.worse(floats(122), floats(20)) < 1e-18


def test_holm_gives_the_values_of_its_definition() -> None:
    assert paired.holm(floats(0.01, 0.04, 0.03, 0.005)) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.holm(floats(0.5, 0.9)) == pytest.approx([1.0, 1.0])


def one_slice(rows: int) -> Slices:
    return Slices((), np.array([-1]), (Family(None, np.zeros(rows, np.int64), 0, 1),))


def counted(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return betting.histogram(values, np.ones(len(values), np.bool_), one_slice(len(values)))


def test_histogram_keeps_rows_and_means() -> None:
    values = np.random.default_rng(3).uniform(-1, 1, 5000)
    table = counted(np.r_[values, -1.0, 1.0])
    assert table.sum() == pytest.approx(5002)
    assert float((table @ betting.GRID)[0]) == pytest.approx(values.sum(), abs=1e-9)


def test_means_at_their_margin_pass_in_at_most_five_percent() -> None:
    generator = np.random.default_rng(4)
    passed = []
    for rows in (50, 300, 2000):
        for _ in range(400):
            # Rare great losses: what normal approximations pass.
            values = np.where(generator.random(rows) < 0.02, 0.5, 0.0)
            capital = betting.against_at_least(counted(values), floats(0.01))
            passed.append(float(capital[0]) >= -math.log(ALPHA))
    assert np.mean(passed) <= ALPHA


def test_limits_of_means_hold_and_close_in() -> None:
    generator = np.random.default_rng(5)
    wide, missed = [], 0
    for rows in (200, 20_000):
        for _ in range(50):
            values = np.clip(generator.normal(0.003, 0.05, rows), -1, 1)
            low, high = (float(limit(counted(values), ALPHA)[0]) for limit in (betting.lower_mean, betting.upper_mean))
            missed += not low <= 0.003 <= high
        wide.append(high - low)
    assert missed <= 10  # two limits of 95 % each, on the safe side
    assert wide[1] < wide[0] / 5
    assert wide[1] < 0.004


def test_limit_of_a_mean_is_where_the_proof_begins() -> None:
    table = counted(np.random.default_rng(6).normal(0.01, 0.1, 800).clip(-1, 1))
    high = betting.upper_mean(table, ALPHA)
    assert betting.against_at_least(table, high + 0.002) >= -math.log(ALPHA)
    assert betting.against_at_least(table, high - 0.002) < -math.log(ALPHA)


def test_rows_that_would_prove_a_mean_do() -> None:
    values = np.random.default_rng(7).normal(0.0, 0.1, 400).clip(-1, 1)
    table = counted(values)
    needed = float(betting.rows_to_prove(table, floats(0.02), ALPHA)[0])
    grown = table * (needed * 1.01 / len(values))
    assert betting.against_at_least(grown, floats(0.02)) >= -math.log(ALPHA)
    assert betting.against_at_least(table * (needed * 0.97 / len(values)), floats(0.02)) < -math.log(ALPHA)
    assert betting.rows_to_prove(counted(np.full(100, 0.5)), floats(0.02), ALPHA) == math.inf
