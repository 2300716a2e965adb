"""Data: images of digits and of clothes, your own pictures (pictures.py), and 2-D mixtures of exactly known density."""

import math
import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.fetch import DataError, content, places, unused
from gan_lib.pictures import images as images


def mnist(split="train"):
    """Handwritten digits: images float32 (N, 28, 28, 1) from -1 (paper) to 1 (ink), labels int32 (N,) from 0 to 9.

    split: "train" (N = 60,000) or "test" (N = 10,000). Raises ValueError on another split, DataError on bad files.
    Y. LeCun, C. Cortes, C. Burges; CC BY-SA 3.0.
    """
    return _load("mnist", split)


def fashion_mnist(split="train"):
    """Pieces of clothing in MNIST's format: the same shapes, ranges and errors as `mnist`.

    T-shirt, trousers, pullover, dress, coat, sandal, shirt, trainer, bag, boot. Xiao et al. 2017, Zalando; MIT licence.
    """
    return _load("fashion-mnist", split)


def scaled(pixels):
    """Bytes (0 paper, 255 ink) as `mnist` gives them: float32 from -1 to 1. For `GAN(..., prepare=data.scaled)`."""
    return jnp.asarray(pixels).astype(jnp.float32) / 127.5 - 1


def _load(name, split):
    if split not in ("train", "test"):
        raise ValueError(f'split is {split!r}; {name} has "train" (60,000 images) and "test" (10,000 images).')
    prefix = f"{name}/{dict(train='train', test='t10k')[split]}"
    labels = _parse(content(f"{prefix}-labels-idx1-ubyte.gz")).astype(np.int32)
    images = _parse(content(f"{prefix}-images-idx3-ubyte.gz"))[..., None].astype(np.float32)
    images /= 127.5  # in place: 188 MB are not copied again
    images -= 1.0
    for words in unused(name):
        warnings.warn(words, stacklevel=3)
    return images, labels


def _parse(content):
    """Bytes of an idx file -> uint8 array. Two zeros, the type (8: uint8), the rank, big-endian sizes, the entries."""
    shape = np.frombuffer(content, ">u4", count=content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + shape.nbytes).reshape(shape)


def weights(file, command):
    """Path of a file of trained weights that comes with the course. command: what trains it anew, for the error.

    Raises DataError where the file is in none of the places in which images are looked for, too.
    """
    if path := next(filter(os.path.isfile, places(file)), None):  # the home folder is looked for last, if at all
        return path
    raise DataError(
        "\n  ".join([f"{file} is in none of these places:", *map(str, places(file))])
        + "\nInstall the course from its folder (pip install -e .), set GAN_COURSE_DATA to a folder with the file, or "
        f"train it: {command}"
    )


class Mixture:
    """Equally weighted round Gaussians in the plane; ready for use inside jit, grad and vmap.

    means: (K, 2), the modes; std: the one standard deviation of all, in both directions.
    Raises ValueError on another shape, on means that are not finite and on std ≤ 0.
    """

    def __init__(self, means, std):
        means = np.asarray(means, float)
        if means.ndim != 2 or means.shape[1] != 2 or not len(means) or not np.isfinite(means).all():
            raise ValueError(f"means has shape {means.shape}, expected (K, 2) with K ≥ 1 and finite entries.")
        _positive(std=std)
        self.means, self.std = jnp.asarray(means, float), float(std)

    def sample(self, key, n):
        """n independent points, (n, 2)."""
        key_mode, key_noise = jax.random.split(key)
        mode = jax.random.randint(key_mode, (n,), 0, len(self.means))
        return self.means[mode] + self.std * jax.random.normal(key_noise, (n, 2))

    def log_prob(self, x):
        """Log density, in nats, at the points x (n, 2): (n,). Raises ValueError on another shape."""
        x = jnp.asarray(x)
        if x.ndim != 2 or x.shape[1] != 2:
            raise ValueError(f"x has shape {x.shape}, expected (n, 2); for a single point use x[None].")
        distance = (x[:, None] - self.means) / self.std  # (n, K, 2), in standard deviations
        # A plain sum of exponentials is 0, and its log -inf, from 15 standard deviations off every mode.
        log_sum = jax.nn.logsumexp(-0.5 * jnp.sum(distance**2, axis=-1), axis=-1)
        return log_sum - math.log(len(self.means) * 2 * math.pi * self.std**2)


def ring(modes=8, radius=1.0, std=0.01):
    """Modes at equal angles from 0 on, without the full turn, which is 0 again (Srivastava et al. 2017, VEEGAN)."""
    _positive(modes=modes, radius=radius)
    return Mixture(radius * _circle(2 * np.pi * np.arange(modes) / modes), std)


def grid(side=5, spacing=2.0, std=0.05):
    """side × side modes, `spacing` apart, around the origin (Srivastava et al. 2017, VEEGAN)."""
    _positive(side=side, spacing=spacing)
    places = [spacing * (np.arange(side) - (side - 1) / 2)] * 2
    return Mixture(np.stack(np.meshgrid(*places), axis=-1).reshape(-1, 2), std)


def spiral(turns=2.0, radius=2.0, std=0.05):
    """A band along the spiral that leaves the origin and after `turns` turns reaches `radius`; see `_band`."""
    _positive(turns=turns, radius=radius, std=std)
    return Mixture(_band(lambda t: radius * t[:, None] * _circle(2 * np.pi * turns * t), std), std)


def two_moons(radius=1.0, std=0.05):
    """Bands along two half circles, each reaching into the other, around the origin; see `_band`."""
    _positive(radius=radius, std=std)
    upper = _band(lambda t: radius * (_circle(np.pi * t) - np.array([0.5, 0.25])), std)
    return Mixture(np.concatenate([upper, -upper]), std)


def _band(curve, std):
    """Modes (K, 2) along a curve, a function of t in [0, 1], so close (≤ std) that on a line density varies by 1e-8."""
    points = curve(np.linspace(0, 1, 10_000))
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    place = np.linspace(0, length[-1], 1 + math.ceil(length[-1] / std))
    return np.stack([np.interp(place, length, coordinate) for coordinate in points.T], axis=-1)


def _circle(angle):
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _positive(**arguments):
    for name, value in arguments.items():
        whole = name in ("modes", "side")  # counts
        if not 0 < value < math.inf or (whole and value != int(value)):
            raise ValueError(f"{name} is {value!r}, expected a {'whole' if whole else 'finite'} number above 0.")
