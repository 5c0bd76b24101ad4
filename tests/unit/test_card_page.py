"""A card as a page: what of Markdown is shown as what, and that nothing in it becomes HTML."""

from __future__ import annotations

import re

import pytest

from edge_rai.documents.page import card_page, without_front_matter

CARD = """---
license: "mit"
---

# tumour

Made from `mlp.onnx`
of last week.
## Groups

- one `a|b`
- two

| metric | group |
|---|---:|
| accuracy | sex=F \\| M |
"""


def body(text: str) -> str:
    return card_page(text, "t").decode().split("<main>")[1].split("</main>")[0]


def test_headings_paragraphs_lists_tables_and_code_are_shown_as_such() -> None:
    assert body(CARD).startswith("<h1>tumour</h1><p>Made from <code>mlp.onnx</code> of last week.</p><h2>Groups</h2>")
    assert "<ul><li>one <code>a|b</code></li><li>two</li></ul>" in body(CARD)
    assert re.search(r'<th scope="col">metric</th><th scope="col">group</th></tr></thead>', body(CARD))
    assert "<tbody><tr><td>accuracy</td><td>sex=F | M</td></tr></tbody>" in body(CARD)
    assert "license" not in body(CARD)


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "| <b> |", "- <i>", "# <u>", "`<s>`", "<!--"])
def test_nothing_in_a_card_becomes_html(hostile: str) -> None:
    shown = body(hostile)
    assert "&lt;" in shown
    assert not re.search(r"<(script|b|i|u|s|!--)\b", shown)


@pytest.mark.parametrize("text", ["", "\n\n", "|", "|---|", "---", "---\nnever closed", "#", "`", "- ", "||||"])
def test_odd_cards_are_shown_somehow(text: str) -> None:
    assert card_page(text, "t").startswith(b"<!DOCTYPE html>")


def test_front_matter_ends_at_the_second_rule_and_nothing_else_is_taken_for_one() -> None:
    assert without_front_matter(CARD).startswith("# tumour")
    assert without_front_matter("# a\n---\nb\n---\n") == "# a\n---\nb\n---\n"
    assert without_front_matter("---\na\n") == "---\na\n"
