"""The model's weights, on every machine from its own disk, and the same on all."""

import os
from dataclasses import replace
from pathlib import Path

from sida.detector import Detector
from sida.errors import CheckpointError
from sida.inference.malloc import keep_freed
from sida.model.adapter import read_adapter, split_name
from sida.model.checkpoint import digest_of, find
from sida.options import ModelOptions

__all__ = ["load", "locate"]


def locate(options: ModelOptions) -> tuple[ModelOptions, str]:
    """The options with a name that workers understand, and the digest of the weights."""
    if options.random_weights is not None:
        return options, "0" * 64  # as of `load_random`
    base, adapter = split_name(options.model)
    folder = find(base)
    if Path(base).is_dir():
        base = os.path.abspath(base)
    if adapter is None:
        return replace(options, model=base), digest_of(folder)
    name = f"{base}+{os.path.abspath(adapter)}"
    return replace(options, model=name), read_adapter(adapter).digest


def load(options: ModelOptions, digest: str) -> Detector:
    """A worker's detector, whose process is its own: what it frees is kept for the next pass.

    Raises CheckpointError where this machine has weights of another digest.
    """
    detector = Detector.from_options(options)
    if detector.device.type == "cpu":
        keep_freed()
    if options.random_weights is None and detector.model.digest != digest:
        raise CheckpointError(
            f"{options.model} has other weights on this machine ({detector.model.digest[:12]}) "
            f"than where the run was started ({digest[:12]}): copy them again"
        )
    return detector
