"""What a run of the bench found, as dataclasses that become JSON and come back (docs/formats/bench.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VERSION = 1
SCENARIOS = ("single_stream", "multi_stream", "server", "offline")


@dataclass(frozen=True, slots=True)
class Percentile:
    """One percentile of latency with confidence intervals from order statistics.

    Attributes:
        percent: Which.
        ns: The estimate.
        low_95_ns: The interval at 95 %; None where there are too few queries for that end.
        high_95_ns: Its other end.
        low_99_ns: The interval at 99 %, likewise.
        high_99_ns: Its other end.
        queries_needed: What LoadGen's rule asks for before this percentile is claimed.
        claimed: There were that many.
    """

    percent: float
    ns: float
    low_95_ns: float | None
    high_95_ns: float | None
    low_99_ns: float | None
    high_99_ns: float | None
    queries_needed: int
    claimed: bool


@dataclass(frozen=True, slots=True)
class BlockMedians:
    """Median latency of each block, in time order: three lists of one length.

    Attributes:
        round: Number of the round; blocks of several series of one scenario with one number ran beside each other.
        began_s: Seconds from the beginning of the scenario.
        median_ns: Median latency.
    """

    round: list[int]
    began_s: list[float]
    median_ns: list[float]


@dataclass(frozen=True, slots=True)
class Step:
    """A lasting change of speed within a series.

    Attributes:
        at_s: When, seconds from the beginning of the scenario.
        ratio: Median latency after over before; 1.25 is a quarter slower.
    """

    at_s: float
    ratio: float


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """One subject in one scenario.

    Attributes:
        subject: Its name.
        rows: Rows a query.
        queries: How many counted.
        mean_ns: Mean latency.
        min_ns: Least latency.
        max_ns: Greatest latency.
        independent_queries: Of how many independent queries these tell as much, for the median: less than `queries`
            where neighbours resemble each other. Intervals are as wide as that asks for.
        percentiles: Rising.
        histogram: Of latencies in ns, HdrHistogram's V2 compressed form in base64, three significant digits.
        blocks: The series over time. Empty in `server`.
        throttling: The subject slowed down for good; None: it did not.
    """

    subject: str
    rows: int
    queries: int
    mean_ns: float
    min_ns: int
    max_ns: int
    independent_queries: int
    percentiles: list[Percentile]
    histogram: str
    blocks: BlockMedians
    throttling: Step | None = None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """What ran before the first query that counts.

    Attributes:
        seconds: How long.
        rounds: How many blocks of each subject.
        steady: False: the time allowed was over before the series had settled.
    """

    seconds: float
    rounds: int
    steady: bool


@dataclass(frozen=True, slots=True)
class Ratio:
    """One subject beside another of the same scenario: medians of what the rounds, or the processes, say.

    Attributes:
        subject: Over...
        against: ...this one.
        rounds: How many both ran in.
        ratio: Of latencies; above 1: subject is slower.
        low_95: Its interval at 95 %.
        high_95: Its other end.
        low_99: Its interval at 99 %.
        high_99: Its other end.
        difference_ns: Of latencies, subject minus against.
        difference_low_95_ns: Its interval at 95 %.
        difference_high_95_ns: Its other end.
        verdict: Of subject, from the interval at 99 %: "faster", "slower" or "cannot tell".
    """

    subject: str
    against: str
    rounds: int
    ratio: float
    low_95: float
    high_95: float
    low_99: float
    high_99: float
    difference_ns: float
    difference_low_95_ns: float
    difference_high_95_ns: float
    verdict: str


@dataclass(frozen=True, slots=True)
class Throughput:
    """Rows answered in a second with nothing between calls.

    Attributes:
        subject: Its name.
        batch: Rows a call.
        rows_per_s: All rows over all the time in calls.
        low_95: Its interval at 95 %.
        high_95: Its other end.
        best: This is the subject's best batch: the smallest that no other one beats beyond doubt.
    """

    subject: str
    batch: int
    rows_per_s: float
    low_95: float
    high_95: float
    best: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """One rate tried in `server`.

    Attributes:
        rate_per_s: Mean rate of the Poisson arrivals.
        queries: Answered before the trial ended.
        ns: The percentile in question of their latencies.
        kept: It stayed within the bound.
    """

    rate_per_s: float
    queries: int
    ns: float
    kept: bool


@dataclass(frozen=True, slots=True)
class ServerRate:
    """The highest rate of Poisson arrivals at which a percentile of latency stays within a bound.

    Attributes:
        subject: Its name.
        servers: Threads that take from the one queue.
        percent: Which percentile.
        bound_ns: The bound.
        rate_per_s: The highest rate that kept it in the confirming trial; 0: none did.
        exceeded_per_s: The lowest rate tried above that did not keep it; None: none failed.
        trials: In the order in which they ran; the last that kept the bound at rate_per_s is the series summarized.
    """

    subject: str
    servers: int
    percent: float
    bound_ns: int
    rate_per_s: float
    exceeded_per_s: float | None
    trials: list[Trial]


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """One scenario.

    Attributes:
        scenario: One of SCENARIOS.
        duration_s: Asked for, warm-up apart.
        seed: Of the order of blocks and of the arrivals.
        warm_up: Before it; of several processes: all of it together.
        processes: The first round of each process that measured a part, rising from 0.
        series: One a subject; in `offline` one a subject and batch; in `server` none of a subject without a rate.
        ratios: Of each pair asked for.
        throughput: `offline` alone.
        server: `server` alone.
    """

    scenario: str
    duration_s: float
    seed: int
    warm_up: WarmUp
    processes: list[int]
    series: list[SeriesSummary]
    ratios: list[Ratio] = field(default_factory=list)
    throughput: list[Throughput] = field(default_factory=list)
    server: list[ServerRate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SubjectFacts:
    """What is known of a subject beside its latency.

    Attributes:
        name: As in the series.
        facts: By name, JSON values: bytes, digest, accuracy, load time, memory and so on (docs/formats/bench.md).
    """

    name: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Machine:
    """What was seen of the machine: JSON values by name (docs/formats/bench.md).

    Attributes:
        fixed: What does not change during a run: processor, versions, flags.
        before: Before the run: frequency, temperature, governor, load.
        during: The same from time to time, each with "at_s".
        after: After it.
    """

    fixed: dict[str, Any]
    before: dict[str, Any]
    during: list[dict[str, Any]]
    after: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """A run.

    Attributes:
        command: The command line, one string an argument.
        made_unix_ns: When it began.
        program: What measured, and after the last blank its version: "edge-rai bench 0.1.0", "erai-bench 0.1.0".
        machine: What it ran on.
        subjects: Facts of each.
        scenarios: In the order in which they ran.
        warnings: One sentence each: throttling, other load, too few queries.
        complete: False: the run was cut short, and this is what there was until then.
        version: Of the format.
    """

    command: list[str]
    made_unix_ns: int
    program: str
    machine: Machine
    subjects: list[SubjectFacts]
    scenarios: list[ScenarioResult]
    warnings: list[str] = field(default_factory=list)
    complete: bool = True
    version: int = VERSION
