"""Reads content credentials in a process of its own: `python c2pa_process.py`, used by no person.

Standard input: a line of JSON (`trust`: PEM or null; `limits`: bytes of memory, seconds of
processor time, bytes of the answer; `sidecar`: its length, 0 without one), then the bytes of a
sidecar, then the picture's. Standard output: one JSON object,
`{"store": …, "thumbnails": {index of an ingredient: data URI}}`, `{"none": true}` or
`{"error": …}`. Nothing is fetched from anywhere.

The library is native code and reads what strangers wrote: what makes it loop, eat memory or fall
over must not take the judging process along.
"""

import base64
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

SIDE = 128
"""Pixels of a thumbnail's longer side, as it is handed on."""
PIXELS = 40_000_000
"""Of all thumbnails together; what goes beyond is left out."""
MAX_THUMBNAILS = 50
"""Thumbnails."""


def main() -> None:
    """Read one picture and answer."""
    request = json.loads(sys.stdin.buffer.readline())
    memory, seconds, length = request["limits"]
    _limit(memory, seconds)
    sidecar = sys.stdin.buffer.read(request["sidecar"])
    answer = json.dumps(_answer(sys.stdin.buffer.read(), sidecar, request["trust"]))
    if len(answer) > length:
        answer = json.dumps({"error": f"hold more than {length:,} bytes of statements"})
    sys.stdout.write(answer)


def _answer(data: bytes, sidecar: bytes, trust: str | None) -> dict[str, object]:
    from c2pa import C2paError, Context, Reader

    settings: dict[str, object] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    if trust:
        settings["trust"] = {"user_anchors": trust}
    try:
        context = Context.from_dict(settings)
        with Reader(None, io.BytesIO(data), sidecar or None, context) as reader:
            store = json.loads(reader.json())
            return {"store": store, "thumbnails": dict(_thumbnails(reader, store))}
    except C2paError.ManifestNotFound:
        return {"none": True}
    except (C2paError, ValueError, RecursionError) as error:
        return {"error": "are broken: " + " ".join(str(error).split())[:300]}


def _thumbnails(reader: Any, store: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Those of the active manifest's ingredients that can be read, made small and written anew."""
    from PIL import Image

    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    left = PIXELS
    for index, ingredient in enumerate(manifest.get("ingredients", [])[:MAX_THUMBNAILS]):
        stream = io.BytesIO()
        try:
            reader.resource_to_stream(ingredient["thumbnail"]["identifier"], stream)
            image = Image.open(stream, formats=("JPEG", "PNG", "WEBP"))
            left -= image.width * image.height
            if left < 0:
                return
            yield index, _small(image)
        except Exception:  # it has none, or one that the library or Pillow falls over
            continue


def _small(image: Any) -> str:
    """A picture of Pillow as a data URI. Raises many things where it is broken."""
    image.thumbnail((SIDE, SIDE), reducing_gap=3)
    written = io.BytesIO()
    image.convert("RGB").save(written, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()


def _limit(memory: int, seconds: int) -> None:
    """Where the system has such limits."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
