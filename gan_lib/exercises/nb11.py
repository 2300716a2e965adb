"""Notebook 11, putting it to work: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import jitted
from gan_lib.exercises.cases import recognised
from gan_lib.exercises.compare import close, fit, recognise


def images(seed, n, side=4):
    """n images of random pixels in [-1, 1], (n, side, side, 1)."""
    x = np.random.default_rng(seed).uniform(-1, 1, (n, side, side, 1))
    return jnp.asarray(x, jnp.float32)


def pair(got):
    """Two results as a tuple, whatever they come in that `a, b = …` takes apart: a list, a named tuple, an array (2,)."""
    return tuple(got) if isinstance(got, tuple | list) or np.shape(got) == (2,) else got


# --- 11.on_missing --------------------------------------------------------------------------------------------------


def holes(seed, n, side):
    """Masks (n, side, side, 1) in which the images miss different numbers of pixels, and one of them none."""
    rng = np.random.default_rng(seed)
    shares = np.linspace(0, 0.9, n)[:, None, None, None]
    mask = rng.uniform(size=(n, side, side, 1)) < shares
    mask[-1, 0, 0] = True
    return jnp.asarray(mask, jnp.float32)


def check_on_missing(fn):
    """By picking the pixels out; then inside jit and grad, as the training step runs it."""
    for seed, (n, side) in enumerate([(3, 4), (5, 3), (4, 6)]):
        error, missing = jnp.square(images(seed, n, side)), holes(seed + 10, n, side)
        error = error.at[:, 0].set(0)  # guessed exactly, and missing all the same
        if seed == 2:  # the notebook has (n, 784) as well
            error, missing = error.reshape(n, -1), missing.reshape(n, -1)
        e, m = np.asarray(error, float), np.asarray(missing, float)
        got, right = fn(error, missing), e[m == 1].mean()
        counts = m.reshape(n, -1).sum(1)
        with np.errstate(all="ignore"):
            each = (e * m).reshape(n, -1).sum(1) / counts
        if np.shape(got) == () and got != got:  # NaN
            raise Mistake(
                "The mean is not finite: an image that misses nothing has none of its own, 0/0. Sum over the whole batch, then "
                "divide once."
            )
        recognise(
            got,
            (
                (e * m).sum() / (e * m != 0).sum(),
                "You count the errors that are not 0. A missing pixel that is guessed exactly counts, too: count `missing`.",
            ),
            ((e**2 * m).sum() / m.sum(), "You square the error; it comes as it is to be averaged."),
            (
                e[m == 0].mean(),
                "The mask is inverted: you score the pixels that were known. 1 stands where one is missing.",
            ),
            (
                e.mean(),
                "You score all pixels. The known ones are easy, and most: the error shrinks, and hides what was asked.",
            ),
            ((e * m).mean(), "You divide by the number of all pixels: the missing ones' errors, averaged with zeros."),
            ((e * (1 - m)).mean(), "The mask is inverted, and you divide by the number of all pixels."),
            ((e * m).sum(), "A sum over the missing pixels; divide by how many they are."),
            (
                np.nan_to_num(each).mean(),
                "You average over each image, then over images: a pixel in a small hole then counts more than one in a large "
                "hole. Sum over the whole batch, then divide once.",
            ),
            (
                each[counts > 0].mean(),
                "You average over each image, then over images: a pixel in a small hole then counts more than one in a large "
                "hole. Sum over the whole batch, then divide once.",
            ),
            (
                (e * m).sum() / n,
                "You divide by the number of images; asked is the mean over missing pixels.",
            ),
            right=right,
        )
        same(got, np.float32(right), inputs={"error": error, "missing": missing}, rtol=1e-4)
        where = "the training step runs it inside jit and grad"
        slope = jitted(jax.grad(fn), error, missing, where=where)
        same(slope, np.float32(m / m.sum()), what="gradient in the error", rtol=1e-4)


@define(
    "11.on_missing",
    difficulty=1,
    minutes=5,
    check=check_on_missing,
    hints=(
        "Two sums over the whole batch: of the errors that count, and of how many they are.",
        "missing is 0 or 1, so a product with it keeps what is missing. `error[missing == 1]` has no fixed shape inside jit.",
        "`(error * missing).sum() / missing.sum()`.",
    ),
)
def on_missing(error, missing):
    """Mean of error (B, ...) over the missing pixels of the whole batch. missing: the same shape, 1 where one is missing."""
    return (error * missing).sum() / missing.sum()


# --- 11.one_pixel ---------------------------------------------------------------------------------------------------


def divergence(p, a):
    """JSD of two coins, in nats."""
    p, a = np.asarray(p, float), np.asarray(a, float)
    total = 0.0
    for x, y in ((p, a), (1 - p, 1 - a)):
        middle = (x + y) / 2
        with np.errstate(all="ignore"):
            total = total + sum(np.where(z > 0, z * np.log(z / middle), 0) for z in (x, y)) / 2
    return total


def check_one_pixel(fn):
    """At chances inside (0, 1) first, then at its ends."""
    cases = [
        (jnp.float32([0.3, 0.5, 0.9]), jnp.float32([0.2, 0.7, 0.6]), 0.5),
        (jnp.float32([0.8, 0.1]), jnp.float32([0.8, 0.4]), 2.0),
        (jnp.float32([0.25, 0.6]), jnp.float32([0.9, 0.3]), 0.0),
    ]

    def l1(a, p):
        return 2 * (a * (1 - p) + (1 - a) * p)

    def kl(x, y):
        return x * np.log(x / y) + (1 - x) * np.log((1 - x) / (1 - y))

    def of(first, second):
        return lambda a, p, weight: (
            first(np.asarray(p, float), np.asarray(a, float))
            + weight * second(np.asarray(a, float), np.asarray(p, float))
        )

    twice = lambda p, a: 2 * divergence(p, a)
    of_ink = lambda p, a: p * np.log(2 * p / (p + a)) + a * np.log(2 * a / (p + a))
    right = of(twice, l1)
    got = recognised(
        fn,
        cases,
        [right(*case) for case in cases],
        {
            "You compare the chances, |a − p|: G would have to know how the real pixel came out. G draws on its own, so "
            "E|fake − real| is 2 times the chance that the two differ.": of(twice, lambda a, p: 2 * abs(a - p)),
            "You compare the chances, |a − p|. Fake and real are drawn apart from each other; they differ with chance "
            "a·(1 − p) + (1 − a)·p.": of(twice, lambda a, p: abs(a - p)),
            "Pixels are −1 and 1: two that differ are 2 apart, not 1.": of(twice, lambda a, p: l1(a, p) / 2),
            "Two that differ are 2 apart, so |fake − real| is 2; you square it.": of(twice, lambda a, p: 2 * l1(a, p)),
            "One JSD, where the value function has two: C(G) = −log 4 + 2·JSD.": of(divergence, l1),
            "−log 4 is left in; asked is what lies above it.": of(lambda p, a: twice(p, a) - np.log(4), l1),
            "That is KL(p ‖ a), maximum likelihood's; at the best D it is 2·JSD.": of(kl, l1),
            "That is KL(a ‖ p); at the best D it is 2·JSD.": of(lambda p, a: kl(a, p), l1),
            "JSD in bits; the loss is in nats.": of(lambda p, a: twice(p, a) / np.log(2), l1),
            "The L1 term is missing.": of(twice, lambda a, p: 0 * a),
            "The sign of the L1 term is lost: a loss rises with the distance.": of(twice, lambda a, p: -l1(a, p)),
            "Only the outcome 1 counts in your JSD; −1, with chances 1 − p and 1 − a, is the other half.": of(
                of_ink, l1
            ),
            "They differ in two ways: fake 1 and real −1, and the other way round.": of(
                twice, lambda a, p: 2 * a * (1 - p)
            ),
            "The JSD is missing.": of(lambda p, a: 0 * p, l1),
            "You count how often fake and real agree.": of(twice, lambda a, p: 2 * (a * p + (1 - a) * (1 - p))),
            "a and p are exchanged in a way that matters, or the weight stands at the wrong term: weight · E|fake − real|.": (
                lambda a, p, weight: (
                    weight * twice(np.asarray(p, float), np.asarray(a, float))
                    + l1(np.asarray(a, float), np.asarray(p, float))
                )
            ),
        },
    )
    for result, case in zip(got, cases, strict=True):
        same(result, np.float32(right(*case)), inputs=dict(zip(("a", "p", "weight"), case, strict=True)), rtol=1e-4)
    ends = jnp.float32([0, 1, 0, 1]), jnp.float32([0.3, 0.3, 1, 1]), 0.5
    edge = fn(*ends)
    if np.shape(edge) == (4,) and not np.isfinite(np.asarray(edge, float)).all():
        raise Mistake(
            "Right inside, but not finite where a is 0 or 1: 0·log 0 is NaN to a computer and 0 here. "
            "`jax.scipy.special.xlogy(x, y)`, x·log y, knows that."
        )
    if np.shape(edge) == (4,) and not np.allclose(edge, right(*ends), rtol=1e-4, atol=1e-6):
        raise Mistake(
            f"Right inside, but {np.asarray(edge)} instead of {right(*ends).round(4)} where a is 0 or 1: a clip, an ε or a "
            "`nan_to_num` stands where 0·log 0 is. `jax.scipy.special.xlogy(x, y)`, x·log y, needs none."
        )
    same(edge, np.float32(right(*ends)), inputs={"a": ends[0], "p": ends[1]}, rtol=1e-4, what="result at the ends")
    weights = jnp.float32([0, 0.5])
    mapped = jitted(jax.vmap(lambda w: fn(*ends[:2], w)), weights, where="the notebook maps it over weights with vmap")
    same(mapped[1], np.float32(right(*ends)), rtol=1e-4, what="result at one of several weights")


@define(
    "11.one_pixel",
    difficulty=3,
    minutes=12,
    check=check_one_pixel,
    hints=(
        "JSD is the mean of two KLs, of the real coin (p, 1 − p) and of the fake one (a, 1 − a), to their mean.",
        "Fake and real are drawn apart from each other. They differ with chance a·(1 − p) + (1 − a)·p, and are then 2 apart.",
        "With m = (p + a)/2 and `xlogy`: 2·JSD is the sum of x·log x − x·log m over x in (p, a), and the same for 1 − x and "
        "1 − m. Add weight · 2 · (a·(1 − p) + (1 − a)·p).",
    ),
)
def one_pixel(a, p, weight):
    """2·JSD + weight · E|fake − real| of a pixel that is 1 with chance p, fake: a, else −1. Arrays of one shape, in nats."""
    middle = (p + a) / 2
    ink = xlogy(p, p) + xlogy(a, a) - 2 * xlogy(middle, middle)
    paper = xlogy(1 - p, 1 - p) + xlogy(1 - a, 1 - a) - 2 * xlogy(1 - middle, 1 - middle)
    return ink + paper + weight * 2 * (a * (1 - p) + (1 - a) * p)


# --- 11.receptive_field ---------------------------------------------------------------------------------------------


def check_receptive_field(fn):
    """Small stacks, the course's, and pix2pix's of 70 pixels."""
    cases = [
        ([(3, 1)],),
        ([(4, 2), (3, 1)],),
        ([(4, 2), (4, 2), (3, 1)],),
        ([(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)],),
        ([(5, 3), (2, 1), (3, 2)],),
    ]

    def field(layers):
        size = 1
        for kernel, stride in reversed(layers):
            size = (size - 1) * stride + kernel
        return size

    def forwards(layers):
        size = 1
        for kernel, stride in layers:
            size = (size - 1) * stride + kernel
        return size

    def of_jumps(layers, before=True):
        size, jump = 1, 1
        for kernel, stride in layers:
            jump = jump if before else jump * stride
            size += (kernel - 1) * jump
            jump = jump * stride if before else jump
        return size

    spacing = lambda layers: np.cumprod([1, *(s for _, s in layers)])
    right = [field(*case) for case in cases]
    got = recognised(
        fn,
        cases,
        right,
        {
            "You add up the kernels: an entry of a later layer stands for several pixels, by the strides before it.": (
                lambda layers: sum(k for k, _ in layers)
            ),
            "The strides are missing: an entry of a later layer stands for several pixels.": (
                lambda layers: 1 + sum(k - 1 for k, _ in layers)
            ),
            "You multiply the kernels; neighbouring entries overlap.": lambda layers: int(
                np.prod([k for k, _ in layers])
            ),
            "You go from the first layer to the last with the recursion that goes back: start at one logit, and ask "
            "what the layer below it must show.": forwards,
            "A layer's own stride does not widen its own view, only those of the layers above it.": (
                lambda layers: of_jumps(layers, before=False)
            ),
            "You multiply the strides: that is how far apart two neighbouring logits look, not how much one sees.": (
                lambda layers: int(np.prod([s for _, s in layers]))
            ),
            "You count the pixels of the square; asked is its side.": lambda layers: field(layers) ** 2,
            "You begin with 0 pixels; without a layer a logit is one pixel.": lambda layers: field(layers) - 1,
            "A kernel k adds k − 1 neighbours to what is seen, not k.": lambda layers: (
                field(layers) + spacing(layers)[:-1].sum()
            ),
            "You begin with one logit, and its own place counts twice: n entries see (n − 1)·s + k, not n·s + k.": (
                lambda layers: field(layers) + spacing(layers)[1:].sum()
            ),
            "Of the strides below a layer you take the nearest alone: they multiply.": lambda layers: (
                1 + sum((k - 1) * s for (k, _), (_, s) in zip(layers, [(1, 1), *layers], strict=False))
            ),
            "You add up the strides below a layer: they multiply.": lambda layers: (
                1 + sum((k - 1) * (1 + sum(s for _, s in layers[:i])) for i, (k, _) in enumerate(layers))
            ),
            "A layer is (kernel, stride), in this order.": lambda layers: of_jumps([(s, k) for k, s in layers]),
        },
    )
    for result, case, expected in zip(got, cases, right, strict=True):
        if isinstance(result, float | np.floating) and result == expected:
            result = int(result)
        same(result, expected, inputs={"layers": str(case[0])}, what="side of the square")


@define(
    "11.receptive_field",
    difficulty=1,
    minutes=6,
    check=check_receptive_field,
    hints=(
        "Begin at one logit and go back: which entries of the layer below does it see, and which pixels do those see?",
        "n entries in a row, made by a kernel k with stride s, see (n − 1)·s + k entries below them.",
        "`n = 1`, then for each (kernel, stride) of `reversed(layers)`: `n = (n - 1) * stride + kernel`.",
    ),
)
def receptive_field(layers):
    """Side of the square of pixels that one logit sees. layers: (kernel, stride) of each convolution, from the pixels on."""
    n = 1
    for kernel, stride in reversed(layers):
        n = (n - 1) * stride + kernel
    return n


# --- 11.augmented ---------------------------------------------------------------------------------------------------


class Studio:
    """Stands for both trainings, and notes what they were given."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.images, self.labels = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 4, 40)
        self.few = rng.choice(40, 12, replace=False)
        self.saw, self.asked, self.trained = [], [], []

    def train_gan(self, images, labels):
        self.saw.append((np.asarray(images), np.asarray(labels)))

        def draw(labels):
            self.asked.append(np.asarray(labels))
            return np.repeat(np.float32(100 + np.asarray(labels))[:, None], 3, axis=1)

        return draw

    def train_classifier(self, images, labels, steps):
        self.trained.append((np.asarray(images), np.asarray(labels), steps))
        return np.float32([np.sum(images), np.sum(np.asarray(labels)[:, None] * images), steps])


def check_augmented(fn):
    """By what both trainings are given, not by the order of rows."""
    for seed in range(3):
        studio, steps = Studio(seed), 300 + 7 * seed
        few = studio.few
        mine, own = studio.images[few], studio.labels[few]
        fake = np.repeat(np.float32(100 + own)[:, None], 3, axis=1)
        expected = Studio(seed).train_classifier(np.concatenate([mine, fake]), np.concatenate([own, own]), steps)
        arguments = studio.train_gan, studio.train_classifier, studio.images, studio.labels, few, steps
        got = fn(*arguments)
        fit(got, expected)
        _judge_training(studio, mine, own, steps)
        same(got, expected, inputs={"few": few, "steps": steps}, what="result", rtol=1e-3)


def _judge_training(studio, mine, own, steps):
    if not studio.trained:
        raise Mistake("No classifier is trained: return train_classifier(images, labels, steps).")
    x, y, used = studio.trained[-1]
    leak = (
        "The GAN is trained on {}. In an experiment about few labels it may see those few alone: what it learns from other "
        "labelled images goes into its samples, and from there into the classifier. That is the leak."
    )
    if any(len(images) == len(studio.images) for images, _ in studio.saw):
        raise Mistake(leak.format("all labelled images"))
    if not studio.saw:
        raise Mistake("No GAN is trained: train_gan(images, labels) returns draw.")
    if not all(_same_rows(*seen, mine, own) for seen in studio.saw):
        raise Mistake(leak.format("other images than those of `few`, or with other labels"))
    if used != steps:
        raise Mistake(
            f"The classifier gets {used} steps, the arm without a GAN {steps}. With twice the images and twice the steps, "
            "nobody can say which of the two helped: the same steps in each arm."
        )
    real = abs(x).max(axis=1) < 50
    if not real.any():
        raise Mistake("The classifier sees fakes alone; asked is the real few and as many fakes.")
    if real.all():
        raise Mistake("The classifier sees no fake: what is drawn must go into its training.")
    if real.sum() > len(mine):
        raise Mistake("The classifier sees more labelled images than the few.")
    if not np.array_equal(x[~real][:, 0] - 100, y[~real]):
        raise Mistake("A fake was drawn for one label and is shown to the classifier with another one.")
    if not np.array_equal(np.sort(x[~real][:, 0] - 100), np.sort(own)):
        raise Mistake("As many fakes as there are few, with the labels of the few: draw(labels[few]).")
    if not _same_rows(x[real], y[real], mine, own):
        raise Mistake("The real images have lost their own labels.")


def _same_rows(x, y, mine, own):
    """Whether these are the same labelled images, in any order."""
    if np.shape(x) != np.shape(mine) or np.shape(y) != np.shape(own):
        return False
    order, other = np.lexsort(x.T), np.lexsort(mine.T)
    return close(x[order], mine[other]) and np.array_equal(y[order], own[other])


@define(
    "11.augmented",
    difficulty=2,
    minutes=8,
    check=check_augmented,
    hints=(
        "For each training, ask what it has seen that the plain arm has not: images, labels, steps.",
        "The GAN saw every label. And the classifier's steps grow with its images.",
        "x, y = images[few], labels[few]; draw = train_gan(x, y); then train_classifier on x with draw(y), on y twice, for "
        "`steps` steps.",
    ),
)
def augmented(train_gan, train_classifier, images, labels, few, steps):
    """The classifier of images[few] and as many fakes, without the two faults: train_classifier(images, labels, steps)."""
    x, y = images[few], labels[few]
    draw = train_gan(x, y)
    return train_classifier(np.concatenate([x, draw(y)]), np.concatenate([y, y]), steps)


# --- 11.interval ----------------------------------------------------------------------------------------------------


def check_interval(fn):
    """Against statistics by hand, on pairs that share most of their spread."""
    for seed, n in enumerate((10, 5, 7)):
        rng = np.random.default_rng(seed)
        luck = rng.normal(size=n)
        gain = (0.03, 0.005, -0.02)[seed]  # the second has gains of both signs
        a, b = np.float32(0.8 + 0.05 * luck), np.float32(0.8 + gain + 0.05 * luck + 0.01 * rng.normal(size=n))
        t = {10: 2.262, 5: 2.776, 7: 2.447}[n]
        d = b.astype(float) - a
        half = t * d.std(ddof=1) / n**0.5
        got = pair(fn(jnp.asarray(a), jnp.asarray(b), t))
        right = (d.mean(), half)
        loose = t * ((a.var(ddof=1) + b.var(ddof=1)) / n) ** 0.5
        swing = (d.mean() - half, d.mean() + half)
        recognise(
            got,
            ((-d.mean(), half), "The sign is lost: by how much is b above a?"),
            (
                (d.mean(), loose),
                "You take the two arms for independent. With one seed both had the same few digits, so luck is shared: take "
                "differences first, then their spread.",
            ),
            (
                (d.mean(), t * d.std(ddof=1)),
                "√S is missing: that is how far single seeds lie, not how sure the mean is.",
            ),
            ((d.mean(), t * d.std(ddof=1) / n), "You divide by S; the mean's spread falls with √S."),
            ((d.mean(), t * d.std() / n**0.5), "The spread of so few needs S − 1 in its denominator: std(ddof=1)."),
            ((d.mean(), d.std(ddof=1) / n**0.5), "t is missing: that is the standard error."),
            ((half, d.mean()), "Mean and half width are exchanged: the mean comes first."),
            ((np.median(d), half), "A median where the mean belongs."),
            (
                (abs(d).mean(), t * abs(d).std(ddof=1) / n**0.5),
                "You take |b − a|: a seed in which b is worse then counts as a gain.",
            ),
            (
                (d.mean(), t * d.std(ddof=1) / (n - 1) ** 0.5),
                "S − 1 twice: it belongs into the deviation, √S below it.",
            ),
            (
                (d.mean(), t * d.std(ddof=1) / 10**0.5),
                "S is 10 in the notebook, and len(a) here: take it from the scores.",
            ),
            ((d.mean(), 1.96 * d.std(ddof=1) / n**0.5), "1.96 is for very many seeds; for few, the t given."),
            ((d.mean(), t * d.var(ddof=1) / n**0.5), "A variance where a standard deviation belongs."),
            (
                (d.mean(), t * a.std(ddof=1) / n**0.5),
                "You take the spread of a alone; asked is that of the differences.",
            ),
            (
                (d.mean(), t * b.std(ddof=1) / n**0.5),
                "You take the spread of b alone; asked is that of the differences.",
            ),
            (swing, "These are the two ends; asked are the mean difference and the half width."),
            (
                (d.mean(), 2 * half),
                "That is the whole width of the interval; asked is half of it, what stands after ±.",
            ),
            right=right,
        )
        same(got, tuple(map(np.float32, right)), inputs={"a": a, "b": b, "t": t}, rtol=1e-3)


@define(
    "11.interval",
    difficulty=2,
    minutes=8,
    check=check_interval,
    hints=(
        "The two arms of one seed had the same few digits: look at S differences, not at 2·S accuracies.",
        "The mean of S differences of deviation s has the deviation s/√S; estimate s with S − 1.",
        "`d = b - a`, then `d.mean()` and `t * d.std(ddof=1) / len(d) ** 0.5`.",
    ),
)
def interval(a, b, t):
    """(mean of b − a, half width of its interval) over S seeds, from scores a, b (S,) of two arms; t: Student's quantile."""
    d = b - a
    return d.mean(), t * d.std(ddof=1) / len(d) ** 0.5


# --- 11.pair_losses -------------------------------------------------------------------------------------------------


def check_pair_losses(fn):
    """With a D that hears what is given, and masks that miss few pixels."""

    def soft(s):
        return np.logaddexp(0, np.asarray(s, float)).mean()

    for seed, n in enumerate((3, 5)):
        rng = np.random.default_rng(seed)
        of_x, of_given = (jnp.asarray(rng.normal(size=(16, 4)), jnp.float32) for _ in range(2))
        judge = lambda x, given, a=of_x, b=of_given: x.reshape(len(x), -1) @ a + given.reshape(len(given), -1) @ b
        real, fake, given = (images(10 * seed + k, n) for k in range(3))
        missing, weight = holes(seed + 20, n, 4), 3.0
        gap, m = abs(np.asarray(real, float) - np.asarray(fake, float)), np.asarray(missing, float)
        l1 = gap[m == 1].mean()
        on_real, on_fake = judge(real, given), judge(fake, given)
        of_d, fool = soft(-on_real) + soft(on_fake), soft(-on_fake)
        right = of_d, fool + weight * l1
        got = pair(fn(judge, real, fake, given, missing, weight))
        fit(got, right)
        if close(got, right[::-1]):
            raise Mistake("The two losses are exchanged: D's comes first.")
        unheard = (
            "D is not shown what is given. Then any good image will do, for every input: the output may forget it."
        )
        blank, roll = jnp.zeros_like(given), jnp.roll(given, 1, axis=0)

        def d_of(for_real, for_fake, judge=judge, real=real, fake=fake):
            return soft(-judge(real, for_real)) + soft(judge(fake, for_fake))

        of_d_alone = (
            (d_of(blank, blank), unheard),
            (d_of(real, fake), unheard + " (You show it the image twice.)"),
            (
                d_of(given, blank),
                "D is shown what is given beside real images only: that alone tells it which are fake.",
            ),
            (
                d_of(given, fake),
                "D is shown what is given beside real images only: that alone tells it which are fake.",
            ),
            (d_of(real, real), "D is shown the truth, not what is given: at the real image's side the answer stands."),
            (d_of(given, roll), "The fakes are judged beside another image's input."),
            (soft(on_real) + soft(-on_fake), "D's signs are exchanged: it is to call real images real, −log σ(s)."),
            (soft(-on_real), "D's loss on the fakes is missing."),
            (soft(on_fake), "D's loss on the real images is missing."),
            (of_d / 2, "The two halves of D's loss are added, not averaged."),
            (of_d + weight * l1, "The L1 term is G's alone: nothing that D can move is in it."),
            (
                soft(-judge(given, real)) + soft(judge(given, fake)),
                "judge(images, given): you show D what is given in the place of the images.",
            ),
            (np.mean(on_fake - on_real), "That is a critic's loss, without a sigmoid; asked are logarithms of σ(s)."),
            (soft(-on_real.mean(1)) + soft(on_fake.mean(1)), "Each patch is judged: softplus first, then the mean."),
            (4 * of_d, "You add up the patches; they all count alike, in one mean."),
        )
        recognise(got[0], *of_d_alone, right=right[0])
        same(got[0], np.float32(right[0]), what="loss of D", rtol=1e-4)
        whole, known = gap.mean(), gap[m == 0].mean()
        recognise(
            got[1],
            (soft(-judge(fake, blank)) + weight * l1, unheard),
            (soft(-judge(fake, fake)) + weight * l1, unheard),
            (fool + weight * whole, "L1 over the known pixels, too: they are right already, and dilute what is asked."),
            (
                fool + weight * (gap * m).mean(),
                "You divide by the number of all pixels: the missing ones' gaps, with zeros.",
            ),
            (fool + weight * known, "The mask is inverted: L1 over the pixels that are known."),
            (fool + weight * (gap[m == 1] ** 2).mean(), "You square the gap: that is L2, whose best answer is a mean."),
            (fool, "The L1 term is missing."),
            (weight * l1, "G does not have to fool D."),
            (fool + l1, "The weight is missing."),
            (weight * fool + l1, "The weight is for the L1 term, not for fooling D."),
            (soft(-on_real) + weight * l1, "G is to fool D with its fakes: judge(fake, given)."),
            (
                fool + weight * abs((np.asarray(fake, float) - real)[m == 1].mean()),
                "The mean of |fake − real|, not | | of a mean.",
            ),
            (weight * (fool + l1), "The weight is for the L1 term alone."),
            (-soft(on_fake) + weight * l1, "That is the saturating loss: fades where D rejects; asked is −log σ(s)."),
            (
                -of_d + weight * l1,
                "Minus D's loss saturates: it fades where D rejects; asked is −log σ(s) of the fakes.",
            ),
            (soft(on_fake) + weight * l1, "G helps D: it is to have its fakes called real, −log σ(s)."),
            (soft(-on_real) + soft(-on_fake) + weight * l1, "D's verdict on real images is not G's to change."),
            right=right[1],
        )
        same(got[1], np.float32(right[1]), what="loss of G", rtol=1e-4)
        where = "a training step runs it inside jit"
        again = jitted(
            lambda x, y, m, judge=judge, g=given: pair(fn(judge, x, y, g, m, 3.0)), real, fake, missing, where=where
        )
        same(again, tuple(map(np.float32, right)), rtol=1e-4)

    def losses(of, fake, sure):
        far = lambda x, given: sure * judge(x, given)  # logits up to some thousands: where D is sure
        return jnp.stack(pair(of(far, real, fake, given, missing, weight)))

    (got, moves), (right, wanted) = (
        (losses(of, fake, 100.0), jax.jacrev(lambda *at, of=of: losses(of, *at), argnums=(0, 1))(fake, 100.0))
        for of in (fn, pair_losses)
    )
    if not (np.isfinite(got).all() and all(np.isfinite(m).all() for m in moves) and np.allclose(got, right, rtol=1e-3)):
        raise Mistake(
            f"Right for small logits, but losses of {np.asarray(got)} instead of {np.asarray(right)}, or slopes, where D is "
            "sure: the log of a probability that rounds to 0, or an ε that hides it. Take softplus of the logits."
        )
    # D's loss moves D, and G's moves the fakes: a stop_gradient(fake) in D's loss changes neither.
    same(moves[1][0], wanted[1][0], rtol=1e-3, atol=1e-5, what="slope of D's loss in its logits, where D is sure")
    same(moves[0][1], wanted[0][1], rtol=1e-3, atol=1e-5, what="slope of G's loss in the fakes, where D is sure")


@define(
    "11.pair_losses",
    difficulty=2,
    minutes=10,
    check=check_pair_losses,
    hints=(
        "D sees pairs: the real image beside what is given, and the fake beside the same. G has to fool that D.",
        "−log σ(s) is softplus(−s), −log(1 − σ(s)) is softplus(s). One mean over batch and patches; L1 by `on_missing`.",
        "D: softplus(−judge(real, given)).mean() + softplus(judge(fake, given)).mean(). G: softplus(−judge(fake, given)).mean() "
        "+ weight · the mean of |fake − real| where missing is 1.",
    ),
)
def pair_losses(judge, real, fake, given, missing, weight):
    """(loss of D, loss of G) of pix2pix, non-saturating, from judge(images, given) -> logits (B, P); L1 on what is missing."""
    on_real, on_fake = judge(real, given), judge(fake, given)
    of_d = jax.nn.softplus(-on_real).mean() + jax.nn.softplus(on_fake).mean()
    return of_d, jax.nn.softplus(-on_fake).mean() + weight * on_missing(abs(fake - real), missing)


# --- 11.cycle -------------------------------------------------------------------------------------------------------


def check_cycle(fn):
    """With two maps that undo each other badly."""
    for seed, n in enumerate((4, 6)):
        rng = np.random.default_rng(seed)
        x, y = (jnp.asarray(rng.normal(size=(n, 3)), jnp.float32) for _ in range(2))
        there = lambda v, s=seed: 1.3 * jnp.roll(v, 1, axis=1) + 0.2 + 0.1 * s
        back = lambda v: jnp.tanh(jnp.roll(v, -1, axis=1)) - 0.3
        l1 = lambda u, v: float(jnp.abs(u - v).mean())
        l2 = lambda u, v: float(jnp.square(u - v).mean())
        of_x, of_y = l1(back(there(x)), x), l1(there(back(y)), y)
        same_y, same_x = l1(there(y), y), l1(back(x), x)
        w, i = ((10.0, 5.0), (3.0, 2.0))[seed]
        around, own = w * (of_x + of_y), i * (same_y + same_x)
        right = around + own
        got = fn(there, back, x, y, weight=w, identity=i)
        recognise(
            got,
            (
                around + i * (l1(there(x), x) + l1(back(y), y)),
                "The identity loss has the wrong domain: `there` takes x to y, so what it should leave alone is y. On x it would "
                "forbid the translation.",
            ),
            (around, "The identity loss is missing."),
            (own, "The cycle loss is missing."),
            (w * of_x + own, "One way round only: y → x → y is missing."),
            (w * of_y + own, "One way round only: x → y → x is missing."),
            (around + i * same_y, "The identity loss of `back` is missing."),
            (around + i * same_x, "The identity loss of `there` is missing."),
            (i * (of_x + of_y) + w * (same_x + same_y), "The two weights are exchanged."),
            (
                w * (l1(back(there(x)), y) + l1(there(back(y)), x)) + own,
                "Round the cycle you compare with the other set. x and y are no pairs: compare each with itself.",
            ),
            (
                w * (l1(there(x), y) + l1(back(y), x)) + own,
                "You compare there(x) with y as if they were pairs. They are not; go round: back(there(x)) against x.",
            ),
            (
                w * (l2(back(there(x)), x) + l2(there(back(y)), y)) + i * (l2(there(y), y) + l2(back(x), x)),
                "You square; asked are absolute values.",
            ),
            ((around + own) / 2, "The two directions are added, not averaged."),
            (w * (l1(there(there(x)), x) + l1(back(back(y)), y)) + own, "The same map twice: there, then *back*."),
            (
                w * (l1(there(back(x)), x) + l1(back(there(y)), y)) + own,
                "The order of the maps: x goes there first, then back, back(there(x)); y the other way round.",
            ),
            (w * of_x + i * same_y, "One direction alone: y goes round, too, and `back` leaves x alone."),
            (around + w * own, "The identity loss has a weight of its own: `identity` alone, not times `weight`."),
            (10 * (of_x + of_y) + 5 * (same_y + same_x), "10 and 5 are the paper's; take `weight` and `identity`."),
            (3 * n * right, "A sum where a mean belongs."),
            (3 * right, "A sum over the entries of a sample where a mean belongs."),
            right=right,
        )
        same(got, np.float32(right), inputs={"x": x, "y": y}, rtol=1e-4)
        where = "the training step runs it inside jit"
        whole = lambda x, of=fn, maps=(there, back), y=y, w=w, i=i: of(*maps, x, y, weight=w, identity=i)
        value, slope = jitted(jax.value_and_grad(whole), x, where=where)
        same(value, np.float32(right), rtol=1e-4)
        wanted = jax.grad(lambda x, whole=whole: whole(x, cycle))(x)
        if not close(slope, wanted):
            raise Mistake(
                "The value is right, its gradient in x is not: is there a stop_gradient? Both maps are to learn from all of it."
            )


@define(
    "11.cycle",
    difficulty=2,
    minutes=8,
    check=check_cycle,
    hints=(
        "Four means: two ways round, and two maps that should leave alone what is already on their other side.",
        "`there` makes y's of x's. Round: back(there(x)) against x, there(back(y)) against y. Alone: there(y) against y, …",
        "With `far = lambda u, v: jnp.abs(u - v).mean()`: weight · (far(back(there(x)), x) + far(there(back(y)), y)) + "
        "identity · (far(there(y), y) + far(back(x), x)).",
    ),
)
def cycle(there, back, x, y, *, weight, identity):
    """weight · cycle loss + identity · identity loss, both L1 means over all entries, summed over the two directions."""

    def far(u, v):
        return jnp.abs(u - v).mean()

    around = far(back(there(x)), x) + far(there(back(y)), y)
    alone = far(there(y), y) + far(back(x), x)
    return weight * around + identity * alone
