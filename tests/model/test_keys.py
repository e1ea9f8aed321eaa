"""The key table maps every name and shape of the published folders, both ways."""

import json

import pytest
import torch

from sida.errors import CheckpointError
from sida.model import Sida
from sida.model.keys import from_published, to_published, tower_name
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


def test_only_what_is_read_of_a_vision_tower_is_kept():
    kept = "vision_model.encoder.layers.22.mlp.fc1.bias"
    assert tower_name(kept, 23) == "encoder.clip.encoder.layers.22.mlp.fc1.bias"
    assert tower_name("vision_model.encoder.layers.23.mlp.fc1.bias", 23) is None
    assert tower_name("encoder.layers.22.mlp.fc1.bias", 23) == tower_name(kept, 23)
    assert tower_name("text_model.embeddings.position_ids", 23) is None
    assert tower_name("vision_model.embeddings.position_ids", 23) is None
