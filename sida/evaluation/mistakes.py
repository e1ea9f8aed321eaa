"""The worst mistakes of a model, to be looked at: picture, truth and prediction side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sida.data.sample import Sample
from sida.errors import DataError, PictureError
from sida.evaluation.masks import Masks
from sida.evaluation.predictions import Prediction, read_predictions
from sida.evaluation.result import Result
from sida.evaluation.scores import right
from sida.html import Thumb, thumbnail
from sida.image.overlay import overlay, side_by_side
from sida.image.read import read_picture
from sida.verdict import LABELS

__all__ = ["Mistake", "mistakes", "thumbs"]

RANKED = 12
HEIGHT, SIDE = 180, 640


@dataclass(frozen=True)
class Mistake:
    """A picture's position among the predictions, and a few words on what went wrong."""

    position: int
    badge: str


def mistakes(result: Result) -> tuple[list[Mistake], list[Mistake]]:
    """Wrong verdicts, the surest first; and detected tampered pictures, the worst masks first."""
    rows = result.rows
    wrong = np.flatnonzero((rows.truth < len(LABELS)) & ~right(rows))
    confidences = rows.probabilities[wrong, rows.predicted[wrong]]
    two = rows.says == "real_or_not"
    # Of a verdict without classes the rest is one alternative.
    true = 1 - confidences if two else rows.probabilities[wrong, rows.truth[wrong]]
    verdicts = [
        Mistake(int(position), f"wrong by {gap:.2f}")
        for position, gap in _first(wrong, confidences - true)
    ]
    return verdicts, _masks(result.masks)


def _masks(masks: Masks) -> list[Mistake]:
    positions, scores = masks.per_mask("iou_fixed")
    detected = masks.called
    return [
        Mistake(int(position), f"IoU {-score:.2f}")
        for position, score in _first(positions[detected], -scores[detected])
    ]


def _first(
    positions: NDArray[np.int64], badness: NDArray[np.float64]
) -> list[tuple[np.int64, np.float64]]:
    order = np.argsort(-badness, kind="stable")[:RANKED]
    return list(zip(positions[order], badness[order], strict=True))


def thumbs(
    predictions: Path, selected: list[Mistake], samples: Sequence[Sample] | None = None
) -> Iterator[tuple[Mistake, Thumb]]:
    """Small pictures of mistakes, in the order of the file; unreadable ones are left out.

    Pictures that are no files of their own are looked for in `samples`, the evaluated set.
    """
    by_position = {mistake.position: mistake for mistake in selected}
    lines = (line for line in read_predictions(predictions) if isinstance(line, Prediction))
    for position, prediction in enumerate(lines):
        if position in by_position and (
            thumb := _thumb(prediction, by_position[position], samples)
        ):
            yield by_position[position], thumb


def _thumb(
    prediction: Prediction, mistake: Mistake, samples: Sequence[Sample] | None
) -> Thumb | None:
    if prediction.image is None:
        return None
    try:
        pixels = _pixels(prediction, prediction.folder / prediction.image, samples)
        truth, levels = prediction.truth_mask(), prediction.levels()
    except PictureError:
        return None
    panels = [("picture", pixels)]
    size = pixels.shape[:2]
    if truth is not None and truth.shape == size:
        panels.append(("truth", overlay(pixels, truth)))
    if levels is not None and levels.shape == size and prediction.label == "tampered":
        panels.append(("prediction", overlay(pixels, levels)))
    label, probability = prediction.truth.label, prediction.probabilities[prediction.label]
    caption = (
        f"{Path(prediction.image).name}: {label}, called {prediction.label} ({probability:.2f})"
    )
    return Thumb(
        thumbnail(side_by_side(panels, height=HEIGHT), side=SIDE),
        caption.replace("_", " "),
        mistake.badge,
    )


def _pixels(
    prediction: Prediction, file: Path, samples: Sequence[Sample] | None
) -> NDArray[np.uint8]:
    if file.is_file() or samples is None or prediction.index is None:
        return read_picture(file).pixels
    try:
        picture = samples[prediction.index].read()
    except (DataError, IndexError) as error:
        raise PictureError("the set is streamed, or holds fewer pictures now") from error
    if picture.sha256 != prediction.sha256:
        raise PictureError("the set holds another picture at its index now")
    return picture.pixels
