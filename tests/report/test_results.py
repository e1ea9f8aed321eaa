"""Files of results: pictures and masks are found, broken lines cost themselves alone."""

from pathlib import Path

import pytest

from sida.errors import InputError
from sida.report import Written, batch_report, read_results
from sida.scale.rows import encode, row_of
from sida.scale.store import Store
from sida.verdict import Failure, Provenance, Verdict
from tests.report.made import photo, result


def line(path: Path, image: str, **fields: str) -> str:
    outcome = result(path).result.model_copy(update={"image": image})
    return (outcome.with_mask_file(fields["mask"]) if fields else outcome).model_dump_json()


def test_pictures_are_looked_for_beside_the_file_then_here(elsewhere: Path) -> None:
    folder = elsewhere / "run"
    folder.mkdir()
    beside, here = photo(folder / "a.png"), photo(elsewhere / "b.png")
    file = folder / "verdicts.jsonl"
    lines = [line(beside, "a.png"), line(here, "b.png"), line(here, "c.png")]
    file.write_text("\n".join(lines) + "\n\n")
    sources = [item.source for item in read_results(file)]
    assert sources == [beside, Path("b.png"), folder / "c.png"]


def test_masks_are_looked_for_in_the_same_way(elsewhere: Path) -> None:
    (elsewhere / "run").mkdir()
    picture = photo(elsewhere / "a.png")
    made = result(picture).result
    assert isinstance(made, Verdict)
    made.save_mask(elsewhere / "here.png")
    made.save_mask(elsewhere / "run" / "beside.png")
    file = elsewhere / "run" / "verdicts.jsonl"
    lines = [line(picture, "a.png", mask=mask) for mask in ("here.png", "beside.png")]
    file.write_text("\n".join(lines))
    for outcome, _ in read_results(file):
        assert isinstance(outcome, Verdict)
        assert outcome.mask is not None
        assert outcome.mask.mean() == 0.25


def test_predictions_are_read_as_well(elsewhere: Path) -> None:
    text = line(photo(elsewhere / "a.png"), "a.png")
    (elsewhere / "p.jsonl").write_text(text[:-1] + ', "truth": {"label": "real"}, "index": 0}\n')
    (outcome,) = read_results("p.jsonl")
    assert isinstance(outcome.result, Verdict)


def test_broken_lines_are_failures_with_their_number(elsewhere: Path) -> None:
    good = line(photo(elsewhere / "a.png"), "a.png")
    deep = "[" * 100_000
    (elsewhere / "v.jsonl").write_text(f"{good}\nnonsense\n{deep}\n{good[:-20]}\n{good}\n")
    outcome = [item.result for item in read_results("v.jsonl")]
    assert [isinstance(item, Failure) for item in outcome] == [False, True, True, True, False]
    assert outcome[1].image == "v.jsonl, line 2"
    assert "expected a JSON object with sida.verdict/1" in outcome[1].message


@pytest.mark.parametrize("name", ["a" * 5000, "a\0b", "..", "/dev/zero", "a\u202eb"])
def test_a_name_that_leads_to_no_picture_costs_itself_alone(elsewhere: Path, name: str) -> None:
    text = line(photo(elsewhere / "a.png"), name, mask=name)
    (elsewhere / "v.jsonl").write_text(f"{text}\n{line(elsewhere / 'a.png', 'a.png')}\n")
    written = batch_report(read_results("v.jsonl"), "v.html")
    assert written == Written(pictures=2, not_judged=0, not_shown=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        ("", "holds no verdict, expected a line a picture"),
        ("{}\n", "holds no verdict: found a line with schema None"),
        ("\0\xff\n", "holds no verdict: found a line"),
    ],
)
def test_files_without_a_result_are_refused(
    elsewhere: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (elsewhere / "v.jsonl").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        list(read_results("v.jsonl"))


def ray_run(folder: Path) -> Path:
    """What `sida detect --engine ray` leaves: rows of verdicts and failures, and a mask."""
    store = Store(folder / "out")
    picture = photo(folder / "a.png")
    made = result(picture).result
    assert isinstance(made, Verdict)
    made.save_mask(folder / "out/masks/part-00000000/a_mask.png")
    verdict = made.with_mask_file("masks/part-00000000/a_mask.png")
    provenance = Provenance(contradictions=("it says two things",))
    verdict = verdict.model_copy(update={"image": str(picture), "provenance": provenance})
    failure = Failure(image="b.png", error="not_found", message="it is gone")
    for part, rows in enumerate(([verdict, failure], [failure])):
        store.write(f"verdicts/part-{part:08}.parquet", encode([row_of(item) for item in rows]))
    store.write("run.json", b"{}")
    return folder / "out"


def test_rows_of_a_ray_run_are_results(tmp_path: Path) -> None:
    out = ray_run(tmp_path)
    for path, count in ((out, 3), (out / "verdicts/part-00000000.parquet", 2)):
        first, *remaining = list(read_results(path))
        assert isinstance(first.result, Verdict)
        assert first.source == tmp_path / "a.png"
        assert first.result.mask is not None
        assert first.result.provenance is not None
        assert [item.result.image for item in remaining] == ["b.png"] * (count - 1)


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1" + bytes(40) + b"PAR1"])
def test_broken_rows_are_a_sentence(tmp_path: Path, content: bytes) -> None:
    out = ray_run(tmp_path)
    (out / "verdicts/part-00000001.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"part-00000001.parquet' cannot be read"):
        list(read_results(out))
    for file in (out / "verdicts").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="holds no verdict"):
        list(read_results(out))
