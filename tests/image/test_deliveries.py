"""Deliveries keep what they should of a picture, and are the same each time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sida.image.deliveries import DELIVERIES, deliver, shrink


def photo(height: int, width: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(height * 10_000 + width)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((f"jpeg_{quality}", (100, 200)) for quality in (85, 70, 50)),
        *(("half_size", (50, 100)), ("cropped", (90, 180)), ("screenshot", (83, 150))),
    ],
)
def test_every_delivery(name: str, size: tuple[int, int]) -> None:
    pixels = photo(100, 200)
    delivered = deliver(pixels, name)
    assert delivered.shape == (*size, 3)
    assert not np.array_equal(delivered, photo(100, 200))
    assert np.array_equal(pixels, photo(100, 200))


def test_there_are_six_in_a_fixed_order() -> None:
    assert list(DELIVERIES) == [
        *("jpeg_85", "jpeg_70", "jpeg_50", "half_size", "cropped", "screenshot")
    ]
    assert len({delivery.title for delivery in DELIVERIES.values()}) == 6


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(list(DELIVERIES)))
@settings(max_examples=60, deadline=None)
def test_any_picture_has_every_delivery_and_always_the_same(
    height: int, width: int, name: str
) -> None:
    delivered = deliver(photo(height, width), name)
    assert delivered.dtype == np.uint8
    assert delivered.ndim == 3
    assert min(delivered.shape) >= 1
    assert max(delivered.shape[:2]) <= 1.12 * max(height, width)
    assert np.array_equal(delivered, deliver(photo(height, width), name))


@pytest.mark.parametrize("name", DELIVERIES)
def test_a_large_picture_is_made_smaller_first(name: str) -> None:
    large = np.zeros((3000, 1500, 3), np.uint8)
    large[::7, ::5] = 200
    delivered = deliver(large, name)
    assert max(delivered.shape[:2]) <= 1600
    assert shrink(large).shape == (1600, 800, 3)
    assert np.array_equal(delivered, deliver(shrink(large), name))
