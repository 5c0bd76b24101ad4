"""``edge-rai run``: answers for the rows of a file."""

from __future__ import annotations

import argparse
import json
import math
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_rai.cli.rows import HELP

if TYPE_CHECKING:
    from edge_rai.types import Answer

# Of a row on the terminal: characters, and of a longer one so many values as none has room for.
_WIDTH = 100
_MOST_VALUES = 100


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("run", help="Answer the rows of a file, guarded.", description=__doc__)
    parser.add_argument("model", help="a bundle, or an .onnx or .tflite model with the default policy")
    parser.add_argument("--data", required=True, help=HELP)
    parser.add_argument("--spool", help="directory to write what was counted to, as one batch file")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads within an operator (default: the runtime's choice)"
    )
    parser.add_argument("--runtime", help="onnxruntime or litert, for a bundle with models for both")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Exits 1 when a row was rejected."""
    from edge_rai import Verdict
    from edge_rai.cli.opening import opened
    from edge_rai.cli.rows import read_rows

    with opened(
        arguments.model, runtime=arguments.runtime, spool=arguments.spool, threads=arguments.threads
    ) as session:
        answer = session.predict(read_rows(Path(arguments.data), session))
        batch = session.flush() if arguments.spool else None
    if arguments.json:
        print(json.dumps(_as_json(answer, batch), allow_nan=False))
    else:
        _print(answer, batch)
    return 1 if answer.verdict is Verdict.REJECT else 0


def _number(value: float) -> float | str:
    """JSON has no NaN or infinity."""
    return value if math.isfinite(value) else str(value)


def _nested(value: Any) -> Any:
    """What JSON can hold of an output, or of a part of one."""
    if isinstance(value, list):
        return [_nested(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _nested(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _nested(value.tolist())
    return _number(value) if isinstance(value, float) else value


def _as_json(answer: Answer, batch: str | None) -> dict[str, Any]:
    return {
        "verdict": answer.verdict.name.lower(),
        "source": answer.source.name.lower(),
        "row_verdicts": answer.row_verdicts.tolist(),
        "row_sources": answer.row_sources.tolist(),
        "outputs": {name: _nested(values) for name, values in answer.outputs.items()},
        "reasons": [
            {
                "code": reason.code.name.lower(),
                "subject": reason.subject,
                "value": _number(reason.value),
                "limit": _number(reason.limit),
                "row": reason.row,
                "element": reason.element,
            }
            for reason in answer.reasons
        ],
        "batch": batch,
    }


def _print(answer: Answer, batch: str | None) -> None:
    from edge_rai import Source, Verdict

    verdicts, sources = answer.row_verdicts.tolist(), answer.row_sources.tolist()
    judged = ", ".join(f"{verdicts.count(verdict)} {verdict.name.lower()}" for verdict in Verdict)
    answered = [(sources.count(source), source.name.lower()) for source in Source]
    print(f"{len(verdicts)} row{'s' * (len(verdicts) != 1)}: {judged}")
    print(f"answered by: {', '.join(f'{name} {count}' for count, name in answered if count) or 'nobody'}")
    for name, values in answer.outputs.items():
        _print_output(name, values)
    for reason in answer.reasons[:20]:
        print(f"  {reason}")
    if len(answer.reasons) > 20:
        print(f"  … and {len(answer.reasons) - 20} more")
    if batch:
        print(f"counted in {batch}")


def _print_output(name: str, values: Any) -> None:
    has_rows = isinstance(values, list)
    if hasattr(values, "dtype"):
        has_rows = values.ndim > 0
        print(f"{name} {'string' if values.dtype == object else values.dtype}{list(values.shape)}")
    else:
        print(f"{name} list of {len(values)}" if has_rows else name)
    for row in values[:8] if has_rows else [values]:
        print(f"  {_row(row)}")
    if has_rows and len(values) > 8:
        print(f"  … and {len(values) - 8} more")


def _row(row: Any) -> str:
    """A row on one line; a longer one is cut behind a whole value, and says how many more there are."""
    words, count = _words(row)
    whole = str(row).replace("\n", " ")
    if len(whole) <= _WIDTH and count <= _MOST_VALUES:
        return whole
    if count == 1:
        return f"{whole[:_WIDTH]} … {len(whole) - _WIDTH} more characters" if len(whole) > _WIDTH else whole
    shown = 0
    while shown < len(words) and sum(map(len, words[: shown + 1])) + shown < _WIDTH:
        shown += 1
    ends = "{}" if isinstance(row, dict) else "[]"
    return f"{ends[0]}{' '.join(words[:shown])} … {count - shown} more{ends[1]}"


def _words(row: Any) -> tuple[list[str], int]:
    """The first values of a row, more than fit on a line, and how many it has."""
    if isinstance(row, dict):
        return [f"{key}: {value}," for key, value in islice(row.items(), _MOST_VALUES)], len(row)
    if not getattr(row, "shape", ()):
        return [str(row)], 1
    import numpy as np

    first = row.reshape(-1)[:_MOST_VALUES]
    numbers = np.array2string(first, max_line_width=sys.maxsize)[1:-1].split()
    return list(map(repr, first)) if first.dtype == object else numbers, row.size
