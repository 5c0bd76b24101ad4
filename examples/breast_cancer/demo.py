"""The whole chain on real data: train, convert, guard, drift, upload. Every number printed was just measured."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
from fleet import Collector, edge_rai_cli
from scenes import NAMED, ROWS, Fact, answer, bare, missing_value, unit_change
from train import train

import edge_rai
from edge_rai.bench.guarded import guard_cost
from edge_rai.bundle import read
from edge_rai_converters import convert

WORK = Path("build/demo")


def main() -> int:
    """Runs the five scenes; returns 1 when a measurement contradicts what the text says."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    model, calibration, rows, labels, everything = train(WORK)
    print("1. Convert. The float model, its int8 form, and a guard learned from the training rows.")
    report = convert(model, calibration, WORK / "tumour.erai", labels="y", prune="none", quantize="int8")
    convert(model, calibration, WORK / "tumour-float.erai", labels="y", prune="none", quantize="none")
    float_model, int8_model = (bare(read(WORK / f"{name}.erai")) for name in ("tumour-float", "tumour"))
    with edge_rai.load(WORK / "tumour.erai", spool=WORK / "spool") as session:
        guarded = session.predict(rows)
        answers = {"float": float_model(rows), "int8": int8_model(rows), "guarded int8": guarded.outputs["shares"]}
        accuracy = {name: np.mean(shares.argmax(1) == labels) for name, shares in answers.items()}
        accepted = guarded.row_verdicts == edge_rai.Verdict.ACCEPT
        accuracy["guarded int8"] = np.mean((answers["guarded int8"].argmax(1) == labels)[accepted])
        for candidate in report.candidates:
            print(f"   {candidate.quantization:16} {candidate.size:6,} bytes")
        print("   accuracy on unseen rows: " + ", ".join(f"{name} {value:.3f}" for name, value in accuracy.items()))
        print("   a clean row: " + ", ".join(f"{name} {answer(shares[0])}" for name, shares in answers.items()))
        print(f"   rejected by the guard, and not counted: {np.count_nonzero(~accepted)} of {len(rows)} clean rows\n")
        facts = [missing_value(session, rows, labels, float_model, int8_model), unit_change(session, everything)]
    facts.append(upload(session_rows=len(rows) * 2 + 2 * ROWS))
    facts.append(cost())
    return verdict([*facts, (np.ptp(list(accuracy.values())) < 0.02, f"accuracy {accuracy['guarded int8']:.3f}")])


def upload(session_rows: int) -> Fact:
    """Three batches to a collector on a free port."""
    print("4. Upload: three batch files to a collector on a loopback port.")
    with Collector(WORK / "store") as collector:
        sent = edge_rai_cli("agent", "--spool", WORK / "spool", "--endpoint", collector.url, "--once")["sent"]
    fleet = edge_rai_cli("fleet", "status", "--store", WORK / "store")
    features = edge_rai_cli("fleet", "drift", "--store", WORK / "store")["features"]
    worst = max(features, key=lambda feature: feature["psi"])
    (rows,) = (group["rows"] for group in fleet["groups"])
    counts = ", ".join(f"{name} {count}" for name, count in rows.items())
    print(f"   {sent} batches sent; {len(list((WORK / 'spool').glob('*.batch')))} left in the spool")
    print(f"   the collector knows {len(fleet['devices'])} device; rows: {counts}")
    print(f"   its worst feature is '{worst['feature']}' with PSI {worst['psi']:.3f} over {worst['values']} values\n")
    holds = sent == 3 and sum(rows.values()) == session_rows and worst["feature"] == NAMED
    return holds, f"delivered {sent} batches, {session_rows} rows"


def cost() -> Fact:
    """Guarded predict against bare InferenceSession.run."""
    print("5. Cost: guarded predict / bare InferenceSession.run, one row, one thread, interleaved.")
    measured = []
    for name in ("tumour", "tumour-float"):
        result = guard_cost(WORK / f"{name}.erai")
        guarded, plain = (result.timings[key].percentile_ns(50) / 1000 for key in ("guarded", "bare"))
        spread = f"{result.ratio.p10:.2f} to {result.ratio.p90:.2f}"
        print(f"   {name:13} {guarded:5.1f} / {plain:5.1f} us = {result.ratio.p50:.2f} ({spread})")
        measured.append(result.ratio.p50)
    print()
    return max(measured) < 1, f"guarded/bare int8 {measured[0]:.2f}, float {measured[1]:.2f}"


def verdict(facts: list[Fact]) -> int:
    """The last line."""
    holds = all(fact for fact, _ in facts)
    print(f"demo: {'ok' if holds else 'CONTRADICTED'}: " + "; ".join(text for _, text in facts))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
