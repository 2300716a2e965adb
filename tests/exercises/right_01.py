"""Right answers to the exercises of notebook 01 in other styles than the reference's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.lax import stop_gradient
from jax.nn import log_sigmoid, sigmoid, softplus

# --- optimal_discriminator


def turned_over(p, q):
    return 1 / (1 + q / p)


def from_the_logit(p, q):
    return sigmoid(np.log(p) - np.log(q))


# --- jsd


def integrand(a, b):
    return np.where(a > 0, a * np.log(np.where(a > 0, a, 1) / np.where(a > 0, b, 1)), 0)


def by_trapezoid(p, q, dx):
    m = (p + q) / 2
    return np.trapezoid(integrand(p, m) + integrand(q, m), dx=dx) / 2


def by_entropies(p, q, dx):
    def entropy(a):
        return -integrand(a, np.ones_like(a)).sum() * dx

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2


def skipping_nan(p, q, dx):
    m = (p + q) / 2
    return dx * (np.nansum(p * np.log(p / m)) + np.nansum(q * np.log(q / m))) / 2


def summed_by_jax(p, q, dx):
    m = (p + q) / 2
    return (jnp.asarray(integrand(p, m)) + jnp.asarray(integrand(q, m))).sum() * dx / 2


# --- honest_bound


def every_second(train, real, fake):
    d = train(real[::2], fake[::2])
    return float(log_sigmoid(d(real[1::2])).mean() + log_sigmoid(-d(fake[1::2])).mean() + np.log(4)) / 2


def never_below_0(train, real, fake):
    n, m = 3 * len(real) // 4, 3 * len(fake) // 4
    d = train(real[:n], fake[:m])
    v = -softplus(-d(real[n:])).mean() - softplus(d(fake[m:])).mean()
    return jnp.maximum(0.0, v / 2 + np.log(2))


def picked_by_others(train, real, fake):
    real, fake = (jnp.array_split(x, 4) for x in (real, fake))
    ds = train(real[0], fake[0]), train(real[1], fake[1])
    worth = lambda d, i: (log_sigmoid(d(real[i])).mean() + log_sigmoid(-d(fake[i])).mean() + jnp.log(4)) / 2
    return worth(max(ds, key=lambda d: worth(d, 2)), 3)


def each_half_once(train, real, fake):
    (a, b), (c, d) = ((x[: len(x) // 2], x[len(x) // 2 :]) for x in (real, fake))
    values = []
    for learn_real, learn_fake, new_real, new_fake in ((a, c, b, d), (b, d, a, c)):
        s = train(learn_real, learn_fake)
        values.append(log_sigmoid(s(new_real)).mean() + log_sigmoid(-s(new_fake)).mean())
    return (sum(values) / 2 + jnp.log(4.0)) / 2


# --- frozen_logits


def frozen_first(theta, z, log_p, log_q):
    frozen = stop_gradient(theta)

    def logit(x):
        return log_p(x) - log_q(x, frozen)

    return logit(theta + z)


@jax.custom_vjp
def detached(x):
    return x


detached.defvjp(lambda x: (x, None), lambda _, slope: (jnp.zeros_like(slope),))


def with_its_own_rule(theta, z, log_p, log_q):
    return log_p(theta + z) - log_q(theta + z, detached(theta))


# --- divergence_losses


def from_both_losses(s):
    return softplus(-s) - softplus(s), -jnp.exp(s)


def with_constants(s):
    return jnp.stack([1 - s, 1 - jnp.exp(s)])


def from_logs_of_d(s):
    log_d, log_not = log_sigmoid(s), log_sigmoid(-s)
    return [log_not - log_d, -jnp.exp(log_d - log_not)]


# --- repaired_losses


def cut_in_d_alone(logit, generator, theta, real, z):
    fake = generator(theta, z)
    d_loss = softplus(-logit(real)).mean() + softplus(logit(stop_gradient(fake))).mean()
    return jnp.stack([d_loss, softplus(-logit(fake)).mean()])


def with_labels(logit, generator, theta, real, z):
    loss, fake = optax.sigmoid_binary_cross_entropy, logit(generator(theta, z))
    d_loss = loss(logit(real), jnp.ones(len(real))).mean() + loss(fake, jnp.zeros(len(z))).mean()
    return [d_loss, loss(fake, jnp.ones(len(z))).mean()]


RIGHT = {
    "01.optimal_discriminator": [turned_over, from_the_logit],
    "01.jsd": [by_trapezoid, by_entropies, skipping_nan, summed_by_jax],
    "01.honest_bound": [every_second, never_below_0, each_half_once, picked_by_others],
    "01.frozen_logits": [frozen_first, with_its_own_rule],
    "01.divergence_losses": [from_both_losses, with_constants, from_logs_of_d],
    "01.repaired_losses": [cut_in_d_alone, with_labels],
}
