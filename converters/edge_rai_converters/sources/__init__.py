"""Readers of trained models."""

from edge_rai_converters.sources.onnx import Kind, SourceModel
from edge_rai_converters.sources.read import read
from edge_rai_converters.sources.tables import fitted_names
from edge_rai_converters.sources.trees import kind_of_trees, refusal

__all__ = ["Kind", "SourceModel", "fitted_names", "kind_of_trees", "read", "refusal"]
