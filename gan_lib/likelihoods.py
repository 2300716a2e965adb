"""What a decoder says of a sample: p(x|z), for pixels and for points.

`log_prob` sums over the entries of a sample, in nats. A squared error or a mean over pixels is none, and cannot stand beside
a KL: how much they weigh is then an accident of the image's size.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import sigmoid, softplus


class Likelihood(NamedTuple):
    """p(x|z), by what the decoder returns for z ("out").

    log_prob: (x (B, ...), out) -> nats (B,). mean: out -> (B, ...). draw: (key, out) -> (B, ...), samples of p(x|z).
    reach: lowest and highest value of x.
    """

    log_prob: Callable[[jax.Array, jax.Array], jax.Array]
    mean: Callable[[jax.Array], jax.Array]
    draw: Callable[[jax.Array, jax.Array], jax.Array]
    reach: tuple[float, float] = (-math.inf, math.inf)


def per_sample(x):
    """Sums over all entries of each sample: (B, ...) -> (B,)."""
    return x.reshape(len(x), -1).sum(axis=1)


# Grey is the chance of ink, (x + 1)/2; out: its logits, shaped like x. Linear in x, so this is the mean log-probability of
# images whose pixels are tossed black or white with those chances: a bound on it is a bound for such images, in nats.
bernoulli = Likelihood(
    log_prob=lambda x, out: per_sample((x + 1) / 2 * out - softplus(out)),
    mean=lambda out: jnp.tanh(out / 2),  # 2σ(s) − 1
    draw=lambda key, out: 2.0 * jax.random.bernoulli(key, sigmoid(out)) - 1,
    reach=(-1, 1),
)


def _log_normal(x, out):
    mean, log_deviation = out[:, :-1], out[:, -1:]
    return per_sample(-0.5 * ((x - mean) * jnp.exp(-log_deviation)) ** 2 - log_deviation - 0.5 * math.log(2 * math.pi))


# Points (B, D); out (B, D + 1): their mean, and the logarithm of one deviation for all directions, learnt for each z.
gaussian = Likelihood(
    log_prob=_log_normal,
    mean=lambda out: out[:, :-1],
    draw=lambda key, out: out[:, :-1] + jnp.exp(out[:, -1:]) * jax.random.normal(key, out[:, :-1].shape),
)
