"""A bundle whose TFLite model is cut, or has bits flipped, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np

from edge_rai import BundleError, load
from edge_rai.policy import InputRule, OutputRule, Policy
from support.bundles import read_tree, write_bundle, write_tree
from support.litert_models import BIAS, WEIGHTS, linear
from support.tflite_damage import Damage

MODEL = "models/model.tflite"


def refusals(folder: Path, files: int) -> Iterator[str]:
    """What ``load`` says of each of so many damaged files in the bundle's place of the model; "" of one it takes."""
    (folder / "m.tflite").write_bytes(linear())
    rows = np.ones((2, 3), np.float32)
    rules = Policy(1, True, (InputRule("x", "float32", (-1, 3), (1000, 3)),), (OutputRule("y", "float32", (-1, 2)),))
    answers = {"y": rows @ WEIGHTS.T + BIAS}
    whole = write_bundle(folder / "m.erai", folder / "m.tflite", rules, {"x": rows}, golden_outputs=answers, atol=1e-5)
    bundle = write_tree(folder / "open", read_tree(whole))
    load(bundle).close()
    damage = Damage((bundle / MODEL).read_bytes(), seed=1)
    # Of the kinds of damage, those that rebuild the file take longest, and are no other to a digest.
    made = (damage.make(number)[1] for number in count() if number % 10 not in (2, 3, 4))
    for data in islice((data for data in made if data != damage.data), files):
        (bundle / MODEL).write_bytes(data)
        try:
            load(bundle).close()
        except BundleError as error:
            yield str(error)
        else:
            yield ""
