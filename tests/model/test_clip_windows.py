"""The encoder of `small`: what it reads of views, and that its evidence adds up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel

from sida.assets import EMBEDDED, TOKENIZER
from sida.inference.engine import Engine
from sida.model.checkpoint import load_base
from sida.model.clip_windows import ClipWindows
from sida.model.config import SidaConfig
from sida.model.presets import small
from sida.model.processor import SidaProcessor
from sida.model.saving import FROZEN_FILE, frozen_tensors, load_frozen, save_model
from sida.model.sida import Sida
from sida.model.tokenizer import Tokenizer
from sida.model.views import ClipWindowsViews, window_corners
from sida.model.weights import Shards


def little_config() -> SidaConfig:
    """`small` with little views and few channels."""
    config = small()
    vision = config.vision
    vision.hidden_size, vision.intermediate_size, vision.num_attention_heads = 16, 32, 2
    vision.num_hidden_layers, vision.layers = 2, (1, 2)
    vision.image_size, vision.patch_size = 32, 8
    vision.window, vision.overlap, vision.stem = 64, 16, 4
    vision.widths, vision.depths = (8, 8, 16), (1, 1, 1)
    config.mask.output_channels = 8
    return config


@pytest.fixture(scope="module")
def engine() -> Engine:
    torch.manual_seed(0)
    config = little_config()
    model = Sida(config)
    torch.nn.init.normal_(model.encoder.evidence.weight)
    model.encoder.get_buffer("deviation").fill_(4)  # nothing is beyond five of it
    return Engine(model, SidaProcessor(config, Tokenizer.load(TOKENIZER)))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_evidence_of_windows_and_patches_averages_to_the_class_logits(engine: Engine) -> None:
    (judged,) = engine.infer_each([noise(50, 90)], [lambda _: False], [False], [True])
    evidence = judged.evidence
    assert len(evidence.boxes) == len(evidence.windows) == len(evidence.patches) == 2
    for averages in (evidence.windows.mean(0), evidence.picture.mean((0, 1))):
        np.testing.assert_allclose(averages, judged.class_logits, atol=1e-5)
    np.testing.assert_allclose(evidence.patches.mean((1, 2)), evidence.windows, atol=1e-5)
    assert evidence.windows.std(0).max() > 0


def test_a_window_alone_has_the_logits_that_its_evidence_says(engine: Engine) -> None:
    """The evidence head is linear: with one window in place of two it moves by that much."""
    encoder = engine.model.encoder
    inputs, _ = engine.processor([noise(50, 90)], masks=False)
    with torch.inference_mode():
        _, state = encoder.tokens(inputs)
        evidence = encoder.evidence_of(inputs, state, 0)
        for window in range(2):
            keep = [0, 1 + window]
            alone = inputs._replace(vision=type(inputs.vision)(*(x[keep] for x in inputs.vision)))
            moved = encoder.tokens(alone)[1].logits - state.logits
            torch.testing.assert_close(moved[0], evidence.windows[window], atol=1e-4, rtol=1e-3)


def test_a_picture_is_judged_alike_alone_and_in_a_batch(engine: Engine) -> None:
    pictures = [noise(50, 90), noise(32, 32, 1), noise(7, 200, 2)]
    wants = ([lambda _: True] * 3, [False] * 3)
    together = engine.infer_each(pictures, *wants)
    for picture, judged in zip(pictures, together, strict=True):
        (alone,) = engine.infer_each([picture], *(want[:1] for want in wants))
        np.testing.assert_allclose(alone.class_logits, judged.class_logits, atol=1e-5)
        np.testing.assert_allclose(alone.mask_logits, judged.mask_logits, atol=1e-4)
        assert judged.mask_logits.shape == picture.shape[:2]


def test_features_that_were_kept_give_the_same_tokens(engine: Engine) -> None:
    encoder = engine.model.encoder
    assert isinstance(encoder, ClipWindows)
    inputs, _ = engine.processor([noise(50, 90), noise(40, 40, 1)], masks=False)
    with torch.inference_mode():
        tokens, _ = encoder.tokens(inputs)
        kept = torch.stack([encoder.vision_features(inputs, i) for i in range(2)])
        again, _ = encoder.project(kept)
    torch.testing.assert_close(again, tokens, atol=1e-5, rtol=1e-4)


@given(
    height=st.integers(1, 300),
    width=st.integers(1, 300),
    most=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_windows_lie_inside_and_differ(height: int, width: int, most: int, seed: int) -> None:
    side = min(32, height, width)
    corners = window_corners(noise(height, width, seed), side, most)
    assert 1 <= len(corners) == len(set(corners)) <= most
    assert all(0 <= top <= height - side and 0 <= left <= width - side for top, left in corners)


def test_the_first_window_is_where_texture_is() -> None:
    pixels = np.full((200, 300, 3), 128, np.uint8)
    pixels[120:180, 220:280] = noise(60, 60)
    views = ClipWindowsViews(little_config()).vision(pixels)
    assert views[0].window.box == (0, 0, 300, 200)
    left, top, _, _ = views[1].window.box
    assert (left, top) == (248, 152) or (left >= 210 and top >= 110)


def test_frozen_weights_are_the_packages_and_are_not_written_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Sida(small())
    load_frozen(model)
    save_model(model, tmp_path)
    SidaProcessor(model.config, Tokenizer.load(TOKENIZER)).save_pretrained(tmp_path)
    assert (tmp_path / FROZEN_FILE.name).read_bytes() == FROZEN_FILE.read_bytes()
    assert (tmp_path / "trained.safetensors").stat().st_size < 10e6
    expected = model.state_dict()
    for loaded in (load_base(str(tmp_path))[0], AutoModel.from_pretrained(tmp_path)):
        for name, tensor in loaded.state_dict().items():
            assert torch.equal(tensor, expected[name]), name


def test_a_changed_encoder_is_written_whole(tmp_path: Path) -> None:
    model = Sida(small())
    load_frozen(model)
    model.encoder.clip.embeddings.class_embedding.data += 1
    save_model(model, tmp_path)
    written = dict(Shards(tmp_path).tensors())
    name = "encoder.clip.embeddings.class_embedding"
    assert torch.equal(written[name], model.state_dict()[name])


def test_int8_matrices_are_read_as_float32() -> None:
    tensors = frozen_tensors()
    name = "encoder.clip.encoder.layers.8.mlp.fc2.weight"
    assert tensors[name].dtype == torch.float32
    assert tensors[name].shape == (768, 3072)
    assert len(tensors) == 149
    assert EMBEDDED["small"] == FROZEN_FILE.parent
