"""One rule in all verbs: the same command goes on, another run is refused, --fresh begins anew."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

import sida.scale.detection
import sida.train
from tests.forge.conftest import photographs  # noqa: F401  # a fixture
from tests.small import labelled_folder

Run = Callable[..., Result]


@dataclass(frozen=True)
class Verb:
    """A command, what changes it into another run, and how that is told.

    `kept` is a file that the same command does not write again.
    """

    command: tuple[str, ...]
    change: tuple[str, ...]
    sentence: str
    kept: str


VERBS = {
    "train": Verb(
        (
            *("train", "tiny", "data=set", "max_steps=1", "batch_size=3", "crops=[32]"),
            *("trackers=[]", "workers=0", "threads=1"),
        ),
        ("seed=1",),
        "seed=1 (was 0)",
        "metrics.jsonl",
    ),
    "forge": Verb(
        (
            *("forge", "tiny", "photographs=photographs", "count=3", "workers=1"),
            *("storage.sides=[64, 96]", "autoencoders=[{name: n, width: 8, steps: 3}]"),
        ),
        ("count=4",),
        "count=4 (was 3)",
        "manifest.parquet",
    ),
    "export": Verb(
        ("data", "export", "set", "--to", "folder"),
        ("--tau", "0.1"),
        "--tau 0.1 (was 0.05)",
        "manifest.csv",
    ),
    "evaluate": Verb(
        ("evaluate", "set", "--no-leakage", "--resume"),
        ("--explanations",),
        "--explanations yes (was left out)",
        "predictions.jsonl",
    ),
    "ray": Verb(
        ("detect", "set", "--engine", "ray"),
        ("--mask-for", "all"),
        "--mask-for all (was tampered)",
        "run.json",
    ),
}


@pytest.fixture
def data(elsewhere: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A labelled set, photographs, and Ray without workers."""
    labelled_folder(elsewhere / "set", 2)
    (elsewhere / "photographs").symlink_to(photographs)
    monkeypatch.setattr(
        sida.scale.detection, "WorkerPool", lambda *_, **__: contextlib.nullcontext()
    )
    monkeypatch.setattr(
        sida.scale.detection, "_detect_missing", lambda *_: sida.scale.detection._DetectionTally()
    )


def files(out: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", VERBS)
def test_the_rule(sida: Run, data: None, name: str) -> None:
    verb, out = VERBS[name], Path("out")
    command = (*verb.command, "--out", "out")

    def run(*options: str) -> Any:
        return sida(*command, *options)

    first = run()
    assert first.exit_code == 0, first.output
    written = (out / verb.kept).stat().st_mtime_ns
    again = run()
    assert (again.exit_code, again.stdout) == (0, first.stdout), again.output
    assert (out / verb.kept).stat().st_mtime_ns == written

    before = files(out)
    other = run(*verb.change)
    assert other.exit_code == 2
    assert f"'out' holds another run: {verb.sentence}" in other.stderr
    assert "or replace it with --fresh." in other.stderr
    assert files(out) == before

    if name != "export":  # which puts a whole folder in its place
        (out / "notes.txt").touch()
    fresh = run(*verb.change, "--fresh")
    assert fresh.exit_code == 0, fresh.output
    assert (out / verb.kept).stat().st_mtime_ns != written
    assert (out / "notes.txt").exists() == (name != "export")
    assert run(*verb.change).exit_code == 0
    assert run().exit_code == 2


@pytest.mark.parametrize("name", VERBS)
def test_a_folder_of_other_things_is_refused(sida: Run, data: None, name: str) -> None:
    Path("out").mkdir()
    Path("out/thesis.txt").touch()
    for options in ((), ("--fresh",)):
        result = sida(*VERBS[name].command, "--out", "out", *options)
        assert result.exit_code == 2
        assert "'out' is not empty and holds no run of this command" in result.stderr
    assert [path.name for path in Path("out").iterdir() if path.name != ".lock"] == ["thesis.txt"]
