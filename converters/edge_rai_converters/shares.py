"""Whether outputs that a policy takes for shares of a whole are any."""

from __future__ import annotations

from collections.abc import Mapping

from edge_rai.errors import PolicyError
from edge_rai.policy import Policy, is_single
from edge_rai_converters.compare import Output

_OF_SHARES = ("confidence", "margin", "entropy")
_ROUNDING = 1e-3


def check_shares(policy: Policy, outputs: Mapping[str, Output]) -> None:
    """Refuses confidence, margin and entropy of what is neither a share from 0 to 1 nor called a score.

    Args:
        policy: That somebody wrote.
        outputs: Of the float model, from what it answers to the held-back rows.

    Raises:
        PolicyError: Names the rule, the output and what the model answers there.
    """
    for rule in policy.outputs:
        asked = [name for name in _OF_SHARES if getattr(rule, name) is not None]
        output = outputs.get(rule.name)
        if not asked or rule.logits or output is None:
            continue
        low, high = (output.low, output.high) if output.low <= output.high else (0.0, 1.0)
        if "float" in rule.dtype and low >= -_ROUNDING and high <= 1 + _ROUNDING:
            continue
        mend = "set logits = true if these are scores, or leave it out"
        if is_single(rule.shape, policy.batched):
            mend += "; a single value that is a quantity has nothing of the kind, only a range"
        raise PolicyError(
            f"{asked[0]} of output {rule.name!r} is about shares from 0 to 1, and the model answers "
            f"{rule.dtype} from {low:.6g} to {high:.6g} to the held-back rows; {mend}"
        )
