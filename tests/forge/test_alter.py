"""Alterations: the mask is what changed, the same state of the generator gives the same ones."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sida.forge import config
from sida.forge.alter import alter
from sida.forge.operations import OPERATIONS
from sida.forge.redeliver import redeliver_pair

from .conftest import MeanCodec, photo

NAMES = [name for name, operation in OPERATIONS.items() if operation.weight]
DONORS = [photo(90, 100, 90), photo(91, 200, 240)]


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000), height=st.integers(64, 130), width=st.integers(64, 150))
@settings(max_examples=8, deadline=None)
def test_the_mask_is_what_changed(name: str, seed: int, height: int, width: int) -> None:
    pixels = photo(seed % 7, height, width)
    untouched = pixels.copy()
    alteration = alter(
        pixels, np.random.default_rng(seed), DONORS, codecs=[MeanCodec()], operations=[name]
    )
    assert np.array_equal(pixels, untouched)
    assert np.array_equal(alteration.original, untouched)
    assert alteration.mask.shape == (height, width)
    assert alteration.mask.dtype == bool
    changed = (alteration.pixels != alteration.original).any(axis=2)
    assert not changed[~alteration.mask].any()
    if alteration.mask.any():
        assert set(alteration.operations) == {name}
        assert changed[alteration.mask].mean() > 0.5
    else:
        assert alteration.operations == ()


def test_a_configuration_can_name_every_operation() -> None:
    names = set(get_args(config.OperationName))
    assert names - set(OPERATIONS) == {"inpaint_paste", "inpaint_whole"}
    assert set(OPERATIONS) <= names


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_shows(name: str) -> None:
    areas = [
        alter(
            photo(seed), np.random.default_rng(seed), DONORS, codecs=[MeanCodec()],
            operations=[name],
        ).mask.mean()
        for seed in range(5)
    ]  # fmt: skip
    assert sum(area > 0.002 for area in areas) >= 4


def test_the_same_generator_gives_the_same_alteration() -> None:
    first, second, other = (
        alter(photo(1), np.random.default_rng([3, seed]), DONORS) for seed in (4, 4, 5)
    )
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.mask, second.mask)
    assert first.operations == second.operations
    assert not np.array_equal(first.pixels, other.pixels)


def test_operations_come_as_often_as_they_weigh_and_up_to_three_at_once() -> None:
    alteration = [
        alter(photo(seed % 4, 64, 64), np.random.default_rng(seed), DONORS) for seed in range(80)
    ]
    counts = [len(item.operations) for item in alteration]
    assert set(counts) == {1, 2, 3}
    names = {name for item in alteration for name in item.operations}
    assert not any(OPERATIONS[name].needs_codec for name in names)
    assert len(names) > 12


def test_a_network_fills_almost_half_of_the_regions_where_there_is_one() -> None:
    weights = {name: operation.weight for name, operation in OPERATIONS.items()}
    assert 0.43 < weights["regenerate_filled"] / sum(weights.values()) < 0.47


def test_a_blank_picture_may_stay_as_it_is() -> None:
    blank = np.full((80, 80, 3), 255, np.uint8)
    alteration = alter(blank, np.random.default_rng(0), DONORS, operations=["copy_move"])
    assert alteration.operations == ()
    assert not alteration.mask.any()
    assert np.array_equal(alteration.pixels, blank)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_redelivered_pair_differs_in_the_alteration_alone(seed: int) -> None:
    """A JPEG coder spreads a difference over its blocks, a filter by its radius, no further."""
    original = photo(seed % 5, 160, 160)
    mask = np.zeros((160, 160), bool)
    mask[40:90, 50:110] = True
    altered = np.where(mask[..., None], 255 - original, original)
    first, second, moved = redeliver_pair(altered, original, mask, np.random.default_rng(seed))
    assert first.shape == second.shape == (*moved.shape, 3)
    difference = np.abs(first.astype(int) - second).mean(axis=2)
    assert difference[moved].mean() > 10 * difference[~moved].mean()
    again = redeliver_pair(original, original, mask, np.random.default_rng(seed))
    assert np.array_equal(again[0], again[1])
    assert np.array_equal(again[0], second)
