"""Legitimate differences: of the picture's size, seen, and the same from the same generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sida.forge.decorate import DECORATIONS, decorate

from .conftest import photo


@pytest.mark.parametrize("name", DECORATIONS)
@given(seed=st.integers(0, 10_000), height=st.integers(64, 200), width=st.integers(64, 200))
@settings(max_examples=8, deadline=None)
def test_a_decoration_keeps_the_size_and_shows(
    name: str, seed: int, height: int, width: int
) -> None:
    pixels = photo(seed % 5, height, width)
    untouched = pixels.copy()
    first, again = (
        DECORATIONS[name].function(pixels, np.random.default_rng(seed)) for _ in range(2)
    )
    assert first.shape == pixels.shape
    assert first.dtype == np.uint8
    assert (first != pixels).any()
    assert np.array_equal(first, again)
    assert np.array_equal(pixels, untouched)


def test_all_decorations_come() -> None:
    names = {decorate(photo(0), np.random.default_rng(seed))[1] for seed in range(80)}
    assert names == set(DECORATIONS)
