"""Right answers to the exercises of notebook 07 in other styles than the reference's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_lib.exercises.nb07 import find_the_line


def by_mistakes(told):
    return 1 - 2 * (1 - told)


def by_log_sigmoid(score, draw, real, key):
    fake = jnp.tanh(draw(jax.random.normal(key, (real.shape[0], 2))))
    d_loss = -jnp.mean(jax.nn.log_sigmoid(score(real))) - jnp.mean(jax.nn.log_sigmoid(-score(fake)))
    return d_loss, -jnp.mean(jax.nn.log_sigmoid(score(fake))), (255 * (fake + 1) / 2).astype("uint8")


def by_vjp(judge, generate, d, g, real, key):
    z = jax.random.normal(key, (len(real), 2))
    fake, back = jax.vjp(lambda g: generate(g, z), g)
    slope = jax.grad(lambda x: jnp.logaddexp(0, -judge(d, x)).mean())(fake)
    parts = [
        jax.grad(lambda d, x=x, s=s: jnp.logaddexp(0, s * judge(d, x)).mean())(d) for x, s in ((real, -1), (fake, 1))
    ]
    return jax.tree.map(lambda a, b: a + b, *parts), back(slope)[0], fake


def by_optax(score, draw, real, key):
    fake = draw(jax.random.normal(key, real.shape))
    cost = optax.sigmoid_binary_cross_entropy
    r, f = score(real), score(fake)
    d_loss = cost(r, jnp.ones_like(r)).mean() + cost(f, jnp.zeros_like(f)).mean()
    return d_loss, cost(f, jnp.ones_like(f)).mean(), fake


def other_convention(score, draw, real, key):
    fake = draw(jax.random.normal(key, real.shape))
    r, f = score(real), score(fake)
    return jax.nn.softplus(r).mean() + jax.nn.softplus(-f).mean(), jax.nn.softplus(f).mean(), fake


def centred(score, draw, real, key):
    fake = jnp.tanh(draw(jax.random.normal(key, real.shape)))
    r, f = score((real - 0.5) / 0.5), score(fake)
    return jax.nn.softplus(-r).mean() + jax.nn.softplus(f).mean(), jax.nn.softplus(-f).mean(), fake


def column_by_column(x, key):
    keys = jax.random.split(key, x.shape[1])
    return jnp.stack([jax.random.permutation(k, column) for k, column in zip(keys, x.T, strict=True)], axis=1)


def by_numpy(x, key):
    seed = int(np.asarray(jax.random.key_data(key)).sum())
    return jnp.asarray(np.random.default_rng(seed).permuted(np.asarray(x), axis=0))


def kernels(real, fake):
    def alike(x, y):
        squares = jnp.square(x[:, None] - y).sum(-1)
        return sum(jnp.exp(-squares / (2 * s**2)).mean() for s in (0.2, 0.5, 1.0))

    return alike(real, real) + alike(fake, fake) - 2 * alike(real, fake)


def moments(real, fake):
    def features(x):
        pairs = [x[:, i] * x[:, j] for i in range(2) for j in range(i, 2)]
        return jnp.stack([*x.T, *pairs], 1).mean(0)

    return jnp.square(features(real) - features(fake)).sum()


def sliced(real, fake):
    angles = jnp.linspace(0, jnp.pi, 12, endpoint=False)
    ways = jnp.stack([jnp.cos(angles), jnp.sin(angles)])
    return jnp.square(jnp.sort(real @ ways, 0) - jnp.sort(fake @ ways, 0)).mean()


def as_a_list():
    return list(find_the_line().values())


RIGHT = {
    "07.best_gap": [by_mistakes],
    "07.program_1": [by_log_sigmoid],
    "07.program_2": [by_vjp],
    "07.program_3": [by_optax, other_convention],
    "07.program_4": [centred],
    "07.shuffled": [column_by_column, by_numpy],
    "07.difference": [kernels, moments, sliced],
    "07.find_the_line": [as_a_list],
}
