"""How well a model judges labelled folders, as a user would see it: calibrated, free running.

python benchmarks/embedded_model.py DATA... [--model NAME]

Prints a Markdown table: each figure with its 95 % interval over 1,000 bootstrap samples of groups.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

import sida.data
from sida import Detector, Verdict
from sida.evaluation.metrics import Order, auroc, balanced_accuracy, confusion, f1, recalls
from sida.verdict import LABELS


class Row(NamedTuple):
    """One judged picture; `overlap` is the F1 of its mask, None unless it is tampered."""

    group: str
    truth: str
    label: str
    not_real: float
    overlap: float | None


def judge(detector: Detector, data: str) -> list[Row]:
    """Every readable picture of a labelled set; a missed detection has mask F1 0."""
    rows = []
    samples = list(sida.data.open(data))
    verdicts = detector.detect_many(sample.picture for sample in samples)
    for sample, verdict in zip(samples, verdicts, strict=True):
        if not isinstance(verdict, Verdict):
            continue
        truth = sample.read_mask() if sample.label == "tampered" else None
        overlap = None
        if truth is not None:
            overlap = 0.0 if verdict.mask is None else f1(truth >= 128, verdict.mask)
        not_real = 1 - verdict.probabilities.real
        rows.append(
            Row(sample.group or sample.name, sample.label, verdict.label, not_real, overlap)
        )
    return rows


def table(rows: Sequence[Row]) -> np.ndarray:
    """Confusion of true and stated labels."""
    truth = [LABELS.index(row.truth) for row in rows]
    return confusion(np.array(truth, int), np.array([LABELS.index(r.label) for r in rows], int))


def recall(label: str) -> Callable[[Sequence[Row]], float | None]:
    """Share of a class that was found."""
    return lambda rows: recalls(table(rows)).get(label)


def ranking(rows: Sequence[Row]) -> float | None:
    """AUROC of real against not real."""
    positive = np.array([row.truth != "real" for row in rows])
    return auroc(Order(positive, np.array([row.not_real for row in rows])))


def mask_f1(rows: Sequence[Row]) -> float | None:
    """Mean F1 of masks over tampered pictures."""
    found = [row.overlap for row in rows if row.overlap is not None]
    return float(np.mean(found)) if found else None


def false_alarms(rows: Sequence[Row]) -> float | None:
    """Share of real pictures that are called something else."""
    found = recall("real")(rows)
    return None if found is None else 1 - found


FIGURES: dict[str, Callable[[Sequence[Row]], float | None]] = {
    "balanced accuracy, three classes": lambda rows: balanced_accuracy(table(rows)),
    "AUROC, real against not real": ranking,
    "recall, real": recall("real"),
    "recall, full synthetic": recall("full_synthetic"),
    "recall, tampered": recall("tampered"),
    "false alarms on real pictures": false_alarms,
    "mask F1 at 0.5, mean over tampered (missed = 0)": mask_f1,
}


def interval(
    rows: Sequence[Row], figure: Callable[[Sequence[Row]], float | None]
) -> tuple[float, float]:
    """95 % interval over bootstrap samples of groups."""
    rng = np.random.default_rng(0)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    names = list(groups)
    values = []
    for _ in range(1000):
        chosen = rng.choice(len(names), len(names))
        sample = [row for i in chosen for row in groups[names[i]]]
        if (value := figure(sample)) is not None:
            values.append(value)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    """Judge each set and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--model", default="tiny")
    options = parser.parse_args()
    detector = Detector.load(options.model)
    sets = {data: judge(detector, data) for data in options.data}
    print("| figure | " + " | ".join(f"{data} ({len(rows)})" for data, rows in sets.items()) + " |")
    print("|---|" + "---|" * len(sets))
    for name, figure in FIGURES.items():
        cells = []
        for rows in sets.values():
            value = figure(rows)
            low, high = interval(rows, figure)
            cells.append(
                "not measured" if value is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"
            )
        print(f"| {name} | " + " | ".join(cells) + " |")
    for data, rows in sets.items():
        print(f"\nConfusion of {data}, true by stated: {table(rows).tolist()}")


if __name__ == "__main__":
    main()
