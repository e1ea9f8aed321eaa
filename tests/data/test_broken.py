"""A set with one row in a hundred broken: every broken one is named, every good one is used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sida.data
from tests.data.sets import box_mask, encoded, photo
from tests.pictures import file_bytes, with_orientation

GOOD = 297  # a class
PIXELS = photo(0, 24, 16)


def _truncated(split: Path) -> None:
    complete = encoded(photo(1, 64, 64), "JPEG", quality=90)
    (split / "real" / "broken.jpg").write_bytes(complete[: len(complete) // 2])


def _zero_bytes(split: Path) -> None:
    (split / "full_synthetic" / "broken.png").write_bytes(b"")


def _other_mask_size(split: Path) -> None:
    (split / "tampered" / "broken.png").write_bytes(encoded(PIXELS, "PNG"))
    (split / "masks" / "broken_mask.png").write_bytes(encoded(box_mask(12, 8), "PNG"))


def _missing_mask(split: Path) -> None:
    (split / "tampered" / "unmasked.png").write_bytes(encoded(PIXELS, "PNG"))


def _wrong_label(split: Path) -> None:
    (split / "real" / "mislabelled.png").write_bytes(encoded(PIXELS, "PNG"))
    with (split / "manifest.csv").open("a") as stream:
        print("real/mislabelled.png,5", file=stream)


def _cmyk(split: Path) -> None:
    (split / "real" / "cmyk.jpg").write_bytes(file_bytes("jpeg cmyk"))


def _sixteen_bits(split: Path) -> None:
    (split / "real" / "deep.png").write_bytes(file_bytes("png 16-bit rgb"))


def _palette(split: Path) -> None:
    (split / "full_synthetic" / "palette.png").write_bytes(file_bytes("png palette, transparency"))


def _rotated(split: Path) -> None:
    (split / "real" / "rotated.jpg").write_bytes(with_orientation(6))


# what is made, its row's name, the problem that names it, whether it is used
Kind = tuple[Callable[[Path], None], str, str, bool]
KINDS: list[Kind] = [
    (_truncated, "real/broken.jpg", "unreadable", False),
    (_zero_bytes, "full_synthetic/broken.png", "unreadable", False),
    (_other_mask_size, "tampered/broken.png", "mask_size", True),
    (_missing_mask, "tampered/unmasked.png", "missing_mask", True),
    (_wrong_label, "real/mislabelled.png", "unknown_label", False),
    (_cmyk, "real/cmyk.jpg", "converted", True),
    (_sixteen_bits, "real/deep.png", "converted", True),
    (_palette, "full_synthetic/palette.png", "converted", True),
    (_rotated, "real/rotated.jpg", "converted", True),
]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("split")
    rows = ["image,label"]
    data, mask = encoded(PIXELS, "PNG"), encoded(box_mask(24, 16), "PNG")
    for label in ("real", "full_synthetic", "tampered", "masks"):
        (folder / label).mkdir()
        for number in range(GOOD):
            name = f"{number}_mask.png" if label == "masks" else f"{number}.png"
            (folder / label / name).write_bytes(mask if label == "masks" else data)
            if label != "masks":
                rows.append(f"{label}/{name},{label}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    for make, *_ in KINDS:
        make(folder)
    return folder


@pytest.mark.parametrize("layout", ["folder", "parquet"])
def test_every_broken_row_is_named_and_every_good_one_used(
    split: Path, tmp_path: Path, layout: str
) -> None:
    data = sida.data.open(split if layout == "folder" else as_parquet(split, tmp_path))
    read = {labelled.sample.name: labelled for labelled in sida.data.read(data)}
    assert sum(Path(name).stem.isdigit() for name in read) == 3 * GOOD
    names = {problem.name: problem.code for problem in data.report}
    assert names == {row(name, layout): format for _, name, format, _ in KINDS}
    for _, name, _, used in KINDS:
        assert (row(name, layout) in read) == used
    assert read["real/rotated.jpg"].picture.pixels.shape == (48, 32, 3)
    resized = read["tampered/broken.png"].mask
    assert resized is not None
    assert np.array_equal(resized, np.kron(box_mask(12, 8), np.ones((2, 2), np.uint8)))
    assert read["tampered/unmasked.png"].mask is None


def row(name: str, layout: str) -> str:
    """A row with the label 5 has no class to be named by in a table."""
    return "5/mislabelled.png" if layout == "parquet" and "mislabelled" in name else name


def as_parquet(split: Path, folder: Path) -> Path:
    """The same rows, broken ones too, which `export` would leave out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for number, label in enumerate(("real", "full_synthetic", "tampered")):
        for file in sorted((split / label).iterdir()):
            mask = split / "masks" / f"{file.stem}_mask.png"
            cell = {"bytes": mask.read_bytes(), "path": None} if mask.exists() else None
            rows.append(
                {
                    "img_id": file.stem,
                    "image": {"bytes": file.read_bytes(), "path": file.name},
                    "mask": cell if label == "tampered" else None,
                    "label": 5 if file.stem == "mislabelled" else number,
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=100)
    return folder / "rows.parquet"


def test_plain_pictures_are_not_mentioned(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    for format in ("jpeg", "jpeg progressive", "png", "webp", "png grey", "bmp", "avif"):
        (tmp_path / "real" / f"{format}.{format.split()[0]}").write_bytes(file_bytes(format))
    data = sida.data.open(tmp_path)
    assert len(list(sida.data.read(data))) == 7
    assert len(data.report) == 0


def test_turned_pictures_of_the_doctor_are_no_fault(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "phone.jpg").write_bytes(with_orientation(8))
    Image.fromarray(PIXELS).save(tmp_path / "real" / "other.png")
    findings = sida.data.stats(tmp_path)
    assert findings.is_sound
    assert "EXIF orientation 8" in findings.problems[0].message
