"""Right answers to the exercises of notebook 12 in other styles than the reference's."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, sigmoid, softplus

from gan_lib import losses, penalties

# --- pairing


def by_log_sigmoid(real_logits, fake_logits):
    return -log_sigmoid(real_logits - fake_logits).mean(), -log_sigmoid(fake_logits - real_logits).mean()


def by_the_library(real_logits, fake_logits):
    loss = losses.relativistic
    return loss.discriminator(real_logits, fake_logits), loss.generator(real_logits, fake_logits)


def by_logaddexp(real_logits, fake_logits):
    gap = fake_logits - real_logits
    return tuple(jnp.logaddexp(0, sign * gap).mean() for sign in (1, -1))


def real_constant_for_g(real_logits, fake_logits):
    of_g = softplus(jax.lax.stop_gradient(real_logits) - fake_logits)
    return [softplus(fake_logits - real_logits).mean(), of_g.mean()]


# --- pair_jsd


def pair_by_pair(p, q):
    total = 0.0
    for i in range(len(p)):
        for j in range(len(p)):
            a, b = float(p[i] * q[j]), float(q[i] * p[j])
            total += a * np.log(2 * a / (a + b)) if a else 0.0
    return jnp.float32(total)


def both_halves(p, q):
    joint = jnp.outer(p, q)
    m = (joint + joint.T) / 2
    kl = lambda a: jnp.where(a > 0, a * jnp.log(jnp.where(a > 0, a, 1) / jnp.where(m > 0, m, 1)), 0).sum()
    return kl(joint) / 2 + kl(joint.T) / 2


def by_the_best_critic(p, q):
    joint = jnp.outer(p, q)
    share = joint / jnp.where(joint + joint.T > 0, joint + joint.T, 1)
    return jnp.log(2.0) + jax.scipy.special.xlogy(joint, share).sum()


def by_entropies(p, q):
    entropy = lambda x: jax.scipy.special.entr(x).sum()
    joint = jnp.outer(p, q)
    return entropy((joint + joint.T) / 2) - entropy(p) - entropy(q)


def by_softplus_of_gaps(p, q):
    both = (p > 0) & (q > 0)
    h = jnp.where(both, jnp.log(jnp.where(both, p, 1) / jnp.where(both, q, 1)), jnp.where(p > 0, 1e9, -1e9))
    return jnp.log(2) - (jnp.outer(p, q) * softplus(h - h[:, None])).sum()


# --- dirac_eigenvalues


def by_the_matrix(s, r1, r2):
    return jnp.linalg.eigvals(jnp.array([[0.0, -s], [s, -(r1 + r2)]]))


def by_numpy(s, r1, r2):
    return np.linalg.eigvals([[0, -s], [s, -r1 - r2]])


def by_the_polynomial(s, r1, r2):
    return np.roots([1, r1 + r2, s**2])


def other_order(s, r1, r2):
    gamma = r1 + r2
    root = jnp.sqrt(jnp.asarray(gamma**2 - 4 * s**2, complex)) / 2
    return jnp.array([-gamma / 2 + root, -gamma / 2 - root])


# --- who_pays


def with_the_library(generator, critic, g, d, z, real, gamma):
    fake = generator(g, z)

    def d_loss(d):
        judge = lambda x: critic(d, x)
        both = penalties.ZeroCentred(gamma, gamma)(judge, real, fake, key=None)
        return losses.relativistic.discriminator(judge(real), judge(fake)) + both

    def g_loss(g):
        return losses.relativistic.generator(critic(d, real), critic(d, generator(g, z)))

    return jax.grad(d_loss)(d), jax.grad(g_loss)(g)


def by_one_scalar(generator, critic, g, d, z, real, gamma):
    stop = jax.lax.stop_gradient

    def total(d, g):
        fake = generator(g, z)
        slope = lambda x: jnp.sum(jax.grad(lambda x: critic(d, x).sum())(x) ** 2) / len(x)
        of_d = softplus(critic(d, stop(fake)) - critic(d, real)).mean() + gamma / 2 * (slope(real) + slope(stop(fake)))
        return of_d + softplus(critic(stop(d), real) - critic(stop(d), fake)).mean()

    return list(jax.grad(total, argnums=(0, 1))(d, g))


def cut_where_it_does_no_harm(generator, critic, g, d, z, real, gamma):
    def slopes(d, x):
        one = jax.vmap(jax.grad(lambda row: critic(d, row[None])[0]))(x)
        return jnp.sum(one**2, axis=-1)

    def d_loss(d):
        fake = jax.lax.stop_gradient(generator(g, z))
        gap = critic(d, fake) - critic(d, real)
        return jnp.mean(softplus(gap) + gamma / 2 * (slopes(d, real) + slopes(d, fake)))

    def g_loss(g):
        return jnp.mean(softplus(jax.lax.stop_gradient(critic(d, real)) - critic(d, generator(g, z))))

    return jax.grad(d_loss)(d), jax.grad(g_loss)(g)


# --- gamma_for


def by_exp(slope, distance):
    return distance / (2 * slope * (1 + jnp.exp(slope * distance)))


def by_differentiation(slope, distance):
    push = jax.grad(lambda psi: softplus(-psi * distance))(float(slope))
    return -push / (2 * slope)


def in_pythons_floats(slope, distance):
    return float(distance * sigmoid(-slope * distance)) / (2 * slope)


# --- branch_grads


def by_grad(x, first, last, up):
    def total(first, last):
        return (up * (x + jax.nn.leaky_relu(x @ first, 0.2) @ last)).sum()

    return jax.grad(total, argnums=(0, 1))(first, last)


def by_vjp(x, first, last, up):
    _, back = jax.vjp(lambda a, b: x + jax.nn.leaky_relu(x @ a, 0.2) @ b, first, last)
    return back(up)


def sample_by_sample(x, first, last, up):
    of_first, of_last = jnp.zeros_like(first), jnp.zeros_like(last)
    for row, back in zip(x, up, strict=True):
        h = row @ first
        of_first += jnp.outer(row, (last @ back) * (0.6 + 0.4 * jnp.sign(h)))
        of_last += jnp.outer(jnp.maximum(h, 0.2 * h), back)
    return [of_first, of_last]


def by_einsum(x, first, last, up):
    before = x @ first
    act, gate = jax.nn.leaky_relu(before, 0.2), jnp.where(before > 0, 1, 0.2)
    return jnp.einsum("bi,bh,bo,ho->ih", x, gate, up, last), jnp.einsum("bh,bo->ho", act, up)


RIGHT = {
    "12.pairing": [by_log_sigmoid, by_the_library, by_logaddexp, real_constant_for_g],
    "12.pair_jsd": [pair_by_pair, both_halves, by_the_best_critic, by_entropies, by_softplus_of_gaps],
    "12.dirac_eigenvalues": [by_the_matrix, by_numpy, by_the_polynomial, other_order],
    "12.who_pays": [with_the_library, cut_where_it_does_no_harm, by_one_scalar],
    "12.gamma_for": [by_exp, by_differentiation, in_pythons_floats],
    "12.branch_grads": [by_grad, by_vjp, by_einsum, sample_by_sample],
}
