"""Notebook 12, a modern baseline: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import EDGES, hold, traced
from gan_lib.exercises.compare import recognise


def numbers(seed, *shape):
    """Random numbers of that shape, as JAX holds them."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def judge(got, right, *mistakes, inputs, what="result"):
    """Raise the message of the mistake (value, message) that `got` is, or of `same` where it is not `right`.

    A list does for a tuple: the notebook unpacks it, or takes an entry.
    """
    got = tuple(got) if isinstance(got, list) and isinstance(right, tuple) else got
    recognise(got, *mistakes, right=right)
    same(got, jax.tree.map(np.float32, right), inputs=inputs, rtol=1e-3, atol=1e-5, what=what)


# --- 12.pairing -----------------------------------------------------------------------------------------------------


def soft(x):
    """log(1 + e^x) in float64."""
    return np.logaddexp(0, np.asarray(x, float))


def check_pairing(fn):
    """Against float64, both losses and their gradients; then at logits where careless formulas leave float32."""
    for seed, n in enumerate((5, 8)):
        real, fake = 2 * numbers(seed, n), 2 * numbers(seed + 10, n) - 0.5
        gap = np.asarray(real, float) - np.asarray(fake, float)
        right = soft(-gap).mean(), soft(gap).mean()
        every = np.subtract.outer(np.asarray(real, float), np.asarray(fake, float))
        plain_d, plain_g = soft(-real).mean() + soft(fake).mean(), soft(-fake).mean()
        sums = tuple(n * x for x in right)
        mean_gap, sigma = np.mean(gap), lambda s: 1 / (1 + np.exp(-np.asarray(s, float)))
        to_mean = [np.asarray(real, float) - np.mean(fake), np.mean(real) - np.asarray(fake, float)]
        of_shares = sigma(real) - sigma(fake)
        judge(
            fn(real, fake),
            right,
            (
                (right[0], plain_g),
                "The bug is still there: G's loss is the plain one, softplus(−s_fake). D is relativistic, G is not, and what "
                "pairing does for G is lost.",
            ),
            ((plain_d, plain_g), "That is the plain pair of losses. Here a logit counts only against its partner's."),
            ((plain_d, right[1]), "D's loss is the plain one; it compares partners, too."),
            (right[::-1], "The two are exchanged: D wants the real logit above the fake one, G the fake one above."),
            (
                (right[0], -right[0]),
                "G's loss is minus D's: the zero-sum form of the paper's equation 2. It fades where D is sure, as the saturating "
                "loss does; the released code takes softplus of the turned difference.",
            ),
            ((right[0], right[0]), "G minimises what D minimises: then nobody is an adversary."),
            (sums, f"You sum over the batch of {n}; the losses are means."),
            (
                (soft(-every).mean(), soft(every).mean()),
                "You compare every real sample with every fake one. That is a fair estimate of the same mean; here the i-th "
                "real is paired with the i-th fake.",
            ),
            (
                (soft(-mean_gap), soft(mean_gap)),
                "The mean is inside the softplus: that compares the average real with the average fake. Take the mean last.",
            ),
            *[
                (
                    value,
                    "You compare with the mean of the others: the relativistic *average* loss. Here each has one partner.",
                )
                for value in (
                    (soft(-to_mean[0]).mean(), soft(to_mean[1]).mean()),
                    tuple((soft(-k * to_mean[0]) + soft(-k * to_mean[1])).mean() / 2 for k in (1, -1)),
                    tuple((soft(-k * to_mean[0]) + soft(-k * to_mean[1])).mean() for k in (1, -1)),
                )
            ],
            (
                (soft(-of_shares).mean(), soft(of_shares).mean()),
                "That is the gap of two probabilities, which is never above 1. Take the gap of the logits, without a sigmoid.",
            ),
            (
                (-mean_gap, mean_gap),
                "The softplus is missing. Without it the real logit is a constant in G's loss, and this is WGAN.",
            ),
            inputs={"real_logits": real, "fake_logits": fake},
        )
    gap = np.asarray(EDGES)
    n, zero = len(gap), jnp.zeros(len(gap))
    for part, player in enumerate(("loss of D", "loss of G")):
        turn = 1 if part else -1
        wanted = turn / n / (1 + np.exp(np.clip(-turn * np.asarray(gap, float), -700, 700)))
        of_real, of_fake = lambda s, part=part: fn(s, zero)[part], lambda s, part=part: fn(zero, s)[part]
        with traced("`jax.jit` and `jax.grad`"):
            value, slopes = jax.jit(jax.value_and_grad(of_fake))(jnp.asarray(-gap))
        if np.isfinite(value) and not np.asarray(slopes).any():
            idle = "G would stand still" if part else "D would not learn to lower them"
            raise Mistake(f"The {player} has the right value, and sends no gradient to the fake logits: {idle}.")
        hold(value, slopes, -gap, soft(turn * gap).mean(), -wanted, player)
        if part:
            continue  # G's step does not change the real logits: they may be constants there
        with traced("`jax.jit` and `jax.grad`"):
            value, slopes = jax.jit(jax.value_and_grad(of_real))(jnp.asarray(gap))
        hold(value, slopes, gap, soft(turn * gap).mean(), wanted, player)


@define(
    "12.pairing",
    difficulty=1,
    minutes=6,
    check=check_pairing,
    hints=(
        "Two lines set `g_loss`. Which of them is used? And what does it know of the real logits?",
        "D wants real − fake large. G wants fake − real large: the same softplus, its argument turned.",
        "`softplus(fake_logits - real_logits).mean()` for D, `softplus(real_logits - fake_logits).mean()` for G.",
    ),
)
def pairing(real_logits, fake_logits):
    """(D's loss, G's loss): the i-th real logit against the i-th fake one, both (B,)."""
    gap = real_logits - fake_logits
    return softplus(-gap).mean(), softplus(gap).mean()


# --- 12.pair_jsd ----------------------------------------------------------------------------------------------------


def check_pair_jsd(fn):
    """Against loops over all pairs of places, and on densities without overlap."""
    for seed, n in enumerate((2, 3, 6)):
        rng = np.random.default_rng(seed)
        p, q = (x / x.sum() for x in rng.uniform(0.1, 1, (2, n)))
        p, q = np.float32(p), np.float32(q)
        _try_densities(fn, p, q)
    _try_densities(fn, np.float32([0.5, 0.5, 0, 0]), np.float32([0, 0, 0.25, 0.75]))
    _try_densities(fn, np.float32([0.5, 0.5, 0]), np.float32([0, 0.5, 0.5]))
    x = np.linspace(-4, 4, 40)  # the notebook's densities; a third of its places, for loops over pairs
    p, q = (
        np.exp(-(((x + 1.5) / 0.4) ** 2) / 2) / 0.4 + np.exp(-(((x - 1.5) / 0.7) ** 2) / 2) / 0.7,
        np.exp(-(x**2) / 2),
    )
    p, q = (np.float32(v / v.sum()) for v in (p, q))
    pq = np.outer(p, q).astype(float)
    got, right = float(fn(jnp.asarray(p), jnp.asarray(q))), _kl(pq, (pq + pq.T) / 2)
    if not abs(got - right) < 5e-5:
        raise Mistake(
            f"Right on few places. On 40 it is {got:.5f} instead of {right:.5f}: a pair's probability is about 1/40² there, and "
            "an ε or a clip in the logarithm must be far smaller. `rel_entr` needs none."
        )


def _try_densities(fn, p, q):
    a, b = np.asarray(p, float), np.asarray(q, float)
    pq = np.outer(a, b)
    with np.errstate(all="ignore"):
        plain = (_kl(a, (a + b) / 2) + _kl(b, (a + b) / 2)) / 2
        right, own = _kl(pq, (pq + pq.T) / 2), _kl(a, b)
        first = np.outer(a, a)
        mistakes = (
            (
                float(np.sum(np.where(pq * pq.T > 0, pq * np.log(2 * pq / (pq + pq.T)), 0))),
                "Pairs that come in one order only, as p or q is 0, are dropped. Such a pair tells D most: it counts p·q·log 2.",
            ),
            (
                plain,
                "That is JSD(p, q), of single samples. Here pairs are compared: p⊗q, a real and a fake one, with q⊗p.",
            ),
            (2 * right, "Twice too much: JSD has ½ before each of its two parts, and here the parts are equal."),
            (right / 2, "Half of it: both parts count ½, and they are equal, so the whole is one of them."),
            (-right, "The sign is lost."),
            (right / np.log(2), "That is in bits; nats are asked for (`jnp.log`)."),
            (np.log(2) - right, "That is D's loss at its best, log 2 − JSD. The divergence is asked for."),
            (right - np.log(2), "That is minus D's loss at its best. The divergence is asked for: add log 2."),
            (_kl(pq, pq.T), "That is KL(p⊗q ‖ q⊗p). In JSD each is compared with the half of both."),
            (own, "That is KL(p ‖ q)."),
            (
                _kl(pq, (first + np.outer(b, b)) / 2),
                "The mixture is made of pairs that never come: half of (p⊗q + q⊗p) is asked for, not of p⊗p and q⊗q.",
            ),
            (2 * plain, "That is 2·JSD(p, q): a pair is not two samples that are judged one by one."),
        )
    got = fn(jnp.asarray(p), jnp.asarray(q))
    if np.size(got) == 1 and not np.isfinite(np.asarray(got, float)).all() and not (a * b).all():
        raise Mistake(
            "It is not finite where a density is 0: 0·log 0 counts as 0. `jnp.where(joint > 0, joint * jnp.log(...), 0)` with "
            "a logarithm that stays finite, or `jax.scipy.special.rel_entr`."
        )
    judge(got, right, *mistakes, inputs={"p": p, "q": q})


def _kl(a, b):
    """Σ a log(a/b); 0 log 0 is 0."""
    return float(np.sum(np.where(a > 0, a * np.log(np.where(a > 0, a, 1) / np.where(b > 0, b, 1)), 0)))


@define(
    "12.pair_jsd",
    difficulty=3,
    minutes=12,
    check=check_pair_jsd,
    hints=(
        "D sees a real and a fake sample and has to say which is which: a choice between two joint densities on pairs, "
        "p(x)·q(y) and q(x)·p(y). For such a choice notebook 01 has the value.",
        "`jnp.outer(p, q)` is p⊗q, its transpose q⊗p. JSD is half of KL(p⊗q ‖ m) plus half of KL(q⊗p ‖ m), m the mean of both.",
        "The two halves are equal, by symmetry: `rel_entr(joint, (joint + joint.T) / 2).sum()`, with `rel_entr` from "
        "jax.scipy.special, which knows that 0·log 0 is 0.",
    ),
)
def pair_jsd(p, q):
    """JSD(p⊗q, q⊗p) in nats, for probabilities p and q (n,) of n places; 0·log 0 counts as 0."""
    joint = jnp.outer(p, q)
    return jax.scipy.special.rel_entr(joint, (joint + joint.T) / 2).sum()


# --- 12.dirac_eigenvalues -------------------------------------------------------------------------------------------


def pair(half, inside):
    """−half ± √inside, complex."""
    root = np.sqrt(complex(inside))
    return np.array([-half - root, -half + root])


def tidy(values):
    """In order; real parts that are equal but for rounding stay equal."""
    return np.sort_complex(np.asarray(values).round(5) + 0.0)


def check_dirac_eigenvalues(fn):
    """Against the eigenvalues of the Jacobian matrix, on both sides of the critical γ."""
    for s, one, two in (
        (0.5, 0.0, 0.0),
        (0.5, 0.2, 0.4),
        (0.5, 0.6, 0.6),
        (0.2, 0.3, 0.5),
        (1.0, 0.0, 1.0),
        (0.5, 3, 0),
    ):
        total, s = float(one + two), float(s)
        right = pair(total / 2, total**2 / 4 - s**2)
        got = fn(s, one, two)
        try:
            found = np.asarray(got, complex)
        except (TypeError, ValueError):
            same(got, right, what="pair of eigenvalues")  # says what it is instead
            raise
        if found.shape != (2,):
            raise Mistake(f"There are two eigenvalues, as an array (2,); got shape {np.shape(got)}.")
        inputs = {"s": s, "r1": one, "r2": two}
        if not np.isfinite(found).all():
            raise Mistake(
                "The eigenvalues are not finite. A square root of a number below 0 is NaN among real numbers: make it complex "
                "first, `jnp.sqrt(x + 0j)`."
            )
        found, right = tidy(found), tidy(right)
        suspects = (
            (
                pair(total / 2, total**2 / 4 - s),
                "The square at s is missing, as in the paper's printed equation 12. Units tell: γ² and s² can be subtracted, γ² "
                "and s cannot.",
            ),
            (
                pair(total / 2, total**2 / 4 + s**2),
                "The sign under the root is turned: without γ the two players circle.",
            ),
            (-right, "The signs are turned: friction makes real parts negative."),
            (
                pair(total, total**2 - s**2),
                "Twice the friction. A penalty of γ/2·ψ² has the slope γψ: R1 and R2 together give (γ₁ + γ₂)ψ.",
            ),
            (pair(total / 4, total**2 / 16 - s**2), "Half the friction: the slope of γ/2·ψ² is γψ, not γψ/2."),
            (pair(total / 2, total**2 - 4 * s**2), "The ½ before the root is missing: −Γ/2 ± ½√(Γ² − 4s²)."),
            (
                pair(one / 2, one**2 / 4 - s**2),
                "R2 is missing. At θ = 0 it has the same slope as R1, and the two add up.",
            ),
            (
                pair(two / 2, two**2 / 4 - s**2),
                "R1 is missing. At θ = 0 it has the same slope as R2, and the two add up.",
            ),
            (
                pair(one * two / 2, (one * two) ** 2 / 4 - s**2),
                "You multiply the two γ. Both terms push ψ back, so they add up.",
            ),
        )
        for value, message in suspects:
            value = tidy(value)
            if np.allclose(found, value, atol=1e-3) and not np.allclose(value, right, atol=1e-3):
                raise Mistake(message)
        if np.allclose(found, right.real, atol=1e-3) and not np.allclose(right.imag, 0):
            raise Mistake("Only the real parts are there: below the critical γ the eigenvalues are complex.")
        if any(np.allclose(found, one, atol=1e-3) for one in right) and not np.allclose(*right):
            raise Mistake("That is one of the two eigenvalues twice: the root comes with both signs, ±.")
        same(found, right, inputs=inputs, rtol=1e-3, atol=1e-3, what="pair of eigenvalues")


@define(
    "12.dirac_eigenvalues",
    difficulty=2,
    minutes=8,
    check=check_dirac_eigenvalues,
    hints=(
        "Near (0, 0): θ' = −sψ and ψ' = sθ − (slope of the penalties in ψ). Write both as one matrix.",
        "The gradient of D in x is ψ at every x, at reals and at fakes alike. So R1 = R2 = ψ², and the penalties "
        "γ₁/2·ψ² + γ₂/2·ψ² have the slope (γ₁ + γ₂)ψ.",
        "The matrix is [[0, −s], [s, −(r1 + r2)]]. `jnp.linalg.eigvals` of it, or −Γ/2 ± √(Γ²/4 − s²) with Γ = r1 + r2 and the "
        "root of a complex number.",
    ),
)
def dirac_eigenvalues(s, r1, r2):
    """The two eigenvalues, complex (2,), of the Dirac-GAN with f'(0) = s and the penalties r1/2·R1 + r2/2·R2, at (0, 0)."""
    half = (r1 + r2) / 2
    root = jnp.sqrt(half**2 - s**2 + 0j)
    return jnp.stack([-half - root, -half + root])


# --- 12.who_pays ----------------------------------------------------------------------------------------------------


def _players():
    """A generator and a critic of few numbers, with curvature, so that every wrong gradient differs."""

    def generator(g, z):
        return jnp.tanh(z @ g["w"]) + g["b"]

    def critic(d, x):
        return jnp.tanh(x @ d["w"]) @ d["v"]

    return generator, critic


def check_who_pays(fn):
    """Both players' gradients against those of losses written apart; recognised by the wrong losses."""
    for seed, gamma in enumerate((1.0, 0.7)):
        _try_players(fn, seed, gamma)


def _try_players(fn, seed, gamma):
    generator, critic = _players()
    g = {"w": numbers(seed, 2, 3), "b": numbers(seed + 1, 3)}
    d = {"w": numbers(seed + 2, 3, 4), "v": 2 * numbers(seed + 3, 4)}
    z, real = numbers(seed + 4, 6, 2), numbers(seed + 5, 6, 3)
    got = fn(generator, critic, g, d, z, real, gamma)  # first: what follows takes longer than an endless loop is given
    fake = generator(g, z)
    slope = lambda d, x: jnp.square(jax.grad(lambda x: critic(d, x).sum())(x)).sum(1).mean()

    def d_loss(d, x, one=gamma / 2, two=gamma / 2, slope=slope):
        return softplus(critic(d, x) - critic(d, real)).mean() + one * slope(d, real) + two * slope(d, x)

    def g_loss(g, two=0.0):
        x = generator(g, z)
        return softplus(critic(d, real) - critic(d, x)).mean() + two * slope(d, x)

    of_d = lambda **weights: jax.grad(lambda d: d_loss(d, fake, **weights))(d)
    of_g = lambda **weights: jax.grad(lambda g: g_loss(g, **weights))(g)
    zero = jax.tree.map(jnp.zeros_like, g)
    plain = jax.grad(lambda g: softplus(-critic(d, generator(g, z))).mean())(g)
    n, width = real.shape
    scaled = lambda times: of_d(one=gamma / 2 * times, two=gamma / 2 * times)
    norm = lambda d, x: jnp.linalg.norm(jax.grad(lambda x: critic(d, x).sum())(x), axis=1).mean()
    wgan_gp = lambda d, x: jnp.mean((jnp.linalg.norm(jax.grad(lambda x: critic(d, x).sum())(x), axis=1) - 1) ** 2)
    plain_d = lambda d: softplus(-critic(d, real)).mean() + softplus(critic(d, fake)).mean()
    penalties = lambda d: gamma / 2 * (slope(d, real) + slope(d, fake))
    back = jax.grad(lambda g: d_loss(d, generator(g, z), 0.0, 0.0))(g)  # D's loss without penalties
    right = of_d(), of_g()
    mistakes = (
        (
            (right[0], of_g(two=gamma / 2)),
            "R2 trains G here. It is a term of D's loss alone: fakes are where D is measured, and G never tries to make D "
            "flat (R3GAN, issue 12).",
        ),
        (
            (scaled(1 / n**2), right[1]),
            f"Your slope is that of the *mean* logit, which counts each sample 1/{n}: squared, the penalty is 1/{n}² of what it "
            "should be. Differentiate the sum.",
        ),
        ((scaled(n), right[1]), "The penalties are sums over the batch; R1 and R2 are means."),
        (
            (scaled(1 / width), right[1]),
            "You average over a sample's entries, too. ‖slope‖² is their sum; average samples.",
        ),
        (
            (of_d(slope=wgan_gp), right[1]),
            "That pulls the slope's length to 1, as WGAN-GP does. R1 and R2 pull it to 0.",
        ),
        (
            (jax.grad(lambda d: plain_d(d) + penalties(d))(d), right[1]),
            "D's loss is the plain one; pairing takes the softplus of the gap.",
        ),
        ((of_d(slope=norm), right[1]), "The length of the slope is not squared in your penalties."),
        (
            (right[0], jax.tree.map(jnp.negative, back)),
            "G gets the gradient of minus D's loss, the zero-sum form, which fades where D is sure. It descends on the turned "
            "softplus.",
        ),
        ((right[0], back), "G minimises what D minimises: then nobody is an adversary."),
        ((right[0], zero), "No gradient reaches G: a stop_gradient around its fakes belongs in D's loss, not in G's."),
        ((of_d(two=0.0), right[1]), "R2 is missing in D's loss."),
        ((of_d(one=0.0), right[1]), "R1 is missing in D's loss."),
        ((of_d(one=0.0, two=0.0), right[1]), "Both penalties are missing in D's loss."),
        ((of_d(one=gamma, two=gamma), right[1]), "Twice the penalties: γ/2 times R1 plus R2."),
        ((of_d(one=gamma / 4, two=gamma / 4), right[1]), "Half the penalties: γ/2·(R1 + R2), not the mean of both."),
        (
            (of_d(one=gamma / 2 * 2, two=0.0), right[1]),
            "R2 is taken at real samples: it is R1 a second time. R2 looks at the fakes.",
        ),
        ((of_d(one=0.0, two=gamma), right[1]), "R1 is taken at fakes: it is R2 a second time. R1 looks at the reals."),
        (
            (jax.tree.map(jnp.negative, right[0]), right[1]),
            "D's gradient is turned. Both players descend on their own loss.",
        ),
        ((right[0], plain), "G's loss is the plain one. The real logit belongs inside the softplus."),
        (
            (right[0], jax.tree.map(jnp.negative, jax.grad(lambda g: d_loss(d, generator(g, z)))(g))),
            "G ascends D's whole loss, penalties included. It has its own: the turned softplus, and no penalty.",
        ),
        (
            (right[0], jax.grad(lambda g: d_loss(d, generator(g, z)))(g)),
            "G gets the gradient of D's loss: it would help D. And R2 would train it.",
        ),
        (right[::-1], "The order is (for D, for G)."),
    )
    got = tuple(got) if isinstance(got, list) else got
    recognise(got, *mistakes, right=right)
    inputs = {"z": z, "real": real, "gamma": gamma}
    same(got, right, inputs=inputs, rtol=1e-3, atol=1e-5, what="gradient")


@define(
    "12.who_pays",
    difficulty=2,
    minutes=10,
    check=check_who_pays,
    hints=(
        "Write two losses, one of d and one of g. Which of R1 and R2 stands in which?",
        "In D's loss the fakes are data: `fake = generator(g, z)` once, outside. No stop_gradient is needed there, since only "
        "d is differentiated. In G's loss they are made inside.",
        "`slopes = jax.grad(lambda x: critic(d, x).sum())(x)`; R is `(slopes**2).sum(axis=1).mean()`. D: softplus(fake − real) "
        "+ γ/2·(R at real + R at fake). G: softplus(real − fake), nothing else. `jax.grad` of each.",
    ),
)
def who_pays(generator, critic, g, d, z, real, gamma):
    """(gradient for D, gradient for G) of one step of pairing with gamma/2·(R1 + R2).

    generator(g, z): fakes (B, n); critic(d, x): logits (B,). real: (B, n). g, d: the weights, pytrees.
    """
    fake = generator(g, z)

    def squared_slope(d, x):
        slopes = jax.grad(lambda x: critic(d, x).sum())(x)
        return (slopes**2).sum(axis=1).mean()

    def d_loss(d):
        gap = critic(d, real) - critic(d, fake)
        return softplus(-gap).mean() + gamma / 2 * (squared_slope(d, real) + squared_slope(d, fake))

    def g_loss(g):
        return softplus(critic(d, real) - critic(d, generator(g, z))).mean()

    return jax.grad(d_loss)(d), jax.grad(g_loss)(g)


# --- 12.gamma_for ---------------------------------------------------------------------------------------------------


def check_gamma_for(fn):
    """Closed form, and the best slope found again by bisection in the γ that came back."""
    for slope, distance in ((0.3, 5.0), (2.0, 0.4), (0.7, 1.3), (1.0, 1.0), (4.0, 1.5)):
        sigma = lambda t: 1 / (1 + np.exp(t))
        gain = distance * sigma(slope * distance)
        right = gain / (2 * slope)
        judge(
            fn(slope, distance),
            right,
            (
                2 * right,
                "Twice too much: there are two penalties, R1 and R2, each γ/2·ψ², together γψ² with the slope 2γψ.",
            ),
            (right / 2, "Half of it: γ/2·(ψ² + ψ²) is γψ², whose slope is 2γψ, not 4γψ."),
            (
                sigma(slope * distance) / (2 * slope),
                "The inner derivative is missing: the logit gap is ψ·d, so softplus(−ψd) has the slope −d·σ(−ψd) in ψ.",
            ),
            (
                distance * (1 - sigma(slope * distance)) / (2 * slope),
                "σ(+ψd) where σ(−ψd) belongs: the push on D fades, not grows, as the gap becomes clear.",
            ),
            (
                np.log1p(np.exp(-slope * distance)) / slope**2,
                "You set the loss equal to the penalty. At the best slope their *derivatives* cancel.",
            ),
            (1 / slope**2, "That is γ for a slope of a given size without looking at the loss that pushes it."),
            (gain, "That is how hard the loss pushes. Divide by what γ is multiplied with: 2ψ."),
            (
                distance * sigma(slope * distance / 2) / (2 * slope),
                "That is the balance for the plain loss with its two halves; a pair sees the whole gap ψ·d at once.",
            ),
            (-right, "The sign is lost: γ is positive."),
            (
                distance / (2 * slope),
                "The loss is a softplus: its slope is −d·σ(−ψd), not −d. The push fades as the gap grows.",
            ),
            (
                distance * np.log1p(np.exp(-slope * distance)) / (2 * slope),
                "The softplus itself stands where its derivative belongs, σ(−ψd).",
            ),
            (1 / right, "That is upside down: 2γψ = d·σ(−ψd), solved for γ."),
            (gain / 2 * slope, "`/ 2 * slope` multiplies by slope: put the divisor in brackets, `/ (2 * slope)`."),
            (right / slope, "The penalty's slope is missing: γψ² rises by 2γψ, not by 2γψ²."),
            (
                slope * sigma(slope * distance) / (2 * distance),
                "slope and distance are exchanged.",
            ),
            inputs={"slope": slope, "distance": distance},
        )


@define(
    "12.gamma_for",
    difficulty=3,
    minutes=12,
    check=check_gamma_for,
    hints=(
        "Write D's whole loss as a function of the one number ψ. At the slope where D rests, its derivative is 0.",
        "The loss is softplus(−ψd) + γ/2·(ψ² + ψ²). Its derivative is −d·σ(−ψd) + 2γψ.",
        "Solve for γ: `distance * sigmoid(-slope * distance) / (2 * slope)`.",
    ),
)
def gamma_for(slope, distance):
    """The γ at which D(x) = ψ·x, trained by pairing with γ/2·(R1 + R2), rests at ψ = slope.

    All real samples lie `distance` above all fakes.
    """
    return distance * jax.nn.sigmoid(-slope * distance) / (2 * slope)


# --- 12.branch_grads ------------------------------------------------------------------------------------------------


def check_branch_grads(fn):
    """Against differentiation, with the last layer at zero and elsewhere."""
    for seed, (n, width, hidden) in enumerate([(3, 5, 4), (7, 3, 2), (4, 3, 3)]):
        x, up = numbers(seed, n, width), numbers(seed + 2, n, width)
        for size, scale in ((1.0, 1.0), (1.0, 0.0), (0.0, 0.0)):  # at last both at zero, as in the notebook
            first, last = size * numbers(seed + 1, width, hidden), scale * numbers(seed + 3, hidden, width)
            h = np.asarray(x, float) @ np.asarray(first, float)
            act, gate = np.where(h > 0, h, 0.2 * h), np.where(h > 0, 1, 0.2)
            u, v, a = np.asarray(up, float), np.asarray(last, float), np.asarray(x, float)
            back = u @ v.T
            right = a.T @ (gate * back), act.T @ u
            inputs = {"x": x, "first": first, "last": last, "up": up}
            zero = tuple(np.zeros_like(r) for r in right)
            gated = lambda s, h=h, a=a, u=u, back=back: (
                a.T @ (np.where(h > 0, 1, s) * back),
                np.where(h > 0, h, s * h).T @ u,
            )
            got = fn(x, first, last, up)
            if not size and any(np.isnan(g).any() for g in jax.tree.leaves(got)):
                raise Mistake(
                    'It is NaN where x·first is 0, as in the notebook\'s row "both at zero": act(h)/h is 0/0 there. Choose the '
                    "slope with `jnp.where`."
                )
            judge(
                got,
                right,
                (
                    zero,
                    "You say nothing moves. The *last* kernel's gradient is (what comes into it)ᵀ·up, and what comes into it is "
                    "not zero.",
                ),
                (
                    (right[0], zero[1]),
                    "The last kernel's gradient is not 0: it is act(x·first)ᵀ·up, whatever the kernel's own value.",
                ),
                (right[::-1], "The order is (for first, for last)."),
                (
                    (a.T @ back, right[1]),
                    "The slope of the leaky ReLU is missing on the way back to `first`: 1 above 0, 0.2 below.",
                ),
                ((right[0], h.T @ u), "What comes into the last layer is act(x·first), not x·first."),
                (
                    tuple(r / n for r in right),
                    f"You take a mean over the batch of {n}. `up` has that factor already: sum over the batch.",
                ),
                (
                    (a.T @ (gate * back) + a.sum(), right[1]),
                    "The way around the branch has no weights, so it adds nothing to their gradients.",
                ),
                ((a.T @ (act * back), right[1]), "On the way back stands the slope of act, not its value."),
                *[
                    (wrong, f"Below 0 act has the slope 0.2; yours has {slope:g}.")
                    for slope in (0.0, 0.01)
                    for wrong in (gated(slope), (gated(slope)[0], right[1]))
                ],
                (
                    (a.T @ np.where(back > 0, back, 0.2 * back), right[1]),
                    "The slope of act goes by the sign of x·first, on the way forth; yours by the sign of what comes back.",
                ),
                (
                    (right[0], (gate * act).T @ u),
                    "act's slope does not belong in the gradient of `last`: that is act(x·first)ᵀ·up.",
                ),
                inputs=inputs,
                what="gradients",
            )


@define(
    "12.branch_grads",
    difficulty=2,
    minutes=8,
    check=check_branch_grads,
    hints=(
        "A matrix's gradient is (what comes in)ᵀ · (what comes back from above). Write both for each of the two matrices.",
        "Into `last` comes h = act(x·first), and `up` comes back. To `first` comes back up·lastᵀ, times the slope of act: 1 "
        "where x·first > 0, else 0.2.",
        "`before = x @ first`, `gate = jnp.where(before > 0, 1, 0.2)`: `(x.T @ (gate * (up @ last.T)), (gate * before).T @ up)`.",
    ),
)
def branch_grads(x, first, last, up):
    """(gradient of first, gradient of last) for y = x + act(x @ first) @ last, act a leaky ReLU with slope 0.2.

    x: (B, width). first: (width, hidden), last: (hidden, width). up: ∂loss/∂y, (B, width).
    """
    before = x @ first
    gate = jnp.where(before > 0, 1.0, 0.2)
    return x.T @ (gate * (up @ last.T)), (gate * before).T @ up
