"""The folder layout: masks, descriptions, manifest, and everything that can be wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sida.data
from sida.errors import DataError, InputError


def save(path: Path, size: tuple[int, int] = (24, 16), level: int = 90, mode: str = "RGB") -> Path:
    """A flat picture of (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = level if mode == "L" else (level, 80, 70)
    Image.new(mode, size, colour).save(path)
    return path


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """One picture a class, and a mask."""
    save(tmp_path / "real" / "a.jpg")
    save(tmp_path / "full_synthetic" / "b.PNG")
    save(tmp_path / "tampered" / "c.png")
    save(tmp_path / "masks" / "c_mask.png", level=255, mode="L")
    return tmp_path


def test_reads_every_class_with_its_mask(split: Path) -> None:
    data = sida.data.open(split)
    assert [s.name for s in data] == ["real/a.jpg", "full_synthetic/b.PNG", "tampered/c.png"]
    assert [s.label for s in data] == ["real", "full_synthetic", "tampered"]
    assert data.counts() == {"real": 1, "full_synthetic": 1, "tampered": 1}
    assert [s.mask is not None for s in data] == [False, False, True]
    labelled = data[2].load()
    assert labelled.picture.pixels.shape == (16, 24, 3)
    assert labelled.mask is not None
    assert labelled.mask.shape == (16, 24)
    assert len(data.report) == 0


@pytest.mark.parametrize("mask", ["c_mask.PNG", "c_mask.bmp", "c.png_mask.png"])
def test_masks_may_have_any_suffix_or_the_whole_file_name(split: Path, mask: str) -> None:
    (split / "masks" / "c_mask.png").unlink()
    save(split / "masks" / mask, level=255, mode="L")
    assert sida.data.open(split)[2].mask == split / "masks" / mask


def test_missing_mask_is_reported_and_the_picture_kept(split: Path) -> None:
    (split / "masks" / "c_mask.png").unlink()
    data = sida.data.open(split)
    assert data[2].mask is None
    assert data.report.counts() == {"missing_mask": 1}
    assert "tampered/c.png" in data.report.lines()[0]


def test_mask_of_another_size_is_resized_nearest_and_counted(split: Path) -> None:
    mask = np.zeros((4, 6), np.uint8)
    mask[1, 2] = 255
    Image.fromarray(mask).save(split / "masks" / "c_mask.png")
    data = sida.data.open(split)
    levels = data[2].read_mask()
    assert levels is not None
    assert levels.shape == (16, 24)
    assert set(np.unique(levels)) == {0, 255}
    assert levels[4:8, 8:12].all()
    assert levels.sum() == 255 * 16
    assert data.report.counts() == {"mask_size": 1}
    data[2].load()
    assert len(data.report) == 1  # once for a row, however often it is read


def test_mask_from_before_the_exif_rotation_is_turned(split: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(np.zeros((16, 24, 3), np.uint8))
    picture.save(split / "tampered" / "c.png", exif=exif)
    mask = np.zeros((16, 24), np.uint8)
    mask[:4, :] = 255  # the top, which comes to the right
    Image.fromarray(mask).save(split / "masks" / "c_mask.png")
    data = sida.data.open(split)
    for levels in (data[2].read_mask(), data[2].load().mask):
        assert levels is not None
        assert levels.shape == (24, 16)
        assert levels[:, -4:].all()
        assert not levels[:, :-4].any()
    assert data.report.counts() == {"mask_turned": 1}


def test_mask_of_zeros_and_ones_is_spread(split: Path) -> None:
    Image.fromarray(np.eye(16, 24, dtype=np.uint8)).save(split / "masks" / "c_mask.png")
    data = sida.data.open(split)
    levels = data[2].read_mask()
    assert levels is not None
    assert levels.max() == 255
    assert data.report.counts() == {"mask_levels": 1}


def test_empty_and_unreadable_masks_are_reported(split: Path) -> None:
    save(split / "masks" / "c_mask.png", level=0, mode="L")
    save(split / "tampered" / "d.png")
    (split / "masks" / "d_mask.png").write_bytes(b"\x89PNG\r\n")
    data = sida.data.open(split)
    assert [sample.load().mask is None for sample in data[2:]] == [False, True]
    assert data.report.counts() == {"empty_mask": 1, "unreadable_mask": 1}


def test_two_files_for_one_mask_are_refused(split: Path) -> None:
    save(split / "masks" / "c_mask.bmp", level=255, mode="L")
    with pytest.raises(DataError, match=r"c_mask\.bmp and masks/c_mask\.png are two files for one"):
        sida.data.open(split)


def test_two_pictures_for_one_mask_are_refused_unless_told_apart(split: Path) -> None:
    save(split / "tampered" / "c.jpg")
    with pytest.raises(DataError, match=r"share the one mask masks/c_mask\.png.*c\.jpg_mask\.png"):
        sida.data.open(split)
    for name in ("c.jpg", "c.png"):
        save(split / "masks" / f"{name}_mask.png", level=255, mode="L")
    (split / "masks" / "c_mask.png").unlink()
    data = sida.data.open(split)
    assert [s.mask and Path(str(s.mask)).name for s in data[2:]] == [
        "c.jpg_mask.png",
        "c.png_mask.png",
    ]


def test_spare_masks_are_named(split: Path) -> None:
    save(split / "masks" / "a_mask.png", mode="L")
    save(split / "masks" / "zzz_mask.png", mode="L")
    data = sida.data.open(split)
    assert data.report.counts() == {"unused_mask": 1, "orphan_mask": 1}


def test_descriptions_are_joined_by_file_name(split: Path) -> None:
    folder = split / "description"
    folder.mkdir()
    (folder / "tampered_GT.json").write_text(json.dumps({"c.png": "A hand.", "x.png": "Lost."}))
    (folder / "real_GT.json").write_text("[1]")
    data = sida.data.open(split)
    assert [s.description for s in data] == [None, None, "A hand."]
    assert data.report.counts() == {"orphan_description": 1, "unreadable_description": 1}


def test_manifest_inside_gives_source_and_group(split: Path) -> None:
    (split / "manifest.csv").write_text(
        "image,label,mask,source,group\nreal/a.jpg,real,,camera,g1\ntampered/c.png,2,,,g2\n"
        "real/gone.jpg,real,,,\n"
    )
    data = sida.data.open(split)
    assert [(s.source, s.group) for s in data] == [("camera", "g1"), (None, None), (None, "g2")]
    assert data.report.counts() == {"orphan_row": 1}


def test_rows_whose_label_is_wrong_are_left_out_and_named(split: Path) -> None:
    many = [save(split / "full_synthetic" / f"m{number}.png").name for number in range(30)]
    rows = ["image,label", "real/a.jpg,7", "tampered/c.png,real"]
    rows += [f"full_synthetic/{name},Full Synthetic" for name in many]
    (split / "manifest.csv").write_text("\n".join(rows))
    data = sida.data.open(split)
    assert data.counts() == {"real": 0, "full_synthetic": 31, "tampered": 0}
    assert data.report.counts() == {"unknown_label": 1, "label_conflict": 1}


def test_labels_outside_the_classes_are_refused_where_they_are_no_slips(split: Path) -> None:
    (split / "manifest.csv").write_text("image,label\nreal/a.jpg,3\ntampered/c.png,2\n")
    with pytest.raises(DataError, match=r"labels that are none of the classes in 1 of 2 rows"):
        sida.data.open(split)


def test_splits_are_chosen_by_name(split: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("root")
    split.rename(root / "train")
    assert len(sida.data.open(root)) == 3
    save(root / "validation" / "real" / "a.jpg")
    assert sida.data.open(root, "validation").split == "validation"
    with pytest.raises(DataError, match="holds the splits train, validation"):
        sida.data.open(root)
    with pytest.raises(DataError, match="holds the splits train, validation: there is no 'test'"):
        sida.data.open(root, "test")


def test_what_is_no_set_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="was not found"):
        sida.data.open(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected the folders real, full_synthetic, tampered"):
        sida.data.open(tmp_path)
    (tmp_path / "real").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        sida.data.open(tmp_path)


def test_the_pictures_at_hand(shared: Path) -> None:
    data = sida.data.open(shared / "data" / "train")
    assert data.counts() == {"real": 621, "full_synthetic": 378, "tampered": 276}
    assert len(data.report) == 0
    assert all(s.source and s.group for s in data)
    assert all(s.mask is not None for s in data if s.label == "tampered")
