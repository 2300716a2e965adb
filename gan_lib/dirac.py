"""Dirac-GAN, a game of two numbers that shows where a way of training leads.

The data is the point 0, the generator makes the point θ, and the discriminator gives x the logit ψ·x: high on what it
takes for real. D minimises L(θ, ψ) = softplus(ψθ) + log 2, what the two samples cost it, and G maximises that. A method is
a vector field (v_θ, v_ψ), the direction in which each player moves; (0, 0) is the equilibrium.
Mescheder, Geiger, Nowozin 2018, arXiv 1801.04406: section 2 (the game, the steps), 3 and 4.1 (the methods). Their D is
high on fakes: their ψ is −ψ here.
"""

import math
from collections.abc import Callable
from numbers import Integral, Real

import numpy as np

METHODS = ("gan", "nsgan", "wgan_clip", "wgan_gp", "r1", "consensus")


def sigmoid(t):
    """σ(t) = 1/(1 + e^−t), the slope of softplus, for floats and arrays, without overflow."""
    return np.exp(-np.logaddexp(0, -t))


def gan(theta, psi):
    """The unregularised field: the slope of L in θ, minus the slope of L in ψ."""
    return psi * sigmoid(theta * psi), -theta * sigmoid(theta * psi)


def nsgan(theta, psi):
    """G descends softplus(−ψθ), the non-saturating loss, instead of climbing L."""
    return psi * sigmoid(-theta * psi), -theta * sigmoid(theta * psi)


def wgan(theta, psi):
    """ψθ in place of softplus(ψθ): a rotation."""
    return psi, -theta


def wgan_gp(theta, psi, weight, target):
    """WGAN; D pays weight/2 · (|ψ| − target)². At ψ = 0 the penalty has no slope, and is given none."""
    return psi, -theta - np.sign(psi) * weight * (np.abs(psi) - target)


def r1(theta, psi, gamma):
    """GAN; D pays gamma/2 · ψ², half the squared slope of its logit."""
    return psi * sigmoid(theta * psi), -theta * sigmoid(theta * psi) - gamma * psi


def consensus(theta, psi, gamma):
    """GAN; both players pay gamma · ½‖v‖² for the size of the GAN's field v, with its full gradient.

    ½‖v‖² = ½(θ² + ψ²) σ(θψ)², and σ′(t) = σ(t) σ(−t). Introduced by Mescheder et al. 2017, arXiv 1705.10461.
    """
    t, squared = theta * psi, theta**2 + psi**2
    bent = sigmoid(t) * sigmoid(-t)
    in_theta = theta * sigmoid(t) ** 2 + squared * sigmoid(t) * bent * psi
    in_psi = psi * sigmoid(t) ** 2 + squared * sigmoid(t) * bent * theta
    return psi * sigmoid(t) - gamma * in_theta, -theta * sigmoid(t) - gamma * in_psi


def field(method: str, *, weight: float = 1.0, target: float = 1.0, gamma: float = 1.0) -> Callable:
    """The vector field of a method: a function (theta, psi) -> (v_theta, v_psi) of floats, or of arrays of one shape.

    method: one of METHODS. weight, target ≥ 0 belong to "wgan_gp", gamma ≥ 0 to "r1" and "consensus". "wgan_clip" is
    the plain WGAN here: clipping is part of the step. Raises ValueError on anything else.
    """
    for name, value in dict(weight=weight, target=target, gamma=gamma).items():
        _check(name, value, isinstance(value, Real) and 0 <= value < math.inf, "a finite number of at least 0")
    fields = {
        "gan": gan,
        "nsgan": nsgan,
        "wgan_clip": wgan,
        "wgan_gp": lambda theta, psi: wgan_gp(theta, psi, weight, target),
        "r1": lambda theta, psi: r1(theta, psi, gamma),
        "consensus": lambda theta, psi: consensus(theta, psi, gamma),
    }
    if not isinstance(method, str) or method not in fields:
        raise ValueError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}, or pass a function.")
    return fields[method]


def trajectory(
    method: str | Callable,
    *,
    start=(1.0, 1.0),
    step_size: float = 0.2,
    steps: int = 500,
    alternating: bool = False,
    clip: float = 1.0,
    weight: float = 1.0,
    target: float = 1.0,
    gamma: float = 1.0,
) -> np.ndarray:
    """The path (θ, ψ) of both players: float64 of shape (steps + 1, 2), `start` first.

    method: one of METHODS, or a field of your own, a function (theta, psi) -> (v_theta, v_psi).
    step_size: h > 0 in θ ← θ + h·v_θ, ψ ← ψ + h·v_ψ. alternating: False moves both from the same point; True moves ψ
        (D), then θ (G) along the field at the new ψ.
    clip: "wgan_clip" alone puts ψ back into [−clip, clip] after every update; math.inf leaves the plain WGAN.
    weight, target: the gradient penalty weight/2 · (|ψ| − target)² of "wgan_gp". gamma: of "r1" and "consensus".

    A path that leaves the range of float64 goes on as inf and nan. Raises ValueError on an unknown method and on sizes
    that make no sense.
    """
    start = np.asarray(start, float)
    _check("start", start.tolist(), start.shape == (2,) and np.isfinite(start).all(), "two finite numbers (θ, ψ)")
    _check("step_size", step_size, isinstance(step_size, Real) and 0 < step_size < math.inf, "a finite number above 0")
    _check("steps", steps, isinstance(steps, Integral) and steps >= 0, "a whole number of at least 0")
    _check("clip", clip, isinstance(clip, Real) and clip > 0, "a number above 0")
    move = method if callable(method) else field(method, weight=weight, target=target, gamma=gamma)
    limit = clip if method == "wgan_clip" else math.inf
    path = np.empty((steps + 1, 2))
    path[0] = theta, psi = start
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(1, steps + 1):
            v_theta, v_psi = move(theta, psi)
            psi = np.clip(psi + step_size * v_psi, -limit, limit)
            if alternating:
                v_theta = move(theta, psi)[0]
            theta = theta + step_size * v_theta
            path[i] = theta, psi
    return path


def _check(name, value, fine, wanted):
    if not fine:
        raise ValueError(f"{name} is {value!r}, expected {wanted}.")
