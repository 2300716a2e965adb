"""Right answers to the exercises of notebook 06 in other styles than the reference's."""

import math
import warnings

import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.special
import scipy.stats
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

# --- inception_score


def by_entropies(probs):
    return np.exp(scipy.special.entr(probs.mean(0)).sum() - scipy.special.entr(probs).sum(1).mean())


def by_scipy(probs):
    return float(np.exp(scipy.stats.entropy(probs, probs.mean(0)[None], axis=1).mean()))


def in_jax(probs):
    marginal = jnp.mean(probs, 0)
    return jnp.exp(jnp.mean(jnp.sum(probs * (jnp.log(probs + 1e-10) - jnp.log(marginal + 1e-10)), 1)))


def entry_by_entry(probs):
    total, marginal = 0.0, probs.mean(axis=0)
    for row in probs:
        total += sum(p * math.log(p / q) for p, q in zip(row, marginal, strict=True) if p > 0)
    return math.exp(total / len(probs))


def where_there_is_mass(probs):
    marginal, there = np.broadcast_to(probs.mean(0), probs.shape), probs > 0
    return np.exp((probs[there] * np.log(probs[there] / marginal[there])).sum() / len(probs))


# --- frechet_distance


def root(m):
    left, values, _ = np.linalg.svd(m)
    return (left * np.sqrt(values)) @ left.T


def assemble(a, b, trace):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    p, q = np.cov(a.T), np.cov(b.T)
    return np.linalg.norm(a.mean(0) - b.mean(0)) ** 2 + np.trace(p) + np.trace(q) - 2 * trace(p, q)


def by_eigenvalues_of_the_product(a, b):
    return assemble(a, b, lambda p, q: np.sqrt(np.clip(np.linalg.eigvals(p @ q).real, 0, None)).sum())


def by_sqrtm(a, b):
    with warnings.catch_warnings(action="ignore"):  # of a singular matrix
        return assemble(a, b, lambda p, q: np.trace(scipy.linalg.sqrtm(p @ q).real))


def by_the_nuclear_norm(a, b):
    return float(assemble(a, b, lambda p, q: np.linalg.norm(root(p) @ root(q), "nuc")))


def by_absolute_eigenvalues(a, b):
    return assemble(a, b, lambda p, q: np.sqrt(abs(np.linalg.eigvalsh(root(p) @ q @ root(p)))).sum())


def without_covariances(a, b):
    a, b = np.float64(a), np.float64(b)
    x, y = (a - a.mean(0)) / (len(a) - 1) ** 0.5, (b - b.mean(0)) / (len(b) - 1) ** 0.5
    across = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * across


# --- precision_recall


def with_a_partition(real, fake, k=3):
    r, f = (np.partition(cdist(x, x), k, axis=1)[:, k] for x in (real, fake))
    between = cdist(real, fake)
    return [float((between <= r[:, None]).any(0).mean()), float((between <= f[None]).any(1).mean())]


def itself_put_far(reals, fakes, neighbours=3):
    def radii(x):
        apart = np.linalg.norm(x[:, None] - x, axis=-1)
        np.fill_diagonal(apart, np.inf)
        return np.sort(apart, axis=1)[:, neighbours - 1]

    between = np.linalg.norm(reals[:, None] - fakes, axis=-1)
    return np.array([(between <= radii(reals)[:, None]).any(0).mean(), (between <= radii(fakes)).any(1).mean()])


def by_a_tree(real, fake, k=3):
    r, f = (cKDTree(x).query(x, k + 1)[0][:, k] for x in (real, fake))
    between = cdist(real, fake)
    return (between <= r[:, None]).any(0).mean(), (between <= f).any(1).mean()


def squares_throughout(real, fake, k=3):
    def apart(x, y):
        return ((jnp.asarray(x)[:, None] - jnp.asarray(y)) ** 2).sum(-1)

    between, r, f = apart(real, fake), jnp.sort(apart(real, real), 1)[:, k], jnp.sort(apart(fake, fake), 1)[:, k]
    return jnp.stack([(between <= r[:, None]).any(0).mean(), (between <= f).any(1).mean()])


# --- nearer


def by_ranks(heldout, samples):
    return scipy.stats.mannwhitneyu(heldout, samples).statistic / (len(heldout) * len(samples))


def by_search(heldout, samples):
    ordered = np.sort(heldout)
    below = np.searchsorted(ordered, samples, "left") + np.searchsorted(ordered, samples, "right")
    return 1 - below.mean() / 2 / len(ordered)


def by_signs(h, s):
    return jnp.mean((1 + jnp.sign(h[:, None] - s)) / 2)


def meeting_by_meeting(heldout, samples):
    won = sum(1 if s < h else 0.5 if s == h else 0 for s in samples for h in heldout)
    return won / len(samples) / len(heldout)


# --- at_infinity


def by_lstsq(sizes, values):
    return np.linalg.lstsq(np.stack([np.ones(len(sizes)), 1 / sizes], 1), values, rcond=None)[0][0]


def by_linregress(sizes, values):
    return scipy.stats.linregress(1 / sizes, values).intercept


def by_curve_fit(n, v):
    return scipy.optimize.curve_fit(lambda n, a, b: a + b / n, n, v)[0][0]


def by_methods(sizes, values):
    x = 1 / sizes
    slope = ((x - x.mean()) * (values - values.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return float(values.mean() - slope * x.mean())


def by_jax(sizes, values):
    return jnp.polyfit(1000 / jnp.asarray(sizes), jnp.asarray(values), 1)[1]


RIGHT = {
    "06.inception_score": [by_entropies, by_scipy, in_jax, entry_by_entry, where_there_is_mass],
    "06.frechet_distance": [
        by_eigenvalues_of_the_product,
        by_sqrtm,
        by_the_nuclear_norm,
        by_absolute_eigenvalues,
        without_covariances,
    ],
    "06.precision_recall": [with_a_partition, itself_put_far, by_a_tree, squares_throughout],
    "06.nearer": [by_ranks, by_search, by_signs, meeting_by_meeting],
    "06.at_infinity": [by_lstsq, by_linregress, by_curve_fit, by_methods, by_jax],
}
