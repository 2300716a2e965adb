"""Notebook 07, the clinic: references, hints and checks; the bank of ten faulty snippets."""

import textwrap
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus

from gan_lib.clinic import WIDTH
from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import CURE, jitted
from gan_lib.exercises.compare import close, fit, recognise

# --- 07.best_gap ----------------------------------------------------------------------------------------------------


def check_best_gap(fn):
    """On densities over a few places, where both sides are sums; and on shares from ½ to 1."""
    for seed, places in enumerate((2, 3, 6)):
        rng = np.random.default_rng(seed)
        uneven = rng.uniform(0.3, 1, (2, places)) ** 4  # told is not near ½, where formulas look alike
        p, q = (x / x.sum() for x in uneven)
        told = float(((p**2 + q**2) / (2 * (p + q))).sum())
        right = float(((p - q) * p / (p + q)).sum())
        assert np.isclose(right, 2 * told - 1)
        got = fn(told)
        recognise(
            got,
            (told, "That is the share itself. Where nobody can tell, it is ½, and D(x) − D(G(z)) is 0."),
            (1 - told, "That is the share of mistakes."),
            (told - 0.5, "Half of it: at told = 1 real samples get 1 and fakes 0, a gap of 1."),
            (2 * (1 - told), "The wrong way round: the gap grows with told."),
            (1 - 2 * told, "The sign is lost: real samples score higher."),
            (2 * told, "Where nobody can tell (½) the gap is 0."),
            right=right,
        )
        same(got, right, inputs={"told": told}, rtol=1e-4, what="gap")
    for told in map(jnp.float32, np.linspace(0.5, 1, 5)):  # one number, as the notebook has it
        same(fn(told), 2 * float(told) - 1, inputs={"told": told}, rtol=1e-4, what="gap")


@define(
    "07.best_gap",
    difficulty=2,
    minutes=8,
    check=check_best_gap,
    hints=(
        "At a place x the nearest neighbour is real with probability p/(p+q) = D*(x). A real sample there is told with "
        "probability D*(x), a fake with 1 − D*(x). So told = ½E_p[D*] + ½E_q[1 − D*].",
        "You want E_p[D*] − E_q[D*], and have ½(1 + E_p[D*] − E_q[D*]) = told.",
        "`2 * told - 1`.",
    ),
)
def best_gap(told):
    """E[D(x)] − E[D(G(z))] of the best D, where a stranger tells the share `told` by the nearest neighbour."""
    return 2 * told - 1


# --- the five programs: players on which every mistake shows --------------------------------------------------------


def judge(d, x):
    return jnp.tanh(x @ d["w"]) @ d["v"] + d["b"]


def generate(g, z):
    return z @ g["w"] + g["b"]


class Players(NamedTuple):
    """Both players with weights, a batch and a key; and what they make of it, in NumPy, which compiles nothing."""

    d: dict
    g: dict
    real: np.ndarray
    key: jax.Array
    z: np.ndarray | None = None  # the latents (n, 2) that an answer drew

    @property
    def raw(self):
        """What G makes of these latents."""
        return self.z @ self.g["w"] + self.g["b"]

    @property
    def far(self):
        """D with logits in the hundreds, and its opposite."""
        return [{"w": self.d["w"], "v": times * self.d["v"], "b": times * self.d["b"]} for times in (300, -300)]

    def score(self, x):
        """D's logits."""
        return np.tanh(np.asarray(x) @ self.d["w"]) @ self.d["v"] + self.d["b"]


def players():
    rng = np.random.default_rng(0)
    array = lambda *shape: np.float32(rng.normal(size=shape))
    d = {"w": array(2, 3), "v": array(3), "b": np.float32(0.3)}
    g = {"w": 0.7 * array(2, 2), "b": array(2)}
    return Players(d, g, 0.5 * array(7, 2), jax.random.key(27))  # no key that an answer may have of its own


def tried(fn, p):
    """fn's three results with these players, and the players with the latents that fn drew."""
    return drawing(lambda generate, *batch: fn(partial(judge, p.d), partial(generate, p.g), *batch), p)


def drawing(call, p):
    """(three results of an answer, the players with its latents): from a split key, too. A Mistake if they are no good.

    call: the answer, as a function of (generate, real, key).
    """

    def once(key, real):
        seen = []
        got = three(call(lambda g, z: seen.append(z) or generate(g, z), jnp.asarray(real), key))
        if not seen or any(isinstance(z, jax.core.Tracer) for z in seen):  # inside a jit or vmap of the answer's own
            seen = [jax.random.normal(key, (len(real), 2))]
        return got, list(map(np.asarray, seen))

    (got, (z, *more)), n = once(p.key, p.real), len(p.real)
    if z.shape == (1, 2):
        raise Mistake(
            "One latent a step: a single fake against a batch of real samples. D sees no variety, and G is never asked for "
            "any. Draw `(len(real), 2)`."
        )
    if z.shape != (n, 2):
        raise Mistake(f"Latents have shape {z.shape}, and here are {n} real samples: draw `(len(real), 2)`.")
    if not np.ptp(z, axis=0).any():
        raise Mistake("All fakes come from one latent.")
    if not all(np.array_equal(z, other) for other in more):
        raise Mistake("You draw latents twice. Draw z once, so that D and G judge the same fakes.")
    if np.array_equal(z, once(jax.random.key(1), p.real)[1][0]):
        raise Mistake("Another `key` gives the same latents: every step would see the same fakes. Draw z from `key`.")
    if not np.array_equal(z, once(p.key, p.real)[1][0]):
        raise Mistake(
            "The same `key` gives other latents. Draw z from `key` alone: compiled, anything else is a constant."
        )
    many = once(p.key, np.resize(p.real, (2000, 2)))[1][0]
    if abs(np.cov(many.T) - np.eye(2)).max() > 0.2 or abs(many.mean(0)).max() > 0.2:
        raise Mistake("The latents are not standard normal, each number drawn for itself: `jax.random.normal`.")
    return got, p._replace(z=z)


def three(got):
    if not isinstance(got, tuple | list) or len(got) != 3:
        fit(got, (0.0, 0.0, 0.0))
    return got


def plus(s):
    """softplus, in NumPy."""
    return np.logaddexp(0, s)


def crossed(logits, target):
    """Mean cross-entropy of logits (B,) with one target in [0, 1]."""
    return (softplus(logits) - target * logits).mean()


def cost(logits, target):
    """`crossed`, in NumPy."""
    return (plus(logits) - target * logits).mean()


def norm(y):
    """What BatchNorm does in training, with its scale 1 and shift 0."""
    return (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-5)


def one_of(p, got, right, what, *suspects):
    """The message of a suspect, or of any other difference."""
    right = np.asarray(right, np.float32) if np.ndim(right) else float(right)
    recognise(got, *suspects, right=right)
    same(got, right, inputs={"real": p.real}, rtol=1e-4, atol=1e-5, what=what)


def same_slopes(fn, reference, p):
    """A Mistake unless D's loss has the reference's gradient in d, and G's in g, compiled as the notebook does."""

    def slopes(program, d, g, draw):
        call = lambda d, g: program(partial(judge, d), partial(draw, g), jnp.asarray(p.real), p.key)
        return jax.grad(lambda d: call(d, g)[0])(d), jax.grad(lambda g: call(d, g)[1])(g)

    def both(d, g):
        return slopes(fn, d, g, generate), slopes(reference, d, g, lambda g, _: generate(g, p.z))

    got, right = jitted(both, p.d, p.g, where="the notebook compiles it and takes gradients")
    for player, ours, theirs in zip("DG", got, right, strict=True):
        nothing = jax.tree.map(lambda x: 0 * np.asarray(x), theirs)
        recognise(
            ours, (nothing, f"No gradient reaches {player}: is there a stop_gradient, or a rounding, in the way?")
        )
        same(ours, theirs, rtol=1e-4, atol=1e-5, what=f"gradient of {player}'s loss in its weights")
    for far in p.far:
        same_far_out(*jitted(both, far, p.g, where="the notebook compiles it and takes gradients"))


def same_far_out(got, right):
    """A Mistake unless gradients are the right ones also where D's logits are in the hundreds."""
    if not all(np.isfinite(x).all() for x in jax.tree.leaves(got)):
        raise Mistake(
            "Right for small logits. In the hundreds the gradient is not finite: there σ is 0 or 1 in float32, and its "
            f"logarithm −∞. {CURE}"
        )
    same(got, right, rtol=1e-3, atol=1e-3, what="gradient where D's logits are in the hundreds")


# --- 07.program_1 ---------------------------------------------------------------------------------------------------


def check_program_1(fn):
    """Bytes, then D's loss, then G's, then whether a gradient reaches both."""
    p = players()
    got, p = tried(fn, p)
    fake, normed, saved = np.tanh(p.raw), np.tanh(norm(p.raw)), np.asarray(got[2])
    as_bytes = lambda x: np.round((x + 1) * 127.5)
    if saved.shape != fake.shape or saved.dtype.kind not in "iuf":
        fit(got[2], np.uint8(as_bytes(fake)), "picture")
    if abs(saved - as_bytes(normed)).max() <= 1 < abs(saved - as_bytes(fake)).max():
        raise Mistake("BatchNorm still stands after G's last layer: every batch of fakes then has mean 0 and spread 1.")
    if np.array_equal(saved, fake.astype(int)) or np.array_equal(saved, fake.astype(int) % 256):
        raise Mistake("The picture is cast straight from [−1, 1]: nearly every byte is 0. First (x + 1)·127.5.")
    if not np.isfinite(saved.astype(float)).all():
        raise Mistake("The picture is not finite.")
    if saved.dtype.kind == "f":
        raise Mistake("The picture holds floats; a file takes bytes: `.astype(jnp.uint8)` at the end.")
    if abs(saved.astype(float) - as_bytes(fake)).max() > 1:
        raise Mistake("The bytes are off: −1 should become 0, and 1 should become 255: (x + 1)·127.5.")
    real_s, fake_s = p.score(p.real), p.score(fake)
    both = lambda r, f: plus(-r).mean() + plus(f).mean()
    one_of(
        p,
        got[0],
        both(real_s, fake_s),
        "loss of D",
        *(
            (
                half * plus(-real_s).mean() - half * plus(fake_s).mean(),
                "One of the two terms of D's loss lacks its sign.",
            )
            for half in (1, -1)
        ),
        (plus(-fake_s).mean(), "That is G's loss: D's comes first."),
        (-both(real_s, fake_s), "D's loss still lacks its sign: minimised like this, D learns to be wrong."),
        (both(norm(real_s), norm(fake_s)), "BatchNorm still stands after D's last layer: see what it does to D(x)."),
        (
            -both(norm(real_s), norm(fake_s)),
            "D's loss still lacks its sign, and BatchNorm stands after D's last layer.",
        ),
        (both(fake_s, real_s), "Real and fake are exchanged in D's loss."),
    )
    one_of(
        p,
        got[1],
        plus(-fake_s).mean(),
        "loss of G",
        (plus(-real_s).mean(), "G's loss is still −E[log D(x)]: there is no fake in it, so nothing reaches G."),
        (plus(fake_s).mean(), "That is −E[log(1 − D(G(z)))], D's half: minimised like this, G helps D."),
        (-plus(fake_s).mean(), "That is the saturating loss. It trains, too; asked is −E[log D(G(z))]."),
    )
    same_slopes(fn, program_1, p)


@define(
    "07.program_1",
    difficulty=2,
    minutes=10,
    check=check_program_1,
    hints=(
        "Four faults. Two are in the losses, one in what both networks end with, one in what is saved. Ask of each number: "
        "what would make it fall?",
        "A loss without fakes moves no G. A D that *minimises* E[log D(x)] wants D(x) = 0. BatchNorm after D's last layer gives "
        "real and fake batches the same mean logit, whatever they look like.",
        "`fake = jnp.tanh(draw(z))`; D: softplus(−score(real)).mean() + softplus(score(fake)).mean(); G: "
        "softplus(−score(fake)).mean(); bytes: ((fake + 1) * 127.5).astype(jnp.uint8).",
    ),
)
def program_1(score, draw, real, key):
    """(D's loss, G's loss, the fakes as bytes from 0 to 255), the repaired program; fakes lie in [−1, 1]."""
    z = jax.random.normal(key, (len(real), 2))
    fake = jnp.tanh(draw(z))
    d_loss = softplus(-score(real)).mean() + softplus(score(fake)).mean()
    g_loss = softplus(-score(fake)).mean()
    return d_loss, g_loss, jnp.round((fake + 1) * 127.5).astype(jnp.uint8)


# --- 07.program_2 ---------------------------------------------------------------------------------------------------


def check_program_2(fn):
    """Both slopes; what they are instead."""
    p = players()
    _, p = drawing(lambda generate, *batch: fn(judge, generate, p.d, p.g, *batch), p)

    def all_of_them(d, g):
        z = jnp.asarray(p.z)
        fake = generate(g, z)
        d_slope = lambda loss: jax.grad(lambda d: loss(judge(d, p.real), judge(d, fake)))(d)
        g_slope = lambda loss: jax.grad(lambda g: loss(judge(d, generate(g, z))).mean())(g)
        of_d = d_slope(lambda r, f: softplus(-r).mean()), d_slope(lambda r, f: softplus(f).mean())
        of_d += (d_slope(lambda r, f: softplus(r).mean() + softplus(-f).mean()),)
        of_g = g_slope(lambda f: softplus(-f)), g_slope(lambda f: -softplus(f))
        return fn(judge, generate, d, g, jnp.asarray(p.real), p.key), of_d, of_g, fake

    where = "the notebook compiles it"
    got, (of_real, of_fake, exchanged), (right, saturating), fake = jitted(all_of_them, p.d, p.g, where=where)
    times = lambda factor, tree: jax.tree.map(lambda x: factor * np.asarray(x), tree)
    plus_of = lambda a, b: jax.tree.map(lambda a, b: np.asarray(a) + np.asarray(b), a, b)
    d_right = plus_of(of_real, of_fake)
    for i, (wanted, what, suspects) in enumerate(
        (
            (
                d_right,
                "slope for D",
                (
                    (of_real, "D's slope knows the real samples only."),
                    (of_fake, "D's slope knows the fakes only."),
                    (times(-1, d_right), "The sign of D's slope is flipped."),
                    (times(0.5, d_right), "Half of D's slope: the two means are added."),
                    (plus_of(of_real, times(-1, of_fake)), "You subtract the slopes of the two batches: add them."),
                    (exchanged, "Real and fake are exchanged in D's loss."),
                ),
            ),
            (
                right,
                "slope for G",
                (
                    (
                        times(0, right),
                        "Exactly 0, still: nothing in the function that you differentiate depends on g. Fakes made outside of "
                        "it are constants in it, as detached ones are. Call `generate` inside.",
                    ),
                    (
                        saturating,
                        "D's loss times −1, now with a way to G: the saturating loss. Asked is −E[log D(G(z))].",
                    ),
                    (times(-1, saturating), "G descends D's own loss: it helps D."),
                    (times(-1, right), "The sign of G's slope is flipped."),
                ),
            ),
            (fake, "batch of fakes", ()),
        )
    ):
        recognise(got[i], *suspects, right=wanted)
        same(got[i], wanted, inputs={"real": p.real}, rtol=1e-4, atol=1e-5, what=what)
    for far in p.far:
        got, of_d, of_g, _ = jitted(all_of_them, far, p.g, where=where)
        same_far_out(tuple(got[:2]), (plus_of(*of_d[:2]), of_g[0]))


@define(
    "07.program_2",
    difficulty=1,
    minutes=6,
    check=check_program_2,
    hints=(
        "One of the three habits is harmless: without BatchNorm, the gradient of a sum is the sum of the gradients.",
        "Which of the arrays in G's objective depend on g? Follow `fake` up to where it is made.",
        "`jax.grad(lambda g: softplus(-judge(d, generate(g, z))).mean())(g)`.",
    ),
)
def program_2(judge, generate, d, g, real, key):
    """(slope for D, slope for G, fakes): gradients in d and in g, the repaired program."""
    z = jax.random.normal(key, (len(real), 2))
    fake = generate(g, z)
    d_slope = jax.grad(lambda d: softplus(-judge(d, real)).mean() + softplus(judge(d, fake)).mean())(d)
    g_slope = jax.grad(lambda g: softplus(-judge(d, generate(g, z))).mean())(g)
    return d_slope, g_slope, fake


# --- 07.program_3 ---------------------------------------------------------------------------------------------------


def check_program_3(fn):
    """Fakes, then the two losses, in either convention."""
    got, p = tried(fn, players())
    one_of(p, got[2], p.raw, "batch of fakes")
    r, f, s = p.score(p.real), p.score(p.raw), lambda x: 1 / (1 + np.exp(-x))
    usual, other = (cost(r, 1) + cost(f, 0), cost(f, 1)), (cost(r, 0) + cost(f, 1), cost(f, 0))
    if close(got[0], other[0]) and close(got[1], usual[1]):
        raise Mistake(
            "The labels are still swapped in D only: D learns that data is 0 and fakes are 1, and G asks for a 1, which it "
            "already has. Swap in both, or in none."
        )
    if close(got[0], usual[0]) and close(got[1], other[1]):
        raise Mistake("Now D's labels are right, and G asks D for a 0: it wants to be found out.")
    swapped = close(got[0], other[0]) and close(got[1], other[1])  # real 0, fake 1, and G asks for 0: right as well
    right = other if swapped else usual
    one_of(
        p,
        got[0],
        right[0],
        "loss of D",
        (cost(r, 1) + cost(f, 1), "D is told that the fakes are real, too."),
        (cost(r, 0) + cost(f, 0), "D is told that the real samples are fake, too."),
        (right[0] / 2, "Half of D's loss: the two means are added."),
        (other[0], "The labels are still swapped in D: data is 0 there, fakes are 1."),
        (cost(s(r), 1) + cost(s(f), 0), "`crossed` takes logits: no sigmoid before it."),
        (right[1], "That is G's loss: D's comes first."),
    )
    targets = cost(f, float(got[0])), cost(f, other[0])
    one_of(
        p,
        got[1],
        right[1],
        "loss of G",
        *((t, "A loss still stands where a target belongs: the target of G is a constant.") for t in targets),
        (cost(r, 1), "There is no fake in G's loss."),
        (
            -(usual if swapped else other)[1],
            "That is the saturating loss. Asked is what `crossed` says with G's target.",
        ),
        (cost(s(f), 1), "`crossed` takes logits: no sigmoid before it."),
    )
    same_slopes(fn, partial(conventions, swapped), p)


def conventions(swapped, score, draw, real, key):
    """The repaired program 3, with data 1 and fakes 0, or swapped in both players."""
    fake = draw(jax.random.normal(key, (len(real), 2)))
    yes, no = (0, 1) if swapped else (1, 0)
    return crossed(score(real), yes) + crossed(score(fake), no), crossed(score(fake), yes), fake


@define(
    "07.program_3",
    difficulty=2,
    minutes=8,
    check=check_program_3,
    hints=(
        "Write down, for real samples, for fakes in D, and for fakes in G, which number each is compared with.",
        "G wants of D what D says of real samples. And how many different fakes does a step see?",
        "z of shape (len(real), 2); D: crossed(score(real), 1) + crossed(score(fake), 0); G: crossed(score(fake), 1).",
    ),
)
def program_3(score, draw, real, key):
    """(D's loss, G's loss, fakes), the repaired program."""
    z = jax.random.normal(key, (len(real), 2))
    fake = draw(z)
    d_loss = crossed(score(real), 1) + crossed(score(fake), 0)
    g_loss = crossed(score(fake), 1)
    return d_loss, g_loss, fake


# --- 07.shuffled ----------------------------------------------------------------------------------------------------


def check_shuffled(fn):
    """Columns keep their values, lose each other, and follow the key."""
    rng = np.random.default_rng(0)
    for n, d in ((300, 3), (400, 2)):
        first = rng.normal(size=(n, 1))
        x = np.float32(first + 0.1 * rng.normal(size=(n, d)))
        got = fn(jnp.asarray(x), jax.random.key(n))
        if np.shape(got) != (n, d) or not np.isfinite(np.asarray(got, float)).all():
            same(got, x, what="shuffled copy")
        y = np.asarray(got)
        if np.array_equal(y, x):
            raise Mistake("Nothing is shuffled: `jax.random.permutation` returns a new array.")
        if not np.allclose(np.sort(y, 0), np.sort(x, 0)):
            whole = np.allclose(np.sort(y, axis=None), np.sort(x, axis=None))
            raise Mistake(
                "Values wander between columns: shuffle along the first axis only."
                if whole
                else "A column has other values than before: shuffle, and neither draw with replacement nor change values."
            )
        if np.array_equal(y, np.asarray(fn(jnp.asarray(x), jax.random.key(1)))):
            raise Mistake("Two different keys give the same copy. Use the `key` that comes in.")
        if not np.array_equal(y, np.asarray(fn(jnp.asarray(x), jax.random.key(n)))):
            raise Mistake("The same key gives different copies. Shuffle by `key` alone.")
        if (y == x).all(axis=0).any():
            raise Mistake("A column stands as it was; each one is to be shuffled, by itself.")
        rest = abs(np.triu(np.corrcoef(y.T), 1)).max()
        if rest > 0.3:
            raise Mistake(
                f"The columns still go together (correlation {rest:.2f}): all were moved by one permutation. Each column needs "
                "its own: `independent=True`, or a key for each."
            )


@define(
    "07.shuffled",
    difficulty=1,
    minutes=5,
    check=check_shuffled,
    hints=(
        "The copy has the same values in each column, in an order of its own.",
        "`jax.random.permutation(key, x)` moves whole rows, so the columns stay together. Look at its arguments.",
        "`jax.random.permutation(key, x, axis=0, independent=True)`.",
    ),
)
def shuffled(x, key):
    """A copy of x (n, d) in which each column is shuffled by itself."""
    return jax.random.permutation(key, x, axis=0, independent=True)


# --- 07.program_4 ---------------------------------------------------------------------------------------------------


def check_program_4(fn):
    """Scale, then the sigmoid."""
    p = players()
    p = p._replace(real=np.float32(1 / (1 + np.exp(-3 * p.real))))  # in [0, 1]
    (got, p), s = tried(fn, p), lambda x: 1 / (1 + np.exp(-x))
    raw, fake = p.raw, np.tanh(p.raw)
    one_of(
        p,
        got[2],
        fake,
        "batch of fakes",
        (s(raw), "You moved G to [0, 1]. That is a repair, too; here the fakes stay in [−1, 1], and data moves."),
        (raw, "The tanh is gone: fakes may now lie anywhere."),
        ((fake + 1) / 2, "You moved the fakes to [0, 1]. Here they stay in [−1, 1], and the data moves."),
    )
    both = lambda r, f: cost(r, 1) + cost(f, 0)
    r, old, f = p.score(2 * p.real - 1), p.score(p.real), p.score(fake)
    moved = p.score((fake + 1) / 2)  # D is shown both in [0, 1], and fakes come back in [−1, 1]: right as well
    low = close(got[0], both(old, moved)) and close(got[1], cost(moved, 1))
    r, f = (old, moved) if low else (r, f)
    x, whole = p.real, np.ptp(p.real, axis=0)
    shown = {"x − ½": x - 0.5, "2x": 2 * x, "(x + 1)/2": (x + 1) / 2, "1 − 2x": 1 - 2 * x, "tanh(x)": np.tanh(x)}
    shown |= {
        "x over its deviation": (x - x.mean(0)) / x.std(0),
        "the batch's own range": 2 * (x - x.min(0)) / whole - 1,
    }
    one_of(
        p,
        got[0],
        both(r, f),
        "loss of D",
        (both(s(r), s(f)), "The sigmoid is still there, and the loss applies its own."),
        (both(s(old), s(f)), "The sigmoid is still there, and the data still lie in [0, 1]."),
        (both(old, f), "The data still lie in [0, 1], the fakes in [−1, 1]: one look at the sign tells them apart."),
        (both(p.score(p.real / 127.5 - 1), f), "The data are not bytes: from [0, 1] to [−1, 1] it is 2x − 1."),
        *(
            (both(p.score(v), f), f"D is shown {words} for data x: from [0, 1] to [−1, 1] it is 2x − 1.")
            for words, v in shown.items()
        ),
        (cost(r, 0) + cost(f, 1), "Real and fake are exchanged in D's loss."),
        (cost(f, 1), "That is G's loss: D's comes first."),
    )
    one_of(
        p,
        got[1],
        cost(f, 1),
        "loss of G",
        (cost(s(f), 1), "The sigmoid is still there in G's loss."),
        (cost(f, 0), "G asks D for a 0: it wants to be found out."),
    )
    same_slopes(fn, partial(of_range, low), p)


def of_range(low, score, draw, real, key):
    """The repaired program 4, with both kinds in [0, 1] before D, or both in [−1, 1]."""
    fake = jnp.tanh(draw(jax.random.normal(key, (len(real), 2))))
    real, shown = (real, (fake + 1) / 2) if low else (2 * real - 1, fake)
    return crossed(score(real), 1) + crossed(score(shown), 0), crossed(score(shown), 1), fake


@define(
    "07.program_4",
    difficulty=1,
    minutes=5,
    check=check_program_4,
    hints=(
        "Two faults: one in what D is shown, one in what the loss is handed.",
        "`crossed` takes logits, from −∞ to ∞. And in which range do data and fakes lie?",
        "`real = 2 * real - 1`, and no sigmoid anywhere: crossed(score(real), 1) + crossed(score(fake), 0).",
    ),
)
def program_4(score, draw, real, key):
    """(D's loss, G's loss, fakes in [−1, 1]) for data in [0, 1], the repaired program."""
    z = jax.random.normal(key, (len(real), 2))
    fake = jnp.tanh(draw(z))
    real = 2 * real - 1
    d_loss = crossed(score(real), 1) + crossed(score(fake), 0)
    g_loss = crossed(score(fake), 1)
    return d_loss, g_loss, fake


# --- 07.difference --------------------------------------------------------------------------------------------------


def check_difference(fn):
    """Properties: a number, no pairs, least for the same distribution, sees what is missing, pulls points apart."""
    rng = np.random.default_rng(0)
    angle = 2 * np.pi * rng.integers(0, 8, (2, 400)) / 8
    circle = np.float32(np.stack([np.cos(angle), np.sin(angle)], -1) + 0.05 * rng.normal(size=(2, 400, 2)))
    real, honest = map(jnp.asarray, circle)
    got = fn(real, honest)
    if (
        np.shape(got) != ()
        or not isinstance(got, float | np.generic | np.ndarray | jax.Array)
        or not np.isfinite(np.asarray(got, float)).all()
    ):
        same(got, difference(real, honest), what="difference")
    if not np.allclose(float(fn(real, honest)), float(fn(real, honest[::-1])), rtol=1e-3, atol=1e-4):
        raise Mistake(
            "It depends on which fake stands beside which real sample. Without an encoder nobody has paired them, and the best "
            "answer to a random partner is the mean of all: see the left picture."
        )
    suspects = {
        "all fakes at the mean": jnp.zeros((400, 2)) + 1e-3 * honest,
        "fakes moved by 0.5": honest + jnp.array([0.5, 0]),
        "fakes half as wide": 0.5 * honest,
        "fakes wider by a quarter": 1.25 * honest,
        "fakes too wide one way, too narrow the other": honest * jnp.array([1.3, 0.55]),
        "half of the fakes at the mean": honest.at[::2].multiply(1e-3),
        "fakes on the right half only": honest.at[:, 0].set(abs(honest[:, 0])),
    }
    base, costs = float(fn(real, honest)), {name: float(fn(real, x)) for name, x in suspects.items()}
    worst = max(abs(cost - base) for cost in costs.values())
    for name, cost in costs.items():
        if not cost > base + 0.02 * worst:
            raise Mistake(
                f"It is {cost:.4f} for {name}, and {base:.4f} for honest fakes: minimised, it would prefer, or not notice, those."
            )
    x = jnp.asarray(rng.normal(size=(400, 2)) * 0.3, jnp.float32)
    slope = jitted(jax.grad(lambda x: fn(real, x)), x, where="the notebook takes its gradient")
    if not np.isfinite(slope).all():
        raise Mistake("Its gradient is not finite: is there a root of 0, as in the distance of a point from itself?")
    if not np.asarray(slope).any():
        raise Mistake("It has no gradient in the fakes: use smooth functions, no counts, no argmin alone, no rounding.")
    better = float(fn(real, x - 0.02 * slope / jnp.maximum(jnp.linalg.norm(slope, axis=1).max(), 1e-12)))
    if not better < float(fn(real, x)):
        raise Mistake("A step down its gradient makes it larger: is the sign lost, or a part of it detached?")


@define(
    "07.difference",
    difficulty=3,
    minutes=15,
    check=check_difference,
    hints=(
        "A difference of *distributions*: it may not ask which fake belongs to which real sample, and two sets of the same "
        "distribution should cost least.",
        "Either compare means of several features (x, x², products…), or distances: fakes should be as near to the real ones as "
        "the real ones are among themselves, and as far from each other.",
        "Energy distance: 2·E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖, with sqrt(squares + 1e-6) so that a point and itself have a slope.",
    ),
)
def difference(real, fake):
    """How different two sets of points (n, 2) are: a number with a slope in `fake`, least for the same distribution."""

    def apart(x, y):
        return jnp.sqrt(jnp.square(x[:, None] - y).sum(-1) + 1e-6).mean()

    return 2 * apart(real, fake) - apart(real, real) - apart(fake, fake)


# --- 07.find_the_line -----------------------------------------------------------------------------------------------

BANK = (  # (symptom, the guilty lines, code)
    (
        "G's loss stands still.",
        (2,),
        """def g_loss(g):
    fake = jax.lax.stop_gradient(generate(g, z))
    logits = judge(d, fake)
    return softplus(-logits).mean()""",
    ),
    (
        "A least-squares GAN whose far-off fakes do not move.",
        (1,),
        """score = lambda x: jax.nn.sigmoid(judge(d, x))
d_loss = ((score(real) - 1) ** 2).mean() + (score(fake) ** 2).mean()
g_loss = ((score(generate(g, z)) - 1) ** 2).mean()""",
    ),
    (
        "WGAN-GP on points (n, 2): the critic is held down far outside the data, too.",
        (1,),
        """share = jax.random.normal(key, (n, 1))
between = share * real + (1 - share) * fake
slopes = jax.grad(lambda x: judge(d, x).sum())(between)
penalty = ((jnp.linalg.norm(slopes, axis=1) - 1) ** 2).mean()""",
    ),
    (
        "WGAN-GP on images (n, 28, 28, 1): slopes of the critic end near 28, not near 1.",
        (4,),
        """share = jax.random.uniform(key, (n, 1, 1, 1))
between = share * real + (1 - share) * fake
slopes = jax.grad(lambda x: judge(d, x).sum())(between)
norms = jnp.sqrt((slopes**2).sum(axis=-1) + 1e-12)
penalty = ((norms - 1) ** 2).mean()""",
    ),
    (
        "Relativistic pairs, and the loss compares every real sample with every fake.",
        (2,),
        """real_logits = judge(d, real).reshape(-1)
fake_logits = judge(d, fake).reshape(-1, 1)
gap = real_logits - fake_logits
loss = softplus(-gap).mean()""",
    ),
    (
        "64 good samples, and rubbish for all other latents.",
        (3,),
        """key = jax.random.key(0)
for batch in batches:
    z = jax.random.normal(key, (64, 16))
    state = step(state, batch, z)""",
    ),
    (
        "BatchNorm hardly normalises a hidden layer of small values.",
        (3,),
        """net = nnx.Sequential(
    nnx.Linear(100, 128, rngs=rngs),
    nnx.BatchNorm(128, epsilon=0.8, rngs=rngs),
    nnx.leaky_relu,
    nnx.Linear(128, 784, rngs=rngs),
)""",
    ),
    (
        "The sheet of samples looks far better than the distance says.",
        (2, 3),  # the order, and the choice by it: without either the sheet is honest
        """fake = generate(g, z)
order = jnp.argsort(-judge(d, fake))
sheet = fake[order[:64]]
plots.samples(sheet)""",
    ),
    (
        "Paper is shown grey, and grey ink black.",
        (2,),
        """fake = jnp.tanh(draw(z))
image = 0.5 * fake + 1
plt.imshow(image[0], vmin=0, vmax=1)""",
    ),
    (
        "A conditional GAN that can draw all ten digits when asked, and scores no nines.",
        (1,),
        """asked = jax.random.randint(key, (1000,), 0, 9)
fake = generate(g, z, asked)
read = classify(fake)
obeyed = [(read == c)[asked == c].mean() for c in range(10)]""",
    ),
)


def bank():
    """The ten snippets, their lines numbered, as text to print: no line is wider than 75."""
    parts = []
    for number, (symptom, _, code) in enumerate(BANK, start=1):
        lines = [f"  {i}  {line}" for i, line in enumerate(code.splitlines(), start=1)]
        head = textwrap.fill(f"[{number}] {symptom}", WIDTH, subsequent_indent="    ")
        parts.append("\n".join([head, *lines]))
    return "\n\n".join(parts)


def check_find_the_line(fn):
    """Counts what is right; says which are not, with their symptoms again, and never which line it is."""
    got, right = fn(), find_the_line()
    if isinstance(got, list | tuple) and len(got) == len(BANK):
        got = dict(enumerate(got, start=1))
    if isinstance(got, dict) and (strange := sorted(set(map(str, got)) - set(map(str, right)))):
        raise Mistake(f"There is no snippet {', '.join(strange)}: keys are 1 to {len(BANK)}.")
    if isinstance(got, dict) and len(got) < len(BANK):
        missing = [n for n in right if n not in got]
        raise Mistake(f"No answer for {', '.join(map(str, missing))} yet.")
    fit(got, right)
    wrong = []
    for number, (symptom, guilty, code) in enumerate(BANK, start=1):
        if int(got[number]) not in guilty:
            lines = code.splitlines()
            said = (
                f"line {got[number]} is innocent"
                if 1 <= int(got[number]) <= len(lines)
                else f"it has lines 1 to {len(lines)}"
            )
            wrong.append(f"\n[{number}] {said}: {symptom}")
    if wrong:
        raise Mistake(f"{len(BANK) - len(wrong)} of {len(BANK)} found." + "".join(wrong))


@define(
    "07.find_the_line",
    difficulty=2,
    minutes=15,
    check=check_find_the_line,
    hints=(
        "Go from the symptom: which number would have to be wrong to show this? Which line makes that number?",
        "Shapes in 3, 4, 5; what is random, and how often, in 3, 6, 10; ranges in 2, 9; who chooses what is shown in 8.",
        "In 3 the share should be uniform; in 4 sum over all axes but the first; in 5 a shape has an axis too many; in 6 the key "
        "never changes; in 7 read the word before 0.8; in 10 the upper end of randint is not included.",
    ),
)
def find_the_line():
    """{number of the snippet: number of its guilty line}, for all ten."""
    return {1: 2, 2: 1, 3: 1, 4: 4, 5: 2, 6: 3, 7: 3, 8: 2, 9: 2, 10: 1}
