"""``edge-rai convert``: a trained model and reference data in, a bundle out."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge_rai_converters.compare import Candidate
    from edge_rai_converters.distance import DistanceReport
    from edge_rai_converters.pipeline import ConversionReport

DATA_HELP = (
    "reference rows: .npz with one array a model input (and optionally 'feature_names'), or .npy for a single input"
)
_FORMS = {"none": "float", "static_int8_qdq": "int8"}


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser("convert", help="make a bundle from a trained ONNX model and reference data")
    parser.add_argument("model", metavar="MODEL", help="an .onnx file; it is only read")
    parser.add_argument("--data", required=True, metavar="FILE", help=DATA_HELP)
    parser.add_argument("--labels", metavar="KEY_OR_FILE", help="class of each row: a key of the .npz, or a .npy file")
    parser.add_argument("--policy", metavar="TOML", help="rules to use instead of learned ones (see edge-rai profile)")
    add_wishes(parser)
    parser.add_argument(
        "--fallback-model",
        metavar="SIMPLE.onnx",
        help="a simpler model of the same inputs and outputs that answers rejected rows",
    )
    parser.add_argument(
        "--quantize",
        choices=("auto", "int8", "none"),
        default="auto",
        help="auto: int8 when it is smaller and as good; int8: insist; none: keep float (default: auto)",
    )
    parser.add_argument(
        "--max-drop", type=float, default=1.0, metavar="POINTS", help="accuracy int8 may lose (default: 1.0)"
    )
    parser.add_argument("--name", help="name of the bundle (default: that of the output)")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.erai", help="a file NAME.erai, or a directory")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """The options that profile and convert share."""
    parser.add_argument(
        "--distance",
        choices=("auto", "full", "low_rank", "diagonal", "none"),
        help="Mahalanobis distance to the reference; auto: full up to 64 columns of floats, else low_rank (default)",
    )
    parser.add_argument(
        "--false-rejection-rate",
        type=float,
        metavar="R",
        help="share of good rows that the distance may reject (default: 0.01)",
    )
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="INPUT=OUTPUT",
        help="a recurrent state that the session carries; may be given again",
    )


def run(args: argparse.Namespace) -> int:
    """Converts and prints the report."""
    from edge_rai_converters.pipeline import convert

    report = convert(
        args.model,
        args.data,
        args.output,
        labels=args.labels,
        policy=args.policy,
        states=args.state,
        distance=args.distance,
        false_rejection_rate=args.false_rejection_rate,
        fallback_model=args.fallback_model,
        mode=args.quantize,
        max_drop=args.max_drop,
        name=args.name,
        progress=lambda step: print(f"convert: {step}", file=sys.stderr),
    )
    if args.json:
        print(json.dumps(_document(report), sort_keys=True, indent=1, allow_nan=False))
    else:
        _print_report(report)
    return 0


def _document(report: ConversionReport) -> dict[str, Any]:
    candidates = [candidate.as_json() for candidate in report.candidates]
    fallback = report.fallback.as_json() if report.fallback else None
    return {**asdict(report), "output": str(report.output), "candidates": candidates, "fallback": fallback}


def _print_report(report: ConversionReport) -> None:
    decides = report.candidates[0].agreement is not None
    same = "agreement" if decides else "within 5 %"
    print(f"{'model':8}{'bytes':>12}{'accuracy':>12}{same:>12}{'max diff':>12}  latency p50 (p10 to p90)")
    for entry in report.candidates:
        agreement = entry.share_within if entry.agreement is None else entry.agreement
        taken = report.latency[entry.quantization]
        spread = f"{taken.p50_ns / 1000:.1f} us ({taken.p10_ns / 1000:.1f} to {taken.p90_ns / 1000:.1f})"
        print(
            f"{_FORMS[entry.quantization]:8}{entry.size:>12,}{_percent(entry.accuracy):>12}{_percent(agreement):>12}"
            f"{entry.largest_difference:>12.3g}  {spread}"
        )
    print(f"chosen: {_FORMS[report.choice.quantization]}. {report.choice.reason}.")
    if report.choice.quantization != "none":
        _print_if_slower(report)
    if report.fallback:
        print(f"fallback: {_agreement(report.fallback)}")
    if report.unrecorded:
        print(f"left out: {', '.join(report.unrecorded)} (no tensors of numbers: not compared, no golden vectors)")
    print_distances(report.distances, report.without_distance)
    verdicts = report.false_rejections
    share = 100 * verdicts.rejected / verdicts.rows
    flagged = f", flags {verdicts.flagged}" if verdicts.flagged else ""
    print(f"guard:  rejects {verdicts.rejected} of {verdicts.rows} held-back rows ({share:.1f} %){flagged}")
    if verdicts.left_out:
        print(f"        left out, as they need order or time: {', '.join(verdicts.left_out)}")
    promised = [entry.false_rejection_rate for entry in report.distances if not entry.yours]
    if share > 1 + 100 * max(promised, default=0):
        print("        more than expected: write the rules with 'edge-rai profile', widen them, and pass --policy")
    batch = "rows are judged one by one" if report.batched else "a call is one row"
    print(f"wrote:  {report.output} ({report.features} features, {report.calibration_rows} calibration rows; {batch})")


def _print_if_slower(report: ConversionReport) -> None:
    original, chosen = report.latency["none"], report.latency[report.choice.quantization]
    if chosen.p50_ns > original.p50_ns:
        ratio = chosen.p50_ns / original.p50_ns
        print(f"        int8 took {ratio:.2f} times as long as float on this machine; --quantize none keeps float")


def print_distances(reports: Sequence[DistanceReport], without: Mapping[str, str]) -> None:
    """One line an input, what is behind its distance; and one a reason, which inputs have none for it."""
    for entry in reports:
        rate, share = 100 * entry.false_rejection_rate, 100 * entry.above / entry.held_back
        origin = f"for a false rejection rate of {rate:.3g} %, from {entry.rows} rows"
        print(
            f"distance: {entry.input}, {entry.kind}: squared at most {entry.threshold:.5g}, "
            f"{'your threshold' if entry.yours else origin}; {entry.above} of {entry.held_back} held-back rows are "
            f"above ({share:.1f} %)"
        )
    for why in dict.fromkeys(without.values()):
        print(f"distance: none of {', '.join(name for name in without if without[name] == why)}: {why}")


def _agreement(fallback: Candidate) -> str:
    size, same = f"{fallback.size:,} bytes", fallback.agreement
    if same is not None:
        return f"{size}; of held-back rows {_percent(same)} in the same class, accuracy {_percent(fallback.accuracy)}"
    within = _percent(fallback.share_within)
    return f"{size}; of held-back values {within} within 5 %, at most {fallback.largest_difference:.3g} off"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
