"""Right answers to the exercises of notebooks 02 and 03 in other styles than the references'."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, softplus

from gan_lib.exercises import _EXERCISES, names
from gan_lib.gan import Pair

names()  # reads them all


def by_autodiff(psi, theta, real, noise):
    in_psi = jax.grad(lambda p: softplus(-p * real).mean() + softplus(p * (theta + noise)).mean())(psi)
    return in_psi, jax.grad(lambda t: -log_sigmoid(psi * (t + noise)).mean())(theta)


def by_exp(a, b, x, n):
    y = b + n
    in_psi = jnp.mean(y / (1 + jnp.exp(-a * y))) - jnp.mean(x / (1 + jnp.exp(a * x)))
    return jnp.array([in_psi, -jnp.mean(a / (1 + jnp.exp(a * y)))])


def replaced(state, real, key, game):
    """Fields replaced, keyword arguments, a fresh z for G, and a list."""
    params, opt = state
    d_key, g_key = jax.random.split(key)
    fake = jax.lax.stop_gradient(game.generate(params.generator, game.latents(d_key, real.shape[0])))
    z = game.latents(g_key, real.shape[0])

    def d_objective(d):
        return game.d_loss(real_logits=game.judge(d, real), fake_logits=game.judge(d, fake))

    d_loss, grads = jax.value_and_grad(d_objective)(params.discriminator)
    d, d_opt = game.descend(grads, opt.discriminator, params.discriminator)

    def g_objective(g):
        return game.g_loss(real_logits=game.judge(d, real), fake_logits=game.judge(d, game.generate(g, z)))

    g_loss, grads = jax.value_and_grad(g_objective)(params.generator)
    g, g_opt = game.descend(grads, opt.generator, params.generator)
    return [
        (params._replace(generator=g, discriminator=d), Pair(discriminator=d_opt, generator=g_opt)),
        dict(g_loss=g_loss, d_loss=d_loss),
    ]


def compiled(state, real, key, game):
    return jax.jit(_EXERCISES["02.step"].reference, static_argnums=3)(state, real, key, game)


def nearest(samples, means, std):
    distances = jnp.linalg.norm(samples[:, None] - means, axis=-1)
    return distances.argmin(1), distances.min(1) <= 3 * std


def counted_one_by_one(samples, means, std):
    found, good, means = set(), 0, np.asarray(means).tolist()
    for sample in np.asarray(samples).tolist():
        distances = [math.dist(sample, mean) for mean in means]
        if min(distances) <= 3 * std:
            good += 1
            found.add(distances.index(min(distances)))
    return len(found), good / len(samples)


def hint_3(samples, means, std):
    mode, good = nearest(samples, means, std)
    modes = mode[good]
    return len(set(modes.tolist())), good.mean()


def by_unique(samples, means, std):
    mode, good = nearest(samples, means, std)
    return [jnp.unique(mode[good]).size, jnp.mean(good)]


def by_a_mask(samples, means, std):
    mode, good = nearest(samples, means, std)
    return np.array([jnp.zeros(len(means)).at[mode].max(good).sum(), good.mean()])


def by_the_gradient(generate, g, z, slope, rate):
    """Of the linear function of the fakes that has this slope."""
    grads = jax.grad(lambda g: (generate(g, z) * slope).sum())(g)
    new = jax.tree.map(lambda w, grad: w - rate * grad, g, grads)
    return generate(new, z) - generate(g, z)


def one_by_one(weights, n):
    return sum(1 - (1 - float(w)) ** n for w in weights)


def bisected(d_fake, modes):
    low, high = 0.0, 10.0 * modes
    for _ in range(60):
        k = (low + high) / 2
        low, high = (k, high) if k / (k + modes) < d_fake else (low, k)
    return k


def array_step(field, theta, psi, rate, alternating):
    new = psi + rate * field(theta, psi)[1]
    return np.array([theta + rate * field(theta, new if alternating else psi)[0], new])


def jacobian_of(field, e):
    points = e * np.eye(2)
    return np.transpose([np.subtract(field(*point), field(*-point)) / (2 * e) for point in points])


def by_formula(field):
    jacobian = jacobian_of(field, 1e-6)
    mean = np.trace(jacobian) / 2
    root = np.emath.sqrt(mean**2 - np.linalg.det(jacobian))
    return np.array([mean + root, mean - root])


def forward_differences(field):
    return np.linalg.eigvals(np.transpose([np.divide(field(*point), 1e-7) for point in 1e-7 * np.eye(2)]))


def searched(eigenvalues):
    """By bisection of the largest factor."""
    low, high = 0.0, 100.0
    for _ in range(60):
        h = (low + high) / 2
        low, high = (h, high) if abs(1 + h * eigenvalues).max() < 1 else (low, h)
    return low if low > 1e-9 else 0.0


def one_at_a_time(eigenvalues):
    bounds = [-2 * np.real(lam) / abs(lam) ** 2 for lam in eigenvalues]
    return 0.0 if any(bound <= 0 for bound in bounds) else min(bounds)


def step_by_step(g_rate, d_rate, k, gamma):
    """What two players do, from (1, 0) and from (0, 1)."""
    columns = []
    for theta, psi in ((1.0, 0.0), (0.0, 1.0)):
        for _ in range(k):
            psi = psi - d_rate * (theta / 2 + gamma * psi)
        columns.append([theta + g_rate * psi / 2, psi])
    return np.transpose(columns)


def in_closed_form(g_rate, d_rate, k, gamma):
    kept = (1 - d_rate * gamma) ** k
    pushed = -d_rate / 2 * sum((1 - d_rate * gamma) ** i for i in range(k))
    return jnp.array([[1 + g_rate / 2 * pushed, g_rate / 2 * kept], [pushed, kept]])


def slopes_of(critic, real):
    return jax.grad(lambda x: critic(x).sum())(real)


def by_vmap(critic, real):
    return jax.vmap(lambda x: (jax.grad(lambda x: critic(x[None])[0])(x) ** 2).sum())(real).mean()


def by_vjp(critic, real):
    logits, pull_back = jax.vjp(critic, real)
    return (pull_back(jnp.ones_like(logits))[0] ** 2).sum() / len(real)


def by_jacobian(critic, real):
    slopes = jnp.einsum("bb...->b...", jax.jacrev(critic)(real))
    return jnp.mean(jnp.sum(slopes.reshape(len(real), -1) ** 2, axis=1))


RIGHT = {
    "02.slopes": [by_autodiff, by_exp, lambda *inputs: list(by_exp(*inputs)), jax.jit(by_autodiff)],
    "02.step": [replaced, compiled],
    "02.coverage": [counted_one_by_one, hint_3, by_unique, by_a_mask],
    "02.by_chance": [
        one_by_one,
        lambda weights, n: len(weights) - ((1 - weights) ** n).sum(),
        lambda weights, n: -np.expm1(n * np.log1p(-np.minimum(np.float64(weights), 1 - 1e-12))).sum(),
    ],
    "02.moved": [by_the_gradient, jax.jit(by_the_gradient, static_argnums=0)],
    "02.modes_left": [
        bisected,
        lambda d, modes: modes / (1 / d - 1),
        lambda d, modes: np.roots([d - 1, d * modes])[0],
        lambda d, modes: jnp.asarray(modes * d / (1 - d)),
    ],
    "03.step": [array_step, lambda *inputs: list(array_step(*inputs)), lambda *inputs: jnp.array(array_step(*inputs))],
    "03.eigenvalues": [
        by_formula,
        forward_differences,
        lambda field: np.linalg.eig(jacobian_of(field, 1e-4)).eigenvalues,
        lambda field: jnp.asarray(np.linalg.eigvals(jacobian_of(field, 1e-7).T)),
        lambda field: np.roots(np.poly(jacobian_of(field, 1e-5))),
    ],
    "03.largest_step": [searched, one_at_a_time, lambda lam: np.maximum((-2 * lam.real / abs(lam) ** 2).min(), 0)],
    "03.one_round": [step_by_step, in_closed_form, lambda *inputs: step_by_step(*inputs).tolist()],
    "03.squared_slope": [
        by_vmap,
        by_vjp,
        by_jacobian,
        lambda critic, real: (slopes_of(critic, real) ** 2).sum() / real.shape[0],
    ],
}
