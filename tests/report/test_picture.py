"""The report of one picture: what it says, what it leaves out, what it never lets in."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sida.html import thumbnail
from sida.image.read import read_picture
from sida.report import picture_report
from sida.report.provenance import is_personal
from sida.report.wording import budget_meaning, whole_percent
from sida.verdict import (
    LABELS,
    Budget,
    Claim,
    Declared,
    Explanation,
    Probabilities,
    Provenance,
    Verdict,
    parse_line,
)
from tests.deliveries import stability
from tests.html.test_page import parsed
from tests.report.made import EXPLANATION, NASTY, PROVENANCE, photo, pictures, verdict, words


@pytest.fixture
def tampered(elsewhere: Path) -> Verdict:
    picture = read_picture(photo(elsewhere / "a.jpg"), name="a.jpg")
    return verdict(
        picture, calibrated=True, explanation=EXPLANATION, provenance=PROVENANCE, warnings=("Odd.",)
    )


def test_it_says_what_is_known(tampered: Verdict) -> None:
    time = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    text = words(picture_report(tampered, read_picture("a.jpg"), time=time))
    assert "Tampered The model takes the picture for a photograph of which a part was" in text
    assert "Confidence 90 %" in text
    assert "of 100 such pictures with this figure the model is right about 90 times" in text
    assert "Odd." in text
    assert "Marked as altered: 25.0 % of the picture." in text
    assert "Light brighter than around" in text
    assert "how light it is 140 90 levels brighter than around yes" in text
    assert "grain 5 1 levels less noise than around no" in text  # measured: more
    assert "camera model X100 declared, unsigned EXIF" in text
    assert "actions action: c2pa.created signed, valid C2PA" in text
    assert "jpeg quality 90 (percent) how it was saved few" in text
    assert "tables exact: yes; sizes: 1 | 2 what they are no limits" in text
    assert "Looked for, and not found: copied regions." in text
    assert "The file declares two cameras." in text
    for item in (tampered.sha256, "60 x 40 pixels", "tiny, version 1", "d" * 64, "0.25"):
        assert str(item) in text
    assert "2026-01-02 03:04 UTC" in text


def test_the_overlay_shows_the_mask(tampered: Verdict) -> None:
    plain, overlay = map(opened, pictures(picture_report(tampered, read_picture("a.jpg"))))
    assert plain.shape == overlay.shape == (40, 60, 3)
    red = (overlay - plain)[..., 0] - (overlay - plain)[..., 1]
    assert red[5:15, 5:25].mean() > 20 + red[25:, 35:].mean()


def opened(data: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(data))).astype(int)


def test_where_the_mask_was_not_kept_boxes_are_drawn_and_it_is_said(tampered: Verdict) -> None:
    read = parse_line(tampered.model_dump_json())
    assert isinstance(read, Verdict)
    html = picture_report(read, read_picture("a.jpg"))
    assert len(pictures(html)) == 2
    assert "boxes around the marked regions; their outline is not known (it was not kept)" in html


def test_a_broken_mask_costs_itself_alone(tampered: Verdict, elsewhere: Path) -> None:
    (elsewhere / "m.png").write_text("no picture")
    read = parse_line(tampered.with_mask_file("m.png").model_dump_json())
    assert isinstance(read, Verdict)
    assert "their outline is not known (" in picture_report(read, read_picture("a.jpg"))


def test_persons_and_places_are_left_out_unless_asked_for(tampered: Verdict) -> None:
    picture = read_picture("a.jpg")
    text, all_of_it = (
        words(picture_report(tampered, picture, personal=item)) for item in (False, True)
    )
    for personal in ("52.51628", "SN-4711", "Jane Doe"):
        assert personal not in text
        assert personal in all_of_it
    left_out = "Left out, as it can lead to a person or a place: latitude, serial number, artist."
    assert left_out in text
    assert "Left out" not in all_of_it


@pytest.mark.parametrize(
    "name",
    ["GPSLatitude", "GPS GPSAltitude", "longitude", "BodySerialNumber", "lens_serial_number",
     "Artist", "copyright", "owner", "CameraOwnerName", "by-line", "unique_identifier",
     "ImageUniqueID", "creator", "dc:creator", "City", "author"],
)  # fmt: skip
def test_names_of_personal_fields(name: str) -> None:
    assert is_personal(name)


@pytest.mark.parametrize(
    "name", ["camera_model", "software", "creator_tool", "CreatorTool", "capacity"]
)
def test_names_of_other_fields(name: str) -> None:
    assert not is_personal(name)


def test_metadata_of_the_file_do_not_travel_with_its_picture(elsewhere: Path) -> None:
    exif = Image.Exif()
    exif[0x013B] = "Jane Doe"
    picture = read_picture(photo(elsewhere / "a.jpg", exif=exif))
    assert b"Jane Doe" in (elsewhere / "a.jpg").read_bytes()
    for data in pictures(picture_report(verdict(picture), picture)):
        assert b"Jane Doe" not in data
        assert b"Exif" not in data


def test_nothing_from_outside_becomes_markup(elsewhere: Path) -> None:
    picture = read_picture(photo(elsewhere / "a.png"), name=NASTY)
    claim = Claim(cue=NASTY, inside=1, outside=2, text=NASTY)
    text = Explanation(text=NASTY, type=NASTY, complete=False, claims=(claim,))
    declared = Declared(name=NASTY, value={NASTY: [NASTY]}, source=NASTY, state=NASTY)
    tampered = verdict(
        picture,
        explanation=text,
        provenance=Provenance(declared=(declared,), contradictions=(NASTY,)),
        warnings=(NASTY,),
    )
    html = picture_report(tampered, picture, notes=[NASTY])
    tags = parsed(html)
    assert tags.open == []
    assert tags.tags.isdisjoint({"script", "link", "iframe", "object"})
    assert all(address.startswith(("data:image/", "#")) for address in tags.addresses)
    assert html.count("&lt;script&gt;alert(1)") >= 9


def test_hidden_characters_are_shown(elsewhere: Path) -> None:
    picture = read_picture(photo(elsewhere / "a.png"), name="photo\u202egnp.exe\x07")
    html = picture_report(verdict(picture), picture)
    assert "photo\\u202egnp.exe\\x07" in html
    assert "\u202e" not in html


def test_long_values_are_cut(elsewhere: Path) -> None:
    picture = read_picture(photo(elsewhere / "a.png"))
    many = tuple(
        Declared(name="x", value="y" * 5000, source="EXIF", state="declared") for _ in range(500)
    )
    html = picture_report(verdict(picture, provenance=Provenance(declared=many)), picture)
    assert "the first 200 of 500" in html
    assert html.count("(5000 characters)") == 200


def test_thumbnails_of_ingredients_are_shown_and_nothing_is_fetched(elsewhere: Path) -> None:
    small = thumbnail(np.zeros((4, 4, 3), np.uint8))
    rows = [
        {"title": NASTY, "thumbnail": small},
        {"title": "b", "thumbnail": "https://example.org/b.jpg"},
    ]
    statement = Declared(name="ingredients", value=rows, source="C2PA", state="signed, valid")
    picture = read_picture(photo(elsewhere / "a.png"))
    html = picture_report(verdict(picture, provenance=Provenance(declared=(statement,))), picture)
    assert html.count(small) == 1
    assert "example.org" not in html
    assert "thumbnail: a picture | title: b; thumbnail: none" in words(html)
    assert all(item.startswith(("data:image/", "#")) for item in parsed(html).addresses)


def test_what_was_not_asked_for_is_said(elsewhere: Path) -> None:
    picture = read_picture(photo(elsewhere / "a.png"))
    text = words(picture_report(verdict(picture, localization=None), None, notes=["It is gone."]))
    assert "Where it was altered was not asked for." in text
    assert "An explanation was not asked for, or the model cannot write one." in text
    assert "What the file says of its origin was not asked for." in text
    assert "It is gone." in text


def test_how_sure_is_said_as_the_calibration_allows(elsewhere: Path) -> None:
    picture = read_picture(photo(elsewhere / "a.png"))
    unsure = verdict(picture, "real", 0.5, calibrated=True, inconclusive=True)
    html = picture_report(unsure, picture)
    assert "Inconclusive; most likely: real" in html
    assert "treat this picture as undecided" in html
    html = picture_report(verdict(picture, "full_synthetic", 0.8), picture)
    assert '<p class="headline bad">Fully synthetic</p>' in html
    assert "it does not say how often the model is right" in html


@pytest.mark.parametrize(("share", "percent"), [(0.9999, 99), (1.0, 100), (0.29, 29), (0.5, 50)])
def test_no_estimate_is_rounded_up(share: float, percent: int) -> None:
    assert whole_percent(share) == percent


def test_a_valid_signature_does_not_hide_a_generated_origin(tampered: Verdict) -> None:
    """The origin stands above the table, and the state says by whose list."""
    declared = [
        Declared(
            name=name,
            value=value,
            source="C2PA",
            state="signed, valid",
            trusted_by="the list of --trust",
        )
        for name, value in (
            ("origin", "An earlier state is declared as generated."),
            ("signer", "A CDN"),
        )
    ]
    provenance = Provenance(declared=tuple(declared), left_out=("latitude", "serial_number"))
    text = words(picture_report(tampered.model_copy(update={"provenance": provenance}), None))
    origin = "An earlier state is declared as generated. (signed, valid, by the list of --trust)"
    assert origin in text
    assert text.index(origin) < text.index("A CDN signed, valid, by the list of --trust")
    assert "Left out, as it can lead to a person or a place: latitude, serial number." in text


def test_deliveries_stand_in_a_row_with_what_was_said_of_each(tampered: Verdict) -> None:
    verdicts = stability("tampered", jpeg_50="inconclusive", half_size="full_synthetic")
    statement = tampered.model_copy(update={"stability": verdicts})
    html = picture_report(statement, read_picture("a.jpg"))
    text = words(html)
    assert (
        "Holds in 4 of 6 deliveries; JPEG 50 makes it inconclusive, half size makes it fully "
        "synthetic."
    ) in text
    *_, jpeg, half, cropped, screenshot = map(opened, pictures(html))
    assert jpeg.shape == (40, 60, 3)
    assert half.shape == (20, 30, 3)
    assert cropped.shape == (36, 54, 3)
    assert screenshot.shape == (34, 45, 3)
    for caption in ("JPEG 50: inconclusive", "A screenshot: tampered"):
        assert f'alt="{caption}"' in html
        assert caption in text
    assert html.count('class="badge">changed<') == 2
    assert "Stability" not in words(picture_report(tampered, read_picture("a.jpg")))


def test_without_its_picture_deliveries_are_a_table(tampered: Verdict) -> None:
    verdicts = stability("tampered", carrier_pigeon="real", jpeg_50="inconclusive")
    statement = tampered.model_copy(update={"stability": verdicts})
    assert "JPEG 50 inconclusive no" in words(picture_report(statement, None))
    text = words(picture_report(statement, read_picture("a.jpg")))
    assert "carrier_pigeon real no" in text  # a later version's, which is not known how to make
    assert "screenshot tampered yes" in text


BUDGET = Budget(max_false_positives=0.05, threshold=0.6, photographs=400, set="desk")


@pytest.mark.parametrize(
    ("label", "shares", "sentences"),
    [
        (
            "tampered",
            (0.1, 0.1, 0.8),
            (
                "Tampered",
                "at most five of a hundred honest photographs look",
                "At most five of a hundred is not none",
            ),
        ),
        (
            "tampered",
            (0.45, 0.0, 0.55),
            ("Inconclusive", "more than five of a hundred", "neither real nor altered"),
        ),
        (
            "real",
            (0.9, 0.05, 0.05),
            ("Real", "more than five of a hundred", "for accusations alone"),
        ),
    ],
)
def test_a_budget_in_words(
    elsewhere: Path, label: str, shares: tuple[float, ...], sentences: tuple[str, ...]
) -> None:
    picture = read_picture(photo(elsewhere / "a.png"))
    decided, inconclusive = BUDGET.decide(shares, False)
    statement = verdict(
        picture,
        label=decided,
        inconclusive=inconclusive,
        probabilities=Probabilities(**dict(zip(LABELS, shares, strict=True))),
        budget=BUDGET,
    )
    assert statement.label == label
    text = words(picture_report(statement, picture))
    for sentence in (*sentences, "Why not certain", "400 real photographs (desk)"):
        assert sentence in text
    if inconclusive:
        assert "most likely" not in text
        assert "Confidence" not in text


def test_without_a_budget_nothing_is_said_of_one(elsewhere: Path) -> None:
    picture = read_picture(photo(elsewhere / "a.png"))
    text = words(picture_report(verdict(picture), picture))
    assert "honest photographs" not in text
    assert "Why not certain" not in text


@pytest.mark.parametrize(
    ("share", "sentence"),
    [
        (0.01, "at most one of a hundred honest photographs"),
        (0.025, "at most 2.5 of a hundred"),
        (0.002, "at most two of a thousand"),
    ],
)
def test_shares_in_words(share: float, sentence: str) -> None:
    assert sentence in budget_meaning(share)


def test_under_a_budget_stability_is_among_the_reasons(tampered: Verdict) -> None:
    budget = Budget(max_false_positives=0.05, threshold=0.5, photographs=40, set="ours")
    held = {"budget": budget, "stability": stability("tampered")}
    under_budget = tampered.model_copy(update=held)
    assert "does not survive" not in words(picture_report(under_budget, None))
    changed = stability("tampered", jpeg_50="inconclusive")
    under_budget = under_budget.model_copy(update={"stability": changed})
    said = words(picture_report(under_budget, None))
    assert "Why not certain" in said
    assert f"It does not survive every delivery. {changed.sentence}" in said
