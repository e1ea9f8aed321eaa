"""The folder of a training run, and the part of its recipe that makes it the same run."""

from pathlib import Path

from sida.files import require_space
from sida.run_folder import LocalFolder, RunFolder
from sida.train.config import TrainConfig

__all__ = ["identity_of", "prepare_folder", "training_folder"]

FREE = {
    *("validation", "validate_every", "save_every", "keep", "trackers"),
    *("workers", "threads", "device", "micro_batch_size", "gradient_checkpointing", "compile"),
    *("cache", "cache_gb", "probe"),
}
"""Options that may change when a run goes on: what is learned does not depend on them."""
MEASURED = {"validation", "validate_every"}
"""Of these, those that may not where the best weights become the model, or data are held out."""
OUTPUTS = (
    *("model", "adapter.safetensors", "checkpoints/step-*", "best-[0-9]*", "vectors.safetensors"),
    *("metrics.jsonl", "validation.jsonl", "folds.json", "sida"),  # the last is the trackers'
)


def training_folder(out: Path) -> RunFolder:
    """The folder of a run, with its recipe in `recipe.json`."""
    # A key that is newer than the run had its default.
    defaults = TrainConfig.model_construct().model_dump(mode="json")
    return RunFolder(LocalFolder(out), "recipe.json", "data", lambda _: OUTPUTS, defaults=defaults)


def prepare_folder(
    config: TrainConfig, out: Path, fresh: bool, required_bytes: int, contents: str
) -> None:
    """Make a folder that of this run, which begins or goes on there.

    Args:
        required_bytes: that the run will write.
        contents: of these bytes, in a sentence.

    Raises:
        ConfigError, InputError: it is another run's, or holds other files.
        DownloadError: the disk is too small.
    """
    folder, identity = training_folder(out), identity_of(config)
    stored = folder.claim(identity, fresh=fresh)
    # The record comes last: a folder whose disk is too small is still free for other options.
    require_space(out, required_bytes, contents)
    if stored is None:
        folder.begin(identity)


def identity_of(config: TrainConfig) -> dict[str, object]:
    """The recipe without the options that may change while a run is stopped."""
    fixed = MEASURED if config.best or config.held_out else set()
    return config.model_dump(mode="json", exclude=FREE - fixed)
