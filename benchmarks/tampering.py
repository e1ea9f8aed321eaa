"""Where images were altered, and whether: the yardstick of masks, on labelled folders.

    python benchmarks/tampering.py DATA --model small tiny --deliveries as_is jpeg_70 resize_0.5

For each folder, model and delivery: F1 of masks at the model's own threshold and at the best one of
256 for the whole folder, pixel AUC, and AUROC of real against tampered and of tampered against the
rest by the probability of "tampered" and by the map alone (mean of its strongest 64th). Then the
same by operation, source and size of the region. A white mask and a blob in the middle stand
beside. Missed regions count as 0, as everywhere in `sida evaluate`.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import sida.data
from sida import Detector, Verdict
from sida.cli.progress import progress_bar
from sida.data.sample import Sample
from sida.errors import PictureError
from sida.evaluation.metrics import f1, histograms, pixel_auc
from sida.image.perturbation import perturb

SIZES = ((0.02, "below 2 %"), (0.1, "2 to 10 %"), (0.3, "10 to 30 %"), (1.01, "above 30 %"))


@dataclass(frozen=True)
class Measured:
    """One image.

    Attributes:
        tampered: its probability.
        strongest: mean of the strongest 64th of its probability map.
        counts: (2, 256) altered and untouched pixels by level of the map; None where not tampered.
        f1: at the model's threshold; of a white mask; of a blob in the middle.
    """

    label: str
    source: str
    operation: str
    tampered: float
    strongest: float
    share: float = 0.0
    counts: NDArray[np.int64] | None = None
    f1: float = 0.0
    f1_white: float = 0.0
    f1_blob: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--model", nargs="+", default=["small"])
    parser.add_argument("--deliveries", nargs="+", default=["as_is"], help="or names of `perturb`")
    parser.add_argument("--every", type=int, default=1, help="only every n-th image of a label")
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    figures = []
    for model in options.model:
        detector = Detector.load(model)
        for data in options.data:
            for delivery in options.deliveries:
                measured = list(measure(detector, data, delivery, options.every))
                figures.append({"model": model, "data": data.name, "delivery": delivery})
                figures[-1] |= {"figures": report(f"{model}, {data.name}, {delivery}", measured)}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def measure(detector: Detector, data: Path, delivery: str, every: int) -> Iterator[Measured]:
    """Each readable image of a labelled folder."""
    by_label = defaultdict(list)
    for sample in sida.data.open(data, further=True):
        by_label[sample.label].append(sample)
    samples = [sample for group in by_label.values() for sample in group[::every]]
    with progress_bar(f"{data.name}, {delivery}") as show:
        for number, sample in enumerate(samples):
            show(number, len(samples))
            try:
                pixels = sample.read().pixels
                mask = sample.read_mask() if sample.label == "tampered" else None
            except PictureError as error:
                print(f"left out: {error}")
                continue
            if delivery != "as_is":
                pixels, mask = perturb(delivery, pixels, mask, 0)
            verdict = detector.detect(pixels, masks="all")
            yield measured(sample, verdict, None if mask is None else mask >= 128)


def measured(sample: Sample, verdict: Verdict, mask: NDArray[np.bool_] | None) -> Measured:
    """The figures of one verdict."""
    levels = verdict.probability_map
    assert levels is not None
    ordered = np.sort(levels, axis=None)
    strongest = float(ordered[-max(1, levels.size // 64) :].mean())
    operation = str(sample.more.get("operation") or "")
    known = (sample.label, sample.source or "", operation)
    if mask is None or not mask.any():
        return Measured(*known, verdict.probabilities.tampered, strongest)
    marked = verdict.mask > 0 if verdict.mask is not None else np.zeros_like(mask)
    return Measured(
        *known,
        verdict.probabilities.tampered,
        strongest,
        share=float(mask.mean()),
        counts=histograms(mask, np.rint(levels * 255).astype(np.uint8)),
        f1=f1(mask, marked),
        f1_white=f1(mask, np.ones_like(mask)),
        f1_blob=f1(mask, blob(mask.shape)),
    )


def blob(size: tuple[int, ...]) -> NDArray[np.bool_]:
    """(height, width) bool: a circle in the middle, half as wide as the shorter side."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    distance = (rows - size[0] / 2) ** 2 + (columns - size[1] / 2) ** 2
    return np.asarray(distance <= (min(size) / 4) ** 2)


def report(title: str, rows: Sequence[Measured]) -> dict[str, float]:
    """Print the tables of one folder; returns its main figures."""
    altered = [row for row in rows if row.counts is not None]
    best, level = best_level(altered)
    figures = {
        "f1": mean(altered, lambda row: row.f1),
        "f1_best": best,
        "threshold_best": level / 255,
        "pixel_auc": mean(altered, lambda row: pixel_auc(row.counts)),
        "f1_white": mean(altered, lambda row: row.f1_white),
        "f1_blob": mean(altered, lambda row: row.f1_blob),
        "auroc_real_vs_tampered": auroc(rows, "real", "tampered"),
        "auroc_rest_vs_tampered": auroc(rows, None, "tampered"),
        "auroc_map_real_vs_tampered": auroc(rows, "real", "strongest"),
    }
    print(f"\n{title}: {len(rows)} images, {len(altered)} with a region")
    for name, value in figures.items():
        print(f"  {name:<28}{value:.3f}")
    for name, key in (
        ("operation", lambda row: row.operation),
        ("source", lambda row: row.source),
        ("size of the region", lambda row: next(text for top, text in SIZES if row.share < top)),
    ):
        print(f"  by {name:<42}images     F1  pixel AUC")
        groups = defaultdict(list)
        for row in altered:
            groups[key(row)].append(row)
        for group, members in sorted(groups.items(), key=lambda item: -len(item[1])):
            area = mean(members, lambda row: pixel_auc(row.counts))
            score = mean(members, lambda row: row.f1)
            print(f"    {group[:42]:<43}{len(members):>6}  {score:5.3f}  {area:9.3f}")
    return figures


def best_level(rows: Sequence[Measured]) -> tuple[float, int]:
    """The best mean F1 that one level for all images gives, and that level."""
    scores = np.zeros(256)
    for row in rows:
        assert row.counts is not None
        marked = row.counts[:, ::-1].cumsum(1)[:, ::-1]
        scores += 2 * marked[0] / (marked.sum(0) + row.counts[0].sum())
    scores /= max(1, len(rows))
    return float(scores.max()), int(scores.argmax())


def mean(rows: Sequence[Measured], figure: Callable[[Measured], float | None]) -> float:
    """Mean over the images that have the figure."""
    values = [value for row in rows if (value := figure(row)) is not None]
    return float(np.mean(values)) if values else float("nan")


def auroc(rows: Sequence[Measured], against: str | None, score: str) -> float:
    """Of tampered images against those of one label, or all others, by a field of `Measured`."""
    chosen = [row for row in rows if against is None or row.label in (against, "tampered")]
    truth = [row.label == "tampered" for row in chosen]
    return float(roc_auc_score(truth, [asdict(row)[score] for row in chosen]))


if __name__ == "__main__":
    main()
