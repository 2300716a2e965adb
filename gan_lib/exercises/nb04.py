"""Notebook 04, GANs of dense networks: references, hints and checks."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.compare import close, fit, kind_of, recognise
from gan_lib.nets import MLP
from gan_lib.pure import arrays, create, forward

# --- 04.to_pixels ---------------------------------------------------------------------------------------------------


def check_to_pixels(fn):
    """All 256 grey levels there and back; values between levels; values outside [-1, 1]."""
    levels = np.arange(256)
    x = (levels / 127.5 - 1).astype(np.float32).reshape(4, 8, 8, 1)
    pixels = levels.reshape(x.shape)
    with np.errstate(invalid="ignore"):
        got = fn(x)
    kind = getattr(got, "dtype", type(got).__name__)
    if np.shape(got) == x.shape:
        if 1 < len(np.unique(got)) < 5:
            raise Mistake(
                "You cast before you scale, or round: all values strictly between −1 and 1 become one or two."
            )
        for scaled, message in (
            (
                255 * (0.5 * x + 1),
                "You use 0.5·x + 1, which maps −1 to ½: paper comes out grey. Halve the sum: (x + 1)/2.",
            ),
            (255 * x, "You use 255·x: that is for [0, 1]. Here half of the range is lost."),
            (
                255 * abs(x),
                "You use 255·|x|: −1, paper, comes out as ink. A straight line leads from −1 to 0, from 1 to 255.",
            ),
            (127.5 * x, "You forget the + 1: −1 gives −127.5, and half of the range is lost."),
            (127.5 * x + 1, "You add 1 after you scale. First add, then scale: 127.5·(x + 1)."),
            (255 * (x + 1), "You forget to halve: x + 1 runs from 0 to 2, so 255·(x + 1) from 0 to 510."),
            (128 * (x + 1), "You multiply by 128, so that 1 gives 256. The largest byte is 255: use 127.5."),
            (127 * (x + 1), "You multiply by 127, so that 1 gives 254. The largest byte is 255: use 127.5."),
            (
                127 * x + 128,
                "You use 127·x + 128, so that −1 gives 1. A straight line leads from −1 to 0: 127.5·(x + 1).",
            ),
            (127.5 * (x + 1) + 1, "You add 1 twice: −1 is to give 0."),
            (127.5 * (1 - x), "Your scale is upside down: −1 is 0, 1 is 255."),
            (127.5 * (x + 1) / 255, "You stop at [0, 1]. Bytes run from 0 to 255."),
            (np.rint(127.5 * (x + 1)) / 255, "You stop at [0, 1]. Bytes run from 0 to 255."),
        ):
            whole = [scaled, *(np.clip(each, 0, 255) for each in (scaled, np.rint(scaled), np.trunc(scaled)))]
            whole += [np.rint(scaled) % 256, np.trunc(scaled) % 256]
            recognise(got, *((value, message) for value in whole), right=pixels)
        if kind != np.uint8:
            raise Mistake(
                f"Pixels are stored as uint8; yours are {kind}. Cast with `.astype(np.uint8)` at the very end."
            )
        off = np.asarray(got, int) - pixels
        if off.any() and set(np.unique(off)) <= {-1, 0}:
            raise Mistake(
                f"{(off != 0).sum()} of the 256 levels come back one too low: a cast to integers cuts off, so "
                "200 stored as 199.99999 becomes 199. Round to the nearest, with `rint`, last before the cast."
            )
        if off.any() and set(np.unique(off)) <= {1, 0}:
            raise Mistake(
                f"{(off != 0).sum()} of the 256 levels come back one too high: you round up, not to the nearest."
            )
    same(got, pixels.astype(np.uint8), inputs={"images": x}, what="uint8 image")
    between = np.float32([-0.999, -0.5, 0.001, 0.3, 0.9])  # not 0: 127.5 is as near to 127 as to 128
    got = fn(between)
    recognise(
        got,
        (
            np.rint(255 * (between - between.min()) / np.ptp(between)),
            "You stretch each batch from its own darkest to its own lightest value. −1 is always 0, and 1 always 255.",
        ),
        (
            np.ceil(127.5 * (between + 1)),
            "Values between two levels are rounded up; round to the nearest, with `rint`.",
        ),
        (np.floor(127.5 * (between + 1)), "Values between two levels are cut off; round to the nearest, with `rint`."),
    )
    same(got, np.rint(127.5 * (between + 1)).astype(np.uint8), inputs={"images": between})
    beyond = np.float32([[-1.5, -1.01, -1000.0], [1.01, 3.0, 1000.0]])
    with np.errstate(invalid="ignore"):
        got = np.asarray(fn(beyond))
    if got.shape != (2, 3) or not (got == np.uint8([[0] * 3, [255] * 3])).all():
        raise Mistake(
            f"Right inside [−1, 1], but −1.5, −1.01, −1000, 1.01, 3, 1000 give {got.ravel().tolist()}, expected three times "
            "0 and 255: what does not fit into an integer's bits starts again at 0. Clip before any cast."
        )


@define(
    "04.to_pixels",
    difficulty=1,
    minutes=5,
    check=check_to_pixels,
    hints=(
        "A straight line: −1 goes to 0, and 1 goes to 255. What does 0 go to?",
        "127.5·(x + 1). The cast to integers cuts off what is behind the point, and what lies outside 0 … 255 wraps.",
        "Three steps in this order: scale, `np.rint` to the nearest, `np.clip` to 0 … 255. Then `.astype(np.uint8)`.",
    ),
)
def to_pixels(images):
    """Floats in [-1, 1] of any shape -> uint8 from 0 to 255.

    Rounded to the nearest; what lies beyond ±1 is clipped.
    """
    grey = np.rint(127.5 * (np.asarray(images) + 1))
    return np.clip(grey, 0, 255).astype(np.uint8)


# --- 04.parameters --------------------------------------------------------------------------------------------------


def count(sizes, norm):
    """The learnable parameters of the library's MLP, counted on its arrays."""
    shapes = nnx.eval_shape(lambda: MLP(sizes, rngs=nnx.Rngs(0), norm=norm))
    return sum(p.size for p in jax.tree.leaves(nnx.state(shapes, nnx.Param)))


def check_parameters(fn):
    """Against the arrays of the library's MLP. All cases at once: one number alone looks like many mistakes."""
    cases = [(4, 5, 3), (7, 4), (100, 256, 784), (6, 3, 8, 5, 2)]
    cases = [(sizes, norm) for norm in (False, True) for sizes in cases]
    got = [fn(sizes, norm) if norm else fn(sizes) for sizes, norm in cases]

    def weights(s):
        return sum(i * o for i, o in pairwise(s))

    def dense(s):
        return weights(s) + sum(s[1:])

    def hidden(s):
        return sum(s[1:-1])

    plain, normed = (
        {  # by a formula for sizes s
            "The biases are missing: a layer has one per output, beside its fan-in × fan-out weights.": weights,
            "You count one bias per *input* of a layer; there is one per output.": lambda s: weights(s) + sum(s[:-1]),
            "You count one bias per layer; there is one per output feature.": lambda s: weights(s) + len(s) - 1,
            "You count one bias in all; each layer has one per output feature.": lambda s: weights(s) + 1,
            "You count biases for the input too. The input is data, it has none.": lambda s: weights(s) + sum(s),
            "The biases of the last layer are missing.": lambda s: dense(s) - s[-1],
            "The biases of the first layer are missing.": lambda s: dense(s) - s[1],
            "You multiply all sizes. Layers stand one after another: their numbers add up.": lambda s: int(np.prod(s)),
            "(fan_in + 1)·(fan_out + 1) counts too much: only one of the two gets the + 1, for the biases.": lambda s: (
                sum((i + 1) * (o + 1) for i, o in pairwise(s))
            ),
            "You add fan-in and fan-out. Each input has a weight to each output: multiply.": lambda s: sum(
                i + o for i, o in pairwise(s)
            ),
            "You count units. The parameters sit between them: fan-in × fan-out weights for each pair of layers.": sum,
            "You skip every other layer: the output of one is the input of the next, as `pairwise` has it.": lambda s: (
                sum((i + 1) * o for i, o in zip(s[::2], s[1::2], strict=False))
            ),
            "The last layer is missing.": lambda s: dense(s[:-1]),
            "The first layer is missing.": lambda s: dense(s[1:]),
            "You pair each size with itself; a layer leads from one size to the next.": lambda s: sum(
                (i + 1) * i for i in s
            ),
        },
        {  # what BatchNorm adds, wrongly
            "BatchNorm is missing: it learns a scale and a shift for each feature it normalises.": lambda s: 0,
            "BatchNorm learns two numbers a feature, a scale *and* a shift; and the layer before it keeps its biases.": hidden,
            "You count BatchNorm's running mean and variance. They are kept, not learnt by gradient.": lambda s: (
                4 * hidden(s)
            ),
            "BatchNorm has two learnt numbers a feature, scale and shift, and you count three.": lambda s: (
                3 * hidden(s)
            ),
            "You count a BatchNorm after the output layer. It stands between layers only.": lambda s: 2 * sum(s[1:]),
            "You count a BatchNorm on the input. It follows the hidden layers only.": lambda s: 2 * sum(s[:-1]),
            "You count a BatchNorm on the input and one on the output. It follows the hidden layers only.": lambda s: (
                2 * sum(s)
            ),
            "You count one scale and one shift per layer; each of its features has its own.": lambda s: (
                2 * (len(s) - 2)
            ),
            "BatchNorm follows every hidden layer; you count only the first.": lambda s: 2 * s[1] * (len(s) > 2),
            "BatchNorm follows every hidden layer; you count only the last.": lambda s: 2 * s[-2] * (len(s) > 2),
        },
    )
    suspects = {
        "You count BatchNorm although `norm` is False, which it is unless told.": [
            [dense(s) + 2 * hidden(s) for s, _ in cases]
        ],
        "`norm` works the wrong way round.": [[dense(s) + 2 * hidden(s) * (not norm) for s, norm in cases]],
    }
    for message, formula in plain.items():
        suspects[message] = [[formula(s) + 2 * hidden(s) * norm for s, norm in cases], [formula(s) for s, _ in cases]]
    for message, more in normed.items():
        suspects[message] = [[dense(s) + more(s) * norm for s, norm in cases]]
    rights = [count(*case) for case in cases]
    for number, right in zip(got, rights, strict=True):
        fit(number, right, "number of parameters")
    for message, lists in suspects.items():
        if [int(number) for number in got] in lists:
            raise Mistake(message)
    for (sizes, norm), number, right in zip(cases, got, rights, strict=True):
        inputs = {"sizes": np.array(sizes), "norm": norm}
        same(number, right, inputs=inputs, rtol=0, what="number of parameters")


@define(
    "04.parameters",
    difficulty=1,
    minutes=5,
    check=check_parameters,
    hints=(
        "One layer first: 3 inputs, 5 outputs. Each output is a weighted sum of all inputs plus a bias: 5 · (3 + 1).",
        "`pairwise(sizes)`, from itertools, gives the pairs (fan_in, fan_out). BatchNorm learns a scale and a shift for each "
        "feature of the hidden layers; its running mean and variance are not learnt.",
        "Sum (fan_in + 1) · fan_out over the pairs, and with `norm` add 2 · sum(sizes[1:-1]).",
    ),
)
def parameters(sizes, norm=False):
    """Number of learnable parameters of MLP(sizes, norm=norm).

    Weights and biases, and with `norm` BatchNorm's scales and shifts.
    """
    dense = sum((m + 1) * n for m, n in pairwise(sizes))
    return dense + 2 * sum(sizes[1:-1]) * norm


# --- 04.batch_norm --------------------------------------------------------------------------------------------------


def check_batch_norm(fn):
    """Random batches by the formula in float64; given statistics; constant features."""
    rng = np.random.default_rng(4)
    n, d, epsilon = 5, 3, 1e-3
    x = np.float32(rng.normal([-2, 0, 5], [0.03, 1, 2], (n, d)))
    scale, shift = np.float32(rng.normal(1, 1, (2, d)))
    arrays = {"x": jnp.asarray(x), "scale": jnp.asarray(scale), "shift": jnp.asarray(shift)}
    own = x.mean(0, dtype=float), x.astype(float).var(0)
    kept = np.float32([0.5, 1, 3]), np.float32([0.002, 4, 0.3])

    def norm(mean, var, epsilon=epsilon):
        return scale * (x - mean) / np.sqrt(var + epsilon) + shift

    def mistakes(mean, var):
        std = np.sqrt(var + epsilon)
        plain = (x - mean) / std
        return (
            (norm(mean, var, 0), "Your result does not depend on epsilon. It is added to the variance."),
            (norm(mean, var, 1e-5), "You write ε as a number. It comes in as `epsilon`, here 0.001."),
            (scale * (x - mean) / (np.sqrt(var) + epsilon) + shift, "Epsilon belongs inside the root: √(var + ε)."),
            (scale * (x - mean) / np.sqrt(var) + epsilon + shift, "Epsilon belongs under the root: √(var + ε)."),
            (scale * (x - mean) / (var + epsilon) + shift, "You divide by the variance. A root is missing."),
            (scale * (x - mean) * std + shift, "You multiply by the spread √(var + ε). Divide."),
            (norm(mean, var**2), "It holds a variance, and you square it as if it were a spread."),
            (plain, "The learnt scale and shift are missing: y = scale · x̂ + shift."),
            (scale * plain, "The learnt shift is missing: y = scale · x̂ + shift."),
            (plain + shift, "The learnt scale is missing: y = scale · x̂ + shift."),
            (scale * plain - shift, "You subtract the shift: y = scale · x̂ + shift."),
            ((1 + scale) * plain + shift, "You multiply by 1 + scale: y = scale · x̂ + shift."),
            (plain / scale + shift, "You divide by scale: y = scale · x̂ + shift."),
            (scale * (plain + shift), "You shift before you scale: y = scale · x̂ + shift."),
            (scale * (x - mean + shift) / std, "You shift before you divide: y = scale · x̂ + shift."),
            (shift * plain + scale, "Scale and shift are swapped: y = scale · x̂ + shift."),
            (shift - scale * plain, "You take mean − x. It is x − mean."),
            (scale * x / std + shift, "The mean is not taken off: x̂ = (x − mean)/√(var + ε)."),
            (x, "x comes out as it is. It is normalised, by the given statistics where there are some."),
        )

    got, right = fn(*arrays.values(), None, epsilon), norm(*own)
    absolute = abs(x - own[0])
    recognise(
        got,
        (
            norm(x.mean(1, keepdims=True), x.var(1, keepdims=True)),
            "You average over axis 1, the features of one sample: that is LayerNorm. Average over the batch, axis 0.",
        ),
        (norm(x.mean(), x.var()), "You take one mean over all entries. Each feature has its own: axis 0."),
        (norm(own[0], own[1] * n / (n - 1)), "You divide by n − 1 in the variance; BatchNorm divides by n."),
        (norm(own[0], own[1] * n), "Your variance is a sum over the batch; it is a mean."),
        (norm(own[0], (x.astype(float) ** 2).mean(0)), "Your variance is the mean of x²; take the mean off first."),
        (norm(own[0], absolute.mean(0)), "The variance is the mean of squares, not of absolute values."),
        (scale * (x - own[0]) / (absolute.mean(0) + epsilon) + shift, "Squares, not absolute values: the variance."),
        *mistakes(*own),
        right=right,
    )
    same(got, right, inputs=arrays, rtol=1e-3, atol=1e-4)
    got, expected = fn(*arrays.values(), tuple(map(jnp.asarray, kept)), epsilon), norm(*kept)
    recognise(
        got,
        (right, "You ignore `statistics`. Where they are given, the batch's own mean and variance play no part."),
        (norm(*kept[::-1]), "The pair `statistics` is (mean, var), in this order."),
        (norm(kept[0], own[1]), "You take the mean from `statistics`, and the variance still from the batch."),
        (norm(own[0], kept[1]), "You take the variance from `statistics`, and the mean still from the batch."),
        (norm(kept[0], ((x - kept[0]) ** 2).mean(0)), "The variance is given, too: take it from `statistics`."),
        (
            norm(*(0.9 * old + 0.1 * new for old, new in zip(kept, own, strict=True))),
            "You mix `statistics` with the batch's own. Running averages are kept in training; in evaluation they stand.",
        ),
        *((value, f"With `statistics` given: {message}") for value, message in mistakes(*kept)),
        right=expected,
    )
    inputs = {**arrays, "mean": kept[0], "var": kept[1]}
    same(got, expected, inputs=inputs, rtol=1e-3, atol=1e-4, what="result with given statistics")
    got = fn(jnp.full((n, d), 3.0), arrays["scale"], arrays["shift"])
    if not np.isfinite(got).all():
        raise Mistake("A feature that is the same in the whole batch gives 0/0 = NaN: add epsilon under the root.")
    same(got, np.tile(shift, (n, 1)), atol=1e-4, what="result for constant features")
    for level in (100.1, 300.7, 77.3):  # 3.0, above, is exact
        if not np.isfinite(fn(jnp.full((128, d), level), arrays["scale"], arrays["shift"])).all():
            raise Mistake(
                f"Features that are all {level} give NaN: E x² − (E x)² rounds below 0. Take the mean of (x − mean)²."
            )
    # Exact in float32, so that only ε is at stake.
    narrow = 2.0**-8 * jnp.array([[-1.0, 1, 3], [1, -1, -3], [1, 1, -3], [-1, -1, 3]])
    var = np.asarray(narrow).var(0)
    got = fn(narrow, arrays["scale"], arrays["shift"])
    recognise(got, (scale * narrow / np.sqrt(var + 1e-3) + shift, "ε is 1e-5 unless told, as in Flax; yours is 1e-3."))
    same(got, scale * narrow / np.sqrt(var + 1e-5) + shift, inputs={"x": narrow}, rtol=1e-3, atol=1e-4)


@define(
    "04.batch_norm",
    difficulty=2,
    minutes=8,
    check=check_batch_norm,
    hints=(
        "Each feature, a column of x, is treated alone: what are its mean and its variance over the batch?",
        "Axis 0; the variance is the mean of squares, 1/n, as `x.var(0)` gives it. If `statistics` is not None, take "
        "mean and variance from there instead.",
        "`mean, var = (x.mean(0), x.var(0)) if statistics is None else statistics`, then "
        "scale · (x − mean)/√(var + ε) + shift.",
    ),
)
def batch_norm(x, scale, shift, statistics=None, epsilon=1e-5):
    """Normalise each feature of x (B, d) over the batch: (B, d).

    Then scale and shift, (d,) each. statistics: None in training; in
    evaluation a pair (mean, var), each (d,), to use instead.
    """
    mean, var = (x.mean(0), x.var(0)) if statistics is None else statistics
    return scale * (x - mean) / jnp.sqrt(var + epsilon) + shift


# --- 04.generator ---------------------------------------------------------------------------------------------------


def leaky(x, slope=0.2):
    return np.where(x > 0, x, slope * x)


def layers_of(network, kind):
    """The layers of that kind inside a module, each once."""
    return [layer for _, layer in nnx.iter_graph(network) if isinstance(layer, kind)]


def check_layers(fn, sizes):
    """What the network is made of, without computing anything."""
    network = nnx.eval_shape(lambda: fn(sizes, rngs=nnx.Rngs(0)))
    if not isinstance(network, nnx.Module):
        made = f"an array of shape {network.shape}" if hasattr(network, "shape") else kind_of(network)
        raise Mistake(f"Return a network, an nnx.Module such as nnx.Sequential; you return {made}.")
    dense, norms = layers_of(network, nnx.Linear), layers_of(network, nnx.BatchNorm)
    shapes = sorted((d.in_features, d.out_features) for d in dense)
    if shapes != sorted(pairwise(sizes)):
        raise Mistake(f"For sizes {sizes} your Linear layers map {shapes}, expected {sorted(pairwise(sizes))}.")
    if any(d.bias is None for d in dense):
        raise Mistake(
            "A Linear layer has no biases. BatchNorm's shift can stand in, but the text counts both: keep them."
        )
    features = sorted(n.num_features for n in norms)
    if 784 in features:
        raise Mistake(
            "There is a BatchNorm on the 784 outputs. It forces every pixel to one mean and one spread over the batch, "
            "whatever the digits: leave the last layer alone."
        )
    if features != sorted(sizes[1:-1]):
        found = f"have {features} features" if features else "has none (nnx finds none inside a lambda)"
        raise Mistake(f"For sizes {sizes} each hidden layer, {sizes[1:-1]}, has one BatchNorm after it; yours {found}.")
    if any(n.scale is None or n.bias is None for n in norms):
        raise Mistake("BatchNorm has lost its learnt scale γ or shift β: leave use_scale and use_bias alone.")
    if any(abs(n.epsilon - 1e-5) > 1e-7 for n in norms):
        raise Mistake(
            f"ε is {norms[0].epsilon}; was that meant as momentum? Added to the variance, it shrinks every feature. "
            "Name the arguments: momentum=0.9, and leave epsilon alone."
        )
    if any(abs(n.momentum - 0.9) > 1e-6 for n in norms):
        raise Mistake(
            f"BatchNorm's momentum is {norms[0].momentum}, expected 0.9. In Flax it is the share of the *old* running "
            "value; PyTorch gives that name to the share of the new one."
        )
    if layers_of(network, nnx.Dropout):
        raise Mistake("There is a Dropout. Design (b) has Linear, BatchNorm and leaky ReLU only.")
    learnt = sum(p.size for p in jax.tree.leaves(nnx.state(network, nnx.Param)))
    if learnt != count(sizes, norm=True):
        raise Mistake(
            f"Your network learns {learnt:,} numbers for sizes {sizes}, expected {count(sizes, norm=True):,}."
        )


def check_generator(fn):
    """The layers it is made of; then its output in both modes against the same arrays put together by hand."""
    sizes, z = (5, 12, 9, 784), np.random.default_rng(0).normal(size=(16, 5))
    for each in ((100, 128, 256, 512, 1024, 784), (5, 9, 784), (5, 9, 9, 784), sizes):
        check_layers(fn, each)
    pull = np.random.default_rng(1).normal(size=(16, 28, 28, 1))

    def build(rngs):
        return fn(sizes, rngs=rngs)

    @jax.jit
    def run(params, rest):
        """Images in training mode, their gradient in z, and three images in evaluation mode, as `GAN` runs them."""

        def pulled(z):
            images, after = forward(build, params, rest, z)
            return (images * pull if images.shape == pull.shape else images).sum(), (images, after)

        slope, (images, after) = jax.grad(pulled, has_aux=True)(jnp.asarray(z, jnp.float32))
        return images, slope, forward(build, params, after, jnp.asarray(z[:3], jnp.float32), train=False)[0]

    drawn = [create(build, jax.random.key(seed)) for seed in (1, 2)]
    weights, others = (
        {d.in_features: (np.asarray(d.kernel[...]), np.asarray(d.bias[...])) for d in layers_of(network, nnx.Linear)}
        for network in drawn
    )
    for size, (kernel, _) in weights.items():
        if not np.isfinite(kernel).all():
            raise Mistake(f"The layer from {size} features has weights that are not finite.")
        if np.allclose(kernel, others[size][0]):
            raise Mistake(
                f"Two different rngs give the same weights in the layer from {size} features: hand `rngs=rngs` on to every one."
            )
    try:
        got, slope, still = map(np.asarray, run(*arrays(drawn[0])))
    except jax.errors.TracerArrayConversionError:
        raise Mistake(
            "A layer of yours calls NumPy, as np.tanh does. Training runs under jit, where NumPy finds no numbers: use jnp."
        ) from None

    if not np.isfinite(got).all():
        raise Mistake("The images hold values that are not finite: is there a log, a root or a division in a layer?")

    def by_hand(order="LBA", activation=leaky, output=np.tanh, z=z, statistics=None):
        """(images, running averages after this batch): L a Linear, B a BatchNorm, A the activation in each hidden layer."""
        x, running = z, []
        for layer, size in enumerate(sizes[:-2]):
            for step in order:
                if step == "L":
                    x = x @ weights[size][0] + weights[size][1]
                elif step == "A":
                    x = activation(x)
                else:
                    mean, var = (x.mean(0), x.var(0)) if statistics is None else statistics[layer]
                    running.append((0.1 * mean, 0.9 + 0.1 * var))
                    x = (x - mean) / np.sqrt(var + 1e-5)
        last, bias = weights[sizes[-2]]
        return output(x @ last + bias).reshape(-1, 28, 28, 1), running

    def suspect(message, **changes):
        value, _ = by_hand(**changes)
        if np.shape(got) == value.shape and np.allclose(got, value, rtol=1e-3, atol=1e-3):
            raise Mistake(message)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    right, running = by_hand()
    if np.shape(got) == (16, 784):
        raise Mistake("The result has shape (16, 784): reshape it to images, (-1, 28, 28, 1), as the last step.")
    if np.shape(got) == right.shape and not np.allclose(got, right, rtol=1e-3, atol=1e-3):
        suspect(
            "Your activation is ReLU. Leaky ReLU lets a fifth of a negative value pass.",
            activation=lambda x: leaky(x, 0),
        )
        for slope in (0.01, 0.1, 0.3, 2, -0.2):
            suspect(
                f"Your slope is {slope}{', which nnx.leaky_relu takes unless told' * (slope == 0.01)}; 0.2 is asked.",
                activation=lambda x, slope=slope: leaky(x, slope),
            )
        for name, function in {"tanh": np.tanh, "a sigmoid": sigmoid, "ELU": jax.nn.elu, "GELU": jax.nn.gelu}.items():
            suspect(
                f"Your activation is {name}; leaky ReLU of slope 0.2 is asked.", activation=lambda x, f=function: f(x)
            )
        suspect(
            "There is no activation between the layers: together they are one linear layer.", activation=lambda x: x
        )
        suspect("BatchNorm comes after your activation; the order is Linear, BatchNorm, leaky ReLU.", order="LAB")
        suspect(
            "Your activation comes before the Linear layer; the order is Linear, BatchNorm, leaky ReLU.", order="ALB"
        )
        suspect(
            "Your BatchNorm uses its running averages in training, too. Leave use_running_average alone: the step sets it.",
            statistics=[(0, 1)] * 2,
        )
        for output, message in (
            (lambda x: x, "There is no tanh at the end: pixels can leave [−1, 1]."),
            (sigmoid, "The output is a sigmoid, in [0, 1]; the data needs tanh."),
            (lambda x: (np.tanh(x) + 1) / 2, "You bring the output to [0, 1]; the data, and tanh, are in [−1, 1]."),
            (
                lambda x: np.clip(x, -1, 1),
                "You clip the output to [−1, 1], and no gradient comes from beyond. tanh is asked.",
            ),
            (leaky, "Leaky ReLU comes last, where tanh belongs: pixels can leave [−1, 1]."),
            (lambda x: np.tanh(leaky(x)), "There is a leaky ReLU between the last layer and tanh."),
            (lambda x: np.tanh(np.tanh(x)), "There are two tanh at the end: pixels cannot get beyond ±0.76."),
            (
                lambda x: np.tanh(x).reshape(-1, 28, 28).swapaxes(1, 2),
                "Your images are transposed: a plain reshape is asked.",
            ),
        ):
            suspect(message, output=output)
    same(got, right, inputs={"z": z}, rtol=1e-3, atol=1e-3, what="batch of images")
    direction = np.random.default_rng(2).normal(size=z.shape)
    there, back = (by_hand(z=z + step * direction)[0] for step in (1e-5, -1e-5))
    rate = ((there - back) * pull).sum() / 2e-5
    if not np.isclose((slope * direction).sum(), rate, rtol=0.05, atol=1e-3):
        found = (
            "0" if not slope.any() else "not finite" if not np.isfinite(slope).all() else "not the one of its values"
        )
        raise Mistake(
            f"The images are right, but their gradient is {found}, and training runs on it: see your activation."
        )
    if np.allclose(still, by_hand(z=z[:3])[0], atol=1e-3):
        raise Mistake(
            "In evaluation mode, in which `gan.sample` draws, your BatchNorm still takes the batch's own mean and variance, "
            "so a digit depends on which others are drawn. Leave use_running_average alone: GAN sets it."
        )
    inputs = {"z": z[:3]}
    expected = by_hand(z=z[:3], statistics=running)[0]
    same(still, expected, inputs=inputs, rtol=1e-3, atol=1e-3, what="batch of images in evaluation mode")


@define(
    "04.generator",
    difficulty=3,
    minutes=12,
    check=check_generator,
    hints=(
        "Collect the layers in a list and put them into nnx.Sequential(*layers); plain functions may stand in it, too.",
        "Loop over `pairwise(sizes[:-1])` for the hidden layers; three things a turn. After the loop come Linear to "
        "sizes[-1], jnp.tanh, and a function that reshapes.",
        "A turn: nnx.Linear(fan_in, fan_out, rngs=rngs), nnx.BatchNorm(fan_out, momentum=0.9, rngs=rngs), "
        "lambda x: nnx.leaky_relu(x, 0.2).",
    ),
)
def generator(sizes, *, rngs):
    """Linear, BatchNorm (momentum 0.9), leaky ReLU (slope 0.2) a layer.

    In the end Linear, tanh, and images (B, 28, 28, 1).
    """
    layers = []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers.append(nnx.Linear(fan_in, fan_out, rngs=rngs))
        layers.append(nnx.BatchNorm(fan_out, momentum=0.9, rngs=rngs))
        layers.append(lambda x: nnx.leaky_relu(x, 0.2))
    layers += [nnx.Linear(*sizes[-2:], rngs=rngs), jnp.tanh]
    return nnx.Sequential(*layers, lambda x: x.reshape(-1, 28, 28, 1))


# --- 04.average -----------------------------------------------------------------------------------------------------


def check_average(fn):
    """Trees of arrays, one step; then the notebook's loop on NumPy arrays, against the closed form."""
    rng = np.random.default_rng(2)

    def tree():
        return {"kernel": jnp.asarray(rng.normal(size=(2, 3)), jnp.float32), "deep": [jnp.float32(rng.normal())]}

    average, latest = tree(), tree()
    for decay in (0.9, 0.375):
        try:
            got = fn(average, latest, decay)
        except (TypeError, AttributeError, KeyError) as error:
            flat = {"w": jnp.ones(2)}
            try:
                one = fn(flat, flat, decay) if isinstance(error, TypeError) else None
            except Exception:
                one = None
            if one is None:
                raise
            raise Mistake(
                "Right for one dictionary of arrays, but weights are nested, dictionaries and lists in dictionaries: "
                f"`jax.tree.map` reaches every array. (TypeError: {error})"
            ) from None
        expected = jax.tree.map(lambda a, b, d=decay: d * a + (1 - d) * b, average, latest)
        if not close(got, expected):
            explain_average(got, average, latest, decay)
        same(got, expected, what="average")
    start, goal = {"w": np.zeros(3)}, {"w": np.array([1.0, -2.0, 3.0])}
    for _ in range(20):
        start = fn(start, goal, 0.875)
    same(start["w"], (1 - 0.875**20) * goal["w"], rtol=1e-4, what="average after 20 steps towards a constant")


def explain_average(got, average, latest, decay):
    """Raise the Mistake that fits how much of each tree `got` holds, where that is the same in all arrays."""
    fit(got, average, "average")
    both = np.stack([np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]) for tree in (average, latest)], 1)
    mine = np.concatenate([np.ravel(x) for x in jax.tree.leaves(got)]).astype(float)
    old, new = np.linalg.lstsq(both, mine, rcond=None)[0].round(6) + 0.0
    if not np.allclose(both @ (old, new), mine, rtol=1e-4, atol=1e-5):
        return
    for kept, share, message in [
        (1 - decay, decay, "The weights are swapped: decay is the share of the *old* average that stays."),
        (1, 1 - decay, "You add the new weights without taking anything off the old ones: the average grows for ever."),
        (decay, 1, "The new weights come in whole: (1 − decay) is missing, and the average grows."),
        (0.5, 0.5, "You take the plain mean of the two; decay says how much of the old one stays."),
        (1, 0, "The average never moves."),
        (0, 1, "You return the latest weights: nothing is averaged."),
        (0.9, 0.1, "You write 0.9 as a number; it comes in as `decay`, and differs from call to call."),
    ]:
        if np.allclose((old, new), (kept, share), atol=1e-4):
            raise Mistake(message)
    raise Mistake(
        f"With decay = {decay} you return {old:.3g} · average + {new:.3g} · latest; asked is {decay} of the old and "
        f"{1 - decay:.3g} of the new, decay · average + (1 − decay) · latest."
    )


@define(
    "04.average",
    difficulty=1,
    minutes=4,
    check=check_average,
    hints=(
        "For one number: decay = 0.9 keeps nine tenths of the old average and takes a tenth of the new value.",
        "Weights are nested dictionaries of arrays. `jax.tree.map(f, average, latest)` applies f to each pair of arrays.",
        "f is `lambda a, b: decay * a + (1 - decay) * b`.",
    ),
)
def average(average, latest, decay):
    """One step of an exponential moving average of weights.

    average, latest: trees of arrays; decay: the share of the old.
    """
    mix = lambda old, new: decay * old + (1 - decay) * new
    return jax.tree.map(mix, average, latest)


# --- 04.common ------------------------------------------------------------------------------------------------------


def check_common(fn):
    """Images around a mean, in closed form; the two extremes; then noise of the notebook's kind, inside jit."""
    for seed, (n, level) in enumerate([(6, 0.5), (40, 1.0), (9, -2.0)]):
        rng = np.random.default_rng(seed)  # lengths of their own: 784 pixels would make them nearly equal
        x = np.float32(rng.normal(level, 0.7, (n, 28, 28, 1)) * rng.uniform(0.3, 2, (n, 1, 1, 1)))
        flat = x.reshape(n, -1).astype(float)
        mean, lengths = flat.mean(0), np.linalg.norm(flat, axis=1)
        of_mean, square = np.linalg.norm(mean), np.square(lengths).mean()
        right, got = of_mean**2 / square, fn(jnp.asarray(x))
        recognise(
            got,
            (np.sqrt(right), "That is the root of the share. Both lengths are squared."),
            (of_mean / lengths.mean(), "You compare the lengths. The share is one of *squared* lengths, which add up."),
            (of_mean**2 / lengths.mean() ** 2, "You square the mean length below. The mean of the *squared* lengths is asked."),
            (of_mean / np.sqrt(square), "You compare the lengths. The share is one of *squared* lengths, which add up."),
            (1 - right, "That is what the images do not have in common. You subtract it from 1."),
            (square / of_mean**2, "Your fraction stands on its head."),
            (of_mean**2 / np.square(lengths).sum(), "You divide by the sum over the images; it is the mean."),
            (of_mean**2, "You do not divide: a share of the mean squared length is asked."),
            (np.square(flat.mean()) / square, "You average over the pixels, too. The mean image has 784 pixels."),
            (np.square(flat.mean()) / np.square(flat).mean(), "You take the mean brightness. The mean *image* is asked: "
             "average over the images alone."),
            (np.square(flat.mean(1)).mean() / np.square(flat).mean(), "You average over the pixels of each image. Average over "
             "the images: axis 0."),
            (np.square(mean).mean() / square, "Above you take the mean over the pixels, below their sum. Both are sums."),
            (of_mean**2 / np.square(flat - mean).sum(1).mean(), "Below stands the squared distance from the mean. The squared "
             "length is asked, from 0: that is where D's inputs start."),
            right=right,
        )  # fmt: skip
        same(got, float(right), inputs={"images": jnp.asarray(x)}, rtol=1e-4, what="share")
    one = jnp.full((5, 28, 28, 1), 0.25)
    same(fn(one), 1.0, inputs={"images": one}, rtol=1e-4, what="share for one image, five times,")
    pair = jnp.concatenate([one, -one])
    same(fn(pair), 0.0, inputs={"images": pair}, atol=1e-5, what="share for images that cancel")


@define(
    "04.common",
    difficulty=2,
    minutes=7,
    check=check_common,
    hints=(
        "Each image is a vector of 784 numbers. Write it as mean image + rest: on average the squares of the two lengths add up "
        "to the square of the whole.",
        "The mean image is `images.mean(axis=0)`; its squared length is the sum of the squares of its pixels.",
        "(images.mean(0) ** 2).sum() over (images ** 2).sum() / len(images).",
    ),
)
def common(images):
    """The share that images (B, 28, 28, 1) have in common, 0 to 1.

    Squared length of the mean image, over the mean squared length of the
    images. Lengths are from 0, with an image as a vector of 784 numbers.
    """
    mean = images.mean(axis=0)
    return (mean**2).sum() / ((images**2).sum() / len(images))
