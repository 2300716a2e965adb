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


class Situation(NamedTuple):
    """settings: what differs from the playground's own. steps: of its film. section: notebook and heading that explain it."""

    settings: dict
    steps: int
    question: str
    section: str


SITUATIONS: dict[str, Situation] = {
    "circling": Situation(
        dict(data="cluster", size=16, momentum=0.9, g_rate=3e-3, d_rate=3e-3), 1000,
        "Do the fakes come to rest on the data?", "03 · Springs in networks",
    ),
}  # fmt: skip
