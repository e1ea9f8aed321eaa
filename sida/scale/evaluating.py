"""`evaluate`: as `sida.evaluation.evaluate`, with blocks of pictures judged on Ray.

Workers say what comes of a block; the driver writes it. So the files are those of a run without
Ray, and one may go on with the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sida import evaluation
from sida.data.sample import Sample
from sida.detector import Detector
from sida.evaluation.detecting import DetectorJudge
from sida.evaluation.predictions import Pixels
from sida.evaluation.result import Result
from sida.options import ModelOptions
from sida.scale.pool import Pool
from sida.scale.weights import load, locate
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
    **how: Any,
) -> dict[str, Result]:
    """Judge labelled sets with Ray, and measure here.

    Args:
        data, out, options: as of `sida.evaluation.evaluate`, and so is `how`: fresh, progress.
            Pictures named by paths have to lie at these on every machine.
        model: how each worker loads it.
        address, workers: as of `sida.scale.detect`.

    Raises:
        MissingExtra: Ray is not installed.
        InputError: nobody answers at the address.
        SidaError: what `sida.evaluation.evaluate` raises; or the workers stop.
    """
    with Pool(address, workers, model.device) as pool:

        def judge() -> _FarJudge:
            weights = _Weights(*locate(model))
            (found,) = pool.map(_model, [weights])
            return _FarJudge(weights, options.explanations, found)

        return evaluation.evaluate(data, out, judge=judge, options=options, mapper=pool.map, **how)


@dataclass(frozen=True)
class _Weights:
    """All that a worker must know to load them."""

    options: ModelOptions
    digest: str


@lru_cache(maxsize=1)
def _detector(weights: _Weights) -> Detector:
    """That of this process."""
    return load(weights.options, weights.digest)


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
