"""Wrong answers to the exercises of notebook 06, each with words of the message that names its mistake."""

import jax.numpy as jnp
import numpy as np
import scipy.linalg

# --- inception_score


def divergences(probs, marginal=None):
    marginal = probs.mean(0) if marginal is None else marginal
    ratio = np.clip(probs, 1e-12, 1) / np.clip(marginal, 1e-12, 1)
    return (probs * np.log(ratio)).sum(1)


def exp_missing(probs):
    return divergences(probs).mean()


def bits_and_e(probs):
    return np.exp(divergences(probs).mean() / np.log(2))


def two_and_nats(probs):
    return 2 ** divergences(probs).mean()


def exp_first(probs):
    return np.exp(divergences(probs)).mean()


def sum_over_samples(probs):
    return np.exp(divergences(probs).sum())


def mean_over_all(probs):
    return np.exp(divergences(probs).mean() / probs.shape[1])


def variety_only(probs):
    p = np.clip(probs.mean(0), 1e-12, 1)
    return np.exp(-(p * np.log(p)).sum())


def sureness_only(probs):
    return np.exp((probs * np.log(np.clip(probs, 1e-12, 1))).sum(1).mean())


def kl_reversed(probs):
    p = probs.mean(0)
    return np.exp((p * np.log(np.clip(p, 1e-12, 1) / np.clip(probs, 1e-12, 1))).sum(1).mean())


def wrong_axis(probs):
    return np.exp(divergences(probs, probs.mean(1, keepdims=True)).mean())


def zero_log_zero(probs):
    with np.errstate(all="ignore"):
        return np.exp((probs * np.log(probs / probs.mean(0))).sum(1).mean())


def ten_splits(probs):
    return np.mean([np.exp(divergences(part).mean()) for part in np.array_split(probs, 10)])


def hard_labels(probs):
    sure = np.eye(probs.shape[1])[probs.argmax(1)]
    return np.exp(divergences(sure).mean())


def median_divergence(probs):
    return np.exp(np.median(divergences(probs)))


def unweighted(probs):
    return np.exp(np.log(np.clip(probs, 1e-12, 1) / np.clip(probs.mean(0), 1e-12, 1)).sum(1).mean())


def large_epsilon(probs):
    return np.exp((probs * np.log((probs + 1e-2) / (probs.mean(0) + 1e-2))).sum(1).mean())


def absent_class(probs):
    with np.errstate(all="ignore"):
        return np.exp((probs * (np.log(probs + 1e-12) - np.log(probs.mean(0)))).sum(1).mean())


# --- frechet_distance


def moments(x):
    x = np.asarray(x, np.float64)
    return x.mean(0), np.cov(x, rowvar=False)


def root(m):
    values, vectors = np.linalg.eigh(m)
    return vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T


def cross(p, q):
    half = root(p)
    return np.sqrt(np.clip(np.linalg.eigvalsh(half @ q @ half), 0, None)).sum()


def assemble(a, b, trace=cross, factor=-2.0, mean=lambda d: d @ d, cov=lambda x: moments(x)[1]):
    p, q = cov(a), cov(b)
    return mean(moments(a)[0] - moments(b)[0]) + np.trace(p) + np.trace(q) + factor * trace(p, q)


def divided_by_n(a, b):
    return assemble(a, b, cov=lambda x: np.cov(np.asarray(x, np.float64), rowvar=False, bias=True))


def covariance_transposed(a, b):
    return assemble(a, b, cov=np.cov)


def commuting(a, b):
    return assemble(a, b, lambda p, q: np.trace(root(p) @ root(q)))


def variances_only(a, b):
    return assemble(a, b, lambda p, q: np.sqrt(np.diag(p) * np.diag(q)).sum())


def root_of_entries(a, b):
    with np.errstate(all="ignore"):
        return assemble(a, b, lambda p, q: np.trace(np.sqrt(p @ q)))


def triangle_only(a, b):
    return assemble(a, b, lambda p, q: np.sqrt(np.clip(np.linalg.eigvalsh(p @ q), 0, None)).sum())


def root_once(a, b):
    return assemble(a, b, factor=-1.0)


def root_added(a, b):
    return assemble(a, b, factor=2.0)


def norm_not_squared(a, b):
    return assemble(a, b, mean=np.linalg.norm)


def means_missing(a, b):
    return assemble(a, b, mean=lambda d: 0.0)


def mean_square(a, b):
    return assemble(a, b, mean=lambda d: np.square(d).mean())


def covariances_by_entry(a, b):
    (m, p), (n, q) = moments(a), moments(b)
    return np.square(m - n).sum() + np.square(p - q).sum()


def means_only(a, b):
    return np.square(moments(a)[0] - moments(b)[0]).sum()


def rooted(a, b):
    return np.sqrt(assemble(a, b))


def imaginary(a, b):
    return assemble(a, b, lambda p, q: np.sqrt(np.linalg.eigvals(p @ q).astype(complex)).sum())


def matrix_root(a, b):
    return assemble(a, b, lambda p, q: np.trace(scipy.linalg.sqrtm((p @ q).astype(complex))))


def not_clipped(a, b):
    def trace(p, q):
        with np.errstate(all="ignore"):
            values, vectors = np.linalg.eigh(p)
            half = vectors * np.sqrt(values) @ vectors.T
            return np.sqrt(np.linalg.eigvalsh(half @ q @ half)).sum()

    return assemble(a, b, trace)


def not_clipped_at_last(a, b):
    with np.errstate(all="ignore"):
        return assemble(a, b, lambda p, q: np.sqrt(np.linalg.eigvalsh(root(p) @ q @ root(p))).sum())


def uncentred(a, b):
    return assemble(a, b, cov=lambda x: x.T @ x / (len(x) - 1))


def singular_values(a, b):
    return assemble(a, b, lambda p, q: np.sqrt(np.linalg.svd(p @ q)[1]).sum())


def no_root(a, b):
    return assemble(a, b, lambda p, q: np.trace(p @ q))


def truncated(a, b):
    return assemble(a[: len(b)], b[: len(a)])


def ridge(a, b):
    return assemble(a, b, lambda p, q: cross(p + 0.01 * np.eye(len(p)), q + 0.01 * np.eye(len(q))))


def in_jax(a, b):
    a, b = jnp.asarray(a), jnp.asarray(b)
    p, q = jnp.cov(a, rowvar=False), jnp.cov(b, rowvar=False)
    return jnp.sum((a.mean(0) - b.mean(0)) ** 2) + jnp.trace(p) + jnp.trace(q) - 2 * jnp.float32(cross(p, q))


def in_float32(a, b):
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    p, q = ((x.T @ x - len(x) * np.outer(x.mean(0), x.mean(0))) / (len(x) - 1) for x in (a, b))
    shift = a.mean(0) - b.mean(0)
    return np.float64(shift @ shift + np.trace(p) + np.trace(q) - 2 * cross(np.float64(p), np.float64(q)))


# --- precision_recall


def gaps(x, y):
    return np.linalg.norm(x[:, None] - y, axis=-1)


def radii(x, k):
    return np.sort(gaps(x, x), axis=1)[:, k]


def balls(real, fake, r, f, hold=np.any):
    between = gaps(real, fake)
    return hold(between <= r[:, None], axis=0).mean(), hold(between <= f, axis=1).mean()


def swapped(real, fake, k=3):
    return balls(real, fake, radii(real, k), radii(fake, k))[::-1]


def counts_itself(real, fake, k=3):
    return balls(real, fake, radii(real, k - 1), radii(fake, k - 1))


def one_neighbour_more(real, fake, k=3):
    return balls(real, fake, radii(real, k + 1), radii(fake, k + 1))


def mean_of_neighbours(real, fake, k=3):
    r, f = (np.sort(gaps(x, x), axis=1)[:, 1 : k + 1].mean(1) for x in (real, fake))
    return balls(real, fake, r, f)


def balls_of_the_other(real, fake, k=3):
    between = gaps(real, fake)
    return (between <= radii(fake, k)).any(0).mean(), (between <= radii(real, k)[:, None]).any(1).mean()


def precision_twice(real, fake, k=3):
    precision = balls(real, fake, radii(real, k), radii(fake, k))[0]
    return precision, precision


def coverage_for_recall(real, fake, k=3):
    inside = gaps(real, fake) <= radii(real, k)[:, None]
    return inside.any(0).mean(), inside.any(1).mean()


def every_ball(real, fake, k=3):
    return balls(real, fake, radii(real, k), radii(fake, k), np.all)


def share_of_pairs(real, fake, k=3):
    between = gaps(real, fake)
    return (between <= radii(real, k)[:, None]).mean(), (between <= radii(fake, k)).mean()


def mean_radius(real, fake, k=3):
    r, f = radii(real, k), radii(fake, k)
    return balls(real, fake, np.full_like(r, r.mean()), np.full_like(f, f.mean()))


def largest_radius(real, fake, k=3):
    r, f = radii(real, k), radii(fake, k)
    return balls(real, fake, np.full_like(r, r.max()), np.full_like(f, f.max()))


def nearest_only(real, fake, k=3):
    between, r, f = gaps(real, fake), radii(real, k), radii(fake, k)
    return (between.min(0) <= r[between.argmin(0)]).mean(), (between.min(1) <= f[between.argmin(1)]).mean()


def radii_squared(real, fake, k=3):
    return balls(real, fake, radii(real, k) ** 2, radii(fake, k) ** 2)


def counted(real, fake, k=3):
    precision, recall = balls(real, fake, radii(real, k), radii(fake, k))
    return precision * len(fake), recall * len(real)


def edge_left_out(real, fake, k=3):
    between, r, f = gaps(real, fake), radii(real, k), radii(fake, k)
    return (between < r[:, None]).any(0).mean(), (between < f).any(1).mean()


def always_three(real, fake, k=3):
    return balls(real, fake, radii(real, 3), radii(fake, 3))


def another_default(real, fake, k=5):
    return balls(real, fake, radii(real, k), radii(fake, k))


def by_argsort(real, fake, k=3):
    return balls(real, fake, *(np.argsort(gaps(x, x), axis=1)[:, k] for x in (real, fake)))


def farthest(real, fake, k=3):
    return balls(real, fake, *(np.sort(gaps(x, x), axis=1)[:, -k] for x in (real, fake)))


def one_row(real, fake, k=3):
    return balls(real, fake, *(np.sort(gaps(x, x), axis=1)[k] for x in (real, fake)))


def to_the_other_set(real, fake, k=3):
    between = np.sort(gaps(real, fake), axis=1)[:, k - 1], np.sort(gaps(fake, real), axis=1)[:, k - 1]
    return balls(real, fake, *between)


def k_balls(real, fake, k=3):
    return balls(real, fake, radii(real, k), radii(fake, k), lambda inside, axis: inside.sum(axis) >= k)


def rest(real, fake, k=3):
    precision = balls(real, fake, radii(real, k), radii(fake, k))[0]
    return precision, 1 - precision


def pair_by_pair(real, fake, k=3):
    def apart(x, y):
        return np.array([[sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) for q in y] for p in x]) ** 0.5

    r, f = (np.sort(apart(x, x), axis=1)[:, k] for x in (real, fake))
    between = apart(real, fake)
    return (between <= r[:, None]).any(0).mean(), (between <= f).any(1).mean()


# --- nearer


def meetings(heldout, samples):
    return samples[:, None], heldout[None]


def farther(heldout, samples):
    s, h = meetings(heldout, samples)
    return (s > h).mean() + (s == h).mean() / 2


def no_ties(heldout, samples):
    s, h = meetings(heldout, samples)
    return (s < h).mean()


def full_ties(heldout, samples):
    s, h = meetings(heldout, samples)
    return (s <= h).mean()


def one_by_one(heldout, samples):
    few = min(len(heldout), len(samples))
    return (samples[:few] < heldout[:few]).mean()


def ratio_of_means(heldout, samples):
    return samples.mean() / heldout.mean()


def under_the_mean(heldout, samples):
    return (samples < heldout.mean()).mean()


def under_the_median(heldout, samples):
    return (samples < np.median(heldout)).mean()


def yes_or_no(heldout, samples):
    return float(samples.mean() < heldout.mean())


def number_of_pairs(heldout, samples):
    s, h = meetings(heldout, samples)
    return (s < h).sum() + (s == h).sum() / 2


def without_ties(heldout, samples):
    s, h = meetings(heldout, samples)
    with np.errstate(all="ignore"):
        return (s < h).mean() / (s != h).mean()


def wins_less_losses(heldout, samples):
    s, h = meetings(heldout, samples)
    return np.sign(h - s).mean()


def whole_numbers(heldout, samples):
    s, h = meetings(heldout.astype(int), samples.astype(int))
    return (s < h).mean() + (s == h).mean() / 2


def under_the_smallest(heldout, samples):
    return (samples < heldout.min()).mean()


def sorted_first(heldout, samples):
    return one_by_one(np.sort(heldout), np.sort(samples))


# --- at_infinity


def slope(sizes, values):
    return np.polyfit(1 / sizes, values, 1)[0]


def line_in_n(sizes, values):
    return np.polyfit(sizes, values, 1)[1]


def line_in_log(sizes, values):
    return np.polyfit(np.log(sizes), values, 1)[1]


def line_in_root(sizes, values):
    return np.polyfit(1 / np.sqrt(sizes), values, 1)[1]


def last_value(sizes, values):
    return values[-1]


def mean_value(sizes, values):
    return values.mean()


def at_the_last(sizes, values):
    return np.polyval(np.polyfit(1 / sizes, values, 1), 1 / sizes[-1])


def through_all(sizes, values):
    return np.polyfit(1 / sizes, values, len(sizes) - 1)[-1]


def last_two(sizes, values):
    return np.polyfit(1 / sizes[-2:], values[-2:], 1)[1]


def never_below_0(sizes, values):
    return max(0.0, np.polyfit(1 / sizes, values, 1)[1])


def absolute(sizes, values):
    return abs(np.polyfit(1 / sizes, values, 1)[1])


def weighted(sizes, values):
    return np.polyfit(1 / sizes, values, 1, w=np.sqrt(sizes))[1]


def parabola(sizes, values):
    return np.polyfit(1 / sizes, values, 2)[-1]


def power(sizes, values):
    return np.exp(np.polyfit(np.log(sizes), np.log(abs(values)), 1)[1])


WRONG = {
    "06.inception_score": [
        (exp_missing, "The exponential is missing"),
        (bits_and_e, "yours is to base 2"),
        (two_and_nats, "You raise 2"),
        (exp_first, "First the mean over the samples"),
        (sum_over_samples, "a mean belongs"),
        (mean_over_all, "are summed, not averaged"),
        (variety_only, "only the variety"),
        (sureness_only, "verdicts alone"),
        (kl_reversed, "asked for is KL(p(y|x)"),
        (wrong_axis, "you take axis 1, which is 1/K"),
        (zero_log_zero, "0 log 0 counts as 0"),
        (ten_splits, "ten splits"),
        (hard_labels, "hard labels"),
        (median_divergence, "the median over the samples"),
        (unweighted, "are not weighted"),
        (large_epsilon, "too much for small probabilities"),
        (absent_class, "a class never occurs"),
    ],
    "06.frechet_distance": [
        (divided_by_n, "N − 1 below"),
        (covariance_transposed, "rowvar=False"),
        (commuting, "unless the two matrices commute"),
        (variances_only, "variances alone"),
        (root_of_entries, "root of each entry"),
        (triangle_only, "reads one triangle only"),
        (root_once, "counts twice"),
        (root_added, "yours is added"),
        (norm_not_squared, "enters squared"),
        (means_missing, "The means are missing"),
        (mean_square, "summed over the features"),
        (covariances_by_entry, "squared difference of entries"),
        (means_only, "compare the means alone"),
        (rooted, "root of the distance"),
        (imaginary, "complex number"),
        (matrix_root, "complex number"),
        (not_clipped, "Clip eigenvalues at 0"),
        (not_clipped_at_last, "Clip eigenvalues at 0"),
        (uncentred, "not centred"),
        (singular_values, "are not its eigenvalues"),
        (no_root, "The matrix root is missing"),
        (truncated, "You leave samples out"),
        (ridge, "to the diagonals"),
        (in_jax, "float32"),
        (in_float32, "float64 first"),
    ],
    "06.precision_recall": [
        (swapped, "Precision and recall are swapped"),
        (counts_itself, "number 0 is the point itself"),
        (one_neighbour_more, "neighbour k + 1"),
        (mean_of_neighbours, "mean of the first k"),
        (balls_of_the_other, "balls are those of the wrong set"),
        (precision_twice, "precision twice"),
        (coverage_for_recall, "second number is coverage"),
        (every_ball, "`any`, not `all`"),
        (share_of_pairs, "share of all pairs"),
        (mean_radius, "one radius for all balls"),
        (largest_radius, "one radius for all balls"),
        (nearest_only, "only the nearest point"),
        (radii_squared, "squared radii"),
        (counted, "take the mean"),
        (edge_left_out, "on the edge of a ball"),
        (always_three, "whatever k is"),
        (another_default, "keep the default"),
        (by_argsort, "np.argsort gives the places"),
        (farthest, "k-th *farthest*"),
        (one_row, "all of one point"),
        (to_the_other_set, "the *other* set, the k-th nearest."),
        (k_balls, "not k of them"),
        (rest, "1 less precision"),
        (pair_by_pair, "No Python loop over pairs"),
    ],
    "06.nearer": [
        (farther, "is *farther* off"),
        (no_ties, "you do not count it"),
        (full_ties, "you count it in full"),
        (one_by_one, "number by number"),
        (ratio_of_means, "no probability"),
        (under_the_mean, "mean held-out distance"),
        (under_the_median, "median held-out distance"),
        (yes_or_no, "yes or no"),
        (number_of_pairs, "divide by their number"),
        (without_ties, "You leave ties out"),
        (wins_less_losses, "from −1 to 1"),
        (whole_numbers, "round the distances"),
        (under_the_smallest, "*all* held-out points"),
        (sorted_first, "after sorting"),
    ],
    "06.at_infinity": [
        (slope, "the slope of the line"),
        (line_in_n, "a line in n"),
        (line_in_log, "a line in log n"),
        (line_in_root, "falls as 1/n"),
        (last_value, "the last value"),
        (mean_value, "more biased"),
        (at_the_last, "at the last n"),
        (through_all, "follows the noise"),
        (last_two, "last two sizes only"),
        (never_below_0, "cut the value off at 0"),
        (absolute, "the absolute value"),
        (weighted, "You weight the sizes"),
        (parabola, "a parabola"),
        (power, "You fit logarithms"),
    ],
}
