"""Scores by hand, and against scikit-learn's and torchmetrics' on random and degenerate input."""

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
import torchmetrics
from hypothesis import given
from hypothesis import strategies as st

from sida.evaluation.metrics import (
    Order,
    accuracy,
    auroc,
    average_precision,
    balanced_accuracy,
    best_f1,
    confusion,
    ece,
    equal_mass_bins,
    f1,
    f1_scores,
    false_alarms,
    fpr_at_tpr,
    histograms,
    intersection_and_union,
    iou,
    log_losses,
    macro_f1,
    mean,
    one_against_one,
    pixel_auc,
    precisions,
    recalls,
    share,
    squared_errors,
    tpr_at_fpr,
)
from sida.verdict import LABELS

EXACT = {"rel": 1e-9, "abs": 1e-9}


def verdicts(count, seed=0, levels=None):
    """Random truth and probabilities; few `levels` make many ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, count)
    logits = rng.normal(size=(count, 3)) + 1.2 * np.eye(3)[truth]
    if levels:
        logits = np.round(logits * levels) / levels
    powers = np.exp(logits)
    return truth, powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("levels", [None, 1])
def test_10_000_verdicts_score_as_in_scikit_learn(levels):
    truth, probabilities = verdicts(10_000, levels=levels)
    predicted = probabilities.argmax(1)
    table = confusion(truth, predicted)
    assert table.tolist() == sk.confusion_matrix(truth, predicted).tolist()
    assert accuracy(table) == pytest.approx(sk.accuracy_score(truth, predicted), **EXACT)
    expected = sk.balanced_accuracy_score(truth, predicted)
    assert balanced_accuracy(table) == pytest.approx(expected, **EXACT)
    precision, recall, scores, _ = sk.precision_recall_fscore_support(truth, predicted)
    assert list(precisions(table).values()) == pytest.approx(list(precision), **EXACT)
    assert list(recalls(table).values()) == pytest.approx(list(recall), **EXACT)
    assert list(f1_scores(table).values()) == pytest.approx(list(scores), **EXACT)
    assert macro_f1(table) == pytest.approx(scores.mean(), **EXACT)
    fake, score = truth != 0, 1 - probabilities[:, 0]
    order = Order(fake, score)
    assert auroc(order) == pytest.approx(sk.roc_auc_score(fake, score), **EXACT)
    expected = sk.average_precision_score(fake, score)
    assert average_precision(order) == pytest.approx(expected, **EXACT)
    expected = sk.log_loss(truth, probabilities)
    assert mean(log_losses(truth, probabilities)) == pytest.approx(expected, **EXACT)
    squared = sum(sk.brier_score_loss(truth == i, probabilities[:, i]) for i in range(len(LABELS)))
    assert mean(squared_errors(truth, probabilities)) == pytest.approx(squared, **EXACT)
    alarms, hits, _ = sk.roc_curve(fake, score, drop_intermediate=False)
    expected = alarms[hits >= 0.95].min()
    assert fpr_at_tpr(order, 0.95) == pytest.approx(expected, **EXACT)
    assert tpr_at_fpr(order, 0.05) == pytest.approx(hits[alarms <= 0.05].max(), **EXACT)


def test_10_000_verdicts_score_as_in_torchmetrics():
    truth, probabilities = verdicts(10_000, seed=1)
    labels, scores = torch.tensor(truth), torch.tensor(probabilities)
    table = confusion(truth, probabilities.argmax(1))
    f = torchmetrics.functional.classification
    near = {"abs": 1e-6}
    assert accuracy(table) == pytest.approx(
        f.multiclass_accuracy(scores, labels, 3, average="micro").item(), **near
    )
    assert macro_f1(table) == pytest.approx(f.multiclass_f1_score(scores, labels, 3).item(), **near)
    fake, score = torch.tensor(truth != 0), 1 - scores[:, 0]
    order = Order(fake.numpy(), score.numpy())
    assert auroc(order) == pytest.approx(f.binary_auroc(score, fake.long()).item(), **near)
    assert average_precision(order) == pytest.approx(
        f.binary_average_precision(score, fake.long()).item(), **near
    )


def test_weights_count_pictures_as_often_as_they_say():
    truth, probabilities = verdicts(200, levels=2)
    weights = np.random.default_rng(2).integers(0, 4, 200).astype(float)
    repeated = np.repeat(np.arange(200), weights.astype(int))
    bins = equal_mass_bins(probabilities.max(1))
    right = probabilities.argmax(1) == truth

    def scores(rows, counts):
        order = Order(truth[rows] != 0, 1 - probabilities[rows, 0])
        table = confusion(truth[rows], probabilities[rows].argmax(1), counts)
        return [
            accuracy(table),
            false_alarms(table),
            auroc(order, counts),
            average_precision(order, counts),
            fpr_at_tpr(order, 0.9, counts),
            tpr_at_fpr(order, 0.1, counts),
            mean(squared_errors(truth[rows], probabilities[rows]), counts),
            mean(log_losses(truth[rows], probabilities[rows]), counts),
            ece(probabilities[rows].max(1), right[rows], bins[rows], counts),
        ]

    assert scores(np.arange(200), weights) == pytest.approx(scores(repeated, None), **EXACT)


def test_calibration_error_by_hand():
    confidence = np.array([0.6, 0.6, 0.9, 0.9])
    right = np.array([True, False, True, True])
    bins = equal_mass_bins(confidence, 2)
    assert bins.tolist() == [0, 0, 1, 1]
    assert ece(confidence, right, bins) == pytest.approx((0.1 * 2 + 0.1 * 2) / 4)


def test_bins_hold_equal_numbers_and_keep_ties_together():
    spread = np.bincount(equal_mass_bins(np.random.default_rng(0).random(1000)))
    assert spread.tolist() == [100] * 10
    assert set(equal_mass_bins(np.full(50, 0.7))) == {1}


def test_what_cannot_be_had_is_none_and_never_nan():
    nothing = np.zeros(0, int)
    table = confusion(nothing, nothing)
    assert accuracy(table) is balanced_accuracy(table) is macro_f1(table) is None
    assert false_alarms(table) is None
    assert recalls(table) == precisions(table) == f1_scores(table) == {}
    none = np.zeros(0)
    assert mean(none) is None
    assert ece(none, none.astype(bool), equal_mass_bins(none)) is None
    for order in (Order(none.astype(bool), none), Order(np.ones(4, bool), np.arange(4.0))):
        assert auroc(order) is fpr_at_tpr(order, 0.9) is tpr_at_fpr(order, 0.1) is None
    assert average_precision(Order(np.zeros(4, bool), np.arange(4.0))) is None
    one_class = confusion(np.ones(3, int), np.array([1, 1, 2]))
    assert recalls(one_class) == {"full_synthetic": pytest.approx(2 / 3)}
    assert false_alarms(one_class) is None
    assert mean(log_losses(np.array([0]), np.array([[0.0, 1.0, 0.0]]))) == pytest.approx(
        36.04, abs=0.01
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_auroc_is_the_share_of_pairs_in_order(pairs):
    positive = np.array([p for p, _ in pairs])
    scores = np.array([s for _, s in pairs], float)
    hits, others = scores[positive], scores[~positive]
    result = auroc(Order(positive, scores))
    if not len(hits) or not len(others):
        assert result is None
        return
    above = (hits[:, None] > others).mean() + 0.5 * (hits[:, None] == others).mean()
    assert result == pytest.approx(above)


def test_one_class_against_real_by_hand():
    probabilities = np.array([[0.6, 0.2, 0.2], [0.1, 0.3, 0.6], [0.0, 0.0, 1.0], [0.0, 0.5, 0.5]])
    synthetic = one_against_one(probabilities, "full_synthetic")
    assert synthetic == pytest.approx([0.25, 0.75, 0.5, 1])
    assert one_against_one(probabilities, "tampered") == pytest.approx([0.25, 6 / 7, 1, 1])


def test_a_share_is_of_some_pictures_alone():
    values, among = np.array([True, True, False, True]), np.array([True, False, True, True])
    assert share(values, among) == pytest.approx(2 / 3)
    assert share(values, among, np.array([2.0, 5.0, 1.0, 1.0])) == pytest.approx(3 / 4)
    assert share(values, np.zeros(4, bool)) is None


REALS = [*np.arange(1, 10) / 100, 0.5]  # ten real pictures; the most suspicious has 0.5


@pytest.mark.parametrize(
    ("reals", "others", "recall"),
    [
        (REALS, [0.9, 0.5, 0.1, 0.09, 0.05], 3 / 5),  # one above 0.09 may be; 0.09 itself ties
        ([*REALS[:8], 0.5, 0.5], [0.9, 0.5, 0.1], 1 / 3),  # two at 0.5 may not, so that none is
        ([*REALS[:8], 0.9, 0.9], [0.9, 0.5, 0.1], 0),
        (REALS[:9], [0.9, 0.05], 1 / 2),  # of nine none may be
    ],
)
def test_recall_at_a_false_positive_rate_by_hand(reals, others, recall):
    positive = np.arange(len(reals) + len(others)) >= len(reals)
    order = Order(positive, np.array([*reals, *others]))
    assert tpr_at_fpr(order, 0.1) == pytest.approx(recall)


PAIRS = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=60)


@given(PAIRS, st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 1.0]))
def test_recall_never_lets_more_negatives_pass_than_allowed(pairs, fpr):
    positive = np.array([p for p, _ in pairs])
    scores = np.array([s for _, s in pairs], float)
    result = tpr_at_fpr(Order(positive, scores), fpr)
    if positive.all() or not positive.any():
        assert result is None
        return
    thresholds = [-1.0, *scores]
    allowed = [t for t in thresholds if (scores[~positive] > t).mean() <= fpr + 1e-12]
    assert result == pytest.approx((scores[positive] > min(allowed)).mean())
    alarms, hits, _ = sk.roc_curve(positive, scores, drop_intermediate=False)
    assert result == pytest.approx(hits[alarms <= fpr + 1e-12].max())


@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.2, 1.0]))
def test_pixel_scores_follow_from_two_histograms(seed, share):
    rng = np.random.default_rng(seed)
    truth = rng.random((9, 11)) < share
    levels = rng.integers(0, 256, truth.shape, dtype=np.uint8) // 16 * 16
    counts = histograms(truth, levels)
    marked = levels >= 128
    both, either = intersection_and_union(counts, 128)
    assert both == (truth & marked).sum()
    assert either == (truth | marked).sum()
    by_level = [f1(truth, levels >= level) for level in range(256)]
    assert best_f1(counts) == pytest.approx(max(by_level) if truth.any() else 1.0)
    result = pixel_auc(counts)
    if truth.all() or not truth.any():
        assert result is None
    else:
        expected = sk.roc_auc_score(truth.ravel(), levels.ravel())
        assert result == pytest.approx(expected, **EXACT)


def test_masks_by_hand():
    truth, result = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    assert f1(truth, result) == iou(truth, result) == 1
    truth[0, :2] = True
    assert f1(truth, result) == iou(truth, result) == 0
    result[0, 1:4] = True
    assert f1(truth, result) == pytest.approx(2 / 5)
    assert iou(truth, result) == pytest.approx(1 / 4)
