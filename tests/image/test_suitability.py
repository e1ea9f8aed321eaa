"""Pictures that are no photographs are told apart from those that are."""

import numpy as np
import pytest

from sida.image.suitability import unsuitable


def photograph(height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    slope = np.linspace(40, 200, width)[None, :, None] + np.linspace(0, 30, height)[:, None, None]
    return (slope + rng.normal(0, 4, (height, width, 3))).clip(0, 255).astype(np.uint8)


def test_a_photograph_is_suitable() -> None:
    assert unsuitable(photograph(64, 64)) is None
    assert unsuitable(photograph(600, 400)) is None


@pytest.mark.parametrize("size", [(63, 900), (900, 63), (1, 1)])
def test_small_pictures(size: tuple[int, int]) -> None:
    assert "below 64" in unsuitable(photograph(*size))


def test_blank_pictures() -> None:
    assert "blank" in unsuitable(np.full((300, 300, 3), 200, np.uint8))


def test_drawings() -> None:
    drawing = np.full((400, 300, 3), 255, np.uint8)
    drawing[50:350, 40:60] = 0
    drawing[100:120] = (200, 30, 30)
    assert "flat" in unsuitable(drawing)
