"""Fields of a form stand as they are declared, also after a database has sorted them."""

import json

from prefect.utilities.callables import parameter_schema

from flows.forecast_subsidence import forecast_subsidence
from tasks.subsidence.request import SubsidenceRequest


def test_each_field_has_its_place():
    schema = json.loads(parameter_schema(forecast_subsidence.fn).model_dump_json())
    fields = schema["definitions"]["SubsidenceRequest"]["properties"]
    shuffled = dict(sorted(fields.items()))
    assert sorted(shuffled, key=lambda name: shuffled[name]["position"]) == list(SubsidenceRequest.model_fields)
