"""`calibrate`: scores of real photographs by a detector, for budgets of false accusations.

    photographs = find_photographs(Path("photographs"))
    calibrate(Detector.load(), photographs, "photographs", Path("calibration.json"))

Each photograph is scored as it is and as messengers and sites hand it on, since nobody knows how a
picture has come.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from sida.detector import Detector
from sida.errors import InputError, PictureError
from sida.files import write_text
from sida.forge.photographs import Photograph, digest
from sida.image.arrays import Pixels
from sida.image.deliveries import deliver, shrink
from sida.image.prefetch import prefetch
from sida.model.budget import BudgetCalibration
from sida.verdict import Failure, Verdict

__all__ = ["AS_IS", "DELIVERED", "CalibrationRun", "calibrate"]

AS_IS = "as_is"
DELIVERED = (AS_IS, "jpeg_70", "half_size", "screenshot")
"""Deliveries that photographs are scored in; others lie between them."""
SUFFIX = ".unfinished"


@dataclass(frozen=True)
class CalibrationRun:
    """A calibration, and the photographs that it does not have.

    Attributes:
        calibration: the scores.
        failures: photographs that could not be read or judged, by their names.
        unsuitable: photographs that the model was not made for, if only in one delivery, and why.
    """

    calibration: BudgetCalibration
    failures: Mapping[str, str]
    unsuitable: Mapping[str, str]


def calibrate(
    detector: Detector,
    photographs: Sequence[Photograph],
    set_name: str,
    out: Path,
    deliveries: Sequence[str] = DELIVERED,
    on_progress: Callable[[int, int | None], None] = lambda finished, total: None,
) -> CalibrationRun:
    """Score real photographs, and write the calibration.

    Until it is written, `OUT.unfinished` beside it keeps the scores, and the same call goes on with
    them; those of other weights, photographs or deliveries are not used.

    Args:
        detector: the scores hold for its weights, and for its option `fast`.
        photographs: real ones, of sources that training never saw.
        set_name: the name that verdicts give for them.
        out: the file.
        deliveries: of `DELIVERED`.
        on_progress: called with the number of photographs that are done, and of all.

    Raises:
        InputError: not one of them can be judged; nothing is written.
        SidaError: the file cannot be written.
    """
    if out.is_dir():
        raise InputError(f"{str(out)!r} is a folder, expected a file: add a file name")
    fast = detector.options.fast
    identity = [detector.model.digest, fast, digest(photographs), list(deliveries)]
    notes = _Notes(out.with_name(out.name + SUFFIX), identity)
    scored = notes.earlier
    on_progress(len(scored), len(photographs))
    for result in _score(detector, photographs[len(scored) :], deliveries):
        notes.add(result)
        scored.append(result)
        on_progress(len(scored), len(photographs))
    # A delivery without scores is left out: photographs so small that no half can be judged.
    scores = {
        name: [photograph.scores[name] for photograph in scored if name in photograph.scores]
        for name in deliveries
    }
    judged = {name: values for name, values in scores.items() if values}
    if not judged:
        notes.remove()
        raise InputError(_nothing(set_name, scored))
    run = CalibrationRun(
        BudgetCalibration.of(set_name, detector.model.digest, judged, fast),
        {item.name: item.failure for item in scored if item.failure is not None},
        {item.name: item.unsuitable for item in scored if item.unsuitable is not None},
    )
    run.calibration.save(out)
    notes.remove()
    return run


def _nothing(set_name: str, scored: Sequence["_Scored"]) -> str:
    first = scored[0]
    return (
        f"of the {len(scored)} pictures in {set_name} not one is a photograph that can be judged "
        f"(the first is {first.name}: {first.failure or first.unsuitable}): give other photographs"
    )


class _Scored(BaseModel):
    """The scores of a photograph by delivery, or why it has none."""

    name: str
    scores: Mapping[str, float] = {}
    failure: str | None = None
    unsuitable: str | None = None


def _score(
    detector: Detector, photographs: Sequence[Photograph], deliveries: Sequence[str]
) -> Iterator[_Scored]:
    """The scores of photographs in their order; later ones are read meanwhile."""
    pictures = prefetch(partial(_delivered, deliveries), photographs, buffer_size=2)
    for photograph, pixels in zip(photographs, pictures, strict=True):
        if isinstance(pixels, PictureError):
            yield _Scored(name=photograph.name, failure=str(pixels))
            continue
        results = detector.detect_many(pixels, masks="none")
        yield _scored(photograph.name, dict(zip(deliveries, results, strict=True)))


def _scored(name: str, results: Mapping[str, Verdict | Failure]) -> _Scored:
    failures = [result for result in results.values() if isinstance(result, Failure)]
    if failures:
        return _Scored(name=name, failure=failures[0].message)
    verdicts = {
        delivery: result for delivery, result in results.items() if isinstance(result, Verdict)
    }
    # Such verdicts are never stated, so they take no part in the promise either.
    scores = {
        delivery: 1 - verdict.probabilities.real
        for delivery, verdict in verdicts.items()
        if verdict.unsuitable is None
    }
    return _Scored(name=name, scores=scores, unsuitable=_reason(verdicts))


def _reason(verdicts: Mapping[str, Verdict]) -> str | None:
    """The first reason why a delivery has no score, with its name where others have one."""
    reasons = {name: verdict.unsuitable for name, verdict in verdicts.items() if verdict.unsuitable}
    if not reasons:
        return None
    name, reason = next(iter(reasons.items()))
    return reason if len(reasons) == len(verdicts) else f"as {name}: {reason}"


def _delivered(deliveries: Sequence[str], photograph: Photograph) -> list[Pixels] | PictureError:
    try:
        pixels = photograph.read().pixels
        sent = shrink(pixels)
        return [pixels if name == AS_IS else deliver(sent, name) for name in deliveries]
    except PictureError as error:
        return error
    except MemoryError:
        return PictureError("there is not enough memory to read the picture", "out_of_memory")


class _Notes:
    """Scores of a run that is under way, a line each behind that of its identity."""

    def __init__(self, path: Path, identity: Sequence[object]) -> None:
        self._path = path
        first = json.dumps(identity)
        self.earlier = self._read(first)
        lines = [first, *(item.model_dump_json() for item in self.earlier)]
        write_text(path, "".join(f"{line}\n" for line in lines))

    def _read(self, first: str) -> list[_Scored]:
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return []
        head, *lines = text.split("\n")
        # The last is empty, or what a kill has torn.
        return [_Scored.model_validate_json(line) for line in lines[:-1]] if head == first else []

    def add(self, item: _Scored) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(item.model_dump_json() + "\n")

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
