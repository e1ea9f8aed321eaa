"""`sida adapt` and its library: learned, measured, written by reference, refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

import sida.data
from sida import Detector
from sida.cli import app
from sida.errors import CheckpointError, DataError
from sida.model.adapter import read_adapter
from sida.model.budget import BudgetCalibration
from sida.model.calibration import Calibration
from sida.model.checkpoint import load, stored_calibration
from sida.train.adaptation import Adaptation, AdaptationReport, AdaptOptions, adapt
from sida.train.class_features import ClassFeatures, FeatureReader
from sida.train.replay import Replay, load_replay, save_replay
from sida.train.stop_request import StopRequest
from sida.verdict import LABELS
from tests.model.test_clip_windows import little_config
from tests.small import small_config
from tests.train.test_heads import save_model

SHADES = {"real": (200, 60, 60), "full_synthetic": (60, 200, 60), "tampered": (60, 60, 200)}


def shades(root: Path, count: int, labels: tuple[str, ...] = LABELS, seed: int = 0) -> Path:
    """Pictures of noise; a class has its colour."""
    rng = np.random.default_rng(seed)
    for label in labels:
        (root / label).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(-40, 40, (40, 48, 3))
            pixels = (np.array(SHADES[label]) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(small_config(), tmp_path_factory.mktemp("base") / "small")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shades(tmp_path_factory.mktemp("own"), 10)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shades(tmp_path_factory.mktemp("known"), 8, seed=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def adapted(
    base: str, own: Path, known: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Adaptation]:
    out = tmp_path_factory.mktemp("out") / "mine"
    options = AdaptOptions([own], base, known, max_loss=1, cache=cache)
    return out, adapt(options, out)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_own_pictures_are_learned(adapted: tuple[Path, Adaptation]) -> None:
    _, adaptation = adapted
    assert adaptation.report.own.change.value > 0.2
    assert adaptation.report.own.count == dict.fromkeys(LABELS, 10)


def test_the_folder_is_small_and_names_its_base(
    adapted: tuple[Path, Adaptation], base: str
) -> None:
    out, adaptation = adapted
    assert sorted(file.name for file in out.iterdir()) == ["adaptation.json", "adapter.safetensors"]
    assert sum(file.stat().st_size for file in out.iterdir()) < 100_000
    written = (out / "adaptation.json").read_text()
    assert AdaptationReport.model_validate_json(written) == adaptation.report
    assert json.loads(written)["schema"] == "sida.adaptation/1"
    assert read_adapter(out / "adapter.safetensors").base == str(Path(base).resolve())
    assert adaptation.report.base_digest == load(base).digest


def test_the_folder_is_a_model(adapted: tuple[Path, Adaptation], base: str, own: Path) -> None:
    out, adaptation = adapted
    files = sorted(own.rglob("*.png"))
    detector = Detector.load(out)
    assert (detector.model.name, detector.model.digest) == ("mine", adaptation.adapter.digest)

    def right(detector: Detector) -> float:
        return np.mean([detector.detect(file).label == file.parent.name for file in files])

    assert right(detector) > 0.8 > right(Detector.load(base))


def test_budgets_lie_beside_the_adapter_however_it_is_named(
    adapted: tuple[Path, Adaptation], base: str, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(adapted[0], mine)
    budgets = BudgetCalibration.of("photographs", adapted[1].adapter.digest, {"original": [0.5]})
    (mine / "budget.json").write_text(budgets.model_dump_json())
    for name in (str(mine), f"{base}+{mine / 'adapter.safetensors'}"):
        assert load(name).budget_calibration == stored_calibration(name) == budgets


def test_a_known_set_counts_the_same_wherever_it_lies(
    adapted: tuple[Path, Adaptation], base: str, own: Path, known: Path, cache: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(known, moved)
    again = adapt(AdaptOptions([own], base, moved, max_loss=1, cache=cache), tmp_path / "mine")
    assert again.adapter.digest == adapted[1].adapter.digest


def test_masks_are_made_as_by_the_base(
    base: str, own: Path, known: Path, cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    fitted = Calibration(
        mask_threshold=0.05,
        mask_relative=0.3,
        unsure_below=(0.5, 0.5, 0.5),
        digest=load(str(folder)).digest,
    )
    fitted.save(folder)
    adapt(AdaptOptions([own], str(folder), known, max_loss=1, cache=cache), tmp_path / "mine")
    adapted = load(str(tmp_path / "mine"))
    assert adapted.calibration.digest == adapted.digest != fitted.digest
    changed = {"unsure_below", "digest"}
    assert adapted.calibration.model_dump(exclude=changed) == fitted.model_dump(exclude=changed)


def test_a_second_run_reads_no_picture_again(
    adapted: tuple[Path, Adaptation],
    base: str,
    own: Path,
    known: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the network ran")

    monkeypatch.setattr("sida.inference.engine.Engine.forward", refuse)
    monkeypatch.chdir(tmp_path)
    options = AdaptOptions([own], base, known, max_loss=1, cache=cache)
    again = adapt(options, tmp_path / "again")
    assert again.adapter.digest == adapted[1].adapter.digest


def test_other_weights_of_the_base_are_refused(
    adapted: tuple[Path, Adaptation], base: str, tmp_path: Path, own: Path
) -> None:
    moved = tmp_path / "base"
    shutil.copytree(base, moved)
    picture = next(own.rglob("*.png"))
    file = adapted[0] / "adapter.safetensors"
    assert run("detect", picture, "--model", f"{moved}+{file}").exit_code == 0
    weights = moved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
    with pytest.raises(CheckpointError, match="is an adapter of"):
        Detector.load(f"{moved}+{file}")


def test_a_model_that_gets_worse_is_not_written(
    base: str, own: Path, cache: Path, tmp_path: Path
) -> None:
    """Known pictures that look like own ones, of which the model was right to say otherwise."""
    folder = tmp_path / "base"
    shutil.copytree(base, folder)
    model = load(str(folder))
    with StopRequest() as stop:
        pictures = FeatureReader(model, cache, stop).read([own], list(sida.data.open(own)))
    labels = (pictures.labels + 1) % 3
    logits = torch.eye(3)[labels] / 10  # right, but not by much
    torch.manual_seed(0)
    check = pictures._replace(labels=labels, logits=logits)
    noise = torch.randn_like(check.features) * check.features.std(0) + check.features.mean(0)
    learned = check._replace(features=noise)
    save_replay(folder / "replay.safetensors", Replay(learned, check), model.digest)
    arguments = ("adapt", own, "--model", folder, "--cache", cache, "--out", tmp_path / "mine")
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert "Nothing was written: on known pictures the model would lose" in result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()][5] == "Known"
    assert not (tmp_path / "mine").exists()
    result = run(*arguments, "--max-loss", 1)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "mine" / "adaptation.json").read_text())
    assert report["known"]["count"] == dict.fromkeys(LABELS, 10)
    assert report["known"]["balanced_accuracy"]["base"]["value"] == 1


def test_the_command_prints_before_and_after(
    base: str, own: Path, known: Path, cache: Path, tmp_path: Path
) -> None:
    arguments = ("adapt", own, "--model", base, "--known", known, "--cache", cache)
    result = run(*arguments, "--out", tmp_path / "mine", "--max-loss", 1)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split()[:4] == ["Correct", "Pictures", "Before", "After"]
    assert [line.split()[0] for line in lines[1:]] == [
        *("Your", "real", "full", "tampered"),
        *("Known", "real", "full", "tampered"),
    ]
    assert f"for `--model {tmp_path / 'mine'}`" in result.stderr
    again = run(*arguments, "--out", tmp_path / "mine")
    assert (again.exit_code, again.stdout) == (2, "")
    assert "is there already" in again.stderr


def broken(root: Path) -> Path:
    for label in LABELS:
        (root / label).mkdir(parents=True)
        for number in range(10):
            (root / label / f"{number}.png").write_text("no picture")
    return root


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda root: shades(root, 24, ("real",)), "All pictures are real"),
        (lambda root: shades(root, 3), "9 pictures can be used, expected at least 20"),
        (broken, "No pictures can be used"),
        (lambda root: root.mkdir() or root, "found an empty folder"),
    ],
)
def test_unusable_pictures_are_one_sentence(
    base: str, known: Path, cache: Path, tmp_path: Path, make: object, reason: str
) -> None:
    data = make(tmp_path / "data")  # type: ignore[operator]
    arguments = ("adapt", data, "--model", base, "--known", known, "--cache", cache)
    result = run(*arguments, "--out", tmp_path / "mine")
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not (tmp_path / "mine").exists()


def test_unreadable_pictures_are_named(
    base: str, known: Path, cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = shades(tmp_path / "own", 10)
    for number in range(12):
        (own / "real" / f"text{number}.png").write_text("no picture")
    adaptation = adapt(AdaptOptions([own], base, known, max_loss=1, cache=cache), tmp_path / "mine")
    assert adaptation.report.own.count == dict.fromkeys(LABELS, 10)
    lines = [message for message in caplog.messages if message.startswith("left out")]
    assert len(lines) == 10
    assert lines[0].startswith(f"left out: '{own / 'real' / 'text0.png'}' is text, no picture")
    assert "... and 2 more" in caplog.messages


def test_a_model_without_known_pictures_asks_for_them_before_any_is_read(
    base: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sida.inference.engine.Engine.forward", None)
    cache = tmp_path / "cache"
    result = run("adapt", own, "--model", base, "--cache", cache, "--out", tmp_path / "mine")
    assert result.exit_code == 2
    assert "--known" in result.stderr


def test_too_few_known_pictures_are_refused(
    base: str, own: Path, cache: Path, tmp_path: Path
) -> None:
    known = shades(tmp_path / "known", 3)
    options = AdaptOptions([own], base, known, cache=cache)
    with pytest.raises(DataError, match=r"known' needs four originals at least of each"):
        adapt(options, tmp_path / "mine")


def test_features_of_another_dtype_are_not_taken(with_windows: str, cache: Path) -> None:
    model = load(with_windows)
    with StopRequest() as stop:
        before = FeatureReader(model, cache, stop).identity
        model.model.encoder.clip.to(torch.bfloat16)
        assert FeatureReader(model, cache, stop).identity != before


def test_an_adapted_model_is_not_adapted_again(
    adapted: tuple[Path, Adaptation], own: Path, tmp_path: Path
) -> None:
    result = run("adapt", own, "--model", adapted[0], "--out", tmp_path / "mine")
    assert result.exit_code == 2
    assert "is adapted already" in result.stderr


def features(count: int, seed: int) -> ClassFeatures:
    torch.manual_seed(seed)
    return ClassFeatures(
        torch.randn(count, 20), torch.randn(count, 3), np.arange(count) % 3, np.arange(count)
    )


def test_known_pictures_come_back_from_their_file(tmp_path: Path) -> None:
    replay = Replay(features(12, 0), features(9, 1))
    save_replay(tmp_path / "replay.safetensors", replay, "a" * 64)
    stored = load_replay(tmp_path, "a" * 64)
    assert stored is not None
    for before, after in zip(replay, stored, strict=True):
        assert torch.equal(before.logits, after.logits)
        assert (before.labels == after.labels).all()
        step = before.features.abs().amax(0) / 127
        assert ((before.features - after.features).abs() <= 0.51 * step).all()
    with pytest.raises(CheckpointError, match="of other weights"):
        load_replay(tmp_path, "b" * 64)
    (tmp_path / "replay.safetensors").write_text("nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_replay(tmp_path, "a" * 64)
    (tmp_path / "replay.safetensors").unlink()
    assert load_replay(tmp_path, "a" * 64) is None


@pytest.fixture(scope="module")
def with_windows(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of the embedded family, and known pictures beside its weights."""
    return save_model(little_config(), tmp_path_factory.mktemp("windows") / "base")


def test_windows_add_up_to_the_corrected_class(
    with_windows: str, own: Path, tmp_path: Path
) -> None:
    """What is drawn as evidence moves with the verdict."""
    known = shades(tmp_path / "known", 8, seed=1)
    options = AdaptOptions([own], with_windows, known, max_loss=1, cache=tmp_path / "cache")
    adaptation = adapt(options, tmp_path / "mine")
    correction = adaptation.adapter.tensors["correction.weight"]
    plain, detector = load(with_windows).model, Detector.load(tmp_path / "mine")
    model = detector.engine.model
    (file, *_) = sorted(own.rglob("*.png"))
    inputs, _ = detector.engine.processor([np.asarray(Image.open(file).resize((64, 64)))])
    with torch.inference_mode():
        _, state = model.image_tokens(inputs)
        moved = model.encoder.evidence_of(inputs.mask.owner, state, 0, model.correction)
        still = plain.encoder.evidence_of(inputs.mask.owner, state, 0)
        features = model.encoder.standardized(state.vectors)
    local = slice(model.encoder.whole_count, None)
    assert correction[2, local].any()
    assert not correction[2, : model.encoder.whole_count].any()
    assert features.shape == (1, correction.shape[1])
    # One window covers this picture: as much as the picture itself it is moved, by nothing more.
    torch.testing.assert_close(moved.windows[0, 2], still.windows[0, 2], atol=1e-4, rtol=0)
    assert not torch.allclose(moved.patches[..., 2], still.patches[..., 2], atol=1e-6)
