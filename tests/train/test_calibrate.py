"""Scaling fitted to labels makes probabilities that mean what they say."""

import numpy as np
import pytest

from sida.errors import CheckpointError
from sida.model.calibration import Calibration
from sida.train.calibrate import best_threshold, fit_scaling
from sida.train.validation import THRESHOLDS


def test_overconfident_logits_are_cooled_to_their_truth():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(30_000, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(3, p=row) for row in probabilities])
    scale, bias = fit_scaling(4 * logits, labels)
    assert scale == pytest.approx(0.25, rel=0.05)
    assert max(map(abs, bias)) < 0.05


def test_a_class_that_is_never_said_gets_a_bias():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 3000)
    logits = rng.normal(size=(3000, 3)) + 2 * np.eye(3)[labels] - [0, 5, 0]
    scale, bias = fit_scaling(logits, labels)
    found = Calibration(scale=(scale,) * 3, bias=bias).probabilities(logits).argmax(1)
    assert (found[labels == 1] == 1).mean() > 0.6


def test_a_calibration_of_other_weights_is_not_applied(tmp_path):
    Calibration(bias=(1.0, 0.0, 0.0), digest="a").save(tmp_path)
    assert Calibration.load(tmp_path, "a").fitted
    assert not Calibration.load(tmp_path, "b").fitted
    assert not Calibration.load(tmp_path / "none", "a").fitted
    (tmp_path / "calibration.json").write_text('{"scale": 1}')
    with pytest.raises(CheckpointError, match="is not a calibration"):
        Calibration.load(tmp_path, "a")


def test_probabilities_sum_to_one_whatever_the_logits():
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    probabilities = Calibration().probabilities(logits)
    assert probabilities.sum(1) == pytest.approx([1, 1])
    assert probabilities[0, 0] == 1


def test_the_mask_threshold_is_where_masks_agree_best():
    curve = np.where(THRESHOLDS == 0.3, 0.6, 0.2)[None]
    assert best_threshold(curve) == 0.3


def test_masks_that_say_nothing_are_left_empty():
    marks_everything = np.where(THRESHOLDS < 0.3, 0.15, 0.0)[None]
    assert best_threshold(marks_everything) == 0.5
    assert best_threshold(np.zeros((0, len(THRESHOLDS)))) == 0.5
