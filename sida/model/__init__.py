"""The network and all that is bound to its weights; importing it registers it with transformers."""

from sida.model.config import SidaConfig
from sida.model.processor import SidaProcessor
from sida.model.sida import Sida

__all__ = ["Sida", "SidaConfig", "SidaProcessor"]
