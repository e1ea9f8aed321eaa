"""What OpenAPI says is what is served: requests made up from the schema, answers checked by it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from tests.serve.conftest import listening
from tests.serve.held import Held

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.specs.openapi.checks import (  # noqa: E402
    negative_data_rejection,
    positive_data_acceptance,
)


@pytest.fixture(scope="module")
def served() -> Iterator[Any]:
    """The schema of a server of this process."""
    with listening(Held()) as port:
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
def test_every_answer_is_to_the_schema(served: Any, mode: Any) -> None:
    """Also of requests that are not (`negative`): no 5xx, and sentences as they are described."""
    operations = [result.ok() for result in served.get_all_operations()]
    assert len(operations) == 9
    for operation in operations:

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(max_examples=12, suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:
            # No schema says what a picture is; and a form's `1` is a yes, though no boolean.
            excluded = [positive_data_acceptance, negative_data_rejection]
            case.call_and_validate(excluded_checks=excluded)

        with contextlib.suppress(Unsatisfiable):  # what has no parameters cannot be asked wrongly
            check()
