"""What can be set in the playground, and its prepared situations: settings, a question, and where the course explains it."""

from typing import NamedTuple

import numpy as np

from gan_lib.data import Mixture, grid, ring, spiral, two_moons
from gan_lib.losses import LOSSES

BRUSH = 0.05  # noise around each place that is drawn
DATA = {
    "cluster": lambda: Mixture([[0.8, 0.6]], 0.2),
    "ring": lambda: ring(8, 1.0, 0.02),
    "grid": lambda: grid(5, 0.55, 0.02),
    "spiral": lambda: spiral(1.5, 1.3, 0.04),
    "moons": lambda: two_moons(0.9, 0.05),
    "own": lambda: Mixture([[0.0, 0.0]], BRUSH),  # until something is drawn
}
CHOICES = {"data": tuple(DATA), "loss": tuple(LOSSES), "size": (16, 64, 128)}
RANGES = {  # (lowest, highest)
    "g_rate": (0.0, 0.1),
    "d_rate": (0.0, 0.1),
    "momentum": (0.0, 0.95),
    "gamma": (0.0, 100.0),
    "d_steps": (1, 20),
    "speed": (1, 200),
    "seed": (0, 2**31 - 1),
}
WHOLE = ("d_steps", "speed", "seed")
CONTROLS = ("g_rate", "d_rate", "momentum", "gamma", "d_steps")  # what the compiled step takes as numbers
START = {"data": "ring", "loss": "non_saturating", "size": 64, "seed": 0, "speed": 10}
START |= {"g_rate": 3e-3, "d_rate": 1e-3, "momentum": 0.5, "gamma": 0.0, "d_steps": 1}


class Situation(NamedTuple):
    """settings: what differs from the playground's own. steps: of its film. section: notebook and heading that explain it."""

    settings: dict
    steps: int
    question: str
    section: str


SWING = dict(data="cluster", size=16, momentum=0.9, g_rate=3e-3, d_rate=3e-3)
AHEAD = dict(d_rate=1e-2, g_rate=1e-3, d_steps=5)
SPRINGS, HOPPING = "03 · Springs in networks", "02 · 3a. Hopping: it can recover"
TWO_LOSSES = "01 · Two losses for the generator"
SITUATIONS: dict[str, Situation] = {
    "circling": Situation(
        SWING, 1000, "Do the fakes come to rest on the data? Which one knob alone stops the swing?", SPRINGS
    ),
    "friction": Situation(
        {**SWING, "gamma": 30.0}, 1000, "The same with R1, γ = 30: does it overshoot, does it end? How about γ = 1?", SPRINGS
    ),
    "a ring": Situation(
        {}, 2000, "Does each cluster get its fakes one after the other, or all together?",
        "02 · The library's step, and a better recipe",
    ),
    "a slow D": Situation(
        dict(d_rate=1e-4), 1500, "D learns thirty times more slowly than G: who runs after whom?", HOPPING
    ),
    "a frozen D": Situation(
        dict(d_rate=0.0), 400, "D never answers: where do the fakes end, and what does D say of them?", HOPPING
    ),
    "D ahead, saturating": Situation(
        {**AHEAD, "loss": "minimax"}, 1500, "D is far ahead, G minimises log(1 − D(G(z))): can it still move?", TWO_LOSSES
    ),
    "D ahead, non-saturating": Situation(
        AHEAD, 1500, "The same D against −log D(G(z)): what differs in the arrows?", TWO_LOSSES
    ),
    "R1 cures it": Situation(
        {**AHEAD, "loss": "minimax", "gamma": 1.0}, 1500,
        "G saturates, D is far ahead, and pays for its slope: what can G do that it could not without γ?", "03 · Friction",
    ),
    "a critic without a leash": Situation(
        dict(loss="wasserstein"), 1500, "Nothing holds the critic's slope: what do the losses do? Then γ = 1?",
        "08 · Weight clipping",
    ),
    "25 modes": Situation(
        dict(data="grid"), 3000, "How many of the 25 modes are found, and kept? Change the loss to relativistic, then γ?",
        "12 · The ladder",
    ),
    "a small network": Situation(
        dict(data="spiral", size=16), 3000, "Which parts of the spiral are left out? Does time help, or more units?",
        "02 · Score it",
    ),
    "a rush": Situation(
        dict(g_rate=4e-2, d_rate=2e-2), 1000, "Rates ten times too high. Lower them after 1,000 steps: what comes back?",
        "02 · 3b. Modes that stay lost",
    ),
}  # fmt: skip


def for_a_page() -> dict:
    """All of this as plain lists and numbers, for playground.js on a page without a kernel."""
    data = {name: make() for name, make in DATA.items()}
    return {
        "start": START,
        "choices": CHOICES,
        "situations": {name: about._asdict() for name, about in SITUATIONS.items()},
        "data": {
            name: {"means": np.round(mixture.means, 4).tolist(), "std": mixture.std} for name, mixture in data.items()
        },
    }


def checked(name, value):
    """A setting, or ValueError."""
    if name in CHOICES:
        if isinstance(value, bool) or value not in CHOICES[name]:
            raise ValueError(f"{name} is {value!r}; there are {', '.join(map(str, CHOICES[name]))}.")
        return value
    if name not in RANGES:
        raise ValueError(f"There is no setting {name!r}; there are {', '.join(START)}.")
    low, high = RANGES[name]
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not low <= value <= high or (name in WHOLE and value != int(value)):
        kind = "a whole number" if name in WHOLE else "a number"
        raise ValueError(f"{name} is {value!r}; expected {kind} from {low:g} to {high:g}.")
    return int(value) if name in WHOLE else float(value)
