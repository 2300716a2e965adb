"""Wrong answers to the exercises of notebook 08, each with words of the message that names its mistake."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

# --- certificate


def slopes(real, fake, real_scores, fake_scores):
    return jnp.abs(real_scores[:, None] - fake_scores) / jnp.linalg.norm(real[:, None] - fake, axis=-1)


def gap_alone(real, fake, real_scores, fake_scores):
    return real_scores.mean() - fake_scores.mean()


def sign_flipped(real, fake, real_scores, fake_scores):
    return -gap_alone(real, fake, real_scores, fake_scores) / slopes(real, fake, real_scores, fake_scores).max()


def multiplied(real, fake, real_scores, fake_scores):
    return gap_alone(real, fake, real_scores, fake_scores) * slopes(real, fake, real_scores, fake_scores).max()


def mean_slope(real, fake, real_scores, fake_scores):
    return gap_alone(real, fake, real_scores, fake_scores) / slopes(real, fake, real_scores, fake_scores).mean()


def squared_distance(real, fake, real_scores, fake_scores):
    rises = jnp.abs(real_scores[:, None] - fake_scores)
    steepest = (rises / ((real[:, None] - fake) ** 2).sum(-1)).max()
    return gap_alone(real, fake, real_scores, fake_scores) / steepest


def of_the_extremes(real, fake, real_scores, fake_scores):
    rises, way = jnp.abs(real_scores[:, None] - fake_scores), jnp.linalg.norm(real[:, None] - fake, axis=-1)
    return gap_alone(real, fake, real_scores, fake_scores) / (rises.max() / way.max())


def city_block(real, fake, real_scores, fake_scores):
    rises = jnp.abs(real_scores[:, None] - fake_scores)
    steepest = (rises / jnp.abs(real[:, None] - fake).sum(-1)).max()
    return gap_alone(real, fake, real_scores, fake_scores) / steepest


def one_partner_each(real, fake, real_scores, fake_scores):
    steepest = (jnp.abs(real_scores - fake_scores) / jnp.linalg.norm(real - fake, axis=-1)).max()
    return gap_alone(real, fake, real_scores, fake_scores) / steepest


def gap_made_positive(real, fake, real_scores, fake_scores):
    return jnp.abs(gap_alone(real, fake, real_scores, fake_scores)) / slopes(real, fake, real_scores, fake_scores).max()


def rises_only(real, fake, real_scores, fake_scores):
    rises = real_scores[:, None] - fake_scores
    steepest = (rises / jnp.linalg.norm(real[:, None] - fake, axis=-1)).max()
    return gap_alone(real, fake, real_scores, fake_scores) / steepest


def every_pair(real, fake, real_scores, fake_scores):
    x, f = jnp.concatenate([real, fake]), jnp.concatenate([real_scores, fake_scores])
    apart = jnp.linalg.norm(x[:, None] - x, axis=-1) + jnp.eye(len(x))
    return gap_alone(real, fake, real_scores, fake_scores) / (jnp.abs(f[:, None] - f) / apart).max()


def slope_from_1(real, fake, real_scores, fake_scores):
    steepest = slopes(real, fake, real_scores, fake_scores).max()
    return gap_alone(real, fake, real_scores, fake_scores) / jnp.maximum(steepest, 1)


def slope_and_epsilon(real, fake, real_scores, fake_scores):
    steepest = slopes(real, fake, real_scores, fake_scores).max()
    return gap_alone(real, fake, real_scores, fake_scores) / (steepest + 1e-6)


def never_below_0(real, fake, real_scores, fake_scores):
    steepest = slopes(real, fake, real_scores, fake_scores).max()
    return jnp.maximum(gap_alone(real, fake, real_scores, fake_scores), 0) / steepest


def nearest_pair(real, fake, real_scores, fake_scores):
    way = jnp.linalg.norm(real[:, None] - fake, axis=-1)
    slope = slopes(real, fake, real_scores, fake_scores).ravel()[way.argmin()]
    return gap_alone(real, fake, real_scores, fake_scores) / slope


def pair_by_pair(real, fake, real_scores, fake_scores):
    steepest = 0.0
    for x, f in zip(real, real_scores, strict=True):
        for y, g in zip(fake, fake_scores, strict=True):
            steepest = max(steepest, float(jnp.abs(f - g) / jnp.linalg.norm(x - y)))
    return gap_alone(real, fake, real_scores, fake_scores) / steepest


# --- pull


def units_to(x, y):
    ways = y - x[:, None]
    return ways / jnp.linalg.norm(ways, axis=-1, keepdims=True)


def towards_real(plan, x, y):
    return -(plan[..., None] * units_to(x, y)).sum(0)


def of_equal_masses(plan, x, y):
    return (plan[..., None] * units_to(x, y)).sum(0) / plan.sum(0)[:, None] / len(y)


def whole_ways(plan, x, y):
    return (plan[..., None] * (y - x[:, None])).sum(0)


def squared_cost(plan, x, y):
    return jax.grad(lambda y: (plan * ((x[:, None] - y) ** 2).sum(-1)).sum())(y) / 2


def partner_only(plan, x, y):
    ways = y - x[plan.argmax(0)]
    return ways / jnp.linalg.norm(ways, axis=-1, keepdims=True) / len(y)


def partner_of_mass_1(plan, x, y):
    return ((plan / plan.sum(0))[..., None] * units_to(x, y)).sum(0)


def nearest_real(plan, x, y):
    ways = y - x[jnp.linalg.norm(x[:, None] - y, axis=-1).argmin(0)]
    return ways / jnp.linalg.norm(ways, axis=-1, keepdims=True) / len(y)


def all_alike(plan, x, y):
    return units_to(x, y).mean(0) / len(y)


def for_the_reals(plan, x, y):
    return -(plan[..., None] * units_to(x, y)).sum(1)


def made_unit(plan, x, y):
    total = (plan[..., None] * units_to(x, y)).sum(0)
    return total / jnp.linalg.norm(total, axis=-1, keepdims=True) / len(y)


def one_norm_for_all(plan, x, y):
    ways = y - x[:, None]
    return (plan[..., None] * ways / jnp.linalg.norm(ways)).sum(0)


# --- steepest


def layers_of(sizes):
    return pairwise(sizes)


def c_once(c, sizes):
    return c * float(np.prod([(m * n) ** 0.5 for m, n in layers_of(sizes)]))


def one_layer_too_many(c, sizes):
    return c ** len(sizes) * float(np.prod([(m * n) ** 0.5 for m, n in layers_of(sizes)]))


def depth_alone(c, sizes):
    return c ** (len(sizes) - 1)


def all_weights(c, sizes):
    return float(np.prod([c * m * n for m, n in layers_of(sizes)]))


def rows_alone(c, sizes):
    return float(np.prod([c * m**0.5 for m, _ in layers_of(sizes)]))


def every_entry_by_1(c, sizes):
    return float(np.prod([c * m for m, _ in layers_of(sizes)]))


def along_one_entry(c, sizes):
    return float(np.prod([c * n for _, n in layers_of(sizes)]))


def added_up(c, sizes):
    return sum(c * (m * n) ** 0.5 for m, n in layers_of(sizes))


def random_signs(c, sizes):
    return float(np.prod([c * (m**0.5 + n**0.5) for m, n in layers_of(sizes)]))


# --- penalty


def slope_of(critic, points):
    return jax.grad(lambda x: critic(x).sum())(points)


def norms_of(critic, points):
    squares = (slope_of(critic, points) ** 2).sum(tuple(range(1, points.ndim)))
    return jnp.sqrt(squares + 1e-12)


def root_at_zero(critic, points):
    squares = (slope_of(critic, points) ** 2).sum(tuple(range(1, points.ndim)))
    return ((jnp.sqrt(squares) - 1) ** 2).mean()


def linalg_norm(critic, points):
    flat = slope_of(critic, points).reshape(len(points), -1)
    return ((jnp.linalg.norm(flat, axis=1) - 1) ** 2).mean()


def over_channels(critic, points):
    return ((jnp.sqrt((slope_of(critic, points) ** 2).sum(-1) + 1e-12) - 1) ** 2).mean()


def squared_norm(critic, points):
    return ((norms_of(critic, points) ** 2 - 1) ** 2).mean()


def r1(critic, points):
    return (norms_of(critic, points) ** 2).mean()


def one_sided(critic, points):
    return (jax.nn.relu(norms_of(critic, points) - 1) ** 2).mean()


def sum_over_batch(critic, points):
    return ((norms_of(critic, points) - 1) ** 2).sum()


def mean_norm_first(critic, points):
    return (norms_of(critic, points).mean() - 1) ** 2


def whole_batch(critic, points):
    return (jnp.sqrt((slope_of(critic, points) ** 2).sum() + 1e-12) - 1) ** 2


def of_the_mean_logit(critic, points):
    squares = (jax.grad(lambda x: critic(x).mean())(points) ** 2).sum(tuple(range(1, points.ndim)))
    return ((jnp.sqrt(squares + 1e-12) - 1) ** 2).mean()


def not_squared(critic, points):
    return jnp.abs(norms_of(critic, points) - 1).mean()


def each_entry(critic, points):
    return ((slope_of(critic, points) - 1) ** 2).mean()


def cut_off(critic, points):
    return ((jax.lax.stop_gradient(norms_of(critic, points)) - 1) ** 2).mean()


def squares(critic, points):
    return (slope_of(critic, points) ** 2).sum(tuple(range(1, points.ndim)))


def much_under_the_root(critic, points):
    return ((jnp.sqrt(squares(critic, points) + 1e-4) - 1) ** 2).mean()


def python_if(critic, points):
    norms = [jnp.sqrt(q) if q > 0 else 0 * q for q in squares(critic, points)]
    return ((jnp.stack(norms) - 1) ** 2).mean()


def where_after_the_root(critic, points):
    q = squares(critic, points)
    return ((jnp.where(q > 0, jnp.sqrt(q), 0) - 1) ** 2).mean()


def to_a_float(critic, points):
    return float(((norms_of(critic, points) - 1) ** 2).mean())


def mean_square(critic, points):
    return ((jnp.sqrt((slope_of(critic, points) ** 2).mean(tuple(range(1, points.ndim))) + 1e-12) - 1) ** 2).mean()


def ten_times(critic, points):
    return 10 * ((norms_of(critic, points) - 1) ** 2).mean()


def of_the_scores(critic, points):
    return ((critic(points) - 1) ** 2).mean()


def flat_ones_only(critic, points):
    return (jax.nn.relu(1 - norms_of(critic, points)) ** 2).mean()


# --- mixes


def never(critic, x):
    return False


def always(critic, x):
    return True


def reversed_batch(critic, x):
    return not bool(jnp.allclose(critic(x[::-1])[::-1], critic(x), atol=1e-4))


def doubled_batch(critic, x):
    return not bool(jnp.allclose(critic(jnp.concatenate([x, x]))[: len(x)], critic(x), atol=1e-4))


def own_sample_too(critic, x):
    return bool((jax.jacobian(critic)(x) != 0).any())


def of_the_sum(critic, x):
    return bool((jnp.abs(jax.grad(lambda x: critic(x).sum())(x)) < 1e-4).all())


def first_logit_only(critic, x):
    return bool((jax.grad(lambda x: critic(x)[0])(x)[1:] != 0).any())


def first_sample_only(critic, x):
    return bool((abs(critic(x.at[0].add(1.0)) - critic(x))[1:] > 1e-6).any())


def last_logit_only(critic, x):
    return bool((jax.grad(lambda x: critic(x)[-1])(x)[:-1] != 0).any())


def last_left_out(critic, x):
    return not np.allclose(critic(x[:-1]), critic(x)[:-1], atol=1e-5)


def first_left_out(critic, x):
    return not np.allclose(critic(x[1:]), critic(x)[1:], atol=1e-5)


def first_alone(critic, x):
    return not np.allclose(critic(x[:1])[0], critic(x)[0], atol=1e-5)


def table(critic, x):
    return np.asarray(abs(jax.jacobian(critic)(x)))


def below_the_diagonal(critic, x):
    return bool(np.tril(table(critic, x).sum(-1), -1).any())


def neighbours(critic, x):
    return bool(np.diag(table(critic, x).sum(-1), 1).any() or np.diag(table(critic, x).sum(-1), -1).any())


def first_feature(critic, x):
    return bool(table(critic, x)[~np.eye(len(x), dtype=bool), 0].any())


def in_halves(critic, x):
    half = len(x) // 2
    return not np.allclose(np.concatenate([critic(x[:half]), critic(x[half:])]), critic(x), atol=1e-5)


def too_tolerant(critic, x):
    return bool((table(critic, x)[~np.eye(len(x), dtype=bool)] > 0.07).any())


# --- power_step


def unit(x):
    return x / jnp.linalg.norm(x)


def never_normalised(matrix, u):
    v = matrix @ u
    u = v @ matrix
    return unit(v) @ matrix @ unit(u), u


def v_normalised_only(matrix, u):
    v = unit(matrix @ u)
    return v @ matrix @ unit(v @ matrix), v @ matrix


def sigma_alone(matrix, u):
    v = unit(matrix @ u)
    return v @ matrix @ unit(v @ matrix)


def old_u(matrix, u):
    v = unit(matrix @ u)
    return v @ matrix @ unit(v @ matrix), u


def sigma_of_old_u(matrix, u):
    v = unit(matrix @ u)
    return v @ matrix @ u, unit(v @ matrix)


def rayleigh(matrix, u):
    v = matrix @ u
    return v @ v, unit(v @ matrix)


def frobenius(matrix, u):
    v = unit(matrix @ u)
    return jnp.linalg.norm(matrix), unit(v @ matrix)


def wrong_order(matrix, u):
    v = unit(matrix @ u)
    u = unit(v @ matrix)
    return u, v @ matrix @ u


def transposed(matrix, u):
    v = unit(u @ matrix)
    u = unit(matrix @ v)
    return u @ matrix @ v, u


def squared_sigma(matrix, u):
    v = unit(matrix @ u)
    u = unit(v @ matrix)
    return (v @ matrix @ u) ** 2, u


def returns_v(matrix, u):
    v = unit(matrix @ u)
    return v @ matrix @ unit(v @ matrix), v


def of_the_svd(matrix, u):
    _, sigma, rows = jnp.linalg.svd(matrix)
    return sigma[0], rows[0]


def sigma_of_the_svd(matrix, u):
    return jnp.linalg.svd(matrix)[1][0], unit(matrix.T @ (matrix @ u))


def two_in_one(matrix, u):
    for _ in range(2):
        v = unit(matrix @ u)
        u = unit(v @ matrix)
    return v @ matrix @ u, u


def largest_entry_1(matrix, u):
    v = matrix @ u
    v = v / jnp.abs(v).max()
    u = v @ matrix
    u = u / jnp.abs(u).max()
    return v @ matrix @ u, u


def v_left_long(matrix, u):
    v = matrix @ u
    u = unit(v @ matrix)
    return v @ matrix @ u, u


WRONG = {
    "08.certificate": [
        (gap_alone, "the gap of the scores"),
        (sign_flipped, "The sign is flipped"),
        (multiplied, "You multiply by the steepest"),
        (mean_slope, "the mean slope"),
        (squared_distance, "squared distances"),
        (of_the_extremes, "largest rise over the largest distance"),
        (city_block, "The way is Euclidean"),
        (one_partner_each, "You look at n pairs"),
        (gap_made_positive, "certifies nothing"),
        (rises_only, "and a fall is a slope"),
        (every_pair, "a true bound, but looser"),
        (slope_from_1, "only where it is above 1"),
        (slope_and_epsilon, "You add 1e-06 to the slope"),
        (never_below_0, "leave it negative"),
        (nearest_pair, "the nearest pair alone"),
        (pair_by_pair, "No Python loop over pairs"),
    ],
    "08.pull": [
        (of_equal_masses, "all fakes the same mass"),
        (towards_real, "The sign is flipped"),
        (whole_ways, "keep their length"),
        (squared_cost, "keep their length"),
        (partner_only, "largest supplier alone"),
        (partner_of_mass_1, "a mass of 1"),
        (nearest_real, "its nearest real point"),
        (all_alike, "whatever the plan says"),
        (for_the_reals, "for the *real* points"),
        (made_unit, "leave the sum as it is"),
        (one_norm_for_all, "not the expected one"),
    ],
    "08.steepest": [
        (c_once, "Your c counts once"),
        (one_layer_too_many, "one layer too many"),
        (depth_alone, "width counts, too"),
        (all_weights, "all m·n weights"),
        (rows_alone, "one feature's stretch"),
        (every_entry_by_1, "moved by 1"),
        (along_one_entry, "along one entry"),
        (added_up, "they multiply"),
        (random_signs, "random signs"),
    ],
    "08.penalty": [
        (root_at_zero, "you take √0"),
        (linalg_norm, "you take √0"),
        (over_channels, "the last axis alone"),
        (squared_norm, "A square root is missing"),
        (r1, "the penalty R1"),
        (one_sided, "one-sided"),
        (sum_over_batch, "You sum over the batch"),
        (mean_norm_first, "mean of the norms first"),
        (whole_batch, "over the whole batch"),
        (of_the_mean_logit, "the *mean* of the logits"),
        (not_squared, "A square is missing"),
        (each_entry, "every entry of the slope"),
        (cut_off, "stop_gradient"),
        (much_under_the_root, "0.0001 under the root"),
        (python_if, "a Python `if`"),
        (where_after_the_root, "you take √0"),
        (to_a_float, "keep the array"),
        (mean_square, "average the squares"),
        (ten_times, "λ = 10"),
        (of_the_scores, "the *scores*"),
        (flat_ones_only, "lets steep slopes pass"),
    ],
    "08.mixes": [
        (never, "BatchNorm: some logit depends"),
        (always, "each logit depends on its own"),
        (reversed_batch, "Reversing, repeating or doubling"),
        (doubled_batch, "Reversing, repeating or doubling"),
        (own_sample_too, "may depend on its *own*"),
        (of_the_sum, "some logit depends on another"),
        (first_logit_only, "Any logit may read any other sample"),
        (first_sample_only, "Any logit may read any other sample"),
        (last_logit_only, "Any logit may read any other sample"),
        (last_left_out, "Any logit may read any other sample"),
        (first_left_out, "Any logit may read any other sample"),
        (first_alone, "Any logit may read any other sample"),
        (below_the_diagonal, "Any logit may read any other sample"),
        (neighbours, "Any logit may read any other sample"),
        (first_feature, "and any entry"),
        (in_halves, "Any logit may read any other sample"),
        (too_tolerant, "your tolerance is too large"),
    ],
    "08.power_step": [
        (never_normalised, "until it overflows"),
        (v_normalised_only, "not divided by its length"),
        (sigma_alone, "return both"),
        (old_u, "the old one"),
        (sigma_of_old_u, "uses the old u"),
        (rayleigh, "is a square"),
        (frobenius, "Frobenius norm"),
        (wrong_order, "in the wrong order"),
        (squared_sigma, "Your σ is squared"),
        (transposed, "raises"),
        (returns_v, "You return v"),
        (of_the_svd, "the SVD's u"),
        (sigma_of_the_svd, "the SVD's σ"),
        (two_in_one, "2 steps in one"),
        (largest_entry_1, "divided by its largest entry"),
        (v_left_long, "σ²"),
    ],
}
