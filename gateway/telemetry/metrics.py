"""Prometheus metrics in a registry of our own. Labels come from closed sets, never from a client's words."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
OTHER = "other"


class Metrics:
    """One per gateway process."""

    def __init__(self, routes: frozenset[str]) -> None:
        self._routes = routes
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sluice_requests", "HTTP requests ended, by route and status.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "sluice_request_seconds",
            "Request duration to its last byte.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )

    def request_ended(self, path: str, status: int, seconds: float) -> None:
        route = path if path in self._routes else OTHER
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value read at scrape time."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)
