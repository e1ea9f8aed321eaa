"""Post-processing: picture and mask stay together, a seed decides all, every step can be told."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sida.errors import ConfigError
from sida.image import perturbation
from sida.image.perturbation import PERTURBATIONS, PLATFORMS, STEPS, Step, apply, perturb

HEIGHT, WIDTH = 60, 84


def photo(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    colours = np.stack([x * 2, y * 3, 255 - x - y], axis=2)
    return colours.clip(0, 255).astype(np.uint8)


def square(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return mask


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_every_perturbation_keeps_the_mask_on_the_picture(name: str) -> None:
    pixels, mask = perturb(name, photo(), square(), seed=3)
    assert pixels.dtype == np.uint8
    assert mask is not None
    assert mask.shape == pixels.shape[:2]
    assert mask.dtype == bool
    again, mask_again = perturb(name, photo(), square(), seed=3)
    assert np.array_equal(again, pixels)
    assert np.array_equal(mask_again, mask)  # type: ignore[arg-type]
    assert np.array_equal(perturb(name, photo(), None, seed=3)[0], pixels)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2)])
def test_every_perturbation_takes_any_size(name: str, size: tuple[int, int]) -> None:
    pixels, mask = perturb(name, photo(*size), square(*size), seed=0)
    assert mask is not None
    assert mask.shape == pixels.shape[:2]


@pytest.mark.parametrize(
    "name", ["jpeg", "jpeg_", "jpeg_0", "jpeg_101", "resize_-1", "crop_nan", "blur_inf", "swirl_3"]
)
def test_an_unknown_perturbation_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"no perturbation '{name}': expected one such as jpeg"):
        perturb(name, photo(), None, seed=0)


def test_an_unknown_step_is_refused() -> None:
    with pytest.raises(ConfigError, match="no post-processing step 'swirl': expected one of resi"):
        apply(photo(), None, [Step("swirl")])
    with pytest.raises(ConfigError, match="no platform 'telex': expected one of messenger"):
        perturbation.platform_chain("telex", 0)


def test_what_was_given_stays_as_it_was() -> None:
    pixels, mask = photo(), square()
    for name in PERTURBATIONS:
        perturb(name, pixels, mask, seed=1)
    assert np.array_equal(pixels, photo())
    assert np.array_equal(mask, square())


@pytest.mark.parametrize("scale", [0.5, 0.75])
def test_resizing_moves_the_mask_with_the_picture(scale: float) -> None:
    altered = np.where(square()[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    pixels, mask = perturb(f"resize_{scale}", altered, square(), seed=0)
    assert pixels.shape[:2] == (HEIGHT * scale, WIDTH * scale)
    assert mask is not None
    assert ((pixels[..., 0] > 127) == mask).mean() > 0.98  # ties


def test_a_crop_keeps_what_lay_together_together() -> None:
    altered = np.where(square()[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    pixels, mask = perturb("crop_0.5", altered, square(), seed=5)
    assert pixels.shape[:2] == (HEIGHT // 2, WIDTH // 2)
    assert np.array_equal(pixels[..., 0] > 127, mask)  # type: ignore[arg-type]


def test_noise_has_the_variance_of_its_name() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    for variance in (5, 10):
        noisy, _ = perturb(f"noise_{variance}", grey, None, seed=0)
        assert noisy.astype(float).var() == pytest.approx(variance + 1 / 12, rel=0.05)


def test_lower_quality_loses_more() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    losses = [
        np.abs(perturb(name, pixels, None, 0)[0].astype(int) - pixels).mean()
        for name in ("jpeg_90", "jpeg_80", "jpeg_70", "jpeg_50")
    ]
    assert losses == sorted(losses)
    assert losses[0] < losses[-1]


@pytest.mark.parametrize("name", PLATFORMS)
def test_a_platform_makes_large_pictures_smaller_and_leaves_small_ones(name: str) -> None:
    limit = PLATFORMS[name].long_side
    large, _ = perturb(name, photo(40, limit + 200), None, seed=0)
    small, _ = perturb(name, photo(), None, seed=0)
    assert large.shape[1] == limit
    assert small.shape == (HEIGHT, WIDTH, 3)


def test_bars_of_a_screenshot_are_not_altered_area() -> None:
    step = Step("screenshot", {"scale": 1.0, "bar": 0.1, "shade": 24})
    pixels, mask = apply(photo(), ~square() | True, [step])
    assert mask is not None
    assert pixels.shape[:2] == mask.shape == (HEIGHT + 12, WIDTH)
    assert not mask[:6].any()
    assert not mask[-6:].any()
    assert mask[6:-6].all()
    assert (pixels[:6] == 24).all()


@given(st.integers(0, 2**32), st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_steps_can_be_written_down_and_done_again(seed: int, height: int, width: int) -> None:
    pixels, mask = photo(height, width), square(height, width)
    steps = perturbation.random_steps(np.random.default_rng(seed))
    assert steps
    assert {step.name for step in steps} <= STEPS.keys()
    written = json.dumps([[step.name, dict(step.parameters)] for step in steps])
    read = [Step(name, parameters) for name, parameters in json.loads(written)]
    changed, moved = apply(pixels, mask, read)
    direct, _ = perturbation.random_chain(pixels, mask, np.random.default_rng(seed))
    assert np.array_equal(changed, direct)
    assert moved is not None
    assert moved.shape == changed.shape[:2]


def test_random_steps_vary() -> None:
    chains = [perturbation.random_steps(np.random.default_rng(seed)) for seed in range(300)]
    assert {step.name for chain in chains for step in chain} >= STEPS.keys() - {"crop"}
    assert len({" ".join(map(str, chain)) for chain in chains}) > 250


@pytest.mark.parametrize("format", ["jpeg_80", "webp_80"])
def test_sides_that_a_format_cannot_hold_are_made_smaller(format: str) -> None:
    pixels, _ = perturb(format, np.zeros((1, 70_000, 3), np.uint8), None, seed=0)
    assert pixels.shape[1] in (65_500, 16_383)
