"""Tampering: what the mask leaves out stays as it was; what it marks is altered."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sida.forge import tamper
from sida.forge.regions import TargetRegion, draw_region
from sida.forge.tamper import Mask, Tampered

from .conftest import MeanCodec, Pixels, photo

Tampering = Callable[[Pixels, TargetRegion, np.random.Generator], Tampered]


class RedPainter:
    """Paints red, and shifts all pixels a little, as a decoder does."""

    name = "red"

    def __call__(self, pixels: Pixels, mask: Mask, prompt: str, seed: int) -> Pixels:
        red = np.array([255, 0, 0], np.uint8)
        return np.where(mask[..., None], red, np.clip(pixels, 3, 250)).astype(np.uint8)


def spliced(blending: str) -> Tampering:
    return lambda pixels, region, rng: tamper.splice(
        pixels, region, photo(99, *pixels.shape[:2]), blending, rng
    )


def regenerated(variant: str) -> Tampering:
    return lambda pixels, region, rng: tamper.regenerate(
        pixels, region, MeanCodec(), lambda: photo(99, *pixels.shape[:2]), variant, rng
    )


def refilled(pixels: Pixels, region: TargetRegion, rng: np.random.Generator) -> Tampered:
    return tamper.regenerate_filled(
        pixels, region, [MeanCodec()], lambda: photo(99, *pixels.shape[:2]), rng
    )


def inpainted(variant: str) -> Tampering:
    return lambda pixels, region, rng: tamper.inpaint(
        pixels, region, RedPainter(), "a red thing", variant, 0
    )


PASTED: dict[str, Tampering] = {
    "splice": spliced("plain"),
    "splice_alpha": spliced("alpha"),
    "splice_poisson": spliced("poisson"),
    "copy_move": tamper.copy_move,
    "remove_telea": lambda p, r, rng: tamper.remove(p, r, "telea", rng),
    "remove_ns": lambda p, r, rng: tamper.remove(p, r, "ns", rng),
    "regenerate_paste": regenerated("paste"),
    "regenerate_filled": refilled,
    "inpaint_paste": inpainted("paste"),
}
DECODED = {"regenerate_whole": regenerated("whole"), "inpaint_whole": inpainted("whole")}


@pytest.mark.parametrize("name", PASTED)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_outside_the_mask_nothing_changes(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = photo(seed % 5, 90, 110)
    region = draw_region(pixels, rng, {"shape": 1, "superpixels": 1}, (0.01, 0.4))
    given_pixels = pixels.copy()
    tampered = PASTED[name](pixels, region, rng)
    assert tampered.operation == name
    assert tampered.pixels.shape == pixels.shape
    assert tampered.pixels.dtype == np.uint8
    assert np.array_equal(tampered.pixels[~tampered.mask], pixels[~tampered.mask])
    assert np.array_equal(pixels, given_pixels)


@pytest.mark.parametrize("name", [*PASTED, *DECODED])
def test_inside_the_mask_something_changes_and_is_told(name: str) -> None:
    pixels = photo(3)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[30:80, 40:100] = True
    visible = 0
    for seed in range(6):
        region = TargetRegion(mask, "object", {}, "dog")
        tampered = {**PASTED, **DECODED}[name](pixels, region, np.random.default_rng(seed))
        visible += tampered.is_visible(pixels)
        assert "dog" in (tampered.content or "")
        assert "." not in (tampered.content or "")  # it would end the sentence it is put into
    assert visible >= 5


@pytest.mark.parametrize("name", DECODED)
def test_in_the_whole_variants_all_pixels_come_out_of_the_decoder(name: str) -> None:
    pixels = photo(3)
    region = draw_region(pixels, np.random.default_rng(0), {"shape": 1}, (0.05, 0.1))
    tampered = DECODED[name](pixels, region, np.random.default_rng(1))
    assert (tampered.pixels[~tampered.mask] != pixels[~tampered.mask]).any()
    assert tampered.operation == name


def test_poisson_blending_of_a_picture_with_itself_changes_nothing_much() -> None:
    pixels = photo(2)
    region = draw_region(pixels, np.random.default_rng(4), {"shape": 1}, (0.05, 0.2))
    tampered = tamper.splice(pixels, region, pixels, "poisson", np.random.default_rng(0))
    assert np.abs(tampered.pixels.astype(int) - pixels).max() <= 6
    assert not tampered.is_visible(pixels)


@pytest.mark.parametrize("corner", [(0, 0), (78, 110)])
def test_poisson_blending_reaches_the_border(corner: tuple[int, int]) -> None:
    pixels = photo(2)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[corner[0] : corner[0] + 50, corner[1] : corner[1] + 50] = True
    tampered = tamper.splice(
        pixels, TargetRegion(mask, "shape"), photo(6), "poisson", np.random.default_rng(0)
    )
    assert tampered.is_visible(pixels)


def test_alpha_fades_in_from_the_border_of_the_region() -> None:
    pixels, donor = np.zeros((60, 60, 3), np.uint8), np.full((60, 60, 3), 240, np.uint8)
    mask = np.zeros((60, 60), bool)
    mask[10:50, 10:50] = True
    for seed in range(20):
        tampered = tamper.splice(
            pixels, TargetRegion(mask, "shape"), donor, "alpha", np.random.default_rng(seed)
        )
        if not tampered.parameters["colour_matching"]:
            break
    row = tampered.pixels[30, 10:30, 0].astype(int)
    assert 0 < row[0] < 120
    assert (np.diff(row) >= 0).all()
    assert row[-1] == 240


def test_a_copy_comes_from_the_picture_and_lies_elsewhere() -> None:
    pixels = photo(1)
    mask = np.zeros(pixels.shape[:2], bool)
    mask[20:50, 20:60] = True
    overlaps = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        tampered = tamper.copy_move(pixels, TargetRegion(mask, "shape"), rng)
        overlaps.append((tampered.mask & mask).sum() / mask.sum())
        parameters = tampered.parameters
        plain = {"angle": 0, "scale": 1, "mirrored": False, "feather": 0, "retouch": "none"}
        if plain.items() <= parameters.items():
            right, down = round(parameters["matrix"][2]), round(parameters["matrix"][5])
            inner = mask[22:48, 22:58]
            assert inner.all()
            copied = tampered.pixels[22 + down : 48 + down, 22 + right : 58 + right]
            assert np.abs(copied.astype(int) - pixels[22:48, 22:58]).mean() < 8  # a part of a pixel
    assert np.mean(overlaps) < 0.1


def test_colours_are_matched_to_the_surroundings() -> None:
    pixels = np.full((80, 80, 3), (60, 90, 120), np.uint8)
    mask = np.zeros((80, 80), bool)
    mask[20:60, 20:60] = True
    donor = photo(4, 80, 80)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        tampered = tamper.splice(pixels, TargetRegion(mask, "shape"), donor, "plain", rng)
        means = tampered.pixels[mask].mean(axis=0)
        if tampered.parameters["colour_matching"]:
            assert np.abs(means - (60, 90, 120)).max() < 12
        else:
            assert np.abs(means - donor[mask].mean(axis=0)).max() < 1


def test_latents_outside_the_region_are_kept() -> None:
    pixels, mask = photo(0), np.zeros((128, 160), bool)
    mask[40:80, 60:100] = True
    for seed in range(8):
        tampered = tamper.regenerate(
            pixels, TargetRegion(mask, "shape"), MeanCodec(), lambda: photo(5), "whole",
            np.random.default_rng(seed),
        )  # fmt: skip
        assert tampered.unaltered is not None
        assert np.array_equal(tampered.pixels[~mask], tampered.unaltered[~mask])
        assert tampered.parameters["change"] in ("noise", "swap", "smooth")


def test_a_region_smaller_than_a_latent_still_changes_one() -> None:
    pixels, mask = photo(0), np.zeros((128, 160), bool)
    mask[41:43, 61:63] = True
    tampered = tamper.regenerate(
        pixels, TargetRegion(mask, "shape"), MeanCodec(), lambda: 255 - pixels, "whole",
        np.random.default_rng(1),
    )  # fmt: skip
    assert (tampered.pixels != tampered.unaltered).any()


def test_a_detailed_region_leaves_the_rest_of_the_photograph() -> None:
    pixels, mask = photo(0), np.zeros((128, 160), bool)
    mask[40:80, 60:100] = True
    plain, detailed = (
        tamper.regenerate(
            pixels, TargetRegion(mask, "shape"), MeanCodec(), lambda: photo(5), "paste",
            np.random.default_rng(3), detail,
        )
        for detail in (False, True)
    )  # fmt: skip
    assert np.array_equal(detailed.pixels[~mask], pixels[~mask])
    assert (detailed.pixels[mask] != plain.pixels[mask]).any()
    assert detailed.parameters["detailed"]


class LimitedCodec(MeanCodec):
    """Quick enough up to a side; counts what it is given."""

    def __init__(self, name: str, largest_side: int | None, takes_noise: bool = False) -> None:
        self.name, self.largest_side, self.takes_noise = name, largest_side, takes_noise
        self.sizes: list[tuple[int, ...]] = []

    def encode(self, pixels: Pixels) -> NDArray[np.float32]:
        self.sizes.append(pixels.shape[:2])
        return super().encode(pixels)


def test_a_codec_is_drawn_of_those_that_are_quick_enough() -> None:
    codecs = [LimitedCodec("slow", 40), LimitedCodec("quick", 80), LimitedCodec("any", None)]
    for side, names in (
        (40, {"slow", "quick", "any"}),
        (41, {"quick", "any"}),
        (81, {"any"}),
    ):
        draws = [tamper.draw_codec(codecs, side, np.random.default_rng(i)) for i in range(30)]
        assert {codec.name for codec in draws} == names
    assert tamper.draw_codec(codecs[:2], 500, np.random.default_rng(0)).name == "quick"


def test_a_filled_region_is_decoded_in_its_box_alone() -> None:
    pixels, mask = photo(0), np.zeros((128, 160), bool)
    mask[50:70, 60:80] = True
    fillings, growths = set(), set()
    for seed in range(40):
        codec = LimitedCodec("x", None)
        tampered = tamper.regenerate_filled(
            pixels, TargetRegion(mask, "shape"), [codec], lambda: photo(5),
            np.random.default_rng(seed),
        )  # fmt: skip
        parameters = tampered.parameters
        growth, margin = parameters["growth"], parameters["margin"]
        fillings.add(parameters["filling"])
        growths.add(growth)
        assert tampered.mask.sum() == (20 + 2 * growth) ** 2
        assert (tampered.mask & mask).sum() == mask.sum()
        top, bottom = max(0, 50 - growth - margin), min(128, 70 + growth + margin)
        left, right = max(0, 60 - growth - margin), min(160, 80 + growth + margin)
        assert codec.sizes == [(bottom - top, right - left)]
        if parameters["filling"] == "none" and not parameters["feather"]:
            part = np.ascontiguousarray(pixels[top:bottom, left:right])
            decoded = codec.decode(codec.encode(part), *part.shape[:2])
            inside = tampered.mask[top:bottom, left:right]
            assert np.array_equal(tampered.pixels[top:bottom, left:right][inside], decoded[inside])
    assert fillings == {"patches", "telea", "photograph", "none"}
    assert growths == set(range(8))


def test_noise_is_for_latents_that_are_no_picture() -> None:
    pixels, mask = photo(0), np.zeros((128, 160), bool)
    mask[40:80, 60:100] = True
    changes: dict[bool, set[str]] = {True: set(), False: set()}
    for takes_noise, names in changes.items():
        codec = LimitedCodec("x", None, takes_noise)
        for seed in range(30):
            tampered = tamper.regenerate(
                pixels, TargetRegion(mask, "shape"), codec, lambda: photo(5), "paste",
                np.random.default_rng(seed),
            )  # fmt: skip
            names.add(tampered.parameters["change"])
    assert changes == {True: {"none", "noise", "swap", "smooth"}, False: {"none", "swap", "smooth"}}
