"""Making labelled pictures out of photographs: real, fully synthetic, and tampered ones."""

from sida.forge.config import ForgeConfig
from sida.forge.run import Forged, forge, train_autoencoders

__all__ = ["ForgeConfig", "Forged", "forge", "train_autoencoders"]
