"""Reference data: arrays, tables and folders of images, read part by part in the types that a model takes."""

from edge_rai_converters.data.arrays import open_arrays
from edge_rai_converters.data.dataset import HELD_BACK_EVERY, MIN_ROWS, Dataset, drawn, is_missing, load
from edge_rai_converters.data.found import FEATURE_NAMES
from edge_rai_converters.data.images import ImageOptions
from edge_rai_converters.data.named import Known
from edge_rai_converters.data.rows import Array, ChangedRows, Index, Rows, StoredRows, all_chunks, chunks
from edge_rai_converters.data.tables import Table, read_table

__all__ = [
    "FEATURE_NAMES",
    "HELD_BACK_EVERY",
    "MIN_ROWS",
    "Array",
    "ChangedRows",
    "Dataset",
    "ImageOptions",
    "Index",
    "Known",
    "Rows",
    "StoredRows",
    "Table",
    "all_chunks",
    "chunks",
    "drawn",
    "is_missing",
    "load",
    "open_arrays",
    "read_table",
]
