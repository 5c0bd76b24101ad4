"""What is asked of a conversion, all of it checked before any work begins."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from edge_rai.bundle import Format, check_replaceable
from edge_rai_converters import formats
from edge_rai_converters import recipes as recipe_books
from edge_rai_converters.choose import Budgets
from edge_rai_converters.documents.required import Papers
from edge_rai_converters.given import check_parent
from edge_rai_converters.passes.contract import Target
from edge_rai_converters.recipes import FLOATS, Prune, Quantize, Recipe


@dataclass(frozen=True, eq=False, slots=True)
class Order:
    """What is to be done with what was learned, all of it checked.

    Attributes:
        output: Where the bundle goes.
        name: Of the bundle.
        targets: Its formats.
        books: Recipes that were asked for, the one first that is taken of two equally cheap ones.
        defaults: Parameters of passes where recipes are silent.
        target_cpu: What the candidates are for.
        budgets: That what is chosen keeps.
        wish: What was asked for, in words.
        reproducible: Nothing is measured that differs from run to run.
        fallback_model: A simpler model that answers rejected rows.
        papers: Questionnaires, and what they make mandatory.
    """

    output: Path
    name: str
    targets: Sequence[Format]
    books: Sequence[Recipe]
    defaults: Mapping[str, Any]
    target_cpu: Target
    budgets: Budgets
    wish: str
    reproducible: bool
    fallback_model: str | Path | None
    papers: Papers

    def with_floats(self) -> list[Recipe]:
        """What was asked for by target, behind the target's float model, which the others are held against."""
        built_in = {book.name: book for book in recipe_books.built_in()}
        books = []
        for target in self.targets:
            books.append(built_in[FLOATS[target]])
            books += [book for book in self.books if book.target == target and book.name != FLOATS[target]]
        return books


def make_order(
    output: str | Path,
    name: str | None,
    target: str,
    *,
    prune: Prune,
    quantize: Quantize,
    recipes: Sequence[str | Path],
    budgets: Budgets,
    layout: str,
    edges: str,
    target_cpu: Target,
    seed: int,
    reproducible: bool,
    fallback_model: str | Path | None,
    papers: Papers,
) -> Order:
    """Checks what is asked for; arguments are those of ``convert``.

    Raises:
        FileExistsError: The output exists and is not a bundle.
        MissingExtraError: A package that a recipe needs is not there.
        MissingFileError: A recipe, or the folder of the output, is not there.
        ValueError: Something is out of range, or does not go with something else.
    """
    path, targets = _writable(output), formats.parsed(target)
    _check_budgets(budgets, reproducible)
    _check_target(target_cpu, targets, layout, edges, quantize, reproducible)
    if seed < 0:
        raise ValueError(f"seed is {seed}; expected a whole number from 0 on")
    keep = prune if isinstance(prune, str) else 1 - prune
    defaults = {"max_drop": max(0.0, budgets.max_drop), "seed": seed, "keep": keep, "edges": edges}
    books = _all_books(prune, quantize, targets, recipes)
    _check_steps(books, targets, defaults)
    return Order(
        output=path,
        name=_bundle_name(path, name),
        targets=targets,
        books=books,
        defaults=defaults,
        target_cpu=target_cpu,
        budgets=budgets,
        wish=_wish(prune, quantize),
        reproducible=reproducible,
        fallback_model=fallback_model,
        papers=papers,
    )


def _check_budgets(budgets: Budgets, reproducible: bool) -> None:
    if not math.isfinite(budgets.max_drop):
        raise ValueError(f"max_drop is {budgets.max_drop}; expected a number of percentage points")
    if budgets.latency_ms is not None and not 0 < budgets.latency_ms < math.inf:
        raise ValueError(f"budget_ms is {budgets.latency_ms}; expected a number of milliseconds above 0")
    if budgets.latency_ms is not None and reproducible:
        raise ValueError("a budget of latency needs times, and a reproducible bundle has none; leave one of them out")
    if budgets.size is not None and budgets.size <= 0:
        raise ValueError(f"budget_bytes is {budgets.size}; expected a number of bytes above 0")


def _check_target(
    cpu: str, targets: Sequence[Format], layout: str, edges: str, quantize: str, reproducible: bool
) -> None:
    if cpu not in get_args(Target):
        raise ValueError(f"target_cpu is {cpu!r}; expected one of {', '.join(get_args(Target))}")
    for name, value, known in (("layout", layout, ("keep", "nhwc")), ("edges", edges, ("float", "int8"))):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")
        if value != known[0] and "tflite" not in targets:
            raise ValueError(f"{name} {value} is for TFLite models; add tflite to the target")
    if edges == "int8" and quantize != "int8":
        raise ValueError(f"edges int8 has no effect where quantize is {quantize}: ask for quantize int8 too")
    if quantize == "int16" and reproducible:
        raise ValueError("int16 is not offered without its measured price, and a reproducible bundle has no times")


def _all_books(
    prune: Prune, quantize: Quantize, targets: Sequence[Format], users: Sequence[str | Path]
) -> list[Recipe]:
    built_in = recipe_books.built_in()
    names = {book.name for book in built_in}
    books = recipe_books.chosen(built_in, prune, quantize, targets)
    for path in users:
        book = recipe_books.read(path)
        if book.name in names:
            raise ValueError(f"{path}: there is another recipe {book.name!r}; give this one a name of its own")
        if book.target not in targets:
            raise ValueError(f"{path}: the recipe is for {book.target}, which is not a target of this conversion")
        names.add(book.name)
        books.append(book)
    return sorted(books, key=lambda book: book.order)


def _check_steps(books: Sequence[Recipe], targets: Sequence[Format], defaults: Mapping[str, Any]) -> None:
    """Refuses what no pass takes, and what is not installed, before anything is made."""
    for book in books:
        book.passes(defaults)
    rewrites = [step for book in books for step in book.rewrites(defaults)]
    formats.check_installed(targets, quantizes=bool(rewrites))


def _writable(output: str | Path) -> Path:
    """Where the bundle goes; refused early, because what is written comes after minutes of work."""
    target = Path(output)
    check_replaceable(target)
    check_parent(target)
    return target


def _wish(prune: Prune, quantize: Quantize) -> str:
    """What was asked for, in words."""
    stays = "in eights, 8 of each layer at least stay"
    pruned = "" if isinstance(prune, str) else f"removing {prune:.0%} of the channels ({stays})"
    quantized = quantize if quantize not in ("auto", "none") else ""
    return " with ".join(filter(None, (quantized, pruned))) or "float"


def _bundle_name(output: Path, name: str | None) -> str:
    if name is None:
        return re.sub(r"[^A-Za-z0-9._-]", "-", output.name.removesuffix(".erai")).lstrip(".") or "model"
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name):
        raise ValueError(f"name {name!r} must be letters, digits, '.', '_' and '-', and not begin with '.'")
    return name
