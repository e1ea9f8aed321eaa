"""Time of a verdict with its six deliveries against that of the verdict alone.

python benchmarks/stability.py [--model NAME] [--rounds 5] [--size 640x480 --size 4000x3000 …]

Writes a JPEG of each size into a temporary folder. Both are measured in turn, so that a machine
whose pace drifts does it to both; the figures are medians.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sida import Detector
from sida.inference.malloc import keep_freed

SIZES = ("640x480", "1024x768", "2048x1536", "4000x3000")


def write(folder: Path, width: int, height: int) -> Path:
    """A JPEG of coarse colours and noise."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
    noise = Image.effect_noise((width, height), 20).convert("RGB")
    path = folder / f"{width}x{height}.jpg"
    Image.blend(coarse.resize((width, height)), noise, 0.3).save(path, quality=88)
    return path


def seconds(detector: Detector, path: Path, stability: bool) -> float:
    """Of one verdict with its mask, from the file on."""
    start = time.perf_counter()
    detector.detect(path, stability=stability)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="small")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", action="append")
    options = parser.parse_args()
    keep_freed()
    detector = Detector.load(options.model)
    print("| size | a verdict, s | with six deliveries, s | the deliveries, in verdicts |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in options.size or SIZES:
            path = write(Path(folder), *map(int, size.split("x")))
            seconds(detector, path, stability=True)  # what is allocated once does not count
            pairs = [
                [seconds(detector, path, stability=stability) for stability in (False, True)]
                for _ in range(options.rounds)
            ]
            plain, whole = map(statistics.median, zip(*pairs, strict=True))
            ratio = statistics.median((both - alone) / alone for alone, both in pairs)
            print(f"| {size} | {plain:.2f} | {whole:.2f} | {ratio:.1f} |")


if __name__ == "__main__":
    main()
