"""What both models do with rows that are not as they should be: corruptions, edges, relations, attacks, shifts."""

from edge_rai_converters.gate.robustness.rules import RobustnessRule

__all__ = ["RobustnessRule"]
