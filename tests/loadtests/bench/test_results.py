import io
from collections.abc import Sequence

import msgspec
import pytest
from rich.console import Console

from loadtests.arithmetic import spread
from loadtests.bench import noisy
from loadtests.bench.bars import bars, row
from loadtests.bench.plan import BARE, COMPARISON, DOORS, HAPROXY, OWN, WAKING, WARM_UP, Plan, order, prompt_seed
from loadtests.bench.probe import Shot, net_of_idle
from loadtests.bench.results import (
    SCHEMA,
    Bar,
    Batching,
    Equality,
    Results,
    Sample,
    Tracing,
    read,
    without_paths,
    write,
)
from loadtests.bench.table import show
from loadtests.bench.tracing import OFF, ON, compared
from loadtests.load import Load
from loadtests.processes import Memory
from loadtests.roles import Role


def sample(
    phase: str,
    door: str,
    streams: int,
    pair: int,
    *,
    rate: float,
    front_us: float,
    ttft_ms: float,
    pinned: bool = False,
) -> Sample:
    return Sample(
        phase=phase,
        door=door,
        streams=streams,
        pair=pair,
        pinned=pinned,
        seconds=1.0,
        completed=10,
        tokens=640,
        token_events=640,
        requests_per_s=rate,
        tokens_per_s=64 * rate,
        ttft_p50_ms=ttft_ms,
        ttft_p99_ms=ttft_ms,
        gap_p50_ms=1.0,
        gap_p99_ms=2.0,
        front_us=front_us,
        front_us_by_role={"gateway": front_us},
        core_us=20.0,
        client_us=5.0,
        foreign_cores=0.01,
        problems=[],
    )


def shot(*args, **kwargs) -> Shot:
    load = Load(1.0, 0.1, 10, 640, 640, [0.005] * 10, [0.001] * 630, [""] * 10, [])
    return Shot(sample(*args, **kwargs), load)


def shots() -> list[Shot]:
    found = []
    for streams in (1, 64):
        for pair, drift in enumerate((1.0, 0.5)):
            found += [
                shot(OWN, BARE, streams, pair, rate=100 * drift, front_us=60.0, ttft_ms=5.0),
                shot(OWN, OWN, streams, pair, rate=(110 + 10 * pair) * drift, front_us=45.0, ttft_ms=5.4),
                shot(HAPROXY, BARE, streams, pair, rate=80 * drift, front_us=50.0, ttft_ms=5.0),
                shot(HAPROXY, HAPROXY, streams, pair, rate=90 * drift, front_us=60.0, ttft_ms=6.0),
            ]
    return found


def measured(rates: Sequence[float] = (99.0,)) -> Tracing:
    """Traces that cost one part in a hundred, or leave so many of a hundred requests by turns, on a machine whose speed halves from
    pair to pair.
    """
    pairs = [
        sample("tracing", door, 64, pair, rate=rate / (1 + pair % 2), front_us=front_us, ttft_ms=5.0)
        for pair in range(24)
        for door, rate, front_us in [(OFF, 100.0, 40.0), (ON, rates[pair % len(rates)], 40.4)]
    ]
    return compared(pairs, 0.01, received=1000)


def results() -> Results:
    made = shots()
    points = {(s.sample.door, s.sample.streams) for s in made}
    rows = [row([s for s in made if (s.sample.door, s.sample.streams) == point]) for point in sorted(points)]
    samples = [s.sample for s in made]
    return Results(
        schema=SCHEMA,
        started="2026-01-01T00:00:00+0000",
        seconds=1.0,
        command=["python", "-m", "loadtests.bench"],
        seed=1,
        commit="abc",
        machine={"cpu": "some", "cores": "2", "kernel": "6", "memory": "1 GiB"},
        versions={"vllm": "0"},
        bare_vllm={"flags": []},
        sluice={"models": []},
        idle_cores={"bare vLLM": {"vLLM API server": 0.001}, "Sluice": {"gateway": 0.01}},
        memory={"bare vLLM": {"vLLM API server": Memory(2**30, 2**29)}, "Sluice": {"gateway": Memory(2**30, 2**29)}},
        rows=rows,
        bars=bars(samples),
        equality=[Equality("under load", 20, 1, [("a", "b")])],
        tracing=measured(),
        noisy=noisy.compared([10.0, 12.0], [11.0, 12.0], [11.0, 12.0]),
        batching=[Batching(64, 5000.0, 900.0, 100.0, 150.0), Batching(1, 500.0, 900.0, 100.0, 950.0)],
        samples=samples,
    )


def test_what_is_written_is_read_back(tmp_path):
    file = tmp_path / "results" / "bench.json"
    write(results(), file)
    assert read(file) == results()


def test_an_unknown_key_or_another_schema_is_refused(tmp_path):
    file = tmp_path / "bench.json"
    raw = msgspec.to_builtins(results())
    file.write_bytes(msgspec.json.encode(raw | {"new": 1}))
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        read(file)
    file.write_bytes(msgspec.json.encode(raw | {"schema": SCHEMA + 1}))
    with pytest.raises(msgspec.ValidationError, match="this reader knows"):
        read(file)


def test_bars_are_medians_of_paired_ratios_so_that_drift_cancels():
    requests, cpu, through_haproxy, ttft = bars([s.sample for s in shots()])
    assert requests.value == spread([1.1, 1.2])
    assert cpu.value.median == pytest.approx(0.75)
    assert through_haproxy.value.median == pytest.approx(1.2)
    assert ttft.value.median == pytest.approx(0.4)
    assert [bar.met for bar in (requests, cpu, through_haproxy, ttft)] == [True, True, False, True]
    assert not any(bar.aim_met for bar in (requests, cpu, through_haproxy, ttft))


@pytest.mark.parametrize(
    ("value", "higher", "met"), [(1.0, True, True), (0.99, True, False), (1.0, False, True), (1.01, False, False)]
)
def test_a_bar_itself_is_good_enough(value, higher, met):
    assert Bar("x", "×", spread([value]), bar=1.0, aim=2.0, higher_is_better=higher).met is met


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ([99.0], "pass"),
        ([98.5, 98.5, 94.0], "not told apart from noise"),
        ([97.9], "MISSED"),
        ([97.5, 97.5, 101.0], "MISSED"),
    ],
)
def test_tracing_keeps_its_promise_only_if_all_of_the_interval_does(rates, verdict):
    (bar,) = bars([], tracing=measured(rates))
    assert (bar.verdict, bar.met) == (verdict, verdict == "pass")


@pytest.mark.parametrize(
    ("beside", "verdict"),
    [([14.0] * 6, "pass"), ([14.0] * 5 + [16.0], "not told apart from noise"), ([16.0] * 4 + [10.0] * 2, "MISSED")],
)
def test_the_promise_about_a_noisy_neighbour_is_kept_only_if_all_of_the_interval_keeps_it(beside, verdict):
    drift = [1.0, 2.0, 1.0, 3.0, 1.0, 1.0]
    alone, fair, found = (
        [ms * slow for ms, slow in zip(values, drift, strict=True)] for values in ([10.0] * 6, [14.0] * 6, beside)
    )
    to_alone, _ = bars([], noisy=noisy.compared(alone, fair, found))
    assert to_alone.verdict == verdict
    assert to_alone.value.median == pytest.approx(sorted(beside)[3] / 10)


def test_points_that_were_not_measured_have_no_bar():
    assert [bar.name for bar in bars([s.sample for s in shots() if s.sample.streams == 1])] == [
        "TTFT p50 at 1 stream, own port"
    ]


def test_the_table_names_what_was_missed():
    console = Console(record=True, width=200, file=io.StringIO())
    show(results(), console)
    text = console.export_text()
    assert "MISSED" in text
    assert "19 of 20 equal" in text
    assert "before it (900 ms)" in text
    assert "after it (900 ms)" in text


def test_idle_use_is_subtracted_by_role():
    used, idle = {Role.GATEWAY: 2.0, Role.RAYLET: 0.1}, {Role.GATEWAY: 0.01}
    assert net_of_idle(used, idle, seconds=10) == pytest.approx({Role.GATEWAY: 1.9, Role.RAYLET: 0.1})


def test_a_role_that_used_less_than_at_idle_is_no_credit_to_the_others():
    assert net_of_idle({Role.GCS: 0.1}, {Role.GCS: 0.02, Role.RAYLET: 0.01}, seconds=10) == {
        Role.GCS: 0.0,
        Role.RAYLET: 0.0,
    }


def test_what_traces_cost_is_told_with_the_interval_that_the_noise_leaves():
    cost = measured()
    assert cost.requests_per_s.median == pytest.approx(0.99)
    assert cost.requests_interval == pytest.approx((0.99, 0.99))
    assert cost.cpu.median == pytest.approx(60.4 / 60)
    (bar,) = bars([], None, cost)
    assert (bar.met, bar.aim_met, bar.bar) == (True, False, 0.98)
    console = Console(record=True, width=200, file=io.StringIO())
    show(results(), console)
    assert "requests/s × 0.9900 (95 %: 0.9900 to 0.9900)" in console.export_text()


@pytest.mark.parametrize("door", DOORS)
def test_both_sides_of_a_pair_go_first_in_turn(door):
    assert [order(door, pair) for pair in (0, 1, 2)] == [(BARE, door), (door, BARE), (BARE, door)]


def test_no_engine_sees_a_prompt_twice():
    """Bare vLLM lives through both phases."""
    seeds = [
        prompt_seed(1, phase, streams, pair, pinned=pinned)
        for phase in DOORS
        for streams in (*Plan().streams, 10)
        for pair in (*range(20), WARM_UP, COMPARISON, *range(WAKING, WAKING + 5))
        for pinned in (False, True)
    ]
    assert len(set(seeds)) == len(seeds)


def test_options_change_a_plan_only_where_given():
    assert Plan().with_options(None, None) == Plan()
    assert Plan().with_options((64,), 9).rounds(64) == 9
    compared = Plan().with_options(None, None, compare=True)
    assert compared.streams == Plan().streams
    assert not any((compared.batching, compared.noisy_rounds, compared.tracing_pairs))


def test_machine_paths_do_not_reach_the_file():
    settings = {"flags": ["--model", "/somewhere/repo/x"], "n": 1, "state": ("/tmp/abc/state",)}
    names = {"/somewhere/repo": ".", "/tmp/abc": "<scratch>"}
    assert without_paths(settings, names) == {"flags": ["--model", "./x"], "n": 1, "state": ["<scratch>/state"]}
