"""Notebook 08, Wasserstein: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.compare import fit, recognise


def random(seed, *shape):
    """Normal numbers of that shape, as JAX holds them."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


# --- 08.by_sorting --------------------------------------------------------------------------------------------------


def between_cdfs(x, y):
    """The area between two empirical distribution functions: W1 by another way."""
    places = np.sort(np.concatenate([x, y]))
    below = [np.searchsorted(np.sort(s), places[:-1], side="right") / len(s) for s in (x, y)]
    return float((abs(below[0] - below[1]) * np.diff(places)).sum())


def check_by_sorting(fn):
    """Random samples against the area between their distribution functions."""
    for seed, n, shift in [(0, 5, 0.0), (1, 40, 2.0), (2, 7, -0.4)]:
        x, y = random(seed, n), 1.5 * random(seed + 10, n) + shift
        a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
        p, q, right = np.sort(a), np.sort(b), between_cdfs(a, b)
        got = fn(x, y)
        recognise(
            got,
            (
                abs(a - b).mean(),
                "You pair the samples in the order they came. The cheapest plan keeps their order on the line.",
            ),
            (abs(p - q[::-1]).mean(), "You send the leftmost to the rightmost: that is the dearest plan."),
            (abs(p - q).sum(), "You sum the ways. Each sample carries a mass of 1/n: take the mean."),
            (
                (p - q).mean(),
                "Ways to the left and to the right cancel in yours: take absolute values, then the mean.",
            ),
            (
                abs((p - q).mean()),
                "Ways to the left and to the right cancel in yours: first the absolute values, then the mean.",
            ),
            (((p - q) ** 2).mean(), "You square the ways. W1 pays for the distance itself."),
            (((p - q) ** 2).mean() ** 0.5, "That is W2, which squares the ways. W1 pays for the distance itself."),
            (abs(p - q).max(), "You take the longest way; every unit of mass pays for its own."),
            (abs(a[:, None] - b).mean(), "You average over all pairs. Each x has one partner in the cheapest plan."),
            (
                abs(a[:, None] - b).min(1).mean(),
                "Each x goes to its nearest y in yours, and some y get nothing. Every y gets 1/n.",
            ),
            right=right,
        )
        same(got, right, inputs={"x": x, "y": y}, rtol=1e-4, atol=1e-5, what="distance")


@define(
    "08.by_sorting",
    difficulty=1,
    minutes=4,
    check=check_by_sorting,
    hints=(
        "Two samples that cross on their way can swap their goals, and the way never gets longer. What plan has no "
        "crossings?",
        "The leftmost x goes to the leftmost y, the next to the next. Sort both.",
        "The mean of jnp.abs(jnp.sort(x) - jnp.sort(y)).",
    ),
)
def by_sorting(x, y):
    """W1 between two sets of n numbers, x (n,) and y (n,): the mean way along the line."""
    return jnp.abs(jnp.sort(x) - jnp.sort(y)).mean()


# --- 08.certificate -------------------------------------------------------------------------------------------------


def check_certificate(fn):
    """Random points and scores; a critic that likes fakes; unequal numbers of real and fake."""
    for seed, n, m, d, lean in [(20, 6, 6, 2, 2.0), (21, 5, 9, 3, 0.5), (22, 8, 6, 2, -1.5), (23, 7, 4, 1, 2.0)]:
        real, fake = random(seed, n, d), random(seed + 10, m, d) + 1
        real_scores, fake_scores = random(seed + 20, n) + lean, random(seed + 30, m)
        inputs = dict(real=real, fake=fake, real_scores=real_scores, fake_scores=fake_scores)
        x, y, f, g = (np.asarray(v, np.float64) for v in inputs.values())
        gap, rises = f.mean() - g.mean(), abs(f[:, None] - g)
        way = np.linalg.norm(x[:, None] - y, axis=-1)
        steepest = (rises / way).max()
        every, scores = np.concatenate([x, y]), np.concatenate([f, g])
        apart = np.linalg.norm(every[:, None] - every, axis=-1) + np.eye(n + m)
        anywhere = (abs(scores[:, None] - scores) / apart).max()
        signed = ((f[:, None] - g) / way).max()
        suspects = [
            (
                abs(gap) / steepest,
                "You take the gap's absolute value. A critic that prefers fakes certifies nothing: leave it negative.",
            ),
            (
                gap,
                "That is the gap of the scores. It bounds W1 only for a critic of slope 1: divide by the "
                "steepest slope.",
            ),
            (
                -gap / steepest,
                "The sign is flipped: the critic should score *real* high, so the gap is real less fake.",
            ),
            (
                gap * steepest,
                "You multiply by the steepest slope. A critic K times too steep has a gap K times too large: divide.",
            ),
            (
                gap / (rises / way).mean(),
                "You divide by the mean slope. Some pairs rise faster, and it can exceed W1: take the maximum.",
            ),
            (
                gap / (rises / way**2).max(),
                "You divide the rises by squared distances. A slope is rise over distance.",
            ),
            (
                gap / (rises.max() / way.max()),
                "The largest rise over the largest distance is no slope: divide pair by pair, then take the maximum.",
            ),
            (
                gap / (rises.max() / way.min()),
                "The largest rise over the smallest distance is no slope of any pair: divide pair by pair, then "
                "take the maximum.",
            ),
            (
                gap / (rises / abs(x[:, None] - y).sum(-1)).max(),
                "You add up the coordinates' distances. The way is Euclidean: jnp.linalg.norm(…, axis=-1).",
            ),
            (gap / (rises / way).min(), "You divide by the flattest pair. The certificate needs the steepest one."),
            (
                gap / signed,
                "You take the largest rise *towards real*. A fall is a slope, too: absolute values first.",
            ),
            (
                gap / anywhere,
                "Yours is a true bound, but looser than it need be: only pairs of one real and one fake count, "
                "since a plan moves mass between those.",
            ),
        ]
        if n == m:
            paired = (abs(f - g) / np.linalg.norm(x - y, axis=-1)).max()
            words = "You look at n pairs, the i-th real with the i-th fake. Every real may go to every fake: n·m pairs."
            suspects.append((gap / paired, words))
        got, right = fn(**inputs), gap / steepest
        recognise(got, *suspects, right=right)
        same(got, right, inputs=inputs, rtol=1e-4, atol=1e-5, what="bound")


@define(
    "08.certificate",
    difficulty=2,
    minutes=8,
    check=check_certificate,
    hints=(
        "Two numbers: how much higher real scores than fake in the mean, and how steep the critic is between a real and a "
        "fake point. What happens to both when you double the critic?",
        "The slope of a pair is |f(x) − f(y)|/‖x − y‖. All pairs at once: real_scores[:, None] - fake_scores, and the "
        "norms of real[:, None] - fake along the last axis.",
        "gap = real_scores.mean() - fake_scores.mean(), divided by the maximum over all pairs of the absolute rises over "
        "the distances.",
    ),
)
def certificate(real, fake, real_scores, fake_scores):
    """A lower bound of W1 between points real (n, d) and fake (m, d), from a critic's scores (n,) and (m,) there.

    The gap of the mean scores, real less fake, over the steepest slope of any pair of a real and a fake point.
    """
    rises = jnp.abs(real_scores[:, None] - fake_scores)
    steepest = (rises / jnp.linalg.norm(real[:, None] - fake, axis=-1)).max()
    return (real_scores.mean() - fake_scores.mean()) / steepest


# --- 08.between -----------------------------------------------------------------------------------------------------


def check_between(fn):
    """The share of real, entry by entry: one a sample, different between samples, uniform on [0, 1], from the key."""
    for seed, shape in [(40, (2000, 3)), (41, (1000, 4, 4, 2))]:
        real, fake = random(seed, *shape), random(seed + 1, *shape) + 6  # never near each other
        got = fn(real, fake, jax.random.key(seed))
        fit(got, real)
        shares = (np.asarray(got, np.float64) - np.asarray(fake)) / np.asarray(real - fake)
        shares = shares.reshape(len(shares), -1)
        if not jnp.isfinite(got).all():
            raise Mistake("The points hold values that are not finite: does your share of the way divide by something?")
        within, first = np.ptp(shares, axis=1), shares[:, 0]
        # Each entry's share is found by a division of differences, so rounding leaves about 1e-6 of it.
        if within.max() > 1e-3:
            if np.ptp(shares, axis=0).max() < 1e-3:
                raise Mistake(
                    "Your ε differs between pixels, and is the same for all samples. One for each sample, for all its entries."
                )
            raise Mistake(
                f"The {shares.shape[1]} entries of one sample have shares of real from {shares[0].min():.2f} to "
                f"{shares[0].max():.2f}: an ε for each entry leaves the line from fake to real. One for each sample."
            )
        if np.ptp(first) < 1e-3:
            if abs(first[0] - 0.5) < 1e-3:
                raise Mistake("You always take the middle. Any point of the line may come up: draw ε.")
            if min(abs(first[0]), abs(first[0] - 1)) < 1e-3:
                raise Mistake("You return the real or the fake samples. Points *between* them are asked for.")
            raise Mistake("All your samples have the same ε: one for the whole batch. Draw one for each sample.")
        if first.min() < -1e-3 or first.max() > 1 + 1e-3:
            raise Mistake(
                f"Your share of real runs from {first.min():.2f} to {first.max():.2f}, beyond both ends of the line. "
                "It is uniform on [0, 1]: jax.random.uniform, not normal."
            )
        if (np.minimum(abs(first), abs(first - 1)) < 1e-3).all():
            raise Mistake("Each of your samples is a real or a fake one. Points *between* them are asked for.")
        # Kolmogorov-Smirnov: a uniform draw exceeds 1.95/√n once in a thousand keys, and the key is fixed.
        gap = abs(np.sort(first) - (np.arange(len(first)) + 0.5) / len(first)).max()
        if gap > 1.95 / len(first) ** 0.5:
            raise Mistake(
                f"Your ε lies in [0, 1] but is not uniform there: its mean is {first.mean():.2f} and its standard deviation "
                f"{first.std():.2f}, expected 0.50 and 0.29."
            )
    key = jax.random.key(7)
    if not np.array_equal(fn(real, fake, key), fn(real, fake, key)):
        raise Mistake("The same key gives two different results: draw with jax.random and the key you are given.")
    if np.array_equal(fn(real, fake, key), fn(real, fake, jax.random.key(8))):
        raise Mistake("Two different keys give the same points: use the key you are given.")


@define(
    "08.between",
    difficulty=1,
    minutes=5,
    check=check_between,
    hints=(
        "How many random numbers do you need for a batch of B samples? B: one for each pair of a real and a fake sample.",
        "jax.random.uniform(key, shape). An image (28, 28, 1) of the batch is multiplied by one number if the shape is "
        "(B, 1, 1, 1): as many ones as a sample has axes.",
        "share = jax.random.uniform(key, (len(real),) + (1,) * (real.ndim - 1)), then share of real and the rest of fake.",
    ),
)
def between(real, fake, key):
    """For each pair of real and fake samples (B, ...) a point on the line between them, uniformly: (B, ...)."""
    share = jax.random.uniform(key, (len(real),) + (1,) * (real.ndim - 1))
    return share * real + (1 - share) * fake


# --- 08.penalty -----------------------------------------------------------------------------------------------------


def check_penalty(fn):
    """Critics whose slopes are known: a plane, a bowl, one over images; then the penalty's own slope at a flat point."""
    for seed, shape in [(60, (4, 3)), (61, (5, 4, 4, 3))]:
        points, w, a = random(seed, *shape), 0.3 * random(seed + 1, *shape[1:]), 0.3 + abs(random(seed + 2, *shape[1:]))
        axes = tuple(range(1, len(shape)))

        def plane(x, w=w, axes=axes):
            return (x * w).sum(axes)

        def bowl(x, a=a, axes=axes):
            return (a * x**2).sum(axes) / 2

        for critic, slopes in ((plane, np.broadcast_to(w, shape)), (bowl, np.asarray(a * points))):
            got, n = fn(critic, points), len(points)
            flat = np.asarray(slopes, np.float64).reshape(n, -1)
            norms, channels = np.linalg.norm(flat, axis=1), np.linalg.norm(slopes, axis=-1)
            right, whole = ((norms - 1) ** 2).mean(), np.linalg.norm(flat)
            recognise(
                got,
                (
                    ((channels - 1) ** 2).mean(),
                    "Your norm runs over the last axis alone, the channels. A sample's slope has all its "
                    "entries: sum over every axis but the first.",
                ),
                ((norms**2).mean(), "That is ‖∇‖², the penalty R1. WGAN-GP's pulls the norm to 1: (‖∇‖ − 1)²."),
                (((norms**2 - 1) ** 2).mean(), "A square root is missing: yours pulls the squared norm to 1."),
                (
                    np.maximum(norms - 1, 0).__pow__(2).mean(),
                    "Yours is one-sided, it lets flat slopes pass. Here both sides pay: (‖∇‖ − 1)².",
                ),
                (((norms - 1) ** 2).sum(), "You sum over the batch. Take the mean."),
                (
                    (norms.mean() - 1) ** 2,
                    "You take the mean of the norms first. Then steep and flat samples cancel: square each, "
                    "then the mean.",
                ),
                (
                    (whole - 1) ** 2,
                    "Your norm runs over the whole batch. One norm for each sample: leave out the first axis.",
                ),
                (
                    ((norms / n - 1) ** 2).mean(),
                    "You differentiate the *mean* of the logits, which divides each slope by B. Take the sum.",
                ),
                (((abs(flat).sum(1) - 1) ** 2).mean(), "You add up absolute values. ‖·‖ is the Euclidean norm."),
                (abs(norms - 1).mean(), "A square is missing: (‖∇‖ − 1)²."),
                (
                    ((flat - 1) ** 2).mean(),
                    "You pull every entry of the slope to 1. It is the norm of all entries together that should be 1.",
                ),
                ((norms - 1).mean(), "A square is missing: (‖∇‖ − 1)². Without it a flat critic would be rewarded."),
                right=right,
            )
            same(got, right, inputs={"points": points, "slopes": slopes}, rtol=1e-3, what="penalty")

    def at_flat(a):
        return fn(lambda x: a * (x**2).sum(1) / 2, jnp.array([[0.0, 0.0], [3.0, 4.0]]))

    same(at_flat(1.0), 8.5, rtol=0.02, what="penalty of f(x) = ½‖x‖² at the points (0, 0), where f is flat, and (3, 4)")
    slope = jax.grad(at_flat)(1.0)
    if not np.isfinite(slope):
        raise Mistake(
            f"The value is right, and its slope in the critic's weights is {slope}: at a point where the critic is flat "
            "you take √0, whose slope is infinite. Add about 1e-12 under the root."
        )
    same(slope, 20.0, rtol=0.02, what="slope of the penalty in the critic's weight")


@define(
    "08.penalty",
    difficulty=3,
    minutes=12,
    check=check_penalty,
    hints=(
        "First each sample's own slope. Logit i depends on sample i alone, so the gradient of the *sum* of the logits has "
        "them all: jax.grad(lambda x: critic(x).sum())(points).",
        "‖·‖² of one sample is the sum of squares over all axes but the first: tuple(range(1, points.ndim)).",
        "norms = jnp.sqrt(squares + 1e-12), for the slope of √ at 0 is infinite. Then the mean of (norms − 1)².",
    ),
)
def penalty(critic, points):
    """Mean over points (B, ...) of (‖∇ₓ critic(x)‖ − 1)²; critic(x) is (B,). Has a finite slope where critic is flat."""
    gradients = jax.grad(lambda x: critic(x).sum())(points)
    squares = (gradients**2).sum(axis=tuple(range(1, points.ndim)))
    return ((jnp.sqrt(squares + 1e-12) - 1) ** 2).mean()


# --- 08.mixes -------------------------------------------------------------------------------------------------------


def standardised(x, axis):
    return (x - x.mean(axis, keepdims=True)) / jnp.sqrt(x.var(axis, keepdims=True) + 1e-5)


def dense(x):
    """A small critic's first layer and the rest, of fixed random weights: (B, d) -> two functions."""
    w, v = random(80, x.shape[1], 16), random(81, 16)
    return (lambda h: h @ w), (lambda h: jax.nn.leaky_relu(h) @ v)


def critics(x):
    """{words: (critic, does it mix?)}."""
    first, rest = dense(x)
    mean, var = jnp.full(16, 0.3), jnp.full(16, 2.0)
    return {
        "no normalisation": (lambda x: rest(first(x)), False),
        "BatchNorm": (lambda x: rest(standardised(first(x), 0)), True),
        "LayerNorm": (lambda x: rest(standardised(first(x), 1)), False),
        "BatchNorm in evaluation, with fixed statistics": (lambda x: rest((first(x) - mean) / jnp.sqrt(var)), False),
        "the batch's standard deviation as one more feature": (lambda x: rest(first(x)) + x.std(0).mean(), True),
        "each logit less the batch's mean": (lambda x: rest(first(x)) - rest(first(x)).mean(), True),
        "the last logit alone reading the first sample": (lambda x: rest(first(x)).at[-1].add(x[0].sum()), True),
    }


WHY_NOT_SEEN = {
    "BatchNorm": "Reversing, repeating or doubling a batch leaves its mean and variance as they are, and shows nothing. "
    "Change *one* sample, and look at the other logits.",
    "the last logit alone reading the first sample": "You look at some pairs only: any logit may read any other sample.",
    "each logit less the batch's mean": "The sum of these logits is 0 whatever x is, so its gradient is, too. Look at one "
    "logit at a time.",
}


def check_mixes(fn):
    """Seven critics of which it is known."""
    x = random(82, 5, 3)
    for name, (critic, expected) in critics(x).items():
        got = fn(jax.jit(critic), x)  # jitted: one compilation a critic instead of one an operation
        if np.shape(got) == () and np.asarray(got).dtype == bool and bool(got) != expected:
            if expected:
                why = WHY_NOT_SEEN.get(name, "Change one sample, and look at the other logits.")
                raise Mistake(
                    f"A critic with {name}: some logit depends on another sample, and you say it does not. {why}"
                )
            raise Mistake(
                f"A critic with {name}: each logit depends on its own sample alone, and you say it mixes. A logit may "
                "depend on its *own* sample: leave that out."
            )
        same(got, expected, inputs={"x": x}, what=f"answer for a critic with {name}")


@define(
    "08.mixes",
    difficulty=2,
    minutes=7,
    check=check_mixes,
    hints=(
        "Logit i may depend on sample i. It must not depend on sample j. Which derivatives would tell?",
        "jax.jacobian(critic)(x) has shape (B, B, d): the slope of logit i in the entries of sample j. Where i ≠ j all should "
        "be 0.",
        "others = ~jnp.eye(len(x), dtype=bool) picks the pairs i ≠ j: bool((jacobian[others] != 0).any()).",
    ),
)
def mixes(critic, x):
    """Whether any logit of critic(x), (B,), depends on a sample of x (B, d) other than its own: True or False."""
    jacobian = jax.jacobian(critic)(x)  # (B, B, d): logit i, sample j
    others = ~jnp.eye(len(x), dtype=bool)
    return bool((jacobian[others] != 0).any())


# --- 08.power_step --------------------------------------------------------------------------------------------------


def unit(x):
    return x / np.linalg.norm(x)


def check_power_step(fn):
    """One step from a random u on matrices of several shapes; fifty steps against the singular values."""
    for seed, shape in [(90, (5, 3)), (91, (3, 6)), (92, (4, 4))]:
        matrix, u = random(seed, *shape), random(seed + 10, shape[1])
        m, start = np.asarray(matrix, np.float64), unit(np.asarray(u, np.float64))
        u = jnp.asarray(start, jnp.float32)
        v = unit(m @ start)
        new = unit(v @ m)
        right = (v @ m @ new, new)
        got = fn(matrix, u)
        if isinstance(got, tuple | list) and len(got) == 2 and np.ndim(got[0]) and not np.ndim(got[1]):
            raise Mistake("Right number of things, in the wrong order: return σ, then u.")
        if not isinstance(got, tuple | list) and np.shape(got) == ():
            raise Mistake("You return σ alone. The next step starts from the new u: return both, (σ, u).")
        fit(tuple(got) if isinstance(got, list) else got, right)
        sigma, vector = got
        recognise(
            vector,
            (start, "The u you return is the old one: the next step would start where this one did."),
            (v @ m, "The u you return is not divided by its length: it grows by σ at each step."),
            (
                m.T @ (m @ start),
                "Nothing is divided by its length in yours: u grows by σ² at each step, until it overflows.",
            ),
            (-new, "Your u points the other way: no sign is needed."),
            right=new,
        )
        if shape[0] == shape[1]:
            recognise(
                vector,
                (v, "You return v, which belongs to the other side of the matrix. Multiply back: v @ matrix."),
                (
                    unit(m @ (m @ start)),
                    "You multiply by the matrix twice. The way back is by its transpose: v @ matrix.",
                ),
                (unit(m @ (start @ m)), "Your u is on the wrong side: first v = matrix @ u, then u = v @ matrix."),
                right=new,
            )
        recognise(
            sigma,
            (
                np.linalg.norm(m @ start),
                "Your σ uses the old u. After the step v @ matrix @ u, with the new u, is nearer.",
            ),
            (np.linalg.norm(m @ start) ** 2, "Your σ is a square, and of the old u. Take v @ matrix @ u."),
            (right[0] ** 2, "Your σ is squared: ‖matrixᵀ matrix u‖ grows by σ² a step. Take v @ matrix @ u."),
            (
                np.linalg.norm(m),
                "That is the Frobenius norm, the root of *all* squared singular values. σ is the largest one.",
            ),
            (start @ m.T @ m @ start, "Your σ is a square, and of the old u. Take v @ matrix @ u."),
            right=right[0],
        )
        same(tuple(got), right, inputs={"matrix": matrix, "u": u}, rtol=1e-4, what="result (σ, u)")
    for _ in range(200):
        sigma, u = fn(matrix, u)
    largest = np.linalg.svd(m)[1][0]
    same(
        sigma, largest, inputs={"matrix": matrix}, rtol=1e-3, what="σ after 200 steps, less the largest singular value,"
    )


@define(
    "08.power_step",
    difficulty=2,
    minutes=7,
    check=check_power_step,
    hints=(
        "Each time a vector goes through the matrix and back, the part along the largest singular value grows most. Divide by "
        "the length, or it overflows.",
        "v = matrix @ u over its length, then u = v @ matrix over its length. Both are unit vectors.",
        "σ = v @ matrix @ u with the new u. Return (σ, u).",
    ),
)
def power_step(matrix, u):
    """One power iteration on matrix (m, n) from the unit vector u (n,): (estimate of the largest σ, the next u)."""
    v = matrix @ u
    v = v / jnp.linalg.norm(v)
    u = v @ matrix
    u = u / jnp.linalg.norm(u)
    return v @ matrix @ u, u
