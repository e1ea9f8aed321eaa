"""How well `sida.provenance` finds regions that were copied within a picture.

    python benchmarks/copied_regions.py PHOTOGRAPHS...

Copy-moves are made by the forge's own functions in photographs whose longer side has at least 480
pixels: areas above 2 %, turned by at most 20°, scaled by 0.8 to 1.25, mirrored as often as the
forge does it, stored as JPEG of quality 75 to 95. Found means that source and copy together are
covered with IoU > 0.4. The photographs themselves, stored the same way, give the false alarms.
"""

import argparse
import io
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from sida.files import Input, find_pictures
from sida.forge.regions import draw_region
from sida.forge.tamper import Tampered, copy_move
from sida.image.read import read_picture
from sida.provenance.measured.copy_move import copied_regions

MOVES = {"superpixels": 2, "shape": 1}  # as the forge's recipes, without known objects
LEAST = 480  # pixels
MOVES = 2  # a photograph


Alarm = tuple[bool, list[float], list[float]]
"""Whether a photograph gave an alarm, and for each move the two overlaps of `both`."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photographs", nargs="+", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    inputs = find_pictures(given.photographs)
    with ProcessPoolExecutor(given.workers) as pool:
        results = [each for each in pool.map(tried, enumerate(inputs)) if each is not None]
    whole = [overlap for _, both_, _ in results for overlap in both_]
    single = [overlap for _, _, best in results for overlap in best]
    print(f"found with IoU > 0.4 of source and copy: {share(whole)} of {len(whole)}")
    print(f"the copy alone, by one of the two regions told: {share(single)}")
    alarms = [alarm for alarm, _, _ in results]
    print(f"false alarms: {np.mean(alarms):.1%} of {len(alarms)} photographs")


def share(overlaps: list[float]) -> str:
    return f"{np.mean(np.array(overlaps) > 0.4):.1%}"


def tried(numbered: tuple[int, Input]) -> Alarm | None:
    """A photograph as it is, and with each of its moves; its number is the seed."""
    number, item = numbered
    rng = np.random.default_rng(number)
    pixels = read_picture(item).pixels
    if max(pixels.shape[:2]) < LEAST:
        return None
    alarm = bool(copied_regions(stored(pixels, rng)))
    overlaps = []
    for _ in range(MOVES):
        forgeries, source = moved(pixels, rng)
        overlaps.append(both(copied_regions(stored(forgeries.pixels, rng)), source, forgeries.mask))
    return alarm, [each for each, _ in overlaps], [each for _, each in overlaps]


def moved(pixels: np.ndarray, rng: np.random.Generator) -> tuple[Tampered, np.ndarray]:
    """A copy-move of the wanted kind, and the mask of where it was taken from."""
    while True:
        region = draw_region(pixels, rng, MOVES, (0.02, 0.35))
        forgeries = copy_move(pixels, region, rng)
        fitting = abs(forgeries.parameters["angle"]) <= 20 and forgeries.mask.mean() > 0.02
        if fitting and forgeries.is_visible(pixels):
            return forgeries, region.mask


def both(copies: list, source: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """IoU of all that is told with source and copy, and the best of one region with the copy."""
    line = np.zeros(target.shape, bool)
    best = 0.0
    for copy in copies:
        line |= copy.first | copy.second
        best = max(best, iou(copy.first, target), iou(copy.second, target))
    return iou(line, source | target), best


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


def stored(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    stream = io.BytesIO()
    quality, subsampling = int(rng.integers(75, 96)), int(rng.choice([0, 2]))
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return read_picture(stream.getvalue()).pixels


if __name__ == "__main__":
    main()
