"""Notebook 03, dynamics: references, hints and checks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.dirac import slope
from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import jitted, no_loop
from gan_lib.exercises.compare import close, fit, kind_of, recognise

# What is expected is computed by NumPy in float64: independent of the reader's code, and nothing to compile.


def game(rng):
    """A smooth random field (theta, psi) -> (v_theta, v_psi) with an equilibrium at (0, 0), and its Jacobian there.

    It bends along both axes, so that a large difference gives another Jacobian.
    """
    a = rng.normal(0, 1, (2, 2))
    b = rng.normal(0, 0.3, 2)
    c = rng.uniform(0.5, 1.0, 4)

    def field(theta, psi):
        return (
            a[0, 0] * theta + a[0, 1] * psi + b[0] * theta * psi + c[0] * theta**3 - c[1] * psi**3,
            a[1, 0] * theta + a[1, 1] * psi + b[1] * theta**2 + c[2] * theta**3 - c[3] * psi**3,
        )

    return field, a


def pair(got, first, second):
    """`got` as a tuple, be it a tuple, a list or an array of two; a Mistake if it is not two things."""
    if got is None:
        return got
    if not isinstance(got, tuple | list | np.ndarray | jax.Array) or np.shape(got)[:1] != (2,):
        raise Mistake(f"Return two numbers, `{first}, {second}`; you return {kind_of(got)}.")
    return tuple(got)


# --- 03.step --------------------------------------------------------------------------------------------------------


def check_step(fn):
    """Random fields, both kinds of step."""
    rng = np.random.default_rng(1)
    for _ in range(3):
        field, _ = game(rng)
        theta, psi = map(float, rng.normal(0, 1, 2))
        rate = float(rng.uniform(0.1, 0.5))
        v, w = field(theta, psi)
        new = theta + rate * v
        at_once, in_turn = (new, psi + rate * w), (new, psi + rate * field(new, psi)[1])
        for alternating, expected, other in [(False, at_once, in_turn), (True, in_turn, at_once)]:
            got = pair(fn(field, theta, psi, rate, alternating), "theta", "psi")
            new_psi = psi + rate * w
            suspects = [
                (
                    other,
                    "Both players should move from where they stand, but your ψ moves along the field at the new θ: "
                    "θ is overwritten too early. That is the alternating step."
                    if not alternating
                    else "With alternating=True ψ should see the new θ, but yours moves along the field at the old one: "
                    "ask the field again after θ has moved.",
                ),
                (expected[::-1], "Right, in the wrong order: return θ, then ψ."),
                ((rate * v, expected[1] - psi), "You return the movements. Add them to θ and ψ."),
                ((theta - rate * v, psi - rate * w), "Minus? The field already points where each player wants to go."),
                (
                    (theta - rate * v, psi - rate * field(theta - rate * v, psi)[1]),
                    "Minus? The field already points where each player wants to go.",
                ),
                ((theta + v, psi + w), "Your step has length 1: multiply the field by `rate`."),
                ((theta + v, psi + field(theta + v, psi)[1]), "Your step has length 1: multiply the field by `rate`."),
                (
                    (theta + rate * field(theta, new_psi)[0], new_psi),
                    "Your ψ moves first. θ moves first, then ψ at the new θ.",
                ),
                (
                    (theta + rate * field(new, psi)[0], expected[1]),
                    "Your θ moves by the field at the new θ. Only ψ asks the field a second time.",
                ),
                (
                    (new, psi + rate * field(new, psi)[0]),
                    "ψ moves along the field's first entry. The second one is its own.",
                ),
                ((v, w), "You return the field. A step is θ + rate·v_θ, ψ + rate·v_ψ."),
                (
                    (theta * (1 + rate * v), psi * (1 + rate * w)),
                    "You multiply by the movement. Add it: θ + rate·v_θ.",
                ),
                *[
                    (
                        (theta + rate * a, psi + rate * b),
                        "You ask the field at (ψ, θ). Its first argument is θ.",
                    )
                    for a, b in (field(psi, theta),)
                ],
                ((theta, psi), "You return where the players stood. A step is θ + rate·v_θ, ψ + rate·v_ψ."),
                ((new, psi), "ψ has not moved. A step is θ + rate·v_θ, ψ + rate·v_ψ."),
                ((theta, psi + rate * w), "θ has not moved. A step is θ + rate·v_θ, ψ + rate·v_ψ."),
                *[
                    (
                        (theta - sign * rate * v, psi + sign * rate * field(theta - sign * rate * v * turns, psi)[1]),
                        "One player walks against the field, as if it held slopes. It already points where each wants to go.",
                    )
                    for sign in (1, -1)
                    for turns in (0, 1)
                ],
                *[
                    (
                        (
                            theta + rate * times * v,
                            psi + rate * times * field(theta + turns * rate * times * v, psi)[1],
                        ),
                        f"Your step has the length {length}.",
                    )
                    for times, length in ((0.5, "rate/2"), (2, "2·rate"), (rate, "rate²"))
                    for turns in (0, 1)
                ],
                (
                    (new, psi + rate * field(v, psi)[1]),
                    "In turn, ψ asks the field at the direction v_θ. Ask it where θ is now.",
                ),
                *[
                    (
                        (new, new_psi + rate * field(new, start)[1]),
                        "Your ψ moves twice: once from where both stood, and once more. One step each.",
                    )
                    for start in (psi, new_psi)
                ],
                (
                    (new, psi + rate * field(new, new_psi)[1]),
                    "Your ψ asks the field at its own new place, too. Only θ has moved by then.",
                ),
                (
                    (theta + rate * w, psi + rate * v),
                    "The field's entries are exchanged: the first is v_θ, the second v_ψ.",
                ),
                (
                    (theta + rate * field(theta, new_psi)[0], psi + rate * field(new, psi)[1]),
                    "Each player answers the other's move. θ moves first, from where both stood; only ψ answers.",
                ),
            ]
            recognise(got, *suspects, right=expected)
            inputs = {"theta": theta, "psi": psi, "rate": rate, "alternating": str(alternating)}
            same(got, expected, inputs=inputs, rtol=1e-4, atol=1e-5, what="new (θ, ψ)")


@define(
    "03.step",
    difficulty=1,
    minutes=5,
    check=check_step,
    hints=(
        "field(theta, psi) returns two numbers, one for each player. Ask it before anybody moves.",
        "The first line is v_theta, v_psi = field(theta, psi), the second moves θ. If alternating, the world has changed "
        "before ψ moves: whom do you ask?",
        "After theta = theta + rate * v_theta: if alternating, v_psi = field(theta, psi)[1]. "
        "Then return theta, psi + rate * v_psi.",
    ),
)
def step(field, theta, psi, rate, alternating):
    """(theta, psi) after one step of size rate along field.

    field(theta, psi) is (v_theta, v_psi); θ moves first if alternating.
    """
    v_theta, v_psi = field(theta, psi)
    theta = theta + rate * v_theta
    if alternating:
        v_psi = field(theta, psi)[1]
    return theta, psi + rate * v_psi


# --- 03.eigenvalues -------------------------------------------------------------------------------------------------


def noisy(theta, psi):
    """The notebook's field with instance noise, σ = 1: of NumPy functions, for numbers, and with digits to lose."""
    n, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    at_fake, at_real = np.tanh(psi * (theta + n) / 2), np.tanh(psi * n / 2)
    return -psi * (weights @ (1 - at_fake)) / 2, (theta - weights @ ((theta + n) * at_fake + n * at_real)) / 2


def check_eigenvalues(fn):
    """Random smooth fields, spirals and nodes, as pairs and as arrays; then the notebook's, which JAX cannot trace."""
    rng = np.random.default_rng(15)
    kinds = set()
    while len(kinds) < 2:
        field, jacobian = game(rng)
        kinds.add(bool(np.linalg.eigvals(jacobian).imag.any()))  # the dtype is complex at any rate from NumPy 2.5 on
        check_spectrum(fn(field), jacobian, field)
    damped = lambda theta, psi: (-psi * slope(theta * psi), theta * slope(theta * psi) - 0.3 * psi)
    for field, jacobian in (
        (damped, [[0, -0.5], [0.5, -0.3]]),
        (noisy, [[0, -0.5], [0.5, -0.5]]),
        (lambda theta, psi: np.add((theta, psi), np.multiply(0.2, damped(theta, psi))), [[1, -0.1], [0.1, 0.94]]),
        (lambda theta, psi: (-psi, theta), [[0, -1], [1, 0]]),
    ):
        try:
            got = fn(field)
        except jax.errors.TracerArrayConversionError:
            raise Mistake(
                "Right for fields of plain arithmetic, but the library's fields are NumPy functions, and jax.jacobian "
                "cannot look into those. Use differences: (field(e, 0) − field(−e, 0)) / 2e."
            ) from None
        check_spectrum(got, np.array(jacobian), field)


def check_spectrum(got, jacobian, field):
    """Raise a Mistake unless got holds the eigenvalues of the field's Jacobian at (0, 0), in any order."""
    if close(got, jacobian):
        raise Mistake("You return the Jacobian. Its eigenvalues are asked for: np.linalg.eigvals.")
    if isinstance(got, tuple) and len(got) == 2 and np.shape(got[1]) == (2, 2):
        raise Mistake("np.linalg.eig returns eigenvalues and eigenvectors: keep the first, or use np.linalg.eigvals.")
    if np.shape(got) == (2, 2):
        raise Mistake(
            "You return a matrix. Its two eigenvalues are asked for, not the eigenvectors: np.linalg.eigvals."
        )
    if isinstance(got, tuple | list) and len(got) == 2 and all(np.shape(x) == () for x in got):
        raise Mistake(
            f"You return {kind_of(got)}. Return one array of the two numbers, `np.array([a, b])`: the next cell takes "
            "`abs(…).max()` of it."
        )
    fit(np.real(got) if np.iscomplexobj(got) else got, np.zeros(2), "pair of eigenvalues")
    got, expected = np.asarray(got, complex), np.linalg.eigvals(jacobian)
    if not np.isfinite(got).all():
        raise Mistake(
            f"The pair of eigenvalues is not finite: {got}. By the formula of the quadratic equation, the root of a negative "
            "number is NaN in NumPy unless the number is complex: np.linalg.eigvals knows that."
        )

    def like(other):
        other = np.asarray(other, complex)
        return min(abs(got - other).max(), abs(got - other[::-1]).max()) < 1e-3

    if like(expected):
        return
    e = 1e-5

    def differences(e, at=0.0):
        return np.transpose([np.subtract(field(*(at + d)), field(*(at - d))) / (2 * e) for d in e * np.eye(2)])

    mean, off = np.trace(jacobian) / 2, np.sqrt(complex(np.trace(jacobian) ** 2 / 4 - np.linalg.det(jacobian)))
    for other, message in (
        (expected.real, "The imaginary parts are missing. Keep them: they say how fast the game turns."),
        (expected.imag, "You return the imaginary parts alone. Keep the eigenvalues complex."),
        (abs(expected), "You return absolute values. Keep the eigenvalues complex."),
        (
            2 * expected,
            "Twice the eigenvalues: the difference field(e, …) − field(−e, …) spans 2e. (Or by the formula: it halves all.)",
        ),
        (1 + 0.2 * expected, "1 + hλ belongs to a step of size h. The field's own λ is asked for."),
        (expected / 2, "Half the eigenvalues: the difference field(e, …) − field(0, …) spans e, not 2e."),
        (-expected, "The signs are turned: this is the Jacobian of −v."),
        (1 + expected, "1 + λ belongs to a step of size 1. The field's own λ is asked for."),
        (np.exp(expected), "e^λ is the factor over a time of 1. The field's own λ is asked for."),
        (1 / expected, "1/λ: these are the eigenvalues of the inverse."),
        (expected**2, "λ²: these are the eigenvalues of J·J."),
        (expected[[0, 0]], "You return one of the two eigenvalues twice."),
        (expected[[1, 1]], "You return one of the two eigenvalues twice."),
        (np.linalg.eigvals(differences(e, 1.0)), "These belong to (1, 1). Differentiate at the equilibrium (0, 0)."),
        *[
            (np.linalg.eigvals(m), "eigvalsh is for symmetric matrices, and this one is not: np.linalg.eigvals.")
            for m in (np.tril(jacobian) + np.tril(jacobian, -1).T, np.triu(jacobian) + np.triu(jacobian, 1).T)
        ],
        *[
            (np.linalg.eigvals(m), "You make the Jacobian symmetric, and its turning is in what is not: leave it.")
            for m in ((jacobian + jacobian.T) / 2, jacobian + jacobian.T)
        ],
        (np.linalg.svd(jacobian)[1], "These are singular values. Eigenvalues are asked for: np.linalg.eigvals."),
        (np.linalg.eigvals(jacobian.T @ jacobian), "These are eigenvalues of JᵀJ. Those of J are asked for."),
        (np.diag(jacobian), "This is the Jacobian's diagonal. Its eigenvalues are asked for: np.linalg.eigvals."),
        (
            [2 * mean, np.linalg.det(jacobian)],
            "These are trace and determinant. The eigenvalues solve λ² − tr·λ + det = 0.",
        ),
        *[
            (
                mean * a + np.array([1, -1]) * off * b,
                "Nearly the formula of the quadratic equation: λ = tr/2 ± √(tr²/4 − det).",
            )
            for a, b in ((1, 2), (2, 1), (2, 2), (-1, 1), (1, 0.5))
        ],
        *[
            (np.linalg.eigvals(jacobian * m), "One entry of the Jacobian has the wrong sign.")
            for m in (np.array([[1, -1], [1, 1]]), np.array([[-1, 1], [1, 1]]), np.array([[1, 1], [1, -1]]))
        ],
        (np.linalg.eigvals(jacobian[::-1]), "The Jacobian's rows are exchanged: the first belongs to v_θ."),
        (2 * e * expected, "The eigenvalues are nearly 0: divide the differences by the distance 2e."),
        *[
            (
                np.linalg.eigvals(differences(width)),
                f"e = {width:g} is too large: the field bends on the way. Take 1e-5.",
            )
            for width in (10.0, 1.0, 0.5, 0.2, 0.1, 0.05)
        ],
    ):
        if like(other):
            raise Mistake(message)
    if abs(got).max() < 1e-3:
        raise Mistake("The eigenvalues are nearly 0: divide the differences by the distance 2e.")
    raise Mistake(
        "These are not the eigenvalues of the Jacobian at (0, 0).\n"
        f"Jacobian  {jacobian.round(4).tolist()}\ngot       {got.round(4)}\nexpected  {expected.round(4)}"
    )


@define(
    "03.eigenvalues",
    difficulty=2,
    minutes=8,
    check=check_eigenvalues,
    hints=(
        "The Jacobian's first column says how both entries of the field change when θ grows a little, its second column "
        "the same for ψ. Python floats have 16 digits, so a small e such as 1e-5 will do.",
        "First column: (field(e, 0) − field(−e, 0)) / (2e), two numbers. Make arrays of the pairs before you subtract.",
        "J = np.stack([in_theta, in_psi], axis=1) with in_theta = np.subtract(field(e, 0.0), field(-e, 0.0)) / (2 * e) "
        "and likewise in_psi. Return np.linalg.eigvals(J).",
    ),
)
def eigenvalues(field):
    """The two eigenvalues of the Jacobian of field at (0, 0).

    By central differences.
    """
    e = 1e-5
    in_theta = np.subtract(field(e, 0.0), field(-e, 0.0)) / (2 * e)
    in_psi = np.subtract(field(0.0, e), field(0.0, -e)) / (2 * e)
    return np.linalg.eigvals(np.stack([in_theta, in_psi], axis=1))


# --- 03.r1_field ----------------------------------------------------------------------------------------------------


def check_r1_field(fn):
    """Random points, then a whole lattice at once, as the figures need it."""
    rng = np.random.default_rng(3)
    for shape, first in (((), True), ((), False), ((4, 5), False)):
        theta, psi = rng.normal(0, 1, (2, *shape))
        theta, psi = (theta, psi) if shape else (float(theta), float(psi))
        psi = abs(psi) if first else psi  # then what goes wrong below 0 alone shows later
        gamma = float(rng.uniform(0.3, 2.5))
        f = slope(theta * psi)
        expected = (-psi * f, theta * f - gamma * psi)
        got = pair(fn(theta, psi, gamma), "v_theta", "v_psi")
        suspects = [
            (expected[::-1], "Right, in the wrong order: return v_θ, then v_ψ."),
            (
                (-psi * f, theta * f - gamma * abs(psi)),
                "Your friction has one sign on both sides of 0: |ψ|. The derivative of γ/2·ψ² is γψ.",
            ),
            (
                (-psi * slope(-theta * psi), theta * f),
                "This is the non-saturating field, without a penalty. Here both have f′(θψ), and D pays γ/2·ψ².",
            ),
            (
                (-psi * f, theta * f - gamma * psi**3),
                "The derivative of γ/2·ψ² is γψ, in proportion to ψ.",
            ),
            (
                (-psi * f, theta * f - gamma * np.sign(psi) * (abs(psi) - 1)),
                "This pulls |ψ| to 1, as WGAN-GP does. R1 pulls ψ to 0: γψ.",
            ),
            ((-psi * f, theta * f), "This is the GAN's field. D's penalty γ/2·ψ² is missing."),
            (
                (-psi * f, theta * f + gamma * psi),
                "Your penalty drives ψ away from 0. D pays for it, so it walks *down* the penalty's slope.",
            ),
            (
                (-psi * f - gamma * theta, theta * f - gamma * psi),
                "You damp G too. D alone pays γ/2·ψ²; the slope of that in θ is 0.",
            ),
            ((-psi * f - gamma * psi, theta * f), "You damp G. It is D who pays the penalty."),
            ((-psi * f - gamma * psi, theta * f - gamma * psi), "Both players descend the penalty. Only D pays it."),
            (
                (-psi * f, theta * f - gamma / 2 * psi**2),
                "You subtract the penalty itself. A field is a slope: the derivative of γ/2·ψ² in ψ.",
            ),
            ((-psi * f, theta * f - gamma / 2 * psi), "The derivative of γ/2·ψ² is γψ: the square brings a 2 along."),
            ((-psi * f, theta * f - 2 * gamma * psi), "The derivative of γ/2·ψ² is γψ: the ½ takes the 2 away."),
            ((-psi * f, theta * f - gamma), "The derivative of γ/2·ψ² is γψ, in proportion to ψ."),
            ((-psi * f, theta * f - gamma * np.sign(psi)), "The derivative of γ/2·ψ² is γψ, in proportion to ψ."),
            ((-psi * f, theta * f - gamma * psi * f), "f′ belongs to the game, not to the penalty: −γψ stands alone."),
            (
                (-psi * f - gamma * theta, theta * f),
                "You damp G. It is D who pays the penalty, and the penalty's slope in ψ is γψ.",
            ),
            ((-psi * f, theta * f - gamma * theta), "The derivative of γ/2·ψ² in ψ is γψ, not γθ."),
            (
                (-psi * f + gamma * psi, theta * f - gamma * psi),
                "Both fields have a term of the penalty. Only D pays it.",
            ),
            ((-psi * f, theta * f - gamma * psi**2), "The derivative of γ/2·ψ² is γψ, in proportion to ψ."),
            ((-psi * f, theta * f - gamma**2 * psi), "γ² is too much: the derivative of γ/2·ψ² is γψ."),
            ((-psi * f, theta * f - psi), "γ is missing in the penalty's slope γψ."),
            ((-psi * f, -gamma * psi), "The game's own slope is missing in v_ψ: θf′(θψ) − γψ."),
            ((psi * f, theta * f - gamma * psi), "The sign of v_θ: G descends, −ψf′(θψ)."),
            ((-psi * f, -theta * f - gamma * psi), "The sign of v_ψ: D climbs, θf′(θψ), and pays −γψ."),
            (
                (psi * f, -theta * f + gamma * psi),
                "All signs are turned: these are the slopes of what each player minimises.",
            ),
            ((-theta * f, psi * f - gamma * psi), "θ and ψ are exchanged: v_θ = −ψf′(θψ), v_ψ = θf′(θψ) − γψ."),
            ((-f, f - gamma * psi), "The inner derivatives are missing: d(θψ)/dθ = ψ and d(θψ)/dψ = θ."),
            *[
                ((-psi * g, theta * g - gamma * psi), "f′ stands at the wrong place: slope(theta * psi).")
                for g in (slope(-theta * psi), slope(theta), slope(psi), slope(theta + psi), 1 - f, f * (1 - f))
            ],
            (
                (-psi * slope(-theta * psi), theta * slope(-theta * psi) - gamma * psi),
                "A sign inside f′: slope(theta * psi), without a minus.",
            ),
            ((-psi * f, (theta - gamma * psi) * f), "f′ belongs to the game, not to the penalty: −γψ stands alone."),
            ((-psi / 2, theta / 2 - gamma * psi), "½ is f′(0), right at the equilibrium only. Use slope(theta * psi)."),
            ((-psi, theta - gamma * psi), "f′(θψ) is missing: this is the field of a Wasserstein GAN with R1."),
            (
                (-psi * slope(-theta * psi), theta * f - gamma * psi),
                "Your θ follows the non-saturating field. Here G descends the value function itself: f′(θψ) for both.",
            ),
        ]
        recognise(got, *suspects, right=expected)
        same(got, expected, inputs={"theta": theta, "psi": psi, "gamma": gamma}, rtol=1e-4, what="field")
    try:
        partial(fn, gamma=1.0)(0.5, 0.5)
    except TypeError as error:
        if "gamma" not in str(error):
            raise
        raise Mistake(
            "Right, but the notebook goes on with `partial(r1_field, gamma=gamma)`: leave the third argument its name, gamma."
        ) from error


@define(
    "03.r1_field",
    difficulty=2,
    minutes=5,
    check=check_r1_field,
    hints=(
        "Who pays? Only D's own direction changes, v_ψ.",
        "D climbs L(θ, ψ) − γ/2·ψ². What is the derivative of the second term in ψ?",
        "return −psi * slope(theta * psi), and as second entry the GAN's theta * slope(theta * psi) minus γψ.",
    ),
)
def r1_field(theta, psi, gamma):
    """The Dirac-GAN's field, (v_theta, v_psi), when D pays gamma/2·ψ².

    For floats or arrays.
    """
    s = slope(theta * psi)
    return -psi * s, theta * s - gamma * psi


# --- 03.critical ----------------------------------------------------------------------------------------------------


def check_critical(fn):
    """γ = 2s for several s, within 2 %: whoever searches instead of solving passes, too."""
    for s in (0.3, 1.0, 0.5, 0.83, 0.4):
        got = fn(s)
        fit(got, 0.0)
        got, h = float(np.asarray(got)), 0.2
        for wrong, message in (
            (s, "γ = s: right if the root were √(γ² − s²). It is γ²/4 that must equal s²."),
            (4 * s, "γ = 4s. Set γ²/4 = s², and take the root."),
            (s / 2, "γ = s/2. Set γ²/4 = s²: γ is larger than s, not smaller."),
            (s / 4, "γ = s/4. Set γ²/4 = s²: γ is larger than s, not smaller."),
            (4 * s**2, "You return 4s², which is γ². Take the root."),
            (2 * s**2, "You return 2s². Set γ²/4 = s² and solve for γ, in proportion to s."),
            (s**2, "You return s². Set γ²/4 = s² and solve for γ."),
            (s**2 / 4, "You return s²/4. Set γ²/4 = s² and solve for γ."),
            (1.0, "You return 1 for every s. That is right for s = ½; what if f′(0) is another number?"),
            (0.0, "You return 0, no penalty at all: then the eigenvalues are ±si, and nothing comes to rest."),
            (-2 * s, "The sign: γ is a weight of a penalty, ≥ 0."),
            (-s, "You return a real part, −γ/2. Asked for is γ."),
            (2 * s**0.5, "You take a root too many: γ²/4 = s² has no root of s in it."),
            (s**0.5, "You take a root too many: γ²/4 = s² has no root of s in it."),
            (2**0.5 * s, "γ = √2·s. Set γ²/4 = s²: γ² = 4s²."),
            (1 / (2 * s), "You return 1/(2s). Set γ²/4 = s²: γ grows with s."),
            (2 / s, "You return 2/s. Set γ²/4 = s²: γ grows with s."),
            (1 / s, "You return 1/s. Set γ²/4 = s²: γ grows with s."),
            (2 * s + 1, "You return 2s + 1. Set γ²/4 = s²."),
            (s + 0.5, "You return s + ½, right for s = ½ only. Set γ²/4 = s²."),
        ):
            if abs(got - wrong) < 1e-3 and abs(wrong - 2 * s) > 0.05:
                raise Mistake(message)
        if abs(got - 2 * s) > 0.04 * s and abs(got - (2 * s - h * s**2)) < 0.02 * s:
            raise Mistake(
                "You return 2s − hs², the best γ for steps of h = 0.2 in turn: true, and worth knowing. Asked for is the γ of "
                "the formula, as for steps that shrink to 0."
            )
        same(got, 2 * s, inputs={"s": s}, rtol=0.02, what="critical γ")


@define(
    "03.critical",
    difficulty=2,
    minutes=6,
    check=check_critical,
    hints=(
        "Where do the two arcs of the picture meet? There the two eigenvalues are one.",
        "The eigenvalues are −γ/2 ± √(γ²/4 − s²). They are equal where the root is 0.",
        "γ²/4 = s², and γ ≥ 0.",
    ),
)
def critical(s):
    """The γ at which R1 brings a GAN with f′(0) = s back soonest.

    There its two eigenvalues −γ/2 ± √(γ²/4 − s²) meet.
    """
    return 2 * s


# --- 03.optimistic --------------------------------------------------------------------------------------------------


def check_optimistic(fn):
    """Random vectors of several lengths."""
    rng = np.random.default_rng(5)
    for n in (2, 5):
        w, v, before = rng.normal(0, 1, (3, n)).astype(np.float32)
        rate = float(rng.uniform(0.1, 0.5))
        expected = w + rate * (2 * v - before)
        got = fn(*map(jnp.asarray, (w, v, before)), rate)
        suspects = [
            (w + rate * v, "This is the plain step: v_before is not used."),
            (
                w + rate * (2 * v + before),
                "Your v_before has the wrong sign: adding the past is momentum, and it makes things worse here.",
            ),
            (w + rate * (v + before), "You add the past. That is momentum; foresight is v + (v − v_before)."),
            (
                w + rate * (v - before),
                "You step by the change alone. The forecast is v plus the change, v + (v − v_before).",
            ),
            (
                w + rate * (2 * before - v),
                "now and before are exchanged: the forecast is v + (v − v_before).",
            ),
            (
                w + rate * (v + before) / 2,
                "You average now and before. A forecast goes on beyond now: v + (v − v_before).",
            ),
            (w - rate * (2 * v - before), "Minus? v is the field, where the players want to go: add."),
            (w + (2 * v - before), "Your step has length 1: multiply by `rate`."),
            (w + 2 * rate * v - before, "v_before is a velocity, too: multiply it by `rate`."),
            (rate * (2 * v - before), "You return the movement. Add it to w."),
            (2 * v - before, "You return the forecast. Step along it: w + rate·forecast."),
            (w + 0.2 * (2 * v - before), "Your rate is 0.2, whatever `rate` is. Use the argument."),
            (
                w - rate * (v - before),
                "You step back by the change. The forecast is v plus the change, v + (v − v_before).",
            ),
            (w + rate * 2 * (v - before), "You step by the change alone. The forecast is v plus the change."),
            (w, "You return w as it was: no step is taken."),
            (w + 2 * rate * v, "v_before is not used. The forecast is v plus the change, v + (v − v_before)."),
            (w + rate * before, "You step along the old field: v is not used."),
            (w + v + rate * (v - before), "v is a velocity, too: multiply it by `rate`."),
            (w + rate * v + (v - before), "The change of a velocity is a velocity, too: multiply it by `rate`."),
            (w + rate * (v + (before - v)), "The change goes from before to now, v − v_before; yours goes back."),
            (w + rate * (v - 2 * before), "The forecast is v + (v − v_before): v twice, v_before once."),
            (w + rate * (3 * v - 2 * before), "You look two steps ahead. One step: v + (v − v_before)."),
            (
                w + rate * (1.5 * v - 0.5 * before),
                "You add half of the change: this is Adams and Bashforth's step, "
                "which looks half a step ahead. Here it is the whole one, v + (v − v_before).",
            ),
            (w + rate * (2 * v - before) / 2, "Half a step: multiply by `rate` alone."),
            (w + rate**2 * (2 * v - before), "`rate` counts twice in your step."),
            (w * (1 + rate * (2 * v - before)), "You multiply w by its movement. Add it."),
            (w - rate * v, "Minus? v is the field, where the players want to go: add. And v_before is not used."),
            (w + 2 * rate * v - rate**2 * before, "v_before is multiplied by `rate` twice."),
            (w + rate * v + rate**2 * (v - before), "The change is multiplied by `rate` twice."),
        ]
        recognise(got, *suspects, right=expected)
        inputs = {"w": w, "v": v, "v_before": before, "rate": rate}
        same(jnp.asarray(got) if isinstance(got, np.ndarray) else got, expected, inputs=inputs, rtol=1e-4, atol=1e-5)


@define(
    "03.optimistic",
    difficulty=1,
    minutes=4,
    check=check_optimistic,
    hints=(
        "You know the field now and the field one step ago. If it goes on turning like that, what is it one step ahead?",
        "The change from one step to the next is v − v_before. The forecast is v plus that change.",
        "w + rate·(v + (v − v_before)).",
    ),
)
def optimistic(w, v, v_before, rate):
    """w after a step of size rate along v + (v − v_before).

    That is the field as it will be if it goes on changing as it did.
    """
    return w + rate * (2 * v - v_before)


# --- 03.squared_slope -----------------------------------------------------------------------------------------------


def check_squared_slope(fn):
    """Critics with known slopes on points and images; then the way back to the critic's weights, also from slope 0."""
    rng = np.random.default_rng(6)
    for shape in [(7, 3), (3, 4, 5, 1)]:
        real = rng.normal(0, 1, shape).astype(np.float32)
        a, b = rng.normal(0, 1, (2, *shape[1:])).astype(np.float32)
        axes = tuple(range(1, len(shape)))

        def critic(x, a=a, b=b, axes=axes):
            return (a * x + 0.5 * b * x**2).sum(axes)

        slopes = a + b * real  # of each sample
        squared = (slopes**2).sum(axes)
        order = squared.argsort()  # so that the first is neither the largest nor the middle one
        real, slopes, squared = real[order], slopes[order], squared[order]
        expected = squared.mean()
        got = fn(critic, jnp.asarray(real))
        n = len(real)
        chance = 1 / (1 + np.exp(-np.asarray(critic(real))))
        of_probability = (chance * (1 - chance)) ** 2 * squared
        suspects = [
            (squared, "You return one number a sample: the mean is missing."),
            (squared.sum(), "You sum over the batch. The penalty is a mean: it must not grow with the batch."),
            (
                (slopes**2).mean(),
                "You average over a sample's entries, too. The norm *sums* their squares, over all axes but the first.",
            ),
            (np.sqrt(squared).mean(), "The square is missing: this is the mean of ‖∇D‖."),
            (squared.mean() / 2, "A ½ too many: γ/2 stands outside, in the penalty."),
            (
                ((np.sqrt(squared) - 1) ** 2).mean(),
                "This pulls the slope to 1, as WGAN-GP does. R1 pulls it to 0: ‖∇D‖².",
            ),
            (
                (slopes.mean(0) ** 2).sum(),
                "You square the mean slope: slopes in opposite directions cancel. Square each sample's, then average.",
            ),
            (
                squared.mean() / n**2,
                "You differentiate the *mean* of the logits, which divides each sample's slope by the batch: "
                "differentiate their sum.",
            ),
            (
                squared.sum() / n**2,
                "You differentiate the *mean* of the logits, which divides each sample's slope by the batch: "
                "differentiate their sum.",
            ),
            (np.sqrt(squared.sum()), "This is the norm over the whole batch. Take each sample's own, squared."),
            ((np.asarray(critic(real)) ** 2).mean(), "You square the logits. Their slope in x is asked for: jax.grad."),
            (
                of_probability.mean(),
                "This is the slope of the probability σ(critic(x)). The slope of the critic itself is asked for.",
            ),
            ((abs(slopes).sum(axes) ** 2).mean(), "You sum absolute values. The norm sums *squares*."),
            (abs(slopes).sum(axes).mean(), "You sum absolute values. The norm sums *squares*."),
            (
                (slopes.sum(axes) ** 2).mean(),
                "You sum before you square: slopes in two directions cancel. Square first.",
            ),
            (squared.mean() ** 2, "A square too many: ‖∇D‖², summed squares, without another one."),
            ((squared**2).mean(), "A square too many: ‖∇D‖², summed squares, without another one."),
            (np.sqrt(squared).mean() ** 2, "You square the mean norm. Square each sample's, then take the mean."),
            (np.sqrt(squared.mean()), "A root too many: the mean of ‖∇D‖² is asked for."),
            (2 * squared.mean(), "Twice the penalty: γ/2 stands outside, so nothing is doubled here."),
            (squared[0], "This is the first sample's alone. Take the mean over the batch."),
            (squared.max(), "You take the largest. The penalty is a mean."),
            (np.median(squared), "You take the median. The penalty is a mean."),
            (squared.std(), "You take the standard deviation. The penalty is a mean."),
            (
                squared[0] / n,
                "Only the first logit is differentiated. The sum of all has each sample's slope in its own row.",
            ),
            (
                (chance**2 * squared).mean(),
                "You penalise the slope of a loss, softplus(critic(x)). The slope of the critic itself is asked for.",
            ),
            (
                ((1 - chance) ** 2 * squared).mean(),
                "You penalise the slope of a loss, softplus(−critic(x)). The slope of the critic itself is asked for.",
            ),
            ((abs(slopes).max(axes) ** 2).mean(), "You take the largest entry. The norm sums the squares of all."),
            *[
                ((slopes**2).sum(axis).mean(), "You sum over one axis only. The norm sums over all axes but the first.")
                for axis in (0, *axes[:-1])
                if len(axes) > 1
            ],
            (
                ((slopes - 1) ** 2).sum(axes).mean(),
                "This pulls the slope to 1, as WGAN-GP does. R1 pulls it to 0: ‖∇D‖².",
            ),
            (slopes.mean(), "The square is missing: positive and negative slopes cancel."),
        ]
        recognise(got, *suspects, right=expected)
        same(got, np.float32(expected), inputs={"real": real}, rtol=1e-3, atol=1e-4)
    where = "`fit` compiles it inside jit and grad"
    no_loop(lambda real: fn(lambda x: jnp.tanh(x).sum(1), real), (2,), where=where, n=128)
    real = rng.normal(0, 1, (128, 2)).astype(np.float32)
    slopes = jax.jit(jax.grad(lambda w, real: fn(lambda x: jnp.tanh(x @ w), real)))
    for w in (np.float32([0.6, -0.8]), np.zeros(2, np.float32)):
        t = np.tanh(real @ w)[:, None]
        bent = 1 - t**2
        right = (2 * bent**2 * w - 4 * (w @ w) * bent**2 * t * real).mean(0)
        back = jitted(slopes, jnp.asarray(w), jnp.asarray(real), where=where)
        if not np.isfinite(back).all():
            raise Mistake(
                "The value is right, but where D is flat its gradient in D's weights is NaN: √ has no slope at 0, and "
                "squaring the norm does not mend it. Sum the squares, without a root."
            )
        if w.any() and not np.any(back):
            raise Mistake(
                "The value is right, but no gradient reaches D's weights: is there a stop_gradient in the way?"
            )
        recognise(
            back,
            (
                right / 2,
                "The value is right, but half of its gradient is cut: is there a stop_gradient around one factor?",
            ),
            right=right,
        )
        same(back, right, inputs={"w": w}, rtol=1e-3, atol=1e-4, what="gradient in D's weights")


@define(
    "03.squared_slope",
    difficulty=2,
    minutes=8,
    check=check_squared_slope,
    hints=(
        "The slope of D at x is a gradient in the input, not in the weights. jax.grad needs a number, and critic returns "
        "B of them.",
        "The sum of the logits is a number. Each logit depends on its own sample alone, so the gradient of the sum in real "
        "has each sample's slope in its own row.",
        "slopes = jax.grad(lambda x: critic(x).sum())(real). Square, sum over all axes but the first, take the mean.",
    ),
)
def squared_slope(critic, real):
    """Mean over the batch real (B, ...) of ‖∇ₓ critic(x)‖².

    The square is summed over a sample's entries; critic(x) is (B,).
    """
    slopes = jax.grad(lambda x: critic(x).sum())(real)
    return (slopes**2).sum(axis=tuple(range(1, real.ndim))).mean()
