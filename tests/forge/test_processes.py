"""Several processes: all results come, errors end the work, one thread in each."""

import math
import os
import time

import pytest
import torch

from sida.errors import SidaError
from sida.forge.processes import in_order_or_not, process_count, quiet_process


def test_one_process_is_this_one() -> None:
    assert list(in_order_or_not(lambda number: number + 1, [1, 2], 1)) == [2, 3]


@pytest.mark.slow
def test_all_results_come_from_several() -> None:
    assert sorted(in_order_or_not(math.isqrt, range(12), 2)) == [math.isqrt(n) for n in range(12)]
    with pytest.raises(ValueError, match="nonnegative"):
        list(in_order_or_not(math.isqrt, range(5, -5, -1), 2))


@pytest.mark.slow
def test_work_that_nobody_waits_for_is_dropped_at_once() -> None:
    start = time.monotonic()
    results = in_order_or_not(time.sleep, [0, 600, 600], 2)
    assert next(results) is None
    results.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 100


@pytest.mark.slow
def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(SidaError, match=r"a worker process was killed.*workers=N"):
        list(in_order_or_not(os._exit, [3, 3, 3], 2))


def test_the_number_of_processes() -> None:
    assert process_count(3) == 3
    assert 1 <= process_count(0) <= (os.cpu_count() or 1)


def test_one_thread_inside_and_as_many_as_before_outside() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with quiet_process():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
