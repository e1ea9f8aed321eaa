"""Export: nothing is lost between the layouts, originals stay together, whole or not at all."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sida.data
from sida.data.problems import Report
from sida.data.sample import Sample, stored_bytes
from sida.data.writing.equalise import common_side
from sida.data.writing.splitting import SHARES, assign_splits, parse_shares
from sida.errors import ConfigError, DataError, InputError
from tests.data.sets import box_mask, encoded, photo, write_set

LAYOUTS = ("folder", "parquet", "manifest")


def content(path: Path, split: str | None = None) -> list[tuple[Any, ...]]:
    """Everything that a set says, to the byte, in no order."""
    data = sida.data.open(path, split)
    rows = [
        (
            Path(s.name).name,
            s.label,
            stored_bytes(s.picture),
            None if s.mask is None else stored_bytes(s.mask),
            s.description,
            s.source,
            s.group,
        )
        for s in data
    ]
    assert len(data.report) == 0
    return sorted(rows, key=repr)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_set(tmp_path / "small")


@pytest.mark.parametrize("to", LAYOUTS)
@pytest.mark.parametrize("then", LAYOUTS)
def test_round_trips_lose_nothing(small: Path, tmp_path: Path, to: Any, then: Any) -> None:
    first = sida.data.export(small, tmp_path / "first", to)
    assert first.pictures == 18
    assert content(tmp_path / "first") == content(small)
    sida.data.export(tmp_path / "first", tmp_path / "second", then)
    sida.data.export(tmp_path / "second", tmp_path / "third", "folder")
    assert content(tmp_path / "third") == content(small)
    for below in ("real", "full_synthetic", "tampered", "masks"):
        assert tree(tmp_path / "third" / below) == tree(small / below)
    assert not list(tmp_path.glob(".*"))


FURTHER = ("donor_group", "camera", "exposure", "iso", "flash", "tags")


def with_further_columns(folder: Path) -> Path:
    """The same set with a manifest that has further columns."""
    (folder / "manifest.csv").unlink()
    names = sorted(f"{file.parent.name}/{file.name}" for file in folder.glob("[rft]*/*.*"))
    rows = [
        {
            "image": name,
            "label": name.split("/")[0],
            "group": f"g{number // 2}",
            "donor_group": f"g{number}" if number % 5 == 1 else None,
            "camera": f"no. {number}, “ä”",
            "exposure": number / 8 if number % 2 else None,
            "iso": number * 100,
            "flash": number % 3 == 0,
            "tags": ["a", str(number)],
            "width": 96,
            "files": "a name that writers use themselves",
        }
        for number, name in enumerate(names)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "manifest.jsonl").write_text(lines, encoding="utf-8")
    return folder


def more(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The further cells of each picture."""
    data = sida.data.open(path, further=True)
    return sorted((Path(s.name).name, {**s.more, "group": s.group}) for s in data)


@pytest.mark.parametrize("to", LAYOUTS)
def test_further_columns_go_along(small: Path, tmp_path: Path, to: Any) -> None:
    source = more(with_further_columns(small))
    assert source[1][1]["tags"] == '["a", "1"]'
    sida.data.export(small, tmp_path / "out", to)
    assert all(not s.more for s in sida.data.open(tmp_path / "out"))
    got = more(tmp_path / "out")
    if to == "parquet":
        assert [(n, {**m, "width": 96}) for n, m in got] == source
    else:  # a CSV holds texts alone
        assert got == [(n, {k: str(v) for k, v in m.items()}) for n, m in source]
        assert "files" in got[0][1]


def test_further_columns_are_typed_for_the_datasets_library(small: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    sida.data.export(with_further_columns(small), tmp_path / "out", "parquet")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    counts = {name: loaded["train"].features[name].dtype for name in FURTHER}
    assert counts == {
        "donor_group": "string", "camera": "string", "exposure": "float64", "iso": "int64",
        "flash": "bool", "tags": "string",
    }  # fmt: skip


def test_splits_are_kept(small: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_set(root / "train", 4)
    write_set(root / "validation", 2)
    for to in LAYOUTS:
        sida.data.export(root, tmp_path / to, to)
        assert sida.data.splits_of(tmp_path / to) == ["train", "validation"]
        for split in ("train", "validation"):
            assert content(tmp_path / to, split) == content(root, split)


def test_parquet_is_read_by_the_datasets_library(small: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    sida.data.export(small, tmp_path / "out", "parquet")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    rows = loaded["train"]
    assert rows.features["label"].names == ["real", "full_synthetic", "tampered"]
    assert rows[0]["image"].size == (96, 80)
    assert rows[17]["mask"].size == (96, 80)
    assert rows[0]["mask"] is None
    assert (rows[0]["width"], rows[0]["height"], rows[0]["label"]) == (96, 80, 0)


def test_many_rows_make_several_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sida.data.writing.parquet_writer.SHARD_ROWS", 7)
    monkeypatch.setattr("sida.data.writing.parquet_writer.GROUP_ROWS", 3)
    small = write_set(tmp_path / "small")
    sida.data.export(small, tmp_path / "out", "parquet")
    names = sorted(file.name for file in (tmp_path / "out" / "data").iterdir())
    assert names == [f"0000{n}-of-00003.parquet" for n in range(3)]
    assert content(tmp_path / "out") == content(small)


def test_broken_rows_are_left_out_and_masks_repaired(small: Path, tmp_path: Path) -> None:
    (small / "real" / "r001.jpg").write_bytes(b"")
    (small / "masks" / "t001_mask.png").write_bytes(encoded(box_mask(48, 40), "PNG"))
    (small / "masks" / "t002_mask.png").write_bytes(encoded(box_mask() // 255, "PNG"))
    exported = sida.data.export(small, tmp_path / "out")
    counts = Counter(problem.code for problem in exported.problems)
    assert counts == {"unreadable": 1, "mask_size": 1, "mask_levels": 1}
    assert exported.counts == {"all": {"real": 5, "full_synthetic": 6, "tampered": 6}}
    again = sida.data.open(tmp_path / "out")
    masks = [labelled.mask for labelled in sida.data.read(again)][-6:]
    assert [mask.shape for mask in masks if mask is not None] == 6 * [(80, 96)]
    assert np.array_equal(masks[2], box_mask())
    assert len(again.report) == 0


def test_pictures_with_one_stem_do_not_share_a_mask(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("a.jpg", "a.png"):
        for below, data in (
            ("tampered", encoded(photo(1), "PNG")),
            ("masks", encoded(box_mask(), "PNG")),
        ):
            path = source / below / (name if below == "tampered" else f"{name}_mask.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    sida.data.export(source, tmp_path / "out")
    opened = sida.data.open(tmp_path / "out")
    assert [s.name for s in opened] == ["tampered/a.jpg", "tampered/a~2.png"]
    assert [Path(str(s.mask)).name for s in opened] == ["a_mask.png", "a~2_mask.png"]


class Stopped(Exception):
    """Stands for Ctrl-C."""


@pytest.mark.parametrize("to", LAYOUTS)
@pytest.mark.parametrize("equalise", [False, True])
def test_an_interrupted_export_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Any, equalise: bool
) -> None:
    monkeypatch.setattr("sida.data.writing.parquet_writer.SHARD_ROWS", 7)
    monkeypatch.setattr("sida.data.writing.parquet_writer.GROUP_ROWS", 3)
    small = write_set(tmp_path / "small")
    (small / "real" / "r004.jpg").unlink(missing_ok=True)
    (small / "real" / "r004.jpg").write_bytes(b"broken")
    complete = sida.data.export(small, tmp_path / "whole", to, equalise=equalise)
    reached: list[int] = []

    def stop(count: int, total: int | None) -> None:
        reached.append(count)
        if count == 11:
            raise Stopped

    with pytest.raises(Stopped):
        sida.data.export(small, tmp_path / "out", to, equalise=equalise, progress=stop)
    assert not (tmp_path / "out").exists()
    count_before = len(reached)
    again = sida.data.export(
        small, tmp_path / "out", to, equalise=equalise, progress=lambda d, t: reached.append(d)
    )
    assert len(reached) - count_before < 18
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert [(p.code, p.name) for p in again.problems] == [
        (p.code, p.name) for p in complete.problems
    ]
    assert again.counts == complete.counts
    assert not list(tmp_path.glob(".*"))


def test_another_job_does_not_go_on_with_the_rest(small: Path, tmp_path: Path) -> None:
    def stop(count: int, total: int | None) -> None:
        if count == 11:
            raise Stopped

    with pytest.raises(Stopped):
        sida.data.export(small, tmp_path / "out", "manifest", progress=stop)
    with pytest.raises(ConfigError, match=r"another run: --to folder \(was manifest\)"):
        sida.data.export(small, tmp_path / "out", "folder")
    sida.data.export(small, tmp_path / "out", "folder", fresh=True)
    sida.data.export(small, tmp_path / "whole", "folder")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_finished_export_is_left_as_it_is(small: Path, tmp_path: Path) -> None:
    (small / "real" / "r004.jpg").write_bytes(b"broken")
    first = sida.data.export(small, tmp_path / "out")
    before = tree(tmp_path / "out")
    assert sida.data.export(small, tmp_path / "out") == first
    assert tree(tmp_path / "out") == before
    with pytest.raises(ConfigError, match=r"another run: --tau=?"):
        sida.data.export(small, tmp_path / "out", tau=0.1)


def test_fresh_removes_what_an_export_made_and_nothing_else(small: Path, tmp_path: Path) -> None:
    sida.data.export(small, tmp_path / "out", "parquet")
    sida.data.export(small, tmp_path / "out", "folder", fresh=True)
    assert not (tmp_path / "out" / "data").exists()
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(InputError, match=r"also holds 'notes.txt', which no export made"):
        sida.data.export(small, tmp_path / "out", "manifest", fresh=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_places_in_use_are_refused(small: Path, tmp_path: Path) -> None:
    for fresh in (False, True):
        with pytest.raises(InputError, match="is not empty and holds no run of this command"):
            sida.data.export(small, small, fresh=fresh)
    (tmp_path / "empty").mkdir()
    assert sida.data.export(small, tmp_path / "empty").pictures == 18


def test_nothing_usable_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "set" / "real").mkdir(parents=True)
    (tmp_path / "set" / "real" / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="can be exported: 1 x picture that cannot be read"):
        sida.data.export(tmp_path / "set", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_equalising_makes_the_containers_alike(tmp_path: Path) -> None:
    source = write_set(
        tmp_path / "source", 40, {"real": "JPEG", "full_synthetic": "PNG", "tampered": "PNG"}
    )
    sida.data.export(source, tmp_path / "out", equalise=True)
    findings = sida.data.stats(tmp_path / "out")
    json = findings.as_json()
    for label in ("real", "full_synthetic", "tampered"):
        assert 0.5 < json["formats"][label]["JPEG"] / 40 < 1
        assert json["sizes"][label]["width"]["max"] <= 80
        assert json["sizes"][label]["width"]["min"] >= 56
    for item in findings.traits:
        assert item.width % 16 == item.height % 16 == 0
        assert item.label != "tampered" or item.mask_area
    assert [s.description for s in sida.data.open(tmp_path / "out")[:1]] == [
        "Picture 0, “real”,\nin two lines."
    ]
    assert len(findings.problems) == 0


def test_equalising_leaves_out_what_it_cannot_cut(tmp_path: Path) -> None:
    source = write_set(tmp_path / "source", 30)
    (source / "real" / "r003.jpg").unlink(missing_ok=True)
    (source / "real" / "r003.jpg").write_bytes(encoded(photo(3, 70, 70), "JPEG"))
    (source / "masks" / "t003_mask.png").unlink()
    exported = sida.data.export(source, tmp_path / "out", equalise=True)
    counts = Counter(problem.code for problem in exported.problems)
    assert counts["too_small"] == 1
    assert counts["not_placed"] == 1
    assert exported.counts["all"] == {"real": 29, "full_synthetic": 30, "tampered": 29}


def test_the_common_side() -> None:
    assert common_side([("real", 200)] * 20 + [("tampered", 500)] * 20) == 192
    assert common_side([("real", 5000)]) == 1024
    assert common_side([("real", 90)] + [("real", 200)] * 39) == 192
    with pytest.raises(DataError, match="of tampered 5% are below 41 pixels, expected at least 64"):
        common_side([("real", 200), ("tampered", 40)])


def samples(groups: list[tuple[int, str]]) -> list[Sample]:
    return [
        Sample(b"", label, group=None if group < 0 else str(group), name=f"{n}", report=Report())
        for n, (group, label) in enumerate(groups)
    ]


@given(
    st.lists(st.tuples(st.integers(-1, 12), st.sampled_from(["real", "tampered"])), max_size=60),
    st.integers(0, 3),
)
def test_no_original_is_on_two_sides(groups: list[tuple[int, str]], seed: int) -> None:
    picture_samples = samples(groups)
    try:
        split_names = assign_splits(picture_samples, seed=seed)
    except DataError:  # most are of one group
        assert max(Counter(group for group, _ in groups).values()) > len(picture_samples) / 2
        return
    assert split_names == assign_splits(picture_samples, seed=seed)
    assert set(split_names) <= set(SHARES)
    sides: dict[str, set[str]] = {}
    for sample, split in zip(picture_samples, split_names, strict=True):
        if sample.group is not None:
            sides.setdefault(sample.group, set()).add(split)
    assert all(len(result) == 1 for result in sides.values())


@given(
    st.lists(st.tuples(st.integers(-1, 30), st.integers(-1, 30)), min_size=40, max_size=60),
    st.integers(0, 3),
)
def test_splices_stay_with_both_originals(pairs: list[tuple[int, int]], seed: int) -> None:
    samples = [
        Sample(
            b"",
            "tampered",
            group=None if group < 0 else str(group),
            more={} if donor < 0 else {"donor_group": str(donor)},
            name=str(number),
        )
        for number, (group, donor) in enumerate(pairs)
    ]
    try:
        split_names = assign_splits(samples, {"a": 0.5, "b": 0.5}, seed)
    except DataError:  # most hang together
        return
    originals: dict[int, set[str]] = {}
    for (group, donor), split in zip(pairs, split_names, strict=True):
        for original in {group, donor} - {-1}:
            originals.setdefault(original, set()).add(split)
    assert all(len(result) == 1 for result in originals.values())


def test_originals_that_all_hang_together_are_one_sentence() -> None:
    chain = [
        Sample(b"", "tampered", group=f"g{n}", more={"donor_group": f"g{n + 1}"}, name=str(n))
        for n in range(30)
    ]
    with pytest.raises(DataError, match="would be empty: 30 of 30 pictures share originals"):
        assign_splits(chain)
    apart = [Sample(b"", "tampered", group=f"g{n}", name=str(n)) for n in range(30)]
    assert set(assign_splits(apart)) == set(SHARES)


def test_splits_have_their_shares_of_every_class() -> None:
    labels = ["real"] * 500 + ["full_synthetic"] * 200 + ["tampered"] * 300
    picture_samples = samples([(n % 170, label) for n, label in enumerate(labels)])
    split_names = assign_splits(picture_samples, {"train": 0.7, "test": 0.3})
    for label, count in (("real", 500), ("full_synthetic", 200), ("tampered", 300)):
        group = [c for c, s in zip(split_names, picture_samples, strict=True) if s.label == label]
        assert group.count("train") / count == pytest.approx(0.7, abs=0.03)
    assert assign_splits(picture_samples, {"train": 0.7, "test": 0.3}, seed=1) != split_names


def test_shares_are_read_and_checked() -> None:
    assert parse_shares("train=0.9, test=0.1") == {"train": 0.9, "test": 0.1}
    for wrong in ("train", "train=x", "train=-1,test=2", "", "a=0.5,a=0.5", "../x=1"):
        with pytest.raises(ConfigError, match="expected such as"):
            parse_shares(wrong)
    with pytest.raises(ConfigError, match=r"sum to 0\.7, expected 1"):
        parse_shares("train=0.5,test=0.2")


def test_splitting_by_group_writes_splits(small: Path, tmp_path: Path) -> None:
    shares = {"train": 0.5, "test": 0.5}
    for to in LAYOUTS:
        sida.data.export(small, tmp_path / to, to, shares=shares)
        groups = [
            {s.group for s in sida.data.open(tmp_path / to, split)} for split in ("train", "test")
        ]
        assert groups[0].isdisjoint(groups[1])
        assert len(groups[0] | groups[1]) == 6
        assert sum(len(sida.data.open(tmp_path / to, split)) for split in shares) == 18
