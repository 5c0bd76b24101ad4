"""card.md: what people should know of a bundle, in one page, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_rai.bundle import Manifest
from edge_rai.policy import FeatureRule, Policy
from edge_rai_converters.compare import Candidate, Choice
from edge_rai_converters.data import HELD_BACK_EVERY

_LISTED_FEATURES = 64


def card(
    manifest: Manifest, policy: Policy, candidates: Sequence[Candidate], choice: Choice, rejected: int, held_back: int
) -> bytes:
    """The card as Markdown in UTF-8.

    Args:
        manifest: Of the bundle.
        policy: Of the bundle.
        candidates: What was compared.
        choice: What was chosen and why.
        rejected: Held-back rows that the guard rejects.
        held_back: Held-back rows.
    """
    lines = [
        f"# {manifest.name}",
        "",
        f"Made from `{manifest.provenance.source_name}` (sha256 `{manifest.provenance.source_sha256}`).",
        f"The model inside is `{manifest.primary.path}`: {choice.reason}.",
        "",
        "## What was compared",
        "",
        f"On {held_back} rows, every {HELD_BACK_EVERY}th of the reference data, which neither calibrated the int8",
        "model nor set a limit.",
        "",
        *_comparison(candidates),
        "",
        f"The guard rejects {rejected} of these {held_back} rows ({100 * rejected / held_back:.1f} %).",
        "",
        "## What the guard allows",
        "",
        *_rules(policy),
        "",
        "## What this does not say",
        "",
        "Limits and drift reference describe the reference data and nothing else. Accuracy is that of the held-back",
        "rows as a whole: a slice of them may be worse. A row within all limits can still be one that the model has",
        "never seen the like of.",
    ]
    return ("\n".join(lines) + "\n").encode()


def percent(share: float | None) -> str:
    """A share as people read it; a dash for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def _comparison(candidates: Sequence[Candidate]) -> Iterator[str]:
    yield "| model | bytes | accuracy | agreement with float | largest difference | mean difference |"
    yield "|---|---|---|---|---|---|"
    for entry in candidates:
        agreement = entry.share_within if entry.agreement is None else entry.agreement
        yield (
            f"| {entry.quantization} | {entry.size} | {percent(entry.accuracy)} | {percent(agreement)} | "
            f"{entry.largest_difference:.3g} | {entry.mean_difference:.3g} |"
        )


def _rules(policy: Policy) -> Iterator[str]:
    for rule in policy.inputs:
        yield f"Input `{rule.name}`: {rule.dtype} {list(rule.shape)} (-1: free, at most {list(rule.max_shape)});"
        yield f"{'finite values only; ' if rule.finite else ''}a value out of its limits means: {rule.out_of_range}."
        yield ""
        yield "| feature | low | high |"
        yield "|---|---|---|"
        for feature in rule.features[:_LISTED_FEATURES]:
            yield _limits(feature)
        if len(rule.features) > _LISTED_FEATURES:
            yield f"| and {len(rule.features) - _LISTED_FEATURES} more in policy.toml | | |"


def _limits(feature: FeatureRule) -> str:
    low, high = ("none" if limit is None else f"{limit:.6g}" for limit in (feature.low, feature.high))
    return f"| {feature.name.replace('|', chr(92) + '|')} | {low} | {high} |"
