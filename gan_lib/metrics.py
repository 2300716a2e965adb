"""How good are the samples? Plain arrays in, float64 inside, Python floats out.

Two feature sets are compared by `frechet_distance` and `kernel_distance` (how far apart?), `precision_recall` and
`density_coverage` (is it quality or variety that is missing?) and `memorisation` (new, or copied?). `inception_score`
sees a classifier's verdicts only, `mode_coverage` points in the plane. Features of images: features.py.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from gan_lib.arrays import as_array, as_float64, check_whole


class Gaussian:
    """All that `frechet_distance` needs of a feature set: fitted to one by `gaussian`, or made of known moments.

    mean: (d,). covariance: (d, d); or instead of it root: (m, d), of which rootᵀ root is the covariance.
    Raises ValueError on another shape, on values that are not finite, and on a matrix that is no covariance.
    """

    def __init__(self, mean, covariance=None, *, root=None):
        name, matrix = ("covariance", covariance) if root is None else ("root", root)
        self.mean, matrix = as_float64(mean, "mean"), as_float64(matrix, name)
        rows, d = matrix.shape[:1] if covariance is None else (self.mean.size,), self.mean.size
        if self.mean.ndim != 1 or matrix.shape != (*rows, d) or not matrix.size:
            raise ValueError(
                f"mean has shape {self.mean.shape}, {name} {matrix.shape}; expected (d,) and a covariance (d, d), or root=... "
                "(m, d). `gaussian` fits one to features."
            )
        self.root = matrix if covariance is None else _root(matrix)


class PrecisionRecall(NamedTuple):
    """precision: share of the fakes in the realm of the reals. recall: the other way round. Both in [0, 1]."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """density: ≥ 0, on average 1 for honest samples. coverage: share of the real balls with a fake inside, in [0, 1]."""

    density: float
    coverage: float


class Memorisation(NamedTuple):
    """nearer: honest samples score 0.5, copies 1. copies: honest samples score 0.05, copies 1. Both in [0, 1]."""

    nearer: float
    copies: float


class ModeCoverage(NamedTuple):
    """modes: how many were found. high_quality: fraction of the samples, in [0, 1]. reverse_kl: nats, inf if none found."""

    modes: int
    high_quality: float
    reverse_kl: float


def gaussian(features, *, name: str = "features") -> Gaussian:
    """Mean and covariance of a feature set (N, d), N ≥ 2: fit a large reference set once, use it often."""
    (x,) = _sets(**{name: features})
    centred = x - x[0]  # first, so that features that do not vary give exactly 0
    mean = centred.mean(axis=0)
    return Gaussian(x[0] + mean, root=np.linalg.qr((centred - mean) / np.sqrt(len(x) - 1), mode="r"))


def _root(covariance):
    values, vectors = np.linalg.eigh(covariance)
    if min(values[0], -abs(covariance - covariance.T).max()) < -1e-5 * values[-1]:
        raise ValueError("covariance is not symmetric, or has variances below 0; hand over a root of one as root=...")
    return (np.sqrt(np.maximum(values, 0)) * vectors).T


def frechet_distance(a, b) -> float:
    """Fréchet distance between Gaussians fitted to two feature sets: |μ − μ'|² + tr(Σ + Σ' − 2 (ΣΣ')^½).

    a: (N, d), b: (M, d), N, M ≥ 2, or a `gaussian` of such a set. Covariances have N − 1 and M − 1 below.
    Returns a float ≥ 0, in squared feature units, exact also for N < d. Biased upwards by O(1/N): compare at equal N, M.
    Raises ValueError on a rank other than 2, on differing d, on features not finite or above 1e45, and if neither varies.
    Heusel et al. 2017, eq. 6.
    """
    a, b = (x if isinstance(x, Gaussian) else gaussian(x, name=name) for name, x in (("a", a), ("b", b)))
    _same_width(a=a.mean, b=b.mean)
    _refuse_stuck("Neither a nor b", *(np.vstack([0 * x.mean, x.root]) for x in (a, b)))
    # tr (ΣΣ')^½ is the sum of the singular values of root · root'ᵀ: no root of a matrix, so nothing imaginary.
    overlap = np.linalg.svd(a.root @ b.root.T, compute_uv=False).sum()
    shift = a.mean - b.mean
    return max(0.0, float(shift @ shift + np.square(a.root).sum() + np.square(b.root).sum() - 2 * overlap))


def kernel_distance(a, b, *, subsets=100, subset_size=1000, seed=0) -> float:
    """Unbiased squared maximum mean discrepancy (MMD²) with the kernel k(x, y) = (x·y/d + 1)³.

    a: (N, d), b: (M, d). Mean over `subsets` draws of `subset_size` features from each set, without replacement; of a
    smaller set all are taken. It is 0 on average between samples of one distribution, so it can be negative. It depends
    on the unit of the features.
    Raises ValueError as `frechet_distance` does, and on subsets < 1 or subset_size < 2.
    Bińkowski et al. 2018, section 4; Gretton et al. 2012, eq. 3.
    """
    a, b = _sets(a=a, b=b)
    _refuse_stuck("Neither a nor b", a, b)
    check_whole(subsets, "subsets", 1)
    check_whole(subset_size, "subset_size", 2)
    n, m = min(subset_size, len(a)), min(subset_size, len(b))
    draws = 1 if n == len(a) and m == len(b) else subsets  # whole sets are the same in each draw
    rng = np.random.default_rng(seed)
    values = [_mmd(rng.choice(a, n, replace=False), rng.choice(b, m, replace=False)) for _ in range(draws)]
    return float(np.mean(values))


def _mmd(x, y):
    def kernel(x, y):
        base = x @ y.T / x.shape[1]
        return base * (base * (base + 3) + 3)  # less 1, which cancels in MMD² and would hide small numbers

    def within(x):  # mean over pairs of different members
        k = kernel(x, x)
        return (k.sum() - np.trace(k)) / (len(x) * (len(x) - 1))

    return within(x) + within(y) - 2 * kernel(x, y).mean()


def inception_score(probs, *, splits=10) -> tuple[float, float]:
    """exp of the mean KL(p(y|x) ‖ p(y)), from 1 to K: (mean, standard deviation) over `splits` consecutive parts.

    probs: (N, K), a classifier's probabilities for each sample. Their order counts: shuffle samples sorted by class, or
    a part holds one class and scores 1. Real data is never looked at.
    Raises ValueError on another rank, on splits > N, and on rows that are no distributions (≥ 0, sum 1 within 0.001).
    Salimans et al. 2016, section 4.
    """
    (probs,) = _sets(probs=probs)
    sums = probs.sum(axis=1)
    if probs.min() < 0 or abs(sums - 1).max() > 1e-3:
        raise ValueError(
            f"probs has values down to {probs.min():.3g} and rows that sum to {sums.min():.3g} … {sums.max():.3g}; "
            "expected a distribution in each row. Put logits through a softmax over the last axis first."
        )
    check_whole(splits, "splits", 1, len(probs), "the number of samples")
    scores, ends = [], [i * len(probs) // splits for i in range(splits + 1)]
    for part in (probs[start:stop] for start, stop in pairwise(ends)):
        ratio = np.where(part > 0, part, 1) / np.where(part > 0, part.mean(axis=0), 1)  # 0 log 0 is 0
        scores.append(np.exp(np.sum(part * np.log(ratio), axis=1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def precision_recall(real, fake, *, k=3) -> PrecisionRecall:
    """Which fakes lie in the realm of the reals (precision), which reals in the realm of the fakes (recall)?

    real: (N, d), fake: (M, d). The realm of a set: balls around its members that reach to the k-th nearest other member,
    edge included. Fewer samples make larger balls: compare at equal N, M.
    Raises ValueError as `frechet_distance` does, on reals that do not vary, and on k ≥ N or k ≥ M.
    Kynkäänniemi et al. 2019, eq. 1 and 2.
    """
    real, fake = _centred(real, fake)
    check_whole(k, "k", 1, min(len(real), len(fake)) - 1, "one less than the smaller set")
    real_reach, fake_reach = _kth_nearest(real, k), _kth_nearest(fake, k)
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, squares in _squared_distances(real, fake, -EDGE):
        precise |= (squares <= real_reach[rows, None]).any(axis=0)
        recalled[rows] = (squares <= fake_reach).any(axis=1)
    return PrecisionRecall(float(precise.mean()), float(recalled.mean()))


def density_coverage(real, fake, *, k=5) -> DensityCoverage:
    """Density: the number of real balls that a fake lies in, over k, on average. Coverage: share of balls with a fake.

    real: (N, d), fake: (M, d). The ball of a real reaches to the k-th nearest other real, edge excluded, as in the
    authors' package prdc. Fakes have no balls, so a few that lie far off do no harm. Honest samples score 1 and, where
    N = M is large, 1 − 2^−k on average, in any dimension.
    Raises ValueError as `precision_recall` does, on k ≥ N only.
    Naeem et al. 2020, section 3.2.
    """
    real, fake = _centred(real, fake)
    check_whole(k, "k", 1, len(real) - 1, "one less than the reals")
    reach = _kth_nearest(real, k)
    inside = [(squares < reach[rows, None]).sum(axis=1) for rows, squares in _squared_distances(real, fake, EDGE)]
    inside = np.concatenate(inside)
    return DensityCoverage(float(inside.sum() / (k * len(fake))), float((inside > 0).mean()))


def memorisation(train, heldout, samples) -> Memorisation:
    """Are samples nearer to the training set than new real data is? Judged by real data held out of the training.

    train: (N, d), heldout: (M, d), samples: (L, d); pixels (flattened) or features. Every held-out point and every sample
    has a distance to the nearest training point. nearer: the probability that a sample's is the smaller one, ties
    counted half: 0.5 for honest samples, 1 for copies, 0 far off the data. copies: share of the samples that are nearer
    than all but 5 % of the held-out points: 0.05 for honest samples, 1 for copies; it also sees a few copies among bad
    samples, where `nearer` does not.
    Raises ValueError as `frechet_distance` does, on training data that does not vary, and on heldout taken from train.
    Meehan et al. 2020, section 3: `nearer` is their Mann–Whitney statistic U, counted from the other side, over M L.
    """
    train, heldout, samples = _sets(train=train, heldout=heldout, samples=samples)
    others = np.concatenate([heldout, samples])
    around_train, around = _centred(train, others, "train")
    nearest = np.concatenate([squares.argmin(axis=1) for _, squares in _squared_distances(around, around_train)])
    nearest = np.square(others - train[nearest]).sum(axis=1)  # exactly 0 for a copy
    honest, found = np.sort(nearest[: len(heldout)]), nearest[len(heldout) :]
    few = np.quantile(honest, 0.05, method="weibull")  # the method for which honest samples score 0.05 on average
    if few == 0:
        raise ValueError(
            f"{(honest == 0).mean():.1%} of heldout is in train; expected real data that nobody trained on. "
            'Hold some out before training, or use a test set, e.g. data.mnist("test").'
        )
    farther = 2 * len(honest) - np.searchsorted(honest, found) - np.searchsorted(honest, found, side="right")
    return Memorisation(float(farther.mean() / (2 * len(honest))), float((found < few).mean()))


def mode_coverage(samples, mixture) -> ModeCoverage:
    """Which modes of a 2-D Gaussian mixture do the samples (n, 2) find, and how evenly?

    A sample is of high quality within 3 standard deviations of the nearest mean; a mode counts with at least one such
    sample; the reverse KL goes from the histogram of high-quality samples over modes to the uniform one.
    The mixture itself scores 98.89 % high quality (1 − e^−4.5), so more means samples that are too concentrated.
    The published protocol uses n = 2,500: Srivastava et al. 2017 (VEEGAN), section 4.1; Lin et al. 2018 (PacGAN), 4.1.
    Raises ValueError on samples of another shape or with values that are not finite.
    """
    if not hasattr(mixture, "means"):
        raise ValueError(f"mixture is a {type(mixture).__name__}; expected a Mixture, such as data.ring().")
    with np.errstate(over="ignore"):  # of longer floats
        samples, means = np.float64(as_array(samples, "samples")), np.float64(mixture.means)
    if samples.ndim != 2 or samples.shape[1] != means.shape[1] or len(samples) == 0 or not np.isfinite(samples).all():
        raise ValueError(
            f"mode_coverage takes finite samples of shape (n, {means.shape[1]}); got shape {samples.shape}."
        )
    distances = np.linalg.norm(np.clip(samples, -1e100, 1e100)[:, None] - means, axis=-1)  # squares that are numbers
    good = distances.min(axis=1) <= 3 * float(mixture.std)
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(means))
    share = counts[counts > 0] / max(good.sum(), 1)
    reverse_kl = float(np.sum(share * np.log(share * len(means)))) if good.any() else float("inf")
    return ModeCoverage(int((counts > 0).sum()), float(good.mean()), max(reverse_kl, 0.0))


ENTRIES = 2**22  # of a block of distances: 32 MB
SMALLEST = 1e-140  # of differences: their squares stay in float64
EDGE = 1e-12  # of |x|² + |y|²: as far apart count two points as one


def _sets(**sets):
    """Feature sets in float64, or a ValueError on rank, number, width or values."""
    arrays = {name: as_float64(x, name) for name, x in sets.items()}
    for name, x in arrays.items():
        if x.ndim != 2 or len(x) < 2 or x.shape[1] < 1:
            raise ValueError(
                f"{name} has shape {x.shape}, expected two dimensions: at least 2 samples, one in each row, by features. "
                "Flatten images with x.reshape(len(x), -1)."
            )
    _same_width(**arrays)
    return arrays.values()


def _refuse_stuck(which, *sets):
    """In sets that vary there is a difference whose square is not 0."""
    if all(abs(x - x[0]).max() <= SMALLEST for x in sets):
        raise ValueError(f"{which} varies: all samples are the same. Expected different ones; see the feature network.")


def _same_width(**arrays):
    widths = {name: x.shape[-1] for name, x in arrays.items()}
    if len(set(widths.values())) > 1:
        given = ", ".join(f"{name} has {width}" for name, width in widths.items())
        raise ValueError(f"{given} features a sample; expected as many in each. Use one feature network for all.")


def _centred(real, fake, name="real"):
    """Both sets around the middle of the reals: where a few lie far off, the mean does, and the others lose digits."""
    real, fake = _sets(**{name: real, "fake": fake})
    _refuse_stuck(f"Nothing in {name}", real)
    centre = np.median(real, axis=0)
    return real - centre, fake - centre


def _squared_distances(x, y, edge=0.0):
    """Blocks of rows of the matrix of squared distances (N, M): (rows, block), ENTRIES numbers at a time.

    They come from |x|² + |y|² − 2 x·y, with rounding errors in the last digits of the squares. Without `edge`, their
    share that is added, these would decide whether a copy of a neighbour lies on the edge of a ball or inside.
    """
    left = np.column_stack([x, (1 + edge) * np.square(x).sum(axis=1), np.ones(len(x))])
    right = np.column_stack([-2 * y, np.ones(len(y)), (1 + edge) * np.square(y).sum(axis=1)]).T
    step = max(1, ENTRIES // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        yield rows, left[rows] @ right


def _kth_nearest(x, k):
    """Squared distance of each member to the k-th nearest other one."""
    # The nearest is the member itself, wherever rounding puts it among its copies.
    reach = np.empty(len(x))
    for rows, squares in _squared_distances(x, x):
        squares.partition(k, axis=1)
        reach[rows] = squares[:, k]
    return reach
