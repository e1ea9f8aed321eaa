"""`sida evaluate`: what is printed, and the exit status."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.contract.conftest import FakeDetector
from tests.evaluation.made import random_predictions, write
from tests.small import labelled_folder

Run = Callable[..., Result]


@pytest.fixture
def predictions(elsewhere: Path) -> Path:
    return write(elsewhere, random_predictions(elsewhere, 12))


def test_tables_and_files(sida: Run, predictions: Path) -> None:
    done = sida("evaluate", "--from", predictions, "--published-formulas", "--out", "out")
    assert done.exit_code == 0, done.output
    for title in ("Detection", "Confusion", "Localisation (end_to_end)", "Published formulas"):
        assert f"\n{title}\n" in done.stdout
    assert "are in out." in done.stderr
    assert json.loads(Path("out/metrics.json").read_text())["count"] == 12


def test_the_published_protocol(sida: Run, predictions: Path) -> None:
    done = sida("evaluate", "--from", predictions, "--protocol", "published", "--out", "out")
    assert "Localisation (published)" in done.stdout
    assert json.loads(Path("out/metrics.json").read_text())["protocol"] == "published"


def test_a_set_is_judged(sida: Run, detector: FakeDetector, elsewhere: Path) -> None:
    data = labelled_folder(elsewhere / "set", 1)
    (data / "real/real0.png").write_bytes(b"broken")
    done = sida("evaluate", data, "--out", "out", "--batch-size", "2", "--device", "cpu")
    assert done.exit_code == 1, done.output
    assert detector.loaded == [("tiny", "cpu", "auto", None, 2)]
    assert "The leakage probe was not made" in done.stderr
    assert "not judged: " in done.stderr
    assert done.stdout.startswith(f"fake on {data}, protocol end_to_end: 2 pictures")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing", "--out", "o"), "'nothing' was not found"),
        (("--out", "o"), "nothing to evaluate"),
        (("--from", "empty.jsonl", "--out", "o"), "'empty.jsonl' is empty"),
        (("--from", "none.jsonl", "--out", "o"), "'none.jsonl' was not found"),
        (("--from", "broken.jsonl", "--out", "o"), "'broken.jsonl', line 1: found no JSON"),
        (("--from", "predictions.jsonl", "--out", "."), "is not empty"),
        (("set", "--shard", "3/2", "--out", "o"), "expected I/N"),
        (("set", "--model", "absent", "--out", "o"), "no model 'absent'"),
        (("--from", "predictions.jsonl", "--model", "tiny", "--out", "o"), "leave out --model"),
    ],
)
def test_nothing_was_reached(
    sida: Run, predictions: Path, arguments: tuple[str, ...], said: str
) -> None:
    labelled_folder(Path("set"), 1)
    Path("empty.jsonl").touch()
    Path("broken.jsonl").write_text("{\n")
    done = sida("evaluate", *arguments)
    assert done.exit_code == 2, done.output
    assert said in " ".join(done.stderr.split())
    assert not Path("o/metrics.json").exists()
