"""What does a transposed convolution cost, in which form? Prints milliseconds: forward, input gradient, weight gradient.

    python benchmarks/layers.py [--batch 128] [--repeats 7]

The maps are those of the tutorials' DCGAN, kernels 5 × 5. The forms marked = give the numbers of lax.conv_transpose; the
others are other layers for the same purpose. --no-ynn compiles with gan_lib's options (device.compiler_options).
"""

import argparse
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this repository's gan_lib

import jax
import jax.numpy as jnp
from jax import lax

from gan_lib import layers
from gan_lib.device import compiler_options
from gan_lib.notebook import median_ms

MAPS = {
    "7×7×256 → 7×7×128": (7, 256, 128, 1),
    "7×7×128 → 14×14×64": (7, 128, 64, 2),
    "14×14×64 → 28×28×1": (14, 64, 1, 2),
}


def direct(x, kernel, stride):
    """lax.conv_transpose itself: the input with zeros put in by XLA."""
    return lax.conv_transpose(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def zeros(x, kernel, stride):
    """The input with zeros put in by hand, then a plain convolution."""
    b, h, w, c = x.shape
    spread = jnp.zeros((b, h, stride, w, stride, c), x.dtype).at[:, :, 0, :, 0].set(x)
    before = -(-(len(kernel) + stride - 2) // 2)
    padding = [(before, len(kernel) - 1 - before)] * 2
    return layers._plain(spread.reshape(b, h * stride, w * stride, c), kernel, padding, 1)


def patches(x, kernel, stride):
    """The phases, each plain convolution as one matrix product with all patches."""

    def correlate(x, kernel, before):
        (b, h, w, _), (k, _, _, d) = x.shape, kernel.shape
        padded = jnp.pad(x, ((0, 0), *((n, k - 1 - n) for n in before), (0, 0)))
        views = [padded[:, i : i + h, j : j + w] for i in range(k) for j in range(k)]
        return (jnp.concatenate(views, -1).reshape(b * h * w, -1) @ kernel.reshape(-1, d)).reshape(b, h, w, d)

    return by_phases(correlate, layers.LARGE, x, kernel, stride)


def by_phases(correlate, large, x, kernel, stride):
    """layers.conv_transpose with another `correlate`, or another limit for the way through Fourier coefficients."""
    kept = layers.correlate, layers.LARGE
    layers.correlate, layers.LARGE = correlate, large
    try:
        return layers.conv_transpose(x, kernel, stride=stride)
    finally:
        layers.correlate, layers.LARGE = kept


def resize(x, kernel, stride):
    """Each pixel repeated, then a plain convolution. Odena et al. 2016."""
    return layers.conv(x.repeat(stride, 1).repeat(stride, 2), kernel)


FORMS = {
    "= lax.conv_transpose": direct,
    "= zeros by hand": zeros,
    "= phases, plain": partial(by_phases, layers.correlate, 10**9),
    "= phases, patches × matrix": patches,
    "= phases, Fourier": partial(by_phases, layers.correlate, 0),
    "= gan_lib's choice": lambda x, kernel, stride: layers.conv_transpose(x, kernel, stride=stride),
    "  resize and convolve": resize,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-ynn", action="store_true")
    args = parser.parse_args()
    jit = partial(jax.jit, compiler_options=compiler_options(True) if args.no_ynn else None)
    for name, (side, c, d, stride) in MAPS.items():
        print(f"{name:30}  forward   input  weight")
        x = jax.random.normal(jax.random.key(0), (args.batch, side, side, c))
        kernel = jax.random.normal(jax.random.key(1), (5, 5, c, d)) / (25 * c) ** 0.5
        for form, layer in FORMS.items():
            run = partial(layer, stride=stride)
            g = jnp.ones(jax.eval_shape(run, x, kernel).shape)
            of_x = jit(lambda x, kernel, g, run=run: jax.vjp(lambda x: run(x, kernel), x)[1](g))
            of_kernel = jit(lambda x, kernel, g, run=run: jax.vjp(lambda kernel: run(x, kernel), kernel)[1](g))
            calls = (jit(run), (x, kernel)), (of_x, (x, kernel, g)), (of_kernel, (x, kernel, g))
            times = [median_ms(f, *arrays, repeats=args.repeats) for f, arrays in calls]
            print(f"  {form:28}" + "".join(f"{ms:8.2f}" for ms in times), flush=True)


if __name__ == "__main__":
    main()
