"""Measurements of noise and spectrum in a window, as numbers that a network can weigh.

A camera, a decoder of latent codes and an editor leave other noise: how strong it is at which
frequency, how it goes together between neighbours and between colours, and whether it repeats
with the grid of an upsampling or of JPEG. On few training pictures a linear model of these numbers
generalises better than convolutions that have to find them.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from sida.model.inputs import mean_by_owner

__all__ = ["LUMA", "Statistics", "chunk_size", "measure", "second_differences"]

SMALLEST = 24
"""Pixels a side that the measurements need; smaller windows are extended by their border."""
LAGS = (
    *((0, 1), (0, 2), (0, 3), (0, 4), (0, 8)),
    *((1, 0), (2, 0), (3, 0), (4, 0), (8, 0)),
    *((1, 1), (1, -1), (2, 2)),
)
PAIRS = ((0, 1), (1, 2), (0, 2))
"""Of colours."""
CHROMA_FREQUENCIES = 20
LUMA = torch.tensor([0.299, 0.587, 0.114])
CHUNK_PIXELS = 2**18
"""Pixels that a CPU works on at once, so that what it makes of them stays in its cache."""


def second_differences(plane: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of (…, h, w) along rows, along columns, and both, each (…, h - 2, w - 2).

    The linear ones of the spatial rich model (Fridrich and Kodovský, 2012) that a small network
    profits from most. As sums of shifted planes they take a third of the time of convolutions.
    """
    down = _second_difference(plane.transpose(-1, -2)).transpose(-1, -2)
    # [-1 2 -1; 2 -4 2; -1 2 -1] / 2, of which one factor is there already.
    both = -0.5 * _second_difference(down)
    return _second_difference(plane[..., 1:-1, :]), down[..., 1:-1], both


def _second_difference(plane: torch.Tensor) -> torch.Tensor:
    # In place on the sum, which is nobody else's: one plane less in memory.
    return (plane[..., :-2] + plane[..., 2:]).sub_(plane[..., 1:-1], alpha=2)


def chunk_size(pixels: torch.Tensor) -> int:
    """Number of windows (windows, 3, height, width) that are worked on at once."""
    if pixels.device.type != "cpu":
        return max(1, len(pixels))
    return max(1, CHUNK_PIXELS // (pixels.shape[-2] * pixels.shape[-1]))


def _cosines() -> torch.Tensor:
    """The 64 patterns (64, 1, 8, 8) of JPEG's discrete cosine transform."""
    k = torch.arange(8.0)
    basis = torch.cos((2 * k + 1) * k[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    return torch.einsum("ui,vj->uvij", basis, basis).reshape(64, 1, 8, 8)


COSINES = _cosines()


def measure(pixels: torch.Tensor) -> torch.Tensor:
    """Numbers of noise and spectrum, of the order of 1.

    Args:
        pixels: (windows, 3, height, width) float32 in 0-255, at least `SMALLEST` a side.

    Returns:
        (windows, `Statistics.count`).
    """
    luma = torch.einsum("c,nchw->nhw", LUMA.to(pixels.device), pixels)[:, None]
    blue, red = pixels[:, 2:] - luma, pixels[:, :1] - luma
    measurements = [_noise(pixels)]
    measurements += [
        _periods(second_differences(torch.cat([luma, blue, red], dim=1))[2]).flatten(1),
        _spectrum(luma, 63, zeros=True),
        _spectrum(blue, CHROMA_FREQUENCIES),
        _spectrum(red, CHROMA_FREQUENCIES),
        _tones(luma, blue, red),
    ]
    return torch.cat(measurements, dim=1)


def _noise(pixels: torch.Tensor) -> torch.Tensor:
    """Strength of each residual in each colour, how colours go together, how spiky it is."""
    energies, pairs, spiky = [], [], []
    for residual in second_differences(pixels):
        planes = residual.flatten(2)
        energy = planes.square().mean(2)
        spiky.append(torch.log(planes.abs().mean(2).square() / (energy + 1e-3) + 1e-3))
        energies.append(torch.log(energy + 0.05))
        together = [
            (planes[:, a] * planes[:, b]).mean(1) / (energy[:, a] * energy[:, b] + 1e-3).sqrt()
            for a, b in PAIRS
        ]
        pairs.append(torch.stack(together, dim=1))
    return torch.cat(
        [torch.stack(terms, dim=2).flatten(1) for terms in (energies, pairs, spiky)], 1
    )


def _periods(residual: torch.Tensor) -> torch.Tensor:
    """How residuals (windows, planes, h, w) go together over `LAGS`, and with grids of 2 and 8.

    Returns:
        (windows, planes, numbers).
    """
    height, width = residual.shape[-2:]
    squares = residual.square()
    energy = squares.mean((2, 3)) + 1e-3
    measurements = []
    for down, right in LAGS:
        base = residual[..., : height - down, max(0, -right) : width - max(0, right)]
        shifted = residual[..., down:, max(0, right) : width + min(0, right)]
        measurements.append((base * shifted).mean((2, 3)) / energy)
    even = squares[..., : height // 2 * 2, : width // 2 * 2]
    phases = even.unflatten(2, (-1, 2)).mean(2).unflatten(3, (-1, 2)).mean(3).flatten(2)
    levels = torch.log(phases + 0.05)
    measurements += (levels - levels.mean(2, keepdim=True)).unbind(2)
    measurements.append(levels.std(2))
    for profile in (squares.mean(2), squares.mean(3)):
        grid = [profile[..., start::8].mean(2) for start in range(8)]
        measurements.append(torch.log(torch.stack(grid, 2) + 0.05).std(2))
    return torch.stack(measurements, dim=2)


def _spectrum(plane: torch.Tensor, frequencies: int, zeros: bool = False) -> torch.Tensor:
    """Relative strength of the cosines in 8 x 8 blocks, and how often they are next to nothing."""
    coefficients = F.conv2d(plane, COSINES.to(plane.device), stride=8).flatten(2).abs()
    levels = torch.log(coefficients.mean(2) + 0.05)
    levels = levels - levels[:, 1:].mean(1, keepdim=True)
    measurements = [levels[:, 1 : 1 + frequencies]]
    if zeros:
        measurements.append(torch.log((coefficients < 0.5).float().mean(2) + 0.01)[:, 1:])
    return torch.cat(measurements, dim=1)


def _tones(luma: torch.Tensor, blue: torch.Tensor, red: torch.Tensor) -> torch.Tensor:
    return torch.stack(
        [
            luma.mean((1, 2, 3)) / 128 - 1,
            _deviation(luma) / 64,
            _deviation(blue) / 32,
            _deviation(red) / 32,
            (luma < 2).float().mean((1, 2, 3)),
            (luma > 253).float().mean((1, 2, 3)),
        ],
        dim=1,
    )


def _deviation(plane: torch.Tensor) -> torch.Tensor:
    """As `std`, in a fifth of the time on a CPU."""
    values = plane.flatten(1)
    centred = values - values.mean(1, keepdim=True)
    return (centred.square().sum(1) / (values.shape[1] - 1)).sqrt()


class Statistics(nn.Module):
    """`measure` of each window, mean over a picture, on scales that were fitted to pictures."""

    count = 259

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(self.count))
        self.register_buffer("deviation", torch.ones(self.count))

    def forward(
        self, pixels: torch.Tensor, valid: torch.Tensor, owner: torch.Tensor
    ) -> torch.Tensor:
        """(windows, 3, height, width) in -1..1 -> (pictures, count) within 5 deviations."""
        means = mean_by_owner(self.measured(pixels, valid), owner)
        scaled = (means - self.get_buffer("mean")) / self.get_buffer("deviation")
        return scaled.clamp(-5, 5).to(pixels.dtype)

    @staticmethod
    @torch.no_grad()
    def measured(pixels: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """(windows, count), each of what is inside its window; float32 whatever the network is."""
        values = pixels.new_zeros(len(pixels), Statistics.count, dtype=torch.float32)
        with torch.autocast(pixels.device.type, enabled=False):
            # Windows of one size go together and are cut to it: padding must not be measured.
            for size in valid.unique(dim=0).tolist():
                alike = (valid == valid.new_tensor(size)).all(1).nonzero()[:, 0]
                for chunk in alike.split(chunk_size(pixels)):
                    inside = 127.5 * (pixels[chunk, :, : size[0], : size[1]].float() + 1)
                    lacks = [max(0, SMALLEST - length) for length in size]
                    inside = F.pad(inside, (0, lacks[1], 0, lacks[0]), mode="replicate")
                    values[chunk] = measure(inside)
        return values

    @torch.no_grad()
    def fit(self, values: torch.Tensor) -> None:
        """Set the scales so that these measurements (windows, count) have mean 0, deviation 1."""
        self.get_buffer("mean").copy_(values.mean(0))
        # What hardly varies in training must not be blown up where it does.
        self.get_buffer("deviation").copy_(values.std(0).clamp_min(1e-2))
