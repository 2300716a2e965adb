"""Features of images: a small classifier of our own, and the Fréchet distance between Gaussians fitted to what it sees.

    python -m gan_lib.features [--data digits|fashion] [--seed 0]

trains a classifier (about two minutes on two cores) and writes its weights: to `data/` of the repository, where both
are already, or without a repository to the cache folder. Weights are looked for where data.py looks for images.
"""

import argparse
import sys
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors
import safetensors.numpy
from flax import nnx
from tqdm import tqdm

from gan_lib import data
from gan_lib.metrics import Gaussian, frechet_distance, gaussian

LOADERS = {"digits": data.mnist, "fashion": data.fashion_mnist}
BATCH = 250  # always padded to this, so that an image's features do not depend on how many come with it


class Features(NamedTuple):
    """features: float32 (N, 84), the classifier's last layer but one. probs: float32 (N, 10), what it takes them for."""

    features: np.ndarray
    probs: np.ndarray


class Distance(NamedTuple):
    """value, of n samples; floor: what n real images score that nobody trained on. Prints as a sentence with all three."""

    value: float
    n: int
    floor: float
    kind: str  # "digit" or "fashion"

    def __repr__(self):
        return (
            f"Fréchet distance, {self.kind} features (n = {self.n:,}): {self.value:.2f}; "
            f"real against real at that n: {self.floor:.2f}"
        )


class Classifier(nnx.Module):
    """LeNet with more channels: images (B, 28, 28, 1) in [-1, 1] -> features (B, 84), logits (B, 10). LeCun et al. 1998."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 16, (5, 5), padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, (5, 5), padding="VALID", rngs=rngs)
        self.dense = nnx.Linear(512, 120, rngs=rngs)
        self.features = nnx.Linear(120, 84, rngs=rngs)
        self.logits = nnx.Linear(84, 10, rngs=rngs)

    def __call__(self, images):
        x = (images + 1) / 2 * 3.2 - 0.4  # paper −0.4, mean about 0, variance about 1
        for conv in (self.conv1, self.conv2):
            x = _rectify(conv(x))
            b, h, w, c = x.shape
            x = x.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))
        features = _rectify(self.features(_rectify(self.dense(x.reshape(b, -1)))))
        return features, self.logits(features)


def _rectify(x):
    return nnx.leaky_relu(x, 0.1)  # with a plain ReLU about half of the features end up dead


def digit_features(images) -> Features:
    """What the digit classifier (99 % right on MNIST's test images) sees in images (N, 28, 28, 1) from -1 to 1.

    In units in which the variances of the 84 features over MNIST's training set add up to 100. Images of nothing (noise,
    grey, several digits at once) were among the training images, with all classes equally right.
    Raises ValueError on other shapes, types or ranges, DataError if the weights are not there.
    """
    return _see("digits", images)


def fashion_features(images) -> Features:
    """As `digit_features`, by a classifier of Fashion-MNIST (90 % right on its test images)."""
    return _see("fashion", images)


def digit_distance(samples, *, n=None, seed=0) -> Distance:
    """Fréchet distance between MNIST's training set and n of the samples, by digit features, with its floor at that n.

    samples: images as for `digit_features`. n: how many to use, drawn without replacement; default all, up to 10,000.
    The floor is the distance of n of the 10,000 test images. It falls as 1/n, and so does part of the distance: two
    distances compare only at equal n. 100 is what one image repeated would score at best, if its features were the mean.
    Raises ValueError as `digit_features` does, on n < 2, and on more than there are samples or test images.
    """
    return _distance("digits", samples, n, seed)


def fashion_distance(samples, *, n=None, seed=0) -> Distance:
    """As `digit_distance`, by fashion features and against Fashion-MNIST."""
    return _distance("fashion", samples, n, seed)


def _distance(name, samples, n, seed):
    reference, unseen = _load(name)[1], _unseen(name)
    most = min(len(samples), len(unseen))
    n = most if n is None else n
    if not isinstance(n, int | np.integer) or not 2 <= n <= most:
        raise ValueError(
            f"n is {n!r}, expected a whole number from 2 to {most:,}: there are {len(samples):,} samples, and "
            f"{len(unseen):,} test images for the floor."
        )
    rng = np.random.default_rng(seed)
    some, real = (rng.permutation(len(x))[:n] for x in (samples, unseen))
    value = frechet_distance(reference, _see(name, np.asarray(samples)[some]).features)
    return Distance(value, int(n), frechet_distance(reference, unseen[real]), name.removesuffix("s"))


@lru_cache
def _unseen(name):
    return _see(name, LOADERS[name]("test")[0]).features


def _see(name, images):
    images = _check(images)
    return _run(_load(name)[0], images)


def _run(params, images):
    parts = []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH]
        padded = np.pad(part, [(0, BATCH - len(part)), (0, 0), (0, 0), (0, 0)])
        parts.append([np.asarray(x)[: len(part)] for x in _apply(params, padded)])
    return Features(*map(np.concatenate, zip(*parts, strict=True)))


@jax.jit
def _apply(params, images):
    features, logits = nnx.merge(_graph(), params)(images)
    return features, jax.nn.softmax(logits)


@lru_cache
def _graph():
    return nnx.split(nnx.eval_shape(lambda: Classifier(rngs=nnx.Rngs(0))))[0]


def _check(images):
    """Images as float32, or a ValueError that says how to make them what the classifier was trained on."""
    shape, dtype = np.shape(images), getattr(images, "dtype", np.asarray(images).dtype)
    if len(shape) != 4 or shape[1:] != (28, 28, 1) or not shape[0]:
        raise ValueError(f"images have shape {shape}, expected (N, 28, 28, 1): reshape or resize them.")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"images are {dtype}, expected floats from -1 to 1: scale bytes with x / 127.5 - 1.")
    images = np.asarray(images, np.float32)
    low, high = images.min(), images.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("images hold values that are not finite: look for the first with np.isfinite(images).")
    if low < -1.001 or high > 1.001:
        cure = "scale with x / 127.5 - 1" if high > 100 else "end the generator with tanh, or np.clip(x, -1, 1)"
        raise ValueError(f"images run from {low:.3g} to {high:.3g}, expected -1 (paper) to 1 (ink): {cure}.")
    if 0 <= low < 0.1 and high > 0.5:
        raise ValueError(f"images run from {low:.3g} to {high:.3g}, expected -1 to 1: scale [0, 1] with 2 * x - 1.")
    return images


@lru_cache
def _load(name):
    """(params, Gaussian of the training set's features) from the weights file."""
    file = _file(name)
    for path in data._places(file):
        if path.is_file():
            break
    else:
        raise data.DataError(
            "\n  ".join([f"{file} is in none of these places:", *map(str, data._places(file))])
            + "\nInstall the course from its folder (pip install -e .), set GAN_COURSE_DATA to a folder with the file, "
            f"or train it, in two minutes: python -m gan_lib.features --data {name}"
        )
    try:
        arrays = safetensors.numpy.load(path.read_bytes())
        params = {}
        for key, array in arrays.items():
            layer, part = key.split(".")
            params.setdefault(layer, {})[part] = np.asarray(array, np.float32)
        reference = Gaussian(**{k: v.astype(np.float64) for k, v in params.pop("reference").items()})
        jax.eval_shape(_apply, params, jnp.zeros((1, 28, 28, 1)))
    except (OSError, safetensors.SafetensorError, LookupError, TypeError, ValueError) as error:
        cure = f"Restore it (in a git checkout: `git checkout data`) or run python -m gan_lib.features --data {name}"
        raise data.DataError(f"{path} does not hold the classifier ({error}). {cure}") from None
    return params, reference


def _file(name):
    return f"{name.removesuffix('s')}-features.safetensors"


# Training


def train(images, labels, *, seed=0, epochs=5, batch_size=128):
    """Weights of a Classifier, as nested dictionaries, after `epochs` passes over images shifted by up to one pixel."""
    steps = epochs * len(images) // batch_size
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-3, steps))
    params = nnx.to_pure_dict(nnx.split(Classifier(rngs=nnx.Rngs(seed)))[1])
    opt, key = optimizer.init(params), jax.random.key(seed)

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(params, opt, key, images, labels):
        draw, shift, rubbish = jax.random.split(key, 3)
        i = jax.random.randint(draw, (batch_size,), 0, len(images))
        x, y = _shift(shift, images[i]), jax.nn.one_hot(labels[i], 10)
        x = jnp.concatenate([x, _rubbish(rubbish, x[: batch_size // 4])])
        y = jnp.concatenate([y, jnp.full((batch_size // 4, 10), 0.1)])

        def loss(params):
            return optax.softmax_cross_entropy(nnx.merge(_graph(), params)(x)[1], y).mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, opt = optimizer.update(grads, opt, params)
        return optax.apply_updates(params, updates), opt, value

    images, labels = jnp.asarray(images), jnp.asarray(labels)
    bar = tqdm(range(steps), file=sys.stdout, mininterval=1)
    for n in bar:
        params, opt, value = step(params, opt, jax.random.fold_in(key, n), images, labels)
        if n % 100 == 0:
            bar.set_postfix_str(f"loss {value:.3f}")
    return params


def _shift(key, images):
    """Each image moved by -1, 0 or 1 pixels in both directions."""
    padded = jnp.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-1)
    places = jax.random.randint(key, (len(images), 2), 0, 3)
    return jax.vmap(lambda x, p: jax.lax.dynamic_slice(x, (p[0], p[1], 0), (28, 28, 1)))(padded, places)


def _rubbish(key, images):
    """One image of nothing for each image: noise, one grey, shuffled pixels, or three on top of each other.

    With all classes equally right they teach the classifier doubt (Hendrycks et al. 2019, outlier exposure).
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
    parser.add_argument("--data", choices=LOADERS, default="digits")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    images, labels = LOADERS[args.data]("train")
    params = train(images, labels, seed=args.seed)
    seen = _run(params, images).features
    scale = np.sqrt(100 / seen.var(axis=0, dtype=np.float64).sum())
    for layer, factor in (("features", {"kernel": scale, "bias": scale}), ("logits", {"kernel": 1 / scale, "bias": 1})):
        params[layer] = {part: factor[part] * array for part, array in params[layer].items()}
    # Stored in 16 bits, and from here on used as stored.
    stored = {f"{layer}.{part}": np.asarray(x, np.float16) for layer, p in params.items() for part, x in p.items()}
    params = {layer: {part: np.float32(stored[f"{layer}.{part}"]) for part in p} for layer, p in params.items()}
    test_images, test_labels = LOADERS[args.data]("test")
    accuracy = float((_run(params, test_images).probs.argmax(axis=1) == test_labels).mean())
    reference = gaussian(_run(params, images).features)
    stored |= {f"reference.{part}": np.float32(x) for part, x in reference._asdict().items()}
    command = f"python -m gan_lib.features --data {args.data} --seed {args.seed}"
    folder = data.REPOSITORY if data.REPOSITORY.is_dir() else data.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = Path(folder) / _file(args.data)
    path.write_bytes(safetensors.numpy.save(stored, {"command": command, "test_accuracy": f"{accuracy:.4f}"}))
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, right on {accuracy:.2%} of the test images")


if __name__ == "__main__":
    main()
