"""Distances against figures worked out by hand or by definition, and their rate of false alarms."""

import numpy as np
import pytest

from gateway.drift.distances import ALPHA, ks, mmd, psi


def test_ks_is_the_largest_gap_between_the_distributions() -> None:
    found = ks(np.arange(100, dtype=np.int32), np.arange(50, 150, dtype=np.int32))
    assert found.value == pytest.approx(0.5)
    assert found.drifted


def test_psi_is_its_formula_with_half_an_observation_more_in_each_class() -> None:
    reference, present = np.repeat([0, 1], [90, 10]).astype(np.uint8), np.repeat([0, 1], [50, 50]).astype(np.uint8)
    p, q = (np.array([90.5, 10.5]) / 101, np.array([50.5, 50.5]) / 101)
    assert psi(reference, present, 5).value == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    assert psi(reference, present, 5).drifted


def test_a_class_that_neither_side_has_changes_nothing() -> None:
    one, other = np.repeat([0, 1], [60, 40]).astype(np.uint8), np.repeat([0, 1], [40, 60]).astype(np.uint8)
    assert psi(one, other, 2) == psi(one, other, 200)


def test_a_large_distance_of_few_is_not_drift() -> None:
    found = psi(np.repeat([0, 1], [9, 1]).astype(np.uint8), np.repeat([0, 1], [6, 4]).astype(np.uint8), 2)
    assert found.value >= found.threshold
    assert not found.drifted


def test_mmd_is_the_definition_of_gretton() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)).astype(np.float32), rng.normal(0.5, 1, size=(9, 4)).astype(np.float32)
    both = np.concatenate([x, y])
    squared = ((both[:, None] - both[None]) ** 2).sum(-1)
    kernel = np.exp(-squared / np.median(squared[np.triu_indices(21, 1)]))
    off = kernel - np.diag(np.diag(kernel))
    by_hand = off[:12, :12].sum() / (12 * 11) + off[12:, 12:].sum() / (9 * 8) - 2 * kernel[:12, 12:].mean()
    assert mmd(x, y, rng, threshold=9).value == pytest.approx(by_hand, abs=1e-5)


def test_one_population_is_told_apart_from_itself_no_more_often_than_alpha_says() -> None:
    """By distance and significance together far less; 200 pairs of each kind, none."""
    rng = np.random.default_rng(2)
    for _ in range(200):
        lengths = [rng.lognormal(4, 1, size).astype(np.int32) for size in (256, 512)]
        classes = [rng.choice(4, size, p=[0.7, 0.2, 0.08, 0.02]).astype(np.uint8) for size in (256, 512)]
        assert not ks(*lengths).drifted
        assert not psi(*classes, 15).drifted
    vectors = rng.normal(size=(40, 200, 16)).astype(np.float32)
    assert not any(mmd(vectors[n], vectors[n + 1], rng).drifted for n in range(0, 40, 2))


def test_the_permutations_give_a_probability() -> None:
    """Under equal distributions p is uniform: with no threshold of distance, half of the pairs are below 0.5."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(60):
        x = rng.normal(size=(2, 60, 8)).astype(np.float32)
        found.append(mmd(x[0], x[1], rng, threshold=-1).p)
    assert 0.3 < np.mean(np.array(found) < 0.5) < 0.7
    far = rng.normal(size=(2, 60, 8)).astype(np.float32)
    far[1] += 1
    assert mmd(far[0], far[1], rng).p == ALPHA
