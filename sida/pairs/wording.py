"""Results of comparing two pictures, in plain English."""

from sida.pairs.comparison import Comparison

__all__ = ["headline", "meaning", "percent"]


def percent(share: float) -> str:
    """A share as people read it.

    >>> percent(0.0004), percent(0.0834), percent(1.0)
    ('less than 0.1 %', '8.3 %', '100 %')
    """
    if 0 < share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def headline(comparison: Comparison) -> str:
    """Headline of a comparison."""
    return {
        "local": f"A region was changed: {percent(comparison.share)} of the picture",
        "whole": "The whole picture was re-rendered",
        "same": "The same picture",
        "unrelated": "Two unrelated pictures",
    }[comparison.relation]


def meaning(comparison: Comparison) -> str:
    """Meaning of a relation, and its limits."""
    return {
        "local": "The marked region differs by more than storing, resizing and cropping a picture "
        "does; around it the two agree. Changes smaller than that are not found.",
        "whole": "Every part differs by more than storing, resizing and cropping a picture does: a "
        "filter, a denoiser or a network went over all of it. Whether a region was changed as well "
        "cannot be told.",
        "same": "The two differ by no more than storing, resizing and cropping a picture does. "
        "Changes smaller than that are not found.",
        "unrelated": "No part of the one could be laid over the other. That is also found of two "
        "photographs of one scene, and of a picture that was mirrored or drawn anew.",
    }[comparison.relation]
