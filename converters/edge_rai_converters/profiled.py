"""A policy and a reference learned from a model and data, as files to read and edit; no bundle is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_rai.policy import Policy, Reference
from edge_rai_converters.commented import commented
from edge_rai_converters.data import ImageOptions
from edge_rai_converters.distance import Asked, DistanceReport
from edge_rai_converters.given import Data, Labels, Times, check_parent, on_disk
from edge_rai_converters.learning import learn
from edge_rai_converters.progress import Progress, silent
from edge_rai_converters.wishes import Wishes


@dataclass(frozen=True, eq=False, slots=True)
class Profile:
    """What was learned.

    Attributes:
        output: The folder with policy.toml and reference.json.
        policy: The rules.
        reference: Of drift and distances.
        rows: That all of it was learned from; one of every four is held back.
        distances: What is behind each input's distance.
        without_distance: By input, why it has none.
        not_taken: Columns or arrays of the data that no input takes and that are not the labels.
    """

    output: Path
    policy: Policy
    reference: Reference
    rows: int
    distances: tuple[DistanceReport, ...]
    without_distance: Mapping[str, str]
    not_taken: tuple[str, ...]


def profile_model(
    model: object,
    data: Data,
    output: str | Path,
    *,
    labels: Labels = None,
    images: ImageOptions | None = None,
    columns: Sequence[str] | None = None,
    states: Sequence[str] = (),
    distance: Asked | None = None,
    false_rejection_rate: float | None = None,
    average_run_length: float | None = None,
    ordered: bool = False,
    times: Times = None,
    progress: Progress = silent,
) -> Profile:
    """Learns limits, categories, distances and the reference of drift, and writes them: the command ``profile``.

    Args:
        model: A file or an object, see ``convert``; it is not modified.
        data: As ``convert`` takes them.
        output: Folder that receives policy.toml, with comments, which ``convert`` takes as its policy, and
            reference.json.
        labels: As ``convert`` takes them: they are no input.
        images: As there.
        columns: As there.
        states: As there.
        distance: As there.
        false_rejection_rate: As there.
        average_run_length: As there.
        ordered: As there.
        times: As there.
        progress: Told what happens next.

    Raises:
        EdgeRaiError: As ``convert``: the model or the data are not valid, or do not fit each other.
        FileExistsError: The folder has a policy.toml, which somebody may have edited.
        ValueError: An argument is out of range.
        OSError: A file cannot be read, or the folder not written.
    """
    folder = Path(output)
    check_parent(folder)
    written = folder / "policy.toml"
    if written.exists():
        raise FileExistsError(
            f"{written} exists, and somebody may have edited it; it is not overwritten: move it, or name another folder"
        )
    with on_disk(data, labels) as (path, known):
        wishes = Wishes(
            labels=known,
            states=states,
            distance=distance,
            rate=false_rejection_rate,
            images=images,
            columns=columns,
            average_run_length=average_run_length,
            ordered=ordered,
            times=times,
        )
        learned = learn(model, path, wishes, progress)
    folder.mkdir(exist_ok=True)
    (folder / "reference.json").write_bytes(learned.reference.to_json())
    # Last, as what says that there is a profile: an interrupted one is made again.
    whole = folder / ".policy.toml"
    whole.write_text(commented(learned.policy, learned.reference, len(learned.calibration)), encoding="utf-8")
    whole.replace(written)
    return Profile(
        output=folder,
        policy=learned.policy,
        reference=learned.reference,
        rows=len(learned.calibration),
        distances=learned.distances,
        without_distance=learned.without_distance,
        not_taken=learned.dataset.not_taken,
    )
