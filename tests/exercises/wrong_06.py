"""Wrong answers to the exercises of notebook 06, each with words of the message that names its mistake."""

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
            values = np.linalg.eigvalsh(half @ q @ half) if np.isfinite(half).all() else np.array([np.nan])
            return np.sqrt(values).sum()

    return assemble(a, b, trace)


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
        (wrong_axis, "you take axis 1"),
        (zero_log_zero, "0 log 0 counts as 0"),
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
        (rooted, "square root of the expected one"),
        (imaginary, "complex number"),
        (matrix_root, "complex number"),
        (not_clipped, "Clip eigenvalues at 0"),
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
    ],
}
