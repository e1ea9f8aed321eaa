"""`sida models`, `sida convert`, `sida train`: what reaches the library, and what is printed."""

import json
import logging
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import Result

from sida.assets import HUB_NAMES
from sida.cli.models import PUBLISHED
from sida.errors import ConfigError

Run = Callable[..., Result]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls of `convert` and `train`, which do nothing here."""
    noted: list[Any] = []

    def module(name: str, verb: str) -> None:
        stand_in = types.ModuleType(name)

        def note(*args: Any, **kwargs: Any) -> None:
            logging.getLogger(name).info("busy")
            noted.append((args, kwargs))

        setattr(stand_in, verb, note)
        monkeypatch.setitem(sys.modules, name, stand_in)

    module("sida.model.convert", "convert")
    module("sida.train", "train")
    return noted


@pytest.fixture
def cache(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(elsewhere))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(elsewhere), raising=False)
    return elsewhere


def test_models_lists_every_name(sida: Run, cache: Path) -> None:
    table = sida("models").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["Model", "small", "tiny", *HUB_NAMES]
    assert table[3].endswith("no")
    assert "7,410.2 million" in table[3]


def test_models_as_json(sida: Run, cache: Path) -> None:
    rows = [json.loads(line) for line in sida("models", "--json").stdout.splitlines()]
    assert [list(row) for row in rows] == 7 * [["name", "weights", "parameters", "gives", "folder"]]
    assert [row["weights"] for row in rows] == ["embedded", "embedded", *HUB_NAMES.values()]
    assert [row["folder"] for row in rows[2:]] == 5 * [None]


def test_a_model_is_here_when_all_that_it_needs_has_arrived(sida: Run, cache: Path) -> None:
    repository = cache / "models--saberzl--SIDA-7B"
    folder = repository / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    (folder / "config.json").write_text("{}")
    index = {"weight_map": {"x": "one.bin", "y": "two.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))

    def backend() -> Any:
        return json.loads(sida("models", "--json").stdout.splitlines()[2])["folder"]

    for file in ("one.bin", "two.bin", "tokenizer.model", "added_tokens.json"):
        assert backend() is None
        (folder / file).touch()
    assert Path(backend()) == folder


def test_the_sizes_are_those_of_the_published_folders(shared: Path) -> None:
    assert list(PUBLISHED) == list(HUB_NAMES)
    for name, facts in PUBLISHED.items():
        parameters = json.loads((shared / "oracle" / f"params_{name}.json").read_text())
        buffers = parameters.pop("_about")["buffers"]
        shapes = {key: shape for key, (shape, _) in parameters.items()}
        counted = sum(
            math.prod(shape)
            for key, shape in shapes.items()
            if key not in buffers and not key.endswith("inv_freq")
        )
        assert facts.parameters == counted


def test_convert_passes_its_options_on(sida: Run, calls: list[Any]) -> None:
    result = sida("convert", "some/where", "--to", "ours", "--out", "new", "--dtype", "bfloat16")
    assert result.exit_code == 0, result.output
    sida("convert", "some/where", "--to", "published", "--out", "new")
    assert calls == [
        (("some/where", "ours", Path("new"), torch.bfloat16, None), {}),
        (("some/where", "published", Path("new"), None, None), {}),
    ]
    assert (result.stdout, result.stderr) == ("", "busy\nWrote new in our layout.\n")


def test_train_passes_its_options_on(sida: Run, calls: list[Any]) -> None:
    result = sida("train", "tiny", "max_steps=3", "--out", "run", "data=x", "--resume", "--fresh")
    assert result.exit_code == 0, result.output
    overrides = ("max_steps=3", "data=x")
    ((given, options),) = calls
    assert given == ("tiny", Path("run"))
    assert {name: options[name] for name in ("fresh", "overrides")} == {
        "fresh": True,
        "overrides": overrides,
    }
    assert result.stderr == "busy\nThe model is in run/model.\n"


def test_errors_of_the_library_are_one_line(sida: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConfigError("run is used: give another folder, or --fresh")

    stand_in = types.ModuleType("sida.train")
    stand_in.train = refuse  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sida.train", stand_in)
    result = sida("train", "tiny", "--out", "run")
    assert result.exit_code == 2
    assert result.stderr == "Error: run is used: give another folder, or --fresh\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("convert", "x", "--out", "y"),
        ("convert", "x", "--to", "theirs", "--out", "y"),
        ("convert", "--to", "ours", "--out", "y"),
        ("train", "tiny"),
        ("train", "--out", "run"),
        ("models", "surplus"),
    ],
)
def test_missing_and_wrong_options_are_status_2(
    sida: Run, calls: list[Any], arguments: tuple[str, ...]
) -> None:
    result = sida(*arguments)
    assert result.exit_code == 2
    assert "\nError: " in result.stderr
    assert calls == []
