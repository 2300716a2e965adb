"""Wrong answers to the exercises of notebook 04, each with words of the message that names its mistake."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

# --- to_pixels


def cut_off(images):
    return np.clip(127.5 * (np.asarray(images) + 1), 0, 255).astype(np.uint8)


def in_sixteen_bits(images):
    return np.clip(np.rint(127.5 * np.asarray(images) + 127.5).astype(np.int16), 0, 255).astype(np.uint8)


def half_plus_one(images):
    return np.clip(np.rint(255 * (0.5 * np.asarray(images) + 1)), 0, 255).astype(np.uint8)


def half_plus_one_wraps(images):
    return np.rint(255 * (0.5 * np.asarray(images) + 1)).astype(int).astype(np.uint8)


def cast_first(images):
    return np.asarray(images).astype(int)


def cast_first_to_bytes(images):
    return np.asarray(images).astype(int).astype(np.uint8)


def for_unit_range(images):
    return np.clip(np.rint(255 * np.asarray(images)), 0, 255).astype(np.uint8)


def left_in_unit_range(images):
    return np.rint(127.5 * (np.asarray(images) + 1)) / 255


def left_as_floats(images):
    return np.clip(np.rint(127.5 * (np.asarray(images) + 1)), 0, 255)


def not_clipped(images):
    return np.rint(127.5 * (np.asarray(images) + 1)).astype(int).astype(np.uint8)


def upside_down(images):
    return np.clip(np.rint(127.5 * (1 - np.asarray(images))), 0, 255).astype(np.uint8)


def cast_to_bytes_then_scaled(images):
    with np.errstate(invalid="ignore"):
        return (np.asarray(images).astype(np.uint8) + 1) * 127.5


def rounded_up(images):
    return np.clip(np.ceil(127.5 * (np.asarray(images) + 1)), 0, 255).astype(np.uint8)


def to_256(images):
    return np.clip(np.rint(128 * (np.asarray(images) + 1)), 0, 255).astype(np.uint8)


def stretched(images):
    return np.rint(255 * (images - images.min()) / (images.max() - images.min())).astype(np.uint8)


def not_halved(images):
    return np.clip(np.rint(255 * (np.asarray(images) + 1)), 0, 255).astype(np.uint8)


# --- parameters


def weights_only(sizes, norm=False):
    return sum(i * o for i, o in pairwise(sizes)) + 2 * sum(sizes[1:-1]) * norm


def no_biases(sizes, norm=False):
    return sum(i * o for i, o in pairwise(sizes))


def bias_per_input(sizes, norm=False):
    return sum(i * (o + 1) for i, o in pairwise(sizes))


def bias_per_layer(sizes, norm=False):
    return sum(i * o + 1 for i, o in pairwise(sizes))


def bias_on_input(sizes, norm=False):
    return sum(i * o for i, o in pairwise(sizes)) + sum(sizes)


def product(sizes, norm=False):
    return int(np.prod(sizes))


def dense(sizes):
    return sum((i + 1) * o for i, o in pairwise(sizes))


def norm_forgotten(sizes, norm=False):
    return dense(sizes)


def scale_only(sizes, norm=False):
    return dense(sizes) + sum(sizes[1:-1]) * norm


def statistics_counted(sizes, norm=False):
    return dense(sizes) + 4 * sum(sizes[1:-1]) * norm


def norm_on_output(sizes, norm=False):
    return dense(sizes) + 2 * sum(sizes[1:]) * norm


def norm_on_input(sizes, norm=False):
    return dense(sizes) + 2 * sum(sizes[:-1]) * norm


def last_biases_missing(sizes, norm=False):
    return dense(sizes) - sizes[-1] + 2 * sum(sizes[1:-1]) * norm


def norm_unless_told(sizes, norm=True):
    return dense(sizes) + 2 * sum(sizes[1:-1]) * norm


def two_per_layer(sizes, norm=False):
    return dense(sizes) + 2 * len(sizes[1:-1]) * norm


def every_other_layer(sizes, norm=False):
    return sum((i + 1) * o for i, o in zip(sizes[::2], sizes[1::2], strict=False)) + 2 * sum(sizes[1:-1]) * norm


# --- batch_norm


def by(mean, var, x, scale, shift, epsilon):
    return scale * (x - mean) / jnp.sqrt(var + epsilon) + shift


def by_two_means(x, scale, shift, statistics=None, epsilon=1e-5):
    mean, var = (x.mean(0), (x**2).mean(0) - x.mean(0) ** 2) if statistics is None else statistics
    return scale * (x - mean) / jnp.sqrt(var + epsilon) + shift


def layer_norm(x, scale, shift, statistics=None, epsilon=1e-5):
    return by(x.mean(1, keepdims=True), x.var(1, keepdims=True), x, scale, shift, epsilon)


def all_entries(x, scale, shift, statistics=None, epsilon=1e-5):
    return by(x.mean(), x.var(), x, scale, shift, epsilon)


def unbiased(x, scale, shift, statistics=None, epsilon=1e-5):
    return by(x.mean(0), x.var(0, ddof=1), x, scale, shift, epsilon)


def no_epsilon(x, scale, shift, statistics=None, epsilon=1e-5):
    return by(x.mean(0), x.var(0), x, scale, shift, 0)


def fixed_epsilon(x, scale, shift, statistics=None, epsilon=1e-5):
    return by(x.mean(0), x.var(0), x, scale, shift, 1e-5)


def epsilon_outside(x, scale, shift, statistics=None, epsilon=1e-5):
    return scale * (x - x.mean(0)) / (x.std(0) + epsilon) + shift


def no_root(x, scale, shift, statistics=None, epsilon=1e-5):
    return scale * (x - x.mean(0)) / (x.var(0) + epsilon) + shift


def not_scaled(x, scale, shift, statistics=None, epsilon=1e-5):
    return by(x.mean(0), x.var(0), x, 1, 0, epsilon)


def shifted_first(x, scale, shift, statistics=None, epsilon=1e-5):
    return scale * by(x.mean(0), x.var(0), x, 1, shift, epsilon)


def swapped(x, scale, shift, statistics=None, epsilon=1e-5):
    return by(x.mean(0), x.var(0), x, shift, scale, epsilon)


def statistics_ignored(x, scale, shift, statistics=None, epsilon=1e-5):
    return by(x.mean(0), x.var(0), x, scale, shift, epsilon)


def variance_squared(x, scale, shift, statistics=None, epsilon=1e-5):
    mean, std = (x.mean(0), x.std(0)) if statistics is None else statistics
    return by(mean, std**2, x, scale, shift, epsilon)


def in_evaluation(normalise):
    """Right in training; in evaluation what `normalise` does with (x - mean, var, epsilon)."""

    def batch_norm(x, scale, shift, statistics=None, epsilon=1e-5):
        if statistics is None:
            return by(x.mean(0), x.var(0), x, scale, shift, epsilon)
        return scale * normalise(x - statistics[0], statistics[1], epsilon) + shift

    return batch_norm


epsilon_outside_later = in_evaluation(lambda x, var, epsilon: x / (jnp.sqrt(var) + epsilon))
no_epsilon_later = in_evaluation(lambda x, var, epsilon: x / jnp.sqrt(var))
batch_variance_later = in_evaluation(lambda x, var, epsilon: x / jnp.sqrt(x.var(0) + epsilon))


def statistics_exchanged(x, scale, shift, statistics=None, epsilon=1e-5):
    var, mean = (x.var(0), x.mean(0)) if statistics is None else statistics
    return by(mean, var, x, scale, shift, epsilon)


def mean_left_in(x, scale, shift, statistics=None, epsilon=1e-5):
    _, var = (x.mean(0), x.var(0)) if statistics is None else statistics
    return by(0, var, x, scale, shift, epsilon)


def other_default(x, scale, shift, statistics=None, epsilon=1e-3):
    mean, var = (x.mean(0), x.var(0)) if statistics is None else statistics
    return by(mean, var, x, scale, shift, epsilon)


# --- generator


leaky = partial(nnx.leaky_relu, negative_slope=0.2)


def build(
    sizes,
    rngs,
    activation=leaky,
    last=(jnp.tanh,),
    images=True,
    norm_first=True,
    **settings,
):
    layers = []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        both = [nnx.BatchNorm(fan_out, **{"momentum": 0.9, **settings}, rngs=rngs), activation]
        layers += [nnx.Linear(fan_in, fan_out, rngs=rngs), *(both if norm_first else both[::-1])]
    layers += [nnx.Linear(*sizes[-2:], rngs=rngs), *last]
    return nnx.Sequential(*layers, *([lambda x: x.reshape(-1, 28, 28, 1)] if images else []))


def one_norm_for_equal_widths(sizes, *, rngs):
    norms, layers = {n: nnx.BatchNorm(n, momentum=0.9, rngs=rngs) for n in sizes[1:-1]}, []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers += [nnx.Linear(fan_in, fan_out, rngs=rngs), norms[fan_out], leaky]
    return nnx.Sequential(*layers, nnx.Linear(*sizes[-2:], rngs=rngs), jnp.tanh, lambda x: x.reshape(-1, 28, 28, 1))


def norm_at_the_end(sizes, *, rngs):
    return build(sizes, rngs, last=(jnp.tanh, nnx.BatchNorm(784, momentum=0.9, rngs=rngs)))


def epsilon_for_momentum(sizes, *, rngs):
    return build(sizes, rngs, epsilon=0.8)


def default_momentum(sizes, *, rngs):
    return build(sizes, rngs, momentum=0.99)


def other_momentum(sizes, *, rngs):
    return build(sizes, rngs, momentum=0.1)


def relu(sizes, *, rngs):
    return build(sizes, rngs, activation=nnx.relu)


def default_slope(sizes, *, rngs):
    return build(sizes, rngs, activation=nnx.leaky_relu)


def linear(sizes, *, rngs):
    return build(sizes, rngs, activation=lambda x: x)


def activation_first(sizes, *, rngs):
    return build(sizes, rngs, norm_first=False)


def no_tanh(sizes, *, rngs):
    return build(sizes, rngs, last=())


def sigmoid_last(sizes, *, rngs):
    return build(sizes, rngs, last=(nnx.sigmoid,))


def activation_before_tanh(sizes, *, rngs):
    return build(sizes, rngs, last=(leaky, jnp.tanh))


def flat(sizes, *, rngs):
    return build(sizes, rngs, images=False)


def no_norm(sizes, *, rngs):
    layers = [nnx.Linear(*pair, rngs=rngs) for pair in pairwise(sizes)]
    return nnx.Sequential(*layers, jnp.tanh, lambda x: x.reshape(-1, 28, 28, 1))


def layer_missing(sizes, *, rngs):
    return build((*sizes[:-2], sizes[-1]), rngs)


def own_rngs(sizes, *, rngs):
    return build(sizes, nnx.Rngs(0))


def a_function(sizes, *, rngs):
    return lambda z: jnp.tanh(z)


class OneMode(nnx.Module):
    """A BatchNorm that does not ask in which mode it is."""

    def __init__(self, n, rngs, running):
        self.norm, self.running = nnx.BatchNorm(n, momentum=0.9, rngs=rngs), running

    def __call__(self, x):
        return self.norm(x, use_running_average=self.running)


def of_layers(sizes, rngs, hidden):
    """`hidden` makes the layers from a pair of sizes."""
    layers = [layer for pair in pairwise(sizes[:-1]) for layer in hidden(*pair)]
    return nnx.Sequential(*layers, nnx.Linear(*sizes[-2:], rngs=rngs), jnp.tanh, lambda x: x.reshape(-1, 28, 28, 1))


def batch_in_evaluation(sizes, *, rngs):
    return of_layers(sizes, rngs, lambda i, o: (nnx.Linear(i, o, rngs=rngs), OneMode(o, rngs, False), leaky))


def running_in_training(sizes, *, rngs):
    return of_layers(sizes, rngs, lambda i, o: (nnx.Linear(i, o, rngs=rngs), OneMode(o, rngs, True), leaky))


def no_scale_and_shift(sizes, *, rngs):
    return build(sizes, rngs, use_scale=False, use_bias=False)


def no_biases_before_norm(sizes, *, rngs):
    norm = partial(nnx.BatchNorm, momentum=0.9, rngs=rngs)
    return of_layers(sizes, rngs, lambda i, o: (nnx.Linear(i, o, use_bias=False, rngs=rngs), norm(o), leaky))


def two_hidden_layers(sizes, *, rngs):
    return build((*sizes[:3], sizes[-1]), rngs)


def rngs_for_the_first(sizes, *, rngs):
    def hidden(i, o):
        own = rngs if i == sizes[0] else nnx.Rngs(i)
        return nnx.Linear(i, o, rngs=own), nnx.BatchNorm(o, momentum=0.9, rngs=own), leaky

    return of_layers(sizes, rngs, hidden)


def gradient_stopped(sizes, *, rngs):
    return build(sizes, rngs, activation=lambda x: jax.lax.stop_gradient(leaky(x)))


def numpys_tanh(sizes, *, rngs):
    return build(sizes, rngs, last=(np.tanh,))


def one_batch_size(sizes, *, rngs):
    return build(sizes, rngs, last=(jnp.tanh, lambda x: x.reshape(16, 28, 28, 1)), images=False)


# --- average


def decay_swapped(average, latest, decay):
    return jax.tree.map(lambda a, b: (1 - decay) * a + decay * b, average, latest)


def added_up(average, latest, decay):
    return jax.tree.map(lambda a, b: a + (1 - decay) * b, average, latest)


def whole_latest(average, latest, decay):
    return jax.tree.map(lambda a, b: decay * a + b, average, latest)


def plain_mean(average, latest, decay):
    return jax.tree.map(lambda a, b: (a + b) / 2, average, latest)


def latest_only(average, latest, decay):
    return latest


def stuck(average, latest, decay):
    return average


def numbers_only(average, latest, decay):
    return decay * average + (1 - decay) * latest


def flat_only(average, latest, decay):
    return {name: decay * average[name] + (1 - decay) * latest[name] for name in average}


def own_decay(average, latest, decay):
    return jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, average, latest)


def decay_rounded(average, latest, decay):
    return decay_swapped(average, latest, 1 - round(decay, 1))


def in_place(average, latest, decay):
    def leaf(a, b):
        if not isinstance(a, np.ndarray):
            return decay * a + (1 - decay) * b
        a *= decay
        a += (1 - decay) * b
        return a

    return jax.tree.map(leaf, average, latest)


# --- common


def vectors(images):
    return images.reshape(len(images), -1)


def root_of_share(images):
    return jnp.linalg.norm(images.mean(0)) / jnp.sqrt((images**2).sum() / len(images))


def lengths_compared(images):
    return jnp.linalg.norm(images.mean(0)) / jnp.linalg.norm(vectors(images), axis=1).mean()


def mean_length_squared(images):
    return (images.mean(0) ** 2).sum() / jnp.linalg.norm(vectors(images), axis=1).mean() ** 2


def what_differs(images):
    return images.var(0).sum() / ((images**2).sum() / len(images))


def upside_down_share(images):
    return (images**2).sum() / len(images) / (images.mean(0) ** 2).sum()


def over_the_sum(images):
    return (images.mean(0) ** 2).sum() / (images**2).sum()


def length_of_mean(images):
    return (images.mean(0) ** 2).sum()


def mean_brightness(images):
    return images.mean() ** 2 / (images**2).mean()


def brightness_each(images):
    return (vectors(images).mean(1) ** 2).mean() / (images**2).mean()


def mean_over_pixels(images):
    return (images.mean(0) ** 2).mean() / ((images**2).sum() / len(images))


def over_the_variance(images):
    return (images.mean(0) ** 2).sum() / images.var(0).sum()


def one_an_image(images):
    return (vectors(images) @ vectors(images).mean(0)) / (vectors(images) ** 2).sum(1)


WRONG = {
    "04.to_pixels": [
        (in_sixteen_bits, "does not fit into an integer's bits"),
        (cut_off, "come back one too low"),
        (half_plus_one, "0.5·x + 1"),
        (half_plus_one_wraps, "0.5·x + 1"),
        (cast_first, "cast before you scale"),
        (cast_first_to_bytes, "cast before you scale"),
        (for_unit_range, "You use 255·x"),
        (left_in_unit_range, "You stop at [0, 1]"),
        (left_as_floats, "stored as uint8"),
        (not_clipped, "Clip before any cast"),
        (upside_down, "upside down"),
        (cast_to_bytes_then_scaled, "cast before you scale"),
        (rounded_up, "are rounded up"),
        (to_256, "multiply by 128"),
        (stretched, "its own darkest"),
        (not_halved, "forget to halve"),
    ],
    "04.parameters": [
        (weights_only, "biases are missing"),
        (no_biases, "biases are missing"),
        (bias_per_input, "per *input*"),
        (bias_per_layer, "one bias per layer"),
        (bias_on_input, "biases for the input too"),
        (product, "You multiply all sizes"),
        (norm_forgotten, "BatchNorm is missing"),
        (scale_only, "a scale *and* a shift"),
        (statistics_counted, "running mean and variance"),
        (norm_on_output, "after the output layer"),
        (norm_on_input, "on the input"),
        (last_biases_missing, "biases of the last layer"),
        (norm_unless_told, "although `norm` is False"),
        (two_per_layer, "one scale and one shift per layer"),
        (every_other_layer, "skip every other layer"),
    ],
    "04.batch_norm": [
        (by_two_means, "rounds below 0"),
        (layer_norm, "LayerNorm"),
        (all_entries, "one mean over all entries"),
        (unbiased, "n − 1"),
        (no_epsilon, "does not depend on epsilon"),
        (fixed_epsilon, "You write ε as a number"),
        (epsilon_outside, "inside the root"),
        (no_root, "A root is missing"),
        (not_scaled, "scale and shift are missing"),
        (shifted_first, "before you scale"),
        (swapped, "Scale and shift are swapped"),
        (statistics_ignored, "You ignore `statistics`"),
        (variance_squared, "you square it"),
        (epsilon_outside_later, "With `statistics` given: Epsilon belongs inside the root"),
        (no_epsilon_later, "With `statistics` given: Your result does not depend on epsilon"),
        (batch_variance_later, "the variance still from the batch"),
        (statistics_exchanged, "(mean, var), in this order"),
        (mean_left_in, "mean is not taken off"),
        (other_default, "ε is 1e-5 unless told"),
    ],
    "04.generator": [
        (one_norm_for_equal_widths, "has one BatchNorm after it"),
        (norm_at_the_end, "BatchNorm on the 784 outputs"),
        (epsilon_for_momentum, "was that meant as momentum"),
        (default_momentum, "momentum is 0.99"),
        (other_momentum, "share of the *old*"),
        (relu, "Your activation is ReLU"),
        (default_slope, "Your slope is 0.01"),
        (linear, "no activation between the layers"),
        (activation_first, "BatchNorm comes after your activation"),
        (no_tanh, "There is no tanh"),
        (sigmoid_last, "The output is a sigmoid"),
        (activation_before_tanh, "between the last layer and tanh"),
        (flat, "reshape it to images"),
        (no_norm, "has one BatchNorm"),
        (layer_missing, "your Linear layers map"),
        (own_rngs, "hand `rngs=rngs` on"),
        (a_function, "is the function"),
        (batch_in_evaluation, "In evaluation mode, in which `gan.sample` draws"),
        (running_in_training, "running averages in training, too"),
        (no_scale_and_shift, "lost its learnt scale"),
        (no_biases_before_norm, "has no biases"),
        (two_hidden_layers, "your Linear layers map"),
        (rngs_for_the_first, "same weights in the layer from 12 features"),
        (gradient_stopped, "their gradient is 0"),
        (numpys_tanh, "calls NumPy"),
        (one_batch_size, "cannot reshape"),
    ],
    "04.average": [
        (decay_swapped, "The weights are swapped"),
        (added_up, "grows for ever"),
        (whole_latest, "(1 − decay) is missing"),
        (plain_mean, "plain mean"),
        (latest_only, "nothing is averaged"),
        (stuck, "never moves"),
        (numbers_only, "TypeError"),
        (flat_only, "weights are nested"),
        (own_decay, "You write 0.9 as a number"),
        (decay_rounded, "With decay = 0.375 you return 0.4"),
        (in_place, "in place"),
    ],
    "04.common": [
        (root_of_share, "root of the share"),
        (lengths_compared, "*squared* lengths"),
        (mean_length_squared, "mean of the *squared* lengths"),
        (what_differs, "do not have in common"),
        (upside_down_share, "on its head"),
        (over_the_sum, "it is the mean"),
        (length_of_mean, "You do not divide"),
        (mean_brightness, "The mean *image*"),
        (brightness_each, "axis 0"),
        (mean_over_pixels, "Both are sums"),
        (over_the_variance, "distance from the mean"),
        (one_an_image, "one number is asked for"),
    ],
}
