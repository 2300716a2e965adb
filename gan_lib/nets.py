"""The course's generators and discriminators, as Flax NNX modules: dense ones, pairs of convolutional ones, and labels.

Networks that are given an image are in unet.py, the residual pair in residual.py, and both are called from here, too.

`GAN` builds a network by calling a function with `rngs`, so hand it `lambda rngs: MLP((64, 128, 2), rngs=rngs)`, or
`dcgan_generator` as it is.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from gan_lib.layers import BatchSpread, Conv, ConvTranspose, Dropout, reshape
from gan_lib.residual import Residual as Residual
from gan_lib.residual import residual_discriminator as residual_discriminator
from gan_lib.residual import residual_generator as residual_generator
from gan_lib.unet import UNet as UNet
from gan_lib.unet import patch_discriminator as patch_discriminator


class MLP(nnx.Module):
    """Dense layers with an activation between them, and nothing after the last one but `output`.

    sizes: features of the input, each hidden layer, and the output, e.g. (100, 128, 256, 784).
    activation: between layers, never after the last. output: after the last layer, e.g. jnp.tanh; default none.
    norm: BatchNorm before each hidden activation. Not after the last layer: there it would fix the mean and the
        spread of every output over the batch, and no sample could say anything on its own.
    shape: shape of one result, e.g. (28, 28, 1); () turns a last layer of one feature into logits (B,).
    dtype: what it computes in, e.g. jnp.bfloat16; its weights, its last layer and its result are float32 nonetheless.

    Input (B, ...) with sizes[0] entries a sample, flattened here. Result (B, *shape).
    Raises ValueError where sizes and shape disagree, or the input does not have sizes[0] entries.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        rngs: nnx.Rngs,
        activation: Callable[[jax.Array], jax.Array] = nnx.relu,
        output: Callable[[jax.Array], jax.Array] | None = None,
        norm: bool = False,
        shape: tuple[int, ...] | None = None,
        dtype: Any = jnp.float32,
    ):
        self.sizes, self.shape = tuple(sizes), (sizes[-1],) if shape is None else tuple(shape)
        if len(sizes) < 2 or prod(self.shape) != sizes[-1]:
            raise ValueError(
                f"The last of sizes must be the number of entries of shape; got {self.sizes} and {self.shape}."
            )
        layers, types = [], [dtype] * (len(sizes) - 2) + [jnp.float32]
        for (fan_in, fan_out), kind in zip(pairwise(sizes), types, strict=True):
            layers.append(nnx.Linear(fan_in, fan_out, dtype=kind, rngs=rngs))
            if norm:
                layers.append(nnx.BatchNorm(fan_out, momentum=0.9, dtype=kind, rngs=rngs))
            layers.append(activation)
        hidden = layers[: -2 if norm else -1]  # the last layer stands alone
        self.layers = nnx.Sequential(*hidden)
        self.output = output

    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, ...) -> (B, *shape)."""
        if prod(x.shape[1:]) != self.sizes[0]:
            raise ValueError(f"This MLP takes {self.sizes[0]} entries a sample; got a batch of shape {x.shape}.")
        y = self.layers(x.reshape(len(x), -1)).reshape(len(x), *self.shape)
        return y if self.output is None else self.output(y)


def dcgan_generator(rngs, *, up=ConvTranspose, dtype=jnp.float32):
    """Latents (B, 100) -> images (B, 28, 28, 1): 7·7·256, then 5 × 5 kernels to 128, 64 and 1 channels. 2.3 million weights.

    up: the class of its transposed convolutions. dtype: as for `MLP`. The sizes of many tutorials, after Radford et al. 2016,
    section 3.
    """
    norm = partial(nnx.BatchNorm, momentum=0.99, epsilon=1e-3, dtype=dtype, rngs=rngs)
    leaky = partial(nnx.leaky_relu, negative_slope=0.3)
    up, last = _in_type(partial(up, use_bias=False, rngs=rngs), dtype)
    start = (
        nnx.Linear(100, 7 * 7 * 256, use_bias=False, dtype=dtype, rngs=rngs),
        norm(7 * 7 * 256),
        leaky,
        reshape(7, 7, 256),
    )
    same, double = (up(256, 128, 5), norm(128), leaky), (up(128, 64, 5, stride=2), norm(64), leaky)
    return nnx.Sequential(*start, *same, *double, last(64, 1, 5, stride=2), jnp.tanh)


def dcgan_discriminator(rngs, *, conv=Conv, dropout=Dropout, dtype=jnp.float32):
    """Images (B, 28, 28, 1) -> logits (B,): 5 × 5 kernels to 64 and 128 channels, dropout 0.3. The opponent.

    dtype: as for `MLP`.
    """
    leaky = partial(nnx.leaky_relu, negative_slope=0.3)
    conv, _ = _in_type(partial(conv, stride=2, rngs=rngs), dtype)
    drop = partial(dropout, 0.3, rngs=rngs)
    half, quarter = (conv(1, 64, 5), leaky, drop()), (conv(64, 128, 5), leaky, drop())
    head = nnx.Linear(7 * 7 * 128, 1, dtype=jnp.float32, rngs=rngs)
    return nnx.Sequential(*half, *quarter, reshape(-1), head, reshape())


def _in_type(layer, dtype):
    """(layer that computes in dtype, one for the last place). A class of one's own need not know of types for float32."""
    if dtype == jnp.float32:
        return layer, layer
    return partial(layer, dtype=dtype), partial(layer, dtype=jnp.float32)


SMALL = {28: (64, 32), 32: (64, 32), 64: (128, 64, 32)}  # channels of the small pair's maps, from the coarsest on


def small_generator(rngs, *, inputs=16, size=28, channels=1, dtype=jnp.float32):
    """Latents (B, inputs) -> images (B, 28, 28, 1) in (-1, 1): dense to 128 twice, to 7·7·64, then 4 × 4 kernels to 32 and 1.

    Two dense layers, since the way from a bell of latents to ten separate kinds of digits is a bent one. Chosen for
    quality per second on two cores, with `small_discriminator`: benchmarks/quality.py. size: 28; 32, from 8·8·64 on; or 64,
    from 8·8·128 on, by one layer more. channels: 1, or 3 for colours. dtype: as for `MLP`. Raises ValueError on another size.
    """
    side, widths = _small(size)
    norm, leaky = (
        partial(nnx.BatchNorm, momentum=0.9, dtype=dtype, rngs=rngs),
        partial(nnx.leaky_relu, negative_slope=0.2),
    )
    dense, up = (partial(layer, dtype=dtype, rngs=rngs) for layer in (nnx.Linear, ConvTranspose))
    plan = dense(inputs, 128), norm(128), leaky, dense(128, 128), norm(128), leaky
    flat = side * side * widths[0]
    layers = [*plan, dense(128, flat), norm(flat), leaky, reshape(side, side, widths[0])]
    for width, after in pairwise(widths):
        layers += [up(width, after, 4, stride=2), norm(after), leaky]
    return nnx.Sequential(*layers, up(widths[-1], channels, 4, stride=2, dtype=jnp.float32), jnp.tanh)


def small_discriminator(rngs, *, channels=1, spread=True, size=28, dtype=jnp.float32):
    """Images (B, size, size, channels) -> logits (B,): 4 × 4 kernels to 32 and 64 channels (64 pixels: and 128), dense to
    128, the batch's spread, dense.

    spread: False leaves the batch's spread out, as both conditional forms do. size: 28, 32 or 64, else ValueError.
    dtype: as for `MLP`; the spread is float32, too.
    """
    return nnx.Sequential(*_look(rngs, channels, size, dtype).layers, *_verdict(rngs, spread).layers)


def _small(size):
    """(side of the coarsest map, widths from it on) of the small pair."""
    if size not in SMALL:
        raise ValueError(
            f"The small pair draws 28, 32 or 64 pixels a side; got {size!r}. The residual pair draws others."
        )
    return size // 2 ** len(SMALL[size]), SMALL[size]


def _look(rngs, channels=1, size=28, dtype=jnp.float32):
    """Images (B, size, size, channels) -> features (B, 128)."""
    leaky, conv = partial(nnx.leaky_relu, negative_slope=0.2), partial(Conv, stride=2, dtype=dtype, rngs=rngs)
    (side, widths), layers = _small(size), []
    for before, width in pairwise((channels, *widths[::-1])):
        layers += [conv(before, width, 4), leaky]
    return nnx.Sequential(*layers, reshape(-1), nnx.Linear(side * side * widths[0], 128, dtype=dtype, rngs=rngs), leaky)


def _verdict(rngs, spread=False):
    """Features (B, 128) -> logits (B,), with a look at the spread of the batch or without."""
    head = partial(nnx.Linear, dtype=jnp.float32, rngs=rngs)
    look = (BatchSpread(), head(2 * 128, 1)) if spread else (head(128, 1),)
    return nnx.Sequential(*look, reshape())


def small_encoder(rngs, *, latents=16):
    """Images (B, 28, 28, 1) -> (B, 2·latents), a mean and a log-variance side by side: `small_discriminator` up to its
    verdict, then dense."""
    return nnx.Sequential(*_look(rngs).layers, nnx.Linear(128, 2 * latents, rngs=rngs))


def small_decoder(rngs, *, inputs=16):
    """Latents (B, inputs) -> logits of ink (B, 28, 28, 1): `small_generator` without its tanh. tanh(s/2) = 2σ(s) − 1."""
    return nnx.Sequential(*small_generator(rngs, inputs=inputs).layers[:-1])


class Showing(nnx.Module):
    """A discriminator cut in two, for `VAEGAN`: samples (B, ...) -> (logits (B,), what its layer `first` sees (B, F))."""

    def __init__(self, first: nnx.Module, then: nnx.Module):
        self.first, self.then = first, then

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        seen = self.first(x)
        return self.then(seen), seen.reshape(len(x), -1)


def small_showing_discriminator(rngs):
    """Images (B, 28, 28, 1) -> (logits (B,), the second convolution's 7·7·64 (B, 3136)): `small_discriminator`."""
    layers = small_discriminator(rngs).layers
    return Showing(nnx.Sequential(*layers[:5]), nnx.Sequential(*layers[5:]))


class Joined(nnx.Module):
    """A network that sees labels beside its input: as one-hot numbers, or at each pixel of an image as one-hot channels.

    net: any module whose last axis of input has room for them: a generator for latents (B, d + classes), a discriminator
    for images (B, H, W, C + classes). Its first layer then holds a vector for each class, which it adds.
    Called with x and labels: whole numbers (B,) from 0 on, or rows (B, classes) of weights, to stand between classes.
    Mirza & Osindero 2014, section 3.2.
    """

    def __init__(self, net: nnx.Module, classes: int):
        self.net, self.classes = net, classes

    def __call__(self, x: jax.Array, labels: jax.Array) -> jax.Array:
        rows = labels if labels.ndim == 2 else jax.nn.one_hot(labels, self.classes, dtype=x.dtype)
        rows = jnp.expand_dims(rows, range(1, x.ndim - 1))  # (B, 1, 1, classes) for images
        return self.net(jnp.concatenate([x, jnp.broadcast_to(rows, (*x.shape[:-1], self.classes))], axis=-1))


class Projection(nnx.Module):
    """A discriminator of pairs: logit = ψ(φ(x)) + ⟨v_y, φ(x)⟩, with a vector v_y learnt for each label y.

    look: φ, samples (B, ...) -> features (B, width). verdict: ψ, features -> logits (B,), which sees no label.
    Called with x and labels, whole numbers (B,) from 0 on; result (B,). Miyato & Koyama 2018, eq. 3.
    """

    def __init__(self, look: nnx.Module, verdict: nnx.Module, *, width: int, classes: int, rngs: nnx.Rngs):
        self.look, self.verdict = look, verdict
        vectors = nnx.initializers.normal(width**-0.5)  # of length about 1
        self.vectors = nnx.Param(vectors(rngs.params(), (classes, width), jnp.float32))

    def __call__(self, x: jax.Array, labels: jax.Array) -> jax.Array:
        features = self.look(x)
        return self.verdict(features) + (self.vectors[...][labels] * features).sum(axis=1)


def small_conditional_generator(rngs, *, classes=10, size=28, channels=1):
    """Latents (B, 16), labels (B,) -> images (B, size, size, channels): `small_generator`, the label one-hot beside them."""
    return Joined(small_generator(rngs, inputs=16 + classes, size=size, channels=channels), classes)


def small_channels_discriminator(rngs, *, classes=10, size=28, channels=1):
    """Images (B, size, size, channels), labels (B,) -> logits (B,): `small_discriminator`, the label as one-hot channels."""
    return Joined(small_discriminator(rngs, channels=channels + classes, spread=False, size=size), classes)


def small_projection_discriminator(rngs, *, classes=10, size=28, channels=1):
    """Images (B, size, size, channels), labels (B,) -> logits (B,): features of `small_discriminator`, projected."""
    return Projection(_look(rngs, channels, size), _verdict(rngs), width=128, classes=classes, rngs=rngs)
