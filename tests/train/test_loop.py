"""A run from first step to a folder that judges pictures, resumed, and refused."""

import json
import shutil

import numpy as np
import pytest

from sida import Detector
from sida.errors import CheckpointError, ConfigError, DataError, InputError
from sida.model.checkpoint import digest_of
from sida.train import loop, train
from sida.train.config import read_config
from sida.train.run_folder import identity_of, training_folder
from sida.train.validation import Validation
from sida.verdict import LABELS

FAST = (
    *("trackers=[]", "max_steps=4", "batch_size=3", "crops=[32]"),
    *("workers=0", "threads=1", "save_every=2"),
)


@pytest.fixture(scope="module")
def finished(labelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    train("tiny", out, overrides=[*FAST, f"data={labelled}", f"validation={labelled}"])
    return out


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_ends_with_a_model_that_judges(finished, labelled):
    detector = Detector.load(finished / "model")
    verdict = detector.detect(labelled / "tampered/tampered0.png", masks="all")
    assert verdict.calibrated
    assert verdict.mask.shape == (48, 56)
    assert verdict.model.digest == digest_of(finished / "model")


def test_every_step_has_its_line(finished):
    names = {"step", "loss", "loss_class", "loss_mask_bce", "loss_mask_dice", "loss_text"}
    names |= {"loss_image_tokens", "loss_altered", "loss_generated", "loss_synthetic"}
    assert [line["step"] for line in lines(finished)] == [1, 2, 3, 4]
    for line in lines(finished):
        assert line.keys() == names | {"learning_rate", "seconds"}
        parts = sum(line[name] for name in names if name.startswith("loss_"))
        assert line["loss"] == pytest.approx(parts, abs=1e-4)
    assert lines(finished)[0]["loss_text"] > 0 == lines(finished)[1]["loss_text"]


def test_the_newest_checkpoints_are_kept(finished):
    assert sorted(f.name for f in (finished / "checkpoints").iterdir()) == ["step-2", "step-4"]
    assert json.loads((finished / "model/validation.json").read_text())["count"] == 6


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(finished, labelled, tmp_path):
    out = tmp_path / "stopped"
    shutil.copytree(finished / "checkpoints/step-2", out / "checkpoints/step-2")
    written = (finished / "metrics.jsonl").read_text().splitlines(keepends=True)
    (out / "metrics.jsonl").write_text("".join(written[:3]) + written[3][:20])  # killed at step 4
    shutil.copy(finished / "recipe.json", out)
    train("tiny", out, overrides=[*FAST, f"data={labelled}"])
    for line, expected in zip(lines(out), lines(finished), strict=True):
        del line["seconds"], expected["seconds"]
        assert line == expected


def test_what_has_not_been_trained_yet_goes_on_as_in_an_undisturbed_run(labelled, tmp_path):
    """With one picture a step, the first two steps have no mask, and no gradient of its decoder."""
    settings = [*FAST, "batch_size=1", "text_every=3", "average=0", f"data={labelled}"]
    train("tiny", tmp_path / "whole", overrides=settings)
    shutil.copytree(tmp_path / "whole/checkpoints/step-2", tmp_path / "cut/checkpoints/step-2")
    for name in ("metrics.jsonl", "recipe.json"):
        shutil.copy(tmp_path / "whole" / name, tmp_path / "cut")
    train("tiny", tmp_path / "cut", overrides=settings)
    assert digest_of(tmp_path / "cut/model") == digest_of(tmp_path / "whole/model")


def test_a_finished_run_is_left_as_it_is(finished, labelled):
    before = (finished / "metrics.jsonl").stat().st_mtime_ns
    train("tiny", finished, overrides=[*FAST, f"data={labelled}"])
    assert (finished / "metrics.jsonl").stat().st_mtime_ns == before


def test_a_run_goes_on_with_the_recipe_it_began_with(finished, labelled, tmp_path):
    out = tmp_path / "stopped"
    shutil.copytree(finished / "checkpoints/step-2", out / "checkpoints/step-2")
    shutil.copy(finished / "recipe.json", out)
    changed = [*FAST, f"data={labelled}", "learning_rate=0.5", "workers=0"]
    with pytest.raises(ConfigError, match=r"learning_rate=0.5 \(was 0.0006\)"):
        train("tiny", out, overrides=changed)


def test_a_finished_run_is_of_its_recipe(finished, labelled):
    changes = ("learning_rate=0.5", "seed=7", "clip=2", "text_every=2", "schedule=linear")
    changed = [*FAST, f"data={labelled}", *changes]
    with pytest.raises(ConfigError, match=r"another run: text_every=2 \(was 10\).* and 2 more"):
        train("tiny", finished, overrides=changed)


def test_a_folder_of_other_things_is_left_alone(labelled, tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InputError, match=r"not empty and holds no run .*thesis.txt"):
        train("tiny", tmp_path, overrides=[*FAST, f"data={labelled}"], fresh=True)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_fresh_removes_what_the_run_made_and_nothing_else(finished, labelled, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (out / "notes.txt").touch()
    train("tiny", out, overrides=[*FAST, f"data={labelled}", "seed=1", "max_steps=1"], fresh=True)
    assert len(lines(out)) == 1
    assert [file.name for file in (out / "checkpoints").iterdir()] == ["step-1"]
    assert json.loads((out / "recipe.json").read_text())["seed"] == 1
    assert (out / "notes.txt").is_file()
    assert not (out / "validation.jsonl").exists()


def test_data_without_a_class_are_refused_before_the_first_step(labelled, tmp_path):
    shutil.copytree(labelled / "real", tmp_path / "data/real")
    shutil.copytree(labelled / "tampered", tmp_path / "data/tampered")
    with pytest.raises(DataError, match="no full_synthetic picture"):
        train("tiny", tmp_path / "out", overrides=[*FAST, f"data={tmp_path / 'data'}"])
    with pytest.raises(ConfigError, match="names no data"):
        train("tiny", tmp_path / "out2", overrides=FAST)


def test_a_step_may_have_no_mask_at_all(labelled, tmp_path):
    settings = [*FAST, "batch_size=1", "max_steps=2", f"data={labelled}"]
    train("tiny", tmp_path / "out", overrides=settings)
    assert lines(tmp_path / "out")[0]["loss_mask_bce"] == 0


def test_a_model_that_is_not_there_is_one_sentence(labelled, tmp_path):
    settings = [*FAST, f"model={tmp_path / 'nope'}", f"data={labelled}"]
    with pytest.raises(CheckpointError, match="There is no model"):
        train("tiny", tmp_path / "out", overrides=settings)


def test_the_best_weights_become_the_model(labelled, tmp_path):
    settings = [*FAST, f"data={labelled}", f"validation={labelled}", "validate_every=1"]
    train("tiny", tmp_path / "out", overrides=[*settings, "best=auroc_real_vs_not", "patience=2"])
    measured = [
        json.loads(line)["auroc_real_vs_not"]
        for line in (tmp_path / "out/validation.jsonl").read_text().splitlines()
    ]
    written = json.loads((tmp_path / "out/model/validation.json").read_text())
    assert list((tmp_path / "out").glob("best-*")) == []
    assert len(measured) <= 4
    assert written["count"] == 6
    assert written["auroc_real_vs_not"] == max(measured)


def test_a_kill_after_a_better_look_goes_back_to_the_best_before(labelled, tmp_path, monkeypatch):
    settings = [*FAST, f"data={labelled}", f"validation={labelled}", "validate_every=1"]
    settings += ["best=accuracy"]

    def scores(*right):  # of three pictures, in one validation after the other
        counts = iter(right)
        truth = np.array([0, 1, 2])
        predicted = lambda count: np.where(np.arange(3) < count, truth, (truth + 1) % 3)  # noqa: E731
        monkeypatch.setattr(
            loop,
            "validate",
            lambda *_: Validation(np.eye(3)[predicted(next(counts))], list(LABELS)),
        )

    def kill(step, *_):
        if step == 4:
            raise RuntimeError("killed")

    scores(0, 1, 2)
    with pytest.raises(RuntimeError, match="killed"):
        train("tiny", tmp_path / "out", overrides=settings, on_step=kill)
    assert sorted(f.name for f in (tmp_path / "out").glob("best-*")) == ["best-2", "best-3"]
    second = digest_of(tmp_path / "out/best-2")

    scores(0, 0)  # steps 3 and 4, once more
    train("tiny", tmp_path / "out", overrides=settings)
    assert list((tmp_path / "out").glob("best-*")) == []
    assert digest_of(tmp_path / "out/model") == second


def test_a_kill_before_the_first_checkpoint_begins_anew(labelled, tmp_path):
    settings = [*FAST, f"data={labelled}", f"validation={labelled}", "validate_every=1"]
    settings += ["best=accuracy", "save_every=9"]

    def kill(step, *_):
        if step == 3:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train("tiny", tmp_path / "out", overrides=settings, on_step=kill)
    assert list((tmp_path / "out").glob("best-*"))
    (tmp_path / "out/.0123456789ab.part").mkdir()
    train("tiny", tmp_path / "out", overrides=settings)
    left = {file.name for file in (tmp_path / "out").iterdir()}
    assert left == {"checkpoints", "metrics.jsonl", "model", "recipe.json", "validation.jsonl"}


def test_a_kill_before_the_model_is_written_measures_it_once(finished, labelled, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "model")
    settings = [*FAST, f"data={labelled}", f"validation={labelled}"]
    train("tiny", out, overrides=settings)
    assert digest_of(out / "model") == digest_of(finished / "model")
    for name in ("validation.jsonl", "model/validation.json"):
        assert (out / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.parametrize(
    ("file", "error"),
    [("checkpoints/step-4/state.pt", CheckpointError), ("recipe.json", ConfigError)],
)
def test_what_is_broken_in_a_run_is_named(finished, labelled, tmp_path, file, error):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "model")
    (out / file).write_bytes(b"garbage")
    with pytest.raises(error, match=f"{file} cannot be read"):
        train("tiny", out, overrides=[*FAST, f"data={labelled}"])


def test_data_that_were_refused_may_be_mended(labelled, tmp_path):
    shutil.copytree(labelled, tmp_path / "data")
    for file in (tmp_path / "data/real").iterdir():
        file.rename(f"{file}.kept")
        file.write_bytes(b"no picture")
    settings = [*FAST, f"data={tmp_path / 'data'}", "max_steps=1"]
    with pytest.raises(DataError, match="No real picture"):
        train("tiny", tmp_path / "out", overrides=settings)
    for file in (tmp_path / "data/real").glob("*.kept"):
        file.rename(file.with_suffix(""))
    assert (train("tiny", tmp_path / "out", overrides=settings)).is_dir()


def test_validation_may_change_unless_the_best_depends_on_it(finished, labelled, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(labelled, other)
    changed = read_config("tiny", [*FAST, f"data={labelled}", f"validation={other}"])
    assert training_folder(finished).check(identity_of(changed)) is not None
    out = tmp_path / "best"
    settings = [*FAST, f"data={labelled}", "best=accuracy", "max_steps=1", "save_every=1"]
    train("tiny", out, overrides=[*settings, f"validation={labelled}"])
    with pytest.raises(ConfigError, match=r"validation=.*other"):
        train("tiny", out, overrides=[*settings, f"validation={other}"])
    held_out = read_config("tiny", ["held_out=0.3", f"data={labelled}"])
    (out / "recipe.json").write_text(held_out.model_dump_json())
    with pytest.raises(ConfigError, match=r"validation="):
        training_folder(out).check(
            identity_of(held_out.model_copy(update={"validation": (other,)}))
        )


def test_a_share_of_the_data_can_be_held_back(labelled, tmp_path):
    settings = [*FAST, f"data={labelled}", "max_steps=1", "best=balanced_accuracy", "held_out=0.5"]
    train("tiny", tmp_path / "out", overrides=settings)
    assert json.loads((tmp_path / "out/model/validation.json").read_text())["count"] == 3


def test_validation_that_is_not_there_is_one_sentence_before_the_first_step(labelled, tmp_path):
    settings = [*FAST, f"data={labelled}", f"validation={tmp_path / 'nowhere'}"]
    with pytest.raises(InputError, match="nowhere"):
        train("tiny", tmp_path / "out", overrides=settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_data_that_cannot_be_read_are_one_sentence(labelled, tmp_path, workers):
    shutil.copytree(labelled, tmp_path / "broken")
    for file in (tmp_path / "broken/real").iterdir():
        file.write_bytes(b"no picture")
    settings = [*FAST, f"data={tmp_path / 'broken'}", f"workers={workers}", "model=tiny"]
    with pytest.raises(DataError, match=r"^No real picture of the data can be read\.$"):
        train("tiny", tmp_path / "out", overrides=settings)


def test_a_best_that_the_validation_data_cannot_tell_is_refused(labelled, tmp_path):
    shutil.copytree(labelled / "real", tmp_path / "real/real")
    settings = [f"data={labelled}", f"validation={tmp_path / 'real'}", "validate_every=1"]
    settings += [*FAST, "best=f1_fixed_mean_tampered"]
    with pytest.raises(ConfigError, match="best=f1_fixed_mean_tampered cannot be measured"):
        train("tiny", tmp_path / "out", overrides=settings)


def test_what_is_followed_can_be_looked_at(labelled, tmp_path):
    settings = [*FAST, f"data={labelled}", f"validation={labelled}", "validate_every=4"]
    train("tiny", tmp_path / "out", overrides=[*settings, "trackers=[tensorboard]"])
    assert list((tmp_path / "out").rglob("events.out.tfevents*"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("micro_batch_size=2", "not a multiple of micro_batch_size 2"),
        ("patience=2", "patience needs best"),
        ("best=accuracy", "add validation=FOLDER"),
        ("lora={}", "lora is for frozen layers"),
        ("trained=[]", "nothing is trained"),
        ("trained=[nose]", "trained='nose' begins no parameter's name"),
        ("max_tokens=64", r"max_tokens is 64, and \[CLS\] and \[SEG\] need"),
        ("trackers=[paper]", "there is no 'paper'; they are .*tensorboard"),
        ("trackers=[swanlab]", "swanlab is not installed"),
        ("betas=[0.9,1]", "betas.1"),
        ("crops=[8]", "crops.0"),
        ("no_such_key=1", "no_such_key: there is no such key"),
    ],
)
def test_contradictions_are_one_sentence_before_the_first_step(
    labelled, tmp_path, change, sentence
):
    with pytest.raises(ConfigError, match=sentence):
        train("tiny", tmp_path / "out", overrides=[*FAST, f"data={labelled}", change])
    assert not (tmp_path / "out").exists()
