"""Sketches of quantiles against Apache DataSketches' own: bytes, merges, answers and errors; and as Python has them."""

from __future__ import annotations

import hmac
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_rai import QuantileSketch, SpoolError

datasketches = pytest.importorskip("datasketches", reason="DataSketches is not installed: pip install datasketches")
Floats = npt.NDArray[np.float32]

KS = (8, 100, 200, 500)
COUNTS = (0, 1, 2, 3, 7, 8, 9, 99, 100, 101, 199, 200, 201, 256, 257, 500, 501, 1000, 10_000, 300_000)


def normal(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=count).astype(np.float32)


def ours(values: Floats, k: int = 200, seed: int = 0) -> QuantileSketch:
    sketch = QuantileSketch(k, seed=seed)
    sketch.update(values)
    return sketch


def theirs(values: Floats, k: int = 200) -> datasketches.kll_floats_sketch:
    sketch = datasketches.kll_floats_sketch(k)
    sketch.update(values)
    return sketch


def worst_rank(ranks: npt.ArrayLike, count: int) -> float:
    """Greatest error of the ranks of all of 0, 1, ... count - 1."""
    true = np.arange(1, count + 1) / count
    return float(np.max(np.abs(np.asarray(ranks) - true)))


# ---- Apache's own ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", KS)
def test_apache_reads_our_bytes_and_writes_them_as_they_were(k: int) -> None:
    for count in COUNTS:
        values = normal(count, count)
        data = ours(values, k).to_bytes()
        read = datasketches.kll_floats_sketch.deserialize(data)
        assert (read.serialize(), read.n, read.k) == (data, count, k)
        assert len(data) <= len(theirs(np.arange(count, dtype=np.float32), k).serialize()) * 1.35
        if count:
            assert (read.get_min_value(), read.get_max_value()) == (values.min(), values.max())


@pytest.mark.parametrize("k", KS)
def test_bytes_of_at_most_k_values_are_apache_s(k: int) -> None:
    for count in filter(lambda count: count <= k, COUNTS):
        values = normal(count, count)
        assert ours(values, k).to_bytes() == theirs(values, k).serialize(), count


@pytest.mark.parametrize("k", KS)
def test_we_read_apache_s_bytes_and_write_them_as_they_were(k: int) -> None:
    for count in COUNTS:
        data = theirs(normal(count, count), k).serialize()
        read = QuantileSketch.from_bytes(data)
        assert (read.to_bytes(), read.n, read.k) == (data, count, k)


def test_each_merges_the_other_s() -> None:
    mine, apache = QuantileSketch(200), datasketches.kll_floats_sketch(200)
    total = 0
    for seed, count in enumerate(COUNTS):
        values = np.arange(total, total + count, dtype=np.float32)
        apache.merge(datasketches.kll_floats_sketch.deserialize(ours(values, 200, seed + 1).to_bytes()))
        mine.merge(QuantileSketch.from_bytes(theirs(values).serialize()))
        total += count
    assert (mine.n, mine.least, mine.greatest) == (total, 0, total - 1)
    assert (apache.n, apache.get_min_value(), apache.get_max_value()) == (total, 0, total - 1)
    asked = np.linspace(0, total - 1, 99, dtype=np.float32)
    for ranks in (mine.rank(asked), [apache.get_rank(value, True) for value in asked]):
        assert np.max(np.abs(np.asarray(ranks) - (asked + 1) / total)) < 0.0165


@pytest.mark.parametrize("count", [1, 2, 150, 5000, 300_000])
def test_answers_are_apache_s_of_the_same_bytes(count: int) -> None:
    data = ours(normal(count)).to_bytes()
    mine, apache = QuantileSketch.from_bytes(data), datasketches.kll_floats_sketch.deserialize(data)
    ranks, values = np.linspace(0.001, 0.999, 57), normal(57, 1)
    assert mine.quantile(ranks).tolist() == [apache.get_quantile(rank, True) for rank in ranks]
    assert mine.rank(values).tolist() == [apache.get_rank(value, True) for value in values]
    assert mine.rank_error == pytest.approx(apache.normalized_rank_error(False), rel=1e-12)


def test_rank_errors_over_200_seeds_are_at_most_a_tenth_above_apache_s() -> None:
    count, errors, apache_errors = 20_000, [], []
    sorted_values = np.arange(count, dtype=np.float32)
    for seed in range(200):
        values = np.random.default_rng(seed).permutation(sorted_values)
        data = ours(values, 200, seed).to_bytes()  # as it leaves the device
        errors.append(worst_rank(QuantileSketch.from_bytes(data).rank(sorted_values), count))
        apache = QuantileSketch.from_bytes(theirs(values).serialize())
        apache_errors.append(worst_rank(apache.rank(sorted_values), count))
    assert np.mean(errors) <= 1.1 * np.mean(apache_errors)
    assert np.quantile(errors, 0.99) <= 1.1 * np.quantile(apache_errors, 0.99)


# ---- As Python has them ----------------------------------------------------------------------------------------------


def test_seed_and_values_give_the_bytes() -> None:
    values = normal(20_000)
    one, same, other = ours(values, seed=7), QuantileSketch(seed=7), ours(values, seed=8)
    for part in np.split(values, 40):
        same.update(part)
    assert one.to_bytes() == same.to_bytes() != other.to_bytes()


def test_seed_of_device_feature_and_window_is_theirs_alone() -> None:
    seed = QuantileSketch.seed_of("device-7", "Ångström", 42)
    message = "device-7\0Ångström\0".encode() + (42).to_bytes(8, "little")
    assert seed == int.from_bytes(hmac.digest(bytes(32), message, "sha256")[:8], "little")
    others = [("device-8", "Ångström", 42), ("device-7", "radius", 42), ("device-7", "Ångström", 43)]
    assert len({seed, *(QuantileSketch.seed_of(*other) for other in others)}) == 4


def test_program_of_the_how_to_gives_what_it_says() -> None:
    text = (Path(__file__).parents[2] / "docs/how-to/measure-quantiles.md").read_text(encoding="utf-8")
    _, device, fleet = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)  # the first is of a session
    rows = normal(60_000).reshape(-1, 2)
    found: dict[str, Any] = {"received": [], "QuantileSketch": QuantileSketch}
    for window in range(3):
        on_device: dict[str, Any] = {"window": window, "rows": rows[window * 10_000 : (window + 1) * 10_000]}
        exec(device, on_device)
        found["received"].append(on_device["stored"]["humidity"])
    exec(fleet, found)
    assert (found["merged"].n, found["merged"].least) == (30_000, rows[:, 1].min())
    assert found["middle"] == pytest.approx(np.median(rows[:, 1]), abs=0.05)
    assert found["share"] == 1


def test_arrays_of_any_shape_and_type_are_taken_as_float32() -> None:
    sketch = QuantileSketch()
    sketch.update(np.arange(6.0).reshape(2, 3)[:, ::2])
    sketch.update([True, 7])
    sketch.update(1e300)
    sketch.update(np.array([np.nan, -2], np.float64))
    sketch.update([])
    assert (sketch.n, sketch.nan, sketch.least, sketch.greatest) == (8, 1, -2, np.inf)
    assert sketch.quantile([[0, 0.5], [0.25, 1]]).tolist() == [[-2, 2], [0, np.inf]]
    assert sketch.rank(2).shape == ()
    assert float(sketch.rank(2)) == 4 / 8
    assert repr(sketch) == "QuantileSketch(k=200, n=8, least=-2, greatest=inf)"


def test_least_k_is_that_of_the_coarsest_part() -> None:
    fine, coarse = ours(normal(5000), 400), ours(normal(5000), 50)
    fine.merge(coarse)
    assert (fine.k, fine.min_k, fine.rank_error) == (400, 50, coarse.rank_error)


def test_misuse_is_named() -> None:
    sketch = QuantileSketch()
    for call, sentence in (
        (lambda: sketch.quantile(0.5), "without a value"),
        (lambda: sketch.rank(np.nan), "NaN"),
        (lambda: sketch.quantile([0, 2]), "rank 1 is 2; expected 0 to 1"),
        (lambda: sketch.merge(sketch), "not with itself"),
        (lambda: QuantileSketch(7), "k is 7; expected 8 to 65535"),
        (lambda: QuantileSketch(seed=2**64), "seed is 18446744073709551616; expected 0 to"),
    ):
        with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
            call()
    for wrong in (lambda: sketch.update(["a"]), lambda: sketch.merge(b""), lambda: QuantileSketch.from_bytes("a")):
        with pytest.raises(TypeError, match="expected"):
            wrong()


def test_damaged_bytes_are_refused_in_a_sentence() -> None:
    data = ours(normal(1000)).to_bytes()
    for damaged, sentence in (
        (data[:-1], "its size"),
        (data + b"\0", "its size"),
        (b"", "at least 8 bytes"),
        (bytes([*data[:2], 3, *data[3:]]), "the family is 3; expected 15, which is KLL"),
        (bytes([*data[:8], data[8] ^ 1, *data[9:]]), "the sum of the weights"),
    ):
        with pytest.raises(SpoolError, match=f"^not a sketch of quantiles: .*{sentence}"):
            QuantileSketch.from_bytes(damaged)


def test_threads_wait_for_each_other() -> None:
    sketch, parts = QuantileSketch(), np.split(normal(40_000), 40)

    def work(part: Floats) -> None:
        sketch.update(part)
        sketch.to_bytes()

    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert datasketches.kll_floats_sketch.deserialize(sketch.to_bytes()).n == 40_000
