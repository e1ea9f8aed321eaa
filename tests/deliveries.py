"""Stabilities of verdicts, made on the spot."""

from sida.image.deliveries import DELIVERIES
from sida.verdict import DeliveryVerdict, Probabilities, Stability

__all__ = ["stability"]

PROBABILITIES = Probabilities(real=0.4, full_synthetic=0.3, tampered=0.3)


def stability(label: str = "real", **outcomes: str) -> Stability:
    """That of a verdict which holds but in deliveries with another outcome.

    `stability("real", jpeg_50="inconclusive")` holds in 5 of 6.
    """
    return Stability.among(
        DeliveryVerdict(
            name=name,
            label="real" if outcome == "inconclusive" else outcome,  # type: ignore[arg-type]
            probabilities=PROBABILITIES,
            inconclusive=outcome == "inconclusive",
            held=outcome == label,
        )
        for name, outcome in (dict.fromkeys(DELIVERIES, label) | outcomes).items()
    )
