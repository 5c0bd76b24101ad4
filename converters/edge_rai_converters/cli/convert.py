"""``edge-rai convert``: a trained model and reference data in, a bundle out."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from edge_rai_converters.cli.options import MODEL_HELP, add_data, add_wishes, wishes_of

if TYPE_CHECKING:
    from edge_rai_converters.conversion import ConversionReport
    from edge_rai_converters.recipes import Prune

_PRUNE_HELP = (
    "auto: try fewer channels, keep them where that pays; RATIO: remove this share of the channels, 0 to 1, "
    "in eights and down to 8 of each layer; none "
    "(default: auto). Whole channels go: single zeros and 2:4 patterns make no model faster or smaller on the CPU "
    "runtimes of a device, so they are not offered"
)
_QUANTIZE_HELP = (
    "auto: try int8 and keep it where it pays; int8: static; int8-dynamic: for models of MatMul and Gemm, in TFLite of "
    "convolutions too; fp16; int4: weights of 4 bits, ONNX only; int16: activations of 16 bits, TFLite only, many "
    "times slower than float on most CPUs; none (default: auto)"
)


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Registers the command."""
    parser = subparsers.add_parser("convert", help="make a bundle from a trained model and reference data")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    _add_target(parser)
    add_data(parser)
    parser.add_argument("--policy", metavar="TOML", help="rules to use instead of learned ones (see edge-rai profile)")
    add_wishes(parser)
    parser.add_argument(
        "--fallback-model",
        metavar="SIMPLE.onnx",
        help="a simpler model of the same inputs and outputs that answers rejected rows",
    )
    _add_compression(parser)
    parser.add_argument(
        "--risk",
        metavar="risk.toml",
        help="what the model is for, what it can do to people, what may change; makes documents mandatory",
    )
    parser.add_argument("--datasheet", metavar="datasheet.toml", help="where the data come from; makes datasheet.md")
    parser.add_argument("--name", help="name of the bundle (default: that of the output)")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.erai", help="a file NAME.erai, or a directory")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.set_defaults(run=run)


def _add_target(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--target",
        choices=("onnx", "tflite", "onnx,tflite"),
        default="onnx",
        metavar="onnx|tflite|onnx,tflite",
        help="formats that the bundle has the model in, each chosen from candidates of its own (default: onnx)",
    )
    parser.add_argument(
        "--layout",
        choices=("keep", "nhwc"),
        default="keep",
        help="nhwc: the bundle takes images with their channels last, which TFLite computes with; the data are as the "
        "given model takes them (default: keep)",
    )
    parser.add_argument(
        "--edges",
        choices=("float", "int8"),
        default="float",
        help="type of the inputs and outputs of a TFLite model; int8 takes --quantize int8 too, and features that are "
        "scaled to one range before the model, as all share one scale and zero point (default: float)",
    )


def _add_compression(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--prune", type=_prune, default="auto", metavar="auto|RATIO|none", help=_PRUNE_HELP)
    parser.add_argument(
        "--quantize",
        choices=("auto", "int8", "int8-dynamic", "fp16", "int4", "int16", "none"),
        default="auto",
        help=_QUANTIZE_HELP,
    )
    parser.add_argument(
        "--max-drop",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="accuracy that may be lost; without labels, agreement, where one point more is allowed (default: 1.0)",
    )
    parser.add_argument(
        "--gate", metavar="gate.toml", help="only what passes this policy of the release gate may be chosen"
    )
    parser.add_argument("--groups", metavar="PATH", help="the columns that it names (default: the data)")
    parser.add_argument("--budget-ms", type=float, metavar="MS", help="median latency of one row, here, on one thread")
    parser.add_argument("--budget-bytes", type=int, metavar="BYTES", help="size of the model file")
    parser.add_argument("--target-cpu", choices=("x86", "arm"), default="x86", help="of the device (default: x86)")
    parser.add_argument(
        "--recipe",
        action="append",
        default=[],
        metavar="TOML",
        help="a recipe of your own, tried too; may be given again",
    )
    parser.add_argument("--seed", type=int, default=0, help="of whatever draws (default: 0)")
    parser.add_argument(
        "--reproducible",
        action="store_true",
        help="measure no times and no memory: the same bundle, to the bit, whenever it is made",
    )


def _prune(text: str) -> Prune:
    if text == "auto":
        return "auto"
    if text == "none":
        return "none"
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected auto, none or a number between 0 and 1, got {text!r}") from None


def run(args: argparse.Namespace) -> int:
    """Converts and prints the report; exits 1 when interrupted."""
    from edge_rai_converters.cli.report import print_report

    try:
        report = _converted(args)
    except KeyboardInterrupt:
        print("edge-rai: interrupted; nothing was written: start it again for a bundle", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(report.as_json(), sort_keys=True, indent=1, allow_nan=False))
    else:
        print_report(report)
    return 0


def _converted(args: argparse.Namespace) -> ConversionReport:
    from edge_rai_converters.cli.report import Stages
    from edge_rai_converters.pipeline import convert

    with Stages("convert") as stages:
        return convert(
            args.model,
            args.data,
            args.output,
            policy=args.policy,
            **wishes_of(args),
            false_rejection_rate=args.false_rejection_rate,
            fallback_model=args.fallback_model,
            prune=args.prune,
            quantize=args.quantize,
            max_drop=args.max_drop,
            gate=args.gate,
            groups=args.groups,
            risk=args.risk,
            datasheet=args.datasheet,
            budget_ms=args.budget_ms,
            budget_bytes=args.budget_bytes,
            target=args.target,
            layout=args.layout,
            edges=args.edges,
            target_cpu=args.target_cpu,
            recipes=args.recipe,
            seed=args.seed,
            reproducible=args.reproducible,
            name=args.name,
            progress=stages,
        )
