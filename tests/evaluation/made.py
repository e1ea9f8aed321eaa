"""Predictions to try on: files whose figures can be worked out by hand, and many random ones."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sida.evaluation.predictions import Prediction, Truth
from sida.verdict import LABELS, Localization, ModelInfo, Probabilities, Verdict

MODEL = ModelInfo(name="made", version="1", digest="0" * 64)
SIDE = 8


def prediction(
    folder: Path,
    truth: str,
    shares: tuple[float, float, float],
    index: int,
    mask: np.ndarray | None = None,
    levels: np.ndarray | None = None,
    **extra: Any,
) -> Prediction:
    """A line and its files; the label is the class with the largest share."""
    label = LABELS[int(np.argmax(shares))]
    names = {}
    for name, array in (("truth", mask), ("maps", levels)):
        if array is not None:
            (folder / name).mkdir(exist_ok=True)
            names[name] = f"{name}/{index}.png"
            Image.fromarray(array).save(folder / names[name])
    share = 0.0 if levels is None else float((levels >= 128).mean())
    verdict = Verdict(
        image=f"{index}.png",
        width=SIDE,
        height=SIDE,
        label=label,
        probabilities=Probabilities(**dict(zip(LABELS, shares, strict=True))),
        localization=Localization(area=share, threshold=0.5) if label == "tampered" else None,
        model=MODEL,
        seconds=index,
    )
    truth_fields = Truth(label=truth, mask=names.get("truth"), **extra)  # type: ignore[arg-type]
    return Prediction.of(
        verdict, truth_fields, map_file=names.get("maps"), index=index, folder=folder
    )


def random_predictions(folder: Path, count: int, seed: int = 0) -> list[Prediction]:
    """Pictures of every class in turn, judged by a model that is often right; pairs are groups."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        weight = rng.dirichlet([1, 1, 1]) + 0.4 * (np.arange(3) == index % 3)
        shares = tuple(map(float, weight / weight.sum()))
        extra = {"source": f"source {index % 2}", "group": f"g{index // 2}"}
        mask = levels = None
        if LABELS[index % 3] == "tampered":
            mask = rng.random((SIDE, SIDE)) < 0.3
            levels = rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
        made.append(prediction(folder, LABELS[index % 3], shares, index, mask, levels, **extra))
    return made


def write(folder: Path, lines: list[Prediction], name: str = "predictions.jsonl") -> Path:
    """A file of predictions."""
    file = folder / name
    file.write_text("".join(line.model_dump_json() + "\n" for line in lines))
    return file
