"""The encoder of `small`: what it reads of windows, and that its evidence adds up."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoModel

from sida.assets import EMBEDDED, TOKENIZER
from sida.errors import PictureError
from sida.inference.engine import Engine, ImageOutput
from sida.model.checkpoint import load_base
from sida.model.clip_windows import SYNTHETIC, TAMPERED, ClipWindows
from sida.model.config import SidaConfig
from sida.model.image_processors import ClipWindowsImageProcessor, covered_size, resize
from sida.model.inputs import Inputs, Windows
from sida.model.local_maps import LocalFeatures, pooled_evidence, squares
from sida.model.presets import small
from sida.model.processor import SidaProcessor
from sida.model.saving import FROZEN_FILE, frozen_tensors, load_frozen, save_model
from sida.model.sida import Sida
from sida.model.tokenizer import Tokenizer
from sida.model.weights import Shards

SINGLE_OWNER = torch.zeros(1, dtype=torch.long)
"""Owner of the windows of one picture of one window."""


def little_config() -> SidaConfig:
    """`small` with little views and few channels."""
    config = small()
    vision = config.vision
    vision.hidden_size, vision.intermediate_size, vision.num_attention_heads = 16, 32, 2
    vision.num_hidden_layers, vision.layers = 2, (1, 2)
    vision.patch_layers, vision.first_adapted, vision.rank, vision.patch_width = (1, 2), 1, 2, 8
    vision.image_size, vision.patch_size, vision.window, vision.stem = 32, 16, 64, 4
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


def test_the_class_head_adds_to_the_evidence(engine: Engine) -> None:
    """The language model may add to what the encoder says of the class, and cannot lose it."""
    pictures = [noise(70, 150), noise(64, 64, 1)]
    inputs, _ = engine.processor(pictures, masks=False)
    output = engine.forward(inputs)
    with torch.inference_mode():
        expected = engine.model.class_head(output.class_hidden) + output.state.logits
        with pytest.raises(AssertionError):  # and not the class head's alone
            engine.model.classify(output.class_hidden)
    assert torch.equal(output.class_logits, expected)
    assert output.state.logits.abs().max() > 0.1


def test_evidence_is_of_all_windows(engine: Engine) -> None:
    (output,) = engine.infer_each([noise(70, 150)], [lambda _: False], [False], [True])
    evidence = output.evidence
    assert evidence is not None
    assert evidence.windows.shape == (3, 3)
    assert evidence.patches.shape == (3, 4, 4, 3)
    assert evidence.windows.std(0).max() > 0


def test_a_window_alone_has_the_logits_that_its_evidence_says(engine: Engine) -> None:
    """As long as maps are not compared with those of the other windows."""
    encoder = engine.model.encoder
    inputs, _ = engine.processor([noise(70, 150)])
    with torch.inference_mode():
        vectors, local = encoder.features(inputs)
        _, state = encoder.tokens(inputs)
        evidence = encoder.evidence_of(inputs.mask.owner, state, 0)
        for window in range(3):
            single = pooled_evidence(
                LocalFeatures(*(x[window : window + 1] for x in local)), SINGLE_OWNER
            )
            alone = torch.cat([vectors[:, : encoder.whole_count], single], 1)
            moved = encoder.project(alone)[1] - state.logits
            shift = evidence.windows[window, TAMPERED]
            torch.testing.assert_close(moved[0, TAMPERED], shift, atol=1e-4, rtol=1e-3)


def test_a_patch_speaks_as_a_picture_that_is_everywhere_like_it(engine: Engine) -> None:
    encoder = engine.model.encoder
    inputs, _ = engine.processor([noise(70, 150), noise(64, 64, 1)])
    with torch.inference_mode():
        _, state = encoder.tokens(inputs)
        evidence = encoder.evidence_of(inputs.mask.owner, state, 1)
        (generated,) = state.local.generated[inputs.mask.owner == 1]
        (altered,) = squares(state.local)[inputs.mask.owner == 1]
        like = torch.tensor([*[float(generated[5])] * 4, 0, *[float(altered[1, 1])] * 4, 0])
        vector = torch.cat([state.vectors[1, : encoder.whole_count], like])
        moved = encoder.project(vector[None])[1] - state.logits[1]
    shift = evidence.patches[0, 1, 1]
    torch.testing.assert_close(shift[TAMPERED], moved[0, TAMPERED], atol=1e-4, rtol=1e-3)
    apart = float(generated[5] - generated.mean())
    assert float(shift[SYNTHETIC]) == pytest.approx(apart, abs=1e-5)
    assert float(evidence.patches[..., SYNTHETIC].mean()) == pytest.approx(0, abs=1e-5)


def test_tampered_is_read_from_local_evidence_alone() -> None:
    encoder = ClipWindows(little_config())
    columns = [range(encoder.feature_count)[encoder.evidence_columns(label)] for label in (1, 2)]
    assert columns[0] == range(encoder.whole_count)
    assert columns[1] == range(encoder.whole_count, encoder.feature_count)


@given(
    values=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=80),
    other=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=9),
)
def test_pooled_evidence_falls_from_the_strongest_to_the_mean(
    values: list[float], other: list[float]
) -> None:
    """Of each picture by itself, in the order generated, altered."""
    count = max(len(values), len(other))
    rows = [torch.tensor((row * count)[:count]) for row in (values, other)]
    altered = torch.stack(rows)[:, None].repeat_interleave(4, 1).repeat_interleave(4, 2)
    local = LocalFeatures(altered, -torch.stack(rows), altered[:, None])
    pooled = pooled_evidence(local, torch.arange(2))
    assert pooled.shape == (2, 10)
    for row, evidence in zip(rows, pooled, strict=True):
        assert float(evidence[0]) == pytest.approx(float((-row).max()), abs=1e-4) or count > 95
        for part in (evidence[:4], evidence[5:9]):
            assert (part.diff() <= 1e-4).all()
        assert float(evidence[8]) == pytest.approx(float(row.mean()), abs=1e-3)
        assert float(evidence[9]) == pytest.approx(float(row.std(correction=0)), abs=1e-3)


def test_a_picture_is_judged_alike_alone_and_in_a_batch(engine: Engine) -> None:
    pictures = [noise(50, 90), noise(32, 32, 1), noise(7, 200, 2)]
    wants = ([lambda _: True] * 3, [False] * 3)
    together = engine.infer_each(pictures, *wants)
    for picture, result in zip(pictures, together, strict=True):
        (alone,) = engine.infer_each([picture], *(want[:1] for want in wants))
        np.testing.assert_allclose(alone.class_logits, result.class_logits, atol=1e-5)
        np.testing.assert_allclose(alone.mask_logits, result.mask_logits, atol=1e-4)
        assert result.mask_logits.shape == picture.shape[:2]


def test_features_that_were_kept_give_the_same_tokens(engine: Engine) -> None:
    encoder = engine.model.encoder
    assert isinstance(encoder, ClipWindows)
    inputs, _ = engine.processor([noise(50, 90), noise(40, 40, 1)], masks=False)
    with torch.inference_mode():
        tokens, _ = encoder.tokens(inputs)
        features = torch.stack([encoder.vision_features(inputs, i) for i in range(2)])
        again, _ = encoder.project(features)
    torch.testing.assert_close(again, tokens, atol=1e-5, rtol=1e-4)


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    max_windows=st.integers(1, 9),
    side=st.integers(8, 64),
)
def test_a_picture_is_covered_by_at_most_so_many_squares(
    height: int, width: int, max_windows: int, side: int
) -> None:
    size = covered_size(height, width, side, max_windows)
    assert min(size) >= side
    assert math.prod(-(-length // side) for length in size) <= max_windows
    enlarged = any(new > old for new, old in zip(size, (height, width), strict=True))
    assert not enlarged or min(size) == side  # only to hold one square
    longest = max(height, width) / min(height, width)
    if longest < min(max_windows, 8) and not enlarged:
        assert size[0] / size[1] == pytest.approx(height / width, rel=1 / min(size))


def test_windows_cover_the_picture_and_lie_in_it() -> None:
    processor = ClipWindowsImageProcessor(little_config())
    for height, width in ((64, 64), (100, 130), (10, 900), (700, 500)):
        windows = processor.mask_window(height, width)
        assert [window.window for window in processor.mask(noise(height, width))] == windows
        covered = np.zeros((height, width), bool)
        for window in windows:
            left, top, right, bottom = window.box
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            covered[top:bottom, left:right] = True
        assert covered.all()
        assert len(windows) <= 4


def test_windows_between_have_every_seam_in_their_middle() -> None:
    processor = ClipWindowsImageProcessor(little_config())
    picture = noise(100, 120)
    boxes = [window.window.box for window in processor.between(picture)]
    # Tops 0 and 36, lefts 0 and 56: windows of 64 at 18 and 28 as well.
    assert boxes == [
        (28, 0, 92, 64),
        *((left, 18, left + 64, 82) for left in (0, 28, 56)),
        (28, 36, 92, 100),
    ]
    for window, pixels in processor.between(picture):
        left, top, _, _ = window.box
        (alone,) = processor.mask(picture[top : top + 64, left : left + 64])
        np.testing.assert_array_equal(pixels, alone.pixels)
    assert processor.between(noise(64, 64)) == []
    assert len(processor.between(noise(60, 200))) == 3


def test_the_squeezed_window_shows_all_of_a_picture() -> None:
    processor = ClipWindowsImageProcessor(little_config())
    picture = noise(100, 120)
    ((window, pixels),) = processor.squeezed(picture)
    assert (window.box, window.size) == ((0, 0, 120, 100), (64, 64))
    (alone,) = processor.mask(resize(picture, (64, 64), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(pixels, alone.pixels)
    assert processor.squeezed(noise(64, 64)) == []


def test_a_mask_is_the_mean_of_all_windows_and_of_the_squeezed_picture(engine: Engine) -> None:
    picture = noise(100, 120)
    (result,) = engine.infer([picture], [lambda _: True])
    processor = engine.processor.image_processor
    assert isinstance(processor, ClipWindowsImageProcessor)
    inputs, (frame,) = engine.processor([picture])
    between, squeezed = processor.between(picture), processor.squeezed(picture)
    assert inputs.mask is not None
    groups = [inputs.mask.pixels]
    groups += [torch.stack([torch.tensor(x.pixels) for x in part]) for part in (between, squeezed)]
    prompts = engine.forward(inputs).prompts
    logits = []
    for pixels in groups:
        owner = torch.zeros(len(pixels), dtype=torch.int64)
        windows = Windows(pixels, torch.tensor([[64, 64]] * len(pixels)), owner)
        alone = Inputs(windows, windows)
        with torch.inference_mode():
            numbers = torch.arange(len(pixels))
            logits.append(engine.model.decode_masks(alone, numbers, prompts[owner], None))
    dense = dataclasses.replace(frame, windows=(*frame.windows, *(x.window for x in between)))
    whole = dataclasses.replace(frame, windows=tuple(x.window for x in squeezed))
    expected = (dense.restore(torch.cat(logits[:2])) + whole.restore(logits[2])) / 2
    np.testing.assert_allclose(result.mask_logits, expected.numpy(), atol=1e-5)


def test_masks_do_not_depend_on_which_pictures_get_theirs_together(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [noise(64, 64), noise(100, 120), noise(60, 200), noise(64, 64), noise(20, 400)]
    rules = [lambda _: True] * 3 + [lambda _: False, lambda _: True]
    alone = engine.infer(pictures, rules)
    monkeypatch.setattr("sida.inference.engine._groups", lambda masked, _: [masked])
    together = engine.infer(pictures, rules)
    for picture, one, other in zip(pictures, alone, together, strict=True):
        if one.mask_logits is None:
            assert other.mask_logits is None
            continue
        assert one.mask_logits.shape == picture.shape[:2]
        np.testing.assert_allclose(one.mask_logits, other.mask_logits, atol=1e-5)
    assert [one.mask_logits is None for one in alone] == [False] * 3 + [True, False]


def test_a_squeezed_window_that_is_not_finite_fails_its_picture_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [noise(64, 64), noise(100, 120)]
    complete = engine._further_logits

    def broken(windows: Windows | None, prompts: torch.Tensor) -> list[torch.Tensor]:
        between, squeezed = complete(windows, prompts)
        return [between, squeezed * math.nan]

    monkeypatch.setattr(engine, "_further_logits", broken)
    first, second = engine.infer_each(pictures, [lambda _: True] * 2, [False] * 2)
    assert isinstance(first, ImageOutput)
    assert isinstance(second, PictureError)


def test_frozen_weights_are_the_packages_and_are_not_written_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Sida(small())
    load_frozen(model)
    save_model(model, tmp_path)
    SidaProcessor(model.config, Tokenizer.load(TOKENIZER)).save_pretrained(tmp_path)
    assert (tmp_path / FROZEN_FILE.name).read_bytes() == FROZEN_FILE.read_bytes()
    assert (tmp_path / "trained.safetensors").stat().st_size < 20e6
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
