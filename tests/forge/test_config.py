"""Configurations: the packaged ones fit, and what does not fit is told."""

from pathlib import Path

import pytest

import sida
from sida.errors import ConfigError
from sida.forge.config import ForgeConfig, read_config

PACKAGED = sorted((Path(sida.__file__).parent / "configs" / "forge").glob("*.yaml"))


def test_these_are_packaged() -> None:
    names = [file.stem for file in PACKAGED]
    assert names == ["embedded", "flux", "paper", "small", "stable_diffusion", "tiny"]


@pytest.mark.parametrize("file", PACKAGED, ids=lambda file: file.stem)
def test_a_packaged_configuration_is_read_by_path_and_by_name(file: Path) -> None:
    config = read_config(file)
    assert config == read_config(file.stem)
    assert config == read_config(f"configs/forge/{file.name}")  # also where there is no such folder


def test_small_makes_at_least_eight_kinds_of_pictures() -> None:
    small = read_config("small")
    assert len(small.tampering) + len(small.autoencoders) >= 8
    assert small.count == 3000


def test_values_are_changed_by_key(tmp_path: Path) -> None:
    overrides = ("count=12", f"photographs={tmp_path}", "storage.sides=[64, 80]")
    config = read_config("tiny", overrides)
    assert (config.count, config.photographs) == (12, tmp_path)
    assert config.storage.sides == (64, 80)
    assert read_config("tiny").storage.sides != (64, 80)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("count", "found 'count', expected key=value"),
        ("count=0", "count: .*greater than or equal to 1, found 0"),
        ("cuont=3", "cuont: there is no such key; the keys are photographs, "),
        ("count.x=3", "count is a single value"),
        ("count=[", "is not a YAML value"),
        ("storage.sides=[80, 64]", r"sides is \[80, 64\], expected two rising numbers of 64"),
        ("area=[0.5, 0.1]", r"area is \[0.5, 0.1\], expected two rising fractions"),
        ("tampering={splice: 0}", "tampering has no weight above 0"),
        ("tampering={swirl: 1}", "swirl"),
        ("autoencoders=[]", "reconstruct needs autoencoders, which is empty"),
        ("synthesis={text_to_image: 1}", "text_to_image needs text_to_image, which is empty"),
    ],
)
def test_what_does_not_fit_is_told(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config("tiny", (override,))


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="no configuration 'tinny': give a YAML file, or one of e"
    ):
        read_config("tinny")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(ConfigError, match="holds a list, expected keys and values"):
        read_config(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        read_config(tmp_path / "broken.yaml")


def test_an_empty_configuration_is_one() -> None:
    assert ForgeConfig().count == 3000
