"""Alterations without end: a photograph altered at random, beside its untouched original.

Everything random comes from the generator that is handed in: the same picture, donors and state of
the generator give the same alteration, in whatever process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sida.forge.config import RegionMethod
from sida.forge.operations import OPERATIONS, Materials
from sida.forge.regions import ObjectMask, draw_region
from sida.forge.tamper import Codec, Tampered
from sida.image.arrays import Mask, Pixels

__all__ = ["Alteration", "alter"]


ATTEMPTS = 6
"""Draws of operation and region until something changes that can be seen."""
_COUNTS = (0.75, 0.18, 0.07)
"""How often one, two and three operations are done."""
_REGIONS: Mapping[RegionMethod, float] = {
    "object": 1,
    "foreground": 2,
    "superpixels": 1.5,
    "shape": 1.5,
}
_AREA = (0.01, 0.4)
_MATCH_DETAIL = 0.5
_AROUND = 9
"""Side of the square, pixels, that says whether a pixel counts as altered."""


@dataclass(frozen=True)
class Alteration:
    """An altered picture beside its original.

    Attributes:
        pixels: (height, width, 3) uint8.
        original: the same without the alteration; equal to it wherever the mask is false.
        mask: (height, width) bool; empty where nothing was altered.
        operations: names of `OPERATIONS` in the order in which they were done.
    """

    pixels: Pixels
    original: Pixels
    mask: Mask
    operations: tuple[str, ...]


def alter(
    pixels: Pixels,
    rng: np.random.Generator,
    donors: Sequence[Pixels],
    objects: Sequence[ObjectMask] = (),
    codecs: Sequence[Codec] = (),
    area: tuple[float, float] = _AREA,
    operations: Sequence[str] | None = None,
) -> Alteration:
    """Do one to three operations on random regions of a photograph.

    Args:
        pixels: (height, width, 3) uint8, at least 64 pixels a side.
        donors: other photographs of any size, one at least.
        objects: masks of what is known to be in the picture.
        codecs: autoencoders; without any, no region is regenerated.
        area: least and largest fraction of the picture that one operation covers.
        operations: names of `OPERATIONS` to draw from; by default each as often as its weight says.

    Returns the picture unaltered, with an empty mask, where no attempt changed anything that can be
    seen, as in a blank picture.
    """
    choices = _choices(operations, bool(codecs))
    altered, names = pixels, []
    # Operations follow each other on one picture; the mask is checked once, at the end.
    region = np.zeros(pixels.shape[:2], bool)
    for _ in range(1 + int(rng.choice(len(_COUNTS), p=_COUNTS))):
        for _ in range(ATTEMPTS):
            tampered = _attempt(altered, rng, choices, donors, objects, codecs, area)
            if tampered is not None:
                altered, region = tampered.pixels, region | tampered.mask
                names.append(tampered.operation)
                break
    mask = _changed(pixels, altered, region)
    # Outside the mask the pair is equal bit for bit: trainers rely on it.
    altered = np.where(mask[..., None], altered, pixels)
    return Alteration(altered, pixels, mask, tuple(names) if mask.any() else ())


def _choices(names: Sequence[str] | None, has_codecs: bool) -> Mapping[str, float]:
    """Probabilities of the operations."""
    weights = {
        name: OPERATIONS[name].weight if names is None else 1.0
        for name in (OPERATIONS if names is None else names)
        if has_codecs or not OPERATIONS[name].needs_codec
    }
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items() if weight}


def _attempt(
    pixels: Pixels,
    rng: np.random.Generator,
    choices: Mapping[str, float],
    donors: Sequence[Pixels],
    objects: Sequence[ObjectMask],
    codecs: Sequence[Codec],
    area: tuple[float, float],
) -> Tampered | None:
    """Draw an operation and do it; None where the result shows no difference."""
    # The order of draws is a contract: a resumed training sees the same alterations.
    name = list(choices)[int(rng.choice(len(choices), p=list(choices.values())))]
    operation = OPERATIONS[name]
    donor = _fitted(donors[int(rng.integers(len(donors)))], pixels.shape[:2], rng)
    source, source_objects = (donor, ()) if operation.of_donor else (pixels, objects)
    region = draw_region(source, rng, operation.regions or _REGIONS, area, source_objects)
    materials = Materials(lambda: donor, codecs, _MATCH_DETAIL)
    try:
        tampered = operation.function(pixels, region, materials, rng)
    except cv2.error:  # a shape that OpenCV's blending cannot do
        return None
    return tampered if tampered.is_visible(pixels, operation.least) else None


def _fitted(donor: Pixels, size: tuple[int, ...], rng: np.random.Generator) -> Pixels:
    """A random part of the donor of that (height, width); a smaller one is enlarged first."""
    height, width = size[0], size[1]
    scale = max(1.0, height / donor.shape[0], width / donor.shape[1])
    if scale > 1:
        rows, columns = (round(side * scale) for side in donor.shape[:2])
        enlarged = (max(width, columns), max(height, rows))
        donor = np.asarray(cv2.resize(donor, enlarged, interpolation=cv2.INTER_CUBIC), np.uint8)
    top = int(rng.integers(donor.shape[0] - height + 1))
    left = int(rng.integers(donor.shape[1] - width + 1))
    return np.ascontiguousarray(donor[top : top + height, left : left + width])


def _changed(original: Pixels, altered: Pixels, region: Mask) -> Mask:
    """The part of the region where at least a fifth of the pixels around differ.

    An operation leaves some of its region as it was: a copied sky on sky, the far end of a fade.
    """
    differs = (original != altered).any(axis=2) & region
    share = cv2.blur(differs.astype(np.float32), (_AROUND, _AROUND), borderType=cv2.BORDER_REFLECT)
    return np.asarray((share >= 0.2) & region)
