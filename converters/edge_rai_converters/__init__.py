"""Build-machine tools: from a trained model and reference data to a bundle."""

from edge_rai_converters.errors import AccuracyDropError
from edge_rai_converters.pipeline import ConversionReport, convert

__all__ = ["AccuracyDropError", "ConversionReport", "convert"]
