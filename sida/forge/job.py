"""`Job`: what every process of a run is given; cheap to import and to send."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sida.forge.config import ForgeConfig
from sida.forge.photographs import Photograph

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """Configuration, photographs and places.

    Attributes:
        out: the folder that is written.
        weights: where the trained autoencoders lie, each in a folder of its name.
        captions: all captions there are.
        key: the same for equal jobs, so that these need not be compared.
    """

    config: ForgeConfig
    photographs: Sequence[Photograph] = field(repr=False)
    out: Path
    weights: Path
    captions: Sequence[str] = field(default=(), repr=False)
    key: str = ""
