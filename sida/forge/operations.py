"""The table of operations that tamper with a region; `sida forge` and the trainer share it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sida.forge import tamper
from sida.forge.adjust import ADJUSTMENTS, adjust
from sida.forge.config import RegionMethod
from sida.forge.insert import replace_text, stick
from sida.forge.regions import TargetRegion
from sida.forge.tamper import Codec, Tampered
from sida.image.arrays import Pixels

__all__ = ["OPERATIONS", "Materials", "Operation"]


@dataclass(frozen=True)
class Materials:
    """Materials of an operation beside the picture and its region.

    Attributes:
        donor: gives another photograph, of the same size as the picture.
        codecs: autoencoders; without any, operations that need one cannot be drawn.
        match_detail: share of decoded pictures that go through `match_detail`.
    """

    donor: Callable[[], Pixels]
    codecs: Sequence[Codec] = ()
    match_detail: float = 0.0


@dataclass(frozen=True)
class Operation:
    """A way to alter a region.

    Attributes:
        weight: how often `alter` draws it, set against the others.
        regions: the kinds of regions that suit it, and how often each; None for any.
        of_donor: whether the region is one of the donor's.
        needs_codec: whether it needs an autoencoder.
        least: levels by which the region must differ on average to count as altered.
    """

    function: Callable[[Pixels, TargetRegion, Materials, np.random.Generator], Tampered]
    weight: float
    regions: Mapping[RegionMethod, float] | None = None
    of_donor: bool = False
    needs_codec: bool = False
    least: float = 2.0


_Function = Callable[[Pixels, TargetRegion, Materials, np.random.Generator], Tampered]


def _splice(blending: str) -> _Function:
    return lambda pixels, region, materials, rng: tamper.splice(
        pixels, region, materials.donor(), blending, rng
    )


def _remove(method: str) -> _Function:
    return lambda pixels, region, materials, rng: tamper.remove(pixels, region, method, rng)


def _adjust(name: str) -> _Function:
    return lambda pixels, region, materials, rng: adjust(pixels, region, name, rng)


def _regenerate(variant: str) -> _Function:
    return lambda pixels, region, materials, rng: tamper.regenerate(
        # Codec, then detail: arguments are drawn in the order in which they stand.
        pixels, region, tamper.draw_codec(materials.codecs, max(pixels.shape[:2]), rng),
        materials.donor, variant, rng, bool(rng.random() < materials.match_detail),
    )  # fmt: skip


def _regenerate_filled(
    pixels: Pixels, region: TargetRegion, materials: Materials, rng: np.random.Generator
) -> Tampered:
    return tamper.regenerate_filled(
        pixels, region, materials.codecs, materials.donor, rng,
        bool(rng.random() < materials.match_detail),
    )  # fmt: skip


_SHAPES: Mapping[RegionMethod, float] = {"shape": 1}
_TEXT_BOXES: Mapping[RegionMethod, float] = {"text_box": 1}
# Boxes and brush strokes more often than elsewhere: networks that fill are shown with such holes.
_HOLES: Mapping[RegionMethod, float] = {"object": 1, "foreground": 1, "superpixels": 1, "shape": 2}

OPERATIONS: Mapping[str, Operation] = {
    "splice": Operation(_splice("plain"), 1.5, of_donor=True),
    "splice_alpha": Operation(_splice("alpha"), 1.5, of_donor=True),
    "splice_poisson": Operation(_splice("poisson"), 1, of_donor=True),
    "splice_moved": Operation(
        lambda p, region, m, rng: tamper.splice_moved(p, region, m.donor(), rng), 2, of_donor=True
    ),
    "copy_move": Operation(lambda p, region, m, rng: tamper.copy_move(p, region, rng), 3),
    "remove_telea": Operation(_remove("telea"), 0.75),
    "remove_ns": Operation(_remove("ns"), 0.75),
    "remove_patches": Operation(_remove("patches"), 2),
    # Every pixel of the variant "whole" is altered, so `alter` has no pair for it.
    "regenerate_paste": Operation(_regenerate("paste"), 3, needs_codec=True),
    "regenerate_whole": Operation(_regenerate("whole"), 0, needs_codec=True),
    # As heavy as to be 45 % of all where there are codecs: it stands for the many networks that
    # fill and repaint, of which none can be had here.
    "regenerate_filled": Operation(_regenerate_filled, 16.5, _HOLES, needs_codec=True, least=1.5),
    **{name: Operation(_adjust(name), 0.5, least=1.0) for name in ADJUSTMENTS},
    "replace_text": Operation(
        lambda p, region, m, rng: replace_text(p, region, rng), 0.75, _TEXT_BOXES
    ),
    "sticker": Operation(lambda p, region, m, rng: stick(p, region, m.donor(), rng), 0.5, _SHAPES),
}
"""By name; the manifest and `tampering` of a configuration use the same names."""
