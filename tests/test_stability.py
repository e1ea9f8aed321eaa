"""Deliveries of a picture judged with it: what holds, what is asked of the network, what fails."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sida.detector import Detector, Request
from sida.image.deliveries import DELIVERIES, deliver
from sida.image.suitability import unsuitable
from sida.model.budget import BudgetCalibration
from sida.model.calibration import Calibration
from sida.verdict import Failure, Stability, Verdict, parse_line
from tests.deliveries import stability as made_stability
from tests.small import small_detector

PIXELS = np.random.default_rng(0).integers(0, 256, (80, 120, 3), dtype=np.uint8)
HALF, CROPPED, SCREENSHOT = (40, 60), (72, 108), (68, 90)
"""Height and width of the deliveries that have another size."""


@pytest.fixture(scope="module")
def detector() -> Detector:
    return small_detector()


def stability_of(detector: Detector, pixels: np.ndarray = PIXELS) -> Stability:
    stability = detector.detect(pixels, stability=True).stability
    assert stability is not None
    return stability


def test_nothing_is_delivered_unless_asked_for(detector: Detector) -> None:
    verdict = detector.detect(PIXELS)
    assert verdict.stability is None
    assert "stability" not in verdict.model_dump()


def test_each_delivery_has_the_verdict_that_it_would_have_by_itself(detector: Detector) -> None:
    verdict = detector.detect(PIXELS, stability=True)
    assert verdict.stability is not None
    assert verdict.stability.of == 6
    assert [each.name for each in verdict.stability.deliveries] == list(DELIVERIES)
    for each in verdict.stability.deliveries:
        alone = detector.detect(deliver(PIXELS, each.name))
        assert each.label == alone.label
        assert each.inconclusive == alone.inconclusive
        for label, probability in each.probabilities.items():
            assert probability == pytest.approx(alone.probabilities[label], abs=1e-5)


def test_the_rest_of_the_verdict_is_as_without(detector: Detector) -> None:
    plain = detector.detect(PIXELS, masks="all", explain=True)
    verdict = detector.detect(PIXELS, masks="all", explain=True, stability=True)
    assert np.array_equal(verdict.mask, plain.mask)  # type: ignore[arg-type]
    again = verdict.model_copy(update={"stability": None, "seconds": plain.seconds})
    assert again == plain
    assert verdict.seconds > 0


def test_it_survives_json(detector: Detector) -> None:
    verdict = detector.detect(PIXELS, stability=True)
    assert parse_line(verdict.model_dump_json()) == verdict


def test_what_is_always_the_same_holds(detector: Detector) -> None:
    never = small_detector(calibration=Calibration(bias=(100.0, 0.0, 0.0)))
    assert stability_of(never).held == 6
    # Labels may change as they like where nothing is stated of any delivery.
    unsure = Calibration(scale=(9.0,) * 3, digest="x", unsure_below=(1.0,) * 3)
    stability = stability_of(small_detector(calibration=unsure))
    assert stability.held == 6
    assert all(each.inconclusive for each in stability.deliveries)


def test_a_verdict_holds_where_label_and_state_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The network says real of everything but the half-sized picture, and nothing of the crop."""
    calibration = Calibration(digest="x", unsure_below=(0.6,) * 3)
    answers = {HALF: (0.0, 5.0, 0.0), CROPPED: (0.0, 0.0, 0.0)}
    detector = answering(monkeypatch, small_detector(calibration=calibration), answers)
    stability = stability_of(detector)
    assert [each.name for each in stability.deliveries if not each.held] == ["half_size", "cropped"]
    assert stability.held == 4
    assert stability.stable
    assert stability.sentence == (
        "Holds in 4 of 6 deliveries; half size makes it fully synthetic, "
        "cropping makes it inconclusive."
    )


def answering(
    monkeypatch: pytest.MonkeyPatch, detector: Detector, answers: dict[tuple[int, int], Any]
) -> Detector:
    """Let the network say so of pictures of these heights and widths, and real of all others."""
    infer_each = detector.engine.infer_each

    def told(pictures: Any, *rest: Any) -> Any:
        logits = [answers.get(each.pixels.shape[:2], (5.0, 0.0, 0.0)) for each in pictures]
        return [
            replace(output, class_logits=np.array(row, np.float32))
            for row, output in zip(logits, infer_each(pictures, *rest), strict=True)
        ]

    monkeypatch.setattr(detector.engine, "infer_each", told)
    return detector


def test_under_a_budget_a_verdict_that_does_not_hold_is_inconclusive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It holds in the three JPEGs alone, which the network takes for the picture itself."""
    scores = BudgetCalibration.of("mine", "0" * 64, {"as_is": [0.5] * 19})
    tampered, real = (0.0, 0.0, 5.0), (5.0, 0.0, 0.0)
    detector = answering(monkeypatch, small_detector(budgets=scores), {PIXELS.shape[:2]: tampered})
    verdict = detector.detect(PIXELS, stability=True, max_false_positives=0.05)
    assert verdict.stability is not None
    assert (verdict.stability.held, verdict.stability.stable) == (3, False)
    assert (verdict.label, verdict.inconclusive) == ("tampered", True)
    assert verdict.warnings == (
        "Inconclusive under the budget, since it holds in only 3 of 6 deliveries.",
    )
    for options in ({"stability": True}, {"max_false_positives": 0.05}):
        stated = detector.detect(PIXELS, **options)  # type: ignore[arg-type]
        assert (stated.inconclusive, stated.warnings) == (False, ())
    answers = {PIXELS.shape[:2]: tampered, CROPPED: tampered, HALF: real, SCREENSHOT: real}
    holding = answering(monkeypatch, small_detector(budgets=scores), answers)
    verdict = holding.detect(PIXELS, stability=True, max_false_positives=0.05)
    assert verdict.stability is not None
    assert verdict.stability.held == 4
    assert (verdict.inconclusive, verdict.warnings) == (False, ())


def test_deliveries_are_judged_under_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below its threshold nothing is stated of them but that they are real."""
    scores = BudgetCalibration.of("mine", "0" * 64, {"as_is": [0.9] * 19})
    answers = {PIXELS.shape[:2]: (0.0, 0.0, 5.0), HALF: (0.0, 0.0, 1.0)}
    detector = answering(monkeypatch, small_detector(budgets=scores), answers)
    verdict = detector.detect(PIXELS, stability=True, max_false_positives=0.05)
    assert verdict.stability is not None
    assert verdict.stability.sentence == (
        "Holds in 3 of 6 deliveries; half size makes it inconclusive, cropping and a screenshot "
        "make it real."
    )


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (8, 5)])
def test_the_smallest_pictures_are_delivered_too(detector: Detector, size: tuple[int, int]) -> None:
    assert stability_of(detector, PIXELS[: size[0], : size[1]]).of == 6


def test_a_picture_that_is_unfit_stays_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    """JPEG makes a drawing look less like one, and half of a picture may be too small."""
    drawing = np.full((200, 200, 3), 255, np.uint8)
    drawing[60:90, 40:160] = (200, 20, 20)
    detector = small_detector(calibration=Calibration(digest="x"))
    monkeypatch.setattr(Detector, "weighs_windows", True)
    assert unsuitable(drawing) is not None
    assert stability_of(detector, drawing).held == 6
    small = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    unfit = [each.name for each in stability_of(detector, small).deliveries if each.inconclusive]
    assert unfit == ["half_size"]


def test_only_those_that_ask_are_delivered(detector: Detector, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    sources = [PIXELS, PIXELS[:50], tmp_path / "broken.png", PIXELS[:, :70]]
    requests = [
        Request(source, stability=number != 1) for number, source in enumerate(sources)
    ]  # fmt: skip
    results = list(detector.run(requests))
    assert [type(result) for result in results] == [Verdict, Verdict, Failure, Verdict]
    assert [getattr(result, "stability", None) is not None for result in results] == [
        *(True, False, False, True)
    ]
    alone = detector.detect(sources[3], stability=True)
    assert results[3].stability.held == alone.stability.held  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("batch_size", "pictures", "expected"),
    [(8, 1, [1, 6]), (4, 1, [1, 4, 2]), (8, 2, [2, 8, 4]), (2, 2, [2, 2, 2, 2, 2, 2, 2])],
)
def test_deliveries_go_through_the_network_in_batches_without_masks_and_texts(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, pictures: int, expected: list[int]
) -> None:
    detector = small_detector(batch_size=batch_size)
    infer_each, passes = detector.engine.infer_each, []

    def watched(images: Any, rules: Any, explain: Any, *evidence: Any) -> Any:
        passes.append(len(images))
        if len(passes) > 1:
            assert not any(explain)
            assert not any(evidence)
            assert not any(rule(np.array([0.0, 0.0, 9.0])) for rule in rules)
        return infer_each(images, rules, explain, *evidence)

    monkeypatch.setattr(detector.engine, "infer_each", watched)
    results = list(detector.detect_many([PIXELS] * pictures, stability=True))
    assert passes == expected
    assert [result.stability.of for result in results] == [6] * pictures  # type: ignore[union-attr]


def test_deliveries_that_do_not_fit_together_are_judged_with_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = small_detector(batch_size=8)
    expected = stability_of(detector)
    infer_each, passes = detector.engine.infer_each, []

    def limited(pictures, *rest):  # type: ignore[no-untyped-def]
        passes.append(len(pictures))
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("no room")
        return infer_each(pictures, *rest)

    monkeypatch.setattr(detector.engine, "infer_each", limited)
    stability = stability_of(detector)
    assert passes == [1, 6, 3, 2, 1, 3, 2, 1]
    assert [each.label for each in stability.deliveries] == [
        each.label for each in expected.deliveries
    ]


def test_a_delivery_that_cannot_be_judged_costs_its_picture_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = small_detector(batch_size=2)
    infer_each = detector.engine.infer_each

    def limited(pictures, *rest):  # type: ignore[no-untyped-def]
        if any(picture.pixels.shape[:2] == HALF for picture in pictures):
            raise torch.OutOfMemoryError("no room")
        return infer_each(pictures, *rest)

    monkeypatch.setattr(detector.engine, "infer_each", limited)
    results = list(detector.detect_many([PIXELS, PIXELS[:60]], stability=True))
    assert [type(result) for result in results] == [Failure, Verdict]
    assert results[0].error == "out_of_memory"  # type: ignore[union-attr]


def test_a_file_is_decoded_once(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    read = []

    def counted(source, max_pixels):  # type: ignore[no-untyped-def]
        read.append(source)
        return original(source, max_pixels)

    import sida.detector as module

    original = module.read_or_error
    monkeypatch.setattr(module, "read_or_error", counted)
    detector.detect(tmp_path / "a.png", stability=True)
    assert len(read) == 1


def test_a_sentence_says_what_holds_and_what_changes_it() -> None:
    assert made_stability("tampered").sentence == "Holds in all 6 deliveries."
    unsure = made_stability("real", jpeg_70="inconclusive", cropped="inconclusive")
    assert unsure.sentence == (
        "Holds in 4 of 6 deliveries; JPEG 70 and cropping make it inconclusive."
    )
    assert made_stability("inconclusive", jpeg_50="real").sentence == (
        "Stays inconclusive in 5 of 6 deliveries; JPEG 50 makes it real."
    )
    changed = dict.fromkeys(DELIVERIES, "tampered")
    several = made_stability("real", **changed, carrier_pigeon="full_synthetic")
    assert several.sentence == (
        "Holds in none of 7 deliveries; JPEG 85, JPEG 70, JPEG 50, half size, cropping and a "
        "screenshot make it tampered, carrier_pigeon makes it fully synthetic."
    )


def test_stable_is_what_holds_in_more_than_half() -> None:
    changed = dict.fromkeys(list(DELIVERIES)[:2], "inconclusive")
    assert made_stability("real", **changed).stable
    assert not made_stability("real", **changed, screenshot="tampered").stable


def test_counts_that_are_not_those_of_the_deliveries_are_refused() -> None:
    deliveries = made_stability("real", jpeg_50="tampered").deliveries
    with pytest.raises(ValueError, match=r"held is 6 of 6, expected .* 5 of 6"):
        Stability(held=6, of=6, deliveries=deliveries)
