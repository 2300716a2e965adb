"""A reading of a GAN's training in plain words, and the dashboard it is read from.

The limits in DISEASES were set on seeds 100 to 109 of a ring of eight clusters with small dense networks, and are tested on
seeds 0 to 9 (tests/test_clinic.py). Elsewhere take a finding for a suspicion, and "nothing found" for just that.
"""

import textwrap
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from gan_lib.losses import Loss, non_saturating
from gan_lib.plots import FAKE, JUDGE, REAL, Picture
from gan_lib.probes import LOOKS

STEPS = ("d_loss", "g_loss", "d_real", "d_fake", "g_grad")  # of a history, what a reading needs
GREY, PINK = "#555555", "#CC79A7"
WIDTH = 75  # of a printed line: what a cell shows beside a file browser


class Finding(NamedTuple):
    """name: of the disease. looks, of: in how many looks, of how many, it showed. why: what was seen. cure: what to try."""

    name: str
    looks: int
    of: int
    why: str
    cure: str


class Reading(NamedTuple):
    """name: of the first finding, or "nothing found", or "too early". Prints as sentences: what was found, looked at, and not."""

    name: str
    findings: tuple[Finding, ...]
    looked: str

    def __repr__(self):
        sure = lambda f: "sure" if f.looks >= 0.9 * f.of else "likely"
        said = [f"{f.name}: {sure(f)}, in {f.looks} of {f.of} looks. {f.why} Try: {f.cure}." for f in self.findings]
        said += ["Nothing found."] * (self.name == "nothing found")
        return "\n".join(textwrap.fill(line, WIDTH) for line in [*said, self.looked])


DISEASES = {  # name: (what it needs, is it so at a look?, what was seen, what to try), the first that shows names the reading
    "no gradient": (
        ("g_grad", "d_loss"),
        lambda w: ~np.isfinite(w["d_loss"] + w["g_grad"]) | (w["still"] > 0.5),
        "G's gradient is exactly 0, or something is not finite.",
        "softplus of logits in the losses, not log of a sigmoid; fakes made inside the function that is differentiated",
    ),
    "BatchNorm leak": (
        ("company",),
        lambda w: w["company"] > 1.2,
        "D judges a sample by its company: in a mixed batch its logits move by {company:.1f} of their own spread.",
        "no BatchNorm in D",
    ),
    "learning rate too high": (
        ("growth",),
        lambda w: w["growth"] > 12,
        "The weights of one player are {growth:.0f} times as long as at first.",
        "a tenth of the learning rate",
    ),
    "G too strong": (
        ("told",),
        lambda w: (w["told"] > 0.85) & (w["gap"] < 0.1 * w["best"]),
        "D cannot follow. A stranger tells {told:.0%} of the samples; the best D would have D(x) − D(G(z)) near "
        "{best:.2f}, this one has {gap:.2f}.",
        "more or larger steps for D; centred and scaled data",
    ),
    "oscillation": (
        ("told", "moved"),
        lambda w: (w["told"] > 0.85) & (w["moved"] > 0.3) & (w["worst"] > 1),
        "Fakes of the same latents move by {moved:.1f} of the data's spread from look to look, and D is worse than a coin at "
        "times, at least {worst:.2f} times: they have moved on since it learnt.",
        "less momentum, R1, smaller steps",
    ),
    "D too strong": (
        ("d_real", "d_fake"),
        lambda w: w["gap"] > 0.8,
        "D(x) − D(G(z)) is {gap:.2f}: hardly a sample is in doubt.",
        "larger steps for G, the non-saturating loss, R1",
    ),
    "collapse": (
        ("covered", "moved"),
        lambda w: (w["covered"] < 0.4) & (w["moved"] < 0.3),
        "Nothing moves, and only {covered:.0%} of the real samples have a fake among their nearest; of honest fakes it would "
        "be 97 %.",
        "other learning rates from the start, R1, packing",
    ),
}


def reading(history: Mapping, *, loss: Loss = non_saturating) -> Reading:
    """What the second half of a run shows, by the rules in DISEASES, which judge each look; half of the looks must agree.

    history: of one run, as `fit` returns it, best with the numbers of a Watch; without them only the losses, D's
    probabilities and the gradients are read, and the reading says so. loss: what was trained with.
    Raises ValueError where these are missing. Of fewer than 8 looks, as after an interrupt, it says that it is too early.
    """
    if missing := [name for name in ("step", *STEPS) if name not in history]:
        raise ValueError(f"history has no {', '.join(missing)}; expected what fit returns for a GAN, of one run.")
    w, span = windows(history, loss)
    if w is None:
        return Reading(
            "too early", (), f"Too early to say: {span}, and a reading needs {FEWEST}. Look more often, or train on."
        )
    found, skipped = [], []
    for name, (needs, shows, why, cure) in DISEASES.items():
        if any(need not in w for need in needs):
            skipped.append(name)
            continue
        with np.errstate(invalid="ignore"):
            at = np.broadcast_to(shows(w), len(w["step"]))
        if at.sum() * 2 >= len(at) > 0:
            middle = {k: float(np.median(v)) for k, v in w.items()}
            found.append(Finding(name, int(at.sum()), len(at), why.format(**middle), cure))
    looked = f"Looked at {len(w['step'])} looks, {span}: {', '.join(k for k in SHOWN if k in w)}."
    if skipped:
        looked += f" Not looked for, as fit had no Watch: {', '.join(skipped)}."
    if not found and "told" in w and np.median(w["told"]) > 0.85:
        looked = f"The fakes are bad still: a stranger tells {np.median(w['told']):.0%}. Train longer. {looked}"
    return Reading(found[0].name if found else "nothing found", tuple(found), looked)


SHOWN = (*STEPS, *LOOKS)
FEWEST = 8  # looks


def windows(history, loss):
    """({name: array, one entry for each look of the second half}, which steps these are). Metrics are means since the last.

    Of too few looks (None, how many).
    """
    step = np.asarray(history["step"])
    every = max(1, len(step) // 30)
    looked = "right" in history and ~np.isnan(history["right"])
    at = np.flatnonzero(looked) if "right" in history else np.arange(every - 1, len(step), every)
    if len(at) < FEWEST:
        return None, f"{len(at)} looks"
    late = at[len(at) // 2 :]
    starts = at[len(at) // 2 - 1 : -1] + 1
    parts = lambda x: [np.asarray(x, float)[a : b + 1] for a, b in zip(starts, late, strict=True)]
    mean = lambda x: np.array([part.mean() for part in parts(x)])
    w = {name: mean(history[name]) for name in STEPS}
    w |= {name: np.asarray(history[name])[late] for name in LOOKS if name in history}
    w["step"], w["still"], w["gap"] = step[late], mean(np.asarray(history["g_grad"]) == 0), w["d_real"] - w["d_fake"]
    # Two standard errors below the mean of a window, so that a single bad batch among few proves nothing.
    errors = [np.std(x, ddof=1) / len(x) ** 0.5 for x in parts(history["d_loss"])] if min(late - starts) > 0 else 0
    w["worst"] = np.full(len(late), (w["d_loss"] - 2 * np.asarray(errors)).max() / max(reference(loss)[0], 1e-9))
    w["best"] = 2 * w["told"] - 1 if "told" in w else np.full(len(late), np.nan)
    return w, f"steps {step[starts[0]]:,} to {step[late[-1]]:,}"


# --- the dashboard --------------------------------------------------------------------------------------------------

PANELS = {  # title: [(name in the history, label, colour)]
    "losses": [("d_loss", "D", JUDGE), ("g_loss", "G", FAKE)],
    "D's verdicts": [("d_real", "D(x)", REAL), ("d_fake", "D(G(z))", FAKE)],
    "gradients": [("d_grad", "D", JUDGE), ("g_grad", "G", FAKE)],
    "who can tell": [("told", "a stranger", GREY), ("right", "D", JUDGE)],
    "variety": [("covered", "covered", FAKE), ("spread", "spread", PINK), ("kinds", "kinds", REAL)],
    "motion": [("moved", "moved", FAKE), ("growth", "growth", JUDGE), ("company", "company", PINK)],
}


@lru_cache
def reference(loss: Loss) -> tuple[float, float]:
    """(D's loss, G's loss) of a D that gives all samples one score: the one that costs D least, nearest to 0.

    2 log 2 and log 2 for the non-saturating loss, a quarter and an eighth for least squares, 2 and 0 for the hinge.
    """
    scores = np.linspace(-1, 1, 201)
    costs = [float(loss.discriminator(jnp.full(2, s), jnp.full(2, s))) for s in scores]
    best = min((round(cost, 5), round(abs(s), 5), s) for cost, s in zip(costs, scores, strict=True))[2]
    same = jnp.full(2, best)
    return float(loss.discriminator(same, same)), float(loss.generator(same, same))


def chart(
    history: Mapping, *, loss: Loss = non_saturating, most: int | None = None, title: str | None = None
) -> Figure:
    """The dashboard: six panels over the steps. Bands reach from the lowest to the highest seed, lines are medians.

    history: of one run, arrays (steps,), as `fit` returns it; or of several, (seeds, steps). What a Watch would have
    measured stays empty without one. loss: for the reference lines, dotted. most: how many kinds there are; "kinds" is drawn
    over it. Raises ValueError on what is no history.
    """
    if missing := [name for name in ("step", *STEPS) if name not in history]:
        raise ValueError(f"history has no {', '.join(missing)}; expected what fit returns for a GAN.")
    figure = Picture(10.4, 1.9 + 0.25 * bool(title))
    step, (d_line, g_line) = np.asarray(history["step"]), reference(loss)
    gone = ~np.isfinite(np.atleast_2d(history["d_loss"]))  # what a comparison with NaN says means nothing
    levels = {"losses": (d_line, g_line), "D's verdicts": (0.5,), "who can tell": (0.5,), "variety": (1.0,)}
    for ax, (panel, lines) in zip(figure.subplots(1, 6), PANELS.items(), strict=True):
        for name, label, colour in lines:
            if name in history:
                values = np.where(gone, np.nan, np.atleast_2d(history[name])) / ((name == "kinds" and most) or 1)
                x, low, middle, high = _band(step, values)
                ax.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
                ax.plot(x, middle, color=colour, lw=1.2, label=label)
        for level in levels.get(panel, ()):
            ax.axhline(level, color=GREY, ls=":", lw=0.8)
        if panel in ("gradients", "motion") and not gone.all():
            ax.set_yscale("symlog", linthresh=1e-3 if panel == "gradients" else 1.0, linscale=0.5)
            ax.set_ylim(top=ax.get_ylim()[1] ** 1.5 + 2)
        if panel in ("D's verdicts", "who can tell", "variety"):
            ax.set_ylim(0, 1.5)
        if panel == "losses":
            ax.set_ylim(min(0, 1.5 * g_line), 3.5 * max(d_line, 0.7))
        ax.set_title(panel, fontsize=9)
        ax.tick_params(labelsize=7)
        ax.set_xticks([0, step[-1]])
        if ax.lines:
            ax.legend(fontsize=6.5, loc="upper right", handlelength=1, borderpad=0.1, labelspacing=0.2)
    figure.suptitle(title or "", fontsize=10, x=0.01, ha="left")
    return figure


def _band(step, values):
    """(steps, lowest, median, highest) over the seeds; of what every step has, means over a thirtieth of the run."""
    with np.errstate(all="ignore"):
        if np.isnan(values).all(0).any():  # measured at looks
            at = ~np.isnan(values).all(0)
            x, values = step[at], values[:, at]
        else:
            width = max(1, len(step) // 30)
            cut = len(step) - len(step) % width
            x, values = step[width - 1 : cut : width], values[:, :cut].reshape(len(values), -1, width).mean(-1)
        if not values.size:
            return x, *3 * (np.zeros(0),)
        return x, *np.quantile(values, (0, 0.5, 1), axis=0)
