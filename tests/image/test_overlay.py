"""What is drawn, and what is left alone."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from sida.errors import SidaError
from sida.image.overlay import _grown, _palette, heat_map, overlay, save_png, side_by_side
from tests.pictures import photo


def block(height: int = 64, width: int = 80) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[16:40, 20:60] = True
    return mask


def test_the_region_is_reddened_and_outlined_and_the_rest_untouched() -> None:
    pixels, mask = photo(64, 80), block()
    before = pixels.copy()
    drawings = overlay(pixels, mask)
    assert np.array_equal(pixels, before)
    assert (drawings[16, 20:60] == 255).all()  # the light line, inside
    assert (drawings[15, 20:60] == 20).all()  # the dark one, outside
    expected = np.round(pixels[30, 40] * 0.55 + np.array([230, 25, 35]) * 0.45)
    assert np.abs(drawings[30, 40] - expected).max() <= 1
    outside = np.ones_like(mask)
    outside[15:41, 19:61] = False
    assert np.array_equal(drawings[outside], pixels[outside])


def test_bool_levels_and_probabilities_draw_the_same() -> None:
    pixels, mask = photo(64, 80), block()
    drawings = overlay(pixels, mask)
    assert np.array_equal(overlay(pixels, mask.astype(np.uint8) * 255), drawings)
    assert np.array_equal(overlay(pixels, np.where(mask, 0.5, 0.49)), drawings)
    assert np.array_equal(overlay(pixels, np.where(mask, 0.3, 0.2), threshold=0.3), drawings)


def test_an_empty_mask_changes_nothing_and_a_full_one_has_no_line() -> None:
    pixels = photo()
    assert np.array_equal(overlay(pixels, np.zeros(pixels.shape[:2], bool)), pixels)
    full = overlay(pixels, np.ones(pixels.shape[:2], bool), opacity=1.0)
    assert (full == (230, 25, 35)).all()


def test_one_pixel() -> None:
    assert overlay(photo(1, 1), np.ones((1, 1), bool)).shape == (1, 1, 3)
    assert heat_map(photo(1, 1), np.ones((1, 1))).shape == (1, 1, 3)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is \(8, 8\), expected .* = \(32, 48\)"):
        overlay(photo(), np.zeros((8, 8), bool))
    with pytest.raises(ValueError, match=r"is \(8, 8\), expected .* = \(32, 48\)"):
        heat_map(photo(), np.zeros((8, 8)))


@settings(deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), st.integers(0, 15))
def test_growing_reaches_a_square(mask: np.ndarray, by: int) -> None:
    expected = np.zeros_like(mask)
    for y, x in zip(*np.nonzero(mask), strict=True):
        expected[max(0, y - by) : y + by + 1, max(0, x - by) : x + by + 1] = True
    before = mask.copy()
    assert np.array_equal(_grown(mask, by), expected)
    assert np.array_equal(mask, before)


def test_the_heat_map_grows_lighter() -> None:
    """So it can be read without telling red from green."""
    lightness = _palette() @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(lightness) > -0.5).all()
    assert lightness[-1] - lightness[0] > 200
    pixels = np.full((2, 256, 3), 128, np.uint8)
    drawings = heat_map(pixels, np.tile(np.linspace(0, 1, 256), (2, 1)))
    assert drawings.shape == pixels.shape
    assert (np.diff(drawings[0].astype(int) @ np.array([299, 587, 114])) > -2000).all()


def test_odd_probabilities_are_held_to_the_range() -> None:
    odd = np.array([[np.nan, -1.0, 2.0, np.inf]])
    plain = np.array([[0.0, 0.0, 1.0, 1.0]])
    pixels = photo(1, 4)
    assert np.array_equal(heat_map(pixels, odd), heat_map(pixels, plain))


def test_panels_stand_side_by_side() -> None:
    pixels, mask = photo(64, 80), block()
    sheet = side_by_side([("original", pixels), ("mask", mask), ("", pixels[..., 0])], height=64)
    assert sheet.shape[1] == 3 * 80 + 4 * 4
    assert np.array_equal(sheet[4:68, 4:84], pixels)
    assert set(np.unique(sheet[4:68, 88:168])) == {0, 255}
    caption = sheet[72:, 4:84]
    assert (caption < 128).any()
    assert (sheet[72:, 172:252] == 255).all()


def test_panels_get_one_height() -> None:
    sheet = side_by_side([("a", photo(64, 80)), ("b", photo(32, 20))], height=128)
    assert sheet.shape[1] == 160 + 80 + 3 * 4
    with pytest.raises(ValueError, match="no panels"):
        side_by_side([])


@pytest.mark.parametrize("pixels", [photo(), photo()[..., 0], block()], ids=["rgb", "grey", "bool"])
def test_png_holds_what_was_drawn(tmp_path: Path, pixels: np.ndarray) -> None:
    path = tmp_path / "new" / "a.png"
    save_png(path, pixels)
    with Image.open(path) as image:
        assert image.format == "PNG"
        expected = pixels if pixels.dtype == np.uint8 else pixels * np.uint8(255)
        assert np.array_equal(np.array(image), expected)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]


def test_png_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SidaError, match="cannot be written"):
        save_png(tmp_path / "file" / "a.png", photo())
