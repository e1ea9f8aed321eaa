"""The folder of a run: its recipe, and whether a run may begin or go on there."""

import json
import shutil
from pathlib import Path

from sida.errors import ConfigError
from sida.files import require_space, write_text
from sida.train.config import TrainConfig

__all__ = ["check_recipe", "claim"]

FREE = {
    *("validation", "validate_every", "save_every", "keep", "trackers"),
    *("workers", "threads", "device", "micro_batch_size", "gradient_checkpointing", "compile"),
    *("cache", "cache_gb", "probe"),
}
"""What may change when a run is gone on with: what is learned does not depend on it."""
MEASURED = {"validation", "validate_every"}
"""What may not where the best weights become the model, or a share of the data is held back."""
RECIPE = "recipe.json"
SHOWN = 3
"""Differences that a sentence names."""


def claim(config: TrainConfig, out: Path, resume: bool, room: int, what: str) -> None:
    """Make the folder of a run, with its recipe.

    Args:
        room: bytes that the run will write.
        what: they are.

    Raises:
        ConfigError: it is used and the run is not to go on, or was begun with another recipe.
        SidaError: the disk is too small.
    """
    if resume:
        check_recipe(config, out)
    elif out.exists() and any(file.name != RECIPE for file in out.iterdir()):
        raise ConfigError(f"{out} is not empty: choose another --out, or go on with --resume.")
    for left in out.glob(".*.part"):  # of a run that was killed as it wrote
        shutil.rmtree(left)
    require_space(out, room, what)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / RECIPE, json.dumps(_recipe(config), indent=1) + "\n")


def check_recipe(config: TrainConfig, out: Path) -> None:
    """Raise ConfigError where a run was begun with another recipe; it names what differs."""
    file = out / RECIPE
    if not file.is_file():
        return
    try:
        begun = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}): choose another --out.") from error
    recipe, fields = _recipe(config), TrainConfig.model_fields
    # A key that is newer than the run had its default.
    before = {name: begun.get(name, fields[name].default) for name in recipe}
    names = sorted(name for name in recipe if recipe[name] != before[name])
    if names:
        changes = [f"{name}={recipe[name]} (was {before[name]})" for name in names[:SHOWN]]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        raise ConfigError(
            f"{out} was begun with another recipe: {', '.join(changes)}{more}. Go on with the "
            "same, or choose another --out."
        )


def _recipe(config: TrainConfig) -> dict[str, object]:
    """What a run that is gone on with must have in common with its beginning."""
    bound = MEASURED if config.best or config.held_out else set()
    return config.model_dump(mode="json", exclude=FREE - bound)
