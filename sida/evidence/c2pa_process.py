"""Reads content credentials in a process of its own: `python c2pa_process.py`, used by no person.

Standard input: a line of JSON (`trust`: PEM or null; `limits`: bytes of memory, seconds of
processor time, bytes of the answer), then the picture's bytes. Standard output: one JSON object,
`{"store": …}`, `{"none": true}` or `{"error": …}`. Nothing is fetched from anywhere.

The library is native code and reads what strangers wrote: what makes it loop, eat memory or fall
over must not take the judging process along.
"""

import io
import json
import sys


def main() -> None:
    """Read one picture and answer."""
    asked = json.loads(sys.stdin.buffer.readline())
    memory, seconds, length = asked["limits"]
    _limit(memory, seconds)
    answer = json.dumps(_answer(sys.stdin.buffer.read(), asked["trust"]))
    if len(answer) > length:
        answer = json.dumps({"error": f"hold more than {length:,} bytes of statements"})
    sys.stdout.write(answer)


def _answer(data: bytes, trust: str | None) -> dict[str, object]:
    from c2pa import C2paError, Context, Reader

    settings: dict[str, object] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    if trust:
        settings["trust"] = {"user_anchors": trust}
    try:
        with Reader(io.BytesIO(data), context=Context.from_dict(settings)) as reader:
            return {"store": json.loads(reader.json())}
    except C2paError.ManifestNotFound:
        return {"none": True}
    except (C2paError, ValueError, RecursionError) as error:
        return {"error": "are broken: " + " ".join(str(error).split())[:300]}


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
