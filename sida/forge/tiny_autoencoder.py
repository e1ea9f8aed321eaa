"""Tiny autoencoders of a diffusion model's latents, as codecs of the forge (TAESD).

A region that went through one has the traces of latent diffusion. `scripts/convert_taesd.py` makes
the folders that are loaded here.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from sida.forge.autoencoder import EncoderDecoder, SmallCodec, usable

__all__ = ["TINY", "TinyAutoencoder", "load_tiny_codec"]

TINY = "taesd"
"""`architecture` of such a folder's `config.json`."""
FACTOR = 8
"""The sides of a picture over those of its latents."""
WIDTH = 64
"""Channels between the two ends."""


class _Affine(nn.Module):
    """A fixed scale and shift, from levels of -1 to 1 to those of 0 to 1 or back."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.shift


class _SoftClamp(nn.Module):
    """Latents to -3 to 3."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / 3) * 3


class _Block(nn.Module):
    """Three convolutions beside the identity; `normed` ones see the statistics of all places."""

    def __init__(self, normed: bool) -> None:
        super().__init__()
        first, second, third = (_convolution(WIDTH, WIDTH) for _ in range(3))
        self.convolutions = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        self.normed: nn.Module | None = None
        if normed:
            self.normed = nn.Sequential(
                nn.Conv2d(WIDTH, 4 * WIDTH, 1, bias=False),
                nn.GroupNorm(4, 4 * WIDTH),
                nn.ReLU(),
                nn.Conv2d(4 * WIDTH, WIDTH, 1, bias=False),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.normed is not None:
            x = x + self.normed(x)
        return torch.relu(x + self.convolutions(x))


class TinyAutoencoder(EncoderDecoder):
    """Encoder and decoder of pictures (batch, 3, height, width) in -1 to 1.

    Its weights are registered in the order of the published files; the conversion relies on it.

    Args:
        latent: channels of the latents.
        normed: whether the three blocks beside the latents are normed, as those for FLUX.2 are.
    """

    def __init__(self, latent: int, normed: bool) -> None:
        super().__init__()
        down: list[nn.Module] = [_convolution(3, WIDTH), _Block(False)]
        up: list[nn.Module] = [_SoftClamp(), _convolution(latent, WIDTH), nn.ReLU()]
        for level in range(3):
            down.append(nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, bias=False))
            down += [_Block(normed and level == 2) for _ in range(3)]
            up += [_Block(normed and level == 0) for _ in range(3)]
            up += [nn.Upsample(scale_factor=2), _convolution(WIDTH, WIDTH, bias=False)]
        self.encoder = nn.Sequential(_Affine(0.5, 0.5), *down, _convolution(WIDTH, latent))
        self.decoder = nn.Sequential(*up, _Block(False), _convolution(WIDTH, 3), _Affine(2, -1))


def _convolution(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def load_tiny_codec(folder: Path, device: str = "cpu") -> SmallCodec:
    """The autoencoder of a folder.

    Raises CheckpointError where it is missing or broken.
    """
    name = f"the autoencoder in {str(folder)!r}"
    with usable(name, "make the folder again with scripts/convert_taesd.py"):
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        network = TinyAutoencoder(stored["latent"], stored["normed"])
        network.load_state_dict(load_file(folder / "model.safetensors"))
        largest_side = stored["largest_side"]
    return SmallCodec(folder.name, network, FACTOR, device, largest_side)
