"""What the guard itself costs: nanoseconds a value, an image beside numpy, and what a steady call allocates."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_rai._ffi import ffi, lib
from edge_rai._native import PolicyBuilder
from edge_rai.backends.onnx import runtime_path
from edge_rai.bench.interleave import interleave, ratio

sys.path.insert(0, str(Path(__file__).parent))
from subjects import bundle, model_and_row

SHAPE = (1, 3, 224, 224)


def test_guard_alone_in_c(figures, capsys) -> None:
    driver = os.environ.get("EDGE_RAI_GUARD_COST")
    if not driver:
        pytest.skip("`make bench` builds benchmarks/guard_cost.c and says where it is")
    done = subprocess.run([driver], check=True, stdout=subprocess.PIPE, text=True)
    figures["guard alone in C"] = done.stdout.splitlines()
    with capsys.disabled():
        print("\nguard alone, C\n" + done.stdout.rstrip())


def test_image_beside_numpy_min_and_max(figures, capsys) -> None:
    """Finite and range over a 3x224x224 float image: erai_admit and erai_judge, against x.min() and x.max()."""
    image = np.random.default_rng(0).random(SHAPE, np.float32)
    guarded = ImageGuard(image)
    timings = interleave(
        {"guarded": lambda _: guarded.judge(), "numpy": lambda _: (image.min(), image.max()), "empty": lambda _: None},
        rounds=200,
    )
    cost = ratio(timings["guarded"], timings["numpy"])
    figures["image 3x224x224, guarded over numpy's min and max"] = {
        **{f"{name}_p50_us": timing.percentile_ns(50) / 1000 for name, timing in timings.items()},
        "ratio": {"p50": cost.p50, "p10": cost.p10, "p90": cost.p90},
    }
    with capsys.disabled():
        print("\n3x224x224 float image, us                 p50     p90     p99")
        for name, timing in timings.items():
            print(f"  {name:36}" + "".join(f"{timing.percentile_ns(p) / 1000:8.2f}" for p in (50, 90, 99)))
        print(f"  guarded / numpy min+max {cost.p50:.2f} ({cost.p10:.2f} to {cost.p90:.2f})")


@pytest.mark.parametrize("subject", ["MLP 64-32", "MLP 64-32 int8"])
@pytest.mark.parametrize("rows", [1, 64])
def test_allocations_of_a_steady_call(subject, rows, figures, capsys, tmp_path) -> None:
    driver, library = os.environ.get("EDGE_RAI_ALLOCATIONS"), runtime_path()
    if not driver or not library:
        pytest.skip("`make bench` builds benchmarks/allocations.c and says where it is")
    _, values = model_and_row(subject, tmp_path)
    row = tmp_path / "row.f32"
    row.write_bytes(values.tobytes())
    command = [driver, library, bundle(subject), row, "30", str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answered, rejected, allocations = map(int, done.stdout.split())
    assert 0 < rejected < answered or rows == 1
    figures[f"allocations, {subject}, {rows} rows a call"] = {
        "answered": answered,
        "rejected": rejected,
        "allocations": allocations,
    }
    with capsys.disabled():
        print(f"\n{subject}, {rows} rows a call, {rejected} of {answered} rejected: {allocations} allocations of ours")


class ImageGuard:
    """A guard for one image: finite values from 0 to 1, no sketch."""

    def __init__(self, image: np.ndarray) -> None:
        builder = PolicyBuilder(batched=False)
        builder.add_input(
            name="image", dtype="float32", shape=SHAPE, max_shape=SHAPE, finite=True, flag_range=False, empty=False,
            feature_axis=1, sketch_stride=1,
        )  # fmt: skip
        for channel in "rgb":
            builder.add_feature(
                name=channel, unit="", stand_in="", low=0.0, high=1.0, mean=0.5, stddev=0.0, reference_rows=0,
                edges=np.empty(0), counts=np.empty(0, np.uint64),
            )  # fmt: skip
        builder.add_output(name="y", dtype="float32", shape=(1,), finite=True, default=None)
        program = builder.write()
        guard, session, answer = ffi.new("erai_guard **"), ffi.new("erai_session **"), ffi.new("erai_answer **")
        assert not lib.erai_guard_open(program, len(program), guard, ffi.NULL)
        assert not lib.erai_session_open_guard(guard[0], bytes(32), ffi.NULL, session, ffi.NULL)
        assert not lib.erai_answer_open(session[0], answer)
        self._session, self._answer = session[0], answer[0]
        self._shapes = ffi.new("int64_t[]", SHAPE), ffi.new("int64_t[]", [1])
        self._output = np.ones(1, np.float32)
        self._tensors = ffi.new("erai_tensor[]", 2)
        for tensor, array, shape in zip(self._tensors, (image, self._output), self._shapes, strict=True):
            tensor.data, tensor.shape = ffi.from_buffer(array), shape
            tensor.rank, tensor.dtype = len(shape), lib.ERAI_DTYPE_FLOAT32
        self._admitted = ffi.new("size_t *")
        self._image = image
        self.judge()
        assert lib.erai_answer_verdict(self._answer) == lib.ERAI_VERDICT_ACCEPT

    def judge(self) -> None:
        lib.erai_admit(self._session, self._tensors, 1, self._answer, self._admitted)
        lib.erai_judge(self._session, self._tensors + 1, 1, self._answer)
