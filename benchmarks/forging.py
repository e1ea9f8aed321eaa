"""How many altered pairs a second the trainer's workers make.

    python benchmarks/forging.py                        # 60 photographs, made on the spot
    python benchmarks/forging.py --photographs FOLDER   # those of a folder or a labelled set
    python benchmarks/forging.py --workers 2            # processes; 0 is this one alone
    python benchmarks/forging.py --codecs FOLDER        # with autoencoders and decoders

A pair is a photograph of 384 px that is read, perhaps decorated, altered and delivered together
with its original. Every process computes in one thread. The first rate is that of the clock, the
second that of processor time, which a busy machine changes less; it needs `--workers 0`. Below
stands the processor time of each operation alone.
"""

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from sida.forge.alter import alter
from sida.forge.codecs import load_codecs
from sida.forge.operations import OPERATIONS
from sida.forge.photographs import Photograph, find_photographs
from sida.forge.tamper import Codec
from sida.train.alterations import Alterations

SIDE = 384


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--photographs", type=Path, help="instead of made ones")
    parser.add_argument("--count", type=int, default=200, help="pairs")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--codecs", type=Path, help="folder of autoencoders and decoders")
    given = parser.parse_args()
    codecs = load_codecs(given.codecs) if given.codecs else []
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as units:
        photographs = find_photographs(given.photographs or make(Path(units), 60))
        measure_pairs(photographs, codecs, given.count, given.workers)
        measure_operations(photographs, codecs)


def make(folder: Path, count: int) -> Path:
    """Photograph-like JPEGs (smooth shapes and grain) of 512 px."""
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
        smooth = np.asarray(coarse.resize((512, 512), Image.Resampling.BICUBIC))
        grain = rng.normal(0, 6, (512, 512, 1))
        pixels = (smooth + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04}.jpg", quality=90)
    return folder


def measure_pairs(
    photographs: list[Photograph], codecs: list[Codec], count: int, workers: int
) -> None:
    """The rate of the trainer's data set, and how often each operation came."""
    loader = torch.utils.data.DataLoader(
        Alterations(photographs, seed=0, side=SIDE, codecs=codecs),
        batch_size=None, sampler=range(count), num_workers=workers, collate_fn=lambda pair: pair,
    )  # fmt: skip
    operations: Counter[str] = Counter()
    areas, pixels = [], 0
    started, began = time.perf_counter(), time.process_time()
    for pair in loader:
        operations.update(pair.operations)
        areas.append(float(pair.mask.mean()))
        pixels += pair.mask.size
    seconds, computed = time.perf_counter() - started, time.process_time() - began
    core = f" ({count / computed:.1f} a core)" if not workers else ""
    print(
        f"{count} pairs, {workers} workers: {count / seconds:.1f} a second{core}, "
        f"{(pixels / count) ** 0.5:.0f} px on average, {np.mean(areas):.3f} of them altered"
    )
    print(", ".join(f"{name} {number}" for name, number in operations.most_common()))


def measure_operations(
    photographs: list[Photograph], codecs: list[Codec], rounds: int = 10
) -> None:
    """Milliseconds of each operation on a picture of 384 px, region and all."""
    pictures = [
        np.asarray(Image.fromarray(item.read().pixels).resize((SIDE, SIDE)))
        for item in photographs[: rounds + 1]
    ]
    for name, operation in OPERATIONS.items():
        if operation.needs_codec and not codecs:
            continue
        started = time.process_time()
        for number, pixels in enumerate(pictures[:-1]):
            rng = np.random.default_rng(number)
            alter(pixels, rng, pictures[-1:], codecs=codecs, operations=[name])
        print(f"{name:17} {1000 * (time.process_time() - started) / rounds:5.0f} ms")


if __name__ == "__main__":
    main()
