"""Training behind the frozen encoder of `small`, at little sizes."""

import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import sida.data
from sida.assets import TOKENIZER
from sida.errors import SidaError
from sida.model import Sida, SidaProcessor
from sida.model.checkpoint import load
from sida.model.clip_windows import ClipWindows
from sida.model.inputs import Inputs, Windows
from sida.model.presets import PRESETS
from sida.model.tokenizer import Tokenizer
from sida.train import train
from sida.train.alterations import Alterations
from sida.train.config import TrainConfig
from sida.train.initialization import initialize_model
from sida.train.loader import Batches, Collator, view_sample
from sida.train.loop import Run
from sida.train.pictures import open_training_set
from sida.verdict import LABELS
from tests.forge.codec_folders import write_enlarger
from tests.model.test_clip_windows import little_config
from tests.small import labelled_folder

FAST = (
    *("batch_size=6", "warmup_steps=0", "workers=0", "threads=1", "trackers=[]", "max_steps=3"),
    *(
        "average=0",
        "learning_rate=1e-2",
        "source_power=1",
        "warm_start=null",
        "cache=null",
        "views=0",
    ),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base") / "model"
    torch.manual_seed(0)
    config = little_config()
    Sida(config).save_pretrained(folder)
    SidaProcessor(config, Tokenizer.load(TOKENIZER)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    return labelled_folder(tmp_path_factory.mktemp("photographs"), 3, (96, 112))


def losses(base, labelled, out, *options):
    train("small", out, overrides=[*FAST, f"model={base}", f"data={labelled}", *options])
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_cache_changes_no_loss_and_is_asked_instead_of_the_encoder(
    base, labelled, tmp_path, monkeypatch
):
    counts = Counter()
    hidden_states = ClipWindows.hidden_states

    def counted(self, pixels, *arguments):
        counts[pixels.shape[-1]] += len(pixels)
        return hidden_states(self, pixels, *arguments)

    monkeypatch.setattr(ClipWindows, "hidden_states", counted)
    options = ("frozen_precision=fp32", "text_every=100")
    plain = losses(base, labelled, tmp_path / "plain", *options)
    assert counts[32] == 3 * 6  # the whole pictures
    windows = counts[64]
    counts.clear()
    cache = f"cache={tmp_path / 'cache'}"
    cached = losses(base, labelled, tmp_path / "cached", cache, *options)
    assert cached == pytest.approx(plain, rel=1e-5)
    assert counts[32] == 6
    assert counts[64] == windows / 3
    counts.clear()
    assert losses(base, labelled, tmp_path / "again", cache, *options) == pytest.approx(cached)
    assert not counts


def test_the_frozen_encoder_stays_and_the_rest_learns(base, labelled, tmp_path):
    losses(base, labelled, tmp_path / "run", "frozen_precision=fp32", "trained=['']")
    before, after = (load(str(f)).model.state_dict() for f in (base, tmp_path / "run/model"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith("encoder.clip.") for name in changed)
    assert any(name.startswith("encoder.whole_additions.") for name in changed)
    assert "encoder.evidence.weight" in changed
    assert "class_head.0.weight" in changed


def test_masks_are_taught_from_kept_features_as_well(base, labelled, tmp_path):
    masks = ("loss.mask_bce=1", "loss.mask_dice=1", "trained=[decoder.]")
    out = tmp_path / "run"
    losses(base, labelled, out, f"cache={tmp_path / 'cache'}", *masks)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert all(line["loss_mask_bce"] > 0 for line in lines)


def test_an_encoder_held_in_bfloat16_is_validated(base, labelled, tmp_path):
    out = tmp_path / "run"
    losses(base, labelled, out, "frozen_precision=bf16", f"validation={labelled}", "max_steps=1")
    assert json.loads((out / "validation.jsonl").read_text())["count"] == 6


def test_views_are_the_same_at_every_call(labelled):
    sample = next(iter(sida.data.open(labelled)))
    first, again, other = (view_sample(sample, index).pixels for index in (1, 1, 2))
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert np.array_equal(view_sample(sample, 0).pixels, sample.read().pixels)


def test_large_sources_are_drawn_less_often(labelled):
    samples = [x for x in sida.data.open(labelled) if x.label == "real"]
    many = [replace(samples[0], source="large", name=f"l{i}") for i in range(900)]
    few = [replace(samples[1], source="small", name=f"s{i}") for i in range(100)]
    synthetic_and_tampered = [x for x in sida.data.open(labelled) if x.label != "real"]
    config = TrainConfig(preset="tiny", batch_size=6, source_power=0.5)
    collator = Collator(
        SidaProcessor(little_config(), Tokenizer.load(TOKENIZER)), little_config(), 8, config
    )
    dataset = Batches([many + few + synthetic_and_tampered], collator, config, 6)
    order = dataset._order(0, 0, 0)
    counts = Counter(dataset.pools[0][0][i].source for i in order)
    assert counts["small"] == pytest.approx(250, abs=50)  # 1 part in 1 + 3
    assert np.array_equal(order, dataset._order(0, 0, 0))
    assert not np.array_equal(order, dataset._order(1, 0, 0))


def test_sources_and_groups_can_be_left_out(labelled, monkeypatch):
    samples = [
        replace(sample, source=f"s{i % 2}", group=f"g{i}")
        for i, sample in enumerate(sida.data.open(labelled))
    ]
    monkeypatch.setattr(sida.data, "open", lambda _: iter(samples))
    config = TrainConfig(preset="tiny", leave_out=("s0", "g1"))
    assert [sample.group for sample in open_training_set(labelled, config)] == ["g3", "g5"]


def test_a_source_gives_at_most_so_many_pictures_of_a_class(labelled, monkeypatch):
    samples = [
        replace(sample, source="large", name=f"{sample.name}-{i}")
        for i in range(9)
        for sample in sida.data.open(labelled)
    ]
    monkeypatch.setattr(sida.data, "open", lambda _: iter(samples))
    first, again, other = (
        [
            x.name
            for x in open_training_set(labelled, TrainConfig(preset="tiny", source_limit=4, seed=s))
        ]
        for s in (0, 0, 1)
    )
    assert len(first) == 3 * 4
    assert first == again
    assert first != other


def test_a_fresh_model_begins_with_the_packages_encoder_and_what_tiny_shares():
    recipe = TrainConfig(preset="small", warm_start="tiny", loss={"text": 0})
    model, _ = initialize_model(recipe)
    tiny = load("tiny").model.state_dict()
    ours = model.state_dict()
    assert torch.equal(ours["language.norm.weight"], tiny["language.norm.weight"].float())
    frozen = load_file(str(TOKENIZER.parent / "small" / "clip.safetensors"))
    name = "encoder.clip.embeddings.position_embedding.weight"
    assert torch.equal(ours[name], frozen[name])


def test_a_warm_start_that_shares_nothing_is_refused(tmp_path):
    model = Sida(little_config())
    other = SidaProcessor(model.config, Tokenizer.load(TOKENIZER))
    model.save_pretrained(tmp_path, state_dict={"nothing.weight": torch.zeros(1)})
    other.save_pretrained(tmp_path)
    with pytest.raises(SidaError):
        initialize_model(TrainConfig(preset="small", warm_start=str(tmp_path), loss={"text": 0}))


def test_windows_limit_what_training_looks_at(base, labelled, tmp_path, monkeypatch):
    window_counts = []
    features = ClipWindows.features

    def counted(self, inputs):
        window_counts.append(len(inputs.mask.owner))
        return features(self, inputs)

    monkeypatch.setattr(ClipWindows, "features", counted)
    losses(base, labelled, tmp_path / "one", "windows=1", "max_steps=1")
    losses(base, labelled, tmp_path / "four", "max_steps=1")
    assert window_counts[0] == 6
    assert window_counts[1] > 6


LOCAL = (
    *("model={base}", "crops=[64]", "forged=1", "batch_size=6", "max_steps=4", "workers=0"),
    *("threads=1", "trackers=[]", "precision=fp32", "warmup_steps=0", "learning_rate=1e-2"),
    "average=0",
)


def test_local_maps_learn_from_alterations_and_nothing_else_changes(base, photographs, tmp_path):
    overrides = [option.format(base=base) for option in LOCAL]
    train("windows", tmp_path / "run", overrides=[*overrides, f"data={photographs}"])
    before, after = (load(str(f)).model.state_dict() for f in (base, tmp_path / "run/model"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert "encoder.local.altered.weight" in changed
    assert "encoder.local.generated.weight" in changed
    assert any(name.endswith(".up") for name in changed)
    assert all(
        name.startswith("encoder.local.") or ".up" in name or ".down" in name for name in changed
    )
    lines = [json.loads(x) for x in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert all(line["loss_altered"] > 0 and line["loss_generated"] > 0 for line in lines)
    assert not any(line["loss_class"] for line in lines)


def test_the_whole_picture_learns_what_is_synthetic_and_nothing_else_changes(
    base, photographs, tmp_path
):
    dropped = ("crops=[64]", "forged=1")
    overrides = [option.format(base=base) for option in LOCAL if option not in dropped]
    train("whole", tmp_path / "run", overrides=[*overrides, f"data={photographs}", "windows=null"])
    before, after = (load(str(f)).model.state_dict() for f in (base, tmp_path / "run/model"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    beginnings = {".".join(name.split(".")[:2]) for name in changed}
    assert beginnings == {"encoder.whole_additions", "encoder.evidence"}
    head = "encoder.evidence.weight"
    synthetic = LABELS.index("full_synthetic")
    assert (after[head] != before[head]).any(1).tolist() == [x == synthetic for x in range(3)]
    lines = [json.loads(x) for x in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert all(line["loss_synthetic"] > 0 for line in lines)
    assert not any(line["loss_class"] or line["loss_altered"] for line in lines)


def test_half_of_an_addition_is_written(base, photographs, tmp_path):
    dropped = ("crops=[64]", "forged=1")
    overrides = [option.format(base=base) for option in LOCAL if option not in dropped]
    overrides += [f"data={photographs}", "windows=null", "max_steps=2"]
    states = []
    for scale in (1.0, 0.5):
        out = tmp_path / str(scale)
        train("whole", out, overrides=[*overrides, f"addition_scale={scale}"])
        states.append(load(str(out / "model")).model.state_dict())
    whole, half = states
    for name, value in whole.items():
        scaled = name.startswith("encoder.whole_additions.") and name.endswith(".up")
        assert torch.equal(half[name], value / 2 if scaled else value), name
    assert any(value.any() for name, value in whole.items() if name.endswith(".up"))


@pytest.mark.parametrize(
    ("trained", "scaled"),
    [("encoder.", {"whole", "window"}), ("encoder.window_additions.", {"window"}), ("lm_", set())],
)
def test_all_additions_that_were_trained_are_scaled(trained, scaled):
    run = SimpleNamespace(config=TrainConfig(preset="small", trained=[trained], addition_scale=0.5))
    names = {part: f"encoder.{part}_additions.additions.0.up" for part in ("whole", "window")}
    weights = Run._scaled(run, dict.fromkeys(names.values(), torch.ones(1)))
    assert {part for part, name in names.items() if weights[name] == 0.5} == scaled


def test_a_fresh_run_begins_with_the_evidence_of_whole_pictures(photographs, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "small", little_config)
    monkeypatch.setattr("sida.train.initialization.load_frozen", lambda model: None)
    monkeypatch.setattr(ClipWindows, "local_maps", None)  # no window is encoded
    dropped = ("model={base}", "crops=[64]", "forged=1")
    overrides = [option for option in LOCAL if option not in dropped]
    overrides += [f"data={photographs}", "windows=null", "warm_start=null", "max_steps=1"]
    train("whole", tmp_path / "run", overrides=[*overrides, "learning_rate=1e-9"])
    state = load(str(tmp_path / "run/model")).model.state_dict()
    weight = state["encoder.evidence.weight"]
    assert weight[1].abs().max() > 1e-3
    assert not weight[0].any()
    assert state["encoder.deviation"][:100].std() > 0


def test_a_fresh_run_in_bfloat16_fits_the_evidence_as_well(labelled, tmp_path, monkeypatch):
    monkeypatch.setitem(PRESETS, "small", little_config)
    monkeypatch.setattr("sida.train.initialization.load_frozen", lambda model: None)
    overrides = [*FAST, f"data={labelled}", "precision=bf16", "max_steps=1"]
    train("small", tmp_path / "run", overrides=overrides)
    weight = load(str(tmp_path / "run/model")).model.encoder.evidence.weight
    assert weight[1:].abs().max() > 1e-3


def test_vectors_for_the_evidence_are_made_on_the_device_of_the_run():
    run = SimpleNamespace(
        config=TrainConfig(preset="small"),
        cache=None,
        accelerator=SimpleNamespace(device="meta", autocast=nullcontext),
    )
    devices = []

    def vision_features(inputs, number):
        devices.append(inputs.vision.pixels.device.type)
        return torch.zeros(2)

    windows = Windows(torch.zeros(1, 3, 16, 16), torch.zeros(1, 2), torch.zeros(1))
    encoder = SimpleNamespace(vision_features=vision_features)
    assert Run._vector(run, encoder, Inputs(windows, windows), "").device.type == "cpu"
    assert devices == ["meta"]


@pytest.mark.parametrize("workers", [1, 2])
def test_forged_pictures_do_not_depend_on_workers(base, photographs, tmp_path, workers):
    write_enlarger(tmp_path / "codecs" / "enlarger")
    overrides = [option.format(base=base) for option in LOCAL]
    overrides.append(f"codecs={tmp_path / 'codecs'}")
    for name, number in (("none", 0), ("some", workers)):
        train(
            "windows",
            tmp_path / name,
            overrides=[*overrides, f"data={photographs}", f"workers={number}", "max_steps=2"],
        )
    alone, parallel = (
        (tmp_path / x / "metrics.jsonl").read_text().splitlines() for x in ("none", "some")
    )
    for first, second in zip(alone, parallel, strict=True):
        assert json.loads(first)["loss"] == json.loads(second)["loss"]


def test_codecs_of_a_folder_regenerate_regions(photographs, tmp_path):
    write_enlarger(tmp_path / "enlarger")
    config = TrainConfig(preset="tiny", batch_size=6, forged=1, crops=(64,), codecs=tmp_path)
    collator = Collator(
        SidaProcessor(little_config(), Tokenizer.load(TOKENIZER)), little_config(), 8, config
    )
    alterations = Batches([list(sida.data.open(photographs))], collator, config, 6).alterations
    assert [codec.name for codec in alterations.codecs] == ["enlarger_2", "enlarger_4"]
    assert any("regenerate_filled" in alterations[number].operations for number in range(12))


def test_a_pair_shows_the_same_part_altered_and_untouched(photographs, monkeypatch):
    samples = list(sida.data.open(photographs))
    config = TrainConfig(preset="tiny", batch_size=6, forged=1, crops=(64,))
    collator = Collator(
        SidaProcessor(little_config(), Tokenizer.load(TOKENIZER)), little_config(), 8, config
    )
    dataset = Batches([samples], collator, config, 6)
    forge, forged = Alterations.__getitem__, []
    monkeypatch.setattr(Alterations, "__getitem__", lambda x, i: forged.append(i) or forge(x, i))
    rng = np.random.default_rng(0)
    for turn in range(6):
        original, _, altered = (dataset._crop(3 * turn + label, 64, rng) for label in range(3))
        differs = (original.pixels != altered.pixels).any(2)
        assert differs.any()
        assert original.mask is None
        assert altered.mask[differs].mean() > altered.mask[~differs].mean()
    assert forged == list(range(6))  # once for both


def test_weights_of_two_stages_are_refused():
    with pytest.raises(ValueError, match="trained alone"):
        TrainConfig(preset="small", loss={"altered": 1})
    only = dict.fromkeys(("classes", "mask_bce", "mask_dice", "text"), 0)
    with pytest.raises(ValueError, match="trained alone"):
        TrainConfig(preset="small", loss={**only, "altered": 1, "synthetic": 1})
