"""Frozen encoders run once a picture: the same losses, bounded, and safe against what breaks."""

import json

import pytest
import torch
from safetensors.torch import load_file

from sida.assets import TOKENIZER
from sida.errors import ConfigError
from sida.model import Sida, SidaProcessor
from sida.model.clip_sam import ClipSam
from sida.model.tokenizer import Tokenizer
from sida.train import train
from tests.model.conftest import small_published

FAST = (
    *("precision=fp32", "batch_size=6", "micro_batch_size=3", "warmup_steps=0", "workers=0"),
    *("threads=1", "trackers=[]", "best=null", "gradient_checkpointing=false", "max_steps=2"),
)
FILES = 8
"""CLIP's features of six pictures, SAM's embeddings of the two with a mask."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The published structure at sizes that run in a blink."""
    folder = tmp_path_factory.mktemp("base") / "model"
    tokenizer = Tokenizer.load(TOKENIZER)
    config = small_published()
    config.language.vocab_size = len(tokenizer)
    torch.manual_seed(0)
    Sida(config).save_pretrained(folder)
    SidaProcessor(config, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def encoder_counts(monkeypatch):
    """Numbers of pictures that each encoder ran on."""
    counts = {"vision": 0, "mask": 0}
    features, embed = ClipSam.features, ClipSam.embed

    def counted_features(self, pixels):
        counts["vision"] += len(pixels)
        return features(self, pixels)

    def counted_embed(self, inputs, windows, state):
        counts["mask"] += 0 if inputs.features is not None else len(windows)
        return embed(self, inputs, windows, state)

    monkeypatch.setattr(ClipSam, "features", counted_features)
    monkeypatch.setattr(ClipSam, "embed", counted_embed)
    return counts


def losses(base, labelled, out, *options):
    train("sida-7b", out, overrides=[*FAST, f"model={base}", f"data={labelled}", *options])
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def cache_files(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_the_losses_are_the_same_and_nothing_is_computed_twice(
    base, labelled, tmp_path, encoder_counts
):
    expected = losses(base, labelled, tmp_path / "without")
    assert encoder_counts == {"vision": 12, "mask": 4}
    cache = tmp_path / "cache"
    encoder_counts.update(vision=0, mask=0)
    actual = losses(base, labelled, tmp_path / "with", f"cache={cache}")
    assert encoder_counts == {"vision": 6, "mask": 2}
    assert actual == pytest.approx(expected, abs=1e-6)
    assert len(cache_files(cache)) == FILES
    again = losses(base, labelled, tmp_path / "again", f"cache={cache}", "workers=1")
    assert encoder_counts == {"vision": 6, "mask": 2}
    assert again == actual


def test_what_is_broken_is_made_again(base, labelled, tmp_path, encoder_counts, caplog):
    cache = tmp_path / "cache"
    expected = losses(base, labelled, tmp_path / "one", f"cache={cache}")
    contents = {path: path.read_bytes() for path in cache_files(cache)}
    cut, empty, foreign = list(contents)[:3]
    cut.write_bytes(contents[cut][:-5])
    empty.write_bytes(b"")
    foreign.write_bytes(b"no features at all")
    encoder_counts.update(vision=0, mask=0)
    assert losses(base, labelled, tmp_path / "two", f"cache={cache}") == expected
    assert sum(encoder_counts.values()) == 3
    assert "is made again, since it cannot be read" in caplog.text
    assert {path: path.read_bytes() for path in cache_files(cache)} == contents


def test_it_stays_within_its_bound(base, labelled, tmp_path, encoder_counts):
    cache = tmp_path / "cache"
    losses(base, labelled, tmp_path / "one", f"cache={cache}")
    largest = max(path.stat().st_size for path in cache_files(cache))
    bound = 2.5 * largest / 1e9
    small = tmp_path / "small"
    settings = (f"cache={small}", f"cache_gb={bound}")
    losses(base, labelled, tmp_path / "two", *settings)
    losses(base, labelled, tmp_path / "three", *settings)
    assert 2 <= len(cache_files(small)) < FILES
    assert sum(path.stat().st_size for path in cache_files(small)) <= bound * 1e9


def test_other_weights_are_other_features(base, labelled, tmp_path, encoder_counts):
    cache = tmp_path / "cache"
    losses(base, labelled, tmp_path / "one", f"cache={cache}")
    model = Sida.from_pretrained(base)
    model.encoder.sam.pos_embed.data += 0.1
    changed = tmp_path / "changed"
    model.save_pretrained(changed)
    SidaProcessor.from_pretrained(base).save_pretrained(changed)
    losses(changed, labelled, tmp_path / "two", f"cache={cache}")
    assert len(cache_files(cache)) == 2 * FILES
    assert encoder_counts == {"vision": 12, "mask": 4}
    (features,) = load_file(next(p for p in cache_files(cache) if ".vision." in p.name)).values()
    assert features.shape == (16, 32)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("crops=[32]", "crops, post_process and forged make a new picture every time"),
        ("post_process=0.5", "crops, post_process and forged make a new picture every time"),
        ("trained=[encoder.clip.embeddings]", "cache is for encoders that are not trained"),
        ("trained=[enc]", "cache is for encoders that are not trained"),
        ("cache_gb=0", "cache_gb: .*greater than 0"),
    ],
)
def test_what_a_cache_cannot_help_is_refused(base, labelled, tmp_path, change, sentence):
    with pytest.raises(ConfigError, match=sentence):
        losses(base, labelled, tmp_path / "out", f"cache={tmp_path / 'cache'}", change)
    assert not (tmp_path / "out").exists()


def test_a_model_with_another_encoder_is_refused(labelled, tmp_path):
    settings = ["crops=[]", "post_process=0", "trained=[decoder]", "trackers=[]"]
    settings += [f"data={labelled}", f"cache={tmp_path / 'cache'}", "workers=0", "threads=1"]
    with pytest.raises(ConfigError, match="an encoder of another kind: leave cache out"):
        train("tiny", tmp_path / "out", overrides=settings)
