"""The page about a judgement names what went wrong in that judgement."""

from pathlib import Path

from gateway.guard.verdict import Level
from loadtests.evaluation import report
from loadtests.evaluation.results import SCHEMA, Attack, Honest, Results
from loadtests.evaluation.statistics import Share


def share(hits: int, of: int) -> Share:
    return Share(hits, of, of, 0.0, 1.0)


def attack(family: str, found: int, of: int, had: float) -> Attack:
    levels = {level.label: share(found, of) for level in Level if level}
    return Attack(family, of, of, of, of, 1.0, levels, {level.label: had for level in Level if level}, {}, [])


def honest(family: str, alarms: int) -> Honest:
    return Honest(family, 300, 3000, {level.label: share(alarms, 300) for level in Level if level}, {})


JUDGED = Results(
    schema=SCHEMA,
    started="",
    seconds=1.0,
    command=[],
    commit="",
    split="test",
    seeds=[1],
    machine={},
    calibration_key_days=1,
    thresholds={},
    honest=[honest("chat", 0), honest("synthetic data job", 5), honest("all", 5)],
    attacks=[
        attack("probing", 8, 20, 0.1),
        attack(report.HYDRA, 100, 100, 0.1),
        attack("hydra, 90 % cover", 100, 100, 0.4),
        attack("forwarded users", 0, 20, 0.1),
    ],
    honest_scores=[0.0],
    attack_scores={"probing": [1.0]},
)


def test_attacks_that_miss_an_aim_and_honest_families_with_alarms_are_named() -> None:
    named = [line.split("*")[1] for line in report.failures(JUDGED)]
    assert named == ["probing", "hydra, 90 % cover", "forwarded users", "synthetic data job"]


def test_an_attack_with_few_keys_weighs_as_much_as_a_hydra_in_the_mean() -> None:
    assert report.mean_found(JUDGED) == (0.4 + 1 + 1) / 3


def test_the_page_is_written_anew_and_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"- *old failure*\n{report.NOTES}\nBy hand.\n", encoding="utf-8")
    report.write(JUDGED, page, "guard.json")
    text = page.read_text(encoding="utf-8")
    assert "old failure" not in text
    assert text.endswith(f"{report.NOTES}\nBy hand.\n")
    assert all(line in text for line in report.failures(JUDGED))
