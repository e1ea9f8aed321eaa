from pathlib import Path

import fsspec
import pytest

from sida.errors import InputError, PictureError
from sida.scale.fetch import fetch
from sida.scale.listing import Item, find
from tests.scale.conftest import png


def names(items: list[Item], folder: Path | str) -> list[str]:
    return [item.name.removeprefix(f"{folder}/") for item in items]


IN_ORDER = [
    *("broken.jpg", "img2.png", "img10.png", "set.parquet/five.png", "set.parquet/six.png"),
    *("set.tar/a/1.png", "set.tar/a/2.png", "torn.tar", "below/img2.jpg"),
]


def test_a_folder_with_pictures_in_files_tars_and_parquet(pictures: Path) -> None:
    items = list(find([pictures]))
    assert names(items, pictures) == IN_ORDER
    torn = items[IN_ORDER.index("torn.tar")]
    assert torn.error is not None
    assert "torn.tar" in torn.error


def test_the_bytes_are_those_of_each_picture(pictures: Path) -> None:
    result = dict(zip(IN_ORDER, map(fetch, find([pictures])), strict=True))
    assert result["img2.png"] == pictures / "img2.png"
    order = ("set.tar/a/1.png", "set.tar/a/2.png", "set.parquet/five.png", "set.parquet/six.png")
    for seed, name in enumerate(order, 3):
        assert result[name] == png(seed), name
    assert "torn.tar" in str(result["torn.tar"])


def test_an_address_means_what_a_path_means(pictures: Path) -> None:
    items = list(find([f"file://{pictures}"]))
    assert names(items, f"file://{pictures}") == IN_ORDER
    assert [item.relative for item in items] == IN_ORDER
    assert fetch(items[1]) == png(0)


def test_globs_and_lists_of_addresses(pictures: Path, tmp_path: Path) -> None:
    assert names(list(find([f"file://{pictures}/*2.png"])), f"file://{pictures}") == ["img2.png"]
    lines = [f"file://{pictures}/img10.png", f"file://{pictures}/set.tar"]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    listed = list(find([], from_list=tmp_path / "list.txt"))
    assert [item.relative for item in listed] == ["img10.png", "set.tar/a/1.png", "set.tar/a/2.png"]


def test_another_file_system(pictures: Path) -> None:
    memory = fsspec.filesystem("memory")
    for file in ("b/img1.png", "b/img10.png", "b/img9.png", "b/.hidden.png", "b/notes.txt"):
        memory.pipe_file(f"/bucket/{file}", png(0))
    items = list(find(["memory://bucket/b"]))
    assert [item.relative for item in items] == ["img1.png", "img9.png", "img10.png"]
    assert fetch(items[0]) == png(0)
    memory.rm_file("/bucket/b/img1.png")
    fetched = fetch(items[0])
    assert str(fetched) == "'memory:///bucket/b/img1.png' was not found: check the address"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("memory://nothing/here", "does not exist or is empty: check the address"),
        ("strange://bucket", "cannot be reached: Protocol not known: strange"),
    ],
)
def test_what_leads_nowhere_is_a_sentence(address: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        list(find([address]))


def test_a_prefix_without_pictures() -> None:
    fsspec.filesystem("memory").pipe_file("/texts/notes.txt", b"none")
    with pytest.raises(InputError, match=r"memory://texts' holds no picture: expected"):
        list(find(["memory://texts"]))


def test_paths_that_do_not_exist() -> None:
    with pytest.raises(InputError, match=r"'no.jpg' does not exist, nor any other: check the path"):
        list(find(["no.jpg", "none.jpg"]))


def test_a_parquet_file_that_is_torn_after_its_listing(pictures: Path) -> None:
    items = [item for item in find([f"file://{pictures}/set.parquet"]) if item.row is not None]
    (pictures / "set.parquet").write_bytes(b"PAR1 torn PAR1")
    broken = fetch(items[1])
    assert isinstance(broken, PictureError)
    assert "set.parquet/six.png' cannot be read (" in str(broken)


def test_a_store_that_fails_is_not_a_pictures_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> bytes:
        raise TimeoutError("the store does not answer")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "cat_file", fail)
    with pytest.raises(TimeoutError):
        fetch(Item("a.png", "a.png", "memory://bucket/a.png"))
