"""A request in the words of OpenTelemetry's semantic conventions for HTTP and generative AI (those of package version 0.66b2).

Pure. Content only when asked for, and redacted even then.
"""

import itertools
from collections.abc import Mapping
from typing import Any, Final

from gateway.telemetry.content import input_messages, output_messages, stop_sequences, system_instructions
from gateway.telemetry.record import Outcome, RequestRecord

OPERATIONS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/responses": "chat",
    "/v1/messages": "chat",
}
PROVIDER: Final = "sluice"
REQUEST: Final[Mapping[str, str]] = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "stream": "gen_ai.request.stream",
}
DOUBLES: Final = frozenset({"temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty"})
"""By the conventions, whatever a client writes: a backend may refuse an attribute whose type changes."""
ANSWER_IDS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chatcmpl-",
    "/v1/completions": "cmpl-",
    "/v1/messages": "chatcmpl-",
}
"""What stands before a request's id in its answer's. The Responses route draws one of its own, which nobody here knows."""
OUTPUT: Final = {"json_object": "json", "json_schema": "json", "text": "text"}


def http_attributes(record: RequestRecord) -> dict[str, Any]:
    told: dict[str, Any] = {
        "http.request.method": record.method,
        "http.route": record.path,
        "url.path": record.path,
        "url.scheme": record.scheme,
        "http.response.status_code": record.status,
        "sluice.request.id": record.request_id,
        "sluice.outcome": record.outcome.value,
    }
    if record.error or record.outcome is Outcome.GONE:
        told["error.type"] = record.error or "client_gone"
    for name in ("tenant", "tier", "priority", "guard"):
        if value := getattr(record, name):
            told[f"sluice.{name}"] = value
    return told


def genai_attributes(record: RequestRecord) -> dict[str, Any]:
    """Empty for what generates nothing."""
    operation = OPERATIONS.get(record.path)
    if operation is None or not record.model:
        return {}
    body = record.body
    told: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": record.model,
    }
    for name, attribute in REQUEST.items():
        if isinstance(value := body.get(name), bool | int | float):
            told[attribute] = float(value) if name in DOUBLES else value
    if isinstance(n := body.get("n"), int) and n != 1:
        told["gen_ai.request.choice.count"] = n
    if (kind := _kind(body)) in OUTPUT:
        told["gen_ai.output.type"] = OUTPUT[kind]
    if not record.legs:
        return told
    totals = record.totals
    if record.path in ANSWER_IDS:
        told["gen_ai.response.id"] = ANSWER_IDS[record.path] + record.request_id
    told |= {
        "gen_ai.response.model": record.model,
        "gen_ai.response.finish_reasons": _finish_reasons(record),
        "gen_ai.usage.input_tokens": totals.prompt_tokens,
        "gen_ai.usage.output_tokens": totals.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": totals.cached_tokens,
    }
    if totals.first_token is not None and body.get("stream") is True:
        told["gen_ai.response.time_to_first_chunk"] = totals.first_token - record.begun
    return told


def content_attributes(record: RequestRecord) -> dict[str, Any]:
    """What was asked and answered, without what the redaction knows; cut after so many characters."""
    if record.path not in OPERATIONS or record.decode is None:
        return {}
    journals = {id(leg.tokens): leg.tokens for leg in record.legs}
    answers = [record.decode(tokens) for tokens in journals.values()]
    reasons = _finish_reasons(record)
    told: dict[str, Any] = {
        "gen_ai.input.messages": input_messages(record.body),
        "gen_ai.output.messages": output_messages(itertools.zip_longest(answers, reasons, fillvalue="error")),
    }
    if (instructions := system_instructions(record.body)) is not None:
        told["gen_ai.system_instructions"] = instructions
    if stop := stop_sequences(record.body):
        told["gen_ai.request.stop_sequences"] = stop
    return told


def _kind(body: Mapping[str, Any]) -> str:
    """Of the answer that is wanted, where each route asks for it; empty if none is."""
    asked = body.get("response_format")
    for name in ("text", "output_config"):
        asked = asked or (body.get(name) or {}).get("format")
    return str((asked or {}).get("type", ""))


def _finish_reasons(record: RequestRecord) -> tuple[str, ...]:
    """A stream ended by one of its stop strings was aborted at the engine."""
    last = {id(leg.tokens): leg.end for leg in record.legs if leg.end not in ("withdrawn", "unsent")}
    whole = record.outcome is Outcome.OK
    return tuple("stop" if whole and end == "abort" else end or "abort" for end in last.values())
