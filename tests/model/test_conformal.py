"""The promise of split conformal thresholds, counted rank by rank, and the Beta of one set."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sida.model.conformal import rank, share_interval, smallest_count, threshold

BUDGETS = st.integers(1, 99).map(lambda percent: percent / 100)
SCORES = st.lists(st.floats(0, 1), min_size=2, max_size=120)


def exceeding(scores: list[float], budget: float) -> int:
    """Of n + 1 photographs, each in its turn the new one: how many exceed the others' threshold."""
    return sum(
        score > threshold(sorted(scores[:i] + scores[i + 1 :]), budget)
        for i, score in enumerate(scores)
    )


@given(SCORES, BUDGETS)
def test_at_most_the_budget_of_exchangeable_photographs_exceeds_the_threshold(scores, budget):
    if len(scores) - 1 < smallest_count(budget):
        return
    assert Fraction(exceeding(scores, budget), len(scores)) <= Fraction(str(budget))


@given(st.sets(st.floats(0, 1), min_size=2, max_size=120).map(sorted), BUDGETS)
def test_without_ties_not_one_photograph_more_could_be_allowed(scores, budget):
    if len(scores) - 1 < smallest_count(budget):
        return
    assert Fraction(exceeding(scores, budget) + 1, len(scores)) > Fraction(str(budget))


@given(BUDGETS)
def test_the_smallest_count_is_the_first_that_keeps_the_promise(budget):
    count = smallest_count(budget)
    assert rank(count, budget) <= count
    assert count == 1 or rank(count - 1, budget) > count - 1
    with pytest.raises(ValueError, match=f"at least {count}"):
        threshold([0.5] * (count - 1), budget)


@pytest.mark.parametrize(
    ("count", "budget", "expected"),
    [(99, 0.07, 93), (19, 0.05, 19), (18, 0.05, 19), (30, 0.1, 28), (999, 0.001, 999)],
)
def test_ranks_are_exact(count, budget, expected):
    assert rank(count, budget) == expected


@pytest.mark.parametrize(("budget", "count"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.3, 3)])
def test_how_many_photographs_a_budget_takes(budget, count):
    assert smallest_count(budget) == count


@pytest.mark.parametrize(("count", "budget"), [(30, 0.1), (100, 0.05), (1000, 0.01), (19, 0.05)])
def test_the_interval_is_that_of_the_beta_distribution(count, budget):
    k = rank(count, budget)
    expected = stats.beta(count + 1 - k, k).ppf([0.025, 0.975])
    assert share_interval(count, budget) == pytest.approx(expected, abs=1e-9)


def test_more_photographs_make_the_interval_narrower():
    widths = [high - low for low, high in (share_interval(n, 0.1) for n in (30, 100, 1000))]
    assert widths == sorted(widths, reverse=True)
