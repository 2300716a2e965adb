"""How many modes of a 2-D mixture does a GAN find, and how well? Four recipes, beside the published numbers.

    python benchmarks/modes.py --mixture grid --seeds 5 [--recipe best] [--samples samples.npy] [--steps 40000]

The protocol of VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): 2,500 samples a seed, scored by
gan_lib.metrics.mode_coverage. All recipes have the same networks, batches and number of steps; samples come from the
averaged generator. Prints a JSON line for each recipe, with a mean and its standard error over the seeds, then a table.
--samples gets float32 (seeds, 2500, 2), and --recipe is then `best` unless you name another.
"""

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this repository's gan_lib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from quality import write

from gan_lib import data, losses
from gan_lib.device import compiler_options, enable_compilation_cache
from gan_lib.gan import GAN
from gan_lib.metrics import mode_coverage
from gan_lib.nets import MLP
from gan_lib.penalties import OneCentred, ZeroCentred

BATCH, STEPS, N = 128, 40_000, 2500
RATE, GAMMA, LAST = 4e-3, 0.025, 0.1  # learning rate, γ of R1 and R2, and the share of both left at the end of `best`
MIXTURES = {"ring": data.ring, "grid": data.grid}
PUBLISHED = {  # modes, high quality in %, reverse KL
    "ring": {
        "GAN (PacGAN, table 1)": ("6.3 ± 0.5", "98.2", "0.45"),
        "ALI (same)": ("6.6", "97.6", "0.36"),
        "PacGAN2 (same)": ("7.9 ± 0.1", "95.6", "0.07"),
        "VEEGAN (its own)": ("8", "52.9", ""),
    },
    "grid": {
        "GAN (PacGAN, table 1)": ("17.3 ± 0.8", "94.8", "0.70"),
        "ALI (same)": ("24.1", "95.7", "0.14"),
        "PacGAN4 (same)": ("24.8 ± 0.2", "93.6", "0.04"),
        "VEEGAN (its own)": ("24.6", "40", ""),
    },
}


def generator(rngs):
    return MLP((2, 64, 64, 64, 2), rngs=rngs)


def discriminator(rngs):
    return MLP((2, 64, 64, 64, 1), shape=(), rngs=rngs)


def recipes(steps):
    """{name: GAN}."""
    gan = GAN(generator, discriminator, latent_dim=2, averaging=0.9997, optimizer=optax.adam(1e-3, b1=0.5))
    # λ = 0.1, not the 10 that is usual for images: in the plane 10 finds fewer modes.
    wgan_gp = replace(gan, loss=losses.wasserstein, penalty=OneCentred(0.1), optimizer=optax.adam(1e-3, b1=0, b2=0.9))
    adam = partial(optax.adam, b1=0, b2=0.99)
    rpgan = replace(gan, loss=losses.relativistic, penalty=ZeroCentred(GAMMA, GAMMA), optimizer=adam(1e-3))
    rate, gamma = (optax.cosine_decay_schedule(first, steps, LAST) for first in (RATE, GAMMA))
    best = replace(rpgan, penalty=ZeroCentred(gamma, gamma), optimizer=adam(rate))
    return {"gan": gan, "wgan_gp": wgan_gp, "rpgan": rpgan, "best": best}


def train(gan, mixture, steps, key):
    """One seed, in one program: the state of its GAN. The networks see the plane scaled to [-1, 1], as images are."""
    init_key, key = jax.random.split(key)

    def step(state, _):
        batch_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        real = mixture.sample(batch_key, BATCH) / unit(mixture)
        return gan.step(state, real, step_key)[0], None

    return jax.lax.scan(step, gan.init(init_key), length=steps)[0]


def unit(mixture):
    """The largest coordinate of a mean, 1 for the ring and 4 for the grid."""
    return jnp.abs(mixture.means).max()


def run(gan, mixture, steps, seeds):
    """(samples (seeds, N, 2), seconds of training for each seed, seconds of compiling). As many at once as there are cores."""
    keys = [jax.random.key(seed) for seed in range(seeds)]
    start = time.perf_counter()
    program = jax.jit(partial(train, gan, mixture, steps), compiler_options=compiler_options())
    program = program.lower(keys[0]).compile()
    compiling = time.perf_counter() - start

    def one(key):
        start = time.perf_counter()
        state = jax.block_until_ready(program(key))
        samples = unit(mixture) * gan.sample(state, jax.random.fold_in(key, 1), N)
        return np.asarray(samples, np.float32), time.perf_counter() - start

    with ThreadPoolExecutor(min(seeds, cores())) as threads:
        samples, seconds = zip(*threads.map(one, keys), strict=True)
    return np.stack(samples), seconds, compiling


def cores():
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mean(values, digits):
    """mean ± standard error, or the mean alone where there is one seed or an infinite value."""
    text = f"{np.mean(values):.{digits}f}"
    if len(values) == 1 or not np.isfinite(values).all():  # a seed without any good sample has an infinite KL
        return text
    return f"{text} ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}"


def row(name, modes, quality, kl, seconds=""):
    return f"{name:24} {modes:>13} {quality:>14} {kl:>17} {seconds:>10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixture", choices=list(MIXTURES), default="grid")
    parser.add_argument("--seeds", type=int, default=5, help="how many: 0, 1, ...")
    parser.add_argument("--recipe", choices=list(recipes(1)), help="one of them; default all, or best with --samples")
    parser.add_argument("--samples", metavar="OUT.npy")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"default {STEPS:,}; schedules follow")
    args = parser.parse_args()
    for name in ("seeds", "steps"):
        if (value := getattr(args, name)) < 1:
            parser.error(f"--{name} must be at least 1; got {value}")
    if args.samples and not Path(args.samples).absolute().parent.is_dir():
        parser.error(f"{args.samples}: there is no folder {Path(args.samples).parent}; make it first")
    enable_compilation_cache()
    mixture, known = MIXTURES[args.mixture](), recipes(args.steps)
    names = [args.recipe or "best"] if args.recipe or args.samples else list(known)
    table = [row(name, *values) for name, values in PUBLISHED[args.mixture].items()]
    for name in names:
        samples, seconds, compiling = run(known[name], mixture, args.steps, args.seeds)
        scores = [mode_coverage(points, mixture) for points in samples]
        modes, quality, kl = (np.array(values) for values in zip(*scores, strict=True))
        report = dict(recipe=name, mixture=args.mixture, steps=args.steps, modes=modes.tolist())
        report |= dict(
            high_quality=quality.round(4).tolist(), reverse_kl=[round(k, 4) if k < np.inf else None for k in kl]
        )
        report |= dict(seconds=np.round(seconds, 1).tolist(), compile_s=round(compiling, 1))
        print(json.dumps(report | dict(device=jax.devices()[0].device_kind)), flush=True)
        table.append(row(name, mean(modes, 1), mean(100 * quality, 1), mean(kl, 3), f"{max(seconds):.0f}"))
    if args.samples:
        write(args.samples, samples)
    print(row(f"\n{args.mixture}", "modes", "high quality %", "reverse KL", "s a seed"), *table, sep="\n")


if __name__ == "__main__":
    main()
