"""The alerts' rules, as people write them: a TOML file (docs/how-to/run-a-fleet.md)."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edge_rai.errors import PolicyError
from edge_rai.findings import explain

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Dimension = Literal["site", "firmware", "model_version", "model_digest"]


class _Rule(BaseModel):
    """What all rules have.

    Attributes:
        name: For whoever is told.
        looks: In a row that must say the same before an alert is raised or cleared.
        group: Devices that have this in common are told of together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(min_length=1, max_length=100)]
    looks: Annotated[int, Field(ge=1, le=1000)] = 1
    group: Dimension | None = None


class _Window(_Rule):
    """What is measured over the last hours, with hysteresis: raised above one bound, cleared below another."""

    hours: Annotated[float, Field(gt=0, le=1e5)] = 24.0
    by: tuple[Dimension, ...] = ()
    raise_above: Annotated[float, Field(ge=0)]
    clear_below: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _order(self) -> _Window:
        if self.clear_below > self.raise_above:
            raise ValueError("clear_below must not be above raise_above")
        return self


class RateRule(_Window):
    """The share of rows with certain verdicts, sources, reasons or decisions.

    Attributes:
        of: Which counts.
        names: Of these, as "reject" of verdict.
        least_rows: With fewer the rule says nothing.
    """

    kind: Literal["rate"]
    of: Literal["verdict", "source", "reason", "decision"]
    names: Annotated[tuple[str, ...], Field(min_length=1)]
    least_rows: Annotated[int, Field(ge=1)] = 100


class DriftRule(_Window):
    """A feature's population stability index, less what it would be unchanged and two standard errors."""

    kind: Literal["drift"]


class DevicesRule(_Rule):
    """Devices whose own detectors speak for drift, by e-BH once in so many hours.

    Attributes:
        rate: At most this share of the devices named is wrong, on average.
        every_hours: Since 1970; looks in between say nothing.
    """

    kind: Literal["drifted_devices"]
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    every_hours: Annotated[int, Field(ge=1, le=10_000)] = 24


class SilenceRule(_Rule):
    """Devices that were not heard of for so many hours."""

    kind: Literal["silence"]
    hours: Annotated[float, Field(gt=0, le=1e5)]


class GapRule(_Rule):
    """Devices of whose windows more than so many did not arrive."""

    kind: Literal["gap"]
    more_than: Annotated[int, Field(ge=0)] = 0


Rule = RateRule | DriftRule | DevicesRule | SilenceRule | GapRule


class Rules(BaseModel):
    """The file.

    Attributes:
        most_an_hour: Messages to one sink; what is beyond waits, and is told together.
        stdout: Whether messages are printed.
        webhook: That messages are posted to as JSON.
        otlp: Endpoint of an OpenTelemetry backend that gets them as logs.
        rule: The rules.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    most_an_hour: Annotated[int, Field(ge=1, le=3600)] = 10
    stdout: bool = True
    webhook: str | None = None
    otlp: str | None = None
    rule: Annotated[tuple[Annotated[Rule, Field(discriminator="kind")], ...], Field(min_length=1)]

    @field_validator("webhook", "otlp")
    @classmethod
    def _is_url(cls, given: str | None) -> str | None:
        if given is not None:
            parts = urlsplit(given)
            if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch("[!-~]+", given):
                raise ValueError("this must be an http or https URL, of ASCII characters without spaces")
            _ = parts.port, parts.hostname.encode("idna")  # or they say what is wrong
        return given

    @model_validator(mode="after")
    def _distinct(self) -> Rules:
        names = [rule.name for rule in self.rule]
        if len(set(names)) < len(names):
            raise ValueError("two rules have one name")
        return self


def read_rules(path: Path) -> Rules:
    """Reads a file of rules.

    Raises:
        PolicyError: It is not TOML, or says what no rule says; names the field.
        OSError: It cannot be read.
    """
    try:
        # By way of JSON: pydantic's strict mode then still takes arrays for tuples, and nothing else for anything.
        return Rules.model_validate_json(json.dumps(tomllib.loads(path.read_text(encoding="utf-8")), default=str))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path} is not TOML: {error}") from error
    except ValidationError as error:
        raise PolicyError(f"{path}: {explain(error)}") from error
