"""Waivers: cells that did not pass, for which somebody answers by name until a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from edge_rai.errors import PolicyError
from edge_rai_converters.gate.cells import Cell
from edge_rai_converters.gate.rules import Waiver

_SHOWN = 4


def waived(cells: Sequence[Cell], waivers: Sequence[Waiver], today: date) -> tuple[list[Cell], list[str]]:
    """The cells with their waivers, and what is to be said of waivers that do nothing.

    Args:
        cells: As judged.
        waivers: Of the policy.
        today: One that expires today still counts.

    Raises:
        PolicyError: There is no such cell: the waiver would wait for one to come.
    """
    known = {cell.name for cell in cells}
    notes, valid = [], {}
    for waiver in waivers:
        if waiver.cell not in known:
            raise PolicyError(
                f"the waiver of {waiver.person} is for {waiver.cell!r}, which is no cell; there are "
                f"{', '.join(map(repr, sorted(known)[:_SHOWN]))}{' and others' * (len(known) > _SHOWN)}"
            )
        if waiver.expires < today:
            notes.append(f"the waiver of {waiver.person} for {waiver.cell} expired on {waiver.expires.isoformat()}")
        else:
            valid[waiver.cell] = waiver
    found = []
    for cell in cells:
        given = valid.get(cell.name)
        if given and cell.verdict == "pass":
            notes.append(f"the waiver of {given.person} for {cell.name} is not needed: the cell passes")
        found.append(replace(cell, waiver=given) if given and cell.verdict != "pass" else cell)
    return found, notes
