"""The playground: the four-layer picture live, on `GAN.step` itself, with sliders that nothing recompiles for.

`Playground("circling")` as a cell's last expression shows a film of that situation, made here, and below it, where
anywidget is installed, the live picture (live.py). From Python: `set`, `draw`, `paste`, `reset`, `run`, `view`, `film`.
Everything happens in the square from −LIMIT to LIMIT. The rates and the like are arguments of the compiled step; only
another loss or another network size compiles anew.
"""

import math
import re
from copy import copy
from functools import lru_cache, partial, wraps
from itertools import pairwise
from threading import RLock
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_lib.arrays import as_float64, check_whole
from gan_lib.data import Mixture
from gan_lib.gan import GAN, Pair
from gan_lib.live import MISSING, widget
from gan_lib.losses import LOSSES
from gan_lib.metrics import mode_coverage
from gan_lib.nets import MLP
from gan_lib.notebook import say
from gan_lib.penalties import ZeroCentred
from gan_lib.plots import FAKE, JUDGE, REAL, SURFACE, Animation, Picture, animation
from gan_lib.situations import BRUSH, CHOICES, CONTROLS, DATA, RANGES, SITUATIONS, START, checked

LIMIT, BATCH = 1.6, 128  # half the width of the picture; samples in a batch
SIDE, FAKES, ARROWS = 41, 300, 60  # of a view: places of D's surface along a side, fakes, those with an arrow
POINTS, OWN = 4096, 400  # points of the data; drawn places at most


class View(NamedTuple):
    """What is seen of a state: the four layers, as arrays, and the numbers."""

    step: int
    surface: np.ndarray  # D(x), uint8 (SIDE, SIDE), 0 fake and 255 real, rows from the lowest up
    fake: np.ndarray  # float32 (FAKES, 2)
    push: np.ndarray  # float32 (ARROWS, 2): minus the slope of each fake's own loss, of the first fakes
    numbers: dict[str, float]  # d_real, d_fake, d_loss, g_loss, found: the share of the modes


# --- what is compiled ------------------------------------------------------------------------------------------------


@lru_cache
def networks(size: int):
    """(G, D), both with two hidden layers of `size` ReLUs; as functions of rngs, always the same ones."""
    return partial(MLP, (2, size, size, 2)), partial(MLP, (2, size, size, 1), shape=())


def gan_of(size: int, loss: str, controls: dict) -> GAN:
    """The GAN that is played with: Adam, R1, no averaging. The numbers of `controls` may be traced.

    G moves in every d_steps-th step alone, and D in each (Goodfellow et al. 2014, algorithm 1: k = d_steps).
    """
    adam = lambda rate: optax.adam(rate, b1=controls["momentum"])
    its_turn = lambda number: (number + 1) % controls["d_steps"] == 0
    optimizer = Pair(optax.conditionally_mask(adam(controls["g_rate"]), its_turn), adam(controls["d_rate"]))
    parts = dict(loss=LOSSES[loss], latent_dim=2, optimizer=optimizer, averaging=0)
    return GAN(*networks(size), **parts, penalty=ZeroCentred(r1=controls["gamma"]))


@partial(jax.jit, static_argnames=("size", "loss"))
def _begin(key, *, size, loss):
    return gan_of(size, loss, START).init(key)


@partial(jax.jit, static_argnames=("size", "loss"))
def _advance(state, points, key, controls, steps, *, size, loss):
    """(State after `steps` steps, means of their metrics). Batches and keys are those of training.fit."""
    gan = gan_of(size, loss, controls)

    def one(_, carry):
        state, total = carry
        batch_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        chosen = jax.random.randint(batch_key, (BATCH,), 0, len(points))
        state, metrics = gan.step(state, points[chosen], step_key)
        return state, jax.tree.map(jnp.add, total, metrics)

    measured = jax.eval_shape(gan.step, state, points[:BATCH], key)[1]
    nothing = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), measured)
    state, total = jax.lax.fori_loop(0, steps, one, (state, nothing))
    return state, jax.tree.map(lambda m: m / steps, total)


@partial(jax.jit, static_argnames=("size", "loss"))
def _look(state, z, real, *, size, loss):
    """(D on the square's lattice, as bytes; fakes for z; where the first of them are pushed)."""
    gan = gan_of(size, loss, START)
    side = jnp.linspace(-LIMIT, LIMIT, SIDE)
    lattice = jnp.stack(jnp.meshgrid(side, side), axis=-1).reshape(-1, 2)
    surface = jax.nn.sigmoid(gan.logits(state, lattice)).reshape(SIDE, SIDE)
    fake = gan.generate(state, z, average=False)
    of_g = lambda x: gan.loss.generator(gan.logits(state, real[:ARROWS]), gan.logits(state, x))
    push = -ARROWS * jax.grad(of_g)(fake[:ARROWS])  # the loss is a mean: times their number, each one's own slope
    return jnp.round(255 * surface).astype(jnp.uint8), fake, push


# --- what is played with ---------------------------------------------------------------------------------------------


def _alone(method):
    """One thread at a time."""

    @wraps(method)
    def wrapped(self, *args, **kwargs):
        with self.lock:
            return method(self, *args, **kwargs)

    return wrapped


class Playground:
    """A GAN in the plane that is trained while you look and turn knobs.

    situation: a name of SITUATIONS, or "" for the ring of notebook 02. settings: what differs from it; see `set`.
    Shown as a cell's last expression it is a film and, with anywidget, the live picture.
    """

    def __init__(self, situation: str = "", **settings):
        self.lock, self.about = RLock(), None  # a lock: the live picture trains in a thread of its own
        self.settings, self.mixture = dict(START), DATA["ring"]()
        if situation:
            self.enter(situation)
        self.set(**settings)
        self.reset()

    @_alone
    def set(self, **settings) -> None:
        """Turn knobs while it trains, or before.

        g_rate, d_rate: Adam's, in [0, 0.1]. momentum: its b1, in [0, 0.95]. gamma: γ of R1 (penalties.py). d_steps: of D
        for each of G. speed: steps from picture to picture. These apply from the next step on, and nothing compiles anew.
        loss: a name of losses.LOSSES; also from the next step on. size: units of a hidden layer, 16, 64 or 128; seed: of
        weights and noise; data: a name of DATA. A new size or seed starts the training anew; new data do not.
        Raises ValueError on other names and numbers out of range, and then changes nothing.
        """
        new = {name: checked(name, value) for name, value in settings.items()}
        before, self.settings = self.settings, {**self.settings, **new}
        if new.get("data", before["data"]) != before["data"]:
            self.mixture = DATA[new["data"]]()
            self._fill()
        if hasattr(self, "state") and any(self.settings[name] != before[name] for name in ("size", "seed")):
            self.reset()

    @_alone
    def draw(self, points) -> None:
        """Take points (n, 2) of the square, 1 to 400 of them, each with noise of BRUSH, for data: what is drawn by mouse."""
        points = as_float64(points, "points")
        if points.ndim != 2 or points.shape[1] != 2 or not 1 <= len(points) <= OWN or np.abs(points).max() > LIMIT:
            raise ValueError(
                f"draw takes 1 to {OWN} points (n, 2) between −{LIMIT} and {LIMIT}; got an array of shape {points.shape}. "
                "`paste` scales points of any size."
            )
        self.settings = {**self.settings, "data": "own"}
        self.mixture = Mixture(points, BRUSH)
        self._fill()

    def paste(self, text: str) -> None:
        """Take points from text, a line each: x and y, with a comma, a semicolon, a tab or blanks between them.

        A first line of words is passed over. Moved and scaled, alike in both directions, to fit the square; of more than
        400, 400 spread over the lines. Raises ValueError with the line that cannot be read.
        """
        lines = [line for line in text.splitlines() if line.strip()]
        pairs = []
        for number, line in enumerate(lines, start=1):
            try:
                pair = [float(word) for word in re.split(r"[,;\s]+", line.strip())]
                if len(pair) != 2 or not all(map(math.isfinite, pair)):
                    raise ValueError
                pairs.append(pair)
            except ValueError:
                if number > 1:
                    raise ValueError(
                        f"Line {number} is {line[:40]!r}; expected two numbers, such as 0.5, 1.2."
                    ) from None
        if not pairs:
            raise ValueError("There are no points in the text; expected lines of two numbers, such as 0.5, 1.2.")
        points = np.array(pairs)
        points = points[np.linspace(0, len(points) - 1, min(len(points), OWN)).astype(int)]
        middle = (points.max(axis=0) + points.min(axis=0)) / 2
        reach = np.abs(points - middle).max() or 1.0
        self.draw((points - middle) / reach * 1.3)

    @_alone
    def reset(self) -> None:
        """Start anew: weights and noise of the seed, step 0."""
        begin, train, noise = jax.random.split(jax.random.key(self.settings["seed"]), 3)
        self.key, self.state = train, _begin(begin, **self._parts())
        self.z = jax.random.normal(noise, (1000, 2))
        self.metrics = {}
        self._fill()

    @_alone
    def run(self, steps: int) -> dict[str, float]:
        """Train for so many steps, 1 or more, with the settings as they are. Returns the means of what GAN.step measures."""
        check_whole(steps, "steps", 1)
        numbers = {name: float(self.settings[name]) for name in CONTROLS}
        numbers["d_steps"] = int(numbers["d_steps"])
        args = self.state, self.points, self.key, numbers, int(steps)
        self.state, metrics = _advance(*args, **self._parts())
        self.metrics = {name: float(value) for name, value in metrics.items()}
        return self.metrics

    @_alone
    def view(self) -> View:
        """What is to be seen now. Numbers that are not finite mean that the training is broken: `reset`."""
        surface, fake, push = map(np.asarray, _look(self.state, self.z, self.points, **self._parts()))
        sound = np.isfinite(fake).all()
        found = mode_coverage(fake, self.mixture).modes / len(self.mixture.means) if sound else 0.0
        names = "d_real", "d_fake", "d_loss", "g_loss"
        numbers = {name: self.metrics.get(name, math.nan) for name in names} | {"found": found}
        return View(int(self.state.step), surface, fake[:FAKES], push, numbers)

    def film(self, steps: int = 0, frames: int = 10, seconds: float = 4.0) -> Animation:
        """The same from its start, with the settings as they are, as an animation. steps: default, the situation's or 1,500.

        The playground itself stays where it is.
        """
        other = copy(self)
        other.lock = RLock()
        other.reset()
        steps = steps or (self.about.steps if self.about else 1500)
        marks = np.unique(np.round(steps * np.linspace(0, 1, frames) ** 1.5).astype(int))  # closer together at first
        views = [other.view()]
        for before, mark in pairwise(marks.tolist()):
            other.run(mark - before)
            views.append(other.view())
        real = np.asarray(other.points[:300])
        return animation([_frame(views[: n + 1], real, steps) for n in range(len(views))], seconds=seconds, colours=20)

    def choices(self) -> dict:
        """What the knobs offer: {name: values} and {name: (lowest, highest)}."""
        return {**CHOICES, **RANGES}

    def enter(self, situation: str) -> None:
        """Take the settings of a situation, and start anew."""
        if situation not in SITUATIONS:
            raise ValueError(f"There is no situation {situation!r}; there are {', '.join(SITUATIONS)}.")
        with self.lock:
            self.about = SITUATIONS[situation]
            self.set(**{**START, **self.about.settings})
            self.reset()

    def _ipython_display_(self):
        from IPython.display import display

        display(self.film())
        shown = widget(self)
        say(MISSING) if shown is None else display(shown)

    @property
    def gan(self) -> GAN:
        """The GAN with the settings as they are: `step` of it is what `run` repeats."""
        return gan_of(self.settings["size"], self.settings["loss"], self.settings)

    def _parts(self):
        return {name: self.settings[name] for name in ("size", "loss")}

    def _fill(self):
        """The data's points, of one number whatever they are, so that nothing compiles for others."""
        self.points = self.mixture.sample(jax.random.key(1), POINTS)


def _frame(views, real, steps):
    """The last of the views in four layers, with the curves so far beside it."""
    now, figure = views[-1], Picture(4.2, 2.6)
    places = figure.add_gridspec(2, 2, width_ratios=(2.1, 1))
    ax = figure.add_subplot(places[:, 0])
    square, arrow = (-LIMIT, LIMIT), 0.25
    ax.imshow(now.surface, extent=2 * square, origin="lower", cmap=SURFACE, vmin=0, vmax=255, interpolation="bilinear")
    ax.scatter(*real.T, s=14, color=REAL, alpha=0.5, lw=0)
    push = now.push * np.minimum(arrow, 0.5 / np.maximum(np.linalg.norm(now.push, axis=1, keepdims=True), 1e-9))
    ax.quiver(*now.fake[:ARROWS].T, *push.T, angles="xy", scale_units="xy", scale=1, width=0.004, color="#333333")
    ax.scatter(*now.fake.T, s=5, color=FAKE, lw=0, zorder=4)
    ax.set(xlim=square, ylim=square, xticks=[], yticks=[], aspect="equal", title=f"step {now.step:,}")
    ax.spines[:].set_visible(False)
    curves = {"d_real": ("D(x)", REAL), "d_fake": ("D(G(z))", FAKE)}, {"found": ("modes found", JUDGE)}
    for row, lines in enumerate(curves):
        ax = figure.add_subplot(places[row, 1])
        for name, (label, colour) in lines.items():
            ax.plot([v.step for v in views], [v.numbers[name] for v in views], color=colour, lw=1.2, label=label)
        ax.set(xlim=(0, steps), ylim=(0, 1.02), xticks=[], yticks=[0, 0.5, 1])
        ax.tick_params(labelsize=7)
        ax.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=2, handlelength=1, borderpad=0)
    return figure
