"""Degradation curves: both models on the same corrupted rows, at each severity, and what the guard says of these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from edge_rai_converters.gate.metrics import Measure
from edge_rai_converters.gate.robustness import images, signals, tables
from edge_rai_converters.gate.robustness.asking import Caught, Said
from edge_rai_converters.gate.robustness.changes import Change
from edge_rai_converters.gate.robustness.rules import SEVERITIES, Kind
from edge_rai_converters.gate.robustness.sample import Mask
from edge_rai_converters.gate.robustness.trial import Trial

CHANGES: Mapping[Kind, Mapping[str, Change]] = {
    "table": tables.CHANGES,
    "images": images.CHANGES,
    "audio": signals.AUDIO,
    "sensors": signals.SENSORS,
}


def curves(trial: Trial, told: Callable[[str, float], None]) -> Iterator[tuple[dict[str, Any], Measure | None]]:
    """One a corruption, and what its margin is about where there is one.

    Args:
        trial: What is tried.
        told: Of the corruption that begins, and the share of all that is done.
    """
    changes = without_missing(trial.sample.kind)
    clean = _point(trial, 0, None, trial.clean, [entry.caught(trial.sample.rows) for entry in trial.contenders])
    for place, (name, change) in enumerate(changes.items()):
        points, judged = [clean], None
        for severity in SEVERITIES:
            told(name, (place * len(SEVERITIES) + severity - 1) / len(changes) / len(SEVERITIES))
            rows = trial.sample.written(change.at(severity, trial.sample, trial.rule.seed))
            said = trial.original.ask(rows), trial.candidate.ask(rows)
            caught = [entry.caught(rows) for entry in trial.contenders]
            points.append(_point(trial, severity, change.settings[severity - 1], said, caught))
            if severity == trial.rule.severity and name in trial.rule.judged:
                judged = trial.as_measure(name, said)
        yield {"corruption": name, "parameter": change.parameter, "points": points}, judged


def without_missing(kind: Kind) -> Mapping[str, Change]:
    """The corruptions of a kind that can be tried with what is installed."""
    gone = {"jpeg"} if images.without_pillow() else set()
    return {name: change for name, change in CHANGES[kind].items() if name not in gone}


def _point(
    trial: Trial, severity: int, setting: float | None, said: tuple[Said, Said], caught: list[Caught]
) -> dict[str, Any]:
    sides = {}
    for place, contender in enumerate(trial.contenders):
        wrong = None if trial.measure == "error" else trial.wrong(said[place], place)
        sides[contender.name] = {
            "value": trial.value(said[place], place),
            **guarded(said[place], caught[place], wrong, trial.known),
        }
    return {"severity": severity, "setting": setting, **sides}


def guarded(said: Said, caught: Caught, wrong: Mask | None, known: Mask) -> dict[str, Any]:
    """What the guard did about some rows.

    Args:
        said: Of these rows, by the bare model.
        caught: By the guard.
        wrong: (n,) rows that are wrong; None: that is no question.
        known: (n,) rows of which that is known.
    """
    silent = None if wrong is None or not known.any() else float((wrong & ~caught.rows)[known].mean())
    return {
        "caught": float(caught.rows.mean()),
        "reasons": dict(caught.reasons),
        "silent": silent,
        "not_finite": float(np.mean(said.lost)),
    }
