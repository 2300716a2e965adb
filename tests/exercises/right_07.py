"""Right answers to the exercises of notebook 07 in other styles than the reference's."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_lib.exercises.nb07 import find_the_line


def by_mistakes(told):
    return 1 - 2 * (1 - told)


def of_one_number(told):
    return 2 * float(told) - 1


def key_split(score, draw, real, key):
    key, use = jax.random.split(key)
    return by_log_sigmoid(score, draw, real, use)


def sample_by_sample(score, draw, real, key):
    z = jax.random.normal(key, real.shape)
    return by_log_sigmoid(jax.vmap(score), lambda _: jax.vmap(draw)(z), real, key)


def one_batch(score, draw, real, key):
    n, fake = len(real), jnp.tanh(draw(jax.random.normal(jax.random.fold_in(key, 1), real.shape)))
    logits = score(jnp.concatenate([real, jax.lax.stop_gradient(fake)]))
    d_loss = jnp.logaddexp(0, jnp.where(jnp.arange(2 * n) < n, -logits, logits)).sum() / n
    return [d_loss, jnp.logaddexp(0, -score(fake)).mean(), jnp.round((fake + 1) / 2 * 255).astype(jnp.uint8)]


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


def at_once(judge, generate, d, g, real, key):
    z, stopped = jax.random.normal(jax.random.split(key)[1], real.shape), jax.lax.stop_gradient

    def total(d, g):
        fake = generate(g, z)
        of_d = jnp.logaddexp(0, -judge(d, real)).mean() + jnp.logaddexp(0, judge(d, stopped(fake))).mean()
        return of_d + jnp.logaddexp(0, -judge(stopped(d), fake)).mean()

    return *jax.grad(total, (0, 1))(d, g), generate(g, z)


def key_folded(score, draw, real, key):
    return by_optax(score, draw, real, jax.random.fold_in(key, 3))


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


def both_in_zero_to_one(score, draw, real, key):
    fake = jnp.tanh(draw(jax.random.normal(key, real.shape)))
    r, f = score(real), score((fake + 1) / 2)
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


def moments_to_six(real, fake):
    powers = lambda x: jnp.stack([(x[:, 0] ** i * x[:, 1] ** j).mean() for i in range(7) for j in range(7 - i)])
    return jnp.square(powers(real) - powers(fake)).sum()


def both_ways(real, fake):
    far = jnp.sqrt(jnp.square(real[:, None] - fake).sum(-1) + 1e-6)
    return far.min(0).mean() + far.min(1).mean()


def random_waves(real, fake):
    ways = 4 * jax.random.normal(jax.random.key(5), (2, 256))
    waves = lambda x: jnp.concatenate([jnp.cos(x @ ways), jnp.sin(x @ ways)], 1).mean(0)
    return jnp.square(waves(real) - waves(fake)).mean()


def sliced(real, fake):
    angles = jnp.linspace(0, jnp.pi, 12, endpoint=False)
    ways = jnp.stack([jnp.cos(angles), jnp.sin(angles)])
    return jnp.square(jnp.sort(real @ ways, 0) - jnp.sort(fake @ ways, 0)).mean()


def as_a_list():
    return list(find_the_line().values())


def the_choice_in_8():
    return find_the_line() | {8: 3}


RIGHT = {
    "07.best_gap": [by_mistakes, of_one_number],
    "07.program_1": [by_log_sigmoid, key_split, one_batch, sample_by_sample],
    "07.program_2": [by_vjp, at_once],
    "07.program_3": [by_optax, other_convention, key_folded],
    "07.program_4": [centred, both_in_zero_to_one],
    "07.shuffled": [column_by_column, by_numpy],
    "07.difference": [kernels, moments, sliced, random_waves, moments_to_six, both_ways],
    "07.find_the_line": [as_a_list, the_choice_in_8],
}
