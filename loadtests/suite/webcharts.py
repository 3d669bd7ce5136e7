"""The stream statistics as charts below those of Locust's own web page, live."""

import time
from pathlib import Path
from typing import Any

import msgspec
from flask import Blueprint, Response
from locust.env import Environment

from loadtests.suite.record import Journal, Record
from loadtests.suite.timeline import windows

SPAN_S, WIDTH_S = 300.0, 5.0
SCRIPT = Path(__file__).with_name("webcharts.js")
PART = b'<section id="streams"></section><script src="./streams.js"></script></body>'


class Webcharts:
    def __init__(self, environment: Environment, journal: Journal) -> None:
        self._environment, self._journal = environment, journal

    def register(self) -> None:
        """Two routes, and a section at the end of Locust's page."""
        ui = self._environment.web_ui
        assert ui is not None
        assert ui.app is not None
        pages = Blueprint("streams", __name__)
        pages.add_url_rule("/streams.js", view_func=ui.auth_required_if_enabled(self.script), endpoint="script")
        pages.add_url_rule("/streams/data", view_func=ui.auth_required_if_enabled(self.data), endpoint="data")
        ui.app.register_blueprint(pages)
        ui.app.after_request(self.extend)

    def script(self) -> Response:
        return Response(SCRIPT.read_bytes(), mimetype="text/javascript")

    def data(self) -> Response:
        """The last five minutes in windows of five seconds; NaN, which JSON has not, as null."""
        end = time.time() // WIDTH_S * WIDTH_S
        seen = windows(self._recent(end - SPAN_S), end - SPAN_S, end, WIDTH_S)
        return Response(msgspec.json.encode(seen), mimetype="application/json")

    def extend(self, reply: Response) -> Response:
        if reply.mimetype == "text/html" and not reply.direct_passthrough:
            page = reply.get_data()
            if b"window.templateArgs" in page and b'id="root"' in page:
                reply.set_data(page.replace(b"</body>", PART))
        return reply

    def _recent(self, since: float) -> list[Record]:
        found: list[Any] = []
        for record in reversed(self._journal.records):
            if record.ended < since - 10:
                break
            found.append(record)
        return found
