"""Other data sets' trees: labels, masks, groups and generators, and half or broken trees."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sida.data
from sida.data.sample import Sample
from sida.errors import DataError
from tests.data.sets import box_mask, photo

BOX = box_mask(24, 16)
REFERENCE = "reference/manipulation/NC2016-manipulation-ref.csv"


def picture(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(len(name), 24, 16)).save(root / name)


def mask(root: Path, name: str, levels: np.ndarray = BOX) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(root / name, **({"quality": 95} if name.endswith("jpg") else {}))


def red_and_green(altered: np.ndarray) -> np.ndarray:
    """Columbia's colours, brighter on the left."""
    colours = np.where(altered[..., None] > 0, (0, 200, 0), (200, 0, 0)).astype(np.uint8)
    colours[:, :12][colours[:, :12] == 200] = 255
    return colours


def casia(root: Path) -> None:
    picture(root, "Au/Au_ani_00001.jpg", "Tp/Tp_D_CRN_M_N_ani00001_cha00063_11522.jpg")
    mask(root, "CASIA 2 Groundtruth/Tp_D_CRN_M_N_ani00001_cha00063_11522_gt.png")


def columbia(root: Path) -> None:
    name = "canong3_canonxt_sub_01"
    picture(root, "4cam_auth/canong3_02_sub_01.tif", f"4cam_splc/{name}.tif")
    mask(root, f"4cam_splc/edgemask/{name}_edgemask.jpg", red_and_green(BOX))
    mask(root, f"4cam_splc/edgemask/{name}_edgemask_3.jpg", red_and_green(BOX))
    mask(root, "4cam_auth/edgemask/canong3_02_sub_01_edgemask.jpg", red_and_green(BOX))


def coverage(root: Path) -> None:
    picture(root, "image/1.tif", "image/1t.tif")
    mask(root, "mask/1forged.tif")
    mask(root, "mask/1copy.tif", 255 - BOX)


def cocoglide(root: Path) -> None:
    picture(root, "real/dining table_114871.png", "fake/glide_inpainting_val2017_114871_up.png")
    mask(root, "mask/dining table_114871_mask.png")


def nist16(root: Path) -> None:
    picture(root, "probe/NC2016_0001.jpg", "probe/NC2016_0002.jpg")
    mask(root, "reference/manipulation/mask/NC2016_3942.png", 255 - BOX)
    (root / REFERENCE).write_text(
        "TaskID|ProbeFileName|ProbeMaskFileName|IsTarget|BaseFileName\n"
        "m|probe/NC2016_0001.jpg||N|world/NC2016_0009.jpg\n"
        "m|probe/NC2016_0002.jpg|reference/manipulation/mask/NC2016_3942.png|Y|"
        "world/NC2016_0009.jpg\n"
    )


def masked_pairs(root: Path) -> None:
    picture(root, "real/a.png", "fake/a.png")
    mask(root, "mask/a_mask.png")


MASKED: dict[str, tuple[Callable[[Path], None], str | None]] = {
    "CASIA": (casia, "ani00001"),
    "Columbia": (columbia, None),
    "Coverage": (coverage, "1"),
    "CocoGlide": (cocoglide, "114871"),
    "NIST16": (nist16, "NC2016_0009"),
    "real, fake and masks": (masked_pairs, "a"),
}


@pytest.mark.parametrize("layout", MASKED)
def test_tree_of_pictures_and_masks(layout: str, tmp_path: Path) -> None:
    make, group = MASKED[layout]
    make(tmp_path)
    data = sida.data.open(tmp_path)
    assert data.layout == layout
    assert sida.data.splits_of(tmp_path) == []
    assert [sample.label for sample in data] == ["real", "tampered"]
    assert [sample.group for sample in data] == [group, group]
    assert data[0].mask is None
    levels = data[1].read_mask()
    assert levels is not None
    assert ((levels >= 128) == (BOX > 0)).mean() > 0.97  # Columbia's are JPEG
    assert data.report.lines() == []


@pytest.mark.parametrize("layout", MASKED)
def test_it_can_be_exported_and_is_then_ours(layout: str, tmp_path: Path) -> None:
    MASKED[layout][0](tmp_path / "theirs")
    sida.data.export(tmp_path / "theirs", tmp_path / "ours", "folder")
    ours = sida.data.open(tmp_path / "ours")
    assert (ours.layout, ours.counts()) == (
        "folder",
        {"real": 1, "full_synthetic": 0, "tampered": 1},
    )
    levels = ours[1].read_mask()
    assert levels is not None
    assert ((levels >= 128) == (BOX > 0)).mean() > 0.97


def test_a_splice_names_both_of_its_originals_and_glide_its_work(tmp_path: Path) -> None:
    casia(tmp_path / "casia")
    cocoglide(tmp_path / "glide")
    assert sida.data.open(tmp_path / "casia")[1].more == {"donor_group": "cha00063"}
    assert [s.more for s in sida.data.open(tmp_path / "glide")] == [{}, {"generator": "GLIDE"}]


def test_missing_and_spare_masks_are_named(tmp_path: Path) -> None:
    casia(tmp_path)
    folder = tmp_path / "CASIA 2 Groundtruth"
    next(folder.iterdir()).rename(folder / "Tp_other_gt.png")
    data = sida.data.open(tmp_path)
    assert data.report.counts() == {"missing_mask": 1, "orphan_mask": 1}
    assert data[1].read_mask() is None


def test_casia_of_the_first_version(tmp_path: Path) -> None:
    picture(tmp_path, "Au/Au_art_0005.jpg", "Tp/Sp/Sp_D_CNN_A_art0005_cha0029_0263.jpg")
    mask(tmp_path, "CASIA 1.0 groundtruth/Sp/Sp_D_CNN_A_art0005_cha0029_0263_gt.png")
    real, splice = sida.data.open(tmp_path)
    assert real.group == splice.group == "art0005"
    assert splice.more == {"donor_group": "cha0029"}
    assert splice.read_mask() is not None


def test_casia_without_its_masks_is_still_casia(tmp_path: Path) -> None:
    casia(tmp_path)
    for file in (tmp_path / "CASIA 2 Groundtruth").iterdir():
        file.unlink()
    data = sida.data.open(tmp_path)
    assert (data.layout, data.report.counts()) == ("CASIA", {"missing_mask": 1})


def test_a_mask_of_another_size_is_resized_and_named(tmp_path: Path) -> None:
    coverage(tmp_path)
    mask(tmp_path, "mask/1forged.tif", box_mask(12, 8))
    data = sida.data.open(tmp_path)
    levels = data[1].read_mask()
    assert levels is not None
    assert levels.shape == (16, 24)
    assert data.report.counts() == {"mask_size": 1}


def test_a_file_that_coverage_does_not_have_is_left_out_and_named(tmp_path: Path) -> None:
    coverage(tmp_path)
    picture(tmp_path, "image/cover.tif")
    data = sida.data.open(tmp_path)
    assert [sample.name for sample in data] == ["image/1.tif", "image/1t.tif"]
    assert data.report.counts() == {"unknown_label": 1}


def test_two_forgeries_with_one_mask_are_an_error(tmp_path: Path) -> None:
    masked_pairs(tmp_path)
    picture(tmp_path, "fake/a.jpg")
    with pytest.raises(DataError, match="share the one mask"):
        sida.data.open(tmp_path)


@pytest.mark.parametrize("broken", [b"", b"no picture", None])
def test_a_mask_that_is_no_red_and_green_picture_counts_as_none(
    tmp_path: Path, broken: bytes | None
) -> None:
    columbia(tmp_path)
    file = tmp_path / "4cam_splc/edgemask/canong3_canonxt_sub_01_edgemask.jpg"
    if broken is None:
        Image.fromarray(BOX).save(file)
    else:
        file.write_bytes(broken)
    data = sida.data.open(tmp_path)
    assert data[1].read_mask() is None
    assert data.report.counts() == {"unreadable_mask": 1}


def test_nist_needs_its_table(tmp_path: Path) -> None:
    nist16(tmp_path)
    rows = (tmp_path / REFERENCE).read_text()
    (tmp_path / REFERENCE).write_text(rows.replace("IsTarget", "Other"))
    with pytest.raises(DataError, match="lacks IsTarget"):
        sida.data.open(tmp_path)
    (tmp_path / REFERENCE).write_bytes(b"\xff\xfe\x00|")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        sida.data.open(tmp_path)
    (tmp_path / REFERENCE).unlink()
    (tmp_path / "mask").mkdir()
    with pytest.raises(DataError, match="looks like NIST16 with none as its reference"):
        sida.data.open(tmp_path)


def test_nist_names_rows_and_probes_that_do_not_fit(tmp_path: Path) -> None:
    nist16(tmp_path)
    picture(tmp_path, "probe/extra.jpg")
    with (tmp_path / REFERENCE).open("a") as stream:
        stream.write("m|probe/gone.jpg||N|\nm|probe/NC2016_0001.jpg||?|\n")
        stream.write("m|probe/NC2016_0001.jpg|mask/gone.png|Y|\n")
    data = sida.data.open(tmp_path)
    assert len(data) == 3
    assert data.report.counts() == {
        "unknown_label": 2, "repeated_name": 2, "unreadable": 1, "missing_mask": 1,
    }  # fmt: skip


def genimage(root: Path) -> None:
    for generator in ("ADM", "glide"):
        for split in ("train", "val"):
            picture(root, f"{generator}/{split}/ai/1.png", f"{generator}/{split}/nature/n01_1.JPEG")


def facts(samples: sida.data.Dataset) -> list[tuple[str, str, object]]:
    return [(s.name, s.label, s.more.get("generator")) for s in samples]


def test_genimage_has_splits_and_generators(tmp_path: Path) -> None:
    genimage(tmp_path)
    assert sida.data.splits_of(tmp_path) == ["train", "val"]
    data = sida.data.open(tmp_path, "val")
    assert facts(data) == [
        ("ADM/val/nature/n01_1.JPEG", "real", None),
        ("ADM/val/ai/1.png", "full_synthetic", "ADM"),
        ("glide/val/nature/n01_1.JPEG", "real", None),
        ("glide/val/ai/1.png", "full_synthetic", "glide"),
    ]
    with pytest.raises(DataError, match="one of them is needed"):
        sida.data.open(tmp_path)


def test_genimage_by_generator_or_split(tmp_path: Path) -> None:
    genimage(tmp_path)
    assert facts(sida.data.open(tmp_path / "ADM", "train"))[1] == (
        "train/ai/1.png", "full_synthetic", "ADM",
    )  # fmt: skip
    assert facts(sida.data.open(tmp_path / "ADM" / "val"))[1] == (
        "ai/1.png", "full_synthetic", "ADM",
    )  # fmt: skip


@pytest.mark.parametrize("below", ["", "ADM", "ADM/imagenet_ai_0508_adm"])
def test_genimage_as_its_archives_unpack(below: str, tmp_path: Path) -> None:
    path = "ADM/imagenet_ai_0508_adm/val"
    picture(tmp_path, f"{path}/ai/1.png", f"{path}/nature/n01_1.JPEG")
    generator = "adm" if below else "ADM"
    assert facts(sida.data.open(tmp_path / below, "val"))[1][2] == generator


def test_half_a_pair_is_an_error(tmp_path: Path) -> None:
    genimage(tmp_path)
    (tmp_path / "ADM/val/nature/n01_1.JPEG").unlink()
    (tmp_path / "ADM/val/nature").rmdir()
    with pytest.raises(DataError, match=r"ADM/val' is half of a pair: expected the folder nature/"):
        sida.data.open(tmp_path, "val")


def test_real_and_fake_by_number(tmp_path: Path) -> None:
    picture(tmp_path, "ldm/0_real/a.png", "ldm/1_fake/a.png", "progan/car/0_real/a.png")
    picture(tmp_path, "progan/car/1_fake/a.png")
    assert facts(sida.data.open(tmp_path)) == [
        ("ldm/0_real/a.png", "real", None),
        ("ldm/1_fake/a.png", "full_synthetic", "ldm"),
        ("progan/car/0_real/a.png", "real", None),
        ("progan/car/1_fake/a.png", "full_synthetic", "progan"),
    ]
    assert facts(sida.data.open(tmp_path / "ldm"))[1] == ("1_fake/a.png", "full_synthetic", None)


def test_fakes_of_unknown_kind_have_to_be_named(tmp_path: Path) -> None:
    picture(tmp_path, "real/a.png", "fake/b.png")
    with pytest.raises(DataError, match="--labels real,full_synthetic or --labels real,tampered"):
        sida.data.open(tmp_path)
    for format in ("tampered", "full_synthetic"):
        data = sida.data.open(tmp_path, labels=f"real,{format}")
        assert [sample.label for sample in data] == ["real", format]
    with pytest.raises(DataError, match="what its fakes are"):
        sida.data.open(tmp_path, labels="tampered,real")


def test_what_unclear_fakes_are_says_nothing_of_clear_ones(tmp_path: Path) -> None:
    picture(tmp_path, "0_real/a.png", "1_fake/b.png")
    data = sida.data.open(tmp_path, labels="real,tampered")
    assert [sample.label for sample in data] == ["real", "full_synthetic"]


def test_synthbuster_with_real_pictures_beside(tmp_path: Path) -> None:
    picture(tmp_path, "dalle2/r000da54ft.png", "firefly/r000da54ft.png", "real/r000da54ft.jpg")
    data = sida.data.open(tmp_path)
    assert facts(data) == [
        ("real/r000da54ft.jpg", "real", None),
        ("dalle2/r000da54ft.png", "full_synthetic", "dalle2"),
        ("firefly/r000da54ft.png", "full_synthetic", "firefly"),
    ]
    assert {sample.group for sample in data} == {"r000da54ft"}
    picture(tmp_path, "flux/r000da54ft.png")
    with pytest.raises(DataError, match="has the folder 'flux'"):
        sida.data.open(tmp_path)


@pytest.mark.parametrize("real", ["RAISE", "RAISE-1k", "real_RAISE_1k"])
def test_synthbuster_beside_raise(real: str, tmp_path: Path) -> None:
    picture(tmp_path, "dalle2/r000da54ft.png", f"{real}/r000da54ft.TIF")
    assert sida.data.open(tmp_path).counts() == {"real": 1, "full_synthetic": 1, "tampered": 0}


def test_dmimagedetection_has_one_folder_an_origin(tmp_path: Path) -> None:
    picture(tmp_path, "biggan_256/1.png", "latent-diffusion_noise2image_FFHQ/1.png")
    picture(tmp_path, "dalle_2/1.png", "real_coco_valid/1.png", "real_ucid/1.png")
    data = sida.data.open(tmp_path)
    assert data.layout == "DMimageDetection"
    assert facts(data)[1:] == [
        ("real_ucid/1.png", "real", None),
        ("biggan_256/1.png", "full_synthetic", "biggan_256"),
        ("dalle_2/1.png", "full_synthetic", "dalle_2"),
        (
            "latent-diffusion_noise2image_FFHQ/1.png", "full_synthetic",
            "latent-diffusion_noise2image_FFHQ",
        ),
    ]  # fmt: skip
    assert {sample.group for sample in data} == {None}


def test_synthbuster_alone_has_no_real_pictures(tmp_path: Path) -> None:
    picture(tmp_path, "dalle2/a.png")
    assert sida.data.open(tmp_path).counts() == {"real": 0, "full_synthetic": 1, "tampered": 0}


@pytest.mark.parametrize("ours", ["tampered", "full_synthetic"])
def test_what_is_ours_stays_ours(tmp_path: Path, ours: str) -> None:
    picture(tmp_path, "real/a.png", "fake/a.png", f"{ours}/b.png")
    mask(tmp_path, "mask/a.png")
    data = sida.data.open(tmp_path)
    assert data.layout == "folder"
    assert [sample.label for sample in data] == ["real", ours]


def test_real_pictures_alone_stay_a_split_of_ours(tmp_path: Path) -> None:
    picture(tmp_path, "real/a.png", "other/a.png")
    assert sida.data.open(tmp_path).layout == "folder"


@pytest.mark.parametrize("names", [("Au/a.png",), ("image/a.png", "mask/a.png"), ("x/ai/a.png",)])
def test_what_is_not_known_is_told_which_trees_are_known(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    picture(tmp_path, *names)
    with pytest.raises(DataError, match=r"is not a labelled set.*CASIA; Columbia; .*: see docs"):
        sida.data.open(tmp_path)


def test_a_tree_without_pictures_says_so(tmp_path: Path) -> None:
    (tmp_path / "Au").mkdir()
    (tmp_path / "Tp").mkdir()
    with pytest.raises(DataError, match="looks like CASIA, but no picture was found"):
        sida.data.open(tmp_path)


def test_masks_go_to_other_processes(tmp_path: Path) -> None:
    columbia(tmp_path)
    sample: Sample = sida.data.open(tmp_path)[1]
    again = pickle.loads(pickle.dumps(sample))
    assert np.array_equal(again.read_mask(), sample.read_mask())
