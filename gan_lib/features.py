"""What a small classifier of our own sees in images, and the Fréchet distance between Gaussians fitted to it.

    python -m gan_lib.features --data digit --seed 0

trains a classifier (or --data fashion; two minutes on two cores) and writes its weights: to `data/` of the repository,
which has both, or without a repository to your cache folder. They are looked for where data.py looks for images.
"""

import argparse
import sys
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors
import safetensors.numpy
from flax import nnx
from tqdm import tqdm

from gan_lib import data, fetch
from gan_lib.arrays import as_array
from gan_lib.metrics import Gaussian, frechet_distance, gaussian

LOADERS = {"digit": data.mnist, "fashion": data.fashion_mnist}
FILE = "{}-features.safetensors"
BATCH = 250  # always padded to this, so that an image's features do not depend on how many come with it


class Features(NamedTuple):
    """features: float32 (N, 84), the classifier's last layer but one. probs: float32 (N, 10), of the classes."""

    features: np.ndarray
    probs: np.ndarray


class Distance(NamedTuple):
    """value: of n samples. floor: what n real images score that nobody trained on. Prints as a sentence that has all."""

    value: float
    n: int
    floor: float
    kind: str

    def __repr__(self):
        of = f"Fréchet distance, {self.kind} features, n = {self.n:,}"
        return f"{of}: {self.value:.2f}; real against real {self.floor:.2f}"


def digit_features(images) -> Features:
    """What a classifier of MNIST (99.2 % right on the test images) sees in images (N, 28, 28, 1), floats from -1 to 1.

    Unit: the variances of the 84 features over the training set add up to 100. It was also shown noise, grey and digits
    on top of each other, with all classes equally right, so it is seldom sure of what is no digit.
    Raises ValueError on another shape, type or range, DataError if its weights are missing or damaged.
    """
    return _see("digit", images)


def fashion_features(images) -> Features:
    """As `digit_features`, by a classifier of Fashion-MNIST (89.5 % right on its test images)."""
    return _see("fashion", images)


def digit_distance(samples, *, n=None, seed=0) -> Distance:
    """Fréchet distance between digit features of MNIST's training set and of n samples, with the floor at that n.

    samples: images as for `digit_features`. n: how many of them, drawn without replacement; default all, up to 10,000.
    floor: mean distance of n test images, over ten draws. It falls about as 1/n, and so does part of the distance:
    compare at equal n only. One image repeated scores about 100 or more.
    Raises ValueError as `digit_features` does, and on an n below 2 or above the number of samples or test images.
    """
    return _distance("digit", samples, n, seed)


def fashion_distance(samples, *, n=None, seed=0) -> Distance:
    """As `digit_distance`, by fashion features and with Fashion-MNIST."""
    return _distance("fashion", samples, n, seed)


def _distance(kind, samples, n, seed):
    samples, unseen = _check(samples), _unseen(kind)
    most = min(len(samples), len(unseen))
    n = most if n is None else n
    if not isinstance(n, int | np.integer) or not 2 <= n <= most:
        raise ValueError(
            f"n is {n!r} for {len(samples):,} samples, expected a whole number of at least 2, at most that, and at most "
            f"{len(unseen):,}, the test images for the floor. Choose another n, or draw more samples."
        )
    some = np.random.default_rng(seed).permutation(len(samples))[:n]
    value = frechet_distance(_load(kind)[1], _see(kind, samples[some]).features)
    return Distance(value, int(n), _floor(kind, int(n)), kind)


@lru_cache
def _unseen(kind):
    return _see(kind, LOADERS[kind]("test")[0]).features


@lru_cache
def _floor(kind, n):
    unseen, rng = _unseen(kind), np.random.default_rng(0)
    draws = [rng.choice(unseen, n, replace=False) for _ in range(10 if n < len(unseen) else 1)]
    return float(np.mean([frechet_distance(_load(kind)[1], draw) for draw in draws]))


def _see(kind, images):
    return _run(_load(kind)[0], _check(images))


def _check(images):
    """Images as float32, or a ValueError that says how to make them what the classifier was trained on."""
    images = as_array(images, "images")
    if images.ndim != 4 or images.shape[1:] != (28, 28, 1) or not len(images):
        raise ValueError(f"images have shape {images.shape}, expected (N, 28, 28, 1): reshape or resize them.")
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(f"images are {images.dtype}, expected floats from -1 to 1: scale bytes with x / 127.5 - 1.")
    with np.errstate(over="ignore"):  # what is too large is not finite
        images = images.astype(np.float32)
    low, high = images.min(), images.max()
    if not np.isfinite([low, high]).all():
        raise ValueError("images hold values that are not finite, expected -1 to 1: look for np.isnan(images).")
    scaled_to_one = 0 <= low < 0.1 and 0.5 < high < 1.001  # black and white, and nothing below 0
    if low > -1.001 and high < 1.001 and not scaled_to_one:
        return images
    cure = "end the generator with tanh, or np.clip(x, -1, 1)" if high < 100 else "scale bytes with x / 127.5 - 1"
    cure = "scale [0, 1] with 2 * x - 1" if scaled_to_one else cure
    raise ValueError(f"images run from {low:.3g} to {high:.3g}, expected -1 (paper) to 1 (ink): {cure}.")


@lru_cache
def _load(kind):
    """(weights, Gaussian of the training set's features) from the weights file."""
    cure = f"python -m gan_lib.features --data {kind} (two minutes)"
    path = data.weights(FILE.format(kind), cure)
    try:
        params = _nested(safetensors.numpy.load(path.read_bytes()))
        reference = Gaussian(**params.pop("reference"))
        jax.eval_shape(_apply, params, jnp.zeros((1, 28, 28, 1)))
    except (OSError, safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
        what = str(error).partition("\n")[0]
        raise fetch.DataError(
            f"{path} does not hold the classifier ({what}). In a git checkout restore it with `git checkout data`, or "
            f"train it: {cure}"
        ) from None
    return jax.device_put(params), reference  # once: each call of _apply would copy them again, in the background


def _nested(arrays):
    """{"layer.part": array} -> {layer: {part: float32 array}}."""
    params = {}
    for name, array in arrays.items():
        layer, part = name.split(".")
        params.setdefault(layer, {})[part] = np.asarray(array, np.float32)
    return params


class Classifier(nnx.Module):
    """LeNet, wider: images (B, 28, 28, 1) -> features (B, 84), logits (B, 10). LeCun et al. 1998, fig. 2."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 16, (5, 5), padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, (5, 5), padding="VALID", rngs=rngs)
        self.dense = nnx.Linear(4 * 4 * 32, 120, rngs=rngs)
        self.features = nnx.Linear(120, 84, rngs=rngs)
        self.logits = nnx.Linear(84, 10, rngs=rngs)

    def __call__(self, images):
        rectify = partial(nnx.leaky_relu, negative_slope=0.1)  # no feature dies, as with a plain ReLU it can
        x = 1.6 * images + 1.2  # mean about 0, variance about 1
        for conv in (self.conv1, self.conv2):
            x = rectify(conv(x))
            b, h, w, c = x.shape
            x = x.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))
        features = rectify(self.features(rectify(self.dense(x.reshape(b, -1)))))
        return features, self.logits(features)


@lru_cache
def _graph():
    return nnx.split(nnx.eval_shape(lambda: Classifier(rngs=nnx.Rngs(0))))[0]


@jax.jit
def _apply(params, images):
    features, logits = nnx.merge(_graph(), params)(images)
    return features, jax.nn.softmax(logits)


def _run(params, images):
    parts = []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        padded = np.pad(part, [(0, BATCH - len(part)), (0, 0), (0, 0), (0, 0)])
        parts.append([np.asarray(x)[: len(part)] for x in _apply(params, padded)])
    return Features(*map(np.concatenate, zip(*parts, strict=True)))


def train(images, labels, *, seed=0, epochs=5, batch_size=128):
    """Weights of a Classifier, as nested dictionaries, after `epochs` passes over images shifted by up to one pixel."""
    steps = epochs * len(images) // batch_size
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps))
    params = nnx.to_pure_dict(nnx.split(Classifier(rngs=nnx.Rngs(seed)))[1])
    opt, key = optimizer.init(params), jax.random.key(seed)

    @jax.jit
    def step(params, opt, key, images, labels):
        draw, shift, rubbish = jax.random.split(key, 3)
        i = jax.random.randint(draw, (batch_size,), 0, len(images))
        x, by = images[i], jax.random.randint(shift, (batch_size, 2), -1, 2)
        x = jax.vmap(partial(jnp.roll, axis=(0, 1)))(x, by)
        x = jnp.concatenate([x, _rubbish(rubbish, x[: batch_size // 4])])
        y = jnp.concatenate([jax.nn.one_hot(labels[i], 10), jnp.full((batch_size // 4, 10), 0.1)])

        def loss(params):
            return optax.softmax_cross_entropy(nnx.merge(_graph(), params)(x)[1], y).mean()

        updates, opt = optimizer.update(jax.grad(loss)(params), opt, params)
        return optax.apply_updates(params, updates), opt

    images, labels = jnp.asarray(images), jnp.asarray(labels)
    for n in tqdm(range(steps), file=sys.stdout, mininterval=1):
        params, opt = step(params, opt, jax.random.fold_in(key, n), images, labels)
    return params


def _rubbish(key, images):
    """As many images of nothing: noise, one grey, shuffled pixels, three images on top of each other.

    With all classes equally right they teach the classifier to doubt (Hendrycks et al. 2019, outlier exposure).
    """
    kind_key, noise_key, grey_key, order_key = jax.random.split(key, 4)
    kind = jax.random.randint(kind_key, (len(images), 1, 1, 1), 0, 4)
    noise = jax.random.uniform(noise_key, images.shape, minval=-1, maxval=1)
    grey = jax.random.uniform(grey_key, kind.shape, minval=-1, maxval=1) + 0 * images
    shuffled = jax.random.permutation(order_key, images.reshape(len(images), -1), axis=1).reshape(images.shape)
    three = (images + jnp.roll(images, 1, axis=0) + jnp.roll(images, 2, axis=0)) / 3
    return jnp.select([kind == 0, kind == 1, kind == 2], [noise, grey, shuffled], three)


def main():
    parser = argparse.ArgumentParser("python -m gan_lib.features", description="Train a classifier for image metrics.")
    parser.add_argument("--data", choices=LOADERS, default="digit")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    images, labels = LOADERS[args.data]("train")
    params = train(images, labels, seed=args.seed)
    unit = (_run(params, images).features.var(axis=0, dtype=np.float64).sum() / 100) ** 0.5
    params["features"] = {part: x / unit for part, x in params["features"].items()}
    params["logits"]["kernel"] *= unit
    stored = {f"{layer}.{part}": np.float16(x) for layer, parts in params.items() for part, x in parts.items()}
    params = _nested(stored)  # from here on as everybody else has them, rounded to 16 bits
    test_images, test_labels = LOADERS[args.data]("test")
    accuracy = (_run(params, test_images).probs.argmax(axis=1) == test_labels).mean()
    reference = gaussian(_run(params, images).features)
    stored |= {f"reference.{part}": np.float32(x) for part, x in vars(reference).items()}
    facts = dict(command=f"python -m gan_lib.features --data {args.data} --seed {args.seed}", seed=str(args.seed))
    folder = fetch.REPOSITORY if fetch.REPOSITORY.is_dir() else fetch.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE.format(args.data)
    path.write_bytes(safetensors.numpy.save(stored, facts | {"test_accuracy": f"{accuracy:.4f}"}))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, right on {accuracy:.2%} of the test images")


if __name__ == "__main__":
    main()
