"""Sentences on a verdict for people who know no machine learning."""

import math

from sida.html import Tone
from sida.verdict import Label, Verdict

__all__ = [
    "INTRO",
    "LABEL_NAMES",
    "PART_NAMES",
    "budget_meaning",
    "confidence",
    "headline",
    "meaning",
    "promise",
    "reasons",
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
    if verdict.outcome == "inconclusive":
        return "Inconclusive"
    return f"Inconclusive; most likely: {name.lower()}" if verdict.inconclusive else name


def tone(verdict: Verdict) -> Tone:
    """The colour of the headline."""
    if verdict.inconclusive:
        return "warn"
    return "good" if verdict.label == "real" else "bad"


def meaning(verdict: Verdict) -> str:
    """The meaning of the verdict, in sentences."""
    if verdict.outcome == "inconclusive":
        return "The picture is called neither real nor altered or generated."
    return _MEANINGS[verdict.label]


_NUMBERS: dict[float, str] = {
    1: "one",
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    10: "ten",
    20: "twenty",
}


def _of_honest(share: float) -> tuple[str, str]:
    """Number and total of honest photographs in words: five, a hundred."""
    per, total = (100, "a hundred") if share >= 0.01 else (1000, "a thousand")
    number = round(per * share, 6)
    return _NUMBERS.get(number, f"{number:g}"), total


def budget_meaning(share: float) -> str:
    """The promise of a budget for many pictures."""
    number, total = _of_honest(share)
    return (
        f"A picture is called altered or generated only where at most {number} of {total} honest "
        "photographs look as suspicious to the model; what is neither that nor real is "
        "inconclusive."
    )


def promise(verdict: Verdict) -> str | None:
    """The promise of the budget for this picture; None without one."""
    if verdict.budget is None:
        return None
    number, total = _of_honest(verdict.budget.max_false_positives)
    if verdict.budget.exceeded(verdict.probabilities.real):
        look = "looks" if number == "one" else "look"
        return (
            f"To the model, at most {number} of {total} honest photographs {look} as suspicious as "
            "this picture."
        )
    return (
        f"To the model, more than {number} of {total} honest photographs may look as suspicious as "
        "this picture, so it is not called altered or generated."
    )


def reasons(verdict: Verdict) -> list[str]:
    """The reasons why a verdict under a budget is not certain, beside its warnings."""
    budget = verdict.budget
    if budget is None:
        return []
    sentences = [
        f"The limit rests on {budget.photographs} real photographs ({budget.set}) that the model "
        "did not learn from. It holds for photographs like them; other cameras, other editing or "
        "other ways of sending can shift it."
    ]
    if verdict.outcome in ("full_synthetic", "tampered"):
        number, total = _of_honest(budget.max_false_positives)
        sentences.append(
            f"At most {number} of {total} is not none: an honest photograph can be among them."
        )
    elif verdict.outcome == "real":
        sentences.append(
            "The limit is for accusations alone: it does not say how many altered or generated "
            "pictures pass as real."
        )
    else:
        sentences.append(
            "Inconclusive is not half an accusation: honest pictures end up here, and so do "
            "altered and generated ones."
        )
    stability = verdict.stability
    if stability is not None and stability.held < stability.of:
        sentences.append(f"It does not survive every delivery. {stability.sentence}")
    return sentences


def confidence(verdict: Verdict) -> str:
    """The model's confidence, and what that figure is worth."""
    share = whole_percent(verdict.probabilities[verdict.label])
    if verdict.inconclusive and verdict.budget is None:
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
