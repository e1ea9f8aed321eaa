"""Other judges of the same pictures: models, commands, tables of scores, and how they compare."""

import json
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binom
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from sida.data.sample import Sample
from sida.errors import CheckpointError, ConfigError, DataError, InputError
from sida.evaluation import Options, baselines, evaluate
from sida.evaluation.baselines import CommandPredictor, ScoresPredictor, load, parse_labels
from sida.evaluation.comparison import McNemar, mcnemar
from sida.evaluation.detector_predictor import DetectorPredictor
from sida.evaluation.prediction_run import predict
from sida.evaluation.predictions import Prediction, read_predictions
from sida.verdict import LABELS, Explanation, Failure, Verdict
from tests.small import labelled_folder, small_detector

QUICK = Options(leakage=False)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_folder(tmp_path_factory.mktemp("set"), 3)


def classifier(folder: Path, *words: str) -> Path:
    """A tiny model of random weights with these classes."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        image_size=16,
        patch_size=8,
        id2label=dict(enumerate(words)),
        label2id={word: number for number, word in enumerate(words)},
    )
    model = ViTForImageClassification(config)
    model.classifier.weight.data.mul_(40)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def verdicts_of(predictor: Any, *pictures: Path | bytes | np.ndarray) -> list[Any]:
    samples = [Sample(b"", "real", name=f"{number}.png") for number in range(len(pictures))]
    return list(predictor(samples, list(pictures)))


def metrics(out: Path) -> dict[str, Any]:
    outcome = json.loads((out / "metrics.json").read_text())
    assert isinstance(outcome, dict)
    return outcome


def test_labels_on_the_command_line() -> None:
    assert parse_labels("Fake = full_synthetic,a b=real") == {
        "fake": "full_synthetic",
        "a b": "real",
    }
    for wrong in ("fake", "fake=ai", "=real", ""):
        with pytest.raises(ConfigError, match="expected WORD=CLASS"):
            parse_labels(wrong)


@pytest.mark.parametrize("spec", ["x", "hf:", "zip:a", "command: "])
def test_what_is_no_baseline(spec: str) -> None:
    with pytest.raises(ConfigError, match="expected hf:"):
        load([spec])


# ---- models


def test_a_model_of_two_words_says_real_or_not(tmp_path: Path, labelled: Path) -> None:
    folder = classifier(tmp_path / "vit", "fake", "nature")
    labels = {"fake": "tampered", "nature": "real"}
    (baseline,) = load([f"hf:{folder}"], labels, "cpu").values()
    pictures = sorted(labelled.glob("*/*[0-9].png"))
    results = verdicts_of(baseline.predictor, *pictures, np.zeros((9, 7, 3), np.uint8))
    model = ViTForImageClassification.from_pretrained(folder)
    processor = ViTImageProcessor.from_pretrained(folder)
    for picture, verdict in zip(pictures, results, strict=False):
        inputs = processor(Image.open(picture).convert("RGB"), return_tensors="pt")
        with torch.no_grad():
            shares = model(**inputs).logits.softmax(-1)[0]
        assert verdict.probabilities.real == pytest.approx(float(shares[1]), abs=1e-4)
        assert (verdict.label == "real") == bool(shares[1] >= 0.5)
        assert verdict.says == "real_or_not"
    assert (results[-1].height, results[-1].width) == (9, 7)
    assert len({verdict.probabilities.real for verdict in results}) > 1


def test_a_model_of_three_words_says_classes(tmp_path: Path, labelled: Path) -> None:
    folder = classifier(tmp_path / "vit", "Tampered", "REAL", "full synthetic")
    (baseline,) = load([f"hf:{folder}"], device="cpu").values()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"broken")
    verdict, failure = verdicts_of(baseline.predictor, labelled / "real/real0.png", broken)
    assert verdict.says == "classes"
    assert isinstance(failure, Failure)
    model = ViTForImageClassification.from_pretrained(folder)
    inputs = ViTImageProcessor.from_pretrained(folder)(
        Image.open(labelled / "real/real0.png").convert("RGB"), return_tensors="pt"
    )
    with torch.no_grad():
        shares = model(**inputs).logits.softmax(-1)[0].tolist()
    outcome = [verdict.probabilities[label] for label in ("tampered", "real", "full_synthetic")]
    assert outcome == pytest.approx(shares, abs=1e-4)


def test_words_that_stand_for_nothing(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "vit", "fake", "nature")
    with pytest.raises(ConfigError, match="are fake, nature, and nature stand for no class"):
        load([f"hf:{folder}"], {"fake": "not_real"}, "cpu")
    with pytest.raises(ConfigError, match="expected real and something else"):
        load([f"hf:{folder}"], {"fake": "not_real", "nature": "tampered"}, "cpu")
    with pytest.raises(CheckpointError, match="as an image-classification model"):
        load([f"hf:{tmp_path}"], device="cpu")


# ---- commands


def script(folder: Path, body: str) -> str:
    """A command of Python: `path` is the picture, `say` prints a verdict of three numbers."""
    file = folder / "judge.py"
    file.write_text(
        "import json, sys, time\nfrom PIL import Image\npath = sys.argv[-1]\n"
        "def say(shares, **more):\n"
        f"    labels = {LABELS!r}\n"
        "    width, height = Image.open(path).size\n"
        "    label = labels[shares.index(max(shares))]\n"
        "    line = dict(schema='sida.verdict/1', width=width, height=height, label=label,\n"
        "        probabilities=dict(zip(labels, shares)), seconds=0,\n"
        "        model=dict(name='x', version='x', digest='x'))\n"
        "    print(json.dumps(line | more))\n" + body
    )
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(file))}"


def test_a_command_sees_each_picture(tmp_path: Path) -> None:
    light = "v = Image.open(path).convert('L').getpixel((0, 0)) / 255\nsay([1 - v, 0, v])"
    predictor = CommandPredictor(script(tmp_path, light), "light")
    pixels = np.full((4, 6, 3), 255, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a $(b) 'c'.png")
    file = tmp_path / "a $(b) 'c'.png"
    results = verdicts_of(predictor, file, file.read_bytes(), np.zeros((4, 6, 3), np.uint8))
    assert [verdict.label for verdict in results] == ["tampered", "tampered", "real"]
    assert {verdict.model.name for verdict in results} == {"light"}
    other = CommandPredictor(script(tmp_path, "say([1, 0, 0])"), "light")
    assert other.model.digest != predictor.model.digest


def test_a_command_that_says_no_more_than_not_real(tmp_path: Path) -> None:
    predictor = CommandPredictor(script(tmp_path, "say([.4, .3, .3], says='real_or_not')"), "two")
    (verdict,) = verdicts_of(predictor, np.zeros((4, 6, 3), np.uint8))
    assert verdict.label != "real"
    assert verdict.probabilities.real == pytest.approx(0.4)


def test_a_mask_of_a_command_is_kept(tmp_path: Path) -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 2] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    outcome = {"area": 1 / 24, "threshold": 0.5, "file": str(tmp_path / "mask.png")}
    predictor = CommandPredictor(script(tmp_path, f"say([0, 0, 1], mask={outcome!r})"), "m")
    (verdict,) = verdicts_of(predictor, np.zeros((4, 6, 3), np.uint8))
    assert np.array_equal(verdict.mask, mask > 0)
    assert verdict.localization.file is None
    Path(outcome["file"]).unlink()
    (failure,) = verdicts_of(predictor, np.zeros((4, 6, 3), np.uint8))
    assert isinstance(failure, Failure)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("print('hello')", "found a line with schema None"),
        ("pass", "found a line with schema None"),
        ("say([1, 0, 0]); say([1, 0, 0])", "it printed 2 lines, expected one"),
        ("say([.7, 0, 0])", "does not follow the contract"),
        ("say([1, 0, 0], width=99)", "it says that the picture is 99 x 4, which is 6 x 4"),
        ("say([1, 0, 0], says='all')", "expected masks, classes or real_or_not"),
        ("sys.exit('no\\nmemory')", "it ended with status 1: memory"),
        ("time.sleep(60)", "it took longer than 3 seconds"),
        (
            "import subprocess as s; s.run([sys.executable, '-c', 'import time; time.sleep(60)'])",
            "it took longer than 3 seconds",
        ),
    ],
)
def test_a_command_that_fails(tmp_path: Path, body: str, sentence: str) -> None:
    predictor = CommandPredictor(script(tmp_path, body), "bad", timeout=3)
    (failure,) = verdicts_of(predictor, np.zeros((4, 6, 3), np.uint8))
    assert isinstance(failure, Failure)
    assert sentence in failure.message
    assert "bad" in failure.message


def test_what_a_command_prints_is_read_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its time is up it could fill the memory."""
    monkeypatch.setattr(baselines, "PRINTED", 1 << 20)
    endless = "while True: sys.stdout.write('x' * 65536)"
    predictor = CommandPredictor(script(tmp_path, endless), "bad", timeout=60)
    start = time.monotonic()
    (failure,) = verdicts_of(predictor, np.zeros((4, 6, 3), np.uint8))
    assert "it printed more than 1,048,576 bytes, expected one line" in failure.message
    assert time.monotonic() - start < 30


def test_what_a_command_says_of_an_error_is_its_end(tmp_path: Path) -> None:
    loud = "sys.stderr.write('x' * 1_000_000 + '\\nno memory'); sys.exit(3)"
    predictor = CommandPredictor(script(tmp_path, loud), "bad", timeout=60)
    (failure,) = verdicts_of(predictor, np.zeros((4, 6, 3), np.uint8))
    assert failure.message.endswith("it ended with status 3: no memory")


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no program 'no-such-program'"):
        load(["command:no-such-program --quiet"])
    with pytest.raises(ConfigError, match="cannot be split"):
        load(["command:python 'x"])


# ---- scores


def scores(folder: Path, text: str) -> Path:
    file = folder / "scores.csv"
    file.write_text(text)
    return file


def of_set(predictor: ScoresPredictor, *names: str) -> list[Verdict | Failure]:
    pixels = np.zeros((4, 6, 3), np.uint8)
    samples = [Sample(b"", "real", name=name) for name in names]
    return list(predictor(samples, [pixels] * len(names)))


def test_scores_are_found_by_name_or_stem(tmp_path: Path) -> None:
    file = scores(tmp_path, "image,score\nreal/a.png,0.2\nb.png,0.9\nc,0.5\n")
    results = of_set(ScoresPredictor(file, "s"), "real/a.png", "real/b.png", "fake/c.jpg", "d.png")
    assert [item.label for item in results[:3]] == ["real", "full_synthetic", "real"]  # type: ignore[union-attr]
    assert results[1].probabilities.real == pytest.approx(0.1)  # type: ignore[union-attr]
    assert isinstance(results[3], Failure)
    assert results[3].error == "not_found"
    assert "has no row for 'd.png'" in results[3].message


def test_three_columns_are_classes(tmp_path: Path) -> None:
    file = scores(tmp_path, "image,tampered,real,full_synthetic\na,0.7,0.1,0.2\n")
    (verdict,) = of_set(ScoresPredictor(file, "s"), "a.png")
    assert isinstance(verdict, Verdict)
    assert verdict.label == "tampered"
    assert verdict.says == "classes"  # type: ignore[attr-defined]


def test_a_row_is_of_one_picture(tmp_path: Path) -> None:
    predictor = ScoresPredictor(scores(tmp_path, "image,score\n1,0.2\n"), "s")
    with pytest.raises(DataError, match=r"the row '1' fits 'real/1.png' and 'fake/1.png'"):
        of_set(predictor, "real/1.png", "fake/1.png")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has the columns none, expected image and real"),
        ("image,tampered\na,1\n", "has the columns image, tampered"),
        ("image,score\na,1.5\n", r"line 2: found \[1.5\]"),
        ("image,score\na,nan\n", r"line 2: found \[nan\]"),
        ("image,score\na,\n", "line 2: found no number"),
        ("image,score\na\n", "line 2: found no number"),
        ("image,score\na,1\na,0\n", "line 3: found a second row for 'a'"),
        ("image,real,full_synthetic,tampered\na,1,1,0\n", r"sum to 2\.0000"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        ScoresPredictor(scores(tmp_path, text), "s")


def test_a_table_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load([f"csv:{tmp_path / 'none.csv'}"])
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not CSV in UTF-8"):
        load([f"csv:{tmp_path / 'x.csv'}"])


def test_words_of_the_set_come_into_its_predictions(tmp_path: Path) -> None:
    file = scores(tmp_path, "image,score\na,0.2\n")
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    samples = [Sample(tmp_path / "a.png", "real", name="a.png", description="a hill")]
    (line,) = read_predictions(predict(ScoresPredictor(file, "s"), samples, tmp_path / "out", {}))
    assert line.truth.description == "a hill"
    assert isinstance(line, Prediction)
    assert line.says == "real_or_not"


# ---- comparison


def test_mcnemar_by_the_binomial_distribution() -> None:
    ours = np.array([1] * 9 + [0] * 2 + [1] * 30 + [0] * 5, bool)
    theirs = np.array([0] * 9 + [1] * 2 + [1] * 30 + [0] * 5, bool)
    outcome = mcnemar(ours, theirs)
    assert (outcome.ours, outcome.theirs) == (9, 2)
    assert outcome.p == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert mcnemar(ours, ours) == McNemar(0, 0, 1.0)


class Telling(DetectorPredictor):
    """Says the same of all pictures; a model would take long to write."""

    def __call__(self, samples: Any, pictures: Any) -> Iterator[Verdict | Failure]:
        explanation = Explanation(
            text="Type: real. Areas: none. Tampered Content: none", complete=True
        )
        for verdict in super().__call__(samples, pictures):
            yield verdict.model_copy(update={"explanation": explanation})


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, labelled: Path) -> Path:
    """Two tables: one of all pictures, right but once; one of three classes without a picture."""
    root = tmp_path_factory.mktemp("compared")
    names = [f"{label}{i}" for label in LABELS for i in range(3)]
    rows = [f"{name},{0.1 if name.startswith('real') else 0.9}" for name in names]
    (root / "two.csv").write_text("\n".join(["image,score", "real0,0.95", *rows[1:]]))
    rows = [f"{name},{int(name[0] == 'r')},0,{int(name[0] != 'r')}" for name in names[:-1]]
    (root / "three.csv").write_text("\n".join([f"image,{','.join(LABELS)}", *rows]))
    options = Options(
        leakage=False,
        explanations=True,
        baselines=(f"csv:{root / 'two.csv'}", f"csv:{root / 'three.csv'}"),
    )
    evaluate([labelled], root / "out", predictor=lambda: Telling(small_detector()), options=options)
    return root / "out"


def test_a_baseline_of_two_answers_is_measured_for_these(compared: Path) -> None:
    outcome = metrics(compared / "baselines/two")
    assert outcome["count"] == 9
    assert outcome["detection"]["accuracy_real_vs_not"]["value"] == pytest.approx(8 / 9)
    assert outcome["detection"]["auroc_real_vs_not"]["value"] == pytest.approx(12 / 18)
    assert outcome["detection"]["fpr_real"]["value"] == pytest.approx(1 / 3)
    assert outcome["confusion"]["tampered"] == {"real": 0, "not_real": 3}
    assert outcome["per_class"] == outcome["localization"] == {}
    for name in ("accuracy", "brier", "tampered.f1"):
        assert "no class" in outcome["not_measured"][name]
    assert "do not say where" in outcome["not_measured"]["giou"]
    page = (compared / "baselines/two/index.html").read_text()
    assert "called not real" in page
    assert "wrong by 0.90" in page


def test_the_comparison_is_of_common_pictures(compared: Path) -> None:
    outcome = metrics(compared)
    assert set(outcome["baselines"]) == {"two", "three"}
    three = outcome["baselines"]["three"]
    assert three["judged"] == three["compared"]["count"] == 8
    assert three["figures"]["accuracy"]["value"] == pytest.approx(5 / 8)
    assert three["compared"]["mcnemar"]["of"] == "class"
    two = outcome["baselines"]["two"]
    assert two["compared"]["mcnemar"]["of"] == "real_or_not"
    assert set(two["compared"]["difference"]) == {"accuracy_real_vs_not", "auroc_real_vs_not"}
    for name, figure in two["compared"]["difference"].items():
        ours, theirs = outcome["detection"][name], two["figures"][name]
        assert figure["value"] == pytest.approx(ours["value"] - theirs["value"])
        assert figure["low"] <= figure["value"] <= figure["high"]
    text = (compared / "metrics.md").read_text()
    assert "## Model against baselines" in text
    assert "| two | 9 |" in text
    assert "baselines.two.detection" in (compared / "metrics.csv").read_text()


def test_a_judge_against_itself_differs_by_nothing(compared: Path, tmp_path: Path) -> None:
    shutil.copytree(compared, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/baselines")
    shutil.copytree(tmp_path / "run", tmp_path / "run/baselines/same")
    outcome = evaluate([], tmp_path / "out", predictions=[tmp_path / "run/predictions.jsonl"])
    (result,) = outcome.values()
    assert set(result.compared["same"].difference.values()) == {(0.0, 0.0, 0.0)}
    assert result.compared["same"].test == McNemar(0, 0, 1.0)


def test_predictions_alone_give_the_same(compared: Path, tmp_path: Path) -> None:
    options = Options(explanations=True)
    evaluate([], tmp_path / "again", predictions=[compared / "predictions.jsonl"], options=options)
    assert metrics(tmp_path / "again") == metrics(compared)
    texts = metrics(tmp_path / "again")["explanation_texts"]
    assert texts == {"texts": 9, "distinct": 1, "with_reference": 0}
    assert "## Explanations" in (tmp_path / "again/metrics.md").read_text()
    assert "Explanations</h2>" in (tmp_path / "again/index.html").read_text()
    options = Options(baselines=("csv:x",))
    with pytest.raises(ConfigError, match="baselines need pictures"):
        evaluate([], tmp_path / "x", predictions=[compared / "predictions.jsonl"], options=options)


def test_similarity_needs_explanations() -> None:
    with pytest.raises(ConfigError, match="--explanations"):
        Options(similarity="x")
