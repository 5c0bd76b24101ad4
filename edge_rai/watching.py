"""The part of a session that is about change: drift that is watched, outcomes, and sketches of what came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edge_rai import arguments
from edge_rai.inputs import in_order

if TYPE_CHECKING:
    from edge_rai._native import Column, NativeSession
    from edge_rai._native.quantiles import QuantileSketch
    from edge_rai._native.tensors import Array
    from edge_rai.certificate import Certificate
    from edge_rai.counts import Snapshot
    from edge_rai.drift import Watch
    from edge_rai.drift_report import DriftReport
    from edge_rai.types import Feature, TensorSpec


class Watching:
    """What ``Session`` adds to its answers: what they and their inputs have come to."""

    inputs: tuple[TensorSpec, ...]
    features: tuple[Feature, ...]
    runtime: str
    _native: NativeSession
    _path: str

    def snapshot(self) -> Snapshot:
        """What has been counted since the last flush, which goes on being counted."""
        return self._native.snapshot()

    def _columns(self) -> Mapping[str, Column]:
        return self._native.columns

    def watch(self) -> Watch | None:
        """How much speaks for drift, and the alarm if there is one; None where the policy has no [drift].

        Unlike ``drift``, which describes the window since the last flush, this goes on over flushes, and an alarm comes
        no oftener than once in ``average_run_length`` rows as long as nothing has changed.
        """
        return self._native.watch()

    def on_alarm(self, told: Callable[[Watch], object] | None) -> None:
        """Has each alarm of drift told to somebody, as soon as a call or a flush has noticed it.

        Args:
            told: Is called with the watch, in a thread of its own, which may ask the session anything; what it raises
                goes to the log. It takes the place of the one before; None: nobody is told.

        Raises:
            ValueError: The policy has no [drift].
        """
        self._native.on_alarm(told)

    def reset_watch(self) -> None:
        """Takes an alarm back, once its cause is known, and begins anew without evidence.

        With a spool the next flush makes that last beyond the session.
        """
        self._native.reset_watch()

    def watch_state(self) -> bytes:
        """What the watch has seen, learned and raised, for ``continue_watch``; empty where the policy has no [drift].

        A session with a spool needs neither: each flush stores the watch there, and the next session goes on from it.
        """
        return self._native.watch_state()

    def continue_watch(self, state: bytes) -> None:
        """Goes on from where another session of the same policy was, alarm included.

        Raises:
            SpoolError: The bytes are damaged, or of a newer version; the watch is as it was.
            ValueError: They are of another policy, or this one has no [drift].
        """
        if not isinstance(state, bytes):
            raise arguments.wrong_type("state", state, "bytes, as watch_state gives them")
        self._native.continue_watch(state)

    def observe(self, inputs: Array | Mapping[str, Any]) -> dict[str, Array]:
        """Predicts, and says what was observed of each row, by name, as (rows,) float64; NaN: there is none.

        For learning what is usual, and for looking into an answer: the prediction counts like any other.

        Args:
            inputs: As ``predict`` takes them.

        Raises:
            As ``predict``.
        """
        return self._native.observe(in_order(inputs, self.inputs, self._columns))

    def record_outcome(self, receipt: int, label: float) -> None:
        """The truth of a row that was answered: counted, and watched where the policy has [drift].

        Args:
            receipt: Of ``Answer.receipts``, which may come back after any time and to any session of the policy. Each
                call counts, so tell it once.
            label: The row's class, or its value.

        Raises:
            TypeError: A receipt that is no integer, or a label that is no number.
            ValueError: A receipt of another policy, or of a row that the model did not answer; a label that is not
                finite; or the policy observes no outcomes.
        """
        receipt = arguments.integer("receipt", receipt, "an integer, of Answer.receipts")
        if not 0 < receipt < 2**64:
            raise ValueError(f"receipt is {receipt}: the model did not answer this row, or nobody observes outcomes")
        self._native.record_outcome(receipt, arguments.number("label", label))

    def drift(self) -> DriftReport:
        """What has been counted since the last flush beside the reference: PSI of each feature that has one.

        The report is a sequence of these; ``str()`` of it is a sentence of the watch, ``html()`` a page of it all.
        """
        from edge_rai.drift_report import DriftReport

        return DriftReport(self.snapshot(), self.watch(), self.features)

    def quantiles(self, *, begin: bool = False) -> dict[str, QuantileSketch]:
        """Sketches of the inputs' quantiles, by feature: copies, of all rows until now.

        Of the same values as the histograms, those of rejected rows too; what is missing or not finite is in ``nan``.
        A flush leaves them as they are and stores nothing of them.

        Args:
            begin: Have them begin anew, in the same moment: no row is in two windows or in none.

        Raises:
            ValueError: The session was loaded without them.
        """
        return self._native.quantiles(begin)

    def certificate(self) -> Certificate | None:
        """What the bundle's release gate promised; revoked as long as an alarm of drift stands. Reads the bundle.

        None of a bare model, and of a bundle that nothing was promised of.

        Raises:
            BundleError: The bundle has changed since it was opened.
        """
        from edge_rai.certificate import certificate_of

        watch = self.watch()
        return certificate_of(self._path, self.runtime, self.snapshot(), None if watch is None else watch.alarm)

    def estimated_accuracy(self) -> float | None:
        """What share of the answers since the last flush is right, as far as confidence tells; advisory.

        From how often rows of each confidence were right when the bundle was made. It sees a model that grows less
        sure, and is blind to labels that come to mean something else: what it says is for people, and acts on nothing.

        Returns:
            A share, or None: the bundle observes no confidence, was made without labels, or has answered nothing.

        Raises:
            BundleError: The bundle's file has changed and cannot be read any more.
        """
        from edge_rai.telemetry.accuracy import estimated_accuracy

        return estimated_accuracy(self._path, self.features, self.snapshot().features)
