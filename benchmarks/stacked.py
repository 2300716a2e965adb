"""A thousand modes: three random digits as the colour channels of an image, the test of mode collapse that papers use.

    python benchmarks/stacked.py --seconds 270 --seed 0 1 [--every 60] [--dtype bfloat16] [--weights OUT_{}.safetensors]
    python benchmarks/stacked.py --score data/stacked-mnist.safetensors [--samples 5000] [--pack OUT.safetensors]

Trains the residual pair with pairing, R1 and R2, then reads 26,000 samples of the averaged generator with the course's
digit classifier, channel by channel (Metz et al. 2017, section 3.3.1; Lin et al. 2018, PacGAN, section 4.2). Meant for a
GPU: --width, --blocks and --steps make it small enough for a CPU. The seconds are training alone. Prints a JSON line for
each seed, and with --every one after each so many seconds, too: then "final" is false, and there are no distances.
--score trains nothing: it draws from weights in a file and prints the same numbers.

modes, reverse_kl: of the classifier's 1,000 classes, to equal shares. floor: what a sampler without any fault scores at
that n; floor_real: what triples of real digits score, whose classes are not equally many. A classifier finds modes in
noise, so with them stand sure, the share of channels it is more than 80 % sure of (sure_real: of test images);
modes_sure, modes with a sample that it is sure of in all three channels; and distance, the Fréchet distance in digit
features of each channel's first `distance_n` samples, with its own floor at that n.

What was seen in bfloat16 on one H100: seed 0 trained on to its end at 168 s (KL 0.035); seed 1 had 0.033 at 90 s and broke
before its end at 140 s (0.22). D(x) and D(G(z)) were then both 0: all logits lay below -87, since pairing leaves their
common level free and it had drifted. Whether the drift broke it is not known. In a small discriminator (width 32), rounded
features disturb the differences within pairs by 0.04 to 0.07 at a level of -100 and by 0.3 to 0.7 at -1000, where the
differences vary by 0.4, and a level in the last bias, which is float32, by nothing; but at the end of seed 1 the
differences were about 5. So bfloat16 is an option: --dtype is float32 unless you say otherwise.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this repository's gan_lib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from safetensors import SafetensorError

from gan_lib import data, features, nets
from gan_lib.checkpoint import header, restore, save
from gan_lib.device import compiler_options, enable_compilation_cache
from gan_lib.gan import GAN
from gan_lib.losses import relativistic
from gan_lib.penalties import ZeroCentred

DATA, N, MODES, SURE = "stacked-mnist", 26_000, 1000, 0.8
RATE, GAMMA, SECOND, DECAY = 2e-4, (3.0, 1.0), (0.9, 0.99), (0.995, 0.999)  # the pairs: at first, and from EARLY on
EARLY, LATE, LAST = 0.2, 2 / 3, 0.1  # shares of the training; from LATE on the rate falls to LAST of itself


# --- training -------------------------------------------------------------------------------------------------------


def pair(width=192, blocks=2, dtype=jnp.float32):
    """The GAN without its schedules: all that drawing samples takes."""
    settings = dict(channels=3, widths=(width, width // 2, width // 4), blocks=blocks, dtype=jnp.dtype(dtype))
    parts = partial(nets.residual_generator, **settings), partial(nets.residual_discriminator, **settings)
    return GAN(*parts, loss=relativistic, prepare=data.scaled, averaging=0, optimizer=optimizer(1), penalty=penalty(1))


def progress(step, total, start, end):
    """How far the training is from the share `start` of its steps to the share `end`: 0 before, 1 after."""
    return jnp.clip((step / total - start) / (end - start), 0, 1)


def early(pair, total):
    """A schedule from the first of two numbers to the second, in equal factors."""
    return lambda step: pair[0] * (pair[1] / pair[0]) ** progress(step, total, 0, EARLY)


def optimizer(total, rate=RATE, last=LAST):
    """Adam without momentum. At the end the rate falls along a cosine; the second moments remember longer after a while."""
    fall = lambda step: (1 + jnp.cos(jnp.pi * progress(step, total, LATE, 1))) / 2
    falling = lambda step: rate * (last + (1 - last) * fall(step))
    return optax.inject_hyperparams(optax.adam)(learning_rate=falling, b1=0.0, b2=early(SECOND, total))


def penalty(total):
    return ZeroCentred(early(GAMMA, total), early(GAMMA, total))


def draw_batch(key, images, size):
    """Three random digits as colours: bytes (size, 28, 28, 3), from images (N, 28, 28)."""
    chosen = jax.random.randint(key, (size, 3), 0, len(images))
    return jnp.moveaxis(images[chosen], 1, 3)


def advance(gan, rate, last, batch, loop, state, images, key, total, count):
    """`count` steps of `total`: (state, metrics of the last one). Both numbers are the program's input: it fits any.

    loop: in one program; else it makes one step, whatever count is.
    """
    now = replace(gan, optimizer=optimizer(total, rate, last), penalty=penalty(total))

    def one(_, carry):
        state = carry[0]
        batch_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        new, metrics = now.step(state, draw_batch(batch_key, images, batch), step_key)
        # An untrained network is forgotten sooner: at first the average is over a tenth of the steps so far.
        decay = jnp.minimum(early(DECAY, total)(state.step), (1 + state.step) / (10 + state.step))
        average = optax.incremental_update(new.average, state.average, 1 - decay)
        return new._replace(average=average), metrics

    shapes = jax.eval_shape(lambda s: one(0, (s, None))[1], state)
    carry = state, jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), shapes)
    return jax.lax.fori_loop(0, count, one, carry) if loop else one(0, carry)


class Trainer:
    """Compiled once, for all seeds. rate, last: of the learning rate, see `optimizer`."""

    def __init__(self, gan, images, *, batch, rate=RATE, last=LAST):
        self.gan, self.images, self.batch, start = gan, images, batch, time.perf_counter()
        state, key = gan.init(jax.random.key(0)), jax.random.key(0)
        self.loop = jax.default_backend() != "cpu"  # a CPU is slow at convolutions inside a loop
        program = jax.jit(partial(advance, gan, rate, last, batch, self.loop), compiler_options=compiler_options(True))
        self.program = program.lower(state, images, key, jnp.float32(1), jnp.int32(1)).compile()
        self._call(state, key, 1000, 2)  # warm
        self.compiling, start = time.perf_counter() - start, time.perf_counter()
        self._call(state, key, 1000, 10 if self.loop else 1)
        self.pace = (10 if self.loop else 1) / (time.perf_counter() - start)  # steps a second

    def _call(self, state, key, total, count):
        return jax.block_until_ready(self.program(state, self.images, key, jnp.float32(total), jnp.int32(count)))

    def train(self, seed, *, seconds=None, steps=None, every=None, look=lambda state, **facts: None):
        """(state, facts). look(state, **facts) is called after each `every` seconds of training.

        Without `steps` the number of steps follows from the pace so far, and so do the schedules. Where a loss or a weight
        is not finite, training ends at the last state that is.
        """
        key = jax.random.key(seed)
        state, key = self.gan.init(key), jax.random.fold_in(key, 1)
        passed, done, metrics, diverged = 0.0, 0, {}, False
        due = every or float("inf")
        while done < steps if steps else passed < seconds:
            total = steps or max(done + 1, done + (seconds - passed) * self.pace)
            left = min(total - done, self.pace * (due - passed))
            count = max(1, round(min(self.pace, left))) if self.loop else 1  # a call takes about a second
            start = time.perf_counter()
            new, metrics = self._call(state, key, total, count)
            metrics = {name: float(value) for name, value in metrics.items()}
            passed += time.perf_counter() - start
            if not np.isfinite(list(metrics.values())).all() or not finite(new):
                diverged = True
                break
            state, done = new, done + count
            self.pace = done / passed
            facts = dict(seconds=round(passed, 1), steps=done, images_per_s=round(done * self.batch / passed))
            facts |= {name: float(f"{value:.4g}") for name, value in metrics.items()}
            if passed >= due - 0.5 / self.pace:
                look(state, **facts)
                due += every
        facts = dict(seconds=round(passed, 1), steps=done, images_per_s=round(done * self.batch / max(passed, 1e-9)))
        return state, facts | {name: float(f"{value:.4g}") for name, value in metrics.items()} | dict(diverged=diverged)


@jax.jit
def finite(tree):
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in floats]).all()


# --- measuring ------------------------------------------------------------------------------------------------------


def draw(gan, state, key, n=N):
    """n samples of the averaged generator, (n, 28, 28, 3), cut to [-1, 1] as they are shown."""
    keys = jax.random.split(key, -(-n // 500))
    return np.concatenate([np.clip(gan.sample(state, k, 500), -1, 1) for k in keys])[:n]


def modes_and_kl(labels):
    """(modes found, reverse KL to equal shares) of labels (n, 3), each from 0 to 9. In nats; 0 log 0 = 0."""
    counts = np.bincount(labels @ [100, 10, 1], minlength=MODES)
    share = counts[counts > 0] / counts.sum()
    return int((counts > 0).sum()), float((share * np.log(share * MODES)).sum())


@lru_cache
def floors(n=N, draws=20):
    """Mean reverse KL of n triples of digits: (drawn with equal shares, drawn from MNIST's training set)."""
    rng, labels = np.random.default_rng(0), data.mnist()[1]
    uniform = [modes_and_kl(rng.integers(0, 10, (n, 3)))[1] for _ in range(draws)]
    real = [modes_and_kl(rng.choice(labels, (n, 3)))[1] for _ in range(draws)]
    return float(np.mean(uniform)), float(np.mean(real))


def read(samples):
    """Class probabilities (n, 3, 10) that the digit classifier gives to the channels of samples (n, 28, 28, 3)."""
    channels = np.moveaxis(np.asarray(samples, np.float32), 3, 1).reshape(-1, 28, 28, 1)
    return features.digit_features(channels).probs.reshape(len(samples), 3, 10)


@lru_cache
def sure_of_real():
    """The share of MNIST's test images that the classifier is sure of."""
    return float((features.digit_features(data.mnist("test")[0]).probs.max(axis=1) > SURE).mean())


def score(samples):
    """Modes, reverse KL and how sure the classifier is, as a dictionary of numbers; n is the number of samples."""
    probs, n = read(samples), len(samples)
    labels, sure = probs.argmax(axis=2), probs.max(axis=2) > SURE
    (modes, kl), (floor, floor_real) = modes_and_kl(labels), floors(n)
    clear = labels[sure.all(axis=1)]
    numbers = dict(reverse_kl=kl, floor=floor, floor_real=floor_real, sure=sure.mean(), sure_real=sure_of_real())
    return dict(n=n, modes=modes, modes_sure=modes_and_kl(clear)[0] if len(clear) else 0) | {
        name: round(float(value), 4) for name, value in numbers.items()
    }


def distances(samples):
    """The Fréchet distance of each channel, in digit features, with its n and its floor."""
    found = [features.digit_distance(samples[:10_000, ..., [channel]]) for channel in range(3)]
    facts = dict(distance=[round(one.value, 2) for one in found])
    return facts | dict(distance_n=found[0].n, distance_floor=round(found[0].floor, 2))


# --- weights --------------------------------------------------------------------------------------------------------


def load(path):
    """(GAN, state) of a file that --weights or --pack wrote: for drawing samples, in float32."""
    notes = header(path)
    if notes.get("data") != DATA:
        raise ValueError(
            f"{path} does not say that it was trained here. Expected a file that --weights or --pack wrote."
        )
    gan = pair(int(notes["width"]), int(notes["blocks"]))
    state = gan.init(jax.random.key(0))
    return gan, state._replace(average=restore(path, state.average))


def scored(path, n=N, seed=0):
    """What n samples of the weights in a file score, as a dictionary: those that `main` draws at the end of that seed."""
    gan, state = load(path)
    samples = draw(gan, state, jax.random.fold_in(jax.random.key(seed), 2), n)
    return dict(data=DATA, file=Path(path).name, seed=seed) | score(samples) | distances(samples)


def pack(path, out, **notes):
    """The weights in a file, to another one with kernels of 8 bits. What stands in the first one's header stays."""
    save(out, load(path)[1].average, notes=header(path) | notes, eight_bits=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="of training for each seed")
    parser.add_argument("--steps", type=int, help="instead of seconds")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--every", type=float, metavar="SECONDS", help="look at the samples in between, too")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the arithmetic")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--last", type=float, default=LAST, help="share of the rate that is left at the end")
    parser.add_argument(
        "--width", type=int, default=192, help="channels on the coarsest map; half and a quarter follow"
    )
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--samples", type=int, default=N, metavar="N", help=f"to be read; published: {N:,}")
    parser.add_argument("--weights", metavar="OUT_{}.safetensors", help="for the averaged generator; {} is the seed")
    parser.add_argument("--score", metavar="FILE", help="instead of training: weights to draw from")
    parser.add_argument(
        "--pack", metavar="OUT", help="with --score: write them with kernels of 8 bits, and score those"
    )
    args = parser.parse_args()
    if [args.seconds, args.steps, args.score].count(None) != 2 or (args.pack and not args.score):
        parser.error("give --seconds or --steps, or --score FILE, to which --pack may be added")
    for name in ("seconds", "steps", "every", "batch", "rate", "blocks", "samples"):
        if (value := getattr(args, name)) is not None and not value > 0:
            parser.error(f"--{name} must be above 0; got {value}")
    if args.width < 4 or args.width % 4:
        parser.error(f"--width must be a multiple of 4; got {args.width}")
    if args.weights and not Path(args.weights).absolute().parent.is_dir():
        parser.error(f"{args.weights}: there is no folder {Path(args.weights).parent}; make it first")
    if args.weights and len(args.seed) > 1 and "{}" not in args.weights:
        parser.error(f"--weights must have {{}} for the seed, or all seeds would write one file; got {args.weights}")
    enable_compilation_cache()
    if args.score:
        try:
            if args.pack:
                pack(args.score, args.pack)
            line = scored(args.pack or args.score, args.samples, args.seed[0])
            if args.pack:
                pack(args.score, args.pack, packed=json.dumps(line))  # once more, with what was measured
        except (OSError, ValueError, SafetensorError) as error:
            parser.error(f"--score: {error}")
        print(json.dumps(line))
        return
    images = jnp.asarray(np.uint8(np.rint(127.5 * (data.mnist()[0][..., 0] + 1))))
    gan = pair(args.width, args.blocks, args.dtype)
    trainer = Trainer(gan, images, batch=args.batch, rate=args.rate, last=args.last)
    setting = dict(device=jax.devices()[0].device_kind, dtype=args.dtype, batch=args.batch, rate=args.rate)
    setting |= dict(width=args.width, blocks=args.blocks, compile_s=round(trainer.compiling, 1))
    for seed in args.seed:

        def keep(state, seed=seed, **facts):
            if args.weights:
                notes = {"command": command(args, seed), **{name: str(value) for name, value in facts.items()}}
                save(args.weights.format(seed), state.average, notes=notes)

        def report(state, final=False, seed=seed, keep=keep, **facts):
            keep(state, **facts)  # first: should measuring fail, they are there
            start = time.perf_counter()
            samples = draw(gan, state, jax.random.fold_in(jax.random.key(seed), 2), args.samples)
            line = dict(data=DATA, seed=seed, final=final) | setting | facts | score(samples)
            line |= distances(samples) if final else {}
            line |= dict(measuring_s=round(time.perf_counter() - start, 1))
            print(json.dumps(line), flush=True)
            keep(state, **{name: value for name, value in line.items() if name != "seed"})

        how_long = dict(seconds=args.seconds, steps=args.steps)
        state, facts = trainer.train(seed, **how_long, every=args.every, look=report)
        report(state, final=True, **facts)


def command(args, seed):
    """What trains the same again."""
    names = "seconds", "steps", "dtype", "batch", "rate", "last", "width", "blocks"
    options = [f"--{name} {getattr(args, name)}" for name in names if getattr(args, name) is not None]
    return " ".join(["python benchmarks/stacked.py --seed", str(seed), *options])


if __name__ == "__main__":
    main()
