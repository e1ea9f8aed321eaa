"""Throughput and memory over a folder of pictures of mixed sizes.

python benchmarks/folder.py [--count 2000] [--batch-size N] [--model NAME] [--size 1024x768]
    [--masks all|tampered|none]

Writes JPEGs into a temporary folder, judges them all, and prints images a second and the resident
memory after each tenth of them. Without --size they have sides from 64 to 1600 pixels.
"""

import argparse
import re
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sida import Detector
from sida.inference.malloc import keep_freed


def write(folder: Path, count: int, size: tuple[int, int] | None) -> list[Path]:
    """JPEGs of coarse colours and noise."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        width, height = size or (int(s) for s in np.exp(rng.uniform(np.log(64), np.log(1600), 2)))
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8))
        picture = coarse.resize((width, height))
        noise = Image.effect_noise((width, height), 20).convert("RGB")
        paths.append(folder / f"{i:05}.jpg")
        Image.blend(picture, noise, 0.3).save(paths[-1], quality=88)
    return paths


def resident() -> int:
    """Bytes of this process that are in memory now."""
    status = Path("/proc/self/status").read_text()
    files = re.search(r"VmRSS:\s+(\d+)", status)
    return 1024 * int(files[1]) if files else 0


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--size")
    parser.add_argument("--masks", default="all", choices=["all", "tampered", "none"])
    options = parser.parse_args()
    size = tuple(map(int, options.size.split("x"))) if options.size else None
    keep_freed()
    detector = Detector.load(options.model, batch_size=options.batch_size or "auto")
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), options.count, size)
        start, cpu = time.perf_counter(), time.process_time()
        memory = []
        for count, verdict in enumerate(detector.detect_many(paths, masks=options.masks), 1):
            assert verdict.image == str(paths[count - 1])
            if count % max(1, options.count // 10) == 0:
                memory.append(resident())
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
    print(
        f"{options.count} pictures in {seconds:.1f} s: {options.count / seconds:.2f} a second; "
        f"{used / options.count:.3f} s of processor time each"
    )
    print("resident memory, MB: " + ", ".join(f"{file / 1e6:.0f}" for file in memory))


if __name__ == "__main__":
    main()
