"""Wrong answers to the exercises of notebook 08, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np

# --- by_sorting


def unsorted(x, y):
    return jnp.abs(x - y).mean()


def crossed(x, y):
    return jnp.abs(jnp.sort(x) - jnp.sort(y)[::-1]).mean()


def summed(x, y):
    return jnp.abs(jnp.sort(x) - jnp.sort(y)).sum()


def cancelling(x, y):
    return (jnp.sort(x) - jnp.sort(y)).mean()


def means_apart(x, y):
    return jnp.abs(x.mean() - y.mean())


def squared(x, y):
    return ((jnp.sort(x) - jnp.sort(y)) ** 2).mean()


def w2(x, y):
    return jnp.sqrt(squared(x, y))


def longest(x, y):
    return jnp.abs(jnp.sort(x) - jnp.sort(y)).max()


def all_pairs(x, y):
    return jnp.abs(x[:, None] - y).mean()


def to_the_nearest(x, y):
    return jnp.abs(x[:, None] - y).min(1).mean()


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


# --- between


def mixed(share, real, fake):
    return share * real + (1 - share) * fake


def for_each(real):
    return (len(real),) + (1,) * (real.ndim - 1)


def normal(real, fake, key):
    return mixed(jax.random.normal(key, for_each(real)), real, fake)


def per_pixel(real, fake, key):
    return mixed(jax.random.uniform(key, real.shape), real, fake)


def one_for_the_batch(real, fake, key):
    return mixed(jax.random.uniform(key), real, fake)


def same_for_all_samples(real, fake, key):
    return mixed(jax.random.uniform(key, real.shape[1:]), real, fake)


def middle(real, fake, key):
    return mixed(0.5, real, fake)


def one_or_the_other(real, fake, key):
    return mixed(jax.random.bernoulli(key, 0.5, for_each(real)), real, fake)


def real_only(real, fake, key):
    return real


def around_zero(real, fake, key):
    return mixed(jax.random.uniform(key, for_each(real), minval=-1), real, fake)


def squared_share(real, fake, key):
    return mixed(jax.random.uniform(key, for_each(real)) ** 2, real, fake)


def own_key(real, fake, key):
    return mixed(jax.random.uniform(jax.random.key(0), for_each(real)), real, fake)


def numpys_state(real, fake, key):
    return mixed(np.random.random(for_each(real)), real, fake)  # noqa: NPY002


def weights_do_not_add_up(real, fake, key):
    first, second = jax.random.uniform(key, (2, *for_each(real)))
    return first * real + second * fake


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


WRONG = {
    "08.by_sorting": [
        (unsorted, "in the order they came"),
        (crossed, "the dearest plan"),
        (summed, "You sum the ways"),
        (cancelling, "cancel in yours"),
        (means_apart, "cancel in yours"),
        (squared, "You square the ways"),
        (w2, "That is W2"),
        (longest, "the longest way"),
        (all_pairs, "over all pairs"),
        (to_the_nearest, "some y get nothing"),
    ],
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
        (rises_only, "A fall is a slope, too"),
        (every_pair, "a true bound, but looser"),
    ],
    "08.between": [
        (normal, "uniform, not normal"),
        (per_pixel, "an ε for each entry"),
        (one_for_the_batch, "one for the whole batch"),
        (same_for_all_samples, "differs between pixels"),
        (middle, "the middle"),
        (one_or_the_other, "Points *between* them"),
        (real_only, "Points *between* them"),
        (around_zero, "beyond both ends"),
        (squared_share, "is not uniform there"),
        (own_key, "Two different keys"),
        (numpys_state, "The same key gives two"),
        (weights_do_not_add_up, "leaves the line"),
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
        (cut_off, "slope of the penalty"),
    ],
    "08.mixes": [
        (never, "BatchNorm: some logit depends"),
        (always, "each logit depends on its own"),
        (reversed_batch, "Reversing, repeating or doubling"),
        (doubled_batch, "Reversing, repeating or doubling"),
        (own_sample_too, "may depend on its *own*"),
        (of_the_sum, "some logit depends on another"),
        (first_logit_only, "some pairs only"),
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
    ],
}
