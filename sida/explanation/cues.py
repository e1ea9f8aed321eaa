"""Cues: what can be measured inside a region and, in the same way, in what surrounds it.

Noise, sharpness, compression, brightness, colour, dark tones, and the step at the region's border.
A difference says that two parts of a picture have different histories or show different things;
alone it proves nothing. All values come from a sample of pixels, so the cost hardly grows with the
picture.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sida.image.geometry import Box, bounding_box

__all__ = ["CUES", "Cue", "CueDefinition", "measure"]

Values = NDArray[np.float32]

LEAST_SURROUNDINGS = 600
"""Pixels that the surroundings hold at least, where the picture has them."""
LEAST_SAMPLE = 48
"""Pixels below which nothing is said of a part."""
SAMPLE = 12_000
"""Pixels looked at in each part, about."""


@dataclass(frozen=True)
class CueDefinition:
    """A kind of cue.

    Attributes:
        unit: of its values; "levels" are those of 8 bits.
        ratio: the quotient inside / outside from which on two values differ; 0 to ignore it.
        step: the difference from which on they differ. Both conditions have to hold.
        words: for a value inside that is higher, and one that is lower.
    """

    unit: str
    ratio: float
    step: float
    words: tuple[str, str] = ("higher", "lower")


CUES: Mapping[str, CueDefinition] = MappingProxyType({
    "brightness": CueDefinition("levels", 0, 12, ("brighter", "darker")),
    "colour": CueDefinition("levels, red minus blue", 0, 10, ("warmer", "cooler")),
    "edges": CueDefinition("levels", 1.4, 3, ("harder", "softer")),
    "noise": CueDefinition("levels", 1.25, 0.15),
    "sharpness": CueDefinition("ratio", 1.12, 0.03),
    "compression": CueDefinition("percent", 0, 15, ("stronger", "weaker")),
    "shadows": CueDefinition("levels", 0, 15, ("lighter", "deeper")),
})  # fmt: skip
"""All cues, in the order in which they are measured and written."""


@dataclass(frozen=True)
class Cue:
    """A cue measured inside the region and in its surroundings; `unit` as `CUES` has it."""

    name: str
    inside: float
    outside: float
    unit: str

    @property
    def direction(self) -> str:
        """How inside compares with outside: one of the cue's two words, or "same"."""
        definition = CUES[self.name]
        low, high = sorted((self.inside, self.outside))
        if high - low < definition.step or (definition.ratio and high < definition.ratio * low):
            return "same"
        return definition.words[0] if self.inside > self.outside else definition.words[1]


def measure(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> tuple[Cue, ...]:
    """The cues of a region, in the order of `CUES`.

    The surroundings are what the region's box, grown on all sides, holds outside the region: as
    many pixels as the region has, and at least `LEAST_SURROUNDINGS`, as far as there are any.

    Args:
        pixels: (height, width, 3) uint8, RGB.
        mask: (height, width) bool, True = region.

    Returns:
        One Cue for each that can be measured: a part of fewer than `LEAST_SAMPLE` usable pixels
        gives none, so an empty mask, a full one, or a tiny picture gives ().

    Raises:
        ValueError: mask and picture differ in size.
    """
    if mask.shape != pixels.shape[:2]:
        raise ValueError(f"mask is {mask.shape}, expected the picture's {pixels.shape[:2]}")
    box = bounding_box(mask)
    if box is None:
        return ()
    left, top, right, bottom = _with_surroundings(box, int(np.count_nonzero(mask)), mask.shape)
    window = np.s_[top:bottom, left:right]
    sample = _RegionSample(pixels[window], mask[window])
    return tuple(
        Cue(name, round(values[0], 3), round(values[1], 3), CUES[name].unit)
        for name, of in _MEASURES.items()
        if (values := of(sample)) is not None
    )


def _with_surroundings(box: Box, inside: int, size: tuple[int, int]) -> Box:
    """The smallest box around `box` with enough outside the region, as far as the picture goes."""
    left, top, right, bottom = box
    height, width = size
    enough_pixels = inside + max(inside, LEAST_SURROUNDINGS)

    def grown(by: int) -> Box:
        return max(0, left - by), max(0, top - by), min(width, right + by), min(height, bottom + by)

    def enough(by: int) -> bool:
        x0, y0, x1, y1 = grown(by)
        return (x1 - x0) * (y1 - y0) >= enough_pixels

    # The area grows with `by`, so the least one that is enough can be searched by halves.
    low, high = 0, max(height, width)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return grown(low + 2)  # two more: the pixels at the region's border are not used


class _RegionSample:
    """Pixels on a grid over the window, with their eight neighbours, parted by the mask.

    Attributes:
        inside, outside: indices of the samples whose whole neighbourhood is on that side.
        rows, columns: of each sample in the window.
    """

    def __init__(self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
        self._pixels, self._mask = pixels, mask
        height, width = mask.shape
        # About SAMPLE pixels a side, however large the window is: the time stays the same.
        step = _odd_step(height * width / (2 * SAMPLE))
        rows, columns = np.arange(1, height - 1, step), np.arange(1, width - 1, step)
        self.rows, self.columns = np.repeat(rows, len(columns)), np.tile(columns, len(rows))
        around = [self._at(mask, dy, dx) for dy, dx in _neighbours()]
        count = np.sum(around, axis=0, dtype=np.uint8) if len(self.rows) else np.zeros(0)
        self.inside, self.outside = np.flatnonzero(count == 9), np.flatnonzero(count == 0)
        self.luma = {
            offset: _luma(self._at(pixels, *offset)) for offset in _neighbours()
        }  # by (dy, dx)

    def _at(self, array: NDArray[Any], dy: int, dx: int) -> NDArray[Any]:
        shifted: NDArray[Any] = array[self.rows + dy, self.columns + dx]
        return shifted

    @property
    def colours(self) -> Values:
        """(samples, 3) of the samples themselves."""
        return self._at(self._pixels, 0, 0).astype(np.float32)

    def steps_at_border(self, dy: int, dx: int) -> Values:
        """Steps of luma, downwards or to the right, where they cross the region's border."""
        height, width = self._mask.shape
        crossing = self._mask[dy:, dx:] != self._mask[: height - dy, : width - dx]
        rows, columns = np.nonzero(crossing)
        # Long borders are thinned out evenly, for the same reason.
        few = np.s_[:: max(1, len(rows) // SAMPLE)]
        rows, columns = rows[few], columns[few]
        steps = _luma(self._pixels[rows + dy, columns + dx])
        steps -= _luma(self._pixels[rows, columns])
        return np.abs(steps, out=steps)

    def parts(self) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
        """The samples inside and outside, or None where there are too few of either."""
        enough = min(len(self.inside), len(self.outside)) >= LEAST_SAMPLE
        return (self.inside, self.outside) if enough else None


def _neighbours() -> Iterator[tuple[int, int]]:
    return ((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


def _odd_step(share: float) -> int:
    """A step that leaves one pixel of `share`; odd, so that it meets all places of 8 x 8 blocks."""
    step = max(1, int(np.sqrt(share)))
    return step if step % 2 else step + 1


def _luma(rgb: NDArray[Any]) -> Values:
    """Luma of ITU-R BT.601."""
    luma: Values = rgb.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma


InsideOutside = tuple[float, float]


def _of_parts(
    sample: _RegionSample, value: Callable[[NDArray[np.intp]], float]
) -> InsideOutside | None:
    parts = sample.parts()
    return None if parts is None else (value(parts[0]), value(parts[1]))


def _brightness(sample: _RegionSample) -> InsideOutside | None:
    """Mean luma."""
    luma = sample.luma[0, 0]
    return _of_parts(sample, lambda part: float(luma[part].mean()))


def _colour(sample: _RegionSample) -> InsideOutside | None:
    """Warmth: mean red minus mean blue."""
    colours = sample.colours
    return _of_parts(sample, lambda part: float((colours[part, 0] - colours[part, 2]).mean()))


def _shadows(sample: _RegionSample) -> InsideOutside | None:
    """How dark the dark tones are: the 5th percentile of luma."""
    luma = sample.luma[0, 0]
    return _of_parts(sample, lambda part: float(np.percentile(luma[part], 5)))


def _noise(sample: _RegionSample) -> InsideOutside | None:
    """Standard deviation of noise, from the median of a high-pass residual.

    The kernel is that of J. Immerkær, "Fast noise variance estimation" (1996): it cancels planes,
    and unit white noise comes out with standard deviation 6.
    """
    # The product of second differences down and across, by distance from the centre.
    weights = {0: 4, 1: -2, 2: 1}
    residual = np.zeros_like(sample.luma[0, 0])
    for (dy, dx), luma in sample.luma.items():
        residual += np.float32(weights[abs(dy) + abs(dx)] / 6) * luma
    return _of_parts(sample, lambda part: 1.4826 * float(np.median(np.abs(residual[part]))))


def _sharpness(sample: _RegionSample) -> InsideOutside | None:
    """Second differences over first differences: falls with blur and enlargement."""
    luma = sample.luma
    first = np.abs(luma[0, 1] - luma[0, -1]) + np.abs(luma[1, 0] - luma[-1, 0])
    second = np.abs(luma[0, 1] + luma[0, -1] - 2 * luma[0, 0])
    second += np.abs(luma[1, 0] + luma[-1, 0] - 2 * luma[0, 0])
    return _of_parts(sample, lambda part: float(second[part].mean() / (first[part].mean() + 1)))


def _edges(sample: _RegionSample) -> InsideOutside | None:
    """Mean step of luma across the region's border ("inside") and in its surroundings."""
    steps, usual = [], []
    for dy, dx in ((0, 1), (1, 0)):
        steps.append(sample.steps_at_border(dy, dx))
        usual.append(np.abs(sample.luma[dy, dx] - sample.luma[0, 0])[sample.outside])
    at_border, outside = np.concatenate(steps), np.concatenate(usual)
    if min(len(at_border), len(outside)) < LEAST_SAMPLE:
        return None
    return float(at_border.mean()), float(outside.mean())


def _compression(sample: _RegionSample) -> InsideOutside | None:
    """How much larger steps across borders of 8 x 8 blocks are than others, in percent.

    The grid is the one that shows most in the whole window: a crop need not begin with a block.
    """
    parts = sample.parts()
    if parts is None:
        return None
    totals = np.zeros((2, 2))  # part, (sum over both directions of block steps, of other steps)
    for (dy, dx), positions in (((0, 1), sample.columns), ((1, 0), sample.rows)):
        step = np.abs(sample.luma[dy, dx] - sample.luma[0, 0])
        either = np.concatenate(parts)
        # Found over both sides together: each alone could choose a grid that suits it.
        phase = int(np.argmax(_means_by_phase(step[either], positions[either])))
        for row, part in zip(totals, parts, strict=True):
            block = positions[part] % 8 == phase
            if np.count_nonzero(block) < 2 * LEAST_SAMPLE or block.all():
                return None
            row += step[part][block].mean(), step[part][~block].mean()
    inside, outside = (100 * (block - other) / (other + 0.5) for block, other in totals)
    return float(inside), float(outside)


def _means_by_phase(step: Values, positions: NDArray[np.intp]) -> NDArray[np.float64]:
    counts = np.bincount(positions % 8, minlength=8)
    return np.bincount(positions % 8, weights=step, minlength=8) / np.maximum(counts, 1)


_MEASURES: Mapping[str, Callable[[_RegionSample], InsideOutside | None]] = {
    "brightness": _brightness,
    "colour": _colour,
    "edges": _edges,
    "noise": _noise,
    "sharpness": _sharpness,
    "compression": _compression,
    "shadows": _shadows,
}
