"""Tiny random models of transformers and diffusers, written to folders as their libraries do."""

from pathlib import Path

import torch
import transformers


def clip_tokenizer() -> transformers.CLIPTokenizer:
    """Letters alone, and letters at the end of a word."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    words = ["!", "<|startoftext|>", "<|endoftext|>", *tokens]  # OWL-ViT takes 0 for no query
    vocabulary = {word: number for number, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def clip_text(width: int = 32) -> transformers.CLIPTextModel:
    config = transformers.CLIPTextConfig(
        vocab_size=60, hidden_size=width, intermediate_size=37, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=77, bos_token_id=1, eos_token_id=2,
        pad_token_id=2, projection_dim=width,
    )  # fmt: skip
    return transformers.CLIPTextModel(config)


def t5_tokenizer() -> transformers.T5TokenizerFast:
    letters = [(letter, -1.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters]
    return transformers.T5TokenizerFast(vocab=vocabulary, extra_ids=0, model_max_length=64)


def t5_text() -> transformers.T5EncoderModel:
    config = transformers.T5Config(
        vocab_size=40, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4
    )
    return transformers.T5EncoderModel(config)


def autoencoder_kl(latent: int = 4, **options: float) -> object:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=[8, 16], in_channels=3, out_channels=3, latent_channels=latent,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        norm_num_groups=4, **options,
    )  # fmt: skip


def stable_diffusion(folder: Path, inpainting: bool = False) -> Path:
    """A StableDiffusionPipeline, or one for inpainting."""
    import diffusers

    torch.manual_seed(0)
    pipeline_class = diffusers.StableDiffusionInpaintPipeline if inpainting else None
    pipeline = (pipeline_class or diffusers.StableDiffusionPipeline)(
        vae=autoencoder_kl(),
        text_encoder=clip_text(),
        tokenizer=clip_tokenizer(),
        unet=diffusers.UNet2DConditionModel(
            block_out_channels=(16, 32), layers_per_block=1, sample_size=32, cross_attention_dim=32,
            in_channels=9 if inpainting else 4, out_channels=4, norm_num_groups=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=4,
        ),
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def flux(folder: Path, inpainting: bool = False) -> Path:
    """A FluxPipeline, or a FluxFillPipeline."""
    import diffusers

    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=48 if inpainting else 16, out_channels=16, num_layers=1,
        num_single_layers=1, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
        pooled_projection_dim=32, axes_dims_rope=(4, 4, 8), guidance_embeds=inpainting,
    )  # fmt: skip
    pipeline_class = diffusers.FluxFillPipeline if inpainting else diffusers.FluxPipeline
    pipeline = pipeline_class(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder_kl(4, scaling_factor=1.5, shift_factor=0.1),
        text_encoder=clip_text(),
        tokenizer=clip_tokenizer(),
        text_encoder_2=t5_text(),
        tokenizer_2=t5_tokenizer(),
        transformer=transformer,
    )
    pipeline.save_pretrained(folder)
    return folder


def sam(folder: Path) -> Path:
    """A SamModel with its processor; pictures come in at 64 pixels."""
    torch.manual_seed(0)
    vision = transformers.SamVisionConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=8,
        output_channels=16, mlp_dim=32, window_size=4, global_attn_indexes=[1], num_pos_feats=8,
    )  # fmt: skip
    prompts = transformers.SamPromptEncoderConfig(
        hidden_size=16, image_size=64, patch_size=8, mask_input_channels=4
    )
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=16, mlp_dim=32, num_hidden_layers=2, num_attention_heads=2,
        iou_head_hidden_dim=16,
    )  # fmt: skip
    config = transformers.SamConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )
    transformers.SamModel(config).save_pretrained(folder)
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    processor = SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16}, mask_pad_size={"height": 16, "width": 16},
    )  # fmt: skip
    transformers.SamProcessor(processor).save_pretrained(folder)
    return folder


def detector(folder: Path) -> Path:
    """A YolosForObjectDetection that knows dogs and cats."""
    from transformers.models.yolos.image_processing_pil_yolos import YolosImageProcessorPil

    torch.manual_seed(0)
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=[32, 32], patch_size=16, num_detection_tokens=5,
        id2label={0: "dog", 1: "cat"}, label2id={"dog": 0, "cat": 1},
    )  # fmt: skip
    transformers.YolosForObjectDetection(config).save_pretrained(folder)
    YolosImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def word_detector(folder: Path) -> Path:
    """An OwlViTForObjectDetection, which takes words."""
    from transformers.models.owlvit.image_processing_pil_owlvit import OwlViTImageProcessorPil

    torch.manual_seed(0)
    text = {
        "vocab_size": 60, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 64, "patch_size": 16,
    }  # fmt: skip
    config = transformers.OwlViTConfig(text_config=text, vision_config=vision, projection_dim=16)
    transformers.OwlViTForObjectDetection(config).save_pretrained(folder)
    images = OwlViTImageProcessorPil(
        size={"height": 64, "width": 64}, crop_size={"height": 64, "width": 64}
    )
    tokenizer = clip_tokenizer()
    tokenizer.model_max_length = 16
    transformers.OwlViTProcessor(images, tokenizer).save_pretrained(folder)
    return folder
