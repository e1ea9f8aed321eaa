"""Both published stages at tiny sizes, from LISA's layout to a detector that explains."""

import json
import re
import shutil

import numpy as np
import pytest
import torch

import sida.data
from sida import Detector
from sida.model.checkpoint import load_base
from sida.model.convert import convert
from sida.model.weights import Shards
from sida.train.config import read_config
from sida.train.loader import Collator, crop_sample
from sida.train.loop import Run
from sida.train.stop_request import StopRequest
from sida.verdict import LABELS
from tests.oracle import lisa_folder

SMALL = (
    *(
        "precision=fp32",
        "max_steps=3",
        "save_every=2",
        "batch_size=3",
        "micro_batch_size=3",
        "warmup_steps=0",
    ),
    *("workers=0", "threads=1", "trackers=[]", "best=null", "gradient_checkpointing=false"),
)


class Stage:
    """A finished run: its recipe, the model as it was trained, and the folder it ended with."""

    def __init__(self, recipe, model, data, out):
        overrides = [*SMALL, f"model={model}", f"data={data}"]
        self.out = out
        self.config = read_config(recipe, overrides)
        self.run = Run(self.config, out)
        with StopRequest() as stop:
            self.folder = self.run.finish(stop, None)
        text = (out / "metrics.jsonl").read_text()
        self.lines = [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def data(shared):
    return shared / "oracle/train/data/train"


@pytest.fixture(scope="module")
def lisa(shared, tmp_path_factory):
    return lisa_folder(shared, tmp_path_factory.mktemp("lisa"))


@pytest.fixture(scope="module")
def first(lisa, data, tmp_path_factory):
    return Stage("sida-7b", lisa, data, tmp_path_factory.mktemp("first") / "run")


@pytest.fixture(scope="module")
def second(first, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("second") / "run"
    return Stage("sida-7b-description", first.folder, data, out)


@pytest.fixture(scope="module")
def stages(first, second):
    return {"first": first, "second": second}


def answers(model, processor, config, samples):
    """Class logits, and mask logits of the pictures with a mask."""
    rng = np.random.default_rng(0)
    crops = [crop_sample(sample, None, 0.0, rng) for sample in samples]
    collator = Collator(processor, model.config, model.image_token_count, config)
    batch = collator(crops, [rng] * len(crops), text=bool(config.loss.text))
    with torch.inference_mode():
        output = model.eval()(*batch[:5])
    return output.class_logits, output.mask_logits


@pytest.mark.parametrize("stage", ["first", "second"])
def test_the_merged_folder_answers_as_the_unmerged_model(stages, stage, data):
    run, config = stages[stage].run, stages[stage].config
    untampered = {
        sample.label: sample for sample in sida.data.open(data) if sample.label != "tampered"
    }
    samples = [*untampered.values(), next(s for s in sida.data.open(data) if s.mask is not None)]
    added = [p for n, p in run.model.named_parameters() if ".lora_B." in n]
    assert added
    assert all(p.abs().max() > 0 for p in added)
    expected = answers(run.model, run.processor, config, samples)
    actual = answers(*load_base(str(stages[stage].folder)), config, samples)
    for mine, truth in zip(actual, expected, strict=True):
        assert len(truth)
        assert (mine - truth).abs().max() <= 1e-5 * truth.abs().max()


def test_dropout_goes_on_as_in_an_undisturbed_run(first, data, lisa, tmp_path):
    out = tmp_path / "stopped"
    shutil.copytree(first.out / "checkpoints/step-2", out / "checkpoints/step-2")
    for name in ("metrics.jsonl", "recipe.json"):
        shutil.copy(first.out / name, out)
    resumed = Stage("sida-7b", lisa, data, out)
    assert first.config.lora.dropout > 0
    for line, expected in zip(resumed.lines, first.lines, strict=True):
        assert line | {"seconds": 0} == expected | {"seconds": 0}


def test_each_stage_changes_what_its_recipe_trains_and_nothing_else(lisa, first, second):
    starts = load_base(str(lisa))[0].state_dict(), dict(Shards(first.folder).tensors())
    for stage, before in zip((first, second), starts, strict=True):
        added = "|".join(stage.config.lora.targets)
        for name, tensor in Shards(stage.folder).tensors():
            if re.fullmatch(rf"language\..*\.({added})\.weight", name):
                assert not torch.equal(tensor, before[name]), name
            elif not name.startswith(stage.config.trained):
                old = before[name][:32003]  # of the head, the row of [CLS] is new each time
                assert torch.equal(tensor[: len(old)], old), name


def test_the_second_stage_adds_a_row_and_teaches_texts(first, second):
    assert first.run.processor.tokenizer.end_id is None
    assert second.run.processor.tokenizer.end_id == 32004
    shapes = Shards(second.folder).shapes()
    assert shapes["language.embed_tokens.weight"][0] == shapes["lm_head.weight"][0] == 32005
    assert all(line["loss_text"] == 0 for line in first.lines)
    assert all(line["loss_text"] > 0 for line in second.lines)
    assert any(line["loss_mask_bce"] > 0 for line in first.lines)


def test_the_result_explains_and_has_a_published_form(second, data, tmp_path):
    picture = data / "tampered/t0.png"
    verdict = Detector.load(second.folder).detect(picture, explain=True, masks="all")
    assert verdict.explanation is not None
    assert verdict.mask is not None
    published = convert(str(second.folder), "published", tmp_path / "published")
    fields = json.loads((published / "config.json").read_text())
    assert fields["architectures"] == ["SIDAForCausalLM"]
    again = Detector.load(published).detect(picture, masks="all")
    for label in LABELS:
        assert again.probabilities[label] == pytest.approx(verdict.probabilities[label], abs=1e-5)
    assert np.array_equal(again.mask, verdict.mask)
