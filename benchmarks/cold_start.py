"""How long `sida detect one.jpg` takes from the shell, beside the imports it cannot do without.

python benchmarks/cold_start.py [--rounds 5]

In turn in one run: `sida --help`; a Python that imports torch and the classes of transformers that
the models are made of; `sida detect` on one JPEG of 1024 x 768. Prints seconds on the clock and
of the processor, and peak memory.
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


def picture(path: Path) -> None:
    """A JPEG of 1024 x 768 with coarse colours and noise."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((1024, 768))) + rng.normal(0, 4, (768, 1024, 3))
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90)


def run(*arguments: str) -> tuple[float, float, int]:
    """Seconds on the clock and of the processor, and peak memory in bytes, of a new interpreter."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} ended with {status}")
    used = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - start, used, usage.ru_maxrss * 1024


def main() -> None:
    """Measure in turn and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "one.jpg"
        picture(start)
        ways = {
            "`sida --help`": (SIDA, "--help"),
            "importing torch and the model classes": (IMPORTS,),
            "`sida detect one.jpg`": (SIDA, "detect", str(start)),
            "`sida detect one.jpg --mask-for all`": (
                SIDA,
                "detect",
                str(start),
                "--mask-for",
                "all",
            ),
        }
        seconds: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
        for _ in range(rounds + 1):
            for name, arguments in ways.items():
                seconds[name].append(run(*arguments))
    print("| what | seconds, fastest | median | of the processor, median | peak memory, MB |")
    print("|---|---|---|---|---|")
    for name, runs in seconds.items():
        clock, processor, memory = zip(*runs[1:], strict=True)  # the first fills the disk's cache
        print(
            f"| {name} | {min(clock):.2f} | {statistics.median(clock):.2f} | "
            f"{statistics.median(processor):.2f} | {max(memory) / 1e6:.0f} |"
        )
    imports, detect = list(seconds.values())[1:3]
    for which, name in enumerate(("on the clock", "of the processor")):
        above = [b[which] - a[which] for a, b in zip(imports[1:], detect[1:], strict=True)]
        print(
            f"\n`sida detect one.jpg` above the imports, {name}: "
            f"fastest {min(above):.2f} s, median {statistics.median(above):.2f} s."
        )


if __name__ == "__main__":
    main()
