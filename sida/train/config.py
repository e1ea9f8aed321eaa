"""`TrainConfig`: one run, read from YAML and from `key=value` on the command line."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sida.errors import ConfigError

__all__ = ["TrainConfig", "read_config"]


class LossWeights(BaseModel):
    """How much each loss counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: float = Field(1.0, ge=0, description="cross-entropy of the class")
    mask_bce: float = Field(1.0, ge=0, description="binary cross-entropy of masks")
    mask_dice: float = Field(1.0, ge=0, description="Dice loss of masks")
    text: float = Field(1.0, ge=0, description="next-token cross-entropy of answers")
    image_tokens: float = Field(
        0.0,
        ge=0,
        description="cross-entropy of the class from the mean image token, through a head that is "
        "dropped afterwards; teaches an image encoder that begins from scratch",
    )


class TrainConfig(BaseModel):
    """Everything that decides a run; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("tiny", description="a preset to begin from scratch, or a folder of ours")
    tokenizer: Path | None = Field(
        None, description="folder of the tokenizer; by default the one embedded with `tiny`"
    )
    data: tuple[Path, ...] = Field(
        (),
        description="labelled folders, parquets or manifests to learn from, one or a list; each "
        "gives the same share of every class",
    )
    validation: Path | None = Field(None, description="labelled data that is only measured")
    only: tuple[str, ...] = Field(
        (), description="beginnings of the names of parameters that are trained; () is all"
    )
    max_steps: int = Field(1000, ge=1, description="optimiser steps")
    batch_size: int = Field(24, ge=1, description="pictures a step; a third of them each class")
    learning_rate: float = Field(2e-3, gt=0, description="highest learning rate of AdamW")
    weight_decay: float = Field(0.02, ge=0)
    warmup_steps: int = Field(100, ge=0, description="linear from zero, then cosine to zero")
    clip: float = Field(1.0, gt=0, description="largest norm of all gradients together")
    average: float = Field(0.998, ge=0, lt=1, description="decay of the moving average of weights")
    loss: LossWeights = LossWeights()
    text_every: int = Field(4, ge=1, description="every n-th step teaches texts as well")
    empty_masks: bool = Field(
        False, description="whether real pictures teach an empty mask, where no text is taught"
    )
    crops: tuple[int, ...] = Field((160, 192, 224), description="sides of training crops, pixels")
    post_process: float = Field(0.6, ge=0, le=1, description="share of crops resized or compressed")
    validate_every: int = Field(500, ge=1, description="steps between looks at the validation data")
    save_every: int = Field(250, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints that are kept")
    workers: int = Field(2, ge=0, description="processes that read and crop pictures")
    threads: int = Field(0, ge=0, description="threads of the network; 0 leaves it to torch")
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @field_validator("data", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str | Path) else value


def read_config(name: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """A recipe from a file or a packaged name (`tiny`), changed by `key=value` strings.

    Raises:
        ConfigError: no such recipe, not YAML, or a key or value that does not fit; it names each.
    """
    values = _load(name)
    for override in overrides:
        key, found, value = override.partition("=")
        if not found or not key:
            raise ConfigError(f"{override!r} is not of the form key=value, such as max_steps=100.")
        _set(values, key.split("."), yaml.safe_load(value))
    try:
        return TrainConfig(**values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {_reason(e)}" for e in error.errors()]
        raise ConfigError(f"{name}: {'; '.join(lines)}") from error


def _load(name: str | Path) -> dict[str, Any]:
    path = Path(name)
    packaged = resources.files("sida") / "configs" / f"{path.name.removesuffix('.yaml')}.yaml"
    try:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
        elif len(path.parts) == 1 and packaged.is_file():
            text = packaged.read_text(encoding="utf-8")
        else:
            raise ConfigError(
                f"There is no recipe {str(name)!r}: give a YAML file, or a name such as tiny."
            )
        values = yaml.safe_load(text) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{name} is not a YAML recipe: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{name} holds {type(values).__name__}, expected a mapping of keys to values."
        )
    return values


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{'.'.join(keys)}: {key} is a single value, not a group of keys.")
    values[keys[-1]] = value


def _reason(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return f"no such key; expected one of {', '.join(TrainConfig.model_fields)}"
    return f"{error['msg']}, found {error['input']!r}"
