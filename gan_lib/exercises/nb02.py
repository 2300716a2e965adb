"""Notebook 02, your first GAN: references, hints and checks."""

from collections import namedtuple
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid, softplus

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import jitted, no_loop
from gan_lib.exercises.cases import recognised
from gan_lib.exercises.compare import close, fit, kind_of, recognise
from gan_lib.gan import Pair

# What is expected is computed by NumPy in float64: independent of the reader's code, and nothing to compile.


def plus(x):
    """softplus, log(1 + e^x)."""
    return np.logaddexp(0, x)


def sigma(x):
    """The sigmoid 1/(1 + e^−x)."""
    return np.exp(-np.logaddexp(0, -x))


def batch(rng, *shape, spread=2.0):
    """Random numbers, as the float32 that the reader's function gets."""
    return rng.normal(0, spread, shape).astype(np.float32)


def of_any_sizes(fn, *args):
    """fn(*args); its last two arguments are batches, and a Mistake says so where they have to be of one size."""
    try:
        return fn(*args)
    except (TypeError, ValueError) as error:
        if args[-1].shape == args[-2].shape:
            raise
        raise Mistake(
            "Right where there are as many real samples as fakes, but 4 and 9 do not fit together: take a mean over each "
            "batch first, then add."
        ) from error


# --- 02.slopes ------------------------------------------------------------------------------------------------------


def check_slopes(fn):
    """Random weights and batches, as many real as fake and not; the game of two points; then `play`, as traced there."""
    rng = np.random.default_rng(1)
    for n_real, n_fake in [(6, 6), (4, 9)]:
        psi, theta = float(rng.normal(1.5, 0.3)), float(rng.normal(-1, 0.3))
        real, noise = batch(rng, n_real), batch(rng, n_fake)
        fake = theta + noise
        on_real, on_fake = -(real * sigma(-psi * real)).mean(), (fake * sigma(psi * fake)).mean()
        in_psi, in_theta = on_real + on_fake, -psi * sigma(-psi * fake).mean()
        got = of_any_sizes(fn, psi, theta, jnp.asarray(real), jnp.asarray(noise))
        if np.shape(got) == (2,) and close(tuple(got), (in_theta, in_psi)):
            raise Mistake("Right, in the wrong order: return the slope in ψ, then the slope in θ.")
        if not isinstance(got, tuple | list | np.ndarray | jax.Array) or np.ndim(got) == 0 or len(got) != 2:
            raise Mistake(f"Return two numbers, `in_psi, in_theta`; you return {kind_of(got)}.")
        recognise(
            got[0],
            *[
                (
                    sign * value,
                    "Your slope in ψ " + words + " This is the loss itself, not its slope: differentiate it.",
                )
                for sign, words in ((1, "is D's loss."), (-1, "is minus D's loss."))
                for value in (plus(-psi * real).mean() + plus(psi * fake).mean(),)
            ],
            (-in_psi, "The sign of your slope in ψ is turned: this is uphill on D's loss."),
            (on_real, "In your slope in ψ the fakes are missing: D also pays softplus(ψy) for each of them."),
            (on_fake, "In your slope in ψ the real samples are missing: D also pays softplus(−ψx) for each of them."),
            (in_psi / 2, "Your slope in ψ averages the two halves. D's loss is their sum."),
            (
                on_real - on_fake,
                "In your slope in ψ the fake half has the wrong sign: both halves are costs, add them.",
            ),
            (
                on_fake - on_real,
                "In your slope in ψ the real half has the wrong sign: softplus(−ψx) has the inner derivative −x.",
            ),
            (
                -(real * sigma(psi * real)).mean() + (fake * sigma(-psi * fake)).mean(),
                "In your slope in ψ the two σ are exchanged. softplus′ = σ, so softplus(−ψx) has the derivative "
                "−x·σ(−ψx): the sign stays inside σ too.",
            ),
            (
                -(real * sigma(psi * real)).mean() + on_fake,
                "In your slope in ψ the σ on the real samples has lost its sign: softplus(−ψx) has the derivative "
                "−x·σ(−ψx).",
            ),
            (
                on_real + (fake * sigma(-psi * fake)).mean(),
                "In your slope in ψ the σ on the fakes has a sign too many: softplus(ψy) has the derivative y·σ(ψy).",
            ),
            (
                on_real - (fake * sigma(-psi * fake)).mean(),
                "In your slope in ψ the fake half is that of G's loss, softplus(−ψy). D pays softplus(ψy) for a fake.",
            ),
            (
                (real * sigma(psi * real)).mean() - (fake * sigma(-psi * fake)).mean(),
                "In your slope in ψ the labels are swapped: D pays softplus(−ψx) for real, softplus(ψy) for fakes.",
            ),
            (
                on_real + (noise * sigma(psi * noise)).mean(),
                "Your slope in ψ takes the noise for the fakes. The fakes are y = θ + noise.",
            ),
            (
                on_real + (noise * sigma(psi * fake)).mean(),
                "In your slope in ψ the inner derivative of softplus(ψy) is y = θ + noise, not the noise alone.",
            ),
            (
                on_real + theta * sigma(psi * fake).mean(),
                "In your slope in ψ the inner derivative of softplus(ψy) is y = θ + noise, not θ alone.",
            ),
            (
                on_real + theta * sigma(psi * theta),
                "In your slope in ψ the noise is missing: the fakes are y = θ + noise.",
            ),
            *[
                (
                    -first + second,
                    "In your slope in ψ the inner derivative is missing: d(ψx)/dψ = x, one factor for each sample.",
                )
                for first in (sigma(-psi * real).mean(), -on_real)
                for second in (sigma(psi * fake).mean(), on_fake)
                if (first, second) != (-on_real, on_fake)
            ],
            (
                -(real * sigma(-psi * real)).sum() + (fake * sigma(psi * fake)).sum(),
                "Your slope in ψ sums over the batch. The losses are means.",
            ),
            *[
                (
                    a + b,
                    "Your slope in ψ takes the mean before the product or before σ. Each sample has its own factor: "
                    "mean of y·σ(ψy), one mean at the end.",
                )
                for a, b in (
                    (-real.mean() * sigma(-psi * real).mean(), fake.mean() * sigma(psi * fake).mean()),
                    (-real.mean() * sigma(-psi * real.mean()), fake.mean() * sigma(psi * fake.mean())),
                )
            ],
            (
                psi * (sigma(psi * fake).mean() - sigma(-psi * real).mean()),
                "Your slope in ψ has ψ for the inner derivative: d(ψx)/dψ = x, one factor for each sample.",
            ),
            (
                on_real + ((theta - noise) * sigma(psi * (theta - noise))).mean(),
                "Your fakes are θ − noise. They are y = θ + noise.",
            ),
            (fake.mean() - real.mean(), "Your slope in ψ has no σ: softplus′ = σ."),
            (
                np.concatenate([-real * sigma(-psi * real), fake * sigma(psi * fake)]).mean(),
                "Your slope in ψ is one mean over both batches. D's loss is a mean over the real plus one over the fakes.",
            ),
            (
                -(real * sigma(-psi * real) * sigma(psi * real)).mean()
                + (fake * sigma(psi * fake) * sigma(-psi * fake)).mean(),
                "In your slope in ψ stands σ′ = σ(1 − σ). The losses hold softplus, and softplus′ = σ.",
            ),
            right=in_psi,
        )
        recognise(
            got[1],
            (plus(-psi * fake).mean(), "Your slope in θ is G's loss itself, not its slope: differentiate it."),
            (-in_theta, "The sign of your slope in θ is turned: G would walk to where D rejects it."),
            (
                in_theta / psi,
                "In your slope in θ the inner derivative is missing: d(ψy)/dθ = ψ. A flat D gives G no direction.",
            ),
            (
                -in_theta / psi,
                "In your slope in θ the inner derivative is missing: d(−ψy)/dθ = −ψ. A flat D gives G no direction.",
            ),
            (
                -psi * sigma(psi * fake).mean(),
                "Your slope in θ is that of the saturating loss −softplus(ψy). Here G minimises softplus(−ψy).",
            ),
            (
                psi * sigma(psi * fake).mean(),
                "Your slope in θ is that of D's loss. G minimises its own, the mean of softplus(−ψy).",
            ),
            (
                -psi * sigma(-psi * real).mean(),
                "Your slope in θ looks at the real samples, which θ does not move. Use the fakes.",
            ),
            (
                in_theta - psi * sigma(-psi * real).mean(),
                "Your slope in θ looks at the real samples too, which θ does not move. Use the fakes alone.",
            ),
            (-psi * sigma(-psi * noise).mean(), "Your slope in θ takes the noise for the fakes: y = θ + noise."),
            (-psi * sigma(-psi * theta), "In your slope in θ the noise is missing: the fakes are y = θ + noise."),
            (-psi * sigma(-psi * fake.mean()), "Your slope in θ takes the mean before σ. Take it last."),
            (0.0, "Your slope in θ is 0: G would never move. θ is in every fake, y = θ + noise."),
            (in_theta * n_fake, "Your slope in θ sums over the batch. The losses are means."),
            (in_theta / 2, "Your slope in θ is half of what it should be: G's loss is one mean, over the fakes."),
            (-psi, "Your slope in θ has no σ: softplus′ = σ."),
            *[
                (
                    sign * (fake * sigma(-psi * fake)).mean(),
                    "Your slope in θ is the derivative of G's loss in ψ. Differentiate in θ: d(ψy)/dθ = ψ.",
                )
                for sign in (1, -1)
            ],
            *[
                (factor * sigma(-psi * fake).mean(), "In your slope in θ the inner derivative is d(ψy)/dθ = ψ, not θ.")
                for factor in (-theta, theta)
            ],
            (
                -psi * (noise * sigma(-psi * fake)).mean(),
                "In your slope in θ the noise is a factor too many: d(ψy)/dθ = ψ, as y = θ + noise has slope 1 in θ.",
            ),
            (
                -psi * (fake * sigma(-psi * fake)).mean(),
                "In your slope in θ the fake is a factor too many: d(ψy)/dθ = ψ, as y = θ + noise has slope 1 in θ.",
            ),
            (
                -psi * (sigma(-psi * fake) * sigma(psi * fake)).mean(),
                "In your slope in θ stands σ′ = σ(1 − σ). G's loss holds softplus, and softplus′ = σ.",
            ),
            right=in_theta,
        )
        inputs = {"psi": psi, "theta": theta, "real": real, "noise": noise}
        same(got[0], in_psi, inputs=inputs, atol=1e-4, what="slope in ψ")
        same(got[1], in_theta, inputs=inputs, atol=1e-4, what="slope in θ")
    nothing = jnp.zeros(3)
    same(tuple(fn(0.0, 1.0, nothing, nothing)), (0.5, 0.0), inputs={"psi": 0.0, "theta": 1.0, "real, noise": "all 0"})
    where = "`play` calls it inside lax.scan"
    no_loop(lambda real, noise: tuple(fn(0.8, 1.0, real, noise)), (), (), where=where, n=256)

    def moved(players, now):
        (psi, theta), (real, noise) = players, now
        psi = psi - 0.2 * fn(psi, theta, real, noise)[0]
        return (psi, theta - 0.2 * fn(psi, theta, real, noise)[1]), None

    games, (psi, theta) = batch(rng, 3, 2, 256, spread=1.0), (0.0, 1.0)
    got = jitted(lambda games: jax.lax.scan(moved, (psi, theta), games)[0], jnp.asarray(games), where=where)
    for real, noise in games:
        psi -= 0.2 * ((theta + noise) * sigma(psi * (theta + noise)) - real * sigma(-psi * real)).mean()
        theta += 0.2 * psi * sigma(-psi * (theta + noise)).mean()
    same(got, (psi, theta), atol=1e-4, what="(ψ, θ) after three steps of `play`, inside lax.scan")


@define(
    "02.slopes",
    difficulty=2,
    minutes=6,
    check=check_slopes,
    hints=(
        "softplus′ = σ. Differentiate each softplus in turn, and mind the inner derivative: "
        "d(ψx)/dψ = x and d(ψy)/dθ = ψ.",
        "D's loss has two terms with ψ in them: softplus(−ψx) gives −x·σ(−ψx), and softplus(ψy) gives y·σ(ψy). "
        "Take the mean of each. G's loss has one term.",
        "in_theta = −ψ · mean σ(−ψy), with y = theta + noise. All that is left is in_psi, as in hint 2.",
    ),
)
def slopes(psi, theta, real, noise):
    """Derivative of D's loss in psi, and of G's loss in theta.

    For real (n,) and fakes theta + noise (m,).
    """
    fake = theta + noise
    at_real, at_fake = sigmoid(-psi * real), sigmoid(psi * fake)
    in_psi = (fake * at_fake).mean() - (real * at_real).mean()
    return in_psi, -psi * sigmoid(-psi * fake).mean()


# --- 02.step --------------------------------------------------------------------------------------------------------

# The check plays a game whose every update has a closed form. G: fake = shift + scale·z. D: logit = x·w + b. The
# optimiser: momentum, m ← ½m + gradient and p ← p − m/10.


Game = namedtuple("Game", "latents generate judge d_loss g_loss descend")  # hashable, as the notebook's


class Toy:
    """The game's functions for the reader's step, and what they drew."""

    def __init__(self):
        self.drawn, self.asked = [], []  # (key's numbers, z); names of the losses
        self.game = Game(
            latents=self.latents,
            generate=lambda g, z: g["shift"] + g["scale"] * z,
            judge=lambda d, x: x @ d["w"] + d["b"],
            d_loss=lambda *both, **named: self.asked.append("d_loss") or self.d_loss(*both, **named),
            g_loss=lambda *both, **named: self.asked.append("g_loss") or self.g_loss(*both, **named),
            descend=self.descend,
        )

    @staticmethod
    def d_loss(real_logits, fake_logits):
        logits("d_loss", real_logits, fake_logits)
        return softplus(-real_logits).mean() + softplus(fake_logits).mean()

    @staticmethod
    def g_loss(real_logits, fake_logits):
        """Of the kind that compares the two, so that all arguments count."""
        logits("g_loss", real_logits, fake_logits)
        return softplus(real_logits.mean() - fake_logits).mean()

    def latents(self, key, n):
        z = jax.random.normal(key, (n, 2))
        self.drawn.append((jax.random.key_data(key), z))
        return z

    @staticmethod
    def descend(gradients, opt, params):
        opt = jax.tree.map(lambda m, gradient: 0.5 * m + gradient, opt, gradients)
        return jax.tree.map(lambda p, m: p - 0.1 * m, params, opt), opt


def logits(name, *both):
    """Raise a Mistake unless these are two batches of logits."""
    for which, x in zip(("first", "second"), both, strict=True):
        if np.ndim(x) != 1:
            raise Mistake(
                f"The {which} argument of game.{name} is {kind_of(x)}. It takes two batches of logits: first those of the "
                "real samples, game.judge(d, real), then those of the fakes."
            )


def descended(params, opt, gradients):
    """(new params, new opt) by the toy's optimiser, in float64."""
    opt = {name: 0.5 * opt[name] + gradients[name] for name in opt}
    return {name: params[name] - 0.1 * opt[name] for name in params}, opt


def fakes(g, z):
    return g["shift"] + g["scale"] * z


def scores(d, x):
    return x @ d["w"] + d["b"]


def d_slope(d, real, fake):
    """D's gradient of the cross-entropy."""
    up, down = -sigma(-scores(d, real)) / len(real), sigma(scores(d, fake)) / len(fake)
    return {"w": up @ real + down @ fake, "b": up.sum() + down.sum()}


def g_slope(d, g, z, on_real):
    """G's gradient of the toy's loss, for the logits on_real."""
    pull = (-sigma(on_real.mean() - scores(d, fakes(g, z))) / len(z))[:, None] * d["w"]
    return {"shift": pull.sum(0), "scale": (pull * z).sum(0)}


def away(d, g, z):
    """The gradient of D's loss in G's parameters."""
    push = (sigma(scores(d, fakes(g, z))) / len(z))[:, None] * d["w"]
    return {"shift": push.sum(0), "scale": (push * z).sum(0)}


def helpful(d, real, fake):
    """The gradient of G's loss in D's parameters."""
    up = sigma(scores(d, real).mean() - scores(d, fake)) / len(fake)
    return {"w": up.sum() * real.mean(0) - up @ fake, "b": np.float32(0)}


def turned(gradients, factor=-1.0):
    return {name: factor * value for name, value in gradients.items()}


def check_step(fn):
    """Updates, optimiser states and losses in closed form, under jit; the latents follow the key."""
    rng = np.random.default_rng(4)
    params = Pair(
        {"shift": batch(rng, 2, spread=1.0), "scale": 1 + batch(rng, 2, spread=0.3)},
        {"w": batch(rng, 2, spread=1.0), "b": np.float32(0.3)},
    )
    opt = jax.tree.map(lambda p: batch(rng, *np.shape(p), spread=0.3), params)
    real, key, toy = batch(rng, 7, 2, spread=1.0), jax.random.key(5), Toy()

    @partial(jax.jit, static_argnames="look")
    def run(key, look=True):
        toy.drawn.clear()
        got = fn(jax.tree.map(jnp.asarray, (params, opt)), jnp.asarray(real), key, toy.game)
        if isinstance(got, tuple | list) and len(got) == 3:
            raise Mistake("You return three things. Return two: the state, a tuple (params, opt), and the losses.")
        return tuple(got) if isinstance(got, list) else got, list(toy.drawn) if look else []

    look = True
    try:
        got, drawn = run(key)
    except jax.errors.UnexpectedTracerError:  # the reader's own jit around the draw: what it drew stays inside
        look = False
        got, drawn = run(key, look)
    if isinstance(got, tuple) and got and not isinstance(got[0], tuple):
        raise Mistake(
            f"The state you return is {kind_of(got[0])}. Return (params, opt) as it came in: a tuple of two Pairs."
        )
    fit(got, ((params, opt), {"d_loss": np.float32(0), "g_loss": np.float32(0)}))
    if not toy.asked:
        raise Mistake(
            "You call neither game.d_loss nor game.g_loss. The step takes its losses from `game`: games differ."
        )
    ((g, d), (g_opt, d_opt)), losses = got
    plain = [jax.random.normal(k, real.shape) for k in (key, *jax.random.split(key))]  # not by game.latents, perhaps
    zs = [np.asarray(z, float) for z in [*(z for _, z in drawn if z.shape == real.shape), *plain]]
    zs += [np.asarray(z, float) for _, z in drawn if z.shape != real.shape]

    def after_d(z):
        slope = d_slope(params.discriminator, real, fakes(params.generator, z))
        return descended(params.discriminator, opt.discriminator, slope)

    z_d = next((z for z in zs if close(d, after_d(z)[0])), None)
    if z_d is None:
        explain_d(d, params, opt, real, zs)
    new_d = after_d(z_d)[0]
    check_opt("D", d_opt, opt.discriminator, after_d(z_d)[1])

    def after_g(z):
        return descended(params.generator, opt.generator, g_slope(new_d, params.generator, z, scores(new_d, real)))

    z_g = next((z for z in [z_d, *zs] if close(g, after_g(z)[0])), None)
    if z_g is None:
        explain_g(g, params, opt, real, [z_d, *zs], new_d)
    check_opt("G", g_opt, opt.generator, after_g(z_g)[1])
    if any(len(z) != len(real) for z in (z_d, z_g)):
        raise Mistake("Draw as many fakes as there are real samples: z = game.latents(key, len(real)).")

    def d_loss_of(d, g, z):
        return plus(-scores(d, real)).mean() + plus(scores(d, fakes(g, z))).mean()

    def g_loss_of(d, g, z):
        return plus(scores(d, real).mean() - scores(d, fakes(g, z))).mean()

    old_d, old_g = params.discriminator, params.generator
    d_loss, g_loss = d_loss_of(old_d, old_g, z_d), g_loss_of(new_d, old_g, z_g)
    recognise(
        losses,
        (
            {"d_loss": g_loss, "g_loss": d_loss},
            "The updates are right, but the two losses are exchanged in the dict you return.",
        ),
        *[
            (
                {"d_loss": first, "g_loss": second},
                "The updates are right, but you return a loss of the players after their update. Return the two numbers "
                "that jax.value_and_grad gave.",
            )
            for first, second in product(
                (d_loss, d_loss_of(new_d, old_g, z_d), d_loss_of(new_d, g, z_d)),
                (g_loss, g_loss_of(new_d, g, z_g)),
            )
            if (first, second) != (d_loss, g_loss)
        ],
        (
            {"d_loss": d_loss, "g_loss": g_loss_of(old_d, old_g, z_g)},
            "The updates are right, but the g_loss you return is by the old D. G is judged by the new one.",
        ),
    )
    same(losses, {"d_loss": d_loss, "g_loss": g_loss}, atol=1e-4, what="losses")
    keys = {tuple(np.ravel(k)) for k, _ in drawn}
    if len(keys) > 1 and tuple(np.ravel(jax.random.key_data(key))) in keys:
        raise Mistake("One key, one use: you draw from `key` and from a key made of it. Draw once, or split first.")
    (((_, other), _), _), _ = run(jax.random.key(6), look)
    if close(other, d):
        raise Mistake("Another key gives the same latents: is there a fixed key inside? Every step needs fresh ones.")


def check_opt(player, got, old, expected):
    """The optimiser state that belongs to a player's update."""
    if close(got, old):
        raise Mistake(f"{player} has moved, but you return its old optimiser state: momentum would never build up.")
    same(got, expected, atol=1e-4, what=f"new optimiser state of {player}")


def slips(player, old, m, right):
    """(wrong update, message) for what goes wrong with game.descend for either player, whose gradient is right."""
    once, opt = descended(old, m, right)
    wrong = "game.descend takes the gradients, the optimiser state and the parameters, in this order. "
    return [
        (
            {name: old[name] - right[name] for name in old},
            f"{player}'s update is its bare gradient. Leave it to game.descend, which knows the optimiser.",
        ),
        (descended(old, right, m)[0], wrong + f"For {player} you exchange the first two."),
        (descended(m, old, right)[0], wrong + f"For {player} you exchange the last two."),
        (descended(right, m, old)[0], wrong + f"For {player} you exchange the first and the last."),
        (descended(once, opt, right)[0], f"{player} moves twice along its gradient. One step each."),
        (opt, f"As new parameters of {player} you return its optimiser state: game.descend returns parameters first."),
    ]


def explain_d(d, params, opt, real, zs):
    """Raise the Mistake in D's update, which is right for none of the latents zs."""
    old, m, g = params.discriminator, opt.discriminator, params.generator
    if close(d, old):
        raise Mistake("D has not moved: you return the parameters that came in. Return the new ones.")
    for z in zs:
        right = d_slope(old, real, fakes(g, z))
        swapped = d_slope(old, fakes(g, z), real)
        later = [descended(g, opt.generator, g_slope(old, g, other, scores(old, real)))[0] for other in zs]
        once, m_once = descended(old, m, right)
        recognise(
            d,
            *slips("D", old, m, right),
            (
                descended(once, m_once, d_slope(once, real, fakes(g, z)))[0],
                "D moves twice. One step of D, then one of G.",
            ),
            (
                descended(old, m, turned(right))[0],
                "D climbs its loss: it gets worse at its job. Descend, with game.descend.",
            ),
            (
                descended(old, m, swapped)[0],
                "D learns the labels swapped, real for fake: game.d_loss takes the logits of the real samples first.",
            ),
            (
                descended(old, m, helpful(old, real, fakes(g, z)))[0],
                "D descends G's loss, so it helps G. D's own is game.d_loss.",
            ),
            *[
                (
                    descended(old, m, d_slope(old, *halves))[0],
                    "D sees one kind of sample twice. It takes the logits of the real samples and those of the fakes.",
                )
                for halves in ((real, real), (fakes(g, z), fakes(g, z)))
            ],
            *[
                (
                    descended(old, m, {"w": score @ x, "b": score.sum()})[0],
                    f"D learns from the {whom} alone: is there a stop_gradient around the other logits?",
                )
                for whom, x, score in (
                    ("real samples", real, -sigma(-scores(old, real)) / len(real)),
                    ("fakes", fakes(g, z), sigma(scores(old, fakes(g, z))) / len(z)),
                )
            ],
            (
                descended(old, m, d_slope(old, real, z))[0],
                "D is shown the latents z in place of fakes: make those with game.generate(g, z).",
            ),
            (
                descended(old, m, turned(right, 0.0))[0],
                "The gradient of D's loss is 0: are the logits computed with the parameters you differentiate in?",
            ),
            *[
                (
                    descended(old, m, d_slope(old, real, fakes(new, other)))[0],
                    "G has moved before D: D meets the fakes of the new G. D comes first, then G against the new D.",
                )
                for new, other in product(later, zs)
            ],
        )
    same(d, descended(old, m, d_slope(old, real, fakes(g, zs[0])))[0], atol=1e-4, what="new discriminator")


def explain_g(g, params, opt, real, zs, new):
    """Raise the Mistake in G's update, which against the new D is right for none of the latents zs, D's first."""
    old, m, first, z_d = params.generator, opt.generator, params.discriminator, zs[0]
    on_real = scores(new, real)
    nothing = turned(g_slope(new, old, z_d, on_real), 0.0)
    recognise(
        g,
        (old, "G has not moved: you return the parameters that came in. Return the new ones."),
        (
            descended(old, m, nothing)[0],
            "The gradient of G's loss is 0. Make the fakes inside the function that you differentiate, from the "
            "parameters it is given, uncut by stop_gradient.",
        ),
    )
    for z in zs:
        right = g_slope(new, old, z, on_real)
        made = scores(new, fakes(old, z))
        pull = (sigma(made.mean() - on_real).mean() / len(z)) * np.ones((len(z), 1)) * new["w"]  # of g_loss(fake, real)
        recognise(
            g,
            *slips("G", old, m, right),
            (
                descended(old, m, g_slope(first, old, z, scores(first, real)))[0],
                "G's gradient comes from the old D. D moves first, and G descends against the new D.",
            ),
            (
                descended(old, m, g_slope(new, old, z, scores(first, real)))[0],
                "The real logits in G's loss come from the old D: game.g_loss compares both, so judge both by the new D.",
            ),
            (
                descended(old, m, g_slope(first, old, z, on_real))[0],
                "The fakes in G's loss are judged by the old D: G descends against the new D.",
            ),
            (
                descended(old, m, {"shift": pull.sum(0), "scale": (pull * z).sum(0)})[0],
                "G's loss gets fake and real exchanged: give game.g_loss the real logits first.",
            ),
            *[
                (
                    descended(old, m, g_slope(new, old, z, other))[0],
                    "The first argument of game.g_loss is not the logits of the real samples. Some losses compare the two: "
                    "give it game.judge(d, real).",
                )
                for other in (np.zeros(1), np.ones(1), made, scores(first, fakes(old, z)))
            ],
            *[
                (
                    descended(old, m, {"shift": slope.sum(0), "scale": (slope * z).sum(0)})[0],
                    "Both arguments of game.g_loss are the logits of the fakes. The first is game.judge(d, real).",
                )
                for weights in (sigma(made.mean() - made),)
                for slope in ((weights.mean() - weights)[:, None] / len(z) * new["w"],)
            ],
            (
                descended(old, m, turned(right))[0],
                "G climbs its loss: it learns to be caught. Descend, with game.descend.",
            ),
            *[
                (
                    descended(old, m, away(d, old, z))[0],
                    "G descends D's loss, so it learns to be caught. G's own is game.g_loss.",
                )
                for d in (first, new)
            ],
            (
                descended(*descended(old, m, away(first, old, z)), right)[0],
                "G moves twice: with D's loss too. In D's half nothing but D's parameters may change.",
            ),
        )
    same(g, descended(old, m, g_slope(new, old, z_d, on_real))[0], atol=1e-4, what="new generator")


@define(
    "02.step",
    difficulty=3,
    minutes=15,
    check=check_step,
    hints=(
        "The same five lines twice, once for each player: a function of that player's parameters alone that returns its "
        "loss; jax.value_and_grad of it; game.descend. The pretty form above has the order.",
        "D's half: def d_objective(d): return game.d_loss(game.judge(d, real), game.judge(d, fakes)). "
        "In G's half the roles change: the function takes g, makes the fakes from it, and judges with the *new* d.",
        "z = game.latents(key, len(real)). After D's half: d, d_opt = game.descend(grads, opt.discriminator, "
        "params.discriminator). G's: def g_objective(g): return game.g_loss(game.judge(d, real), "
        "game.judge(d, game.generate(g, z))). "
        'Return (Pair(g, d), Pair(g_opt, d_opt)), {"d_loss": …, "g_loss": …}.',
    ),
)
def step(state, real, key, game):
    """One update of D on real (B, ...) and B fakes, then one of G.

    Returns (state, {"d_loss", "g_loss"}); G moves against the new D.

    state: (params, opt), two Pairs. game: the functions latents, generate,
    judge, d_loss, g_loss and descend.
    """
    params, opt = state
    z = game.latents(key, len(real))
    fake = game.generate(params.generator, z)

    def d_objective(d):
        return game.d_loss(game.judge(d, real), game.judge(d, fake))

    d_loss, grads = jax.value_and_grad(d_objective)(params.discriminator)
    d, d_opt = game.descend(grads, opt.discriminator, params.discriminator)

    def g_objective(g):
        fake = game.generate(g, z)
        return game.g_loss(game.judge(d, real), game.judge(d, fake))

    g_loss, grads = jax.value_and_grad(g_objective)(params.generator)
    g, g_opt = game.descend(grads, opt.generator, params.generator)
    losses = {"d_loss": d_loss, "g_loss": g_loss}
    return (Pair(g, d), Pair(g_opt, d_opt)), losses


# --- 02.coverage ----------------------------------------------------------------------------------------------------


def counted(samples, means, std, *, radius=3.0, of=None):
    """(modes found, share of good samples) within `radius` standard deviations of the nearest mean."""
    distances = np.linalg.norm(samples[:, None] - means, axis=-1)
    good = (distances if of is None else of(distances)).min(1) <= radius * std
    return len(set(distances.argmin(1)[good])), good.mean()


def two_of(got):
    """(modes found, share) of what came back: of a tuple, a list or an array; a count may be a float."""
    if isinstance(got, np.ndarray | jax.Array) and np.shape(got) == (2,):
        got = tuple(np.asarray(got, float))
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Mistake(f"Return two numbers, the modes found and the share of good samples; you return {kind_of(got)}.")
    found, share = got
    if np.ndim(found) == 0 and np.issubdtype(np.result_type(found), np.floating) and np.mod(found, 1) == 0:
        found = int(found)
    return found, share


def drawn(rng, std, stray):
    """(samples, means) of 10 modes. With strays, 5 are missing: two far ones, one beside another, and more.

    One mode is found by a single sample.
    """
    means = rng.uniform(-3, 3, (10, 2)).round(1)
    order = rng.permutation(10)
    visited = order[:5] if stray else order
    if stray:
        means[order[[5, 6]]] *= 12
        means[order[7]] = means[order[1]] + [3.5 * std, 0]
    near = (
        means[visited[rng.integers(1, len(visited), 59)]] + rng.uniform(-1, 1, (59, 2)) * (2.5 if stray else 1.9) * std
    )
    samples = [
        means[visited[:1]] + 0.2 * std,
        near,
        means[rng.permutation(stray) % 9] / 1.2 + rng.uniform(-1.2, 1.2, (stray, 2)),
    ]
    return np.concatenate(samples).astype(np.float32), means.astype(np.float32)


def check_coverage(fn):
    """Random mixtures of many kinds; overlapping modes; samples that are all bad."""
    rng = np.random.default_rng(519)  # of many, one where no two mistakes give the same number
    for std, stray in [(0.1, 30), (0.3, 30), (0.02, 0), (1.4, 9)]:
        samples, means = drawn(rng, std, stray)
        inputs = {"samples": samples, "means": means, "std": std}
        expected = counted(samples, means, std)
        got = two_of(fn(jnp.asarray(samples), jnp.asarray(means), std))
        distances = np.linalg.norm(samples[:, None] - means, axis=-1)
        close_pairs = distances <= 3 * std
        share, nearest, good = expected[1], distances.argmin(1), distances.min(1) <= 3 * std
        boxed = np.abs(samples[:, None] - means)
        recognise(got, (expected[::-1], "Right, in the wrong order: return the modes found, then the share."))
        recognise(
            got[1],
            (100 * share, "Your share is in percent. Return a fraction, in [0, 1]."),
            (1 - share, "You return the share of bad samples: one minus the asked for."),
            (share * len(samples), "You return how many samples are good. Divide by their number: a fraction."),
            (expected[0] / len(means), "This is the share of modes found. The share of good *samples* is asked for."),
            (share * len(samples) / len(means), "You divide by the number of modes. Divide by that of the samples."),
            *[
                (
                    counted(samples, means, std, radius=radius)[1],
                    f"You count within {words}. Good is within three.",
                )
                for radius, words in (
                    (1.0, "one standard deviation"),
                    (2.0, "two standard deviations"),
                    (6.0, "six standard deviations"),
                )
            ],
            (
                counted(samples, means, std, of=lambda r: r**2)[1],
                "You compare a squared distance with 3·std. Square the right side too, or take the root.",
            ),
            (
                counted(samples, means, np.sqrt(3) * std, radius=1.0)[1],
                "You compare a squared distance with 3·std². The square of 3·std is 9·std².",
            ),
            (
                counted(samples, means, 3 * std**2, radius=1.0)[1],
                "You compare the distance with 3·std². std is the standard deviation already, not the variance.",
            ),
            (
                counted(samples, means, 9 * std**2, radius=1.0)[1],
                "You square 3·std, but not the distance.",
            ),
            (
                counted(samples, means, np.sqrt(std))[1],
                "You take the root of std. It is the standard deviation already, not the variance.",
            ),
            (
                counted(samples, means, 1.0)[1],
                "You count within a distance of 3. Good is within 3 standard deviations, 3·std.",
            ),
            (
                counted(samples, means, 1.0, radius=1.0)[1],
                "You count within a distance of 1. Good is within 3 standard deviations, 3·std.",
            ),
            ((distances.min(1) > 3 * std).sum(), "You return how many samples are bad."),
            (
                close_pairs.mean(),
                "You average over all pairs of sample and mode. A sample is good if its nearest mode is close.",
            ),
            (
                close_pairs.sum() / len(samples),
                "You count a sample once for each mode it is close to. Only the nearest counts.",
            ),
            (
                (boxed.max(-1).min(1) <= 3 * std).mean(),
                "You compare each coordinate on its own: that is a square around the mean. Take the distance.",
            ),
            (
                (boxed.sum(-1).min(1) <= 3 * std).mean(),
                "You add the two coordinates' distances. Take the root of the sum of their squares.",
            ),
            (
                (boxed.min(-1).min(1) <= 3 * std).mean(),
                "One coordinate near a mean is enough for you. Take the distance.",
            ),
            (
                (distances.max(1) <= 3 * std).mean(),
                "You take the largest distance. A sample is good if its nearest mode is close.",
            ),
            (
                (distances.mean(1) <= 3 * std).mean(),
                "You take the mean distance to all modes. A sample is good if its nearest mode is close.",
            ),
            right=share,
        )
        same(got[1], share, inputs=inputs, atol=1e-5, what="share of good samples")
        close_modes = close_pairs.any(0).sum()
        suspects = [
            (
                len(set(nearest)),
                "You let bad samples find a mode: a stray point is nearest to some mode too. Only good samples count.",
            ),
            (len(means), "You count all the modes there are. A mode is found if a good sample is nearest to it."),
            (good.sum(), "You count good samples, not modes: look along the other axis."),
            (len(means) - expected[0], "You count the modes that are missing."),
            (expected[0] / len(means), "You return the share of modes found. Return their number."),
            (
                close_modes,
                "You count every mode that is close to a good sample, but a good sample speaks for its nearest mode only.",
            ),
            (
                len(set(np.where(good, nearest, 0))),
                "You count bad samples as of mode 0. Leave them out, with a boolean index.",
            ),
            (
                len(set(np.where(good, nearest, -1))),
                "You count the bad samples as one mode more. Leave them out.",
            ),
            (
                len(set(np.where(good, nearest, -1))) - 1,
                "You count the mark of bad samples, and take one away; but where all samples are good there is no such "
                "mark. Leave the bad ones out instead, with a boolean index.",
            ),
            (
                nearest[good].max() + 1,
                "You count up to the last mode found: one in between that is missing counts, too. So it is with the length "
                "of a bincount: count its entries above 0.",
            ),
            (nearest[good].max(), "You return the number of the last mode found, not how many are found."),
            (
                (np.bincount(nearest[good], minlength=len(means)) > 1).sum(),
                "You leave out a mode that a single good sample finds. One is enough.",
            ),
        ]
        recognise(got[0], *suspects, right=expected[0])
        same(got[0], expected[0], inputs=inputs, what="number of modes")
    means = np.float32([[0, 0], [0.5, 0], [4, 0]])
    samples = np.float32([[0.1, 0], [0.2, 0], [9, 9], [0.1, 0.1]])
    got = two_of(fn(jnp.asarray(samples), jnp.asarray(means), 0.2))
    if close(got[0], 2):
        raise Mistake(
            "Two modes lie close together, all good samples are nearest to the first, and you find both: "
            "a good sample speaks for its nearest mode only."
        )
    same(got, (1, 0.75), inputs={"samples": samples, "means": means, "std": 0.2}, atol=1e-5)
    got = two_of(fn(jnp.full((5, 2), 9.0), jnp.asarray(means), 0.2))
    if got[0] == 1:
        raise Mistake("No sample is good, and you find a mode: the bad ones, or the mark you give them, count as one.")
    same(got, (0, 0.0), inputs={"samples": "all at (9, 9)"})


@define(
    "02.coverage",
    difficulty=2,
    minutes=8,
    check=check_coverage,
    hints=(
        "You need the distance of every sample to every mean: broadcasting samples[:, None] against means gives "
        "differences of shape (n, K, 2), and a norm over the last axis distances (n, K).",
        "A sample is good if the smallest of its K distances is at most 3·std. The share is the mean of that.",
        "The mode of a sample is distances.argmin(axis=1). Keep those of the good samples, with a boolean index, and "
        "count the different ones: len(set(modes.tolist())) or jnp.unique(modes).size.",
    ),
)
def coverage(samples, means, std):
    """(modes found, share of good samples): an int, a fraction in [0, 1].

    A good sample, of (n, 2), is within 3·std of the nearest of means (K, 2).
    A mode is found if it is the nearest to at least one good sample.
    """
    ways = np.asarray(samples)[:, None] - np.asarray(means)
    distances = np.linalg.norm(ways, axis=-1)
    good = distances.min(axis=1) <= 3 * std
    return len(set(distances.argmin(axis=1)[good])), good.mean()


# --- 02.by_chance ---------------------------------------------------------------------------------------------------


def check_by_chance(fn):
    """Chances of 0, of 1, small and large ones; few samples and many."""
    rng = np.random.default_rng(3)
    cases = [
        (np.array([0.2, 0.05, 0.4, 0.01]), 7),
        (np.array([0.993, *[0.001] * 7]) * 0.989, 2500),
        (np.array([0.3, 0.0, 0.1, 0.0, 0.02]), 12),
        (rng.dirichlet(np.ones(25)) * 0.9, 40),
        (np.full(8, 4e-4), 2500),
        (np.array([0.25, 0.6]), 1),
        (np.array([1.0, 0.0]), 3),
    ]
    cases = [(weights.astype(np.float32), n) for weights, n in cases]

    def expected(weights, n):
        return (1 - (1 - np.float64(weights)) ** n).sum()

    right = [expected(*case) for case in cases]
    share = "This is a share of the modes. Asked for is their number: a sum over the modes, not a mean."
    wrong = {
        "You count every mode with a chance above 0. In n samples it may still not turn up: with probability (1 − w)^n.": (
            lambda w, n: (w > 0).sum()
        ),
        "You return all modes, whatever their weights.": lambda w, n: len(w),
        "You count a mode as found where n·w samples, at least 1, are expected. That is an average: with n·w = 1 a mode is "
        "missed in 37 % of the draws, and with ½ it is found in 39 %.": lambda w, n: (n * w >= 1).sum(),
        "n·w is how many samples a mode gets on average. It is found, or not: at most 1 for each mode.": (
            lambda w, n: n * w.sum()
        ),
        "min(1, n·w) is too much: several samples may fall on one mode while others get none. What is the chance that all n "
        "miss it?": lambda w, n: np.minimum(1, n * w).sum(),
        "This is how many modes are missed. Asked for are those found.": lambda w, n: ((1 - w) ** n).sum(),
        "This is the chance that some mode is found. Asked for is how many, on average: a sum over the modes.": (
            lambda w, n: 1 - (1 - w.sum()) ** n
        ),
        "This is the chance that all modes are found. The mean number is the sum of each mode's chance; no product is "
        "needed.": lambda w, n: np.prod(1 - (1 - w) ** n),
        share: lambda w, n: (1 - (1 - w) ** n).mean(),
        "w^n is the chance that all n samples fall on the mode. It is found unless all n miss it.": (
            lambda w, n: (1 - w**n).sum()
        ),
        "w^n is the chance that all n samples fall on the mode. Found is it if at least one does.": (
            lambda w, n: (w**n).sum()
        ),
        "This is the chance of exactly one sample on the mode. One or more will do.": (
            lambda w, n: (n * w * (1 - w) ** (n - 1)).sum()
        ),
        "You return one number a mode: add them up.": lambda w, n: 1 - (1 - w) ** n,
        "e^(−n·w) is (1 − w)^n for small w only. Take the power.": lambda w, n: (1 - np.exp(-n * w)).sum(),
        "You divide the weights by their sum, as if all samples were good. The rest is bad, and finds nothing.": (
            lambda w, n: (1 - (1 - w / w.sum()) ** n).sum()
        ),
        "You take the mean weight for all modes. Each has its own chance.": (
            lambda w, n: len(w) * (1 - (1 - w.mean()) ** n)
        ),
        "2,500 samples, whatever `n` is: use the argument.": lambda w, n: (1 - (1 - w) ** 2500).sum(),
        "You count the modes that are found more likely than not. Asked for is the mean: add the chances.": (
            lambda w, n: (1 - (1 - w) ** n > 0.5).sum()
        ),
        "You round. A mean number of modes need not be whole.": lambda w, n: np.round((1 - (1 - w) ** n).sum()),
    }
    traced = [(jnp.asarray(weights), n) for weights, n in cases]
    for (weights, n), got, value in zip(cases, recognised(fn, traced, right, wrong), right, strict=True):
        if np.shape(got) == () and np.asarray(got).dtype.kind in "iu":
            got = float(got)
        same(got, float(value), inputs={"weights": weights, "n": n}, rtol=1e-3, atol=1e-4, what="mean number of modes")


@define(
    "02.by_chance",
    difficulty=2,
    minutes=6,
    check=check_by_chance,
    hints=(
        "The mean of a sum is the sum of the means, whether or not the parts depend on each other: so look at one mode, and "
        "add up.",
        "One mode counts 1 if it is found, else 0; the mean of that is the chance to be found. It is missed if all n samples "
        "miss it.",
        "One sample misses a mode with the chance 1 − w, all n of them with (1 − w)^n. Sum 1 − (1 − w)^n over the weights.",
    ),
)
def by_chance(weights, n):
    """The number of modes found, on average, in n samples.

    weights (K,): a sample's chance to be a good one of each mode.
    """
    return (1 - (1 - weights) ** n).sum()


# --- 02.moved -------------------------------------------------------------------------------------------------------


def bent(g, z, tanh=jnp.tanh):
    """A small generator that all fakes share: (n, 2)."""
    h = tanh(z @ g["kernel"] + g["bias"])
    return h @ g["last"] + g["shift"]


def straight(g, z, tanh=None):
    return g["last"] * z + g["shift"]


def pulled(g, z, slope):
    """What the slopes at the fakes are in the weights of such a generator, and in its latents."""
    if "kernel" not in g:
        return {"last": (slope * z).sum(0), "shift": slope.sum(0)}, slope * g["last"]
    h = np.tanh(z @ g["kernel"] + g["bias"])
    inside = slope @ g["last"].T * (1 - h**2)
    in_g = {"kernel": z.T @ inside, "bias": inside.sum(0), "last": h.T @ slope, "shift": slope.sum(0)}
    return in_g, inside @ g["kernel"].T


def check_moved(fn):
    """A generator of two layers, and a straight one; a few fakes and more, small steps and large ones."""
    rng = np.random.default_rng(8)
    line = {"last": batch(rng, 2, spread=1.0), "shift": batch(rng, 2, spread=1.0)}
    deep = {"kernel": batch(rng, 2, 3, spread=1.0), "bias": batch(rng, 3, spread=0.5)}
    deep |= {"last": batch(rng, 3, 2, spread=1.0), "shift": batch(rng, 2, spread=1.0)}
    cases = [
        (generate, g, batch(rng, n, 2, spread=1.0), batch(rng, n, 2, spread=0.5), rate)
        for generate, g, n, rate in ((straight, line, 5, 0.3), (bent, deep, 6, 0.2), (bent, deep, 4, 1.5))
    ]

    def after(generate, g, z, slope, rate):
        grads, _ = pulled(g, z, slope)
        return generate({name: g[name] - rate * grads[name] for name in g}, z, np.tanh)

    def expected(generate, g, z, slope, rate):
        return after(generate, g, z, slope, rate) - generate(g, z, np.tanh)

    def first_order(generate, g, z, slope, rate):
        exact = {name: np.float64(w) for name, w in g.items()}
        return expected(generate, exact, np.float64(z), 1e-6 * np.float64(slope), rate) / 1e-6

    def each_alone(generate, g, z, slope, rate):
        return np.concatenate([expected(generate, g, z[[i]], slope[[i]], rate) for i in range(len(z))])

    def with_slope(change):
        return lambda generate, g, z, slope, rate: expected(generate, g, z, change(slope), rate)

    wrong = {
        "This is −rate·slope: each fake goes along its own arrow, as if it were free. But only the weights move, and all "
        "fakes with them.": lambda generate, g, z, slope, rate: -rate * slope,
        "This is +rate·slope, uphill, and each fake by itself. The weights move, down their slope, and all fakes with "
        "them.": lambda generate, g, z, slope, rate: rate * slope,
        "Your weights go uphill: down is w − rate·gradient.": with_slope(lambda slope: -slope),
        "You return where the fakes are after the step. Asked for is how far they went: subtract where they were.": after,
        "The way from the new place back to the old one. From old to new: new − old.": (
            lambda generate, g, z, slope, rate: -expected(generate, g, z, slope, rate)
        ),
        "This is right for infinitely small steps: a slope times the rate. Ask `generate` at the new weights, and subtract.": (
            first_order
        ),
        "You divide the slope by the number of fakes. It is the slope of a mean already.": (
            with_slope(lambda slope: slope / len(slope))
        ),
        "Your step has length 1: multiply the gradient by `rate`.": (
            lambda generate, g, z, slope, rate: expected(generate, g, z, slope, 1.0)
        ),
        "Each fake has a G of its own in your answer. There is one G: first add up what all fakes ask of its weights.": (
            each_alone
        ),
        "All fakes get one slope in your answer. `pull_back` takes one for each fake, (n, 2).": (
            with_slope(lambda slope: 0 * slope + slope.mean(0))
        ),
        "This is as if G's loss were the sum of its outputs: give `pull_back` the slope.": with_slope(np.ones_like),
        "You move the latents z, not the weights.": (
            lambda generate, g, z, slope, rate: (
                generate(g, z - rate * pulled(g, z, slope)[1], np.tanh) - generate(g, z, np.tanh)
            )
        ),
    }
    right = [expected(*case) for case in cases]

    def on_arrays(generate, g, z, slope, rate):
        got = fn(lambda g, z: generate(g, z), *jax.tree.map(jnp.asarray, (g, z, slope)), rate)
        if isinstance(got, dict):
            raise Mistake("You return weights. Asked for is how far each fake goes: generate(new, z) − generate(g, z).")
        return got

    for case, got, value in zip(cases, recognised(on_arrays, cases, right, wrong), right, strict=True):
        inputs = dict(zip(("z", "slope", "rate"), case[2:], strict=True))
        same(got, value, inputs=inputs, rtol=1e-3, atol=1e-4, what="way of the fakes")


@define(
    "02.moved",
    difficulty=3,
    minutes=10,
    check=check_moved,
    hints=(
        "Three things happen: the slopes of all fakes are pulled back to one gradient in the weights; the weights go down "
        "that; the new weights make new fakes.",
        "fake, pull_back = jax.vjp(lambda g: generate(g, z), g), and (grads,) = pull_back(slope) is the gradient of G's loss "
        "in the weights, a tree like g.",
        "new = jax.tree.map(lambda w, grad: w − rate·grad, g, grads). Return generate(new, z) − fake.",
    ),
)
def moved(generate, g, z, slope, rate):
    """How far each fake goes, (n, 2), when G makes one plain step.

    generate(g, z): the fakes; slope (n, 2): of G's loss, in each of them.
    """
    fake, pull_back = jax.vjp(lambda g: generate(g, z), g)
    (grads,) = pull_back(slope)
    new = jax.tree.map(lambda w, grad: w - rate * grad, g, grads)
    return generate(new, z) - fake


# --- 02.modes_left --------------------------------------------------------------------------------------------------


def check_modes_left(fn):
    """D* on k of K equal modes is k/(k+K): back to k for every k, also between whole numbers, and for odd K."""
    for modes in (8, 5, 25):
        for k in (2.7, 0.2, 1, 2, modes // 2, modes):  # first one of which no mistake makes another's number
            d_fake = k / (k + modes)  # (1/K) / (1/K + 1/k)
            for x in (d_fake, np.float32(d_fake)):
                got = fn(x, modes)
                suspects = [
                    (
                        d_fake * modes,
                        "You return K·D(G(z)), as if D(G(z)) were k/K. But D compares two densities, p/(p+q); "
                        "where all modes are covered it says ½, not 1.",
                    ),
                    (
                        2 * d_fake * modes,
                        "You return 2K·D(G(z)), a straight line: right at k = K and nowhere else. Solve p/(p+q) for k.",
                    ),
                    (
                        modes * (1 - d_fake) / d_fake,
                        "You have p and q exchanged: D(G(z)) = p/(p+q), and p/q = D/(1−D). Fewer modes make D smaller.",
                    ),
                    (modes / d_fake, "You return K/D(G(z)): fewer modes make D smaller. Solve p/(p+q) for k."),
                    (modes * (1 - d_fake), "You return K·(1 − D(G(z))), a straight line. Solve p/(p+q) for k."),
                    (
                        2 * modes * (1 - d_fake),
                        "You return 2K·(1 − D(G(z))): fewer modes make D smaller. Solve p/(p+q) for k.",
                    ),
                    (
                        modes / (1 - d_fake),
                        "You return K/(1 − D(G(z))), more than all modes. In D·k + D·K = k, D·K stays on its side.",
                    ),
                    (
                        modes * d_fake / (1 + d_fake),
                        "A sign: D·k + D·K = k gives D·K = k − D·k = k·(1 − D), with a minus.",
                    ),
                    (
                        modes * d_fake / (1 - 2 * d_fake) if k < modes else np.nan,
                        "You divide by 1 − 2D. D·k + D·K = k gives D·K = k·(1 − D).",
                    ),
                    (d_fake / (1 - d_fake), "This is k/K, the share of the modes. Multiply it by the number of modes."),
                    (
                        d_fake / (1 - d_fake) / modes,
                        "You divide by the number of modes. D/(1−D) is k/K already: multiply by K.",
                    ),
                    ((1 - d_fake) / d_fake, "This is K/k. Turn it round, and multiply it by the number of modes."),
                    (modes - modes * d_fake / (1 - d_fake), "You return the number of modes that are lost."),
                    (1 / d_fake - 1, "You solve 1/(1+k) for k: with p = 1 on each mode. p has density 1/K there."),
                    (modes * (d_fake / (1 - d_fake)) ** 2, "A square too many: k/K = D/(1−D)."),
                    (modes * (d_fake / (1 - d_fake)) ** 0.5, "A root too many: k/K = D/(1−D)."),
                    (np.log(d_fake / (1 - d_fake)), "You return a logit. No logarithm is needed: solve for k."),
                    (k + 1, "One too many: k = K·D/(1−D)."),
                    (k - 1, "One too few: k = K·D/(1−D)."),
                    (modes * d_fake * (1 - d_fake), "You multiply by 1 − D. D·K = k·(1 − D): divide by it."),
                    (modes**2 * d_fake / (1 - d_fake), "A factor K too many: k/K = D/(1−D)."),
                    (8 * d_fake / (1 - d_fake), "You take K = 8. Use `modes`."),
                    (
                        max(1, k),
                        "You let k be no less than 1. Return it as it comes: fakes on no mode at all read as less.",
                    ),
                    *[
                        (round_to(k), "You round k. Return it as it comes: between whole numbers it says more.")
                        for round_to in (np.round, np.floor, np.ceil)
                    ],
                ]
                recognise(got, *suspects, right=k)
                same(got, float(k), inputs={"d_fake": d_fake, "modes": modes}, rtol=1e-4, atol=1e-4)


@define(
    "02.modes_left",
    difficulty=2,
    minutes=5,
    check=check_modes_left,
    hints=(
        "On a covered mode p = c/K and q = c/k, with the same bump c in both. It cancels.",
        "D = (1/K) / (1/K + 1/k). Multiply numerator and denominator by kK.",
        "D = k/(k + K), so D·k + D·K = k. Bring the terms with k to one side.",
    ),
)
def modes_left(d_fake, modes):
    """How many of `modes` equal modes G covers, from the mean of D(G(z)).

    For D at its best, and a G that is perfect on those it covers.
    """
    return modes * d_fake / (1 - d_fake)
