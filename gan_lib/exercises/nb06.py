"""Notebook 06, does it work: references, hints and checks."""

import numpy as np

from gan_lib import metrics
from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.compare import recognise

# --- 06.inception_score ---------------------------------------------------------------------------------------------


def entropy(p):
    """Of distributions along the last axis, in nats."""
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=-1)


def check_inception_score(fn):
    """Random verdicts by entropies; then closed forms: one verdict for all, each class in turn."""
    rng = np.random.default_rng(0)
    for n, k in [(40, 10), (7, 3)]:
        probs = rng.dirichlet(np.full(k, 0.4), size=n)
        whole, each = entropy(probs.mean(0)), entropy(probs)
        right, got = float(np.exp(whole - each.mean())), fn(probs)
        forward = np.sum(probs * np.log(probs / probs.mean(0)), axis=1)
        reverse = np.sum(probs.mean(0) * np.log(probs.mean(0) / probs), axis=1).mean()
        ratio = probs / probs.mean(1, keepdims=True)
        recognise(
            got,
            (whole - each.mean(), "The exponential is missing: yours is the mean divergence itself, in nats."),
            (2 ** (whole - each.mean()), "You raise 2 to the divergence in nats. e belongs to the natural logarithm."),
            (np.exp((whole - each.mean()) / np.log(2)), "e belongs to the natural logarithm; yours is to base 2."),
            (np.exp(forward).mean(), "First the mean over the samples, then the exponential, not the reverse."),
            (np.exp(n * (whole - each.mean())), "You sum over the samples where a mean belongs."),
            (
                np.exp((whole - each.mean()) / k),
                "Within a divergence the terms of the classes are summed, not averaged.",
            ),
            (np.exp(whole), "That is only the variety, exp of the entropy of p(y). Sure verdicts count, too."),
            (np.exp(-each.mean()), "You use the verdicts alone. p(y), the mean verdict, is missing."),
            (np.exp(reverse), "You compute KL(p(y) ‖ p(y|x)); asked for is KL(p(y|x) ‖ p(y))."),
            (
                np.exp(np.mean(np.sum(probs * np.log(ratio), 1))),
                "p(y) is the mean over samples, axis 0; you take axis 1.",
            ),
            right=right,
        )
        same(got, right, inputs={"probs": probs}, rtol=1e-4, what="score")
    k = 5
    sure = np.eye(k)[np.arange(20) % k]
    got = fn(sure)
    if not np.isfinite(got):
        raise Mistake(
            "Where a class has probability 0 yours is NaN. 0 log 0 counts as 0: replace the log there, or clip."
        )
    same(got, float(k), inputs={"probs": sure}, rtol=1e-4, what="score of sure verdicts, all classes equally often")
    same(fn(sure[:1].repeat(9, 0)), 1.0, rtol=1e-4, what="score of one verdict repeated")


@define(
    "06.inception_score",
    difficulty=1,
    minutes=6,
    check=check_inception_score,
    hints=(
        "p(y) is the mean of the rows. A row's divergence is a sum over the classes; then the mean over the rows; then exp.",
        "`marginal = probs.mean(0)`; one divergence is the sum over the classes of probs · log(probs / marginal). With a 0 in "
        "probs that is 0 · −inf, NaN: clip probs inside the logarithm.",
        "ratio = np.clip(probs, 1e-12, 1) / np.clip(probs.mean(0), 1e-12, 1); then "
        "np.exp((probs * np.log(ratio)).sum(1).mean()).",
    ),
)
def inception_score(probs):
    """exp of the mean KL divergence from the mean verdict to each sample's verdict, a row of probs (N, K)."""
    ratio = np.clip(probs, 1e-12, 1) / np.clip(probs.mean(0), 1e-12, 1)
    return np.exp((probs * np.log(ratio)).sum(1).mean())


# --- 06.frechet_distance --------------------------------------------------------------------------------------------


def root(m):
    """The symmetric root of a symmetric matrix ≥ 0."""
    values, vectors = np.linalg.eigh(m)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def overlap(a, b):
    """tr (ab)^½ for two covariances."""
    half = root(a)
    return np.sqrt(np.maximum(np.linalg.eigvalsh(half @ b @ half), 0)).sum()


def features(seed, n, d, scale=1.0, shift=0.0):
    """Correlated features (n, d)."""
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + shift * rng.normal(size=d)


def check_frechet_distance(fn):
    """A closed form; random sets against the library, which goes by QR and singular values; fewer samples than features;
    float32 far from 0."""
    a = np.array([[1.0, 2], [1, -2], [-1, 2], [-1, -2]])  # uncorrelated, spreads in the ratio 1 : 2
    b = 3 * a + np.array([3.0, 4])
    compare(fn, a, b, float(25 + 4 * (1 + 4) * 4 / 3), "distance of two sets with the same axes")
    for seed, n, m, d in [(1, 30, 30, 4), (2, 40, 25, 6)]:
        a, b = features(seed, n, d, shift=1), features(seed + 10, m, d, scale=2)
        compare(fn, a, b, metrics.frechet_distance(a, b), "distance")
    a, b = features(3, 6, 9, scale=3), features(4, 8, 9, scale=3, shift=1)
    compare(fn, a, b, metrics.frechet_distance(a, b), "distance for fewer samples than features", few=True)
    a = features(5, 300, 8, scale=10, shift=1000).astype(np.float32)
    b = a[::-1] * np.float32(1.01)
    a64, b64 = np.float64(a), np.float64(b)
    right = metrics.frechet_distance(a64, b64)
    got = fn(a, b)
    if np.ndim(got) == 0 and not abs(float(np.real(got)) / right - 1) < 1e-5:
        raise Mistake(
            f"For float32 features far from 0 yours gives {float(np.real(got)):.6g}, expected {right:.6g}: rounding. Turn the "
            "features into float64 first, as NumPy does it: `np.asarray(a, np.float64)`."
        )


def compare(fn, a, b, right, what, few=False):
    """One case, with the mistakes that depend on it."""
    got = fn(a, b)
    if np.ndim(got) == 0 and np.iscomplexobj(got):
        raise Mistake(
            "You return a complex number: the root of ΣΣ', which is not symmetric, picks up imaginary parts from rounding. "
            "Take the root of the symmetric √Σ Σ' √Σ instead, which has the same trace."
        )
    if few and np.ndim(got) == 0 and not np.isfinite(float(got)):
        raise Mistake(
            f"With {len(a)} samples of {a.shape[1]} features Σ has eigenvalues that are 0, by rounding a little below, and "
            "their root is NaN. Clip eigenvalues at 0 before the root."
        )
    if not few and np.ndim(got) == 0 and not np.isfinite(float(got)):
        raise Mistake(
            f"Yours is {float(got)}: somewhere there is the root of a number below 0. np.sqrt takes the root of each entry; "
            "asked for is the matrix whose square is ΣΣ', or only its trace."
        )
    shift = a.mean(0) - b.mean(0)
    far, p, q = shift @ shift, np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    both, cross = np.trace(p) + np.trace(q), overlap(p, q)
    biased = [(len(x) - 1) / len(x) for x in (a, b)]
    with np.errstate(all="ignore"):
        suspects = [
            (
                far + biased[0] * np.trace(p) + biased[1] * np.trace(q) - 2 * np.sqrt(np.prod(biased)) * cross,
                "Your covariances are divided by N. From samples they have N − 1 below, as np.cov gives them.",
            ),
            (
                far + both - 2 * np.trace(root(p) @ root(q)),
                "tr(√Σ √Σ') is not tr((ΣΣ')^½), unless the two matrices commute. Put Σ' between: √(√Σ Σ' √Σ).",
            ),
            (
                far + both - 2 * np.sqrt(np.diag(p) * np.diag(q)).sum(),
                "You use the variances alone: the root is one of matrices, not of their entries.",
            ),
            (
                far + both - 2 * np.trace(np.sqrt(p @ q)),
                "np.sqrt takes the root of each entry. Asked for is the matrix whose square is ΣΣ'.",
            ),
            (
                far + both - 2 * np.sqrt(np.maximum(np.linalg.eigvalsh(p @ q), 0)).sum(),
                "eigvalsh is for symmetric matrices, and ΣΣ' is not symmetric: it reads one triangle only. Use √Σ Σ' √Σ.",
            ),
            (far + both - cross, "The root counts twice: − 2 tr((ΣΣ')^½)."),
            (far + both + 2 * cross, "The root is subtracted: yours is added."),
            (np.sqrt(far) + both - 2 * cross, "The distance of the means enters squared; yours is not."),
            (both - 2 * cross, "The means are missing: |μ − μ'|² comes first."),
            (np.mean(shift**2) + both - 2 * cross, "The squares of μ − μ' are summed over the features, not averaged."),
            (far + np.square(p - q).sum(), "Between the covariances you take the squared difference of entries."),
            (far, "You compare the means alone. The covariances are missing."),
        ]
        if len(a) == len(b):
            p, q = np.cov(a), np.cov(b)
            wrong = far + np.trace(p) + np.trace(q) - 2 * overlap(p, q)
            message = "Your covariances are of the samples, (N, N). np.cov wants features in rows: rowvar=False, or .T."
            suspects.append((wrong, message))
    recognise(got, *suspects, right=right)
    same(got, right, inputs={"a": a, "b": b}, rtol=1e-4, atol=1e-5, what=what)


@define(
    "06.frechet_distance",
    difficulty=3,
    minutes=15,
    check=check_frechet_distance,
    hints=(
        "Both means, both covariances (`np.cov(a, rowvar=False)`), in float64. The hard part is tr((ΣΣ')^½): ΣΣ' is not "
        "symmetric, but √Σ Σ' √Σ is, and has the same eigenvalues.",
        "The root of a symmetric matrix: `values, vectors = np.linalg.eigh(m)`, then "
        "`vectors * np.sqrt(values) @ vectors.T`. Clip values at 0 first: rounding puts some below.",
        "half = that root of Σ; `np.sqrt(np.clip(np.linalg.eigvalsh(half @ other @ half), 0, None)).sum()` is the trace. The "
        "result is |μ − μ'|² + tr Σ + tr Σ' − 2 times it.",
    ),
)
def frechet_distance(a, b):
    """Fréchet distance between Gaussians fitted to two feature sets (N, d) and (M, d): one number, computed in float64."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    half = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    overlap = np.sqrt(np.clip(np.linalg.eigvalsh(half @ cov_b @ half), 0, None)).sum()
    return np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap


# --- 06.precision_recall --------------------------------------------------------------------------------------------


def distances(x, y):
    """Euclidean distances (N, M) between rows of x (N, d) and of y (M, d)."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    squares = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.sqrt(np.maximum(squares, 0))


def reach(x, k):
    """Distance of each member to the k-th nearest other one."""
    return np.sort(distances(x, x), axis=1)[:, k]


def share(points, centres, radii):
    """The share of points inside at least one ball."""
    return float((distances(centres, points) <= radii[:, None]).any(axis=0).mean())


def check_precision_recall(fn):
    """Clouds of unequal sizes whose precision and recall differ, by loops of another kind; a set against itself."""
    rng = np.random.default_rng(0)
    for n, m, k, size, away in [(60, 40, 3, 0.5, 0.5), (40, 70, 1, 2.0, 0.0), (50, 45, 5, 0.6, 1.0)]:
        real, fake = rng.normal(size=(n, 2)), away + size * rng.normal(size=(m, 2))
        r, f = reach(real, k), reach(fake, k)
        right = metrics.precision_recall(real, fake, k=k)
        right = right.precision, right.recall
        got = fn(real, fake, k=k)
        got = tuple(got) if isinstance(got, (tuple, list, np.ndarray)) and np.shape(got) == (2,) else got
        between = distances(real, fake)
        fewer, more = ((reach(real, j), reach(fake, j)) for j in (k - 1, k + 1))
        mean = [np.mean(np.sort(distances(x, x), axis=1)[:, 1 : k + 1], axis=1) for x in (real, fake)]
        recognise(
            got,
            (
                right[::-1],
                "Precision and recall are swapped: precision is the share of the *fakes* inside balls of reals.",
            ),
            (
                (share(fake, real, fewer[0]), share(real, fake, fewer[1])),
                "Your balls are too small: in a sorted row of distances within a set, number 0 is the point itself, so the "
                "k-th nearest other one is number k.",
            ),
            ((share(fake, real, more[0]), share(real, fake, more[1])), "Your balls reach to neighbour k + 1."),
            (
                (share(fake, real, mean[0]), share(real, fake, mean[1])),
                "A ball reaches to the k-th neighbour, not to the mean of the first k.",
            ),
            (
                ((between <= f).any(0).mean(), (between <= r[:, None]).any(1).mean()),
                "The balls are those of the wrong set: a fake has to lie in a ball around a *real*.",
            ),
            ((share(fake, real, r),) * 2, "You return precision twice. Recall takes balls around the fakes."),
            (
                (share(fake, real, r), (between <= r[:, None]).any(1).mean()),
                "Your second number is coverage: the share of real balls with a fake inside. Recall takes balls around fakes.",
            ),
            (
                ((between <= r[:, None]).all(0).mean(), (between <= f).all(1).mean()),
                "One ball is enough: `any`, not `all`.",
            ),
            (
                ((between <= r[:, None]).mean(), (between <= f).mean()),
                "You take the share of all pairs. Ask first of each point whether *any* ball holds it, then take the mean.",
            ),
            (
                ((between <= r.mean()).any(0).mean(), (between <= f.mean()).any(1).mean()),
                "You use one radius for all balls. Each has its own: where points are rare, balls are large.",
            ),
            (
                ((between <= r.max()).any(0).mean(), (between <= f.max()).any(1).mean()),
                "You use one radius for all balls. Each has its own: where points are rare, balls are large.",
            ),
            (
                ((between.min(0) <= r[between.argmin(0)]).mean(), (between.min(1) <= f[between.argmin(1)]).mean()),
                "You ask only the nearest point for its ball. One farther off may have a larger ball.",
            ),
            (
                ((between <= r[:, None] ** 2).any(0).mean(), (between <= f**2).any(1).mean()),
                "You compare distances with squared radii.",
            ),
            (
                ((between**2 <= r[:, None]).any(0).mean(), (between**2 <= f).any(1).mean()),
                "You compare squared distances with radii that are not squared.",
            ),
            (
                ((between <= r[:, None]).any(0).sum(), (between <= f).any(1).sum()),
                "You count points; a share is asked for: take the mean.",
            ),
            right=right,
        )
        same(got, right, inputs={"real": real, "fake": fake, "k": k}, rtol=1e-6, what="pair (precision, recall)")
    same(tuple(fn(real, real, k=3)), (1.0, 1.0), rtol=1e-6, what="pair for a set against itself")


@define(
    "06.precision_recall",
    difficulty=2,
    minutes=12,
    check=check_precision_recall,
    hints=(
        "Two questions of one kind: which points of one set lie in a ball around a member of the other? Write that once, "
        "and call it with the sets exchanged.",
        "Radii: `np.sort(distances(x, x), axis=1)[:, k]`, as column 0 is the point itself. Then compare "
        "`distances(real, fake)`, (N, M), with the radii: as a column, (N, 1), for reals; as a row, (M,), for fakes.",
        "Precision is `(distances(real, fake) <= real_radii[:, None]).any(0).mean()`, recall "
        "`(distances(real, fake) <= fake_radii).any(1).mean()`.",
    ),
)
def precision_recall(real, fake, k=3):
    """(share of the fakes in a ball around a real, share of the reals in a ball around a fake); sets (N, d), (M, d)."""
    real_radii, fake_radii = (np.sort(distances(x, x), axis=1)[:, k] for x in (real, fake))
    between = distances(real, fake)
    return (between <= real_radii[:, None]).any(0).mean(), (between <= fake_radii).any(1).mean()


# --- 06.nearer ------------------------------------------------------------------------------------------------------


def check_nearer(fn):
    """All pairs, with ties and sets of unequal size; then all nearer, all farther, all the same."""
    rng = np.random.default_rng(0)
    for n, m in [(30, 20), (12, 25)]:
        heldout, samples = rng.integers(0, 12, n).astype(float), rng.integers(0, 9, m).astype(float)
        less, ties = (samples[:, None] < heldout).mean(), (samples[:, None] == heldout).mean()
        right, got = float(less + ties / 2), fn(heldout, samples)
        few = min(n, m)
        paired = samples[:few], heldout[:few]
        recognise(
            got,
            (1 - right, "That is the probability that a sample is *farther* off. Copies should score 1, not 0."),
            (less, "A tie counts half; you do not count it."),
            (less + ties, "A tie counts half; you count it in full."),
            (1 - less, "You ask whether samples are farther off, and count ties in full."),
            ((paired[0] < paired[1]).mean(), "You compare number by number. Each sample meets *every* held-out point."),
            (
                (paired[0] < paired[1]).mean() + (paired[0] == paired[1]).mean() / 2,
                "You compare number by number. Each sample meets *every* held-out point.",
            ),
            (samples.mean() / heldout.mean(), "A ratio of mean distances is no probability: compare all pairs."),
            ((samples < heldout.mean()).mean(), "You compare with the mean held-out distance. Compare all pairs."),
            (
                (samples < np.median(heldout)).mean(),
                "You compare with the median held-out distance. Compare all pairs.",
            ),
            (float(samples.mean() < heldout.mean()), "You compare the means: yes or no. A probability is asked for."),
            ((less + ties / 2) * n * m, "You count pairs; divide by their number."),
            (right * n, "Divide by the number of pairs, n · m, not by the number of samples alone."),
            (right * m, "Divide by the number of pairs, n · m, not by the number of held-out points alone."),
            right=right,
        )
        same(got, right, inputs={"heldout": heldout, "samples": samples}, rtol=1e-6, what="probability")
    for wanted, value in [(1.0, 1.0), (0.0, 9.0), (0.5, 5.0)]:
        same(
            fn(np.full(4, 5.0), np.full(3, value)),
            wanted,
            what=f"probability where all samples have distance {value:g}",
        )


@define(
    "06.nearer",
    difficulty=1,
    minutes=6,
    check=check_nearer,
    hints=(
        "Let each sample meet each held-out point. In what share of the meetings is the sample's distance the smaller one?",
        "`samples[:, None] < heldout` is the table of all meetings, (M, N). Ties, `==`, count half.",
        "(samples[:, None] < heldout).mean() + (samples[:, None] == heldout).mean() / 2.",
    ),
)
def nearer(heldout, samples):
    """Probability that a sample's distance to the training set is smaller than a held-out point's; ties count half.

    heldout (N,), samples (M,): distances to the nearest training point.
    """
    return (samples[:, None] < heldout).mean() + (samples[:, None] == heldout).mean() / 2


# --- 06.at_infinity -------------------------------------------------------------------------------------------------


def check_at_infinity(fn):
    """Noisy lines in 1/n by the normal equations, then an exact one."""
    sizes = np.array([250, 500, 1000, 2000, 4000])
    rng = np.random.default_rng(0)
    for limit, slope, noise in [(7.0, 900.0, 0.2), (0.2, 650.0, 0.05), (3.0, 600.0, 0.0)]:
        values = limit + slope / sizes + noise * rng.normal(size=len(sizes))
        x = 1 / sizes
        steep = ((x - x.mean()) * (values - values.mean())).sum() / np.square(x - x.mean()).sum()
        right, got = float(values.mean() - steep * x.mean()), fn(sizes, values)
        two = (values[-1] * sizes[-1] - values[-2] * sizes[-2]) / (sizes[-1] - sizes[-2])
        ends = (values[-1] * sizes[-1] - values[0] * sizes[0]) / (sizes[-1] - sizes[0])
        recognise(
            got,
            (steep, "That is the slope of the line. Asked for is its value where 1/n is 0."),
            (np.polyfit(sizes, values, 1)[1], "You fit a line in n. It is one in 1/n, so fit against `1 / sizes`."),
            (
                np.polyfit(sizes, values, 1)[0],
                "That is a slope, and of a line in n. Fit in 1/n, and take the other number.",
            ),
            (np.polyfit(np.log(sizes), values, 1)[1], "You fit a line in log n. It is one in 1/n."),
            (np.polyfit(1 / np.sqrt(sizes), values, 1)[1], "You fit a line in 1/√n. The bias falls as 1/n."),
            (values[-1], "That is the last value, still biased."),
            (values.min(), "That is the smallest value, still biased."),
            (values.mean(), "The mean of the values is more biased than the last of them."),
            (right + steep / sizes[-1], "You read the line at the last n. At infinity 1/n is 0."),
            (
                np.polyfit(x, values, 4)[-1],
                "You fit a curve through all points, and it follows the noise: a line, degree 1.",
            ),
            (np.polyfit(x, values, 2)[-1], "You fit a parabola; a line is asked for, degree 1."),
            (two, "You use the last two sizes only: fit the line to all of them, by least squares."),
            (ends, "You use the first and the last size only: fit the line to all of them, by least squares."),
            right=right,
        )
        same(got, right, inputs={"sizes": sizes, "values": values}, rtol=1e-5, what="value at infinity")


@define(
    "06.at_infinity",
    difficulty=1,
    minutes=5,
    check=check_at_infinity,
    hints=(
        "value = a + b/n is a straight line, if you plot it against the right thing. At infinity only a is left.",
        "Against x = 1/n it is a line a + b·x. `np.polyfit(x, y, 1)` fits one; it returns the slope first.",
        "np.polyfit(1 / np.asarray(sizes), values, 1)[1].",
    ),
)
def at_infinity(sizes, values):
    """Fit values = a + b/n at the sample sizes n by least squares, and return a: the value for n → ∞."""
    return np.polyfit(1 / np.asarray(sizes), values, 1)[1]
