"""From what a scenario recorded to what is reported of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from edge_rai.bench.closed_loop import Run
from edge_rai.bench.histogram import encode
from edge_rai.bench.percentiles import PERCENTS, independent_queries, percentile
from edge_rai.bench.ratios import FEWEST_ROUNDS, ratio_of, throughput_of
from edge_rai.bench.result import BlockMedians, Ratio, ScenarioResult, SeriesSummary, ServerRate, Throughput
from edge_rai.bench.series import YARDSTICK, Blocks, Series, blocks_of
from edge_rai.bench.throttling import find_throttling

_NO_BLOCKS = Blocks(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))


def summarize(
    scenario: str,
    run: Run,
    *,
    duration_s: float,
    seed: int,
    against: Iterable[tuple[str, str]] = (),
    server: Sequence[ServerRate] = (),
) -> ScenarioResult:
    """Everything reported of a scenario; also of a part of one, as `watch` sees it.

    Args:
        scenario: One of result.SCENARIOS.
        run: What it recorded. Series without a call are left out.
        duration_s: As asked for.
        seed: As given.
        against: Pairs of names: the ratio of the first over the second, of one number of rows.
        server: Rates found, of `server`.
    """
    series = [entry for entry in run.series if len(entry.block)]
    yardstick = next((entry for entry in series if entry.subject == YARDSTICK), None)
    return ScenarioResult(
        scenario,
        duration_s,
        seed,
        run.warm_up,
        list(run.processes),
        [_summary(entry, yardstick, run.processes, timed=scenario != "server") for entry in series],
        _ratios(series, against, run.processes),
        _throughput(series, run.processes) if scenario == "offline" else [],
        list(server),
    )


def warnings_of(result: ScenarioResult) -> list[str]:
    """What whoever reads the numbers must know, one sentence each."""
    said = []
    if not result.warm_up.steady:
        said.append(
            f"{result.scenario}: not yet settled when warm-up had to end, after {result.warm_up.seconds:.1f} s; "
            "a longer run has a longer warm-up"
        )
    for series in result.series:
        step = series.throttling
        if step is not None:
            what = "the machine slowed down" if series.subject == YARDSTICK else f"{series.subject} slowed down"
            said.append(
                f"{result.scenario}: {what}: {step.ratio:.2f} times the latency from {step.at_s:.1f} s on (throttling?)"
            )
    return said + ([] if result.scenario == "offline" else _few_queries(result))


def _summary(series: Series, yardstick: Series | None, processes: Sequence[int], *, timed: bool) -> SeriesSummary:
    """One subject's latencies; timed: under one load, so that a change of speed in time means something."""
    latency = series.latency_ns
    ordered = np.sort(latency)
    independent = {percent: independent_queries(latency, percent) for percent in PERCENTS}
    blocks = blocks_of(series) if timed else _NO_BLOCKS
    return SeriesSummary(
        series.subject,
        series.rows,
        len(latency),
        float(latency.mean()),
        int(ordered[0]),
        int(ordered[-1]),
        independent[50.0],
        [percentile(ordered, percent, independent[percent]) for percent in PERCENTS],
        encode(latency),
        BlockMedians(blocks.block.tolist(), (blocks.began_ns / 1e9).tolist(), blocks.median_ns.tolist()),
        find_throttling(series, yardstick, processes) if timed else None,
    )


def _few_queries(result: ScenarioResult) -> list[str]:
    said = []
    for series in result.series:
        few = [f"p{entry.percent:g} ({entry.queries_needed:,})" for entry in series.percentiles if not entry.claimed]
        if few and series.subject != YARDSTICK:
            answered = f"{result.scenario}: {series.subject} answered {series.queries:,} queries"
            said.append(f"{answered}, fewer than LoadGen's rule asks for {', '.join(few)}")
    return said


def _ratios(series: Sequence[Series], against: Iterable[tuple[str, str]], processes: Sequence[int]) -> list[Ratio]:
    found = []
    for above, below in against:
        for ours in series:
            for theirs in series:
                if (ours.subject, theirs.subject, ours.rows) == (above, below, theirs.rows):
                    ratio = ratio_of(ours, theirs, processes)
                    found += [] if ratio is None else [ratio]
    return found


def _throughput(series: Sequence[Series], processes: Sequence[int]) -> list[Throughput]:
    by_subject: dict[str, list[Series]] = {}
    for entry in series:
        if entry.subject != YARDSTICK:
            by_subject.setdefault(entry.subject, []).append(entry)
    enough = [group for group in by_subject.values() if all(len(np.unique(s.block)) >= FEWEST_ROUNDS for s in group)]
    return [throughput for group in enough for throughput in throughput_of(group, processes)]
