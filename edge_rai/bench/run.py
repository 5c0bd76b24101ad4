"""A run of the bench: opens what is measured, runs a scenario with all of it, and gathers what is known beside it."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge_rai import __version__
from edge_rai.backends.opening import FORMATS
from edge_rai.bench.accuracy import accuracy_of
from edge_rai.bench.clock import Seldom
from edge_rai.bench.closed_loop import FEWEST_KEPT, Run, closed_loop
from edge_rai.bench.cold_start import cold_starts
from edge_rai.bench.contenders import (
    BARE,
    Array,
    Model,
    Rows,
    bare_name,
    harness,
    opened,
    subjects_of,
    without_name,
)
from edge_rai.bench.footprint import per_call
from edge_rai.bench.machine import Watcher
from edge_rai.bench.machine import warnings_of as machine_warnings
from edge_rai.bench.meters import find_meter
from edge_rai.bench.percentiles import queries_needed
from edge_rai.bench.processes import PROCESSES, in_processes
from edge_rai.bench.reading import MAY_REJECT, REJECTED, UNFAIR
from edge_rai.bench.result import Result, ServerRate, SubjectFacts
from edge_rai.bench.saving import save
from edge_rai.bench.series import YARDSTICK, Subject, naming
from edge_rai.bench.server import server
from edge_rai.bench.summary import summarize
from edge_rai.bench.summary import warnings_of as scenario_warnings
from edge_rai.session import Session
from edge_rai.types import Verdict

# Rows a query, and for offline the greatest batch.
USUAL_ROWS = {"single_stream": 1, "multi_stream": 8, "server": 1, "offline": 64}
_PROBE_S = 0.5
_LOOK_S = 2.0
_OPENING, _MEASURING = "opening the models", "measuring"
_SERVED_PERCENT = 99.0
_TOO_MANY = f", so this is {UNFAIR}; give rows that it accepts"
_FEW = ": too few for the medians, by which subjects are compared, to show"
_PROGRAM = f"edge-rai bench {__version__}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured, and how.

    Attributes:
        command: The command line, for the result.
        paths: Models and bundles.
        scenario: One of result.SCENARIOS.
        duration_s: All subjects together, warm-up apart.
        threads: Threads within an operator.
        batch: Rows a query; for offline the greatest batch. None: USUAL_ROWS, or what the models take if that is less.
        against: Some of contenders.BARE.
        each: Each safeguard is switched off in turn.
        rows: Gives the rows of a model's inputs, and can be pickled; None: the bundles' golden inputs.
        labels: (n,) Of those rows; None: accuracy is not measured.
        percentile: To be claimed; None: whichever the queries will do for.
        bound_ns: Of the server's latency; None: its usual one.
        runtime: See load.
        cold_starts: Processes of each model that are started.
        processes: Fresh processes that measure one after the other, each for its part of the duration; 1: this one
            does. Of the server scenario, 1.
        seed: Of every order.
        save: Where the result goes, as far as it is, also while it runs: at first soon, then every two seconds or as
            seldom as makes that a tenth of the time. None: nowhere.
    """

    command: list[str]
    paths: Sequence[Path]
    scenario: str = "single_stream"
    duration_s: float = 20.0
    threads: int = 1
    batch: int | None = None
    against: Sequence[str] = ("bare-python",)
    each: bool = False
    rows: Callable[[Session], Rows] | None = None
    labels: Array | None = None
    percentile: float | None = None
    bound_ns: int | None = None
    runtime: str | None = None
    cold_starts: int = 0
    processes: int = PROCESSES
    seed: int = 0
    save: Path | None = None


class NotSavedError(OSError):
    """A result cannot be saved.

    Args:
        error: Why.
        result: What there is of it: no scenario, where nothing was measured yet.
    """

    def __init__(self, error: OSError, result: Result) -> None:
        super().__init__(error.errno, error.strerror, error.filename)
        self.result = result


# Told what happens now, and how much of that is done, 0 to 1.
Tell = Callable[[str, float], None]


def silent(stage: str, share: float, /) -> None:
    """Nobody is told."""


def measure(settings: Settings, tell: Tell = silent) -> Result:
    """Runs it all. What is saved meanwhile is whole, with `complete` false.

    Args:
        settings: What, and how.
        tell: Of progress.

    Returns:
        What was found; where the keyboard interrupted it once there was something, that, with `complete` false.

    Raises:
        ValueError: Settings that do not fit the models, a duration too short for the percentile.
        EdgeRaiError: A model that cannot be opened.
        RuntimeMissingError: A runtime to measure against is not installed.
        NotSavedError: The result cannot be saved.
    """
    order = random.Random(settings.seed)
    with _opened(settings, order, tell) as models:
        return _Bench(settings, models, order, tell).measure()


@contextmanager
def _opened(given: Settings, order: random.Random, tell: Tell = silent) -> Iterator[list[Model]]:
    """The models as given, opened in an order drawn: what is opened first may lie better in memory."""
    names = _names(given.paths)
    with ExitStack() as stack:
        models = {
            name: stack.enter_context(
                opened(
                    path,
                    name,
                    rows=given.rows,
                    threads=given.threads,
                    runtime=given.runtime,
                    each=given.each,
                    told=partial(tell, _OPENING, 0.0),
                )
            )
            for path, name in order.sample(names, len(names))
        }
        yield [models[name] for _, name in names]


def _part(settings: Settings, number: int) -> Run:
    """What one of several processes measures."""
    order = random.Random(f"{settings.seed} {number}")
    with _opened(settings, order) as models:
        subjects = _subjects(settings, models, order)
        return closed_loop(
            subjects,
            duration_s=settings.duration_s / settings.processes,
            seed=order.getrandbits(32),
            fewest_rounds=-(-FEWEST_KEPT // settings.processes),  # together they have as many as are needed
        )


class _Bench:
    """Open models, and what is known so far."""

    def __init__(self, settings: Settings, models: list[Model], order: random.Random, tell: Tell) -> None:
        self.settings, self.models, self.tell = settings, models, tell
        self.seen: tuple[Run, list[ServerRate]] | None = None
        self.subjects = _subjects(settings, models, order)
        self.pairs = [pair for model in models for pair in _pairs(model, models[0], settings.against)]
        self.facts: dict[str, dict[str, Any]] = {
            model.name: {"file": _file_facts(model, settings.threads)} for model in models
        }
        self.began_unix_ns = time.time_ns()
        self.watcher = Watcher()
        self.rejected: dict[str, tuple[int, int]] = {}  # of how many rows asked
        self.looked_s = 0.0
        self.saving = Seldom()

    def measure(self) -> Result:
        """The whole run."""
        self._save(None, [])  # now rather than at the end: it may not be possible
        self._gather()
        if self.settings.percentile is not None and self.settings.scenario != "server":
            self._refuse_too_short(self.settings.percentile)
        self.watcher = Watcher()
        self.tell(_MEASURING, 0.0)
        try:
            return self._save(*self._run(), complete=True)
        except KeyboardInterrupt:
            if self.seen is None:
                raise
            return self._save(*self.seen)

    def _run(self) -> tuple[Run, list[ServerRate]]:
        given = self.settings
        if given.scenario == "server":
            return server(
                self.subjects,
                duration_s=given.duration_s,
                percent=given.percentile or _SERVED_PERCENT,
                bound_ns=given.bound_ns,
                seed=given.seed,
                watch=self._watch_rates,
            )
        if given.processes > 1:
            return in_processes(partial(_part, given), given.processes, self._watch), []
        return closed_loop(self.subjects, duration_s=given.duration_s, seed=given.seed, watch=self._watch), []

    def _refuse_too_short(self, percentile: float) -> None:
        """By the speed seen in a short run."""
        needed, duration_s = queries_needed(percentile), self.settings.duration_s
        series = [one for one in closed_loop(self.subjects, duration_s=_PROBE_S).series if one.subject != YARDSTICK]
        seconds = max(int(one.ended_ns[-1]) for one in series) / 1e9
        slowest = min(series, key=lambda one: len(one.block))
        rate = len(slowest.block) / seconds
        if rate * duration_s < needed:
            raise ValueError(
                f"{duration_s:g} s give about {int(rate * duration_s):,} queries of {slowest.subject}, and "
                f"p{percentile:g} asks for {needed:,}; expected a duration of about {needed / rate * 1.1:.0f} s, or a "
                "lower percentile"
            )

    def _watch(self, run: Run) -> None:
        ended_ns = max((int(series.ended_ns[-1]) for series in run.series if len(series.block)), default=0)
        self._seen(run, [], ended_ns / 1e9 / self.settings.duration_s)

    def _watch_rates(self, run: Run, rates: list[ServerRate], share: float) -> None:
        if time.monotonic() - self.looked_s > _LOOK_S:  # trials are short
            self._seen(run, rates, share)

    def _seen(self, run: Run, rates: list[ServerRate], share: float) -> None:
        self.seen = run, rates
        self.watcher.look()
        if self.settings.save is not None and self.saving.due:
            # A disk that is full now is no reason to lose the rest: the last time says so.
            with self.saving.taking(), suppress(OSError):
                self._save(run, rates)
        self.tell(_MEASURING, share)
        self.looked_s = time.monotonic()

    def _gather(self) -> None:
        """What is to be known of each subject beside its latency."""
        given, meter = self.settings, find_meter()
        if given.labels is not None:
            self.tell("accuracy", 0.0)
            for model in self.models:
                accuracy = accuracy_of(model.session, model.rows, given.labels, model.most_rows)
                self.facts[model.name]["accuracy"] = accuracy
        if given.cold_starts:
            self.tell("fresh processes to their first answer", 0.0)
            bare = BARE[0] in given.against
            started = cold_starts(self.models, threads=given.threads, rounds=given.cold_starts, bare=bare)
            for name, facts in started.items():
                self.facts.setdefault(name, {})["cold_start"] = facts
        self.tell("what a call takes beside time", 0.0)
        before = _asked(self.models)
        for subject in self.subjects:
            facts = self.facts.setdefault(subject.name, {})
            if "per_call" not in facts and subject.block is None:  # offline: the smallest batch
                with naming(subject.name):
                    facts["per_call"] = {"rows": subject.rows, **per_call(subject, meter, given.duration_s)}
        self.rejected = {
            name: (rejected - before[name][0], rows - before[name][1])
            for name, (rejected, rows) in _asked(self.models).items()
        }

    def _save(self, run: Run | None, rates: list[ServerRate], *, complete: bool = False) -> Result:
        """The result of what there is so far, saved if that is asked for."""
        given = self.settings
        scenarios = []
        if run is not None:
            scenarios = [
                summarize(
                    given.scenario, run, duration_s=given.duration_s, seed=given.seed, against=self.pairs, server=rates
                )
            ]
        machine = self.watcher.machine()
        warnings = [warning for scenario in scenarios for warning in scenario_warnings(scenario)]
        warnings += [*machine_warnings(machine), *self._unfair()]
        subjects = [SubjectFacts(name, facts) for name, facts in self.facts.items()]
        result = Result(given.command, self.began_unix_ns, _PROGRAM, machine, subjects, scenarios, warnings, complete)
        if given.save is not None:
            try:
                save(given.save, result, None if run is None else {given.scenario: run})
            except OSError as error:
                raise NotSavedError(error, result) from error
        return result

    def _unfair(self) -> list[str]:
        return [
            f"{name}{REJECTED}{rejected:,} of {rows:,} rows asked before the run; for these the model "
            f"is not run, or its answer not taken{_TOO_MANY if rejected > MAY_REJECT * rows else _FEW}"
            for name, (rejected, rows) in self.rejected.items()
            if rejected
        ]


def _subjects(settings: Settings, models: list[Model], order: random.Random) -> list[Subject]:
    """What is measured, made in an order drawn, as models are opened."""
    wanted = [(model, rows) for model in models for rows in _sizes(settings, model)]
    made = {
        place: subjects_of(wanted[place][0], rows=wanted[place][1], threads=settings.threads, against=settings.against)
        for place in order.sample(range(len(wanted)), len(wanted))
    }
    found = [subject for place in sorted(made) for subject in made[place]]
    if settings.scenario != "server":
        found += harness(with_empty=settings.scenario != "offline")
    return found


def _sizes(settings: Settings, model: Model) -> list[int]:
    """Rows a query; for offline, each batch."""
    most = min(USUAL_ROWS[settings.scenario], model.most_rows) if settings.batch is None else settings.batch
    smaller = [size for size in (2**power for power in range(31)) if size < most]
    return [*smaller, most] if settings.scenario == "offline" else [most]


def _pairs(model: Model, first: Model, against: Sequence[str]) -> list[tuple[str, str]]:
    """What is put beside what: a model over its bare runs and over the first model; the whole guard over its lacks."""
    return [
        *((model.name, bare_name(model, kind)) for kind in against),
        *([] if model is first else [(model.name, first.name)]),
        *((model.name, without_name(model, safeguard)) for safeguard in model.without),
    ]


def _asked(models: list[Model]) -> dict[str, tuple[int, int]]:
    """Rows that each model's whole guard rejected so far, of how many; without a safeguard it rejects no more."""
    counts = {model.name: model.session.snapshot().rows_by_verdict for model in models}
    return {name: (int(rows[Verdict.REJECT]), int(sum(rows))) for name, rows in counts.items()}


def _names(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Each path's last part, or the whole path where that is not enough, numbered where nothing is."""
    lasts = [path.name for path in set(paths)]
    found: list[tuple[Path, str]] = []
    for path in paths:
        name = path.name if lasts.count(path.name) == 1 else str(path)
        times = sum(earlier == path for earlier, _ in found)
        found.append((path, f"{name} ({times + 1})" if times else name))
    return found


def _file_facts(model: Model, threads: int) -> dict[str, Any]:
    """Sizes, digests and what runs it; a bundle's digest is that of its manifest, which has those of all files."""
    if model.bundle is None:
        content = model.path.read_bytes()
        return {
            "path": str(model.path),
            "runtime": model.session.runtime,
            "threads": threads,
            "bytes": len(content),
            "model_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    primary = next(
        file for file in model.bundle.manifest.of_role("primary") if file.format == FORMATS[model.session.runtime]
    )
    return {
        "path": str(model.path),
        "runtime": model.session.runtime,
        "threads": threads,
        "bytes": sum(map(len, model.bundle.files.values())),
        "model_bytes": primary.size,
        "quantization": primary.quantization,
        "sha256": hashlib.sha256(model.bundle.files["manifest.json"]).hexdigest(),
    }
