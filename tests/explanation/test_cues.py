"""Cues: known differences are found, equal parts are equal, and no size is a problem."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sida.explanation.cues import CUES, Cue, measure

SIZE = 192
MASK = np.zeros((SIZE, SIZE), bool)
MASK[60:130, 50:140] = True


def scene(seed: int = 0, noise: float = 4.0) -> NDArray[np.float64]:
    """Smooth structure with noise, mid grey, (SIZE, SIZE, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(0, 1, (32, 32)).repeat(6, 0).repeat(6, 1)
    smooth = np.real(np.fft.ifft2(np.fft.fft2(coarse) * np.fft.fft2(_bell())))
    return 128 + 5 * smooth[..., None] + rng.normal(0, noise, (SIZE, SIZE, 1))


def _bell() -> NDArray[np.float64]:
    y, x = np.mgrid[-8:8, -8:8]
    bell = np.zeros((SIZE, SIZE))
    bell[:16, :16] = np.exp(-(x**2 + y**2) / 18)
    return bell / bell.sum() * 8


def picture(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.broadcast_to(values, (SIZE, SIZE, 3)).clip(0, 255).round().astype(np.uint8)


def directions(pixels: NDArray[np.uint8], mask: NDArray[np.bool_] = MASK) -> dict[str, str]:
    return {cue.name: cue.direction for cue in measure(pixels, mask)}


def test_nothing_stands_out_in_an_even_picture() -> None:
    assert directions(picture(scene())) == dict.fromkeys(CUES, "same")


def test_all_cues_come_in_their_order_with_their_units() -> None:
    cues = measure(picture(scene()), MASK)
    assert [(cue.name, cue.unit) for cue in cues] == [(n, k.unit) for n, k in CUES.items()]


@pytest.mark.parametrize(("noise", "direction"), [(1.0, "lower"), (12.0, "higher")])
def test_noise(noise: float, direction: str) -> None:
    values = np.where(MASK[..., None], scene(noise=noise), scene())
    assert directions(picture(values))["noise"] == direction


def test_noise_is_measured_in_levels() -> None:
    (noise,) = (cue for cue in measure(picture(scene(noise=6)), MASK) if cue.name == "noise")
    assert noise.inside == pytest.approx(6, rel=0.1)
    assert noise.outside == pytest.approx(6, rel=0.1)


def test_blur_lowers_sharpness() -> None:
    sharp = picture(scene())
    blurred = np.array(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(1.5)))
    result = directions(np.where(MASK[..., None], blurred, sharp))
    assert (result["sharpness"], result["noise"]) == ("lower", "lower")


@pytest.mark.parametrize(
    ("change", "cue", "direction"),
    [
        ((30, 30, 30), "brightness", "brighter"),
        ((-30, -30, -30), "brightness", "darker"),
        ((12, 0, -12), "colour", "warmer"),
        ((-12, 0, 12), "colour", "cooler"),
        ((40, 40, 40), "edges", "harder"),
        ((30, 30, 30), "shadows", "lighter"),
        ((-30, -30, -30), "shadows", "deeper"),
    ],
)
def test_levels(change: tuple[int, ...], cue: str, direction: str) -> None:
    values = scene() + MASK[..., None] * np.array(change)
    assert directions(picture(values))[cue] == direction


@pytest.mark.parametrize("shift", [0, 3])
def test_block_traces(shift: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture(scene())).save(stream, "JPEG", quality=8)
    coded = np.roll(np.array(Image.open(stream)), shift, axis=(0, 1))
    result = directions(np.where(MASK[..., None], coded, picture(scene())))
    assert result["compression"] == "stronger"


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mask is \(3, 4\), expected the picture's \(4, 3\)"):
        measure(np.zeros((4, 3, 3), np.uint8), np.zeros((3, 4), bool))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (2, 2), (64, 64)])
@pytest.mark.parametrize("value", [True, False])
def test_no_region_or_no_surroundings_gives_nothing(size: tuple[int, int], value: bool) -> None:
    assert measure(np.zeros((*size, 3), np.uint8), np.full(size, value)) == ()


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(
        lambda size: st.tuples(arrays(np.uint8, (*size, 3)), arrays(np.bool_, size))
    )
)
@settings(max_examples=100, deadline=None)
def test_any_picture_with_any_mask(
    given_: tuple[NDArray[np.uint8], NDArray[np.bool_]],
) -> None:
    for cue in measure(*given_):
        assert np.isfinite([cue.inside, cue.outside]).all()
        assert cue.direction in (*CUES[cue.name].words, "same")


def test_turning_a_picture_hardly_changes_it() -> None:
    pixels = picture(np.where(MASK[..., None], scene(noise=9), scene()))
    upright, turned = measure(pixels, MASK), measure(np.rot90(pixels), np.rot90(MASK))
    for a, b in zip(upright, turned, strict=True):
        assert (a.name, a.direction) == (b.name, b.direction)


def test_a_direction_needs_a_quotient_and_a_step() -> None:
    assert Cue("noise", 0.2, 0.1, "levels").direction == "same"  # a tenth of a level is nothing
    assert Cue("noise", 5.5, 5.0, "levels").direction == "same"
    assert Cue("noise", 0.0, 5.0, "levels").direction == "lower"
