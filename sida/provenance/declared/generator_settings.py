"""Settings that image generators write into a file, found by form and shown as text.

Nothing of it is carried out or believed: a prompt is a string, a workflow is searched for the
names of models, and anybody can write either into a photograph.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sida.provenance.declared.generator_names import generator_named, generator_of_key

__all__ = ["GeneratorSettings", "generator_settings"]

MAX_NODES = 2_000
MAX_LINE = 10_000  # characters


@dataclass(frozen=True)
class GeneratorSettings:
    """GeneratorSettings of a generator.

    Attributes:
        generator: its name.
        keyword: of the text that holds them.
        prompt, negative, model: as far as they could be told apart.
        text: the whole of it.
    """

    generator: str
    keyword: str
    text: str
    prompt: str | None = None
    negative: str | None = None
    model: str | None = None


def generator_settings(texts: Mapping[str, str]) -> Iterator[GeneratorSettings]:
    """Settings in a file's texts, by keyword; each text belongs to one generator at most."""
    for keyword, text in texts.items():
        for form in _FORMS:
            if (settings := form(keyword, text, texts)) is not None:
                yield settings
                break


Form = Callable[[str, str, Mapping[str, str]], GeneratorSettings | None]


_STEPS = re.compile(r"(?:^|[\s,.;>)\]])(Steps:\s*\d+\s*,\s*[A-Z][^\r\n]*)")
_KNOWN_FIELD = re.compile(
    r",\s*(Sampler|Schedule type|Scheduler|(Distilled )?CFG [Ss]cale|Guidance [Ss]cale|Seed|Size|"
    r"Model|Model hash|Clip skip|Denoising strength|Version):",
)
_NEGATIVE = re.compile(r"(?:^|\s)Negative prompt:", re.IGNORECASE)


def _web_ui(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """Stable Diffusion web UI and its kin: prompt, "Negative prompt: …", "Steps: 20, …".

    In three parts or on one line; further lines, such as a template, may follow.
    """
    matches = [match for match in _STEPS.finditer(text) if _KNOWN_FIELD.search(match[1][:MAX_LINE])]
    if not matches:
        return None
    match = matches[-1]
    line, before = match[1][:MAX_LINE], text[: match.start(1)]
    if _field(line, "Seed Mode") or _field(line, "Guidance Scale"):
        prompt, _, negative = before.rstrip().partition("\n-")
        return _settings("Draw Things", keyword, text, prompt, negative, _field(line, "Model"))
    parts = _NEGATIVE.split(before, maxsplit=1)
    below = parts[1] if len(parts) > 1 else None
    return _settings(_kin(line), keyword, text, parts[0], below, _field(line, "Model"))


def _kin(line: str) -> str:
    """Other programs that write the same form name themselves as its version or app."""
    names = f"{_field(line, 'Version')} {_field(line, 'App')}"
    return generator_named(names) or "Stable Diffusion web UI"


def _field(line: str, name: str) -> str | None:
    match = re.search(rf'(?:^|,\s*){name}:\s*(?:"([^"]*)"|([^,]*))', line)
    return None if match is None else (match[1] or match[2] or "").strip() or None


def _comfy(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """ComfyUI: `prompt`, nodes by number; `workflow`, the graph as it is drawn; or both in one."""
    graph = _folded(_json(text))
    for subgraph in (graph, *(_folded(_json(graph.get(key))) for key in ("prompt", "workflow"))):
        nodes = list(subgraph.values())[:MAX_NODES]
        nodes = [node for node in nodes if isinstance(node, dict) and "class_type" in node]
        if nodes:
            return _of_nodes(keyword, text, nodes)
    graphs = (graph, _folded(_json(graph.get("workflow"))))
    if any(isinstance(workflow.get("nodes"), list) and _is_drawn(workflow) for workflow in graphs):
        return _settings("ComfyUI", keyword, text)
    return None


def _is_drawn(graph: Mapping[str, Any]) -> bool:
    """True if a graph with nodes is one of ComfyUI's, which has links, too, or numbers its last."""
    return bool({"links", "last_node_id", "extra"} & graph.keys())


def _of_nodes(keyword: str, text: str, nodes: list[dict[str, Any]]) -> GeneratorSettings:
    inputs = [(str(node["class_type"]), _dictionary(node.get("inputs"))) for node in nodes]
    prompts = [
        value
        for name, fields in inputs
        for field, value in fields.items()
        if "TextEncode" in name and field.startswith(("text", "clip_l", "t5")) and value
    ]
    models = [
        fields[name]
        for _, fields in inputs
        for name in ("ckpt_name", "unet_name", "model_name")
        if name in fields
    ]
    texts_ = [value for value in dict.fromkeys(map(str, prompts)) if not value.startswith("[")]
    return _settings("ComfyUI", keyword, text, " | ".join(texts_), None, _joined(models))


def _invoke(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """InvokeAI of each of its three forms."""
    if generator_of_key(keyword) != "InvokeAI":
        return None
    if keyword.casefold() == "dream":
        match = re.match(r'\s*"([^"]*)"', text)
        return _settings("InvokeAI", keyword, text, match[1] if match else None)
    fields = _folded(_json(text))
    model = fields.get("model", fields.get("model_weights"))
    if isinstance(model, dict):
        model = model.get("name", model.get("model_name"))
    prompt = fields.get("positive_prompt", _dictionary(fields.get("image")).get("prompt"))
    if isinstance(prompt, list):
        prompt = " | ".join(str(_dictionary(part).get("prompt", "")) for part in prompt[:20])
    negative = fields.get("negative_prompt")
    return _settings("InvokeAI", keyword, text, prompt, negative, model)


def _novel(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """NovelAI: the settings in `Comment`, the model in `Source`; or all of these in one object."""
    record = _folded(_json(text))
    texts_beside = record if "comment" in record else _folded(dict(texts))
    fields = _folded(_json(texts_beside.get("comment")))
    is_here = texts_beside is record or keyword.casefold() == "comment"
    if not is_here or not fields or "novelai" not in str(texts_beside.get("software")).casefold():
        return None
    caption = _dictionary(_dictionary(fields.get("v4_prompt")).get("caption"))
    prompt = fields.get("prompt") or caption.get("base_caption") or texts_beside.get("description")
    return _settings("NovelAI", keyword, text, prompt, fields.get("uc"), texts_beside.get("source"))


def _journey(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """Midjourney: prompt, options after two dashes, "Job ID: …"."""
    described = keyword.casefold() in ("description", "imagedescription", "comment")
    if not described or not re.search(r"\bJob ID: [0-9a-f-]{36}", text):
        return None
    prompt = re.split(r" --\w|\s*Job ID:", text, maxsplit=1)[0]
    version = re.search(r"--(v|version|niji) ([\w.]+)", text)
    return _settings("Midjourney", keyword, text, prompt, None, version[2] if version else None)


def _swarm(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """SwarmUI: an object in an object, in `parameters` of a PNG or the comment of others."""
    record = _folded(_json(text))
    if "sui_image_params" not in record:
        return None
    fields = _folded(_json(record["sui_image_params"]))
    keys = ("prompt", "negativeprompt", "model")
    return _settings("SwarmUI", keyword, text, *(fields.get(key) for key in keys))


def _draw_things(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """Draw Things: an object with short names."""
    fields = _folded(_json(text))
    if not {"c", "model", "sampler"} <= fields.keys():
        return None
    return _settings(
        "Draw Things", keyword, text, *(fields.get(key) for key in ("c", "uc", "model"))
    )


def _fooocus(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """Fooocus: an object in a text or the comment, with names as they are written or as shown."""
    fields = _folded(_json(text))
    if not {"prompt", "negative_prompt"} <= fields.keys():
        return None
    program = f"{fields.get('version')} {fields.get('software')}".casefold()
    is_ours = "base_model" in fields or "fooocus_scheme" in texts or "fooocus" in program
    keys = ("prompt", "negative_prompt", "base_model")
    return (
        _settings("Fooocus", keyword, text, *(fields.get(key) for key in keys)) if is_ours else None
    )


def _easy(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """Easy Diffusion: an object, or a text for each of its fields."""
    fields = _folded(_json(text))
    if "use_stable_diffusion_model" in fields and "prompt" in fields:
        keys = ("prompt", "negative_prompt", "use_stable_diffusion_model")
        return _settings("Easy Diffusion", keyword, text, *(fields.get(key) for key in keys))
    if keyword.casefold() != "use_stable_diffusion_model":
        return None
    return _settings(
        "Easy Diffusion", keyword, text, texts.get("prompt"), texts.get("negative_prompt"), text
    )


def _named_object(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """Any object that has a prompt and names a generator as the program that wrote it."""
    fields = _folded(_json(text))
    if "prompt" not in fields:
        return None
    for key in ("software", "app", "generator", "source", "engine", "version"):
        name = generator_named(str(fields.get(key, "")))
        if name is not None:
            negative = fields.get("negative_prompt", fields.get("negative"))
            return _settings(name, keyword, text, fields["prompt"], negative, fields.get("model"))
    return None


def _keyed(keyword: str, text: str, texts: Mapping[str, str]) -> GeneratorSettings | None:
    """A keyword that one generator alone uses, whatever stands there."""
    name = generator_of_key(keyword)
    is_told = any(form(other, words, texts) for other, words in texts.items() for form in _OBJECTS)
    return None if name is None or is_told else _settings(name, keyword, text)


_OBJECTS: tuple[Form, ...] = (_swarm, _fooocus, _draw_things, _easy)
_FORMS: tuple[Form, ...] = (
    _swarm, _comfy, _invoke, _novel, _journey, _fooocus, _draw_things, _easy, _web_ui,
    _named_object, _keyed,
)  # fmt: skip


def _settings(
    generator: str,
    keyword: str,
    text: str,
    prompt: object = None,
    negative: object = None,
    model: object = None,
) -> GeneratorSettings:
    parts = [str(value).strip() if value else None for value in (prompt, negative, model)]
    return GeneratorSettings(generator, keyword, text, *parts)


def _joined(values: list[Any]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def _json(text: object) -> Any:
    """Object of a JSON text, or the object itself; None for what is no JSON, or too deep."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text) if text.lstrip()[:1] == "{" else None
    except (ValueError, RecursionError):
        return None


def _folded(value: Any) -> dict[str, Any]:
    """An object with its names in small letters and underscores; {} for anything else."""
    if not isinstance(value, dict):
        return {}
    return {str(name).casefold().replace(" ", "_"): inner for name, inner in value.items()}


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
