"""Folders that DeepSpeed wrote for the published training scripts: ZeRO's parts put together.

`latest` names the step; `mp_rank_00_model_states.pt` there holds every weight in the type it was
trained in, and one `…zero_pp_rank_N_mp_rank_00_optim_states.pt` a process its part of those that
were trained, in float32, as one flat vector a group of the optimiser.
"""

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from sida.errors import CheckpointError

__all__ = ["is_deepspeed_folder", "read_deepspeed"]

ALPHA = 16
"""Of the published low-rank additions; no file holds it."""
PREFIX = "base_model.model."
"""Put before every name by peft."""
TOWER = "vision_tower."
"""CLIP, which is never trained and comes from a folder of its own."""


class _Plain:
    """Stands in for a class of DeepSpeed whose content is of no interest here."""

    def __init__(self, *_: Any) -> None:
        """Take what the class was made of, and forget it."""


ALLOWED: list[Any] = [
    (int, "deepspeed.runtime.zero.config.ZeroStageEnum"),
    (_Plain, "deepspeed.runtime.fp16.loss_scaler.LossScaler"),
    (_Plain, "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler"),
    (_Plain, "deepspeed.utils.tensor_fragment.fragment_address"),
]
"""Stand-ins for what else than tensors is in these files; anything not listed is refused."""


def is_deepspeed_folder(folder: str | Path) -> bool:
    """True for a folder of DeepSpeed's checkpoints."""
    return (Path(folder) / "latest").is_file()


def read_deepspeed(folder: Path) -> dict[str, torch.Tensor]:
    """Published name -> tensor, low-rank additions merged: W + (16 / r) B A.

    What was trained is float32, the rest in the type of the run; CLIP is left out.

    Raises:
        CheckpointError: files are missing, broken or of ZeRO stage 3, or hold more than tensors
            and what DeepSpeed puts beside them.
    """
    try:
        step = folder / (folder / "latest").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder / 'latest'} cannot be read ({error}).") from error
    model = _load(step / "mp_rank_00_model_states.pt")
    try:
        tensors = dict(model["module"] or {}) | dict(model.get("frozen_param_fragments") or {})
        tensors |= _trained(step, model["param_shapes"])
        for name, source in dict(model.get("shared_params") or {}).items():
            tensors[name] = tensors[source]
        plain = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
        return _merged({name: tensor for name, tensor in plain.items() if TOWER not in name})
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{step} is not as DeepSpeed writes checkpoints ({error}): copy it again."
        ) from error


def _trained(step: Path, shapes: Iterable[Mapping[str, torch.Size]]) -> dict[str, torch.Tensor]:
    """Name -> float32 tensor of all that was trained."""
    parts = _parts(step)
    gaps = parts[0].get("param_alignment_paddings")  # since DeepSpeed 0.19
    trained = {}
    for number, group in enumerate(shapes):
        # Each process holds a slice of one flat vector, in the order of their ranks.
        flat = torch.cat([part["single_partition_of_fp32_groups"][number] for part in parts])
        behind = gaps[number] if gaps else [0] * len(group)
        start = 0
        for (name, shape), gap in zip(group.items(), behind, strict=True):
            trained[name] = flat[start : start + shape.numel()].view(shape)
            start += shape.numel() + gap
    return trained


def _parts(step: Path) -> list[dict[str, Any]]:
    """The optimiser's part of each process, in their order."""
    numbered = {
        int(match[1]): path
        for path in step.glob("*_optim_states.pt")
        if (match := re.search(r"zero_pp_rank_(\d+)_mp_rank_00_optim_states", path.name))
    }
    parts = [_load(path)["optimizer_state_dict"] for _, path in sorted(numbered.items())]
    if not parts:
        raise CheckpointError(f"{step} lacks its …_optim_states.pt: copy the folder again.")
    if parts[0].get("zero_stage", 1) > 2:
        raise CheckpointError(
            f"{step} is of ZeRO stage 3, expected 1 or 2: merge it with the zero_to_fp32.py that "
            "DeepSpeed put beside it."
        )
    counted = parts[0]["partition_count"]
    processes = max(counted) if isinstance(counted, list | tuple) else counted
    if sorted(numbered) != list(range(processes)):
        raise CheckpointError(
            f"{step} holds the parts of {len(parts)} of {processes} processes: copy all of them."
        )
    return parts


def _merged(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights under plain names, with the low-rank additions beside them put in."""
    merged = {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in tensors.items()
        if ".lora_" not in name
    }
    for name, down in tensors.items():
        if ".lora_A." not in name:
            continue
        up = tensors[name.replace(".lora_A.", ".lora_B.")]
        target = name.partition(".lora_A.")[0] + ".weight"
        # In float32: in the type of the run a small addition would be rounded away.
        addition = ALPHA / len(down) * (up.float() @ down.float())
        merged[target] = merged[target].float() + addition
    return merged


def _load(path: Path) -> dict[str, Any]:
    try:
        with torch.serialization.safe_globals(ALLOWED):
            content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and what DeepSpeed puts beside them, and such a file "
            f"could run code: it was not loaded ({str(error).splitlines()[0]})."
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}): copy the folder again.") from error
    return content
