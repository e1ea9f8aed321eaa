"""Fetching by name: the cache first, then the hub, and one sentence for whatever goes wrong."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, errors
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, XetDownloadError

from sida.errors import DownloadError
from sida.model.hub import fetch, is_hub_name, revision

FILES = {
    "config.json": b'{"model_type": "llava"}',
    "added_tokens.json": b"{}",
    "tokenizer.model": b"pieces",
    "pytorch_model.bin.index.json": b'{"weight_map": {"a": "one.bin", "b": "two.bin"}}',
    "one.bin": b"1" * 600,
    "two.bin": b"2" * 400,
    "flax_model.msgpack": b"3" * 10_000,
    "README.md": b"words",
}
NAME = "owner/model"


class FakeHub:
    """A hub with one model, and a cache laid out as huggingface_hub's."""

    def __init__(self, cache: Path) -> None:
        self.root = cache / "models--owner--model"
        self.files = dict(FILES)
        self.downloads: list[set[str]] = []
        self.error: Exception | None = None

    def model_info(self, name: str, files_metadata: bool) -> Any:
        if self.error:
            raise self.error
        siblings = [
            SimpleNamespace(rfilename=name, size=len(data), lfs=None, blob_id=f"tag-{name}")
            for name, data in self.files.items()
        ]
        return SimpleNamespace(siblings=siblings)

    def snapshot_download(self, name: str, **options: Any) -> str:
        snapshot = self.root / "snapshots/1"
        if options.get("local_files_only"):
            if not snapshot.is_dir():
                raise huggingface_hub.errors.LocalEntryNotFoundError("nothing there")
            return str(snapshot)
        self.downloads.append(set(options["allow_patterns"]))
        for file in options["allow_patterns"]:
            self.put(file)
        return str(snapshot)

    def put(self, file: str) -> None:
        for path in (self.root / "snapshots/1" / file, self.root / "blobs" / f"tag-{file}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.files[file])


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    return fake


def free(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    usage = shutil.disk_usage("/")._replace(free=size)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_only_what_is_needed_is_downloaded_and_only_once(hub: FakeHub) -> None:
    folder = fetch(NAME)
    assert hub.downloads == [set(FILES) - {"flax_model.msgpack", "README.md"}]
    hub.error = OSError("no network")
    assert fetch(NAME) == folder


def test_safetensors_are_taken_where_there_are_some(hub: FakeHub) -> None:
    hub.files = {**FILES, "model.safetensors": b"4"}
    fetch(NAME)
    assert "model.safetensors" in hub.downloads[0]
    assert not any(file.endswith(".bin") for file in hub.downloads[0])


@pytest.mark.parametrize("missing", ["two.bin", "tokenizer.model", "config.json"])
def test_an_interrupted_download_goes_on(hub: FakeHub, missing: str) -> None:
    for file in set(FILES) - {missing}:
        hub.put(file)
    assert (fetch(NAME) / missing).read_bytes() == FILES[missing]


def test_a_vision_tower_needs_no_tokenizer(hub: FakeHub) -> None:
    hub.files = {"config.json": b'{"model_type": "clip"}', "model.safetensors": b"4"}
    for file in hub.files:
        hub.put(file)
    fetch(NAME)
    assert hub.downloads == []


def test_room_is_made_sure_of_before_the_download(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 1000)
    with pytest.raises(DownloadError, match=rf"{NAME} needs .* make room"):
        fetch(NAME)
    assert hub.downloads == []
    hub.put("one.bin")  # what is there already needs no room
    fetch(NAME)


def refused(error_class: type[Exception]) -> Exception:
    response = SimpleNamespace(headers={}, request=None, status_code=404)
    return error_class("no", response=response)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError("[Errno -2] Name or service not known"), r"could not be downloaded .*not known\)"),
        (TimeoutError(), r"could not be downloaded \(TimeoutError\)"),
        (errors.HTTPError("no route"), r"could not be downloaded \(no route\)"),
        (XetDownloadError("chunk lost"), r"could not be downloaded \(chunk lost\)"),
        (RuntimeError("CAS failed"), r"could not be downloaded \(CAS failed\)"),
        (refused(RepositoryNotFoundError), "There is no 'owner/model' on the hub"),
        (refused(GatedRepoError), "asks for a licence to be accepted"),
    ],
)
def test_each_failure_is_one_sentence(hub: FakeHub, error: Exception, sentence: str) -> None:
    hub.error = error
    with pytest.raises(DownloadError, match=sentence) as caught:
        fetch(NAME)
    assert "\n" not in str(caught.value)


def test_our_own_mistakes_are_not_taken_for_the_networks(hub: FakeHub) -> None:
    hub.error = TypeError("no such argument")
    with pytest.raises(TypeError):
        fetch(NAME)


def test_without_a_network_nothing_is_tried_twice() -> None:
    with pytest.raises(DownloadError, match="offline mode is enabled"):
        fetch("owner/not-in-any-cache")


def test_a_folder_of_the_cache_has_a_revision(hub: FakeHub, tmp_path: Path) -> None:
    assert revision(fetch(NAME)) == "1"
    assert revision(tmp_path) is None


def test_names_of_the_hub() -> None:
    assert is_hub_name("saberzl/SIDA-7B")
    for path in ("tiny", "./model", "../model", "/model", "a/b/c", "owner/", "C:\\model"):
        assert not is_hub_name(path)
