"""Which decisions leave the device one by one, and what of their inputs goes with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from edge_rai.policy.checks import check_word

FieldForm = Literal["drop", "bucket", "keyed_hash", "plain"]
FORMS: Final = get_args(FieldForm)  # in the order of events.FieldForm

_MOST_KEPT = 1 << 20
_MOST_FIELDS = 64


@dataclass(frozen=True, slots=True)
class Events:
    """Decisions worth keeping: flagged and rejected rows, drawn accepted ones, what is urgent.

    Attributes:
        keep: How many are kept until the next flush, at most.
        sample_one_in: So many accepted rows, one is drawn; 0: none.
        fields: By feature, what of its value leaves the device with an event: nothing ("drop", and so for those not
            named), its bin of the reference, a hash by a key that the device changes every day, or the number itself.
    """

    keep: int = 256
    sample_one_in: int = 0
    fields: dict[str, FieldForm] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1 <= self.keep <= _MOST_KEPT:
            raise ValueError(f"events.keep is {self.keep}; it must be 1 to {_MOST_KEPT}")
        if not 0 <= self.sample_one_in < 2**32:
            raise ValueError(f"events.sample_one_in is {self.sample_one_in}; it must be 0 (none) to {2**32 - 1}")
        for name, form in self.fields.items():
            check_word(f"events.fields of {name!r}", form, FieldForm)
        leaving = sum(form != "drop" for form in self.fields.values())
        if leaving > _MOST_FIELDS:
            raise ValueError(f"events.fields lets {leaving} features leave the device; at most {_MOST_FIELDS} may")


def check_fields(events: Events, kinds: Mapping[str, str], features: Collection[str]) -> None:
    """Whether what is to leave the device can: that needs one value of a feature in a row.

    Args:
        events: The rule.
        kinds: By feature of inputs that have that and are no states: the data type.
        features: All there are.

    Raises:
        ValueError: It cannot; names the feature.
    """
    for name, form in events.fields.items():
        if name not in features:
            raise ValueError(f"events.fields has feature {name!r}, which no input has")
        if form != "drop" and name not in kinds:
            raise ValueError(
                f"events.fields of {name!r} is {form!r}; its input has more than one value a feature and row, or is a "
                "state: write 'drop'"
            )
        if form in ("bucket", "plain") and kinds[name] == "string":
            raise ValueError(f"events.fields of {name!r} is {form!r}; strings leave as 'keyed_hash', or not at all")
