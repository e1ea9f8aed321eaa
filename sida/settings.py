"""Settings of a run: read from YAML or by a packaged name, and changed by `key=value`."""

from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sida.errors import ConfigError

__all__ = ["read_settings"]

M = TypeVar("M", bound=BaseModel)


def read_settings(
    model: type[M], name: str | Path, overrides: Sequence[str] = (), folder: str = ""
) -> M:
    """Settings from a YAML file or a packaged name, changed by `key=value` strings.

        read_settings(ForgeConfig, "small", ["count=300", "storage.sides=[64, 80]"], "forge")

    Args:
        model: what the settings are; it should refuse unknown keys (`extra="forbid"`).
        name: a file, or `small` for the packaged `configs/FOLDER/small.yaml`; that path itself will
            do, too, also where there is no such folder.
        overrides: dotted keys, and values in YAML.
        folder: the packaged ones' folder below `configs`.

    Raises:
        ConfigError: no such configuration, not YAML, or keys or values that do not fit; each is
            named.
    """
    values = _load(str(name), folder)
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError(f"found {override!r}, expected key=value, such as seed=1")
        _set(values, key, text)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_sentence(model, entry) for entry in error.errors()]
        raise ConfigError(f"{name}: {'; '.join(lines)}") from error


def _load(name: str, folder: str) -> dict[str, Any]:
    path, below = Path(name), Path("configs", folder)
    file = _packaged(folder).get(path.stem)
    if path.is_file():
        text = path.read_bytes()
    elif file is not None and path.suffix in ("", ".yaml") and path.parent in (Path(), below):
        text = file.read_bytes()
    else:
        raise ConfigError(
            f"there is no configuration {name!r}: give a YAML file, or one of "
            f"{', '.join(_packaged(folder))}"
        )
    try:
        values = yaml.safe_load(text) or {}
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{name} holds a {type(values).__name__}, expected keys and values")
    return values


def _packaged(folder: str) -> dict[str, Traversable]:
    """The packaged configurations of a folder by name, in alphabetical order."""
    directory = resources.files("sida").joinpath("configs", folder)
    files = (file for file in directory.iterdir() if file.name.endswith(".yaml"))
    configurations = {file.name.removesuffix(".yaml"): file for file in files}
    return dict(sorted(configurations.items()))


def _set(values: dict[str, Any], key: str, text: str) -> None:
    """Put a value where a dotted key leads; values are YAML, so lists and numbers can be given."""
    *groups, last = key.split(".")
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{key}: {group} is a single value, not a group of keys")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{key}: {text!r} is not a YAML value: {reason}") from error


def _sentence(model: type[BaseModel], error: Any) -> str:
    """An error of pydantic's as a sentence for a person."""
    key = ".".join(map(str, error["loc"])) or "the configuration"
    if error["type"] == "extra_forbidden":
        keys = ", ".join(_keys(model, error["loc"][:-1]))
        return f"{key}: there is no such key" + (f"; the keys are {keys}" if keys else "")
    reason = error["msg"].removeprefix("Value error, ")
    if error["type"] in ("value_error", "missing"):
        return f"{key}: {reason}"
    return f"{key}: {reason}, found {error['input']!r}"


def _keys(model: type[BaseModel], path: Sequence[str | int]) -> Sequence[str]:
    """The keys of a group of settings; none where it cannot be told which class it has."""
    group: Any = model
    for step in path:
        field = getattr(group, "model_fields", {}).get(step)
        group = None if field is None else field.annotation
    return list(getattr(group, "model_fields", ()))
