"""What users rely on in `sida detect`: streams, files, exit statuses, sentences."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import Result

from sida.errors import CheckpointError
from sida.options import ModelOptions
from sida.verdict import Failure, Verdict, parse_line

Run = Callable[..., Result]


def lines(text: str) -> list[Verdict | Failure]:
    return [parse_line(line) for line in text.splitlines()]


def test_a_table_for_a_person(sida: Run, pictures: Path) -> None:
    result = sida("detect", "real.jpg", "tampered.jpg")
    assert result.exit_code == 0
    heading, real, tampered = result.stdout.splitlines()
    assert heading.split() == ["Picture", "Verdict", "Real", "Synthetic", "Tampered", "Altered"]
    assert real.split() == ["real.jpg", "real", "90.0", "%", "5.0", "%", "5.0", "%"]
    assert tampered.endswith("25.0 %: upper left")
    assert result.stderr == ""


def test_explanations_stand_below_the_table(sida: Run, pictures: Path) -> None:
    result = sida("detect", "real.jpg", "--explain")
    assert result.stdout.splitlines()[-1] == "real.jpg: Because I say so."


def test_stability_is_a_sentence_and_a_field(sida: Run, pictures: Path) -> None:
    result = sida("detect", "real.jpg", "--stability", "--json", "v.jsonl")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == (
        "real.jpg: Holds in 5 of 6 deliveries; JPEG 50 makes it inconclusive."
    )
    stability = json.loads(Path("v.jsonl").read_text())["stability"]
    assert (stability["held"], stability["of"]) == (5, 6)
    assert [item["name"] for item in stability["deliveries"]] == [
        *("jpeg_85", "jpeg_70", "jpeg_50", "half_size", "cropped", "screenshot")
    ]
    changed = stability["deliveries"][2]
    assert {"name", "label", "inconclusive", "held", "probabilities"} == set(changed)
    assert (changed["inconclusive"], changed["held"]) == (True, False)
    plain = sida("detect", "real.jpg", "--json", "-")
    assert "stability" not in json.loads(plain.stdout)


def test_json_lines_alone_on_standard_output(sida: Run, pictures: Path) -> None:
    result = sida("detect", ".", "--json", "-")
    assert result.exit_code == 1
    outcome = lines(result.stdout)
    assert [str(item.image).removeprefix("./") for item in outcome] == [
        *("real.jpg", "synthetic.png", "tampered.jpg", "below/broken.jpg")
    ]
    assert [getattr(item, "label", None) for item in outcome] == [
        *("real", "full_synthetic", "tampered", None)
    ]
    assert isinstance(outcome[-1], Failure)
    assert outcome[-1].error == "unreadable_image"
    assert result.stderr == "1 of 4 pictures could not be judged.\n"


def test_what_libraries_print_does_not_mix_with_json(
    sida: Run, detector: Any, pictures: Path
) -> None:
    detector.before = lambda request: print("loading")
    result = sida("detect", "real.jpg", "--json", "-")
    assert len(lines(result.stdout)) == 1
    assert "loading" in result.stderr


def test_a_json_file_and_the_table(sida: Run, pictures: Path) -> None:
    result = sida("detect", "real.jpg", "below/broken.jpg", "--json", "out/deep/v.jsonl")
    assert result.exit_code == 1
    assert len(lines(Path("out/deep/v.jsonl").read_text())) == 2
    assert "not judged" in result.stdout
    assert "below/broken.jpg: " in result.stdout


def test_masks_and_overlays(sida: Run, pictures: Path) -> None:
    result = sida(
        *("detect", ".", "--json", "-", "--masks", "out/masks", "--overlays", "out/overlays")
    )
    tampered = lines(result.stdout)[2]
    assert isinstance(tampered, Verdict)
    assert tampered.localization is not None
    assert tampered.localization.file == "out/masks/tampered_mask.png"
    assert [path.name for path in Path("out/masks").iterdir()] == ["tampered_mask.png"]
    assert [path.name for path in Path("out/overlays").iterdir()] == ["tampered_overlay.png"]
    with Image.open("out/masks/tampered_mask.png") as mask:
        assert mask.size == (8, 6)
        assert np.unique(np.asarray(mask)).tolist() == [0, 255]
    assert tampered.mask is not None
    assert tampered.mask.mean() == 0.25


def test_an_overlay_that_cannot_be_written_costs_only_its_picture(
    sida: Run, pictures: Path
) -> None:
    Path("o/tampered_overlay.png").mkdir(parents=True)
    names = ["tampered.jpg", "tampered2.jpg", "real.jpg"]
    Path("tampered2.jpg").write_bytes(Path("tampered.jpg").read_bytes())
    result = sida("detect", *names, "--overlays", "o", "--masks", "m", "--json", "-")
    assert result.exit_code == 1
    assert [item.image for item in lines(result.stdout)] == names
    assert result.stderr.splitlines() == [
        "tampered.jpg: no overlay was written: 'o/tampered_overlay.png' cannot be written: it is a "
        "folder; name a file",
        "1 of 3 pictures could not be drawn.",
    ]
    assert Path("o/tampered2_overlay.png").is_file()
    assert Path("m/tampered_mask.png").is_file()
    watched = sida("detect", *names, "--overlays", "o", "--fail-on", "tampered")
    assert watched.exit_code == 10
    assert "tampered.jpg" in watched.stdout


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device")])
def test_a_mask_that_cannot_be_written_is_not_named_in_the_verdict(
    sida: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: Verdict, path: Path) -> None:
        raise error

    monkeypatch.setattr(Verdict, "save_mask", fail)
    result = sida("detect", "tampered.jpg", "real.jpg", "--masks", "m", "--json", "-")
    assert result.exit_code == 1
    tampered, _ = map(json.loads, result.stdout.splitlines())
    assert tampered["mask"]["file"] is None
    assert result.stderr.startswith("tampered.jpg: no mask was written: ")
    assert result.stderr.count("\n") == 2


def test_mask_for_all_and_none(sida: Run, pictures: Path) -> None:
    everything = lines(sida("detect", "real.jpg", "--mask-for", "all", "--json", "-").stdout)
    nothing = lines(sida("detect", "tampered.jpg", "--mask-for", "none", "--json", "-").stdout)
    assert json.loads(everything[0].model_dump_json())["mask"]["file"] is None
    assert json.loads(nothing[0].model_dump_json())["mask"] is None


def test_masks_lie_below_the_folder_that_was_given_and_clashes_keep_the_suffix(
    sida: Run, pictures: Path
) -> None:
    for name in ("below/tampered.jpg", "below/tampered.png"):
        Image.new("RGB", (8, 6)).save(name)
    sida("detect", ".", "--masks", "out")
    written = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.png"))
    assert written == [
        *("below/tampered.jpg_mask.png", "below/tampered.png_mask.png", "tampered_mask.png")
    ]


def test_folders_are_searched_below_unless_asked_not_to(sida: Run, pictures: Path) -> None:
    assert sida("detect", ".", "--no-recursive").exit_code == 0
    assert sida("detect", ".", "--recursive").exit_code == 1


def test_globs_and_lists(sida: Run, pictures: Path) -> None:
    outcome = lines(sida("detect", "*.jpg", "--json", "-").stdout)
    assert [item.image for item in outcome] == ["real.jpg", "tampered.jpg"]
    Path("list.txt").write_text("tampered.jpg\nreal.jpg\n\n")
    outcome = lines(sida("detect", "--from-list", "list.txt", "--json", "-").stdout)
    assert [item.image for item in outcome] == ["tampered.jpg", "real.jpg"]


def test_a_picture_on_standard_input(sida: Run, pictures: Path) -> None:
    data = Path("real.jpg").read_bytes()
    result = sida("detect", "-", "tampered.jpg", "--json", "-", input=data)
    first, second = lines(result.stdout)
    assert (first.image, second.image) == ("-", "tampered.jpg")
    assert isinstance(first, Verdict)
    assert first.format == "JPEG"
    assert first.sha256 is not None
    sida("detect", "-", "--mask-for", "all", "--masks", "out", input=data)
    assert Path("out/stdin_mask.png").exists()


def test_an_empty_standard_input_is_a_failure_of_that_picture(sida: Run, pictures: Path) -> None:
    result = sida("detect", "-", "--json", "-", input=b"")
    assert result.exit_code == 1
    assert lines(result.stdout)[0].image == "-"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["real.jpg"], 0),
        (["real.jpg", "below/broken.jpg"], 1),
        (["below/broken.jpg"], 1),
        (["real.jpg", "absent.jpg"], 1),
        (["absent.jpg"], 2),
        (["absent.jpg", "--fail-on", "real"], 2),
        (["real.jpg", "--fail-on", "tampered"], 0),
        (["tampered.jpg", "--fail-on", "tampered"], 10),
        (["synthetic.png", "--fail-on", "tampered, full_synthetic"], 10),
        (["tampered.jpg", "below/broken.jpg", "--fail-on", "tampered"], 10),
        (["real.jpg", "below/broken.jpg", "--fail-on", "tampered"], 1),
        (["real.jpg", "--model", "absent"], 2),
        ([], 2),
    ],
)
def test_exit_statuses(sida: Run, pictures: Path, arguments: list[str], status: int) -> None:
    result = sida("detect", *arguments)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent.jpg"], "'absent.jpg' does not exist: check the path"),
        (["absent.jpg", "gone.jpg"], "none of the 2 files exists, the first is 'absent.jpg'"),
        (["empty"], "the folder 'empty' holds"),
        (["*.tiff"], "'*.tiff'"),
        (["--from-list", "absent.txt"], "'absent.txt'"),
        (["-", "-"], "given more than once"),
        ([], "found no path: give files, folders, globs, - or --from-list FILE"),
        (["real.jpg", "--fail-on", "fake"], "found 'fake', expected labels out of real,"),
        (["real.jpg", "--fail-on", ""], "found '', expected labels"),
        (
            ["real.jpg", "--batch-size", "0"],
            "'--batch-size': Input should be greater than or equal to 1",
        ),
        (["real.jpg", "--dtype", "float8"], "'float8' is not one of"),
        (["real.jpg", "--trust", "real.jpg"], "--trust needs --provenance"),
        (["real.jpg", "--provenance", "--trust", "a.pem"], "--trust 'a.pem' cannot be read"),
        (["real.jpg", "--mask-for", "none", "--masks", "out"], "leaves nothing for --masks"),
        (["real.jpg", "--model", "tiny", "--random-weights", "tiny"], "exclude each other"),
        (["real.jpg", "--masks", "real.jpg"], "--masks 'real.jpg' is a file, expected a folder"),
        (["real.jpg", "--json", "below"], "--json 'below' is a folder, expected a file"),
        (["real.jpg", "--json", "real.jpg/v.jsonl"], "'real.jpg/v.jsonl' cannot be written"),
        (["real.jpg", "--overlays", "real.jpg/deep"], "real.jpg/deep"),
        (["real.jpg", "--model", "absent"], "there is no model 'absent': see `sida models`"),
        (["real.jpg", "--colour"], "No such option: --colour"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_nothing_is_judged(
    sida: Run, detector: Any, pictures: Path, arguments: list[str], sentence: str
) -> None:
    Path("empty").mkdir()
    result = sida("detect", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert sentence in result.stderr
    assert result.stderr.rstrip().splitlines()[-1].startswith("Error: ")
    assert detector.loaded == []


def test_options_reach_the_detector(sida: Run, detector: Any, pictures: Path) -> None:
    sida("detect", "real.jpg")
    sida(
        *("detect", "real.jpg", "--model", "x", "--device", "cpu", "--dtype", "float16"),
        *("--quantize", "int8", "--batch-size", "3"),
    )
    sida("detect", "real.jpg", "--random-weights", "sizes.json")
    assert detector.loaded == [
        ModelOptions("small"),
        ModelOptions("x", device="cpu", dtype="float16", quantize="int8", batch_size=3),
        ModelOptions("small", random_weights="sizes.json"),
    ]


def test_a_defect_is_said_to_be_one(sida: Run, detector: Any, pictures: Path) -> None:
    def fail(request: Any) -> None:
        if "tampered" in str(request.picture):
            raise ValueError("odd\nthing")

    detector.before = fail
    sentence = "Error: this is a defect of sida (ValueError: odd thing). Please report it"
    first = sida("detect", "tampered.jpg")
    assert (first.exit_code, first.stderr.count("\n")) == (2, 1)
    assert first.stderr.startswith(sentence)
    later = sida("detect", "real.jpg", "tampered.jpg", "--json", "-")
    assert later.exit_code == 1
    assert len(lines(later.stdout)) == 1
    assert later.stderr.startswith(sentence)
    sida("detect", "real.jpg", "tampered.jpg", "--json", "v.jsonl")
    assert len(lines(Path("v.jsonl").read_text())) == 1


@pytest.mark.parametrize(
    "error",
    [
        CheckpointError("the weights went away"),
        OSError(5, "Input/output error"),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_an_error_after_pictures_were_judged_is_status_1_or_10(
    sida: Run, detector: Any, pictures: Path, error: Exception
) -> None:
    def fail(request: Any) -> None:
        if "synthetic" in str(request.picture):
            raise error

    detector.before = fail
    for fail_on, detected, status in [
        ("real", [], 2),
        ("tampered", ["real.jpg"], 1),
        ("real", ["real.jpg"], 10),
    ]:
        result = sida("detect", *detected, "synthetic.png", "--fail-on", fail_on, "--json", "-")
        assert result.exit_code == status
        assert len(lines(result.stdout)) == len(detected)
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        assert "defect" not in result.stderr


def test_debug_shows_the_traceback(sida: Run, detector: Any, pictures: Path) -> None:
    result = sida("detect", "real.jpg", "--model", "absent", "--debug")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.rstrip().splitlines()[-1].startswith("Error: there is no model")


def test_an_interruption_is_one_sentence(sida: Run, detector: Any, pictures: Path) -> None:
    def interrupt(request: Any) -> None:
        if "tampered" in str(request.picture):
            raise KeyboardInterrupt

    detector.before = interrupt
    Path("v.jsonl").write_text("old")
    result = sida("detect", "real.jpg", "tampered.jpg", "--json", "v.jsonl")
    assert result.exit_code == 130
    assert result.stderr == "Stopped after 1 of 2 pictures; v.jsonl was not written.\n"
    assert Path("v.jsonl").read_text() == "old"
    assert [path.name for path in pictures.iterdir() if path.name.startswith(".")] == []


def stop(detector: Any, at: str, error: BaseException) -> None:
    """Let judging break off at the picture whose name has this in it."""

    def before(request: Any) -> None:
        if at in str(request.picture):
            raise error

    detector.before = before


def images(file: str = "v.jsonl") -> list[str]:
    return [json.loads(line)["image"] for line in Path(file).read_text().splitlines()]


COMMAND = ("detect", "real.jpg", "below/broken.jpg", "tampered.jpg", "synthetic.png")


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (KeyboardInterrupt(), 130,
         "Stopped after 2 of 4 pictures; they are in v.jsonl; run the same command to resume.\n"),
        (CheckpointError("no weights."), 1,
         "Error: no weights. 2 of 4 pictures are in v.jsonl; run the same command to resume.\n"),
        (OSError(5, "Input/output error"), 1,
         "Error: reading or writing failed: Input/output error. 2 of 4 pictures are in v.jsonl; "
         "run the same command to resume.\n"),
    ],
)  # fmt: skip
def test_the_same_command_goes_on(
    sida: Run, detector: Any, pictures: Path, error: BaseException, status: int, sentence: str
) -> None:
    command = (*COMMAND, "--json", "v.jsonl", "--masks", "m")
    stop(detector, "tampered", error)
    broken_off = sida(*command)
    assert (broken_off.exit_code, broken_off.stderr) == (status, sentence)
    assert images() == ["real.jpg", "below/broken.jpg"]
    detected = []
    detector.before = lambda request: detected.append(str(request.picture))
    result = sida(*command)
    assert result.exit_code == 1
    assert images() == list(COMMAND[1:])
    assert detected == ["tampered.jpg", "synthetic.png"]
    assert result.stderr.splitlines() == [
        "v.jsonl has 2 of 4 pictures already; resuming.",
        "1 of 4 pictures could not be judged.",
    ]
    Path("v.jsonl").unlink()
    complete = sida(*command)
    assert result.stdout == complete.stdout  # the table has all, also those of before
    assert sorted(path.name for path in pictures.iterdir()) == [
        "below", "m", "real.jpg", "synthetic.png", "tampered.jpg", "v.jsonl",
    ]  # fmt: skip


def test_a_label_of_before_counts_for_the_exit_status(
    sida: Run, detector: Any, pictures: Path
) -> None:
    stop(detector, "real", KeyboardInterrupt())
    command = ("detect", "tampered.jpg", "real.jpg", "--json", "v.jsonl", "--fail-on", "tampered")
    assert sida(*command).exit_code == 130
    detector.before = lambda request: None
    assert sida(*command).exit_code == 10


def test_a_finished_file_is_made_anew(sida: Run, detector: Any, pictures: Path) -> None:
    detected = []
    detector.before = lambda request: detected.append(str(request.picture))
    for _ in range(2):
        assert sida("detect", "real.jpg", "--json", "v.jsonl").stderr == ""
    assert detected == ["real.jpg", "real.jpg"]
    stop(detector, "real", KeyboardInterrupt())
    before = Path("v.jsonl").read_bytes()
    broken_off = sida("detect", "real.jpg", "--json", "v.jsonl")
    assert broken_off.stderr == "Stopped after 0 of 1 pictures; v.jsonl was not written.\n"
    assert Path("v.jsonl").read_bytes() == before  # nothing is lost before there is something new


def test_pictures_that_came_and_went_meanwhile(sida: Run, detector: Any, pictures: Path) -> None:
    """One that was judged and is gone stays in the file."""
    Path("more").mkdir()
    for name in ("a_real.jpg", "b_tampered.jpg"):
        Path("more", name).write_bytes(Path("real.jpg").read_bytes())
    command = ("detect", "more", "real.jpg", "--json", "v.jsonl")
    stop(detector, "b_tampered", KeyboardInterrupt())
    sida(*command)
    detector.before = lambda request: None
    Path("more", "a_real.jpg").rename(Path("more", "c_real.jpg"))
    assert sida(*command).exit_code == 0
    assert images() == [
        "more/a_real.jpg", "more/b_tampered.jpg", "more/c_real.jpg", "real.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["--model", "other"], "--model other (was small)"),
        (["--explain"], "--explain yes (was no)"),
        (["--mask-for", "all"], "--mask-for all (was tampered)"),
        (["--dtype", "float16"], "--dtype float16 (was auto)"),
        (["--masks", "m"], "(was left out)"),
        (["below"], "PATHS "),
    ],
)
def test_other_options_are_refused(
    sida: Run, detector: Any, pictures: Path, changes: list[str], sentence: str
) -> None:
    stop(detector, "tampered", KeyboardInterrupt())
    command = (*COMMAND, "--json", "v.jsonl")
    sida(*command)
    before, loaded = Path("v.jsonl").read_bytes(), len(detector.loaded)
    result = sida(*command, *changes)
    assert result.exit_code == 2
    assert "'v.jsonl' holds an unfinished run with other options: " in result.stderr
    assert sentence in result.stderr
    assert "choose another FILE, or replace it with --fresh." in result.stderr
    assert Path("v.jsonl").read_bytes() == before
    assert len(detector.loaded) == loaded
    # What results do not depend on may change, and whoever removes the file begins anew.
    detector.before = lambda request: None
    assert sida(*command, "--device", "cpu", "--batch-size", "2").exit_code == 1
    assert len(images()) == 4


def test_other_weights_of_the_same_name_are_refused(
    sida: Run, detector: Any, pictures: Path
) -> None:
    stop(detector, "tampered", KeyboardInterrupt())
    sida(*COMMAND, "--json", "v.jsonl")
    detector.before = lambda request: None
    detector.model = detector.model.model_copy(update={"digest": "other"})
    result = sida(*COMMAND, "--json", "v.jsonl")
    assert "digest of the weights other (was none)" in result.stderr
    assert images() == ["real.jpg", "below/broken.jpg"]
    assert sida(*COMMAND, "--json", "v.jsonl", "--fresh").exit_code == 1
    assert len(images()) == 4
    assert len(images()) == 4


@pytest.mark.parametrize("torn", ['{"schema":"sida.verd', '{"schema":"sida.verdict/1"}'])
def test_a_line_that_a_kill_has_torn_is_judged_again(
    sida: Run, detector: Any, pictures: Path, torn: str
) -> None:
    stop(detector, "tampered", KeyboardInterrupt())
    sida(*COMMAND, "--json", "v.jsonl")
    with Path("v.jsonl").open("a") as file:
        file.write(torn)
    detector.before = lambda request: None
    sida(*COMMAND, "--json", "v.jsonl")
    assert images() == list(COMMAND[1:])


@pytest.mark.parametrize("damage", ["a line", "the note"])
def test_what_cannot_be_gone_on_with_is_a_sentence(
    sida: Run, detector: Any, pictures: Path, damage: str
) -> None:
    stop(detector, "tampered", KeyboardInterrupt())
    sida(*COMMAND, "--json", "v.jsonl")
    if damage == "a line":
        Path("v.jsonl").write_text("none\n" + Path("v.jsonl").read_text())
    else:
        Path("v.jsonl.unfinished").write_text("{}")
    result = sida(*COMMAND, "--json", "v.jsonl")
    assert result.exit_code == 2
    assert "remove" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_full_disk_under_masks_ends_the_run(
    sida: Run, detector: Any, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the rest would be judged without masks, and be called done."""

    def full(path: Path) -> None:
        if path.suffix == ".png":
            raise OSError(errno.ENOSPC, "No space left on device")

    command = (*COMMAND, "--json", "v.jsonl", "--masks", "m")
    with monkeypatch.context() as patch:
        patch.setattr("sida.files._force_to_disk", full)
        result = sida(*command)
    assert result.exit_code == 1
    assert result.stderr.endswith(
        "cannot be written: No space left on device. 2 of 4 pictures are in v.jsonl; run the "
        "same command to resume.\n"
    )
    assert sida(*command).exit_code == 1
    assert images() == list(COMMAND[1:])
    assert Path("m/tampered_mask.png").exists()


def test_names_cannot_steer_the_terminal_or_break_json(sida: Run, pictures: Path) -> None:
    odd = "[red]\x1b[2Jreal.jpg"
    Path("real.jpg").rename(odd)
    result = sida("detect", odd)
    assert result.exit_code == 0
    assert "[red]\\x1b[2Jreal.jpg" in result.stdout
    stray = b"stray\xff.jpg".decode("utf-8", "surrogateescape")
    Path(odd).rename(stray)
    for extra in ([], ["--json", "-"], ["--json", "v.jsonl"]):
        result = sida("detect", stray, *extra)
        assert result.exit_code == 0, result.output
    assert json.loads(Path("v.jsonl").read_text())["image"] == "stray?.jpg"
