"""From windows back to the picture, and from masks to the windows."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from sida.model.frame import Frame, Window
from sida.model.image_processors import ClipSamImageProcessor, NativeImageProcessor
from sida.model.presets import sida_7b, tiny


def sam_frame(height: int, width: int) -> Frame:
    return Frame(height, width, tuple(ClipSamImageProcessor(sida_7b()).mask_window(height, width)))


def native_frame(height: int, width: int) -> Frame:
    windows = NativeImageProcessor(tiny()).vision(np.zeros((height, width, 3), np.uint8))
    return Frame(height, width, tuple(window.window for window in windows))


def test_one_window_is_restored_by_the_published_crop_and_resize():
    logits = torch.randn(1, 256, 256)
    big = F.interpolate(logits[None], (1024, 1024), mode="bilinear", align_corners=False)
    expected = F.interpolate(
        big[..., :682, :1024], (213, 320), mode="bilinear", align_corners=False
    )[0, 0]
    assert torch.equal(sam_frame(213, 320).restore(logits), expected)


def test_half_precision_logits_are_resized_in_float32():
    assert sam_frame(50, 70).restore(torch.randn(1, 256, 256).half()).dtype == torch.float32


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 1600), st.integers(1, 1600), st.booleans())
def test_a_constant_comes_back_constant_whatever_the_windows(height, width, published):
    frame = sam_frame(height, width) if published else native_frame(height, width)
    logits = torch.full((len(frame.windows), 64, 64), 3.25)
    restored = frame.restore(logits)
    assert restored.shape == (height, width)
    torch.testing.assert_close(restored, torch.full_like(restored, 3.25))


@pytest.mark.parametrize("size", [(700, 1300), (64, 90), (530, 300)])
def test_projecting_a_mask_and_restoring_it_gives_it_back(size):
    frame = native_frame(*size)
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 4 : size[0] // 2, size[1] // 3 : size[1] // 2] = 255
    projected = frame.project(mask)
    assert projected.shape == (len(frame.windows), *frame.windows[0].canvas)
    back = frame.restore(projected) > 0.5
    assert np.array_equal(back.numpy(), mask > 0)


def test_a_mask_of_another_size_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match=r"mask is \(10, 10\), the picture is \(20, 30\)"):
        native_frame(20, 30).project(np.zeros((10, 10), np.uint8))


def test_the_number_of_masks_must_be_the_number_of_windows():
    with pytest.raises(ValueError, match="2 masks for a frame of 1 windows"):
        sam_frame(10, 10).restore(torch.zeros(2, 8, 8))


def test_window_sizes_are_of_the_original():
    assert Window((3, 5, 13, 25), (20, 10), (32, 16)).box_size == (20, 10)
