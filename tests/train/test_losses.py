"""Losses by hand, and sums that add up over micro-batches."""

import math

import pytest
import torch

from sida.train.losses import IGNORED, Term, class_term, mask_terms, text_term


def test_class_loss_by_hand():
    term = class_term(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 100.0]]), torch.tensor([1, 2]))
    assert term.items == 2
    assert term.mean().item() == pytest.approx(math.log(3) / 2)


def test_dice_and_cross_entropy_by_hand():
    logits = torch.zeros(1, 2, 2)
    truth = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    bce, dice = mask_terms(logits, truth, torch.ones(1, 2, 2, dtype=torch.bool))
    assert bce.mean().item() == pytest.approx(math.log(2))
    expected = 1 - (2 * 0.5 / 1000 + 1e-6) / (2 / 1000 + 1 / 1000 + 1e-6)
    assert dice.mean().item() == pytest.approx(expected)


def test_padding_has_no_say_in_mask_losses():
    logits, truth = torch.randn(2, 3, 4), torch.rand(2, 3, 4)
    expected = mask_terms(logits, truth, torch.ones(2, 3, 4, dtype=torch.bool))
    wide_logits, wide_truth = torch.full((2, 5, 6), 9.0), torch.full((2, 5, 6), 0.5)
    wide_logits[:, :3, :4], wide_truth[:, :3, :4] = logits, truth
    inside = torch.zeros(2, 5, 6, dtype=torch.bool)
    inside[:, :3, :4] = True
    for found, wanted in zip(mask_terms(wide_logits, wide_truth, inside), expected, strict=True):
        torch.testing.assert_close(found.total, wanted.total)


def test_text_loss_looks_only_at_supervised_tokens():
    logits = torch.randn(2, 4, 7)
    labels = torch.tensor([[IGNORED, IGNORED, 3, 2], [IGNORED] * 4])
    term = text_term(logits, labels)
    log_probability = logits.log_softmax(-1)
    assert term.items == 2
    expected = -(log_probability[0, 1, 3] + log_probability[0, 2, 2]) / 2
    torch.testing.assert_close(term.mean(), expected)


def test_a_batch_with_nothing_to_learn_has_no_loss_and_a_gradient_of_zero():
    logits = torch.randn(1, 3, 5, requires_grad=True)
    term = text_term(logits, torch.full((1, 3), IGNORED))
    assert term.mean().item() == 0
    term.mean().backward()
    assert not logits.grad.any()
    empty = torch.zeros(0, 4, 4)
    assert [t.mean().item() for t in mask_terms(empty, empty, empty.bool())] == [0, 0]


def test_micro_batches_add_up_to_the_batch():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    parts = [class_term(logits[i : i + 2], labels[i : i + 2]) for i in (0, 2, 4)]
    total = Term(sum(p.total for p in parts), sum(p.items for p in parts))
    torch.testing.assert_close(total.mean(), class_term(logits, labels).mean())
