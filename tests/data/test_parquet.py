"""The parquet layout: local files and streams, classes by name, broken rows."""

import io
import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import sida.data
from sida.data.formats.hub import download, is_hub_name, open_hub
from sida.errors import DataError, DownloadError, InputError


def encoded(level: int, size: tuple[int, int] = (24, 16), format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (level, 80, 70)).save(stream, format)
    return stream.getvalue()


def rows(count: int = 9) -> list[dict[str, Any]]:
    """Rows as SID-Set has them, labels 0, 1, 2 in turn; every third has a mask."""
    return [
        {
            "img_id": f"p{number}",
            "image": {"bytes": encoded(number), "path": f"p{number}.png"},
            "mask": {"bytes": encoded(255), "path": None} if number % 3 == 2 else None,
            "width": 24,
            "height": 16,
            "label": number % 3,
        }
        for number in range(count)
    ]


def write(path: Path, table: list[dict[str, Any]], group: int = 4, **metadata: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table_made = pa.Table.from_pylist(table)
    table_made = table_made.replace_schema_metadata(
        {k: v.encode() for k, v in metadata.items()} or None
    )
    pq.write_table(table_made, path, row_group_size=group)
    return path


def test_rows_become_samples(tmp_path: Path) -> None:
    data = sida.data.open(write(tmp_path / "a.parquet", rows()))
    assert data.layout == "parquet"
    assert data.counts() == {"real": 3, "full_synthetic": 3, "tampered": 3}
    assert [s.name for s in data[:3]] == [
        "real/p0.png",
        "full_synthetic/p1.png",
        "tampered/p2.png",
    ]
    levels = [int(labelled.picture.pixels[0, 0, 0]) for labelled in sida.data.read(data)]
    assert levels == list(range(9))
    assert [labelled.mask is not None for labelled in sida.data.read(data)] == 3 * [0, 0, 1]
    assert len(data.report) == 0


def test_rows_can_be_read_in_any_order_and_elsewhere(tmp_path: Path) -> None:
    data = sida.data.open(write(tmp_path / "a.parquet", rows(40), group=16))
    order = np.random.default_rng(0).permutation(40)
    for number in [*order, 39, 0, 17]:
        sample = pickle.loads(pickle.dumps(data[int(number)]))
        assert sample.read().pixels[0, 0, 0] == number
        assert data[int(number)].read().pixels[0, 0, 0] == number


def test_plain_bytes_and_paths_beside_the_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "beside.png").write_bytes(encoded(33))
    table = [{"image": encoded(5), "label": "real", "mask": None}]
    plain = write(tmp_path / "plain.parquet", table)
    assert sida.data.open(plain)[0].read().pixels[0, 0, 0] == 5
    outside = [{"image": {"bytes": None, "path": "beside.png"}, "label": 0}]
    assert sida.data.open(write(tmp_path / "o.parquet", outside))[0].read().pixels[0, 0, 0] == 33


def test_classes_are_mapped_by_name_or_as_told(tmp_path: Path) -> None:
    features = '{"info": {"features": {"label": {"names": ["real", "tampered", "synthetic"]}}}}'
    data = sida.data.open(write(tmp_path / "a.parquet", rows(), huggingface=features))
    assert [s.label for s in data[:3]] == ["real", "tampered", "full_synthetic"]
    plain = write(tmp_path / "b.parquet", rows())
    opened = sida.data.open(plain, labels="real,tampered,full_synthetic")
    assert [s.label for s in opened[:3]] == ["real", "tampered", "full_synthetic"]
    opened = sida.data.open(plain, labels=("tampered", "full_synthetic", "real"))
    assert [s.label for s in opened[:3]] == ["tampered", "full_synthetic", "real"]


def test_other_labels_are_an_error_or_a_line(tmp_path: Path) -> None:
    table = rows(60)
    table[7]["label"] = 9
    data = sida.data.open(write(tmp_path / "a.parquet", table))
    assert (len(data), data.report.counts()) == (59, {"unknown_label": 1})
    for row in table[:10]:
        row["label"] = 3
    with pytest.raises(DataError, match=r"in 10 of 60 rows \(3\): expected real"):
        sida.data.open(write(tmp_path / "b.parquet", table))


def test_broken_rows_are_named(tmp_path: Path) -> None:
    table = rows()
    table[0]["image"] = {"bytes": table[0]["image"]["bytes"][:-30], "path": "p0.png"}
    table[1]["image"] = None
    table[3]["image"] = {"bytes": b"", "path": None}
    table[2]["mask"] = None
    table[5]["mask"] = {"bytes": encoded(255, (12, 8)), "path": None}
    table[6]["img_id"], table[6]["image"]["path"] = "p3", None
    data = sida.data.open(write(tmp_path / "a.parquet", table))
    good = [labelled.sample.name for labelled in sida.data.read(data)]
    assert good == [
        s.name for s in data if s.name not in ("real/p0.png", "full_synthetic/p1", "real/p3")
    ]
    assert data.report.counts() == {
        "unreadable": 3, "missing_mask": 1, "repeated_name": 1, "mask_size": 1,
    }  # fmt: skip
    assert data[6].name == "real/p3~2"


def test_splits_are_told_from_file_names(tmp_path: Path) -> None:
    for part in range(2):
        write(tmp_path / "data" / f"train-0000{part}-of-00002.parquet", rows())
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", rows(3))
    assert sida.data.splits_of(tmp_path) == ["train", "validation"]
    assert len(sida.data.open(tmp_path, "train")) == 18
    assert len(sida.data.open(tmp_path, "validation")) == 3
    with pytest.raises(DataError, match="holds the splits train, validation: one of them"):
        sida.data.open(tmp_path)


def test_missing_columns_and_no_parquet_are_one_sentence(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", [{"image": b"x", "class": 1}])
    with pytest.raises(DataError, match="has no column label: found image, class, expected"):
        sida.data.open(file)
    file.write_bytes(b"PAR0")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        sida.data.open(file)


def test_streams_without_storing(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    write(tmp_path / "set" / "train-00000-of-00001.parquet", rows(30))
    stream = open_hub(str(tmp_path / "set"), "train", cache_dir=str(tmp_path / "cache"))
    local = sida.data.open(tmp_path / "set", "train")
    for _ in range(2):
        assert [(s.name, s.label) for s in stream] == [(s.name, s.label) for s in local]
    for streamed, stored in zip(sida.data.read(stream), sida.data.read(local), strict=True):
        assert streamed.picture.sha256 == stored.picture.sha256
        assert np.array_equal(streamed.mask, stored.mask)
    assert len(stream[:4]) == 4
    with pytest.raises(DataError, match="is streamed"):
        stream[3]
    with pytest.raises(DataError, match="there is no 'test'"):
        open_hub(str(tmp_path / "set"), "test", cache_dir=str(tmp_path / "cache"))


def test_streams_plain_bytes_and_names_what_is_broken(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    table = [
        {"image": encoded(n), "mask": encoded(255) if n == 2 else None, "label": n}
        for n in range(3)
    ]
    table += [{"image": None, "mask": None, "label": 0}]
    write(tmp_path / "set" / "train.parquet", table)
    stream = open_hub(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    levels = [int(labelled.picture.pixels[0, 0, 0]) for labelled in sida.data.read(stream)]
    assert levels == [0, 1, 2]
    assert stream.report.counts() == {"unreadable": 1}
    with pytest.raises(TypeError, match="does not say how many rows"):
        len(stream)


def test_streaming_holds_a_few_rows_of_a_row_group(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    path = tmp_path / "set" / "train.parquet"
    path.parent.mkdir()
    table = pa.table({"image": [os.urandom(400_000) for _ in range(100)], "label": [0] * 100})
    pq.write_table(table, path, write_batch_size=1)  # one row group of 40 MB, a page a row
    del table
    stream = open_hub(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    before, cell = pa.total_allocated_bytes(), []
    for _ in stream:
        cell.append(pa.total_allocated_bytes() - before)
    assert len(cell) == 100
    assert max(cell) < 20e6


def test_a_set_of_other_files_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").write_text("image,label\na.png,0\n")
    with pytest.raises(DataError, match=r"holds train.csv, expected parquet files"):
        open_hub(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    (tmp_path / "set" / "train.csv").unlink()
    write(tmp_path / "set" / "train.parquet", [{"picture": b"", "label": 0}])
    with pytest.raises(DataError, match="has the columns picture, label, expected image and"):
        open_hub(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))


def test_a_stream_that_breaks_off_is_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    for part in range(2):
        file = write(tmp_path / "set" / f"train-0000{part}-of-00002.parquet", rows())
    stream = open_hub(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    file.write_bytes(b"PAR0")
    with pytest.raises(DownloadError, match="cannot be streamed any further"):
        list(stream)


def test_stream_with_other_labels_ends_with_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    table = [dict(row, label=row["label"] + 1) for row in rows()]
    write(tmp_path / "set" / "train.parquet", table)
    stream = open_hub(str(tmp_path / "set"), cache_dir=str(tmp_path / "cache"))
    with pytest.raises(DataError, match="none of the classes in 3 of 9 rows"):
        list(stream)
    data = open_hub(
        str(tmp_path / "set"),
        names=("real", "real", "full_synthetic", "tampered"),
        cache_dir=str(tmp_path / "cache"),
    )
    assert [s.label for s in data[:3]] == ["real", "full_synthetic", "tampered"]


def test_hub_names_are_told_from_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert is_hub_name("saberzl/SID_Set")
    assert not is_hub_name("data/train")
    assert not is_hub_name("/somewhere/else")
    with pytest.raises(InputError, match="'data/trian' was not found"):
        sida.data.open("data/trian")
    with pytest.raises(DownloadError, match="'nobody/nothing' cannot be streamed"):
        sida.data.open("nobody/nothing")


class FakeHub:
    """Knows one set of three files."""

    def dataset_info(self, name: str, files_metadata: bool) -> Any:
        from huggingface_hub.hf_api import RepoSibling

        assert name == "saberzl/SID_Set"
        names = [f"data/train-0000{n}-of-00002.parquet" for n in range(2)]
        names += ["data/validation-00000-of-00001.parquet", "README.md"]
        return SimpleNamespace(siblings=[RepoSibling(rfilename=name, size=10) for name in names])


def test_downloads_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def fetch(name: str, file: str, repo_type: str, local_dir: str) -> str:
        assert (name, repo_type) == ("saberzl/SID_Set", "dataset")
        return str(write(Path(local_dir) / file, rows(3)))

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeHub)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    got = download("saberzl/SID_Set", tmp_path, shards=1)
    assert [path.name for path in got] == [
        "train-00000-of-00002.parquet",
        "validation-00000-of-00001.parquet",
    ]
    assert len(sida.data.open(tmp_path, "train")) == 3
    assert len(download("saberzl/SID_Set", tmp_path, "train")) == 2
    with pytest.raises(DownloadError, match="holds no parquet file of the split 'test'"):
        download("saberzl/SID_Set", tmp_path, "test")
    monkeypatch.setattr("sida.data.formats.hub.require_space", _full)
    with pytest.raises(DownloadError, match="needs"):
        download("saberzl/SID_Set", tmp_path / "other")


def _full(folder: object, size: int, case: str) -> None:
    assert size == 30
    raise DownloadError(f"{case} needs {size}")
