"""What an operator decides."""

from dataclasses import dataclass
from pathlib import Path

from sida.serve.keys import Key

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """Bounds of the service, and what it does beside judging.

    Attributes:
        places: requests at once, from before their body is read until their answer is made; one
            more is refused with 429.
        max_wait: seconds that a micro-batch waits for more pictures before it begins.
        upload_bytes: of one picture; a batch may have four times as much in all.
        pixels: larger pictures are refused by their header.
        seconds: that sending a body may take, and as many that its answer may take.
        keys: who may ask; empty means everybody.
        origins: web pages of these origins may ask from a browser; none by default.
        trust: certificates (PEM) of issuers of content credentials that are trusted.
        keep: folder in which pictures that were judged are kept; None keeps none.
    """

    places: int = 64
    max_wait: float = 0.01
    upload_bytes: int = 20_000_000
    pixels: int = 40_000_000
    seconds: float = 120.0
    keys: tuple[Key, ...] = ()
    origins: tuple[str, ...] = ()
    trust: str | None = None
    keep: Path | None = None
