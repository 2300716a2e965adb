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


WRONG = {
    "01.value": [
        (log_of_sigmoid, "σ rounds to 0 or 1"),
        (epsilon_in_log, "An ε of 1e-8 beside a 1 is rounded away"),
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
    ],
    "01.optimal_discriminator": [
        (fake_probability, "probability that x is fake"),
        (odds, "That is the odds"),
        (logit_of_best, "the logit of D*"),
        (verdict, "a verdict, 0 or 1"),
        (sigmoid_of_densities, "difference of logs"),
        (share_of_mass, "Divide at each x"),
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
    ],
    "01.frozen_logits": [
        (follows, "D* moves along with theta"),
        (all_cut, "You cut too much"),
        (fakes_cut, "You cut the wrong one"),
        (all_of_q_cut, "x is cut inside log q"),
        (ratio_inverted, "You return log q/p"),
        (at_the_noise, "You evaluate at z"),
        (probability, "leave the sigmoid out"),
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
    ],
}
