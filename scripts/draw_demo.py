"""Draw docs/demo.jpg, the README's picture: an example, what was altered, the mask, the overlay.

make demo && python scripts/draw_demo.py
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from sida.image.overlay import overlay, side_by_side

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "out/demo"


def main() -> None:
    """Take the first verdict with a mask from what `make demo` wrote."""
    lines = (DEMO / "verdicts.jsonl").read_text(encoding="utf-8").splitlines()
    verdict = next(v for v in map(json.loads, lines) if v["mask"] is not None)
    pixels = np.asarray(Image.open(ROOT / verdict["image"]).convert("RGB"))
    mask = np.asarray(Image.open(ROOT / verdict["mask"]["file"])) > 127
    name = f"{Path(verdict['image']).stem}_mask.png"
    truth = np.asarray(Image.open(ROOT / "examples/masks" / name).convert("L")) > 127
    panels = [
        ("picture", pixels),
        ("what was altered", truth),
        ("mask found", mask),
        ("overlay", overlay(pixels, mask)),
    ]
    Image.fromarray(side_by_side(panels)).save(ROOT / "docs/demo.jpg", quality=85)


if __name__ == "__main__":
    main()
