"""The model's weights, on every machine from its own disk, and the same on all."""

import os
from pathlib import Path
from typing import Any

from sida.detector import Detector
from sida.errors import CheckpointError
from sida.model.adapter import read_adapter, split_name
from sida.model.checkpoint import digest_of, find

__all__ = ["load", "locate"]


def locate(name: str, random_weights: str | None) -> tuple[str, str]:
    """A name that workers understand anywhere on this machine, and the digest of its weights."""
    if random_weights is not None:
        return name, "0" * 64  # as of `load_random`
    base, adapter = split_name(name)
    folder = find(base)
    if Path(base).is_dir():
        base = os.path.abspath(base)
    if adapter is None:
        return base, digest_of(folder)
    return f"{base}+{os.path.abspath(adapter)}", read_adapter(adapter).digest


def load(model: str, random_weights: str | None, how: tuple[Any, ...], digest: str) -> Detector:
    """A worker's detector; `how` are the last four of `Detector.load`.

    Raises CheckpointError where this machine has weights of another digest.
    """
    if random_weights is not None:
        return Detector.random(random_weights, *how)
    detector = Detector.load(model, *how)
    if detector.model.digest != digest:
        raise CheckpointError(
            f"{model} has other weights on this machine ({detector.model.digest[:12]}) "
            f"than where the run was started ({digest[:12]}): copy them again"
        )
    return detector
