"""Batches: shares of classes and sets, broken pictures, and what each row teaches."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

import sida.data
from sida.assets import TOKENIZER
from sida.errors import DataError
from sida.model.presets import tiny
from sida.model.processor import SidaProcessor
from sida.model.prompt import IGNORED
from sida.model.tokenizer import Tokenizer
from sida.train import loader
from sida.train.config import TrainConfig
from sida.train.loader import Batches, Collator
from sida.verdict import LABELS


@pytest.fixture(scope="module")
def processor():
    return SidaProcessor(tiny(), Tokenizer.load(TOKENIZER))


def batches(sets, processor, micro_batch_size=6, **changes):
    settings = {"preset": "tiny", "batch_size": 6, "crops": [32], "text_every": 2, **changes}
    config = TrainConfig(**settings)
    return Batches(sets, Collator(processor, tiny(), 8, config), config, micro_batch_size)


def test_every_set_gives_the_same_share_of_every_class(labelled, processor, monkeypatch):
    samples = list(sida.data.open(labelled))
    few = [replace(s, source="few") for s in samples[::2]]
    none = [replace(s, source="none") for s in samples if s.label != "real"]
    draws = Counter()

    def note(sample, *_):
        draws[sample.label, sample.source] += 1
        return loader.Crop(np.zeros((32, 32, 3), np.uint8), None, sample.label)

    monkeypatch.setattr(loader, "crop_sample", note)
    _ = batches([samples, few, none], processor, micro_batch_size=36, batch_size=36)[0]
    shares = {label: [n for (c, _), n in draws.items() if c == label] for label in LABELS}
    assert shares == {"real": [6, 6], "full_synthetic": [4, 4, 4], "tampered": [4, 4, 4]}


def test_a_batch_follows_from_its_step_alone(labelled, processor):
    dataset = batches([list(sida.data.open(labelled))], processor)
    assert dataset[3].inputs.vision.pixels.equal(dataset[3].inputs.vision.pixels)
    assert not dataset[3].inputs.vision.pixels.equal(dataset[5].inputs.vision.pixels)


def test_micro_batches_hold_what_the_batch_holds(labelled, processor):
    samples = [list(sida.data.open(labelled))]
    batch = batches(samples, processor)[3]
    parts = [batches(samples, processor, micro_batch_size=2)[9 + i] for i in range(3)]
    for name in ("labels", "input_ids", "class_positions"):
        assert getattr(batch, name).equal(torch.cat([getattr(part, name) for part in parts]))
    pixels = torch.cat([part.inputs.vision.pixels for part in parts])
    assert batch.inputs.vision.pixels.equal(pixels)


def test_descriptions_of_the_data_are_taught_where_there_are_any(labelled, processor):
    samples = [replace(s, description=None) for s in sida.data.open(labelled)]
    described = [
        replace(s, description="Type: told.") if s.label == "tampered" else s for s in samples
    ]
    batch = batches([described], processor, texts="data")[0]
    taught = (batch.text_labels != IGNORED).any(1)
    assert taught.tolist() == [LABELS[label] == "tampered" for label in batch.labels]
    row = batch.text_labels[taught][0]
    assert "Type: told." in processor.tokenizer.decode(row[row != IGNORED].tolist())


def test_what_is_too_long_is_cut(labelled, processor):
    batch = batches([list(sida.data.open(labelled))], processor, max_tokens=100)[0]
    assert batch.text_labels.shape[1] == 100
    assert batch.input_ids.shape == batch.attention_mask.shape == (6, 93)


def test_whole_pictures_are_taken_as_they_are(labelled, processor):
    samples = list(sida.data.open(labelled))
    batch = batches([samples], processor, crops=[])[1]
    assert batch.inputs.vision.valid.tolist() == [[48, 56]] * 6


def test_a_broken_picture_is_named_and_another_taken(labelled, processor, tmp_path, caplog):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not a picture")
    samples = list(sida.data.open(labelled))
    real = next(s for s in samples if s.label == "real")
    spoilt = type(real)(picture=broken, label="real", name="broken.jpg")
    fakes = [s for s in samples if s.label != "real"]
    batch = batches([[spoilt, real, *fakes]], processor)[0]
    assert (batch.labels == 0).sum() == 2
    assert "broken.jpg is left out" in caplog.text
    with pytest.raises(DataError, match="No real picture of the data can be read"):
        batches([[spoilt, *fakes]], processor)[0]


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
