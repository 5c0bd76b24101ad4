"""The release gate: a compressed model against its own original, slice by slice, with statistics that hold."""

from edge_rai_converters.gate.cells import Cell, GateReport, Measured, Slice
from edge_rai_converters.gate.judge import judge
from edge_rai_converters.gate.junit import junit
from edge_rai_converters.gate.policy import load_gate_policy, parse_gate_policy
from edge_rai_converters.gate.rows import Predicted, Rows
from edge_rai_converters.gate.rules import GatePolicy
from edge_rai_converters.gate.run import evaluate, gate

__all__ = [
    "Cell",
    "GatePolicy",
    "GateReport",
    "Measured",
    "Predicted",
    "Rows",
    "Slice",
    "evaluate",
    "gate",
    "judge",
    "junit",
    "load_gate_policy",
    "parse_gate_policy",
]
