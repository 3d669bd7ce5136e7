"""Closes what Ray Serve opens beside the doors: ports without authentication that nothing here uses.

Run in every worker process of ours, as Ray's `worker_process_setup_hook`, before Serve binds anything.
"""

from typing import Any


def close() -> None:
    """Every replica would take pickled calls from anyone over gRPC; HAProxy would show its statistics on all interfaces."""
    from ray.serve._private import haproxy, replica

    closed: Any = replica
    proxy: Any = haproxy

    def no_port(_server: Any, _address: str) -> int:
        return 0

    closed.add_port_to_grpc_server = no_port
    template: str = proxy.HAPROXY_CONFIG_TEMPLATE
    for everywhere in ("bind :", "bind *:"):
        template = template.replace(everywhere, "bind 127.0.0.1:")
    proxy.HAPROXY_CONFIG_TEMPLATE = template
