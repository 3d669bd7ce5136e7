"""The stream statistics as charts below those of Locust's own web page, live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
import msgspec
from flask import Blueprint, Response

from loadtests.suite.timeline import Timeline

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtests.suite.record import Journal, Record

PLACES, WIDTH_S = 60, 5.0
BATCH, YIELD_S = 500, 0.001
"""Streams are read in the same loop: between pieces of work they have their turn, or their tokens would seem to come late."""
SCRIPT = Path(__file__).with_name("webcharts.js")
PART = b'<section id="streams"></section><script src="./streams.js"></script></body>'


class Webcharts:
    def __init__(self, environment: Environment, journal: Journal) -> None:
        self._environment, self._journal = environment, journal
        self._of: list[Record] = []
        self._taken, self._line = 0, Timeline(0.0, WIDTH_S)

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
        end = int(time.time() // WIDTH_S)
        self._take(end - PLACES)
        seen = []
        for place in range(end - PLACES, end):
            seen.append(self._line.window(place))
            gevent.sleep(YIELD_S)
        return Response(msgspec.json.encode(seen), mimetype="application/json")

    def extend(self, reply: Response) -> Response:
        if reply.mimetype == "text/html" and not reply.direct_passthrough:
            page = reply.get_data()
            if b"window.templateArgs" in page and b'id="root"' in page:
                reply.set_data(page.replace(b"</body>", PART))
        return reply

    def _take(self, first: int) -> None:
        """What has come since the last time, if it ended in window `first` or later. The journal of another run is another list."""
        if self._journal.records is not self._of:
            self._of, self._taken, self._line = self._journal.records, 0, Timeline(0.0, WIDTH_S)
        self._line.forget(first)
        while self._taken < len(self._of):
            some = self._of[self._taken : self._taken + BATCH]
            self._taken += len(some)
            self._line.take(record for record in some if record.ended >= first * WIDTH_S)
            gevent.sleep(YIELD_S)
