"""Filling from patches: what surrounds a hole continues in it, and nothing else changes."""

import numpy as np

from sida.forge.patches import fill_from_patches

from .conftest import photo


def test_a_pattern_continues_in_the_hole() -> None:
    stripes = np.where(np.arange(64) // 4 % 2, 220, 40).astype(np.uint8)
    pixels = np.ascontiguousarray(np.broadcast_to(stripes[None, :, None], (64, 64, 3)))
    mask = np.zeros((64, 64), bool)
    mask[24:40, 24:40] = True
    damaged = np.where(mask[..., None], np.uint8(130), pixels)
    filled = fill_from_patches(damaged, mask, np.random.default_rng(0))
    assert np.array_equal(filled[~mask], pixels[~mask])
    assert set(np.unique(filled[mask])) <= {40, 220}  # diffusion from the border would mix them
    assert (filled[mask] == pixels[mask]).mean() > 0.8


def test_only_places_outside_the_hole_are_copied() -> None:
    pixels, mask = photo(3, 150, 200), np.zeros((150, 200), bool)
    mask[60:100, 0:90] = True
    pixels = pixels.clip(0, 200)
    pixels[mask] = 255
    filled = fill_from_patches(pixels, mask, np.random.default_rng(1))
    assert filled.max() <= 200


def test_a_picture_without_a_known_patch_is_filled_by_diffusion() -> None:
    pixels, mask = photo(3, 64, 64), np.ones((64, 64), bool)
    mask[:2] = False
    filled = fill_from_patches(pixels, mask, np.random.default_rng(1))
    assert np.array_equal(filled[:2], pixels[:2])


def test_an_empty_mask_leaves_all_as_it_is() -> None:
    pixels = photo(0)
    mask = np.zeros(pixels.shape[:2], bool)
    assert np.array_equal(fill_from_patches(pixels, mask, np.random.default_rng(0)), pixels)
