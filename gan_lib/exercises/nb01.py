"""Notebook 01, the minimax objective: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, sigmoid, softplus

from gan_lib.exercises import Mistake, define, same


def recognise(got, *suspects):
    """Raise the message of the first (value, message) in `suspects` that `got` equals: a mistake seen before."""
    for value, message in suspects:
        try:
            is_it = np.shape(got) == np.shape(value) and np.allclose(np.asarray(got, float), value, rtol=1e-4, atol=1e-6)
        except (TypeError, ValueError):
            return
        if is_it:
            raise Mistake(message)


def pair(got, first, second):
    """The two entries of `got`, or a Mistake that says what was to be returned."""
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Mistake(f"Return two things, `{first}, {second}`; you return {type(got).__name__}.")
    return got


# --- 01.optimal_discriminator ---------------------------------------------------------------------------------------


def check_optimal_discriminator(fn):
    """Random densities of random shapes, zeros included, against p/(p+q)."""
    rng = np.random.default_rng(0)
    for shape in [(7,), (2, 5), (1,)]:
        p, q = rng.gamma(1.0, size=shape), rng.gamma(1.0, size=shape)
        got = fn(p, q)
        recognise(
            got,
            (q / (p + q), "You return q/(p+q): the probability that x is fake. D says how likely x is *real*."),
            (p / q, "You return p/q. That is the odds D/(1−D), and it grows without bound; D itself is a probability."),
            (np.log(p / q), "You return log p/q: the *logit* of D*. A sigmoid turns it into D*."),
            (p / (p + q) / 2, "You return half of p/(p+q). Where only p has density, D* must be 1."),
            ((p + q) / 2, "You return the mixture (p+q)/2, a density. D* is the share of p in it."),
            (sigmoid(p - q), "You return σ(p−q). The logit of D* is the difference of *logs*, log p − log q."),
            ((p > q).astype(float), "You return a verdict, 0 or 1. The best D says how sure it can be: the share of p at x."),
        )
        same(got, p / (p + q), inputs={"p": p, "q": q}, atol=1e-6)
    p, q = np.array([0.0, 0.7, 1e-30]), np.array([0.4, 0.0, 1e-30])
    same(fn(p, q), np.array([0.0, 1.0, 0.5]), inputs={"p": p, "q": q}, atol=1e-6)


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
    """D*(x) from the densities p(x), q(x) at the same points: the probability that x is real. Same shape as p."""
    return p / (p + q)


# --- 01.value -------------------------------------------------------------------------------------------------------


def check_value(fn):
    """Random logits, as many real as fake and not; then logits so large that a sigmoid rounds to 0 or 1."""
    rng = np.random.default_rng(1)
    for n_real, n_fake in [(6, 6), (4, 9), (1, 3)]:
        real, fake = (jnp.asarray(rng.normal(0, 2, n), jnp.float32) for n in (n_real, n_fake))
        on_real, on_fake = -softplus(-real), -softplus(fake)
        expected = on_real.mean() + on_fake.mean()
        got = fn(real, fake)
        suspects = [
            (-expected, "You return −V: the loss D minimises. V is what D maximises, and never above 0."),
            (
                -softplus(real).mean() - softplus(-fake).mean(),
                "Your labels are swapped: log(1−D) on the real samples, log D on the fakes. "
                "Then D is rewarded for being wrong.",
            ),
            (
                on_real.mean() - softplus(-fake).mean(),
                "Your second term is E[log D(G(z))]. V has E[log(1−D(G(z)))]: D gains by *rejecting* fakes.",
            ),
            (expected / 2, "You average the two halves. V is their sum: −2 log 2 where D cannot tell, not −log 2."),
            (on_real.mean(), "The term on the fakes is missing: a D that calls everything real would win."),
            (on_fake.mean(), "The term on the real samples is missing: a D that calls everything fake would win."),
            (on_real.mean() - on_fake.mean(), "You subtract the fake half. Both halves are gains of D: add them."),
        ]
        if n_real * n_fake > 1:
            suspects += [
                (on_real.sum() + on_fake.sum(), "You sum over the batch. E is a mean, or V grows with the batch size."),
                (
                    (on_real.sum() + on_fake.sum()) / (n_real + n_fake),
                    "You take one mean over both batches together. V is a mean over the real plus a mean over the fake.",
                ),
            ]
        if n_real == n_fake:
            suspects += [(on_real + on_fake, "You return one number a sample: the means are missing.")]
        recognise(got, *suspects)
        if np.shape(got) == () and np.isnan(np.asarray(got, float)):
            raise Mistake("You take the log of a logit, which may be negative. D = σ(logit) is the probability.")
        same(got, expected, inputs={"real_logits": real, "fake_logits": fake}, atol=1e-4)
    real, fake = jnp.array([-200.0, 3.0]), jnp.array([150.0, -2.0])
    got, expected = fn(real, fake), log_sigmoid(real).mean() + log_sigmoid(-fake).mean()
    inputs = {"real_logits": real, "fake_logits": fake}
    if not np.isfinite(got):
        raise Mistake(
            f"Right for small logits, but {float(got)} for {inputs}: σ rounds to 0 or 1 and its log is −inf. "
            "Use log σ(s) = −softplus(−s) and log(1−σ(s)) = −softplus(s)."
        )
    if got > expected + 1:
        raise Mistake(
            f"Right for small logits, but {float(got):.1f} instead of {float(expected):.1f} for {inputs}. "
            "A clip or an epsilon inside the log hides the −inf, and the gradient with it. "
            "Use log σ(s) = −softplus(−s) and log(1−σ(s)) = −softplus(s)."
        )
    same(got, expected, inputs=inputs, atol=1e-3)


@define(
    "01.value",
    difficulty=2,
    minutes=6,
    check=check_value,
    hints=(
        "Write both terms with D = σ(s) first: log σ(s) on real logits, log(1 − σ(s)) on fake ones. A mean each, then add.",
        "σ(−200) is 0 in float32, and log 0 = −inf. Rewrite log σ(s) = log 1/(1+e^−s) = −log(1+e^−s); "
        "log(1+e^x) is softplus(x), which never overflows.",
        "log σ(s) = −softplus(−s). And 1 − σ(s) = σ(−s), so log(1 − σ(s)) = −softplus(s).",
    ),
)
def value(real_logits, fake_logits):
    """V(D, G) = E[log D(x)] + E[log(1 − D(G(z)))] from logits (B,), (M,); a scalar ≤ 0, finite for any logits."""
    return -softplus(-real_logits).mean() - softplus(fake_logits).mean()


# --- 01.jsd ---------------------------------------------------------------------------------------------------------


def check_jsd(fn):
    """Random densities against the definition; two boxes shifted by a, where JSD = a·log 2; symmetry; zero at p = q."""
    rng = np.random.default_rng(2)
    for n in (50, 301):
        dx = 8.0 / n
        p, q = (density / (density.sum() * dx) for density in rng.gamma(2.0, size=(2, n)))
        m = (p + q) / 2
        kl_p, kl_q = dx * np.sum(p * np.log(p / m)), dx * np.sum(q * np.log(q / m))
        expected = (kl_p + kl_q) / 2
        got = fn(p, q, dx)
        recognise(
            got,
            (kl_p + kl_q, "The ½ is missing: JSD is the *mean* of the two divergences, at most log 2."),
            (expected / np.log(2), "You measure in bits (log base 2). Here every log is natural: the maximum is log 2."),
            (expected / dx, "dx is missing: a sum over grid points is not yet an integral."),
            (np.sqrt(max(expected, 0)), "You return the square root: that is the Jensen–Shannon *distance*."),
            (
                expected - np.log(2),
                "You compare with p+q, which integrates to 2. The mixture is m = (p+q)/2; JSD is never negative.",
            ),
            (kl_p, "This is KL(p‖m) alone. JSD takes the mean with KL(q‖m), which makes it symmetric."),
            (kl_p / 2, "This is half of KL(p‖m); the half with q is missing."),
            (dx * np.sum(p * np.log(p / q)), "This is KL(p‖q), infinite where q = 0. JSD compares each with the mixture."),
            (
                dx * np.sum((p - q) * np.log(p / q)) / 2,
                "This is the mean of KL(p‖q) and KL(q‖p). JSD compares each with the mixture m, not with the other.",
            ),
        )
        same(got, expected, inputs={"p": p, "q": q, "dx": dx}, atol=1e-5)
    x = np.arange(400) * 0.01
    for shift in (0.0, 0.25, 1.0, 2.5):
        p, q = ((x >= left - 1e-9) & (x < left + 1 - 1e-9) for left in (0.0, shift))
        p, q, expected = p.astype(float), q.astype(float), min(shift, 1.0) * np.log(2)
        for got in (fn(p, q, 0.01), fn(q, p, 0.01)):
            if np.shape(got) == () and not np.isfinite(got):
                raise Mistake(
                    f"Right for positive densities, but {float(got)} where one of them is 0: 0·log 0 is NaN in floating "
                    f"point and 0 in the integral. (Two boxes of width 1, {shift} apart: the answer is {expected:.4f}.)"
                )
            same(got, expected, inputs={"p": f"a box on [0, 1)", "q": f"a box on [{shift}, {shift + 1})"}, atol=1e-5)


@define(
    "01.jsd",
    difficulty=2,
    minutes=8,
    check=check_jsd,
    hints=(
        "Write a small kl(a, b) = ∫ a·log(a/b) first. JSD(p, q) is the mean of kl(p, m) and kl(q, m), with m = (p+q)/2.",
        "Where a = 0 the integrand is 0, but 0·log 0 gives NaN. Put a harmless number inside the log there: "
        "np.where(a > 0, a / b, 1). b = m is never 0 where a > 0.",
        "np.where evaluates both branches, so divide by np.where(a > 0, b, 1). Then: "
        "kl = np.sum(a * np.log(np.where(a > 0, a, 1) / np.where(a > 0, b, 1))) * dx.",
    ),
)
def jsd(p, q, dx):
    """Jensen–Shannon divergence, natural log, of densities (N,) on a grid of spacing dx; p or q may be 0 somewhere."""

    def kl(a, b):
        return np.sum(a * np.log(np.where(a > 0, a, 1) / np.where(a > 0, b, 1))) * dx

    m = (p + q) / 2
    return (kl(p, m) + kl(q, m)) / 2


# --- 01.generator_losses --------------------------------------------------------------------------------------------


def check_generator_losses(fn):
    """Values, and gradients against −σ(s)/B and −(1−σ(s))/B, for random logits; finite where σ rounds to 0 or 1."""
    rng = np.random.default_rng(3)
    for n in (5, 1, 12):
        s = jnp.asarray(rng.normal(0, 2, n), jnp.float32)
        saturating, non_saturating = -softplus(s).mean(), softplus(-s).mean()
        first, second = pair(fn(s), "saturating", "non_saturating")
        if np.allclose(first, non_saturating, atol=1e-5) and np.allclose(second, saturating, atol=1e-5):
            raise Mistake("Right, in the wrong order: return saturating, non_saturating.")
        recognise(
            first,
            (-saturating, "The sign of your saturating loss is turned. G minimises E[log(1−D(G(z)))], which is ≤ 0."),
            (-non_saturating, "Your saturating loss is E[log D(G(z))]: minimising it helps D. G's half of V has 1−D."),
            (saturating * n, "You sum over the batch in the saturating loss. E is a mean.") if n > 1 else (None, ""),
        )
        recognise(
            second,
            (-non_saturating, "The sign of your non-saturating loss is turned: minimising E[log D(G(z))] helps D reject fakes."),
            (-saturating, "Your non-saturating loss is −E[log(1−D(G(z)))]: minimising it helps D reject fakes. It needs log D."),
            (saturating, "You return the saturating loss twice. The other one is −E[log D(G(z))]."),
            (non_saturating * n, "You sum over the batch in the non-saturating loss. E is a mean.") if n > 1 else (None, ""),
        )
        same(first, saturating, inputs={"fake_logits": s}, atol=1e-4)
        same(second, non_saturating, inputs={"fake_logits": s}, atol=1e-4)
        for which, weight in ((0, -sigmoid(s) / n), (1, -(1 - sigmoid(s)) / n)):
            got = jax.grad(lambda s, which=which: fn(s)[which])(s)
            if not np.any(got):
                raise Mistake("The values are right, but no gradient reaches the logits. Is there a stop_gradient or a float()?")
            same(got, weight, inputs={"fake_logits": s, "checked": "the gradient in the logits"}, atol=1e-4)
    s = jnp.array([-200.0, 150.0])
    values = jnp.stack(fn(s))
    gradient = jax.grad(lambda s: fn(s)[1])(s)
    if not (np.all(np.isfinite(values)) and np.all(np.isfinite(gradient))):
        raise Mistake(
            "Right for small logits, but not finite for [−200, 150]: σ rounds to 0 or 1 and its log is −inf. Use softplus."
        )
    if np.abs(gradient[0]) < 0.4:
        raise Mistake(
            f"At a logit of −200 your non-saturating loss has gradient {float(gradient[0]):.2g} instead of −0.5. "
            "A clip or an epsilon inside the log removed the very gradient this loss is for. Use softplus."
        )
    same(values, jnp.stack(generator_losses(s)), inputs={"fake_logits": s}, atol=1e-2)


@define(
    "01.generator_losses",
    difficulty=2,
    minutes=5,
    check=check_generator_losses,
    hints=(
        "The saturating loss is the half of V that contains G, as it stands: E[log(1−D(G(z)))]. "
        "The other is −E[log D(G(z))]. G minimises both.",
        "The two identities of exercise 01.value do it: one softplus each.",
        "log(1−σ(s)) = −softplus(s), and −log σ(s) = softplus(−s). Take the mean of each.",
    ),
)
def generator_losses(fake_logits):
    """The saturating E[log(1 − D)] and the non-saturating −E[log D] on fake logits (B,): two scalars for G to minimise."""
    return -softplus(fake_logits).mean(), softplus(-fake_logits).mean()


# --- 01.frozen_logits -----------------------------------------------------------------------------------------------


def check_frozen_logits(fn):
    """Values, and the derivative in theta with D* held, for random Gaussian and logistic densities."""
    rng = np.random.default_rng(4)
    for n, width in [(4, 1.0), (7, 0.6), (1, 1.7)]:
        theta, z = jnp.float32(rng.normal(1, 1)), jnp.asarray(rng.normal(0, 1, n), jnp.float32)
        log_p = lambda x, w=width: -jnp.logaddexp(x / w, -x / w)  # noqa: E731
        log_q = lambda x, t, w=width: -0.5 * ((x - t) / w) ** 2  # noqa: E731
        x, inputs = theta + z, {"theta": theta, "z": z}
        expected, got = log_p(x) - log_q(x, theta), fn(theta, z, log_p, log_q)
        recognise(
            got,
            (-expected, "You return log q/p. The logit of D* is log p/q, positive where x looks real."),
            (sigmoid(expected), "You return D*, a probability. Here its logit is wanted: leave the sigmoid out."),
            (log_p(z) - log_q(z, theta), "You evaluate at z. The fakes are G(z) = theta + z."),
            (log_p(x) - log_q(x, 0.0), "You leave theta out of q: that is the best D against a generator at 0."),
        )
        same(got, expected, inputs=inputs, atol=1e-4)
        slope = lambda f, t=theta: jax.jacfwd(f)(t)  # noqa: E731
        got = slope(lambda t: fn(t, z, log_p, log_q))  # noqa: B023
        expected = slope(lambda t: log_p(t + z) - log_q(t + z, theta))  # noqa: B023
        recognise(
            got,
            (
                slope(lambda t: log_p(t + z) - log_q(t + z, t)),  # noqa: B023
                "The values are right, but D* moves along with theta when you differentiate. "
                "In G's step D is frozen: cut the theta that goes into q with jax.lax.stop_gradient.",
            ),
            (
                jnp.zeros(n),
                "The values are right, but no gradient reaches theta. You cut too much: "
                "the fakes theta + z must carry the gradient, only the theta inside q is frozen.",
            ),
            (
                slope(lambda t: log_p(x) - log_q(x, t)),  # noqa: B023
                "You cut the wrong one: the gradient must flow through the fakes theta + z, not through q's own theta.",
            ),
            (
                slope(lambda t: log_p(t + z) - log_q(x, theta)),  # noqa: B023
                "You cut x inside log q as well. D* is one function of x: only the theta that *parametrises* q is frozen.",
            ),
        )
        same(got, expected, inputs={**inputs, "checked": "the derivative in theta"}, atol=1e-3)


@define(
    "01.frozen_logits",
    difficulty=3,
    minutes=8,
    check=check_frozen_logits,
    hints=(
        "Two different things depend on theta: the fakes x = theta + z, and the density q inside D*. "
        "Which one may the generator's gradient see?",
        "In G's step, D is a fixed function of x. Gradient flows through x; the theta that makes q is a constant.",
        "x = theta + z; return log_p(x) − log_q(x, jax.lax.stop_gradient(theta)).",
    ),
)
def frozen_logits(theta, z, log_p, log_q):
    """Logits (n,) of D* on the fakes theta + z, z (n,): a gradient in theta sees the fakes move and D* stand still.

    log_p(x) and log_q(x, theta) are log densities.
    """
    x = theta + z
    return log_p(x) - log_q(x, jax.lax.stop_gradient(theta))


# --- 01.repaired_losses ---------------------------------------------------------------------------------------------


def check_repaired_losses(fn):
    """Values and gradients of both losses for random D (a line), G (a shift) and batches; then large logits."""
    rng = np.random.default_rng(5)

    def generator(theta, z):
        return theta + z

    def losses(d, theta, real, z, fn=fn):
        got = pair(fn(lambda x: d[0] + d[1] * x, generator, theta, real, z), "d_loss", "g_loss")
        return jnp.asarray(got[0]), jnp.asarray(got[1])

    for n_real, n_fake in [(6, 6), (5, 8)]:
        d, real, z = (jnp.asarray(rng.normal(0, 1, n), jnp.float32) for n in (2, n_real, n_fake))
        theta = jnp.float32(rng.normal(2, 1))
        on_real, on_fake = d[0] + d[1] * real, d[0] + d[1] * (theta + z)
        inputs = {"logit": f"{d[0]:.3f} + {d[1]:.3f}·x", "theta": theta, "real": real, "z": z}
        d_loss, g_loss = losses(d, theta, real, z)
        expected = softplus(-on_real).mean() + softplus(on_fake).mean()
        fool, saturating = softplus(-on_fake).mean(), -softplus(on_fake).mean()
        recognise(
            d_loss,
            (
                -expected,
                "d_loss still has its sign lost: this is V itself, and minimising it trains D to be wrong. "
                "D minimises −E[log D(x)] − E[log(1−D(G(z)))].",
            ),
            (
                softplus(on_real).mean() + softplus(-on_fake).mean(),
                "The labels in d_loss are swapped: it rewards D for calling fakes real.",
            ),
            (fool, "Your first value is g_loss. Return d_loss, g_loss."),
        )
        same(d_loss, expected, inputs=inputs, atol=1e-4)
        recognise(
            g_loss,
            (
                softplus(-on_real).mean(),
                "g_loss looks at the real samples: theta is not in it, and no gradient reaches G. Use the fakes.",
            ),
            (-expected, "g_loss is −d_loss. If gradient flows that is the minimax loss; here −E[log D(G(z))] is asked for."),
            (-fool, "The sign of g_loss is turned: minimising E[log D(G(z))] moves G to where D rejects it."),
            (-saturating, "The sign of g_loss is turned, and it has 1−D: it moves G to where D rejects it."),
            (saturating, "g_loss is the saturating loss: it trains, but fades. Here −E[log D(G(z))] is asked for."),
        )
        same(g_loss, fool, inputs=inputs, atol=1e-4)
        got = jax.grad(lambda t: losses(d, t, real, z)[1])(theta)  # noqa: B023
        if got == 0:
            raise Mistake(
                "Both values are right, but the gradient of g_loss in theta is 0: "
                "a stop_gradient still stands between G and its loss."
            )
        same(got, -d[1] * (1 - sigmoid(on_fake)).mean(), inputs={**inputs, "checked": "∂ g_loss/∂θ"}, atol=1e-4)
        got = jax.grad(lambda d: losses(d, theta, real, z)[0])(d)  # noqa: B023
        a = (1 - sigmoid(on_real)) / n_real
        b = sigmoid(on_fake) / n_fake
        expected = jnp.stack([b.sum() - a.sum(), (b * (theta + z)).sum() - (a * real).sum()])
        same(got, expected, inputs={**inputs, "checked": "∂ d_loss/∂D"}, atol=1e-4)
    got = losses(jnp.array([0.0, -100.0]), jnp.float32(3.0), jnp.array([2.0]), jnp.zeros(1))
    if not np.all(np.isfinite(got)):
        raise Mistake(
            "Right for small logits, but not finite for logits of −200 and −300: log(σ(s)) is −inf there. Use softplus."
        )
    same(jnp.stack(got), jnp.array([200.0, 300.0]), inputs={"logits": "−200 on real, −300 on fake"}, atol=1e-2)


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
        "d_loss = mean softplus(−logit(real)) + mean softplus(logit(fake)); g_loss = mean softplus(−logit(fake)); "
        "fake = generator(theta, z), uncut: D's gradient is taken in D's own parameters anyway.",
    ),
)
def repaired_losses(logit, generator, theta, real, z):
    """(d_loss, g_loss): D's cross-entropy and G's non-saturating loss, each to be minimised by its own player.

    logit: x (n,) -> (n,). generator: theta, z (n,) -> x (n,).
    """
    fake = generator(theta, z)
    d_loss = softplus(-logit(real)).mean() + softplus(logit(fake)).mean()
    return d_loss, softplus(-logit(fake)).mean()
