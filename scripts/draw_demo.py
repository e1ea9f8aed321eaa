"""Draw docs/demo.jpg, the README's picture: one tampered example, its mask, and the overlay.

python scripts/draw_demo.py [PICTURE]     by default examples/tampered/heath_copied.jpg
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from sida import Detector
from sida.image.overlay import overlay, side_by_side
from sida.image.read import read_picture

ROOT = Path(__file__).parents[1]


def main(picture: Path) -> None:
    """Judge the picture with the embedded model and write what it says."""
    verdict = Detector.load("tiny").detect(picture, masks="all")
    assert verdict.mask is not None
    pixels = read_picture(picture).pixels
    white = np.where(verdict.mask[:, :, None], np.uint8(255), np.uint8(0)).repeat(3, 2)
    share = verdict.probabilities["tampered"]
    panels = [
        (picture.name, pixels),
        (f"mask ({verdict.label}, tampered {share:.0%})", white),
        ("overlay", overlay(pixels, verdict.mask)),
    ]
    Image.fromarray(side_by_side(panels)).save(ROOT / "docs/demo.jpg", quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "examples/tampered/heath_copied.jpg")
