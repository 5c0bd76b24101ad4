"""Bundles around a model and a policy, and bundles whose files were changed and sealed again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_rai import bundle
from edge_rai.policy import Policy, Reference, compile_policy, policy_to_toml
from edge_rai.types import TensorSpec
from support.models import reference_run

Tree = dict[str, bytes]


def write_bundle(
    path: Path,
    model: Path | Sequence[Path],
    policy: Policy,
    golden_inputs: Mapping[str, npt.NDArray[Any]],
    reference: Reference | None = None,
    *,
    golden_outputs: Mapping[str, npt.NDArray[Any]] | None = None,
    fallback: Path | Sequence[Path] | None = None,
    rows_independent: bool = True,
    atol: float = 1e-6,
    requirements: Mapping[str, str] | None = None,
    written: bool = False,
) -> Path:
    """A sound bundle, whose golden outputs are the bare runtime's unless given; sequences and maps have none.

    A model is one file, or one in each of several formats. Policy and reference are in it as written too on request.
    """
    sources = {
        (role, path.suffix): path
        for role, given in (("primary", model), ("fallback", fallback))
        for path in ([given] if isinstance(given, Path) else given or ())
    }
    first = next(iter(sources.values()))
    answers = reference_run(first, golden_inputs) if golden_outputs is None else golden_outputs
    outputs = {name: values for name, values in answers.items() if isinstance(values, np.ndarray)}
    contents = {key: source.read_bytes() for key, source in sources.items()}
    stems = {"primary": "models/model", "fallback": "models/fallback"}
    paths = {(role, suffix): stems[role] + suffix for role, suffix in sources}
    files = {
        "card.md": b"# A small model\n",
        "guard.bin": compile_policy(policy, reference),
        **{paths[key]: content for key, content in contents.items()},
        **{_golden_path(name): bundle.golden_bytes(values) for name, values in {**golden_inputs, **outputs}.items()},
    }
    if written:
        files["policy.toml"] = policy_to_toml(policy).encode()
        files |= {"reference/reference.json": reference.to_json()} if reference else {}
    digests = {key: hashlib.sha256(content).hexdigest() for key, content in contents.items()}
    manifest = bundle.Manifest(
        format_version=bundle.FORMAT_VERSION,
        name="small",
        models=tuple(
            bundle.ModelFile(  # type: ignore[arg-type]
                key[0], paths[key], key[1].removeprefix("."), "none", rows_independent, digests[key], len(content)
            )
            for key, content in contents.items()
        ),
        inputs=tuple(_spec(rule) for rule in policy.inputs),
        outputs=tuple(_spec(rule) for rule in policy.outputs),
        golden=bundle.Golden(atol, _golden(golden_inputs), _golden(outputs)),
        provenance=bundle.Provenance(first.name, digests["primary", first.suffix], "0" * 64, {}),
        requirements=dict(requirements or {}),
    )
    bundle.write_bundle(path, files, manifest)
    return path


def _spec(rule: Any) -> TensorSpec:
    return TensorSpec(rule.name, rule.dtype, tuple(None if extent < 0 else extent for extent in rule.shape))


def _golden_path(name: str) -> str:
    return f"reference/golden/{re.sub('[^A-Za-z0-9_]', '_', name)}.bin"


def _golden(tensors: Mapping[str, npt.NDArray[np.generic]]) -> tuple[bundle.GoldenTensor, ...]:
    return tuple(
        bundle.GoldenTensor(name, _golden_path(name), bundle.golden_dtype(values), values.shape)
        for name, values in tensors.items()
    )


def read_tree(path: Path) -> Tree:
    """Every file of a bundle."""
    return dict(bundle.read(path).files)


def write_tree(path: Path, tree: Tree) -> Path:
    """Writes files as they are, sealed or not: a zip when the name ends in .erai, else a directory."""
    if path.suffix == bundle.SUFFIX:
        path.write_bytes(bundle.stored_zip(tree))
    else:
        for name, data in tree.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path


def seal(tree: Tree, **changes: Any) -> Tree:
    """The same files under new digests, as somebody who means harm would; `changes` go into the manifest."""
    manifest = {**json.loads(tree["manifest.json"]), **changes}
    listed = {name: data for name, data in tree.items() if name not in ("manifest.json", "manifest.sha256")}
    manifest["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in listed.items()}
    for model in manifest["models"]:
        model["sha256"] = manifest["files"].get(model["path"], "0" * 64)
        model["size"] = len(listed.get(model["path"], b""))
    text = json.dumps(manifest, sort_keys=True).encode()
    return {**listed, "manifest.json": text, "manifest.sha256": f"{hashlib.sha256(text).hexdigest()}\n".encode()}
