"""The doctor: what it finds, what it says, and that fair sets are left in peace."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sida.data
from sida.data.checks.doctor_page import data_page
from sida.data.checks.duplicates import find_twins, near_pairs
from sida.data.checks.leakage import probe
from sida.data.checks.traits import Traits, look_hash
from sida.verdict import LABELS
from tests.data.sets import box_mask, encoded, photo, write_set


def traits(number: int, label: str, **changes: object) -> Traits:
    options = {
        "name": f"{label}/{number}", "split": None, "label": label, "source": None,
        "group": str(number), "format": "JPEG", "width": 256, "height": 192, "bytes": 20000,
        "quality": 90, "coding": "4:2:0", "has_exif": False, "has_icc": False, "mask_area": None,
        "sha256": f"{label}{number}", "fingerprint": None,
    }  # fmt: skip
    return Traits(**{**options, **changes})  # type: ignore[arg-type]


def containers(count: int, leaky: bool, seed: int = 0) -> list[Traits]:
    """A set whose formats, sizes and qualities are drawn alike, or real = JPEG, others = PNG."""
    rng = np.random.default_rng(seed)
    samples = []
    for label in LABELS:
        for number in range(count):
            is_jpeg = label == "real" if leaky else rng.random() < 0.8
            samples.append(
                traits(
                    number,
                    label,
                    format="JPEG" if is_jpeg else "PNG",
                    quality=int(rng.integers(70, 96)) if is_jpeg else None,
                    coding="4:2:0" if is_jpeg else None,
                    width=int(16 * rng.integers(12, 20)),
                    height=int(16 * rng.integers(12, 20)),
                    bytes=int(rng.integers(10_000, 40_000)),
                )
            )
    return samples


@pytest.mark.parametrize("seed", range(2))
def test_alike_containers_are_near_chance(seed: int) -> None:
    leakage = probe(containers(400, leaky=False, seed=seed))
    assert leakage.accuracy == pytest.approx(1 / 3, abs=0.03)
    assert leakage.real_vs_not == pytest.approx(1 / 2, abs=0.03)
    assert not leakage.leaks
    assert leakage.sentences()[0].endswith("it gives nothing away.")


@pytest.mark.parametrize("count", [60, 400])
def test_one_format_a_class_is_found_and_said(count: int) -> None:
    leakage = probe(containers(count, leaky=True))
    assert leakage.accuracy == pytest.approx(2 / 3, abs=0.016)
    assert leakage.real_vs_not is not None
    assert leakage.real_vs_not >= 0.95
    assert leakage.leaks
    assert leakage.features["format"] == pytest.approx(2 / 3, abs=0.016)
    assert leakage.features["size"] == pytest.approx(1 / 3, abs=0.08)
    text = " ".join(leakage.sentences())
    assert "gives the class away" in text
    assert "real is 100% JPEG, full_synthetic is 100% PNG" in text
    assert "--equalise" in text
    stored = leakage.as_json()
    assert {"accuracy", "chance", "features", "real_vs_not", "bytes_per_pixel"} <= set(stored)
    assert stored["meaning"] == text


def test_sizes_and_qualities_are_found() -> None:
    rng = np.random.default_rng(0)
    sizes = [
        traits(n, label, width=256 + 100 * (label == "tampered"), quality=int(rng.integers(70, 96)))
        for label in LABELS
        for n in range(100)
    ]
    leakage = probe(sizes)
    assert leakage.accuracy == pytest.approx(2 / 3, abs=0.02)
    assert max(leakage.features, key=lambda name: leakage.features[name]) == "size"
    lowered = [traits(n, c, quality=75 if c == "real" else 90) for c in LABELS for n in range(100)]
    assert probe(lowered).features["quality"] == pytest.approx(2 / 3, abs=0.02)


def test_originals_are_held_back_together() -> None:
    """Each original has a size of its own; only who has seen it can tell the class from it."""
    rng = np.random.default_rng(0)
    samples = []
    for number in range(40):
        label = LABELS[number % 3]
        width = int(rng.integers(100, 2000))
        samples += [traits(number, label, width=width, name=f"{number}/{n}") for n in range(20)]
    grouped = probe(samples)
    alone = probe(
        [traits(n, item.label, width=item.width, group=None) for n, item in enumerate(samples)]
    )
    assert grouped.accuracy is not None
    assert alone.accuracy is not None
    assert alone.accuracy > 0.8
    assert grouped.accuracy < 0.55
    assert (grouped.grouped, alone.grouped) == (True, False)


def test_too_few_pictures_are_not_measured() -> None:
    leakage = probe([traits(n, "real") for n in range(50)])
    assert leakage.accuracy is None
    assert not leakage.leaks
    assert set(leakage.as_json()) == {"not_measured", "meaning"}
    assert "needs pictures of two classes" in leakage.sentences()[0]
    assert probe([]).accuracy is None


def test_the_probe_looks_at_one_split() -> None:
    here = [traits(n, label, split="train") for label in LABELS for n in range(30)]
    other_split = [traits(n, "real", split="test", format="PNG") for n in range(30)]
    leakage = probe(here + other_split)
    assert leakage.split == "train"
    assert leakage.accuracy == pytest.approx(1 / 3)


def test_looks_survive_compression_and_resizing() -> None:
    pixels = photo(3, 320, 240)
    small = np.asarray(Image.fromarray(pixels).resize((200, 150)))
    coarse = np.asarray(Image.open(io.BytesIO(encoded(pixels, "JPEG", quality=40))))
    looks = [look_hash(p) for p in (pixels, small, coarse, photo(4, 320, 240))]
    assert set(near_pairs(looks)) == {(0, 1), (0, 2), (1, 2)}
    assert look_hash(np.full((50, 50, 3), 128, np.uint8)) is None


def test_near_pairs_are_all_pairs_within_the_distance() -> None:
    rng = np.random.default_rng(1)
    base = [int(v) for v in rng.integers(0, 2**63, 30, np.int64)]
    flipped = [
        v ^ sum(1 << int(b) for b in rng.choice(64, rng.integers(0, 8), False)) for v in base
    ]
    looks = [*base, *flipped, None]
    expected = {
        (i, j)
        for i in range(60)
        for j in range(i + 1, 60)
        if (looks[i] ^ looks[j]).bit_count() <= 4  # type: ignore[operator]
    }
    assert set(near_pairs(looks)) == expected
    assert len(expected) > 10


def test_twins_are_sets_of_what_belongs_together() -> None:
    samples = [
        traits(0, "real", sha256="a", fingerprint=0),
        traits(1, "tampered", sha256="a", fingerprint=0),
        traits(2, "real", sha256="b", fingerprint=1, group="0"),
        traits(3, "real", sha256="c", fingerprint=2**40 - 1),
    ]
    exact, alike = find_twins(samples)
    assert [item.name for item in exact.members] == ["real/0", "tampered/1"]
    assert (exact.exact, exact.labels, exact.one_group) == (True, {"real", "tampered"}, False)
    assert [item.name for item in alike.members] == ["real/0", "real/2"]
    assert alike.one_group


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """Two splits with a file in both, a file in two classes, and a broken one."""
    root = tmp_path / "root"
    root.mkdir()
    write_set(root / "train", 8)
    write_set(root / "test", 3, groups=False)
    doubled = encoded(photo(77), "JPEG", quality=90)
    (root / "train" / "real" / "again.jpg").write_bytes(doubled)
    (root / "test" / "real" / "again.jpg").write_bytes(doubled)
    (root / "test" / "full_synthetic" / "also.jpg").write_bytes(doubled)
    (root / "test" / "full_synthetic" / "cut.jpg").write_bytes(doubled[:300])
    return root


def test_check_of_several_splits(splits: Path) -> None:
    result: list[int] = []
    findings = sida.data.check(splits, progress=lambda n, total: result.append(n))
    assert result == list(range(1, len(findings.traits) + 1))
    report = json.loads(json.dumps(findings.as_json()))
    assert report["schema"] == "sida.data_check/1"
    assert report["splits"]["train"] == {"real": 9, "full_synthetic": 8, "tampered": 8}
    assert report["problems"]["counts"]["unreadable"] == 1
    assert report["problems"]["rows"][0]["name"] == "test/full_synthetic/cut.jpg"
    assert report["duplicates"]["exact"]["across_splits"] >= 1
    assert report["duplicates"]["exact"]["across_classes"] == 1
    assert report["mask_area"]["count"] == 11
    assert report["mask_area"]["median"] == pytest.approx((box_mask() > 0).mean())
    text = " ".join(findings.sentences())
    assert "are in two classes at once" in text
    assert "The same file in different splits" in text


def test_stats_leave_out_what_was_not_asked_for(splits: Path) -> None:
    result = sida.data.stats(splits, "train").as_json()
    assert "duplicates" not in result
    assert "leakage_probe" not in result
    assert result["formats"]["real"]["JPEG"] + result["formats"]["real"].get("PNG", 0) == 9
    assert (
        75 <= result["jpeg_quality"]["real"]["min"] <= result["jpeg_quality"]["real"]["max"] <= 95
    )
    assert result["sizes"]["real"]["most_frequent"] == {"96x80": 9}


def test_originals_in_two_splits_are_named(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_set(root / "train", 3)
    write_set(root / "test", 2)
    findings = sida.data.stats(root)
    assert findings.as_json()["groups_in_several_splits"] == ["g0", "g1"]
    assert "2 originals have pictures in several splits" in findings.sentences()[0]


def test_the_page_shows_everything(splits: Path) -> None:
    html = data_page(sida.data.check(splits)).html()
    for text in (
        "Leakage",
        "Duplicates",
        "again.jpg",
        "cut.jpg",
        "JPEG quality",
        "data:image/jpeg",
    ):
        assert text in html
    plain = data_page(sida.data.stats(splits, "train")).html()
    assert "Leakage" not in plain


def test_the_page_of_a_tiny_set(tmp_path: Path) -> None:
    path = tmp_path / "real" / "one.png"
    path.parent.mkdir()
    path.write_bytes(encoded(photo(1), "PNG"))
    findings = sida.data.check(tmp_path)
    assert findings.probe is not None
    assert "was not made" in data_page(findings).html()


@pytest.mark.slow
def test_real_as_jpeg_is_found_in_files_and_mended(tmp_path: Path) -> None:
    formats = {"real": "JPEG", "full_synthetic": "PNG", "tampered": "PNG"}
    source = write_set(tmp_path / "source", 60, formats)
    before = sida.data.check(source).probe
    assert before is not None
    assert before.accuracy is not None
    assert before.accuracy >= 0.65
    sida.data.export(source, tmp_path / "out", equalise=True)
    after = sida.data.check(tmp_path / "out").probe
    assert after is not None
    assert not after.leaks
