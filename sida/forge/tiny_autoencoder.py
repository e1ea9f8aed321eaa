"""Tiny autoencoders of a diffusion model's latents, as codecs of the forge (TAESD).

A region that went through one has the traces of latent diffusion. `scripts/convert_taesd.py` makes
the folders that are loaded here.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from sida.errors import CheckpointError
from sida.forge.autoencoder import SmallCodec

__all__ = ["TINY", "TinyAutoencoder", "load_tiny_codec"]

TINY = "taesd"
"""`architecture` of such a folder's `config.json`."""
FACTOR = 8
"""The sides of a picture over those of its latents."""


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

    def __init__(self, width: int, normed: bool) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(width, width, 3, padding=1) for _ in range(3)]
        first, second, third = convolutions
        self.convolutions = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        self.normed = (
            nn.Sequential(
                nn.Conv2d(width, 4 * width, 1, bias=False),
                nn.GroupNorm(4, 4 * width),
                nn.ReLU(),
                nn.Conv2d(4 * width, width, 1, bias=False),
            )
            if normed
            else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.normed is not None:
            x = x + self.normed(x)
        return torch.relu(x + self.convolutions(x))


class TinyAutoencoder(nn.Module):
    """Encoder and decoder of pictures (batch, 3, height, width) in -1 to 1.

    Its weights are registered in the order of the published files; the conversion relies on it.

    Args:
        latent: channels of the latents.
        normed: whether the three blocks beside the latents are normed, as those for FLUX.2 are.
    """

    def __init__(self, latent: int, normed: bool, width: int = 64) -> None:
        super().__init__()
        down: list[nn.Module] = [_convolution(3, width), _Block(width, False)]
        up: list[nn.Module] = [_SoftClamp(), _convolution(latent, width), nn.ReLU()]
        for level in range(3):
            down.append(nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False))
            down += [_Block(width, normed and level == 2) for _ in range(3)]
            up += [_Block(width, normed and level == 0) for _ in range(3)]
            up += [nn.Upsample(scale_factor=2), _convolution(width, width, bias=False)]
        self.encoder = nn.Sequential(_Affine(0.5, 0.5), *down, _convolution(width, latent))
        self.decoder = nn.Sequential(
            *up, _Block(width, False), _convolution(width, 3), _Affine(2, -1)
        )


def _convolution(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def load_tiny_codec(folder: Path, device: str = "cpu") -> SmallCodec:
    """The autoencoder of a folder.

    Raises CheckpointError where it is missing or broken.
    """
    try:
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        network = TinyAutoencoder(stored["latent"], stored["normed"])
        network.load_state_dict(load_file(folder / "model.safetensors"))
        largest_side = stored["largest_side"]
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"the autoencoder in {str(folder)!r} cannot be used: {reason}: make the folder again "
            "with scripts/convert_taesd.py"
        ) from error
    return SmallCodec(folder.name, network, FACTOR, device, largest_side)
