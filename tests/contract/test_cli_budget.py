"""What users rely on of budgets: `sida calibrate`, and the options of verbs that take one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from sida.model.budget import BudgetCalibration
from tests.evaluation.made import MODEL, random_predictions, write
from tests.small import labelled_folder

Run = Callable[..., Result]


def own(path: Path, threshold: float, digest: str = "none") -> Path:
    """A calibration on 19 photographs, whose highest score is the threshold of 0.05."""
    BudgetCalibration.of("mine", digest, {"as_is": [0.0] * 18 + [threshold]}).save(path)
    return path


@pytest.fixture
def photographs(elsewhere: Path) -> Path:
    folder = elsewhere / "photographs"
    folder.mkdir()
    for number in range(30):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_a_budget_states_what_is_above_its_threshold(sida: Run, pictures: Path) -> None:
    low = own(pictures / "low.json", 0.5)
    result = sida(
        *("detect", "real.jpg", "synthetic.png", "tampered.jpg", "--json", "-"),
        *("--max-false-positives", "0.05", "--calibration", low),
    )
    assert result.exit_code == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["label"] for each in found] == ["real", "full_synthetic", "tampered"]
    assert not any(each["inconclusive"] for each in found)
    assert found[0]["budget"] == {
        "max_false_positives": 0.05,
        "threshold": 0.5,
        "photographs": 19,
        "set": "mine",
    }


def test_what_is_not_above_it_is_inconclusive_everywhere(sida: Run, pictures: Path) -> None:
    high = own(pictures / "high.json", 0.99)
    options = ("--max-false-positives", "0.05", "--calibration", high)
    result = sida("detect", "real.jpg", "tampered.jpg", "--fail-on", "tampered", *options)
    assert result.exit_code == 0  # and not 10: nothing is stated
    real, tampered = result.stdout.splitlines()[1:3]
    assert real.split()[:2] == ["real.jpg", "real"]
    assert tampered.split()[:2] == ["tampered.jpg", "inconclusive"]
    assert "Budget: at most 5 of 100 real photographs score above 0.99" in result.stdout
    stated = sida(
        *("detect", "tampered.jpg", "--fail-on", "tampered", "--max-false-positives", "0.05"),
        *("--calibration", own(pictures / "low.json", 0.5)),
    )
    assert stated.exit_code == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-false-positives", "0.05"), "fake has no calibration"),
        (("--max-false-positives", "2"), "expected a share above 0 and below 1"),
        (("--max-false-positives", "0.01", "--calibration", "own.json"), "takes at least 99"),
        (("--max-false-positives", "0.1", "--calibration", "other.json"), "of other weights"),
        (("--max-false-positives", "0.1", "--calibration", "real.jpg"), "cannot be read"),
        (("--max-false-positives", "0.1", "--calibration", "absent.json"), "No such file"),
        (("--calibration", "own.json"), "needs --max-false-positives"),
    ],
)
def test_budgets_that_cannot_be_kept_are_a_sentence(
    sida: Run, pictures: Path, arguments: tuple[str, ...], message: str
) -> None:
    own(pictures / "own.json", 0.5)
    own(pictures / "other.json", 0.5, digest="other")
    result = sida("detect", "real.jpg", "--json", "out.jsonl", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (pictures / "out.jsonl").exists()


def test_a_calibration_of_own_photographs(sida: Run, photographs: Path) -> None:
    (photographs / "broken.jpg").write_text("no picture")
    result = sida("calibrate", photographs, "--out", "calibration.json")
    assert result.exit_code == 0
    assert "left out: broken.jpg: " in result.stderr
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()[1:6]}
    assert rows["0.1"][1] == "0.1"  # real pictures of this detector score 1 - 0.9
    assert rows["0.01"][2:5] == ["needs", "99", "photographs"]
    assert "is 0.033." in result.stdout
    written = BudgetCalibration.parse(Path("calibration.json").read_text(), "it")
    assert list(written.scores) == ["as_is", "jpeg_70", "half_size", "screenshot"]
    assert (written.photographs, written.set, written.digest) == (30, "photographs", "none")
    assert not list(photographs.parent.glob("*.unfinished"))
    options = ("--max-false-positives", "0.1", "--calibration", "calibration.json")
    assert sida("detect", photographs / "1.png", *options).exit_code == 0


def test_of_a_labelled_set_only_real_pictures_count(sida: Run, photographs: Path) -> None:
    labelled = photographs.parent / "labelled"
    for label in ("full_synthetic", "tampered"):
        (labelled / label).mkdir(parents=True)
        (photographs / f"{len(label)}.png").rename(labelled / label / "a.png")
    photographs.rename(labelled / "real")
    assert sida("calibrate", labelled, "--as-is", "--out", "c.json").exit_code == 0
    scores = BudgetCalibration.parse(Path("c.json").read_text(), "it").scores
    assert {name: len(values) for name, values in scores.items()} == {"as_is": 28}


def test_a_stopped_calibration_goes_on(sida: Run, detector: Any, photographs: Path) -> None:
    count = 0

    def stop(request: object) -> None:
        nonlocal count
        count += 1
        if count == 10:  # in the third photograph
            raise KeyboardInterrupt

    detector.before = stop
    assert sida("calibrate", photographs, "--out", "c.json").exit_code == 130
    assert not Path("c.json").exists()
    assert sida("calibrate", photographs, "--out", "c.json").exit_code == 0
    assert count == 10 + 28 * 4
    assert BudgetCalibration.parse(Path("c.json").read_text(), "it").photographs == 30
    detector.before = lambda request: None
    sida("calibrate", photographs, "--out", "again.json")
    assert Path("again.json").read_text() == Path("c.json").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nothing", "holds no picture"),
        ("broken", "not one is a photograph that can be judged"),
        ("unreal", "without real pictures"),
        ("absent", "was not found"),
    ],
)
def test_folders_without_photographs_are_a_sentence(
    sida: Run, elsewhere: Path, content: str, message: str
) -> None:
    folder = elsewhere / "folder"
    if content != "absent":
        folder.mkdir()
    if content == "broken":
        (folder / "broken.jpg").write_text("no picture")
    if content == "unreal":
        (folder / "real").mkdir()
        (folder / "full_synthetic").mkdir()
        Image.new("RGB", (8, 8)).save(folder / "full_synthetic" / "a.png")
    result = sida("calibrate", folder, "--out", "calibration.json")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(elsewhere.glob("calibration*"))


def test_a_picture_of_no_photograph_takes_no_part(
    sida: Run, detector: Any, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = detector.run

    def unsuitable(requests: Any) -> Any:
        for number, result in enumerate(run(requests)):
            yield result.model_copy(update={"unsuitable": "it is flat" if number == 2 else None})

    monkeypatch.setattr(type(detector), "run", lambda self, requests: unsuitable(requests))
    result = sida("calibrate", photographs, "--out", "c.json")
    assert result.exit_code == 0
    assert "left out: 0.png: as half_size: it is flat" in result.stderr
    scores = BudgetCalibration.parse(Path("c.json").read_text(), "it").scores
    assert list(scores) == ["as_is", "jpeg_70", "screenshot"]  # no half could be judged


def test_an_evaluation_prints_the_curve(sida: Run, elsewhere: Path) -> None:
    file = write(elsewhere, random_predictions(elsewhere, 30))
    own(elsewhere / "own.json", 0.5, digest=MODEL.digest)
    options = ("--max-false-positives", "0.05", "--calibration", "own.json")
    result = sida("evaluate", "--from", file, "--out", "out", *options)
    assert result.exit_code == 0, result.output
    assert "\nBudget of false accusations\n" in result.stdout
    assert json.loads(Path("out/metrics.json").read_text())["budget"]["threshold"] == 0.5
    refused = sida("evaluate", "--from", file, "--out", "o", "--max-false-positives", "0.05")
    assert refused.exit_code == 2
    assert "made has no calibration" in refused.stderr


def test_a_set_is_refused_a_budget_before_it_is_predicted(sida: Run, elsewhere: Path) -> None:
    data = labelled_folder(elsewhere / "set", 1)
    own(elsewhere / "own.json", 0.5, digest="other")
    options = ("--max-false-positives", "0.05", "--calibration", "own.json")
    result = sida("evaluate", data, "--out", "out", *options)
    assert result.exit_code == 2
    assert "of other weights" in result.stderr
    assert not Path("out/predictions.jsonl").exists()


def test_a_report_says_the_budget(sida: Run, pictures: Path) -> None:
    own(pictures / "own.json", 0.99)
    options = ("--max-false-positives", "0.05", "--calibration", "own.json")
    result = sida("report", "tampered.jpg", "--out", "report.html", *options)
    assert result.exit_code == 0, result.output
    assert "more than five of a hundred honest photographs" in Path("report.html").read_text()
    refused = sida("report", "real.jpg", "--out", "no.html", "--max-false-positives", "0.05")
    assert refused.exit_code == 2
    assert not Path("no.html").exists()
    sida("detect", "real.jpg", "--json", "v.jsonl")
    earlier = sida("report", "v.jsonl", "--out", "no.html", *options)
    assert earlier.exit_code == 2
    assert "--max-false-positives" in earlier.stderr
