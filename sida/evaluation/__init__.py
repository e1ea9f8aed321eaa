"""How well pictures are judged: figures that are what they are called, from kept predictions."""

from sida.evaluation.prediction_run import Shard
from sida.evaluation.predictions import read_predictions
from sida.evaluation.run import Options, evaluate

__all__ = ["Options", "Shard", "evaluate", "read_predictions"]
