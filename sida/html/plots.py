"""Plots as data: bars, histograms and lines. Shapes are SVG or boxes, labels are text beside them,
so that a plot keeps its letters at any width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from sida.html.elements import Element

__all__ = ["Bars", "Histogram", "Lines"]

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Bars(Element):
    """Horizontal bars: row -> series -> value, all from 0 to `limit` (the largest if not given).

    `unit` is put after the values; `mark` is a value drawn as a line through all bars.
    """

    template: ClassVar[str] = "bars"
    rows: Mapping[str, Mapping[str, float]]
    caption: str = ""
    unit: str = ""
    limit: float | None = None
    mark: tuple[str, float] | None = None

    @property
    def series(self) -> list[str]:
        """Names of the series in the order of their first appearance."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row))

    def share(self, value: float) -> float:
        """How far a bar reaches, in percent of the width."""
        largest = max((v for row in self.rows.values() for v in row.values()), default=0)
        limit = self.limit or largest or 1
        return round(100 * min(1.0, max(0.0, value / limit)), 2)


@dataclass(frozen=True)
class Histogram(Element):
    """Counts in bins, one outline a series, each scaled to its own total.

    Attributes:
        edges: n + 1 ascending values, evenly spaced on the axis whatever their distances.
        series: name -> n counts.
        ticks: labels under the edges; the edges themselves if not given.
        label: what the axis shows, with its unit.
    """

    template: ClassVar[str] = "histogram"
    edges: Sequence[float]
    series: Mapping[str, Sequence[float]]
    label: str
    caption: str = ""
    ticks: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, counts in self.series.items():
            if len(counts) != len(self.edges) - 1:
                raise ValueError(
                    f"series {name!r} has {len(counts)} counts for {len(self.edges)} edges, "
                    f"expected {len(self.edges) - 1}"
                )

    @property
    def outlines(self) -> dict[str, str]:
        """An SVG path for each series in a box of n x 100, y downwards."""
        shares = {name: _shares(counts) for name, counts in self.series.items()}
        top = max((max(values) for values in shares.values()), default=0) or 1
        return {name: _steps(values, top) for name, values in shares.items()}

    @property
    def labels(self) -> list[str]:
        """About seven labels for the axis, the first and the last edge among them."""
        texts = list(self.ticks) or [f"{edge:g}" for edge in self.edges]
        step = max(1, round((len(texts) - 1) / 6))
        return texts[::step] if (len(texts) - 1) % step == 0 else [*texts[::step], texts[-1]]


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) or 1
    return [count / total for count in counts]


def _steps(values: Sequence[float], top: float) -> str:
    path = ["M0 100"]
    for index, value in enumerate(values):
        height = round(100 - 98 * value / top, 2)
        path.append(f"L{index} {height} L{index + 1} {height}")
    return " ".join([*path, f"L{len(values)} 100 Z"])


@dataclass(frozen=True)
class Lines(Element):
    """Curves over a square of given ranges: series -> (x, y) points in the order of drawing.

    `diagonal` draws the line that a guess would follow.
    """

    template: ClassVar[str] = "lines"
    series: Mapping[str, Points]
    x_label: str
    y_label: str
    caption: str = ""
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)
    diagonal: bool = False

    @property
    def paths(self) -> dict[str, str]:
        """SVG `points` for each series in a box of 100 x 100, y downwards."""
        return {
            name: " ".join(f"{self._x(x)},{self._y(y)}" for x, y in points)
            for name, points in self.series.items()
        }

    def _x(self, value: float) -> float:
        low, high = self.x_range
        return round(100 * (value - low) / (high - low), 2)

    def _y(self, value: float) -> float:
        low, high = self.y_range
        return round(100 - 100 * (value - low) / (high - low), 2)
