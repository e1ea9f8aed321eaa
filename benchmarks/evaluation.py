"""How long the whole table takes, and how much memory, on synthetic predictions with masks.

python benchmarks/evaluation.py FOLDER [--count 100000] [--side 256]

FOLDER gets the predictions first (a third of each class, a map for each tampered picture), which is
not counted. Then they are measured in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sida.evaluation.predictions import Prediction, Truth
from sida.verdict import LABELS, Localization, ModelInfo, Probabilities, Verdict

MODEL = ModelInfo(name="synthetic", version="1", digest="0" * 64)


def write(folder: Path, count: int, side: int) -> None:
    """Predictions of a model that is right more often than not."""
    rng = np.random.default_rng(0)
    (folder / "maps").mkdir(parents=True)
    (folder / "truth").mkdir()
    with (folder / "predictions.jsonl").open("w", encoding="utf-8") as stream:
        for index in range(count):
            print(line(rng, folder, index, side).model_dump_json(), file=stream)


def line(rng: np.random.Generator, folder: Path, index: int, side: int) -> Prediction:
    """One picture's line, with its files."""
    label = LABELS[index % 3]
    scores = rng.dirichlet([1, 1, 1]) + 0.5 * (np.arange(3) == index % 3)
    shares = scores / scores.sum()
    prediction = LABELS[int(shares.argmax())]
    mask = map_file = None
    if label == "tampered":
        mask, map_file = f"truth/{index:06d}.png", f"maps/{index:06d}.png"
        save_maps(rng, folder / mask, folder / map_file, side)
    verdict = Verdict(
        image=f"{label}/{index:06d}.png",
        width=side,
        height=side,
        label=prediction,
        probabilities=Probabilities(**dict(zip(LABELS, map(float, shares), strict=True))),
        localization=Localization(area=0.1, threshold=0.5) if prediction == "tampered" else None,
        model=MODEL,
        seconds=0,
    )
    truth = Truth(label=label, mask=mask, source=f"source {index % 20}", group=f"g{index // 2}")
    return Prediction.of(verdict, truth, map_file=map_file, index=index)


def save_maps(rng: np.random.Generator, mask: Path, levels: Path, side: int) -> None:
    """A rectangle, and a smooth map that finds it in part."""
    truth = np.zeros((side, side), bool)
    left, top = rng.integers(0, side // 2, 2)
    truth[top : top + side // 3, left : left + side // 3] = True
    coarse = Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8))
    noise = np.array(coarse.resize((side, side), Image.Resampling.BICUBIC), np.float32)
    metrics = (0.6 * noise + 100 * truth).clip(0, 255).astype(np.uint8)
    Image.fromarray(truth).save(mask)
    Image.fromarray(metrics).save(levels)


def main() -> None:
    """Write, measure in another process, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--side", type=int, default=256)
    options = parser.parse_args()
    if not (options.folder / "predictions.jsonl").is_file():
        write(options.folder, options.count, options.side)
    out = options.folder / "measured"
    command = [sys.executable, "-m", "sida", "evaluate", "--out", str(out), "--fresh", "--from"]
    start = time.perf_counter()
    subprocess.run(
        [*command, str(options.folder / "predictions.jsonl")], check=True, stdout=subprocess.DEVNULL
    )
    minutes = (time.perf_counter() - start) / 60
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    figures = sum(len(metrics[part]) for part in ("detection", "localization"))
    print(
        f"{metrics['count']} pictures, {figures} figures beside those by class and source, with "
        f"intervals: {minutes:.2f} minutes, {peak:.0f} MB at most"
    )


if __name__ == "__main__":
    main()
