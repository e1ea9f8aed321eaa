"""Content credentials (C2PA): who signed what about a picture, and whether that still holds.

A signature that holds says nothing of the origin: a program that resizes pictures signs a
generated one as validly as a photograph. So the two are told apart, the origin first.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from sida.provenance.declared.declaration import ORIGIN, statement
from sida.provenance.declared.generator_names import generator_named
from sida.provenance.declared.manifests import (
    UNTRUSTED,
    VALID,
    Ingredient,
    Manifest,
    chain,
    fields,
    program,
)
from sida.provenance.declared.sidecar import Sidecar
from sida.provenance.declared.source_types import GENERATED, PARTLY, term
from sida.verdict import Declared

__all__ = ["TRUST_LIST", "credentials"]

SECONDS = 20
MEMORY = 4 << 30
LENGTH = 8 << 20
MAX_LISTED = 50
TRUST_LIST = "the list of --trust"
FILE, SIDECAR = "C2PA", "C2PA sidecar"

_READER = Path(__file__).with_name("c2pa_process.py")


def credentials(
    data: bytes, trust: str | None = None, sidecar: Sidecar | None = None
) -> list[Declared]:
    """Statements of a file's content credentials; [] where it has none.

    Args:
        data: the whole file.
        trust: certificates of trusted issuers in PEM; without them no issuer is trusted.
        sidecar: credentials in a file of their own. They are read where the picture holds none,
            or where somebody asked for them.
    """
    is_embedded = b"jumb" in data and b"c2pa" in data
    if is_embedded and not (sidecar is not None and sidecar.is_asked_for):
        store = _read(data, trust)
        if store and sidecar is not None:
            value = (
                f"{sidecar.name} was not read, as the file has credentials of its own; "
                "--credentials reads it."
            )
            store.append(_declared("content_credentials", value, "not read", SIDECAR))
        if store:
            return store
    if sidecar is None:
        return []
    if sidecar.problem is not None:
        return [_unread(f"The content credentials in {sidecar.name} {sidecar.problem}.")]
    return _read(data, trust, sidecar) or [_unread(f"{sidecar.name} holds no content credentials.")]


def _read(data: bytes, trust: str | None, sidecar: Sidecar | None = None) -> list[Declared]:
    answer = _read_in_process(data, trust, b"" if sidecar is None else sidecar.data)
    beside, source = ("", FILE) if sidecar is None else (f" in {sidecar.name}", SIDECAR)
    try:
        if "store" in answer:
            manifests = chain(answer["store"], has_list=trust is not None)
            summary = _summary(manifests, trust, beside)
            return list(_statements(manifests, summary, answer["thumbnails"], source))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # strangers wrote it
        answer = {"error": "have a form that is not known here"}
    if "error" not in answer:
        return []
    return [_unread(f"The content credentials{beside} {answer['error']}.")]


def _read_in_process(data: bytes, trust: str | None, sidecar: bytes) -> dict[str, Any]:
    """The answer of the reading process; what becomes of it is an error of this file alone."""
    limits = [MEMORY + 2 * len(data), SECONDS, LENGTH]
    request = json.dumps({"trust": trust, "limits": limits, "sidecar": len(sidecar)})
    try:
        # A native parser of untrusted bytes: in a process of its own it may crash or never end.
        process = subprocess.run(
            [sys.executable, "-P", str(_READER)],
            input=b"".join((request.encode(), b"\n", sidecar, data)),
            capture_output=True,
            timeout=2 * SECONDS,  # of the clock, on a busy machine
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {SECONDS} seconds to read"}
    except OSError as error:
        return {"error": f"could not be read, for no process could be started: {error.strerror}"}
    if process.returncode != 0:
        return {"error": "made their reader fail: they may be made to do so"}
    answer: dict[str, Any] = json.loads(process.stdout)
    return answer


def _statements(
    manifests: Sequence[Manifest], summary: str, thumbnails: Mapping[str, str], source: str
) -> Iterator[Declared]:
    """The origin that any manifest declares, the last signature, then manifest by manifest."""
    yield from _origin(manifests, source)
    yield _declared("content_credentials", summary, manifests[0].state, source)
    for number, manifest in enumerate(manifests[:MAX_LISTED]):
        yield from _of_manifest(manifest, thumbnails if number == 0 else {}, source)


def _origin(manifests: Sequence[Manifest], source: str) -> Iterator[Declared]:
    """Statement where any manifest declares that its picture, or a part of it, is generated."""
    generated = [manifest for manifest in manifests if manifest.is_generated]
    if not generated:
        return
    first = generated[0]
    terms = [name for name in first.source_types if name in GENERATED + PARTLY]
    extent = " in part" if all(name in PARTLY for name in terms) else ""
    programs = f" with {', '.join(first.generators)}" if first.generators else ""
    value = f"{_subject(first)} is declared as generated{extent}: {', '.join(terms)}{programs}."
    if len(generated) > 1:
        value += f" So are {len(generated) - 1} more of the pictures that it was made of."
    yield _declared(ORIGIN, value, first.state, source + _source_name(first))


def _summary(manifests: Sequence[Manifest], trust: str | None, beside: str) -> str:
    """The number of manifests and the last signature; nothing of the origin."""
    last, count = manifests[0], len(manifests)
    parts = [f"{count} manifest{'s' * (count != 1)}{beside}"]
    if count > MAX_LISTED:
        parts.append(f"the outermost {MAX_LISTED} are listed")
    codes = list(last.codes or ())
    if any(code.endswith(".expired") for code in codes):  # such a one is on no list any more
        codes = [code for code in codes if code != UNTRUSTED]
    if codes:
        parts.append(f"found: {', '.join(codes[:10])}")
    else:
        parts.append(f"the last signature holds, and its issuer is on {TRUST_LIST}")
    if trust is None:
        parts.append("no list of trusted issuers was given")
    if not any(manifest.source_types for manifest in manifests):
        parts.append("none says how the picture came about")
    return "; ".join(parts)


def _of_manifest(
    manifest: Manifest, thumbnails: Mapping[str, str], source: str
) -> Iterator[Declared]:
    signature = fields(manifest.content.get("signature_info"))
    ingredients: list[JsonValue] = [
        _ingredient(ingredient, manifest.signer, thumbnails.get(str(index)))
        for index, ingredient in enumerate(manifest.ingredients[:MAX_LISTED])
    ]
    programs = [generator_named(name) or name for name in manifest.generators[:MAX_LISTED]]
    values: tuple[tuple[str, JsonValue], ...] = (
        ("signer", manifest.signer),
        ("signed_at", str(signature.get("time") or "")),
        ("claim_generator", ", ".join(manifest.tools)),
        ("actions", [_action(action) for action in manifest.actions[:MAX_LISTED]]),
        *(("digital_source_type", name) for name in manifest.source_types[:MAX_LISTED]),
        *(("generator", name) for name in dict.fromkeys(programs)),
        ("ingredients", ingredients),
    )
    for name, value in values:
        if value:
            yield _declared(name, value, manifest.state, source + _source_name(manifest))
    if manifest.has_odd_actions:
        value = "Some actions have a form that is not known here."
        yield _declared("actions", value, "not read", source + _source_name(manifest))


def _action(action: Mapping[str, Any]) -> dict[str, JsonValue]:
    fields_read: dict[str, JsonValue] = {
        key: str(action[key])[:1000]
        for key in ("action", "when", "description", "reason")
        if key in action
    }
    if (agent := action.get("softwareAgent")) is not None:
        fields_read["softwareAgent"] = program(agent)
    if isinstance(address := action.get("digitalSourceType"), str):
        fields_read["digitalSourceType"] = term(address)
    if parameters := fields(action.get("parameters")):
        fields_read["parameters"] = _bounded(parameters)
    return fields_read


def _ingredient(ingredient: Ingredient, signer: str, thumbnail: str | None) -> JsonValue:
    """A picture that another was made of; `signer` is who signed that other one."""
    content, is_signed = ingredient.content, ingredient.label is not None
    fields_read = {
        key: str(content[key])[:1000]
        for key in ("title", "format", "relationship")
        if key in content
    }
    return {
        **fields_read,
        "thumbnail": thumbnail,
        "signed": is_signed,
        "state": ingredient.state,
        "trusted_by": TRUST_LIST if ingredient.state == VALID else None,
        "codes": list(ingredient.codes[:10]),
        # Its pixels are not in the file: that they were the signed ones is this signer's word.
        "checked_by": signer or None if is_signed else None,
    }


def _bounded(value: object, depth: int = 5) -> JsonValue:
    """A value of any size as one that can be told."""
    if isinstance(value, Mapping | list) and depth == 0:
        return "…"
    if isinstance(value, Mapping):
        few = list(value.items())[:MAX_LISTED]
        return {str(key)[:200]: _bounded(entry, depth - 1) for key, entry in few}
    if isinstance(value, list):
        return [_bounded(entry, depth - 1) for entry in value[:MAX_LISTED]]
    return value if isinstance(value, bool | int | float | None) else str(value)[:1000]


def _subject(manifest: Manifest) -> str:
    """The picture of a manifest, as the beginning of a sentence."""
    title = f' "{manifest.title}"' if manifest.title else ""
    match manifest.relations:
        case ():
            return "This picture"
        case ("leftover",):
            return "The picture of a manifest that nothing refers to"
        case relations if set(relations) == {"parent"}:
            return f"An earlier state of this picture ({_way(relations)}{title})"
        case relations:
            return f"A picture that this one was made of ({_way(relations)}{title})"


def _source_name(manifest: Manifest) -> str:
    """Behind the source of a statement: the way to its manifest."""
    title = f' "{manifest.title}"' if manifest.title else ""
    return f", {_way(manifest.relations)}{title}" if manifest.relations else ""


def _way(relations: Sequence[str]) -> str:
    """The last steps of the way to an ingredient: "parent", "component of a parent"."""
    return " of a ".join(reversed(relations[-3:]))


def _unread(sentence: str) -> Declared:
    return _declared("content_credentials", sentence, "not read")


def _declared(name: str, value: JsonValue, state: str, source: str = FILE) -> Declared:
    declaration = statement(name, value, source, state)
    return (
        declaration.model_copy(update={"trusted_by": TRUST_LIST}) if state == VALID else declaration
    )
