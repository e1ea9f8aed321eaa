"""Pairs of an original and an edited picture: what was changed, as a mask, a set, or a page."""

from sida.errors import optional_package

with optional_package("opencv-python-headless", "data", "Comparing two pictures"):
    import cv2  # noqa: F401

# Not above: every module of this room needs OpenCV.
from sida.pairs.comparison import Comparison, Relation, compare
from sida.pairs.matching import Match, match_folders
from sida.pairs.pairing import PairedSet, PairResult, pair_folders

__all__ = [
    "Comparison",
    "Match",
    "PairResult",
    "PairedSet",
    "Relation",
    "compare",
    "match_folders",
    "pair_folders",
]
