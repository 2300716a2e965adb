"""Metrics by closed form, by brute force, by what must not change them, and against other people's implementations."""

import itertools
import math
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from gan_lib.data import grid, ring
from gan_lib.features import Features
from gan_lib.metrics import (
    Gaussian,
    density_coverage,
    frechet_distance,
    gaussian,
    inception_score,
    kernel_distance,
    memorisation,
    mode_coverage,
    precision_recall,
)

RNG = np.random.default_rng(0)
PAIRS = {  # metrics of two feature sets
    "frechet": frechet_distance,
    "kernel": kernel_distance,
    "precision_recall": precision_recall,
    "density_coverage": density_coverage,
}
SETS = PAIRS | {"memorisation": lambda a, b: memorisation(a, b[: len(b) // 2], b[len(b) // 2 :])}
pair = pytest.mark.parametrize("metric", PAIRS.values(), ids=PAIRS)
sets = pytest.mark.parametrize("metric", SETS.values(), ids=SETS)


def draw(n, d, seed=0, spread=1.0):
    """Correlated features that are not centred."""
    mix = np.random.default_rng(d).normal(size=(d, d)) / np.sqrt(d)
    return spread * np.random.default_rng(seed).normal(size=(n, d)) @ mix + np.arange(d) % 3


def with_moments(mean, covariance, n=500, seed=1):
    """Features whose sample mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    x = np.linalg.solve(np.linalg.cholesky(np.cov(x.T)), x.T).T
    return x @ np.linalg.cholesky(covariance).T + mean


def rotation(d, seed=2):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))[0]


# Fréchet distance


def test_frechet_of_gaussians_with_common_axes():
    """|μ − μ'|² + Σ (√λ − √λ')²."""
    turn, first, second = rotation(5), np.array([4.0, 1, 0.25, 9, 1]), np.array([1.0, 1, 4, 0.01, 2])
    a = with_moments(np.arange(5.0), turn @ np.diag(first) @ turn.T)
    b = with_moments(np.ones(5), turn @ np.diag(second) @ turn.T, n=400, seed=3)
    expected = np.sum((np.arange(5) - 1) ** 2) + np.sum((np.sqrt(first) - np.sqrt(second)) ** 2)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(500, 400, 7), (300, 300, 84), (4000, 90, 64)])
def test_frechet_by_scipys_matrix_root(n, m, d):
    a, b = draw(n, d), draw(m, d, seed=5, spread=1.3) + 0.1
    first, second = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(first @ second).real
    expected = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + np.trace(first + second - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_with_fewer_samples_than_dimensions():
    """Two points each: Σ = 2uuᵀ and 2vvᵀ, so tr (ΣΣ')^½ = 2 |u·v|."""
    u, v = RNG.normal(size=(2, 300))
    a, b = np.stack([u, -u]), np.stack([v, -v])
    expected = 2 * u @ u + 2 * v @ v - 4 * abs(u @ v)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)
    a, b = draw(40, 300), draw(30, 300, seed=1)
    padded = [np.concatenate([x, np.zeros((len(x), 50))], axis=1) for x in (a, b)]
    assert frechet_distance(*padded) == pytest.approx(frechet_distance(a, b), rel=1e-9)


@pytest.mark.parametrize("n", [2, 10, 1000])
def test_identical_sets_are_no_distance_apart(n):
    x = draw(n, 20)
    for value in (frechet_distance(x, x), frechet_distance(x, x[::-1])):
        assert 0 <= value < 1e-10
        assert math.copysign(1, value) == 1  # no −0.0
        assert type(value) is float


def test_one_repeated_sample_has_no_spread():
    x = draw(300, 6)
    point = np.tile(RNG.normal(size=6), (50, 1))
    expected = np.sum((x.mean(axis=0) - point[0]) ** 2) + np.trace(np.cov(x.T))
    assert frechet_distance(x, point) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "bias"), [(500, 4.45), (1000, 2.15), (2000, 1.10)])
def test_bias_of_frechet_falls_as_one_over_n(n, bias):
    """The same N(0, I) twice, d = 64."""
    values = [frechet_distance(*np.random.default_rng(seed).normal(size=(2, n, 64))) for seed in range(5)]
    assert np.mean(values) == pytest.approx(bias, rel=0.03)


def test_frechet_takes_a_gaussian_for_a_set():
    a, b = draw(100, 5), draw(60, 5, seed=1)
    fitted = gaussian(a)
    np.testing.assert_allclose(fitted.mean, a.mean(axis=0))
    np.testing.assert_allclose(fitted.root.T @ fitted.root, np.cov(a.T))
    assert frechet_distance(fitted, b) == frechet_distance(a, b)
    assert frechet_distance(b, fitted) == frechet_distance(b, a)
    with pytest.raises(ValueError, match="a has 5, b has 3 features a sample"):
        frechet_distance(fitted, b[:, :3])


def test_a_gaussian_made_of_moments_is_taken_as_such():
    """As the (μ, Σ) that other programs store; a root goes in by name."""
    a, b = draw(100, 5), draw(60, 5, seed=1)
    made = Gaussian(a.mean(axis=0).tolist(), np.cov(a.T))
    assert frechet_distance(made, b) == pytest.approx(frechet_distance(a, b), rel=1e-9)
    assert frechet_distance(made, a) < 1e-12
    half = Gaussian(np.float32(a.mean(axis=0)), np.cov(a.T).astype(np.float32))
    assert frechet_distance(half, b) == pytest.approx(frechet_distance(a, b), rel=1e-4)
    few = draw(4, 9)  # a covariance of rank 3
    assert frechet_distance(Gaussian(few.mean(axis=0), np.cov(few.T)), few) < 1e-7
    named = Gaussian(a.mean(axis=0), root=np.linalg.cholesky(np.cov(a.T)).T)
    assert frechet_distance(named, b) == pytest.approx(frechet_distance(a, b), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "named", "message"),
    [
        ([np.zeros(3), gaussian(draw(50, 3)).root], {}, "not symmetric, or has variances below 0; .* root="),
        ([np.zeros(3), -np.eye(3)], {}, "not symmetric, or has variances below 0"),
        ([np.zeros(3), np.eye(4)], {}, r"mean has shape \(3,\), covariance \(4, 4\); expected \(d,\)"),
        ([np.zeros(3), np.ones((2, 3))], {}, r"covariance \(2, 3\); expected"),
        ([np.zeros(3), np.ones(3)], {}, r"covariance \(3,\); expected"),
        ([0.0, 1.0], {}, r"covariance \(\); expected"),
        ([np.zeros((1, 3)), np.eye(3)], {}, r"mean has shape \(1, 3\)"),
        ([np.zeros(3)], {}, "covariance is a NoneType"),
        ([np.zeros(3), np.eye(3) * np.nan], {}, "covariance has values that are not finite"),
        ([np.array([0, np.inf])], {"root": np.eye(2)}, "mean has values that are not finite"),
        ([np.zeros(3), 1e90 * np.eye(3)], {}, r"covariance has values up to 1e\+90, expected at most 1e\+45"),
        ([np.zeros(3)], {"root": np.ones((2, 4))}, r"root \(2, 4\); expected"),
        ([np.zeros(3)], {"root": np.ones((0, 3))}, r"root \(0, 3\); expected"),
        ([np.zeros(3), np.eye(3)], {"root": np.ones((3, 4))}, r"root \(3, 4\); expected"),
    ],
)
def test_a_gaussian_of_something_else_is_refused(arguments, named, message):
    with pytest.raises(ValueError, match=message):
        Gaussian(*arguments, **named)


def test_frechet_far_from_the_origin():
    a, b = draw(200, 5), draw(200, 5, seed=1)
    assert frechet_distance(a + 1e5, b + 1e5) == pytest.approx(frechet_distance(a, b), rel=1e-8)


# Kernel distance


def test_kernel_distance_by_brute_force():
    a, b = draw(6, 3), draw(4, 3, seed=1)
    k = lambda x, y: (x @ y / 3 + 1) ** 3
    within = [np.mean([k(x, y) for x, y in itertools.permutations(s, 2)]) for s in (a, b)]
    across = np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(sum(within) - 2 * across, rel=1e-12)


def test_kernel_distance_is_unbiased():
    """The biased estimate, which counts pairs of a sample with itself, would be about 0.9 here."""
    rng = np.random.default_rng(0)
    values = [kernel_distance(*rng.normal(size=(2, 10, 4))) for _ in range(4000)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values)) < 0.1
    assert min(values) < 0


def test_kernel_distance_of_small_features_is_no_rounding_error():
    """Beside the 1 in (x·y/d + 1)³ the digits of 1e-20 are lost: it was 0 or negative. To first order MMD² is 3|Δμ|²/d."""
    a, b = 1e-10 * draw(400, 8), 1e-10 * (draw(400, 8, seed=1) + 5)
    assert kernel_distance(a, b) == pytest.approx(3 * 1e-20 * 25, rel=0.2, abs=0)


def test_kernel_distance_by_subsets():
    a, b = draw(1500, 5), draw(900, 5, seed=1) + 0.5
    whole = kernel_distance(a, b, subset_size=1500)
    few = [kernel_distance(a, b, subsets=20, subset_size=200, seed=seed) for seed in range(10)]
    assert np.mean(few) == pytest.approx(whole, rel=0.05)
    assert len(set(few)) == 10
    assert kernel_distance(a, b, subsets=3, seed=4) == kernel_distance(a, b, subsets=3, seed=4)
    assert kernel_distance(a[:300], b[:200]) == kernel_distance(a[:300], b[:200], subsets=1)  # all are taken, once


# Inception score


def test_inception_score_of_sure_and_of_unsure_verdicts():
    sure = np.eye(10)[np.arange(1000) % 10]
    assert inception_score(sure) == (pytest.approx(10), pytest.approx(0, abs=1e-12))
    assert inception_score(sure[:, ::-1], splits=1)[0] == pytest.approx(10)
    assert inception_score(np.full((100, 10), 0.1)) == (pytest.approx(1), pytest.approx(0, abs=1e-12))


def test_inception_score_is_the_exponential_of_entropies():
    """H(mean of p) − mean of H(p)."""
    probs = np.random.default_rng(0).dirichlet(np.full(7, 0.3), size=50)
    entropy = lambda p: scipy.stats.entropy(p, axis=-1)
    expected = np.exp(entropy(probs.mean(axis=0)) - entropy(probs).mean())
    assert inception_score(probs, splits=1) == (pytest.approx(expected, rel=1e-9), 0.0)
    parts = [inception_score(part, splits=1)[0] for part in (probs[:16], probs[16:33], probs[33:])]
    assert inception_score(probs, splits=3) == (pytest.approx(np.mean(parts)), pytest.approx(np.std(parts)))


def test_inception_score_of_samples_sorted_by_class():
    assert inception_score(np.repeat(np.eye(10), 100, axis=0))[0] == 1


# Precision, recall, density, coverage


def whole_numbers(n, d, seed, high=6):
    """Features with many equal distances and repeated samples."""
    return np.random.default_rng(seed).integers(0, high, size=(n, d))


def squares(x, y):
    return np.sum((x[:, None] - y) ** 2, axis=-1)


@pytest.mark.parametrize("seed", range(4))
def test_edges_and_repeated_samples_by_brute_force(seed):
    """In whole numbers, where equal distances are equal; then rotated, where they are so up to rounding."""
    real, fake = whole_numbers(80, 3, seed), whole_numbers(60, 3, 10 + seed, high=8)
    k, across = 3, squares(real, fake)
    reach = lambda x: np.sort(squares(x, x), axis=1)[:, k]
    in_real, in_fake = across <= reach(real)[:, None], across <= reach(fake)
    expected = (in_real.any(axis=0).mean(), in_fake.any(axis=1).mean())
    inside = across < reach(real)[:, None]
    strict = (inside.sum() / (k * len(fake)), inside.any(axis=1).mean())
    assert expected[0] > inside.any(axis=0).mean()  # there are fakes on edges only
    for turn in (np.eye(3), rotation(3, seed), 1e-3 * rotation(3, 9), 1e6 * rotation(3, 8)):
        assert precision_recall(real @ turn + 3, fake @ turn + 3, k=k) == pytest.approx(expected)
        assert density_coverage(real @ turn + 3, fake @ turn + 3, k=k) == pytest.approx(strict)


def test_precision_and_recall_are_not_swapped():
    left, right = draw(200, 4), draw(200, 4, seed=1) + 100
    both = np.concatenate([left, right])
    dropped, invented = precision_recall(both, left), precision_recall(left, both)
    assert (dropped.precision, dropped.recall) == (1, 0.5)
    assert (invented.precision, invented.recall) == (0.5, 1)
    assert density_coverage(both, left).coverage == 0.5
    assert density_coverage(left, both).density == pytest.approx(0.5)
    assert precision_recall(left, right) == density_coverage(left, right) == (0, 0)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_copies_of_the_reals(k):
    """A copy lies in its own ball and in those of which it is one of the first k − 1 neighbours: k on average."""
    x = draw(300, 20)
    assert precision_recall(x, x, k=k) == (1, 1)
    assert density_coverage(x, x[::-1], k=k) == (pytest.approx(1, rel=1e-12), 1)


@pytest.mark.parametrize(("n", "m", "d", "k"), [(100, 100, 2, 5), (100, 100, 30, 5), (60, 150, 4, 3), (150, 60, 4, 3)])
def test_honest_samples_score_what_theory_says(n, m, d, k):
    """Ranks alone decide, so for every distribution: 1, and 1 − Π (N − j) / (N + M − j) over j = 1 … k."""
    rng = np.random.default_rng(0)
    scores = [density_coverage(rng.normal(size=(n, d)), rng.normal(size=(m, d)), k=k) for _ in range(200)]
    j = np.arange(1, k + 1)
    expected = 1, 1 - np.prod((n - j) / (n + m - j))
    np.testing.assert_allclose(np.mean(scores, axis=0), expected, atol=4 * np.std(scores, axis=0).max() / np.sqrt(200))


def test_outliers_lift_recall_but_not_coverage():
    """What density and coverage were invented for: far-off fakes have large balls, in which many reals lie."""
    real, fake = draw(300, 4), np.tile(draw(1, 4), (300, 1))
    fake[::2] += 10 * np.random.default_rng(1).normal(size=(150, 4))
    assert precision_recall(real, fake).recall > 0.8
    assert density_coverage(real, fake).coverage < 0.1


# Memorisation


def test_memorisation_of_copies_of_honest_and_of_bad_samples():
    train, heldout, honest = (draw(400, 5, seed=3)[part] for part in (slice(200), slice(200, 300), slice(300, 400)))
    far = honest + 100
    assert memorisation(train, heldout, train) == (1, 1)
    assert memorisation(train, heldout, far) == (0, 0)
    assert memorisation(train, heldout, np.concatenate([train[:60], far[:40]])) == (pytest.approx(0.6), 0.6)
    few = memorisation(train, heldout, np.concatenate([train[:20], far[:80]]))
    assert few.nearer < 0.5 < 4 * few.copies  # copies among bad samples
    assert memorisation(train, heldout, heldout).nearer == pytest.approx(0.5)


@pytest.mark.parametrize(("n", "m", "size", "d"), [(100, 39, 50, 2), (50, 99, 30, 40)])
def test_memorisation_of_honest_samples(n, m, size, d):
    """Again ranks alone decide: ½ and 5 %, for every distribution."""
    rng = np.random.default_rng(0)
    scores = np.array([memorisation(*(rng.normal(size=(s, d)) for s in (n, m, size))) for _ in range(300)])
    error = scores.std(axis=0) / np.sqrt(len(scores))
    assert (abs(scores.mean(axis=0) - [0.5, 0.05]) < 4 * error).all()
    assert (error < 0.01).all()


def test_memorisation_by_brute_force():
    train, heldout, samples = (whole_numbers(n, 3, n, high=9) for n in (40, 30, 50))
    heldout = heldout[squares(heldout, train).min(axis=1) > 0]
    honest, found = squares(heldout, train).min(axis=1), squares(samples, train).min(axis=1)
    less, equal = honest[:, None] > found, honest[:, None] == found
    assert equal.any()
    few = np.quantile(honest, 0.05, method="weibull")
    expected = less.mean() + equal.mean() / 2, (found < few).mean()
    assert memorisation(train, heldout, samples) == pytest.approx(expected)
    assert scipy.stats.mannwhitneyu(honest, found).statistic / equal.size == pytest.approx(expected[0])


def test_memorisation_refuses_training_data_as_heldout():
    x = draw(100, 5)
    with pytest.raises(ValueError, match=r"50.0% of heldout is in train; .*nobody trained on"):
        memorisation(x, np.concatenate([x[:20], x[:20] + 1]), x)


# What must not change them


@sets
def test_order_does_not_count(metric):
    a, b = draw(120, 6), draw(90, 6, seed=1)
    order = np.random.default_rng(0).permutation
    b = [b] if metric in PAIRS.values() else np.split(b, 2)  # for memorisation: held out, samples
    metric = memorisation if len(b) == 2 else metric
    assert metric(order(a), *map(order, b)) == pytest.approx(metric(a, *b), rel=1e-9)


@sets
def test_rotation_does_not_count(metric):
    a, b, turn = draw(120, 6), draw(90, 6, seed=1), rotation(6)
    assert metric(a @ turn, b @ turn) == pytest.approx(metric(a, b), rel=1e-9)


def test_unit_and_origin():
    a, b = draw(120, 6), draw(90, 6, seed=1)
    assert frechet_distance(10 * a + 3, 10 * b + 3) == pytest.approx(100 * frechet_distance(a, b), rel=1e-9)
    for metric in (precision_recall, density_coverage, SETS["memorisation"]):
        assert metric(1e4 * a + 3, 1e4 * b + 3) == metric(1e-4 * a - 3, 1e-4 * b - 3) == metric(a, b)


@sets
def test_types_in_and_out(metric):
    """float32, jax arrays, lists and half precision come in; Python floats come out."""
    a, b = (draw(40, 4, seed).astype(np.float16) for seed in range(2))
    value = metric(a.astype(float), b.astype(float))
    assert all(type(x) is float for x in np.atleast_1d(np.array(value, object)))
    for kind in (np.asarray, jnp.asarray, lambda x: jnp.asarray(x, jnp.float32)):
        assert metric(kind(a), kind(b)) == pytest.approx(value, rel=2e-3)


@pytest.mark.slow
def test_memory_stays_small():
    """The whole matrix of distances would take 288 MB."""
    a, b = RNG.normal(size=(2, 6000, 8))
    tracemalloc.start()
    precision_recall(a, b)
    density_coverage(a, b)
    memorisation(a, b[:3000], b[3000:])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 120e6


# What is refused


@pytest.mark.parametrize("metric", [*PAIRS.values(), lambda a, b: memorisation(a, b, b)], ids=SETS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((1, 4)), r"shape \(1, 4\), expected two dimensions: at least 2 samples"),
        (np.zeros(4), r"shape \(4,\), expected two dimensions"),
        (np.zeros((5, 2, 2, 1)), r"shape \(5, 2, 2, 1\), .*Flatten images with x.reshape\(len\(x\), -1\)"),
        (np.zeros((5, 0)), r"shape \(5, 0\)"),
        (np.ones((50, 3)), r"3.*features a sample; expected as many in each"),
        (np.where(np.arange(50) == 7, np.nan, 1.0)[:, None] * np.ones(4), r"1 of 50 rows, the first is row 7"),
        (np.where(np.arange(50) > 7, np.inf, 1.0)[:, None] * np.ones(4), r"42 of 50 rows, the first is row 8"),
    ],
    ids=["one sample", "vector", "images", "no features", "width", "nan", "inf"],
)
def test_bad_features(metric, bad, message):
    good = draw(50, 4)
    for arguments in ((bad, good), (good, bad)):
        with pytest.raises(ValueError, match=message):
            metric(*arguments)


@sets
def test_features_that_do_not_vary(metric):
    with pytest.raises(ValueError, match=r"varies: all samples are the same\. .* feature network"):
        metric(np.full((50, 4), 0.1), np.full((40, 4), 0.3))


ALL = SETS | {
    "memorisation": lambda a, b: memorisation(a, b, b),
    "inception": lambda a, b: inception_score(b),
    "modes": lambda a, b: mode_coverage(b, ring()),
    "gaussian": lambda a, b: gaussian(b),
}
every = pytest.mark.parametrize("metric", ALL.values(), ids=ALL)
FEATURES = draw(9, 2)


@sets
@pytest.mark.parametrize("scale", [1e200, 1e160, 1e120, 3e45])
def test_no_number_where_powers_leave_float64(metric, scale):
    """A Fréchet distance of 0, the best there is, or a precision of 1 by chance."""
    a, b = draw(50, 3), draw(50, 3, seed=1)
    one = np.where(np.arange(50)[:, None] == 7, scale, a)
    for arguments in ((scale * a, scale * b), (a, scale * b), (scale * a, b), (a, one), (one, a)):
        with pytest.raises(
            ValueError, match=r"has values up to .*, expected at most 1e\+45: their powers leave float64"
        ):
            metric(*arguments)


@pytest.mark.parametrize("scale", [1e40, 1e20, 1e-20, 1e-60, 1e-100])
def test_numbers_as_far_as_float64_goes(scale):
    a, b, c = draw(50, 3), draw(50, 3, seed=1), draw(50, 3, seed=2)
    assert frechet_distance(scale * a, scale * b) == pytest.approx(scale**2 * frechet_distance(a, b), rel=1e-9, abs=0)
    for metric in (precision_recall, density_coverage):
        assert metric(scale * a, scale * b) == pytest.approx(metric(a, b))
    assert memorisation(scale * a, scale * b, scale * c) == pytest.approx(memorisation(a, b, c))
    assert math.isfinite(kernel_distance(scale * a, scale * b))


@sets
@pytest.mark.parametrize("offset", [0, [1, 0, 0]])
def test_what_differs_by_less_than_squares_can_show_does_not_vary(metric, offset):
    a, b = (1e-200 * draw(50, 3, seed) * [0, 1, 1] + offset for seed in range(2))
    with pytest.raises(ValueError, match="varies: all samples are the same"):
        metric(a, b)


@pytest.mark.parametrize("far", [1e6, 1e9, 1e30])
def test_one_sample_far_off_spoils_no_other(far):
    """Rounding errors of its own distances are large, those of the others are not: precision and recall were 1."""
    real, fake = draw(200, 4), draw(200, 4, seed=1) + 10
    one = np.arange(200)[:, None] == 7
    assert precision_recall(real, fake) == density_coverage(real, fake) == (0, 0)
    real_far, fake_far = np.where(one, far, real), np.where(one, far, fake)
    assert precision_recall(real, fake_far).precision == 0
    assert density_coverage(real, fake_far) == (0, 0)
    assert precision_recall(real_far, fake).recall == 0


@every
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            Features(FEATURES, FEATURES),
            r"is a Features, which holds features, probs; expected one array.* as in \.features",
        ),
        ((np.zeros((9, 2)), np.zeros(9)), "is a tuple of 2 parts that make no array"),
        (gaussian(FEATURES), "is a Gaussian; expected an array"),
        (None, "is a NoneType; expected an array"),
        (FEATURES.astype(str), "is an array of strings"),
        (FEATURES * 1j, "is an array of complex numbers"),
        (np.ma.array(FEATURES, mask=FEATURES < 0), "has masked entries"),
        (jax.random.key(0), "is an array of key"),
        (FEATURES[:0], r"shape \(0, 2\)"),
        ([], r"shape \(0,\)"),
        (5, r"shape \(\)"),
        (np.float64(np.nan), r"not finite|shape \(\)"),
        (np.full((9, 2), np.longdouble(1e300) ** 2), "not finite|finite samples"),
    ],
)
def test_what_is_no_feature_set_is_refused(metric, given, message):
    if metric is frechet_distance and isinstance(given, Gaussian):
        given = None
        message = "is a NoneType"
    with pytest.raises(ValueError, match=message):
        metric(FEATURES, given)


@sets
def test_other_byte_orders_and_lists_are_features(metric):
    a, b = draw(40, 4), draw(40, 4, seed=1)
    for kind in (lambda x: x.astype(">f8"), np.asfortranarray, lambda x: x.tolist(), lambda x: x[::-1][::-1], list):
        assert metric(kind(a), kind(b)) == pytest.approx(metric(a, b), rel=1e-9)


def test_samples_beyond_all_numbers_find_no_mode():
    assert mode_coverage(np.full((4, 2), 1e200), ring()) == (0, 0.0, np.inf)
    with pytest.raises(ValueError, match=r"mixture is a function; expected a Mixture, such as data\.ring\(\)"):
        mode_coverage(np.zeros((4, 2)), ring)


@pytest.mark.parametrize("metric", [precision_recall, density_coverage])
def test_bad_k(metric):
    a, b = draw(10, 3), draw(20, 3, seed=1)
    for k in (0, -1, 10, 2.5, None):
        with pytest.raises(ValueError, match=rf"^k is {k!r}, expected a whole number from 1 to 9, one less than"):
            metric(a, b, k=k)
    metric(a, b, k=9)


def test_k_may_reach_the_number_of_fakes_for_density_only():
    a, b = draw(20, 3), draw(10, 3, seed=1)
    density_coverage(a, b, k=12)
    with pytest.raises(ValueError, match="k is 12, expected a whole number from 1 to 9, one less than the smaller set"):
        precision_recall(a, b, k=12)


def test_bad_subsets():
    a = draw(20, 3)
    for name, least, values in (("subsets", 1, (0, 1.5)), ("subset_size", 2, (1, -3))):
        for value in values:
            with pytest.raises(ValueError, match=f"{name} is {value}, expected a whole number of at least {least}"):
                kernel_distance(a, a, **{name: value})


@pytest.mark.parametrize(
    "probs",
    [np.full((20, 10), 0.2), RNG.normal(size=(20, 10)), np.tile([1.5, -0.5], (20, 1)), np.zeros((20, 10))],
    ids=["sum 2", "logits", "negative", "zeros"],
)
def test_bad_probabilities(probs):
    with pytest.raises(ValueError, match=r"probs has values down to .* softmax over the last axis"):
        inception_score(probs)


def test_bad_splits():
    probs = np.full((5, 10), 0.1)
    with pytest.raises(ValueError, match=r"splits is 10, expected a whole number from 1 to 5, the number of samples"):
        inception_score(probs)
    with pytest.raises(ValueError, match="two dimensions"):
        inception_score(probs[0])
    with pytest.raises(ValueError, match="not finite"):
        inception_score(np.full((5, 10), np.nan))


# Other people's implementations, to a millionth

ORACLE = [(200, 150, 4), (300, 300, 84), (60, 50, 200)]
oracle = pytest.mark.parametrize(("n", "m", "d"), ORACLE)


def near(expected):
    return pytest.approx(expected, rel=1e-6)


@oracle
def test_scikit_learn_agrees(n, m, d):
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    neighbors = pytest.importorskip("sklearn.neighbors")
    a, b = draw(n, d), draw(m, d, seed=1) + 0.2
    kernel = lambda x, y: pairwise.polynomial_kernel(x, y, degree=3, gamma=1 / d, coef0=1)
    off_diagonal = lambda k: k[~np.eye(len(k), dtype=bool)].mean()
    expected = off_diagonal(kernel(a, a)) + off_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean()
    assert kernel_distance(a, b) == near(expected)

    def reach(x, k):  # the nearest is the sample itself
        return neighbors.NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(x).kneighbors(x)[0][:, k]

    across = pairwise.euclidean_distances(a, b)
    inside, covered = across <= reach(a, 3)[:, None], across < reach(a, 5)[:, None]
    recalled = (across <= reach(b, 3)).any(axis=1)
    assert precision_recall(a, b) == near((inside.any(axis=0).mean(), recalled.mean()))
    assert density_coverage(a, b) == near((covered.sum(axis=0).mean() / 5, covered.any(axis=1).mean()))

    nearest = neighbors.NearestNeighbors(n_neighbors=1, algorithm="brute").fit(a).kneighbors
    half = m // 2
    u = scipy.stats.mannwhitneyu(*(nearest(x)[0][:, 0] for x in (b[:half], b[half:]))).statistic
    assert memorisation(a, b[:half], b[half:]).nearer == near(u / (half * (m - half)))


@oracle
def test_prdc_agrees(n, m, d):
    prdc = pytest.importorskip("prdc")
    a, b = draw(n, d), draw(m, d, seed=1) + 0.2
    for k in (1, 5):
        theirs = prdc.compute_prdc(a, b, k)
        assert precision_recall(a, b, k=k) == near((theirs["precision"], theirs["recall"]))
        assert density_coverage(a, b, k=k) == near((theirs["density"], theirs["coverage"]))
        assert min(theirs.values()) > 0


@oracle
def test_torch_fidelity_agrees(n, m, d):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torch_fidelity")
    from torch_fidelity import metric_fid, metric_isc, metric_kid, metric_prc

    a, b = (torch.tensor(x) for x in (draw(n, d), draw(m, d, seed=1) + 0.2))
    fid = metric_fid.fid_statistics_to_metric(*map(metric_fid.fid_features_to_statistics, (a, b)), verbose=False)
    assert frechet_distance(a, b) == near(fid["frechet_inception_distance"])
    size = min(n, m)
    a, b = a[:size], b[:size]  # it takes subsets of one size: all samples of each
    kid = metric_kid.kid_features_to_metric(a, b, kid_subsets=1, kid_subset_size=size, verbose=False)
    assert kernel_distance(a, b) == near(kid["kernel_inception_distance_mean"])
    prc = metric_prc.prc_features_to_metric(b, a, verbose=False)  # the generated ones first
    assert precision_recall(a, b) == near((prc["precision"], prc["recall"]))
    logits = a[:, :4]
    isc = metric_isc.isc_features_to_metric(logits, splits=7, shuffle=False)
    expected = isc["inception_score_mean"], isc["inception_score_std"]
    assert inception_score(logits.softmax(dim=1), splits=7) == near(expected)


# Mode coverage


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
