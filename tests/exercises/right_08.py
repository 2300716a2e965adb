"""Right answers to the exercises of notebook 08 in other styles than the reference's."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.stats
from scipy.spatial.distance import cdist

# --- by_sorting


def by_scipy(x, y):
    return scipy.stats.wasserstein_distance(x, y)


def by_assignment(x, y):
    cost = abs(x[:, None] - y)
    return cost[scipy.optimize.linear_sum_assignment(cost)].mean()


def by_python(x, y):
    return sum(abs(a - b) for a, b in zip(sorted(x), sorted(y), strict=True)) / len(x)


def from_the_right(x, y):
    return float(jnp.abs(jnp.sort(x)[::-1] - jnp.sort(y)[::-1]).mean())


# --- certificate


def with_other_names(x, y, f, g):
    return (f.mean() - g.mean()) / (jnp.abs(f[:, None] - g) / jnp.linalg.norm(x[:, None] - y, axis=-1)).max()


def by_cdist(real, fake, real_scores, fake_scores):
    rises = abs(np.subtract.outer(np.asarray(real_scores), np.asarray(fake_scores)))
    return float((np.mean(real_scores) - np.mean(fake_scores)) / (rises / cdist(real, fake)).max())


def row_by_row(real, fake, real_scores, fake_scores):
    steepest = 0.0
    for x, f in zip(np.asarray(real), np.asarray(real_scores), strict=True):
        steepest = max(steepest, (abs(f - np.asarray(fake_scores)) / np.linalg.norm(x - fake, axis=1)).max())
    return (np.mean(real_scores) - np.mean(fake_scores)) / steepest


def critic_made_flatter(real, fake, real_scores, fake_scores):
    rises = (real_scores[:, None] - fake_scores) / (jnp.linalg.norm(real[:, None] - fake, axis=-1) + 1e-8)
    steepest = max(rises.max(), -rises.min())
    return (real_scores / steepest).mean() - (fake_scores / steepest).mean()


# --- between


def share_of_fake(real, fake, key):
    share = jax.random.uniform(key, (len(real),)).reshape(-1, *[1] * (real.ndim - 1))
    return real + share * (fake - real)


def key_by_key(real, fake, key):
    def one(key, x, y):
        share = jax.random.uniform(key)
        return share * x + (1 - share) * y

    return jax.vmap(one)(jax.random.split(key, len(real)), real, fake)


def transposed(real, fake, key):
    share = jax.random.uniform(key, (len(real),))
    return (share * real.T + (1 - share) * fake.T).T


def stratified(real, fake, key):
    first, second = jax.random.split(key)
    n = len(real)
    share = (jax.random.permutation(first, n) + jax.random.uniform(second, (n,))) / n
    return jnp.einsum("b,b...->b...", share, real) + jnp.einsum("b,b...->b...", 1 - share, fake)


# --- penalty


def sample_by_sample(critic, points):
    slopes = jax.vmap(jax.grad(lambda x: critic(x[None])[0]))(points).reshape(len(points), -1)
    return jnp.mean((jnp.sqrt(jnp.sum(slopes**2, -1) + 1e-8) - 1) ** 2)


def pulled_back(critic, points):
    out, back = jax.vjp(critic, points)
    (slopes,) = back(jnp.ones_like(out))
    return jnp.square(jnp.sqrt(jnp.square(slopes).reshape(len(points), -1).sum(1) + 1e-6) - 1).mean()


def two_wheres(critic, points):
    squares = (jax.grad(lambda x: critic(x).sum())(points) ** 2).sum(tuple(range(1, points.ndim)))
    norms = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return ((norms - 1) ** 2).mean()


def multiplied_out(critic, points):
    slopes = len(points) * jax.grad(lambda x: critic(x).mean())(points)
    squares = (slopes**2).sum(tuple(range(1, points.ndim)))
    return (squares - 2 * jnp.sqrt(jnp.maximum(squares, 1e-12)) + 1).mean()


# --- mixes


def one_changed(critic, x):
    before = np.asarray(critic(x))
    for j in range(len(x)):
        change = abs(np.asarray(critic(x.at[j].add(1.0))) - before)
        if np.delete(change, j).max() > 1e-5:
            return True
    return False


def each_alone(critic, x):
    return not np.allclose([critic(x[i : i + 1])[0] for i in range(len(x))], critic(x), atol=1e-5)


def logit_by_logit(critic, x):
    slopes = [jax.grad(lambda x, i=i: critic(x)[i])(x) for i in range(len(x))]
    return any(bool((jnp.delete(slope, i, axis=0) != 0).any()) for i, slope in enumerate(slopes))


def forward(critic, x):
    table = jnp.abs(jax.jacfwd(critic)(x)).sum(-1)
    return jnp.any(table * (1 - jnp.eye(len(x))) > 0)


# --- power_step


def unit(x):
    return x / jnp.linalg.norm(x)


def length_of_the_way(matrix, u):
    u = unit(matrix.T @ (matrix @ u))
    return jnp.linalg.norm(matrix @ u), u


def root_of_a_square(matrix, u):
    u = unit(matrix.T @ unit(matrix @ u))
    return [jnp.sqrt(u @ matrix.T @ matrix @ u), u]


def length_before_division(matrix, u):
    w = unit(matrix @ u) @ matrix
    sigma = jnp.linalg.norm(w)
    return sigma, w / sigma


def by_numpy(matrix, u):
    m = np.asarray(matrix)
    v = m @ np.asarray(u)
    v = v / (np.linalg.norm(v) + 1e-12)
    u = m.T @ v
    u = u / (np.linalg.norm(u) + 1e-12)
    return float(v @ m @ u), u


RIGHT = {
    "08.by_sorting": [by_scipy, by_assignment, by_python, from_the_right],
    "08.certificate": [with_other_names, by_cdist, row_by_row, critic_made_flatter],
    "08.between": [share_of_fake, key_by_key, transposed, stratified],
    "08.penalty": [sample_by_sample, pulled_back, two_wheres, multiplied_out],
    "08.mixes": [one_changed, each_alone, logit_by_logit, forward],
    "08.power_step": [length_of_the_way, root_of_a_square, length_before_division, by_numpy],
}
