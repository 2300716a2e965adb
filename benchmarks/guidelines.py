"""What is each guideline of DCGAN worth when training is over? A tutorial's pair as it is, and with one change at a time.

    python benchmarks/guidelines.py [--seeds 0 1] [--only NAME ...] [--steps 11750] [--batch 256] [--weights OUT_{}.safetensors]

The pair is that of TensorFlow's tutorial (nets.dcgan_generator and its opponent), trained as there, though from Flax's
first weights: Adam at 1e-4, 50 epochs of 60,000 digits in batches of 256, which are 11,750 steps. The changes follow, or
break, a guideline of Radford et al. 2016, section 3, or take weights and rates of their section 4; "Radford et al." makes
all four changes by which the tutorial leaves them. "course" is the course's own pair, by its recipe (quality.py), for as
many steps. Meant for a GPU; --steps makes it small enough for a CPU.

Prints a JSON line for each pair and seed after a tenth of the steps, after a third, and at the end: the Fréchet distance of
10,000 samples in digit features, of the averaged weights and of the latest ones, as the tutorial draws them; and of the
latest the share of samples that a classifier is more than 80 % sure of, and that of the rarest class. --weights keeps the
latest generator of the tutorial's pair, in eight bits, with {} for the seed.
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
from quality import BATCH, GAN_OF_THE_COURSE, draw

from gan_lib import data, features, nets
from gan_lib.checkpoint import save
from gan_lib.device import chunk_for, enable_compilation_cache
from gan_lib.gan import GAN
from gan_lib.layers import KERNEL, Conv, ConvTranspose, Dropout, reshape
from gan_lib.training import fit

LEAKY = partial(nnx.leaky_relu, negative_slope=0.3)
NORMAL = nnx.initializers.normal(0.02)
SURE, LOOKS = 0.8, (0.1, 1 / 3)  # the probability that counts as sure; shares of the steps after which to look


def generator(rngs, *, norm=True, dense=False, act=LEAKY, init=KERNEL, resize=False):
    """The tutorial's generator, with guidelines as switches."""
    linear = partial(nnx.Linear, use_bias=False, kernel_init=init, rngs=rngs)

    def then(n):
        return (nnx.BatchNorm(n, momentum=0.99, epsilon=1e-3, rngs=rngs), act) if norm else (act,)

    def up(m, n, stride):
        settings = dict(use_bias=False, init=init, rngs=rngs)
        if not resize:
            return [ConvTranspose(m, n, 5, stride=stride, **settings)]
        larger = lambda x: x.repeat(stride, 1).repeat(stride, 2)  # nearest pixel (Odena et al. 2016)
        return [larger, Conv(m, n, 5, **settings)]

    first = [linear(100, 128), *then(128), linear(128, 128), *then(128)] if dense else []
    first += [linear(128 if dense else 100, 7 * 7 * 256), *then(7 * 7 * 256), reshape(7, 7, 256)]
    return nnx.Sequential(*first, *up(256, 128, 1), *then(128), *up(128, 64, 2), *then(64), *up(64, 1, 2), jnp.tanh)


def discriminator(rngs, *, norm=False, dense=False, act=LEAKY, init=KERNEL, pool=False):
    """The tutorial's discriminator, likewise."""
    linear = partial(nnx.Linear, kernel_init=init, rngs=rngs)
    halve = partial(nnx.avg_pool, window_shape=(2, 2), strides=(2, 2))

    def block(m, n, norm=False):
        batch = [nnx.BatchNorm(n, momentum=0.99, epsilon=1e-3, rngs=rngs)] if norm else []
        conv = Conv(m, n, 5, stride=1 if pool else 2, init=init, rngs=rngs)
        return [conv, *batch, act, *[halve] * pool, Dropout(0.3, rngs=rngs)]

    body = [*block(1, 64), *block(64, 128, norm), reshape(-1)]
    body += [linear(7 * 7 * 128, 128), act, linear(128, 1)] if dense else [linear(7 * 7 * 128, 1)]
    return nnx.Sequential(*body, reshape())


def pair(g=None, d=None, optimizer=None):
    """The tutorial's GAN with these switches turned."""
    parts = partial(generator, **(g or {})), partial(discriminator, **(d or {}))
    return GAN(*parts, latent_dim=100, optimizer=optimizer or optax.adam(1e-4), averaging=0.999)


RATES = optax.adam(2e-4, b1=0.5)
PAIRS = {
    "tutorial": GAN(nets.dcgan_generator, nets.dcgan_discriminator, latent_dim=100, optimizer=optax.adam(1e-4)),
    "1 pooling and resizing": pair(dict(resize=True), dict(pool=True)),
    "2 BatchNorm in D": pair(d=dict(norm=True)),
    "2 no BatchNorm in G": pair(dict(norm=False)),
    "3 hidden dense layers": pair(dict(dense=True), dict(dense=True)),
    "4 ReLU in G": pair(dict(act=nnx.relu)),
    "5 ReLU in D": pair(d=dict(act=nnx.relu)),
    "weights 0.02": pair(dict(init=NORMAL), dict(init=NORMAL)),
    "rate 2e-4, b1 0.5": pair(optimizer=RATES),
    "Radford et al.": pair(dict(act=nnx.relu, init=NORMAL), dict(norm=True, init=NORMAL), RATES),
    "course": GAN_OF_THE_COURSE,
}


def scores(gan, state, seed):
    """What the samples of a state are worth, by name."""
    averaged, latest = (draw(state, seed, gan=gan, average=average) for average in (True, False))
    probs = features.digit_features(latest).probs
    certain = probs.max(axis=1) > SURE
    counts = np.bincount(probs.argmax(axis=1)[certain], minlength=10)
    found = dict(distance=features.digit_distance(latest).value, averaged=features.digit_distance(averaged).value)
    shares = dict(sure=certain.mean(), rarest=counts.min() / len(latest))
    return {k: round(float(v), 2) for k, v in found.items()} | {k: round(float(v), 4) for k, v in shares.items()}


def train(name, seed, images, steps, batch):
    """Train a pair, and print a line after each look and at the end. Returns the state and what the last line says."""
    gan, key, passed = PAIRS[name], jax.random.key(seed), 0.0
    state, key = gan.init(key), jax.random.fold_in(key, 1)
    size, chunk = BATCH if name == "course" else batch, chunk_for(state)
    looks = {chunk * round(share * steps / chunk) for share in LOOKS} - {
        0
    }  # in whole calls: no other program is compiled
    for until in sorted({*looks, steps}):
        start = time.perf_counter()
        settings = dict(steps=until - int(state.step), key=key, batch_size=size, chunk=chunk)
        state, _ = fit(gan, state, images, **settings, progress=False)
        passed += time.perf_counter() - start
        facts = dict(pair=name, seed=seed, device=jax.devices()[0].device_kind, steps=until)
        facts |= dict(seconds=round(passed, 1)) | scores(gan, state, seed)  # the seconds: with compiling
        print(json.dumps(facts), flush=True)
    return state, facts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=list(PAIRS), default=list(PAIRS), metavar="NAME")
    parser.add_argument("--steps", type=int, default=11_750)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--weights", metavar="OUT_{}.safetensors")
    args = parser.parse_args()
    if args.steps < 1 or args.batch < 1:
        parser.error(f"--steps and --batch must be at least 1; got {args.steps} and {args.batch}")
    if args.weights and ("{}" not in args.weights or not Path(args.weights).absolute().parent.is_dir()):
        parser.error(f"--weights {args.weights}: expected a name with {{}} for the seed, in a folder that is there")
    enable_compilation_cache()
    images = jnp.asarray(data.mnist()[0])
    for seed in args.seeds:
        for name in args.only:
            state, facts = train(name, seed, images, args.steps, args.batch)
            if args.weights and name == "tutorial":
                command = f"python benchmarks/guidelines.py --only tutorial --seeds {seed} --steps {args.steps}"
                notes = {"command": f"{command} --batch {args.batch}", **{k: str(v) for k, v in facts.items()}}
                latest = state.params.generator, state.rest.generator
                save(args.weights.format(seed), latest, notes=notes, eight_bits=True)


if __name__ == "__main__":
    main()
