"""Photographs made on the spot, and stand-ins for networks."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sida.forge.tamper import Codec
from sida.image.arrays import Pixels


def photo(seed: int, height: int = 128, width: int = 160) -> Pixels:
    """(height, width, 3) uint8: a slope with discs and noise, all different by seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    slope = np.stack([x * rng.uniform(0.3, 1.2) + y * rng.uniform(0.3, 1.2) for _ in range(3)], 2)
    image = Image.fromarray(slope.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        left, top = int(rng.integers(width - 20)), int(rng.integers(height - 20))
        size = int(rng.integers(12, 60))
        draw.ellipse((left, top, left + size, top + size), tuple(map(int, rng.integers(0, 255, 3))))
    noise = rng.normal(0, 5, (height, width, 3))
    return (np.array(image) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare folder of seven photographs."""
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(7):
        Image.fromarray(photo(seed)).save(folder / f"p{seed}.jpg", quality=92)
    return folder


class MeanCodec:
    """Latents are the means of 4 x 4 blocks: exact, quick, and without a network."""

    name, factor, takes_noise = "mean", 4, True
    largest_side: int | None = None

    def encode(self, pixels: Pixels) -> NDArray[np.float32]:
        height, width = (-(-side // 4) * 4 for side in pixels.shape[:2])
        margin = ((0, height - pixels.shape[0]), (0, width - pixels.shape[1]), (0, 0))
        padded = np.pad(pixels, margin, mode="edge").astype(np.float32)
        blocks = padded.reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3))
        return np.ascontiguousarray(blocks.transpose(2, 0, 1))

    def decode(self, latents: NDArray[np.float32], height: int, width: int) -> Pixels:
        levels = latents.transpose(1, 2, 0).repeat(4, axis=0).repeat(4, axis=1)
        return np.rint(levels).clip(0, 255).astype(np.uint8)[:height, :width]


@pytest.fixture
def codec() -> Codec:
    return MeanCodec()
