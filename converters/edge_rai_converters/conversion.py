"""What a conversion did and measured, for whoever asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_rai.bundle import Format
from edge_rai.policy import Drift
from edge_rai_converters.audit import AuditReport
from edge_rai_converters.candidates import Candidate
from edge_rai_converters.choose import Choice
from edge_rai_converters.compare import Comparison
from edge_rai_converters.distance import DistanceReport
from edge_rai_converters.fallback import Fallback
from edge_rai_converters.gate import GateReport
from edge_rai_converters.maps import Columns
from edge_rai_converters.rehearsal import FalseRejections


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion did and measured.

    Attributes:
        output: The bundle.
        name: Of the bundle.
        batched: The model answers row by row.
        rows_independent: A row's answer was bit-identical whatever its batch mates were.
        features: Number of features with rules.
        calibration_rows: Rows learned from.
        candidates: Float first; then those for TFLite, where that is a target, its float model first.
        choices: What went into the bundle by target, why, and why nothing else did.
        apart: How far the TFLite model's answers to the held-back rows are from the ONNX model's; None where the bundle
            has one of them.
        false_rejections: What the guard said of the held-back rows.
        distances: What is behind each input's distance.
        without_distance: By input, why it has none.
        fallback: The fallback model on the held-back rows.
        unrecorded: Outputs that are no tensors of numbers: they are not compared and have no golden vectors.
        columns: Of outputs that were maps and are matrices now, the class of each column.
        drift: How features are watched; None: they are not.
        not_taken: Columns or arrays of the data that no input takes and that are not the labels.
        audit: Of the data.
        gate: By the file of the bundle that has it, what the gate said of what was chosen.
    """

    output: Path
    name: str
    batched: bool
    rows_independent: bool
    features: int
    calibration_rows: int
    candidates: tuple[Candidate, ...]
    choices: Mapping[Format, Choice]
    apart: Comparison | None
    false_rejections: FalseRejections
    distances: tuple[DistanceReport, ...]
    without_distance: Mapping[str, str]
    fallback: Fallback | None
    unrecorded: tuple[str, ...]
    columns: Columns
    drift: Drift | None
    not_taken: tuple[str, ...]
    audit: AuditReport
    gate: Mapping[str, GateReport] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For documents."""
        return {
            "output": str(self.output),
            "name": self.name,
            "batched": self.batched,
            "rows_independent": self.rows_independent,
            "features": self.features,
            "calibration_rows": self.calibration_rows,
            "candidates": [entry.as_json() for entry in self.candidates],
            "choices": {target: asdict(choice) for target, choice in self.choices.items()},
            "tflite_against_onnx": self.apart.as_json() if self.apart else None,
            "false_rejections": asdict(self.false_rejections),
            "distances": [asdict(entry) for entry in self.distances],
            "without_distance": dict(self.without_distance),
            "fallback": self.fallback.as_json() if self.fallback else None,
            "unrecorded": list(self.unrecorded),
            "zipmap_removed": {name: list(keys) for name, keys in self.columns.items()},
            "drift": asdict(self.drift) if self.drift else None,
            "not_taken": list(self.not_taken),
            "audit": self.audit.as_json(),
            "gate": {path: report.verdict for path, report in self.gate.items()},
        }

    @property
    def choice(self) -> Choice:
        """Of the only target; of several, of ONNX."""
        return next(iter(self.choices.values()))

    @property
    def chosen(self) -> Candidate:
        """What went into the bundle, likewise."""
        return self.chosen_for(next(iter(self.choices)))

    def chosen_for(self, target: Format) -> Candidate:
        """What went into the bundle for one of its targets."""
        return next(entry for entry in self.candidates if entry.recipe == self.choices[target].recipe)
