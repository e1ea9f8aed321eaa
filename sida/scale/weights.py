"""The model's weights, on every machine from its own disk, and the same on all."""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from sida.detector import Detector
from sida.errors import CheckpointError
from sida.inference.malloc import keep_freed
from sida.model.adapter import read_adapter, split_name
from sida.model.budget import choose_calibration, require_calibration
from sida.model.checkpoint import digest_of, find, stored_calibration
from sida.options import ModelOptions

__all__ = ["Weights", "locate", "require_budget", "worker_detector"]


@dataclass(frozen=True)
class Weights:
    """A model by a name that workers understand, and the digest that it must have there."""

    model: ModelOptions
    digest: str


def locate(model: ModelOptions) -> Weights:
    """The weights that options mean on this machine; relative paths become absolute."""
    if model.random_weights is not None:
        return Weights(model, "0" * 64)  # as of `load_random`
    base, adapter = split_name(model.model)
    folder = find(base)
    if Path(base).is_dir():
        base = os.path.abspath(base)
    if adapter is None:
        return Weights(replace(model, model=base), digest_of(folder))
    name = f"{base}+{os.path.abspath(adapter)}"
    return Weights(replace(model, model=name), read_adapter(adapter).digest)


def require_budget(weights: Weights, max_false_positives: float) -> None:
    """Raise ConfigError where no calibration of the model can keep such a budget."""
    model = weights.model
    stored = stored_calibration(model.model) if model.random_weights is None else None
    calibration = choose_calibration(model.calibration, stored, weights.digest, model.fast)
    require_calibration(calibration, model.random_weights or model.model).budget(
        max_false_positives
    )


@lru_cache(maxsize=1)
def worker_detector(weights: Weights) -> Detector:
    """The detector of a worker's process, loaded once.

    Raises CheckpointError where this machine has weights of another digest.
    """
    detector = Detector.from_options(weights.model)
    if detector.device.type == "cpu":
        keep_freed()  # the process is ours alone: freed memory is kept for the next batch
    if weights.model.random_weights is None and detector.model.digest != weights.digest:
        raise CheckpointError(
            f"{weights.model.model} has other weights on this machine "
            f"({detector.model.digest[:12]}) than where the run was started "
            f"({weights.digest[:12]}): copy them again"
        )
    return detector
