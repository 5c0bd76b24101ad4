"""Exceptions, by whose fault they are. A rejected input is an answer, not an exception."""

from __future__ import annotations


class EdgeRaiError(Exception):
    """Everything this library raises on purpose, except TypeError and ValueError for a caller's arguments."""


class PolicyError(EdgeRaiError):
    """The operator's policy is not valid; names the field, the value and what is allowed."""


class BundleError(EdgeRaiError):
    """A bundle or model file cannot be used; names the file."""


class UnreadableError(BundleError):
    """A bundle or model file is not there or cannot be read."""


class IntegrityError(BundleError):
    """A file is missing, extra, or differs from its digest, or the golden vectors gave another answer."""


class UnsupportedModelError(BundleError):
    """The model uses something this build cannot run; names it."""


class DataError(EdgeRaiError, ValueError):
    """A file of rows cannot be read or does not fit the model; says where, and what to do."""


class InferenceError(EdgeRaiError):
    """The inference runtime failed."""


class RuntimeMissingError(InferenceError):
    """No usable inference runtime is installed; says what to install."""


class ProviderError(RuntimeMissingError):
    """A required execution provider is not there, or would not run the whole model."""


class StoppedError(EdgeRaiError):
    """The session was stopped, by somebody, until somebody resumes it."""


class SpoolError(EdgeRaiError):
    """The spool directory or one of its files cannot be read or written."""


class StoreError(EdgeRaiError):
    """The fleet's store cannot be opened, read or written."""


class DeliveryError(EdgeRaiError):
    """An upload failed.

    Attributes:
        retryable: True when the same request may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class InputRejectedError(EdgeRaiError):
    """An input was rejected and the caller asked for ``strict=True``."""


class NativeError(EdgeRaiError):
    """A fault of this library; please report it."""
