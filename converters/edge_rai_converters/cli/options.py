"""Options that several commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_rai_converters.data import ImageOptions

MODEL_HELP = (
    "an .onnx file, a .keras file, a .json or .ubj file of XGBoost or a .txt file of LightGBM; it is only read (models "
    "in memory are converted from Python)"
)
_DATA_HELP = (
    "reference rows: .npz with one array a model input (and optionally 'feature_names'), .npy for a single input, a "
    ".csv or .parquet table, or a folder of images (one sub-folder a class)"
)
_LABELS_HELP = (
    "class of each row: a key of the .npz, a column of the table, or a .npy file; 'none' to ignore the sub-folders"
)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Where the rows come from and how the model sees them."""
    parser.add_argument("--data", required=True, metavar="PATH", help=_DATA_HELP)
    parser.add_argument("--labels", metavar="KEY_OR_FILE", help=_LABELS_HELP)
    parser.add_argument(
        "--columns", type=_names, metavar="A,B,...", help="columns of a table that a single input takes, in its order"
    )
    parser.add_argument(
        "--image-scale",
        choices=("0..1", "-1..1", "0..255"),
        help="what 0 to 255 become (default: 0..1 for inputs of floats)",
    )
    parser.add_argument(
        "--image-mean", type=_numbers, default=(), metavar="R,G,B", help="subtracted after that, a channel each"
    )
    parser.add_argument(
        "--image-std", type=_numbers, default=(), metavar="R,G,B", help="divided by after that, a channel each"
    )
    parser.add_argument(
        "--image-size", type=_size, metavar="HxW", help="height and width, of a model that leaves them free"
    )


def images(args: argparse.Namespace) -> ImageOptions | None:
    """What was said of images; None when nothing was."""
    given = (args.image_scale, args.image_mean, args.image_std, args.image_size)
    if not any(given):
        return None
    from edge_rai_converters.data import ImageOptions

    return ImageOptions(*given)


def add_wishes(parser: argparse.ArgumentParser) -> None:
    """What the guard is to hold rows to."""
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

    parser.add_argument(
        "--average-run-length",
        type=float,
        metavar="ROWS",
        help="watch for drift, with a false alarm once in so many rows at most, on average; takes --ordered",
    )
    parser.add_argument(
        "--ordered",
        action="store_true",
        help="rows of the data are in the order in which they came, so that it shows how far they depend on each other",
    )
    parser.add_argument(
        "--times",
        metavar="KEY_OR_FILE",
        help="when each row came, as seconds since 1970 or ISO 8601: a key of the .npz, a column of the table, or a "
        ".npy file; features that follow the hour of the day or week are then watched against what is usual at it",
    )


def wishes_of(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of ``convert`` that both commands have."""
    return {
        "labels": args.labels,
        "states": args.state,
        "distance": args.distance,
        "images": images(args),
        "columns": args.columns,
        "average_run_length": args.average_run_length,
        "ordered": args.ordered,
        "times": args.times,
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between them, got {text!r}") from None


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise argparse.ArgumentTypeError(f"expected height x width, for example 224x224, got {text!r}")
    return int(height), int(width)
