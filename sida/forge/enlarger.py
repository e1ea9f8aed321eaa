"""Networks that enlarge a picture by four, as decoders of the forge: Real-ESRGAN's two kinds.

Many generators end in such layers, and editors offer these very networks, so a region that went
through one has the traces of much that is pasted into photographs. `scripts/convert_realesrgan.py`
makes the folders that are loaded here.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from sida.forge.autoencoder import padded, usable
from sida.forge.tamper import Latents
from sida.image.arrays import Pixels

__all__ = ["ARCHITECTURES", "SCALE", "Enlarger", "load_enlargers"]

SCALE = 4
"""The sides of a network's output over those of its input."""


class CompactNetwork(nn.Module):
    """Convolutions at the small size and a pixel shuffle, added to the input (SRVGGNetCompact)."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 3 * SCALE**2, 3, padding=1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, height, width) to four times the sides; levels are 0 to 1."""
        change = functional.pixel_shuffle(self.layers(x), SCALE)
        return change + functional.interpolate(x, scale_factor=SCALE)


class _DenseBlock(nn.Module):
    """Five convolutions, each of which sees the outputs of all before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        growth = width // 2
        self.convolutions = nn.ModuleList(
            nn.Conv2d(width + i * growth, growth if i < 4 else width, 3, padding=1)
            for i in range(5)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *inner, last = self.convolutions
        outputs = [x]
        for convolution in inner:
            outputs.append(_leaky(convolution(torch.cat(outputs, 1))))
        change: torch.Tensor = last(torch.cat(outputs, 1))
        return x + 0.2 * change


class _ResidualBlock(nn.Module):
    """Three dense blocks beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_DenseBlock(width) for _ in range(3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.blocks(x)
        return x + 0.2 * change


class ResidualDenseNetwork(nn.Module):
    """Residual-in-residual dense blocks, then nearest neighbour twice (RRDBNet; Wang et al. 2018).

    Its modules are registered in the order in which they are used; the conversion relies on it.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(
            *(_ResidualBlock(width) for _ in range(depth)), nn.Conv2d(width, width, 3, padding=1)
        )
        self.enlarging = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.fine = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 3, height, width) to four times the sides; levels are 0 to 1."""
        x = self.first(x)
        x = x + self.body(x)
        for convolution in self.enlarging:
            x = _leaky(convolution(functional.interpolate(x, scale_factor=2)))
        enlarged: torch.Tensor = self.last(_leaky(self.fine(x)))
        return enlarged


def _leaky(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.2)


ARCHITECTURES: Mapping[str, Callable[[int, int], nn.Module]] = {
    "compact": CompactNetwork,
    "rrdb": ResidualDenseNetwork,
}
"""Networks of a width (channels) and a depth (convolutions or blocks), by `architecture` of
`config.json`."""


class Enlarger:
    """A network that enlarges, as a `sida.forge.tamper.Codec`: its latents are a smaller picture.

    Args:
        factor: by which a picture is made smaller, 2 to 4; below 4 the output is reduced to the
            picture's size.
        largest_input: longest side of the smaller picture for which the network is quick enough;
            None for any.
    """

    takes_noise = False

    def __init__(
        self,
        name: str,
        network: nn.Module,
        factor: int,
        largest_input: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.name, self.factor, self._device = name, factor, device
        self.largest_side = None if largest_input is None else largest_input * factor
        self._network = network.to(device).eval()

    def encode(self, pixels: Pixels) -> Latents:
        """(height, width, 3) uint8 to (3, ceil(height / factor), ceil(width / factor)) of 0 to 1.

        Each value is the mean of a square of pixels.
        """
        picture = padded(pixels, self.factor)
        height, width = (side // self.factor for side in picture.shape[:2])
        squares = picture.reshape(height, self.factor, width, self.factor, 3)
        means = squares.mean(axis=(1, 3), dtype=np.float32) / np.float32(255)
        return np.ascontiguousarray(means.transpose(2, 0, 1))

    @torch.inference_mode()
    def decode(self, latents: Latents, height: int, width: int) -> Pixels:
        """Latents to (height, width, 3) uint8."""
        x = torch.from_numpy(latents).to(self._device)
        enlarged = self._network(x[None])[0].clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        levels = np.ascontiguousarray(enlarged) * np.float32(255)
        if self.factor != SCALE:
            size = latents.shape[2] * self.factor, latents.shape[1] * self.factor
            levels = np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_AREA))
        return np.rint(levels[:height, :width]).astype(np.uint8)


def load_enlargers(folder: Path, device: str = "cpu") -> list[Enlarger]:
    """The network of a folder, once for each of its factors.

    Raises CheckpointError where it is missing or broken.
    """
    name = f"the decoder in {str(folder)!r}"
    with usable(name, "make the folder again with scripts/convert_realesrgan.py"):
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if (architecture := stored["architecture"]) not in ARCHITECTURES:
            names = " or ".join(ARCHITECTURES)
            raise ValueError(f"architecture is {architecture!r}, expected {names}")
        network = ARCHITECTURES[architecture](stored["width"], stored["depth"])
        network.load_state_dict(load_file(folder / "model.safetensors"))
        factors, largest_input = stored["factors"], stored["largest_input"]
        if not factors or not set(factors) <= set(range(2, SCALE + 1)):
            raise ValueError(f"factors is {factors}, expected numbers of 2 to {SCALE}")
        return [
            Enlarger(f"{folder.name}_{factor}", network, factor, largest_input, device)
            for factor in factors
        ]
