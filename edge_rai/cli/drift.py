"""``edge-rai drift``: what a watch finds in the rows of a file, and how soon it would find what is put in."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rai.cli.rows import HELP

if TYPE_CHECKING:
    from edge_rai import ManualClock
    from edge_rai.drift_report import DriftReport
    from edge_rai.session import Session
    from edge_rai.simulation import Moments, Simulation

_ROWS_A_CALL = 16


def add(commands: Any) -> None:
    """Registers the commands."""
    parser = commands.add_parser("drift", help="Look for drift in rows, or rehearse it.", description=__doc__)
    kinds = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    report = kinds.add_parser(
        "report",
        help="Show rows of a file to the watch.",
        description="What the watch makes of the rows of a file, in their order.",
    )
    _common(report)
    report.add_argument("--html", help="file for a page with each feature's reference and window; needs no network")
    report.set_defaults(run=run_report)
    simulate = kinds.add_parser(
        "simulate",
        help="Measure delays and false alarms.",
        description="Puts shifts into rows of a file; measures how soon each is found, and how often alarms are false.",
    )
    _common(simulate)
    simulate.add_argument("--runs", type=_positive, default=20, help="of each shift, and of none (default: 20)")
    simulate.add_argument("--rows", type=_positive, default=5000, help="after a shift, at most (default: 5000)")
    simulate.add_argument("--quiet-rows", type=_positive, default=20000, help="without a shift (default: 20000)")
    simulate.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    simulate.set_defaults(run=run_simulate)


def _common(parser: Any) -> None:
    parser.add_argument("bundle", help="a bundle whose policy has [drift]")
    parser.add_argument("--data", required=True, help=HELP)
    parser.add_argument(
        "--times",
        metavar="NAME",
        help="when each row came, for features that are held against the hour: an array or column of the data, or a "
        ".npy file, of seconds since 1970 or of ISO 8601",
    )
    parser.add_argument(
        "--threads", type=int, default=0, help="threads within an operator (default: the runtime's choice)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


# ---- simulate -------------------------------------------------------------------------------------------------------


def run_simulate(arguments: argparse.Namespace) -> int:
    """Exits 0 whatever is found."""
    from edge_rai.cli.bench_progress import Progress
    from edge_rai.cli.opening import opened
    from edge_rai.simulation import OUT_OF_PLACE, simulate
    from edge_rai.undisturbed import copy_without

    clock = _clock(arguments)
    with (
        copy_without(arguments.bundle, OUT_OF_PLACE) as path,
        opened(path, threads=arguments.threads, clock=clock) as session,
        Progress(sys.stderr) as told,
    ):
        rows, moments = _read(arguments, session, clock)
        found = simulate(
            session,
            rows,
            moments=moments,
            runs=arguments.runs,
            most_rows=arguments.rows,
            quiet_rows=arguments.quiet_rows,
            seed=arguments.seed,
            told=told,
        )
    if arguments.json:
        delays = [delay._asdict() for delay in found.delays]
        print(json.dumps({**found._asdict(), "delays": delays}, allow_nan=False))
    else:
        _print_simulation(found, arguments.data)
    return 0


def _clock(arguments: argparse.Namespace) -> ManualClock | None:
    from edge_rai import ManualClock

    return None if arguments.times is None else ManualClock()


def _read(
    arguments: argparse.Namespace, session: Session, clock: ManualClock | None
) -> tuple[dict[str, Any], Moments | None]:
    """The rows, and when they came.

    Raises:
        ValueError: Rows of another shape than the model's; or it is not said when they came, and something is held
            against that.
    """
    from edge_rai.cli.rows import read_rows, read_times
    from edge_rai.simulation import Moments

    path = Path(arguments.data)
    rows = read_rows(path, session, arguments.times)
    _check_shapes(path, rows, session)
    if clock is not None:
        count = len(next(iter(rows.values()))) if session.batched else 1
        return rows, Moments(clock, read_times(path, arguments.times, count))
    if session.seasonal:
        raise ValueError(
            f"{arguments.bundle}: feature {next(iter(session.seasonal))!r} is held against the hour; say when each row "
            "came, with --times"
        )
    return rows, None


def _check_shapes(path: Path, rows: dict[str, Any], session: Session) -> None:
    """A guard rejects them one by one; a file of them alone is another model's."""
    for spec in session.inputs:
        came, taken = rows[spec.name].shape, spec.shape
        first = 1 if session.batched else 0
        fits = all(extent in (None, size) for extent, size in zip(taken[first:], came[first:], strict=False))
        if len(came) != len(taken) or not fits:
            wanted = ", ".join("any" if extent is None else str(extent) for extent in taken)
            raise ValueError(
                f"{path}: '{spec.name}' has the shape ({', '.join(map(str, came))}); the model takes ({wanted})"
            )
    counts = {spec.name: len(rows[spec.name]) for spec in session.inputs if session.batched}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{count} in '{name}'" for name, count in counts.items())
        raise ValueError(f"{path}: numbers of rows differ, {said}; give one a row in each")


def _print_simulation(found: Simulation, data: str) -> None:
    bound = min(found.quiet_rows / found.average_run_length, 1.0)
    print(f"streams drawn from {found.rows} rows of {data}; average run length {found.average_run_length:g} rows")
    print(
        f"without a shift: {found.false_alarms} of {found.runs} streams of {found.quiet_rows} rows had an alarm "
        f"(the policy promises {bound:.1%} of them at most, on average)"
    )
    if found.quiet_rows > found.rows:
        print("in streams longer than the file its rows come again: an alarm may be of what they have by chance")
    print(f"\n{'shift of one feature':34}{'found':>10}{'median':>9}{'9 of 10':>9}  rejected anyway")
    for delay in found.delays:
        found_of = f"{delay.found} of {delay.runs - delay.early}"
        print(f"{delay.shift:34}{found_of:>10}{_rows(delay.median):>9}{_rows(delay.ninth):>9}{delay.rejected:>12.1%}")
    early = sum(delay.early for delay in found.delays)
    print(f"rows from the change to the alarm, {found.most_rows} at most; rejected: after it, by the guard's rules")
    if early:
        print(f"left out: {early} run{'s' * (early != 1)} with an alarm before the change")


def _rows(count: int | None) -> str:
    return "-" if count is None else str(count)


# ---- report ---------------------------------------------------------------------------------------------------------


def run_report(arguments: argparse.Namespace) -> int:
    """Exits 1 on an alarm."""
    from edge_rai.cli.opening import opened
    from edge_rai.policy.order import OF_CLOCK
    from edge_rai.undisturbed import copy_without

    clock = _clock(arguments)
    with (
        copy_without(arguments.bundle, OF_CLOCK if clock is None else ()) as path,
        opened(path, threads=arguments.threads, clock=clock) as session,
    ):
        count = _show(session, *_read(arguments, session, clock))
        report = session.drift()
        if arguments.html:
            title = f"Drift: {Path(arguments.bundle).name} and {Path(arguments.data).name}"
            Path(arguments.html).write_bytes(report.html(title))
    if arguments.json:
        print(json.dumps(_as_json(count, report), allow_nan=False))
    else:
        _print_report(count, report)
    return 1 if report.watch is not None and report.watch.alarm is not None else 0


def _show(session: Session, rows: dict[str, Any], moments: Moments | None) -> int:
    """How many calls of one row, or rows, there were. Rows of a call are taken to have come together."""
    count = len(next(iter(rows.values()))) if session.batched else 1
    together = _ROWS_A_CALL if moments is None else 1
    for first in range(0, count, together):
        if moments is not None:
            moments.come(first)
        some = slice(first, first + together)
        session.predict({name: values[some] for name, values in rows.items()} if session.batched else rows)
    return count


def _as_json(count: int, report: DriftReport) -> dict[str, Any]:
    watch, watched = report.watch, None
    if watch is not None:
        features = [{**one._asdict(), "direction": one.direction.name.lower()} for one in watch.features]
        alarm = None if watch.alarm is None else watch.alarm._asdict()
        watched = {**watch._asdict(), "alarm": alarm, "features": features}
    return {"rows": count, "watch": watched, "psi": [drift._asdict() for drift in report]}


def _print_report(count: int, report: DriftReport) -> None:
    print(f"{count} row{'s' * (count != 1)}")
    print(report)
    evidence = {} if report.watch is None else {one.name: one for one in report.watch.features}
    print(f"\n{'feature':34}{'PSI':>9}{'unchanged':>11}{'values':>9}{'evidence':>11}")
    for drift in report.most_changed_first():
        of = evidence.get(drift.name)
        said = "" if of is None else f"{of.evidence:11.3g}"
        print(f"{drift.name:34}{drift.psi:9.4f}{drift.expected:11.4f}{drift.values:9}{said}")
    print("unchanged: what PSI would be on average if nothing had changed; it describes, and never raises an alarm")
