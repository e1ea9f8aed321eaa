"""`sida wrong`: kept as a labelled set, the same file once, checked against any model."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

import sida.data
from sida.files import user_folder

Run = Callable[..., Result]


@pytest.fixture
def kept(sida: Run, pictures: Path) -> Path:
    """Two wrong verdicts: a photograph called tampered, and a synthetic picture called real."""
    Image.new("RGB", (8, 6), (9, 9, 9)).save("real.jpg")  # not the same file as the other
    keep = ("--folder", "wrong")
    result = sida("wrong", "tampered.jpg", "--label", "real", "--note", "ours", *keep)
    assert result.exit_code == 0, result.output
    assert "tampered.jpg: fake says tampered, 90 %; kept as wrong/real/tampered-" in result.stdout
    assert sida("wrong", "real.jpg", "--label", "full_synthetic", *keep).exit_code == 0
    return Path("wrong")


def test_the_picture_is_kept_with_its_verdict(kept: Path, pictures: Path) -> None:
    content = Path("tampered.jpg").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    name = f"tampered-{digest[:8]}"
    assert (kept / "real" / f"{name}.jpg").read_bytes() == content
    case = json.loads((kept / "cases" / f"{name}.json").read_text())
    assert (case["schema"], case["sha256"]) == ("sida.wrong/1", digest)
    assert (case["image"], case["label"], case["note"]) == (f"real/{name}.jpg", "real", "ours")
    assert case["verdict"]["label"] == "tampered"
    assert case["verdict"]["model"] == {"name": "fake", "version": "0", "digest": "none"}


def test_the_folder_is_a_labelled_set(kept: Path) -> None:
    samples = sida.data.open(kept)
    assert sorted(sample.label for sample in samples) == ["full_synthetic", "real"]
    assert not samples.report.counts()


def test_the_same_file_again_replaces_what_was_kept(sida: Run, kept: Path) -> None:
    Path("copy.jpg").write_bytes(Path("tampered.jpg").read_bytes())
    result = sida("wrong", "copy.jpg", "--label", "tampered", "--folder", kept)
    assert result.exit_code == 0, result.output
    assert len(list((kept / "cases").iterdir())) == 2
    files = [file for label in ("real", "tampered") for file in (kept / label).glob("*")]
    assert [(file.parent.name, file.name[:9]) for file in files] == [("tampered", "tampered-")]
    assert json.loads(next((kept / "cases").glob("tampered*")).read_text())["note"] is None


def test_the_cases_are_tried_with_a_model(sida: Run, kept: Path) -> None:
    result = sida("wrong", "--check", "--folder", kept, "--json", "checked.jsonl")
    assert result.exit_code == 1
    headings = ["Picture", "Now", "Right label", "Kept verdict", "Verdict now"]
    assert result.stdout.split("\n")[0].split("  ")[0] == headings[0]
    assert "fake is right about 1 of 2 kept pictures." in result.stderr
    lines = [json.loads(line) for line in Path("checked.jsonl").read_text().splitlines()]
    assert [(line["case"]["label"], line["result"]["label"], line["right"]) for line in lines] == [
        ("full_synthetic", "full_synthetic", True),  # by its folder, which this model reads
        ("real", "tampered", False),
    ]


def test_a_model_that_is_right_about_all_is_status_0(sida: Run, pictures: Path) -> None:
    result = sida("wrong", "synthetic.png", "--label", "full_synthetic", "--folder", "kept")
    assert "full synthetic, 90 %, which is right; kept as" in result.stdout
    result = sida("wrong", "--check", "--folder", "kept", "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["right"] is True


def test_a_kept_picture_that_is_lost_is_not_right(sida: Run, kept: Path) -> None:
    next((kept / "full_synthetic").glob("*")).unlink()
    result = sida("wrong", "--check", "--folder", kept, "--json", "-")
    assert result.exit_code == 1
    assert [json.loads(line)["right"] for line in result.stdout.splitlines()] == [False, False]


def test_the_cases_are_listed(sida: Run, kept: Path) -> None:
    result = sida("wrong", "--list", "--folder", kept)
    assert result.exit_code == 0
    assert "fake 0 (none)" in result.stdout
    assert result.stdout.rstrip().endswith("ours")
    lines = sida("wrong", "--list", "--folder", kept, "--json", "-").stdout.splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["full_synthetic", "real"]


def test_a_mask_is_kept_where_the_set_looks_for_it(sida: Run, pictures: Path) -> None:
    Image.new("1", (8, 6), 1).save("where.png")
    arguments = ("--label", "tampered", "--mask", "where.png", "--folder", "kept")
    assert sida("wrong", "real.jpg", *arguments).exit_code == 0
    (sample,) = sida_open("kept")
    assert sample.read_mask().all()
    assert sida("wrong", "real.jpg", "--label", "real", "--folder", "kept").exit_code == 0
    (sample,) = sida_open("kept")
    assert (sample.label, sample.mask, list(Path("kept/masks").iterdir())) == ("real", None, [])


def test_a_mask_that_cannot_be_read_keeps_nothing(sida: Run, pictures: Path) -> None:
    Path("where.png").write_text("no mask")
    arguments = ("--label", "tampered", "--mask", "where.png", "--folder", "kept")
    result = sida("wrong", "real.jpg", *arguments)
    assert result.exit_code == 2
    assert "'where.png' is text, no picture" in result.stderr
    assert not Path("kept").exists()


def sida_open(folder: str) -> list[sida.data.Sample]:
    return list(sida.data.open(folder))


def test_some_that_cannot_be_read_are_status_1(sida: Run, pictures: Path) -> None:
    pair = ("below/broken.jpg", "tampered.jpg")
    result = sida("wrong", *pair, "--label", "real", "--folder", "kept")
    assert result.exit_code == 1
    assert "below/broken.jpg is not kept:" in result.stderr
    assert len(list(Path("kept/cases").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("real.jpg",), "found no --label"),
        (("--label", "real"), "found no path"),
        (("real.jpg", "--label", "fake"), "is not one of"),
        (("nowhere.jpg", "--label", "real"), "does not exist"),
        (("real.jpg", "--label", "real", "--mask", "m.png"), "--label tampered"),
        (("real.jpg", "--label", "real", "--json", "-"), "needs --check or --list"),
        (("--check", "--list"), "stand alone"),
        (("--check", "real.jpg"), "stand alone"),
        (("--check",), "no wrong verdict is kept"),
        (("real.jpg", "--label", "real", "--model", "absent"), "there is no model 'absent'"),
    ],
)
def test_what_cannot_be_done_is_status_2(
    sida: Run, pictures: Path, arguments: tuple[str, ...], reason: str
) -> None:
    result = sida("wrong", *arguments, "--folder", "kept")
    assert result.exit_code == 2
    assert reason in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("kept").exists()


def test_cases_are_kept_in_the_data_folder_of_the_user(
    sida: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(pictures / "share"))
    assert sida("wrong", "tampered.jpg", "--label", "real").exit_code == 0
    assert len(list((pictures / "share/sida/wrong/real").iterdir())) == 1
    for system, expected in (("Darwin", "Library"), ("Windows", "Local")):
        monkeypatch.setattr("platform.system", lambda system=system: system)
        monkeypatch.delenv("LOCALAPPDATA", raising=False)
        assert expected in user_folder("data").parts


def test_a_case_that_cannot_be_read_is_named(sida: Run, kept: Path) -> None:
    (kept / "cases" / "odd.json").write_text("{}")
    result = sida("wrong", "--list", "--folder", kept)
    assert result.exit_code == 2
    assert "odd.json" in result.stderr
