"""`DetectorPredictor`: our detector as a predictor of labelled pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sida.data.sample import Sample
from sida.detector import Detector
from sida.image.arrays import Pixels
from sida.options import DetectOptions, Request
from sida.verdict import Failure, ModelInfo, Verdict

__all__ = ["DetectorPredictor"]


class DetectorPredictor:
    """Free running, as a user gets it.

    Of pictures with a true mask a probability map is kept whatever the verdict, for the protocol
    that measures all of them; the verdict itself does not change.

    Args:
        options: of every verdict; their masks are decided here.
    """

    def __init__(self, detector: Detector, options: DetectOptions = DetectOptions()) -> None:
        self.detector, self.options = detector, options

    @property
    def model(self) -> ModelInfo:
        """The detector's weights."""
        return self.detector.model

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[Path | bytes | Pixels]
    ) -> Iterator[Verdict | Failure]:
        """A result for each picture, in order."""
        requests = (
            Request.of(
                picture,
                replace(self.options, masks="tampered" if sample.mask is None else "all"),
            )
            for sample, picture in zip(samples, pictures, strict=True)
        )
        for result in self.detector.run(requests):
            yield _as_a_user_gets_it(result) if isinstance(result, Verdict) else result


def _as_a_user_gets_it(verdict: Verdict) -> Verdict:
    """Without the mask of a picture that was not called tampered; the map stays."""
    if verdict.label == "tampered":
        return verdict
    verdict_alone = verdict.model_copy(update={"localization": None})
    return verdict_alone.with_arrays(probability_map=verdict.probability_map)
