"""How long `sida detect one.jpg` takes from the shell, beside the imports it cannot do without.

python benchmarks/cold_start.py [--rounds 5]

In turn in one run: `sida --help`; a Python that imports torch and the classes of transformers that
the models are made of; `sida detect` on one JPEG of 1024 x 768. Prints seconds, and of the last the
peak memory.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

IMPORTS = """
import torch
from transformers import AutoConfig, CLIPVisionModel, LlamaModel, PreTrainedModel
from transformers.models.sam.modeling_sam import SamMaskDecoder, SamVisionEncoder
"""
SIDA = "import sys; from sida.cli import main; sys.argv[0] = 'sida'; main()"


def picture(place: Path) -> None:
    """A JPEG of 1024 x 768 with coarse colours and noise."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((1024, 768))) + rng.normal(0, 4, (768, 1024, 3))
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(place, quality=90)


def run(*arguments: str) -> tuple[float, int]:
    """Seconds, and the peak memory in bytes, of a fresh interpreter."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} ended with {status}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def main() -> None:
    """Measure in turn and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.jpg"
        picture(one)
        ways = {
            "`sida --help`": (SIDA, "--help"),
            "importing torch and the model classes": (IMPORTS,),
            "`sida detect one.jpg`": (SIDA, "detect", str(one)),
            "`sida detect one.jpg --mask-for all`": (SIDA, "detect", str(one), "--mask-for", "all"),
        }
        found: dict[str, list[tuple[float, int]]] = {name: [] for name in ways}
        for _ in range(rounds + 1):
            for name, arguments in ways.items():
                found[name].append(run(*arguments))
    print("| what | seconds, fastest | median | peak memory, MB |\n|---|---|---|---|")
    for name, pairs in found.items():
        seconds = [pair[0] for pair in pairs[1:]]  # the first round fills the disk's cache
        peak = max(pair[1] for pair in pairs) / 1e6
        print(f"| {name} | {min(seconds):.2f} | {statistics.median(seconds):.2f} | {peak:.0f} |")
    above = [
        detect[0] - imports[0] for imports, detect in zip(*list(found.values())[1:3], strict=True)
    ][1:]
    print(
        f"\nAbove the imports: fastest {min(above):.2f} s, median {statistics.median(above):.2f} s."
    )


if __name__ == "__main__":
    main()
