"""What only a conversion can raise."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires

from edge_rai.errors import DataError, EdgeRaiError

__all__ = ["AccuracyDropError", "BudgetError", "DataError", "MissingExtraError", "MissingFileError", "missing"]

_DISTRIBUTION = "edge-rai-converters"
# Packages that have another name than their module.
_PACKAGES = {"pil": "pillow", "sklearn": "scikit-learn"}
_VERSIONS = re.compile(r"[^\w.-].*")


class AccuracyDropError(EdgeRaiError):
    """What was asked for by name is not to be had, or loses more accuracy than is allowed."""


class BudgetError(EdgeRaiError):
    """No candidate keeps the budgets of size and latency."""


class MissingFileError(EdgeRaiError, FileNotFoundError):
    """A file or folder is not there; says where it was looked for, and what was expected there."""


class MissingExtraError(EdgeRaiError, ModuleNotFoundError):
    """A package is needed that only an extra brings; says how to install it."""


def missing(module: str, why: str = "") -> MissingExtraError:
    """The exception to raise where a package cannot be imported.

    The versions that are named are those of this distribution's own extras. The extras themselves are not: they can be
    installed only from where the distribution was.

    Args:
        module: As it is imported; with dots or not.
        why: What is said before the remedy; that it is not installed when empty.
    """
    name = module.partition(".")[0]
    package = _PACKAGES.get(name.lower(), name.lower().replace("_", "-"))
    remedy = f"pip install {shlex.quote(_requirement(package))}"
    return MissingExtraError(f"{why or f'{package} is not installed'}: {remedy}", name=name)


def _requirement(package: str) -> str:
    """The package with the versions that an extra asks for, where one does."""
    try:
        asked = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:  # imported from its source, without having been installed
        asked = []
    wanted = (entry.partition(";")[0].strip() for entry in asked)
    return next((entry for entry in wanted if _VERSIONS.sub("", entry) == package), package)
