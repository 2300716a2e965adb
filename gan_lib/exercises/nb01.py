"""Notebook 01, the minimax objective: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import EDGES, hold, traced
from gan_lib.exercises.compare import close, fit, kind_of, recognise

# What is expected is computed by NumPy in float64: independent of the reader's code, and nothing to compile.


def plus(x):
    """softplus, log(1 + e^x)."""
    return np.logaddexp(0, x)


def sigma(x):
    """The sigmoid 1/(1 + e^−x)."""
    return np.exp(-np.logaddexp(0, -x))


def batch(rng, n, spread=2.0):
    """n random numbers, as the float32 that the reader's function gets."""
    return rng.normal(0, spread, n).astype(np.float32)


def pair(got, first, second):
    """The two entries of `got`, also of an array, or a Mistake that says what was to be returned."""
    if isinstance(got, jax.Array | np.ndarray) and got.ndim:
        got = list(got)
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Mistake(f"Return two things, `{first}, {second}`; you return {kind_of(got)}.")
    return got


# --- 01.optimal_discriminator ---------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def check_optimal_discriminator(fn):
    """Random densities of random shapes, zeros included, against p/(p+q); then two of the notebook's, on its grid."""
    rng = np.random.default_rng(0)
    for shape in [(7,), (2, 5), (1,)]:
        p, q = rng.gamma(1.0, size=shape), rng.gamma(1.0, size=shape)
        got = fn(p, q)
        recognise(
            got,
            (q / (p + q), "You return q/(p+q): the probability that x is fake. D says how likely x is real."),
            (p / q, "You return p/q. That is the odds D/(1−D), and it grows without bound; D itself is a probability."),
            (np.log(p / q), "You return log p/q: the logit of D*. A sigmoid turns it into D*."),
            (p / (p + q) / 2, "You return half of p/(p+q). Where only p has density, D* must be 1."),
            (1 + q / p, "You return (p+q)/p. Turn the fraction over: a probability is at most 1."),
            (p, "You return p, a density. D* is the share of p in p + q."),
            (p * q / (p + q), "You return pq/(p+q). The probability that x is real is p/(p+q)."),
            ((p - q) / (p + q), "You return (p−q)/(p+q), between −1 and 1. D* is a probability, ½ where p = q."),
            (p / (p.sum() + q.sum()), "You divide by one sum over all points. Divide at each x by p(x) + q(x) there."),
            ((p + q) / 2, "You return the mixture (p+q)/2, a density. D* is the share of p in it."),
            (sigma(p - q), "You return σ(p−q). The logit of D* is the difference of logs, log p − log q."),
            (
                (p > q).astype(float),
                "You return a verdict, 0 or 1. The best D says how sure it can be: the share of p at x.",
            ),
            right=p / (p + q),
        )
        if np.shape(got) == shape and 1e-6 < np.max(np.abs(got - p / (p + q))) < 0.01:
            raise Mistake("Nearly: is there an ε in the denominator, or a clip? None is needed, as p + q is above 0.")
        same(got, p / (p + q), inputs={"p": p, "q": q}, atol=1e-6)
    p, q = np.array([0.0, 0.7, 1e-30]), np.array([0.4, 0.0, 1e-30])
    got = fn(p, q)
    if np.shape(got) == (3,) and np.isclose(got[0], 0, atol=1e-3) and not np.isclose(got[2], 0.5):
        raise Mistake(
            f"D* is {got[2]:.3g} where p and q are both 1e-30, and should be ½: far from the samples densities are that "
            "small. An ε in the denominator or a clip drowns them. p + q is not 0 where either has density."
        )
    same(got, np.array([0.0, 1.0, 0.5]), inputs={"p": p, "q": q}, atol=1e-6)
    x = np.linspace(-12, 12, 2401)
    for theta in (-1.0, 6.0):
        p, q = np.exp(-(x**2) / 2), np.exp(-((x - theta) ** 2) / 2)
        same(fn(p, q), p / (p + q), inputs={"p": "normal around 0", "q": f"normal around {theta:g}"}, atol=1e-5)


@define(
    "01.optimal_discriminator",
    difficulty=1,
    minutes=4,
    check=check_optimal_discriminator,
    hints=(
        "V is an integral over x, and D may take any value at each x. So maximise p·log D + q·log(1−D) at one x, "
        "with p and q two fixed numbers.",
        "Set the derivative in D to zero: p/D − q/(1−D) = 0. Multiply by D(1−D) and solve for D.",
        "p(1−D) = qD, so p = (p+q)D. Return the fraction; it works on whole arrays.",
    ),
)
def optimal_discriminator(p, q):
    """D*(x), the probability that x is real, from densities p(x), q(x).

    Same shape as p.
    """
    return p / (p + q)


# --- 01.jsd ---------------------------------------------------------------------------------------------------------


GRID = np.linspace(-12, 12, 601)


@np.errstate(all="ignore")  # the message says what a warning about log 0 would
def check_jsd(fn):
    """Random densities against the definition; two boxes shifted by a, where JSD = a·log 2; symmetry; zero at p = q.

    All densities fall to 0 before the grid ends, as in the notebook: there a sum and the trapezoid rule agree.
    """
    rng = np.random.default_rng(2)
    for _ in range(2):
        (p, q), dx = (mixture(rng) for _ in range(2)), GRID[1] - GRID[0]
        m = (p + q) / 2
        kl_p, kl_q = dx * np.sum(p * np.log(p / m)), dx * np.sum(q * np.log(q / m))
        expected = (kl_p + kl_q) / 2
        got = fn(p, q, dx)
        recognise(
            got,
            (kl_p + kl_q, "The ½ is missing: JSD is the mean of the two divergences, at most log 2."),
            (
                expected / np.log(2),
                "You measure in bits (log base 2). Here every log is natural: the maximum is log 2.",
            ),
            (expected / dx, "dx is missing: a sum over grid points is not yet an integral."),
            (expected / dx / len(p), "You take a mean over the grid points. An integral is the sum times dx."),
            (expected * dx, "dx is in it twice."),
            (np.sqrt(max(expected, 0)), "You return the square root: that is the Jensen–Shannon distance."),
            (-expected, "The sign is flipped: KL(a‖b) = ∫ a·log(a/b), and JSD is never negative."),
            (
                expected - np.log(2),
                "You compare with p+q, which integrates to 2. The mixture is m = (p+q)/2; JSD is never negative.",
            ),
            (
                2 * expected - np.log(4),
                "You return V(D*, G) = −log 4 + 2·JSD. Solve it for JSD.",
            ),
            (kl_p, "This is KL(p‖m) alone. JSD takes the mean with KL(q‖m), which makes it symmetric."),
            (kl_q, "This is KL(q‖m) alone. JSD takes the mean with KL(p‖m), which makes it symmetric."),
            (kl_p / 2, "This is half of KL(p‖m); the half with q is missing."),
            (kl_q / 2, "This is half of KL(q‖m); the half with p is missing."),
            (
                dx * np.sum(m * np.log(m / p) + m * np.log(m / q)) / 2,
                "This is the mean of KL(m‖p) and KL(m‖q), the wrong way round: m stands on the right, KL(p‖m) and KL(q‖m).",
            ),
            (
                dx * np.sum(p * np.log(p / q)),
                "This is KL(p‖q), infinite where q = 0. JSD compares each with the mixture.",
            ),
            (
                dx * np.sum(q * np.log(q / p)),
                "This is KL(q‖p), infinite where p = 0. JSD compares each with the mixture.",
            ),
            (dx * np.abs(p - q).sum() / 2, "This is the total variation, ½∫|p−q|. JSD is made of logs."),
            *(
                (
                    dx * np.sum((p - q) * np.log(p / q)) * factor,
                    "This joins KL(p‖q) and KL(q‖p). JSD compares each with the mixture m, not with the other.",
                )
                for factor in (0.5, 1)
            ),
        )
        if np.shape(got) == () and (not np.isfinite(got) or 1e-5 < abs(got - expected) < 0.02 * expected):
            raise Mistake(_underflow(got, expected))
        same(got, expected, inputs={"p": p, "q": q, "dx": dx}, atol=1e-5)
    height, at = 1 / (26 * dx), np.arange(len(GRID))
    for shift in (0, 6, 26, 60):
        p, q = (height * ((at >= left) & (at < left + 26)) for left in (200, 200 + shift))
        expected, apart = min(shift / 26, 1.0) * np.log(2), f"{shift / 26:.3g} of their width apart"
        for got in (fn(p, q, dx), fn(q, p, dx)):
            if np.shape(got) == () and not np.isfinite(got):
                raise Mistake(
                    f"Right for positive densities, but {float(got)} where one of them is 0: 0·log 0 is NaN in floating "
                    f"point and 0 in the integral. (Two boxes, {apart}: the answer is {expected:.4f}.)"
                )
            if shift and np.shape(got) == () and np.isclose(got, 0, atol=1e-5):
                raise Mistake(
                    "Right for positive densities, but you leave out the points where just one of them is 0. Leave out only "
                    "the term of that one: where q = 0, p·log(p/m) is p·log 2, and counts. "
                    f"(Two boxes, {apart}: the answer is {expected:.4f}, you return 0.)"
                )
            same(got, expected, inputs={"p": "a box", "q": f"a box of the same width, {apart}"}, atol=1e-5)
    x = np.linspace(-12, 12, 1201)
    bumps = (normal(x, -1.5, 0.4) + normal(x, 1.5, 0.7)) / 2
    for theta, p, stretch in (  # stretched, densities are small, and JSD stays as it is
        *((theta, bumps, 1) for theta in (-4.0, 0.5, 4.0)),
        (6.0, normal(x, -6.0), 1),
        (2.0, normal(x, -2.0) / 1000, 1000),
    ):
        q = normal(x, theta) / stretch
        got, expected = fn(p, q, 0.02 * stretch), jsd(p, q, 0.02 * stretch)
        if not np.isfinite(got) or 4e-7 < abs(got - expected) < 1e-2:  # the notebook asks for 1e-6 of twice this
            raise Mistake(_underflow(got, expected))
        same(got, expected, inputs={"p": p, "q": q}, atol=4e-7, rtol=0)


def normal(x, mean, std=1.0):
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / np.sqrt(2 * np.pi) / std


def mixture(rng):
    """A density on GRID: three normal ones of random weight."""
    weights, means, widths = rng.dirichlet(np.ones(3)), rng.uniform(-4, 4, 3), rng.uniform(0.8, 1.2, 3)
    return np.exp(-0.5 * ((GRID[:, None] - means) / widths) ** 2) @ (weights / widths) / np.sqrt(2 * np.pi)


def _underflow(got, expected):
    words = f"Right for thick densities, but {float(got):.7f} instead of {expected:.7f} where tails fall to 1e-80"
    if not np.isfinite(got):
        words = f"The result is {float(got)} instead of {expected:.7f}, where tails fall to 1e-80"
    if isinstance(got, jax.Array) or getattr(got, "dtype", None) == np.float32:
        return f"{words}: float32 rounds them to 0. These arrays are NumPy's, in float64; stay there with `np` instead of `jnp`."
    if not np.isfinite(got):
        return (
            f"{words}: something rounds to 0 inside a log or below a fraction. Is it a 1 − p/(p+q), or a `jnp` in between, "
            "which is float32? Stay with `np`, and with p/m and q/m."
        )
    return (
        f"{words}. Is there an ε in a log or a fraction, a clip, or a 1 − p/(p+q) that rounds to 0? None is needed: leave out "
        "the term where its own density is 0."
    )


@define(
    "01.jsd",
    difficulty=2,
    minutes=8,
    check=check_jsd,
    hints=(
        "Write a small kl(a, b) = ∫ a·log(a/b) first. JSD(p, q) is the mean of kl(p, m) and kl(q, m), with m = (p+q)/2.",
        "Where a = 0 the integrand is 0, but 0·log 0 gives NaN. Put a harmless number inside the log there: "
        "np.where(a > 0, a / b, 1). b = m is never 0 where a > 0.",
        "`np.where` evaluates both branches, so divide by `np.where(a > 0, b, 1)`. Then: "
        "`kl = np.sum(a * np.log(np.where(a > 0, a, 1) / np.where(a > 0, b, 1))) * dx`.",
    ),
)
def jsd(p, q, dx):
    """Jensen–Shannon divergence, in natural logs, of densities p and q.

    (N,), on a grid of spacing dx; p or q may be 0 somewhere.
    """

    def kl(a, b):
        ratio = np.where(a > 0, a, 1) / np.where(a > 0, b, 1)
        return np.sum(a * np.log(ratio)) * dx

    m = (p + q) / 2
    return (kl(p, m) + kl(q, m)) / 2


# --- 01.honest_bound ------------------------------------------------------------------------------------------------


class _ByHeart:
    """A `train` whose D is sure of each sample it has seen, and has `on_real` and `on_fake` for logits of all others.

    on_real: one number, or several, of which each further D has the next. Real samples are positive numbers, fakes negative
    ones. calls: what it was given; asked: how often each D was asked.
    """

    def __init__(self, on_real, on_fake):
        self.on_real, self.on_fake, self.calls, self.asked = np.ravel(on_real), on_fake, [], []

    def __call__(self, real, fake):
        real, fake = jnp.asarray(real), jnp.asarray(fake)
        number = len(self.calls)
        on_real = self.on_real[number % len(self.on_real)]
        self.calls.append((real, fake))
        self.asked.append(0)

        def logits(x):
            self.asked[number] += 1
            x = jnp.asarray(x)
            new = jnp.where(x > 0, on_real, self.on_fake)
            known = [jnp.isin(x, samples) for samples in (real, fake)]
            return jnp.where(known[0], 30.0, jnp.where(known[1], -30.0, new))

        return logits


def check_honest_bound(fn):
    """Against a D that learns its samples by heart: only those it has not seen say what it is worth."""
    rng = np.random.default_rng(6)
    cases = (64, 64, 0.8, -0.5), (60, 44, 1.5, 0.2), (64, 24, 0.3, -0.9), (24, 64, 0.3, -0.9), (64, 64, 2.0, 40.0)
    for n_real, n_fake, on_real, on_fake in (*cases, (33, 47, -1.0, 0.4)):
        real, fake = rng.uniform(1, 2, n_real).astype(np.float32), rng.uniform(-2, -1, n_fake).astype(np.float32)
        train = _ByHeart(on_real, on_fake)
        got = fn(train, jnp.asarray(real), jnp.asarray(fake))
        fit(got, np.float32(0), "bound")
        if not train.calls:
            raise Mistake("`train` is never called: the bound needs a D.")
        seen_real, seen_fake = train.calls[0]
        if np.any(seen_real < 0) or np.any(seen_fake > 0):
            raise Mistake("`train` gets real and fake samples mixed up: call `train(real, fake)`, with a part of each.")
        r, f = len(seen_real) / n_real, len(seen_fake) / n_fake
        if not np.isfinite(got):
            for part, of in ((r, "real"), (f, "fake")):
                if part == 1:
                    raise Mistake(
                        f"With {n_real} real and {n_fake} fake samples `train` gets all {of} ones, and a mean over none is NaN. "
                        "Split each kind at a half of its own."
                    )
            raise Mistake(
                f"The bound is {float(got)} for a D with logit {on_fake:g} on new fakes: the log of a probability that rounds to "
                "0. Take V from the logits, as `value` does."
            )
        half_real, half_fake = -plus(-on_real), -plus(on_fake)
        v = half_real + half_fake
        right = (v + np.log(4)) / 2
        best = "A D that has them by heart claims log 2, the most there is, whatever p and q are. Hold samples back"
        recognise(
            got,
            (np.log(2), f"You measure on samples on which D was trained. {best} that `train` does not see."),
            (
                ((1 - r) * half_real + (1 - f) * half_fake + np.log(4)) / 2,
                f"You measure on all samples, and D was trained on a part of them. {best}, and measure on these alone.",
            ),
            (
                (half_fake + np.log(4)) / 2,
                "Your real samples are those on which D was trained. Hold some of each kind back.",
            ),
            ((half_real + np.log(4)) / 2, "Your fakes are those on which D was trained. Hold some of each kind back."),
            (v, "This is V of a D on new samples. Solve V ≤ −log 4 + 2·JSD for the JSD."),
            (v + np.log(4), "This bounds 2·JSD: V ≤ −log 4 + 2·JSD. Half of it is asked for."),
            (v / 2 + np.log(4), "Half of log 4, too: (V + log 4)/2."),
            (v / 2, "log 4 is missing: V ≤ −log 4 + 2·JSD."),
            ((v - np.log(4)) / 2, "The sign of log 4 is turned: JSD ≥ (V + log 4)/2."),
            ((np.log(4) - v) / 2, "The sign of V is turned: JSD ≥ (V + log 4)/2, and V is never above 0."),
            (v / 2 + np.log(2) / 2, "It is log 4, not log 2: V is −log 4 where D cannot tell."),
            (
                (-plus(on_real) - plus(-on_fake) + np.log(4)) / 2,
                "Your labels are swapped: V has log D on real samples, log(1 − D) on fakes.",
            ),
            ((half_real - plus(-on_fake) + np.log(4)) / 2, "V has log(1 − D) on the fakes, not log D."),
            ((v + np.log(4)) / 2 / np.log(2), "You measure in bits (log base 2). Here every log is natural."),
            right=right,
        )
        if right < 0 and np.shape(got) == () and np.isclose(got, 0, atol=1e-6):
            continue  # JSD ≥ 0 is a lower bound, too
        same(got, right, inputs={"real": real, "fake": fake}, rtol=1e-4, atol=1e-4, what="bound")
        for part, of in ((r, "real"), (f, "fake")):
            if not 0.1 <= part <= 0.9:
                raise Mistake(
                    f"`train` gets {part:.0%} of the {of} samples. With that few to learn from, or that few to measure on, the "
                    "bound says nothing: half of each is a fair share."
                )
    _check_not_picked(fn, jnp.asarray(real), jnp.asarray(fake))


def _check_not_picked(fn, real, fake):
    """Of several Ds, one that is picked by the samples on which it is then measured is one that chance has helped."""
    picked = []
    for worth in ((0.8, -1.0), (-1.0, 0.8)):
        train = _ByHeart(worth, -0.5)
        got = fn(train, real, fake)
        largest = (-plus(-max(worth)) - plus(-0.5) + np.log(4)) / 2
        picked.append(len(train.calls) > 1 and max(train.asked) <= 2 and np.isclose(got, largest, atol=1e-4))
    if all(picked):
        raise Mistake(
            "You keep the largest of several bounds, the one that chance has helped most. Take their mean, or pick D by "
            "samples of its own, on which it is not measured."
        )


@define(
    "01.honest_bound",
    difficulty=2,
    minutes=8,
    check=check_honest_bound,
    hints=(
        "Any D gives a lower bound, if V is a mean over samples that had no part in making this D. You have one set of each "
        "kind. What do you do with it?",
        "Split both: `train` gets the one part of real and fake, V is measured on the other. Then V ≤ −log 4 + 2·JSD.",
        "`n, m = len(real) // 2, len(fake) // 2`, `d = train(real[:n], fake[:m])`, and "
        "`(value(d(real[n:]), d(fake[m:])) + np.log(4)) / 2`.",
    ),
)
def honest_bound(train, real, fake):
    """A lower bound on the JSD of the densities behind two samples.

    real (N,), fake (M,). train(real, fake) gives a D: a function from
    x (n,) to logits (n,).
    """
    n, m = len(real) // 2, len(fake) // 2
    d = train(real[:n], fake[:m])
    on_real, on_fake = d(real[n:]), d(fake[m:])
    v = -softplus(-on_real).mean() - softplus(on_fake).mean()
    return (v + jnp.log(4)) / 2


# --- 01.frozen_logits -----------------------------------------------------------------------------------------------


def check_frozen_logits(fn):
    """Values, and the derivative in theta with D* held, for a logistic p and normal q of two widths."""
    rng = np.random.default_rng(4)
    for width in (1.0, 0.6):
        theta, z = np.float32(rng.normal(1.5, 0.5)), batch(rng, 5, 1.0)
        x, inputs = theta + z, {"theta": theta, "z": z}

        def log_p(x, width=width):
            return -jnp.log(2 * width) - jnp.logaddexp(x / width, -x / width)

        def log_q(x, theta, width=width):
            return -0.5 * ((x - theta) / width) ** 2

        def ratio(x, theta, width=width):
            return -np.log(2 * width) - np.logaddexp(x / width, -x / width) + 0.5 * ((x - theta) / width) ** 2

        got = fn(jnp.asarray(theta), jnp.asarray(z), log_p, log_q)
        recognise(
            got,
            (-ratio(x, theta), "You return log q/p. The logit of D* is log p/q, positive where x looks real."),
            (sigma(ratio(x, theta)), "You return D*, a probability. Here its logit is wanted: leave the sigmoid out."),
            (ratio(z, theta), "You evaluate at z. The fakes are G(z) = theta + z."),
            (
                ratio(x, theta) - 0.5 * ((x - theta) / width) ** 2 + 0.5 * ((z - theta) / width) ** 2,
                "You take log q at z. Both densities are taken at the fakes, theta + z.",
            ),
            (
                ratio(z, theta) - 0.5 * ((z - theta) / width) ** 2 + 0.5 * ((x - theta) / width) ** 2,
                "You take log p at z. Both densities are taken at the fakes, theta + z.",
            ),
            (ratio(theta * z, theta), "Your fakes are theta·z. They are theta + z."),
            (ratio(x, 0.0), "You leave theta out of q: that is the best D against a generator at 0."),
        )
        same(got, ratio(x, theta), inputs=inputs, atol=1e-4)
        with traced("`grad` and `jit`"):
            got = jax.jit(jax.jacrev(lambda t: fn(t, jnp.asarray(z), log_p, log_q)))(theta)  # noqa: B023
        slope_p, slope_q = (
            -np.tanh(x / width) / width,
            -(x - theta) / width**2,
        )  # in x; that of log q in theta is the opposite
        recognise(
            got,
            (
                slope_p,
                "The values are right, but D* moves along with theta when you differentiate, or x is cut inside log q. "
                "In G's step D stands still: cut the theta that goes into q, and nothing else, with jax.lax.stop_gradient.",
            ),
            (
                0 * z,
                "The values are right, but no gradient reaches theta. You cut too much: "
                "the fakes theta + z must carry the gradient, only the theta inside q stands still.",
            ),
            (
                -slope_q,
                "The values are right, but x is cut inside log p. Cut the theta that goes into q, and nothing else.",
            ),
            (
                slope_p + slope_q,
                "The values are right, but in log q you cut x and leave theta, the wrong way round: the fakes move, D* stands.",
            ),
            (
                slope_q,
                "You cut the wrong one: the gradient must flow through the fakes theta + z, not through q's own theta.",
            ),
        )
        same(got, slope_p - slope_q, inputs=inputs, atol=1e-3, what="derivative in theta")
    _far_away(fn)


def _far_away(fn):
    """As the notebook has it: fakes as far as 20 from p, whose densities are 0 in float32, and slopes of both losses."""
    z, theta = np.linspace(-12, 12, 241), np.array([0.0, 2.0, 8.0])
    weights, calls = np.exp(-(z**2) / 2) * 0.1 / np.sqrt(2 * np.pi), []

    def log_p(x):
        calls.append(jnp.shape(x))
        if len(calls) > 100:
            raise Mistake(
                "Right for a few z, but your loop calls `log_p` for each one. The notebook has 2,401, and compiles every turn "
                "of a Python loop anew. `log_p` and `log_q` take whole arrays."
            )
        return -0.5 * x**2 - np.log(np.sqrt(2 * np.pi))

    def log_q(x, theta):
        return -0.5 * (x - theta) ** 2 - np.log(np.sqrt(2 * np.pi))

    def losses(t):
        s = fn(t, jnp.asarray(z), log_p, log_q)
        return jnp.stack([jnp.sum(weights * -softplus(s)), jnp.sum(weights * softplus(-s))]), s

    with traced("`vmap`, `grad` and `jit`"):
        slopes, logits = jax.jit(jax.vmap(jax.jacrev(losses, has_aux=True)))(jnp.asarray(theta))
    s = -0.5 * theta[:, None] * (theta[:, None] + 2 * z)
    slope_s = -(theta[:, None] + z) + z
    expected = np.stack([(weights * -sigma(s) * slope_s).sum(1), (weights * -sigma(-s) * slope_s).sum(1)], axis=1)
    shown = {"theta": theta, "z": "241 numbers from −12 to 12"}
    for got, wanted in ((logits, s), (slopes, expected)):
        if np.shape(got) == np.shape(wanted) and not np.isfinite(got).all():
            raise Mistake(
                "Right for fakes near p, not finite for theta up to 8 and z up to ±12, which the next cell takes: p and q as "
                "`exp` of their logs are 0 in float32 out there, and D* rounds to 0 or 1. Stay with the logs: log p − log q."
            )
    near = abs(s) < 3
    if np.shape(logits) == s.shape and np.allclose(logits[near], s[near], atol=0.01) and abs(logits - s).max() > 0.1:
        raise Mistake(
            f"Right for fakes near p, but for theta up to 8 and z up to ±12 your logits lie between {np.min(logits):.3g} and "
            f"{np.max(logits):.3g} instead of {s.min():.3g} and {s.max():.3g}: a clip or an ε holds them, and G gets no "
            "gradient there. Return log p − log q."
        )
    same(logits, s, inputs=shown, rtol=1e-3, atol=1e-2, what="array of logits")
    same(slopes, expected, inputs=shown, rtol=1e-3, atol=1e-3, what="gradient of both losses in theta")


@define(
    "01.frozen_logits",
    difficulty=3,
    minutes=8,
    check=check_frozen_logits,
    hints=(
        "Two different things depend on theta: the fakes x = theta + z, and the density q inside D*. "
        "Which one may the generator's gradient see?",
        "In G's step, D is a fixed function of x. Gradient flows through x; the theta that makes q is a constant.",
        "`x = theta + z`, then `return log_p(x) - log_q(x, jax.lax.stop_gradient(theta))`.",
    ),
)
def frozen_logits(theta, z, log_p, log_q):
    """Logits (n,) of D* on the fakes theta + z, z (n,).

    A gradient in theta sees the fakes move and D* stand still.

    log_p(x) and log_q(x, theta) are log densities.
    """
    x = theta + z
    return log_p(x) - log_q(x, jax.lax.stop_gradient(theta))


# --- 01.divergence_losses -------------------------------------------------------------------------------------------


def check_divergence_losses(fn):
    """Derivatives in the logit, −1 and −e^s: a constant more or less changes nothing for G."""
    names = ("the loss for KL(q‖p)", "the loss for KL(p‖q)")
    large = np.float32([-100, -30, 20, 40])  # the notebook's grid reaches ±40
    for s in (np.float32([-6, -2, -0.5, 0, 0.5, 1, 3]), batch(np.random.default_rng(7), 5, 3.0), large):
        losses = pair(fn(jnp.asarray(s)), "for KL(q‖p)", "for KL(p‖q)")
        for loss, name in zip(losses, names, strict=True):
            if np.shape(loss) == ():
                raise Mistake(
                    f"{name[0].upper()}{name[1:]} is one number. Return each fake's, (B,); the mean comes later."
                )
            fit(loss, s, name)
            if s is not large and not np.isfinite(loss).all():
                raise Mistake(
                    f"{name[0].upper()}{name[1:]} is not finite for logits from {s.min():.2g} to {s.max():.2g}."
                )
        with traced("`grad` and `jit`, where G minimises them"):
            pull = jax.jit(lambda s: [jax.grad(lambda s: pair(fn(s), "", "")[i].sum())(s) for i in (0, 1)])  # noqa: B023
            reverse, forward = pull(jnp.asarray(s))
        e = np.exp(np.float64(s))
        if close(reverse, -e) and close(forward, -np.ones_like(s)):
            raise Mistake("Right, in the wrong order: first the loss for KL(q‖p), then that for KL(p‖q).")
        if max(abs(s)) > 16 and not np.isfinite([*losses, reverse, forward]).all():
            raise Mistake(
                f"Right for small logits, but not finite for logits from {s.min():.2g} to {s.max():.2g}, or its gradient is "
                "not: a probability rounds to 0 or 1 there. log (1−D)/D is −s, and D/(1−D) is e^s: no σ is needed."
            )
        for got, name in ((reverse, names[0]), (forward, names[1])):
            if not np.any(got):
                raise Mistake(f"No gradient comes through {name}: is there a stop_gradient, or no logit in it?")
            recognise(
                got,
                (-sigma(-s), f"{name.capitalize()} is the non-saturating one: that descends 2 KL(m‖p)."),
                (-sigma(s), f"{name.capitalize()} is the saturating one: that descends 2 JSD."),
            )
        recognise(
            reverse,
            (
                np.ones_like(s),
                "The sign of the first is turned: it is high where the fake looks real. s is log p/q; KL(q‖p) has log q/p.",
            ),
            (1 / e, "The first is q/p, or −p/q turned over. ∂/∂q of q·log(q/p) is log(q/p) + 1."),
            (-np.ones_like(s) / len(s), "You divide the first by the batch: the mean comes later."),
        )
        same(
            reverse, -np.ones_like(s), inputs={"fake_logits": s}, rtol=1e-3, what="derivative of the first in the logit"
        )
        recognise(
            forward,
            (
                (1 + s) * e,
                "The second has the *value* of KL(p‖q), for E_q[e^s·s] = ∫ p·log(p/q), and another gradient: in G's step D "
                "stands still, only the fakes move. Take ∂/∂q of p·log(p/q).",
            ),
            (
                e,
                "The sign of the second is turned. E_q[p/q] is 1 for every q, so its value says nothing; as a loss it drives "
                "fakes away from where p is high. ∂/∂q of p·log(p/q) is −p/q.",
            ),
            (np.ones_like(s), "The second is log q/p with its sign turned. ∂/∂q of p·log(p/q) is −p/q, a power of e."),
            (-np.ones_like(s), "Both of yours are for KL(q‖p). In KL(p‖q) = ∫ p·log(p/q) dx the q stands below."),
            (1 / e, "The second is −q/p. ∂/∂q of p·log(p/q) = p·log p − p·log q is −p/q."),
            (-1 / e, "The second is q/p. ∂/∂q of p·log(p/q) = p·log p − p·log q is −p/q."),
            (-e / len(s), "You divide the second by the batch: the mean comes later."),
            (
                -sigma(s) * sigma(-s),
                "The second is −D. −p/q is −D/(1 − D), which is −e^s.",
            ),
        )
        same(forward, -e, inputs={"fake_logits": s}, rtol=1e-3, what="derivative of the second in the logit")


@define(
    "01.divergence_losses",
    difficulty=3,
    minutes=10,
    check=check_divergence_losses,
    hints=(
        "Write each divergence as an integral over x of something with q in it: q·log(q/p) and p·log(p/q). "
        "Differentiate by q, p held.",
        "The first gives log(q/p) + 1, the second −p/q. What are these in terms of the logit s = log(p/q)?",
        "log(q/p) = −s, and p/q = e^s.",
    ),
)
def divergence_losses(fake_logits):
    """Each fake's loss against the best D, (B,): for KL(q‖p), KL(p‖q).

    Up to a constant, which moves no generator.
    """
    return -fake_logits, -jnp.exp(fake_logits)


# --- 01.repaired_losses ---------------------------------------------------------------------------------------------


def check_repaired_losses(fn):
    """Values and gradients of both losses for a random D (a line), G (of no symmetry) and batches; then large logits."""
    rng = np.random.default_rng(5)

    def losses(d, theta, real, z):
        got = fn(lambda x: d[0] + d[1] * x, lambda theta, z: theta * z + theta**2, theta, real, z)
        return pair(got, "d_loss", "g_loss")

    def slopes(losses, which, argnums):
        return jax.value_and_grad(lambda *args: losses(*args)[which], argnums)

    d, theta, real, z = batch(rng, 2, 0.5), np.float32(1.3), batch(rng, 5), batch(rng, 8, 1.0)
    fake = theta * z + theta**2
    inputs = {"logit": f"{d[0]:.3f} + {d[1]:.3f}·x", "generator": "θ·z + θ²", "theta": theta, "real": real, "z": z}
    on_real, on_fake, on_z = d[0] + d[1] * real, d[0] + d[1] * fake, d[0] + d[1] * z
    turned, shifted = d[0] + d[1] * (theta * z + z**2), d[0] + d[1] * (theta + z)
    d_loss, g_loss = losses(*map(jnp.asarray, (d, theta, real, z)))
    expected, fooling = plus(-on_real).mean() + plus(on_fake).mean(), plus(-on_fake).mean()
    recognise(
        d_loss,
        (
            -expected,
            "d_loss still has its sign lost: this is V itself, and minimising it trains D to be wrong. "
            "D minimises −E[log D(x)] − E[log(1−D(G(z)))].",
        ),
        (
            plus(on_real).mean() + plus(-on_fake).mean(),
            "The labels in d_loss are swapped: it rewards D for calling fakes real.",
        ),
        (fooling, "Your first value is g_loss. Return d_loss, g_loss."),
        (
            plus(-on_real).mean() + fooling,
            "d_loss has −log D on the fakes: D would gain by calling them real. It is 1−D.",
        ),
        (expected / 2, "d_loss is half of what is asked for: it is the sum of both means."),
        (plus(-on_real).mean(), "The fakes are missing in d_loss."),
        (plus(on_fake).mean(), "The real samples are missing in d_loss."),
        (plus(-on_real).sum() + plus(on_fake).sum(), "You sum over the batches in d_loss. E is a mean."),
        (plus(-on_real).mean() - plus(on_fake).mean(), "d_loss subtracts the fakes' half. D loses by both: add them."),
        (-plus(-on_real).mean() + plus(on_fake).mean(), "The sign of the real half of d_loss is still lost."),
        *(
            (plus(-on_real).mean() + plus(other).mean(), words)
            for other, words in (
                (turned, "You call generator(z, theta). The order is generator(theta, z)."),
                (
                    shifted,
                    "Your fakes are theta + z. That is one generator; call the one you are given, generator(theta, z).",
                ),
                (on_z, "You take z for the fakes. They are generator(theta, z)."),
            )
        ),
    )
    same(d_loss, expected, inputs=inputs, atol=1e-4, what="d_loss")
    recognise(
        g_loss,
        (
            plus(-on_real).mean(),
            "g_loss looks at the real samples: theta is not in it, and no gradient reaches G. Use the fakes.",
        ),
        (
            -expected,
            "g_loss is −d_loss. If gradient flows that is the minimax loss; here −E[log D(G(z))] is asked for.",
        ),
        (expected, "g_loss is d_loss: minimising it, G helps D. Here −E[log D(G(z))] is asked for."),
        (-fooling, "The sign of g_loss is turned: minimising E[log D(G(z))] moves G to where D rejects it."),
        (plus(on_fake).mean(), "g_loss is −E[log(1−D(G(z)))]: minimising it moves G to where D rejects it."),
        (
            -plus(on_fake).mean(),
            "g_loss is the saturating loss: it trains, but fades. Here −E[log D(G(z))] is asked for.",
        ),
        (fooling * len(z), "You sum over the batch in g_loss. E is a mean."),
        (plus(-on_z).mean(), "g_loss takes z for the fakes. They are generator(theta, z)."),
        (plus(-turned).mean(), "g_loss calls generator(z, theta). The order is generator(theta, z)."),
        (plus(-shifted).mean(), "The fakes in g_loss are theta + z. Call the generator you are given."),
        (plus(-on_real).mean() + fooling, "g_loss also holds the real samples. They tell G nothing: leave them out."),
    )
    same(g_loss, fooling, inputs=inputs, atol=1e-4, what="g_loss")
    with traced("`grad` and `jit`"):
        step = jax.jit(lambda *args: (slopes(losses, 0, 0)(*args)[1], slopes(losses, 1, 1)(*args)[1]))
        in_d, in_theta = step(d, theta, real, z)
    if in_theta == 0:
        raise Mistake(
            "Both values are right, but the gradient of g_loss in theta is 0: "
            "a stop_gradient still stands between G and its loss."
        )
    expected = -(sigma(-on_fake) * d[1] * (z + 2 * theta)).mean()
    same(in_theta, expected, inputs=inputs, atol=1e-4, what="gradient of g_loss in theta")
    up, down = sigma(-on_real) / len(real), sigma(on_fake) / len(z)
    expected = np.array([down.sum() - up.sum(), down @ fake - up @ real])
    recognise(
        in_d,
        (
            0 * expected,
            "The value of d_loss is right, but no gradient reaches D: is there a stop_gradient around its logits?",
        ),
        (
            np.array([down.sum(), down @ fake]),
            "No gradient of d_loss reaches D from the real samples: something is cut.",
        ),
        (
            np.array([-up.sum(), -up @ real]),
            "No gradient of d_loss reaches D from the fakes: cut the fakes, not logits.",
        ),
    )
    same(in_d, expected, inputs=inputs, atol=1e-4, what="gradient of d_loss in D's parameters")

    def of_logits(real, fake):  # each sample's logit by itself, as if D were the identity
        got = fn(lambda x: x, lambda theta, z: theta * z, jnp.float32(1), real, fake)
        return pair(got, "d_loss", "g_loss")

    s = np.float64(EDGES)
    both = jax.jit(lambda *args: (slopes(of_logits, 0, (0, 1))(*args), slopes(of_logits, 1, 1)(*args)))
    (d_loss, (in_real, in_fake)), (g_loss, in_g) = both(-EDGES, EDGES)
    slope = sigma(s) / len(s)
    hold(d_loss, in_real, -EDGES, 2 * plus(s).mean(), -slope, "d_loss")
    # In the fakes d_loss may have no slope: they may be cut there, as only D's parameters follow it.
    hold(d_loss, in_fake if np.any(in_fake) else slope, EDGES, 2 * plus(s).mean(), slope, "d_loss")
    hold(g_loss, in_g, EDGES, plus(-s).mean(), -sigma(-s) / len(s), "g_loss")


@define(
    "01.repaired_losses",
    difficulty=2,
    minutes=8,
    check=check_repaired_losses,
    hints=(
        "Ask of each line: which player minimises this, and does its parameter appear in it? "
        "Then: does minimising it do what that player wants?",
        "There are three faults in what the losses mean, and one in how the logs are computed. "
        "Look at stop_gradient, at the sign of d_loss, and at which samples g_loss is made of.",
        "`fake = generator(theta, z)`, uncut: D's gradient is taken in D's own parameters anyway. "
        "`d_loss = softplus(-logit(real)).mean() + softplus(logit(fake)).mean()`, "
        "`g_loss = softplus(-logit(fake)).mean()`.",
    ),
)
def repaired_losses(logit, generator, theta, real, z):
    """(d_loss, g_loss): D's cross-entropy and G's non-saturating loss.

    Each is to be minimised by its own player.

    logit: x (n,) -> (n,). generator: theta, z (n,) -> x (n,).
    """
    fake = generator(theta, z)
    d_loss = softplus(-logit(real)).mean() + softplus(logit(fake)).mean()
    return d_loss, softplus(-logit(fake)).mean()
