"""The noise floor and the mask above it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sida.pairs.changes import altered, detail, noise_floor
from sida.pairs.lab import lab
from tests.pairs.pictures import jpeg, overlap, scene, with_blot

SIZE = (60, 80)
EVERYWHERE = np.ones(SIZE, bool)
LEVELS = arrays(np.float32, SIZE, elements=st.floats(0, 100, width=32))


def test_a_region_is_marked_to_the_pixel() -> None:
    original = scene()
    edited, truth = with_blot(original)
    mask = altered(lab(jpeg(edited, 80)), lab(original), np.ones(truth.shape, bool))
    assert overlap(mask, truth) > 0.95


def test_a_change_of_tone_alone_is_marked() -> None:
    original = scene()
    truth = np.zeros(original.shape[:2], bool)
    truth[60:150, 100:220] = True
    edited = np.where(truth[..., None], original * 0.85, original).astype(np.uint8)
    mask = altered(lab(jpeg(edited, 80)), lab(original), np.ones(truth.shape, bool))
    assert overlap(mask, truth) > 0.85


def test_a_new_sky_is_marked_though_it_is_most_of_what_is_smooth() -> None:
    original = scene()
    original[:110] = np.linspace(150, 190, 110)[:, None, None].astype(np.uint8)
    edited = original.copy()
    edited[:100] = np.array([90, 60, 120], np.uint8)
    mask = altered(lab(jpeg(edited, 85)), lab(original), np.ones(edited.shape[:2], bool))
    truth = np.zeros(mask.shape, bool)
    truth[:100] = True
    assert overlap(mask, truth) > 0.95


def test_recoding_marks_nothing() -> None:
    original = scene()
    for quality in (50, 70, 90):
        assert not altered(
            lab(jpeg(original, quality)), lab(original), np.ones(original.shape[:2], bool)
        ).any()


def test_what_is_not_covered_is_not_marked() -> None:
    original = scene()
    valid = np.ones(original.shape[:2], bool)
    valid[:, :80] = False
    edited = original.copy()
    edited[:, :80] = 0
    assert not altered(lab(edited), lab(original), valid).any()


def test_a_region_goes_on_to_the_border_and_has_no_holes() -> None:
    original = scene()
    edited = original.copy()
    edited[100:, 150:] = scene(seed=4)[100:, 150:]
    edited[150:170, 200:220] = original[150:170, 200:220]
    mask = altered(lab(edited), lab(original), np.ones(edited.shape[:2], bool))
    assert mask[-1, -1]
    assert mask[105:235, 155:315].all()


@settings(max_examples=30)
@given(LEVELS, LEVELS)
def test_the_floor_does_not_fall_with_detail_nor_rise_faster_than_the_slope(
    difference: np.ndarray, amount: np.ndarray
) -> None:
    floor = noise_floor(difference, amount, EVERYWHERE, 0.5)
    assert floor.shape == SIZE
    assert np.isfinite(floor).all()
    order = np.argsort(amount.ravel(), kind="stable")
    steps, rises = np.diff(floor.ravel()[order]), np.diff(amount.ravel()[order])
    assert (steps >= -1e-3).all()
    assert (steps <= 0.5 * rises + 1e-2).all()  # float32 of differences up to 255


def test_the_floor_of_even_noise_is_its_level() -> None:
    rng = np.random.default_rng(0)
    difference = rng.uniform(0.5, 1.5, SIZE).astype(np.float32)
    amount = rng.uniform(0, 9, SIZE).astype(np.float32)
    floor = noise_floor(difference, amount, EVERYWHERE, 0.5)
    assert abs(floor - 1).max() < 0.25


def test_detail_is_the_deviation_of_lightness() -> None:
    levels = np.zeros((50, 50, 3), np.float32)
    levels[::2, ::2, 0] = levels[1::2, 1::2, 0] = 10
    assert np.allclose(detail(levels)[10:-10, 10:-10], 5, atol=0.05)
