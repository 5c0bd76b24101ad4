"""Build-machine tools: from a trained model and reference data to a bundle."""

from edge_rai_converters.conversion import ConversionReport
from edge_rai_converters.errors import AccuracyDropError, BudgetError
from edge_rai_converters.pipeline import convert

__all__ = ["AccuracyDropError", "BudgetError", "ConversionReport", "convert"]
