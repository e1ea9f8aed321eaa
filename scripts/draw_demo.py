"""Draw docs/demo.jpg, the README's picture: an example, what was altered, and what the model sees.

python scripts/draw_demo.py
"""

from pathlib import Path

import numpy as np
from PIL import Image

from sida import Detector
from sida.image.overlay import heat_map, outlined, side_by_side

ROOT = Path(__file__).parent.parent
NAME = "heath_copied"


def main() -> None:
    """Draw the evidence of a tampered example beside the truth."""
    picture = ROOT / f"examples/tampered/{NAME}.jpg"
    verdict = Detector.load().detect(picture, masks="all", evidence=True)
    assert verdict.evidence is not None
    assert verdict.probability_map is not None
    assert verdict.evidence_map is not None
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    truth = np.asarray(Image.open(ROOT / f"examples/masks/{NAME}_mask.png").convert("L")) > 127
    boxes = [window.box for window in verdict.evidence.windows]
    texts = [f"{window.probabilities.tampered:.2f}" for window in verdict.evidence.windows]
    panels = [
        ("windows: tampered", outlined(pixels, boxes, texts)),
        ("what was altered", truth),
        ("looks altered", heat_map(pixels, verdict.probability_map)),
        ("looks generated", heat_map(pixels, verdict.evidence_map)),
    ]
    Image.fromarray(side_by_side(panels)).save(ROOT / "docs/demo.jpg", quality=85)


if __name__ == "__main__":
    main()
