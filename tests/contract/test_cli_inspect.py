"""What users rely on in `sida inspect`, and in `sida detect --provenance`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

from tests.provenance import made_files as made
from tests.provenance import signing

Run = Callable[..., Result]
KEYS = ["schema", "image", "sha256", "declared", "measured", "contradictions"]


@pytest.fixture
def files(elsewhere: Path) -> Path:
    """The current folder, with files that say things, and a broken one."""
    Path("settings.png").write_bytes(made.png(("parameters", made.WEB_UI)))
    Path("phone.jpg").write_bytes(made.jpeg(exif=made.camera(gps=made.PLACE)))
    Path("signed.jpg").write_bytes(made.signed())
    Path("trusted.pem").write_text(signing.trusted())
    Path("broken.jpg").write_text("no picture")
    return elsewhere


def test_a_line_of_json_a_file(sida: Run, files: Path) -> None:
    result = sida("inspect", "settings.png", "broken.jpg", "--json", "-")
    assert result.exit_code == 1
    first, second = map(json.loads, result.stdout.splitlines())
    assert list(first) == KEYS
    assert first["schema"] == "sida.provenance/1"
    assert first["image"] == "settings.png"
    assert len(first["sha256"]) == 64
    assert list(first["declared"][0]) == ["name", "value", "source", "state"]
    assert list(first["measured"][0]) == ["name", "value", "unit", "meaning", "limits", "source"]
    assert second["schema"] == "sida.failure/1"
    assert second["error"] == "unreadable_image"
    assert result.stderr == "1 of 2 files could not be read.\n"


def test_text_for_a_person(sida: Run, files: Path) -> None:
    result = sida("inspect", "phone.jpg")
    assert result.exit_code == 0
    assert result.stdout.startswith("phone.jpg\n  camera_make: Canon [EXIF: declared, unsigned]\n")
    assert "latitude" not in result.stdout
    assert "latitude: 48.85822 N" in sida("inspect", "phone.jpg", "--personal").stdout


def test_control_characters_cannot_steer_a_terminal(sida: Run, elsewhere: Path) -> None:
    text = made.WEB_UI.replace("red", "\x1b]0;title\x07red")
    Path("evil.png").write_bytes(made.png(("parameters", text)))
    output = sida("inspect", "evil.png").stdout
    assert "\x1b" not in output
    assert "\\x1b]0;title\\x07red fox" in output


def test_trusted_issuers_are_named_in_a_file(sida: Run, files: Path) -> None:
    assert "issuer not trusted" in sida("inspect", "signed.jpg").stdout
    assert "signed, valid" in sida("inspect", "signed.jpg", "--trust", "trusted.pem").stdout
    Path("cut.pem").write_text(signing.trusted()[:200])
    for name in ("missing.pem", "broken.jpg", "cut.pem"):
        result = sida("inspect", "signed.jpg", "--trust", name)
        assert result.exit_code == 2
        assert f"--trust '{name}'" in result.stderr


def test_thumbnails_are_in_the_json_and_a_word_on_the_terminal(sida: Run, files: Path) -> None:
    data = signing.signed(made.jpeg(), ingredient=made.jpeg(), thumbnail=made.jpeg())
    Path("composed.jpg").write_bytes(data)
    assert '"thumbnail": "a picture"' in " ".join(sida("inspect", "composed.jpg").stdout.split())
    assert "data:image/jpeg;base64," in sida("inspect", "composed.jpg", "--json", "-").stdout


def test_maps_are_drawn(sida: Run, files: Path) -> None:
    result = sida("inspect", "phone.jpg", "--maps", "maps", "--json", "found.jsonl")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in Path("maps").iterdir()) == [
        f"phone_{name}.png" for name in ("copied_regions", "error_level", "noise", "sharpness")
    ]
    with Image.open("maps/phone_noise.png") as image:
        assert image.size == (96, 64)
    assert len(Path("found.jsonl").read_text().splitlines()) == 1


def test_standard_input_and_folders(sida: Run, files: Path) -> None:
    result = sida("inspect", "-", "--json", "-", input=Path("signed.jpg").read_bytes())
    assert json.loads(result.stdout)["image"] == "-"
    assert len(sida("inspect", ".", "--json", "-").stdout.splitlines()) == 4


@pytest.mark.parametrize("arguments", [("missing.jpg",), (), ("phone.jpg", "--maps", "signed.jpg")])
def test_nothing_reached_is_status_2(sida: Run, files: Path, arguments: tuple[str, ...]) -> None:
    result = sida("inspect", *arguments)
    assert result.exit_code == 2
    assert "Error" in result.stderr


def test_detect_asks_for_provenance_where_it_is_wanted(
    sida: Run, detector: Any, pictures: Path
) -> None:
    calls: list[bool] = []
    detector.before = lambda request: calls.append(request.provenance)
    sida("detect", "real.jpg", "--provenance")
    sida("detect", "real.jpg")
    assert calls == [True, False]


def test_what_was_left_out_is_named(sida: Run, files: Path) -> None:
    output = sida("inspect", "phone.jpg").stdout
    assert "Left out, as it can lead to a person or a place: " in " ".join(output.split())
    assert "serial number, place (GPS)." in " ".join(output.split())
    line = json.loads(sida("inspect", "phone.jpg", "--json", "-").stdout)
    assert {"latitude", "longitude", "serial_number"} <= set(line["left_out"])
    for options in (("phone.jpg", "--personal"), ("settings.png",)):
        assert "left_out" not in json.loads(sida("inspect", *options, "--json", "-").stdout)


def test_a_map_is_spoken_of_where_there_is_one(sida: Run, files: Path) -> None:
    assert "The map shows where" not in " ".join(sida("inspect", "phone.jpg").stdout.split())
    output = sida("inspect", "phone.jpg", "--maps", "maps").stdout
    assert "The map shows where" in " ".join(output.split())


def test_a_generated_picture_says_so_in_the_first_line(sida: Run, files: Path) -> None:
    """Though the last signature is valid, and though the camera contradicts it."""
    Path("resized.jpg").write_bytes(made.resized_by_a_service())
    data = signing.signed(
        made.jpeg(exif=made.camera()),
        ingredient=made.resized_by_a_service(),
        relationship="parentOf",
    )
    Path("camera.jpg").write_bytes(data)
    for name in ("resized.jpg", "camera.jpg"):
        output = sida("inspect", name, "--trust", "trusted.pem").stdout
        first = output.splitlines()[1]
        assert first.startswith("  ! origin: "), output
        assert "declared as generated" in first
        assert "[C2PA: signed, valid, by the list of --trust]" in " ".join(output.split())


def test_credentials_in_a_file_of_their_own(sida: Run, files: Path) -> None:
    data, manifest = signing.with_sidecar(made.jpeg())
    Path("photo.jpg").write_bytes(data)
    Path("elsewhere.bin").write_bytes(manifest)
    assert "content_credentials" not in sida("inspect", "photo.jpg").stdout
    options = ("--trust", "trusted.pem", "--credentials", "elsewhere.bin")
    assert "[C2PA sidecar: signed, valid" in sida("inspect", "photo.jpg", *options).stdout
    Path("photo.c2pa").write_bytes(manifest)
    printed = sida("inspect", "photo.jpg", *options[:2]).stdout
    assert "in photo.c2pa" in printed
    result = sida("inspect", ".", "--json", "-", *options)
    assert result.exit_code == 2
    assert "--credentials belongs to one file, found" in " ".join(result.stderr.split())
    lines = sida("inspect", ".", "--json", "-").stdout.splitlines()
    assert "photo.c2pa" not in {json.loads(line)["image"] for line in lines}


def test_no_file_is_a_sentence_about_options_that_there_are(sida: Run, elsewhere: Path) -> None:
    result = sida("inspect")
    assert result.exit_code == 2
    assert "--from-list" not in result.stderr
    assert "give files, folders, globs or -" in " ".join(result.stderr.split())
