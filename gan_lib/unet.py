"""Networks that are given an image: a U-Net that draws another one, and a discriminator that judges pairs patch by patch.

Isola et al. 2017 (pix2pix), in the small. For `GAN(..., given=(28, 28, 1))`, with `losses.per_patch` and `losses.L1`.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from gan_lib.layers import Conv, ConvTranspose

leaky = partial(nnx.leaky_relu, negative_slope=0.2)


class UNet(nnx.Module):
    """Latents (B, inputs), images (B, size, size, given) -> images (B, size, size, channels) in (-1, 1).

    widths: channels on each map, from the coarsest on. On the way down, each map has half the side of the one before; on the
    way up, each is joined with the map of its size from the way down, so that what need not change need not pass through
    the narrow middle: `middle` dense units, beside which the latents go in.
    Raises ValueError where size cannot be halved so often. Ronneberger et al. 2015, figure 1; Isola et al. 2017, section 3.2.1.
    """

    def __init__(
        self,
        *,
        rngs: nnx.Rngs,
        size: int = 28,
        channels: int = 1,
        given: int = 1,
        inputs: int = 16,
        widths: Sequence[int] = (64, 32),
        middle: int = 128,
    ):
        self.side, rest = divmod(size, 2 ** len(widths))
        if rest or not self.side:
            raise ValueError(
                f"{len(widths)} widths need a size that can be halved {len(widths)} times; got {size!r}. Fit size or widths: "
                "(64, 32) for 28 and 32 pixels, (128, 64, 32) for 64."
            )
        norm = partial(nnx.BatchNorm, momentum=0.9, rngs=rngs)
        down, wide = [], given
        for i, width in enumerate(widths[::-1]):
            conv = Conv(wide, width, 4, stride=2, rngs=rngs)
            down.append(nnx.Sequential(conv, leaky) if i == 0 else nnx.Sequential(conv, norm(width), leaky))
            wide = width
        flat, up = self.side**2 * wide, []
        self.inward = nnx.Sequential(nnx.Linear(flat + inputs, middle, rngs=rngs), norm(middle), leaky)
        self.outward = nnx.Sequential(nnx.Linear(middle, flat, rngs=rngs), norm(flat), leaky)
        for width, after in zip(widths, (*widths[1:], channels), strict=True):
            conv = ConvTranspose(2 * width, after, 4, stride=2, rngs=rngs)
            up.append(nnx.Sequential(conv, norm(after), leaky) if len(up) < len(widths) - 1 else conv)
        self.down, self.up = nnx.data(down), nnx.data(up)

    def __call__(self, z: jax.Array, image: jax.Array) -> jax.Array:
        x, maps = image, []
        for layer in self.down:
            x = layer(x)
            maps.append(x)
        middle = self.inward(jnp.concatenate([x.reshape(len(x), -1), z], axis=1))
        x = self.outward(middle).reshape(x.shape)
        for layer, beside in zip(self.up, maps[::-1], strict=True):
            x = layer(jnp.concatenate([x, beside], axis=-1))
        return jnp.tanh(x)


class Beside(nnx.Module):
    """A discriminator of pairs: samples (B, H, W, C) and images (B, H, W, D) go into `net` as one, (B, H, W, C + D)."""

    def __init__(self, net: nnx.Module):
        self.net = net

    def __call__(self, x: jax.Array, image: jax.Array) -> jax.Array:
        return self.net(jnp.concatenate([x, image], axis=-1))


def patch_discriminator(rngs, *, channels=1, given=1, widths=(32, 64)):
    """Samples (B, H, W, channels), images (B, H, W, given) -> (B, P): a logit for each patch, of any size of image.

    4 × 4 kernels with stride 2 to each of `widths`, then a 3 × 3 kernel to one channel. With two widths a logit sees
    18 × 18 pixels, and P = H·W/16. Needs losses.per_patch. Isola et al. 2017, section 3.2.2.
    """
    layers, wide = [], channels + given
    for width in widths:
        layers += [Conv(wide, width, 4, stride=2, rngs=rngs), leaky]
        wide = width
    return Beside(nnx.Sequential(*layers, Conv(wide, 1, 3, rngs=rngs), lambda x: x.reshape(len(x), -1)))
