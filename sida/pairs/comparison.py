"""`compare`: how an edited picture relates to its original, and which pixels were altered."""

from dataclasses import dataclass
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from sida.image.arrays import Mask, Pixels
from sida.image.read import Picture, Source, read_picture
from sida.pairs.changes import altered
from sida.pairs.lab import distance, lab, smooth
from sida.pairs.registration import Matrix, register, warp
from sida.pairs.rerendering import QUALITY, measure

__all__ = ["Comparison", "ComparisonRow", "Relation", "compare"]

Relation = Literal["local", "whole", "same", "unrelated"]

LEAST_AGREEMENT = 0.15
"""Share of parts with detail that look alike below which two pictures are unrelated. Of unrelated
photographs it is below 0.06."""


class ComparisonRow(TypedDict):
    """`Comparison` as JSON: its numbers, rounded, without its pictures."""

    relation: Relation
    share: float
    noise: float | None
    covered: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Relation of two pictures, and all that was measured for it.

    Attributes:
        relation: "local", a region was altered; "whole", every pixel was made anew; "same", nothing
            but recoding, resizing and cropping; "unrelated", no part of the two looks alike.
        mask: (height, width) bool of the edited picture, True where its pixels are not the
            original's; all of them if the relation is "whole" or "unrelated".
        noise: median difference (CIE Lab, chroma weighted) outside the altered region, which is
            what recoding does; None where nothing could be laid over the other.
        covered: (height, width) bool, what of the edited picture the original shows.
        aligned: (height, width, 3) uint8, the original in the edited picture's frame.
        difference: (height, width) float32, in units of Lab.
        matrix: (2, 3), the map from the edited picture's pixels to the original's.
    """

    relation: Relation
    mask: Mask
    noise: float | None
    covered: Mask
    aligned: Pixels
    difference: NDArray[np.float32]
    matrix: Matrix

    @property
    def share(self) -> float:
        """The mask's share of the edited picture."""
        return float(self.mask.mean())

    def as_json(self) -> ComparisonRow:
        """Values that `sida data pair --json` prints."""
        return {
            "relation": self.relation,
            "share": round(self.share, 6),
            "noise": None if self.noise is None else round(self.noise, 3),
            "covered": round(float(self.covered.mean()), 4),
        }


def compare(original: Source, edited: Source) -> Comparison:
    """Lay a picture over its original and tell what was altered.

        comparison = compare("original.jpg", "edited.jpg")
        comparison.relation, comparison.share, comparison.mask

    Both may be anything that `read_picture` takes. Raises PictureError where one cannot be read.
    """
    first, second = read_picture(original), read_picture(edited)
    # The edited picture's frame is kept, since masks are read in it.
    registration = register(first.pixels, second.pixels)
    size = second.height, second.width
    aligned, covered = warp(first.pixels, registration.matrix, size)
    levels, other = lab(aligned), lab(second.pixels)
    difference = np.where(covered, distance(other - levels), 0).astype(np.float32)
    if registration.agreement < LEAST_AGREEMENT or not covered.any():
        everything, nothing = np.ones(size, bool), np.zeros(size, bool)
        return Comparison(
            "unrelated", everything, None, nothing, aligned, difference, registration.matrix
        )
    region = altered(other, levels, covered)
    rerendering = measure(second.pixels, aligned, covered, region, _reference_quality(second))
    relation: Relation = "whole" if rerendering.is_whole else "local" if region.any() else "same"
    mask = np.ones(size, bool) if relation == "whole" else region
    unaltered = covered & ~region
    # Where nothing is left unaltered, the median of all is the best there is.
    local = np.sqrt(smooth(difference**2, 1.0))
    noise = float(np.median(local[unaltered if unaltered.any() else covered]))
    return Comparison(relation, mask, noise, covered, aligned, difference, registration.matrix)


def _reference_quality(picture: Picture) -> int:
    """Of the JPEG that a recoding is compared with: lower where the file itself is coded lower."""
    if picture.format == "WEBP":  # does not say its quality, and smooths more than JPEG
        return 45
    coding = picture.metadata.get("jpeg")
    quality = coding.quality if coding else None
    # Below the file's own, since it was coded before.
    return QUALITY if quality is None else max(10, min(QUALITY, quality - 10))
