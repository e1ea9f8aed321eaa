"""Maps of noise and of JPEG's grid."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from sida.model.residuals import Residuals, grid
from sida.model.statistics import LUMA


def compressed(quality: int, seed: int = 0) -> np.ndarray:
    """Smooth noise (160, 160, 3), as JPEG leaves it."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(90, 160, (20, 20, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((160, 160), Image.Resampling.BICUBIC), float)
    noisy = (smooth + rng.normal(0, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return np.array(image)


def luma_of(pixels: np.ndarray) -> torch.Tensor:
    return torch.tensor(pixels).float() @ LUMA


def maps_of(luma: torch.Tensor) -> torch.Tensor:
    return grid(luma[None], torch.tensor([luma.shape]))[0]


@pytest.mark.parametrize("offset", [0, 3, 6])
def test_the_grid_is_found_wherever_it_lies(offset: int) -> None:
    luma = luma_of(compressed(40))[:, offset : offset + 144]
    assert maps_of(luma[:144]).mean() > 2 * maps_of(luma_of(compressed(100))[:144, :144]).mean()


def test_a_pasted_part_with_another_grid_stands_out() -> None:
    picture = compressed(40)
    picture[48:112, 48:112] = compressed(40, 1)[52:116, 52:116]
    maps = maps_of(luma_of(picture))
    inside = maps[17:23, 17:23].mean()
    outside = torch.cat([maps[:, :6], maps[:, -6:]], dim=1).mean()
    assert inside < 0.5 * outside


def test_padding_does_not_matter() -> None:
    pixels = torch.tensor(compressed(60)[:96, :112]).permute(2, 0, 1)[None] / 127.5 - 1
    valid = torch.tensor([[96, 112]])
    padded = torch.nn.functional.pad(pixels, (0, 16, 0, 32), value=0.7)
    alone, beside = Residuals()(pixels, valid)[1], Residuals()(padded, valid)[1]
    assert alone.shape == (1, Residuals.levels, 24, 28)
    torch.testing.assert_close(beside[..., :24, :28], alone, atol=1e-4, rtol=1e-4)
