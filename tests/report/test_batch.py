"""Batches: a row a picture, broken ones cost a sentence, the file is whole or not there."""

import re
from pathlib import Path

import pytest

from sida.errors import InputError, SidaError
from sida.report import ReportItem, Written, batch_report, require_format
from sida.verdict import Budget, Failure
from tests.html.test_page import parsed
from tests.report.made import NASTY, photo, pictures, result, words

FAILED = ReportItem(Failure(image=NASTY, error="unreadable_image", message=f"broken: {NASTY}"))


@pytest.fixture
def results(elsewhere: Path) -> list[ReportItem]:
    """A real, a tampered and an inconclusive picture, a failure, and one that is gone."""
    missing = result(photo(elsewhere / "gone.png"), "full_synthetic", 0.6)
    (elsewhere / "gone.png").unlink()
    return [
        result(photo(elsewhere / "b.jpg"), "real", 0.8, calibrated=True),
        result(photo(elsewhere / "a.jpg"), calibrated=True),
        result(photo(elsewhere / "c.jpg"), "real", 0.4, calibrated=True, inconclusive=True),
        FAILED,
        missing,
    ]


def written(results: list[ReportItem], out: Path, **options: int) -> str:
    batch_report(results, out, **options)
    return out.read_text(encoding="utf-8")


def test_every_picture_has_a_row(results: list[ReportItem], elsewhere: Path) -> None:
    out = elsewhere / "deep" / "all.HTML"
    assert batch_report(results, out) == Written(pictures=5, not_judged=1, not_shown=1)
    html = out.read_text(encoding="utf-8")
    rows = [words(row) for row in re.findall(r"<tr class=.*?</tr>", html, re.DOTALL)]
    folder = elsewhere.as_posix()
    assert rows[:3] == [
        f"{folder}/b.jpg Real 80 —",
        f"{folder}/a.jpg Tampered 90 25",
        f"{folder}/c.jpg Inconclusive; most likely: real 40 —",
    ]
    assert "not judged — — broken: &lt;script&gt;" in rows[3]
    assert "Fully synthetic 60 — not calibrated The picture is not shown: " in rows[4]
    assert "was not found" in rows[4]
    text = words(html)
    assert "pictures 5 Real 2 Fully synthetic 1 Tampered 1 inconclusive 1 not judged 1" in text


def test_under_a_budget_an_inconclusive_picture_counts_under_no_label(elsewhere: Path) -> None:
    budget = Budget(max_false_positives=0.05, threshold=0.7, photographs=400, set="desk")
    results = [
        result(photo(elsewhere / "a.jpg"), budget=budget),
        result(photo(elsewhere / "b.jpg"), share=0.5, budget=budget, inconclusive=True),
    ]
    said = words(written(results, elsewhere / "all.html"))
    assert "pictures 2 Real 0 Fully synthetic 0 Tampered 1 inconclusive 1" in said
    assert "only where at most five of a hundred honest photographs look as suspicious" in said
    assert "Inconclusive verdicts: 1; they count under no label." in said


def test_rows_lead_to_the_evidence(results: list[ReportItem], elsewhere: Path) -> None:
    html = written(results, elsewhere / "all.html")
    for number in (1, 2, 3, 5):
        assert f'<a href="#picture-{number}">' in html
        assert f'<section id="picture-{number}">' in html
    tags = parsed(html)
    assert tags.open == []
    assert all(address.startswith(("data:image/", "#")) for address in tags.addresses)


def test_the_only_script_is_ours_and_named_in_the_policy(
    results: list[ReportItem], elsewhere: Path
) -> None:
    html = written(results, elsewhere / "all.html")
    assert html.count("<script") == 1
    assert re.search(r"default-src 'none'; img-src data:; .*script-src 'sha256-[\w+/]{43}='", html)
    alone = written(results[:1], elsewhere / "one.html")
    assert "<script" not in alone


def test_evidence_of_the_first_is_shown_and_the_rest_is_counted(
    results: list[ReportItem], elsewhere: Path
) -> None:
    html = written(results, elsewhere / "all.html", details=1)
    assert "Evidence is shown of the first 1 of 5 pictures" in html
    assert html.count("<section id=") == 3  # summary, overview, picture-1
    assert len(pictures(html)) == 3 + 1  # thumbnails of those that are there, picture-1


def test_a_picture_that_is_another_now_is_not_shown(elsewhere: Path) -> None:
    verdicts = result(photo(elsewhere / "a.png"))
    photo(elsewhere / "a.png", (61, 40))
    html = written([verdicts], elsewhere / "one.html")
    assert "is another file than the one that was judged (its SHA-256 differs)" in html
    assert pictures(html) == []


def test_one_failure_alone_is_a_batch(elsewhere: Path) -> None:
    assert "Pictures not judged: 1" in written([FAILED], elsewhere / "one.html")


def test_results_are_taken_one_by_one(elsewhere: Path) -> None:
    """Only so can thousands be reported on: the second picture is not there before the first."""

    def lazily() -> "list[ReportItem]":
        for name in ("a.png", "b.png", "c.png"):
            yield result(photo(elsewhere / name))
            (elsewhere / name).unlink()

    html = written(lazily(), elsewhere / "all.html")
    # The first two are looked ahead at, to tell a batch from one picture.
    assert html.count("The picture is not shown") == 2


def test_a_place_that_cannot_be_written_to_is_told_before_anything_is_judged(
    elsewhere: Path,
) -> None:
    (elsewhere / "file").write_text("")
    results = iter([FAILED])
    with pytest.raises(SidaError, match="cannot be written"):
        batch_report(results, elsewhere / "file" / "a.html")
    assert list(results) == [FAILED]


@pytest.mark.parametrize("suffix", [".html", ".pdf"])
def test_a_run_that_breaks_off_leaves_the_old_report(elsewhere: Path, suffix: str) -> None:
    out = elsewhere / f"all{suffix}"
    out.write_text("old")

    def breaking() -> "list[ReportItem]":
        yield FAILED
        yield FAILED
        raise SidaError("the cable was pulled")

    with pytest.raises(SidaError, match="cable"):
        batch_report(breaking(), out)
    assert out.read_text() == "old"
    assert list(elsewhere.iterdir()) == [out]


def test_other_suffixes_and_nothing_at_all_are_refused(elsewhere: Path) -> None:
    with pytest.raises(InputError, match=r"written as .html or .pdf, found 'a.docx'"):
        require_format("a.docx")
    with pytest.raises(InputError, match="there is no result to report on"):
        batch_report([], elsewhere / "a.html")
    assert list(elsewhere.iterdir()) == []
