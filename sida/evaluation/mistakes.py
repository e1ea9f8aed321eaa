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
from sida.image.overlay import overlay, side_by_side
from sida.image.read import read_picture
from sida.page import Thumb, thumbnail
from sida.verdict import LABELS

__all__ = ["Mistake", "mistakes", "thumbs"]

SHOWN = 12
HEIGHT, SIDE = 180, 640


@dataclass(frozen=True)
class Mistake:
    """A picture's place among those judged, and in a word what went wrong."""

    place: int
    badge: str


def mistakes(result: Result) -> tuple[list[Mistake], list[Mistake]]:
    """Wrong verdicts, the surest first; and found tampered pictures, the worst masks first."""
    rows = result.rows
    known = np.flatnonzero((rows.truth < len(LABELS)) & ~right(rows))
    said = rows.probabilities[known, rows.predicted[known]]
    two = rows.says == "real_or_not"
    true = 1 - said if two else rows.probabilities[known, rows.truth[known]]
    verdicts = [
        Mistake(int(place), f"wrong by {gap:.2f}") for place, gap in _first(known, said - true)
    ]
    return verdicts, _masks(result.masks)


def _masks(masks: Masks) -> list[Mistake]:
    places, scores = masks.per_mask("iou_fixed")
    found = masks.called
    return [
        Mistake(int(place), f"IoU {-score:.2f}")
        for place, score in _first(places[found], -scores[found])
    ]


def _first(
    places: NDArray[np.int64], badness: NDArray[np.float64]
) -> list[tuple[np.int64, np.float64]]:
    order = np.argsort(-badness, kind="stable")[:SHOWN]
    return list(zip(places[order], badness[order], strict=True))


def thumbs(
    predictions: Path, wanted: list[Mistake], samples: Sequence[Sample] | None = None
) -> Iterator[tuple[Mistake, Thumb]]:
    """Small pictures of mistakes, in the order of the file; those that cannot be read are not.

    Pictures that are no files of their own are looked for in `samples`, the set that was judged.
    """
    by_place = {mistake.place: mistake for mistake in wanted}
    judged = (line for line in read_predictions(predictions) if isinstance(line, Prediction))
    for place, prediction in enumerate(judged):
        if place in by_place and (thumb := _thumb(prediction, by_place[place], samples)):
            yield by_place[place], thumb


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
    label, said = prediction.truth.label, prediction.probabilities[prediction.label]
    caption = f"{Path(prediction.image).name}: {label}, called {prediction.label} ({said:.2f})"
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
        raise PictureError("the set holds another picture in its place now")
    return picture.pixels
