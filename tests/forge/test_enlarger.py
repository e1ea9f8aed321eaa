"""Networks that enlarge, as codecs: any size comes back, latents are means, broken folders too."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sida.errors import CheckpointError
from sida.forge.enlarger import ARCHITECTURES, Enlarger, load_enlargers

from .codec_folders import write_enlarger
from .conftest import photo


class Nearest(nn.Module):
    """Four times the sides, without weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(x, scale_factor=4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", [(16, 16), (45, 34), (1, 3)])
def test_a_picture_of_any_size_comes_back_in_its_size(
    architecture: str, factor: int, size: tuple[int, int]
) -> None:
    codec = Enlarger("x", ARCHITECTURES[architecture](8, 1), factor)
    pixels = photo(0)[: size[0], : size[1]]
    latents = codec.encode(pixels)
    assert latents.shape == (3, -(-size[0] // factor), -(-size[1] // factor))
    assert latents.dtype == np.float32
    decoded = codec.decode(latents, *size)
    assert decoded.shape == (*size, 3)
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_latents_are_means_and_decoding_brings_their_levels_back(factor: int) -> None:
    pixels = photo(1, 24, 36)
    codec = Enlarger("x", Nearest(), factor)
    latents = codec.encode(pixels)
    assert np.allclose(latents[:, 0, 0], pixels[:factor, :factor].mean(axis=(0, 1)) / 255)
    decoded = codec.decode(latents, 24, 36)
    blocks = np.repeat(np.repeat(latents, factor, axis=1), factor, axis=2).transpose(1, 2, 0)
    assert np.abs(decoded - 255 * blocks).max() <= 0.51


def test_a_compact_network_adds_to_its_enlarged_input() -> None:
    network = ARCHITECTURES["compact"](8, 2)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    x = torch.rand(1, 3, 5, 6)
    assert torch.equal(network(x), functional.interpolate(x, scale_factor=4))


def test_a_folder_gives_its_network_for_each_factor(tmp_path: Path) -> None:
    folder = write_enlarger(tmp_path / "net")
    small, large = load_enlargers(folder)
    assert (small.name, small.factor, small.largest_side) == ("net_2", 2, 48)
    assert (large.name, large.factor, large.largest_side) == ("net_4", 4, 96)
    latents = large.encode(photo(0))
    again = Enlarger("x", load_enlargers(folder)[0]._network, 4)
    assert np.array_equal(large.decode(latents, 128, 160), again.decode(latents, 128, 160))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "other"}, "architecture is 'other', expected compact or rrdb"),
        ({"width": 16}, "size mismatch"),
        ({"depth": "deep"}, "cannot be used"),
        ({"factors": [5]}, r"factors is \[5\], expected numbers of 2 to 4"),
        ({"factors": []}, "factors is"),
    ],
)
def test_a_folder_that_cannot_be_used(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    folder = write_enlarger(tmp_path / "net", changes)
    with pytest.raises(CheckpointError, match=message):
        load_enlargers(folder)


def test_broken_weights_are_told(tmp_path: Path) -> None:
    folder = write_enlarger(tmp_path / "net")
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match=r"cannot be used: .*convert_realesrgan"):
        load_enlargers(folder)
