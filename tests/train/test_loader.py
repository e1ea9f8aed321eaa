"""Batches: shares of classes and sets, broken pictures, and what each row teaches."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import sida.data
from sida.assets import EMBEDDED
from sida.errors import DataError
from sida.model.presets import tiny
from sida.model.processor import SidaProcessor
from sida.model.tokenizer import Tokenizer
from sida.train import loader
from sida.train.loader import Batches
from sida.verdict import LABELS


@pytest.fixture(scope="module")
def processor():
    return SidaProcessor(tiny(), Tokenizer.load(EMBEDDED))


def batches(sets, processor, **changes):
    settings = {
        "image_tokens": 16,
        "batch_size": 6,
        "crops": [32],
        "post_process": 0.0,
        "text_every": 2,
        "empty_masks": False,
        "seed": 0,
    }
    return Batches(sets, processor, **settings | changes)


def test_every_set_gives_the_same_share_of_every_class(labelled, processor, monkeypatch):
    samples = list(sida.data.open(labelled))
    few = [replace(s, source="few") for s in samples[::2]]
    none = [replace(s, source="none") for s in samples if s.label != "real"]
    taken = Counter()

    def note(sample, *_):
        taken[sample.label, sample.source] += 1
        return loader.Crop(np.zeros((32, 32, 3), np.uint8), None, sample.label)

    monkeypatch.setattr(loader, "crop_sample", note)
    _ = batches([samples, few, none], processor, batch_size=36)[0]
    shares = {label: [n for (c, _), n in taken.items() if c == label] for label in LABELS}
    assert shares == {"real": [6, 6], "full_synthetic": [4, 4, 4], "tampered": [4, 4, 4]}


def test_a_batch_follows_from_its_step_alone(labelled, processor):
    made = batches([list(sida.data.open(labelled))], processor)
    assert made[3].inputs.vision.pixels.equal(made[3].inputs.vision.pixels)
    assert not made[3].inputs.vision.pixels.equal(made[5].inputs.vision.pixels)


def test_a_broken_picture_is_named_and_another_taken(labelled, processor, tmp_path, caplog):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    samples = list(sida.data.open(labelled))
    real = next(s for s in samples if s.label == "real")
    spoilt = type(real)(picture=broken, label="real", name="broken.jpg")
    others = [s for s in samples if s.label != "real"]
    batch = batches([[spoilt, real, *others]], processor)[0]
    assert (batch.labels == 0).sum() == 2
    assert "broken.jpg is left out" in caplog.text
    with pytest.raises(DataError, match="No real picture of the data can be read"):
        batches([[spoilt, *others]], processor)[0]


def test_real_pictures_teach_an_empty_mask_where_asked(labelled, processor):
    samples = [list(sida.data.open(labelled))]
    without = batches(samples, processor)[1]
    teaching = batches(samples, processor, empty_masks=True)
    assert len(without.masks) == 2
    assert len(teaching[1].masks) == 4
    assert [bool(mask.any()) for mask in teaching[1].masks] == [
        LABELS[label] == "tampered"
        for label in teaching[1].labels
        if LABELS[label] != "full_synthetic"
    ]
    assert len(teaching[0].masks) == 2  # text is taught: a real answer has no place for a mask
