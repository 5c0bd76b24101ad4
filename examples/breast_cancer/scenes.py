"""Two things that go wrong in the field, and what the guard makes of them."""

from __future__ import annotations

import numpy as np
import onnxruntime
from train import LABELS

import edge_rai
from edge_rai.bundle import Bundle

NAMED = "worst area"  # the feature that goes missing, and the one whose unit changes
ROWS = 2000
FAR = edge_rai.ReasonCode.OUT_OF_DISTRIBUTION
SHIFT = 0.25  # a PSI above it is commonly called a shift

Fact = tuple[bool, str]  # whether the measurements bear the text out, and their summary


def bare(bundle: Bundle):
    """The bundle's model without a guard: rows in, shares out."""
    session = onnxruntime.InferenceSession(bundle.files[bundle.manifest.primary.path])
    return lambda rows: session.run(None, {"features": rows})[0]


def answer(shares: np.ndarray) -> str:
    """A row's class and share."""
    return "nan" if np.isnan(shares).any() else f"'{LABELS[shares.argmax()]}' with {shares.max():.3f}"


def missing_value(session: edge_rai.Session, rows: np.ndarray, labels: np.ndarray, float_model, int8_model) -> Fact:
    """One NaN in every row."""
    print(f"2. One missing value: '{NAMED}' is NaN in each of the {len(rows)} rows.")
    broken = rows.copy()
    broken[:, column(session)] = np.nan
    floats, int8, guarded = float_model(broken), int8_model(broken), session.predict(broken)
    sure = np.count_nonzero(int8.max(1) >= 0.9)
    row = int(np.where(int8.argmax(1) != labels, int8.max(1), 0).argmax())  # the surest of the wrong ones
    print(f"   row {row} is {LABELS[labels[row]]}. float answers {answer(floats[row])}, as for all of them")
    print(f"   bare int8 answers {answer(int8[row])}; {sure} of {len(rows)} rows with at least 0.9")
    source = edge_rai.Source(guarded.row_sources[row]).name.lower()
    print(f"   guarded int8: {guarded.reasons[row]}; rejected, {source} answers {guarded.outputs['shares'][row]}\n")
    rejected = np.count_nonzero(guarded.row_verdicts == edge_rai.Verdict.REJECT)
    holds = np.isnan(floats).all() and np.isfinite(int8).all() and sure > len(rows) / 2
    holds &= rejected == len(rows) and {reason.subject for reason in guarded.reasons} == {NAMED}
    return holds, f"nan rows {len(rows)}: bare int8 sure of {sure}, guarded rejected {rejected}"


def unit_change(session: edge_rai.Session, rows: np.ndarray) -> Fact:
    """A stream in which one feature changes its unit halfway."""
    print(f"3. A unit change: '{NAMED}' times 10 in the second half of a stream of {2 * ROWS} rows.")
    session.flush()
    psi, others = [], []
    for factor in (1, 10):
        stream = rows[np.random.default_rng(factor).integers(0, len(rows), ROWS)].copy()
        stream[:, column(session)] *= factor
        answers = [session.predict(row[None]) for row in stream]
        rejected = [answer for answer in answers if answer.verdict == edge_rai.Verdict.REJECT]
        alone = sum(all(reason.code == FAR for reason in answer.reasons) for answer in rejected)
        drift = {feature.name: feature.psi for feature in session.drift()}
        psi.append(drift.pop(NAMED))
        others.append(max(drift.values()))
        print(f"   times {factor:2}: PSI {psi[-1]:.3f}, all others at most {others[-1]:.3f};", end=" ")
        print(f"{len(rejected)} rows rejected, {alone} by their distance alone")
        session.flush()
    print()
    holds = psi[0] < SHIFT < psi[1] and max(others) < SHIFT and alone > ROWS / 10
    return holds, f"psi {psi[0]:.2f} -> {psi[1]:.2f}, distance alone caught {alone}"


def column(session: edge_rai.Session) -> int:
    """Where the named feature stands in a row."""
    return [feature.name for feature in session.features].index(NAMED)
