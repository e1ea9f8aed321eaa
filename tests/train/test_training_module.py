"""The loss and gradient of a batch, expected and in size-batches."""

import torch

import sida.data
from sida.assets import TOKENIZER
from sida.model import Sida
from sida.model.presets import tiny
from sida.model.processor import SidaProcessor
from sida.model.tokenizer import Tokenizer
from sida.train.config import TrainConfig
from sida.train.loader import Batches, Collator
from sida.train.training_module import TrainingModule, counts

SETTINGS = {
    "preset": "tiny",
    "batch_size": 6,
    "crops": [32],
    "text_every": 1,
    "loss": {"image_tokens": 0.5},
}


def gradients(labelled, size):
    """Losses and gradients of one mixed batch, taken `size` pictures at a time."""
    config = TrainConfig(**SETTINGS)
    torch.manual_seed(0)
    model = Sida(tiny())
    trained = TrainingModule(model, config.loss)
    collator = Collator(SidaProcessor(tiny(), Tokenizer.load(TOKENIZER)), tiny(), 8, config)
    micro_batches = Batches([list(sida.data.open(labelled))], collator, config, size)
    parts = [micro_batches[i] for i in range(6 // size)]
    items = torch.stack([counts(part) for part in parts]).sum(0).clamp_min(1)
    sums = [trained(part) for part in parts]
    for part in sums:
        (part / items).sum().backward()
    losses = torch.stack(sums).double().sum(0) / items
    return losses.detach(), {n: p.grad for n, p in trained.named_parameters()}


def test_micro_batches_add_up_to_the_loss_and_gradient_of_the_batch(labelled):
    losses, expected = gradients(labelled, 6)
    again, parts = gradients(labelled, 1)
    assert (losses[:5] > 0).all()  # local maps are trained by themselves
    torch.testing.assert_close(again, losses, rtol=1e-5, atol=1e-6)
    for name, gradient in expected.items():
        if gradient is not None:
            largest = gradient.abs().max()
            assert (parts[name] - gradient).abs().max() <= 1e-3 * largest + 1e-7, name
