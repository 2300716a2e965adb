"""The residual pair: a generator and a discriminator without normalisation, as deep and wide as one likes (notebook 12)."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from gan_lib.layers import Conv, double, halve, reshape


class Residual(nnx.Module):
    """x + branch(x), images (B, H, W, width) to the same; branch: 3 × 3 convolution, leaky ReLU, 3 × 3 convolution.

    The last kernel starts at 0, so that the block starts as the identity and a deep network needs no normalisation; the
    first is drawn for a leaky ReLU (He et al. 2015, eq. 15), over √depth. depth: blocks of the whole network. The other
    arguments are of `conv`. Zhang et al. 2019 (Fixup), section 3; in a GAN: Huang et al. 2024 (R3GAN), section 3, config D.
    """

    def __init__(self, width: int, *, depth: int, conv: Callable[..., nnx.Module] = Conv, **settings):
        he = nnx.initializers.variance_scaling(2 / (1 + SLOPE**2) / depth, "fan_in", "normal")
        self.first = conv(width, width, 3, init=he, **settings)
        self.last = conv(width, width, 3, init=nnx.initializers.zeros, **settings)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x + self.last(nnx.leaky_relu(self.first(x), SLOPE))


SLOPE = 0.2  # of leaky ReLUs in the residual pair
WIDTHS = 192, 96, 48


def residual_generator(rngs, *, size=28, channels=1, inputs=64, widths=WIDTHS, blocks=2, dtype=jnp.float32, conv=Conv):
    """Latents (B, inputs) -> images (B, size, size, channels), of any value: no tanh, no normalisation.

    widths: channels on each map, from the coarsest on; each has `blocks` residual blocks and twice the side of the one
    before: 7, 14 and 28 pixels as it stands. Bilinear in between. It starts as a linear map.
    dtype: what it computes in, e.g. jnp.bfloat16; its weights, its last layer and its images are float32 nonetheless.
    conv: the class of its convolutions. Raises ValueError where a size cannot be halved so often.
    After Huang et al. 2024 (R3GAN), section 3, whose blocks have three convolutions, the middle one in groups.
    """
    side, conv = _coarsest(size, widths), partial(conv, rngs=rngs)
    layers = [nnx.Linear(inputs, side * side * widths[0], dtype=dtype, rngs=rngs), reshape(side, side, widths[0])]
    for width, after in zip(widths, (*widths[1:], None), strict=True):
        layers += [Residual(width, depth=blocks * len(widths), conv=conv, dtype=dtype) for _ in range(blocks)]
        if after:
            layers += [conv(width, after, 1, use_bias=False, dtype=dtype), double]
    return nnx.Sequential(*layers, conv(widths[-1], channels, 1, dtype=jnp.float32))


def residual_discriminator(rngs, *, size=28, channels=1, widths=WIDTHS, blocks=2, dtype=jnp.float32, conv=Conv):
    """Images (B, size, size, channels) -> logits (B,), float32: the mirror image of `residual_generator`."""
    side, conv = _coarsest(size, widths), partial(conv, rngs=rngs)
    layers = [conv(channels, widths[-1], 1, dtype=dtype)]
    for width, after in zip(widths[::-1], (*widths[-2::-1], None), strict=True):
        layers += [Residual(width, depth=blocks * len(widths), conv=conv, dtype=dtype) for _ in range(blocks)]
        if after:
            layers += [halve, conv(width, after, 1, use_bias=False, dtype=dtype)]
    head = nnx.Linear(side * side * widths[0], 1, dtype=jnp.float32, rngs=rngs)
    return nnx.Sequential(*layers, reshape(-1), head, reshape())


def _coarsest(size, widths):
    """Side of the coarsest map."""
    side, rest = divmod(size, 2 ** (len(widths) - 1)) if widths else (0, 1)
    if rest or not side:
        raise ValueError(
            f"{len(widths)} widths need a size that can be halved {max(len(widths) - 1, 0)} times; got {size!r}. Fit size "
            "or widths: (192, 96, 48) for 28 and 32 pixels, (192, 96, 48, 24) for 64."
        )
    return side
