"""Inputs in a stable order, outputs that never meet, and files that are whole or not there."""

import os
import stat
import sys
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sida.errors import DownloadError, InputError, SidaError
from sida.files import (
    Input,
    find_pictures,
    natural_key,
    output_path,
    output_paths,
    require_space,
    write_bytes,
    write_folder,
    write_text,
    write_whole,
)

PARTS = st.text(st.sampled_from("aAb1².é_ "), min_size=1, max_size=4)
RELATIVES = st.lists(PARTS, min_size=1, max_size=3).map("/".join).map(PurePosixPath)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def names(*args: object, **options: object) -> list[str]:
    return [item.name for item in find_pictures(*args, **options)]  # type: ignore[arg-type]


def inputs(*relatives: str) -> list[Input]:
    return [Input(Path(r), r, PurePosixPath(r)) for r in relatives]


def outputs(*relatives: str) -> list[str]:
    return [path.as_posix() for path in output_paths("out", inputs(*relatives), "_mask.png")]


# Folders


def test_a_folder_is_walked_in_natural_order(elsewhere: Path) -> None:
    touch(elsewhere, "in/img10.jpg", "in/IMG2.JPG", "in/img1.png", "in/b/x.webp", "in/a/y.tif")
    found = find_pictures(["in"])
    assert [item.name for item in found] == [
        "in/img1.png", "in/IMG2.JPG", "in/img10.jpg", "in/a/y.tif", "in/b/x.webp",
    ]  # fmt: skip
    assert [str(item.relative) for item in found] == [
        "img1.png", "IMG2.JPG", "img10.jpg", "a/y.tif", "b/x.webp",
    ]  # fmt: skip
    assert all(item.path.exists() for item in found)
    assert names(["in"], recursive=False) == ["in/img1.png", "in/IMG2.JPG", "in/img10.jpg"]


def test_names_are_joined_to_what_was_given(elsewhere: Path) -> None:
    touch(elsewhere, "in/a.jpg")
    assert names(["in/"]) == ["in/a.jpg"]
    assert names(["./in"]) == ["./in/a.jpg"]
    assert names([elsewhere / "in"]) == [str(elsewhere / "in" / "a.jpg")]


def test_hidden_and_other_files_are_skipped_in_folders_only(elsewhere: Path) -> None:
    touch(elsewhere, "in/.hidden.jpg", "in/.git/a.jpg", "in/notes.txt", "in/a.jpg")
    assert names(["in"]) == ["in/a.jpg"]
    assert names(["in/.hidden.jpg", "in/notes.txt"]) == ["in/.hidden.jpg", "in/notes.txt"]


def test_a_folder_without_pictures(elsewhere: Path) -> None:
    touch(elsewhere, "in/a.txt", "in/b.TXT", "in/c.pdf", "in/README", "in/below/d.doc")
    (elsewhere / "empty").mkdir()
    with pytest.raises(InputError) as caught:
        find_pictures(["in"])
    assert str(caught.value) == (
        "the folder 'in' holds no picture: found 5 other files (.txt: 2, .pdf: 1, no suffix: 1, "
        ".doc: 1), expected files such as .jpg, .png, .webp, .gif, .tif, .bmp, .avif or .heic"
    )
    with pytest.raises(InputError, match="'empty' holds no picture: found no file, expected"):
        find_pictures(["empty"])
    touch(elsewhere, "in/below/e.jpg")
    with pytest.raises(InputError, match=r"\(folders below it were not searched\)$"):
        find_pictures(["in"], recursive=False)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_that_go_round_are_walked_once(elsewhere: Path) -> None:
    touch(elsewhere, "in/a.jpg", "in/sub/b.jpg")
    (elsewhere / "in/sub/up").symlink_to("..")
    (elsewhere / "in/again").symlink_to("sub")
    (elsewhere / "in/self.jpg").symlink_to("self.jpg")
    (elsewhere / "in/link.jpg").symlink_to("a.jpg")
    found = names(["in", "in/sub"])
    assert sorted(Path(name).name for name in found) == ["a.jpg", "b.jpg", "link.jpg", "self.jpg"]


# Files and globs


def test_files_stay_in_the_given_order_once(elsewhere: Path) -> None:
    touch(elsewhere, "b.jpg", "a.jpg", "in/c.jpg")
    given = ["b.jpg", "in", "a.jpg", "./b.jpg", "in/../a.jpg", elsewhere / "in" / "c.jpg"]
    assert names(given) == ["b.jpg", "in/c.jpg", "a.jpg"]


def test_what_does_not_exist_stays_an_input(elsewhere: Path) -> None:
    assert find_pictures(["no/such.jpg"]) == [
        Input(Path("no/such.jpg"), "no/such.jpg", PurePosixPath("such.jpg"))
    ]


def test_nothing_named() -> None:
    with pytest.raises(InputError, match="no picture was named: give files, folders"):
        find_pictures([])


def test_globs_are_expanded_here(elsewhere: Path) -> None:
    touch(elsewhere, "in/a/10.jpg", "in/a/9.jpg", "in/b/1.jpg", "in/b/1.txt", "in/top.jpg")
    found = find_pictures(["in/*/*.jpg"])
    assert [item.name for item in found] == ["in/a/9.jpg", "in/a/10.jpg", "in/b/1.jpg"]
    assert [str(item.relative) for item in found] == ["a/9.jpg", "a/10.jpg", "b/1.jpg"]
    assert names(["in/**/*.jpg"]) == ["in/a/9.jpg", "in/a/10.jpg", "in/b/1.jpg", "in/top.jpg"]
    assert names(["in/?"]) == ["in/a/9.jpg", "in/a/10.jpg", "in/b/1.jpg"]
    assert str(find_pictures(["in/?"])[0].relative) == "a/9.jpg"


def test_a_glob_without_matches(elsewhere: Path) -> None:
    (elsewhere / "empty").mkdir()
    for pattern in ("*.jpg", "no/*/x", "emp*"):
        with pytest.raises(InputError, match="nothing that could be a picture matches") as caught:
            find_pictures([pattern])
        assert repr(pattern) in str(caught.value)


def test_an_existing_file_wins_over_a_glob(elsewhere: Path) -> None:
    touch(elsewhere, "photo[1].jpg", "photo1.jpg", "in [x]/a.jpg")
    assert names(["photo[1].jpg"]) == ["photo[1].jpg"]
    assert names(["in [x]"]) == ["in [x]/a.jpg"]


# Lists


def test_a_list_is_relative_to_its_folder_and_literal(elsewhere: Path) -> None:
    touch(elsewhere, "data/a.jpg", "data/#1 *.jpg", "data/sub/ b.jpg", "data/all/c.jpg")
    absolute = elsewhere / "data" / "a.jpg"
    lines = ["\ufeffsub/ b.jpg", "", "   ", "#1 *.jpg", "missing.jpg", "all", "../up.jpg", absolute]
    (elsewhere / "data/list.txt").write_text("\r\n".join(map(str, lines)), encoding="utf-8")
    found = find_pictures(from_list="data/list.txt")
    assert [item.name for item in found] == [
        "sub/ b.jpg", "#1 *.jpg", "missing.jpg", "all/c.jpg", "../up.jpg", str(absolute),
    ]  # fmt: skip
    assert [str(item.relative) for item in found] == [
        "sub/ b.jpg", "#1 *.jpg", "missing.jpg", "all/c.jpg", "up.jpg", "a.jpg",
    ]  # fmt: skip
    assert [item.path.exists() for item in found] == [True, True, False, True, False, True]


def test_a_list_comes_after_the_paths(elsewhere: Path) -> None:
    touch(elsewhere, "a.jpg", "b.jpg")
    (elsewhere / "list").write_text("a.jpg\nb.jpg\n")
    assert names(["b.jpg"], from_list="list") == ["b.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "'list' is empty: expected one path per line"),
        (b"\n \n", "'list' is empty: expected one path per line"),
        (b"\x89PNG\0\1", "'list' is not text: expected one path per line"),
        (None, "'list' cannot be read: No such file"),
    ],
)
def test_lists_that_lead_nowhere(elsewhere: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (elsewhere / "list").write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        find_pictures(from_list="list")


@pytest.mark.skipif(sys.platform != "linux", reason="names need not be UTF-8 there")
def test_a_name_that_is_not_utf8_can_be_printed(elsewhere: Path) -> None:
    (elsewhere / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    (found,) = find_pictures(["."])
    assert found.path.exists()
    found.name.encode()


@settings(deadline=None)
@given(st.lists(PARTS))
def test_natural_order_is_total(words: list[str]) -> None:
    ordered = sorted(words, key=natural_key)
    words.reverse()
    assert sorted(words, key=natural_key) == ordered


def test_natural_order() -> None:
    words = ["img2", "img10", "Img1", "IMG1", "a²", "10", "9", "", "img"]
    assert sorted(words, key=natural_key) == [
        "", "9", "10", "a²", "img", "IMG1", "Img1", "img2", "img10",
    ]  # fmt: skip


# Names of outputs


def test_outputs_keep_the_path_below_the_folder() -> None:
    assert outputs("a.jpg", "sub/a.jpg", "b") == [
        "out/a_mask.png", "out/sub/a_mask.png", "out/b_mask.png",
    ]  # fmt: skip
    assert output_path("out", inputs("sub/a.tar.gz")[0], "_overlay.png") == Path(
        "out/sub/a.tar_overlay.png"
    )


def test_all_that_clash_keep_their_suffix() -> None:
    assert outputs("photo.png", "other.png", "photo.jpg") == [
        "out/photo.png_mask.png", "out/other_mask.png", "out/photo.jpg_mask.png",
    ]  # fmt: skip
    assert outputs("Photo.png", "photo.jpg") == [
        "out/Photo.png_mask.png", "out/photo.jpg_mask.png",
    ]  # fmt: skip


def test_a_kept_suffix_may_clash_in_turn() -> None:
    assert outputs("p.png", "p.jpg", "p.png.jpg") == [
        "out/p.png_mask.png", "out/p.jpg_mask.png", "out/p.png.jpg_mask.png",
    ]  # fmt: skip


def test_one_name_from_several_folders_is_numbered() -> None:
    assert outputs("a.jpg", "a.jpg", "a.jpg-2.png", "a.jpg") == [
        "out/a.jpg_mask.png", "out/a.jpg-3_mask.png", "out/a.jpg-2_mask.png",
        "out/a.jpg-4_mask.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "relative", ["../../etc/passwd.jpg", "/etc/passwd.jpg", "a/../../../b.jpg", "..", "/", "."]
)
def test_no_output_leaves_the_folder(tmp_path: Path, relative: str) -> None:
    path = output_path(tmp_path, Input(Path("x"), "x", PurePosixPath(relative)), "_mask.png")
    assert os.path.realpath(path).startswith(os.path.realpath(tmp_path) + os.sep)


@settings(deadline=None)
@given(st.lists(RELATIVES, max_size=12))
def test_outputs_are_all_different_and_stable(relatives: list[PurePosixPath]) -> None:
    items = [Input(Path(r), str(r), r) for r in relatives]
    paths = output_paths("out", items, "_mask.png")
    assert len(paths) == len(items)
    assert len({str(path).casefold() for path in paths}) == len(paths)
    assert paths == output_paths("out", items, "_mask.png")
    assert all(path.parts[0] == "out" and ".." not in path.parts for path in paths)
    assert all(path.name.endswith("_mask.png") for path in paths)


# Whole-or-nothing writes


def test_a_file_is_written_whole_with_missing_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.json"
    with write_whole(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".json"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half() -> None:
        with write_whole(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_texts_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\r\n\n")
    write_bytes(tmp_path / "a.bin", b"\0\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\n\n".encode()
    assert (tmp_path / "a.bin").read_bytes() == b"\0\r\n"


@pytest.mark.skipif(sys.platform == "win32", reason="has other permissions")
def test_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "new", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    write_bytes(tmp_path / "new", b"x")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_bytes(tmp_path / "link", b"x")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"x"


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="has no /dev/null")
def test_devices_are_written_to_not_replaced() -> None:
    write_bytes("/dev/null", b"x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SidaError, match="cannot be written: it is a folder; name a file"):
        write_bytes(tmp_path, b"x")
    with pytest.raises(SidaError, match="below' cannot be written: "):
        write_bytes(tmp_path / "file" / "below", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(SidaError, match="a' cannot be written: No space left on device"),
        write_whole(tmp_path / "a"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "model"
    with write_folder(path) as unfinished:
        touch(unfinished, "a", "sub/b")
        assert not path.exists()
    assert sorted(p.relative_to(path).as_posix() for p in path.rglob("*")) == ["a", "sub", "sub/b"]
    assert [p.name for p in path.parent.iterdir()] == ["model"]
    with pytest.raises(SidaError, match="model' is there already"), write_folder(path):
        pass


def test_a_folder_that_fails_is_not_there(tmp_path: Path) -> None:
    def write_half() -> None:
        with write_folder(tmp_path / "model") as unfinished:
            touch(unfinished, "a")
            raise OSError(28, "No space left on device")

    with pytest.raises(SidaError, match="model' cannot be written: No space left on device"):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_room_on_the_disk(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "yet", 1, "the model")
    with pytest.raises(DownloadError, match=r"the model needs 1000000000.0 GB, '.*yet' has [0-9.]"):
        require_space(tmp_path / "not" / "yet", 10**18, "the model")
