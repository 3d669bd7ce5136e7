"""R13 tries what Sluice must refuse for one field's sake."""

import pytest

from gateway.errors import InvalidRequest
from gateway.http.surface import ROUTES, SurfacePolicy, admit
from loadtests.redteam.surface import OBJECTS, nested_fields, plain


@pytest.mark.parametrize(("path", "field", "value"), OBJECTS)
def test_the_objects_are_ordinary_without_the_foreign_field(path: str, field: str, value: object) -> None:
    admit(ROUTES[path], {"model": "m", **plain(path), field: value}, SurfacePolicy())


@pytest.mark.parametrize(("path", "field", "value"), nested_fields())
def test_a_foreign_field_inside_an_object_is_refused(path: str, field: str, value: object) -> None:
    with pytest.raises(InvalidRequest):
        admit(ROUTES[path], {"model": "m", **plain(path), field: value}, SurfacePolicy())
