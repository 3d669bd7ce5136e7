"""The search among the others' settings: from a coarse grid to the best one, though it lies between and beyond."""

from loadtests.simulation.scaling.search import ALL, Setting, coarse, explore


def test_it_ends_at_the_best_setting_though_the_coarse_grid_has_not_got_it():
    wanted = {
        "target": 72,
        "up_s": 15,
        "down_s": 15,
        "look_back_s": 5,
        "metrics_s": 10,
        "up_factor": 2,
        "down_factor": 0.25,
    }
    axes = ALL["ray"]

    def distance(setting: Setting) -> float:
        if setting.family != "ray":
            return 99.0
        places = zip(axes.items(), setting.values, strict=True)
        return sum(abs(axis.index(value) - axis.index(wanted[name])) for (name, axis), value in places)

    tried = explore(
        lambda fresh: [distance(each) for each in fresh], lambda found: [min(found, key=found.__getitem__)], 99
    )
    best = min(tried, key=tried.__getitem__)
    assert (best.values, tried[best]) == (tuple(wanted.values()), 0)
    assert best not in coarse()
    assert len(tried) < 200


def test_nothing_is_tried_twice_and_rounds_are_bounded():
    runs: list[Setting] = []

    def run(fresh: list[Setting]) -> list[int]:
        runs.extend(fresh)
        return [0] * len(fresh)

    explore(run, lambda found: list(found)[:3], 4)
    assert len(runs) == len(set(runs)) > len(coarse())
