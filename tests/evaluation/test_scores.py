"""Figures of many predictions against scikit-learn's, by hand where it has none, and intervals."""

from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as sk

from sida.evaluation.collect import Rows, collect
from sida.evaluation.masks import Masks
from sida.evaluation.protocol import PROTOCOLS
from sida.evaluation.result import Result, measure
from sida.evaluation.scores import Detection, figures
from sida.verdict import LABELS
from tests.evaluation.made import prediction, random_predictions

EXACT = {"rel": 1e-9, "abs": 1e-9}


def value(result: Result, *name: str) -> float:
    figure = result.get(*name)
    assert figure is not None
    return figure.value


def many(count: int = 10_000) -> Rows:
    """Predictions without masks, as arrays."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, count)
    shares = rng.dirichlet([1, 1, 1], count).round(2) + 0.4 * np.eye(3)[truth]
    shares /= shares.sum(1, keepdims=True)
    return Rows(
        model=None,
        names=["x"] * count,
        truth=truth,
        predicted=shares.argmax(1),
        probabilities=shares,
        sources=["even", "odd"] * (count // 2),
        generators=[None] * count,
        groups=np.arange(count) // 2,
        grouped=True,
        marked=np.zeros(count, np.int64),
        pixels=np.ones(count, np.int64),
        masked=np.zeros(0, np.int64),
        counts=np.zeros((0, 2, 256), np.float32),
        mapped=np.zeros(0, bool),
        failures=(),
        notes=(),
        places=np.arange(count),
    )


def test_ten_thousand_predictions_as_scikit_learn_scores_them() -> None:
    rows = many()
    result = measure(rows, "end_to_end", "made", samples=0)
    truth, said, shares = rows.truth, rows.predicted, rows.probabilities
    not_real, score = truth != 0, 1 - shares[:, 0]
    expected = {
        "accuracy": sk.accuracy_score(truth, said),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, said),
        "macro_f1": sk.f1_score(truth, said, average="macro"),
        "auroc_real_vs_not": sk.roc_auc_score(not_real, score),
        "average_precision": sk.average_precision_score(not_real, score),
        "fpr_real": 1 - sk.recall_score(truth, said, average=None)[0],
        "accuracy_real_vs_not": sk.accuracy_score(not_real, said != 0),
        "balanced_accuracy_real_vs_not": sk.balanced_accuracy_score(not_real, said != 0),
        "nll": sk.log_loss(truth, shares),
        "brier": 3 * np.square(shares - np.eye(3)[truth]).mean(),
    }
    for name, wanted in expected.items():
        assert value(result, "detection", name) == pytest.approx(wanted, **EXACT), name
    each = sk.precision_recall_fscore_support(truth, said)[:3]
    for number, label in enumerate(LABELS):
        names = {"precision": each[0], "recall": each[1], "accuracy": each[1], "f1": each[2]}
        for name, wanted in names.items():
            assert value(result, "per_class", label, name) == pytest.approx(wanted[number], **EXACT)
        auroc = sk.roc_auc_score(truth == number, shares[:, number])
        assert value(result, "per_class", label, "auroc") == pytest.approx(auroc, **EXACT)
    even = sk.accuracy_score(truth[::2], said[::2])
    assert value(result, "by_source", "even", "accuracy") == pytest.approx(even, **EXACT)
    assert result.confusion == sk.confusion_matrix(truth, said).tolist()
    assert set(result.not_measured) == {("localization", name[-1]) for name in Masks(
        rows, "end_to_end")(None)}  # fmt: skip


def best(truth: np.ndarray, levels: np.ndarray) -> float:
    """The largest F1 over all thresholds that occur."""
    return max(sk.f1_score(truth, levels >= at) for at in np.unique(levels))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_masks_as_scikit_learn_scores_their_pixels(tmp_path: Path, protocol: str) -> None:
    lines = random_predictions(tmp_path, 12)
    result = measure(collect(lines), protocol, "made", samples=0)  # type: ignore[arg-type]
    f1s, ious, areas, bests, truths, maps = [], [], [], [], [], []
    for line in lines:
        mask, levels = line.truth_mask(), line.levels()
        if mask is None or levels is None:
            continue
        lost = protocol == "end_to_end" and line.label != "tampered"
        levels = np.zeros_like(levels) if lost else levels
        truths.append(mask.ravel())
        maps.append(levels.ravel())
        f1s.append(sk.f1_score(truths[-1], maps[-1] >= 128))
        ious.append(sk.jaccard_score(truths[-1], maps[-1] >= 128))
        areas.append(sk.roc_auc_score(truths[-1], maps[-1]))
        bests.append(0 if lost else best(truths[-1], maps[-1]))
    truth, levels = np.concatenate(truths), np.concatenate(maps)
    wanted = {
        "f1_fixed_mean_tampered": np.mean(f1s),
        "iou_fixed_mean_tampered": np.mean(ious),
        "giou": np.mean(ious),
        "pixel_auc_mean_tampered": np.mean(areas),
        "f1_best_mean_tampered": np.mean(bests),
        "f1_fixed_pooled_tampered": sk.f1_score(truth, levels >= 128),
        "ciou": sk.jaccard_score(truth, levels >= 128),
        "pixel_auc_pooled_tampered": sk.roc_auc_score(truth, levels),
        "f1_best_pooled_tampered": best(truth, levels),
    }
    for name, expected in wanted.items():
        assert value(result, "localization", name) == pytest.approx(expected, **EXACT), name


FOUND, MISSED, REAL = (0.1, 0.1, 0.8), (0.8, 0.1, 0.1), (0.9, 0.05, 0.05)
HALF = np.repeat([[True], [False]], 4, axis=0) & np.ones((8, 8), bool)
RIGHT = np.where(HALF, np.uint8(255), np.uint8(0))


def test_a_missed_detection_counts_what_the_contract_says(tmp_path: Path) -> None:
    lines = [
        prediction(tmp_path, "tampered", FOUND, 0, HALF, RIGHT),
        prediction(tmp_path, "tampered", MISSED, 1, HALF, RIGHT),
        prediction(tmp_path, "real", REAL, 2),
        prediction(tmp_path, "real", FOUND, 3, None, RIGHT),
    ]
    rows = collect(lines)
    result = measure(rows, "end_to_end", "made", samples=0)
    assert value(result, "localization", "f1_fixed_mean_tampered") == 0.5
    assert value(result, "localization", "f1_best_mean_tampered") == 0.5
    assert value(result, "localization", "iou_fixed_mean_tampered") == 0.5
    assert value(result, "localization", "pixel_auc_mean_tampered") == 0.75
    assert value(result, "localization", "f1_fixed_mean_detected") == 1
    assert value(result, "localization", "f1_fixed_mean_all") == 0.5  # found and clean are right
    assert value(result, "localization", "pixel_fpr_real") == 0.25
    assert value(result, "localization", "f1_fixed_pooled_all") == 2 * 32 / (64 + 64)
    published = measure(rows, "published", "made", samples=0)
    assert value(published, "localization", "f1_fixed_mean_tampered") == 1
    assert published.get("localization", "f1_fixed_mean_all") is None
    why = published.not_measured["localization", "f1_fixed_mean_all"]
    assert why == "this protocol makes no masks of real pictures"


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    lines = [prediction(tmp_path, "real", REAL, 0), prediction(tmp_path, "real", MISSED, 1)]
    result = measure(collect(lines), "end_to_end", "made", samples=20)
    why = {name[-1]: reason for name, reason in result.not_measured.items()}
    assert why["auroc_real_vs_not"] == "every picture is real"
    assert why["giou"] == "no picture is tampered"
    assert result.not_measured["per_class", "tampered", "recall"] == "no picture is tampered"
    assert value(result, "detection", "accuracy") == 1
    assert "nan" not in str(result.as_json()).lower()


def test_tampered_pictures_without_masks(tmp_path: Path) -> None:
    lines = [
        prediction(tmp_path, "tampered", FOUND, 0, None, RIGHT),
        prediction(tmp_path, "tampered", FOUND, 1, np.zeros((8, 8), bool), RIGHT),
        prediction(tmp_path, "tampered", FOUND, 2, HALF, None),
    ]
    rows = collect(lines)
    assert [note.split(" x ")[1].split(";")[0] for note in rows.notes] == [
        "tampered picture without a mask",
        "mask that marks nothing",
        "picture called tampered without a map",
    ]
    result = measure(rows, "end_to_end", "made", samples=0)
    why = result.not_measured["localization", "giou"]
    assert why == "none of the 1 masks has a probability map beside it"


def test_sets_that_know_real_and_fake_alone(tmp_path: Path) -> None:
    lines = [
        prediction(tmp_path, "real", REAL, 0),
        prediction(tmp_path, "not_real", FOUND, 1),
        prediction(tmp_path, "not_real", MISSED, 2),
    ]
    result = measure(collect(lines), "end_to_end", "made", samples=0)
    assert value(result, "detection", "accuracy_real_vs_not") == pytest.approx(2 / 3)
    assert value(result, "detection", "auroc_real_vs_not") == 1
    assert value(result, "detection", "fpr_real") == 0
    said = "of 2 pictures only real or not real is known, not the class"
    assert result.not_measured["detection", "accuracy"] == said
    assert result.not_measured["per_class", "tampered", "f1"] == said
    assert not result.reliability


def test_no_prediction_at_all() -> None:
    result = measure(collect([]), "end_to_end", "made")
    assert not result.figures
    assert set(result.not_measured.values()) == {"no picture was judged", "no picture is tampered"}


def test_intervals_hold_the_figure_and_shrink_with_the_number() -> None:
    wide, narrow = (
        figures([Detection(rows)], rows.groups, 200)["detection", "accuracy"]
        for rows in (many(200), many(5000))
    )
    for found in (wide, narrow):
        assert found.low < found.value < found.high
    assert narrow.high - narrow.low < 0.4 * (wide.high - wide.low)
    expected = 2 * 1.96 * np.sqrt(narrow.value * (1 - narrow.value) / 5000)
    assert narrow.high - narrow.low == pytest.approx(expected, rel=0.25)


def test_samples_are_drawn_of_groups(tmp_path: Path) -> None:
    """Two groups of ten, one all right and one all wrong: accuracies are 0, a half or 1."""
    lines = [
        prediction(tmp_path, "real", REAL if i < 10 else FOUND, i, group=f"g{i // 10}")
        for i in range(20)
    ]
    found = measure(collect(lines), "end_to_end", "made", samples=100)
    figure = found.get("detection", "accuracy")
    assert figure == (0.5, 0, 1)


def test_the_order_of_lines_and_the_time_they_took_do_not_matter(tmp_path: Path) -> None:
    lines = random_predictions(tmp_path, 12)
    first = measure(collect(lines), "end_to_end", "made", samples=50).as_json()
    later = [line.model_copy(update={"seconds": 9.9}) for line in lines]
    assert measure(collect(later), "end_to_end", "made", samples=50).as_json() == first
