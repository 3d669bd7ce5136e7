"""Environment of the processes that load vLLM or Ray. Both read theirs before any of our code could set it."""

import os

from gateway.config import Config
from gateway.config.models import EngineSettings
from gateway.config.types import Accelerator

PLUGINS = ("sluice_leash", "sluice_amx")

VLLM_QUIET = {
    "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "0"),
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    # Its dictConfig closes Serve's log handler; a controller that comes back after a crash then finds every replica broken.
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_PLUGINS": ",".join(PLUGINS),
    "TOKENIZERS_PARALLELISM": "false",
}


def engine(accelerator: Accelerator, settings: EngineSettings, plugins: tuple[str, ...] = ()) -> dict[str, str]:
    """vLLM's default CPU executor spins on shared memory beside the core and halves a small machine's throughput."""
    env = VLLM_QUIET | {"VLLM_PLUGINS": ",".join((*PLUGINS, *plugins))}
    if accelerator == "cpu":
        env |= {
            "OMP_NUM_THREADS": str(settings.threads),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            # vLLM sets it, but later than a core that was begun early has read it.
            "TORCHINDUCTOR_CPP_DYNAMIC_THREADS": "1",
            # oneDNN keeps a kernel with its buffers for every number of tokens a step ever had, 1,024 unless told: megabytes each.
            "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "512",
            "CUDA_VISIBLE_DEVICES": "",
        }
        if settings.enforce_eager and not plugins:
            env["TORCHDYNAMO_DISABLE"] = "1"
    return env


def gateway() -> dict[str, str]:
    return VLLM_QUIET | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def ray(config: Config) -> dict[str, str]:
    """Set before Ray starts: Serve reads these at import, in the controller, the proxies and every replica."""
    haproxy = config.gateway.haproxy
    doors = "1" if haproxy.enabled else "0"
    env = {
        "RAY_SERVE_ENABLE_HA_PROXY": doors,
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": doors,
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.edge:middlewares",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": str(haproxy.hard_stop_after_s),
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(haproxy.stats_port),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(haproxy.metrics_port),
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
        "REPORTER_UPDATE_INTERVAL_MS": "10000",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        # Ray runs workers at nice 15, as for batch jobs: beside its own daemons an engine would come last.
        "RAY_worker_niceness": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    if config.ray.address is None:
        # The last one's name tells of laptops; what it does is to take 127.0.0.1 for the node's address.
        env |= {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(config.ray_token_file),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
    return env
