"""Budgets of false accusations on saved predictions: what is asked for, found, and left.

    sida evaluate DATA --out evaluation
    python benchmarks/budget.py evaluation/predictions.jsonl
    python benchmarks/budget.py evaluation/predictions.jsonl --calibration calibration.json

First with the model's calibration, or that of `--calibration`: the share of real photographs that
score above the threshold of each budget, with its 95 % interval, and the share of the others that
still do. Then with a calibration on photographs of a source's own: of each source with enough real
photographs, and of all together, `--counts` of them are drawn for it, and the rest is judged; this
`--splits` times.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sida.errors import ConfigError
from sida.evaluation.budgets import BudgetCurve, calibration_of
from sida.evaluation.prediction_rows import PredictionRows, collect
from sida.evaluation.predictions import read_predictions
from sida.evaluation.scores import figures
from sida.evaluation.tables import figure_text
from sida.model.budget import BudgetCalibration, read_calibration
from sida.model.conformal import smallest_count, threshold
from sida.verdict import LABELS

LEFT = 5
"""Real photographs that must be left of a source; many splits make up for their small number."""
TOGETHER = "all sources together"


@dataclass(frozen=True)
class Split:
    """Figures of one source, one number of its photographs and one budget, over all splits.

    Attributes:
        accused: mean share of the rest of its real photographs above the threshold.
        low, high: 2.5th and 97.5th percentile of that share over the splits.
        found: mean share of pictures that are not real above the threshold: the source's own where
            it has any, else all.
    """

    source: str
    photographs: int
    budget: float
    rest: int
    accused: float
    low: float
    high: float
    found: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--calibration", type=Path, help="in the place of the model's own")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--counts", type=int, nargs="+", default=[30, 100])
    parser.add_argument("--splits", type=int, default=500)
    parser.add_argument("--json", type=Path, help="where the figures are written")
    options = parser.parse_args()
    rows = collect(read_predictions(options.predictions))
    content: dict[str, object] = {"predictions": str(options.predictions), "of_the_model": None}
    try:
        calibration = model_calibration(rows, options.calibration)
    except ConfigError as error:
        print(error)
    else:
        content["of_the_model"] = report_model(rows, calibration, options.budgets)
    splits = list(own_splits(rows, options.budgets, options.counts, options.splits))
    report_splits(splits)
    content["of_own_photographs"] = [asdict(split) for split in splits]
    if options.json:
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def model_calibration(rows: PredictionRows, path: Path | None) -> BudgetCalibration:
    """The calibration of the model that predicted. Raises ConfigError where there is none."""
    given = None if path is None else BudgetCalibration.parse(read_calibration(path), str(path))
    assert rows.model is not None
    return calibration_of(rows.model, given)


def report_model(
    rows: PredictionRows, calibration: BudgetCalibration, budgets: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Print and return the curve, with intervals."""
    curve = BudgetCurve(rows, calibration, budgets[0])
    found = figures([curve], rows.groups)
    print(f"threshold by {calibration.photographs} photographs of {calibration.set}")
    for (_, budget, name), figure in found.items():
        print(f"  budget {budget:5} {name:22} {figure_text(figure)}")
    return {
        budget: {"threshold": stated.threshold}
        | {name: figure._asdict() for (_, b, name), figure in found.items() if b == budget}
        for budget, stated in curve.budgets.items()
    }


def own_splits(
    rows: PredictionRows, budgets: Sequence[float], counts: Sequence[int], splits: int
) -> Iterator[Split]:
    """Figures of every source that has enough real photographs."""
    scores = 1 - rows.probabilities[:, LABELS.index("real")]
    sources = np.array([source or "no source" for source in rows.sources])
    is_real = rows.truth == LABELS.index("real")
    is_judged = ~rows.unsuitable
    for source in (*np.unique(sources), TOGETHER):
        is_own = (sources == source) | (source == TOGETHER)
        real = scores[is_real & is_judged & is_own]
        others = scores[~is_real & is_own]
        others = others if len(others) else scores[~is_real]
        for count in counts:
            for budget in budgets:
                if len(real) >= count + LEFT and count >= smallest_count(budget):
                    yield split_figures(str(source), real, others, count, budget, splits)


def split_figures(
    source: str,
    real: NDArray[np.float64],
    others: NDArray[np.float64],
    count: int,
    budget: float,
    splits: int,
) -> Split:
    """Figures over random splits of a source's real photographs."""
    rng = np.random.default_rng(0)
    accused, found = [], []
    for _ in range(splits):
        order = rng.permutation(real)
        limit = threshold(np.sort(order[:count]).tolist(), budget)
        accused.append(float((order[count:] > limit).mean()))
        found.append(float((others > limit).mean()))
    low, high = np.percentile(accused, [2.5, 97.5])
    means = float(np.mean(accused)), float(low), float(high), float(np.mean(found))
    return Split(source, count, budget, len(real) - count, *means)


def report_splits(splits: Sequence[Split]) -> None:
    for split in splits:
        print(
            f"{split.source}: {split.photographs} of its own, budget {split.budget:g}: accused "
            f"{split.accused:.3f} [{split.low:.3f}, {split.high:.3f}] of {split.rest} others; "
            f"found {split.found:.3f}"
        )
    for count in sorted({split.photographs for split in splits}):
        for budget in sorted({split.budget for split in splits}):
            same = [
                split
                for split in splits
                if (split.photographs, split.budget) == (count, budget) and split.source != TOGETHER
            ]
            if same:
                accused, found = (
                    np.mean([getattr(s, n) for s in same]) for n in ("accused", "found")
                )
                print(
                    f"mean over {len(same)} sources: {count} of its own, budget {budget:g}: "
                    f"accused {accused:.3f}, found {found:.3f}"
                )


if __name__ == "__main__":
    main()
