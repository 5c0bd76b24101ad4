"""What may be asked for beside a model and its data, and what of it contradicts itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_rai.bundle import Format
from edge_rai_converters.data import Array, ImageOptions
from edge_rai_converters.distance import Asked
from edge_rai_converters.formats import Layout


@dataclass(frozen=True, slots=True)
class Wishes:
    """What may be asked for beside a model and its data.

    Attributes:
        labels: A key or column of the data or a file with the class of each row; see ``data.load``.
        as_truths: Labels are no classes but what the gate alone judges by: quantities, or several a row.
        policy: Rules to use instead of learned ones; the reference is learned all the same.
        states: Recurrent states, "INPUT=OUTPUT" each; of a policy its own.
        distance: Which distance to learn; None: "auto", or what the policy says.
        rate: False rejection rate of the distance; None: 1 %, or what the policy says.
        fallback_model: A simpler model that answers what this one must not.
        images: What becomes of the pixels of a folder of images.
        columns: Those of a table that a single input takes, in its order.
        average_run_length: Rows from one false alarm of drift to the next; None: drift is counted, not watched.
        ordered: Whether rows of the data are in the order in which they came.
        times: When; see ``data.times.read_times``. None: no feature is held against the hour of the day or week.
        targets: The formats that the model is wanted in.
        layout: "nhwc": the bundle takes images with their channels last; "keep": as the model does.
    """

    labels: str | Path | None = None
    as_truths: bool = False
    policy: str | Path | None = None
    states: Sequence[str] = ()
    distance: Asked | None = None
    rate: float | None = None
    fallback_model: str | Path | None = None
    images: ImageOptions | None = None
    columns: Sequence[str] | None = None
    average_run_length: float | None = None
    ordered: bool = False
    times: str | Path | Array | None = None
    targets: Sequence[Format] = ("onnx",)
    layout: Layout = "keep"

    def __post_init__(self) -> None:
        if self.policy is not None and (self.distance is not None or self.rate is not None or self.states):
            raise ValueError("a policy says itself what its distances and states are; leave them out, or the policy")
        if self.average_run_length is not None and self.policy is not None:
            raise ValueError("a policy says itself how it is watched for drift; leave the average run length out")
        if self.average_run_length is not None and not 100 <= self.average_run_length <= 1e15:
            raise ValueError(f"an average run length of {self.average_run_length:g} rows; it must be 100 to 1e15")
        if self.times is not None and self.average_run_length is None and self.policy is None:
            raise ValueError("times of rows matter for an average run length alone; give one, or leave them out")
        if self.average_run_length is None and self.ordered:
            raise ValueError("that rows are ordered matters for an average run length alone; give one, or leave it out")
        if self.average_run_length is not None and not self.ordered:
            raise ValueError(
                "an average run length holds for rows whose dependence on each other is known, and only data in the "
                "order in which it came shows that: say that it is (--ordered), or leave the average run length out"
            )
