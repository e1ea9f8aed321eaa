"""What OpenAPI says is what is served: requests made up from the schema, answers checked by it."""

import pytest
from hypothesis import HealthCheck, settings

from sida.serve import create_app
from tests.serve.held import Held

schemathesis = pytest.importorskip("schemathesis")

app = create_app(Held())  # type: ignore[arg-type]
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_to_the_schema(case) -> None:
    case.call_and_validate()
