"""Content credentials as a chain: what every manifest declares, and the state of each."""

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sida.provenance import inspect
from sida.provenance.declared.credentials import credentials
from sida.provenance.declared.manifests import ALTERED, chain
from sida.verdict import Declared, Provenance
from tests.provenance import signing
from tests.provenance.made_files import CAPTURED, GENERATED, altered, camera, created, jpeg, png

OPENED = [{"action": "c2pa.opened"}, {"action": "c2pa.resized", "parameters": {"width": 640}}]
PARTLY = GENERATED.replace("trained", "compositeWithTrained")
VALID, UNTRUSTED = "signed, valid", "signed, issuer not trusted"


def generated(**options: Any) -> bytes:
    actions = created(GENERATED, "GPT-4o")
    return signing.signed(jpeg(), actions=actions, generator="ChatGPT 1", **options)


def edited(ingredient: bytes, relationship: str = "parentOf", **options: Any) -> bytes:
    # Without "opened", which the specification lets stand only with a reference to its parent.
    return signing.signed(
        options.pop("data", jpeg()), ingredient=ingredient, relationship=relationship, **options
    )


def declared_in(data: bytes, trust: str | None = "") -> list[Declared]:
    """By the list of the tests, unless another is named."""
    return credentials(data, signing.trusted() if trust == "" else trust)


def values(result: list[Declared], name: str) -> list[tuple[Any, str, str]]:
    return [(item.value, item.source, item.state) for item in result if item.name == name]


def only_ingredient(result: list[Declared]) -> dict[str, Any]:
    (ingredient,) = next(item.value for item in result if item.name == "ingredients")
    return ingredient


@pytest.mark.parametrize(("relationship", "relation"), [
    ("parentOf", "parent"), ("componentOf", "component"), ("inputTo", "input"),
])  # fmt: skip
@pytest.mark.parametrize("claim", [1, 2])
def test_what_an_ingredient_declares_is_told_first(
    relationship: str, relation: str, claim: int
) -> None:
    result = declared_in(edited(generated(claim=claim), relationship, claim=claim))
    source = f'C2PA, {relation} "the original"'
    first = result[0]
    assert (first.name, first.source, first.state) == ("origin", source, VALID)
    assert "declared as generated: trainedAlgorithmicMedia with GPT-4o" in str(first.value)
    assert relation in str(first.value)
    assert values(result, "digital_source_type")[-1] == ("trainedAlgorithmicMedia", source, VALID)
    assert values(result, "generator") == [("ChatGPT", source, VALID)]
    assert values(result, "claim_generator") == [
        ("test 1.0", "C2PA", VALID), ("ChatGPT 1", source, VALID),
    ]  # fmt: skip


def test_manifests_are_told_outermost_first_however_deep() -> None:
    data = edited(edited(edited(generated(), "componentOf"), generator="third 3"))
    result = declared_in(data)
    assert [value for value, _, _ in values(result, "claim_generator")] == [
        "test 1.0", "third 3", "test 1.0", "ChatGPT 1",
    ]  # fmt: skip
    way = 'C2PA, component of a parent of a parent "the original"'
    assert values(result, "generator") == [("ChatGPT", way, VALID)]
    assert result[0].name == "origin"
    assert "4 manifests" in str(values(result, "content_credentials")[0][0])


def test_the_signature_and_the_origin_are_two_statements() -> None:
    result = declared_in(edited(generated()))
    ((summary, _, state),) = values(result, "content_credentials")
    assert state == VALID
    assert "the last signature holds, and its issuer is on the list of --trust" in summary
    assert "generated" not in summary
    ((silent, _, _),) = values(
        declared_in(signing.signed(jpeg(), actions=OPENED)), "content_credentials"
    )
    assert "none says how the picture came about" in silent


@pytest.mark.parametrize(
    ("make", "state", "codes"),
    [
        (lambda: edited(generated()), VALID, []),
        (lambda: edited(generated(claim=1), claim=1), VALID, []),
        (lambda: edited(altered()), ALTERED, ["assertion.dataHash.mismatch"]),
        (lambda: edited(generated(by=signing.stranger())), UNTRUSTED, [".untrusted"]),
        (lambda: edited(generated(by=signing.stranger(), claim=1), claim=1), UNTRUSTED,
         [".untrusted"]),
        # Its signer trusted it, by a list of its own.
        (lambda: edited(generated(by=signing.stranger()), trust=signing.trusted_by_strangers()),
         UNTRUSTED, [".untrusted"]),
        (lambda: edited(generated(), trust=signing.trusted_by_strangers()), VALID, []),
        (lambda: edited(signing.signed_and_expired(jpeg())), "signed, expired", [".expired"]),
        (lambda: edited(jpeg()), "unsigned", []),
        (lambda: edited(generated()).replace(b"GPT-4o", b"GPT-5o", 1),
         ALTERED, ["hashedURI.mismatch"]),
    ],
)  # fmt: skip
def test_each_ingredient_has_its_own_state(
    make: Callable[[], bytes], state: str, codes: list[str]
) -> None:
    result = declared_in(make())
    ingredient = only_ingredient(result)
    assert ingredient["state"] == state
    assert ingredient["trusted_by"] == ("the list of --trust" if state == VALID else None)
    for code in codes:
        assert any(code in item for item in ingredient["codes"]), ingredient
    assert codes or not ingredient["codes"]


def test_the_state_of_an_ingredient_is_not_that_of_the_picture() -> None:
    """Its issuer is not trusted any more, which is nothing that was altered here."""
    data = edited(generated(by=signing.stranger()), trust=signing.trusted_by_strangers())
    result = declared_in(data)
    assert values(result, "content_credentials")[0][2] == VALID
    assert inspect(data, trust=signing.trusted()).contradictions == ()


@pytest.mark.parametrize("trust", [None, signing.trusted_by_strangers()])
def test_without_a_list_no_ingredient_is_trusted(trust: str | None) -> None:
    """Whatever the signer recorded: the list is that of the one who asks."""
    result = declared_in(edited(generated(), trust=signing.trusted()), trust)
    assert only_ingredient(result)["state"] == UNTRUSTED
    assert {item.state for item in result} == {UNTRUSTED}
    assert {item.trusted_by for item in result} == {None}


def test_who_has_checked_an_ingredients_pixels_is_told() -> None:
    """They are not in the file: a stranger can name any signed picture as the parent of his own."""
    result = declared_in(edited(generated(), by=signing.stranger()))
    assert only_ingredient(result)["checked_by"] == "A stranger"
    assert values(result, "content_credentials")[0][2] == UNTRUSTED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("digitalSourceType", GENERATED),
        ("digitalSourceType", GENERATED.replace("http:", "https:") + "/"),
        ("digitalSourceType", "trainedAlgorithmicMedia"),
        ("digitalSourceType", "http://c2pa.org/digitalsourcetype/trainedAlgorithmicData"),
        ("Iptc4xmpExt:DigitalSourceType", "digsrctype:trainedalgorithmicmedia"),
        ("Iptc4xmpExt:DigitalSourceType", {"@id": GENERATED}),
        ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/DigitalSourceType", [GENERATED]),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_a_source_type_is_read_in_each_assertion_and_spelling(
    key: str, value: object, deep: bool
) -> None:
    data = {key: value}
    assertion = {"label": "stds.iptc", "data": {"items": [{"more": data}]} if deep else data}
    store = store_of(assertion)
    (manifest,) = chain(store, has_list=True)
    assert manifest.is_generated
    assert manifest.source_types[0].startswith("trainedAlgorithmic")


def store_of(*assertions: object, **extra: object) -> dict[str, Any]:
    return {"active_manifest": "a", "manifests": {"a": {"assertions": list(assertions), **extra}}}


@pytest.mark.parametrize(
    ("data", "programs"),
    [
        ({"actions": [{"digitalSourceType": GENERATED, "softwareAgent": "PixelDream"}]},
         ["PixelDream"]),
        ({"actions": [{"digitalSourceType": GENERATED,
                       "softwareAgent": {"name": "P", "version": 2}}]}, ["P 2"]),
        ({"actions": [{"digitalSourceType": PARTLY, "softwareAgentIndex": 1}],
          "softwareAgents": ["Q", {"name": "P"}]}, ["P"]),
        ({"actions": [{"digitalSourceType": PARTLY, "softwareAgentIndex": 7}],
          "softwareAgents": ["Q"]}, ["a claim"]),
        ({"actions": [{"digitalSourceType": GENERATED}]}, ["a claim"]),
        ({"actions": [{"digitalSourceType": CAPTURED, "softwareAgent": "Camera"}]}, []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("label", ["c2pa.actions", "c2pa.actions.v2", "c2pa.actions.v2__1"])
def test_the_program_that_generated_is_told(
    label: str, data: dict[str, Any], programs: list[str]
) -> None:
    store = store_of({"label": label, "data": data}, claim_generator="a claim")
    (manifest,) = chain(store, has_list=True)
    assert manifest.generators == programs


def test_a_generated_part_is_told_as_a_part() -> None:
    result = declared_in(signing.signed(jpeg(), actions=created(PARTLY, "Adobe Firefly")))
    assert result[0].value == (
        "This picture is declared as generated in part: compositeWithTrainedAlgorithmicMedia with "
        "Adobe Firefly."
    )


def test_parameters_of_actions_are_told_within_bounds() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"in": deep, "x": "y" * 5000}
    acted = [{"action": "c2pa.resized", "parameters": {"width": 640, "deep": deep}}]
    result = declared_in(signing.signed(jpeg(), actions=acted))
    ((actions, _, _),) = values(result, "actions")
    assert actions[0]["parameters"]["width"] == 640
    assert len(str(actions)) < 10_000


def test_a_manifest_that_nothing_refers_to_is_told_and_not_believed() -> None:
    statements = declared_in(generated())
    assertion = {"label": "c2pa.actions", "data": {"actions": created(GENERATED)}}
    store = store_of()
    store["manifests"]["b"] = {"assertions": [assertion]}
    first, leftover = chain(store, has_list=True)
    assert (first.label, leftover.state) == ("a", "signed, not checked")
    assert leftover.is_generated
    assert statements[0].name == "origin"


@pytest.mark.parametrize(
    "content",
    [{"active_manifest": "gone"}, {"validation_status": [{"code": "manifest.inaccessible"}]}],
)
def test_an_ingredient_whose_credentials_are_not_there_is_not_read(content: object) -> None:
    (manifest,) = chain(store_of(ingredients=[content]), has_list=True)
    assert manifest.ingredients[0].state == "not read"


def test_a_long_chain_is_walked_to_its_end() -> None:
    """Also one that goes round."""
    store = store_of(ingredients=[{"active_manifest": "0"}])
    for number in range(3_000):
        after = {"active_manifest": str((number + 1) % 3_000), "relationship": "parentOf"}
        store["manifests"][str(number)] = {"ingredients": [after]}
    actions = {"actions": created(GENERATED)}
    store["manifests"]["2999"]["assertions"] = [{"label": "c2pa.actions", "data": actions}]
    manifests = chain(store, has_list=True)
    assert len(manifests) == 3_001
    assert manifests[-1].is_generated


def test_a_photograph_that_became_partly_generated_contradicts_nothing() -> None:
    photograph = signing.signed(jpeg(exif=camera()), actions=created(CAPTURED))
    data = edited(photograph, actions=created(PARTLY, "Adobe Firefly"))
    assert inspect(data, trust=signing.trusted()).contradictions == ()


@pytest.mark.parametrize(
    ("relationship", "contradicts"), [("parentOf", True), ("componentOf", False)]
)
def test_a_camera_whose_earlier_state_was_generated_does(
    relationship: str, contradicts: bool
) -> None:
    data = edited(generated(), relationship, data=jpeg(exif=camera()))
    provenance = inspect(data, trust=signing.trusted()).contradictions
    assert (
        any("an earlier state of it was trainedAlgorithmic" in text for text in provenance)
        == contradicts
    )


def test_an_altered_ingredient_is_not_called_an_altered_file() -> None:
    (text,) = inspect(edited(altered()), trust=signing.trusted()).contradictions
    assert text.startswith("A picture that this one was made of was altered")


@pytest.fixture
def beside(tmp_path: Path) -> tuple[Path, Path]:
    """A picture, and its credentials in a file beside it."""
    data, sidecar = signing.with_sidecar(jpeg(), actions=created(GENERATED, "GPT-4o"))
    (tmp_path / "photo.jpg").write_bytes(data)
    (tmp_path / "photo.c2pa").write_bytes(sidecar)
    return tmp_path / "photo.jpg", tmp_path / "photo.c2pa"


def state_of(result: Provenance) -> tuple[str, str, str]:
    return next(
        (item.source, item.state, str(item.value))
        for item in result.declared
        if item.name == "content_credentials"
    )


def test_credentials_beside_the_picture_are_read(beside: tuple[Path, Path]) -> None:
    picture, sidecar = beside
    provenance = inspect(picture, trust=signing.trusted())
    assert state_of(provenance)[:2] == ("C2PA sidecar", VALID)
    assert "in photo.c2pa" in state_of(provenance)[2]
    assert "generator" in {item.name for item in provenance.declared}
    sidecar.rename(picture.with_name("photo.jpg.c2pa"))
    assert state_of(inspect(str(picture), trust=signing.trusted()))[1] == VALID
    assert not inspect(picture.read_bytes()).declared


def test_credentials_of_another_picture_accuse_nobody(beside: tuple[Path, Path]) -> None:
    picture, _ = beside
    (picture.parent / "photo.png").write_bytes(png())
    provenance = inspect(picture.parent / "photo.png", trust=signing.trusted())
    (text,) = provenance.contradictions
    assert "are of another picture, or it was altered" in text


def test_the_files_own_credentials_come_first(beside: tuple[Path, Path]) -> None:
    picture, sidecar = beside
    group = picture.parent / "own.jpg"
    group.write_bytes(signing.signed(jpeg()))
    sidecar.rename(group.with_suffix(".c2pa"))
    provenance = inspect(group, trust=signing.trusted())
    assert state_of(provenance)[:2] == ("C2PA", VALID)
    assert any("own.c2pa was not read" in str(item.value) for item in provenance.declared)
    answer = inspect(group, trust=signing.trusted(), sidecar=group.with_suffix(".c2pa"))
    assert state_of(answer)[0] == "C2PA sidecar"


@pytest.mark.parametrize("change", ["cut", "empty", "text", "large", "folder", "pipe", "gone"])
def test_a_broken_sidecar_is_one_line(
    change: str, beside: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, sidecar = beside
    contents = {"cut": sidecar.read_bytes()[:-100], "empty": b"", "text": b"none " * 9}
    if change == "large":
        monkeypatch.setattr("sida.provenance.declared.sidecar.MAX_BYTES", 100)
    elif change in contents:
        sidecar.write_bytes(contents[change])
    else:
        sidecar.unlink()
        {"folder": sidecar.mkdir, "pipe": lambda: os.mkfifo(sidecar), "gone": lambda: None}[
            change
        ]()
    result: list[Provenance] = []
    answer = threading.Thread(
        target=lambda: result.append(inspect(picture, sidecar=sidecar)), daemon=True
    )
    answer.start()
    answer.join(60)
    (statements,) = result[0].declared
    assert statements.state == "not read"
    assert "photo.c2pa" in str(statements.value)
    if change in ("folder", "pipe", "gone"):
        assert not inspect(picture).declared


def test_each_statement_says_by_whose_list(beside: tuple[Path, Path]) -> None:
    provenance = inspect(edited(generated()), trust=signing.trusted()).declared
    assert {item.trusted_by for item in provenance} == {"the list of --trust"}
    lists = itertools.chain(provenance, inspect(jpeg(exif=camera())).declared)
    assert {item.trusted_by for item in lists if item.state != VALID} == {None}
