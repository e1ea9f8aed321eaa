"""`sida data pair` and `sida compare` as the contract has them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from tests.pairs.pictures import jpeg, scene, with_blot

Run = Callable[..., Result]


@pytest.fixture
def folders(elsewhere: Path) -> Path:
    """Three originals, and as many edits: one of its name, one renamed, one only recoded."""
    for seed, edit in enumerate(("first", "other name", "third")):
        original = scene(160, 200, seed)
        edited = original if edit == "third" else with_blot(original)[0]
        for folder, name, pixels in (
            ("originals", ("first", "second", "third")[seed], original),
            ("edited", edit, jpeg(edited, 85)),
        ):
            Path(folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(Path(folder, f"{name}.png"))
    return elsewhere


def test_two_pictures(sida: Run, folders: Path) -> None:
    pair = ("originals/first.png", "edited/first.png")
    result = sida("data", "pair", *pair, "--out", "out/mask.png", "--json")
    assert result.exit_code == 0, result.stderr
    outcome = json.loads(result.stdout)
    assert list(outcome) == ["relation", "share", "noise", "covered"]
    mask = np.array(Image.open("out/mask.png"))
    assert (outcome["relation"], mask.shape, mask.dtype) == ("local", (160, 200), np.uint8)
    assert set(np.unique(mask)) == {0, 255}
    assert outcome["share"] == pytest.approx((mask == 255).mean(), abs=1e-5)
    again = sida("data", "pair", *pair, "--out", "mask.png", "--json", "-")
    assert json.loads(again.stdout) == outcome
    written = sida("data", "pair", *pair, "pair.json", "--out", "mask.png", "--json")
    assert "A region was changed" in written.stdout
    assert json.loads(Path("pair.json").read_text()) == outcome


def test_two_folders_become_a_set_that_check_accepts(sida: Run, folders: Path) -> None:
    result = sida("data", "pair", "originals", "edited", "--out", "pairs", "--json")
    assert result.exit_code == 0, result.stderr
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(Path(row["original"]).stem, row["relation"]) for row in rows] == [
        ("first", "local"),
        ("second", "local"),
        ("third", "same"),
    ]
    assert sida("data", "check", "pairs").exit_code == 0
    stats = json.loads(sida("data", "stats", "pairs", "--json", "-").stdout)
    assert "real" in json.dumps(stats)
    assert sorted(path.name for path in Path("pairs/tampered").iterdir()) == [
        "first.png",
        "other name.png",
    ]
    assert "tampered/first.png,tampered,masks/first_mask.png,,first.png" in (
        Path("pairs/manifest.csv").read_text()
    )


def test_what_cannot_be_compared_is_named_and_status_1(sida: Run, folders: Path) -> None:
    Path("edited/second.png").write_text("no picture")
    Image.fromarray(scene(90, 90, 77)).save("edited/strange.png")
    Path("edited/unlike.png").write_text("no picture, and no original of its name")
    result = sida("data", "pair", "originals", "edited", "--out", "pairs")
    assert result.exit_code == 1
    assert "'edited/second.png'" in result.stderr
    assert "'edited/strange.png' has no original" in result.stderr
    assert "'edited/unlike.png' is text, no picture" in result.stderr
    assert "2 local, 1 same, 3 not compared." in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["originals/first.png", "absent.png", "--out", "m.png"], "'absent.png' was not found"),
        (["broken.png", "edited/first.png", "--out", "m.png"], "'broken.png'"),
        (["originals/first.png", "edited/first.png", "--out", "m.jpg"], "found 'm.jpg'"),
        (["originals", "empty", "--out", "m"], "'empty' holds no picture"),
        (["empty", "edited", "--out", "m"], "'empty' holds no picture"),
        (["originals", "edited/first.png", "--out", "m"], "is not a folder"),
        (["originals", "absent", "--out", "m"], "'absent' was not found"),
        (["originals", "originals", "--out", "m"], "no region was altered in any of 3 pairs"),
        (["originals", "edited", "--out", "edited"], "'edited' is there already"),
        (["originals/first.png", "edited/first.png", "a.json", "--out", "m.png"], "add it"),
    ],
)
def test_bad_input_is_a_sentence_and_status_2(
    sida: Run, folders: Path, arguments: list[str], message: str
) -> None:
    Path("empty").mkdir()
    Path("broken.png").write_text("no picture")
    before = sorted(folders.rglob("*"))
    result = sida("data", "pair", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert sorted(folders.rglob("*")) == before


def test_compare_writes_a_page(sida: Run, folders: Path) -> None:
    result = sida("compare", "originals/first.png", "edited/first.png", "--out", "page.html")
    assert (result.exit_code, result.stdout) == (0, "")
    html = Path("page.html").read_text(encoding="utf-8")
    assert "A region was changed" in html
    assert "http" not in html.replace("http-equiv", "")
    for out, message in (("page.pdf", "found 'page.pdf'"), ("x.html", "'absent.png'")):
        bad = sida("compare", "originals/first.png", "absent.png", "--out", out)
        assert bad.exit_code == 2
        assert message in bad.stderr
        assert not Path(out).exists()
