"""Photographs of bare folders and labelled sets, with their groups, objects and captions."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sida.errors import DataError, InputError
from sida.forge.photographs import digest, find_photographs, read_captions

from .conftest import photo


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Two real pictures of one group, one synthetic one, and a manifest."""
    root = tmp_path / "set"
    for name in ("real/a.jpg", "real/b.png", "full_synthetic/c.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(1)).save(root / name)
    rows = ["image,label,mask,source,group"]
    rows += [f"real/{name},real,,camera,g7" for name in ("a.jpg", "b.png")]
    rows += ["full_synthetic/c.png,full_synthetic,,model,g8"]
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def test_in_a_bare_folder_every_photograph_is_its_own_group(photographs: Path) -> None:
    sources = find_photographs(photographs)
    assert [photograph.name for photograph in sources] == [f"p{i}.jpg" for i in range(7)]
    assert len({photograph.group for photograph in sources}) == 7
    assert sources[0].read().pixels.shape == (128, 160, 3)


def test_of_a_labelled_set_the_real_ones_are_taken_with_their_groups(labelled: Path) -> None:
    for path in (labelled, labelled / "real", labelled.parent):
        sources = find_photographs(path)
        assert [photograph.name for photograph in sources] == ["real/a.jpg", "real/b.png"], path
        assert {(photograph.group, photograph.source) for photograph in sources} == {
            ("g7", "camera")
        }


def test_nothing_to_forge_from(tmp_path: Path, labelled: Path) -> None:
    with pytest.raises(InputError, match="no photographs were named: give photographs=FOLDER"):
        find_photographs(None)
    with pytest.raises(InputError, match=r"missing' was not found: check the path"):
        find_photographs(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture: found no file, expected files such as"):
        find_photographs(tmp_path / "empty")
    with pytest.raises(
        DataError, match=r"that are full_synthetic, expected real ones: give .*/real"
    ):
        find_photographs(labelled / "full_synthetic")
    (labelled / "real").rename(tmp_path / "elsewhere")
    (labelled / "manifest.csv").unlink()
    with pytest.raises(DataError, match="a labelled set without real pictures: expected some"):
        find_photographs(labelled)


def test_objects_of_a_folder(photographs: Path, tmp_path: Path) -> None:
    levels = np.zeros((128, 160), np.uint8)
    levels[:40, :40], levels[60:90, 100:140] = 1, 2
    Image.fromarray(levels).save(tmp_path / "p0.png")
    Image.fromarray((levels == 2).astype(np.uint8) * 255).save(tmp_path / "p1_fire-truck.png")
    sources = find_photographs(photographs, objects=tmp_path)
    assert [int(item.mask(128, 160).sum()) for item in sources[0].objects] == [1600, 1200]
    (truck,) = sources[1].objects
    assert truck.word == "fire truck"
    assert np.array_equal(truck.mask(128, 160), levels == 2)
    assert sources[2].objects == ()


def test_objects_and_captions_in_cocos_form(photographs: Path, tmp_path: Path) -> None:
    square = [10, 20, 50, 20, 50, 60, 10, 60]
    content = {
        "images": [{"id": 5, "file_name": "p3.jpg"}],
        "categories": [{"id": 18, "name": "dog"}],
        "annotations": [
            {"image_id": 5, "category_id": 18, "segmentation": [square], "caption": "a dog"},
            {"image_id": 5, "category_id": 18, "segmentation": {"counts": "x"}, "caption": "two"},
        ],
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    source = find_photographs(photographs, objects=file, captions=file)[3]
    assert source.caption == "a dog"
    (dog,) = source.objects
    assert dog.word == "dog"
    assert dog.mask(128, 160)[20:61, 10:51].mean() == 1
    assert dog.mask(128, 160).sum() == 41 * 41


def test_captions(tmp_path: Path) -> None:
    by_name, lines = tmp_path / "captions.json", tmp_path / "captions.txt"
    by_name.write_text(json.dumps({"x/p1.jpg": ["one", "other"], "p2.jpg": "two"}))
    lines.write_text("first\n\n second \n")
    assert read_captions(by_name) == ({"p1.jpg": "one", "p2.jpg": "two"}, ["one", "two"])
    assert read_captions(lines) == ({}, ["first", "second"])
    lines.write_text("\n")
    with pytest.raises(DataError, match="holds none, expected one at least"):
        read_captions(lines)
    by_name.write_text("[1]")
    with pytest.raises(DataError, match="expected file name and caption, or COCO's captions"):
        read_captions(by_name)
    by_name.write_text("{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_captions(by_name)


def test_the_digest_tells_other_photographs(photographs: Path) -> None:
    sources = find_photographs(photographs)
    assert digest(sources) == digest(find_photographs(photographs))
    assert digest(sources) != digest(sources[1:])


@pytest.mark.parametrize(("below", "names"), [("", ["Au/a.png"]), ("Au", ["a.png"])])
def test_of_another_sets_tree_only_real_pictures_are_photographs(
    tmp_path: Path, below: str, names: list[str]
) -> None:
    for name in ("Au/a.png", "Tp/b.png", "CASIA 2 Groundtruth/b_gt.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(1)).save(tmp_path / name)
    assert [photograph.name for photograph in find_photographs(tmp_path / below)] == names


def test_real_pictures_beside_fakes_are_a_bare_folder(tmp_path: Path) -> None:
    for name in ("real/a.png", "fake/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(1)).save(tmp_path / name)
    assert [photograph.name for photograph in find_photographs(tmp_path / "real")] == ["a.png"]
