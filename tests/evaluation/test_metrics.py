"""Scores by hand, and against their definitions on random input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sida.evaluation.metrics import auroc, balanced_accuracy, confusion, f1, iou, recalls


def test_confusion_and_recalls_by_hand():
    table = confusion(["real", "real", "tampered"], ["real", "tampered", "tampered"])
    assert table.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert recalls(table) == {"real": 0.5, "tampered": 1.0}
    assert balanced_accuracy(table) == 0.75
    assert balanced_accuracy(confusion([], [])) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_auroc_is_the_share_of_pairs_in_order(pairs):
    positive = np.array([p for p, _ in pairs])
    scores = np.array([s for _, s in pairs], float)
    hits, others = scores[positive], scores[~positive]
    found = auroc(positive, scores)
    if not len(hits) or not len(others):
        assert found is None
        return
    above = (hits[:, None] > others).mean() + 0.5 * (hits[:, None] == others).mean()
    assert found == pytest.approx(above)


def test_masks_by_hand():
    truth, found = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    assert f1(truth, found) == iou(truth, found) == 1
    truth[0, :2] = True
    assert f1(truth, found) == iou(truth, found) == 0
    found[0, 1:4] = True
    assert f1(truth, found) == pytest.approx(2 / 5)
    assert iou(truth, found) == pytest.approx(1 / 4)
