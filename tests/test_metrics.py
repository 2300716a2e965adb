"""Mode coverage by closed form."""

import jax
import numpy as np
import pytest

from gan_lib.data import grid, ring
from gan_lib.metrics import mode_coverage


@pytest.mark.parametrize(("mixture", "modes", "floor"), [(ring(), 8, 0.0014), (grid(), 25, 0.0048)])
def test_the_mixture_itself_scores_the_ceiling(mixture, modes, floor):
    """1 − e^−4.5 within 3σ; the KL of a multinomial of n draws is about (K − 1) / 2n."""
    scores = [mode_coverage(mixture.sample(jax.random.key(seed), 2500), mixture) for seed in range(20)]
    assert all(s.modes == modes for s in scores)
    np.testing.assert_allclose(np.mean([s.high_quality for s in scores]), 1 - np.exp(-4.5), atol=0.002)
    np.testing.assert_allclose(np.mean([s.reverse_kl for s in scores]), floor, rtol=0.25)


def test_collapse_is_seen():
    means = np.asarray(ring().means)
    assert mode_coverage(np.repeat(means[:1], 100, axis=0), ring()) == (1, 1.0, pytest.approx(np.log(8)))
    assert mode_coverage(means, ring()) == (8, 1.0, 0.0)
    uneven = np.repeat(means[:2], [75, 25], axis=0)
    expected = 0.75 * np.log(0.75 * 8) + 0.25 * np.log(0.25 * 8)
    assert mode_coverage(uneven, ring()) == (2, 1.0, pytest.approx(expected))


def test_three_standard_deviations_is_the_edge():
    x = np.asarray(ring().means)[:1]
    assert mode_coverage(x + np.array([0.0299, 0]), ring()).high_quality == 1
    assert mode_coverage(x + np.array([0.0301, 0]), ring()) == (0, 0.0, np.inf)


@pytest.mark.parametrize("samples", [np.zeros((5, 3)), np.zeros(2), np.zeros((0, 2)), np.full((4, 2), np.nan)])
def test_bad_samples_are_refused(samples):
    with pytest.raises(ValueError, match=r"finite samples of shape \(n, 2\)"):
        mode_coverage(samples, ring())
