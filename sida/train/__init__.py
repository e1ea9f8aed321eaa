"""Training: a recipe, a loop, and a folder that `Detector.load` reads."""

from sida.train.loop import train

__all__ = ["train"]
