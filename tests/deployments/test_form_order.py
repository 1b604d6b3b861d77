"""Fields of a form stand as they are declared, also after a database has sorted them."""

import json

import pytest
from prefect.utilities.callables import parameter_schema

from flows.forecast_subsidence import forecast_subsidence
from flows.refine_tiles import refine_tiles
from flows.train_tiles import train_tiles
from tasks.subsidence.request import SubsidenceRequest
from tasks.tiles.request import RefineRequest, TrainTilesRequest

FORMS = [
    (forecast_subsidence, SubsidenceRequest),
    (refine_tiles, RefineRequest),
    (train_tiles, TrainTilesRequest),
]


@pytest.mark.parametrize(("flow", "request_model"), FORMS)
def test_each_field_has_its_place(flow, request_model):
    schema = json.loads(parameter_schema(flow.fn).model_dump_json())
    fields = schema["definitions"][request_model.__name__]["properties"]
    shuffled = dict(sorted(fields.items()))
    assert sorted(shuffled, key=lambda name: shuffled[name]["position"]) == list(request_model.model_fields)
