"""ONNX's own operator tests through the TFLite writer: what is written agrees, what cannot be is refused, no more.

Some of each operator's cases; `make proof` runs them all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from support.operator_cases import OPERATORS, collected
from support.tflite_cases import outcomes, table, told

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

CASES_EACH = 3
# ONNX makes cases of these when it is imported, pools of 32,768 places in Python, for seconds; random pools are in
# test_tflite_random.py.
SLOW = {"AveragePool", "MaxPool"}


def test_operators_agree_with_onnx_or_are_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operators = [operator for operator in OPERATORS if operator not in SLOW]
    cases = sorted(collected(operators), key=lambda case: not case.usual())
    by_operator = {operator: [case for case in cases if case.operator == operator] for operator in operators}
    chosen = [case for group in by_operator.values() for case in group[:CASES_EACH]]
    found = outcomes(chosen, tmp_path)
    with capsys.disabled():
        sys.stdout.write(f"\n{table(found)}")
    assert not told(found, "wrong", "crashed")
    assert all(outcome.detail.startswith("TFLite: ") for outcome in found if outcome.outcome == "refused")
    written = {outcome.operator for outcome in found if outcome.outcome == "agrees"}
    missing = {case.operator for case in cases if case.usual()} - written
    assert not missing, f"no case agrees of {sorted(missing)}"
