"""`evaluate`: as `sida.evaluation.evaluate`, with blocks predicted on Ray.

Workers return the results of a block and the driver writes them, so the files are those of a run
without Ray, and one goes on with what the other left.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sida import evaluation
from sida.data.sample import Sample
from sida.evaluation.detector_predictor import DetectorPredictor
from sida.evaluation.result import Result
from sida.evaluation.run import StageProgress
from sida.image.arrays import Pixels
from sida.options import DetectOptions, ModelOptions
from sida.scale.pool import WorkerPool
from sida.scale.weights import Weights, locate, worker_detector
from sida.verdict import Failure, ModelInfo, Verdict

__all__ = ["evaluate"]


def evaluate(
    data: Sequence[str | Path],
    out: str | Path,
    model: ModelOptions = ModelOptions(),
    *,
    address: str | None = None,
    workers: int | None = None,
    options: evaluation.Options = evaluation.Options(),  # noqa: B008
    fresh: bool = False,
    on_progress: StageProgress = lambda stage, finished, total: None,
) -> dict[str, Result]:
    """Predict labelled sets with Ray, and measure here.

    Args:
        data, out, options, fresh, on_progress: as of `sida.evaluation.evaluate`.
            Pictures named by paths have to lie at these on every machine.
        model: how each worker loads it.
        address, workers: as of `sida.scale.detect`.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: nobody answers at the address.
        SidaError: what `sida.evaluation.evaluate` raises; or the workers stop.
    """
    with WorkerPool(address, workers, model.device) as pool:

        def predictor() -> _RemotePredictor:
            # One worker loads first and tells name and digest, which every line of predictions has.
            weights = locate(model)
            (info,) = pool.map(_model_info, [weights])
            return _RemotePredictor(weights, options.detect, info)

        return evaluation.evaluate(
            data,
            out,
            predictor=predictor,
            options=options,
            fresh=fresh,
            on_progress=on_progress,
            mapper=pool.map,
        )


def _model_info(weights: Weights) -> ModelInfo:
    return worker_detector(weights).model


@dataclass(frozen=True)
class _RemotePredictor:
    """A `Predictor` that can be sent: it has its weights in the process where it is called."""

    weights: Weights
    options: DetectOptions
    model: ModelInfo

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[Path | bytes | Pixels]
    ) -> Iterator[Verdict | Failure]:
        return DetectorPredictor(worker_detector(self.weights), self.options)(samples, pictures)
