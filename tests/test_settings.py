"""Settings of any model: files, packaged names, changes by key, and sentences for what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from sida.errors import ConfigError
from sida.settings import read_settings


class Loss(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: float = 1.0
    mask: float = 1.0


class Run(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int = 10
    rate: float = 0.1
    sizes: tuple[int, ...] = ()
    note: str | None = None
    loss: Loss = Loss()


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text("steps: 5\nloss: {text: 2}\n", encoding="utf-8")
    return path


def test_a_file_is_changed_by_key(file: Path) -> None:
    changes = ["rate=1e-3", "sizes=[32, 64]", "loss.mask=0", "note=a=b"]
    result = read_settings(Run, file, changes)
    assert result == Run(steps=5, rate=1e-3, sizes=(32, 64), loss=Loss(text=2, mask=0), note="a=b")
    assert read_settings(Run, file) == Run(steps=5, loss=Loss(text=2))


@given(st.dictionaries(st.sampled_from("abc"), st.integers() | st.booleans(), max_size=3))
def test_later_changes_win(values: dict[str, Any]) -> None:
    changes = [f"{key}=first" for key in values]
    changes += [f"{key}={str(value).lower()}" for key, value in values.items()]
    result = read_settings(Anything, "small", changes, "forge").model_dump()
    assert {key: result[key] for key in values} == values


def test_packaged_ones_are_found_by_name_and_by_path() -> None:
    by_name = read_settings(Anything, "small", folder="forge")
    assert read_settings(Anything, "configs/forge/small.yaml", folder="forge") == by_name
    assert read_settings(Anything, "configs/forge/small", folder="forge") == by_name
    assert read_settings(Anything, "tiny") == read_settings(Anything, "configs/tiny.yaml")
    assert read_settings(Anything, "tiny") != read_settings(Anything, "tiny", folder="forge")


@pytest.mark.parametrize("name", ["tinny", "forge/small", "elsewhere/tiny.yaml", "tiny.yml", ""])
def test_what_is_not_there_is_one_sentence(name: str) -> None:
    with pytest.raises(ConfigError, match=f"no configuration '{name}': give a YAML file, or one"):
        read_settings(Anything, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps", "found 'steps', expected key=value, such as seed=1"),
        ("=3", "found '=3', expected key=value"),
        ("steps=many", "steps: .*valid integer.*, found 'many'"),
        ("stepps=3", "stepps: there is no such key; the keys are steps, rate, sizes, note, loss"),
        ("loss.colour=1", r"loss\.colour: there is no such key; the keys are text, mask"),
        ("steps.x=1", "steps is a single value, not a group of keys"),
        ("sizes=[", r"sizes: '\[' is not a YAML value"),
    ],
)
def test_a_change_that_does_not_fit_is_told(file: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_settings(Run, file, [change])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[1, 2]", "holds a list, expected keys and values"),
        (b"a: [", "is not YAML: while parsing"),
        (b"a: \xff", "is not YAML"),
        (b"steps: x\nrate: y", "steps: .*found 'x'; rate: .*found 'y'"),
    ],
)
def test_a_file_that_does_not_fit_is_told(file: Path, text: bytes, message: str) -> None:
    file.write_bytes(text)
    with pytest.raises(ConfigError, match=message) as error:
        read_settings(Run, file)
    assert "\n" not in str(error.value)


def test_an_empty_file_leaves_everything_as_it_is(file: Path) -> None:
    file.write_bytes(b"")
    assert read_settings(Run, file) == Run()
