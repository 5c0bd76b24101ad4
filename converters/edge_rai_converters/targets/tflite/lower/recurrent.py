"""LSTM, GRU and RNN, unrolled over their time axis in matrix products and activations.

TFLite has an operator for a whole LSTM, which is not used: its state is a variable that the next call starts from, so
an answer would depend on the calls before it. Unrolled, each call starts from the state that the model says.

Of sequences that end early, steps behind the end are computed as well, of zeros, and what they make is multiplied by 0.

XNNPACK packs weights anew for each product that has them, so once a step. Where that is more than a cache holds, what
the step adds is the product's own bias: a bias that is computed XNNPACK leaves to LiteRT, which reads the weights where
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_rai_converters.passes.lower.sketch import Array
from edge_rai_converters.targets.tflite.lower.draft import Draft, Rules

# About a dozen operators a step: more of them take longer to load and to plan than to run.
MOST_STEPS = 512
# In bytes, all steps together (ADR 11); 8 MiB were still faster in XNNPACK, 13.5 slower by half.
MOST_PACKED = 8 << 20
_ACTIVATIONS = frozenset({"Elu", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"})
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_REVERSED = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
# Where the lengths of its sequences, its hidden state, and what else is remembered, are among a layer's inputs.
_LENGTHS, _HIDDEN, _CELL, _PEEPHOLES = 4, 5, 6, 7


@dataclass(frozen=True, slots=True)
class _State:
    """Names of (rows, hidden size) each; "" stands for zeros.

    Attributes:
        hidden: What the layer answers.
        cell: What an LSTM remembers beside it.
    """

    hidden: str = ""
    cell: str = ""


@dataclass(frozen=True, slots=True)
class _Lasting:
    """Names, by step, of (rows, 1) each: 1 in rows whose sequence lasts that long and 0 in others, and the opposite."""

    alive: Sequence[str]
    ended: Sequence[str]

    def kept(self, draft: Draft, at: int, fresh: _State, before: _State) -> tuple[str, _State]:
        """A step's answer, 0 where the sequence has ended, and the state behind it, which is then that before it."""

        def both(made: str, old: str) -> tuple[str, str]:
            made = draft.op("Mul", made, self.alive[at])
            return made, draft.op("Add", made, draft.op("Mul", old, self.ended[at])) if old else made

        answer, hidden = both(fresh.hidden, before.hidden)
        return answer, _State(hidden, both(fresh.cell, before.cell)[1] if fresh.cell else "")

    def closed(self, draft: Draft, last: _State) -> _State:
        """The state behind the last step; of a sequence without steps it is 0, wherever it began."""
        begun = self.alive[0]
        return _State(draft.op("Mul", last.hidden, begun), draft.op("Mul", last.cell, begun) if last.cell else "")


@dataclass(frozen=True, slots=True)
class _Direction:
    """One pass of a layer.

    Attributes:
        draft: Where it is written.
        weights: (gates x hidden, inputs) and (gates x hidden, hidden).
        biases: Of both, (gates x hidden,) each.
        peepholes: Of an LSTM: (3 x hidden,) or none.
        activations: In the order of the specification.
        hidden: Size of the state.
        in_place: Products with a state are LiteRT's own.
        names: Of weights and biases of some gates, which every step takes.
    """

    draft: Draft
    weights: tuple[Array, Array]
    biases: tuple[Array, Array]
    peepholes: Array | None
    activations: tuple[str, ...]
    hidden: int
    in_place: bool
    names: dict[tuple[int, int, int], tuple[str, str]] = field(default_factory=dict)

    def activated(self, which: int, values: str) -> str:
        """A gate's values, limited where the layer says so."""
        limit = self.draft.attribute("clip")
        if limit:
            values = self.draft.op("Clip", values, self.draft.scalar(-limit), self.draft.scalar(limit))
        return self.draft.op(self.activations[which], values)

    def product(self, values: str, which: int, gates: slice, bias: Array | str | None = None) -> str:
        """Of the weights of some gates, plus their part of a bias; 0 are those of the inputs and 1 those of the state.

        Args:
            values: The left side.
            which: Of the two.
            gates: Which ones.
            bias: Of all gates; or the name of these gates' own, where it is computed; None: there is none.
        """
        key = which, gates.start, gates.stop
        if key not in self.names:
            rows = slice(gates.start * self.hidden, gates.stop * self.hidden)
            weights = self.weights[which][rows]
            added = bias[rows] if isinstance(bias, np.ndarray) else np.zeros(len(weights), weights.dtype)
            self.names[key] = self.draft.held(weights), self.draft.held(added)
        if not isinstance(bias, str):
            return self.draft.op("Gemm", values, *self.names[key], transB=1)
        made = self.draft.op("Gemm", values, self.names[key][0], bias, transB=1)
        self.draft.settled.add(made)
        return made

    def stepped(self, given: str, state: str, gates: slice) -> str:
        """What some gates are given, and what they make of a state, of which "" is none."""
        if not state:
            return given
        if self.in_place:
            return self.product(state, 1, gates, given)
        return self.draft.op("Add", given, self.product(state, 1, gates))

    def gates(self, values: str, count: int) -> list[str]:
        """Gates that lie beside each other."""
        return self.draft.split(values, 1, [self.hidden] * count)

    def gate(self, values: str, which: int) -> str:
        """One of them, where not all are asked for: an output that nothing reads has no memory in LiteRT."""
        return self.draft.slice(values, 1, which * self.hidden, (which + 1) * self.hidden)


# Of a layer, what the step is given (of a GRU its gates, and the candidate apart), and the state before it.
_Step = Callable[[_Direction, Sequence[str], _State], _State]


def _lstm_step(layer: _Direction, given: Sequence[str], state: _State) -> _State:
    draft = layer.draft
    total = layer.stepped(given[0], state.hidden, slice(0, 4))
    forgets = state.cell != "" and not draft.attribute("input_forget", 0)
    if forgets:
        into, out, forget, candidate = layer.gates(total, 4)
    else:
        into, out, candidate = (layer.gate(total, which) for which in (0, 1, 3))
    into = layer.activated(0, _seen(layer, into, state.cell, 0))
    fresh = draft.op("Mul", into, layer.activated(1, candidate))
    cell = fresh
    if state.cell:
        if forgets:
            kept = layer.activated(0, _seen(layer, forget, state.cell, 2))
        else:
            kept = draft.op("Sub", draft.scalar(1), into)
        cell = draft.op("Add", draft.op("Mul", kept, state.cell), fresh)
    out = layer.activated(0, _seen(layer, out, cell, 1))
    return _State(draft.op("Mul", out, draft.op(layer.activations[2], cell)), cell)


def _seen(layer: _Direction, gate: str, cell: str, which: int) -> str:
    """A gate that looks at the cell too, where the layer has peepholes."""
    if layer.peepholes is None or not cell:
        return gate
    factors = layer.peepholes[which * layer.hidden : (which + 1) * layer.hidden]
    return layer.draft.op("Add", gate, layer.draft.op("Mul", cell, factors))


def _gru_step(layer: _Direction, given: Sequence[str], state: _State) -> _State:
    draft, before = layer.draft, state.hidden
    total, candidate = given
    if draft.attribute("linear_before_reset", 0):
        update, reset, inner = _linear_gates(layer, total, before)
        candidate = draft.op("Add", candidate, draft.op("Mul", layer.activated(0, reset), inner))
    elif before:
        update, reset = layer.gates(layer.stepped(total, before, slice(0, 2)), 2)
        candidate = layer.stepped(candidate, draft.op("Mul", layer.activated(0, reset), before), slice(2, 3))
    else:
        update = layer.gate(total, 0)
    update, proposed = layer.activated(0, update), layer.activated(1, candidate)
    if not before:
        return _State(draft.op("Sub", proposed, draft.op("Mul", update, proposed)))
    return _State(draft.op("Add", proposed, draft.op("Mul", update, draft.op("Sub", before, proposed))))


def _linear_gates(layer: _Direction, total: str, before: str) -> tuple[str, str, str | Array]:
    """Update, reset, and what is reset, of a GRU that resets behind its product."""
    if layer.in_place:
        update, reset, inner = layer.gates(layer.stepped(total, before, slice(0, 3)), 3)
        return update, reset, inner
    update, reset = layer.gates(total, 2)
    bias = layer.biases[1].copy()
    bias[: 2 * layer.hidden] = 0  # which the inputs' product has
    if not before:
        return update, reset, bias[2 * layer.hidden :]
    *sums, inner = layer.gates(layer.product(before, 1, slice(0, 3), bias), 3)
    update, reset = (layer.draft.op("Add", one, other) for one, other in zip((update, reset), sums, strict=True))
    return update, reset, inner


def _rnn_step(layer: _Direction, given: Sequence[str], state: _State) -> _State:
    return _State(layer.activated(0, layer.stepped(given[0], state.hidden, slice(0, 1))))


_STEPS: dict[str, _Step] = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN": _rnn_step}


def _recurrent(draft: Draft) -> bool:
    by_row = bool(draft.attribute("layout", 0))
    given, shape = draft.node.input[0], list(draft.shape())
    if by_row:
        given = draft.op("Transpose", given, perm=[1, 0, 2])
        shape[:2] = shape[1::-1]
    steps, rows, width = shape
    _refuse(draft, steps)
    flat = draft.reshape(given, [steps * rows, width])
    lasting = None
    if _ends_early(draft, steps, rows):
        flat, lasting = _lasting(draft, flat, steps, rows)
    sequences, states = [], []
    for index, backwards in enumerate(_REVERSED[draft.attribute("direction", "forward")]):
        layer = _direction(draft, index, steps, rows)
        answers, last = _unrolled(layer, flat, (steps, rows), _initial(draft, index, rows), lasting, backwards)
        sequences.append(draft.reshape(draft.op("Concat", *answers, axis=0), [steps, 1, rows, layer.hidden]))
        states.append(last)
    _give(draft, 0, draft.op("Concat", *sequences, axis=1), [2, 0, 1, 3] if by_row else [])
    for output, part in ((1, "hidden"), (2, "cell")):
        last_ones = [draft.reshape(getattr(state, part), [1, rows, -1]) for state in states if getattr(state, part)]
        if last_ones:
            _give(draft, output, draft.op("Concat", *last_ones, axis=0), [1, 0, 2] if by_row else [])
    return True


def _give(draft: Draft, output: int, values: str, order: list[int]) -> None:
    if draft.wants(output):
        draft.op("Transpose" if order else "Identity", values, named=draft.node.output[output], **_perm(order))


def _perm(order: list[int]) -> dict[str, list[int]]:
    return {"perm": order} if order else {}


def _refuse(draft: Draft, steps: int) -> None:
    if steps > MOST_STEPS:
        raise draft.refusal(
            f"it takes {steps} steps, and no more than {MOST_STEPS} are written one after the other",
            "give it shorter sequences, or put a strided convolution or pool before it",
        )
    if draft.has(3) and draft.value(3) is None:
        raise draft.refusal("its input 'B' is computed", "make it constant")
    if draft.attribute("activation_alpha") or draft.attribute("activation_beta"):
        raise draft.refusal("its activations have factors of their own", "leave activation_alpha and _beta away")


def _ends_early(draft: Draft, steps: int, rows: int) -> bool:
    lengths = draft.value(_LENGTHS)
    return draft.has(_LENGTHS) and (lengths is None or not np.array_equal(lengths, np.full(rows, steps)))


def _lasting(draft: Draft, flat: str, steps: int, rows: int) -> tuple[str, _Lasting]:
    """The inputs of all steps, 0 behind the ends, where a NaN then counts for nothing; and how long each row lasts."""
    lengths = draft.op("Cast", draft.node.input[_LENGTHS], to=draft.inputs[0].dtype)
    left = draft.op("Sub", draft.reshape(lengths, [1, rows]), np.arange(steps, dtype=draft.scalar(0).dtype)[:, None])
    alive = draft.reshape(draft.op("Clip", left, draft.scalar(0), draft.scalar(1)), [steps * rows, 1])
    ended = draft.op("Sub", draft.scalar(1), alive)
    inside = draft.op("Where", draft.op("Greater", alive, draft.scalar(0)), flat, draft.scalar(0))
    parts = [draft.split(each, 0, [rows] * steps) if steps > 1 else [each] for each in (alive, ended)]
    return inside, _Lasting(*parts)


def _direction(draft: Draft, index: int, steps: int, rows: int) -> _Direction:
    operator = draft.node.op_type
    weights = draft.constant(1, "W")[index], draft.constant(2, "R")[index]
    hidden = weights[1].shape[1]
    size = _GATES[operator] * hidden
    bias = draft.value(3)
    both = np.zeros(2 * size, np.float32) if bias is None else bias[index]
    peepholes = draft.constant(_PEEPHOLES, "P") if operator == "LSTM" and draft.has(_PEEPHOLES) else None
    names = [name.decode() for name in draft.attribute("activations", [])] or list(_DEFAULTS[operator]) * (index + 1)
    count = len(_DEFAULTS[operator])
    chosen = tuple(_spelled(draft, name) for name in names[index * count : (index + 1) * count])
    own = None if peepholes is None else peepholes[index]
    in_place = rows == 1 and steps * weights[1].nbytes > MOST_PACKED  # a bias is one row
    return _Direction(draft, weights, (both[:size], both[size:]), own, chosen, hidden, in_place)


def _spelled(draft: Draft, name: str) -> str:
    """An activation as its operator is spelled; the attribute may be written in any case."""
    found = next((known for known in _ACTIVATIONS if known.lower() == name.lower()), None)
    if found is None:
        raise draft.refusal(f"its activation is {name}", f"one of {', '.join(sorted(_ACTIVATIONS))}")
    return found


def _initial(draft: Draft, index: int, rows: int) -> _State:
    """What the pass starts from."""
    return _State(*(_taken(draft, which, index, rows) for which in (_HIDDEN, _CELL)))


def _taken(draft: Draft, which: int, index: int, rows: int) -> str:
    value = draft.value(which)
    if not draft.has(which) or (value is not None and not value.any()):
        return ""
    axis = 1 if draft.attribute("layout", 0) else 0
    piece = draft.slice(draft.node.input[which], axis, index, index + 1)
    return draft.reshape(piece, [rows, draft.shape(which)[2]])


def _given(layer: _Direction, flat: str, count: int) -> list[str]:
    """What the inputs of all steps bring, (count, gates x hidden); of a GRU the candidate apart, (count, hidden)."""
    draft, bias = layer.draft, layer.biases[0] + layer.biases[1]
    if draft.node.op_type != "GRU":
        return [layer.product(flat, 0, slice(0, _GATES[draft.node.op_type]), bias)]
    gates = layer.product(flat, 0, slice(0, 2), bias)
    if not draft.attribute("linear_before_reset", 0):
        return [gates, layer.product(flat, 0, slice(2, 3), bias)]
    if layer.in_place:
        gates = draft.op("Concat", gates, np.tile(layer.biases[1][2 * layer.hidden :], (count, 1)), axis=1)
    return [gates, layer.product(flat, 0, slice(2, 3), layer.biases[0])]


def _unrolled(
    layer: _Direction, flat: str, extents: tuple[int, int], state: _State, lasting: _Lasting | None, backwards: bool
) -> tuple[Sequence[str], _State]:
    """What the layer answers at each step, in the order of the sequence, and the state after the last one."""
    steps, rows = extents
    step, totals = _STEPS[layer.draft.node.op_type], _given(layer, flat, steps * rows)
    given = [layer.draft.split(total, 0, [rows] * steps) if steps > 1 else [total] for total in totals]
    answers = [""] * steps
    for at in reversed(range(steps)) if backwards else range(steps):
        fresh = step(layer, [parts[at] for parts in given], state)
        answers[at], state = lasting.kept(layer.draft, at, fresh, state) if lasting else (fresh.hidden, fresh)
    return answers, lasting.closed(layer.draft, state) if lasting else state


RULES: Rules = dict.fromkeys(_STEPS, _recurrent)
