"""Pictures in every form that a run reads, and a detector without a network."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from sida.detector import Request
from sida.errors import PictureError
from sida.image.read import read_picture
from sida.verdict import (
    Declared,
    Failure,
    Localization,
    ModelInfo,
    Probabilities,
    Provenance,
    Verdict,
)
from tests.deliveries import stability

PROVENANCE = Provenance(
    declared=tuple(
        Declared(name="value", value=value, source="file", state="declared, unsigned")
        for value in ("text", "7", 7, 0.5, True, None, ["a", 1], {"a": {"b": [None]}})
    ),
    contradictions=("it says two things",),
)
"""Values of every kind."""
STABILITY = stability("tampered", jpeg_50="inconclusive")


def png(seed: int) -> bytes:
    """A small picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Nine pictures: four files of which one is broken, two members, two rows, a broken tar."""
    folder = tmp_path / "pictures"
    (folder / "below").mkdir(parents=True)
    for number, name in enumerate(("img2.png", "img10.png", "below/img2.jpg")):
        (folder / name).write_bytes(png(number))
    (folder / "broken.jpg").write_text("no picture")
    write_tar(folder / "set.tar", {"a/1.png": png(3), "a/1.json": b"{}", "a/2.png": png(4)})
    (folder / "torn.tar").write_text("no tar")
    rows = [{"bytes": png(5), "path": "five.png"}, {"bytes": png(6), "path": "six.png"}]
    parquet.write_table(pyarrow.table({"image": rows, "label": [0, 1]}), folder / "set.parquet")
    return folder


class FakeDetector:
    """Finds every picture tampered in its upper half; runs `before` ahead of each."""

    model = ModelInfo(name="fake", version="0", digest="none")

    def __init__(self) -> None:
        self.before: Any = lambda request: None

    def run(self, requests: Iterable[Request]) -> Iterator[Verdict | Failure]:
        for request in requests:
            self.before(request)
            try:
                picture = read_picture(request.picture)
            except PictureError as error:
                yield Failure(error=error.code, message=str(error))
                continue
            mask = np.zeros((picture.height, picture.width), bool)
            mask[: picture.height // 2] = True
            yield Verdict(
                sha256=picture.sha256,
                width=picture.width,
                height=picture.height,
                format=picture.format,
                label="tampered",
                probabilities=Probabilities(real=0.25, full_synthetic=0.25, tampered=0.5),
                localization=Localization(area=0.5, threshold=0.5),
                provenance=PROVENANCE if request.provenance else None,
                stability=STABILITY if request.stability else None,
                model=self.model,
                seconds=0.0,
            ).with_arrays(mask=mask)
