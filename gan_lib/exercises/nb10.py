"""Notebook 10, VAE and GAN: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import jitted, no_loop
from gan_lib.exercises.cases import recognised
from gan_lib.exercises.compare import close, recognise


def numbers(seed, *shape):
    """Random numbers of that shape, as JAX holds them."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


# --- 10.three_losses ------------------------------------------------------------------------------------------------


def divergence(p, q):
    return np.sum(np.where(p > 0, p * (np.log(np.where(p > 0, p, 1)) - np.log(q)), 0))


def check_three_losses(fn):
    """Three numbers, each against sums over places."""
    names = "distance", "forward KL", "reverse KL"
    cases, right = [], []
    for seed, n in enumerate((4, 6, 9)):
        rng = np.random.default_rng(seed)
        p, q = (np.float32(part / part.sum()) for part in rng.uniform(0.05, 1, (2, n)))
        x = np.float32(np.sort(rng.normal(size=n)))
        cases.append(tuple(map(jnp.asarray, (p, q, x))))
        p, q, x = (part.astype(float) for part in (p, q, x))
        square = (p[:, None] * q * (x[:, None] - x) ** 2).sum()
        right.append((square, divergence(p, q), divergence(q, p)))
    for case, expected in zip(cases, right, strict=True):
        got = fn(*case)
        p, q, x = (np.asarray(part, float) for part in case)
        inputs = dict(zip("pqx", case, strict=True))
        if not isinstance(got, tuple | list) or len(got) != 3:
            same(got, tuple(np.float32(value) for value in expected), inputs=inputs)
        square, forward, reverse = expected
        others = {
            1: (reverse, "The two KLs are exchanged: in the first the expectation is over the data, p·log(p/q)."),
            2: (forward, "The two KLs are exchanged: in the second the expectation is over the samples, q·log(q/p)."),
        }
        variances = p @ (x - p @ x) ** 2 + q @ (x - q @ x) ** 2
        recognise(
            got[0],
            (
                ((p - q) @ x) ** 2,
                "You compare the two means. The distance is between a data point and a sample, on average over both.",
            ),
            (
                ((p - q) ** 2).sum(),
                "You square the difference of the probabilities. The distance is between places, (x − x′)².",
            ),
            (
                ((x[:, None] - x) ** 2).mean(),
                "All pairs of places count alike in your distance: weigh a pair by p(x)·q(x′).",
            ),
            ((p[:, None] * q * abs(x[:, None] - x)).sum(), "The distance is squared: (x − x′)²."),
            (
                square / len(x) ** 2,
                "The distance is a sum over pairs of places, no mean: the probabilities are the weights.",
            ),
            ((p + q) @ x**2, "The cross term is missing: E (x − x′)² = E x² − 2·E x·E x′ + E x′²."),
            (variances, "You add up the two variances; that the means are apart counts, too."),
            (
                (((p - q) * x) ** 2).sum(),
                "You compare p and q place by place. A data point and a sample are drawn apart: a sum over all pairs of places.",
            ),
            right=square,
        )
        for i, (value, words) in others.items():
            if np.shape(got[i]) == () and close(got[i], value) and not close(value, expected[i]):
                raise Mistake(words)
        for i, (first, second) in {1: (p, q), 2: (q, p)}.items():
            recognise(
                got[i],
                (-expected[i], f"The sign of the {names[i]} is lost: a KL is at least 0."),
                (
                    -(first * np.log(second)).sum(),
                    f"That is the cross-entropy; the {names[i]} is less the entropy, Σ p·log p.",
                ),
                ((first * np.log(second)).sum(), f"The {names[i]} has a ratio in the logarithm."),
                (expected[i] / np.log(2), f"The {names[i]} is in bits: take the natural logarithm."),
                (
                    np.log(first / second).mean(),
                    f"The {names[i]} weighs each logarithm by the probability it is averaged over.",
                ),
                (
                    np.log(first / second).sum(),
                    f"The {names[i]} weighs each logarithm by the probability it is averaged over.",
                ),
                (
                    expected[i] / len(x),
                    f"The {names[i]} is a sum over the places, no mean: the probabilities are the weights.",
                ),
                right=expected[i],
            )
        for name, value, wanted in zip(names, got, expected, strict=True):
            if name != "distance" and np.shape(value) == () and 1e-3 < abs(value / wanted - 1) < 0.05:
                raise Mistake(
                    f"The {name} is nearly right, {value:.4f} instead of {wanted:.4f}: is there an ε or a clip in a logarithm? "
                    "All of p and q are above 0."
                )
            same(value, np.float32(wanted), inputs=inputs, rtol=1e-3, atol=1e-5, what=name)
    p, q, x = cases[0]
    rows = jnp.stack([q, q[::-1]])
    where = "the notebook maps it over thousands of q with vmap and jit"
    mapped = jitted(jax.vmap(fn, in_axes=(None, 0, None)), p, rows, x, where=where)
    same([part[0] for part in mapped], [np.float32(value) for value in right[0]], rtol=1e-3, atol=1e-5)
    program = jax.make_jaxpr(lambda *case: tuple(fn(*case)))(*jnp.ones((3, 24)))
    if str(program).count("\n") > 24**2:  # a loop over the places alone still compiles in seconds
        raise Mistake(
            "Right, but your Python loop goes over all pairs of places, and of 161 places there are 25,921: JAX writes out every "
            "round, and the notebook would compile for minutes. Compute with arrays (n, n): `x[:, None] - x`."
        )


@define(
    "10.three_losses",
    difficulty=3,
    minutes=15,
    check=check_three_losses,
    hints=(
        "All three are sums over places, weighted by probabilities. In the first a data point x has weight p, a sample x′ "
        "weight q, drawn independently: a double sum.",
        "Σ Σ p(x) q(x′) (x − x′)², which is also E x² − 2·E x·E x′ + E x′²; Σ p·log(p/q); Σ q·log(q/p).",
        "`p @ (x[:, None] - x) ** 2 @ q`, `(p * jnp.log(p / q)).sum()`, `(q * jnp.log(q / p)).sum()`.",
    ),
)
def three_losses(p, q, x):
    """Three scalars. p, q: probabilities of places x, all (n,), > 0.

    Mean squared distance of a data point and a sample, drawn apart from
    each other; KL(p ‖ q); KL(q ‖ p).
    """
    distance = p @ (x[:, None] - x) ** 2 @ q
    forward = (p * jnp.log(p / q)).sum()
    reverse = (q * jnp.log(q / p)).sum()
    return distance, forward, reverse


# --- 10.kl ----------------------------------------------------------------------------------------------------------


def kl_of(m, v):
    """In float64: mean and log-variance of each latent."""
    return 0.5 * (m**2 + np.exp(v) - 1 - v)


def check_kl(fn):
    """Closed forms, the sum over latents, and what else a log-variance is taken for."""
    cases = [(numbers(s, n, d), 0.7 * numbers(s + 10, n, d)) for s, (n, d) in enumerate([(3, 2), (4, 5), (6, 16)])]
    plain = [(np.asarray(m, float), np.asarray(v, float)) for m, v in cases]
    right = [np.float32(kl_of(m, v).sum(1)) for m, v in plain]
    wrong = {
        "The sign is lost: a KL is at least 0.": lambda m, v: -kl_of(m, v).sum(1),
        "The sign of the log-variance's own term is lost: ½ Σ (μ² + σ² − 1 − log σ²).": lambda m, v: (
            0.5 * (m**2 + np.exp(v) - 1 + v)
        ).sum(1),
        "A mean over the latents where a sum belongs: the KL of independent latents adds up.": lambda m, v: kl_of(
            m, v
        ).mean(1),
        "One number for each latent: sum over the latents, the last axis.": lambda m, v: kl_of(m, v),
        "You average over the batch. One number for each sample is asked for; the loss averages later.": lambda m, v: (
            kl_of(m, v).sum(1).mean()
        ),
        "You sum over the batch, and keep the latents apart. Sum over the latents.": lambda m, v: kl_of(m, v).sum(0),
        "The half is missing.": lambda m, v: 2 * kl_of(m, v).sum(1),
        "You take the log-variance for the variance σ² itself; the variance is exp(log_variance).": lambda m, v: (
            0.5 * (m**2 + v - 1 - np.log(np.abs(v)))
        ).sum(1),
        "You take the log-variance for the logarithm of the deviation: log σ = log_variance / 2.": lambda m, v: (
            0.5 * (m**2 + np.exp(2 * v) - 1 - 2 * v)
        ).sum(1),
        "You take the log-variance for the deviation σ itself; σ² is exp(log_variance).": lambda m, v: (
            0.5 * (m**2 + v**2 - 1 - np.log(v**2))
        ).sum(1),
        "σ² = exp(log_variance), and you take exp(log_variance / 2), which is σ.": lambda m, v: (
            0.5 * (m**2 + np.exp(v / 2) - 1 - v)
        ).sum(1),
        "The −1 is missing, so the KL of the prior itself is not 0.": lambda m, v: (0.5 * (m**2 + np.exp(v) - v)).sum(
            1
        ),
        "The −1 belongs to every latent; you subtract it once.": lambda m, v: kl_of(m, v).sum(1) + (m.shape[1] - 1) / 2,
        "The mean is missing: μ² is what holds the codes near 0.": lambda m, v: kl_of(0, v).sum(1),
        "That is the other direction, KL(N(0, I) ‖ q). Here the expectation is over q.": lambda m, v: (
            0.5 * ((1 + m**2) * np.exp(-v) - 1 + v)
        ).sum(1),
    }
    got = recognised(fn, cases, right, {words: on_float64(other) for words, other in wrong.items()})
    for value, (m, v), expected in zip(got, cases, right, strict=True):
        same(value, expected, inputs={"mean": m, "log_variance": v}, rtol=1e-4, atol=1e-5)
    m = jnp.zeros((1, 16)).at[0, 1].set(3)
    v = jnp.full((1, 16), -9.0).at[0, :2].set(jnp.array([-20, 5]))  # the product of so many small variances is 0
    extreme = np.float32(kl_of(np.asarray(m, float), np.asarray(v, float)).sum(1))
    same(fn(m, v), extreme, inputs={"mean": m, "log_variance": v}, rtol=1e-4, what="KL of narrow ones and a wide one")
    for mean in (m, 0 * m):  # all 0: the slope of a norm is NaN there
        slopes = jax.grad(lambda m, v: fn(m, v).sum(), argnums=(0, 1))
        of_mean, of_log = jitted(slopes, mean, v, where="the training step runs it inside jit and grad")
        inputs = {"mean": mean, "log_variance": v}
        same(of_mean, mean, inputs=inputs, rtol=1e-4, what="gradient in the mean")
        same(of_log, 0.5 * (jnp.exp(v) - 1), inputs=inputs, rtol=1e-4, what="gradient in the log-variance")
    no_loop(fn, (16,), (16,), where="the notebook compiles it in `judge`", n=2000)


def on_float64(other):
    """A wrong answer in NumPy, as one that may go wrong in silence."""

    def run(*arrays):
        with np.errstate(all="ignore"):
            return other(*(np.asarray(x, float) for x in arrays))

    return run


@define(
    "10.kl",
    difficulty=2,
    minutes=10,
    check=check_kl,
    hints=(
        "For one latent, E_q[log q(z) − log p(z)] with log q(z) = −½ log 2πσ² − (z − μ)²/2σ². The 2π goes, and "
        "E_q(z − μ)² is σ², E_q z² is μ² + σ².",
        "½ (μ² + σ² − 1 − log σ²) for each latent; independent latents add up. σ² is exp(log_variance).",
        "`0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance)`, then `.sum(axis=1)`.",
    ),
)
def kl(mean, log_variance):
    """KL(N(mean, diag exp(log_variance)) ‖ N(0, I)), in nats.

    (B, d), (B, d) -> (B,), one number for each sample.
    """
    each = mean**2 + jnp.exp(log_variance) - 1 - log_variance
    return each.sum(axis=1) / 2


# --- 10.reparametrise -----------------------------------------------------------------------------------------------


def check_reparametrise(fn):
    """By many draws: mean, deviation, independence; by gradients, that they flow; by keys."""
    n, d = 4000, 3
    row_mean, row_log = jnp.array([1.0, -2.0, 0.5]), jnp.array([-2.0, 0.0, 1.2])
    mean, log_variance = jnp.broadcast_to(row_mean, (n, d)), jnp.broadcast_to(row_log, (n, d))
    key, inputs = jax.random.key(3), {"key": jax.random.key(3), "mean": row_mean, "log_variance": row_log}
    got = fn(key, mean, log_variance)
    if np.shape(got) != (n, d) or not np.isfinite(np.asarray(got, float)).all():
        same(got, np.zeros((n, d), np.float32), inputs=inputs)
    noise = np.asarray(got, float) - np.asarray(mean)
    spread, wanted = noise.std(0), np.exp(np.asarray(row_log, float) / 2)
    if (abs(np.asarray(got)) < 1e-6 * n).all() or (spread < 1e-6).all():
        if (abs(noise) < 1e-6).all():
            raise Mistake(
                "You return the mean: there is no noise. Without it this is an autoencoder, and the KL means nothing."
            )
        raise Mistake(
            "All samples of the batch get the same noise. Draw noise of the shape of the mean, (B, d): one for each sample."
        )
    if (np.ptp(noise / wanted, axis=1) < 1e-4).all():
        raise Mistake("All latents of a sample get the same noise. Draw noise of the shape of the mean, (B, d).")
    variance = np.exp(np.asarray(row_log, float))
    for value, words in (
        (variance, "The deviation is exp(log_variance) in yours, which is the variance: σ = exp(log_variance / 2)."),
        (np.asarray(row_log, float), "You multiply the noise by the log-variance itself: σ = exp(log_variance / 2)."),
        (np.ones(d), "The noise has deviation 1 for every latent: multiply it by σ = exp(log_variance / 2)."),
        (1 / wanted, "The sign of the log-variance is lost: your deviation is 1/σ."),
        (np.sqrt(wanted), "σ = exp(log_variance / 2); yours is its square root."),
    ):
        if np.allclose(spread, abs(value), rtol=0.06) and not np.allclose(spread, wanted, rtol=0.06):
            raise Mistake(words)
    if np.allclose(noise.mean(0), (wanted - 1) * row_mean, atol=0.1):
        raise Mistake("You stretch the mean, too: mean + σ·noise is asked for, not σ·(mean + noise).")
    if abs(noise.mean(0) / np.maximum(spread, wanted)).max() > 0.1:
        positive = ": is it uniform noise, or the absolute value of normal noise, all positive?"
        why = positive if noise.min() >= 0 else "."
        raise Mistake(f"The mean of your samples is off by {noise.mean(0).round(2)}{why} N(0, I) is asked for.")
    if abs(noise.mean(0) / wanted).max() < 1e-4:
        raise Mistake(
            "The noise of the batch adds up to 0: its mean is taken off, or it comes in pairs ±ε. So samples depend on each "
            "other, and a single one gets no noise. Draw each on its own."
        )
    if (ends := (abs(noise).max(0) / np.maximum(spread, 1e-9)).max()) < 3:
        raise Mistake(f"The noise is not normal: it ends at {ends:.1f} deviations. Take `jax.random.normal`.")
    if not np.allclose(spread, wanted, rtol=0.06):
        raise Mistake(f"Your samples have deviations {spread.round(2)}, expected {wanted.round(2)}.")
    unit = noise / wanted
    if abs((unit**4).mean() - 3) > 0.6:
        raise Mistake("Mean and deviation are right, but the noise is not normal: `jax.random.normal`.")
    if abs(np.corrcoef(unit.T) - np.eye(d)).max() > 0.1 or np.unique(unit.round(5)).size < 0.9 * unit.size:
        raise Mistake("The noise of different latents or samples goes together. Draw (B, d) numbers on their own.")
    if np.array_equal(got, fn(jax.random.key(4), mean, log_variance)):
        raise Mistake("Two different keys give the same samples. Draw from the `key` that comes in.")
    if not np.array_equal(got, fn(key, mean, log_variance)):
        raise Mistake("The same key gives different samples. Draw from `key` alone.")
    few, logs = numbers(1, 5, d), numbers(2, 5, d)

    def total(m, v):
        return jnp.sum(jnp.sin(fn(key, m, v)))

    where = "the loss is differentiated through it, inside jit"
    z = np.asarray(fn(key, few, logs), float)
    of_mean, of_log = jitted(jax.grad(total, argnums=(0, 1)), few, logs, where=where)
    if not np.asarray(of_mean).any() and not np.asarray(of_log).any():
        raise Mistake("The samples are right, but no gradient reaches mean and log-variance: is there a stop_gradient?")
    same(of_mean, np.float32(np.cos(z)), inputs=inputs, rtol=1e-3, atol=1e-4, what="gradient in the mean")
    same(
        of_log,
        np.float32(np.cos(z) * (z - np.asarray(few)) / 2),
        inputs=inputs,
        rtol=1e-3,
        atol=1e-4,
        what="gradient in the log-variance",
    )


@define(
    "10.reparametrise",
    difficulty=1,
    minutes=5,
    check=check_reparametrise,
    hints=(
        "Noise that depends on nothing, then shifted and stretched: so the sample is a function of mean and deviation.",
        "One number of noise for each sample and each latent; the deviation is exp(log_variance / 2).",
        "`mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape)`.",
    ),
)
def reparametrise(key, mean, log_variance):
    """Samples z (B, d) of N(mean, diag exp(log_variance)), (B, d) both.

    Gradients reach mean and log_variance.
    """
    noise = jax.random.normal(key, mean.shape)
    return mean + jnp.exp(log_variance / 2) * noise


# --- 10.loss --------------------------------------------------------------------------------------------------------


def sigma(s):
    return 1 / (1 + np.exp(-s))


def entropy(x, s):
    """Cross-entropy of each pixel, by logits, in float64."""
    return np.logaddexp(0, s) - x * s


def by_chance(x, p):
    return -(x * np.log(p) + (1 - x) * np.log(1 - p))


def pixels(terms):
    return terms.reshape(len(terms), -1).sum(1)


def check_loss(fn):
    """Each way to average wrongly, sigmoids too many, signs; logits at which a log of a sigmoid ends."""
    cases, right = [], []
    for seed, (n, h, d) in enumerate([(3, 2, 2), (4, 3, 5), (6, 4, 3)]):
        rng = np.random.default_rng(seed)
        x = jnp.asarray(rng.uniform(0, 1, (n, h, h + 1, 1)), jnp.float32)
        cases.append((x, 1.5 * numbers(seed, *x.shape), numbers(seed + 10, n, d), 0.7 * numbers(seed + 20, n, d)))
        x, s, m, v = (np.asarray(part, float) for part in cases[-1])
        right.append(np.float32(pixels(entropy(x, s)).mean() + kl_of(m, v).sum(1).mean()))
    wrong = {
        "The reconstruction is a mean over the pixels, and the KL a sum over the latents: of 784 pixels that makes the KL 784 "
        "times too strong, and the codes collapse.": lambda x, s, m, v: (
            entropy(x, s).mean() + kl_of(m, v).sum(1).mean()
        ),
        "The KL is divided by the number of pixels, the reconstruction is a sum over them: the KL is 784 times too weak for "
        "a digit.": lambda x, s, m, v: pixels(entropy(x, s)).mean() + kl_of(m, v).sum(1).mean() / x[0].size,
        "The KL is a mean over the latents beside a sum over the pixels. Both are sums.": lambda x, s, m, v: (
            pixels(entropy(x, s)).mean() + kl_of(m, v).mean()
        ),
        "Both terms are means over a sample's entries. In nats for an image both are sums.": lambda x, s, m, v: (
            entropy(x, s).mean() + kl_of(m, v).mean()
        ),
        "You sum over the batch; average over it.": lambda x, s, m, v: entropy(x, s).sum() + kl_of(m, v).sum(),
        "The reconstruction is summed over the batch, too; average over it.": lambda x, s, m, v: (
            entropy(x, s).sum() + kl_of(m, v).sum(1).mean()
        ),
        "The KL is summed over the batch; average over it.": lambda x, s, m, v: (
            pixels(entropy(x, s)).mean() + kl_of(m, v).sum()
        ),
        "A sigmoid twice: your cross-entropy takes logits, and gets probabilities. σ(σ(s)) lies between 0.5 and 0.73, so no "
        "paper is ever white.": lambda x, s, m, v: pixels(entropy(x, sigma(s))).mean() + kl_of(m, v).sum(1).mean(),
        "The sign of the KL is lost: this loss falls as codes run away from the prior.": lambda x, s, m, v: (
            pixels(entropy(x, s)).mean() - kl_of(m, v).sum(1).mean()
        ),
        "The sign of the reconstruction is lost: this loss falls as pixels become wrong.": lambda x, s, m, v: (
            -pixels(entropy(x, s)).mean() + kl_of(m, v).sum(1).mean()
        ),
        "That is the bound itself. A loss goes down: return minus the bound.": lambda x, s, m, v: (
            -pixels(entropy(x, s)).mean() - kl_of(m, v).sum(1).mean()
        ),
        "The KL is missing: an autoencoder, from which nothing can be drawn.": lambda x, s, m, v: pixels(
            entropy(x, s)
        ).mean(),
        "The reconstruction is missing.": lambda x, s, m, v: kl_of(m, v).sum(1).mean(),
        "The term of the paper is missing, (1 − x)·log(1 − p): all ink would cost nothing.": lambda x, s, m, v: (
            pixels(x * np.logaddexp(0, -s)).mean() + kl_of(m, v).sum(1).mean()
        ),
        "A squared error is no log-probability of a toss, which is x·log p + (1 − x)·log(1 − p).": lambda x, s, m, v: (
            pixels((x - sigma(s)) ** 2).mean() + kl_of(m, v).sum(1).mean()
        ),
        "Image and logits are exchanged: the logarithm is of what the decoder says.": lambda x, s, m, v: (
            pixels(by_chance(sigma(s), np.clip(x, 1e-12, 1 - 1e-12))).mean() + kl_of(m, v).sum(1).mean()
        ),
        "Image and logits are exchanged: softplus is of what the decoder says.": lambda x, s, m, v: (
            pixels(entropy(s, x)).mean() + kl_of(m, v).sum(1).mean()
        ),
        "Of the axes of an image you sum over the first alone, and average over the others: sum over all.": lambda x, s, m, v: (
            entropy(x, s).sum(1).mean() + kl_of(m, v).sum(1).mean()
        ),
        "x holds chances in [0, 1] already, no pixels in [−1, 1].": lambda x, s, m, v: (
            pixels(entropy((x + 1) / 2, s)).mean() + kl_of(m, v).sum(1).mean()
        ),
        "You round x to ink or paper. It is the chance of ink: grey counts partly.": lambda x, s, m, v: (
            pixels(entropy(np.round(x), s)).mean() + kl_of(m, v).sum(1).mean()
        ),
        "The logits go into a logarithm as if they were probabilities: log σ(s) = −softplus(−s).": lambda x, s, m, v: (
            pixels(by_chance(x, s)).mean() + kl_of(m, v).sum(1).mean()
        ),
    }
    got = recognised(fn, cases, right, {words: on_float64(other) for words, other in wrong.items()})
    for value, (x, s, m, v), expected in zip(got, cases, right, strict=True):
        inputs = {"x": x, "logits": s, "mean": m, "log_variance": v}
        same(value, expected, inputs=inputs, rtol=1e-4, atol=1e-4, what="loss")
    s = jnp.array([-200.0, -40, -3, 0, 3, 20, 40, 200]).reshape(1, 2, 4, 1)
    x, m, v = jnp.array([0.0, 1, 0.5, 0.2, 1, 0, 0, 0.5]).reshape(s.shape), jnp.zeros((1, 2)), jnp.zeros((1, 2))
    expected = np.float32(entropy(np.asarray(x, float), np.asarray(s, float)).sum())
    value = float(fn(x, s, m, v))
    if not np.isfinite(value) or abs(value - expected) > 1e-3 * expected:
        raise Mistake(
            f"Right for small logits, but {value:.4g} instead of {expected:.4g} for logits up to ±200: a σ that rounds to 0 "
            "or 1, or an ε or a clip in the log. Use softplus: −log p(x) = softplus(s) − x·s."
        )
    slope = jitted(jax.grad(lambda s: fn(x, s, m, v)), s, where="the training step runs it inside jit and grad")
    wanted = np.float32(sigma(np.asarray(s, float)) - np.asarray(x))
    off = ~np.isclose(slope, wanted, rtol=1e-3, atol=1e-4)
    if off.any() and not off[s != 0].any():
        raise Mistake(
            f"At a logit of exactly 0 your gradient is {slope[off][0]:.2g} instead of {wanted[off][0]:.2g}: `abs`, `maximum` "
            "or `relu` has a kink there. A decoder whose last layer starts at zero has all its logits there. "
            "softplus(s) − x·s has none."
        )
    same(slope, wanted, inputs={"x": x, "logits": s}, rtol=1e-3, atol=1e-4, what="gradient in the logits")
    x, s, m, v = cases[0]
    of_mean, of_log = jax.grad(lambda m, v: fn(x, s, m, v), argnums=(0, 1))(m, v)
    same(of_mean, m / len(m), rtol=1e-3, what="gradient in the mean")
    same(of_log, 0.5 * jnp.expm1(v) / len(m), rtol=1e-3, atol=1e-5, what="gradient in the log-variance")


@define(
    "10.loss",
    difficulty=2,
    minutes=10,
    check=check_loss,
    hints=(
        "Minus the bound of one image: minus the log-probability of all its pixels, plus the KL of all its latents. Both are "
        "sums. Then a mean over the batch.",
        "A pixel that is ink with chance x costs −x·log σ(s) − (1 − x)·log σ(−s), which is softplus(s) − x·s.",
        "`(softplus(logits) - x * logits).reshape(len(x), -1).sum(axis=1)`, plus the KL of exercise 10.1, `.mean()` of both.",
    ),
)
def loss(x, logits, mean, log_variance):
    """Minus the bound, in nats an image, averaged over the batch.

    x: chances of ink in [0, 1], (B, ...); logits: of the same shape.
    mean, log_variance: of q(z|x), (B, d). Result: a scalar.
    """
    pixels = (softplus(logits) - x * logits).reshape(len(x), -1)
    latents = (mean**2 + jnp.exp(log_variance) - 1 - log_variance) / 2
    return (pixels.sum(axis=1) + latents.sum(axis=1)).mean()


# --- 10.one_loss ----------------------------------------------------------------------------------------------------


def players(seed, d=2, width=3):
    """Weights of an encoder, a decoder and a discriminator of points, and functions that run them."""
    e, g, c = 0.7 * numbers(seed, 2, 2 * d), 0.7 * numbers(seed + 1, d, 2), 0.7 * numbers(seed + 2, 2, width)

    def encoder(e, x):
        code = jnp.tanh(x @ e)
        return code[:, :d], code[:, d:]

    def decoder(g, z):
        return jnp.sin(z @ g)

    def discriminator(x):
        seen = jnp.tanh(x @ c)
        return seen.sum(axis=1), seen

    return e, g, encoder, decoder, discriminator


def check_one_loss(fn):
    """The value stays; of the gradients, the encoder's loses the GAN's part alone, and the decoder's none."""
    for seed in (0, 7):
        e, g, encoder, decoder, discriminator = players(seed)
        x, noise = numbers(seed + 3, 6, 2), numbers(seed + 4, 6, 2)

        def terms(e, g, of_mean=lambda m: m, of_log=lambda v: v):
            """of_mean, of_log: what is done to either before D's image is decoded."""
            mean, log_variance = encoder(e, x)  # noqa: B023
            rebuilt = decoder(g, mean + jnp.exp(log_variance / 2) * noise)  # noqa: B023
            (_, a), (_, b) = discriminator(x), discriminator(rebuilt)  # noqa: B023
            z = of_mean(mean) + jnp.exp(of_log(log_variance) / 2) * noise  # noqa: B023
            logits, _ = discriminator(decoder(g, z))  # noqa: B023
            kl = 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(1).mean()
            return kl, 0.5 * ((a - b) ** 2).sum(1).mean(), softplus(-logits).mean()

        def slopes(*kept, **stops):
            """Gradients of some of the terms: (in e, in g)."""
            return jax.grad(lambda e, g: sum(terms(e, g, **stops)[i] for i in kept), argnums=(0, 1))(e, g)  # noqa: B023

        def theirs(e, g):
            return fn(lambda x: encoder(e, x), lambda z: decoder(g, z), discriminator, x, noise)  # noqa: B023

        value, parts = theirs(e, g), [float(part) for part in terms(e, g)]
        drawn = softplus(-discriminator(decoder(g, noise))[0]).mean()
        recognise(
            value,
            (sum(parts[:2]) + drawn, "D judges the rebuilt image, not one decoded from the noise alone."),
            (sum(parts[:2]), "The GAN's term is missing from the value. It stays, for the decoder's sake."),
            (parts[0] + parts[2], "The likeness is missing from the value."),
            (parts[1] + parts[2], "The KL is missing from the value."),
            right=sum(parts),
        )
        inputs = {"x": x, "noise": noise}
        same(value, np.float32(sum(parts)), inputs=inputs, rtol=1e-4, what="loss")
        of_e, of_g = jitted(
            jax.grad(theirs, argnums=(0, 1)), e, g, where="its gradient moves encoder and decoder, inside jit"
        )
        right_e, right_g = slopes(0, 1)[0], slopes(1, 2)[1]
        if close(of_e, right_e) and close(of_g, right_g):
            continue
        if close(of_e, slopes(0, 1, 2)[0]) and close(of_g, right_g):
            raise Mistake("Nothing is stopped: the encoder still learns to fool D, by codes whose images D likes.")
        if close(of_g, slopes(1)[1]):
            raise Mistake(
                "The decoder gets nothing from the GAN any more: you stop the gradient at the image, or behind it. Stop it "
                "before the decoder, at the latents that the judged image is decoded from."
            )
        if close(of_g, slopes(2)[1]) or close(of_g, 0 * of_g):
            raise Mistake(
                "The likeness no longer moves the decoder: you stop the image that is compared, or its features. Stop nothing "
                "but the latents that the judged image is decoded from."
            )
        if close(of_e, slopes(0)[0]):
            raise Mistake(
                "The encoder learns from the KL alone: you stop z for the likeness as well. Decode twice, from z for the "
                "likeness and from a stopped z for D."
            )
        if close(of_e, slopes(0, 2)[0]):
            raise Mistake(
                "You stop the likeness, which the encoder needs, and keep the GAN's term, which it must not have."
            )
        if close(of_e, slopes(1)[0]) or close(of_e, 0 * of_e) or close(of_e, slopes(1, 2)[0]):
            raise Mistake("The KL no longer reaches the encoder: only what D judges is decoded from a stopped code.")
        stop = jax.lax.stop_gradient
        for still, stops in (("log-variance", {"of_mean": stop}), ("mean", {"of_log": stop})):
            if close(of_e, slopes(0, 1, 2, **stops)[0]):
                raise Mistake(
                    f"Fooling D still moves the encoder, through the {still}. Stop all of z, not a part of it."
                )
        same(of_e, right_e, inputs=inputs, rtol=1e-3, atol=1e-5, what="gradient in the encoder's weights")
        same(of_g, right_g, inputs=inputs, rtol=1e-3, atol=1e-5, what="gradient in the decoder's weights")


@define(
    "10.one_loss",
    difficulty=2,
    minutes=10,
    check=check_one_loss,
    hints=(
        "The value stays as it is. Follow the way back from D's logit: image, decoder, z, encoder. Where must it end, so that "
        "the decoder still gets its part?",
        "`jax.lax.stop_gradient(z)` is z going forwards, and no way back. The likeness still needs the way through z.",
        "Decode twice: `decoder(z)` for the likeness, `decoder(jax.lax.stop_gradient(z))` for the logit that is to fool D.",
    ),
)
def one_loss(encoder, decoder, discriminator, x, noise):
    """KL + likeness + fooling D: a scalar.

    Its gradient in the encoder's weights has no part of fooling D.
    encoder: x -> (mean, log_variance), (B, d) each. decoder: z -> samples.
    discriminator: samples -> (logits (B,), what its layer sees (B, F)).
    noise: (B, d).
    """
    mean, log_variance = encoder(x)
    z = mean + jnp.exp(log_variance / 2) * noise
    (_, real), (_, seen) = discriminator(x), discriminator(decoder(z))
    logits, _ = discriminator(decoder(jax.lax.stop_gradient(z)))
    each = (mean**2 + jnp.exp(log_variance) - 1 - log_variance) / 2
    likeness = ((real - seen) ** 2).sum(axis=1) / 2
    return (each.sum(axis=1) + likeness + softplus(-logits)).mean()
