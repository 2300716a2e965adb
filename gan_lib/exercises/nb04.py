"""Notebook 04, GANs of dense networks: references, hints and checks."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.compare import kind_of
from gan_lib.nets import MLP


def recognise(got, *suspects, rtol=1e-4, atol=1e-5):
    """Raise the message of the first (value, message) in `suspects` that `got` equals: a mistake seen before."""
    for value, message in suspects:
        try:
            is_it = np.shape(got) == np.shape(value) and np.allclose(
                np.asarray(got, float), np.asarray(value, float), rtol=rtol, atol=atol
            )
        except (TypeError, ValueError):
            return
        if is_it:
            raise Mistake(message)


# --- 04.to_pixels ---------------------------------------------------------------------------------------------------


def check_to_pixels(fn):
    """All 256 grey levels there and back; values between levels; values outside [-1, 1]."""
    levels = np.arange(256)
    x = (levels / 127.5 - 1).astype(np.float32).reshape(4, 8, 8, 1)
    pixels = levels.reshape(x.shape)
    got = fn(x)
    with np.errstate(invalid="ignore"):
        recognise(
            got,
            (x.astype(int), "You cast before you scale: every value strictly between −1 and 1 becomes 0."),
            (x.astype(int).astype(np.uint8), "You cast before you scale: all values between −1 and 1 become 0."),
            (
                np.clip(np.rint(255 * (0.5 * x + 1)), 0, 255),
                "You use 0.5·x + 1, which maps −1 to ½: paper comes out grey. Halve the sum: (x + 1)/2.",
            ),
            (
                np.rint(255 * (0.5 * x + 1)).astype(int) % 256,
                "You use 0.5·x + 1, which maps −1 to ½ and 1 to 1.5, beyond the 8 bits. Halve the sum: (x + 1)/2.",
            ),
            (np.clip(np.rint(255 * x), 0, 255), "You use 255·x: that is for [0, 1]. Here half of the range is lost."),
            (np.rint(255 * (x + 1) / 2) / 255, "You stop at [0, 1]. Bytes run from 0 to 255."),
            (255 - pixels, "Your scale is upside down: −1 is 0, 1 is 255."),
        )
    kind = getattr(got, "dtype", type(got).__name__)
    if np.shape(got) == x.shape and kind != np.uint8:
        raise Mistake(f"Pixels are stored as uint8; yours are {kind}. Cast with `.astype(np.uint8)` at the very end.")
    off = np.asarray(got, int) - pixels if np.shape(got) == x.shape else np.zeros(1)
    if off.any() and set(np.unique(off)) <= {-1, 0}:
        raise Mistake(
            f"{(off != 0).sum()} of the 256 levels come back one too low: a cast to integers cuts off, so "
            "200 stored as 199.99999 becomes 199. Round to the nearest first, with `rint`."
        )
    same(got, pixels.astype(np.uint8), inputs={"images": x}, what="uint8 image")
    between = np.float32([-0.999, -0.5, 0.0, 0.3, 0.9])
    same(fn(between), np.rint(127.5 * (between + 1)).astype(np.uint8), inputs={"images": between})
    beyond = np.float32([[-1.3, -1.002], [1.002, 3.0]])
    got = np.asarray(fn(beyond))
    if not (got == np.uint8([[0, 0], [255, 255]])).all():
        raise Mistake(
            f"Right inside [−1, 1], but {beyond.ravel().tolist()} gives {got.ravel().tolist()}, expected 0, 0, 255, 255: "
            "256 does not fit into 8 bits and starts again at 0. Clip before the cast."
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
    """Images in [-1, 1], floats of any shape -> uint8 from 0 to 255, rounded to nearest; beyond ±1 is clipped."""
    return np.clip(np.rint(127.5 * (np.asarray(images) + 1)), 0, 255).astype(np.uint8)


# --- 04.parameters --------------------------------------------------------------------------------------------------


def count(sizes, norm):
    """The learnable parameters of the library's MLP, counted on its arrays."""
    shapes = nnx.eval_shape(lambda: MLP(sizes, rngs=nnx.Rngs(0), norm=norm))
    return sum(p.size for p in jax.tree.leaves(nnx.state(shapes, nnx.Param)))


def check_parameters(fn):
    """Against the arrays of the library's MLP."""
    for sizes, norm in [((3, 5, 2), False), ((7, 4), False), ((100, 256, 784), False), ((3, 5, 6, 2), True)]:
        pairs, hidden = list(pairwise(sizes)), sizes[1:-1]
        weights = sum(i * o for i, o in pairs)
        right = count(sizes, norm)
        plain = right - 2 * sum(hidden) if norm else right
        got = fn(sizes, norm)
        suspects = [
            (weights, "The biases are missing: a layer has one per output, beside its fan-in × fan-out weights."),
            (weights + sum(sizes[:-1]), "You count one bias per *input* of a layer; there is one per output."),
            (weights + len(pairs), "You count one bias per layer; there is one per output feature."),
            (weights + sum(sizes), "You count biases for the input too. The input is data, it has none."),
            (float(np.prod(sizes)), "You multiply all sizes. Layers stand one after another: their numbers add up."),
        ]
        if norm:
            suspects = [
                (plain, "BatchNorm is missing: it learns a scale and a shift for each feature it normalises."),
                (plain + sum(hidden), "BatchNorm learns two numbers a feature, a scale *and* a shift."),
                (
                    plain + 4 * sum(hidden),
                    "You count BatchNorm's running mean and variance. They are kept, not learnt by gradient.",
                ),
                (
                    plain + 2 * sum(sizes[1:]),
                    "You count a BatchNorm after the output layer. It stands between layers only.",
                ),
                (plain + 2 * sum(sizes[:-1]), "You count a BatchNorm on the input. It follows the hidden layers only."),
                *suspects,
            ]
        recognise(got, *suspects, rtol=0, atol=0)
        same(got, right, inputs={"sizes": np.array(sizes), "norm": norm}, rtol=0, what="number of parameters")


@define(
    "04.parameters",
    difficulty=1,
    minutes=5,
    check=check_parameters,
    hints=(
        "One layer first: 3 inputs, 5 outputs. Each output is a weighted sum of all inputs plus a bias: 5 · (3 + 1).",
        "`itertools.pairwise(sizes)` gives the pairs (fan_in, fan_out). BatchNorm learns a scale and a shift for each "
        "feature of the hidden layers; its running mean and variance are not learnt.",
        "Sum (fan_in + 1) · fan_out over the pairs, and with `norm` add 2 · sum(sizes[1:-1]).",
    ),
)
def parameters(sizes, norm=False):
    """Number of learnable parameters of MLP(sizes, norm=norm): weights, biases, BatchNorm's scales and shifts."""
    dense = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))
    return dense + 2 * sum(sizes[1:-1]) * norm


# --- 04.batch_norm --------------------------------------------------------------------------------------------------


def check_batch_norm(fn):
    """Random batches by the formula in float64; given statistics; constant features."""
    rng = np.random.default_rng(4)
    n, d, epsilon = 5, 3, 1e-3
    x = np.float32(rng.normal([-2, 0, 5], [0.03, 1, 2], (n, d)))
    scale, shift = np.float32(rng.normal(1, 1, (2, d)))
    mean, var = x.mean(0, dtype=float), x.astype(float).var(0)
    arrays = {"x": jnp.asarray(x), "scale": jnp.asarray(scale), "shift": jnp.asarray(shift)}

    def norm(mean, var):
        return scale * (x - mean) / np.sqrt(var + epsilon) + shift

    got, right, plain = fn(*arrays.values(), epsilon=epsilon), norm(mean, var), (x - mean) / np.sqrt(var + epsilon)
    recognise(
        got,
        (
            norm(x.mean(1, keepdims=True), x.var(1, keepdims=True)),
            "You average over axis 1, the features of one sample: that is LayerNorm. Average over the batch, axis 0.",
        ),
        (norm(x.mean(), x.var()), "You take one mean over all entries. Each feature has its own: axis 0."),
        (norm(mean, x.astype(float).var(0, ddof=1)), "You divide by n − 1 in the variance; BatchNorm divides by n."),
        (norm(mean, var - epsilon), "Your result does not depend on epsilon. It is added to the variance."),
        (scale * (x - mean) / (np.sqrt(var) + epsilon) + shift, "Epsilon belongs inside the root: √(var + ε)."),
        (scale * (x - mean) / (var + epsilon) + shift, "You divide by the variance. A root is missing."),
        (plain, "The learnt scale and shift are missing: y = scale · x̂ + shift."),
        (scale * (plain + shift), "You shift before you scale: y = scale · x̂ + shift."),
        (shift * plain + scale, "Scale and shift are swapped: y = scale · x̂ + shift."),
    )
    same(got, right, inputs=arrays, rtol=1e-3, atol=1e-4)
    kept = np.float32([0.5, -1, 3]), np.float32([0.5, 4, 2])
    got = fn(*arrays.values(), statistics=tuple(map(jnp.asarray, kept)), epsilon=epsilon)
    recognise(
        got,
        (right, "You ignore `statistics`. Where they are given, the batch's own mean and variance play no part."),
        (norm(kept[0], kept[1] ** 2), "`statistics` holds a variance, and you square it as if it were a spread."),
    )
    inputs = {**arrays, "mean": kept[0], "var": kept[1]}
    same(got, norm(*kept), inputs=inputs, rtol=1e-3, atol=1e-4, what="result with given statistics")
    got = fn(jnp.full((n, d), 3.0), arrays["scale"], arrays["shift"])
    if not np.isfinite(got).all():
        raise Mistake("A feature that is the same in the whole batch gives 0/0 = NaN: add epsilon under the root.")
    same(got, np.tile(shift, (n, 1)), atol=1e-4, what="result for constant features")


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
    """Normalise each feature of x (B, d) over the batch, then scale and shift (d,): (B, d).

    statistics: None in training; in evaluation a pair (mean, var), each (d,), to use instead of the batch's own.
    """
    mean, var = (x.mean(0), x.var(0)) if statistics is None else statistics
    return scale * (x - mean) / jnp.sqrt(var + epsilon) + shift


# --- 04.generator ---------------------------------------------------------------------------------------------------


def leaky(x, slope=0.2):
    return np.where(x > 0, x, slope * x)


def layers_of(network, kind):
    """The layers of that kind inside a module, each once."""
    return [layer for _, layer in nnx.iter_graph(network) if isinstance(layer, kind)]


def check_generator(fn):
    """The layers it is made of; then its output against the same arrays put together by hand."""
    sizes, z = (5, 12, 9, 784), np.random.default_rng(0).normal(size=(16, 5))
    network = nnx.eval_shape(lambda: fn(sizes, rngs=nnx.Rngs(0)))
    if not isinstance(network, nnx.Module):
        made = f"an array of shape {network.shape}" if hasattr(network, "shape") else kind_of(network)
        raise Mistake(f"Return a network, an nnx.Module such as nnx.Sequential; you return {made}.")
    dense, norms = layers_of(network, nnx.Linear), layers_of(network, nnx.BatchNorm)
    shapes = sorted((d.in_features, d.out_features) for d in dense)
    if shapes != sorted(pairwise(sizes)):
        raise Mistake(f"For sizes {sizes} your Linear layers map {shapes}, expected {sorted(pairwise(sizes))}.")
    features = sorted(n.num_features for n in norms)
    if 784 in features:
        raise Mistake(
            "There is a BatchNorm on the 784 outputs. It forces every pixel to one mean and one spread over the batch, "
            "whatever the digits: leave the last layer alone."
        )
    if features != sorted(sizes[1:-1]):
        raise Mistake(f"Each hidden layer, {sizes[1:-1]}, has one BatchNorm; yours have {features or 'no'} features.")
    if any(n.epsilon > 0.01 for n in norms):
        raise Mistake(
            f"ε is {norms[0].epsilon}; was that meant as momentum? Added to the variance, it shrinks every feature. "
            "Name the arguments: momentum=0.9, and leave epsilon alone."
        )
    if any(abs(n.momentum - 0.9) > 1e-6 for n in norms):
        raise Mistake(
            f"BatchNorm's momentum is {norms[0].momentum}, expected 0.9. In Flax it is the share of the *old* running "
            "value; PyTorch gives that name to the share of the new one."
        )

    @jax.jit
    def run(key):
        network = fn(sizes, rngs=nnx.Rngs(key))
        weights = {d.in_features: (d.kernel[...], d.bias[...]) for d in layers_of(network, nnx.Linear)}
        return weights, network(jnp.asarray(z, jnp.float32))

    weights, got = jax.tree.map(np.asarray, run(jax.random.key(1)))

    if not np.isfinite(got).all():
        raise Mistake("The images hold values that are not finite: is there a log, a root or a division in a layer?")

    def by_hand(activation=leaky, output=np.tanh, norm_first=True):
        x = z
        for size in sizes[:-2]:
            x = x @ weights[size][0] + weights[size][1]
            steps = [lambda x: (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), activation]
            for step in steps if norm_first else steps[::-1]:
                x = step(x)
        return output(x @ weights[sizes[-2]][0] + weights[sizes[-2]][1]).reshape(-1, 28, 28, 1)

    if np.shape(got) == (16, 784):
        raise Mistake("The result has shape (16, 784): reshape it to images, (-1, 28, 28, 1), as the last step.")
    recognise(
        got,
        (by_hand(lambda x: leaky(x, 0)), "Your activation is ReLU. Leaky ReLU lets a fifth of a negative value pass."),
        (
            by_hand(lambda x: leaky(x, 0.01)),
            "Your slope is 0.01, which nnx.leaky_relu takes unless told; 0.2 is asked.",
        ),
        (by_hand(lambda x: x), "There is no activation between the layers: together they are one linear layer."),
        (
            by_hand(norm_first=False),
            "BatchNorm comes after your activation; the order is Linear, BatchNorm, leaky ReLU.",
        ),
        (by_hand(output=lambda x: x), "There is no tanh at the end: pixels can leave [−1, 1]."),
        (by_hand(output=lambda x: 1 / (1 + np.exp(-x))), "The output is a sigmoid, in [0, 1]; the data needs tanh."),
        (by_hand(output=leaky), "Leaky ReLU comes last, where tanh belongs: pixels can leave [−1, 1]."),
        (by_hand(output=lambda x: np.tanh(leaky(x))), "There is a leaky ReLU between the last layer and tanh."),
        atol=1e-3,
    )
    same(got, by_hand(), inputs={"z": z}, rtol=1e-3, atol=1e-3, what="batch of images")
    if np.allclose(run(jax.random.key(2))[0][5][0], weights[5][0]):
        raise Mistake("Two different rngs give the same weights: hand `rngs=rngs` on to every layer.")


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
    """Linear, BatchNorm (momentum 0.9), leaky ReLU (slope 0.2) a hidden layer; Linear, tanh; images (B, 28, 28, 1)."""
    layers = []
    for fan_in, fan_out in pairwise(sizes[:-1]):
        layers.append(nnx.Linear(fan_in, fan_out, rngs=rngs))
        layers.append(nnx.BatchNorm(fan_out, momentum=0.9, rngs=rngs))
        layers.append(lambda x: nnx.leaky_relu(x, 0.2))
    layers += [nnx.Linear(*sizes[-2:], rngs=rngs), jnp.tanh, lambda x: x.reshape(-1, 28, 28, 1)]
    return nnx.Sequential(*layers)


# --- 04.average -----------------------------------------------------------------------------------------------------


def check_average(fn):
    """Random trees, one step; then many steps towards a constant, by closed form."""
    rng = np.random.default_rng(2)

    def tree():
        return {"kernel": jnp.asarray(rng.normal(size=(2, 3)), jnp.float32), "deep": [jnp.float32(rng.normal())]}

    average, latest = tree(), tree()
    got = fn(average, latest, 0.9)
    for kept, share, message in [
        (0.1, 0.9, "The weights are swapped: decay is the share of the *old* average that stays."),
        (1.0, 0.1, "You add the new weights without taking anything off the old ones: the average grows for ever."),
        (0.9, 1.0, "The new weights come in whole: (1 − decay) is missing, and the average grows tenfold."),
        (0.5, 0.5, "You take the plain mean of the two; decay says how much of the old one stays."),
        (1.0, 0.0, "The average never moves."),
        (0.0, 1.0, "You return the latest weights: nothing is averaged."),
    ]:
        wrong = jax.tree.map(lambda a, b, k=kept, s=share: k * a + s * b, average, latest)
        try:
            same(got, wrong)
        except Mistake:
            continue
        raise Mistake(message)
    same(got, jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, average, latest), what="average")
    start, goal = {"w": jnp.zeros(3)}, {"w": jnp.array([1.0, -2.0, 3.0])}
    for _ in range(20):
        start = fn(start, goal, 0.8)
    same(start["w"], (1 - 0.8**20) * goal["w"], rtol=1e-4, what="average after 20 steps towards a constant")


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
    """One step of an exponential moving average of weights, trees of arrays: decay is the share of the old."""
    return jax.tree.map(lambda a, b: decay * a + (1 - decay) * b, average, latest)


# --- 04.slerp -------------------------------------------------------------------------------------------------------


def check_slerp(fn):
    """Vectors of different lengths by the formula in float64; both ends."""
    rng = np.random.default_rng(5)
    for d, t in [(100, 0.75), (2, 0.3)]:
        a, b = rng.normal(size=(2, d)).astype(np.float32)
        length_a, length_b = np.linalg.norm(a), np.linalg.norm(b)
        angle = np.arccos(np.dot(a, b) / length_a / length_b, dtype=float)
        inputs = {"a": jnp.asarray(a), "b": jnp.asarray(b), "t": t}
        got = fn(*inputs.values())
        if np.shape(got) == a.shape and np.isnan(np.asarray(got, float)).any():
            raise Mistake(
                "NaN: the arccos of a number beyond ±1. Divide a·b by both lengths before you take the angle."
            )

        def arc(a, b, t, angle=angle):
            return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)

        line = (1 - t) * a + t * b
        unit = line / np.linalg.norm(line)
        recognise(
            got,
            (line, "You walk the straight line (1−t)·a + t·b, the chord. It cuts through the inside of the sphere."),
            (arc(a, b, t) * np.sin(angle), "The division by sin Ω is missing: at t = 0 you do not start at a."),
            (arc(a, b, 1 - t), "You walk from b to a: at t = 0 the result must be a."),
            (unit, "You pull the straight line to length 1. Latents have length near √d."),
            (
                unit * ((1 - t) * length_a + t * length_b),
                "You stretch the straight line: the right length, but the speed along the arc is not constant.",
            ),
            (
                arc(a / length_a, b / length_b, t),
                "You shorten a and b to length 1. The angle needs their lengths; the mixture takes a and b as they are.",
            ),
            (arc(a, b, t, np.degrees(angle)), "Your angle is in degrees; sin takes radians."),
        )
        same(got, arc(a, b, t), inputs=inputs, rtol=1e-4, atol=1e-4)
        for end, expected in [(0.0, a), (1.0, b)]:
            same(fn(inputs["a"], inputs["b"], end), expected, atol=1e-4, what=f"result at t = {end:g}")


@define(
    "04.slerp",
    difficulty=2,
    minutes=7,
    check=check_slerp,
    hints=(
        "Ω is the angle between a and b: cos Ω = a·b / (‖a‖ ‖b‖). Both lengths are needed.",
        "`jnp.arccos` gives Ω in radians. The weights are sin((1−t)Ω)/sin Ω for a and sin(tΩ)/sin Ω for b.",
        "angle = jnp.arccos(a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b)), then the formula; a and b go in as they are.",
    ),
)
def slerp(a, b, t):
    """The point a fraction t of the way from latent a (d,) to b (d,) along the arc, t in [0, 1]: (d,)."""
    angle = jnp.arccos(a @ b / jnp.linalg.norm(a) / jnp.linalg.norm(b))
    return (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / jnp.sin(angle)
