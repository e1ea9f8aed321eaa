"""Corrections: the optimum, the features that may speak, and what replay is for."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sida.errors import DataError
from sida.model.calibration import Calibration
from sida.model.sida import Sida
from sida.train.class_features import ClassFeatures
from sida.train.correction import fit_correction, relative_penalties
from tests.model.test_clip_windows import little_config
from tests.small import small_config

COUNT = 12
PENALTIES = F.pad(torch.full((2, COUNT + 1), float(COUNT)), (0, 0, 1, 0), value=torch.inf)
CALIBRATION = Calibration(scale=(2.0, 2.0, 2.0), bias=(0.1, 0.0, -0.1), digest="0" * 64)


def pictures(
    labels: np.ndarray, axis: int, seed: int, strength: float = 3.0, offset: float = 0.0
) -> ClassFeatures:
    """Classes that are told apart along one feature; the frozen model reads the first."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(len(labels), COUNT)).astype(np.float32)
    features[:, axis] += strength * (labels - 1)
    features[:, COUNT - 1] += offset
    logits = np.outer(features[:, 0], [-1.0, 0.0, 1.0]).astype(np.float32)
    logits[:, 1] += 1
    groups = np.arange(len(labels))
    return ClassFeatures(torch.from_numpy(features), torch.from_numpy(logits), labels, groups)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float((CALIBRATION.probabilities(logits).argmax(1) == labels).mean())


@pytest.fixture(scope="module")
def known() -> ClassFeatures:
    return pictures(np.arange(150) % 3, 0, 1)


def test_new_pictures_are_learned_and_known_ones_kept(known: ClassFeatures) -> None:
    own = pictures(np.arange(90) % 3, 4, 2, offset=4)
    check = pictures(np.arange(150) % 3, 0, 3)
    fitted = fit_correction(own, known, CALIBRATION, PENALTIES)
    assert accuracy(own.logits.numpy(), own.labels) < 0.4
    assert accuracy(fitted.held_out_logits, own.labels) > 0.6
    before = accuracy(check.logits.numpy(), check.labels)
    assert accuracy(fitted.correction.logits(check), check.labels) > before - 0.05


def test_the_correction_is_the_optimum_of_the_stated_loss(known: ClassFeatures) -> None:
    """The gradient of the weighted cross-entropy and the penalty is zero there."""
    own = pictures(np.arange(30) % 2, 4, 2)
    fitted = fit_correction(own, known, CALIBRATION, PENALTIES)
    scale = torch.tensor(CALIBRATION.scale)
    features = torch.cat([own.features, known.features])
    mean, deviation = features.mean(0), features.std(0)
    raw, bias = fitted.correction
    standardized = [raw * deviation, (bias + raw @ mean)[:, None]]
    weight = (torch.cat(standardized, 1) * scale[:, None]).requires_grad_(True)
    loss = 0.5 * fitted.penalty * COUNT * weight[1:].square().sum()
    # Classes alike, own and known pictures alike within each; own ones have nothing tampered.
    for part, shares in ((own, (1 / 6, 1 / 6, 0)), (known, (1 / 6, 1 / 6, 1 / 3))):
        offset = part.logits * scale + torch.tensor(CALIBRATION.bias)
        inputs = F.pad((part.features - mean) / deviation, (0, 1), value=1.0)
        logits = offset + F.linear(inputs, weight)
        losses = F.cross_entropy(logits, torch.from_numpy(part.labels), reduction="none")
        for label, share in enumerate(shares):
            if share:
                loss = loss + share * losses[part.labels == label].mean()
    loss.backward()
    assert not fitted.correction.weight[0].any()
    assert float(weight.grad[1:].abs().max()) < 2e-3


def test_pictures_that_the_model_knows_hardly_change_it(known: ClassFeatures) -> None:
    more = pictures(np.arange(60) % 3, 0, 5)
    fitted = fit_correction(more, known, CALIBRATION, PENALTIES)
    before = accuracy(more.logits.numpy(), more.labels)
    assert accuracy(fitted.held_out_logits, more.labels) > before - 0.1


def test_held_out_pictures_are_not_learned(known: ClassFeatures) -> None:
    """Labels without any reason in the features cannot be had right."""
    labels = np.random.default_rng(0).integers(0, 2, 80)
    noise = pictures(labels, 0, 6, strength=0)
    fitted = fit_correction(noise, known, CALIBRATION, PENALTIES)
    assert accuracy(fitted.held_out_logits, labels) < 0.65


def test_a_class_of_one_original_is_refused(known: ClassFeatures) -> None:
    own = pictures(np.arange(30) % 2, 4, 2)
    own = own._replace(groups=np.where(own.labels == 1, 0, own.groups + 1))
    with pytest.raises(DataError, match="1 original of full_synthetic pictures can be used"):
        fit_correction(own, known, CALIBRATION, PENALTIES)


def test_features_speak_for_the_classes_that_they_may_speak_for() -> None:
    model = Sida(little_config())
    encoder = model.encoder
    free = torch.isfinite(relative_penalties(model))
    assert not free[0].any()
    for label in (1, 2):
        expected = torch.zeros(encoder.feature_count, dtype=torch.bool)
        expected[encoder.evidence_columns(label)] = True
        assert torch.equal(free[label, :-1], expected)
        assert free[label, -1]
    native = torch.isfinite(relative_penalties(Sida(small_config())))
    assert native[1:].all()
    assert not native[0].any()
