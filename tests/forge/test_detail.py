"""Fine detail brought back to the strength of the photograph's."""

import cv2
import numpy as np

from sida.forge.detail import match_detail

from .conftest import Pixels, photo


def strength(pixels: Pixels) -> float:
    """Of the finest octave."""
    values = pixels.astype(np.float32)
    return float((values - cv2.GaussianBlur(values, (0, 0), 0.7)).std())


def test_a_blurred_picture_gets_the_detail_of_the_photograph() -> None:
    photograph = photo(0)
    blurred = np.asarray(cv2.GaussianBlur(photograph, (0, 0), 0.8), np.uint8)
    assert strength(blurred) < 0.7 * strength(photograph)
    matched = match_detail(blurred, photograph)
    assert 1.5 * strength(blurred) < strength(matched) < 1.1 * strength(photograph)
    assert matched.shape == photograph.shape
    assert matched.dtype == np.uint8


def test_a_photograph_stays_as_it_is() -> None:
    difference = match_detail(photo(1), photo(1)).astype(int) - photo(1)
    assert np.abs(difference).max() <= 1


def test_what_has_no_detail_gets_none() -> None:
    flat = np.full_like(photo(0), 90)
    assert np.array_equal(match_detail(flat, photo(0)), flat)
