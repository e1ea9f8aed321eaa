"""`sida evaluate`: what is printed, and the exit status."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from sida.options import ModelOptions
from tests.contract.conftest import FakeDetector
from tests.evaluation.made import random_predictions, write
from tests.small import labelled_folder

Run = Callable[..., Result]


@pytest.fixture
def predictions(elsewhere: Path) -> Path:
    return write(elsewhere, random_predictions(elsewhere, 12))


def test_tables_and_files(sida: Run, predictions: Path) -> None:
    result = sida("evaluate", "--from", predictions, "--published-formulas", "--out", "out")
    assert result.exit_code == 0, result.output
    for title in ("Detection", "Confusion", "Localisation (end_to_end)", "Published formulas"):
        assert f"\n{title}\n" in result.stdout
    assert "are in out." in result.stderr
    assert json.loads(Path("out/metrics.json").read_text())["count"] == 12


def test_the_published_protocol(sida: Run, predictions: Path) -> None:
    result = sida("evaluate", "--from", predictions, "--protocol", "published", "--out", "out")
    assert "Localisation (published)" in result.stdout
    assert json.loads(Path("out/metrics.json").read_text())["protocol"] == "published"


def test_a_set_is_judged(sida: Run, detector: FakeDetector, elsewhere: Path) -> None:
    data = labelled_folder(elsewhere / "set", 1)
    (data / "real/real0.png").write_bytes(b"broken")
    result = sida("evaluate", data, "--out", "out", "--batch-size", "2", "--device", "cpu")
    assert result.exit_code == 1, result.output
    assert detector.loaded == [ModelOptions("small", device="cpu", batch_size=2)]
    assert "The leakage probe was not made" in result.stderr
    assert "not judged: " in result.stderr
    assert result.stdout.startswith(f"fake on {data}, protocol end_to_end: 2 pictures")


def test_stability_is_measured_of_a_set_and_of_its_predictions(sida: Run, elsewhere: Path) -> None:
    data = labelled_folder(elsewhere / "set", 2)
    result = sida("evaluate", data, "--stability", "--no-leakage", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "\nStability\nChanged by " in result.stdout
    assert re.search(r"\nJPEG 50 +1\.000 \[1\.000, 1\.000\]", result.stdout)
    stability = json.loads(Path("out/metrics.json").read_text())["stability"]
    assert stability["real"]["jpeg_50"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert stability["all"]["cropped"]["value"] == stability["all"]["unstable"]["value"] == 0
    file = "out/predictions.jsonl"
    again = sida("evaluate", "--from", file, "--stability", "--out", "again")
    assert "\nStability\nChanged by " in again.stdout
    without = sida("evaluate", "--from", file, "--out", "without")
    assert "Stability" not in without.stdout
    assert "stability" not in json.loads(Path("without/metrics.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing", "--out", "o"), "'nothing' was not found"),
        (("--out", "o"), "nothing to evaluate"),
        (("--from", "empty.jsonl", "--out", "o"), "'empty.jsonl' is empty"),
        (("--from", "none.jsonl", "--out", "o"), "'none.jsonl' was not found"),
        (("--from", "broken.jsonl", "--out", "o"), "'broken.jsonl', line 1: found no JSON"),
        (("--from", "predictions.jsonl", "--out", "."), "is not empty"),
        (("set", "--shard", "3/2", "--out", "o"), "expected I/N"),
        (("set", "--stability", "--robustness", "--out", "o"), "measure one of them at a time"),
        (("set", "--model", "absent", "--out", "o"), "no model 'absent'"),
        (("--from", "predictions.jsonl", "--model", "tiny", "--out", "o"), "leave out --model"),
    ],
)
def test_nothing_was_reached(
    sida: Run, predictions: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    labelled_folder(Path("set"), 1)
    Path("empty.jsonl").touch()
    Path("broken.jsonl").write_text("{\n")
    result = sida("evaluate", *arguments)
    assert result.exit_code == 2, result.output
    assert sentence in " ".join(result.stderr.split())
    assert not Path("o/metrics.json").exists()


def test_explanations_and_baselines(sida: Run, detector: FakeDetector, elsewhere: Path) -> None:
    data = labelled_folder(elsewhere / "set", 2)
    names = [f"{label}{i}" for label in ("real", "full_synthetic") for i in range(2)]
    rows = [f"{name},{int(name[0] != 'r')}" for name in [*names, "tampered0"]]
    Path("scores.csv").write_text("\n".join(["image,score", *rows]))
    options = ("--explanations", "--baseline", "csv:scores.csv", "--no-leakage", "--out", "out")
    result = sida("evaluate", data, *options)
    assert result.exit_code == 1, result.output
    for title in ("Explanations", "Baselines", "Model against baselines"):
        assert f"\n{title}\n" in result.stdout
    assert (
        "1 pictures without a verdict of scores; the first: 'scores.csv' has no row"
        in result.stderr
    )
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["explanation_texts"]["texts"] == metrics["count"] == 6
    assert metrics["baselines"]["scores"]["compared"]["count"] == 5
    again = ("--from", "out/predictions.jsonl", "--explanations", "--out", "again")
    assert sida("evaluate", *again).exit_code == 1
    assert json.loads(Path("again/metrics.json").read_text()) == metrics


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--baseline", "zip:a"), "expected hf:FOLDER_OR_NAME, command:CMD or csv:FILE"),
        (("--baseline", "csv:none.csv"), "'none.csv' cannot be read"),
        (("--labels", "fake=ai"), "expected WORD=CLASS"),
        (("--labels", "real,tampered", "--labels", "a,b"), "give it once"),
        (("--similarity", "x"), "--explanations"),
    ],
)
def test_options_that_lead_to_nothing(
    sida: Run, detector: FakeDetector, elsewhere: Path, options: tuple[str, ...], sentence: str
) -> None:
    data = labelled_folder(elsewhere / "set", 1)
    result = sida("evaluate", data, *options, "--out", "out")
    assert result.exit_code == 2, result.output
    assert sentence in " ".join(result.stderr.split())
    assert not Path("out/predictions.jsonl").exists()
