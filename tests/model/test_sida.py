"""The conventions of transformers hold, for the published structure and for ours."""

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel

from sida.model import Sida
from sida.model.prompt import IMAGE_TOKEN
from sida.model.sida import Fusion, FusionAttention

FIELDS = ("class_logits", "mask_logits", "logits")


def assert_same(actual, expected, **tolerance):
    for field in FIELDS:
        torch.testing.assert_close(
            getattr(actual, field),
            getattr(expected, field),
            **tolerance,
            msg=field,
        )


def test_a_saved_model_says_the_same(model, run, tmp_path):
    model.save_pretrained(tmp_path)
    assert [f.name for f in tmp_path.glob("*.safetensors")] == ["model.safetensors"]
    with torch.inference_mode():
        expected = run(model)
        for loaded in (Sida.from_pretrained(tmp_path), AutoModel.from_pretrained(tmp_path)):
            assert isinstance(loaded, Sida)
            assert_same(run(loaded.eval()), expected, rtol=0, atol=0)


def test_a_saved_configuration_is_the_same(config, tmp_path):
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is type(config)
    for part in ("vision", "language", "mask"):
        assert type(getattr(loaded, part)) is type(getattr(config, part))
    assert loaded.to_diff_dict() == config.to_diff_dict()
    assert loaded.id2label == {0: "real", 1: "full_synthetic", 2: "tampered"}


@torch.inference_mode()
def test_the_same_input_gives_the_same_output(model, run):
    assert_same(run(model), run(model), rtol=0, atol=0)


@torch.inference_mode()
def test_a_picture_does_not_depend_on_its_batch(model, run):
    together = run(model)
    owner, start = [], 0
    for i in range(4):
        alone = run(model, (i,))
        owner.append(len(alone.mask_logits))
        torch.testing.assert_close(
            together.class_logits[i], alone.class_logits[0], rtol=1e-4, atol=1e-5
        )
        height, width = alone.mask_logits.shape[1:]
        rows = together.mask_logits[start : start + owner[-1], :height, :width]
        torch.testing.assert_close(rows, alone.mask_logits, rtol=1e-4, atol=1e-4)
        start += owner[-1]
    assert start == len(together.mask_logits)


def test_gradient_checkpointing_changes_no_gradient(model, run):
    model.train()
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            newer = "activation_checkpointing_enable"
            older = "gradient_checkpointing_enable"
            getattr(model, newer if hasattr(model, newer) else older)()
            assert any(getattr(m, "gradient_checkpointing", False) for m in model.modules())
        model.zero_grad()
        output = run(model)
        (output.class_logits.sum() + output.logits.mean() + output.mask_logits.mean()).backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-2), (torch.bfloat16, 0.2)])
@torch.inference_mode()
def test_half_precision_stays_close(model, run, dtype, tolerance, tmp_path):
    expected = run(model).class_logits
    model.save_pretrained(tmp_path)
    half = Sida.from_pretrained(tmp_path, dtype=dtype).eval()
    assert half.dtype == dtype
    logits = run(half).class_logits
    assert logits.dtype == dtype
    assert (logits.float() - expected).abs().max() < tolerance


@torch.inference_mode()
def test_more_vocabulary_keeps_the_old_rows(model, run):
    before = run(model)
    old = model.get_input_embeddings().weight.clone()
    model.resize_token_embeddings(64)
    assert model.config.language.vocab_size == 64
    assert torch.equal(model.get_input_embeddings().weight[:60], old)
    assert model.lm_head.weight.shape[0] == 64
    after = run(model)
    torch.testing.assert_close(after.class_logits, before.class_logits)
    torch.testing.assert_close(after.logits[..., :60], before.logits)


def test_tied_weights_stay_tied(config, tmp_path):
    config.tie_word_embeddings = config.language.tie_word_embeddings = True
    model = Sida(config)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    model.resize_token_embeddings(61)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    model.save_pretrained(tmp_path)
    loaded = Sida.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight


def test_untied_weights_stay_untied(config, tmp_path):
    config.tie_word_embeddings = config.language.tie_word_embeddings = False
    Sida(config).save_pretrained(tmp_path)
    loaded = Sida.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is not loaded.get_input_embeddings().weight


@pytest.mark.parametrize("device_map", [{"": "cpu"}, "auto"])
@torch.inference_mode()
def test_a_device_map_loads_the_same_model(model, run, tmp_path, device_map):
    model.save_pretrained(tmp_path)
    mapped = Sida.from_pretrained(tmp_path, device_map=device_map).eval()
    assert_same(run(mapped), run(model), rtol=0, atol=0)


@pytest.mark.parametrize(
    "kept_on_disk",
    [("language.layers.1", "language.norm"), ("class_head", "mask_prompt", "fusion")],
)
@torch.inference_mode()
def test_parts_may_stay_on_disk_until_they_are_called(model, run, tmp_path, kept_on_disk):
    """As `device_map="auto"` leaves them where there is no room; transformers' SAM cannot."""
    model.save_pretrained(tmp_path / "model")
    names = [f"language.{name}" for name, _ in model.language.named_children() if name != "layers"]
    names += [f"language.layers.{i}" for i in range(len(model.language.layers))]
    names += [name for name, _ in model.named_children() if name != "language"]
    device_map = {name: "disk" if name in kept_on_disk else "cpu" for name in names}
    assert list(device_map.values()).count("disk") == len(kept_on_disk)
    mapped = Sida.from_pretrained(
        tmp_path / "model", device_map=device_map, offload_folder=tmp_path / "offloaded"
    ).eval()
    assert any(parameter.is_meta for parameter in mapped.parameters())
    assert_same(run(mapped), run(model), rtol=0, atol=0)


@pytest.mark.parametrize("rows", [1, 3])
@torch.inference_mode()
def test_attention_is_that_of_torch(rows):
    torch.manual_seed(0)
    ours, theirs = (
        module_class(16, 8, batch_first=True)
        for module_class in (FusionAttention, nn.MultiheadAttention)
    )
    for parameter in ours.parameters():
        parameter.data = torch.randn_like(parameter)
    theirs.load_state_dict(ours.state_dict())
    query, keys = torch.randn(2, rows, 16), torch.randn(2, 4, 16)
    torch.testing.assert_close(ours(query, keys), theirs(query, keys, keys)[0])


def test_what_a_device_map_must_not_split_exists(model):
    class_names = {type(module).__name__ for module in model.modules()}
    assert class_names & set(model._no_split_modules) >= {"LlamaDecoderLayer", "Fusion"}
    families = {"SamDecoder", "CLIPEncoderLayer", "SamVisionLayer"}, {"Native", "NativeDecoder"}
    assert any(class_names >= names for names in families)


def test_every_trained_part_gets_a_gradient(model, run):
    model.train()
    output = run(model)
    (output.class_logits.square().sum() + output.logits.square().mean()).backward()
    with_gradient = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert {"encoder", "language", "class_head"} <= with_gradient


@torch.inference_mode()
def test_a_batch_without_mask_positions_gives_no_masks(model, run):
    output = run(model, mask_positions=torch.full((4,), -1))
    assert len(output.mask_logits) == len(output.mask_windows) == 0


def test_the_image_id_must_stand_in_one_column(model):
    tokens = torch.zeros(2, model.image_token_count, model.config.language.hidden_size)
    crooked = torch.tensor([[1, IMAGE_TOKEN, 3], [1, 2, IMAGE_TOKEN]])
    with pytest.raises(ValueError, match="same column"):
        model.embed(crooked, tokens)
    with pytest.raises(ValueError, match="exactly once"):
        model.embed(torch.tensor([[1, 2, 3], [1, 2, 3]]), tokens)


@torch.inference_mode()
def test_the_published_fusion_cannot_hear_the_class_and_ours_can(config):
    prompts = torch.randn(2, 1, config.out_dim)
    classes = torch.randn(2, 3), torch.randn(2, 3)
    config.fusion = "published"
    published = Fusion(config)
    torch.testing.assert_close(published(classes[0], prompts), published(classes[1], prompts))
    config.fusion = "class_and_prompt"
    ours = Fusion(config)
    assert not torch.allclose(ours(classes[0], prompts), ours(classes[1], prompts))
