"""Every private name of Ray and Ray Serve in use, and every environment variable of theirs that we set."""

import ast
import dataclasses
import importlib
import importlib.util
import inspect
from importlib.metadata import requires
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ray = pytest.importorskip("ray")

from deployments import environment  # noqa: E402  Ray must be known to be there
from gateway.config import Config  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PINNED = "2.60.0"


def test_the_version_is_the_one_that_all_this_was_written_for() -> None:
    assert ray.__version__ == PINNED
    assert f"ray[serve]=={PINNED}" in (requires("sluice") or ())


def private_names() -> list[tuple[str, str, str]]:
    found = []
    for file in sorted((ROOT / "deployments").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and "ray." in f"{node.module}." and "_private" in (node.module or ""):
                found += [(file.name, str(node.module), alias.name) for alias in node.names]
    return found


def test_only_two_files_look_into_serve() -> None:
    assert {file for file, _, _ in private_names()} == {"membership.py", "closed_ports.py"}


@pytest.mark.parametrize(("file", "module", "name"), private_names())
def test_every_private_name_is_where_it_was(file: str, module: str, name: str) -> None:
    there = hasattr(importlib.import_module(module), name) or importlib.util.find_spec(f"{module}.{name}") is not None
    assert there, f"{file} uses {module}.{name}, which this Ray does not have"


def test_what_closes_the_surplus_ports_finds_what_opens_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.serve._private import haproxy, replica

    from deployments import closed_ports

    assert "add_port_to_grpc_server(self._server, " in inspect.getsource(replica)
    assert "env.from_string(HAPROXY_CONFIG_TEMPLATE)" in inspect.getsource(haproxy)
    monkeypatch.setattr(replica, "add_port_to_grpc_server", replica.add_port_to_grpc_server)
    monkeypatch.setattr(haproxy, "HAPROXY_CONFIG_TEMPLATE", haproxy.HAPROXY_CONFIG_TEMPLATE)
    closed_ports.close()
    binds = [
        line.split()[1] for line in haproxy.HAPROXY_CONFIG_TEMPLATE.splitlines() if line.strip().startswith("bind ")
    ]
    assert len(binds) == 4
    assert not [address for address in binds if address.startswith((":", "*"))]
    assert replica.add_port_to_grpc_server(None, "[::]:0") == 0


def test_the_long_poll_tells_running_replicas_under_the_names_that_are_read() -> None:
    from ray.serve._private import common, long_poll

    assert long_poll.LongPollNamespace.DEPLOYMENT_TARGETS
    assert long_poll.LongPollState.TIME_OUT
    assert {"object_snapshot", "snapshot_id"} <= {field.name for field in dataclasses.fields(long_poll.UpdatedObject)}
    assert "running_replicas" in {field.name for field in dataclasses.fields(common.DeploymentTargetInfo)}
    assert "replica_metadata" in {field.name for field in dataclasses.fields(common.RunningReplicaInfo)}
    inspect.signature(common.DeploymentID).bind(name="deployment", app_name="app")


def test_the_controller_is_asked_by_the_call_it_has() -> None:
    from ray.serve._private.controller import ServeController

    inspect.signature(ServeController.listen_for_change).bind("self", {"key": -1})


def test_the_hooks_of_our_replicas_are_called_by_their_names() -> None:
    from ray.serve._private import constants, replica

    from deployments.engine import Engine
    from deployments.ingress import Gateway

    assert constants.RECORD_REPLICA_METADATA_METHOD == "record_replica_metadata"
    assert replica.SERVE_BUILD_ASGI_APP_METHOD == "__serve_build_asgi_app__"
    for deployment in (Engine, Gateway):
        assert inspect.iscoroutinefunction(deployment.record_replica_metadata)
        assert inspect.iscoroutinefunction(deployment.check_health)
    assert inspect.iscoroutinefunction(Gateway.__serve_build_asgi_app__)


def test_every_environment_variable_is_one_that_ray_reads() -> None:
    """A renamed one would be ignored in silence, and with it loopback, tokens or HAProxy."""
    config = Config.model_validate({"models": [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8"}}}]})
    wanted = set(environment.ray(config))
    folder = Path(ray.__file__).parent
    for file in folder.rglob("*.py"):
        text = file.read_text(encoding="utf-8", errors="ignore")
        wanted -= {name for name in wanted if name in text or name.removeprefix("RAY_") in text}
    # What the C++ side alone reads is in its binaries, under the name without its prefix.
    for file in (folder / "_raylet.so", folder / "core/src/ray/raylet/raylet"):
        content = file.read_bytes()
        wanted -= {name for name in wanted if name.encode() in content or name.removeprefix("RAY_").encode() in content}
    assert not wanted


def test_what_finds_no_room_is_told_in_the_words_that_are_looked_for() -> None:
    from ray.serve._private import deployment_state

    from deployments.readiness import NO_ROOM

    source = inspect.getsource(deployment_state)
    assert NO_ROOM in source.split("if len(pending_allocation) > 0")[1].split("if len(pending_initialization) > 0")[0]
    assert NO_ROOM not in source.split("if len(pending_initialization) > 0")[1][:1000]


def told(sections: dict[str, object], **changes: object) -> list[Any]:
    """What Serve would be told of each deployment, by its own builder."""
    from ray.serve._private.build_app import build_app

    from deployments import withheld
    from deployments.app import build
    from deployments.preflight import resolve

    model = {"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}, **changes}
    config = Config.model_validate({"models": [model]} | sections)
    built = build_app(build(config, resolve(config, "test"), (), withheld.leave(config)), name="sluice")
    return list(built.deployments)


def versions(sections: dict[str, object] | None = None, **changes: object) -> dict[str, str]:
    from ray.serve._private import client

    assert "version=deployment._version or get_random_string()" in inspect.getsource(client)
    return {deployment.name: deployment._version for deployment in told(sections or {}, **changes)}


def test_a_deployment_has_another_version_only_if_its_own_settings_are_others() -> None:
    first = versions()
    assert all(first.values())
    assert versions() == first
    assert versions(replicas=3, surge=False) == first
    changed = versions(engine={"max_num_seqs": 7})
    assert {name for name in first if changed[name] != first[name]} == {"Engine-m"}


def test_another_redis_is_another_version_of_the_gateway_and_its_url_is_nothing_that_serve_keeps(
    tmp_path: Path,
) -> None:
    from ray import cloudpickle

    sections = [
        {"state_dir": str(tmp_path), "limits": {"redis": url}, "gateway": {"guard": {"webhook": "https://a/swordfish"}}}
        for url in ("redis://:hunter2@a/0", "redis://:hunter2@a/0", "redis://:hunter2@b/0")
    ]
    first, same, other = (versions(each) for each in sections)
    assert same == first
    assert {name for name in first if other[name] != first[name]} == {"Gateway"}
    for deployment in told(sections[0]):
        kept = cloudpickle.dumps((deployment.init_args, deployment.init_kwargs, deployment._deployment_config))
        assert b"hunter2" not in kept
        assert b"swordfish" not in kept


def test_changed_settings_leave_as_many_replicas_as_there_are_whatever_the_first_number_was() -> None:
    """Serve goes to `initial_replicas` whenever anything of a deployment has changed: with 8 busy ones, to a cut of all but one."""
    from ray.serve._private.autoscaling_state import DeploymentAutoscalingState
    from ray.serve._private.build_app import build_app
    from ray.serve._private.common import DeploymentID

    from deployments.app import build
    from deployments.preflight import resolve

    model = {"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}
    state, targets = DeploymentAutoscalingState(DeploymentID("Engine-m", "sluice")), list[int]()
    for goal_s, deployed, running in ((2.0, (), 0), (3.0, ("Gateway", "Engine-m"), 8)):
        scaling = {"max_replicas": 9, "initial_replicas": 2, "goal_s": goal_s}
        config = Config.model_validate({"models": [model | {"autoscaling": scaling}]})
        built = build_app(build(config, resolve(config, "test"), deployed), name="sluice")
        (engine,) = (one for one in built.deployments if one.name == "Engine-m")
        info = SimpleNamespace(
            deployment_config=engine._deployment_config,
            config_changed=lambda _other: True,
            target_capacity=None,
            target_capacity_direction=None,
        )
        targets.append(state.register(info, running))
    assert targets == [2, 8]


def test_a_deployment_that_begins_to_scale_is_another_version_and_one_that_scales_otherwise_is_not() -> None:
    """Replicas start to report to Serve's controller as they begin, or never."""
    ranges = [versions(autoscaling={"max_replicas": most}) for most in (2, 3)]
    assert ranges[0] == ranges[1]
    assert {name for name, version in versions().items() if ranges[0][name] != version} == {"Engine-m"}
