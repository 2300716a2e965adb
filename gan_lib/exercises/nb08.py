"""Notebook 08, Wasserstein: references, hints and checks."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.cases import recognised, seconds
from gan_lib.exercises.compare import close, fit, recognise


def random(seed, *shape):
    """Normal numbers of that shape, as JAX holds them."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


# --- 08.certificate -------------------------------------------------------------------------------------------------


def bound(slope=np.max, gap=lambda f, g: f.mean() - g.mean(), way=2, rise=abs, power=1):
    """A certificate with one of its parts replaced. slope: of rises over distances; way: the order of the norm."""

    def certified(x, y, f, g):
        x, y, f, g = (np.asarray(v, np.float64) for v in (x, y, f, g))
        apart = np.linalg.norm(x[:, None] - y, ord=way, axis=-1)
        return gap(f, g) / slope(rise(f[:, None] - g) / apart**power)

    return certified


def by_rises(slope):
    """A certificate whose slope is made of all rises and all distances, not pair by pair."""

    def certified(x, y, f, g):
        x, y, f, g = (np.asarray(v, np.float64) for v in (x, y, f, g))
        return (f.mean() - g.mean()) / slope(abs(f[:, None] - g), np.linalg.norm(x[:, None] - y, axis=-1))

    return certified


def steepest_within(x, y, f, g):
    """Of pairs from both sets, whatever they are."""
    x, f = (np.concatenate([np.asarray(v, np.float64) for v in pair]) for pair in ((x, y), (f, g)))
    apart = np.linalg.norm(x[:, None] - x, axis=-1) + np.eye(len(x))
    return (abs(f[:, None] - f) / apart).max()


def gap_of(f, g):
    return np.asarray(f, np.float64).mean() - np.asarray(g, np.float64).mean()


def one_by_one(x, y, f, g):
    n = min(len(x), len(y))
    return gap_of(f, g) / (abs(f[:n] - g[:n]) / np.linalg.norm(x[:n] - y[:n], axis=-1)).max()


WRONG_BOUNDS = {
    "You take the gap's absolute value. A critic that prefers fakes certifies nothing: leave it negative.": bound(
        gap=lambda f, g: abs(f.mean() - g.mean())
    ),
    "You cut the gap off at 0. A critic that prefers fakes certifies nothing: leave it negative.": bound(
        gap=lambda f, g: max(f.mean() - g.mean(), 0)
    ),
    "That is the gap of the scores. It bounds W1 only for a critic of slope 1: divide by the steepest slope.": bound(
        slope=lambda s: 1
    ),
    "That is the steepest slope. Divide the gap of the mean scores by it.": lambda x, y, f, g: (
        gap_of(f, g) / bound()(x, y, f, g)
    ),
    "The sign is flipped: the critic should score *real* high, so the gap is real less fake.": bound(
        gap=lambda f, g: g.mean() - f.mean()
    ),
    "You multiply by the steepest slope. A critic K times too steep has a gap K times too large: divide.": bound(
        slope=lambda s: 1 / s.max()
    ),
    "You divide the slope by the gap: it is the other way round.": lambda x, y, f, g: 1 / bound()(x, y, f, g),
    "You divide by the square of the steepest slope. The gap grows like the slope itself.": bound(
        slope=lambda s: s.max() ** 2
    ),
    "You divide by the slope only where it is above 1. A flat critic's gap is too small as a steep one's is too large.": bound(
        slope=lambda s: max(s.max(), 1)
    ),
    "You divide by the slope only where it is below 1. A steep critic's gap is too large.": bound(
        slope=lambda s: min(s.max(), 1)
    ),
    "You divide by the mean slope. Some pairs rise faster, and it can exceed W1: take the maximum.": bound(
        slope=np.mean
    ),
    "You divide by the median slope. Some pairs rise faster, and it can exceed W1: take the maximum.": bound(
        slope=np.median
    ),
    "You divide by a quantile of the slopes. Some pairs rise faster, and it can exceed W1: take the maximum.": bound(
        slope=lambda s: np.quantile(s, 0.95)
    ),
    "You divide by the mean of each real point's steepest slope. Take the steepest of all.": bound(
        slope=lambda s: s.max(1).mean()
    ),
    "You divide by the flattest pair. The certificate needs the steepest one.": bound(slope=np.min),
    "You divide the rises by squared distances. A slope is rise over distance.": bound(power=2),
    "Your rises are not divided by distances. A slope is rise over distance.": bound(power=0),
    "You add up the coordinates' distances. The way is Euclidean: jnp.linalg.norm(…, axis=-1).": bound(way=1),
    "You take the largest coordinate of the way. It is Euclidean: jnp.linalg.norm(…, axis=-1).": bound(way=np.inf),
    "You take the largest rise *towards real*. Where the gap is above 0 that bounds W1, too; asked for is the steepest "
    "slope, and a fall is a slope: absolute values first.": bound(rise=np.asarray),
    "You take the largest rise towards the *fakes*. A slope is both: absolute values first.": bound(rise=np.negative),
    "You sum the scores. Each point has a mass of 1/n or 1/m: means.": bound(gap=lambda f, g: f.sum() - g.sum()),
    "Your gap is that of the extreme scores. It is the mean score at real less that at fake.": bound(
        gap=lambda f, g: f.max() - g.min()
    ),
    "Your gap is that of the medians. It is the mean score at real less that at fake.": bound(
        gap=lambda f, g: np.median(f) - np.median(g)
    ),
    "The largest rise over the largest distance is no slope: divide pair by pair, then take the maximum.": by_rises(
        lambda rise, way: rise.max() / way.max()
    ),
    "The largest rise over the smallest distance is no slope of any pair: divide pair by pair, then take the maximum.": (
        by_rises(lambda rise, way: rise.max() / way.min())
    ),
    "The largest rise over the mean distance is no slope of any pair: divide pair by pair, then take the maximum.": by_rises(
        lambda rise, way: rise.max() / way.mean()
    ),
    "The mean rise over the mean distance is no slope of any pair: divide pair by pair, then take the maximum.": by_rises(
        lambda rise, way: rise.mean() / way.mean()
    ),
    "Your distance is one norm of all differences together. Each pair has its own: jnp.linalg.norm(…, axis=-1).": by_rises(
        lambda rise, way: rise.max() / np.linalg.norm(way)
    ),
    "You look at the nearest pair alone. The steepest may be another: all n·m pairs.": by_rises(
        lambda rise, way: rise.ravel()[way.argmin()] / way.min()
    ),
    "You divide pair by pair, rise by its own slope: that is the mean distance. One slope for all, the steepest.": (
        lambda x, y, f, g: np.mean(
            np.sign(np.asarray(f)[:, None] - g) * np.linalg.norm(np.asarray(x)[:, None] - y, axis=-1)
        )
    ),
    "Your slope is that between the two mean points. Pairs of points rise faster: take the steepest of all.": (
        lambda x, y, f, g: np.sign(gap_of(f, g)) * np.linalg.norm(np.mean(x, 0) - np.mean(y, 0))
    ),
    "Yours is a true bound, but looser than it need be: only pairs of one real and one fake count, since a plan moves "
    "mass between those.": lambda *case: gap_of(*case[2:]) / steepest_within(*case),
    "Your pairs are of reals alone. A plan moves mass from a real to a fake point: those pairs.": lambda x, y, f, g: (
        gap_of(f, g) / steepest_within(x[:0], x, f[:0], f)
    ),
    "Your pairs are of fakes alone. A plan moves mass from a real to a fake point: those pairs.": lambda x, y, f, g: (
        gap_of(f, g) / steepest_within(y[:0], y, g[:0], g)
    ),
    "You look at n pairs, the i-th real with the i-th fake. Every real may go to every fake: n·m pairs.": one_by_one,
} | {
    f"You add {eps:g} to the slope. Where weights are clipped slopes are as small as that: divide by the slope itself.": bound(
        slope=lambda s, eps=eps: s.max() + eps
    )
    for eps in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
}


def check_certificate(fn):
    """Random points and scores; a critic that likes fakes; flat ones; unequal numbers of real and fake; the time it takes."""
    cases = []
    for seed, n, m, d, lean, scale in [
        (20, 6, 6, 2, 2.0, 1.0),
        (29, 5, 9, 3, 0.5, 1.0),
        (22, 8, 6, 2, -1.5, 1.0),
        (23, 8, 6, 2, 2.0, 0.02),
        (27, 5, 9, 3, 2.0, 1e-6),  # a clipped critic's
    ]:
        scores = scale * (random(seed + 20, n) + lean), scale * random(seed + 30, m)
        cases.append((random(seed, n, d), random(seed + 10, m, d) + 1, *scores))
    right = [float(bound()(*case)) for case in cases]
    words = "real", "fake", "real_scores", "fake_scores"
    for got, wanted, case in zip(recognised(fn, cases, right, WRONG_BOUNDS), right, cases, strict=True):
        same(got, wanted, inputs=dict(zip(words, case, strict=True)), rtol=1e-4, atol=1e-5, what="bound")
    case = random(26, 60, 2), random(27, 50, 2), random(28, 60), random(29, 50)
    quick = min(seconds(certificate, *case) for _ in range(6))  # the first time JAX compiles; others may be disturbed
    if seconds(fn, *case) > 0.06 and (spent := seconds(fn, *case)) > max(0.06, 25 * quick):
        raise Mistake(
            f"Right, but slow: {spent:.1f} s for 60 and 50 points. The notebook asks 150 times, of 200 and 200. No Python "
            "loop over pairs: real_scores[:, None] - fake_scores has them all."
        )


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
    """A lower bound of W1 between points real (n, d) and fake (m, d).

    From a critic's scores (n,), (m,) there: the gap of the mean scores,
    real less fake, over the steepest slope of any pair of a real and a
    fake point.
    """
    rises = jnp.abs(real_scores[:, None] - fake_scores)
    ways = jnp.linalg.norm(real[:, None] - fake, axis=-1)
    steepest = (rises / ways).max()
    return (real_scores.mean() - fake_scores.mean()) / steepest


# --- 08.pull --------------------------------------------------------------------------------------------------------


def cheapest(x, y, heavy=False):
    """The cheapest plan (n, m) between equal masses at x (n, d) and at y (m, d); heavy: those at y are as 1, 2, …, m."""
    cost = np.linalg.norm(x[:, None] - y, axis=-1)
    n, m = cost.shape
    sums = np.concatenate([np.kron(np.eye(n), np.ones((1, m))), np.kron(np.ones((1, n)), np.eye(m))])
    q = np.arange(1, m + 1) if heavy else np.ones(m)
    masses = np.concatenate([np.full(n, 1 / n), q / q.sum()])
    return linprog(cost.ravel(), A_eq=sums, b_eq=masses).x.reshape(n, m)


def along(weights, power=1, axis=0, sign=1):
    """The ways from x to y over their length to a power, each with a weight made of the plan, added up."""

    def pulled(plan, x, y):
        plan, x, y = (np.asarray(v, np.float64) for v in (plan, x, y))
        ways = y - x[:, None]
        length = np.linalg.norm(ways, axis=-1, keepdims=True)
        return sign * (np.asarray(weights(plan, length[..., 0]))[..., None] * ways / length**power).sum(axis)

    return pulled


def by_plan(plan, length):
    return plan


def each_fake_1(plan, length):
    return plan / plan.sum(0)


def largest_share(plan, length):
    return np.eye(len(plan))[plan.argmax(0)].T * plan.sum(0)


def unweighted(plan, length):
    return (plan > 1e-9) / 1.0


def nearest_real(plan, length):
    return np.eye(len(plan))[length.argmin(0)].T * plan.sum(0)


def unit_of(pulled):
    """The same, each row made as long as a fake's mass."""

    def made(plan, x, y):
        found = pulled(plan, x, y)
        return np.asarray(plan).sum(0)[:, None] * found / np.linalg.norm(found, axis=-1, keepdims=True)

    return made


WRONG_PULLS = {
    "The sign is flipped: W1 grows where a fake moves *away* from the real points that supply it.": along(
        by_plan, sign=-1
    ),
    "Your ways keep their length. W1 pays for the length of a way, and its slope is a *unit* vector: divide by it.": along(
        by_plan, power=0
    ),
    "Your ways keep their length and point the wrong way. Unit vectors, from real to fake.": along(
        by_plan, power=0, sign=-1
    ),
    "You divide by the squared length. The slope of a length is a unit vector.": along(by_plan, power=2),
    "You give each fake a mass of 1. It carries 1/m, what the plan brings it: the plan's own entries are the weights.": along(
        each_fake_1
    ),
    "You give each fake a mass of 1, and the sign is flipped.": along(each_fake_1, sign=-1),
    "You give all fakes the same mass. The plan says what each carries: its own entries are the weights.": along(
        lambda plan, length: plan / plan.sum(0) / plan.shape[1]
    ),
    "You take each fake's largest supplier alone. A plan may split a place: add up all of its column.": along(
        largest_share
    ),
    "You count all suppliers alike. The plan says how much comes from each: its entries are the weights.": along(
        unweighted
    ),
    "You send each fake from its nearest real point. The cheapest plan may have another for it: `plan` says which.": along(
        nearest_real
    ),
    "You average over all real points, whatever the plan says: its entries are the weights.": along(
        lambda plan, length: np.full(plan.shape, 1 / plan.size)
    ),
    "You add up over all real points, whatever the plan says: its entries are the weights.": along(
        lambda plan, length: np.ones(plan.shape)
    ),
    "You make each row a unit vector times the mass. Two suppliers in two directions pull less than that: add up unit "
    "vectors, and leave the sum as it is.": unit_of(along(by_plan)),
    "You divide the sum of the ways, not each way. Two suppliers in two directions pull less than that.": unit_of(
        along(by_plan, power=0)
    ),
    "You add up over the fakes, which gives the slope for the *real* points (n, d). For the fakes: axis 0.": along(
        by_plan, axis=1, sign=-1
    ),
    "You add up over the fakes, axis 1, and get a row for each real point. For the fakes: axis 0.": along(
        by_plan, axis=1
    ),
}


def check_pull(fn):
    """Plans that split places, of unequal numbers of points, and of unequal masses; more points than fakes and fewer."""
    cases = []
    for seed, n, m, d in [(10, 7, 4, 2), (11, 4, 6, 3), (12, 5, 5, 5), (13, 5, 4, 2)]:
        x, y = random(seed, n, d), random(seed + 5, m, d) + 0.5
        plan = cheapest(np.asarray(x), np.asarray(y), heavy=seed == 13)
        cases.append((jnp.asarray(plan, jnp.float32), x, y))
    right = [along(by_plan)(*case) for case in cases]
    words = "plan", "x", "y"
    equal, heavy = cases[:-1], cases[-1:]  # most mistakes are described for equal masses
    answers = recognised(fn, equal, right[:-1], WRONG_PULLS) + recognised(fn, heavy, right[-1:], WRONG_PULLS)
    for got, wanted, case in zip(answers, right, cases, strict=True):
        same(got, wanted, inputs=dict(zip(words, case, strict=True)), rtol=1e-3, atol=1e-5, what="slope")


@define(
    "08.pull",
    difficulty=2,
    minutes=10,
    check=check_pull,
    hints=(
        "W1 = Σ plan·‖x − y‖, and for a small step of y the cheapest plan may stay as it is: the best of all plans has no "
        "slope of its own. So differentiate the lengths alone.",
        "‖x_i − y_j‖ grows fastest where y_j moves along the unit vector from x_i to y_j. That counts as often as the plan's "
        "entry ij says.",
        "ways = y - x[:, None] has shape (n, m, d). Divide by their lengths, multiply by plan[..., None], sum over axis 0. Or "
        "jax.grad, in y, of the sum with the plan held.",
    ),
)
def pull(plan, x, y):
    """The slope of W1 in each fake's place, (m, d).

    plan (n, m): the cheapest from x (n, d) to y (m, d). No x is a y.
    """
    ways = y - x[:, None]
    units = ways / jnp.linalg.norm(ways, axis=-1, keepdims=True)
    return (plan[..., None] * units).sum(0)


# --- 08.steepest ----------------------------------------------------------------------------------------------------


def by_layer(layer, combine=np.prod):
    """What some number for each layer, of (c, m, n), makes of them all."""
    return lambda c, sizes: float(combine([layer(c, m, n) for m, n in pairwise(sizes)]))


WRONG_STEEPEST = {
    "Your c counts once. Each layer multiplies by its own: c to the power of the depth.": lambda c, sizes: (
        c * by_layer(lambda c, m, n: (m * n) ** 0.5)(c, sizes)
    ),
    "You count one layer too many: sizes (2, 64, 1) have two.": lambda c, sizes: (
        c * by_layer(lambda c, m, n: c * (m * n) ** 0.5)(c, sizes)
    ),
    "You count one layer too few: the last one has weights, too.": lambda c, sizes: (
        by_layer(lambda c, m, n: c * (m * n) ** 0.5)(c, sizes) / c
    ),
    "Your c is missing.": by_layer(lambda c, m, n: (m * n) ** 0.5),
    "That is c to the power of the depth. Every feature adds up m weights, and there are n features: width counts, too.": (
        by_layer(lambda c, m, n: c)
    ),
    "You count all m·n weights of a layer. A unit vector has entries of 1/√m, and n results of length 1 make a vector of "
    "length √n: √(m·n).": by_layer(lambda c, m, n: c * m * n),
    "You take √m for each layer. That is one feature's stretch; there are n of them, in one direction: √(m·n).": by_layer(
        lambda c, m, n: c * m**0.5
    ),
    "You take √n for each layer. Each feature adds up m weights as well: √(m·n).": by_layer(lambda c, m, n: c * n**0.5),
    "You take the fan-in m of each layer: as if every entry of the input moved by 1. That step has length √m, not 1.": (
        by_layer(lambda c, m, n: c * m)
    ),
    "You take n for each layer: the slope along one entry of the input. A step along (1, …, 1) finds √m times as much.": (
        by_layer(lambda c, m, n: c * n)
    ),
    "You add the layers up. One feeds the next: they multiply.": by_layer(lambda c, m, n: c * (m * n) ** 0.5, np.sum),
    "You take the steepest layer alone. One feeds the next: they multiply.": by_layer(
        lambda c, m, n: c * (m * n) ** 0.5, np.max
    ),
    "You take the length of all weights together. Layers multiply.": lambda c, sizes: (
        c * sum(m * n for m, n in pairwise(sizes)) ** 0.5
    ),
    "You give random signs to the weights, as a fresh network has. All of one sign stretch more: c·√(m·n).": by_layer(
        lambda c, m, n: c * (m**0.5 + n**0.5)
    ),
}


def ramp(c, sizes):
    """The slope, measured, of a network whose weights all are c, at inputs above 0: no ReLU is ever off."""
    slope = np.ones((1, 1))
    for m, n in reversed(list(pairwise(sizes))):
        slope = np.full((m, n), c, np.float64) @ slope
    return float(np.linalg.norm(slope))


def check_steepest(fn):
    """Networks of one to four layers against the measured slope of the one whose weights all are c."""
    cases = [(0.1, (2, 64, 64, 64, 1)), (0.5, (3, 1)), (2.0, (2, 5, 1)), (0.3, (7, 4, 6, 1)), (0.01, (784, 64, 64, 1))]
    right = [ramp(*case) for case in cases]
    for got, wanted, (c, sizes) in zip(recognised(fn, cases, right, WRONG_STEEPEST), right, cases, strict=True):
        same(got, wanted, inputs={"c": c, "sizes": np.array(sizes)}, rtol=1e-3, atol=1e-7, what="slope")


@define(
    "08.steepest",
    difficulty=2,
    minutes=8,
    check=check_steepest,
    hints=(
        "Layers stretch one after the other, so their stretches multiply, and ReLU stretches by at most 1. How far can one "
        "layer x → Wx from m to n features stretch a unit vector?",
        "Most if all weights have one sign, and x points along (1, …, 1): its entries are 1/√m. What is each of the n results, "
        "and how long is the vector of them?",
        "c·√(m·n) for each layer. In their product each hidden number of features comes twice, so its root goes.",
    ),
)
def steepest(c, sizes):
    """The largest slope of a ReLU network, its weights all in [-c, c].

    sizes (d, ..., 1): features before, between and after its layers.
    """
    first, *hidden, last = sizes
    stretch = np.sqrt(first * last) * np.prod(hidden)
    return c ** (len(sizes) - 1) * stretch


# --- 08.penalty -----------------------------------------------------------------------------------------------------


def slopes_at(w, a, points):
    """Of the critic ⟨w, x⟩ + ½ ⟨a, x²⟩: (B, ...) in float64."""
    return np.asarray(w, np.float64) + np.asarray(a, np.float64) * np.asarray(points, np.float64)


def norms_at(*case, order=2):
    return np.linalg.norm(slopes_at(*case).reshape(len(case[-1]), -1), ord=order, axis=1)


def of_norms(combine, **settings):
    """A wrong penalty made of the right norms (B,), or of others."""
    return lambda *case: combine(norms_at(*case, **settings))


def of_slopes(combine):
    return lambda *case: combine(slopes_at(*case))


def over(axes):
    """With a norm over these axes."""
    return of_slopes(lambda s: ((np.sqrt((s**2).sum(axes)) - 1) ** 2).mean())


WRONG_PENALTIES = {
    "Your norm runs over the last axis alone, the channels. A sample's slope has all its entries: sum over every axis but "
    "the first.": over(-1),
    "Your norm runs over axis 1 alone. A sample's slope has all its entries: sum over every axis but the first.": over(
        1
    ),
    "Your norm runs over the samples, axis 0. One norm for each sample: every axis but the first.": over(0),
    "Your norm leaves the last axis out, not the first. One norm for each sample: every axis but the first.": of_slopes(
        lambda s: ((np.sqrt((s**2).sum(tuple(range(s.ndim - 1)))) - 1) ** 2).mean()
    ),
    "Your norm runs over the whole batch. One norm for each sample: leave out the first axis.": of_slopes(
        lambda s: (np.sqrt((s**2).sum()) - 1) ** 2
    ),
    "You average the slopes over the batch first. Each sample has its own norm.": of_slopes(
        lambda s: (np.sqrt((s.mean(0) ** 2).sum()) - 1) ** 2
    ),
    "You average the squares within a sample. ‖·‖² is their *sum*.": of_slopes(
        lambda s: ((np.sqrt((s.reshape(len(s), -1) ** 2).mean(1)) - 1) ** 2).mean()
    ),
    "You add up the entries of the slope. ‖·‖ is the root of the sum of their squares.": of_slopes(
        lambda s: ((s.reshape(len(s), -1).sum(1) - 1) ** 2).mean()
    ),
    "You pull every entry of the slope to 1. It is the norm of all entries together that should be 1.": of_slopes(
        lambda s: ((s - 1) ** 2).mean()
    ),
    "You add up absolute values. ‖·‖ is the Euclidean norm.": of_norms(lambda n: ((n - 1) ** 2).mean(), order=1),
    "You take the largest entry. ‖·‖ is the Euclidean norm.": of_norms(lambda n: ((n - 1) ** 2).mean(), order=np.inf),
    "That is ‖∇‖², the penalty R1. WGAN-GP's pulls the norm to 1: (‖∇‖ − 1)².": of_norms(lambda n: (n**2).mean()),
    "That is the mean norm. WGAN-GP's penalty pulls it to 1: (‖∇‖ − 1)².": of_norms(np.mean),
    "A square root is missing: yours pulls the squared norm to 1.": of_norms(lambda n: ((n**2 - 1) ** 2).mean()),
    "Yours is (‖∇‖ + 1)²: the sign of the 1 is wrong.": of_norms(lambda n: ((n + 1) ** 2).mean()),
    "Yours is one-sided, it lets flat slopes pass. Here both sides pay: (‖∇‖ − 1)².": of_norms(
        lambda n: (np.maximum(n - 1, 0) ** 2).mean()
    ),
    "Yours is one-sided, it lets steep slopes pass. Here both sides pay: (‖∇‖ − 1)².": of_norms(
        lambda n: (np.maximum(1 - n, 0) ** 2).mean()
    ),
    "You sum over the batch. Take the mean.": of_norms(lambda n: ((n - 1) ** 2).sum()),
    "You take the largest of the batch. Take the mean.": of_norms(lambda n: ((n - 1) ** 2).max()),
    "You return a number for each sample. Take the mean.": of_norms(lambda n: (n - 1) ** 2),
    "You take the mean of the norms first. Then steep and flat samples cancel: square each, then the mean.": of_norms(
        lambda n: (n.mean() - 1) ** 2
    ),
    "You take the root of the mean square at the end: leave it out.": of_norms(lambda n: ((n - 1) ** 2).mean() ** 0.5),
    "A square is missing: (‖∇‖ − 1)².": of_norms(lambda n: abs(n - 1).mean()),
    "A square is missing: (‖∇‖ − 1)². Without it a flat critic would be rewarded.": of_norms(lambda n: (n - 1).mean()),
    "You square twice: (‖∇‖ − 1)² is enough.": of_norms(lambda n: ((n - 1) ** 4).mean()),
    "You multiply by the weight λ = 10. The notebook does that outside.": of_norms(
        lambda n: 10 * ((n - 1) ** 2).mean()
    ),
    "You halve the penalty: the mean of (‖∇‖ − 1)² it is.": of_norms(lambda n: ((n - 1) ** 2).mean() / 2),
    "You differentiate the *mean* of the logits, which divides each slope by B. Take the sum.": of_norms(
        lambda n: ((n / len(n) - 1) ** 2).mean()
    ),
    "You differentiate the first logit alone, and the others' slopes are 0 then. Take the sum of the logits.": of_norms(
        lambda n: ((n[0] - 1) ** 2 + len(n) - 1) / len(n)
    ),
    "You pull the *scores* to 1. It is their slope in x that should have norm 1: jax.grad.": lambda w, a, points: (
        np.mean(((points * w + a * points**2 / 2).sum(tuple(range(1, points.ndim))) - 1) ** 2)
    ),
} | {
    f"You add {eps:g} under the root, and the norm shows it. 1e-12 will do.": of_norms(
        lambda n, eps=eps: ((np.sqrt(n**2 + eps) - 1) ** 2).mean()
    )
    for eps in (1e-3, 1e-2, 0.1, 1)
}


def check_penalty(fn):
    """Critics whose slopes are known, a plane and a bowl, of points and images: the penalty and its slope in the
    critic's weights, under jit as in training; then where the critic is flat."""

    @jax.jit
    def both(weights, points):
        def value(weights):
            w, a = weights
            got = fn(lambda x: (x * w + a * x**2 / 2).sum(tuple(range(1, x.ndim))), points)
            if not isinstance(got, jax.Array):
                same(got, jnp.zeros(()), what="penalty")
            return jnp.sum(got), got

        (_, got), slopes = jax.value_and_grad(value, has_aux=True)(weights)
        return got, slopes

    cases = []
    for seed, shape in [(60, (4, 3)), (61, (5, 4, 2, 3))]:
        points, w, a = random(seed, *shape), 0.3 * random(seed + 1, *shape[1:]), 0.3 + abs(random(seed + 2, *shape[1:]))
        cases += [(w, 0 * a, points), (0 * w, a, points)]
    slopes = []

    def value(w, a, points):
        got, slope = both((w, a), points)
        slopes.append(slope)
        return got

    right = [((norms_at(*case) - 1) ** 2).mean() for case in cases]
    found = recognised(value, cases, right, WRONG_PENALTIES)
    for got, wanted, case in zip(found, right, cases, strict=True):
        inputs = {"points": case[-1], "slopes": slopes_at(*case)}
        same(got, wanted, inputs=inputs, rtol=1e-3, what="penalty")
    for got, (w, a, points) in zip(slopes, cases, strict=True):
        s, n = slopes_at(w, a, points), norms_at(w, a, points)
        s *= (2 / len(n) * (1 - 1 / n)).reshape(-1, *[1] * w.ndim)
        wanted = s.sum(0), (s * points).sum(0)
        if not np.any(got[0]) and not np.any(got[1]):
            raise Mistake(
                "The value is right, and its slope in the critic's weights is 0: the critic would learn nothing from it. "
                "Is the penalty cut off by stop_gradient, or by NumPy?"
            )
        same(got, wanted, rtol=2e-3, atol=1e-4, what="slope of the penalty in the critic's weights")
    (w, a, points) = cases[1]  # the bowl
    points = points.at[0].set(0)
    (got, slope), norms = both((w, a), points), norms_at(w, a, points)
    where = f"penalty where the critic is flat at one of {len(points)} points"
    if not np.isfinite(got) or not all(np.isfinite(part).all() for part in slope):
        raise Mistake(
            f"The value is right, and its slope in the critic's weights is {float(slope[1].ravel()[0])}: at a point where the "
            "critic is flat you take √0, whose slope is infinite. Add about 1e-12 under the root."
            if np.isfinite(got)
            else f"The {where} is {float(got)}. Its norm there is 0: nothing may be divided by it."
        )
    for eps in (1e-4, 1e-5):
        if close(got, ((np.sqrt(norms**2 + eps) - 1) ** 2).mean()) and not close(got, ((norms - 1) ** 2).mean()):
            raise Mistake(f"You add {eps:g} under the root, and a flat point pays too little. 1e-12 will do.")
    same(got, ((norms - 1) ** 2).mean(), rtol=1e-3, what=where)


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
    """Mean over points (B, ...) of (‖∇ₓ critic(x)‖ − 1)².

    critic(x) is (B,). Where the critic is flat, the penalty still has a
    finite slope in the critic's weights.
    """
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


CRITICS = {  # words: (which of a small critic's two layers and x make the logits, does it mix?)
    "no normalisation": (lambda first, rest, x: rest(first(x)), False),
    "BatchNorm": (lambda first, rest, x: rest(standardised(first(x), 0)), True),
    "LayerNorm": (lambda first, rest, x: rest(standardised(first(x), 1)), False),
    "BatchNorm in evaluation, with fixed statistics": (
        lambda first, rest, x: rest((first(x) - 0.3) / jnp.sqrt(2.0)),
        False,
    ),
    "the batch's standard deviation as one more feature": (
        lambda first, rest, x: rest(first(x)) + x.std(0).mean(),
        True,
    ),
    "each logit less the batch's mean": (lambda first, rest, x: rest(first(x)) - rest(first(x)).mean(), True),
}


@jax.jit  # one compilation for all, instead of one a critic
def known(which, x):
    return jax.lax.switch(which, [lambda x, f=f: f(*dense(x), x) for f, _ in CRITICS.values()], x)


WHY_NOT_SEEN = {
    "BatchNorm": "Reversing, repeating or doubling a batch leaves its mean and variance as they are, and shows nothing. "
    "Change *one* sample, and look at the other logits.",
    "each logit less the batch's mean": "The sum of these logits is 0 whatever x is, so its gradient is, too. Look at one "
    "logit at a time.",
}


@jax.jit  # once for all pairs
def reads(x, reader, read, entries):
    """A critic in which one sample's logit reads one other sample, and nothing else is mixed.

    They are known by their first entry, wherever in the batch they are.
    """
    first, rest = dense(x)
    both = (x[:, None, 0] == reader) & (x[:, 0] == read)
    return rest(first(x)) + jnp.where(both, x @ entries, 0).sum(1)


def check_mixes(fn):
    """Six critics of which it is known; then for ten pairs of samples one where only the one's logit reads the other, in
    one entry; at last, one that does so weakly."""
    x = random(82, 5, 3)
    for which, (name, (_, expected)) in enumerate(CRITICS.items()):
        got = fn(lambda x, which=which: known(which, x), x)
        if np.shape(got) == () and np.asarray(got).dtype == bool and bool(got) != expected:
            if expected:
                why = WHY_NOT_SEEN.get(name, "Change one sample, and look at the other logits.")
                raise Mistake(
                    f"A critic with {name}: some logit depends on another sample, and you say it does not. {why}"
                )
            raise Mistake(
                f"A critic with {name}: each logit depends on its own sample alone, and you say it mixes. A logit may "
                "depend on its *own* sample: leave that out. Logits of two batches also differ by rounding, by 1e-5 or so."
            )
        same(got, expected, inputs={"x": x}, what=f"answer for a critic with {name}")
    several = [(0, 4), (4, 0), (1, 3), (3, 1), (2, 1), (1, 2), (3, 2), (0, 2), (2, 4), (4, 3)]
    several = [(i, j, n % 3) for n, (i, j) in enumerate(several)]
    missed = [case for case in several if not seen(fn, x, *case)]
    if missed:
        i, j, k = missed[0]
        raise Mistake(
            f"You miss {len(missed)} of {len(several)} critics in each of which one logit reads one other sample, such as logit "
            f"{i} entry {k} of sample {j}. Any logit may read any other sample, and any entry: look at all of them."
        )
    if not seen(fn, x, 3, 1, 0, 0.05):
        raise Mistake(
            "You miss a critic where one logit depends on another sample a little, by 0.05 of one entry: your tolerance is too "
            "large, or the change you make too small."
        )


def seen(fn, x, i, j, k, strength=1.0):
    who, entries = (x[i, 0], x[j, 0]), jnp.zeros(x.shape[1]).at[k].set(strength)
    return bool(fn(lambda x: reads(x, *who, entries), x))


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
    """Whether any logit depends on a sample other than its own.

    critic(x) is (B,), x (B, d) -> True or False.
    """
    jacobian = jax.jacobian(critic)(x)  # (B, B, d): logit i, sample j
    others = ~jnp.eye(len(x), dtype=bool)
    return bool((jacobian[others] != 0).any())


# --- 08.power_step --------------------------------------------------------------------------------------------------


def unit(x):
    return x / np.linalg.norm(x)


def check_power_step(fn):
    """One step from a random u on matrices of several shapes, the notebook's among them; many steps against the SVD."""
    for seed, shape in [(90, (5, 3)), (91, (3, 6)), (92, (4, 4)), (93, (128, 64))]:
        matrix, u = random(seed, *shape), random(seed + 10, shape[1])
        m, start = np.asarray(matrix, np.float64), unit(np.asarray(u, np.float64))
        u = jnp.asarray(start, jnp.float32)
        v = unit(m @ start)
        new = unit(v @ m)
        right = v @ m @ new, new
        got = fn(matrix, u)
        if isinstance(got, tuple | list) and len(got) == 2 and np.ndim(got[0]) == 1 and not np.ndim(got[1]):
            raise Mistake("Right number of things, in the wrong order: return σ, then u.")
        if not isinstance(got, tuple | list) and np.shape(got) == ():
            raise Mistake("You return σ alone. The next step starts from the new u: return both, (σ, u).")
        if not isinstance(got, tuple | list) and np.shape(got) == new.shape:
            raise Mistake("You return u alone. Return both, (σ, u): σ is v @ matrix @ u.")
        if isinstance(got, tuple | list) and len(got) == 3:
            raise Mistake("You return three things; asked for are σ and the next u alone, for v follows from u.")
        if isinstance(got, tuple | list) and len(got) == 2:
            sigma, vector = got
            values, rows = np.linalg.svd(m)[1:]
            recognise(
                vector,
                (v, "You return v, which belongs to the other side of the matrix. Multiply back: v @ matrix."),
                (start, "The u you return is the old one: the next step would start where this one did."),
                (v @ m, "The u you return is not divided by its length: it grows by σ at each step."),
                (
                    m.T @ (m @ start),
                    "Nothing is divided by its length in yours: u grows by σ² at each step, until it overflows.",
                ),
                (-new, "Your u points the other way: no sign is needed."),
                (rows[0], "That is the SVD's u. One step from the u you are given: through the matrix and back."),
                (-rows[0], "That is the SVD's u. One step from the u you are given: through the matrix and back."),
                *(
                    (steps(m, start, n), f"You make {n} steps in one. One is enough: through the matrix and back.")
                    for n in (2, 3, 5, 10, 20, 50, 100)
                ),
                *(
                    (
                        new / np.linalg.norm(new, ord),
                        f"The u you return is divided by {words}. Its length is the root of the sum of squares.",
                    )
                    for ord, words in ((1, "the sum of its absolute values"), (np.inf, "its largest entry"))
                ),
                (
                    new / np.linalg.norm(m @ start),
                    "You divide u by the length of v. By its own: u / jnp.linalg.norm(u).",
                ),
                (
                    unit(abs(m).T @ (abs(m) @ start)),
                    "You take the matrix's absolute values. Signs count: through the matrix as it is.",
                ),
                *several_back(m, start),
                right=new,
            )
            for side in (v, new):  # not unit vectors, whatever their lengths
                if np.shape(vector) == np.shape(side) and np.isfinite(vector).all() and np.any(vector):
                    length = np.linalg.norm(np.asarray(vector, np.float64))
                    if close(np.asarray(vector) / length, side) and not close(length, 1.0):
                        raise Mistake(
                            f"The u you return has length {length:.3g}: divide by it, u / jnp.linalg.norm(u), for v and for u."
                        )
            if close(vector, new):
                recognise(sigma, *wrong_sigmas(m, start, v, new, values), right=right[0])
                if close(
                    sigma, np.linalg.norm(m @ new)
                ):  # as good: not below v @ matrix @ u, and never above the largest
                    right = np.linalg.norm(m @ new), new
        fit(tuple(got) if isinstance(got, list) else got, right)
        same(tuple(got), right, inputs={"matrix": matrix, "u": u}, rtol=1e-4, what="result (σ, u)")
        if shape == (4, 4):
            for _ in range(200):
                sigma, u = fn(matrix, u)
            largest = values[0]
            same(sigma, largest, inputs={"matrix": matrix}, rtol=1e-3, what="σ after 200 steps, against the SVD,")


def steps(m, u, n):
    for _ in range(n):
        u = unit(m.T @ (m @ u))
    return u


def several_back(m, u):
    """Mistakes that only a square matrix lets pass."""
    if m.shape[0] != m.shape[1]:
        return ()
    return (
        (unit(m @ (m @ u)), "You multiply by the matrix twice. The way back is by its transpose: v @ matrix."),
        (unit(m @ (u @ m)), "Your u is on the wrong side: first v = matrix @ u, then u = v @ matrix."),
    )


def wrong_sigmas(m, start, v, new, values):
    old = np.linalg.norm(m @ start)
    return (
        (old, "Your σ uses the old u. After the step v @ matrix @ u, with the new u, is nearer."),
        (old**2, "Your σ is a square, and of the old u. Take v @ matrix @ u."),
        ((v @ m @ new) ** 2, "Your σ is squared: ‖matrixᵀ matrix u‖ grows by σ² a step. Take v @ matrix @ u."),
        (np.linalg.norm(m @ new) ** 2, "Your σ is squared. Take v @ matrix @ u, or the length of matrix @ u."),
        (
            np.linalg.norm(m.T @ (m @ start)),
            "Yours is a length after two trips through the matrix, σ². Take v @ matrix @ u.",
        ),
        (
            old * (v @ m @ new),
            "Your v is not divided by its length, so σ comes twice. Take v @ matrix @ u of unit vectors.",
        ),
        (start @ new, "That is how far u turns. σ is v @ matrix @ u."),
        (-(v @ m @ new), "The sign of your σ is flipped: v @ matrix @ u is positive."),
        (1 / (v @ m @ new), "You return 1/σ. The notebook divides by σ itself."),
        (
            np.linalg.norm(m),
            "That is the Frobenius norm, the root of *all* squared singular values. σ is the largest one.",
        ),
        (np.linalg.norm(m) / np.sqrt(m.shape[1]), "That is the mean square stretch. σ is the largest."),
        (abs(m).max(), "That is the largest entry of the matrix. σ is its largest stretch, v @ matrix @ u."),
        (values[0], "That is the SVD's σ, of many steps. Asked for is the estimate after this one: v @ matrix @ u."),
        (values.sum(), "That is the sum of the singular values. σ is the largest one."),
        ([v @ m @ new], "Your σ is an array (1,): a number is asked for, v @ matrix @ u of two vectors."),
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
    """One power iteration on matrix (m, n) from unit vector u (n,).

    Returns the largest σ, by the next u, and the next u.
    """
    v = matrix @ u
    v = v / jnp.linalg.norm(v)
    u = v @ matrix
    u = u / jnp.linalg.norm(u)
    return v @ matrix @ u, u
