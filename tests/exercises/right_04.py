"""Right answers to the exercises of notebook 04 in other styles than the reference's."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gan_lib.nets import MLP

# --- to_pixels


def half_down(images):  # 0 lies between 127 and 128
    return np.ceil(np.clip(127.5 * (np.asarray(images, float) + 1), 0, 255) - 0.5).astype(np.uint8)


def half_added(images):
    return np.clip(127.5 * images + 128, 0, 255).astype(np.uint8)


def clipped_first(images):
    return (255 * (np.clip(images, -1, 1) + 1) / 2).round().astype("uint8")


@jax.jit
def by_jax(images):
    return jnp.clip(jnp.round(127.5 * (images + 1)), 0, 255).astype(jnp.uint8)


def interpolated(images):
    return np.uint8(np.rint(np.interp(images, [-1, 1], [0, 255])))


# --- parameters


def recursive(sizes, norm=False):
    if len(sizes) == 1:
        return 0
    here = (sizes[0] + 1) * sizes[1] + (2 * sizes[1] if norm and len(sizes) > 2 else 0)
    return here + recursive(sizes[1:], norm)


def on_the_arrays(sizes, norm=False):
    shapes = nnx.eval_shape(lambda: MLP(sizes, norm=norm, rngs=nnx.Rngs(0)))
    return sum(p.size for p in jax.tree.leaves(nnx.state(shapes, nnx.Param)))


def by_dot(widths, batch_norm=False):
    return np.dot(widths[:-1], widths[1:]) + sum(widths[1:]) + 2 * batch_norm * sum(widths[1:-1])


# --- batch_norm


def by_moments(x, scale, shift, given=None, eps=1e-5):
    mean, var = given or (x.sum(0) / len(x), jnp.maximum((x**2).mean(0) - x.mean(0) ** 2, 0))
    factor = scale * jax.lax.rsqrt(var + eps)
    return factor * x + (shift - mean * factor)


def column_by_column(x, scale, shift, statistics=None, epsilon=1e-5):
    columns = []
    for j in range(x.shape[1]):
        mean, var = (x[:, j].mean(), x[:, j].var()) if statistics is None else (s[j] for s in statistics)
        columns.append(scale[j] * (x[:, j] - mean) / (var + epsilon) ** 0.5 + shift[j])
    return jnp.stack(columns, axis=1)


def by_numpy(x, scale, shift, statistics=None, epsilon=1e-5):
    x, scale, shift = map(np.asarray, (x, scale, shift))
    mean, var = (np.mean(x, 0, keepdims=True), np.var(x, 0, keepdims=True)) if statistics is None else statistics
    return scale * (x - mean) / np.sqrt(var + epsilon) + shift


# --- generator


def by_the_library(sizes, *, rngs):
    leaky = partial(nnx.leaky_relu, negative_slope=0.2)
    return MLP(sizes, rngs=rngs, norm=True, activation=leaky, output=jnp.tanh, shape=(28, 28, 1))


def in_blocks(sizes, *, rngs):
    def block(i, o):
        norm = nnx.BatchNorm(o, momentum=0.9, rngs=rngs)
        return nnx.Sequential(nnx.Linear(i, o, rngs=rngs), norm, lambda x: jnp.maximum(x, 0.2 * x))

    last = nnx.Linear(sizes[-2], 784, rngs=rngs)
    return nnx.Sequential(*[block(*pair) for pair in pairwise(sizes[:-1])], last, jnp.tanh, images)


def images(x):
    return jnp.reshape(x, (len(x), 28, 28, 1))


class Network(nnx.Module):
    def __init__(self, sizes, *, rngs):
        self.depth = len(sizes) - 2
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            setattr(self, f"dense{i}", nnx.Linear(fan_in, fan_out, rngs=rngs))
            if i < self.depth:
                setattr(self, f"norm{i}", nnx.BatchNorm(fan_out, momentum=0.9, rngs=rngs))

    def __call__(self, x):
        for i in range(self.depth):
            x = getattr(self, f"norm{i}")(getattr(self, f"dense{i}")(x))
            x = jnp.where(x > 0, x, 0.2 * x)
        return images(jnp.tanh(getattr(self, f"dense{self.depth}")(x)))


def a_module(sizes, *, rngs):
    return Network(sizes, rngs=rngs)


# --- average


def by_recursion(average, latest, decay):
    if isinstance(average, dict):
        return {name: by_recursion(average[name], latest[name], decay) for name in average}
    if isinstance(average, list):
        return [by_recursion(a, b, decay) for a, b in zip(average, latest, strict=True)]
    return decay * average + (1 - decay) * latest


def by_optax(average, latest, decay):
    return optax.incremental_update(latest, average, 1 - decay)


def by_difference(old, new, beta):
    return jax.tree.map(lambda a, b: a + (1 - beta) * (b - a), old, new)


# --- common


def by_inner_products(images):
    flat = images.reshape(len(images), -1)
    products = flat @ flat.T
    return products.mean() / jnp.diag(products).mean()


def less_the_rest(images):
    flat = np.asarray(images, float).reshape(len(images), -1)
    return 1 - flat.var(0).sum() / (flat**2).sum(1).mean()


def as_784_numbers(batch):
    x = np.asarray(batch).reshape(len(batch), 784)
    products = x @ x.T
    return products.mean() / np.diag(products).mean()


RIGHT = {
    "04.to_pixels": [half_down, half_added, clipped_first, by_jax, interpolated],
    "04.parameters": [recursive, on_the_arrays, by_dot],
    "04.batch_norm": [by_moments, column_by_column, by_numpy],
    "04.generator": [by_the_library, in_blocks, a_module],
    "04.average": [by_recursion, by_optax, by_difference],
    "04.common": [by_inner_products, less_the_rest, as_784_numbers],
}
