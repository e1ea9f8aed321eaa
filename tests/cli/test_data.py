"""`sida data …` as a user runs it: what is printed, what is written, which status it ends with."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import sida.data
from sida.cli import data
from sida.cli.errors import Verbs
from tests.data.sets import encoded, photo, write_set

app = typer.Typer(cls=Verbs)
data.register(app)


@app.callback()
def sida_() -> None:
    """The root, as in `sida.cli`."""


def sida_data(*words: object) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, words)])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_set(tmp_path / "small", 8)


def test_check_prints_counts_and_sentences(small: Path, tmp_path: Path) -> None:
    result = sida_data("check", small, "--json", tmp_path / "c.json", "--html", tmp_path / "c.html")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split() == [
        "Split",
        "Real",
        "Full",
        "synthetic",
        "Tampered",
        "All",
    ]
    assert result.stdout.splitlines()[1].split() == ["all", "8", "8", "8", "24"]
    assert "by chance in 33.3%" in result.stdout
    report = json.loads((tmp_path / "c.json").read_text())
    assert {"accuracy", "chance", "features"} <= set(report["leakage_probe"])
    assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")


def test_json_alone_on_standard_output(small: Path) -> None:
    result = sida_data("stats", small, "--json", "-")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["splits"]["all"]["real"] == 8


def test_a_broken_row_is_printed_and_is_status_1(small: Path) -> None:
    (small / "real" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    for verb in ("check", "stats"):
        result = sida_data(verb, small)
        assert result.exit_code == 1
        assert "'real/broken.jpg' " in result.stderr
        assert "1 x picture that cannot be read; not used." in result.stdout


def test_many_problems_are_cut_short(small: Path) -> None:
    for number in range(30):
        (small / "real" / f"x{number}.jpg").write_bytes(b"")
    result = sida_data("stats", small)
    assert result.stderr.splitlines()[-1].startswith("… and 10 more")


def test_export_writes_and_says_so(small: Path, tmp_path: Path) -> None:
    result = sida_data("export", small, "--to", "parquet", "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert f"Wrote 24 pictures to {tmp_path / 'out'}." in result.stderr
    assert len(sida.data.open(tmp_path / "out")) == 24
    again = sida_data("export", small, "--to", "folder", "--out", tmp_path / "out")
    assert again.exit_code == 2
    assert "holds another run" in again.stderr
    options = ["--equalise", "--split-by-group", "--shares", "train=0.75,test=0.25", "--seed", 1]
    extra = sida_data("export", small, "--to", "folder", "--out", tmp_path / "more", *options)
    assert extra.exit_code == 0
    assert sida.data.splits_of(tmp_path / "more") == ["test", "train"]
    (small / "tampered" / "z.png").write_bytes(encoded(photo(5), "PNG"))
    left = sida_data("export", small, "--to", "manifest", "--out", tmp_path / "left")
    assert left.exit_code == 1
    assert "tampered/z.png: it has no mask" in left.stderr


def broken(folder: Path, case: str) -> list[Any]:
    """The words of a command that cannot be done, by what is wrong."""
    write_set(folder / "set", 2)
    match case:
        case "nowhere":
            return ["check", folder / "nowhere"]
        case "empty":
            (folder / "none").mkdir()
            return ["check", folder / "none"]
        case "other names":
            (folder / "other" / "fake").mkdir(parents=True)
            (folder / "other" / "fake" / "a.jpg").write_bytes(b"")
            return ["stats", folder / "other"]
        case "labels":
            (folder / "m.csv").write_text("image,label\nset/real/r000.jpg,3\n")
            return ["check", folder / "m.csv"]
        case "two masks":
            mask = folder / "set" / "masks" / "t000_mask.png"
            (mask.with_suffix(".bmp")).write_bytes(mask.read_bytes())
            return ["check", folder / "set"]
        case "splits":
            return [
                "export",
                folder / "set",
                "--to",
                "folder",
                "--out",
                folder / "o",
                "--shares",
                "a",
            ]
        case "order":
            return ["check", folder / "set", "--labels", "real,fake"]
        case _:
            return ["check", folder / "set", "--split", "train"]


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("nowhere", "was not found: check the path"),
        ("empty", "found an empty folder, expected the folders real, full_synthetic, tampered"),
        ("other names", "found the folders fake, expected the folders real, full_synthetic"),
        ("labels", "none of the classes in 1 of 1 rows ('3'): expected real, full_synthetic"),
        ("two masks", "are two files for one mask: expected one"),
        ("splits", "expected such as train=0.8,validation=0.2"),
        ("order", "expected an order of real, full_synthetic, tampered"),
        ("split", "is one split itself"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(tmp_path: Path, what: str, sentence: str) -> None:
    result = sida_data(*broken(tmp_path, what))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Error: ")
    assert sentence in result.stderr


def test_download_without_a_network_is_one_sentence(tmp_path: Path) -> None:
    result = sida_data("download", "--out", tmp_path / "sid")
    assert result.exit_code == 2
    assert "the set 'saberzl/SID_Set' cannot be downloaded" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", ["check", "stats", "export", "download"])
def test_help_has_an_example(verb: str) -> None:
    result = sida_data(verb, "--help")
    assert result.exit_code == 0
    assert f"sida data {verb} " in result.stdout
