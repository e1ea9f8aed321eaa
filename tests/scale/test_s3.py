"""Reading from and writing to an S3 server, which listens on this machine."""

import io
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from sida.errors import ConfigError, InputError
from sida.evaluation import Shard
from sida.options import DetectOptions
from sida.scale import store as store_module
from sida.scale.listing import find
from sida.scale.plan import PlannedShard, write_plan
from sida.scale.shard import detect_shard
from sida.scale.store import Store, exclusive
from tests.scale.conftest import FakeDetector

REASON = "needs an S3 server: pip install 'moto[server]' s3fs"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of the server; every client of this process goes to it."""
    pytest.importorskip("s3fs", reason=REASON)
    moto = pytest.importorskip("moto.server", reason=REASON)
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(server: str, pictures: Path) -> str:
    """The pictures of every form, in a bucket."""
    s3 = fsspec.filesystem("s3")
    s3.makedirs("bucket", exist_ok=True)
    for file in pictures.rglob("*.*"):
        s3.pipe_file(f"bucket/in/{file.relative_to(pictures)}", file.read_bytes())
    return "s3://bucket"


def test_a_part_from_a_bucket_into_a_bucket(
    bucket: str, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BEAT", 0.1)
    store = Store(f"{bucket}/out")
    with exclusive(store):
        with pytest.raises(ConfigError, match="another run is writing"), exclusive(store):
            pass
        write_plan(store, find([f"{bucket}/in"]), Shard())
        rows = detect_shard(FakeDetector(), store, PlannedShard(0, 0, 0), DetectOptions())  # type: ignore[arg-type]
    assert store.names("") == {"masks", "plan", "verdicts"}
    expected = [item.name.removeprefix(f"{pictures}/") for item in find([pictures])]
    assert [row["image"].removeprefix(f"{bucket}/in/") for row in rows] == expected
    content = store.read("verdicts/part-00000000.parquet")
    assert content is not None
    masks = pq.read_table(io.BytesIO(content)).column("mask").to_pylist()
    assert all(store.has(mask["file"]) for mask in masks if mask is not None)
    assert sum(mask is not None for mask in masks) == 7


def test_what_is_not_there(bucket: str) -> None:
    for address in (f"{bucket}/in/empty", f"{bucket}/in/no.jpg", "s3://none/in"):
        with pytest.raises(InputError, match=f"^'{address}' does not exist or is empty"):
            list(find([address]))


def test_a_bucket_that_refuses(server: str, bucket: str) -> None:
    admitted = b"1000000"
    try:
        _admit(server, b"0")
        with pytest.raises(InputError, match=r"^'s3://bucket/in' refuses access: check the cred"):
            list(find([f"{bucket}/in"]))
        with (
            pytest.raises(InputError, match=r"^'s3://bucket/out' refuses access"),
            exclusive(Store(f"{bucket}/out")),
        ):
            pass
    finally:
        _admit(server, admitted)


def _admit(server: str, requests: bytes) -> None:
    """After so many further requests the server looks at credentials, and knows none."""
    headers = {"Content-Type": "text/plain"}
    address = f"{server}/moto-api/reset-auth"
    urllib.request.urlopen(urllib.request.Request(address, requests, headers)).close()
