"""`evaluate`: as `sida.evaluation.evaluate`, with blocks of pictures judged on Ray.

Workers say what comes of a block; the driver writes it. So the files are those of a run without
Ray, and one may go on with the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from sida import evaluation
from sida.assets import DEFAULT_MODEL
from sida.data.sample import Sample
from sida.detector import Detector
from sida.evaluation.detecting import DetectorJudge
from sida.evaluation.predictions import Pixels
from sida.evaluation.result import Result
from sida.scale.pool import Pool
from sida.scale.weights import load, locate
from sida.verdict import Failure, ModelInfo, Verdict

__all__ = ["evaluate"]


def evaluate(
    data: Sequence[str | Path],
    out: str | Path,
    *,
    model: str = DEFAULT_MODEL,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    address: str | None = None,
    workers: int | None = None,
    options: evaluation.Options = evaluation.Options(),  # noqa: B008
    **how: Any,
) -> dict[str, Result]:
    """Judge labelled sets with Ray, and measure here.

    Args:
        data, out, options: as of `sida.evaluation.evaluate`, and so is `how`: resume, progress.
            Pictures named by paths have to lie at these on every machine.
        model, device, dtype, batch_size: as of `Detector.load`, for each worker.
        address, workers: as of `sida.scale.detect`.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: nobody answers at the address.
        SidaError: what `sida.evaluation.evaluate` raises; or the workers stop.
    """
    with Pool(address, workers, device) as pool:

        def judge() -> _FarJudge:
            name, digest = locate(model, None)
            weights = _Weights(name, (device, dtype, None, batch_size), digest)
            (found,) = pool.map(_model, [weights])
            return _FarJudge(weights, options.explanations, found)

        return evaluation.evaluate(data, out, judge=judge, options=options, mapper=pool.map, **how)


@dataclass(frozen=True)
class _Weights:
    """All that a worker must know to load them."""

    name: str
    how: tuple[Any, ...]
    digest: str


@lru_cache(maxsize=1)
def _detector(weights: _Weights) -> Detector:
    """That of this process."""
    return load(weights.name, None, weights.how, weights.digest)


def _model(weights: _Weights) -> ModelInfo:
    return _detector(weights).model


@dataclass(frozen=True)
class _FarJudge:
    """A `Judge` that may be sent: it has its weights in the process where it is called."""

    weights: _Weights
    explain: bool
    model: ModelInfo

    def __call__(
        self, samples: Sequence[Sample], pictures: Sequence[Path | bytes | Pixels]
    ) -> Iterator[Verdict | Failure]:
        return DetectorJudge(_detector(self.weights), self.explain)(samples, pictures)
