"""Pictures for training and validation: apart by originals, and warned of where it matters."""

import shutil

import numpy as np
import pytest
from PIL import Image

from sida.errors import ConfigError, DataError
from sida.train.config import read_config
from sida.train.pictures import Pictures
from sida.verdict import LABELS


def write(folder, count, suffixes=("png", "png", "png"), prefix=""):
    """Labelled pictures; number i of every class and folder shares the original i."""
    rows = ["image,label,group"]
    for label, suffix in zip(LABELS, suffixes, strict=True):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            name = f"{label}/{prefix}{i}.{suffix}"
            Image.fromarray(pixels).save(folder / name)
            rows.append(f"{name},{label},scene{i}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def of(*settings):
    return Pictures.of(read_config("tiny", list(settings)))


def test_originals_of_several_sets_are_on_one_side(tmp_path):
    original, forged = write(tmp_path / "original", 12), write(tmp_path / "forged", 6)
    pictures = of(f"data=[{original},{forged}]", "held_out=0.3")
    training = {sample.group for samples in pictures.sets for sample in samples}
    held_back = {sample.group for sample in pictures.held_back}
    assert held_back
    assert not held_back & training
    assert sum(map(len, pictures.sets)) + len(pictures.held_back) == 54


def test_pictures_on_both_sides_are_warned_of(tmp_path, caplog, monkeypatch):
    data = write(tmp_path / "data", 2)
    monkeypatch.chdir(tmp_path)
    config = read_config("tiny", [f"data={data}", "validation=data"])
    Pictures.of(config).warn(config)
    assert "6 pictures are in both the training data and the validation" in caplog.text


@pytest.mark.parametrize(
    ("suffixes", "is_warned"), [(("png", "jpg", "jpg"), True), (("png",) * 3, False)]
)
def test_containers_that_give_labels_away_are_warned_of_where_asked(
    tmp_path, caplog, suffixes, is_warned
):
    data = write(tmp_path / "data", 12, suffixes)
    config = read_config("tiny", [f"data={data}", "probe=true"])
    Pictures.of(config).warn(config)
    assert ("it gives the class away" in caplog.text) == is_warned
    silent = read_config("tiny", [f"data={data}"])
    caplog.clear()
    Pictures.of(silent).warn(silent)
    assert caplog.text == ""


def test_a_class_that_is_not_held_back_is_warned_of(tmp_path, caplog):
    data, validation = write(tmp_path / "data", 2), write(tmp_path / "held", 2)
    shutil.rmtree(validation / "full_synthetic")
    (validation / "manifest.csv").unlink()
    config = read_config("tiny", [f"data={data}", f"validation={validation}"])
    Pictures.of(config).warn(config)
    assert "no picture that is full_synthetic" in caplog.text


def test_what_best_can_be_is_said(tmp_path):
    data, validation = write(tmp_path / "data", 2), write(tmp_path / "held", 2)
    shutil.rmtree(validation / "tampered")
    (validation / "manifest.csv").unlink()
    with pytest.raises(
        ConfigError,
        match=r"on .*held, only accuracy, auroc_real_vs_not, balanced_accuracy can",
    ):
        of(f"data={data}", f"validation={validation}", "best=f1_fixed_mean_tampered")


def test_validation_is_read_before_the_first_step(tmp_path):
    data, validation = write(tmp_path / "data", 2), write(tmp_path / "held", 1)
    for file in validation.rglob("*.png"):
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match="No picture for validation can be read"):
        of(f"data={data}", f"validation={validation}")
