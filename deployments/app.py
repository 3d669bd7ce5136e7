"""Config → one Serve application: the gateway as its ingress, one engine deployment per model as its children.

An engine as the root of an application would count as an ingress too, and get an HTTP port and a 30 s drain of its own.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from deployments import environment, withheld
from deployments.autoscaling.serve_policy import replicas
from deployments.engine import Engine, EngineOptions
from deployments.ingress import Gateway, GatewayOptions
from deployments.quantization import Served
from deployments.versions import versioned
from gateway.config import Config
from gateway.pool.acceptance import FrontSpec

GATEWAY = "Gateway"
STREAMS = 100_000
GRACE_S = 10
HUNG = 3
"""Gateways give up a silent core after `stall_s`; after so many times that, its replica is replaced."""


def engine_name(model: str) -> str:
    return "Engine-" + "".join(c if c.isalnum() or c in "-_" else "-" for c in model)


def build(
    config: Config, served: list[Served], deployed: Collection[str] = (), secrets: Path | None = None
) -> Application:
    """The application named `config.name`; nothing in it is secret.

    `deployed`: names of those deployments that Serve has; `secrets`: where gateways find what is withheld from it.
    """
    engines = [_engine(config, one, deployed) for one in served]
    options = GatewayOptions(
        config=_for_gateways(config),
        specs=tuple(_front(one) for one in served),
        app=config.name,
        engine_deployments={one.model.name: engine_name(one.model.name) for one in served},
        secrets=secrets,
    )
    gateway: Any = serve.deployment(
        serve.ingress()(Gateway),
        name=GATEWAY,
        num_replicas=config.gateway.replicas,
        max_ongoing_requests=STREAMS,
        graceful_shutdown_timeout_s=config.gateway.drain_s + GRACE_S,
        health_check_period_s=2,
        max_surge_percent=100,
        ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": environment.gateway()}},
    )
    application: Application = versioned(gateway, options, environment.gateway()).bind(options, *engines)
    return application


def _for_gateways(config: Config) -> Config:
    """Without secrets, and what concerns engines alone: a change of it is then no new version of the gateway, which runs on."""
    return withheld.without(config).model_copy(update={"models": ()})


def _front(served: Served) -> FrontSpec:
    model = served.model
    return FrontSpec(
        name=model.name,
        path=served.path,
        revision=served.checkpoint.revision,
        tool_parser=model.tool_parser,
        reasoning_parser=model.reasoning_parser,
        trust_remote_code=model.trust_remote_code,
        sleeps=model.sleeps,
        max_model_len=model.engine.max_model_len if model.sleeps else None,
    )


def _engine(config: Config, served: Served, deployed: Collection[str]) -> Application:
    settings = served.model.engine
    env = environment.engine(served.accelerator, settings, served.plugins)
    gpus = settings.tensor_parallel if served.accelerator == "cuda" else 0
    options = EngineOptions(
        served=replace(
            served, model=served.model.model_copy(update={"replicas": 1, "autoscaling": None, "surge": True})
        ),
        gateway_deployment=GATEWAY,
        app=config.name,
        drain_s=config.gateway.drain_s,
        hung_s=HUNG * config.gateway.failover.stall_s,
        host=config.engine_host,
        log_stats=settings.log_stats or config.telemetry.traces.endpoint is not None,
    )
    name = engine_name(served.model.name)
    deployment: Any = serve.deployment(
        Engine,
        name=name,
        **replicas(served.model, config, exists=name in deployed),
        max_ongoing_requests=100,
        graceful_shutdown_timeout_s=config.gateway.drain_s + GRACE_S,
        health_check_period_s=2,
        max_surge_percent=100 if served.model.surge else 0,
        ray_actor_options={"num_cpus": 1, "num_gpus": gpus, "runtime_env": {"env_vars": env}},
    )
    # A replica of Serve that has begun without autoscaling never tells its controller anything: with it, it is another version.
    kind = () if served.model.autoscaling is None else ("autoscaling",)
    application: Application = versioned(deployment, options, env, *kind).bind(options)
    return application
