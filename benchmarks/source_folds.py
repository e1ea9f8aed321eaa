"""How well a recipe's model judges sources that it was not trained on, and what each part gives.

python benchmarks/source_folds.py DATA --forged DIR [--steps N] [--only NAME …] [--set KEY=VALUE]

DATA is a labelled set whose samples name their source. Sources are dealt into three folds that
each hold all classes; sources that share an original stay together. Each variant of the recipe is
trained three times, each time without one fold, and measured on it, and on what was forged of its
photographs. Prints a line a run, then a table in Markdown: mean, worst fold, and the recall of the
worst source.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))

import sida.data
from sida.data.sample import Sample
from sida.detector import Detector
from sida.evaluation.metrics import ece, equal_mass_bins
from sida.model import presets
from sida.model.calibration import Calibration
from sida.model.native import Pool
from sida.model.residuals import Residuals
from sida.train import train
from sida.train.calibration_fit import fit_scaling
from sida.train.validation import Validation, validate
from sida.verdict import LABELS

FOLDS = 3
SIDE = 128
"""Of pictures that are resized instead of cropped."""

Change = Callable[[ExitStack], None]


class Result(NamedTuple):
    """Outputs of a model on held-out sources: metrics, and recall by source and class."""

    scores: Validation
    metrics: dict[str, float]
    recalls: dict[str, float]


@dataclass(frozen=True)
class Variant:
    """A recipe with something taken out of it."""

    overrides: tuple[str, ...] = ()
    change: Change | None = None
    forged: bool = True
    resized: bool = False


def _without_residuals(stack: ExitStack) -> None:
    original = Residuals.forward

    def flat(self: Residuals, *options: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        residuals, maps = original(self, *options)
        return torch.zeros_like(residuals), torch.zeros_like(maps)

    stack.enter_context(patch.object(Residuals, "forward", flat))


def _without_grid(stack: ExitStack) -> None:
    original = Residuals.forward

    def flat(self: Residuals, *options: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        residuals, maps = original(self, *options)
        return residuals, torch.cat([maps[:, :6], torch.zeros_like(maps[:, 6:])], dim=1)

    stack.enter_context(patch.object(Residuals, "forward", flat))


def _without_statistics(stack: ExitStack) -> None:
    from sida.model.statistics import Statistics

    def nothing(self: Statistics, pixels: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        pictures = int(_[-1][-1]) + 1
        return pixels.new_zeros(pictures, Statistics.count)

    stack.enter_context(patch.object(Statistics, "forward", nothing))


def _detached(stack: ExitStack) -> None:
    original = Pool.forward

    def cut(
        self: Pool, x: torch.Tensor, maps: torch.Tensor, *remaining: torch.Tensor
    ) -> torch.Tensor:
        return original(self, x.detach(), maps.detach(), *remaining)

    stack.enter_context(patch.object(Pool, "forward", cut))


def _published_fusion(stack: ExitStack) -> None:
    def tiny() -> presets.SidaConfig:
        config = presets.tiny()
        config.fusion = "published"
        return config

    stack.enter_context(patch.dict(presets.PRESETS, tiny=tiny))


VARIANTS: Mapping[str, Variant] = {
    "all": Variant(),
    "no residual input": Variant(change=_without_residuals),
    "resized, not cropped": Variant(("crops=[]",), resized=True),
    "no aligned pairs": Variant(forged=False),
    "published fusion": Variant(change=_published_fusion),
    "no post-processing": Variant(("post_process=0",)),
    "no grid": Variant(change=_without_grid),
    "no statistics": Variant(change=_without_statistics),
    "class does not teach convolutions": Variant(change=_detached),
}


def dealt(samples: Sequence[Sample]) -> list[set[str]]:
    """Sources in three folds that all hold every class, about as many pictures each.

    The folds grow by the largest family of sources, where it is needed most.
    """
    families = _families(samples)
    folds: list[set[str]] = [set() for _ in range(FOLDS)]
    counts = np.zeros((FOLDS, len(LABELS)))
    for family in sorted(families, key=lambda f: -max(_counts(samples, f))):
        own_rows = _counts(samples, family)
        limit = int(np.argmax(own_rows / np.maximum(counts.sum(0) + own_rows, 1)))
        fold = min(range(FOLDS), key=lambda i: (counts[i, limit], counts[i].sum()))
        folds[fold] |= family
        counts[fold] += own_rows
    return folds


def _families(samples: Sequence[Sample]) -> list[set[str]]:
    """Sources that share a group, joined."""
    families: list[set[str]] = []
    groups: dict[str, set[str]] = {}
    for sample in samples:
        groups.setdefault(sample.group or sample.name, set()).add(sample.source or "")
    for sources in groups.values():
        touched = [family for family in families if family & sources]
        families = [family for family in families if not family & sources]
        families.append(sources.union(*touched))
    return families


def _counts(samples: Sequence[Sample], sources: set[str]) -> np.ndarray:
    of = [sample.label for sample in samples if sample.source in sources]
    return np.array([of.count(label) for label in LABELS])


def write_manifest(file: Path, samples: Sequence[Sample], side: int | None = None) -> None:
    """A table of samples where they lie; or, with `side`, of copies resized to that square."""
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "label", "mask", "source", "group"])
        for number, sample in enumerate(samples):
            indices = [sample.picture, sample.mask]
            if side is not None:
                indices = [_resized(file, number, index, side) for index in indices]
            paths = [str(Path(str(index)).resolve()) if index else "" for index in indices]
            writer.writerow([paths[0], sample.label, paths[1], sample.source, sample.group])


def _resized(file: Path, number: int, index: object, side: int) -> Path | None:
    if not index:
        return None
    with Image.open(str(index)) as image:
        is_mask = image.mode in ("1", "L") and "mask" in str(index)
        setting = Image.Resampling.NEAREST if is_mask else Image.Resampling.LANCZOS
        small = image.convert("L" if is_mask else "RGB").resize((side, side), setting)
    to = file.with_suffix("") / f"{number}{'_mask' if is_mask else ''}.png"
    to.parent.mkdir(exist_ok=True)
    small.save(to)
    return to


def run(
    variant: Variant,
    samples: Sequence[Sample],
    forged: Sequence[Sample],
    held_out: set[str],
    options: argparse.Namespace,
) -> Result:
    """Train without some sources, and measure on them."""
    seen_sources = {s.source for s in samples} - held_out
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        side = SIDE if variant.resized else None
        sets = {"own": [s for s in samples if s.source in seen_sources]}
        if variant.forged and forged:
            sets["forged"] = [s for s in forged if s.source in seen_sources]
        for name, members in sets.items():
            write_manifest(folder / f"{name}.csv", members, side)
        write_manifest(folder / "held.csv", _drawn_subset(samples, held_out, options.most), side)
        data = ",".join(str(folder / f"{name}.csv") for name in sets)
        if variant.change is not None:
            variant.change(stack)
        overrides = [f"data=[{data}]", f"max_steps={options.steps}", "workers=0", "trackers=[]"]
        overrides += [f"validate_every={options.steps}", f"save_every={options.steps}"]
        overrides += [*options.set, *variant.overrides]
        detector = Detector.load(train(options.recipe, folder / "out", overrides=overrides))
        new_sources = list(sida.data.open(folder / "held.csv"))
        scores = validate(detector.engine.model, detector.engine.processor, new_sources)
        metrics = _measured(scores)
        if forged:
            outputs = _drawn_subset(forged, held_out, options.most)
            write_manifest(folder / "made.csv", outputs, side)
            outputs = list(sida.data.open(folder / "made.csv"))
            trained = validate(detector.engine.model, detector.engine.processor, outputs)
            metrics |= {f"forged_{name}": value for name, value in _measured(trained).items()}
    return Result(scores, metrics, _by_source(scores, new_sources))


def _drawn_subset(samples: Sequence[Sample], held_out: set[str], limit: int | None) -> list[Sample]:
    """Samples of these sources, of each class at most so many, drawn."""
    order = np.random.default_rng(0).permutation(len(samples))
    subset = [samples[i] for i in order if samples[i].source in held_out]
    return [s for label in LABELS for s in [d for d in subset if d.label == label][:limit]]


def pooled_ece(runs: Sequence[Result]) -> float:
    """Calibration error over all folds, each scaled by what was fitted to the others."""
    labels = [np.array([LABELS.index(item) for item in run.scores.truth]) for run in runs]
    confidence, right = [], []
    for fold, run in enumerate(runs):
        other_sources = [i for i in range(len(runs)) if i != fold]
        scale, bias = fit_scaling(
            np.concatenate([runs[i].scores.class_logits for i in other_sources]),
            np.concatenate([labels[i] for i in other_sources]),
        )
        probabilities = Calibration(scale=(scale,) * 3, bias=bias).probabilities(
            run.scores.class_logits
        )
        confidence.append(probabilities.max(1))
        right.append(probabilities.argmax(1) == labels[fold])
    sure = np.concatenate(confidence)
    return float(ece(sure, np.concatenate(right), equal_mass_bins(sure)) or 0.0)


def _measured(scores: Validation) -> dict[str, float]:
    lines = scores.metrics(Calibration())
    return {
        "balanced_accuracy": lines["balanced_accuracy"],
        "auroc_real_vs_not": lines["auroc_real_vs_not"],
        "mask_f1": float(scores.mask_f1.mean(0).max()),
        "mask_f1_all_marked": float(scores.mask_f1[:, 0].mean()),
    }


def _by_source(scores: Validation, new_sources: Sequence[Sample]) -> dict[str, float]:
    predicted = scores.class_logits.argmax(1)
    hits: dict[str, list[bool]] = {}
    for sample, number in zip(new_sources, predicted, strict=True):
        hits.setdefault(f"{sample.source} {sample.label}", []).append(
            LABELS[number] == sample.label
        )
    return {name: float(np.mean(item)) for name, item in hits.items() if len(item) >= 8}


def table(runs: Mapping[str, Sequence[Result]]) -> str:
    """A row a variant."""
    columns = ("balanced_accuracy", "auroc_real_vs_not", "mask_f1")
    columns += tuple(f"forged_{name}" for name in columns)
    lines = [f"| variant | {' | '.join(columns)} | worst source | ECE |", "|---" * 9 + "|"]
    for name, folds in runs.items():
        values = [[fold.metrics.get(column, np.nan) for fold in folds] for column in columns]
        cells = [f"{np.mean(item):.3f} (worst {np.min(item):.3f})" for item in values]
        sources = {k: v for fold in folds for k, v in fold.recalls.items()}
        worst = min(sources, key=sources.__getitem__)
        cells += [f"{worst}: {sources[worst]:.2f}", f"{pooled_ece(folds):.3f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Train and measure each variant on each fold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--forged", help="a forged set of the same photographs")
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--most", type=int, help="pictures of a class that are measured a fold")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the recipe")
    options = parser.parse_args()
    samples = list(sida.data.open(options.data))
    forged = list(sida.data.open(options.forged)) if options.forged else []
    folds = dealt(samples)
    for fold in folds:
        print(dict(zip(LABELS, _counts(samples, fold).tolist(), strict=True)), sorted(fold))
    runs: dict[str, list[Result]] = {}
    for name in options.only:
        for number, held_out in enumerate(folds):
            result = run(VARIANTS[name], samples, forged, held_out, options)
            runs.setdefault(name, []).append(result)
            print(json.dumps({"variant": name, "fold": number, **result.metrics}), flush=True)
    print(table(runs))


if __name__ == "__main__":
    main()
