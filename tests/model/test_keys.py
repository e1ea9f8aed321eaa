"""The key table maps every name and shape of the published folders, both ways."""

import json

import pytest
import torch

from sida.errors import CheckpointError
from sida.model import Sida
from sida.model.keys import from_published, from_tower, has_published_form, to_published
from sida.model.presets import preset

FOLDERS = ("sida-7b", "sida-13b", "sida-7b-description", "sida-13b-description", "lisa-7b")
NEW_IN_SIDA = ("class_head.", "fusion.")


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_tensor_has_its_place_and_shape(shared, folder):
    recorded = json.loads((shared / f"oracle/params_{folder}.json").read_text())
    about = recorded.pop("_about")
    config = preset("sida-13b" if "13b" in folder else "sida-7b")
    config.language.vocab_size = about["vocab_size"]
    with torch.device("meta"):
        ours = {n: t for n, t in Sida(config).state_dict().items() if "encoder.clip." not in n}
    names, dropped = from_published(recorded)
    assert len(dropped) == about["rotary_buffers"] == config.language.num_hidden_layers
    assert len(names) + len(dropped) == len(recorded) == about["tensors"]
    for published, name in names.items():
        assert list(ours[name].shape) == recorded[published][0], published
    missing = ours.keys() - set(names.values())
    assert all(name.startswith(NEW_IN_SIDA) for name in missing)
    assert bool(missing) == (folder == "lisa-7b")
    back = to_published(names.values())
    assert back == {name: published for published, name in names.items()}


def test_an_unknown_tensor_is_named():
    with pytest.raises(CheckpointError, match=r"tensor model\.extra\.weight and 1 more"):
        from_published(["lm_head.weight", "model.extra.weight", "model.other"])
    with pytest.raises(CheckpointError, match=r"encoder\.stem\.weight"):
        to_published(["encoder.stem.weight"])


@pytest.mark.parametrize("prefix", ["", "vision_model."])
def test_only_what_is_read_of_a_vision_tower_is_kept(prefix):
    with torch.device("meta"):
        ours = dict(Sida(preset("sida-7b")).named_parameters())
    in_use, last = (f"{prefix}encoder.layers.{i}.mlp.fc1.bias" for i in (22, 23))
    ids = f"{prefix}embeddings.position_ids"
    renamed = from_tower([in_use, last, "text_model.final_layer_norm.bias", ids], ours)
    assert renamed.names == {in_use: "encoder.clip.encoder.layers.22.mlp.fc1.bias"}
    assert renamed.dropped == [last, "text_model.final_layer_norm.bias", ids]


def test_what_is_left_out_is_told_in_one_line():
    layers = [f"model.layers.{i}.self_attn.q_proj.weight" for i in range(32)]
    rotary = [f"model.layers.{i}.self_attn.rotary_emb.inv_freq" for i in range(32)]
    assert from_published([*layers, *rotary]).summary() == (
        "32 of 64 tensors left out: model.layers.*.self_attn.rotary_emb.inv_freq"
    )
    assert from_published(layers).summary() == "0 of 32 tensors left out"
    tower = [f"layers.{i}.{leaf}" for i in (0, 1) for leaf in ("a", "b")]
    renamed = from_tower([*tower, "text.a", "text.b", "scale"], {"encoder.clip.layers.0.a", "no"})
    assert renamed.summary() == "6 of 7 tensors left out: layers.0.b, layers.1.*, text.*, scale"


def test_which_tensors_have_a_published_form():
    assert has_published_form(["lm_head.weight", "encoder.clip.embeddings.class_embedding"])
    assert not has_published_form(["lm_head.weight", "encoder.stem.0.weight"])
