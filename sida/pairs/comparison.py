"""`compare`: how an edited picture relates to its original, and which pixels were altered."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sida.image.read import Picture, Source, read_picture
from sida.pairs.changes import altered
from sida.pairs.lab import distance, lab, smooth
from sida.pairs.registration import Matrix, register, warp
from sida.pairs.rerendering import QUALITY, measure

__all__ = ["Comparison", "Relation", "compare"]

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Relation = Literal["local", "whole", "same", "unrelated"]

LEAST_AGREEMENT = 0.15
"""Share of parts with detail that look alike below which two pictures are unrelated. Of unrelated
photographs it is below 0.06."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was found between two pictures.

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

    def as_json(self) -> dict[str, Any]:
        """What `sida data pair --json` prints."""
        return {
            "relation": self.relation,
            "share": round(self.share, 6),
            "noise": None if self.noise is None else round(self.noise, 3),
            "covered": round(float(self.covered.mean()), 4),
        }


def compare(original: Source, edited: Source) -> Comparison:
    """Lay a picture over its original and tell what was altered.

        found = compare("original.jpg", "edited.jpg")
        found.relation, found.share, found.mask

    Both may be anything that `read_picture` takes. Raises PictureError where one cannot be read.
    """
    first, second = read_picture(original), read_picture(edited)
    registration = register(first.pixels, second.pixels)
    size = second.height, second.width
    aligned, covered = warp(first.pixels, registration.matrix, size)
    levels, other = lab(aligned), lab(second.pixels)
    difference = np.where(covered, distance(other - levels), 0).astype(np.float32)
    if registration.agreement < LEAST_AGREEMENT or not covered.any():
        everything = np.ones(size, bool)
        return Comparison(
            "unrelated", everything, None, covered, aligned, difference, registration.matrix
        )
    region = altered(other, levels, covered)
    found = measure(second.pixels, aligned, covered, region, _reference_quality(second))
    relation: Relation = "whole" if found.is_whole else "local" if region.any() else "same"
    mask = np.ones(size, bool) if relation == "whole" else region
    rest = covered & ~region
    local = np.sqrt(smooth(difference**2, 1.0))
    noise = float(np.median(local[rest if rest.any() else covered]))
    return Comparison(relation, mask, noise, covered, aligned, difference, registration.matrix)


def _reference_quality(picture: Picture) -> int:
    """Of the JPEG that a recoding is compared with: lower where the file itself is coded lower."""
    if picture.format == "WEBP":  # does not say its quality, and smooths more than JPEG
        return 45
    coding = picture.metadata.get("jpeg")
    quality = coding.quality if coding else None
    # Below the file's own, since it was coded before.
    return QUALITY if quality is None else max(10, min(QUALITY, quality - 10))
