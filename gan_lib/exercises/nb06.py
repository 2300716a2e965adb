"""Notebook 06, does it work: references, hints and checks."""

import math

import numpy as np

from gan_lib import metrics
from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.cases import recognised, seconds
from gan_lib.exercises.compare import close, recognise

# --- 06.inception_score ---------------------------------------------------------------------------------------------


def entropy(p):
    """Of distributions along the last axis, in nats."""
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=-1)


def score(p, q):
    """exp of the mean divergence of rows p from q."""
    return np.exp((p * np.log(p / q)).sum(1).mean())


def labels(p):
    """The likeliest class of each row, one-hot, and a little of the others: 0 log 0 is not the question here."""
    return np.clip(np.eye(p.shape[1])[p.argmax(1)], 1e-12, 1)


WRONG_SCORES = {
    "The exponential is missing: yours is the mean divergence itself, in nats.": lambda p: np.log(score(p, p.mean(0))),
    "You raise 2 to the divergence in nats. e belongs to the natural logarithm.": lambda p: (
        2 ** np.log(score(p, p.mean(0)))
    ),
    "You raise 10 to the divergence in nats. e belongs to the natural logarithm.": lambda p: (
        10 ** np.log(score(p, p.mean(0)))
    ),
    "e belongs to the natural logarithm; yours is to base 2.": lambda p: score(p, p.mean(0)) ** (1 / np.log(2)),
    "e belongs to the natural logarithm; yours is to base 10.": lambda p: score(p, p.mean(0)) ** (1 / np.log(10)),
    "First the mean over the samples, then the exponential, not the reverse.": lambda p: np.mean(
        np.exp((p * np.log(p / p.mean(0))).sum(1))
    ),
    "You return a number for each sample: take the mean of the divergences, then the exponential.": lambda p: np.exp(
        (p * np.log(p / p.mean(0))).sum(1)
    ),
    "You take the median over the samples; asked for is the mean.": lambda p: np.exp(
        np.median((p * np.log(p / p.mean(0))).sum(1))
    ),
    "You sum over the samples where a mean belongs.": lambda p: score(p, p.mean(0)) ** len(p),
    "Within a divergence the terms of the classes are summed, not averaged.": lambda p: (
        score(p, p.mean(0)) ** (1 / p.shape[1])
    ),
    "You sum over the samples, axis 0, and average over the classes: it is the other way round.": lambda p: (
        score(p, p.mean(0)) ** (len(p) / p.shape[1])
    ),
    "That is only the variety, exp of the entropy of p(y). Sure verdicts count, too.": lambda p: np.exp(
        entropy(p.mean(0))
    ),
    "You use the verdicts alone. p(y), the mean verdict, is missing.": lambda p: np.exp(-entropy(p).mean()),
    "That is exp of the verdicts' mean entropy, large where they are unsure. Take it from the entropy of p(y).": lambda p: (
        np.exp(entropy(p).mean())
    ),
    "You add the two entropies. The score takes the verdicts' mean entropy from that of p(y).": lambda p: np.exp(
        entropy(p.mean(0)) + entropy(p).mean()
    ),
    "The sign is flipped: a divergence is above 0, and the score above 1.": lambda p: 1 / score(p, p.mean(0)),
    "You compute KL(p(y) ‖ p(y|x)); asked for is KL(p(y|x) ‖ p(y)).": lambda p: np.exp(
        np.mean((p.mean(0) * np.log(p.mean(0) / p)).sum(1))
    ),
    "You compute a Jensen–Shannon divergence; asked for is KL(p(y|x) ‖ p(y)).": lambda p: np.exp(
        np.mean(entropy((p + p.mean(0)) / 2) - entropy(p) / 2 - entropy(p.mean(0)) / 2)
    ),
    "The logarithms are not weighted: multiply by p(y|x) before you sum over the classes.": lambda p: np.exp(
        np.log(p / p.mean(0)).sum(1).mean()
    ),
    "The logarithms are to be weighted by p(y|x), of each sample; you weight them by p(y).": lambda p: np.exp(
        (p.mean(0) * np.log(p / p.mean(0))).sum(1).mean()
    ),
    "p(y) is the mean over samples, axis 0; you take axis 1, which is 1/K for each of K classes, whatever they are.": (
        lambda p: score(p, p.mean(1, keepdims=True))
    ),
    "p(y) is the mean verdict; you take the sum of the verdicts, which is no probability.": lambda p: score(
        p, p.sum(0)
    ),
    "p(y) is the mean verdict; you take the largest of each class.": lambda p: score(p, p.max(0)),
    "p(y) is the mean verdict; you take the median.": lambda p: score(p, np.median(p, axis=0)),
    "You make hard labels of the verdicts. How sure they are counts, too: take the probabilities.": lambda p: score(
        labels(p), labels(p).mean(0)
    ),
    "Your p(y) counts hard labels. It is the mean of the probabilities.": lambda p: score(p, labels(p).mean(0)),
    "probs are probabilities already: no softmax.": lambda p: score(
        np.exp(p) / np.exp(p).sum(1, keepdims=True), np.mean(np.exp(p) / np.exp(p).sum(1, keepdims=True), axis=0)
    ),
    "You divide by the number of classes; the score runs from 1 to K.": lambda p: score(p, p.mean(0)) / p.shape[1],
    "You take the mean over ten splits, as some papers do. Here p(y) is the mean of *all* rows.": lambda p: np.mean(
        [score(part, part.mean(0)) for part in np.array_split(p, 10) if len(part)]
    ),
} | {
    f"What you add under the logarithm, {eps:g}, is too much for small probabilities: 1e-12 will do.": (
        lambda p, eps=eps: np.exp((p * np.log((p + eps) / (p.mean(0) + eps))).sum(1).mean())
    )
    for eps in (1e-3, 1e-2)
}


def check_inception_score(fn):
    """Random verdicts by entropies, float32 as the classifier gives them; then closed forms, with zeros."""
    rng = np.random.default_rng(0)
    cases = [(rng.dirichlet(np.full(k, 0.4), size=n).astype(np.float32),) for n, k in [(40, 10), (17, 3), (2000, 10)]]
    exact = [np.float64(probs) for (probs,) in cases]
    right = [float(np.exp(entropy(p.mean(0)) - entropy(p).mean())) for p in exact]
    for got, wanted, (probs,) in zip(recognised(fn, cases, right, WRONG_SCORES), right, cases, strict=True):
        same(got, wanted, inputs={"probs": probs}, rtol=3e-4, what="score")
    k = 5
    sure = np.eye(k, dtype=np.float32)[np.arange(20) % k]
    got = fn(sure)
    if not np.isfinite(got):
        raise Mistake(
            "Where a class has probability 0 yours is NaN. 0 log 0 counts as 0: replace the log there, or clip."
        )
    if np.ndim(got) == 0 and 1e-4 < abs(float(got) / k - 1) < 0.02:
        raise Mistake(
            f"Sure verdicts, all {k} classes equally often, score {k}, and yours {float(got):.4g}: what you add under the "
            "logarithm, or clip at, is too much. 1e-12 will do."
        )
    same(got, float(k), inputs={"probs": sure}, rtol=1e-4, what="score of sure verdicts, all classes equally often")
    one = sure[:1].repeat(9, 0)
    got = fn(one)
    if np.ndim(got) == 0 and not np.isfinite(got):
        raise Mistake(
            f"Where a class never occurs p(y) is 0, and yours is {float(got)}. Such a class adds nothing: clip p(y), too."
        )
    same(got, 1.0, inputs={"probs": one}, rtol=1e-4, what="score of one verdict repeated")


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
    """exp of the mean KL divergence from the mean verdict to each verdict.

    A verdict is a sample's row of probs (N, K).
    """
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


def covariance(x, **settings):
    return np.cov(x, rowvar=False, **settings)


def put_together(mean=lambda d: d @ d, cov=covariance, trace=overlap, factor=2.0, cut=lambda a, b: (a, b)):
    """A Fréchet distance with one of its parts replaced."""

    def distance(a, b):
        a, b = cut(np.float64(a), np.float64(b))
        p, q = cov(a), cov(b)
        return mean(a.mean(0) - b.mean(0)) + np.trace(p) + np.trace(q) - factor * trace(p, q)

    return distance


def by_parts(combine):
    """A wrong distance from the squared distance of means and the covariances."""
    return lambda a, b: combine(np.square(a.mean(0) - b.mean(0)).sum(), covariance(a), covariance(b))


def roots(matrix):
    return np.sqrt(np.maximum(matrix, 0))


WRONG_DISTANCES = {
    "Your covariances are divided by N. From samples they have N − 1 below, as np.cov gives them.": put_together(
        cov=lambda x: covariance(x, bias=True)
    ),
    "Your covariances are of the samples, (N, N). np.cov wants features in rows: rowvar=False, or .T.": put_together(
        cov=np.cov
    ),
    "Your covariances are not centred: take the mean off before you multiply, or use np.cov.": put_together(
        cov=lambda x: x.T @ x / len(x)
    ),
    "Your covariances are not centred: take the mean off first, or use np.cov.": put_together(
        cov=lambda x: x.T @ x / (len(x) - 1)
    ),
    "You take correlations, whose variances are all 1. Asked for are covariances, np.cov.": put_together(
        cov=lambda x: np.corrcoef(x, rowvar=False)
    ),
    "tr(√Σ √Σ') is not tr((ΣΣ')^½), unless the two matrices commute. Put Σ' between: √(√Σ Σ' √Σ).": put_together(
        trace=lambda p, q: np.trace(root(p) @ root(q))
    ),
    "√Σ and √Σ' are multiplied entry by entry in yours; and tr(√Σ √Σ') would not do either: √(√Σ Σ' √Σ).": put_together(
        trace=lambda p, q: np.trace(root(p) * root(q))
    ),
    "You pair the sorted eigenvalues of Σ and Σ', as if their axes were the same. Take those of √Σ Σ' √Σ.": put_together(
        trace=lambda p, q: roots(np.linalg.eigvalsh(p) * np.linalg.eigvalsh(q)).sum()
    ),
    "Singular values of ΣΣ', which is not symmetric, are not its eigenvalues. Use √Σ Σ' √Σ, which is.": put_together(
        trace=lambda p, q: roots(np.linalg.svd(p @ q)[1]).sum()
    ),
    "You use the variances alone: the root is one of matrices, not of their entries.": put_together(
        trace=lambda p, q: np.sqrt(np.diag(p) * np.diag(q)).sum()
    ),
    "np.sqrt takes the root of each entry. Asked for is the matrix whose square is ΣΣ'.": put_together(
        trace=lambda p, q: np.trace(np.sqrt(p @ q))
    ),
    "eigvalsh is for symmetric matrices, and ΣΣ' is not symmetric: it reads one triangle only. Use √Σ Σ' √Σ.": put_together(
        trace=lambda p, q: roots(np.linalg.eigvalsh(p @ q)).sum()
    ),
    "The matrix root is missing: yours takes tr(ΣΣ') itself.": put_together(trace=lambda p, q: np.trace(p @ q)),
    "Yours takes √tr(ΣΣ'). The root is that of the matrix, or of each eigenvalue; then the sum.": put_together(
        trace=lambda p, q: np.sqrt(np.trace(p @ q))
    ),
    "You take the root of a determinant, which multiplies the eigenvalues' roots. The trace adds them.": put_together(
        trace=lambda p, q: np.sqrt(abs(np.linalg.det(p @ q)))
    ),
    "The root counts twice: − 2 tr((ΣΣ')^½).": put_together(factor=1.0),
    "The root is subtracted: yours is added.": put_together(factor=-2.0),
    "The root is missing: − 2 tr((ΣΣ')^½).": put_together(factor=0.0),
    "The distance of the means enters squared; yours is not.": put_together(mean=np.linalg.norm),
    "The differences of the means enter squared; you take absolute values.": put_together(mean=lambda d: abs(d).sum()),
    "The means are missing: |μ − μ'|² comes first.": put_together(mean=lambda d: 0.0),
    "The squares of μ − μ' are summed over the features, not averaged.": put_together(mean=lambda d: np.mean(d**2)),
    "First the squares of μ − μ', then their sum: yours is the other way round.": put_together(
        mean=lambda d: d.sum() ** 2
    ),
    "You leave samples out so that both sets are as large. A mean and a covariance need no equal numbers.": put_together(
        cut=lambda a, b: (a[: len(b)], b[: len(a)])
    ),
    "You divide by the number of features. The distance is a sum over them.": lambda a, b: (
        put_together()(a, b) / a.shape[1]
    ),
    "You return the root of the distance. The number asked for is d², as is usual.": lambda a, b: np.sqrt(
        put_together()(a, b)
    ),
    "tr Σ' is missing: + tr Σ + tr Σ'.": by_parts(lambda far, p, q: far + np.trace(p) - 2 * overlap(p, q)),
    "tr Σ is missing: + tr Σ + tr Σ'.": by_parts(lambda far, p, q: far + np.trace(q) - 2 * overlap(p, q)),
    "Between the covariances you take the squared difference of entries.": by_parts(
        lambda far, p, q: far + np.square(p - q).sum()
    ),
    "Between the covariances you take a Frobenius norm, the root of squared differences of entries.": by_parts(
        lambda far, p, q: far + np.linalg.norm(p - q)
    ),
    "You compare the traces alone. (ΣΣ')^½ is missing.": by_parts(
        lambda far, p, q: far + abs(np.trace(p) - np.trace(q))
    ),
    "You compare the means alone. The covariances are missing.": by_parts(lambda far, p, q: far),
} | {
    f"You add {eps:g} to the diagonals, and the distance shows it. Clip eigenvalues at 0 instead.": put_together(
        trace=lambda p, q, eps=eps: overlap(p + eps * np.eye(len(p)), q + eps * np.eye(len(p)))
    )
    for eps in (1e-3, 1e-2, 0.1)
}
CLIP = (
    "With {} Σ has eigenvalues that are 0, by rounding a little below, and their root is NaN{}. Clip eigenvalues at 0 "
    "before the root."
)


def check_frechet_distance(fn):
    """Random sets against the library, which goes by QR and singular values; a closed form; singular covariances;
    float32, at the notebook's size and far from 0."""
    cases = [
        (features(seed, n, d, shift=1), features(seed + 10, m, d, scale=2))
        for seed, n, m, d in [(1, 30, 30, 4), (2, 40, 25, 6)]
    ]
    a = np.array([[1.0, 2], [1, -2], [-1, 2], [-1, -2]])  # uncorrelated, spreads in the ratio 1 : 2
    cases.append((a, 3 * a + np.array([3.0, 4])))
    right = [*(metrics.frechet_distance(*case) for case in cases[:-1]), float(25 + 4 * (1 + 4) * 4 / 3)]
    for got, wanted, (a, b) in zip(
        recognised(one_number(fn), cases, right, WRONG_DISTANCES), right, cases, strict=True
    ):
        if np.ndim(got) == 0 and not np.isfinite(float(got)):
            raise Mistake(
                f"Yours is {float(got)}: somewhere there is the root of a number below 0. np.sqrt takes the root of each "
                "entry; asked for is the matrix whose square is ΣΣ', or only its trace."
            )
        same(got, wanted, inputs={"a": a, "b": b}, rtol=1e-4, atol=1e-5, what="distance")
    few = features(3, 6, 9, scale=3), features(4, 8, 9, scale=3, shift=1)
    repeated = features(5, 12, 4), features(6, 1, 4).repeat(7, axis=0)
    for words, case in {"fewer samples than features": few, "one sample repeated": repeated}.items():
        try:
            got = one_number(fn)(*case)
        except np.linalg.LinAlgError as error:
            raise Mistake(CLIP.format(words, f" (or NumPy raises {error}, as here)")) from error
        if np.ndim(got) == 0 and not np.isfinite(float(got)):
            raise Mistake(CLIP.format(words, ""))
        wanted = metrics.frechet_distance(*case)
        same(got, wanted, inputs=dict(zip("ab", case, strict=True)), rtol=1e-3, what=f"distance with {words}")
    a = features(7, 2000, 84, shift=1)
    near = a[:1000].astype(np.float32), a[1000:].astype(np.float32)  # a distance far below the traces it comes from
    a = features(5, 300, 8, scale=10, shift=1000).astype(np.float32)
    for case in (near, (a, a[::-1] * np.float32(1.01))):
        got, wanted = one_number(fn)(*case), metrics.frechet_distance(*map(np.float64, case))
        if np.ndim(got) == 0 and not abs(float(got) / wanted - 1) < 1e-5:
            raise Mistake(
                f"For float32 features yours gives {float(got):.6g}, expected {wanted:.6g}: rounding. Turn the features into "
                "float64 first, as NumPy does it: `np.asarray(a, np.float64)`. (JAX keeps to float32.)"
            )


def one_number(fn):
    """fn, which must not return a complex number."""

    def real(a, b):
        got = fn(a, b)
        if np.ndim(got) == 0 and np.iscomplexobj(got):
            raise Mistake(
                "You return a complex number: the root of ΣΣ', which is not symmetric, picks up imaginary parts from "
                "rounding. Take the root of the symmetric √Σ Σ' √Σ instead, which has the same trace."
            )
        if hasattr(got, "dtype") and got.dtype == np.float32 and np.ndim(got) == 0:
            wanted = metrics.frechet_distance(np.float64(a), np.float64(b))
            if 1e-4 < abs(float(got) / wanted - 1) < 0.1:
                raise Mistake(
                    f"You compute in float32, and get {float(got):.6g} for {wanted:.6g}. In float64, please, as NumPy does: "
                    "`np.asarray(a, np.float64)`. (JAX keeps to float32.)"
                )
        return got

    return real


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
    """Fréchet distance between Gaussians fitted to two feature sets.

    a (N, d), b (M, d) -> one number, computed in float64. Covariances
    have N − 1 below.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = np.linalg.eigh(cov_a)
    half = vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T
    inner = np.linalg.eigvalsh(half @ cov_b @ half)
    overlap = np.sqrt(np.clip(inner, 0, None)).sum()
    shift = np.square(a.mean(0) - b.mean(0)).sum()
    return shift + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap


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


def with_radii(reach):
    """Precision and recall with balls of another size: reach(distances within a set, k)."""

    def shares(real, fake, k):
        r, f = (np.broadcast_to(reach(distances(x, x), k), len(x)) for x in (real, fake))
        return share(fake, real, r), share(real, fake, f)

    return shares


def with_inside(count):
    """Precision and recall that make something else of what lies where: count(points, their balls, radii)."""

    def shares(real, fake, k):
        between = distances(real, fake)
        return count(between, reach(real, k)[:, None], 0), count(between.T, reach(fake, k)[:, None], 0)

    return shares


def nth(d, k):
    return np.sort(d, axis=1)[:, k]


def of_both(combine):
    """A wrong pair made of the right one."""
    return lambda real, fake, k: combine(*with_radii(nth)(real, fake, k))


def crossed(real, fake, k):
    """Balls that reach to the k-th nearest of the other set."""
    between = distances(real, fake)
    return share(fake, real, nth(between, k)), share(real, fake, nth(between.T, k))


def in_the_other_balls(real, fake, k):
    between = distances(real, fake)
    return (between <= reach(fake, k)).any(0).mean(), (between <= reach(real, k)[:, None]).any(1).mean()


def recall_by_reals(real, fake, k):
    between = distances(real, fake)
    inside = between <= reach(real, k)[:, None]
    return inside.any(0).mean(), inside.any(1).mean()


def precision_by_fakes(real, fake, k):
    inside = distances(real, fake) <= reach(fake, k)
    return inside.any(0).mean(), inside.any(1).mean()


def by_the_street(real, fake, k):
    def apart(x, y):
        return abs(x[:, None] - y).sum(-1)

    between, r, f = apart(real, fake), nth(apart(real, real), k), nth(apart(fake, fake), k)
    return (between <= r[:, None]).any(0).mean(), (between <= f).any(1).mean()


def other_numbers_below(real, fake, k):
    p, r = with_radii(nth)(real, fake, k)
    return p * len(fake) / len(real), r * len(real) / len(fake)


ONE_RADIUS = "You use one radius for all balls{}. Each has its own: where points are rare, balls are large."
OTHERS = "Your balls reach to a point of the *other* set, the k-th nearest{}. Radii are distances within a set."
WRONG_PAIRS = {
    "Precision and recall are swapped: precision is the share of the *fakes* inside balls of reals.": of_both(
        lambda p, r: (r, p)
    ),
    "Your balls are too small: in a sorted row of distances within a set, number 0 is the point itself, so the k-th "
    "nearest other one is number k.": with_radii(lambda d, k: nth(d, k - 1)),
    "Your balls reach to neighbour k + 1.": with_radii(lambda d, k: nth(d, k + 1)),
    "Your balls reach to neighbour 3 whatever k is.": with_radii(lambda d, k: nth(d, 3)),
    "A ball reaches to the k-th neighbour, not to the mean of the first k.": with_radii(
        lambda d, k: np.sort(d, axis=1)[:, 1 : k + 1].mean(1)
    ),
    "np.argsort gives the places of the neighbours, not their distances: np.sort.": with_radii(
        lambda d, k: np.argsort(d, axis=1)[:, k]
    ),
    "Column −k of the sorted distances is the k-th *farthest* point. Count from the front, [:, k].": with_radii(
        lambda d, k: nth(d, -k)
    ),
    "Column −k − 1 of the sorted distances counts from the farthest point. Count from the front, [:, k].": with_radii(
        lambda d, k: nth(d, -k - 1)
    ),
    "Your radii are all of one point, number k: sort along axis 1, then take column k, [:, k].": with_radii(
        lambda d, k: np.sort(d, axis=1)[k]
    ),
    "You take the distances to point number k. Sort each row first, then take column k.": with_radii(
        lambda d, k: d[:, k]
    ),
    "Your balls have half the radius they need.": with_radii(lambda d, k: nth(d, k) / 2),
    "Your balls have twice the radius they need.": with_radii(lambda d, k: nth(d, k) * 2),
    "You compare distances with squared radii.": with_radii(lambda d, k: nth(d, k) ** 2),
    "You compare squared distances with radii that are not squared.": with_radii(lambda d, k: nth(d, k) ** 0.5),
    ONE_RADIUS.format(", the mean"): with_radii(lambda d, k: nth(d, k).mean()),
    ONE_RADIUS.format(", the median"): with_radii(lambda d, k: np.median(nth(d, k))),
    ONE_RADIUS.format(", the largest"): with_radii(lambda d, k: nth(d, k).max()),
    ONE_RADIUS.format(", the smallest"): with_radii(lambda d, k: nth(d, k).min()),
    OTHERS.format(" but one"): crossed,
    OTHERS.format(""): lambda real, fake, k: crossed(real, fake, k - 1),
    "The balls are those of the wrong set: a fake has to lie in a ball around a *real*.": in_the_other_balls,
    "You return precision twice. Recall takes balls around the fakes.": of_both(lambda p, r: (p, p)),
    "You return recall twice. Precision takes balls around the reals.": of_both(lambda p, r: (r, r)),
    "Your recall is 1 less precision. It is a question of its own: the share of reals in a ball around a fake.": of_both(
        lambda p, r: (p, 1 - p)
    ),
    "You return the shares *outside* all balls.": of_both(lambda p, r: (1 - p, 1 - r)),
    "You return percent; a share of 1 is all.": of_both(lambda p, r: (100 * p, 100 * r)),
    "Your second number is coverage: the share of real balls with a fake inside. Recall takes balls around fakes.": (
        recall_by_reals
    ),
    "Your first number is the share of fake balls with a real inside. Precision takes balls around reals.": (
        precision_by_fakes
    ),
    "One ball is enough: `any`, not `all`.": with_inside(lambda d, r, axis: (d <= r).all(axis).mean()),
    "One ball is enough, not k of them: `any`.": lambda real, fake, k: with_inside(
        lambda d, r, axis: ((d <= r).sum(axis) >= k).mean()
    )(real, fake, k),
    "You count how many balls hold a point, over k, as density does. Here one is enough: `any`.": lambda real, fake, k: (
        with_inside(lambda d, r, axis: (d <= r).sum(axis).mean() / k)(real, fake, k)
    ),
    "You take the share of all pairs. Ask first of each point whether *any* ball holds it, then take the mean.": with_inside(
        lambda d, r, axis: (d <= r).mean()
    ),
    "You ask only the nearest point for its ball. One farther off may have a larger ball.": with_inside(
        lambda d, r, axis: (d.min(0) <= r[d.argmin(0), 0]).mean()
    ),
    "You count points; a share is asked for: take the mean.": with_inside(lambda d, r, axis: (d <= r).any(axis).sum()),
    "You divide by the number of the wrong set: precision is a share of the fakes, recall one of the reals.": (
        other_numbers_below
    ),
    "You add up the coordinates' distances. Balls are Euclidean: use `distances`.": by_the_street,
}


def pair(fn):
    """fn with a tuple for the list or array of two that it may return, both good enough to unpack."""

    def two(*args):
        got = fn(*args)
        return tuple(got) if np.shape(got) == (2,) else got

    return two


def check_precision_recall(fn):
    """Clouds of unequal sizes whose precision and recall differ; k by default; points on the edge of a ball; the time
    it takes."""
    rng, fn = np.random.default_rng(0), pair(fn)
    cases = []
    for n, m, k, size, away in [(61, 40, 3, 0.6, 1.1), (40, 73, 1, 1.4, 0.7), (50, 45, 5, 0.6, 1.6)]:
        cases.append((rng.normal(size=(n, 3)), away + size * rng.normal(size=(m, 3)), k))
    right = [tuple(metrics.precision_recall(*case[:2], k=case[2])[:2]) for case in cases]
    found = recognised(fn, cases, right, WRONG_PAIRS)
    for got, wanted, case in zip(found, right, cases, strict=True):
        same(
            got,
            wanted,
            inputs=dict(zip(("real", "fake", "k"), case, strict=True)),
            rtol=1e-6,
            what="pair (precision, recall)",
        )
    real, fake, _ = cases[0]
    if not close(fn(real, fake), right[0]):
        raise Mistake("Without k yours is not that of k = 3: keep the default, `k=3`; the notebook calls it so.")
    real = rng.integers(-9, 9, (12, 2)).repeat(5, axis=0).astype(float)  # radii are 0, and distances exact
    fake = np.concatenate([real[::10], real[::6] + 0.5])
    got, wanted = fn(real, fake, 3), (share(fake, real, reach(real, 3)), share(real, fake, reach(fake, 3)))
    recognise(
        got[:1],
        (
            ((distances(real, fake) < reach(real, 3)[:, None]).any(0).mean(),),
            "You leave out points on the edge of a ball. Where samples repeat balls are points, and those count: `<=`.",
        ),
        right=wanted[:1],
    )
    same(got, wanted, inputs={"real": real, "fake": fake}, rtol=1e-6, what="pair for reals that repeat")
    same(fn(real, real, 3), (1.0, 1.0), rtol=1e-6, what="pair for a set against itself")
    x, y = rng.normal(size=(2, 400, 84)).astype(np.float32)
    quick = min(seconds(precision_recall, x, y[:350]) for _ in range(4))
    # Again where it was slow, as the first time JAX may compile, and where it was not very slow twice more: others may keep
    # the machine busy. A loop over rows takes some 10 times as long as none, one over pairs 100.
    if (spent := seconds(fn, x, y[:350])) > 0.3:
        spent = min(seconds(fn, x, y[:350]) for _ in range(1 if spent > 1.5 else 3))
    if spent > max(0.3, 25 * quick):
        raise Mistake(
            f"Right, but slow: {spent:.1f} s for 400 and 350 points, some 30 times as long for the notebook's 2,000 and "
            "2,000, and that forty times. No Python loop over pairs: `distances` gives them all at once."
        )


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
    """Sets (N, d) and (M, d) -> (precision, recall).

    The share of the fakes in a ball around a real, and the share of the
    reals in a ball around a fake, edges included.
    """

    def radii(x):
        return np.sort(distances(x, x), axis=1)[:, k]

    between = distances(real, fake)
    precision = (between <= radii(real)[:, None]).any(0).mean()
    recall = (between <= radii(fake)).any(1).mean()
    return precision, recall


# --- 06.nearer ------------------------------------------------------------------------------------------------------


def less(h, s):
    """The share of pairs where the sample is strictly nearer."""
    return (s[:, None] < h).mean()


def won(h, s):
    """Its own answer by another way: each pair is a win, a loss or a draw."""
    return (1 + np.sign(h[:, None] - s).mean()) / 2


def ties(h, s):
    return (s[:, None] == h).mean()


def first(h, s, order=lambda x: x):
    """As many of each as there are of the fewer."""
    n = min(len(h), len(s))
    return order(h)[:n], order(s)[:n]


BY_NUMBER = "You compare number by number{}. Each sample meets *every* held-out point."
WITH_ONE = "You compare with the {} held-out distance. Compare all pairs."
WRONG_PROBABILITIES = {
    "That is the probability that a sample is *farther* off. Copies should score 1, not 0.": lambda h, s: won(s, h),
    "A tie counts half; you do not count it.": less,
    "A tie counts half; you count it in full.": lambda h, s: less(h, s) + ties(h, s),
    "You ask whether samples are farther off, and count ties in full.": lambda h, s: less(s, h) + ties(h, s),
    "You ask whether samples are farther off, and do not count ties.": lambda h, s: less(s, h),
    "A tie counts half; you take half of it off.": lambda h, s: less(h, s) - ties(h, s) / 2,
    "A tie counts half; you count a quarter.": lambda h, s: less(h, s) + ties(h, s) / 4,
    "You leave ties out of the number of pairs, too. All n · m pairs count, a tie half.": lambda h, s: (
        less(h, s) / (1 - ties(h, s))
    ),
    "Yours runs from −1 to 1: the wins less the losses. Asked for is a probability, half of that and a half.": lambda h, s: (
        2 * won(h, s) - 1
    ),
    "You round the distances to whole numbers first.": lambda h, s: won(h.astype(int), s.astype(int)),
    BY_NUMBER.format(""): lambda h, s: (lambda a, b: (b < a).mean())(*first(h, s)),
    BY_NUMBER.format(", and count ties half"): lambda h, s: (lambda a, b: (b < a).mean() + (b == a).mean() / 2)(
        *first(h, s)
    ),
    BY_NUMBER.format(" after sorting"): lambda h, s: (lambda a, b: (b < a).mean())(*first(h, s, np.sort)),
    BY_NUMBER.format(" after sorting, and count ties half"): lambda h, s: (
        lambda a, b: (b < a).mean() + (b == a).mean() / 2
    )(*first(h, s, np.sort)),
    "A ratio of mean distances is no probability: compare all pairs.": lambda h, s: s.mean() / h.mean(),
    "A ratio of mean distances is no probability, even held below 1: compare all pairs.": lambda h, s: min(
        1.0, h.mean() / s.mean()
    ),
    "You compare the means: yes or no. A probability is asked for.": lambda h, s: float(s.mean() < h.mean()),
    "You compare the medians: yes or no. A probability is asked for.": lambda h, s: float(np.median(s) < np.median(h)),
    "You compare the samples' mean with the held-out distances. Compare all pairs.": lambda h, s: less(
        h, s.mean(keepdims=True)
    ),
    "You compare the samples' median with the held-out distances. Compare all pairs.": lambda h, s: won(
        h, np.median(s, keepdims=True)
    ),
    "You ask whether *any* held-out point is farther off than the sample. Take the share of all pairs.": lambda h, s: (
        s < h.max()
    ).mean(),
    "You ask whether *all* held-out points are farther off than the sample. Take the share of all pairs.": lambda h, s: (
        (s < h.min()).mean()
    ),
    "You ask for the share below 5 % of the held-out distances, which is *copies*. Compare all pairs.": lambda h, s: (
        s < np.quantile(h, 0.05)
    ).mean(),
    "You count pairs; divide by their number.": lambda h, s: won(h, s) * len(h) * len(s),
    "Divide by the number of pairs, n · m, not by the number of samples alone.": lambda h, s: won(h, s) * len(h),
    "Divide by the number of pairs, n · m, not by the number of held-out points alone.": lambda h, s: (
        won(h, s) * len(s)
    ),
    "You divide by the square of the number of held-out points. There are n · m pairs.": lambda h, s: (
        won(h, s) * len(s) / len(h)
    ),
    "You divide by the square of the number of samples. There are n · m pairs.": lambda h, s: (
        won(h, s) * len(h) / len(s)
    ),
    "You return percent; a probability of 1 is certain.": lambda h, s: 100 * won(h, s),
    "You fit two normal distributions. No need to: count pairs.": lambda h, s: (
        0.5 + 0.5 * math.erf((h.mean() - s.mean()) / math.sqrt(2 * (h.var() + s.var())))
    ),
} | {
    WITH_ONE.format(name) + words: lambda h, s, of=of, tie=tie: (s < of(h)).mean() + tie * (s == of(h)).mean()
    for name, of in {"mean": np.mean, "median": np.median, "smallest": np.min, "largest": np.max}.items()
    for tie, words in {0: "", 0.5: " (Ties are right.)"}.items()
}


def check_nearer(fn):
    """All pairs, with ties and sets of unequal size; then all nearer, all farther, all the same."""
    rng = np.random.default_rng(0)
    cases = (
        [  # quarters, so that there are ties and fractions; once samples are the nearer ones, then farther, then neither
            (rng.integers(0, n, 30) / 4, rng.integers(0, m, 20) / 4) for n, m in [(23, 17), (9, 14)]
        ]
        + [(rng.gamma(0.7, size=31), rng.gamma(0.7, size=25))]
    )
    right = [float(won(*case)) for case in cases]
    for got, wanted, (heldout, samples) in zip(
        recognised(fn, cases, right, WRONG_PROBABILITIES), right, cases, strict=True
    ):
        same(got, wanted, inputs={"heldout": heldout, "samples": samples}, rtol=1e-6, what="probability")
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
    """Probability that a sample is nearer than a held-out point is.

    heldout (N,), samples (M,): distances to the nearest training point.
    Ties count half.
    """
    points = samples[:, None]
    return (points < heldout).mean() + (points == heldout).mean() / 2


# --- 06.at_infinity -------------------------------------------------------------------------------------------------


def line(x, v, degree=1, part=slice(None), **settings):
    """Coefficients of a polynomial in x through v, the highest power first."""
    return np.polyfit(x[part], v[part], degree, **settings)


def intercept(n, v):
    """By the normal equations."""
    x = 1 / n
    return v.mean() - ((x - x.mean()) * (v - v.mean())).sum() / np.square(x - x.mean()).sum() * x.mean()


TWO = "You use {} only: fit the line to all of them, by least squares."
WEIGHTED = "You weight the sizes{}. Plain least squares is asked for: all count alike."
WRONG_LIMITS = {
    "That is the slope of the line. Asked for is its value where 1/n is 0.": lambda n, v: line(1 / n, v)[0],
    "You fit a line in n. It is one in 1/n, so fit against `1 / sizes`.": lambda n, v: line(n, v)[1],
    "That is a slope, and of a line in n. Fit in 1/n, and take the other number.": lambda n, v: line(n, v)[0],
    "You fit a line in log n. It is one in 1/n.": lambda n, v: line(np.log(n), v)[1],
    "You fit a line in 1/√n. The bias falls as 1/n.": lambda n, v: line(1 / np.sqrt(n), v)[1],
    "You fit a line in 1/n². The bias falls as 1/n.": lambda n, v: line(1 / n**2, v)[1],
    "That is the last value, still biased.": lambda n, v: v[-1],
    "That is the smallest value, still biased.": lambda n, v: v.min(),
    "That is the largest value.": lambda n, v: v.max(),
    "The mean of the values is more biased than the last of them.": lambda n, v: v.mean(),
    "You read the line at the last n. At infinity 1/n is 0.": lambda n, v: np.polyval(line(1 / n, v), 1 / n[-1]),
    "You read the line at n = 10,000. At infinity 1/n is 0.": lambda n, v: np.polyval(line(1 / n, v), 1e-4),
    "You read the line at n = 100,000. At infinity 1/n is 0.": lambda n, v: np.polyval(line(1 / n, v), 1e-5),
    "You read the line at n = 1. At infinity 1/n is 0.": lambda n, v: line(1 / n, v).sum(),
    "You fit a curve through all points, and it follows the noise: a line, degree 1.": lambda n, v: line(
        1 / n, v, len(n) - 1
    )[-1],
    "You fit a parabola; a line is asked for, degree 1.": lambda n, v: line(1 / n, v, 2)[-1],
    "You fit a cubic; a line is asked for, degree 1.": lambda n, v: line(1 / n, v, 3)[-1],
    "You hold a at 0: fit it, too. With `np.polyfit` both are.": lambda n, v: np.mean(
        v - (v / n).sum() / (1 / n**2).sum() / n
    ),
    "You fit a line to 1/values. The values themselves lie on a line in 1/n.": lambda n, v: line(1 / n, 1 / v)[1] ** -1,
    "You fit 1/values by a line in n; values are a + b/n.": lambda n, v: 1 / line(n, 1 / v)[0],
    "You take the median slope of all pairs. Least squares is asked for.": lambda n, v: median_line(1 / n, v),
    TWO.format("the last two sizes"): lambda n, v: line(1 / n, v, part=slice(-2, None))[1],
    TWO.format("the last three sizes"): lambda n, v: line(1 / n, v, part=slice(-3, None))[1],
    TWO.format("the first two sizes"): lambda n, v: line(1 / n, v, part=slice(2))[1],
    TWO.format("the first three sizes"): lambda n, v: line(1 / n, v, part=slice(3))[1],
    TWO.format("the first and the last size"): lambda n, v: line(1 / n, v, part=[0, -1])[1],
    WEIGHTED.format(", by n"): lambda n, v: line(1 / n, v, w=n)[1],
    WEIGHTED.format(", by √n"): lambda n, v: line(1 / n, v, w=np.sqrt(n))[1],
    WEIGHTED.format(", by 1/n"): lambda n, v: line(1 / n, v, w=1 / n)[1],
    "You cut the value off at 0. Noise can put it a little below, and that is what the fit says.": lambda n, v: max(
        0.0, intercept(n, v)
    ),
    "You take the absolute value. Noise can put it a little below 0, and that is what the fit says.": lambda n, v: abs(
        intercept(n, v)
    ),
    "You fit logarithms, a power of n: it goes to 0, or to infinity. values = a + b/n is a line in 1/n.": lambda n, v: (
        np.exp(line(np.log(n), np.log(abs(v)))[1])
    ),
}


def median_line(x, v):
    """Theil and Sen's line at x = 0."""
    i, j = np.triu_indices(len(x), 1)
    slope = np.median((v[j] - v[i]) / (x[j] - x[i]))
    return np.median(v) - slope * np.median(x)


def check_at_infinity(fn):
    """Noisy lines in 1/n at several sizes, one of them ending below 0, by the normal equations; then an exact one."""
    rng, cases = np.random.default_rng(0), []
    few, many = np.array([250, 500, 1000, 2000, 5000]), np.array([100, 300, 400, 900, 1000, 3000, 10_000])
    for sizes, limit, slope, noise in [(few, 7.0, 900.0, 0.2), (many, -0.5, 650.0, 0.3), (few, 3.0, 600.0, 0.0)]:
        cases.append((sizes, limit + slope / sizes + noise * rng.normal(size=len(sizes))))
    right = [float(intercept(*case)) for case in cases]
    for got, wanted, (sizes, values) in zip(recognised(fn, cases, right, WRONG_LIMITS), right, cases, strict=True):
        same(got, wanted, inputs={"sizes": sizes, "values": values}, rtol=1e-4, atol=1e-4, what="value at infinity")


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
    """Fit values = a + b/n at the sizes n by least squares; return a.

    That is the value for n → ∞.
    """
    return np.polyfit(1 / np.asarray(sizes), values, 1)[1]
