"""The same `Detector` on Ray: any number of pictures, on one machine or on many."""

from sida.scale.detection import DetectionSummary, detect
from sida.scale.evaluation import evaluate
from sida.scale.forging import forge
from sida.scale.plan import Selection

__all__ = ["DetectionSummary", "Selection", "detect", "evaluate", "forge"]
