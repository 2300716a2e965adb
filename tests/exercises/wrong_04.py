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


# --- batch_norm


def by(mean, var, x, scale, shift, epsilon):
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


# --- slerp


def chord(a, b, t):
    return (1 - t) * a + t * b


def angle_between(a, b):
    return jnp.arccos(a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b))


def mix(a, b, t, angle):
    return (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / jnp.sin(angle)


def lengths_forgotten(a, b, t):
    return mix(a, b, t, jnp.arccos(a @ b))


def not_divided(a, b, t):
    return mix(a, b, t, angle_between(a, b)) * jnp.sin(angle_between(a, b))


def backwards(a, b, t):
    return mix(b, a, t, angle_between(a, b))


def unit_line(a, b, t):
    line = chord(a, b, t)
    return line / jnp.linalg.norm(line)


def stretched_line(a, b, t):
    return unit_line(a, b, t) * chord(jnp.linalg.norm(a), jnp.linalg.norm(b), t)


def unit_ends(a, b, t):
    return mix(a / jnp.linalg.norm(a), b / jnp.linalg.norm(b), t, angle_between(a, b))


def degrees(a, b, t):
    return mix(a, b, t, jnp.degrees(angle_between(a, b)))


WRONG = {
    "04.to_pixels": [
        (cut_off, "come back one too low"),
        (half_plus_one, "0.5·x + 1"),
        (half_plus_one_wraps, "0.5·x + 1"),
        (cast_first, "cast before you scale"),
        (cast_first_to_bytes, "cast before you scale"),
        (for_unit_range, "You use 255·x"),
        (left_in_unit_range, "You stop at [0, 1]"),
        (left_as_floats, "stored as uint8"),
        (not_clipped, "Clip before the cast"),
        (upside_down, "upside down"),
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
    ],
    "04.batch_norm": [
        (layer_norm, "LayerNorm"),
        (all_entries, "one mean over all entries"),
        (unbiased, "n − 1"),
        (no_epsilon, "does not depend on epsilon"),
        (fixed_epsilon, "result is not the expected one"),
        (epsilon_outside, "inside the root"),
        (no_root, "A root is missing"),
        (not_scaled, "scale and shift are missing"),
        (shifted_first, "before you scale"),
        (swapped, "Scale and shift are swapped"),
        (statistics_ignored, "You ignore `statistics`"),
        (variance_squared, "you square it"),
    ],
    "04.generator": [
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
    ],
    "04.average": [
        (decay_swapped, "The weights are swapped"),
        (added_up, "grows for ever"),
        (whole_latest, "(1 − decay) is missing"),
        (plain_mean, "plain mean"),
        (latest_only, "nothing is averaged"),
        (stuck, "never moves"),
        (numbers_only, "TypeError"),
    ],
    "04.slerp": [
        (chord, "the chord"),
        (lengths_forgotten, "Divide a·b by both lengths"),
        (not_divided, "division by sin Ω is missing"),
        (backwards, "from b to a"),
        (unit_line, "to length 1"),
        (stretched_line, "speed along the arc"),
        (unit_ends, "You shorten a and b"),
        (degrees, "in degrees"),
    ],
}
