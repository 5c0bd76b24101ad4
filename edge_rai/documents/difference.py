"""What differs between two bundles, and whether the change plan of the older one had thought of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from typing import Any, Literal

from edge_rai.bundle import Bundle, ModelFile
from edge_rai.documents.risk import RISK_FILE, Change, ChangePlan, Risk, parse_risk
from edge_rai.errors import BundleError, PolicyError
from edge_rai.policy import parse_policy, policy_tables

_REPORTS = "evidence/gate*.json"
_LESS_IS_BETTER = frozenset(
    {"fnr", "fpr", "flips", "negative_flips", "brier", "log_loss", "hamming_loss", "mae", "rmse", "error"}
)
_MORE_IS_BETTER = frozenset({"accuracy", "tpr", "tnr", "precision", "stability", "monotone", "invariant", "batch"})
_ROUNDING = 1e-12

Judged = Literal["same", "inside", "outside", "no plan"]
_Figures = dict[tuple[str, str, str], float]


@dataclass(frozen=True, slots=True)
class Changed:
    """One thing that is not as it was.

    Attributes:
        what: As a change plan names it; ``risk`` is of the questionnaire with the plan itself, which none can allow.
        name: Of the thing.
        old: As it was; empty where there was none.
        new: As it is; empty where there is none.
    """

    what: Change | Literal["risk"]
    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric of a slice that both bundles were measured by.

    Attributes:
        report: The file that has it.
        metric: Its name.
        slice: Its name.
        old: Of the older bundle.
        new: Of the newer one.
        worse: By how much, whichever way is worse; of metrics that this build does not know, the change either way.
    """

    report: str
    metric: str
    slice: str
    old: float
    new: float
    worse: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs.

    Attributes:
        changes: What is not as it was.
        figures: Every metric of every slice that both have, those that became worst first.
        plan: ``same``: nothing changed; ``inside`` or ``outside`` the older bundle's change plan; ``no plan``: it has
            none.
        reasons: Why it is outside, one sentence each.
        notes: What could not be compared.
    """

    changes: tuple[Changed, ...]
    figures: tuple[Figure, ...]
    plan: Judged
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For documents."""
        return {"format_version": 1, **asdict(self)}


def difference(old: Bundle, new: Bundle) -> Difference:
    """Compares two bundles.

    Raises:
        BundleError: A file of evidence, a policy or a risk questionnaire in one of them is not what it has to be.
    """
    changes = (
        *_models(old, new), *_facts(old, new), *_policies(old, new), *_gates(old, new), *_risks(old, new),
    )  # fmt: skip
    before, after = _figures(old), _figures(new)
    figures = sorted(
        (
            Figure(*key, before[key], after[key], _worse(key[1], before[key], after[key]))
            for key in before & after.keys()
        ),
        key=lambda figure: (-figure.worse, figure.report, figure.metric, figure.slice),
    )
    risk = _risk(old)
    plan = risk and risk.change_plan
    reasons = tuple(_outside(plan, changes, figures, before, after)) if plan else ()
    judged: Judged = "outside" if reasons else "same" if not changes else "inside" if plan else "no plan"
    return Difference(changes, tuple(figures), judged, reasons, tuple(_notes(old, new, before, after)))


def _models(old: Bundle, new: Bundle) -> Iterator[Changed]:
    before, after = ({(m.role, m.format): m for m in bundle.manifest.models} for bundle in (old, new))
    for key in dict.fromkeys((*before, *after)):
        role, form = key
        one, other = before.get(key), after.get(key)
        if one is None or other is None or one.sha256 != other.sha256:
            what: Change = "model" if role == "primary" else "fallback"
            yield Changed(what, f"{role} model in {form}", _model(one), _model(other))


def _model(model: ModelFile | None) -> str:
    if model is None:
        return ""
    return f"{model.recipe or model.quantization}, {model.size:,} bytes, sha256 {model.sha256[:12]}"


def _facts(old: Bundle, new: Bundle) -> Iterator[Changed]:
    """What the manifests say."""
    one, other = old.manifest, new.manifest
    pairs: tuple[tuple[Change, str, Any, Any], ...] = (
        ("source", "trained model", _short(one.provenance.source_sha256), _short(other.provenance.source_sha256)),
        ("data", "reference data", _short(one.provenance.data_sha256), _short(other.provenance.data_sha256)),
        ("data", "preparation of rows", one.provenance.preparation, other.provenance.preparation),
        ("inputs", "inputs", [list(spec) for spec in one.inputs], [list(spec) for spec in other.inputs]),
        ("outputs", "outputs", [list(spec) for spec in one.outputs], [list(spec) for spec in other.outputs]),
        ("requirements", "requirements", one.requirements, other.requirements),
        ("tools", "tools", one.provenance.tools, other.provenance.tools),
    )
    for what, name, before, after in pairs:
        if before != after:
            yield Changed(what, name, _text(before), _text(after))


def _policies(old: Bundle, new: Bundle) -> Iterator[Changed]:
    """Rules, in the words in which a card has them; and a guard program that differs although these do not."""
    before, after = _rules(old), _rules(new)
    found = False
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            found = True
            yield Changed("policy", ": ".join(key), before.get(key, ""), after.get(key, ""))
    digests = [bundle.manifest.files["guard.bin"] for bundle in (old, new)]
    if not found and digests[0] != digests[1]:
        yield Changed("policy", "guard program", _short(digests[0]), _short(digests[1]))


def _rules(bundle: Bundle) -> dict[tuple[str, str], str]:
    written = bundle.files.get("policy.toml")
    if written is None:
        return {}
    try:
        tables = policy_tables(parse_policy(written.decode("utf-8", errors="replace")))
    except PolicyError as error:
        raise BundleError(f"{bundle.path}: {error}") from error
    return {(table.title, row[0]): ", ".join(filter(None, row[1:])) for table in tables for row in table.rows}


def _gates(old: Bundle, new: Bundle) -> Iterator[Changed]:
    before, after = _gate_policies(old), _gate_policies(new)
    for path in dict.fromkeys((*before, *after)):
        if before.get(path) != after.get(path):
            yield Changed("gate", f"policy of {path}", _short(before.get(path, "")), _short(after.get(path, "")))


def _risks(old: Bundle, new: Bundle) -> Iterator[Changed]:
    before, after = (bundle.manifest.files.get(RISK_FILE, "") for bundle in (old, new))
    if before != after:
        yield Changed("risk", RISK_FILE, _short(before), _short(after))


def _risk(bundle: Bundle) -> Risk | None:
    written = bundle.files.get(RISK_FILE)
    try:
        return None if written is None else parse_risk(written)
    except PolicyError as error:
        raise BundleError(f"{bundle.path}: {error}") from error


# ---- Figures ----


def _figures(bundle: Bundle) -> _Figures:
    return {
        (path, str(entry["metric"]), str(entry["slice"])): float(entry["candidate"])
        for path, report in _reports(bundle).items()
        for entry in report["measured"]
        if entry["candidate"] is not None
    }


def _gate_policies(bundle: Bundle) -> dict[str, str]:
    return {path: str(report["facts"].get("policy_sha256", "")) for path, report in _reports(bundle).items()}


def _reports(bundle: Bundle) -> dict[str, Mapping[str, Any]]:
    """The gate's reports, as far as they are looked at here."""
    found = {}
    for path in sorted(path for path in bundle.files if fnmatch(path, _REPORTS)):
        try:
            report = json.loads(bundle.files[path])
            for entry in report["measured"]:
                entry["metric"], entry["slice"], float(entry["candidate"] or 0)
            report["facts"].get("policy_sha256")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BundleError(f"{bundle.path}: {path} is not what the gate writes: {error!r}") from error
        found[path] = report
    return found


def _worse(metric: str, old: float, new: float) -> float:
    name = metric.partition("[")[0].partition(" under ")[0]
    if name in _MORE_IS_BETTER:
        return old - new
    return new - old if name in _LESS_IS_BETTER else abs(new - old)


# ---- The plan ----


def _outside(
    plan: ChangePlan, changes: tuple[Changed, ...], figures: list[Figure], before: _Figures, after: _Figures
) -> Iterator[str]:
    for what in dict.fromkeys(change.what for change in changes):
        if what not in plan.allowed:
            names = [change.name for change in changes if change.what == what]
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield f"{what} may not change, and {names[0]}{more} did"
    for metric, limit in plan.largest_loss.items():
        known = [figure for figure in figures if metric in (figure.metric, figure.metric.partition("[")[0])]
        if not known:
            yield f"{metric} may be worse by {limit:g}, and the bundles have no figure of it in common"
        for figure in known:
            if figure.worse > limit + _ROUNDING:
                yield f"{figure.metric} of {figure.slice} is worse by {figure.worse:.4g}, and {limit:g} is allowed"
        lost = [
            key for key in before.keys() - after.keys() if metric in (key[1], key[1].partition("[")[0])
        ]  # fmt: skip
        if lost:
            yield f"{min(lost)[1]} of {min(lost)[2]} is not measured any more"


def _notes(old: Bundle, new: Bundle, before: _Figures, after: _Figures) -> Iterator[str]:
    for bundle, found in ((old, before), (new, after)):
        if not found:
            yield f"{bundle.path} has no report of the gate, so that no metric can be compared"
    data = [{str(report["facts"].get("data")) for report in _reports(bundle).values()} for bundle in (old, new)]
    if before and after and data[0] != data[1]:
        yield "the figures are of other rows, so that a part of each change may be theirs"


def _short(digest: str) -> str:
    return digest and f"sha256 {digest[:12]}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
