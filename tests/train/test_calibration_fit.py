"""Scaling fitted to labels makes probabilities that mean what they say."""

import numpy as np
import pytest

from sida.model.calibration import Calibration
from sida.train.calibration_fit import best_mask_rule, fit_calibration, fit_scaling, unsure_below
from sida.train.validation import MASK_RULES, THRESHOLDS, Validation


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
    predicted = Calibration(scale=(scale,) * 3, bias=bias).probabilities(logits).argmax(1)
    assert (predicted[labels == 1] == 1).mean() > 0.6


def test_probabilities_sum_to_one_whatever_the_logits():
    logits = np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]])
    probabilities = Calibration().probabilities(logits)
    assert probabilities.sum(1) == pytest.approx([1, 1])
    assert probabilities[0, 0] == 1


def f1_by_rule(fixed: np.ndarray, relative: float = 0.0) -> np.ndarray:
    """F1 (1, rules), of relative limits the same."""
    return np.concatenate([fixed, np.full(len(MASK_RULES) - len(fixed), relative)])[None]


def test_the_mask_threshold_is_where_masks_agree_best():
    curve = f1_by_rule(np.where(THRESHOLDS == 0.3, 0.6, 0.2))
    assert best_mask_rule(curve) == (0.3, 0)


def test_a_relative_limit_has_to_be_clearly_better():
    fixed = np.where(THRESHOLDS == 0.3, 0.6, 0.2)
    assert best_mask_rule(f1_by_rule(fixed, 0.61)) == (0.3, 0)
    curve = f1_by_rule(fixed, 0.63)
    curve[:, MASK_RULES.index((0.05, 0.3))] = 0.65
    assert best_mask_rule(curve) == (0.05, 0.3)


def test_masks_that_say_nothing_are_left_empty():
    marks_everything = f1_by_rule(np.where(THRESHOLDS < 0.3, 0.15, 0.0))
    assert best_mask_rule(marks_everything) == (0.5, 0)
    assert best_mask_rule(np.zeros((0, len(MASK_RULES)))) == (0.5, 0)


def test_verdicts_are_stated_from_where_nine_in_ten_are_right():
    confidence = np.linspace(0.4, 1, 100)
    probabilities = np.stack([confidence, *[(1 - confidence) / 2] * 2], axis=1)
    labels = np.where(np.arange(100) >= 30, 0, 1)  # the 30 least confident verdicts are wrong
    limits = unsure_below(probabilities, labels)
    assert limits == (pytest.approx(confidence[23]), 1, 1)  # 70 of 77 are right, 70 of 78 not
    assert unsure_below(probabilities, np.zeros(100, int))[0] == pytest.approx(confidence[0])
    assert unsure_below(probabilities[:9], np.zeros(9, int)) == (1, 1, 1)  # too few to say


def test_a_missed_tampered_picture_counts_with_an_empty_mask():
    curve = np.full((2, len(MASK_RULES)), 0.8)
    logits = np.array([[5.0, 0, 0], [0, 5, 0], [0, 0, 5], [5, 0, 0]])
    truth = ["real", "full_synthetic", "tampered", "tampered"]
    result = Validation(logits, truth, np.array([2, 3]), curve, curve / 2)
    metrics = result.metrics(Calibration())
    assert metrics["f1_fixed_mean_tampered"] == 0.4
    assert metrics["iou_fixed_mean_tampered"] == 0.2
    assert metrics["balanced_accuracy"] == pytest.approx(5 / 6, abs=1e-4)
    assert metrics["auroc_real_vs_not"] == pytest.approx(5 / 6, abs=1e-4)


def test_nothing_is_fitted_without_all_classes():
    assert not fit_calibration(Validation(np.zeros((1, 3)), ["real"]), "a").fitted


def test_a_tampered_picture_without_a_known_mask_counts_for_the_class_alone():
    logits = np.array([[0, 0, 5.0], [0, 0, 5]])
    curve = np.full((1, len(MASK_RULES)), 0.6)
    result = Validation(logits, ["tampered", "tampered"], np.array([1]), curve, curve)
    metrics = result.metrics(Calibration())
    assert metrics["f1_fixed_mean_tampered"] == 0.6
    assert metrics["recall_tampered"] == 1
