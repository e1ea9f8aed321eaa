"""Connected regions against a plain flood fill."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from sida.image import components as module
from sida.image.components import components

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.booleans())


def flood(mask: NDArray[np.bool_]) -> list[set[tuple[int, int]]]:
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    result = []
    while left:
        stack, region = [min(left)], set()
        while stack:
            y, x = stack.pop()
            if (y, x) in left:
                left.remove((y, x))
                region.add((y, x))
                stack += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        result.append(region)
    return sorted(result, key=lambda region: (-len(region), min(region)))


@given(masks)
def test_components_are_those_of_a_flood_fill(mask: NDArray[np.bool_]) -> None:
    values = np.arange(mask.size, dtype=np.float32).reshape(mask.shape)
    regions = components(mask, values)
    expected = flood(mask)
    assert [item.pixels for item in regions] == [len(region) for region in expected]
    for item, region in zip(regions, expected, strict=True):
        rows, columns = zip(*region, strict=True)
        assert item.box == (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
        assert np.isclose(item.mean, np.mean([values[point] for point in region]))


def test_without_values_every_mean_is_one() -> None:
    assert components(np.ones((3, 5), bool))[0].mean == 1


def test_noise_is_reduced_and_its_boxes_stay_inside(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "_MOST_RUNS", 50)
    mask = np.random.default_rng(1).random((101, 67)) < 0.5
    regions = components(mask, mask.astype(np.float32), at_most=3)
    assert len(regions) <= 3
    for item in regions:
        left, top, right, bottom = item.box
        assert 0 <= left < right <= 67
        assert 0 <= top < bottom <= 101
