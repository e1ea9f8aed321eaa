"""A labelled folder of six small pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sida.verdict import LABELS


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("labelled")
    (root / "masks").mkdir()
    for label in LABELS:
        (root / label).mkdir()
        for i in range(2):
            pixels = rng.integers(0, 256, (48, 56, 3), dtype=np.uint8)
            if label == "tampered":
                pixels[10:30, 20:40] = 128
                mask = np.zeros((48, 56), np.uint8)
                mask[10:30, 20:40] = 255
                Image.fromarray(mask).save(root / f"masks/{label}{i}_mask.png")
            Image.fromarray(pixels).save(root / label / f"{label}{i}.png")
    return root
