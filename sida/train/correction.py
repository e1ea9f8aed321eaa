"""A linear correction of a frozen model's class logits, fitted to new pictures and known ones.

A multinomial logistic regression with the frozen model's logits as offset: at zero the model is
what it was, and an L2 penalty holds it there as far as the pictures allow. Pictures that the model
was trained on are fitted beside the new ones (experience replay), so that what was known is not
forgotten. Folds by original decide how strong the penalty is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from sida.model.calibration import Calibration
from sida.model.clip_windows import SYNTHETIC, TAMPERED, ClipWindows
from sida.model.sida import Sida
from sida.train.class_features import ClassFeatures
from sida.train.folds import assign_folds
from sida.train.lbfgs import minimize
from sida.verdict import LABELS

__all__ = ["Correction", "FittedCorrection", "fit_correction", "relative_penalties"]

PENALTIES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
"""Of which one is chosen, the strongest first; `relative_penalties` multiplies them."""
ITERATIONS = 100


class Correction(NamedTuple):
    """Numbers that are added to class logits.

    Attributes:
        weight: (3, count) of features.
        bias: (3,).
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def logits(self, pictures: ClassFeatures) -> np.ndarray:
        """Corrected class logits (pictures, 3)."""
        change = F.linear(pictures.features, self.weight, self.bias)
        return np.asarray((pictures.logits + change).numpy())


class FittedCorrection(NamedTuple):
    """A correction, and how it was chosen.

    Attributes:
        correction: fitted to all pictures.
        penalty: the strength that was chosen.
        held_out_logits: (own pictures, 3), each by a correction that saw nothing of its original.
    """

    correction: Correction
    penalty: float
    held_out_logits: np.ndarray


def relative_penalties(model: Sida) -> torch.Tensor:
    """Relative L2 penalty (3, count + 1) of the weights and, in the last column, the biases.

    It is the number of features that speak for a class, so that few of them may change its logit
    as much as many. It is infinite where a feature may not speak: of `ClipWindows` where it may not
    for the evidence head, and for "real", which the other classes are relative to.
    """
    encoder, count = model.encoder, model.class_feature_count
    penalties = torch.full((len(LABELS), count + 1), torch.inf)
    penalties[1:, -1] = 1
    for label in (SYNTHETIC, TAMPERED):
        columns = slice(0, count)
        if isinstance(encoder, ClipWindows):
            columns = encoder.evidence_columns(label)
        penalties[label, columns] = len(range(count)[columns])
    return penalties


def fit_correction(
    own: ClassFeatures,
    replay: ClassFeatures,
    calibration: Calibration,
    penalties: torch.Tensor,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda count, total: None,
) -> FittedCorrection:
    """The correction with the penalty that suits pictures whose originals were not seen.

    Args:
        own: the user's pictures; of each class that they have, two originals at least.
        replay: pictures that the model was trained on, of all classes.
        calibration: of the frozen model.
        penalties: `relative_penalties` of the model.

    Raises:
        DataError: a class has only one original.
    """
    problem = _Problem.of(own, replay, calibration, penalties)
    folds = np.concatenate([_folds(own, seed), _folds(replay, seed)])
    count = int(folds.max()) + 1
    total = len(PENALTIES) * count + 1
    # Each fit begins at that under the next stronger penalty, which is near.
    weights = [torch.zeros(problem.free.shape)] * count
    losses, held_out_logits = [], []
    for number, penalty in enumerate(PENALTIES):
        logits = torch.zeros_like(problem.offset)
        for fold in range(count):
            rows = torch.from_numpy(folds == fold)
            weights[fold] = problem.solve(~rows, penalty, weights[fold])
            logits[rows] = problem.logits(weights[fold], rows)
            on_progress(number * count + fold + 1, total)
        losses.append(float(problem.loss(logits, torch.ones(len(logits), dtype=torch.bool))))
        held_out_logits.append(logits[: len(own.labels)])
    best = int(np.argmin(losses))
    solution = problem.solve(
        torch.ones(len(folds), dtype=torch.bool), PENALTIES[best], torch.zeros(problem.free.shape)
    )
    on_progress(total, total)
    # The calibration stays: what it does to the logits is undone in the correction.
    scale, shift = torch.tensor(calibration.scale), torch.tensor(calibration.bias)
    weight = solution[:, :-1] / problem.deviation
    bias = solution[:, -1] - weight @ problem.mean
    raw = (held_out_logits[best] - shift) / scale
    return FittedCorrection(
        Correction(weight / scale[:, None], bias / scale), PENALTIES[best], np.asarray(raw.numpy())
    )


def _folds(pictures: ClassFeatures, seed: int) -> np.ndarray:
    classes = [LABELS[label] for label in np.unique(pictures.labels)]
    return assign_folds(pictures.labels, pictures.groups, seed, classes)


class _Problem(NamedTuple):
    """The regression: own pictures first, then those of the replay.

    Attributes:
        inputs: (pictures, count + 1), the features, standardized, and a one for the bias.
        mean, deviation: (count,) of the features.
        offset: (pictures, 3) calibrated logits of the frozen model.
        labels: (pictures,).
        weights: (pictures,) that sum to 1.
        penalties: (3, count + 1).
        free: (3, count + 1), 1 where a weight may differ from 0.
    """

    inputs: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    offset: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    penalties: torch.Tensor
    free: torch.Tensor

    @classmethod
    def of(
        cls,
        own: ClassFeatures,
        replay: ClassFeatures,
        calibration: Calibration,
        penalties: torch.Tensor,
    ) -> "_Problem":
        features = torch.cat([own.features, replay.features])
        logits = torch.cat([own.logits, replay.logits])
        free = torch.isfinite(penalties)
        # A penalty has no meaning without a scale, and hidden states have none of their own.
        mean, deviation = features.mean(0), features.std(0).clamp_min(1e-6)
        return cls(
            inputs=F.pad((features - mean) / deviation, (0, 1), value=1.0),
            mean=mean,
            deviation=deviation,
            offset=logits * torch.tensor(calibration.scale) + torch.tensor(calibration.bias),
            labels=torch.from_numpy(np.concatenate([own.labels, replay.labels])),
            weights=_picture_weights(own.labels, replay.labels),
            penalties=penalties.where(free, 0.0),
            free=free.float(),
        )

    def logits(self, weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Calibrated logits (rows, 3) under a correction (3, count + 1)."""
        return self.offset[rows] + F.linear(self.inputs[rows], weight)

    def loss(self, logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Weighted cross-entropy of logits (rows, 3)."""
        losses = F.cross_entropy(logits, self.labels[rows], reduction="none")
        return (self.weights[rows] * losses).sum() / self.weights[rows].sum()

    def solve(self, rows: torch.Tensor, penalty: float, start: torch.Tensor) -> torch.Tensor:
        """The correction (3, count + 1) of least penalized loss on some pictures."""
        weight = start.clone().requires_grad_(True)
        inputs, offset = self.inputs[rows], self.offset[rows]

        def penalized() -> torch.Tensor:
            loss = self.loss(offset + F.linear(inputs, weight * self.free), rows)
            return loss + 0.5 * penalty * (self.penalties * weight.square()).sum()

        minimize([weight], penalized, ITERATIONS, history=10)
        return weight.detach() * self.free


def _picture_weights(own: np.ndarray, replay: np.ndarray) -> torch.Tensor:
    """Weights (own and replayed pictures,) that sum to 1.

    Classes weigh alike, and within a class own pictures as much as replayed ones. A class that the
    user has nothing of is replayed with the weight of both: no class becomes rarer than it was.
    """
    weights = []
    for labels, others in ((own, replay), (replay, own)):
        shares = np.zeros(len(labels))
        for label in np.unique(labels):
            rows = labels == label
            shares[rows] = (0.5 if label in others else 1.0) / rows.sum()
        weights.append(shares)
    joined = np.concatenate(weights)
    return torch.from_numpy(joined / joined.sum()).float()
