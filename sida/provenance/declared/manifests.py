"""Manifests of content credentials as a chain: the picture's last one, its ingredients', theirs.

Everything here was written by strangers: a value of another type than the specification's counts
as absent.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sida.provenance.declared.source_types import GENERATED, PARTLY, source_types

__all__ = ["ALTERED", "UNTRUSTED", "VALID", "Ingredient", "Manifest", "chain", "fields", "program"]

VALID = "signed, valid"
ALTERED = "signed, altered after signing"
TRUSTED = "signingCredential.trusted"
UNTRUSTED = "signingCredential.untrusted"
RELATIONS = {"parentOf": "parent", "componentOf": "component", "inputTo": "input"}

_OF_PICTURE = ("assertion.", "claim", "ingredient.", "manifest.")
_CHANGED = (".mismatch", ".missing")


@dataclass(frozen=True)
class Ingredient:
    """A picture that another was made of.

    Attributes:
        label: of its manifest; None where it has none.
        codes: failures that were recorded when it was put in, and those that were found since.
        is_read: whether its manifest, where it has one, is there and could be read then.
    """

    content: Mapping[str, object]
    label: str | None
    codes: tuple[str, ...]
    is_read: bool

    @property
    def title(self) -> str:
        return str(self.content.get("title") or "")[:200]

    @property
    def relation(self) -> str:
        return RELATIONS.get(str(self.content.get("relationship")), "ingredient")

    @property
    def state(self) -> str:
        if not self.is_read:
            return "not read"
        return "unsigned" if self.label is None else state_of(self.codes)


@dataclass(frozen=True)
class Manifest:
    """A signed manifest of the chain.

    Attributes:
        codes: failures of the specification; None where nothing has checked it.
        relations: the way to it from the picture, such as ("parent", "component").
        title: of the ingredient that it belongs to.
    """

    label: str
    content: Mapping[str, object]
    ingredients: tuple[Ingredient, ...]
    codes: tuple[str, ...] | None
    relations: tuple[str, ...] = ()
    title: str = ""

    @property
    def state(self) -> str:
        return "signed, not checked" if self.codes is None else state_of(self.codes)

    @property
    def actions(self) -> list[Mapping[str, object]]:
        """Actions of all its assertions, of both versions, with their programs filled in."""
        return list(_actions(self.content))

    @property
    def has_odd_actions(self) -> bool:
        """True where something stands in the place of actions that is none."""
        lists = [data.get("actions") for data in _action_data(self.content)]
        return any(
            not isinstance(actions, list) or len(entries(actions)) < len(actions)
            for actions in lists
        )

    @property
    def source_types(self) -> list[str]:
        """Digital source types of all its assertions, each once."""
        data = [entry.get("data") for entry in entries(self.content.get("assertions"))]
        return list(dict.fromkeys(source_types(data)))

    @property
    def is_generated(self) -> bool:
        return any(name in GENERATED + PARTLY for name in self.source_types)

    @property
    def signer(self) -> str:
        signature = fields(self.content.get("signature_info"))
        names = (signature.get(key) for key in ("common_name", "issuer"))
        return ", ".join(dict.fromkeys(str(name) for name in names if name))

    @property
    def tools(self) -> list[str]:
        """Programs that wrote the claim."""
        names = [program(entry) for entry in entries(self.content.get("claim_generator_info"))]
        names = list(filter(None, names)) or [program(self.content.get("claim_generator") or "")]
        return list(filter(None, names))

    @property
    def generators(self) -> list[str]:
        """Programs of the generated parts, or, where none is named, that of the claim."""
        if not self.is_generated:
            return []
        generating = (
            action for action in self.actions if any(map(_generates, source_types(action)))
        )
        agents = [program(action.get("softwareAgent") or "") for action in generating]
        for assertion in entries(self.content.get("assertions")):
            if assertion.get("label") == "com.adobe.generative-ai":
                agents.append(str(fields(assertion.get("data")).get("description") or ""))
        return list(dict.fromkeys(filter(None, agents))) or self.tools


def chain(store: Mapping[str, object], has_list: bool) -> list[Manifest]:
    """Every manifest once, outermost first; those that nothing refers to stand last.

    Raises ValueError where the file's own is not there.

    Args:
        store: what the library read.
        has_list: whether there is a list of trusted issuers; without it nobody is trusted,
            whatever a signer recorded of an ingredient.
    """
    contents, changes = fields(store.get("manifests")), _changes(store)
    active = str(store.get("active_manifest"))
    waiting: deque[tuple[str, tuple[str, ...], str, tuple[str, ...]]] = deque()
    waiting.append((active, (), "", _active_codes(store, active, has_list)))
    manifests: dict[str, Manifest] = {}
    while waiting:
        label, relations, title, codes = waiting.popleft()
        if label in manifests or label not in contents:
            continue
        content = fields(contents[label])
        ingredients = tuple(
            _ingredient(entry, contents, changes, has_list)
            for entry in entries(content.get("ingredients"))
        )
        manifests[label] = Manifest(label, content, ingredients, codes, relations, title)
        for ingredient in ingredients:
            if ingredient.label is not None:
                way = (*relations, ingredient.relation)
                waiting.append((ingredient.label, way, ingredient.title, ingredient.codes))
    if not manifests:
        raise ValueError("no manifest is the active one")
    left = [label for label in contents if label not in manifests]
    return [
        *manifests.values(),
        *(Manifest(label, fields(contents[label]), (), None, ("leftover",)) for label in left),
    ]


def state_of(codes: tuple[str, ...]) -> str:
    """In words; what says most about the picture comes first."""
    if any(code.startswith(_OF_PICTURE) and code.endswith(_CHANGED) for code in codes):
        return ALTERED
    if any("revoked" in code for code in codes):
        return "signed, certificate revoked"
    if any(code.endswith((".expired", ".outsideValidity")) for code in codes):
        return "signed, expired"
    if any(code != UNTRUSTED for code in codes):
        return "signed, not valid"
    return "signed, issuer not trusted" if codes else VALID


def _active_codes(store: Mapping[str, object], label: str, has_list: bool) -> tuple[str, ...]:
    """Failures of the last manifest.

    What fails of an ingredient is the ingredient's, but for what was changed since it was signed
    over: then this file is not the one that was signed.
    """
    results = fields(fields(store.get("validation_results")).get("activeManifest"))
    codes = [_code(entry) for entry in entries(results.get("failure"))]
    if not (has_list and TRUSTED in map(_code, entries(results.get("success")))):
        codes.append(UNTRUSTED)
    for entry in entries(store.get("validation_status")):
        code, of = _code(entry), _label(entry)
        changed = code.startswith(_OF_PICTURE) and code.endswith(_CHANGED)
        if changed or of == label or of not in fields(store.get("manifests")):
            codes.append(code)
    return tuple(dict.fromkeys(codes))


def _changes(store: Mapping[str, object]) -> dict[str, tuple[list[str], list[str]]]:
    """Validation results by manifest where they differ from the recorded: successes, failures."""
    changes: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for delta in entries(fields(store.get("validation_results")).get("ingredientDeltas")):
        results = fields(delta.get("validationDeltas"))
        for side, key in enumerate(("success", "failure")):
            for entry in entries(results.get(key)):
                changes[_label(entry)][side].append(_code(entry))
    return changes


def _ingredient(
    content: Mapping[str, object],
    contents: Mapping[str, object],
    changes: Mapping[str, tuple[list[str], list[str]]],
    has_list: bool,
) -> Ingredient:
    """An ingredient with its state as of now.

    Its pixels are not there to be checked again: whether they were those that it was signed with
    stands in what its user recorded. The signature and the list of issuers are checked anew, and
    the library tells what came out differently.
    """
    label = content.get("active_manifest")
    results = fields(fields(content.get("validation_results")).get("activeManifest"))
    recorded = [*entries(results.get("failure")), *entries(content.get("validation_status"))]
    codes = [_code(entry) for entry in recorded]
    if not isinstance(label, str):
        return Ingredient(content, None, tuple(dict.fromkeys(codes)), not codes)
    successes, failures = changes.get(label, ([], []))
    trusted = TRUSTED in [*map(_code, entries(results.get("success"))), *successes]
    codes = [code for code in codes if code != UNTRUSTED] + failures
    if not (trusted and has_list):
        codes.append(UNTRUSTED)
    return Ingredient(content, label, tuple(dict.fromkeys(codes)), label in contents)


def _label(entry: Mapping[str, object]) -> str:
    """The manifest that a code is about."""
    match = re.search(r"/c2pa/([^/]+)", str(entry.get("url") or ""))
    return match[1] if match else ""


def _code(entry: Mapping[str, object]) -> str:
    return str(entry.get("code"))


def _actions(content: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    for data in _action_data(content):
        agents = data.get("softwareAgents")
        for action in entries(data.get("actions")):
            index = action.get("softwareAgentIndex")
            if isinstance(agents, list) and isinstance(index, int) and 0 <= index < len(agents):
                action = {"softwareAgent": agents[index], **action}
            yield action


def _action_data(content: Mapping[str, object]) -> list[Mapping[str, object]]:
    return [
        fields(assertion.get("data"))
        for assertion in entries(content.get("assertions"))
        if str(assertion.get("label") or "").startswith("c2pa.actions")
    ]


def _generates(name: str) -> bool:
    return name in GENERATED + PARTLY


def program(tool: object) -> str:
    """A program with its version, whether it comes as text or as an object."""
    if isinstance(tool, Mapping):
        return " ".join(str(tool[key]) for key in ("name", "version") if tool.get(key))[:1000]
    return str(tool)[:1000]


def fields(value: object) -> Mapping[str, object]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def entries(value: object) -> list[Mapping[str, object]]:
    """The objects of a list; [] where it is none."""
    return (
        [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
    )
