"""Losses by hand."""

import math

import pytest
import torch

from sida.model.prompt import IGNORED
from sida.train.losses import class_sum, mask_sums, supervised, text_sum


def test_class_loss_by_hand():
    total = class_sum(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 100.0]]), torch.tensor([1, 2]))
    assert total.item() == pytest.approx(math.log(3))


def test_dice_and_cross_entropy_by_hand():
    truth = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    bce, dice_loss = mask_sums(torch.zeros(1, 2, 2), truth, torch.ones(1, 2, 2, dtype=torch.bool))
    assert bce.item() == pytest.approx(math.log(2))
    expected = 1 - (2 * 0.5 / 1000 + 1e-6) / (2 / 1000 + 1 / 1000 + 1e-6)
    assert dice_loss.item() == pytest.approx(expected)


def test_an_empty_truth_counts_for_cross_entropy_alone():
    everywhere = torch.ones(1, 2, 2, dtype=torch.bool)
    bce, dice_loss = mask_sums(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), everywhere)
    assert bce.item() == pytest.approx(math.log(2))
    assert dice_loss.item() == 0


def test_padding_has_no_say_in_mask_losses():
    logits, truth = torch.randn(2, 3, 4), torch.rand(2, 3, 4)
    expected = mask_sums(logits, truth, torch.ones(2, 3, 4, dtype=torch.bool))
    wide_logits, wide_truth = torch.full((2, 5, 6), 9.0), torch.full((2, 5, 6), 0.5)
    wide_logits[:, :3, :4], wide_truth[:, :3, :4] = logits, truth
    inside = torch.zeros(2, 5, 6, dtype=torch.bool)
    inside[:, :3, :4] = True
    torch.testing.assert_close(mask_sums(wide_logits, wide_truth, inside), expected)


def test_text_loss_looks_only_at_supervised_tokens():
    logits = torch.randn(2, 4, 7)
    labels = torch.tensor([[IGNORED, IGNORED, 3, 2], [IGNORED] * 4])
    log_probability = logits.log_softmax(-1)
    expected = -(log_probability[0, 1, 3] + log_probability[0, 2, 2])
    torch.testing.assert_close(text_sum(logits, labels), expected)
    assert supervised(labels) == 2


def test_a_batch_with_nothing_to_learn_has_no_loss_and_a_gradient_of_zero():
    logits = torch.randn(1, 3, 5, requires_grad=True)
    total = text_sum(logits, torch.full((1, 3), IGNORED))
    assert total.item() == 0
    total.backward()
    assert not logits.grad.any()
    empty = torch.zeros(0, 4, 4)
    assert [total.item() for total in mask_sums(empty, empty, empty.bool())] == [0, 0]


def test_a_teacher_is_a_share_of_the_target():
    logits, labels = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    teacher = torch.tensor([[0.0, 1.0, 0.0]])
    plain = class_sum(logits, labels)
    teacher_loss = -(teacher.softmax(1) * logits.log_softmax(1)).sum()
    mixed = class_sum(logits, labels, teacher, 0.3)
    assert float(mixed) == pytest.approx(float(0.7 * plain + 0.3 * teacher_loss), rel=1e-6)
    assert float(class_sum(logits, labels, teacher, 0.0)) == float(plain)
