"""What only a conversion can raise."""

from __future__ import annotations

from edge_rai.errors import EdgeRaiError


class AccuracyDropError(EdgeRaiError):
    """What was asked for by name is not to be had, or loses more accuracy than is allowed."""


class BudgetError(EdgeRaiError):
    """No candidate keeps the budgets of size and latency."""


class DataError(EdgeRaiError, ValueError):
    """Data cannot be read or does not fit the model; says where, and what to do."""


class MissingFileError(EdgeRaiError, FileNotFoundError):
    """A file or folder is not there; says where it was looked for, and what was expected there."""


class MissingExtraError(EdgeRaiError, ModuleNotFoundError):
    """A package is needed that comes with an extra; names the extra."""
