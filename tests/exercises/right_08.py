"""Right answers to the exercises of notebook 08 in other styles than the reference's."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import cdist

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


# --- pull


def by_grad(plan, x, y):
    return jax.grad(lambda y: (plan * jnp.linalg.norm(x[:, None] - y, axis=-1)).sum())(y)


def fake_by_fake(plan, x, y):
    plan, x, y = (np.asarray(v) for v in (plan, x, y))
    return np.stack(
        [sum(p * (b - a) / np.linalg.norm(b - a) for p, a in zip(plan[:, j], x, strict=True)) for j, b in enumerate(y)]
    )


def by_einsum(plan, x, y):
    ways = x[:, None] - y
    return -jnp.einsum("nm,nmd->md", plan / jnp.sqrt((ways**2).sum(-1) + 1e-12), ways)


# --- steepest


def power_and_widths(c, sizes):
    return c ** (len(sizes) - 1) * sizes[0] ** 0.5 * np.prod(sizes[1:-1]) * sizes[-1] ** 0.5


def by_svd(c, sizes):
    return float(np.prod([np.linalg.svd(np.full((m, n), c))[1][0] for m, n in pairwise(sizes)]))


def by_a_network(c, sizes):
    def f(x):
        for n in sizes[1:]:
            x = jax.nn.relu(jnp.full((n, len(x)), c) @ x)
        return x[0]

    return jnp.linalg.norm(jax.grad(f)(jnp.ones(sizes[0])))


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
    "08.certificate": [with_other_names, by_cdist, row_by_row, critic_made_flatter],
    "08.pull": [by_grad, fake_by_fake, by_einsum],
    "08.steepest": [power_and_widths, by_svd, by_a_network],
    "08.penalty": [sample_by_sample, pulled_back, two_wheres, multiplied_out],
    "08.mixes": [one_changed, each_alone, logit_by_logit, forward],
    "08.power_step": [length_of_the_way, root_of_a_square, length_before_division, by_numpy],
}
