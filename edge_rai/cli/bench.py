"""What models cost on this machine beside each other, and what each safeguard adds.

`edge-rai bench compare A.json B.json` compares two saved results; it exits 1 when anything got slower than allowed.
`edge-rai bench page A.json` makes a page of a saved result.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rai.bench.result import Result
    from edge_rai.bench.run import Settings
    from edge_rai.cli.bench_stop import Stop

_AGAINST = ("bare-python", "bare-c", "litert")
_SCENARIOS = ("single_stream", "multi_stream", "server", "offline")
_COMPARE, _PAGE = "compare", "page"
# Of options that are not given. They are none of the parser's, so that those given to the wrong command are seen.
_USUAL: dict[str, Any] = {
    "scenario": _SCENARIOS[0],
    "duration": 20.0,
    "threads": 1,
    "batch": None,
    "against": _AGAINST[0],
    "safeguards": None,
    "data": None,
    "labels": None,
    "runtime": None,
    "percentile": None,
    "bound_ms": None,
    "cold_start": 5,
    "processes": None,
    "seed": 0,
    "save": None,
    "html": None,
    "allow": 0.0,
    "json": False,
}
_TAKES = {_COMPARE: ("allow", "json"), _PAGE: ("html",)}


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser(
        "bench",
        help="Measure guarded predict against the bare runtime.",
        description=__doc__,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("models", metavar="MODEL_OR_BUNDLE", nargs="+", help="bundles, .onnx or .tflite models")
    _add_what(parser)
    _add_how(parser)
    parser.set_defaults(run=run)


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scenario", choices=_SCENARIOS, help="(default: single_stream)")
    parser.add_argument("--duration", type=float, metavar="S", help="of all together (default: 20)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads within an operator (default: 1)")
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="rows a query (default: 1, of multi_stream 8); of offline the greatest batch (default: 64)",
    )
    parser.add_argument(
        "--against",
        metavar="NAMES",
        help="runtimes without the guard, with commas between them: bare-python (the one that the model has), bare-c "
        "(ONNX Runtime's C API, by the program erai-bench), litert (the bundle's .tflite model); or none (default: "
        "bare-python)",
    )
    parser.add_argument("--safeguards", choices=("each",), help="each: switch off each safeguard in turn")
    parser.add_argument("--data", metavar="FILE", help="rows (.csv, .npz or .npy; default: the bundles' golden inputs)")
    parser.add_argument("--labels", metavar="KEY", help="the array or column of --data with what answers should be")
    parser.add_argument("--runtime", help="onnxruntime or litert, for a bundle with models for both")


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--percentile", type=float, metavar="P", help="refuse a duration too short for this percentile")
    parser.add_argument("--bound-ms", type=float, metavar="MS", help="server: the bound of that percentile, or of p99")
    parser.add_argument("--cold-start", type=int, metavar="N", help="fresh processes of each (default: 5)")
    parser.add_argument(
        "--processes",
        type=int,
        metavar="N",
        help="fresh processes that share the duration, so that where one's memory happens to lie does not count "
        "(default: 12; server: 1)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of the order of calls (default: 0)")
    parser.add_argument("--save", metavar="FILE.json", help="the result, and beside it the samples as .npz")
    parser.add_argument(
        "--html",
        metavar="FILE.html",
        help="the result as a page that needs nothing but itself (of `page`, default: beside the result)",
    )
    parser.add_argument("--allow", type=float, metavar="PCT", help="compare: how much slower is no regression")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout")


def run(arguments: argparse.Namespace) -> int:
    """Measures, compares, or makes a page."""
    if isinstance(sys.stdout, TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    _complete(arguments)
    if arguments.models[0] == _COMPARE:
        return _compare(arguments)
    if arguments.models[0] == _PAGE:
        return _page(arguments)
    from edge_rai.bench.run import NotSavedError
    from edge_rai.bench.saving import to_json
    from edge_rai.cli.bench_stop import Stop
    from edge_rai.cli.bench_text import lines_of_result

    settings, not_saved = _settings(arguments), None
    with Stop() as stop:
        try:
            result = _measured(settings, stop)
        except NotSavedError as error:
            if not error.result.scenarios:
                raise
            result, not_saved = error.result, error
        except KeyboardInterrupt:
            print("edge-rai: interrupted; nothing was measured yet", file=sys.stderr)
            return stop.code
    for line in [to_json(result)] if arguments.json else lines_of_result(result):
        print(line)
    if arguments.html:
        _write(Path(arguments.html), result)
    if not_saved:
        raise not_saved
    if result.complete:
        return 0
    kept = " and ".join(filter(None, (arguments.save, arguments.html)))
    print(f"edge-rai: interrupted; what there was until then is above{kept and f', and in {kept}'}", file=sys.stderr)
    return stop.code


def _measured(settings: Settings, stop: Stop) -> Result:
    """What was measured until a stop, where one came."""
    from edge_rai.bench.run import measure
    from edge_rai.cli.bench_progress import Progress

    with Progress(sys.stderr) as progress:

        def tell(stage: str, share: float, /) -> None:
            stop.check()
            progress(stage, share)

        try:
            return measure(settings, tell)
        except Exception as error:
            if stop.number is None or isinstance(error, OSError):
                raise
            raise KeyboardInterrupt from error


def _complete(arguments: argparse.Namespace) -> None:
    """Sets the options that were not given.

    Raises:
        ValueError: One was given that belongs to another command.
    """
    command = arguments.models[0]
    takes = _TAKES.get(command, tuple(name for name in _USUAL if name != "allow"))
    for name, usual in _USUAL.items():
        if name not in takes and hasattr(arguments, name):
            option = f"--{name.replace('_', '-')}"
            if command in _TAKES:
                options = " and ".join(f"--{one}" for one in takes)
                raise ValueError(f"{command} takes no {option}, only {options}; leave {option} out")
            raise ValueError(f"{option} is of compare: give `compare` and two saved results, or leave {option} out")
        setattr(arguments, name, getattr(arguments, name, usual))


def _settings(arguments: argparse.Namespace) -> Settings:
    from edge_rai.bench.run import Settings
    from edge_rai.cli.rows import read_column, read_rows

    _check(arguments)
    data = Path(arguments.data) if arguments.data else None
    return Settings(
        command=["edge-rai", *sys.argv[1:]],
        paths=[Path(path) for path in arguments.models],
        scenario=arguments.scenario,
        duration_s=arguments.duration,
        threads=arguments.threads,
        batch=arguments.batch,
        against=_against(arguments.against),
        each=arguments.safeguards == "each",
        rows=partial(read_rows, data, labels=arguments.labels) if data else None,
        labels=read_column(data, arguments.labels, "labels") if data and arguments.labels else None,
        percentile=arguments.percentile,
        bound_ns=None if arguments.bound_ms is None else round(arguments.bound_ms * 1e6),
        runtime=arguments.runtime,
        cold_starts=arguments.cold_start,
        processes=_processes(arguments),
        seed=arguments.seed,
        save=Path(arguments.save) if arguments.save else None,
    )


def _check(arguments: argparse.Namespace) -> None:
    for name, least, most in (
        ("duration", 0.1, 86_400),
        ("threads", 0, 1024),
        ("batch", 1, 2**20),
        ("cold_start", 0, 1000),
        ("processes", 1, 1000),
    ):
        value = getattr(arguments, name)
        if value is not None and not least <= value <= most:
            raise ValueError(f"--{name.replace('_', '-')} is {value:g}; expected {least:g} to {most:,}")
    percentile, bound_ms, scenario = arguments.percentile, arguments.bound_ms, arguments.scenario
    if percentile is not None and not 0 < percentile < 100:
        raise ValueError(f"--percentile is {percentile:g}; expected more than 0 and less than 100")
    if percentile is not None and scenario == "offline":
        raise ValueError("--percentile: offline measures rows a second; expected another scenario")
    if bound_ms is not None and (scenario != "server" or not 0 < bound_ms <= 1e6):
        raise ValueError(f"--bound-ms is {bound_ms:g} for {scenario}; expected a time of server up to 1,000,000 ms")
    if scenario == "server" and "bare-c" in arguments.against:
        raise ValueError("--against bare-c: server asks one call at a time; use erai-bench --scenario server")
    if arguments.labels and not arguments.data:
        raise ValueError("--labels names an array or column of --data; give the file too")
    for option, suffix in (("save", ".json"), ("html", ".html")):
        _check_file(option, getattr(arguments, option), suffix)


def _check_file(option: str, given: str | None, suffix: str) -> None:
    """Before there is something to write, which may be hours later."""
    if given is None:
        return
    if not given.endswith(suffix):
        raise ValueError(f"--{option} is {given}; expected a name that ends in {suffix}")
    if not Path(given).absolute().parent.is_dir():
        raise FileNotFoundError(f"--{option} is {given}; there is no such directory")
    if Path(given).is_dir():
        raise IsADirectoryError(f"--{option} is {given}, which is a directory; expected a file")


def _against(given: str) -> list[str]:
    names = [] if given == "none" else given.split(",")
    for name in names:
        if name not in _AGAINST or names.count(name) > 1:
            raise ValueError(f"--against is {given!r}; expected none, or some of {', '.join(_AGAINST)}, each once")
    return names


def _processes(arguments: argparse.Namespace) -> int:
    from edge_rai.bench.processes import PROCESSES

    served, given = arguments.scenario == "server", arguments.processes
    if served and given not in (None, 1):
        raise ValueError(f"--processes is {given}; server runs in one")
    return given or (1 if served else PROCESSES)


def _page(arguments: argparse.Namespace) -> int:
    from edge_rai.bench.saving import load

    files = arguments.models[1:]
    if len(files) != 1:
        raise ValueError(f"page has {_files(files)}; expected one saved result")
    _check_file("html", arguments.html, ".html")
    path = Path(arguments.html or Path(files[0]).with_suffix(".html"))
    result = load(Path(files[0]))
    if not result.scenarios:
        raise ValueError(f"{files[0]}: nothing was measured before this run ended, so it has no page; run it again")
    _write(path, result)
    print(path)
    return 0


def _files(given: list[str]) -> str:
    return f"{len(given)} file{'' if len(given) == 1 else 's'}"


def _write(path: Path, result: Result) -> None:
    from edge_rai.bench.page.document import page
    from edge_rai.bench.saving import write

    write(path, page(result))


def _compare(arguments: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from edge_rai.bench.compare import compare
    from edge_rai.bench.saving import load
    from edge_rai.cli.bench_text import lines_of_comparison

    files = arguments.models[1:]
    if len(files) != 2:
        raise ValueError(f"compare has {_files(files)}; expected two saved results, the earlier one first")
    if not 0 <= arguments.allow <= 1000:
        raise ValueError(f"--allow is {arguments.allow:g}; expected 0 to 1000 percent")
    found = compare(load(Path(files[0])), load(Path(files[1])), allow=arguments.allow / 100)
    if arguments.json:
        print(json.dumps({**asdict(found), "regression": found.regression}, indent=1, allow_nan=False))
    else:
        for line in lines_of_comparison(found, arguments.allow):
            print(line)
    return 1 if found.regression else 0
