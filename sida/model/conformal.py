"""Thresholds that keep a promise: split conformal prediction, as pure functions.

A score of n real photographs that no training saw is kept. A further real photograph that is
exchangeable with them (drawn the same way, in no order that matters) is as likely to take any of
the n + 1 ranks among them. So its score exceeds the k-th smallest with a probability of at most
(n + 1 - k) / (n + 1), whatever the model and the distribution of its scores are (Vovk, Gammerman
and Shafer, *Algorithmic Learning in a Random World*, 2005; for the real class alone, as here,
section 4.5 there). Ties make it less, never more.

That holds on average over sets of n photographs. For one such set the share varies: with continuous
scores it follows a Beta(n + 1 - k, k) distribution (Vovk, *Conditional validity of inductive
conformal predictors*, 2012; Angelopoulos and Bates, *A Gentle Introduction to Conformal
Prediction*, 2021, section 3.2).
"""

import math
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["rank", "share_interval", "smallest_count", "threshold"]

HALVINGS = 60
"""Steps of bisection, after which a float64 does not change any more."""


def rank(count: int, budget: float) -> int:
    """k = ceil((count + 1)(1 - budget)): the threshold is the k-th smallest score.

    It is above `count` where so few photographs cannot keep the promise.
    """
    # Exact: in floats 100 x (1 - 0.07) is a little above 93, and its ceiling one too many.
    return math.ceil((count + 1) * (1 - _exact(budget)))


def smallest_count(budget: float) -> int:
    """The fewest photographs that keep the promise of a budget: ceil(1 / budget - 1)."""
    return math.ceil(1 / _exact(budget) - 1)


def threshold(scores: Sequence[float], budget: float) -> float:
    """The score that at most this share of exchangeable photographs exceeds.

    Args:
        scores: from the smallest to the largest.
        budget: above 0 and below 1.

    Raises:
        ValueError: there are fewer than `smallest_count(budget)`.
    """
    number = rank(len(scores), budget)
    if number > len(scores):
        raise ValueError(f"{len(scores)} scores, expected at least {smallest_count(budget)}")
    return scores[number - 1]


def share_interval(count: int, budget: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of the share that exceeds the threshold of one set of `count` photographs.

    The middle `level` of a Beta(count + 1 - k, k) distribution. Raises ValueError as `threshold`.
    """
    number = rank(count, budget)
    if number > count:
        raise ValueError(f"{count} scores, expected at least {smallest_count(budget)}")
    tail = (1 - level) / 2
    above = count + 1 - number
    return _beta_quantile(above, number, tail), _beta_quantile(above, number, 1 - tail)


def _exact(budget: float) -> Fraction:
    """The number as it was typed: 0.05 is a twentieth, and not the float next to it."""
    return Fraction(repr(float(budget)))


def _beta_quantile(a: int, b: int, probability: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _beta_cdf(a, b, middle) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_cdf(a: int, b: int, x: float) -> float:
    """P(Beta(a, b) <= x) for whole a and b: the chance of a or more hits in a + b - 1 throws."""
    n = a + b - 1
    logs = (
        math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1)
        + j * math.log(x) + (n - j) * math.log1p(-x)
        for j in range(a, n + 1)
    )  # fmt: skip
    return math.fsum(map(math.exp, logs))
