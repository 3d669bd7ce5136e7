"""Engine cores share out the machine's processor cores among themselves."""

import psutil

from gateway.pool.own_cores import here
from tests.live.harness import Sluice
from tests.waiting import eventually


def cpus_of_cores(sluice: Sluice) -> list[tuple[int, ...]]:
    replicas = [psutil.Process(engine["pid"]) for model in sluice.status()["models"] for engine in model["engines"]]
    cores = [child for replica in replicas for child in replica.children() if "EngineCore" in " ".join(child.cmdline())]
    assert len(cores) == len(replicas) > 0
    return [tuple(core.cpu_affinity()) for core in cores]


def test_engines_have_processor_cores_of_their_own_as_far_as_there_are_enough(sluice: Sluice) -> None:
    every = tuple(sorted(cpu for core in here() for cpu in core))

    def divided() -> bool:
        bound = [cpus for cpus in cpus_of_cores(sluice) if cpus != every]
        return len(set(bound)) == len(bound) == min(len(cpus_of_cores(sluice)), max(0, len(here()) - 1))

    eventually(divided, 15, "as many engines as can be are bound, each to cores of its own")
