"""Our folders, written: weights of a frozen encoder stay in the int8 file that they came from."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from sida.assets import EMBEDDED
from sida.model.clip_windows import ClipWindows
from sida.model.sida import Sida
from sida.model.weights import SINGLE, Shards

__all__ = ["FROZEN_FILE", "load_frozen", "save_model"]

FROZEN_FILE = EMBEDDED["small"] / "clip.safetensors"
"""CLIP's layers 1 to 9, made by scripts/convert_clip.py."""
TRAINED = "trained.safetensors"


def load_frozen(model: Sida) -> None:
    """Give a fresh `ClipWindows` the CLIP weights of the package; other encoders have none."""
    if isinstance(model.encoder, ClipWindows):
        model.load_state_dict(frozen_tensors(), strict=False)


def frozen_tensors() -> dict[str, torch.Tensor]:
    """CLIP's weights of the package by their names in `Sida`, float32."""
    return dict(Shards.of_files([FROZEN_FILE]).tensors())


def save_model(model: Sida, folder: Path, state: Mapping[str, torch.Tensor] | None = None) -> None:
    """Write configuration and weights into a folder that exists.

    Where the model's CLIP is that of the package, its int8 file is copied, and the other weights
    lie beside it in a file of a few MB.

    Args:
        state: the weights, where they are not the model's own.
    """
    state = dict(model.state_dict() if state is None else state)
    frozen = frozen_tensors() if isinstance(model.encoder, ClipWindows) else {}
    if not frozen or any(not _same(state[name], value) for name, value in frozen.items()):
        model.save_pretrained(folder, state_dict=dict(state))
        return
    trained = {name: value for name, value in state.items() if name not in frozen}
    model.save_pretrained(folder, state_dict=trained)
    (folder / SINGLE[0]).rename(folder / TRAINED)
    shutil.copyfile(FROZEN_FILE, folder / FROZEN_FILE.name)
    files = dict.fromkeys(Shards.of_files([folder / TRAINED]).shapes(), TRAINED)
    files |= dict.fromkeys(frozen, FROZEN_FILE.name)
    index = {"metadata": {}, "weight_map": dict(sorted(files.items()))}
    (folder / f"{SINGLE[0]}.index.json").write_text(json.dumps(index, indent=1) + "\n")


def _same(tensor: torch.Tensor, frozen: torch.Tensor) -> bool:
    # In the model's dtype: CLIP rounded to bfloat16 is still that of the package.
    return torch.equal(tensor.cpu(), frozen.to(tensor.dtype))
