"""What pydantic found wrong, in one sentence that names the field, the value and what is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_SHOWN = 4
_PYDANTICS = "Input should be"


def explain(error: ValidationError) -> str:
    """One sentence a finding: the field's path, the value that came, and what is allowed."""
    findings = error.errors(include_url=False)
    sentences = []
    for finding in findings[:_SHOWN]:
        path = ""
        for step in finding["loc"]:
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "unexpected_keyword_argument":
            message = "there is no such field"
        elif finding["type"] == "missing":
            message = "this must be there, and is not"
        elif message.startswith(_PYDANTICS):
            message = "expected" + message.removeprefix(_PYDANTICS)
        value = finding["input"]
        shown = f" is {value!r}" if isinstance(value, str | int | float | bool) and len(repr(value)) < 80 else ""
        sentences.append(f"{path.lstrip('.') or 'document'}{shown}: {message}")
    if len(findings) > _SHOWN:
        sentences.append(f"and {len(findings) - _SHOWN} more")
    return "; ".join(sentences)
