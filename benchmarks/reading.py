"""How fast `sida.data.read` delivers labelled pictures, and in how much memory.

    python benchmarks/reading.py                    # 300 JPEGs of 1024 px, made on the spot
    python benchmarks/reading.py --pictures FOLDER  # those of a folder
    python benchmarks/reading.py --through DATA     # go once through a labelled set: peak memory
    python benchmarks/reading.py --through FOLDER --streamed  # the same as a set on the hub is read

The rate is set against Pillow's on as many threads: opening, decoding and handing over an array,
which is the least that any loader does, and `load()` alone, which hands nothing over. Rounds take
turns, so that a busy machine slows all of them; the best of each counts.
"""

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

import sida.data
from sida.data.dataset import Dataset
from sida.data.formats.hub import open_hub
from sida.data.problems import Report
from sida.data.sample import Sample
from sida.files import find_pictures

SIDE = 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", metavar="FOLDER", help="instead of made ones")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--through", metavar="DATA", help="measure memory instead")
    parser.add_argument("--split", help="of DATA")
    parser.add_argument("--streamed", action="store_true", help="DATA as a set on the hub is")
    given = parser.parse_args()
    if given.through:
        open_ = open_hub if given.streamed else sida.data.open
        go_through(open_(given.through, given.split))
        return
    with tempfile.TemporaryDirectory() as loader:
        folder = given.pictures or make(Path(loader), given.count)
        paths = [item.path for item in find_pictures([folder])][: given.count]
        measure(paths, given.workers, given.rounds)


def go_through(seconds_taken: Dataset) -> None:
    """Read every picture of a labelled set once."""
    started, size, count = time.perf_counter(), 0, 0
    for labelled in sida.data.read(seconds_taken):
        size, count = size + labelled.picture.pixels.nbytes, count + 1
    seconds = time.perf_counter() - started
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    print(f"{count} pictures, {size / 1e9:.1f} GB of pixels, {count / seconds:.0f} a second")
    print(f"peak memory of the process {int(peak[1]) / 1e6:.2f} GB" if peak else "")


def make(folder: Path, count: int) -> Path:
    """Photograph-like JPEGs (smooth shapes and grain) of quality 90, about 300 KB each."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
        smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        grain = rng.normal(0, 6, (SIDE, SIDE, 1))
        pixels = (smooth + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=90)
    return folder


def measure(paths: list[Path], workers: int, rounds: int) -> None:
    """Rates of both, and their ratio."""
    report = Report()
    samples = [Sample(path, "real", name=path.name, report=report) for path in paths]
    loaders: dict[str, Callable[[], int]] = {
        "Pillow, load() alone": lambda: in_threads(decode, paths, workers),
        "Pillow, into an array": lambda: in_threads(decode_to_array, paths, workers),
        "sida.data.read": lambda: count(sida.data.read(samples, workers)),
    }
    best = dict.fromkeys(loaders, 0.0)
    for _ in range(rounds):
        for name, run in loaders.items():
            started = time.perf_counter()
            count = run()
            best[name] = max(best[name], count / (time.perf_counter() - started))
            assert count == len(paths)
    size = sum(path.stat().st_size for path in paths) / len(paths)
    print(f"{len(paths)} pictures, {size / 1e3:.0f} KB on average, {workers} threads")
    for name, rate in best.items():
        print(f"{name:24} {rate:7.1f} pictures a second")
    rate = best["sida.data.read"]
    print(
        f"sida.data.read reaches {rate / best['Pillow, into an array']:.1%} of Pillow into an array"
    )


def in_threads(work: Callable[[Path], object], paths: list[Path], workers: int) -> int:
    """How many pictures went through."""
    with ThreadPoolExecutor(workers) as pool:
        return count(pool.map(work, paths))


def count(results: Iterable[object]) -> int:
    """Results are dropped at once, as they are in an epoch."""
    return sum(1 for _ in results)


def decode(path: Path) -> None:
    """The bare decode: nothing is done with the pixels."""
    with Image.open(path) as image:
        image.load()


def decode_to_array(path: Path) -> np.ndarray:
    """What a loader written by hand does at least."""
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


if __name__ == "__main__":
    main()
