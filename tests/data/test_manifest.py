"""Tables of one's own, the PIXAR layout, and texts joined from elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sida.data
from sida.errors import ConfigError, DataError


def save(path: Path, level: int = 90, size: tuple[int, int] = (24, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "m"):
        save(tmp_path / "p" / f"{name}.png", 255)
    return tmp_path


ROWS = [
    ("image", "label", "mask", "description", "source", "group"),
    ("p/a.png", "real", "", "", "camera", "1"),
    ("p/b.png", "Full Synthetic", "", "Two, with a comma.", "", ""),
    ("p/c.png", "2", "p/m.png", "", "", "1"),
]


def as_csv(rows: list[tuple[str, ...]]) -> str:
    return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in rows)


def as_json_lines(rows: list[tuple[str, ...]]) -> str:
    head, *body = rows
    return "\n".join(json.dumps(dict(zip(head, row, strict=True))) for row in body)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_tables_of_three_kinds_say_the_same(pictures: Path, suffix: str) -> None:
    file = pictures / f"my.{suffix}"
    if suffix == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        head, *body = ROWS
        pq.write_table(pa.Table.from_pylist([dict(zip(head, r, strict=True)) for r in body]), file)
    else:
        file.write_text(as_csv(ROWS) if suffix == "csv" else as_json_lines(ROWS))
    data = sida.data.open(file)
    assert data.layout == "manifest"
    assert [(s.name, s.label) for s in data] == [
        ("p/a.png", "real"),
        ("p/b.png", "full_synthetic"),
        ("p/c.png", "tampered"),
    ]
    assert [s.description for s in data] == [None, "Two, with a comma.", None]
    assert [(s.source, s.group) for s in data] == [("camera", "1"), (None, None), (None, "1")]
    assert data[2].load().mask is not None
    assert len(data.report) == 0


def test_folder_with_a_manifest_is_opened_by_it(pictures: Path) -> None:
    (pictures / "manifest.csv").write_text(as_csv(ROWS))
    assert len(sida.data.open(pictures)) == 3
    (pictures / "manifest.jsonl").write_text(as_json_lines(ROWS))
    with pytest.raises(DataError, match=r"manifest\.csv and manifest\.jsonl, expected one"):
        sida.data.open(pictures)


def test_rows_that_lead_nowhere_are_lines(pictures: Path) -> None:
    extra = [
        ("p/gone.png", "real", "", "", "", ""),
        ("p/a.png", "tampered", "p/gone.png", "", "", ""),
        ("p/b.png", "real", "p/m.png", "", "", ""),
        ("", "real", "", "", "", ""),
    ]
    (pictures / "my.csv").write_text(as_csv([*ROWS, *extra]))
    data = sida.data.open(pictures / "my.csv")
    assert [s.name for s in data] == ["p/a.png", "p/b.png", "p/c.png", "p/a.png~2", "p/b.png~2"]
    assert data.report.counts() == {
        "unreadable": 2, "repeated_name": 2, "missing_mask": 1, "unused_mask": 1,
    }  # fmt: skip


def test_a_column_makes_splits(pictures: Path) -> None:
    table = [(*row, ("split", "train", "train", "test")[n]) for n, row in enumerate(ROWS)]
    (pictures / "my.csv").write_text(as_csv(table))
    assert sida.data.splits_of(pictures / "my.csv") == ["test", "train"]
    assert len(sida.data.open(pictures / "my.csv", "train")) == 2
    with pytest.raises(DataError, match="holds the splits test, train"):
        sida.data.open(pictures / "my.csv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("image,class\np/a.png,real\n", "has no column label: found image, class, expected"),
        ("image,label\np/a.png,4\n", "none of the classes in 1 of 1 rows"),
        ("image,label\ngone.png,real\n", "leads to no picture: found 1 rows"),
        ("image,label\n", "leads to no picture: found 0 rows"),
    ],
)
def test_unusable_tables_are_one_sentence(pictures: Path, text: str, sentence: str) -> None:
    (pictures / "my.csv").write_text(text)
    with pytest.raises(DataError, match=sentence):
        sida.data.open(pictures / "my.csv")


def test_what_is_no_table_is_one_sentence(pictures: Path) -> None:
    (pictures / "my.jsonl").write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSONL"):
        sida.data.open(pictures / "my.jsonl")
    (pictures / "train.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="unpack it"):
        sida.data.open(pictures / "train.zip")


@pytest.fixture
def pixar(tmp_path: Path) -> Path:
    split = tmp_path / "validation"
    for name in ("one", "two"):
        save(split / "tampered" / f"{name}.png")
        save(split / "masks" / f"{name}_mask.png", 255)
    save(split / "real" / "original_one.png")
    (split / "soft_masks").mkdir()
    difference = np.zeros((16, 24), np.uint8)
    difference[:4], difference[4:8] = 40, 14
    Image.fromarray(difference).save(split / "soft_masks" / "one_mask.png")
    (split / "metadata").mkdir()
    text = {"cls": ["dog"], "text": "A dog was added."}
    (split / "metadata" / "one_cls.json").write_text(json.dumps(text))
    mapping = {"one.png": {"entry": 77, "real": "original_one.png"}}
    (tmp_path / "mapping.json").write_text(json.dumps(mapping))
    return split


@pytest.mark.parametrize(("tau", "rows"), [(0.01, 8), (0.05, 8), (0.1, 4), (0.2, 0)])
def test_pixar_maps_are_cut_at_tau(pixar: Path, tau: float, rows: int) -> None:
    data = sida.data.open(pixar, tau=tau)
    mask = data[1].read_mask()
    assert mask is not None
    assert set(np.unique(mask)) <= {0, 255}
    assert mask.any(axis=1).sum() == rows
    assert ("empty_mask" in data.report.counts()) == (rows == 0)


def test_pixar_texts_groups_and_published_masks(pixar: Path) -> None:
    data = sida.data.open(pixar.parent)
    assert (data.layout, data.split) == ("pixar", "validation")
    assert [s.name for s in data] == [
        "real/original_one.png",
        "tampered/one.png",
        "tampered/two.png",
    ]
    assert [s.group for s in data] == ["77", "77", None]
    assert data[1].description == "A dog was added."
    mask = data[2].read_mask()
    assert mask is not None
    assert mask.all()
    assert data.report.counts() == {}
    with pytest.raises(ConfigError, match="tau is 5"):
        sida.data.open(pixar, tau=5)


def test_descriptions_are_joined_from_elsewhere(pictures: Path, tmp_path: Path) -> None:
    (pictures / "my.csv").write_text(as_csv(ROWS))
    texts = tmp_path / "tampered_GT.json"
    texts.write_text(json.dumps({"c.jpg": "An object.", "z.jpg": "Lost."}))
    data = sida.data.open(pictures / "my.csv", descriptions=texts)
    assert [s.description for s in data] == [None, "Two, with a comma.", "An object."]
    assert data.report.counts() == {"orphan_description": 1}
    other = tmp_path / "other.csv"
    other.write_text(as_csv([ROWS[0], ("p/a.png", "real", "", "Grain everywhere.", "", "")]))
    data = sida.data.open(pictures / "my.csv", descriptions=other)
    assert data[0].description == "Grain everywhere."
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(DataError, match="holds no description"):
        sida.data.open(pictures / "my.csv", descriptions=tmp_path / "none.json")
