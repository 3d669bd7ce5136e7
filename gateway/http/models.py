"""GET /v1/models and /v1/models/{id}, in OpenAI's shape with vLLM's `max_model_len`."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from gateway.errors import ModelNotFound


class Listed(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def max_model_len(self) -> int: ...


def _entry(model: Listed) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "sluice",
        "max_model_len": model.max_model_len,
    }


def model_list(models: Mapping[str, Listed]) -> bytes:
    return json.dumps({"object": "list", "data": [_entry(model) for model in models.values()]}).encode()


def one_model(models: Mapping[str, Listed], name: str) -> bytes:
    """Raises ModelNotFound."""
    if name not in models:
        raise ModelNotFound(f"The model {name!r:.80} does not exist; GET /v1/models lists those served.", param="model")
    return json.dumps(_entry(models[name])).encode()
