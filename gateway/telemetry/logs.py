"""What the processes say of themselves: structured, one JSON object a line, on standard output."""

import logging
from typing import Any

import structlog


def configure(**bound: str) -> None:
    """Once in each process, at its start; `bound` is told in every line."""

    def with_bound(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return bound | dict(event)

    structlog.configure(
        processors=[
            with_bound,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
