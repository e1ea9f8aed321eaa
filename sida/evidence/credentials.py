"""Content credentials (C2PA): who signed what about a picture, and whether that still holds."""

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sida.errors import InputError
from sida.evidence.statement import statement
from sida.verdict import Declared

__all__ = ["credentials", "read_trust"]

SECONDS = 20
MEMORY = 4 << 30
LENGTH = 8 << 20
MAX_LISTED = 50

_OF_PICTURE = ("assertion.", "claim", "ingredient.", "manifest.")
_ALTERED = (".mismatch", ".missing")
_READER = Path(__file__).with_name("c2pa_process.py")


def credentials(data: bytes, trust: str | None = None) -> list[Declared]:
    """What a file's content credentials say; [] where it has none.

    Args:
        data: the whole file.
        trust: certificates of trusted issuers in PEM; without them no issuer is trusted.
    """
    if b"jumb" not in data or b"c2pa" not in data:
        return []
    answer = _ask(data, trust)
    try:
        if "store" in answer:
            return list(_statements(answer["store"], answer["thumbnails"], trust))
    except (AttributeError, KeyError, TypeError):  # strangers wrote it, in any shape
        answer = {"error": "have a form that is not known here"}
    if "error" not in answer:
        return []
    value = f"The content credentials {answer['error']}."
    return [_declared("content_credentials", value, "not read")]


def read_trust(file: str | Path) -> str:
    """Certificates of trusted issuers, in PEM, out of a file.

    Raises InputError where it cannot be read or holds none.
    """
    try:
        text = Path(file).read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--trust {str(file)!r} cannot be read: {error}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise InputError(
            f"--trust {str(file)!r} holds no certificate, or a broken one, expected PEM"
        ) from error
    return text


def _ask(data: bytes, trust: str | None) -> dict[str, Any]:
    """The answer of the reading process; what becomes of it is an error of this file alone."""
    asked = json.dumps({"trust": trust, "limits": [MEMORY + 2 * len(data), SECONDS, LENGTH]})
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(_READER)],
            input=asked.encode() + b"\n" + data,
            capture_output=True,
            timeout=2 * SECONDS,  # of the clock, on a busy machine
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {SECONDS} seconds to read"}
    except OSError as error:
        return {"error": f"could not be read, for no process could be started: {error.strerror}"}
    if done.returncode != 0:
        return {"error": "made their reader fail: they may be made to do so"}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _statements(
    store: Mapping[str, Any], thumbnails: Mapping[str, str], trust: str | None
) -> Iterator[Declared]:
    manifest = store.get("manifests", {}).get(store.get("active_manifest"), {})
    codes = _failures(store)
    state = _state(codes)
    yield _declared("content_credentials", _summary(store, codes, trust), state)
    signed = manifest.get("signature_info", {})
    names = dict.fromkeys(signed[key] for key in ("common_name", "issuer") if signed.get(key))
    if names:
        yield _declared("signer", ", ".join(names), state)
    if signed.get("time"):
        yield _declared("signed_at", signed["time"], state)
    tools = [_named(each) for each in manifest.get("claim_generator_info") or []]
    if tools or manifest.get("claim_generator"):
        value = ", ".join(filter(None, tools)) or manifest["claim_generator"]
        yield _declared("claim_generator", value, state)
    actions = [_action(each) for each in _actions(manifest)]
    if actions:
        yield _declared("actions", actions, state)
    kinds = (str(each["digitalSourceType"]) for each in actions if "digitalSourceType" in each)
    for kind in dict.fromkeys(kinds):
        yield _declared("digital_source_type", kind, state)
    ingredients = [
        _ingredient(each, thumbnails.get(str(index)))
        for index, each in enumerate(manifest.get("ingredients", [])[:MAX_LISTED])
    ]
    if ingredients:
        yield _declared("ingredients", ingredients, state)


def _failures(store: Mapping[str, Any]) -> tuple[str, ...]:
    """Codes of the specification, each once; those of ingredients are not of this picture."""
    active = store.get("validation_results", {}).get("activeManifest", {})
    failed = [*active.get("failure", []), *store.get("validation_status", [])]
    return tuple(dict.fromkeys(str(each.get("code")) for each in failed))


def _state(codes: tuple[str, ...]) -> str:
    """In words; what says most about the picture comes first."""
    if any(code.startswith(_OF_PICTURE) and code.endswith(_ALTERED) for code in codes):
        return "signed, altered after signing"
    if any("revoked" in code for code in codes):
        return "signed, certificate revoked"
    if any(code.endswith((".expired", ".outsideValidity")) for code in codes):
        return "signed, expired"
    if any(code != "signingCredential.untrusted" for code in codes):
        return "signed, not valid"
    return "signed, issuer not trusted" if codes else "signed, valid"


def _summary(store: Mapping[str, Any], codes: tuple[str, ...], trust: str | None) -> str:
    count = len(store.get("manifests", {}))
    said = f"{count} manifest{'s' * (count != 1)}"
    if codes:
        said += f"; found: {', '.join(codes[:10])}"
    if trust is None:
        said += "; no list of trusted issuers was given"
    return said


def _actions(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for assertion in manifest.get("assertions", []):
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            yield from assertion.get("data", {}).get("actions", [])[:MAX_LISTED]


def _action(action: Mapping[str, Any]) -> dict[str, str]:
    kept = {key: action[key] for key in ("action", "when", "description") if key in action}
    if (agent := action.get("softwareAgent")) is not None:
        kept["softwareAgent"] = _named(agent)
    if (kind := action.get("digitalSourceType")) is not None:
        kept["digitalSourceType"] = str(kind).rpartition("/")[2]
    return {key: str(value)[:1000] for key, value in kept.items()}


def _ingredient(ingredient: Mapping[str, Any], thumbnail: str | None) -> dict[str, Any]:
    kept = {
        key: str(ingredient[key])[:1000]
        for key in ("title", "format", "relationship")
        if key in ingredient
    }
    return {
        **kept,
        "thumbnail": thumbnail,
        "signed": "active_manifest" in ingredient,
    }


def _named(tool: object) -> str:
    """A program with its version, whether it comes as text or as an object."""
    if isinstance(tool, Mapping):
        return " ".join(str(tool[key]) for key in ("name", "version") if tool.get(key))
    return str(tool)[:1000]


def _declared(name: str, value: Any, state: str) -> Declared:
    return statement(name, value, "C2PA", state)
