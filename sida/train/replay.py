"""Known pictures of a model as features: some to be learned beside new ones, some to check with.

They lie beside the weights in a file of a few MB, so that a model that is adapted to new pictures
can be held to what it knew, without its training data.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from sida.errors import CheckpointError
from sida.files import write_bytes
from sida.train.class_features import ClassFeatures

__all__ = ["FILE", "Replay", "load_replay", "save_replay"]

FILE = "replay.safetensors"
"""Its name in a model's folder."""
KEY = "sida.replay/1"
"""Of the file's metadata; its value is the digest of the weights that the features are of."""
LEVELS = 127
"""Of int8, on each side of zero."""


class Replay(NamedTuple):
    """Features of known pictures.

    Attributes:
        learned: that the model was trained on; they are learned again beside new ones.
        check: that no training saw; by them it is measured whether anything was forgotten.
    """

    learned: ClassFeatures
    check: ClassFeatures


def save_replay(path: str | Path, replay: Replay, digest: str) -> None:
    """Write features as int8 with a scale for each, logits and labels as they are.

    Groups are not kept: each picture should be of another original.

    Args:
        digest: of the weights that made them.

    Raises:
        SidaError: the file cannot be written.
    """
    tensors = {}
    for name, pictures in replay._asdict().items():
        scales = (pictures.features.abs().amax(0) / LEVELS).clamp_min(1e-12)
        tensors[f"{name}.features"] = (pictures.features / scales).round().to(torch.int8)
        tensors[f"{name}.scales"] = scales
        # A copy, since they may be columns of a larger tensor.
        tensors[f"{name}.logits"] = pictures.logits.clone(memory_format=torch.contiguous_format)
        tensors[f"{name}.labels"] = torch.from_numpy(pictures.labels).to(torch.uint8)
    write_bytes(path, save(tensors, metadata={KEY: digest}))


def load_replay(folder: Path, digest: str) -> Replay | None:
    """The known pictures beside a model's weights; None where there are none.

    Raises:
        CheckpointError: the file cannot be read, or is of other weights.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            stored_digest = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        parts = [_part(tensors, name) for name in Replay._fields]
    except (SafetensorError, OSError, KeyError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({error}): copy it again, or name known pictures with --known."
        ) from error
    if stored_digest != digest:
        raise CheckpointError(
            f"{path} is of other weights than those beside it: make it again with "
            "scripts/make_replay.py, or name known pictures with --known."
        )
    return Replay(*parts)


def _part(tensors: Mapping[str, torch.Tensor], name: str) -> ClassFeatures:
    features, scales, logits, labels = (
        tensors[f"{name}.{part}"] for part in ("features", "scales", "logits", "labels")
    )
    numbers = labels.numpy().astype(np.int64)
    return ClassFeatures(features * scales, logits, numbers, np.arange(len(numbers)))
