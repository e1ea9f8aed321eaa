"""A picture that was made anew as a whole (filter, denoiser, autoencoder) told from a recoded one.

The reference is what JPEG of a stated quality does to the original in the edited picture's frame.
A recoding loses no more than that, above all not in coarse tones; and it keeps the strength of
detail of one to four pixels, which filters and networks hardly ever do.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sida.image.arrays import Float32Array, Mask
from sida.image.perturbation import Step, apply
from sida.pairs.lab import distance, lab, smooth

__all__ = ["QUALITY", "Rerendering", "band_strengths", "measure"]


QUALITY = 60
"""Of the JPEG that is the reference."""
LOSS_SCALE, TONE_SCALE = 1.0, 8.0
"""Pixels of smoothing of the differences that are compared with the reference's."""
ROUNDING = 0.05
"""Added to the reference's difference, in units of Lab."""
BANDS = ((0.8, 1.6), (1.6, 3.2))
"""Standard deviations of the Gaussians between which detail lies, in pixels."""

MOST_LOSS, MOST_TONE, MOST_STRENGTHS = 1.05, 0.85, (0.15, 0.04)
"""Limits of recoding, as measured in docs/pairs.md."""
LEAST_LEFT = 0.02
"""Share of the picture outside regions below which it counts as altered as a whole."""
REACH = 17
"""Side in pixels of the square by which regions are enlarged: their borders are blurred."""


@dataclass(frozen=True)
class Rerendering:
    """How an edited picture differs from its original outside altered regions.

    Attributes:
        loss, tone: median fine and coarse difference over that of the reference.
        strengths: of the two bands of detail, log of the ratio of edited to original.
        left: share of the picture that this was measured on.
    """

    loss: float
    tone: float
    strengths: tuple[float, ...]
    left: float

    @property
    def is_whole(self) -> bool:
        """True if no recoding explains the differences."""
        if self.left < LEAST_LEFT:
            return True
        stronger = (
            abs(value) > limit for value, limit in zip(self.strengths, MOST_STRENGTHS, strict=True)
        )
        return self.loss > MOST_LOSS or self.tone > MOST_TONE or any(stronger)


def measure(
    edited: NDArray[np.uint8],
    original: NDArray[np.uint8],
    valid: Mask,
    region: Mask,
    quality: int = QUALITY,
) -> Rerendering:
    """The measurements outside a region.

    Args:
        edited, original: (height, width, 3) uint8, the original warped to the edited picture.
        valid: (height, width) bool, pixels that the original covers.
        region: (height, width) bool, what was altered beyond the noise floor.
        quality: of the reference.
    """
    enlarged = cv2.dilate(region.astype(np.uint8), np.ones((REACH, REACH), np.uint8)) > 0
    unaltered = valid & ~enlarged
    left = float(unaltered.mean())
    if left < LEAST_LEFT:
        return Rerendering(0.0, 0.0, (0.0,) * len(BANDS), left)
    # The reference is coded from the warped original, so both have been resampled once.
    reference = apply(original, None, [Step("jpeg", {"quality": quality})])[0]
    levels, other = lab(original), lab(edited)
    differences = other - levels, lab(reference) - levels
    loss, tone = (
        _median(differences[0], scale, unaltered)
        / (_median(differences[1], scale, unaltered) + ROUNDING)
        for scale in (LOSS_SCALE, TONE_SCALE)
    )
    return Rerendering(loss, tone, band_strengths(other, levels, unaltered), left)


def _median(difference: Float32Array, scale: float, unaltered: Mask) -> float:
    return float(np.median(distance(smooth(difference, scale))[unaltered]))


def band_strengths(
    edited: Float32Array, original: Float32Array, unaltered: Mask
) -> tuple[float, ...]:
    """Log of the ratio of local standard deviations in each of `BANDS`: 0 is as in the original.

    The median over the half of the pixels that has most of it: in flat parts there is noise alone.
    """
    strengths = []
    for number, (fine, coarse) in enumerate(BANDS):
        energies = []
        for levels in (edited, original):
            band = smooth(levels[..., 0], fine) - smooth(levels[..., 0], coarse)
            # A wider window for coarser detail, and a floor that keeps the logarithm finite.
            energies.append(smooth(band**2, 6 + 2 * number)[unaltered] + 1e-4)
        together = energies[0] * energies[1]
        strong = together >= np.median(together)
        strengths.append(float(np.median(np.log(energies[0] / energies[1])[strong]) / 2))
    return tuple(strengths)
