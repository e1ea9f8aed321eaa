"""The same `Detector` on Ray: any number of pictures, on one machine or on many."""

from sida.scale.evaluating import evaluate
from sida.scale.forging import forge
from sida.scale.run import Judged, detect

__all__ = ["Judged", "detect", "evaluate", "forge"]
