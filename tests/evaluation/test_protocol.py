"""The protocols, and the published formulas on what the published script printed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sida.evaluation.metrics import confusion
from sida.evaluation.protocol import missed, published_formulas


def recorded(case: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confusion, intersections and unions of a recorded case, as the script takes them."""
    truth = np.array([sample["label"] for sample in case["samples"]])
    predicted = np.array([int(np.argmax(sample["logits"])) for sample in case["samples"]])
    pairs = []
    for sample in case["samples"]:
        if sample["label"] == 2:
            result = np.array(sample["mask_logits"]) > 0
            altered = np.array(sample["mask_truth"]).astype(int) == 1  # soft edges are cut off
            pairs.append((int((result & altered).sum()), int((result | altered).sum())))
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return confusion(truth, predicted), both[:, 0], both[:, 1]


def test_every_recorded_case(shared: Path) -> None:
    cases = json.loads((shared / "oracle/published_formulas.json").read_text())["cases"]
    assert len(cases) == 8
    for case in cases:
        result = published_formulas(*recorded(case))
        logged = case["outputs"].get("logged")
        if logged is None:  # no tampered picture: the script ended with an error
            assert result["published_giou"] is None
            assert result["published_f1_is_harmonic_mean_of_ciou_and_accuracy"] is None
            continue
        near = {"abs": 1e-6}
        assert result["published_accuracy"] == pytest.approx(logged["test/accuracy"] / 100, **near)
        pixel = result["published_pixel_accuracy_is_ciou"]
        assert pixel == pytest.approx(logged["test/pixel_accuracy"] / 100, **near)
        harmonic = result["published_f1_is_harmonic_mean_of_ciou_and_accuracy"]
        assert harmonic == pytest.approx(logged["test/f1_score"], **near)
        product = result["published_auc_is_mean_precision_times_mean_recall"]
        assert product == pytest.approx(logged["test/auc_approx"], **near)
        assert result["published_giou"] == pytest.approx(logged["test/giou"], **near)


def test_the_arithmetic_written_out() -> None:
    table = np.array([[3, 1, 0], [0, 2, 2], [1, 0, 1]], float)  # 6 of 10 right
    result = published_formulas(table, np.array([3, 1]), np.array([6, 4]))
    ciou, right = 4 / 10, 6 / 10
    assert result["published_pixel_accuracy_is_ciou"] == pytest.approx(ciou)
    assert result["published_f1_is_harmonic_mean_of_ciou_and_accuracy"] == pytest.approx(
        2 * ciou * right / (ciou + right)
    )
    precision = (3 / 4 + 2 / 3 + 1 / 3) / 3
    recall = (3 / 4 + 2 / 4 + 1 / 2) / 3
    assert result["published_auc_is_mean_precision_times_mean_recall"] == pytest.approx(
        precision * recall
    )
    assert result["published_giou"] == pytest.approx((3 / 6 + 1 / 4) / 2, abs=1e-5)


def test_a_missed_picture_has_no_mask_end_to_end() -> None:
    predicted = np.array([0, 1, 2])
    assert missed("end_to_end", predicted).tolist() == [True, True, False]
    assert not missed("published", predicted).any()
