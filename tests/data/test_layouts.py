"""Trees of other published sets, made small."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sida.data
from sida.errors import DataError

BRIGHT = np.s_[2:5, 3:9]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    level = len(path.as_posix()) % 256
    Image.fromarray(np.full((10, 12, 3), level, np.uint8)).save(path)


def mask(path: Path, altered: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.full((10, 12), 255 - altered, np.uint8)
    levels[BRIGHT] = altered
    Image.fromarray(levels).save(path)


def labels(data: sida.data.Dataset) -> dict[str, int]:
    return dict(Counter(sample.label for sample in data))


def marks(data: sida.data.Dataset) -> list[str]:
    """Names of the tampered pictures, each of whose masks marks the known part and nothing else."""
    expected = np.zeros((10, 12), bool)
    expected[BRIGHT] = True
    tampered = [sample for sample in data if sample.label == "tampered"]
    for sample in tampered:
        levels = sample.read_mask()
        assert levels is not None
        assert np.array_equal(levels >= 128, expected)
    return [sample.name for sample in tampered]


@pytest.fixture
def genimage(tmp_path: Path) -> Path:
    for generator in ("Midjourney", "BigGAN"):
        for split in ("train", "val"):
            for kind, count in (("ai", 2), ("nature", 1)):
                for i in range(count):
                    picture(tmp_path / f"gen/{generator}/{split}/{kind}/{i}.png")
    return tmp_path / "gen"


def test_genimage(genimage: Path) -> None:
    data = sida.data.open(genimage, "val")
    assert labels(data) == {"real": 2, "full_synthetic": 4}
    assert {sample.source for sample in data} == {"Midjourney", "BigGAN"}
    assert sida.data.splits_of(genimage) == ["train", "val"]
    with pytest.raises(DataError, match=r"splits train, val: one of them is needed"):
        sida.data.open(genimage)
    one = sida.data.open(genimage / "BigGAN/val")
    assert labels(one) == {"real": 1, "full_synthetic": 2}


@pytest.mark.parametrize("names", [("0_real", "1_fake"), ("real", "fake"), ("Real", "Fake")])
def test_real_and_fake(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        picture(tmp_path / f"set/glide/{name}/a.png")
    data = sida.data.open(tmp_path / "set")
    assert labels(data) == {"real": 1, "full_synthetic": 1}
    assert {sample.source for sample in data} == {"glide"}
    assert labels(sida.data.open(tmp_path / "set/glide")) == {"real": 1, "full_synthetic": 1}
    with pytest.raises(DataError, match="has no splits"):
        sida.data.open(tmp_path / "set", "train")


def test_synthbuster(tmp_path: Path) -> None:
    for folder in ("dalle3", "firefly", "real"):
        picture(tmp_path / f"set/{folder}/r0001.png")
    data = sida.data.open(tmp_path / "set")
    assert labels(data) == {"real": 1, "full_synthetic": 2}
    assert {sample.group for sample in data} == {"r0001"}


def test_casia(tmp_path: Path) -> None:
    picture(tmp_path / "Au/Au_ani_00018.jpg")
    name = "Tp_D_CND_M_N_ani00018_sec00096_00138"
    picture(tmp_path / f"Tp/{name}.tif")
    picture(tmp_path / "Tp/Tp_S_NNN_S_N_nat00001_nat00001_00001.jpg")
    mask(tmp_path / f"CASIA 2 Groundtruth/{name}_gt.png")
    data = sida.data.open(tmp_path)
    assert labels(data) == {"real": 1, "tampered": 2}
    real, made, other = data
    assert real.group == made.group == "ani00018" != other.group
    assert made.mask is not None
    assert other.mask is None
    assert "it has no mask" in "\n".join(data.report.lines())


def test_columbia_has_no_masks(tmp_path: Path) -> None:
    picture(tmp_path / "4cam_auth/canong3_01.tif")
    picture(tmp_path / "4cam_splc/canong3_nikond70_sub_01.tif")
    picture(tmp_path / "4cam_splc/edgemask/canong3_nikond70_sub_01_edgemask.jpg")
    data = sida.data.open(tmp_path)
    assert labels(data) == {"real": 1, "tampered": 1}
    assert all(sample.mask is None for sample in data)


def test_coverage(tmp_path: Path) -> None:
    picture(tmp_path / "image/1.tif")
    picture(tmp_path / "image/1t.tif")
    mask(tmp_path / "mask/1forged.tif")
    mask(tmp_path / "mask/1copy.tif")
    data = sida.data.open(tmp_path)
    assert marks(data) == ["image/1t.tif"]
    assert {sample.group for sample in data} == {"1"}


def test_cocoglide(tmp_path: Path) -> None:
    for folder in ("real", "fake"):
        picture(tmp_path / f"{folder}/glide_1.png")
    mask(tmp_path / "mask/glide_1.png")
    data = sida.data.open(tmp_path)
    assert marks(data) == ["fake/glide_1.png"]
    assert labels(data) == {"real": 1, "tampered": 1}


def nist(tmp_path: Path, head: str, *rows: str) -> Path:
    picture(tmp_path / "probe/NC2016_1.jpg")
    picture(tmp_path / "probe/NC2016_2.jpg")
    mask(tmp_path / "mask/NC2016_1_gt.png", altered=0)
    table = tmp_path / "reference/manipulation/NC2016-manipulation-ref.csv"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join([head, *rows]) + "\n")
    return tmp_path


def test_nist16_masks_are_dark_where_altered(tmp_path: Path) -> None:
    root = nist(
        tmp_path,
        "ProbeFileName|ProbeMaskFileName|BaseFileName|IsTarget",
        "probe/NC2016_1.jpg|mask/NC2016_1_gt.png|world/b.jpg|Y",
        "probe/NC2016_2.jpg||world/b.jpg|N",
        "probe/NC2016_3.jpg||world/c.jpg|N",
    )
    data = sida.data.open(root)
    assert marks(data) == ["probe/NC2016_1.jpg"]
    assert labels(data) == {"real": 1, "tampered": 1}
    assert {sample.group for sample in data} == {"b"}
    assert "names a picture not here" in "\n".join(data.report.lines())


def test_a_reference_of_another_kind_is_one_sentence(tmp_path: Path) -> None:
    root = nist(tmp_path, "a|b", "1|2")
    with pytest.raises(DataError, match="lacks the columns ProbeFileName and IsTarget"):
        sida.data.open(root)


def test_empty_and_half_trees(tmp_path: Path) -> None:
    for folder in ("empty/0_real", "empty/1_fake", "half/Au", "half/other"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match="laid out as real and fake and holds no picture"):
        sida.data.open(tmp_path / "empty")
    with pytest.raises(DataError, match="is no labelled set: found the folders Au, other"):
        sida.data.open(tmp_path / "half")


def test_our_own_folders_stay_what_they_are(tmp_path: Path) -> None:
    for folder in ("real", "fake", "full_synthetic"):
        picture(tmp_path / f"{folder}/a.png")
    assert labels(sida.data.open(tmp_path)) == {"real": 1, "full_synthetic": 1}
    for folder in ("train/real", "train/tampered"):
        picture(tmp_path / f"ours/{folder}/a.png")
    assert sida.data.splits_of(tmp_path / "ours") == ["train"]
