"""Damaged .tflite files, after the check: none may bring LiteRT down; proof_tflite_damage.py tries many more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from support.damaged_bundle import MODEL, refusals
from support.tflite_damage import OUTCOMES, Damage, tried
from support.tflite_models import write
from support.tflite_samples import SAMPLES

EACH = 60


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("samples")
    paths = []
    for name, sample in SAMPLES.items():
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(write(sample().model))
    return paths


def test_damaged_files_are_refused_or_answered_and_end_no_process(samples: list[Path]) -> None:
    found = tried(samples, EACH)
    assert len(found) == EACH * len(samples)
    assert [outcome for outcome in found if outcome.kind in ("crash", "hung")] == []
    counts = Counter(outcome.kind for outcome in found)
    assert set(counts) <= set(OUTCOMES)
    assert counts["check"] > 0.5 * len(found)
    assert counts["answer"] > 0


def test_digests_of_a_bundle_refuse_every_damaged_file(tmp_path: Path) -> None:
    found = Counter(f"{MODEL}: its SHA-256 differs" in said for said in refusals(tmp_path, 200))
    assert found == {True: 200}


def test_file_that_ends_the_process_is_counted_and_the_next_one_tried(tmp_path: Path) -> None:
    # A depthwise convolution without a bias ends the process in LiteRT 2.3.
    graph = SAMPLES["convolution"]()
    graph.graph.operators[2].inputs = graph.graph.operators[2].inputs[:2]
    ending = tmp_path / "ending.tflite"
    ending.write_bytes(write(graph.model))
    found = tried([ending], 20, checked=False)
    assert [outcome.number for outcome in found] == list(range(20))
    assert any(outcome.kind == "crash" for outcome in found)
    assert {outcome.kind for outcome in tried([ending], 20)} == {"check"}


def test_damage_is_the_same_for_a_seed_and_of_several_kinds(samples: list[Path]) -> None:
    first, second = (Damage(samples[0].read_bytes(), seed=3) for _ in range(2))
    made = [first.make(number) for number in range(40)]
    assert made == [second.make(number) for number in range(40)]
    assert {what.split()[0] for what, _ in made} >= {"cut", "word", "bits"}
    assert any("->" in what for what, _ in made)
    assert sum(data != samples[0].read_bytes() for _, data in made) > 35
