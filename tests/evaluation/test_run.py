"""A whole evaluation: what is written, merged, refused and said; the page in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sida.data import export
from sida.errors import ConfigError, DataError, InputError
from sida.evaluation import Options, Shard, evaluate, prediction_run
from sida.evaluation.detector_predictor import DetectorPredictor
from tests.browser import browser
from tests.evaluation.made import random_predictions, write
from tests.small import labelled_folder, small_detector

QUICK = Options(leakage=False)
FILES = {"index.html", "metrics.csv", "metrics.json", "metrics.md", "predictions.jsonl"}


@pytest.fixture(scope="module")
def predictor() -> DetectorPredictor:
    return DetectorPredictor(small_detector())


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_folder(tmp_path_factory.mktemp("set"), 4)


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, labelled: Path, predictor: DetectorPredictor
) -> Path:
    out = tmp_path_factory.mktemp("evaluated") / "out"
    options = Options(published_formulas=True)
    evaluate([labelled], out, predictor=lambda: predictor, options=options)
    return out


def metrics(out: Path) -> dict[str, Any]:
    content = json.loads((out / "metrics.json").read_text())
    assert isinstance(content, dict)
    return content


def test_the_files_and_the_keys_of_the_contract(evaluated: Path) -> None:
    assert {file.name for file in evaluated.iterdir()} >= FILES
    content = metrics(evaluated)
    assert content["schema"] == "sida.metrics/1"
    assert content["protocol"] == "end_to_end"
    assert content["count"] == 12
    names = {
        "detection": "accuracy balanced_accuracy macro_f1 auroc_real_vs_not average_precision ece "
        "brier nll fpr_real auroc_real_vs_synthetic auroc_real_vs_tampered fpr_real_stated "
        "stated_share stated_share_real_synthetic",
        "localization": "f1_fixed_mean_tampered iou_fixed_mean_tampered f1_best_mean_tampered "
        "pixel_auc_mean_tampered giou ciou",
    }
    for part, columns in names.items():
        for name in columns.split():
            assert set(content[part][name]) == {"value", "low", "high"}, name
    assert set(content["per_class"]) == {"real", "full_synthetic", "tampered"}
    assert len(content["published_formulas"]) == 5
    assert {"robustness", "by_source", "not_measured"} <= set(content)


def test_predictions_alone_give_the_same_figures(evaluated: Path, tmp_path: Path) -> None:
    options = Options(published_formulas=True)
    evaluate([], tmp_path / "again", predictions=[evaluated / "predictions.jsonl"], options=options)
    for name in ("metrics.json", "metrics.csv", "metrics.md"):
        assert (tmp_path / "again" / name).read_bytes() == (evaluated / name).read_bytes()


def test_a_folder_of_results_can_be_moved(evaluated: Path, tmp_path: Path) -> None:
    shutil.copytree(evaluated, tmp_path / "moved")
    evaluate(
        [],
        tmp_path / "again",
        predictions=[tmp_path / "moved/predictions.jsonl"],
        options=Options(published_formulas=True),
    )
    assert metrics(tmp_path / "again") == metrics(evaluated)


def test_shards_give_the_figures_of_the_whole(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_run, "BLOCK", 3)
    for part in ("1/2", "2/2"):
        options = Options(shard=Shard.parse(part), leakage=False)
        out = tmp_path / part.replace("/", "of")
        assert evaluate([labelled], out, predictor=lambda: predictor, options=options) == {}
        assert not (out / "metrics.json").exists()
    evaluate([labelled], tmp_path / "whole", predictor=lambda: predictor, options=QUICK)
    files = [tmp_path / f"{part}of2/predictions.jsonl" for part in (2, 1)]
    evaluate([], tmp_path / "merged", predictions=files, options=QUICK)
    assert (tmp_path / "merged/metrics.json").read_bytes() == (
        tmp_path / "whole/metrics.json"
    ).read_bytes()
    with pytest.raises(DataError, match="in several of the files"):
        evaluate([], tmp_path / "twice", predictions=[files[0], files[0]], options=QUICK)


def test_a_shard_without_a_block_is_an_empty_part(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    for part in ("1/2", "2/2"):
        options = Options(shard=Shard.parse(part), leakage=False)
        evaluate([labelled], tmp_path / part[0], predictor=lambda: predictor, options=options)
    files = [tmp_path / part / "predictions.jsonl" for part in ("1", "2")]
    assert files[1].read_bytes() == b""
    evaluate([], tmp_path / "merged", predictions=files, options=QUICK)
    assert metrics(tmp_path / "merged")["count"] == 12


def test_changed_pictures_get_figures_of_their_own(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    same, black = "brightness_1", "brightness_0"
    options = Options(perturbations=(same, black), leakage=False)
    evaluate([labelled], tmp_path / "out", predictor=lambda: predictor, options=options)
    content = metrics(tmp_path / "out")
    assert set(content["robustness"]) == {same, black}
    unchanged = content["robustness"][same]["nll"]["value"]
    assert unchanged == pytest.approx(content["detection"]["nll"]["value"])
    assert content["robustness"][black]["nll"]["value"] != pytest.approx(unchanged)
    assert (tmp_path / f"out/robustness/{black}/predictions.jsonl").is_file()
    evaluate([], tmp_path / "again", predictions=[tmp_path / "out/predictions.jsonl"])
    assert metrics(tmp_path / "again") == content
    with pytest.raises(ConfigError, match="no perturbation 'grey'"):
        evaluate([labelled], tmp_path / "x", options=Options(perturbations=("grey",)))


def test_several_sets_get_a_folder_each_and_a_joint_table(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    other = labelled_folder(tmp_path / "other", 2)
    results = evaluate(
        [labelled, other], tmp_path / "out", predictor=lambda: predictor, options=QUICK
    )
    assert list(results) == [str(labelled), str(other)]
    assert metrics(tmp_path / "out/other")["count"] == 6
    table = (tmp_path / "out/metrics.md").read_text()
    assert f"| {other} | 6 |" in table
    assert (tmp_path / "out/index.html").is_file()


def test_figures_of_a_finished_run_are_worked_out_again(evaluated: Path, labelled: Path) -> None:
    before = metrics(evaluated)

    def none() -> DetectorPredictor:
        return DetectorPredictor(small_detector())

    options = Options(published_formulas=True)
    evaluate([labelled], evaluated, predictor=none, options=options)
    assert metrics(evaluated) == before


def test_what_there_is_nothing_to_evaluate_in(tmp_path: Path, predictor: DetectorPredictor) -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        evaluate([], tmp_path / "out")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="is empty"):
        evaluate([], tmp_path / "out", predictions=[tmp_path / "empty.jsonl"])
    with pytest.raises(InputError, match="was not found"):
        evaluate([], tmp_path / "out", predictions=[tmp_path / "none.jsonl"])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        evaluate(["x"], tmp_path / "file")
    assert not (tmp_path / "out/predictions.jsonl").exists()


def test_predictions_of_two_models_are_refused(tmp_path: Path) -> None:
    lines = random_predictions(tmp_path, 3)
    other = lines[1].model.model_copy(update={"name": "other"})
    lines[1] = lines[1].model_copy(update={"model": other})
    with pytest.raises(DataError, match="several models"):
        evaluate([], tmp_path / "out", predictions=[write(tmp_path, lines)])


def test_broken_pictures_are_counted(predictor: DetectorPredictor, tmp_path: Path) -> None:
    data = labelled_folder(tmp_path / "set", 2)
    (data / "real/real0.png").write_bytes(b"broken")
    (data / "masks/tampered1_mask.png").write_bytes(b"broken")
    (result,) = evaluate(
        [data], tmp_path / "out", predictor=lambda: predictor, options=QUICK
    ).values()
    content = metrics(tmp_path / "out")
    assert content["count"] == 5
    assert content["failures"] == {"unreadable_image": 1}
    assert "tampered picture without a mask" in result.rows.notes[0]
    page = (tmp_path / "out/index.html").read_text()
    assert "Not judged" in page
    assert "real0.png" in page


def test_a_set_without_masks(predictor: DetectorPredictor, tmp_path: Path) -> None:
    data = labelled_folder(tmp_path / "set", 2)
    shutil.rmtree(data / "masks")
    evaluate([data], tmp_path / "out", predictor=lambda: predictor, options=QUICK)
    content = metrics(tmp_path / "out")
    assert content["localization"] == {}
    assert content["not_measured"]["giou"] == "no tampered picture has a mask that can be used"
    assert "accuracy" in content["detection"]


def test_a_run_of_other_weights_is_not_gone_on_with(
    evaluated: Path, labelled: Path, predictor: DetectorPredictor
) -> None:
    detector = small_detector()
    detector.model = detector.model.model_copy(update={"digest": "1" * 64})
    with pytest.raises(ConfigError, match=r"another run: weights \(changed\)"):
        evaluate([labelled], evaluated, predictor=lambda: DetectorPredictor(detector))


def test_the_gallery_shows_pictures_that_lie_in_a_table(
    labelled: Path, predictor: DetectorPredictor, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'sida[data]'")
    export(labelled, tmp_path / "table", "parquet")
    evaluate([tmp_path / "table"], tmp_path / "out", predictor=lambda: predictor, options=QUICK)
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') >= 4
    assert "cannot be shown" not in page
    lines = [tmp_path / "out/predictions.jsonl"]
    evaluate([], tmp_path / "again", predictions=lines, options=QUICK)
    page = (tmp_path / "again/index.html").read_text(encoding="utf-8")
    assert "pictures cannot be shown: they were moved or changed, or are not at hand" in page


@pytest.mark.slow
def test_the_page_in_a_browser(evaluated: Path, tmp_path: Path) -> None:
    """Tables, curves and gallery are in the document, nothing is complained of."""
    command = [browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--enable-logging=stderr", f"--user-data-dir={tmp_path}", "--window-size=390,844"]
    process = subprocess.run(
        [*command, f"file://{evaluated / 'index.html'}"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert not [line for line in process.stderr.splitlines() if "CONSOLE" in line]
    document = process.stdout
    for title in ("Detection", "Confusion", "Localisation (end_to_end)", "Worst mistakes"):
        assert f"<h2>{title}</h2>" in document
    curves = re.findall(r'<polyline points="([^"]+)"', document)
    assert len([points for points in curves if len(points.split()) > 2]) >= 8
    gallery = document[document.index("Worst mistakes</h2>") :]
    assert gallery.count('<img src="data:image/jpeg;base64,') >= 4
