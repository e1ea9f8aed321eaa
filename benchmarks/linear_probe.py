"""A linear probe of the frozen encoder of `small`: the floor that the network has to stand above.

    python benchmarks/linear_probe.py --train DATA MORE --test OTHER --cache FEATURES

Logistic regression of photographs against fully synthetic pictures, on what the encoder makes of
them: standardised, every source weighted by the square root of its size. Prints, for each part of
the features, AUROC and the share of synthetic pictures that is found at 10 % and at 5 % false
accusations. With the cache of a training run nothing is computed twice.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.preprocessing import StandardScaler

import sida.data
from sida.cli.progress import progress_bar
from sida.model.clip_windows import ClipWindows
from sida.train.cache import FeatureCache
from sida.train.config import TrainConfig
from sida.train.initialization import initialize_model
from sida.train.loader import view_sample

STRENGTH = 3e-4
"""scikit-learn's C; a tenth and ten times of it make little difference."""


class Features(NamedTuple):
    """Vectors (pictures, features), 1 for a synthetic picture, and the source of each."""

    vectors: np.ndarray
    synthetic: np.ndarray
    sources: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--test", type=Path, nargs="+", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--views", type=int, default=0, help="re-deliveries beside each picture")
    parser.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    options = parser.parse_args()
    recipe = TrainConfig(
        preset="small",
        trained=("class_head",),
        cache=options.cache,
        views=options.views,
        frozen_precision=options.dtype,
        loss={"text": 0},
    )
    encoder = Encoder(recipe)
    train = encoder.features(options.train, options.views)
    for folder in options.test:
        test = encoder.features([folder], 0)
        print(f"{folder.name}: {len(test.synthetic)} pictures; trained on {len(train.synthetic)}")
        for name, columns in encoder.parts().items():
            scores = fit_and_score(train, test.vectors, columns)
            print(f"  {name:<22}{describe(test.synthetic, scores)}")


class Encoder:
    """The frozen encoder with its cache."""

    def __init__(self, recipe: TrainConfig) -> None:
        model, self.processor = initialize_model(recipe)
        assert isinstance(model.encoder, ClipWindows)
        self.encoder = model.eval().encoder
        self.cache = FeatureCache(model, recipe)

    def features(self, folders: list[Path], crops: int) -> Features:
        """Features of real and synthetic pictures, and of their re-deliveries."""
        samples = [
            sample
            for folder in folders
            for sample in sida.data.open(folder)
            if sample.label != "tampered"
        ]
        rows, labels, sources = [], [], []
        with progress_bar("Encoding") as show:
            for count, sample in enumerate(samples):
                show(count, len(samples))
                for crop in range(crops + 1):
                    pixels = view_sample(sample, crop).pixels
                    inputs, _ = self.processor([pixels], masks=False)
                    key = self.cache.key(pixels)
                    rows.append(self.cache.make(inputs, [key], [False]).vision[0].numpy())
                    labels.append(sample.label == "full_synthetic")
                    sources.append(f"{sample.source}|{sample.label}")
        return Features(np.stack(rows), np.array(labels), np.array(sources))

    def parts(self) -> dict[str, slice]:
        """Name -> columns of the vectors."""
        count = self.encoder.whole_count
        return {
            "whole picture": slice(0, count),
            "local evidence": slice(count, None),
            "both": slice(None),
        }


def fit_and_score(train: Features, test: np.ndarray, columns: slice) -> np.ndarray:
    """Scores (pictures,) of test vectors by a regression on some columns."""
    scaler = StandardScaler().fit(train.vectors[:, columns])
    _, number, size = np.unique(train.sources, return_inverse=True, return_counts=True)
    weights = size[number] ** -0.5
    for label in (False, True):
        weights[train.synthetic == label] /= weights[train.synthetic == label].sum()
    model = LogisticRegression(C=STRENGTH, max_iter=1000)
    inputs = scaler.transform(train.vectors[:, columns])
    model.fit(inputs, train.synthetic, sample_weight=weights * len(weights) / 2)
    return model.decision_function(scaler.transform(test[:, columns]))


def describe(synthetic: np.ndarray, scores: np.ndarray) -> str:
    """AUROC, and the share found at two rates of false accusations."""
    false, true, _ = roc_curve(synthetic, scores)
    score = [float(true[false <= rate].max()) for rate in (0.1, 0.05)]
    area = roc_auc_score(synthetic, scores)
    return f"AUROC {area:.3f}, found at 10 % {score[0]:.2f}, at 5 % {score[1]:.2f}"


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
