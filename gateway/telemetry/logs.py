"""What the processes say of themselves: structured, one JSON object a line, on standard output."""

import logging
import sys
from typing import Any

import structlog


def configure(**bound: str) -> None:
    """Once in each process, at its start; `bound` is told in every line. What comes by the standard library's logging, our own
    mechanisms' and others', and warnings too, become lines of the same form.
    """

    def with_bound(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return bound | dict(event)

    form: list[structlog.typing.Processor] = [
        with_bound,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    line = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*form, line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *form],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, line],
        )
    )
    logging.getLogger().handlers = [handler]
    logging.captureWarnings(capture=True)
