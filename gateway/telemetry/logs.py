"""What the processes say of themselves: structured, one JSON object a line, on standard output."""

import logging
import sys
from typing import Any, TextIO

import structlog


class Lines(logging.StreamHandler[TextIO]):
    """The standard library's handler and structlog's logger in one: under one lock no line is written into another."""

    def msg(self, line: str) -> None:
        self.acquire()
        try:
            self.stream.write(line + self.terminator)
            self.flush()
        finally:
            self.release()

    debug = info = warning = error = critical = msg


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
    line, handler = structlog.processors.JSONRenderer(), Lines(sys.stdout)
    structlog.configure(
        processors=[*form, line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: handler,
        cache_logger_on_first_use=False,
    )
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *form],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, line],
        )
    )
    logging.getLogger().handlers = [handler]
    logging.captureWarnings(capture=True)
