"""The course's generators and discriminators, as Flax NNX modules. So far: dense networks.

`GAN` builds a network by calling a function with `rngs`, so hand it `lambda rngs: MLP((64, 128, 2), rngs=rngs)`.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import jax
from flax import nnx


class MLP(nnx.Module):
    """Dense layers with an activation between them, and nothing after the last one but `output`.

    sizes: features of the input, each hidden layer, and the output, e.g. (100, 128, 256, 784).
    activation: between layers, never after the last. output: after the last layer, e.g. jnp.tanh; default none.
    norm: BatchNorm before each hidden activation. Not after the last layer: there it would fix the mean and the
        spread of every output over the batch, and no sample could say anything on its own.
    shape: shape of one result, e.g. (28, 28, 1); () turns a last layer of one feature into logits (B,).

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
    ):
        self.sizes, self.shape = tuple(sizes), (sizes[-1],) if shape is None else tuple(shape)
        if len(sizes) < 2 or prod(self.shape) != sizes[-1]:
            raise ValueError(
                f"The last of sizes must be the number of entries of shape; got {self.sizes} and {self.shape}."
            )
        layers = []
        for fan_in, fan_out in pairwise(sizes):
            layers.append(nnx.Linear(fan_in, fan_out, rngs=rngs))
            if norm:
                layers.append(nnx.BatchNorm(fan_out, momentum=0.9, rngs=rngs))
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
