"""Systems under test of one model: guarded, bare, and with a safeguard switched off; and the two that every run has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from edge_rai.backends.litert import INSTALL
from edge_rai.backends.opening import FORMATS
from edge_rai.bench.bare import litert_contender, onnxruntime_contender
from edge_rai.bench.bare_c import BareC
from edge_rai.bench.safeguards import switched_off
from edge_rai.bench.series import YARDSTICK, Subject
from edge_rai.bench.yardstick import products
from edge_rai.bundle import Bundle, golden_array, read
from edge_rai.chatter import without_info
from edge_rai.errors import RuntimeMissingError
from edge_rai.session import Session, load

Array = np.ndarray[Any, np.dtype[Any]]
Rows = Mapping[str, Array]

BARE_C = "bare-c"
BARE = ("bare-python", BARE_C, "litert")
EMPTY = "empty"

# Types that the program bare-c takes no rows of.
_NOT_IN_FILES = ("string", "bfloat16")
# Inputs of different calls differ, as they would, and together stay within what a cache close to the core may hold.
_MOST_FEEDS = 256
_MOST_FEED_BYTES = 1 << 20


@dataclass(slots=True)
class Model:
    """A model or bundle that is measured, open.

    Attributes:
        name: In the report.
        path: Of the file or directory.
        session: Guarded.
        bundle: None: a bare model.
        rows: (n, ...) arrays by input name, what is measured with; n is 1 or more.
        without: Sessions with one safeguard switched off, by its name.
        given: `rows` are none of the bundle's own.
        stack: Closes what runs beside it.
    """

    name: str
    path: Path
    session: Session
    bundle: Bundle | None
    rows: Rows
    without: dict[str, Session] = field(default_factory=dict)
    given: bool = False
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def most_rows(self) -> int:
        """The most that one call may have."""
        return self.session._most_rows() if self.session.batched and self.session.rows_independent else 1

    def file_of(self, runtime: str) -> bytes | str:
        """What a bare runtime loads: the bundle's primary model for it, or the file itself.

        Raises:
            ValueError: There is none for it.
        """
        if self.bundle is None:
            if self.session.runtime != runtime:
                raise ValueError(f"{self.path}: {runtime} does not run {self.path.suffix} models")
            # By path, as an ONNX model may have weights in files beside it; but not one that cannot be told.
            by_path = runtime == "onnxruntime" and str(self.path).isprintable()
            return str(self.path) if by_path else self.path.read_bytes()
        for model in self.bundle.manifest.of_role("primary"):
            if model.format == FORMATS[runtime]:
                return self.bundle.files[model.path]
        raise ValueError(f"{self.path}: the bundle has no {FORMATS[runtime]} model for {runtime}; convert it for both")


@contextmanager
def opened(
    path: Path,
    name: str,
    *,
    rows: Callable[[Session], Rows] | None,
    threads: int,
    runtime: str | None,
    each: bool,
    told: Callable[[], None] = lambda: None,
) -> Iterator[Model]:
    """Opens a model or bundle and, with ``each``, once more without each of its safeguards.

    Args:
        path: The bundle or model.
        name: In the report.
        rows: Gives what to measure with, of the model's inputs; None: the bundle's golden inputs.
        threads: Threads within an operator.
        runtime: See load.
        each: Whether the safeguards are switched off in turn.
        told: Called after each session that is open: large models take a while.

    Raises:
        ValueError: A bare model without rows or, with ``each``, without a policy.
    """
    with ExitStack() as stack:
        with without_info():
            session = stack.enter_context(load(path, threads=threads, runtime=runtime))
        told()
        bundle = None if path.suffix.lower() in (".onnx", ".tflite") else read(path)
        found = rows(session) if rows else _golden(bundle, session, path)
        model = Model(name, path, session, bundle, _checked(found, session, path), given=bool(rows), stack=stack)
        if each:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="edge-rai-bench-")))
            for safeguard, changed in switched_off(path, bundle, folder):
                with without_info():
                    opening = load(changed, threads=threads, runtime=runtime)
                model.without[safeguard] = stack.enter_context(opening)
                changed.unlink()  # a session has read what it needs, and there may be twenty
                told()
        yield model


def subjects_of(model: Model, *, rows: int, threads: int, against: Sequence[str]) -> list[Subject]:
    """The model guarded, then bare as asked for, then without each safeguard.

    Args:
        model: Open.
        rows: Rows a call.
        threads: Threads within an operator, for the bare runtimes.
        against: Some of BARE.

    Raises:
        ValueError: Calls may not have so many rows.
        RuntimeMissingError: A runtime is not installed.
    """
    if rows > model.most_rows:
        raise ValueError(
            f"{model.name}: {rows} rows a call; its calls have {model.most_rows} at most"
            + ("" if model.session.rows_independent else ", because its rows depend on their batch mates")
        )
    feeds = _feeds(model, rows)
    single = model.session.inputs[0].name
    named = [with_states(feed if isinstance(feed, dict) else {single: feed}, model.session, rows) for feed in feeds]
    found = [Subject(model.name, _guarded(model.session, feeds), rows)]
    for kind in against:
        if kind == BARE_C:
            program = _bare_c(model, rows, threads)
            found.append(Subject(bare_name(model, kind), program.call, rows, program.block))
            continue
        runtime = "litert" if kind == "litert" else model.session.runtime
        found.append(Subject(bare_name(model, kind), _bare(model, runtime, threads, named), rows))
    found += [
        Subject(without_name(model, safeguard), _guarded(session, feeds), rows)
        for safeguard, session in model.without.items()
    ]
    return found


def bare_name(model: Model, kind: str) -> str:
    """In the report."""
    return f"{model.name} {kind}"


def without_name(model: Model, safeguard: str) -> str:
    """In the report."""
    return f"{model.name} without {safeguard}"


def harness(*, with_empty: bool) -> list[Subject]:
    """What a run has beside its models: the yardstick and, if asked for, a call of nothing, which is timing's cost."""
    yardstick = Subject(YARDSTICK, products())
    return [Subject(EMPTY, lambda _: None), yardstick] if with_empty else [yardstick]


def inputs_of(session: Session, rows: Rows, first: int, count: int) -> Any:
    """What `predict` is given for some of the rows, as its callers give it: an array where there is one input."""
    arrays = {
        spec.name: np.take(rows[spec.name], range(first, first + count), axis=0, mode="wrap")
        if session.batched
        else rows[spec.name]
        for spec in session.inputs
    }
    return arrays[session.inputs[0].name] if len(arrays) == 1 else arrays


def row_count(session: Session, rows: Rows) -> int:
    """How many rows there are; 1 where a call is one row."""
    return min(len(rows[spec.name]) for spec in session.inputs) if session.batched else 1


def with_states(feed: Rows, session: Session, rows: int) -> Rows:
    """Inputs by name with zeros for the states, which a session would give."""
    states = {
        spec.name: np.zeros([rows if extent is None else extent for extent in spec.shape], spec.dtype)
        for spec in session.states
    }
    return {**feed, **states}


def _bare(model: Model, runtime: str, threads: int, feeds: list[Rows]) -> Callable[[int], object]:
    file = model.file_of(runtime)
    if runtime == "onnxruntime":
        return onnxruntime_contender(file, threads, feeds)
    try:
        with without_info():
            return litert_contender(bytes(file), threads, feeds)  # type: ignore[arg-type]
    except ModuleNotFoundError as error:
        raise RuntimeMissingError(f"litert cannot be measured against: {INSTALL}") from error


def _bare_c(model: Model, rows: int, threads: int) -> BareC:
    """The program with the same rows: its own golden ones of a bundle, or those of a file."""
    model.file_of("onnxruntime")
    for spec in model.session.inputs:
        if spec.dtype in _NOT_IN_FILES:
            raise ValueError(f"{model.name}: bare-c takes inputs of numbers, and {spec.name} is of {spec.dtype}")
    arguments = ["--batch", str(rows), "--threads", str(threads)]
    if model.given:
        folder = model.stack.enter_context(TemporaryDirectory(prefix="edge-rai-bench-"))
        arguments += ["--data", str(_saved(model, Path(folder)))]
    return model.stack.enter_context(BareC([*arguments, "--", str(model.path)]))


def _saved(model: Model, folder: Path) -> Path:
    """The rows in a file that the program reads: one array, or several by their names."""
    arrays = {spec.name: np.asarray(model.rows[spec.name], order="C") for spec in model.session.inputs}
    if len(arrays) == 1:
        np.save(folder / "rows.npy", next(iter(arrays.values())))
        return folder / "rows.npy"
    np.savez(folder / "rows.npz", **arrays)  # type: ignore[arg-type]
    return folder / "rows.npz"


def _guarded(session: Session, feeds: list[Any]) -> Callable[[int], object]:
    predict, count = session.predict, len(feeds)
    return lambda i: predict(feeds[i % count])


def _feeds(model: Model, rows: int) -> list[Any]:
    one = inputs_of(model.session, model.rows, 0, rows)
    size = sum(values.nbytes for values in one.values()) if isinstance(one, dict) else one.nbytes
    count = -(-row_count(model.session, model.rows) // rows)
    count = max(1, min(count, _MOST_FEEDS, _MOST_FEED_BYTES // max(1, size)))
    return [inputs_of(model.session, model.rows, i * rows, rows) for i in range(count)]


def _golden(bundle: Bundle | None, session: Session, path: Path) -> Rows:
    if bundle is None:
        raise ValueError(f"{path}: a bare model has no golden inputs; give rows to measure with (--data)")
    given = {spec.name for spec in session.inputs}
    golden = (tensor for tensor in bundle.manifest.golden.inputs if tensor.name in given)
    return {tensor.name: golden_array(tensor, bundle.files[tensor.path]) for tensor in golden}


def _checked(rows: Rows, session: Session, path: Path) -> Rows:
    counts = {spec.name: len(rows[spec.name]) if rows[spec.name].ndim else 0 for spec in session.inputs}
    if session.batched and (0 in counts.values() or len(set(counts.values())) > 1):
        shown = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ValueError(f"{path}: rows to measure with: {shown}; expected at least 1, and as many of each input")
    for spec in session.inputs:
        shape = rows[spec.name].shape
        if 0 in shape:
            raise ValueError(f"{path}: rows to measure with: {spec.name} has shape {list(shape)}, which holds no value")
        # Of rows, how many there are is nobody's concern but ours.
        fits = [extent is None or extent == given for extent, given in zip(spec.shape, shape, strict=False)]
        if spec.shape and (len(shape) != len(spec.shape) or not all(fits[1:] if session.batched else fits)):
            expected = ["?" if extent is None else extent for extent in spec.shape]
            raise ValueError(
                f"{path}: rows to measure with: {spec.name} has shape {list(shape)}; expected "
                f"[{', '.join(map(str, expected))}]"
            )
    return rows
