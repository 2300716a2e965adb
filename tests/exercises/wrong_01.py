"""Wrong answers to the exercises of notebook 01, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jax.nn import sigmoid, softplus

# --- optimal_discriminator


def fake_probability(p, q):
    return q / (p + q)


def odds(p, q):
    return p / q


def logit_of_best(p, q):
    return np.log(p / q)


def verdict(p, q):
    return np.where(p > q, 1.0, 0.0)


def sigmoid_of_densities(p, q):
    return sigmoid(p - q)


def share_of_mass(p, q):
    return p / (p + q).sum()


def epsilon_below(p, q):
    return p / (p + q + 1e-12)


def difference_of_shares(p, q):
    return (p - q) / (p + q)


# --- jsd


def positive_only(p, q, dx):
    m = (p + q) / 2
    return dx * np.sum(p * np.log(p / m) + q * np.log(q / m)) / 2


def common_points_only(p, q, dx):
    m, both = (p + q) / 2, (p > 0) & (q > 0)
    return np.sum(p[both] * np.log(p[both] / m[both]) + q[both] * np.log(q[both] / m[both])) * dx / 2


def half_forgotten(p, q, dx):
    m = (p + q) / 2
    return dx * np.sum(p * np.log(p / m) + q * np.log(q / m))


def sum_for_mixture(p, q, dx):
    return dx * np.sum(p * np.log(p / (p + q)) + q * np.log(q / (p + q))) / 2


def kl(p, q, dx):
    return dx * np.sum(p * np.log(p / q))


def symmetric_kl(p, q, dx):
    return dx * np.sum(p * np.log(p / q) + q * np.log(q / p)) / 2


def bits(p, q, dx):
    m = (p + q) / 2
    return dx * np.sum(p * np.log2(p / m) + q * np.log2(q / m)) / 2


def no_spacing(p, q, dx):
    m = (p + q) / 2
    return np.sum(p * np.log(p / m) + q * np.log(q / m)) / 2


def in_float32(p, q, dx):
    m = (p + q) / 2
    return dx * (jnp.where(p > 0, p * jnp.log(p / m), 0).sum() + jnp.where(q > 0, q * jnp.log(q / m), 0).sum()) / 2


def square_root(p, q, dx):
    return np.sqrt(positive_only(p, q, dx))


def epsilon_in_logs(p, q, dx):
    m = (p + q) / 2
    return dx * np.sum(p * np.log((p + 1e-8) / (m + 1e-8)) + q * np.log((q + 1e-8) / (m + 1e-8))) / 2


def relative_entropies_in_float32(p, q, dx):
    p, q = jnp.asarray(p), jnp.asarray(q)
    m = (p + q) / 2
    return dx * (jax.scipy.special.rel_entr(p, m) + jax.scipy.special.rel_entr(q, m)).sum() / 2


def mean_over_grid(p, q, dx):
    m = (p + q) / 2
    return np.mean(p * np.log(p / m) + q * np.log(q / m)) / 2


def value_of_the_game(p, q, dx):
    return dx * np.sum(p * np.log(p / (p + q)) + q * np.log(q / (p + q)))


# --- honest_bound


def bound(on_real, on_fake):
    return (-softplus(-on_real).mean() - softplus(on_fake).mean() + jnp.log(4)) / 2


def halves(samples):
    return samples[: len(samples) // 2], samples[len(samples) // 2 :]


def both_at_half_of_the_real(train, real, fake):
    n = len(real) // 2
    d = train(real[:n], fake[:n])
    return bound(d(real[n:]), d(fake[n:]))


def by_log_of_sigmoid(train, real, fake):
    n, m = len(real) // 2, len(fake) // 2
    d = train(real[:n], fake[:m])
    v = jnp.log(sigmoid(d(real[n:]))).mean() + jnp.log(1 - sigmoid(d(fake[m:]))).mean()
    return (v + jnp.log(4)) / 2


def on_what_it_learnt(train, real, fake):
    d = train(real, fake)
    return bound(d(real), d(fake))


def same_half_twice(train, real, fake):
    real, fake = real[: len(real) // 2], fake[: len(fake) // 2]
    return on_what_it_learnt(train, real, fake)


def on_all(train, real, fake):
    d = train(halves(real)[0], halves(fake)[0])
    return bound(d(real), d(fake))


def larger_of_two(train, real, fake):
    (a, b), (c, d) = halves(real), halves(fake)
    bounds = [bound(f(new), f(other)) for f, new, other in ((train(a, c), b, d), (train(b, d), a, c))]
    return jnp.maximum(*bounds)


def fakes_not_held_back(train, real, fake):
    (seen, new), d_fake = halves(real), halves(fake)[0]
    d = train(seen, d_fake)
    return bound(d(new), d(d_fake))


def real_not_held_back(train, real, fake):
    d_real, (seen, new) = halves(real)[0], halves(fake)
    d = train(d_real, seen)
    return bound(d(d_real), d(new))


def value_itself(train, real, fake):
    (seen, new), (seen_fake, new_fake) = halves(real), halves(fake)
    d = train(seen, seen_fake)
    return 2 * bound(d(new), d(new_fake)) - jnp.log(4)


def bound_of_twice(train, real, fake):
    (seen, new), (seen_fake, new_fake) = halves(real), halves(fake)
    d = train(seen, seen_fake)
    return 2 * bound(d(new), d(new_fake))


def log_2(train, real, fake):
    return (value_itself(train, real, fake) + jnp.log(2)) / 2


def log_d_on_fakes(train, real, fake):
    (seen, new), (seen_fake, new_fake) = halves(real), halves(fake)
    d = train(seen, seen_fake)
    return bound(d(new), -d(new_fake))


def labels_swapped(train, real, fake):
    (seen, new), (seen_fake, new_fake) = halves(real), halves(fake)
    d = train(seen, seen_fake)
    return bound(-d(new), -d(new_fake))


def one_held_back(train, real, fake):
    d = train(real[:-1], fake[:-1])
    return bound(d(real[-1:]), d(fake[-1:]))


def no_training(train, real, fake):
    return bound(real, fake)


def mixed_up(train, real, fake):
    x = jnp.concatenate([real, fake])
    d = train(x[::2], x[1::2])
    return bound(d(real), d(fake))


# --- frozen_logits


def follows(theta, z, log_p, log_q):
    return log_p(theta + z) - log_q(theta + z, theta)


def all_cut(theta, z, log_p, log_q):
    theta = stop_gradient(theta)
    return log_p(theta + z) - log_q(theta + z, theta)


def fakes_cut(theta, z, log_p, log_q):
    x = stop_gradient(theta + z)
    return log_p(x) - log_q(x, theta)


def all_of_q_cut(theta, z, log_p, log_q):
    x = theta + z
    return log_p(x) - stop_gradient(log_q(x, theta))


def ratio_inverted(theta, z, log_p, log_q):
    x = theta + z
    return log_q(x, stop_gradient(theta)) - log_p(x)


def at_the_noise(theta, z, log_p, log_q):
    return log_p(z) - log_q(z, stop_gradient(theta))


def probability(theta, z, log_p, log_q):
    x = theta + z
    return sigmoid(log_p(x) - log_q(x, stop_gradient(theta)))


def densities(theta, z, log_p, log_q):
    x = theta + z
    return jnp.exp(log_p(x)), jnp.exp(log_q(x, stop_gradient(theta)))


def through_the_best_d(*args):
    p, q = densities(*args)
    d = p / (p + q)
    return jnp.log(d) - jnp.log(1 - d)


def ratio_of_densities(*args):
    p, q = densities(*args)
    return jnp.log(p / q)


def with_epsilon(*args):
    p, q = densities(*args)
    return jnp.log(p + 1e-8) - jnp.log(q + 1e-8)


def one_by_one(theta, z, log_p, log_q):
    return jnp.stack([log_p(theta + one) - log_q(theta + one, stop_gradient(theta)) for one in z])


def q_at_the_noise(theta, z, log_p, log_q):
    return log_p(theta + z) - log_q(z, stop_gradient(theta))


def p_cut(theta, z, log_p, log_q):
    return stop_gradient(log_p(theta + z)) - log_q(theta + z, stop_gradient(theta))


# --- divergence_losses


def through_sigmoid(fake_logits):
    d = sigmoid(fake_logits)
    return jnp.log((1 - d) / d), -d / (1 - d)


def order_swapped(s):
    return -jnp.exp(s), -s


def first_turned(s):
    return s, -jnp.exp(s)


def second_turned(s):
    return -s, jnp.exp(s)


def integrand_for_slope(s):
    return -s, s * jnp.exp(s)


def goodfellows_two(s):
    return -softplus(s), softplus(-s)


def non_saturating_second(s):
    return -s, softplus(-s)


def logit_twice(s):
    return -s, s


def first_for_both(s):
    return -s, -s


def ratio_turned_over(s):
    return -s, -jnp.exp(-s)


def averaged(s):
    return -s.mean(), -jnp.exp(s).mean()


def probability_for_ratio(s):
    return -s, -sigmoid(s)


def cut(s):
    return -stop_gradient(s), -jnp.exp(s)


def one_loss(s):
    return -s


def softplus_by_where(s):
    return jnp.where(s > 30, s, jnp.log1p(jnp.exp(s)))


def softplus_with_a_kink(s):
    return jnp.maximum(s, 0) + jnp.log1p(jnp.exp(-jnp.abs(s)))


# --- repaired_losses


def sign_still_lost(logit, generator, theta, real, z):
    fake = generator(theta, z)
    return -softplus(-logit(real)).mean() - softplus(logit(fake)).mean(), softplus(-logit(fake)).mean()


def still_cut(logit, generator, theta, real, z):
    fake = stop_gradient(generator(theta, z))
    return softplus(-logit(real)).mean() + softplus(logit(fake)).mean(), softplus(-logit(fake)).mean()


def still_on_real(logit, generator, theta, real, z):
    fake = generator(theta, z)
    return softplus(-logit(real)).mean() + softplus(logit(fake)).mean(), softplus(-logit(real)).mean()


def labels_exchanged(logit, generator, theta, real, z):
    fake = generator(theta, z)
    return softplus(logit(real)).mean() + softplus(-logit(fake)).mean(), softplus(-logit(fake)).mean()


def minus_d_loss(logit, generator, theta, real, z):
    d_loss = softplus(-logit(real)).mean() + softplus(logit(generator(theta, z))).mean()
    return d_loss, -d_loss


def saturating_g(logit, generator, theta, real, z):
    fake = generator(theta, z)
    return softplus(-logit(real)).mean() + softplus(logit(fake)).mean(), -softplus(logit(fake)).mean()


def g_turned(logit, generator, theta, real, z):
    fake = generator(theta, z)
    return softplus(-logit(real)).mean() + softplus(logit(fake)).mean(), jax.nn.log_sigmoid(logit(fake)).mean()


def logs_still_naive(logit, generator, theta, real, z):
    real, fake = sigmoid(logit(real)), sigmoid(logit(generator(theta, z)))
    return -jnp.log(real).mean() - jnp.log(1 - fake).mean(), -jnp.log(fake).mean()


def repaired(logit, fake, real, on_real=softplus, on_fake=softplus, for_g=softplus):
    return on_real(-logit(real)).mean() + on_fake(logit(fake)).mean(), for_g(-logit(fake)).mean()


def naive(s):
    return -jnp.log(1 - sigmoid(s))


def naive_on_fakes(logit, generator, theta, real, z):
    return repaired(logit, generator(theta, z), real, on_fake=naive)


def naive_by_log1p(logit, generator, theta, real, z):
    return repaired(logit, generator(theta, z), real, on_fake=lambda s: -jnp.log1p(-sigmoid(s)))


def small_epsilon(logit, generator, theta, real, z):
    return repaired(logit, generator(theta, z), real, on_fake=lambda s: -jnp.log(1 - sigmoid(s) + 1e-7))


def where_on_fakes(logit, generator, theta, real, z):
    return repaired(logit, generator(theta, z), real, on_fake=softplus_by_where)


def where_for_g(logit, generator, theta, real, z):
    return repaired(logit, generator(theta, z), real, for_g=softplus_by_where)


def arguments_swapped(logit, generator, theta, real, z):
    return repaired(logit, generator(z, theta), real)


def generator_never_called(logit, generator, theta, real, z):
    return repaired(logit, theta + z, real)


def real_half_cut(logit, generator, theta, real, z):
    return repaired(logit, generator(theta, z), real, on_real=lambda s: softplus(stop_gradient(s)))


WRONG = {
    "01.optimal_discriminator": [
        (fake_probability, "probability that x is fake"),
        (odds, "That is the odds"),
        (logit_of_best, "the logit of D*"),
        (verdict, "a verdict, 0 or 1"),
        (sigmoid_of_densities, "difference of logs"),
        (share_of_mass, "Divide at each x"),
        (epsilon_below, "An ε in the denominator"),
        (difference_of_shares, "between −1 and 1"),
    ],
    "01.jsd": [
        (positive_only, "0·log 0"),
        (common_points_only, "where just one of them is 0"),
        (half_forgotten, "The ½ is missing"),
        (sum_for_mixture, "which integrates to 2"),
        (kl, "This is KL(p‖q)"),
        (symmetric_kl, "compares each with the mixture m"),
        (bits, "in bits"),
        (no_spacing, "dx is missing"),
        (square_root, "square root"),
        (in_float32, "float32 rounds them to 0"),
        (relative_entropies_in_float32, "stay there with `np`"),
        (epsilon_in_logs, "Is there an ε in a log"),
        (mean_over_grid, "a mean over the grid points"),
        (value_of_the_game, "−log 4 + 2·JSD"),
    ],
    "01.honest_bound": [
        (both_at_half_of_the_real, "half of its own"),
        (by_log_of_sigmoid, "Take V from the logits"),
        (on_what_it_learnt, "You measure on samples on which D was trained"),
        (same_half_twice, "You measure on samples on which D was trained"),
        (on_all, "You measure on all samples"),
        (fakes_not_held_back, "Your fakes are those on which D was trained"),
        (real_not_held_back, "Your real samples are those on which D was trained"),
        (larger_of_two, "the largest of several bounds"),
        (value_itself, "This is V of a D"),
        (bound_of_twice, "This bounds 2·JSD"),
        (log_2, "It is log 4, not log 2"),
        (log_d_on_fakes, "on the fakes, not log D"),
        (labels_swapped, "Your labels are swapped"),
        (one_held_back, "that few to measure on"),
        (no_training, "never called"),
        (mixed_up, "mixed up"),
    ],
    "01.frozen_logits": [
        (follows, "D* moves along with theta"),
        (all_cut, "You cut too much"),
        (fakes_cut, "You cut the wrong one"),
        (all_of_q_cut, "x is cut inside log q"),
        (ratio_inverted, "You return log q/p"),
        (at_the_noise, "You evaluate at z"),
        (probability, "leave the sigmoid out"),
        (through_the_best_d, "Stay with the logs"),
        (ratio_of_densities, "Stay with the logs"),
        (with_epsilon, "a clip or an ε holds them"),
        (one_by_one, "calls `log_p` for each one"),
        (q_at_the_noise, "You take log q at z"),
        (p_cut, "x is cut inside log p"),
    ],
    "01.divergence_losses": [
        (through_sigmoid, "no σ is needed"),
        (order_swapped, "in the wrong order"),
        (first_turned, "The sign of the first is turned"),
        (second_turned, "The sign of the second is turned"),
        (integrand_for_slope, "the *value* of KL(p‖q)"),
        (goodfellows_two, "is the saturating one"),
        (non_saturating_second, "is the non-saturating one"),
        (logit_twice, "a power of e"),
        (first_for_both, "Both of yours are for KL(q‖p)"),
        (ratio_turned_over, "The second is"),
        (averaged, "is one number"),
        (probability_for_ratio, "The second is −D"),
        (cut, "No gradient comes through the loss for KL(q‖p)"),
        (one_loss, "Return two things"),
    ],
    "01.repaired_losses": [
        (sign_still_lost, "sign lost"),
        (still_cut, "a stop_gradient still stands"),
        (still_on_real, "no gradient reaches G"),
        (labels_exchanged, "labels in d_loss are swapped"),
        (minus_d_loss, "g_loss is −d_loss"),
        (saturating_g, "it trains, but fades"),
        (g_turned, "sign of g_loss is turned"),
        (logs_still_naive, "Use softplus"),
        (naive_on_fakes, "Use softplus"),
        (naive_by_log1p, "Use softplus"),
        (small_epsilon, "hides the −inf"),
        (where_on_fakes, "a `where` computes both branches"),
        (where_for_g, "The g_loss is right, its gradient is not finite"),
        (arguments_swapped, "The order is generator(theta, z)"),
        (generator_never_called, "Your fakes are theta + z"),
        (real_half_cut, "from the real samples"),
    ],
}
