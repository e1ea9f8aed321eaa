"""Checkpoints of a run: whole or not at all, the newest few kept."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from sida.files import write_folder

__all__ = ["latest", "load_state", "save_state"]


def save_state(out: Path, step: int, state: Mapping[str, Any], keep: int) -> None:
    """Write `checkpoints/step-N/` and drop all but the newest `keep`."""
    folder = out / "checkpoints" / f"step-{step}"
    with write_folder(folder) as unfinished:
        torch.save(dict(state), unfinished / "state.pt")
    for old in _all(out)[:-keep]:
        shutil.rmtree(old)


def latest(out: Path) -> Path | None:
    """The newest checkpoint of a run, if there is one."""
    found = _all(out)
    return found[-1] if found else None


def load_state(folder: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; tensors and plain values only."""
    state: dict[str, Any] = torch.load(folder / "state.pt", weights_only=True, map_location="cpu")
    return state


def _all(out: Path) -> list[Path]:
    found = (out / "checkpoints").glob("step-*")
    return sorted((f for f in found if f.name[5:].isdigit()), key=lambda f: int(f.name[5:]))
