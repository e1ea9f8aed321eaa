"""Where regions lie, in words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from sida.image.geometry import POSITIONS, area, bounding_box, position, position_of


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 1, 1), "upper left"),
        ((40, 40, 60, 60), "middle centre"),
        ((90, 0, 100, 100), "middle right"),
        ((0, 99, 100, 100), "lower centre"),
        ((99, 99, 100, 100), "lower right"),
    ],
)
def test_position_of_a_box(box: tuple[int, int, int, int], expected: str) -> None:
    assert position_of(box, 100, 100) == expected


def test_position_and_area_of_a_mask() -> None:
    mask = np.zeros((60, 90), bool)
    mask[45:60, 60:90] = True
    mask[0, 0] = True
    assert position(mask) == "lower right"  # the largest region, not the middle of all
    assert area(mask) == pytest.approx(451 / 5400)
    assert bounding_box(mask) == (0, 0, 90, 60)


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1)))
def test_any_mask(mask: NDArray[np.bool_]) -> None:
    box = bounding_box(mask)
    assert 0 <= area(mask) <= 1
    if not mask.any():
        assert (box, position(mask), area(mask)) == (None, None, 0)
        return
    assert box is not None
    assert position(mask) in POSITIONS
    left, top, right, bottom = box
    assert mask[top:bottom, left:right].sum() == mask.sum()
    assert mask[top, left:right].any()
    assert mask[bottom - 1, left:right].any()
