"""Draw docs/demo.jpg, the README's picture: an example, what was altered, the mask, the overlay.

python scripts/draw_demo.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from sida import Detector
from sida.image.overlay import overlay, side_by_side

ROOT = Path(__file__).parent.parent
NAME = "heath_copied"


def main() -> None:
    """Take the mask of a tampered example, whatever its verdict is."""
    picture = ROOT / f"examples/tampered/{NAME}.jpg"
    mask = Detector.load("tiny").detect(picture, masks="all").mask
    assert mask is not None
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    truth = np.asarray(Image.open(ROOT / f"examples/masks/{NAME}_mask.png").convert("L")) > 127
    panels = [
        ("picture", pixels),
        ("what was altered", truth),
        ("mask found", mask),
        ("overlay", overlay(pixels, mask)),
    ]
    Image.fromarray(side_by_side(panels)).save(ROOT / "docs/demo.jpg", quality=85)


if __name__ == "__main__":
    main()
