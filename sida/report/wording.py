"""Sentences on a verdict for people who know no machine learning."""

import math

from sida.html import Tone
from sida.verdict import Label, Verdict

__all__ = [
    "INTRO",
    "LABEL_NAMES",
    "PART_NAMES",
    "confidence",
    "headline",
    "meaning",
    "shortened",
    "tone",
    "whole_percent",
]

LABEL_NAMES: dict[Label, str] = {
    "real": "Real",
    "full_synthetic": "Fully synthetic",
    "tampered": "Tampered",
}

INTRO = (
    "A computer model has looked at the picture. What it says is an estimate and no proof: it can "
    "be wrong in both directions."
)

_MEANINGS: dict[Label, str] = {
    "real": (
        "The model takes the picture for a photograph that was neither generated nor altered. It "
        "can overlook alterations, small ones above all."
    ),
    "full_synthetic": "The model takes the whole picture for the work of a generator.",
    "tampered": (
        "The model takes the picture for a photograph of which a part was altered afterwards."
    ),
}

PART_NAMES = {
    "type": "Kind of picture",
    "areas": "Where",
    "content": "What was altered",
    "lighting": "Light",
    "edges": "Edges",
    "resolution": "Grain and sharpness",
    "shadows": "Shadows",
}
"""Parts of an explanation, as they are shown."""


def headline(verdict: Verdict) -> str:
    """The verdict in a few words."""
    name = LABEL_NAMES[verdict.label]
    return f"Inconclusive; most likely: {name.lower()}" if verdict.inconclusive else name


def tone(verdict: Verdict) -> Tone:
    """The colour of the headline."""
    if verdict.inconclusive:
        return "warn"
    return "good" if verdict.label == "real" else "bad"


def meaning(verdict: Verdict) -> str:
    """The meaning of the label, in sentences."""
    return _MEANINGS[verdict.label]


def confidence(verdict: Verdict) -> str:
    """The model's confidence, and what that figure is worth."""
    share = whole_percent(verdict.probabilities[verdict.label])
    if verdict.inconclusive:
        return (
            f"Confidence {share} %. When the model was checked on pictures whose truth is known, "
            "it could not be relied on at such a figure: treat this picture as undecided."
        )
    if verdict.calibrated:
        return (
            f"Confidence {share} %. The figure was checked on pictures whose truth is known: of "
            f"100 such pictures with this figure the model is right about {share} times. "
            "Pictures of other kinds than those may fare worse."
        )
    return (
        f"The model's own figure is {share} %. It was not checked against pictures whose truth "
        "is known (it is not calibrated), so it does not say how often the model is right."
    )


def whole_percent(share: float) -> int:
    """Rounded down, so that no estimate is called certain.

    >>> whole_percent(0.9999), whole_percent(0.345)
    (99, 34)
    """
    return 100 if share == 1 else math.floor(100 * share + 1e-9)


def shortened(text: str, length: int = 2000) -> str:
    """A text from outside, cut where it is longer than anybody reads."""
    return text if len(text) <= length else f"{text[:length]} … ({len(text)} characters)"
