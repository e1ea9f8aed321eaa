"""Copies, thumbnails, enlargement and maps; and what is said of each measure."""

import io

import numpy as np
import pytest
from PIL import Image

from sida.forge.regions import TargetRegion
from sida.forge.tamper import copy_move
from sida.image.read import Picture, read_picture
from sida.provenance.measured.blocks import luma_of
from sida.provenance.measured.copy_move import copied_regions
from sida.provenance.measured.maps import (
    error_level_map,
    in_strips,
    noise_map,
    sharpness_map,
    unevenness,
)
from sida.provenance.measured.measurements import MAPS, MEASURES, measurements
from sida.provenance.measured.resampling import enlargement
from sida.provenance.measured.thumbnail import thumbnail_likeness

Pixels = np.ndarray


def textured(height: int = 360, width: int = 480, seed: int = 0) -> Pixels:
    """Shapes of many sizes, no two alike."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (6, 14, 33, 77):
        coarse = rng.normal(0, 1, (cells, cells, 3))
        layers = [
            np.asarray(
                Image.fromarray(coarse[..., c].astype(np.float32)).resize(
                    (width, height), Image.Resampling.BICUBIC
                )
            )
            for c in range(3)
        ]
        total += np.stack(layers, axis=2) * 30
    return (total + 128).clip(0, 255).astype(np.uint8)


def iou(first: Pixels, second: Pixels) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("seed", range(4))
def test_a_copy_of_the_forge_is_found(seed: int) -> None:
    pixels = textured(seed=seed)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[40:150, 60:190] = True
    copied = copy_move(pixels, TargetRegion(mask, "shape"), np.random.default_rng(seed))
    stream = io.BytesIO()
    Image.fromarray(copied.pixels).save(stream, "JPEG", quality=85)
    result = copied_regions(read_picture(stream.getvalue()).pixels)
    assert result
    detected = result[0].first | result[0].second
    assert iou(detected, mask | copied.mask) > 0.5
    assert result[0].mirrored == copied.parameters["mirrored"]
    assert min(abs(result[0].angle - sign * copied.parameters["angle"]) for sign in (1, -1)) < 2


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_found_in_an_untouched_texture(seed: int) -> None:
    assert copied_regions(textured(seed=seed)) == []


def test_a_texture_that_repeats_itself_is_no_copy() -> None:
    tile = textured(16, 16)
    assert copied_regions(np.tile(tile, (20, 25, 1))) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (20, 20)])
def test_small_and_flat_pictures_have_no_copies(size: tuple[int, int]) -> None:
    assert copied_regions(textured()[: size[0], : size[1]]) == []
    assert copied_regions(np.full((*size, 3), 200, np.uint8)) == []


def encoded(pixels: Pixels, size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def test_a_thumbnail_is_compared_with_its_picture() -> None:
    pixels, other = textured(), textured(seed=9)
    alike = thumbnail_likeness(encoded(pixels, (160, 120)), pixels)
    apart = thumbnail_likeness(encoded(other, (160, 120)), pixels)
    assert alike is not None
    assert alike > 0.95
    assert apart is not None
    assert apart < 0.6
    turned = np.ascontiguousarray(np.rot90(pixels))
    assert thumbnail_likeness(encoded(pixels, (160, 120)), turned) == pytest.approx(alike, abs=0.02)


def test_bars_of_a_thumbnail_are_left_out() -> None:
    wide = textured(240, 426)
    small = np.zeros((120, 160, 3), np.uint8)
    small[15:105] = np.asarray(Image.fromarray(wide).resize((160, 90)))
    likeness = thumbnail_likeness(encoded(small, (160, 120)), wide)
    assert likeness is not None
    assert likeness > 0.95


@pytest.mark.parametrize("thumbnail", [b"no picture", b""])
def test_a_broken_thumbnail_is_not_compared(thumbnail: bytes) -> None:
    assert thumbnail_likeness(thumbnail, textured()) is None


@pytest.mark.parametrize("factor", [1.25, 1.5, 1.7])
def test_an_enlargement_is_found(factor: float) -> None:
    rng = np.random.default_rng(0)
    pixels = (textured(300, 400) + rng.normal(0, 6, (300, 400, 1))).clip(0, 255).astype(np.uint8)
    size = round(400 * factor), round(300 * factor)
    larger = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    assert enlargement(luma_of(larger)) == pytest.approx(factor, abs=0.03)
    assert enlargement(luma_of(pixels)) is None


def test_maps_show_where_noise_and_blur_are() -> None:
    pixels = textured(256, 256)
    noisy, blurred = pixels.copy(), pixels.copy()
    noise = np.random.default_rng(0).normal(0, 12, (64, 64, 1))
    noisy[64:128, 64:128] = (noisy[64:128, 64:128] + noise).clip(0, 255)
    blurred[64:128, 64:128] = np.asarray(
        Image.fromarray(blurred).resize((64, 64)).resize((256, 256))
    )[64:128, 64:128]
    inside, outside = np.s_[5:7, 5:7], np.s_[9:, 9:]
    for measure, changed, sign in (
        (noise_map, noisy, 1),
        (error_level_map, noisy, 1),
        (sharpness_map, blurred, -1),
    ):
        values = measure(changed)
        assert sign * values[inside].mean() > sign * 1.3**sign * values[outside].mean()


def test_a_map_in_strips_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = textured(500, 90)
    complete = in_strips(noise_map, pixels)
    monkeypatch.setattr("sida.provenance.measured.maps.STRIP", 64)
    assert np.array_equal(in_strips(noise_map, pixels), complete)
    assert unevenness(complete) is not None
    assert unevenness(complete[:1, :3]) is None


def test_each_measure_says_what_it_means_and_what_not() -> None:
    drawings: dict[str, Pixels] = {}
    result = measurements(None, Picture(textured()), None, drawings.__setitem__)
    names = [item.name for item in result]
    assert set(names) < set(MEASURES)
    assert [name for name in MEASURES if name in names] == names
    assert all(item.meaning and item.limits and item.source for item in result)
    assert set(drawings) == set(MAPS)
    assert {picture.shape for picture in drawings.values()} == {(360, 480, 3)}


@pytest.mark.parametrize("size", [(1, 1), (15, 40), (17, 16)])
def test_any_size_can_be_measured(size: tuple[int, int]) -> None:
    drawings: dict[str, Pixels] = {}
    measurements(None, Picture(textured()[: size[0], : size[1]]), None, drawings.__setitem__)
    assert all(picture.shape == (*size, 3) for picture in drawings.values())
