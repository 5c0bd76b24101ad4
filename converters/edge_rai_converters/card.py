"""card.md: what people should know of a bundle, in one page, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_rai.bundle import Format, Manifest
from edge_rai.policy import VERDICTS, Measured, Policy, policy_tables
from edge_rai_converters.audit import AuditReport
from edge_rai_converters.candidates import Forms
from edge_rai_converters.choose import Choice
from edge_rai_converters.compare import Comparison
from edge_rai_converters.data import HELD_BACK_EVERY
from edge_rai_converters.distance import DistanceReport
from edge_rai_converters.documents import card_sections as sections
from edge_rai_converters.documents.facts import Json
from edge_rai_converters.fallback import Fallback
from edge_rai_converters.learning import Learned
from edge_rai_converters.maps import PREPARATION, Columns
from edge_rai_converters.rehearsal import FalseRejections

_LISTED = 128
_NAMES: Mapping[Format, str] = {"onnx": "ONNX", "tflite": "TFLite"}


@dataclass(frozen=True, eq=False, slots=True)
class Written:
    """What a card is made of, beside card.json.

    Attributes:
        manifest: Of the bundle.
        learned: Model, data, policy.
        forms: What was compared.
        choices: What was chosen, by target.
        apart: How far the TFLite model's answers are from the ONNX model's; None where there is one of them.
        fallback: The fallback model.
        verdicts: Of the guard on the held-back rows.
        audited: What was found in the data.
    """

    manifest: Manifest
    learned: Learned
    forms: Forms
    choices: Mapping[Format, Choice]
    apart: Comparison | None
    fallback: Fallback | None
    verdicts: FalseRejections
    audited: AuditReport

    def card(self, data: Json) -> bytes:
        """The card as Markdown in UTF-8, with a front matter for model hubs.

        Args:
            data: card.json.
        """
        manifest, learned, choices = self.manifest, self.learned, self.choices
        lines = [
            *sections.front_matter(data),
            f"# {manifest.name}",
            "",
            f"Made from `{manifest.provenance.source_name}` (sha256 `{manifest.provenance.source_sha256}`).",
            *_models(manifest, choices),
            "",
            *(line for choice in choices.values() for line in _slower(self.forms, choice)),
            *sections.use(data),
            *_errors(self.audited),
            *_preparation(learned.dataset.preparation),
            *_columns(learned.columns),
            *_compared(learned, self.forms, choices, self.apart, self.verdicts),
            *sections.across_groups(data),
            *sections.promised(data),
            *_fallback(self.fallback),
            *_decides(learned),
            *sections.rehearsed(data),
            *sections.price(data),
            *sections.provenance(data),
            *sections.not_said(data),
            *sections.known_limits(data),
        ]
        return ("\n".join(lines).rstrip() + "\n").encode()


def task_of(learned: Learned, forms: Forms) -> str | None:
    """What Hugging Face calls the task; None: none of its names fits for sure."""
    decides = forms.candidates[0].comparison.agreement is not None
    ranks = {len(spec.shape) for spec in learned.source.inputs}
    if ranks == {2} and len(learned.source.inputs) == 1:
        return "tabular-classification" if decides else "tabular-regression"
    return "image-classification" if ranks == {4} and decides else None


def _compared(
    learned: Learned,
    forms: Forms,
    choices: Mapping[Format, Choice],
    apart: Comparison | None,
    verdicts: FalseRejections,
) -> Iterator[str]:
    rows, rejected = verdicts.rows, verdicts.rejected
    yield from ("## What was compared", "")
    yield f"On {rows} rows, one of every {HELD_BACK_EVERY} of the reference data, which neither calibrated a"
    yield f"candidate nor set a limit. What happens to one row in {max(1, rows // 3)} or fewer may not show in them."
    yield ""
    yield from _comparison({entry.recipe: (entry.size, entry.comparison) for entry in forms.candidates})
    for choice in choices.values():
        yield from _objections(choice)
    yield ""
    yield from _apart(apart)
    for choice in choices.values():
        yield from _threshold(forms, choice)
    yield from _unrecorded(learned.unrecorded)
    yield f"The guard rejects {rejected} of these {rows} rows ({100 * rejected / rows:.1f} %)."
    yield from _left_out(verdicts.left_out)
    yield ""


def _decides(learned: Learned) -> Iterator[str]:
    yield from ("## What the guard decides", "")
    yield "Every row gets a verdict; below, that of a row that breaks the rule, or in which a value is missing that"
    yield from ("may:", "")
    yield from (f"- {verdict}: {meaning}" for verdict, meaning in VERDICTS)
    yield ""
    yield from _policy(learned.policy, learned.distances)
    yield from _behind(learned)


def percent(share: float | None) -> str:
    """A share as people read it; a dash for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def _slower(forms: Forms, choice: Choice) -> Iterator[str]:
    cost = next(entry.cost for entry in forms.candidates if entry.recipe == choice.recipe)
    if cost and cost.slower:
        yield f"`{choice.recipe}` is slower than the float model: a call takes {1 / cost.speed_up:.2f} times as"
        yield "long, where the bundle was made."
        yield ""


def _errors(audited: AuditReport) -> Iterator[str]:
    errors = [finding for finding in audited.findings if finding.severity == "error"]
    if errors:
        yield "## What is wrong with the data"
        yield ""
        yield "All figures here come of these data, and cannot be better than they are (all findings:"
        yield "`evidence/audit.json`):"
        yield ""
        yield from (f"- {finding.sentence}. {finding.advice}." for finding in errors)
        yield ""


def _models(manifest: Manifest, choices: Mapping[Format, Choice]) -> Iterator[str]:
    several = len(choices) > 1
    for model in manifest.models:
        if model.role == "primary":
            which = f"The {_NAMES[model.format]} model" if several else "The model"
            yield f"{which} inside is `{model.path}`: {choices[model.format].reason}."


def _apart(apart: Comparison | None) -> Iterator[str]:
    if apart is None:
        return
    same = "" if apart.agreement is None else f"; they have the same class in {percent(apart.agreement)} of them"
    yield "The answers of the TFLite model to these rows differ from those of the ONNX model by"
    yield f"{apart.largest_difference:.3g} at most and {apart.mean_difference:.3g} on average{same}."
    yield ""


def _preparation(preparation: Mapping[str, Any]) -> Iterator[str]:
    given = {key: value for key, value in preparation.items() if key != PREPARATION}
    if given:
        yield "## What the model is to be given"
        yield ""
        for key, value in given.items():
            yield f"- {key.replace('_', ' ')}: {_listed(value)}"
        yield ""


def _listed(value: Any) -> str:
    """Of lists, and of lists by name, what a person would write."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_listed(entry)}" for name, entry in value.items())
    return ", ".join(map(_listed, value)) if isinstance(value, list | tuple) else str(value)


def _columns(columns: Columns) -> Iterator[str]:
    for name, keys in columns.items():
        yield f"Output `{name}` of the trained model is a map a row (a ZipMap). Here it is a matrix of the same"
        yield f"numbers, a column a class: {', '.join(f'`{key}`' for key in keys)}."
        yield ""


def _comparison(models: Mapping[str, tuple[int, Comparison]]) -> Iterator[str]:
    classes = any(entry.agreement is not None for _, entry in models.values())
    same = "agreement with float" if classes else "values within 5 % of their range of float's"
    yield f"| model | bytes | accuracy | {same} | largest difference | mean difference |"
    yield "|---|---|---|---|---|---|"
    for name, (size, entry) in models.items():
        agreement = entry.share_within if entry.agreement is None else entry.agreement
        yield (
            f"| {name} | {size} | {percent(entry.accuracy)} | {percent(agreement)} | "
            f"{entry.largest_difference:.3g} | {entry.mean_difference:.3g} |"
        )


def _objections(choice: Choice) -> Iterator[str]:
    for line in choice.unsaid():
        yield ""
        yield f"{line}."


def _threshold(forms: Forms, choice: Choice) -> Iterator[str]:
    chosen = next(entry for entry in forms.candidates if entry.recipe == choice.recipe)
    if chosen.threshold and chosen.threshold.refit.kept:
        limit = chosen.threshold.refit.threshold
        yield f"With `{chosen.recipe}`, decide by `{chosen.threshold.output}` above {limit:g} (of two columns:"
        yield f"the second less the first): {chosen.threshold.refit}. Of the held-back rows, which had no part in that,"
        yield f"{percent(chosen.threshold.accuracy)} are right with it."
        yield ""


def _unrecorded(names: Sequence[str]) -> Iterator[str]:
    if names:
        listed = ", ".join(f"`{name}`" for name in names)
        yield f"Not compared, and not in the golden vectors, because they are no tensors of numbers: {listed}."
        yield ""


def _left_out(rules: Sequence[str]) -> Iterator[str]:
    if rules:
        yield f"Left out of that, for a table has neither the order nor the time that they need: {', '.join(rules)}."


def _fallback(fallback: Fallback | None) -> Iterator[str]:
    if fallback is None:
        return
    yield "## The fallback model"
    yield ""
    yield f"`{fallback.source_name}` answers rejected rows where the fallback chain says `model`. On the held-back"
    yield "rows, against the model above:"
    yield ""
    yield from _comparison({fallback.source_name: (fallback.size, fallback.comparison)})
    yield ""


def _behind(learned: Learned) -> Iterator[str]:
    """What the figures of the tables stand on, where there is something to say."""
    said = [*_distances(learned.distances, learned.without_distance), *_states(learned.policy)]
    if said:
        yield from ("### Distances and states", "", *said)


def _distances(reports: Sequence[DistanceReport], without: Mapping[str, str]) -> Iterator[str]:
    for entry in reports:
        rate, share = 100 * entry.false_rejection_rate, 100 * entry.above / entry.held_back
        yield f"Input `{entry.input}`: rows whose squared Mahalanobis distance ({entry.kind}) to the reference is above"
        if entry.yours:
            yield f"{entry.threshold:.6g}, your threshold, are out of distribution. Nothing is known of it but what was"
            yield f"measured: of the held-back rows {entry.above} of {entry.held_back} are ({share:.1f} %)."
            yield ""
            continue
        yield f"{entry.threshold:.6g} are out of distribution. Of rows like the reference at most {rate:.3g} % are, on"
        yield f"average over references: {entry.rows} rows that taught the distance nothing else set the threshold. Of"
        yield f"the held-back rows {entry.above} of {entry.held_back} are ({share:.1f} %)."
        yield ""
    for name, why in without.items():
        yield f"Input `{name}` has no distance: {why}."
        yield ""


def _states(policy: Policy) -> Iterator[str]:
    for state in policy.states:
        yield f"The session carries the recurrent state `{state.input}`, which is what `{state.output}` gave. All"
        yield "figures are of rows that begin with a state of zeros."
        yield ""


def _policy(policy: Policy, reports: Sequence[DistanceReport]) -> Iterator[str]:
    measured = {entry.input: Measured(entry.above, entry.held_back) for entry in reports}
    for table in policy_tables(policy, measured):
        yield f"### {_cell(table.title)}"
        yield ""
        yield _line(table.columns)
        yield "|" + "---|" * len(table.columns)
        yield from (_line(row) for row in table.rows[:_LISTED])
        if len(table.rows) > _LISTED:
            yield _line((f"and {len(table.rows) - _LISTED} more in policy.toml", *[""] * (len(table.columns) - 1)))
        yield ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
