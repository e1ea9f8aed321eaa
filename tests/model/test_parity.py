"""Every recorded intermediate of the published code, from the published folder as it is."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import DynamicCache

from sida.image.read import read_picture
from sida.model.checkpoint import load
from sida.model.prompt import IMAGE_TOKEN, build_prompt, stem
from tests.oracle import published_folder

CASES = [f"case{i:02}" for i in range(10)]
TOLERANCES = {
    "clip_features": 1e-4,
    "inputs_embeds": 1e-4,
    "last_hidden": 1e-4,
    "class_hidden": 1e-4,
    "seg_hidden": 1e-4,
    "class_logits": 1e-4,
    "text_fc_at_seg": 1e-4,
    "class_projection": 1e-4,
    "attention_out": 1e-4,
    "fused": 1e-4,
    "sam_embedding_stride4": 1e-4,
    "sam_embedding_channels_stride16": 1e-4,
    "low_res_mask": 2e-3,
    "low_res_mask_stride2": 2e-3,
    "final_mask_f16": 1e-2,
}


@pytest.fixture(scope="module")
def loaded(shared: Path, tmp_path_factory: pytest.TempPathFactory):
    return load(str(published_folder(shared, tmp_path_factory.mktemp("oracle"))))


@pytest.fixture(scope="module")
def recorded(shared: Path):
    return json.loads((shared / "oracle/eval/eval.json").read_text())


@pytest.fixture(scope="module")
def reproduced(shared: Path, loaded, recorded):
    """Outputs of our model for every case, under the names of the recording."""
    folder = shared / "oracle/preprocess/pictures"
    return {
        name: reproduce(loaded, read_picture(folder / recorded[name]["picture"]), recorded[name])
        for name in CASES
    }


@torch.inference_mode()
def reproduce(loaded, picture, case) -> dict[str, torch.Tensor]:
    model, processor = loaded.model.eval(), loaded.processor
    inputs, (frame,) = processor([picture])
    tokens, state = model.image_tokens(inputs)
    ids = torch.tensor([case["input_ids"]])
    embeds = model.embed(ids, tokens)
    hidden = model.prefill(embeds)
    class_hidden = hidden[:, case["cls_read_positions"][0]]
    seg_hidden = hidden[:, case["seg_read_positions"][0]]
    class_logits = model.classify(class_hidden)
    prompt = model.mask_prompt(seg_hidden)
    fused = model.mask_prompts(class_logits, seg_hidden[:, None])[:, 0]
    embedding = model.encoder.embed(inputs, torch.tensor([0]), state)
    low = model.decoder(embedding, fused)
    stride = case["final_mask_stride"]
    final = frame.restore(low)
    return {
        "clip_features": model.encoder.features(inputs.vision.pixels)[0],
        "inputs_embeds": embeds[0],
        "last_hidden": hidden[0],
        "class_hidden": class_hidden[0],
        "seg_hidden": seg_hidden[0],
        "class_logits": class_logits[0],
        "text_fc_at_seg": prompt[0],
        "class_projection": model.fusion.class_query(class_logits),
        "attention_out": fused - prompt,
        "fused": fused,
        "sam_embedding_stride4": embedding[0, :, ::4, ::4],
        "sam_embedding_channels_stride16": embedding[0, ::16],
        "low_res_mask": low[0],
        "low_res_mask_stride2": low[0, ::2, ::2],
        "final_mask_f16": final[::stride, ::stride].half(),
        "mask": final > 0,
        "embedding": embedding,
    }


@pytest.mark.parametrize("name", CASES)
def test_every_recorded_intermediate(shared, reproduced, recorded, name):
    expected = load_file(shared / f"oracle/eval/{name}.safetensors")
    assert expected.keys() <= TOLERANCES.keys()
    assert len(expected) >= 13
    for tensor, truth in expected.items():
        torch.testing.assert_close(
            reproduced[name][tensor].float(),
            truth.float(),
            rtol=0,
            atol=TOLERANCES[tensor],
            msg=lambda message, tensor=tensor: f"{name} {tensor}: {message}",
        )
    share = reproduced[name]["mask"].float().mean().item()
    assert share == pytest.approx(recorded[name]["mask_positive_fraction"], abs=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_the_prompt_and_one_stem_are_the_recorded_ids(loaded, recorded, name):
    tokenizer = loaded.processor.tokenizer
    case = recorded[name]
    if not case["prompt"].startswith("A chat between"):
        pytest.skip("recorded with the other template")
    prompt = build_prompt(tokenizer, case["question"])
    ids = [*prompt.before, IMAGE_TOKEN, *prompt.after, *stem(tokenizer, "tampered")]
    assert ids == case["input_ids"][: len(ids)]
    assert case["input_ids"][len(ids) :] == [tokenizer.seg_id, tokenizer.eos_id]


@torch.inference_mode()
def test_one_prefill_gives_what_three_answers_give(loaded, recorded, shared):
    """The class cannot see the answer, and a cache changes nothing."""
    model, processor = loaded.model.eval(), loaded.processor
    case = recorded["case00"]
    picture = read_picture(shared / "oracle/preprocess/pictures" / case["picture"])
    tokens, _ = model.image_tokens(processor([picture], masks=False)[0])
    prompt = build_prompt(processor.tokenizer, case["question"])
    question = [*prompt.before, IMAGE_TOKEN, *prompt.after]
    logits = []
    for label in ("real", "full_synthetic", "tampered"):
        ids = torch.tensor([[*question, *stem(processor.tokenizer, label)]])
        hidden = model.prefill(model.embed(ids, tokens), cache=DynamicCache())
        logits.append(model.classify(hidden[0, case["cls_read_positions"][0]]))
    for actual in logits:
        torch.testing.assert_close(actual, torch.tensor(case["class_logits"]), rtol=0, atol=1e-4)


def test_the_layers_of_the_first_case(loaded, recorded, reproduced, shared):
    expected = load_file(shared / "oracle/eval/case00_internals.safetensors")
    model = loaded.model
    outputs = {}

    def keep(name):
        def hook(_module, _inputs, output):
            outputs[name] = (output[0] if isinstance(output, tuple) else output).detach()

        return hook

    watched = {
        "projector_out": model.encoder.projector,
        "sam_patch_embed_stride8": model.encoder.sam.patch_embed,
        **{
            f"clip_layer{i}_out": layer for i, layer in enumerate(model.encoder.clip.encoder.layers)
        },
        **{f"llama_layer{i}_out": layer for i, layer in enumerate(model.language.layers)},
        **{f"sam_block{i}_out_stride8": layer for i, layer in enumerate(model.encoder.sam.layers)},
    }
    hooks = [module.register_forward_hook(keep(name)) for name, module in watched.items()]
    case = recorded["case00"]
    reproduce(loaded, read_picture(shared / "oracle/preprocess/pictures" / case["picture"]), case)
    for hook in hooks:
        hook.remove()
    assert len(outputs) == len(watched) == 11
    for name, tensor in outputs.items():
        values = tensor[0, ::8, ::8] if name.endswith("stride8") else tensor[0]
        torch.testing.assert_close(values, expected[name], rtol=0, atol=1e-4, msg=name)


@torch.inference_mode()
def test_bfloat16_is_as_close_as_the_original_in_bfloat16(shared, recorded, tmp_path):
    original = json.loads((shared / "oracle/eval/bfloat16.json").read_text())
    half = load(str(published_folder(shared, tmp_path)), dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16
    assert original.keys() <= recorded.keys()
    for name in original:
        case = recorded[name]
        picture = read_picture(shared / "oracle/preprocess/pictures" / case["picture"])
        inputs, _ = half.processor([picture], masks=False)
        tokens, _ = half.model.image_tokens(inputs.to("cpu", torch.bfloat16))
        hidden = half.model.prefill(half.model.embed(torch.tensor([case["input_ids"]]), tokens))
        logits = half.model.classify(hidden[0, case["cls_read_positions"][0]]).float()
        assert (logits - torch.tensor(case["class_logits"])).abs().max() < 0.2


@torch.inference_mode()
def test_several_rows_share_what_the_class_attends_to(shared, loaded):
    """With more than one `[SEG]` the class does matter; recorded with markers typed by a user."""
    recorded = load_file(shared / "oracle/eval/oddities.safetensors")
    query, key = (recorded[f"cls_and_seg_in_prompt/{name}"][None] for name in ("query", "key"))
    assert key.shape[1] == 2
    attended = loaded.model.fusion.attention(query, key)
    expected = recorded["cls_and_seg_in_prompt/attention_out"]
    torch.testing.assert_close(attended[0], expected, rtol=0, atol=1e-4)
    fused = recorded["cls_and_seg_in_prompt/fused"]
    torch.testing.assert_close(key[0] + attended[0], fused, rtol=0, atol=1e-4)
