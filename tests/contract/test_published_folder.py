"""`sida detect --model FOLDER` on the published layout gives the recorded verdicts."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from sida import Detector
from sida.cli import app
from sida.image.read import read_mask
from sida.model.prompt import QUESTIONS
from sida.verdict import LABELS
from tests.oracle import description_folder, published_folder

PUBLISHED = {"stage1": published_folder, "stage2": description_folder}


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, dict]:
    return json.loads((shared / "oracle/eval/eval.json").read_text())


@pytest.fixture(scope="module", params=list(PUBLISHED))
def results(request, shared, recorded, tmp_path_factory):
    """Recorded cases of one question, each with the line and the mask that the command gives."""
    out = tmp_path_factory.mktemp(request.param)
    folder = PUBLISHED[request.param](shared, out)
    cases = {n: c for n, c in recorded.items() if c["question"] == QUESTIONS[request.param]}
    pictures = [str(shared / "oracle/preprocess/pictures" / c["picture"]) for c in cases.values()]
    options = ["--json", str(out / "v.jsonl"), "--masks", str(out / "masks"), "--mask-for", "all"]
    result = CliRunner().invoke(app, ["detect", *pictures, "--model", str(folder), *options])
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (out / "v.jsonl").read_text().splitlines()]
    return list(zip(cases.items(), lines, strict=True))


def test_probabilities_are_the_recorded_ones(results):
    assert len(results) >= 2
    for (name, case), line in results:
        values = [line["probabilities"][label] for label in LABELS]
        assert values == pytest.approx(case["class_probabilities"], abs=2e-3), name
        assert line["label"] == LABELS[case["predicted"]]
        assert [line["height"], line["width"]] == case["original_hw"]
        assert line["calibrated"] is line["inconclusive"] is False


def test_masks_are_the_recorded_ones(results, shared):
    for (name, case), line in results:
        mask = read_mask(line["mask"]["file"]) > 127
        assert list(mask.shape) == case["original_hw"]
        stride = case["final_mask_stride"]
        tensors = load_file(shared / f"oracle/eval/{name}.safetensors")
        truth = tensors["final_mask_f16"].numpy() > 0
        values = mask[::stride, ::stride]
        union = (values | truth).sum()
        assert union == 0 or (values & truth).sum() / union > 0.995, name
        assert mask.mean() == pytest.approx(case["mask_positive_fraction"], abs=1e-3)
        assert line["mask"]["area"] == pytest.approx(mask.mean(), abs=1e-6)


def test_the_python_api_says_the_same_one_by_one_and_together(shared, recorded, tmp_path):
    detector = Detector.load(published_folder(shared, tmp_path))
    names = ["landscape.jpg", "portrait.png", "tiny.png", "strip.png", "large.jpg"]
    pictures = [shared / "oracle/preprocess/pictures" / name for name in names]
    together = list(detector.detect_many(pictures))
    for picture, verdict in zip(pictures, together, strict=True):
        alone = detector.detect(picture)
        for label in LABELS:
            assert alone.probabilities[label] == pytest.approx(
                verdict.probabilities[label], abs=1e-4
            )
        assert (alone.mask is None) == (verdict.mask is None) == (verdict.label != "tampered")


def test_a_detection_model_says_that_it_cannot_explain(shared, tmp_path):
    detector = Detector.load(published_folder(shared, tmp_path))
    picture = shared / "oracle/preprocess/pictures/landscape.jpg"
    verdict = detector.detect(picture, explain=True)
    assert verdict.explanation is None
    assert any("not trained to explain" in warning for warning in verdict.warnings)


def test_a_description_model_goes_on_from_the_prefill(shared, tmp_path):
    """The recorded chat ends each answer right after its stem, and so does ours."""
    recorded = json.loads((shared / "oracle/eval/description_free_running.json").read_text())
    detector = Detector.load(description_folder(shared, tmp_path))
    checked = [case for case in recorded if case["question"] == QUESTIONS["stage2"]]
    assert len(checked) == 3
    for case in checked:
        picture = shared / "oracle/preprocess/pictures" / case["picture"]
        verdict = detector.detect(picture, explain=True)
        stem = {"full_synthetic": "full synthetic"}.get(verdict.label, verdict.label)
        assert f"[CLS] The image is {stem}" in case["text_before_tag_cleaning"]
        assert verdict.explanation.text == ""
        assert verdict.explanation.complete
        if verdict.label == "tampered":
            (fraction,) = case["mask_positive_fraction"]
            assert verdict.localization.area == pytest.approx(fraction, abs=1e-3)
