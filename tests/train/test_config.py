"""Recipes: packaged, from a file, changed on the command line, refused with a sentence."""

from pathlib import Path

import pytest

import sida
from sida.errors import ConfigError
from sida.train.config import read_config

RECIPES = sorted((Path(sida.__file__).parent / "configs").glob("*.yaml"))


def test_every_packaged_recipe_can_be_read():
    stages = [f"sida-{size}{stage}" for size in ("13b", "7b") for stage in ("", "-description")]
    assert {path.stem for path in RECIPES} == {
        *("small", "windows", "whole", "tiny", "finetune"),
        *stages,
    }
    for path in RECIPES:
        assert read_config(path.stem) == read_config(path)


def test_overrides_reach_nested_keys_with_their_types():
    config = read_config("tiny", ["max_steps=7", "crops=[32, 64]", "loss.text=0", "data=/a/b"])
    assert (config.max_steps, config.crops, config.loss.text) == (7, (32, 64), 0)
    assert config.data == (Path("/a/b"),)
    assert config.loss.classes == read_config("tiny").loss.classes


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("steps=7", "steps: there is no such key; the keys are model"),
        ("max_steps=0", r"max_steps: .*greater than or equal to 1, found 0"),
        ("max_steps=many", r"max_steps: .*valid integer.*found 'many'"),
        ("loss.colour=1", r"loss\.colour: there is no such key"),
        ("max_steps", "found 'max_steps', expected key=value"),
        ("max_steps.x=1", "max_steps is a single value"),
    ],
)
def test_a_wrong_override_is_named(override, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_config("tiny", [override])


def test_codecs_without_forged_pictures_are_refused():
    with pytest.raises(ConfigError, match="codecs are for forged pictures: set forged"):
        read_config("tiny", ["codecs=folder"])
    assert read_config("windows", ["codecs=folder"]).codecs == Path("folder")


@pytest.mark.parametrize(
    ("name", "overrides", "sentence"),
    [
        ("windows", ["cache=folder", "crops=[]", "post_process=0"], "leave out cache"),
        ("finetune", ["heads_only=true", "forged=0.5"], "leave out forged"),
        ("whole", ["validation=folder"], "leave out validation and held_out"),
    ],
)
def test_options_that_contradict_each_other_are_refused(name, overrides, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_config(name, overrides)


def test_what_is_no_recipe_is_one_sentence(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no configuration 'nope': give a YAML file"):
        read_config("nope")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_config(broken)
    broken.write_text("- a")
    with pytest.raises(ConfigError, match="holds a list, expected keys and values"):
        read_config(broken)
