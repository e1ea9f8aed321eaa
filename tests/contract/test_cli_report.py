"""`sida report` as the contract has it: what it takes, what it writes, its exit statuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.provenance import signing

Run = Callable[..., Result]


def test_a_picture_becomes_a_page(sida: Run, pictures: Path) -> None:
    result = sida("report", "tampered.jpg", "--out", "out/report.html")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "1 picture: the report is out/report.html." in result.stderr
    html = Path("out/report.html").read_text(encoding="utf-8")
    assert "Picture report" in html
    assert "tampered.jpg" in html
    assert "Because I say so." in html


def test_a_pdf(sida: Run, pictures: Path) -> None:
    assert sida("report", "real.jpg", "tampered.jpg", "--out", "report.pdf").exit_code == 0
    assert Path("report.pdf").read_bytes().startswith(b"%PDF-")


def test_broken_pictures_cost_a_row_and_status_1(sida: Run, pictures: Path) -> None:
    result = sida("report", ".", "absent.jpg", "--out", "all.html", "--no-explain")
    assert result.exit_code == 1
    assert "2 of 5 pictures could not be judged; the report says why." in result.stderr
    html = Path("all.html").read_text(encoding="utf-8")
    for name in ("real.jpg", "synthetic.png", "tampered.jpg", "below/broken.jpg", "absent.jpg"):
        assert name in html
    assert "Because I say so." not in html


def test_verdicts_written_earlier(sida: Run, pictures: Path, detector: Any) -> None:
    sida("detect", "real.jpg", "tampered.jpg", "--json", "v.jsonl", "--masks", "masks")
    detector.loaded.clear()
    assert sida("report", "v.jsonl", "--out", "v.html").exit_code == 0
    assert detector.loaded == []
    assert "red: what the model marks as altered" in Path("v.html").read_text(encoding="utf-8")
    Path("real.jpg").unlink()
    Path("v.jsonl").write_text(Path("v.jsonl").read_text() + "nonsense\n")
    result = sida("report", "v.jsonl", "--out", "v.html")
    assert result.exit_code == 1
    assert "1 of 3 pictures could not be judged" in result.stderr
    assert "1 of 3 pictures could not be shown" in result.stderr
    html = Path("v.html").read_text(encoding="utf-8")
    assert "The picture is not shown: &#39;real.jpg&#39; was not found" in html
    assert "v.jsonl, line 3" in html


def test_deliveries_stand_in_a_row_also_of_verdicts_written_earlier(
    sida: Run, pictures: Path
) -> None:
    sida("report", "real.jpg", "--stability", "--out", "now.html")
    sida("detect", "real.jpg", "--stability", "--json", "v.jsonl")
    sida("report", "v.jsonl", "--out", "later.html")
    for name in ("now.html", "later.html"):
        html = Path(name).read_text(encoding="utf-8")
        assert "Holds in 5 of 6 deliveries; JPEG 50 makes it inconclusive." in html
        assert 'alt="JPEG 50: inconclusive"' in html
    sida("report", "real.jpg", "--out", "without.html")
    assert "deliveries" not in Path("without.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "a.html"], "found no path"),
        (["real.jpg", "--out", "a.docx"], "written as .html or .pdf, found 'a.docx'"),
        (["real.jpg", "--out", "real.jpg/a.html"], "'real.jpg/a.html' cannot be written"),
        (["absent.jpg", "--out", "a.html"], "'absent.jpg'"),
        (["absent.jsonl", "--out", "a.html"], "'absent.jsonl' cannot be read"),
        (["v.jsonl", "real.jpg", "--out", "a.html"], "stand alone in a report"),
        (["v.jsonl", "--model", "tiny", "--out", "a.html"], "leave out --model"),
        (["v.jsonl", "--stability", "--out", "a.html"], "leave out --model, --provenance, --sta"),
        (["v.jsonl", "--out", "a.html"], "'v.jsonl' holds no verdict"),
        (["real.jpg", "--model", "absent", "--out", "a.html"], "there is no model 'absent'"),
        (["real.jpg"], "Missing option '--out'"),
    ],
)
def test_what_reaches_nothing_is_status_2(
    sida: Run, pictures: Path, arguments: list[str], message: str
) -> None:
    Path("v.jsonl").write_text("{}\n")
    result = sida("report", *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert not Path("a.html").exists()


def test_provenance_is_asked_for(sida: Run, pictures: Path, detector: Any) -> None:
    calls = []
    detector.before = lambda request: calls.append((request.explain, request.provenance))
    trust = ("--trust", "trusted.pem")
    Path("trusted.pem").write_text(signing.trusted())
    sida("report", "real.jpg", "--out", "a.html", "--provenance", *trust, "--no-explain")
    assert calls == [(False, True)]
    assert detector.loaded[0].trust == signing.trusted()
