"""Files with every kind of statement about themselves, made on the spot, and what is to be found.

`CASES` is the table of docs/provenance.md; `python -m tests.provenance.made_files` prints it.
"""

import io
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.provenance import signing

UNSIGNED = "declared, unsigned"
VALID = "signed, valid"

Declared = tuple[str, str, str]
"""Name, a part of the value, state."""


@dataclass(frozen=True)
class Case:
    """A file, and what `inspect` has to say of it.

    Attributes:
        make: gives the file's bytes.
        told: what has to be among the declarations.
        untold: names that must not be.
        contradictions: a part of each sentence; there are no others.
        nothing: whether nothing at all is declared.
    """

    name: str
    make: Callable[[], bytes]
    told: tuple[Declared, ...] = ()
    untold: tuple[str, ...] = ()
    contradictions: tuple[str, ...] = ()
    nothing: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@cache
def photo(seed: int = 0, width: int = 96, height: int = 64) -> Image.Image:
    """Smooth shapes and grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    grain = rng.normal(0, 4, (height, width, 1))
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def saved(format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    photo().save(stream, format, **options)
    return stream.getvalue()


QUALITY: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"quality": 90}, "WEBP": {"lossless": True}, "PNG": {}, "TIFF": {}, "AVIF": {},
    "GIF": {},
}  # fmt: skip
"""How files of a format are saved here."""


def jpeg(**options: Any) -> bytes:
    return saved("JPEG", **QUALITY["JPEG"], **options)


def png(*texts: tuple[str, str], format: str = "tEXt") -> bytes:
    info = PngInfo()
    for keyword, text in texts:
        if format == "iTXt":
            info.add_itxt(keyword, text, zip=True)
        else:
            info.add_text(keyword, text, zip=format == "zTXt")
    return saved("PNG", pnginfo=info)


def webp(**options: Any) -> bytes:
    return saved("WEBP", **QUALITY["WEBP"], **options)


def exif(
    tags: Mapping[int, Any], inner: Mapping[int, Any] | None = None, gps: Mapping | None = None
) -> Image.Exif:
    exif = Image.Exif()
    exif.update(tags)
    exif.get_ifd(0x8769).update(inner or {})
    if gps:
        exif.get_ifd(0x8825).update(gps)
    return exif


CANON = {0x010F: "Canon", 0x0110: "Canon EOS R6", 0x0132: "2025:06:02 10:00:00"}
TAKEN = {0x9003: "2025:06:01 12:00:00", 0xA434: "RF35mm F1.8", 0xA431: "0123456789"}
PLACE = {1: "N", 2: (48.0, 51.0, 29.6), 3: "E", 4: (2.0, 17.0, 40.2)}


def camera(**extra: Any) -> Image.Exif:
    return exif({**CANON, 0x013B: "A. Person"}, {**TAKEN, **extra.pop("inner", {})}, **extra)


def comment(text: str) -> dict[int, bytes]:
    """EXIF's UserComment as the web UI writes it."""
    return {0x9286: b"UNICODE\0" + text.encode("utf-16-be")}


def xmp(attributes: str = "", inside: str = "") -> bytes:
    return f"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"
 {attributes}>{inside}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()


def source_type(term: str) -> str:
    address = f"http://cv.iptc.org/newscodes/digitalsourcetype/{term}"
    return f'Iptc4xmpExt:DigitalSourceType="{address}"'


def iptc(*fields: tuple[int, str]) -> bytes:
    """Photoshop's segment with IPTC-IIM fields of record 2, in UTF-8."""
    block = b"\x1c\1\x5a\0\3\x1b%G"
    for number, text in fields:
        value = text.encode()
        block += bytes([0x1C, 2, number]) + struct.pack(">H", len(value)) + value
    resource = b"8BIM\4\4\0\0" + struct.pack(">I", len(block)) + block + bytes(len(block) % 2)
    return b"Photoshop 3.0\0" + b"8BIM\3\xed\0\0\0\0\0\2\0\1" + resource


def extended(packet: bytes, size: int = 200, guid: bytes = b"0123456789ABCDEF" * 2) -> bytes:
    """A JPEG with a small packet, and this one in segments of `size` bytes, the last one first."""
    data = jpeg()
    for offset in range(0, len(packet), size):
        head = guid + struct.pack(">II", len(packet), offset)
        part = b"http://ns.adobe.com/xmp/extension/\0" + head + packet[offset : offset + size]
        data = with_segment(data, 0xE1, part)
    note = f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid.decode()}"'
    return with_segment(data, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(note))


def gif(packet: bytes, is_in_blocks: bool = False) -> bytes:
    """A GIF with XMP as Adobe puts it there, or in blocks as GIF has them."""
    data = saved("GIF")
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    if is_in_blocks:
        parts = [packet[start : start + 255] for start in range(0, len(packet), 255)]
        packet, trailer = b"".join(bytes([len(part)]) + part for part in parts), b"\0"
    return data[:at] + b"\x21\xff\x0bXMP DataXMP" + packet + trailer + data[at:]


def profile(name: str, content: bytes) -> tuple[str, str]:
    """A PNG's text as ImageMagick writes blocks of other forms."""
    digits = content.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    return f"Raw profile type {name}", f"\n{name}\n{len(content):8}\n{lines}\n"


def with_chunk(data: bytes, format: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    check = struct.pack(">I", zlib.crc32(format + body))
    return data[:33] + struct.pack(">I", len(body)) + format + body + check + data[33:]


def with_segment(data: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with one more segment at its beginning."""
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body + data[2:]


def with_thumbnail(of: Image.Image, orientation: int = 1) -> bytes:
    """A JPEG whose EXIF holds a small picture; Pillow writes none. An orientation turns the
    picture, and not the small one, which is what many phones write."""
    stream = io.BytesIO()
    of.resize((48, 32)).save(stream, "JPEG", quality=80)
    small = stream.getvalue()
    first = struct.pack("<HHHIII", 1, 0x0112, 3, 1, orientation, 26)
    entries = ((0x0201, 56), (0x0202, len(small)))
    second = struct.pack("<H", 2) + b"".join(struct.pack("<HHII", t, 4, 1, v) for t, v in entries)
    block = b"II*\0" + struct.pack("<I", 8) + first + second + struct.pack("<I", 0) + small
    return with_segment(jpeg(), 0xE1, b"Exif\0\0" + block)


WEB_UI = (
    "a red fox in the snow, 35mm\nNegative prompt: blurry, text\nSteps: 25, Sampler: Euler a, "
    "CFG scale: 7, Seed: 42, Size: 512x512, Model hash: 6ce0161689, Model: sd_v15, Version: v1.10.1"
)
WEB_UI_TOLD = (
    ("generator", "Stable Diffusion web UI", UNSIGNED),
    ("prompt", "a red fox in the snow, 35mm", UNSIGNED),
    ("negative_prompt", "blurry, text", UNSIGNED),
    ("model", "sd_v15", UNSIGNED),
    ("settings", "Sampler: Euler a", UNSIGNED),
)
COMFY = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 5, "model": ["4", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sdxl.safetensors"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "an old lighthouse"}},
}
COMFY_TOLD = (
    ("generator", "ComfyUI", UNSIGNED),
    ("prompt", "an old lighthouse", UNSIGNED),
    ("model", "sdxl.safetensors", UNSIGNED),
)
GRAPH = {"nodes": [{"type": "KSampler", "widgets_values": [5]}], "links": []}
INVOKE = {
    "generation_mode": "txt2img",
    "positive_prompt": "a quiet harbour",
    "negative_prompt": "people",
    "model": {"name": "juggernaut-xl", "base": "sdxl"},
}
OLD_INVOKE = {
    "model_weights": "stable-diffusion-1.5",
    "image": {"prompt": [{"prompt": "a tin toy"}]},
}
NOVEL = (
    ("Title", "AI generated image"),
    ("Description", "1girl, garden"),
    ("Software", "NovelAI"),
    ("Source", "Stable Diffusion XL 9CC2F394"),
    ("Comment", json.dumps({"prompt": "1girl, garden", "uc": "lowres", "steps": 28})),
)
JOURNEY = "a city of glass --ar 16:9 --v 6.1 Job ID: 1c5b5ce2-1f1c-4f7e-9d3b-2a8b6d4f9e10"
SWARM = {"sui_image_params": {"prompt": "a teapot", "negativeprompt": "", "model": "flux1-dev"}}
FOOOCUS = {"prompt": "a barn owl", "negative_prompt": "", "base_model": "juggernautXL_v8"}

ONE_LINE = WEB_UI.replace("\n", " ")
DRAW_THINGS = {
    "c": "a walled garden", "uc": "fog", "model": "flux_1_dev_q8p.ckpt", "sampler": "Euler A",
    "steps": 20, "seed": 3, "v2": {},
}  # fmt: skip
NOVEL_WEBP = {
    "Software": "NovelAI", "Source": "NovelAI Diffusion V4 7ABFFA2A", "Description": "1girl",
    "Comment": json.dumps({"v4_prompt": {"caption": {"base_caption": "1girl"}}, "uc": "lowres"}),
}  # fmt: skip
LABEL = json.dumps({"Label": "1", "ContentProducer": "Doubao", "ProduceID": "7"})
LABEL_XMP = f"<TC260:AIGC xmlns:TC260='http://www.tc260.org.cn/ns/AIGC/1.0/'>{LABEL}</TC260:AIGC>"
RESOURCE = (
    '<Iptc4xmpExt:DigitalSourceType rdf:resource="http://cv.iptc.org/newscodes/digitalsourcetype/'
    'trainedAlgorithmicMedia"/>'
)
TRAINED = (("digital_source_type", "trainedAlgorithmicMedia", UNSIGNED),)

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
CAPTURED = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"


def created(source_type: str, agent: str | None = None) -> list[dict[str, Any]]:
    action = {"action": "c2pa.created", "digitalSourceType": source_type}
    return [{**action, "softwareAgent": agent} if agent else action]


@cache
def signed(format: str = "JPEG") -> bytes:
    return signing.signed(saved(format, **QUALITY[format]), f"image/{format.lower()}")


def altered() -> bytes:
    """The signed JPEG with other steps of quantisation: every pixel changes."""
    before, tables, after = signed().partition(b"\xff\xdb\0\x43\0")
    return before + tables + bytes([after[0] + 9]) + after[1:]


def dall_e() -> bytes:
    return signing.signed(
        png(), "image/png", actions=created(GENERATED, "DALL·E"), generator="OpenAI-API 1.0"
    )


def resized_by_a_service() -> bytes:
    actions = created(GENERATED, "DALL·E")
    signed_file = signing.signed(jpeg(), actions=actions, generator="OpenAI-API 1.0")
    return signing.signed(jpeg(), ingredient=signed_file, relationship="parentOf")


def firefly() -> bytes:
    actions = created(GENERATED, "Adobe Firefly")
    return signing.signed(jpeg(), actions=actions, generator="Adobe_Firefly 1.0")


def composed() -> bytes:
    return signing.signed(jpeg(), ingredient=signed())


def cyclic() -> bytes:
    """The ingredient's manifest is made to be the picture's own: the reader goes round."""
    signed_file = composed()
    labels = list(dict.fromkeys(_labels(signed_file)))
    assert len(labels) == 2
    return signed_file.replace(labels[0], labels[1])


def _labels(data: bytes) -> list[bytes]:
    parts = data.split(b"urn:c2pa:")[1:]
    return [b"urn:c2pa:" + part[:36] for part in parts]


def deep_boxes(depth: int = 6_000) -> bytes:
    """Credentials whose boxes hold boxes that hold boxes."""
    head = struct.pack(">I4s", 30, b"jumd") + b"c2pa" + bytes(12) + b"\3c2pa\0"
    sizes = [(len(head) + 8) * (depth - level) for level in range(depth)]
    boxes = b"".join(struct.pack(">I4s", size, b"jumb") + head for size in sizes)
    return with_chunk(png(), b"caBX", boxes)


@cache
def bomb() -> bytes:
    """A text of a gigabyte, in a megabyte: the same packed zeros again and again."""
    packer = zlib.compressobj(9)
    start = packer.compress(b"0") + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = start + 64 * zeros + packer.flush()
    return with_chunk(png(("parameters", WEB_UI)), b"zTXt", b"Comment\0\0" + packed)


def many_texts() -> bytes:
    chunks = png(*((f"key {number}", "x") for number in range(3_000)))
    return with_chunk(chunks, b"tEXt", b"parameters\0" + WEB_UI.encode())


LAUGHS = (
    b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">"""
    + b"".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'.encode()
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    + b"]><x>&j;</x>"
)
OUTSIDE = (
    b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>"""
)
DEEP_XML = b"<a>" * 100_000
BROKEN_EXIF = b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", 40_000) + b"\xff" * 60
DEEP_JSON = "[" * 200_000

SIGNED_TOLD = (
    ("content_credentials", "1 manifest", VALID),
    ("signer", "Signer of the test", VALID),
    ("claim_generator", "test 1.0", VALID),
)
TRUST = {"trust": None}  # replaced by the root's certificate

CASES: tuple[Case, ...] = (
    Case("signed JPEG", signed, SIGNED_TOLD, options=TRUST),
    Case("signed PNG", lambda: signed("PNG"), SIGNED_TOLD, options=TRUST),
    Case("signed WebP", lambda: signed("WEBP"), SIGNED_TOLD, options=TRUST),
    Case(
        "signed JPEG, its pixels altered",
        altered,
        (("signer", "Signer of the test", "signed, altered after signing"),),
        contradictions=("altered after it was signed",),
        options=TRUST,
    ),
    Case(
        "signed PNG, a text added",
        lambda: with_chunk(signed("PNG"), b"tEXt", b"Title\0new"),
        (
            ("signer", "Signer of the test", "signed, altered after signing"),
            ("title", "new", UNSIGNED),
        ),
        contradictions=("altered after it was signed",),
        options=TRUST,
    ),
    Case(
        "signed by somebody unknown",
        lambda: signing.signed(jpeg(), by=signing.stranger()),
        (("signer", "A stranger", "signed, issuer not trusted"),),
        options=TRUST,
    ),
    Case(
        "signed, no list of trusted issuers",
        signed,
        (
            ("signer", "Signer of the test", "signed, issuer not trusted"),
            ("content_credentials", "no list of trusted issuers", "signed, issuer not trusted"),
        ),
    ),
    Case(
        "signed, the certificate expired",
        lambda: signing.signed_and_expired(jpeg()),
        (("signer", "An old signer", "signed, expired"),),
        options=TRUST,
    ),
    Case(
        "signed by DALL·E's form",
        dall_e,
        (
            ("generator", "DALL·E", VALID),
            ("digital_source_type", "trainedAlgorithmicMedia", VALID),
            ("claim_generator", "OpenAI-API 1.0", VALID),
            ("actions", "c2pa.created", VALID),
        ),
        options=TRUST,
    ),
    Case(
        "signed by Firefly's form",
        firefly,
        (
            ("generator", "Adobe Firefly", VALID),
            ("digital_source_type", "trainedAlgorithmicMedia", VALID),
        ),
        options=TRUST,
    ),
    Case(
        "signed by a camera",
        lambda: signing.signed(jpeg(exif=camera()), actions=created(CAPTURED)),
        (
            ("digital_source_type", "digitalCapture", VALID),
            ("camera_model", "Canon EOS R6", UNSIGNED),
        ),
        options=TRUST,
    ),
    Case(
        "signed with an ingredient",
        composed,
        (
            ("content_credentials", "2 manifests", VALID),
            ("ingredients", "the original", VALID),
        ),
        options=TRUST,
    ),
    Case(
        "signed with an ingredient that has a thumbnail",
        lambda: signing.signed(jpeg(), ingredient=jpeg(), thumbnail=jpeg()),
        (("ingredients", "'thumbnail': 'data:image/jpeg;base64,", VALID),),
        options=TRUST,
    ),
    Case(
        "generated, then opened and signed by a program that resizes",
        resized_by_a_service,
        (
            ("origin", "declared as generated: trainedAlgorithmicMedia with DALL·E", VALID),
            ("content_credentials", "2 manifests", VALID),
            ("digital_source_type", "trainedAlgorithmicMedia", VALID),
            ("generator", "DALL·E", VALID),
        ),
        options=TRUST,
    ),
    Case(
        "signed, its parent altered after it was signed",
        lambda: signing.signed(jpeg(), ingredient=altered(), relationship="parentOf"),
        (
            ("content_credentials", "2 manifests", VALID),
            ("ingredients", "'state': 'signed, altered after signing'", VALID),
            ("signer", "Signer of the test", "signed, altered after signing"),
        ),
        contradictions=("was altered after it was signed",),
        options=TRUST,
    ),
    Case(
        "signed, the thumbnail of its ingredient is no picture",
        lambda: signing.signed(jpeg(), ingredient=jpeg(), thumbnail=b"none"),
        (("ingredients", "'thumbnail': None", VALID),),
        options=TRUST,
    ),
    Case(
        "signed capture with web UI settings",
        lambda: signing.signed(png(("parameters", WEB_UI)), "image/png", actions=created(CAPTURED)),
        (("digital_source_type", "digitalCapture", VALID), *WEB_UI_TOLD),
        contradictions=("declares digitalCapture and names a generator",),
        options=TRUST,
    ),
    Case("credentials stripped", jpeg, nothing=True, options=TRUST),
    Case(
        "credentials kept elsewhere",
        lambda: jpeg(xmp=xmp('dcterms:provenance="https://example.org/a.c2pa"')),
        (("content_credentials_elsewhere", "https://example.org/a.c2pa", UNSIGNED),),
        options=TRUST,
    ),
    Case("web UI, PNG", lambda: png(("parameters", WEB_UI)), WEB_UI_TOLD),
    Case(
        "web UI, PNG, compressed", lambda: png(("parameters", WEB_UI), format="zTXt"), WEB_UI_TOLD
    ),
    Case("web UI, PNG, Unicode", lambda: png(("parameters", WEB_UI), format="iTXt"), WEB_UI_TOLD),
    Case("web UI, JPEG", lambda: jpeg(exif=exif({}, comment(WEB_UI))), WEB_UI_TOLD),
    Case("web UI, WebP", lambda: webp(exif=exif({}, comment(WEB_UI))), WEB_UI_TOLD),
    Case(
        "ComfyUI, PNG",
        lambda: png(("prompt", json.dumps(COMFY)), ("workflow", json.dumps(GRAPH))),
        (*COMFY_TOLD, ("settings", '"widgets_values": [5]', UNSIGNED)),
    ),
    Case(
        "ComfyUI, WebP",
        lambda: webp(
            exif=exif(
                {0x010F: f"workflow:{json.dumps(GRAPH)}", 0x0110: f"prompt:{json.dumps(COMFY)}"}
            )
        ),
        COMFY_TOLD,
        untold=("camera_make", "camera_model"),
    ),
    Case(
        "web UI, a template behind",
        lambda: png(("parameters", f"{WEB_UI}\nTemplate: a {{fox}}")),
        WEB_UI_TOLD,
    ),
    Case("web UI, on one line", lambda: png(("parameters", ONE_LINE)), WEB_UI_TOLD),
    Case(
        "web UI, UTF-16 of the other order",
        lambda: jpeg(exif=exif({}, {0x9286: b"UNICODE\0" + WEB_UI.encode("utf-16-le")})),
        WEB_UI_TOLD,
    ),
    Case(
        "web UI, UTF-8 behind UNICODE",
        lambda: jpeg(exif=exif({}, {0x9286: b"UNICODE\0" + WEB_UI.encode()})),
        WEB_UI_TOLD,
    ),
    Case(
        "ComfyUI, with capitals",
        lambda: webp(
            exif=exif(
                {0x010F: f"Prompt:{json.dumps(COMFY)}", 0x010E: f"Workflow:{json.dumps(GRAPH)}"}
            )
        ),
        COMFY_TOLD,
        untold=("camera_make", "description"),
    ),
    Case(
        "SwarmUI, JPEG",
        lambda: jpeg(exif=exif({}, comment(json.dumps(SWARM)))),
        (
            ("generator", "SwarmUI", UNSIGNED),
            ("prompt", "a teapot", UNSIGNED),
            ("model", "flux1-dev", UNSIGNED),
        ),
    ),
    Case(
        "Fooocus, JPEG",
        lambda: jpeg(exif=exif({0x0131: "Fooocus v2.5.5"}, comment(json.dumps(FOOOCUS)))),
        (("generator", "Fooocus", UNSIGNED), ("model", "juggernautXL_v8", UNSIGNED)),
    ),
    Case(
        "Draw Things, XMP",
        lambda: png(
            (
                "XML:com.adobe.xmp",
                xmp(
                    'xmp:CreatorTool="Draw Things" xmlns:exif="http://ns.adobe.com/exif/1.0/"',
                    "<exif:UserComment><rdf:Alt><rdf:li xml:lang='x-default'>"
                    f"{json.dumps(DRAW_THINGS)}</rdf:li></rdf:Alt></exif:UserComment>",
                ).decode(),
            ),
            format="iTXt",
        ),
        (
            ("generator", "Draw Things", UNSIGNED),
            ("prompt", "a walled garden", UNSIGNED),
            ("negative_prompt", "fog", UNSIGNED),
            ("model", "flux_1_dev_q8p.ckpt", UNSIGNED),
        ),
    ),
    Case(
        "NovelAI, WebP",
        lambda: webp(exif=exif({}, comment(json.dumps(NOVEL_WEBP)))),
        (
            ("generator", "NovelAI", UNSIGNED),
            ("prompt", "1girl", UNSIGNED),
            ("negative_prompt", "lowres", UNSIGNED),
            ("model", "NovelAI Diffusion V4", UNSIGNED),
        ),
    ),
    Case(
        "FLUX.2, software",
        lambda: jpeg(exif=exif({0x0131: "FLUX.2 [pro]"})),
        (("generator", "FLUX", UNSIGNED), ("software", "FLUX.2 [pro]", UNSIGNED)),
    ),
    Case(
        "Ideogram, as a camera's make",
        lambda: jpeg(exif=exif({0x010F: "Ideogram AI"})),
        (("generator", "Ideogram", UNSIGNED), ("software", "Ideogram AI", UNSIGNED)),
        untold=("camera_make",),
    ),
    Case(
        "IPTC-IIM, credit",
        lambda: with_segment(jpeg(), 0xED, iptc((110, "Made with Google AI"))),
        (
            ("credit", "Made with Google AI", UNSIGNED),
            ("generator", "Google AI", UNSIGNED),
        ),
    ),
    Case(
        "AIGC label, XMP",
        lambda: jpeg(xmp=xmp(inside=LABEL_XMP)),
        (
            ("aigc_label", "Label 1 (generated); ContentProducer: Doubao", UNSIGNED),
            ("generator", "Seedream", UNSIGNED),
        ),
    ),
    Case(
        "AIGC label, PNG text",
        lambda: png(("AIGC", LABEL)),
        (("aigc_label", "Label 1 (generated)", UNSIGNED),),
    ),
    Case(
        "AIGC label and a camera",
        lambda: jpeg(exif=camera(), xmp=xmp(inside=LABEL_XMP)),
        contradictions=("declares a camera (Canon EOS R6) and names", "China's label"),
    ),
    Case("XMP, source type as a resource", lambda: jpeg(xmp=xmp(inside=RESOURCE)), TRAINED),
    Case("XMP, extended", lambda: extended(xmp(inside=RESOURCE)), TRAINED),
    Case(
        "XMP, half of its extension",
        lambda: extended(xmp(inside=RESOURCE)).replace(b"xmp/extension/", b"xmp/something/", 1),
        (("XMP", "has an extension that is not whole", "not read"),),
    ),
    Case("XMP, GIF", lambda: gif(xmp(inside=RESOURCE)), TRAINED),
    Case(
        "ImageMagick's profiles, PNG",
        lambda: png(
            profile("exif", b"Exif\0\0" + camera().tobytes()[6:]),
            profile("xmp", xmp(source_type("digitalCapture"))),
            profile("iptc", iptc((110, "A. Agency"))[14:]),
        ),
        (
            ("camera_model", "Canon EOS R6", UNSIGNED),
            ("digital_source_type", "digitalCapture", UNSIGNED),
            ("credit", "A. Agency", UNSIGNED),
        ),
        untold=("raw_profile_type_exif", "raw_profile_type_xmp", "raw_profile_type_iptc"),
    ),
    Case(
        "InvokeAI 3",
        lambda: png(("invokeai_metadata", json.dumps(INVOKE))),
        (
            ("generator", "InvokeAI", UNSIGNED),
            ("prompt", "a quiet harbour", UNSIGNED),
            ("negative_prompt", "people", UNSIGNED),
            ("model", "juggernaut-xl", UNSIGNED),
        ),
    ),
    Case(
        "InvokeAI 2",
        lambda: png(("sd-metadata", json.dumps(OLD_INVOKE))),
        (
            ("generator", "InvokeAI", UNSIGNED),
            ("prompt", "a tin toy", UNSIGNED),
            ("model", "stable-diffusion-1.5", UNSIGNED),
        ),
    ),
    Case(
        "InvokeAI 1",
        lambda: png(("Dream", '"a paper boat" -s50 -W512 -H512 -C7.5 -S42')),
        (("generator", "InvokeAI", UNSIGNED), ("prompt", "a paper boat", UNSIGNED)),
    ),
    Case(
        "NovelAI",
        lambda: png(*NOVEL),
        (
            ("generator", "NovelAI", UNSIGNED),
            ("prompt", "1girl, garden", UNSIGNED),
            ("negative_prompt", "lowres", UNSIGNED),
            ("model", "Stable Diffusion XL", UNSIGNED),
        ),
    ),
    Case(
        "Midjourney, PNG",
        lambda: png(("Description", JOURNEY), ("Author", "somebody")),
        (
            ("generator", "Midjourney", UNSIGNED),
            ("prompt", "a city of glass", UNSIGNED),
            ("model", "6.1", UNSIGNED),
        ),
        untold=("author",),
    ),
    Case(
        "Midjourney, JPEG",
        lambda: jpeg(
            xmp=xmp(
                source_type("trainedAlgorithmicMedia"),
                f"<dc:description><rdf:Alt><rdf:li>{JOURNEY}</rdf:li></rdf:Alt></dc:description>",
            )
        ),
        (
            ("generator", "Midjourney", UNSIGNED),
            ("prompt", "a city of glass", UNSIGNED),
            ("digital_source_type", "trainedAlgorithmicMedia", UNSIGNED),
        ),
    ),
    Case(
        "SwarmUI",
        lambda: png(("parameters", json.dumps(SWARM))),
        (("generator", "SwarmUI", UNSIGNED), ("model", "flux1-dev", UNSIGNED)),
    ),
    Case(
        "Fooocus",
        lambda: png(("parameters", json.dumps(FOOOCUS)), ("fooocus_scheme", "fooocus")),
        (("generator", "Fooocus", UNSIGNED), ("prompt", "a barn owl", UNSIGNED)),
    ),
    Case(
        "Firefly, XMP",
        lambda: jpeg(xmp=xmp('xmp:CreatorTool="Adobe Firefly"')),
        (("generator", "Adobe Firefly", UNSIGNED), ("creator_tool", "Adobe Firefly", UNSIGNED)),
    ),
    Case(
        "DALL·E, XMP",
        lambda: webp(xmp=xmp('xmp:CreatorTool="DALL-E 3"')),
        (("generator", "DALL·E", UNSIGNED),),
    ),
    Case(
        "Google AI, credit",
        lambda: jpeg(
            xmp=xmp(
                source_type("trainedAlgorithmicMedia"),
                "<photoshop:Credit>Made with Google AI</photoshop:Credit>",
            )
        ),
        (
            ("generator", "Google AI", UNSIGNED),
            ("digital_source_type", "trainedAlgorithmicMedia", UNSIGNED),
        ),
    ),
    Case(
        "camera, JPEG",
        lambda: jpeg(exif=camera()),
        (
            ("camera_make", "Canon", UNSIGNED),
            ("camera_model", "Canon EOS R6", UNSIGNED),
            ("lens_model", "RF35mm F1.8", UNSIGNED),
            ("taken", "2025:06:01 12:00:00", UNSIGNED),
        ),
        untold=("serial_number", "artist"),
    ),
    Case(
        "phone with a place",
        lambda: jpeg(exif=camera(gps=PLACE)),
        (("camera_make", "Canon", UNSIGNED),),
        untold=("latitude", "longitude", "serial_number", "artist"),
    ),
    Case(
        "phone with a place, asked for",
        lambda: jpeg(exif=camera(gps=PLACE)),
        (
            ("latitude", "48.85822 N", UNSIGNED),
            ("longitude", "2.29450 E", UNSIGNED),
            ("serial_number", "0123456789", UNSIGNED),
            ("artist", "A. Person", UNSIGNED),
        ),
        options={"personal": True},
    ),
    Case(
        "camera, PNG",
        lambda: saved("PNG", exif=camera()),
        (("camera_model", "Canon EOS R6", UNSIGNED),),
    ),
    Case(
        "camera, TIFF",
        lambda: saved("TIFF", exif=camera()),
        (("camera_model", "Canon EOS R6", UNSIGNED), ("changed", "2025:06:02", UNSIGNED)),
    ),
    Case(
        "camera, AVIF",
        lambda: saved("AVIF", exif=camera()),
        (("camera_model", "Canon EOS R6", UNSIGNED),),
    ),
    Case(
        "camera, IPTC digitalCapture",
        lambda: jpeg(exif=camera(), xmp=xmp(source_type("digitalCapture"))),
        (("digital_source_type", "digitalCapture", UNSIGNED),),
    ),
    Case(
        "edited in Photoshop",
        lambda: jpeg(exif=exif({**CANON, 0x0131: "Adobe Photoshop 26.1 (Windows)"})),
        (("software", "Adobe Photoshop 26.1", UNSIGNED),),
        untold=("generator",),
    ),
    Case(
        "camera and web UI settings",
        lambda: jpeg(exif=camera(inner=comment(WEB_UI))),
        (("camera_model", "Canon EOS R6", UNSIGNED), *WEB_UI_TOLD),
        contradictions=("declares a camera (Canon EOS R6) and carries settings of a generator",),
    ),
    Case(
        "camera and IPTC trainedAlgorithmicMedia",
        lambda: jpeg(exif=camera(), xmp=xmp(source_type("trainedAlgorithmicMedia"))),
        contradictions=("and the digital source type trainedAlgorithmicMedia",),
    ),
    Case(
        "two source types",
        lambda: jpeg(
            xmp=xmp(
                source_type("digitalCapture"),
                "<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/"
                "compositeWithTrainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>",
            )
        ),
        contradictions=("two digital source types",),
    ),
    Case(
        "two cameras",
        lambda: jpeg(exif=camera(), xmp=xmp('tiff:Model="NIKON Z 6"')),
        contradictions=("two cameras: Canon EOS R6 and NIKON Z 6",),
    ),
    Case(
        "changed before it was taken",
        lambda: jpeg(exif=camera(inner={0x9003: "2025:07:01 12:00:00"})),
        contradictions=("changed (2025:06:02 10:00:00) before it was taken",),
    ),
    Case(
        "times and sizes that were never set",
        lambda: jpeg(
            exif=exif(
                {**CANON, 0x0132: "0000:00:00 00:00:00"},
                {
                    0x9003: "2025:07:01 12:00:00",
                    0x9004: "    :  :     :  :  ",
                    0xA002: 0,
                    0xA003: 0,
                },
            )
        ),
        (("taken", "2025:07:01", UNSIGNED),),
        untold=("changed", "digitised", "size"),
    ),
    Case(
        "another size in EXIF",
        lambda: jpeg(exif=camera(inner={0xA002: 6000, 0xA003: 4000})),
        (("size", "6000 x 4000", UNSIGNED),),
        contradictions=("a size of 6000 x 4000; the picture is 96 x 64",),
    ),
    Case("thumbnail of the picture", lambda: with_thumbnail(photo())),
    Case(
        "thumbnail of another picture",
        lambda: with_thumbnail(photo(seed=5)),
        contradictions=("thumbnail shows something else",),
    ),
    Case("stripped PNG", png, nothing=True),
    Case("stripped WebP", webp, nothing=True),
    Case(
        "a JPEG comment",
        lambda: jpeg(comment=b"holiday"),
        (("comment", "holiday", UNSIGNED),),
    ),
    Case(
        "hostile: a gigabyte of text, packed",
        bomb,
        (("PNG text", "'Comment' is longer than 4,194,304 bytes", "not read"), *WEB_UI_TOLD),
    ),
    Case(
        "hostile: 3,000 texts",
        many_texts,
        (("PNG text", "holds more than 200 texts", "not read"), *WEB_UI_TOLD),
    ),
    Case(
        "hostile: entities in XMP",
        lambda: jpeg(xmp=LAUGHS),
        (("XMP", "declares entities or a document type", "not read"),),
    ),
    Case(
        "hostile: a file named in XMP",
        lambda: jpeg(xmp=OUTSIDE),
        (("XMP", "declares entities or a document type", "not read"),),
    ),
    Case(
        "hostile: deep XMP",
        lambda: webp(xmp=DEEP_XML),
        (("XMP", "nests deeper than 64 elements", "not read"),),
    ),
    Case(
        "hostile: broken EXIF",
        lambda: with_segment(jpeg(), 0xE1, BROKEN_EXIF),
        (("EXIF", "is broken", "not read"),),
    ),
    Case(
        "hostile: deep JSON as a workflow",
        lambda: png(("workflow", DEEP_JSON)),
        (("workflow", "[[[[", UNSIGNED),),
        untold=("generator",),
    ),
    Case(
        "hostile: escape sequences in a prompt",
        lambda: png(("parameters", WEB_UI.replace("red fox", "\x1b[31mred fox"))),
        (("prompt", "a \x1b[31mred fox", UNSIGNED),),
    ),
    Case(
        "hostile: half a character in a prompt",
        lambda: png(("prompt", json.dumps(COMFY).replace("an old", "\\ud800 old"))),
        (("prompt", "? old lighthouse", UNSIGNED),),
    ),
    Case(
        "hostile: credentials that go round",
        cyclic,
        (("content_credentials", "The content credentials are broken", "not read"),),
        options=TRUST,
    ),
    Case(
        "hostile: credentials 6,000 boxes deep",
        deep_boxes,
        (("content_credentials", "The content credentials ", "not read"),),
        options=TRUST,
    ),
    Case(
        "hostile: credentials cut short",
        lambda: with_segment(jpeg(), 0xEB, b"JP\0\1\0\0\0\1" + b"\0\0\xff\xffjumbc2pa"),
        nothing=True,
        options=TRUST,
    ),
)


def table() -> str:
    """The cases as a table of the documents."""
    lines = ["| file | what is reported | state |", "|---|---|---|"]
    for case in CASES:
        statements = ", ".join(dict.fromkeys(name.replace("_", " ") for name, _, _ in case.told))
        states = "; ".join(dict.fromkeys(state for _, _, state in case.told))
        untold = ", ".join(name.replace("_", " ") for name in case.untold)
        statements += f" (not: {untold})" if untold else ""
        text = "; ".join(f"**{part}**" for part in case.contradictions)
        cells = (case.name, " ".join(filter(None, (statements or "—" * (not text), text))), states)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
