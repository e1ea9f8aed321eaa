"""Figures of many predictions against scikit-learn's, by hand where it has none, and intervals."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import sklearn.metrics as sk

from sida.evaluation.masks import Masks
from sida.evaluation.prediction_rows import PredictionRows, collect
from sida.evaluation.predictions import Prediction
from sida.evaluation.protocol import Protocol
from sida.evaluation.result import Result, measure
from sida.evaluation.scores import Detection, figures
from sida.evaluation.tables import sheets
from sida.verdict import LABELS
from tests.evaluation.made import prediction, random_predictions

EXACT = {"rel": 1e-9, "abs": 1e-9}


def value(result: Result, *name: str) -> float:
    figure = result.get(*name)
    assert figure is not None
    return figure.value


def many(count: int = 10_000) -> PredictionRows:
    """Predictions without masks, as arrays."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, count)
    shares = rng.dirichlet([1, 1, 1], count).round(2) + 0.4 * np.eye(3)[truth]
    shares /= shares.sum(1, keepdims=True)
    return PredictionRows(
        model=None,
        names=["x"] * count,
        truth=truth,
        predicted=shares.argmax(1),
        probabilities=shares,
        inconclusive=shares.max(1) < 0.5,
        sources=["even", "odd"] * (count // 2),
        generators=[None] * count,
        groups=np.arange(count) // 2,
        grouped=True,
        predicted_pixels=np.zeros(count, np.int64),
        pixels=np.ones(count, np.int64),
        masked=np.zeros(0, np.int64),
        counts=np.zeros((0, 2, 256), np.float32),
        mapped=np.zeros(0, bool),
        failures=(),
        notes=(),
        indices=np.arange(count),
        unsuitable=np.zeros(count, bool),
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
    item = sk.precision_recall_fscore_support(truth, said)[:3]
    for number, name in ((1, "auroc_real_vs_synthetic"), (2, "auroc_real_vs_tampered")):
        two = (truth == 0) | (truth == number)
        chosen, positive = shares[two, number], truth[two] == number
        score = chosen / (shares[two, 0] + chosen)
        expected = sk.roc_auc_score(positive, score)
        assert value(result, "detection", name) == pytest.approx(expected, **EXACT)
        alarms, hits, _ = sk.roc_curve(positive, score, drop_intermediate=False)
        for recall, fpr in (("recall_at_fpr_10", 0.1), ("recall_at_fpr_5", 0.05)):
            outcome = value(result, "per_class", LABELS[number], recall)
            assert outcome == pytest.approx(hits[alarms <= fpr].max(), **EXACT)
    for number, label in enumerate(LABELS):
        names = {"precision": item[0], "recall": item[1], "accuracy": item[1], "f1": item[2]}
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


@pytest.mark.parametrize("protocol", get_args(Protocol))
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
    reasons = published.not_measured["localization", "f1_fixed_mean_all"]
    assert reasons == "this protocol makes no masks of real pictures"


SYNTHETIC = (0.1, 0.8, 0.1)
UNSURE_REAL, UNSURE = (0.45, 0.35, 0.2), (0.2, 0.45, 0.35)


def stated_and_not(folder: Path) -> list[Prediction]:
    """Of each class a stated verdict that is right, and others; the last ones are inconclusive."""
    shares = {
        "real": [REAL, FOUND, UNSURE_REAL, UNSURE],
        "full_synthetic": [SYNTHETIC, UNSURE],
        "tampered": [FOUND, MISSED],
    }
    lines = [
        prediction(folder, label, item, 10 * number + i, source=label)
        for number, (label, several) in enumerate(shares.items())
        for i, item in enumerate(several)
    ]
    unsure = {"inconclusive": True}
    return [
        line.model_copy(update=unsure) if line.probabilities[line.label] < 0.5 else line
        for line in lines
    ]


def test_stated_verdicts_by_hand(tmp_path: Path) -> None:
    rows = collect(stated_and_not(tmp_path))
    result = measure(rows, "end_to_end", "made", samples=20)
    wanted = {
        "fpr_real": 2 / 4,
        "fpr_real_stated": 1 / 4,
        "stated_share": 5 / 8,
        "stated_accuracy": 3 / 5,
        "stated_share_real_synthetic": 3 / 6,
        "stated_accuracy_real_synthetic": 2 / 3,
    }
    for name, expected in wanted.items():
        assert value(result, "detection", name) == pytest.approx(expected), name
    assert value(result, "by_source", "real", "stated_share") == 0.5
    assert value(result, "by_source", "real", "stated_accuracy") == 0.5
    published = measure(rows, "published", "made", samples=20)
    for name in wanted:
        assert published.get("detection", name) == result.get("detection", name)


def test_where_nothing_is_inconclusive_all_is_stated(tmp_path: Path) -> None:
    result = measure(collect(random_predictions(tmp_path, 12)), "end_to_end", "made", samples=20)
    for stated, plain in (("stated_accuracy", "accuracy"), ("fpr_real_stated", "fpr_real")):
        assert result.get("detection", stated) == result.get("detection", plain)
    assert result.get("detection", "stated_share") == (1, 1, 1)


def test_where_everything_is_inconclusive_nothing_is_right(tmp_path: Path) -> None:
    lines = [
        line.model_copy(update={"inconclusive": True}) for line in random_predictions(tmp_path, 6)
    ]
    result = measure(collect(lines), "end_to_end", "made", samples=20)
    assert value(result, "detection", "stated_share") == 0
    assert value(result, "detection", "fpr_real_stated") == 0
    reasons = result.not_measured
    assert reasons["detection", "stated_accuracy"] == "every verdict is inconclusive"
    of_two = "every verdict on a real or full_synthetic picture is inconclusive"
    assert reasons["detection", "stated_accuracy_real_synthetic"] == of_two


def test_recall_against_real_needs_enough_real_pictures(tmp_path: Path) -> None:
    """Of ten real pictures one may be mistaken: above the second highest, of scores up to 0.5."""
    reals = [(1 - at / 20, at / 20, 0.0) for at in range(1, 11)]
    shares_of_others = [(0.1, 0.9, 0.0), (0.52, 0.48, 0.0), (0.55, 0.45, 0.0), (0.2, 0.0, 0.8)]
    lines = [prediction(tmp_path, "real", shares, i) for i, shares in enumerate(reals)]
    lines += [prediction(tmp_path, "full_synthetic", shares, 10 + i) for i, shares in
              enumerate(shares_of_others)]  # fmt: skip
    result = measure(collect(lines), "end_to_end", "made", samples=50)
    figure = result.get("per_class", "full_synthetic", "recall_at_fpr_10")
    assert figure is not None
    assert figure.value == 2 / 4  # 0.45 ties with the threshold
    assert figure.low < figure.value < figure.high
    reasons = result.not_measured
    few = "only 10 of the pictures are real, and a false positive rate of 5% needs 20"
    assert reasons["per_class", "full_synthetic", "recall_at_fpr_5"] == few
    assert reasons["per_class", "tampered", "recall_at_fpr_10"] == "no picture is tampered"
    assert reasons["detection", "auroc_real_vs_tampered"] == "no picture is tampered"
    assert ("per_class", "real", "recall_at_fpr_10") not in reasons
    fewer = measure(collect(lines[1:]), "end_to_end", "made", samples=0)
    few = "only 9 of the pictures are real, and a false positive rate of 10% needs 10"
    assert fewer.not_measured["per_class", "full_synthetic", "recall_at_fpr_10"] == few


def test_a_judge_of_real_or_not_is_set_against_real_by_what_it_says(tmp_path: Path) -> None:
    """Its probabilities have no tampered; what is not real is the one alternative."""
    shares = {"real": (0.9, 0.1, 0.0), "full_synthetic": (0.2, 0.8, 0.0), "tampered": (0.3, 0.7, 0)}
    lines = [
        prediction(tmp_path, label, item, i).model_copy(update={"says": "real_or_not"})
        for i, (label, item) in enumerate([*shares.items(), ("tampered", (0.95, 0.05, 0.0))])
    ]
    result = measure(collect(lines), "end_to_end", "made", samples=0)
    assert value(result, "detection", "auroc_real_vs_synthetic") == 1
    assert value(result, "detection", "auroc_real_vs_tampered") == 0.5
    assert value(result, "detection", "stated_share_real_synthetic") == 1
    reasons = result.not_measured["detection", "stated_accuracy"]
    assert reasons == "the verdicts say real or not real, and no class"


def test_the_tables_have_figures_against_real_and_of_stated_verdicts(tmp_path: Path) -> None:
    result = measure(collect(stated_and_not(tmp_path)), "end_to_end", "made", samples=0)
    made = {sheet.title: sheet for sheet in sheets(replace(result, robustness={"same": result}))}
    texts = "0.500 [0.500, 0.500]", "0.667 [0.667, 0.667]"
    assert made["Stated verdicts"].rows[1] == ("real and full synthetic", *texts)
    assert [row[0] for row in made["Against real alone"].rows] == ["full synthetic", "tampered"]
    further = made["Robustness against real alone, and of stated verdicts"].rows
    assert [row[0] for row in further] == ["none", "same"]
    assert further[0][1:] == further[1][1:]
    listed = [row[0] for row in made["Real against not real, and calibration"].rows]
    assert "fpr_real_stated" in listed
    assert "stated_share" not in listed
    short = replace(result, robustness={"same": result}).as_json()["robustness"]["same"]
    assert {"auroc_real_vs_synthetic", "stated_accuracy", "fpr_real_stated"} <= set(short)


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    lines = [prediction(tmp_path, "real", REAL, 0), prediction(tmp_path, "real", MISSED, 1)]
    result = measure(collect(lines), "end_to_end", "made", samples=20)
    reasons = {name[-1]: reason for name, reason in result.not_measured.items()}
    assert reasons["auroc_real_vs_not"] == "every picture is real"
    assert reasons["giou"] == "no picture is tampered"
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
    reasons = result.not_measured["localization", "giou"]
    assert reasons == "none of the 1 masks has a probability map beside it"


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
    assert result.not_measured["per_class", "tampered", "recall_at_fpr_5"] == said
    assert result.not_measured["detection", "auroc_real_vs_synthetic"] == said
    assert value(result, "detection", "stated_share") == 1
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
    for outcome in (wide, narrow):
        assert outcome.low < outcome.value < outcome.high
    assert narrow.high - narrow.low < 0.4 * (wide.high - wide.low)
    expected = 2 * 1.96 * np.sqrt(narrow.value * (1 - narrow.value) / 5000)
    assert narrow.high - narrow.low == pytest.approx(expected, rel=0.25)


def test_samples_are_drawn_of_groups(tmp_path: Path) -> None:
    """Two groups of ten, one all right and one all wrong: accuracies are 0, a half or 1."""
    lines = [
        prediction(tmp_path, "real", REAL if i < 10 else FOUND, i, group=f"g{i // 10}")
        for i in range(20)
    ]
    outcome = measure(collect(lines), "end_to_end", "made", samples=100)
    figure = outcome.get("detection", "accuracy")
    assert figure == (0.5, 0, 1)


def test_the_order_of_lines_and_the_time_they_took_do_not_matter(tmp_path: Path) -> None:
    lines = random_predictions(tmp_path, 12)
    first = measure(collect(lines), "end_to_end", "made", samples=50).as_json()
    later = [line.model_copy(update={"seconds": 9.9}) for line in lines]
    assert measure(collect(later), "end_to_end", "made", samples=50).as_json() == first
