"""How good are digits after so many seconds? Trains the course's own DCGAN from scratch and draws 10,000 samples.

    python benchmarks/quality.py --seconds 60 --seed 0 --samples samples.npy [--data fashion] [--conditional] [--weights FILE]

The seconds are training alone: compiling and loading are reported apart. --samples gets uint8 (10000, 28, 28), 255 is
ink, from the averaged generator. --weights gets that generator, as safetensors. Prints one JSON line.

--conditional trains the pair of notebook 09, with labels, and asks it for 1,000 samples of each class, in order from 0 to
9. The JSON line then has obedience, too: the share of samples that a classifier reads as asked.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this repository's gan_lib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_lib import data, features, nets
from gan_lib.checkpoint import save
from gan_lib.device import chunk_for, enable_compilation_cache
from gan_lib.gan import GAN, Pair
from gan_lib.training import fit

BATCH = 32  # on two cores steps count for more than images: a small batch makes many


def falling(rate, steps):
    """Adam whose rate falls as 1/t from `rate`, and has halved after so many steps. No momentum: b1 = 0."""
    return optax.adam(lambda step: rate / (1 + step / steps), b1=0.0, b2=0.99)


GAN_OF_THE_COURSE = GAN(
    nets.small_generator,
    nets.small_discriminator,
    latent_dim=16,
    # G the faster one: what was best when measured. The theorem of two time scales (Heusel et al. 2017) wants it the slower.
    optimizer=Pair(falling(6e-3, 3000), falling(1e-3, 1000)),
    averaging=0.9995,  # the first steps use less: gan.moving_average
)
CONDITIONAL = replace(
    GAN_OF_THE_COURSE,
    generator=nets.small_conditional_generator,
    discriminator=nets.small_channels_discriminator,
    classes=10,
)
SOURCES = {
    "mnist": (data.mnist, features.digit_distance, features.digit_features),
    "fashion": (data.fashion_mnist, features.fashion_distance, features.fashion_features),
}


def train(gan, images, seconds, seed):
    """(state, seconds of training, seconds of compiling). images: or (images, labels)."""
    key = jax.random.key(seed)
    start = time.perf_counter()
    state = gan.init(key)
    settings = dict(key=jax.random.fold_in(key, 1), batch_size=BATCH, chunk=chunk_for(state), progress=False)
    fit(gan, state, images, steps=51, **settings)  # both lengths of program; the result is thrown away
    compiling, start = time.perf_counter() - start, time.perf_counter()
    steps = 10
    while time.perf_counter() - start < seconds:
        state, _ = fit(gan, state, images, steps=steps, **settings)
        passed = time.perf_counter() - start
        steps = max(1, min(500, int((seconds - passed) * int(state.step) / passed)))  # what the rest has time for
    return state, time.perf_counter() - start, compiling


def draw(state, seed, n=10_000, gan=GAN_OF_THE_COURSE, average=True):
    """n samples (n, 28, 28, 1) in [-1, 1], of the averaged generator or of the latest; of a conditional one as many of each
    class, in order.
    """
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 2), n // 500)
    asked = asked_for(n).reshape(-1, 500) if gan.classes else [None] * len(keys)
    return np.concatenate(
        [gan.sample(state, k, 500, labels=y, average=average) for k, y in zip(keys, asked, strict=True)]
    )


def asked_for(n):
    """The labels of n samples, n/10 of each class."""
    return np.repeat(np.arange(10), n // 10)


def write(path, array):
    """An .npy file, whole or not at all."""
    part = f"{path}.part"
    with open(part, "wb") as file:
        np.save(file, array, allow_pickle=False)
    os.replace(part, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", metavar="OUT.npy")
    parser.add_argument("--weights", metavar="OUT.safetensors")
    parser.add_argument("--data", choices=list(SOURCES), default="mnist")
    parser.add_argument("--conditional", action="store_true")
    args = parser.parse_args()
    if not args.seconds > 0:
        parser.error(f"--seconds must be above 0; got {args.seconds}")
    for path in filter(None, (args.samples, args.weights)):
        if not Path(path).absolute().parent.is_dir():
            parser.error(f"{path}: there is no folder {Path(path).parent}; make it first")
    enable_compilation_cache()
    load, distance, see = SOURCES[args.data]
    gan = CONDITIONAL if args.conditional else GAN_OF_THE_COURSE
    start = time.perf_counter()
    images, labels = map(jnp.asarray, load())
    loading = time.perf_counter() - start
    state, training, compiling = train(gan, (images, labels) if gan.classes else images, args.seconds, args.seed)
    samples, steps = draw(state, args.seed, gan=gan), int(state.step)
    score = distance(samples)
    report = dict(data=args.data, seed=args.seed, device=jax.devices()[0].device_kind, seconds=round(training, 1))
    report |= dict(steps=steps, images_per_s=round(steps * BATCH / training))
    report |= dict(compile_s=round(compiling, 1), load_s=round(loading, 1))
    report |= dict(n=score.n, distance=round(score.value, 2), floor=round(score.floor, 2))
    if gan.classes:
        obedience = (see(samples).probs.argmax(axis=1) == asked_for(len(samples))).mean()
        report |= dict(obedience=round(float(obedience), 4))
    if args.samples:
        write(args.samples, np.uint8(np.rint(127.5 * (samples[..., 0] + 1))))
    if args.weights:
        command = f"python benchmarks/quality.py --seconds {args.seconds:g} --seed {args.seed} --data {args.data}"
        command += " --conditional" * args.conditional
        save(args.weights, state.average, notes={"command": command, **{k: str(v) for k, v in report.items()}})
    print(json.dumps(report))


if __name__ == "__main__":
    main()
