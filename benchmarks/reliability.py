"""Places of a picture by their pixels, and how well the map of a model ranks them.

    python benchmarks/reliability.py DATA... --model small

Would a map of reliability help, that is made of pixels alone? A place is one of 160 cells along the
longer side; each measure calls some places unreadable. For these and for all others the table has
the AUC of the map: how often an altered place there is ranked above the untouched ones of its whole
picture, and an untouched place below the altered ones, averaged; every picture has the same weight.
"same pictures" compares the places within pictures: the others count as much in each picture as its
unreadable places do, so pictures that are hard as a whole cancel out. Standard errors are of 500
bootstraps over pictures.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

import sida.data
from sida import Detector
from sida.cli.progress import progress_bar
from sida.errors import PictureError

CELLS = 160
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Places:
    """Cells of one picture, all arrays (rows, columns).

    Attributes:
        altered: bool.
        rightness: share of the places of the other sort that are ranked as they should be.
        measures: by name, means over each cell.
    """

    altered: NDArray[np.bool_]
    rightness: NDArray[np.float64]
    measures: Mapping[str, Values]


def smooth(values: Values, reach: int = 2) -> Values:
    """Mean over a square that reaches that many cells to each side."""
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(values, reach, mode="edge"), (2 * reach + 1, 2 * reach + 1)
    )
    return np.asarray(windows.mean((2, 3)), np.float32)


UNREADABLE: Mapping[str, Callable[[Mapping[str, Values]], NDArray[np.bool_]]] = {
    "dark: half of it at most 16": lambda m: m["dark"] > 0.5,
    "clipped: half of it at most 8 or at least 247": lambda m: m["clipped"] > 0.5,
    "flat: half of it equal to its neighbours": lambda m: m["equal"] > 0.5,
    "blank: spread below 0.65": lambda m: smooth(m["spread"]) < 0.65,
    "no grain: residual below 0.1": lambda m: m["residual"] < 0.1,
    "smooth for the picture: steps below a tenth": lambda m: m["step"] < 0.1 * np.median(m["step"]),
    "blurred: steps without residual": lambda m: (
        (smooth(m["residual"]) < 0.08 * smooth(m["step"])) & (smooth(m["step"]) > 1)
    ),
    "busy for the picture: steps above five times": lambda m: m["step"] > 5 * np.median(m["step"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", default="small")
    parser.add_argument("--limit", type=int, help="only so many tampered pictures of a folder")
    options = parser.parse_args()
    detector = Detector.load(options.model)
    pictures = [
        places
        for data in options.data
        for places in islice(tampered(detector, data), options.limit)
    ]
    print(f"{len(pictures)} pictures; places, AUC there, elsewhere, difference, in same pictures")
    for name, unreadable in UNREADABLE.items():
        chosen = [unreadable(places.measures) for places in pictures]
        share = float(np.mean([cells.mean() for cells in chosen]))
        comparison = compare(pictures, chosen)
        if comparison is None:
            print(f"{name:<46} {share:6.1%}  too few")
            continue
        low, rest, *differences = comparison
        texts = [f"{difference:+.3f} ± {error:.3f}" for difference, error in differences]
        print(f"{name:<46} {share:6.1%} {low[0]:6.3f} {rest[0]:6.3f}  {'  '.join(texts)}")


def tampered(detector: Detector, data: Path) -> Iterator[Places]:
    """The places of each tampered picture that can be read and has both sorts of them."""
    samples = [sample for sample in sida.data.open(data) if sample.label == "tampered"]
    with progress_bar(data.name) as show:
        for number, sample in enumerate(samples):
            show(number, len(samples))
            try:
                pixels = sample.read().pixels
                mask = sample.read_mask()
            except PictureError as error:
                print(f"left out: {error}")
                continue
            size = cells_of(pixels.shape[:2])
            if mask is None:
                continue
            altered = cells(mask >= 128, size) >= 0.5
            if altered.any() and not altered.all():
                levels = detector.detect(pixels, masks="all").probability_map
                assert levels is not None
                yield Places(altered, rightness(cells(levels, size), altered), measure(pixels))


def cells_of(size: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of cells of a picture (height, width)."""
    height, width = size
    scale = CELLS / max(size)
    return max(1, round(height * scale)), max(1, round(width * scale))


def cells(values: NDArray[np.generic], size: tuple[int, int]) -> Values:
    """Means over cells (rows, columns)."""
    image = Image.fromarray(np.asarray(values, np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BOX))


def measure(pixels: NDArray[np.uint8]) -> dict[str, Values]:
    """The measures of each cell, in grey levels or as shares of its pixels."""
    size = cells_of(pixels.shape[:2])
    luma = pixels @ LUMA
    around = np.pad(luma, 1, mode="edge")
    residual = np.diff(np.diff(around, 2, axis=0), 2, axis=1) / 6  # J. Immerkær, 1996
    across = np.abs(around[1:-1, 2:] - luma)
    down = np.abs(around[2:, 1:-1] - luma)
    highest, lowest = pixels.max(2), pixels.min(2)
    variance = cells(luma**2, size) - cells(luma, size) ** 2
    return {
        "dark": cells(highest <= 16, size),
        "clipped": cells((highest <= 8) | (lowest >= 247), size),
        "equal": cells((across < 0.5) & (down < 0.5), size),
        "spread": np.sqrt(np.maximum(variance, 0)),
        "residual": cells(np.abs(residual), size),
        "step": cells((across + down) / 2, size),
    }


def rightness(levels: Values, altered: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each place the share of places of the other sort that are ranked right; ties are half."""
    right = np.empty(levels.shape)
    for sort in (altered, ~altered):
        # Of the rank among all, what is left without those of the same sort counts the others.
        below = rankdata(levels)[sort.ravel()] - rankdata(levels[sort])
        share = below / np.count_nonzero(~sort)
        right[sort] = share if sort is altered else 1 - share
    return right


def compare(
    pictures: list[Places], chosen: list[NDArray[np.bool_]]
) -> list[tuple[float, float]] | None:
    """(value, standard error) of the AUC in chosen places, elsewhere, and of both differences.

    None where altered or untouched places are missing on either side.
    """
    sums = np.array([weights(*pair) for pair in zip(pictures, chosen, strict=True)])
    values = aucs(sums.sum(0))
    if not np.isfinite(values).all():
        return None
    draws = np.random.default_rng(0).integers(0, len(sums), (500, len(sums)))
    errors = np.nanstd([aucs(sums[draw].sum(0)) for draw in draws], axis=0)
    return list(zip(values.tolist(), errors.tolist(), strict=True))


def weights(places: Places, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(2, 6), for altered and untouched places: right and all of those chosen, of the others, and
    right of chosen and others in pictures that have both, at the weight of those chosen."""
    rows = np.zeros((2, 6))
    for row, sort in zip(rows, (places.altered, ~places.altered), strict=True):
        right = [float(places.rightness[part & sort].sum()) for part in (chosen, ~chosen)]
        count = [int(np.count_nonzero(part & sort)) for part in (chosen, ~chosen)]
        row[:4] = np.array([right[0], count[0], right[1], count[1]]) / sum(count)
        if min(count) > 0:
            row[4:] = row[0] - row[1] * right[1] / count[1], row[1]
    return rows


def aucs(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """AUC of chosen places, of others, their difference, and that within the same pictures."""
    with np.errstate(invalid="ignore", divide="ignore"):
        low, rest, same = (sums[:, i] / sums[:, i + 1] for i in (0, 2, 4))
    return np.array([low.mean(), rest.mean(), low.mean() - rest.mean(), same.mean()])


if __name__ == "__main__":
    main()
