"""The small autoencoders: any size goes through, training helps, the same seed gives the same."""

from pathlib import Path

import numpy as np
import pytest

from sida.errors import CheckpointError, DataError
from sida.forge.autoencoder import (
    Network,
    SmallCodec,
    is_trained,
    load_codec,
    train_autoencoder,
)
from sida.forge.config import Autoencoder
from sida.forge.photographs import find_photographs

from .conftest import photo

ARCHITECTURES = [(up, factor) for up in ("nearest", "transposed", "shuffle") for factor in (4, 8)]


@pytest.mark.parametrize(("upsampling", "factor"), ARCHITECTURES)
@pytest.mark.parametrize("size", [(16, 16), (65, 97), (1, 3)])
def test_a_picture_of_any_size_comes_back_in_its_size(
    upsampling: str, factor: int, size: tuple[int, int]
) -> None:
    codec = SmallCodec("x", Network(upsampling, factor, 6, 8), factor)
    pixels = photo(0)[: size[0], : size[1]]
    latents = codec.encode(pixels)
    assert latents.shape == (6, -(-size[0] // factor), -(-size[1] // factor))
    decoded = codec.decode(latents, *size)
    assert decoded.shape == (*size, 3)
    assert decoded.dtype == np.uint8


def test_training_helps_and_is_repeatable(photographs: Path, tmp_path: Path) -> None:
    sources = find_photographs(photographs)
    ratios = {}
    for steps, folder in ((1, "few"), (40, "many"), (40, "again")):
        config = Autoencoder(name="x", width=8, steps=steps)
        ratios[folder] = train_autoencoder(config, sources, tmp_path / folder, seed=1)
    assert ratios["many"] > ratios["few"] + 1
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "many" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
    codec = load_codec(config, tmp_path / "many")
    pixels = photo(0)
    decoded = codec.decode(codec.encode(pixels), *pixels.shape[:2])
    assert np.abs(decoded.astype(int) - pixels).mean() < 40


def test_weights_that_cannot_be_used(photographs: Path, tmp_path: Path) -> None:
    config = Autoencoder(name="x", width=8, steps=1)
    folder = tmp_path / "x"
    with pytest.raises(CheckpointError, match=r"no trained autoencoder in .*forge-autoencoder"):
        load_codec(config, folder)
    train_autoencoder(config, find_photographs(photographs), folder)
    assert is_trained(folder)
    with pytest.raises(CheckpointError, match="cannot be used: it has other sizes"):
        load_codec(config.model_copy(update={"width": 16}), folder)
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match=r"cannot be used: .*remove the folder"):
        load_codec(config, folder)


def test_photographs_that_cannot_be_learned_from(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    sources = find_photographs(tmp_path)
    with pytest.raises(DataError, match="of 1 photographs none is readable and at least 64 pixels"):
        train_autoencoder(Autoencoder(name="x", steps=1), sources, tmp_path / "x")
