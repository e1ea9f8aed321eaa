"""The folder of a training run, and the part of its recipe that makes it the same run."""

from pathlib import Path
from typing import Any

from sida.files import require_space
from sida.run_folder import LocalFolder, RunFolder
from sida.train.config import TrainConfig

__all__ = ["claim", "identity_of", "training_folder"]

FREE = {
    *("validation", "validate_every", "save_every", "keep", "trackers"),
    *("workers", "threads", "device", "micro_batch_size", "gradient_checkpointing", "compile"),
    *("cache", "cache_gb", "probe"),
}
"""May change when a run goes on: what is learned does not depend on it."""
MEASURED = {"validation", "validate_every"}
"""May not where the best weights become the model, or a share of the data is held back."""
MADE = (
    *("model", "adapter.safetensors", "checkpoints/step-*", "best-[0-9]*", "vectors.safetensors"),
    *("metrics.jsonl", "validation.jsonl", "folds.json", "sida"),  # the last is the trackers'
)


def training_folder(out: Path) -> RunFolder:
    """The folder of a run, with its recipe in `recipe.json`."""
    # A key that is newer than the run had its default.
    defaults = TrainConfig.model_construct().model_dump(mode="json")
    return RunFolder(LocalFolder(out), "recipe.json", "data", lambda _: MADE, defaults=defaults)


def claim(config: TrainConfig, out: Path, fresh: bool, room: int, contents: str) -> None:
    """Claim the folder of a run, and begin or go on there.

    Args:
        room: bytes that the run will write.
        contents: their name in a sentence.

    Raises:
        ConfigError, InputError: it is another run's, or holds other things.
        DownloadError: the disk is too small.
    """
    folder, identity = training_folder(out), identity_of(config)
    stored = folder.claim(identity, fresh=fresh)
    require_space(out, room, contents)
    if stored is None:
        folder.begin(identity)


def identity_of(config: TrainConfig) -> dict[str, Any]:
    """The recipe without what may change while a run is stopped."""
    bound = MEASURED if config.best or config.held_out else set()
    return config.model_dump(mode="json", exclude=FREE - bound)
