"""What a batch file says beside its counts: the windows it accounts for, what has expired of them, and events."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Expiry(IntEnum):
    """Why something that was counted or kept is no longer in any batch file."""

    QUOTA = 0
    CORRUPT = 1
    REFUSED = 2
    MEMORY = 3
    AGE = 4


class EventClass(IntEnum):
    """What an event is kept for, the dearest last."""

    SAMPLE = 0
    FLAG = 1
    REJECT = 2
    URGENT = 3


class FieldForm(IntEnum):
    """How a feature's value may leave the device; the last three say what an alarm of drift knows of it."""

    DROP = 0
    BUCKET = 1
    KEYED_HASH = 2
    PLAIN = 3
    EVIDENCE = 4
    DIRECTION = 5
    CHANGED = 6


class Windows(NamedTuple):
    """Windows of one epoch, one after the other: sequences ``first`` to ``first + length - 1``."""

    epoch: int
    first: int
    length: int


class Expired(NamedTuple):
    """What has expired for one reason.

    Attributes:
        windows: Whole windows.
        unknown: Of these, windows of which nobody knows what they held: calls, rows and events lack it.
        calls: Calls, errors among them.
        rows: Rows judged.
        events: Events.
    """

    windows: int
    unknown: int
    calls: int
    rows: int
    events: int


class EventField(NamedTuple):
    """A feature's value as it may leave the device, or what an alarm of drift says of the feature.

    Attributes:
        feature: Index in the guard program's order.
        form: A FieldForm, never DROP.
        value: The bin of the reference, of what is not finite or missing the number of bins; the hash; the value; the
            evidence; code of a drift.Direction; rows since the change.
    """

    feature: int
    form: FieldForm
    value: int | float


class Event(NamedTuple):
    """One decision, or an alarm of drift, which has EVIDENCE among its fields.

    (epoch, number) names it for ever, and a number without an event is one that has expired.

    Attributes:
        epoch: Of its session.
        number: From 0 within the epoch.
        unix_ns: Wall clock, for people only.
        event_class: What it is kept for.
        verdict: Code of a Verdict.
        source: Code of a Source.
        reasons: Bit i: ReasonCode i.
        latency_ns: Of its call.
        row: Within its call.
        fields: What the policy lets leave the device.
    """

    epoch: int
    number: int
    unix_ns: int
    event_class: EventClass
    verdict: int
    source: int
    reasons: int
    latency_ns: int
    row: int
    fields: tuple[EventField, ...]
