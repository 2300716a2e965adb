"""How long is one training step? Prints one JSON line: median milliseconds, images a second.

    python benchmarks/step.py {dcgan,mlp,small} BATCH [--steps 20] [--naive]

dcgan and mlp are the two GANs that most tutorials train: z of 100, Adam 1e-4, D on real and fake, then G through D.
small is the course's own pair. --naive builds dcgan from Flax's own layers. Absolute times drift from machine to machine
and from hour to hour: run what you compare side by side, and quote ratios.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this repository's gan_lib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gan_lib import nets
from gan_lib.device import chunk_for, compiler_options, is_convolutional
from gan_lib.gan import GAN


def flax_layer(layer, features_in, features_out, size, *, stride=1, use_bias=True, rngs):
    """nnx.Conv or nnx.ConvTranspose, called as the library's layers are."""
    shape = (size, size), (stride, stride)
    return layer(features_in, features_out, *shape, padding="SAME", use_bias=use_bias, rngs=rngs)


def networks(net, naive):
    """(generator, discriminator, latent_dim, shape of a sample)."""
    if net == "dcgan" and naive:
        up, conv = (partial(flax_layer, layer) for layer in (nnx.ConvTranspose, nnx.Conv))
        generator = partial(nets.dcgan_generator, up=up)
        return generator, partial(nets.dcgan_discriminator, conv=conv, dropout=nnx.Dropout), 100, (28, 28, 1)
    if net == "dcgan":
        return nets.dcgan_generator, nets.dcgan_discriminator, 100, (28, 28, 1)
    if net == "small":
        return nets.small_generator, nets.small_discriminator, 16, (28, 28, 1)
    generator = partial(nets.MLP, (100, 128, 256, 512, 1024, 784), output=jnp.tanh)
    return generator, partial(nets.MLP, (784, 512, 256, 128, 1), shape=()), 100, (784,)


def milliseconds(net, batch, steps, naive):
    """Median over `steps` calls, each the number of steps that `fit` takes at once; the data lies on the device."""
    generator, discriminator, latent_dim, shape = networks(net, naive)
    gan = GAN(generator, discriminator, latent_dim=latent_dim, optimizer=optax.adam(1e-4), averaging=0.0)
    state = gan.init(jax.random.key(0))
    length = 1 if naive else min(chunk_for(state), 10)

    def several(state, real, key):
        if length == 1:
            return gan.step(state, real, key)
        return jax.lax.scan(lambda state, key: gan.step(state, real, key), state, jax.random.split(key, length))

    several = jax.jit(several, compiler_options=None if naive else compiler_options(is_convolutional(state)))
    real = jax.random.uniform(jax.random.key(1), (batch, *shape), minval=-1, maxval=1)
    times = []
    for i in range(steps + 3):  # three to warm up
        start = time.perf_counter()
        state, _ = jax.block_until_ready(several(state, real, jax.random.key(i)))
        times.append(1e3 * (time.perf_counter() - start) / length)
    return float(np.median(times[3:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", choices=["dcgan", "mlp", "small"])
    parser.add_argument("batch", type=int)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--naive", action="store_true", help="dcgan from Flax's own layers")
    args = parser.parse_args()
    if args.batch < 1 or args.steps < 1:
        parser.error(f"BATCH and --steps must be at least 1; got {args.batch} and {args.steps}")
    if args.naive and args.net != "dcgan":
        parser.error(f"--naive is a form of dcgan; {args.net} has no other")
    ms = milliseconds(args.net, args.batch, args.steps, args.naive)
    name = "gan_lib, naive Flax layers" if args.naive else "gan_lib"
    device = jax.devices()[0].device_kind
    line = dict(peer=name, version=jax.__version__, device=device, net=args.net, batch=args.batch)
    print(json.dumps(line | dict(ms=round(ms, 2), images_per_s=round(1e3 * args.batch / ms))))


if __name__ == "__main__":
    main()
