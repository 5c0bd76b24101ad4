"""Build-machine tools: from a trained model and reference data to a bundle."""

from edge_rai_converters.conversion import ConversionReport
from edge_rai_converters.errors import AccuracyDropError, BudgetError
from edge_rai_converters.pipeline import convert
from edge_rai_converters.profiled import Profile, profile_model

__all__ = ["AccuracyDropError", "BudgetError", "ConversionReport", "Profile", "convert", "profile_model"]
