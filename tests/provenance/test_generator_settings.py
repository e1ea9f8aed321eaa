"""Generators by their names and by the forms of their settings."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sida.image.read import read_picture
from sida.provenance.declared.aigc import aigc_label
from sida.provenance.declared.generator_names import generator_named, generator_of_key
from sida.provenance.declared.generator_settings import generator_settings
from sida.provenance.declared.metadata import declarations
from tests.provenance import made_files as made


def declared_in(exif: Image.Exif) -> list[tuple[str, object]]:
    data = made.webp(exif=exif)
    return [(item.name, item.value) for item in declarations(data, read_picture(data))]


SOFTWARE = {
    "FLUX.2 [pro]": "FLUX", "FLUX.1-dev": "FLUX", "flux1-schnell": "FLUX", "Flux Kontext": "FLUX",
    "black-forest-labs/FLUX.2-klein": "FLUX", "Sora": "Sora", "OpenAI Sora 2": "Sora",
    "Grok": "Grok", "Grok Imagine": "Grok", "xAI": "Grok", "Seedream 4.5": "Seedream",
    "Doubao Seedream": "Seedream", "Nano Banana Pro": "Nano Banana", "nano-banana": "Nano Banana",
    "gemini-2.5-flash-image": "Nano Banana", "gemini-3-pro-image-preview": "Nano Banana",
    "Qwen-Image-Edit": "Qwen-Image", "Qwen/Qwen-Image": "Qwen-Image", "SwarmUI": "SwarmUI",
    "Draw Things": "Draw Things", "Diffusers 0.35": "Diffusers", "Recraft V3": "Recraft",
    "Microsoft Copilot": "Microsoft Copilot", "Copilot": "Microsoft Copilot",
    "Ideogram 3.0": "Ideogram", "Leonardo.Ai": "Leonardo", "Leonardo AI": "Leonardo",
    "HunyuanImage 3.0": "Hunyuan", "Kling AI": "Kling", "Imagen 4": "Google AI",
    "GPT-4o": "ChatGPT", "gpt-image-1.5": "ChatGPT", "DALL-E 3": "DALL·E", "DALL·E": "DALL·E",
    "Stable Diffusion XL": "Stable Diffusion", "Stability AI": "Stable Diffusion",
    "ComfyUI": "ComfyUI", "InvokeAI 6.0": "InvokeAI", "Fooocus v2.5.5": "Fooocus",
    "Midjourney": "Midjourney", "Adobe Firefly": "Adobe Firefly", "Reve Image": "Reve",
    "Image Creator from Designer": "Bing Image Creator", "Krea": "Krea",
    "Easy Diffusion v3": "Easy Diffusion", "NovelAI": "NovelAI", "Meta AI": "Meta AI",
    "Canva Magic Media": "Canva", "Image Playground": "Image Playground", "SD.Next": "SD.Next",
}  # fmt: skip


@pytest.mark.parametrize("text", SOFTWARE)
def test_programs_are_known_by_name(text: str) -> None:
    assert generator_named(text) == SOFTWARE[text]
    names = [
        value
        for name, value in declared_in(made.exif({0x0131: text.encode()}))
        if name == "generator"
    ]
    assert names == [SOFTWARE[text]]


@pytest.mark.parametrize(
    "text",
    ["Adobe Photoshop 26.0 (Windows)", "Adobe Photoshop Lightroom Classic 14", "GIMP 3.0.4",
     "darktable 5.2", "Capture One 23", "Snapseed 2.0", "HDR+ 1.0.540104767zd", "16.5.1",
     "Ver.1.03", "Instagram", "Picasa", "Google", "Pixel 10 Pro", "Canva", "paint.net 5.1",
     "Topaz Gigapixel AI", "Luminar AI", "f.lux", "Influx", "Fluxus Camera", 
     "Microsoft Windows Photo Viewer", "samsung SM-S938B", "Krita 5.2", "tifffile.py", "xAir",
     "Lavf61.7.100", "Meitu", "VSCO", "ACDSee", "GraphicsMagick", "Bridge 2025", "Firewire"],
)  # fmt: skip
def test_other_programs_are_no_generators(text: str) -> None:
    assert generator_named(text) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Made with Google AI", "Google AI"),
        ("Made with Grok", "Grok"),
        ("Created with Sora", "Sora"),
        ("Midjourney", "Midjourney"),
        ("Imagined with AI", "Meta AI"),
        ("Edited with Google AI", None),
        ("Photo: Sora Kim", None),
        ("Leonardo Rossi / Agency", None),
        ("Gemini Observatory", None),
        ("Grok Photography", None),
        ("NASA / Kling", None),
        ("Firefly Aerospace", None),
    ],
)
def test_a_credit_names_people_and_places_too(text: str, name: str | None) -> None:
    assert generator_named(text, "credit") == name


@pytest.mark.parametrize(
    "text", ["Canon", "NIKON Z 6", "Gemini", "Google Pixel 9", "Apple", "SONY"]
)
def test_cameras_are_no_generators(text: str) -> None:
    assert generator_named(text, "make") is None


def test_keys_are_known_in_any_case() -> None:
    assert generator_of_key("InvokeAI_Metadata") == "InvokeAI"
    assert generator_of_key("Title") is None


LINE = "Steps: 25, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x512, Model: sd_v15"


@pytest.mark.parametrize(
    "text",
    [
        f"a fox\nNegative prompt: blurry\n{LINE}",
        f"a fox\r\nNegative prompt: blurry\r\n{LINE}\r\n",
        f"a fox\nNegative prompt: blurry\n{LINE}\nTemplate: a {{fox}}\nNegative Template: b",
        f"a fox Negative prompt: blurry {LINE}",
        f"a fox. Negative prompt: blurry. {LINE}".replace("blurry.", "blurry"),
        f'a fox\nNEGATIVE PROMPT: blurry\n{LINE}, Version: v1.10.1, Hashes: {{"model": "a"}}',
        f"a fox\nNegative prompt: blurry\n{LINE.replace(', ', ',')}",
        f"a fox\nNegative prompt: blurry\n{LINE}\n\n\nSource Identifier: Stable Diffusion web UI",
    ],
    ids=range(8),
)
def test_web_ui_in_three_parts_or_one_with_lines_behind(text: str) -> None:
    (settings,) = generator_settings({"parameters": text})
    assert settings.generator == "Stable Diffusion web UI"
    assert str(settings.prompt).rstrip(".") == "a fox"
    assert settings.negative == "blurry"
    assert settings.model == "sd_v15"
    assert settings.text == text


@pytest.mark.parametrize(
    "text",
    ["Steps: 3, then turn left.", "Steps: 10, Distance: 4 km", "The Steps: 1, 2 and 3", "Steps: 5"],
)
def test_steps_of_other_kinds_are_no_settings(text: str) -> None:
    assert not list(generator_settings({"comment": text}))


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("Version: ComfyUI", "ComfyUI"),
        ("Version: Fooocus v2.5.5", "Fooocus"),
        ("App: SD.Next", "SD.Next"),
        ("Version: f2.0.1v1.10.1", "Stable Diffusion web UI"),
        ('Version: "", App: ""', "Stable Diffusion web UI"),
    ],
)
def test_kin_of_the_web_ui_are_named(more: str, name: str) -> None:
    (settings,) = generator_settings({"parameters": f"a fox\n{LINE}, {more}"})
    assert settings.generator == name


def test_draw_things_as_text() -> None:
    text = "a garden\n-fog\nSteps: 20, Sampler: Euler A, Guidance Scale: 4.5, Seed: 3, Model: flux"
    (settings,) = generator_settings({"description": text})
    assert (settings.generator, settings.prompt, settings.negative, settings.model) == (
        "Draw Things", "a garden", "fog", "flux",
    )  # fmt: skip


GRAPH = json.dumps(made.COMFY)
DRAWN = json.dumps(made.GRAPH)


@pytest.mark.parametrize(
    "texts",
    [
        {"prompt": GRAPH},
        {"Prompt": GRAPH},
        {"PROMPT": GRAPH},
        {"comment": GRAPH},
        {"Description": json.dumps({"prompt": made.COMFY, "workflow": made.GRAPH})},
        {"comment": json.dumps({"Prompt": GRAPH, "Workflow": DRAWN})},
        {"generation_data": "  " + GRAPH},
    ],
)
def test_comfy_in_any_place_and_case(texts: dict[str, str]) -> None:
    (settings,) = generator_settings(texts)
    assert (settings.generator, settings.prompt, settings.model) == (
        "ComfyUI", "an old lighthouse", "sdxl.safetensors",
    )  # fmt: skip


@pytest.mark.parametrize("tag", [0x010E, 0x010F, 0x0110, 0x0131, 0x013B])
@pytest.mark.parametrize("key", ["prompt", "Prompt", "PROMPT", " Prompt "])
def test_comfy_behind_its_key_in_any_field_of_exif(tag: int, key: str) -> None:
    result = dict(declared_in(made.exif({tag: f"{key}:{GRAPH}"})))
    assert (result["generator"], result["prompt"]) == ("ComfyUI", "an old lighthouse")
    assert not {"camera_make", "camera_model", "software", "description"} & result.keys()


@pytest.mark.parametrize("text", ['{"nodes": []}', '{"nodes": [1], "edges": []}', "{}", "[1]", "{"])
def test_other_graphs_are_none_of_comfy(text: str) -> None:
    assert not list(generator_settings({"workflow": text}))


@pytest.mark.parametrize(
    ("texts", "name", "prompt", "model"),
    [
        ({"comment": json.dumps(made.SWARM)}, "SwarmUI", "a teapot", "flux1-dev"),
        ({"Parameters": json.dumps(made.SWARM)}, "SwarmUI", "a teapot", "flux1-dev"),
        (
            {"comment": json.dumps({"Prompt": "p", "Negative Prompt": "", "Base Model": "m"})},
            "Fooocus", "p", "m",
        ),
        ({"InvokeAI_Metadata": json.dumps(made.INVOKE)}, "InvokeAI", "a quiet harbour",
         "juggernaut-xl"),
        ({"comment": json.dumps(made.DRAW_THINGS)}, "Draw Things", "a walled garden",
         "flux_1_dev_q8p.ckpt"),
        (dict(made.NOVEL), "NovelAI", "1girl, garden", "Stable Diffusion XL 9CC2F394"),
        ({name.upper(): text for name, text in made.NOVEL}, "NovelAI", "1girl, garden",
         "Stable Diffusion XL 9CC2F394"),
        ({"comment": json.dumps(made.NOVEL_WEBP)}, "NovelAI", "1girl",
         "NovelAI Diffusion V4 7ABFFA2A"),
        ({"comment": json.dumps({"prompt": "p", "use_stable_diffusion_model": "m"})},
         "Easy Diffusion", "p", "m"),
        ({"parameters": json.dumps({"prompt": "p", "software": "RuinedFooocus", "model": "m"})},
         "Fooocus", "p", "m"),
    ],
)  # fmt: skip
def test_forms_of_generators(texts: dict[str, str], name: str, prompt: str, model: str) -> None:
    result = [item for item in generator_settings(texts) if item.generator == name]
    assert [(item.prompt, item.model) for item in result] == [(prompt, model)]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (made.LABEL, "Label 1 (generated); ContentProducer: Doubao"),
        ('{"AIGC": ' + made.LABEL + "}", "Label 1 (generated); ContentProducer: Doubao"),
        (json.dumps({"AIGC": made.LABEL}), "Label 1 (generated); ContentProducer: Doubao"),
        ('{"Label": 2, "ProduceID": "x"}', "Label 2 (may be generated)"),
        ('{"label": "3", "contentPropagator": "B"}',
         "Label 3 (suspected to be generated); ContentPropagator: B"),
        ('{"Label": "9", "ProduceID": "x"}', "Label 9 (of unknown meaning)"),
        ('{"Label": "1"}', None), ("{}", None), ("[]", None), ("words", None), ("[" * 9999, None),
    ],
)  # fmt: skip
def test_the_chinese_label(text: str, label: str | None) -> None:
    assert aigc_label(text) == label


@given(
    st.dictionaries(
        st.sampled_from(["prompt", "workflow", "parameters", "Comment", "sd-metadata", "Dream"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["prompt", "nodes", "links", "class_type", "inputs", "c", "model", "sampler",
                     "sui_image_params", "Comment", "Software", "negative_prompt", "image"]
                ),
                inner,
                max_size=4,
            ),
            max_leaves=12,
        ),
    )
)  # fmt: skip
def test_no_object_breaks_a_form(objects: dict[str, object]) -> None:
    texts = {name: json.dumps(value) for name, value in objects.items()}
    for settings in generator_settings(texts):
        assert settings.keyword in texts
