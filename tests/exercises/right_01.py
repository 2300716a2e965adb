"""Right answers to the exercises of notebook 01 in other styles than the reference's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.lax import stop_gradient
from jax.nn import log_sigmoid, sigmoid, softplus

# --- value


def by_log_sigmoid(real, fake):
    return log_sigmoid(real).mean() + log_sigmoid(-fake).mean()


def by_cross_entropy(real, fake):
    loss = optax.sigmoid_binary_cross_entropy
    return -loss(real, jnp.ones_like(real)).mean() - loss(fake, jnp.zeros_like(fake)).mean()


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


# --- generator_losses


def stacked(fake_logits):
    return jnp.stack([log_sigmoid(-fake_logits).mean(), -log_sigmoid(fake_logits).mean()])


def as_a_list(fake_logits):
    return [-softplus(fake_logits).mean(), (softplus(fake_logits) - fake_logits).mean()]


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
    "01.value": [by_log_sigmoid, by_cross_entropy],
    "01.optimal_discriminator": [turned_over, from_the_logit],
    "01.jsd": [by_trapezoid, by_entropies, skipping_nan, summed_by_jax],
    "01.generator_losses": [stacked, as_a_list],
    "01.frozen_logits": [frozen_first, with_its_own_rule],
    "01.repaired_losses": [cut_in_d_alone, with_labels],
}
