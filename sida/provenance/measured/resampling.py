"""Enlargement: interpolated pixels repeat a pattern whose period tells the factor.

The variance of second differences along a row is periodic after enlargement (A. Gallagher,
"Detection of linear and cubic interpolation in JPEG compressed images", 2005).
"""

import numpy as np
from numpy.typing import NDArray

from sida.provenance.measured.blocks import Luma

__all__ = ["enlargement"]

LEAST_PIXELS = 128
STRENGTH = 12.0  # times the median of the spectrum
BAND = (0.08, 0.49)  # cycles a pixel; below lies what the picture shows


def enlargement(luma: Luma) -> float | None:
    """The factor between 1 and 2 by which a picture was enlarged; None where nothing shows.

    A factor above 2 leaves the same traces as one below.
    """
    if min(luma.shape) < LEAST_PIXELS:
        return None
    peaks = [peak for peak in (_peak(luma), _peak(luma.T)) if peak is not None]
    if len(peaks) < 2 or abs(peaks[0] - peaks[1]) > 0.01:
        return None
    return round(1 / (1 - float(np.mean(peaks))), 2)


def _peak(luma: Luma) -> float | None:
    """The frequency that stands out in the second differences along rows; not those of blocks."""
    second = np.abs(2 * luma[:, 1:-1] - luma[:, :-2] - luma[:, 2:])
    profile = np.minimum(second, np.percentile(second, 95)).mean(axis=0)
    profile = (profile - profile.mean()) * np.hanning(len(profile))
    spectrum = np.abs(np.fft.rfft(profile))
    frequency = np.fft.rfftfreq(len(profile))
    used: NDArray[np.bool_] = (frequency > BAND[0]) & (frequency < BAND[1])
    blocks = np.abs(frequency * 8 - np.rint(frequency * 8)) < 8 * 2.5 / len(profile)
    used &= ~blocks
    if not used.any():
        return None
    at = int(np.where(used, spectrum, 0).argmax())
    return float(frequency[at]) if spectrum[at] > STRENGTH * np.median(spectrum[used]) else None
