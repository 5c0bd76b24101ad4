"""``edge-rai inspect``: what a bundle holds, and everything that its policy decides."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from edge_rai.cli.opening import is_bare, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edge_rai.bundle import Bundle, Manifest
    from edge_rai.policy import Policy, Table
    from edge_rai.types import Feature, TensorSpec

_EVIDENCE = "evidence/candidates.json"


def add(commands: Any) -> None:
    """Registers the command."""
    parser = commands.add_parser("inspect", help="Show what a bundle holds.", description=__doc__)
    parser.add_argument("bundle", metavar="BUNDLE", help="a bundle (NAME.erai or a directory) or a bare model")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reads the bundle, which verifies its digests, and shows it; opens a bare model as a session would."""
    document, lines = _model(arguments.bundle) if is_bare(arguments.bundle) else _bundle(arguments.bundle)
    if arguments.json:
        print(json.dumps(document, sort_keys=True, indent=1, allow_nan=False))
    else:
        for line in lines:
            print(line)
    return 0


def _bundle(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    from edge_rai import bundle
    from edge_rai.policy import policy_data

    found = bundle.read(path)
    guard, policy, evidence = found.guard(), _policy(found), _evidence(found)
    document = found.manifest.as_dict()
    document["guard"] = {"sha256": guard.digest, "batched": guard.batched, "features": _limits(guard.features)}
    document["policy"] = policy and policy_data(policy)
    document["measured"] = {key: evidence.get(key) for key in ("guard_on_held_back", "distances")}
    document["sizes"] = {path: len(data) for path, data in found.files.items()}
    return document, _bundle_lines(found, policy, evidence, guard.features)


def _model(path: str) -> tuple[dict[str, Any], Iterator[str]]:
    from edge_rai.policy import default_data, default_tables

    with opened(path) as session:
        inputs, outputs, batched, features = session.inputs, session.outputs, session.batched, session.features
    document = {
        "inputs": [spec._asdict() for spec in inputs],
        "outputs": [spec._asdict() for spec in outputs],
        "guard": {"batched": batched, "features": _limits(features)},
        "policy": default_data(inputs, outputs, batched=batched),
    }
    head = f"{path} is a bare model, without rules of its own: opened as it is, it is held to the default policy."
    return document, _lines(head, default_tables(inputs, outputs, batched=batched))


def _policy(found: Bundle) -> Policy | None:
    from edge_rai import BundleError, PolicyError
    from edge_rai.policy import parse_policy

    written = found.files.get("policy.toml")
    try:
        return None if written is None else parse_policy(written.decode("utf-8", errors="replace"))
    except PolicyError as error:
        raise BundleError(f"{found.path}: {error}") from error


def _evidence(found: Bundle) -> dict[str, Any]:
    """What ``convert`` measured; empty where somebody else made the bundle."""
    from edge_rai import BundleError

    try:
        evidence = json.loads(found.files.get(_EVIDENCE, b"{}"))
        for entry in evidence.get("distances", ()):
            entry["input"], int(entry["above"]), int(entry["held_back"])
        counts = evidence.get("guard_on_held_back")
        if counts is not None:
            int(counts["rows"]), int(counts["rejected"]), int(counts["flagged"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"{found.path}: {_EVIDENCE} is not what convert writes: {error!r}") from error
    return dict(evidence)


def _limits(features: Sequence[Feature]) -> list[dict[str, Any]]:
    return [
        {
            "name": feature.name,
            "low": feature.low if math.isfinite(feature.low) else None,
            "high": feature.high if math.isfinite(feature.high) else None,
            "mean": feature.mean,
            "stddev": feature.stddev,
            "bins": len(feature.counts),
            "reference_rows": feature.reference_rows,
        }
        for feature in features
    ]


# ---- Text ----


def _bundle_lines(
    found: Bundle, policy: Policy | None, evidence: dict[str, Any], features: Sequence[Feature]
) -> Iterator[str]:
    from edge_rai.policy import Measured, policy_tables

    head = (
        f"{found.path} is a bundle (format {found.manifest.format_version}): the trained model '{found.manifest.name}' "
        "with the rules under which its answers may be used."
    )
    tables = [_contents(found.manifest)]
    if policy is None:
        tables.append(_bare_limits(features))
    else:
        measured = {
            entry["input"]: Measured(entry["above"], entry["held_back"]) for entry in evidence.get("distances", ())
        }
        tables.extend(policy_tables(policy, measured))
    tables.extend(_measured(evidence))
    tables.extend(_drift(features))
    yield from _lines(head, tables)
    yield ""
    yield "Files: sha256 and path, as `sha256sum -c` takes them in the unpacked bundle"
    for path, digest in sorted(found.manifest.files.items()):
        yield f"{digest}  {path}"


def _lines(head: str, tables: Sequence[Table]) -> Iterator[str]:
    import textwrap

    from edge_rai.cli.layout import lines_of, screen_width
    from edge_rai.policy import VERDICTS

    width = screen_width()
    said = (
        f"{head} On a device each row of input is held to the rules of the inputs before the model sees it, and the "
        "model's answer to those of the outputs before the application gets it. Each row gets a verdict; in the tables "
        "below, that of a row that breaks the rule, or in which a value is missing that may be:"
    )
    yield from textwrap.wrap(said, width, break_on_hyphens=False)
    for verdict, meaning in VERDICTS:
        yield from textwrap.wrap(f"{verdict:6}  {meaning}", width, initial_indent="  ", subsequent_indent=" " * 10)
    for table in tables:
        yield ""
        yield from lines_of(table, width)


def _contents(manifest: Manifest) -> Table:
    from edge_rai.policy import Table

    rows = []
    for model in manifest.models:
        mates = "rows do not depend on their batch" if model.rows_independent else "rows depend on their batch"
        form: str = "float" if model.quantization == "none" else model.quantization
        form = form if model.format == "onnx" else f"{model.format}, {form}"
        role = "the model" if model.role == "primary" else "fallback model"
        rows.append((role, f"{model.path}: {form}, {model.size:,} bytes; {mates}"))
    source = manifest.provenance
    rows.append(("made from", f"{source.source_name}, sha256 {source.source_sha256}"))
    rows.append(("with data of", f"sha256 {source.data_sha256}"))
    for title, versions in (("by", source.tools), ("needs", manifest.requirements)):
        if versions:
            rows.append((title, ", ".join(f"{tool} {version}" for tool, version in sorted(versions.items()))))
    for title, specs in (("takes", manifest.inputs), ("gives", manifest.outputs)):
        rows.extend((title, f"{spec.name}: {_spec(spec)}") for spec in specs)
    golden = manifest.golden
    shown = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in golden.inputs)
    rows.append(("golden vectors", f"{shown}: known answers, given again within {golden.atol:g} or not loaded"))
    return Table("What it holds", ("", ""), tuple(rows))


def _spec(spec: TensorSpec) -> str:
    return f"{spec.dtype} ({', '.join('any' if extent is None else str(extent) for extent in spec.shape)})"


def _bare_limits(features: Sequence[Feature]) -> Table:
    """Of a bundle without a written policy, what the guard program tells of itself."""
    from edge_rai.policy import Table, number

    def limit(value: float) -> str:
        return number(value) if math.isfinite(value) else "none"

    rows = tuple((feature.name, limit(feature.low), limit(feature.high)) for feature in features)
    title = "Limits, as guard.bin tells them; there is no policy.toml to say what else it decides"
    return Table(title, ("feature", "low", "high"), rows)


def _measured(evidence: dict[str, Any]) -> Iterator[Table]:
    from edge_rai.policy import Table

    counts = evidence.get("guard_on_held_back")
    if counts is None:
        return
    rows = [(name, f"{counts[name]} of {counts['rows']} rows") for name in ("rejected", "flagged")]
    if counts.get("left_out"):
        rows.append(("left out", f"{', '.join(counts['left_out'])}: a table has neither order nor time"))
    yield Table("What the rules said of good rows held back from learning", ("", ""), tuple(rows))


def _drift(features: Sequence[Feature]) -> Iterator[Table]:
    from edge_rai.policy import Table, number

    rows = tuple(
        (known.name, number(known.mean), number(known.stddev), str(len(known.counts)), str(known.reference_rows))
        for known in features
        if len(known.counts)
    )
    if rows:
        columns = ("feature", "mean", "standard deviation", "bins", "rows")
        yield Table("What drift is measured against", columns, rows)
