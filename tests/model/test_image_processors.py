"""Preprocessing is the published one, bit for bit."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sida.image.read import read_picture
from sida.model.config import SidaConfig
from sida.model.image_processors import NativeImageProcessor, clip_size, sam_size
from sida.model.presets import sida_7b, tiny
from sida.model.processor import SidaProcessor


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def published() -> SidaProcessor:
    return SidaProcessor(sida_7b(), tokenizer=None)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def recorded(shared: Path) -> dict[str, dict[str, str]]:
    recorded = json.loads((shared / "oracle/preprocess/preprocess.json").read_text())
    return {name: value for name, value in recorded.items() if not name.startswith("_")}


def test_every_recorded_picture_is_prepared_exactly(shared, recorded, published):
    assert len(recorded) == 11
    for name, expected in recorded.items():
        picture = read_picture(shared / "oracle/preprocess/pictures" / name)
        inputs, (frame,) = published([picture])
        assert sha256(picture.pixels) == expected["decoded_rgb_sha256"], name
        clip, sam = inputs.vision.pixels[0].numpy(), inputs.mask.pixels[0].numpy()
        assert sha256(clip) == expected["clip_pixel_values_float32_sha256"], name
        assert sha256(sam) == expected["sam_float32_sha256"], name
        assert list(frame.windows[0].size) == expected["sam_resized_hw"], name


def test_sizes_follow_the_recorded_geometry(shared):
    cases = json.loads((shared / "oracle/preprocess/geometry.json").read_text())
    assert len(cases) == 60
    for case in cases:
        height, width = case["hw"]
        if height not in (1, 3):  # the old processor takes such an array for channels-first
            assert list(clip_size(height, width, 224)) == case["clip"], case
        assert list(sam_size(height, width, 1024)) == case["sam"], case


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_native_windows_cover_every_pixel_within_the_cap(height, width):
    processor = NativeImageProcessor(tiny())
    windows = [window.window for window in processor.vision(np.zeros((height, width, 3), np.uint8))]
    assert 1 <= len(windows) <= processor.max_windows
    covered = np.zeros((height, width), bool)
    for window in windows:
        left, top, right, bottom = window.box
        covered[top:bottom, left:right] = True
        assert max(window.size) <= processor.side
        assert all(c >= s and c % 16 == 0 for c, s in zip(window.canvas, window.size, strict=True))
    assert covered.all()


def test_a_picture_that_fits_is_seen_at_its_own_resolution():
    (window,) = NativeImageProcessor(tiny()).vision(np.full((120, 100, 3), 255, np.uint8))
    assert window.pixels.shape == (3, 120, 100)
    assert window.pixels.max() == window.pixels.min() == 1.0


def test_a_long_strip_costs_no_gigabytes(published):
    inputs, (frame,) = published([np.zeros((1, 50_000, 3), np.uint8)])
    assert inputs.vision.pixels.shape == (1, 3, 224, 224)
    assert (frame.height, frame.width) == (1, 50_000)
    assert frame.windows[0].size == (1, 1024)
    assert inputs.mask.pixels.shape == (1, 3, 1024, 1024)


@pytest.mark.parametrize("length", [400, 401])
@pytest.mark.parametrize("turned", [False, True])
def test_the_middle_of_a_strip_is_what_all_of_it_would_show(published, monkeypatch, turned, length):
    pixels = np.random.default_rng(0).integers(0, 256, (4, length, 3), np.uint8)
    pixels = pixels.swapaxes(0, 1) if turned else pixels
    (full,) = published.image_processor.vision(pixels)
    monkeypatch.setattr("sida.model.image_processors.LONGEST_STRIP", 20)
    (middle,) = published.image_processor.vision(pixels)
    np.testing.assert_allclose(middle.pixels, full.pixels, rtol=0, atol=0.02)  # one grey level
    assert np.abs(np.subtract(full.window.box, middle.window.box)).max() <= 1


def test_three_rows_are_not_channels(published):
    pixels = np.zeros((3, 90, 3), np.uint8)
    pixels[..., 0] = 255
    (window,) = published.image_processor.vision(pixels)
    red, green, blue = window.pixels
    assert red.min() == red.max() == pytest.approx((1 - 0.48145466) / 0.26862954, abs=1e-5)
    assert green.max() < 0
    assert blue.max() < 0


def test_configurations_decide_the_windows():
    assert isinstance(SidaProcessor(tiny(), None).image_processor, NativeImageProcessor)  # type: ignore[arg-type]
    assert not isinstance(SidaProcessor(SidaConfig(), None).image_processor, NativeImageProcessor)  # type: ignore[arg-type]
