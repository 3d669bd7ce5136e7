"""A tenant over its share, before an engine that works in steps."""

from loadtests.simulation.admission_steps import found


def test_short_answers_of_a_flood_keep_the_engine_busy() -> None:
    of = found(20, 4, 100, 4, until=15)
    assert of.running > 14
    assert of.flood_per_s > 100


def test_long_prompts_of_a_flood_stand_before_a_quiet_tenant_by_few_steps() -> None:
    assert found(80, 10, 2000, 64, until=15).ttft_p99_s < 0.35
