"""Wrong answers to the exercises of notebook 01, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jax.nn import sigmoid, softplus

# --- value


def log_of_sigmoid(real_logits, fake_logits):
    return jnp.log(sigmoid(real_logits)).mean() + jnp.log(1 - sigmoid(fake_logits)).mean()


def epsilon_in_log(real_logits, fake_logits):
    return jnp.log(sigmoid(real_logits) + 1e-8).mean() + jnp.log(1 - sigmoid(fake_logits) + 1e-8).mean()


def loss_of_d(real_logits, fake_logits):
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def labels_swapped(real_logits, fake_logits):
    return -softplus(real_logits).mean() - softplus(-fake_logits).mean()


def log_d_twice(real_logits, fake_logits):
    return -softplus(-real_logits).mean() - softplus(-fake_logits).mean()


def logits_for_probabilities(real_logits, fake_logits):
    return jnp.log(real_logits).mean() + jnp.log(1 - fake_logits).mean()


def averaged_halves(real_logits, fake_logits):
    return -(softplus(-real_logits).mean() + softplus(fake_logits).mean()) / 2


def summed_batch(real_logits, fake_logits):
    return -softplus(-real_logits).sum() - softplus(fake_logits).sum()


def one_mean(real_logits, fake_logits):
    return -jnp.concatenate([softplus(-real_logits), softplus(fake_logits)]).mean()


def no_mean(real_logits, fake_logits):
    return -softplus(-real_logits) - softplus(fake_logits)


def pairs_averaged(real_logits, fake_logits):
    return (-softplus(-real_logits) - softplus(fake_logits)).mean()


def real_half_turned(real_logits, fake_logits):
    return softplus(-real_logits).mean() - softplus(fake_logits).mean()


def fakes_forgotten(real_logits, fake_logits):
    return -softplus(-real_logits).mean()


def softplus_by_where(s):
    return jnp.where(s > 30, s, jnp.log1p(jnp.exp(s)))


def softplus_with_a_kink(s):
    return jnp.maximum(s, 0) + jnp.log1p(jnp.exp(-jnp.abs(s)))


def nan_in_the_slope(real_logits, fake_logits):
    return -softplus_by_where(-real_logits).mean() - softplus_by_where(fake_logits).mean()


def no_slope_at_zero(real_logits, fake_logits):
    return -softplus_with_a_kink(-real_logits).mean() - softplus_with_a_kink(fake_logits).mean()


def number_taken_out(real_logits, fake_logits):
    return float(-softplus(-real_logits).mean() - softplus(fake_logits).mean())


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


# --- generator_losses


def order_swapped(fake_logits):
    return softplus(-fake_logits).mean(), -softplus(fake_logits).mean()


def saturating_sign(fake_logits):
    return softplus(fake_logits).mean(), softplus(-fake_logits).mean()


def helps_d(fake_logits):
    return -softplus(fake_logits).mean(), -softplus(-fake_logits).mean()


def negated_minimax(fake_logits):
    return -softplus(fake_logits).mean(), softplus(fake_logits).mean()


def naive_logs(fake_logits):
    return jnp.log(1 - sigmoid(fake_logits)).mean(), -jnp.log(sigmoid(fake_logits)).mean()


def clipped(fake_logits):
    d = jnp.clip(sigmoid(fake_logits), 1e-7, 1 - 1e-7)
    return jnp.log(1 - d).mean(), -jnp.log(d).mean()


def one_only(fake_logits):
    return softplus(-fake_logits).mean()


def cut(fake_logits):
    fake_logits = stop_gradient(fake_logits)
    return -softplus(fake_logits).mean(), softplus(-fake_logits).mean()


def saturating_by_where(fake_logits):
    return -softplus_by_where(fake_logits).mean(), softplus(-fake_logits).mean()


def other_by_where(fake_logits):
    return -softplus(fake_logits).mean(), softplus_by_where(-fake_logits).mean()


def other_with_a_kink(fake_logits):
    return -softplus(fake_logits).mean(), softplus_with_a_kink(-fake_logits).mean()


def logits_averaged(fake_logits):
    return -softplus(fake_logits.mean()), softplus(-fake_logits.mean())


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
    "01.value": [
        (log_of_sigmoid, "σ rounds to 0 or 1"),
        (epsilon_in_log, " ε "),  # gone in rounding, or not: that depends on jaxlib
        (loss_of_d, "the loss D minimises"),
        (labels_swapped, "labels are swapped"),
        (log_d_twice, "V has E[log(1−D(G(z)))]"),
        (logits_for_probabilities, "log of a logit"),
        (averaged_halves, "average the two halves"),
        (summed_batch, "sum over the batch"),
        (one_mean, "average the two halves"),
        (no_mean, "the means are missing"),
        (pairs_averaged, "do not pair up"),
        (real_half_turned, "sign of the real half is turned"),
        (fakes_forgotten, "term on the fakes is missing"),
        (nan_in_the_slope, "a `where` computes both branches"),
        (no_slope_at_zero, "At a logit of exactly 0"),
        (number_taken_out, "where D climbs it"),
    ],
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
    "01.generator_losses": [
        (order_swapped, "in the wrong order"),
        (saturating_sign, "sign of your saturating loss is turned"),
        (helps_d, "helps D reject fakes"),
        (negated_minimax, "It needs log D"),
        (naive_logs, "σ rounds to 0 or 1"),
        (clipped, "hides the −inf"),
        (one_only, "Return two things"),
        (cut, "no gradient reaches the logits"),
        (saturating_by_where, "The saturating loss is right, its gradient is not finite"),
        (other_by_where, "The non-saturating loss is right, its gradient is not finite"),
        (other_with_a_kink, "At a logit of exactly 0"),
        (logits_averaged, "You average the logits"),
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
