"""Notebook 03, dynamics: references, hints and checks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.dirac import r1
from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import jitted, no_loop
from gan_lib.exercises.cases import recognised
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
        new = psi + rate * w
        at_once, in_turn = (theta + rate * v, new), (theta + rate * field(theta, new)[0], new)
        turned = [(in_turn, False), (at_once, True)]
        if all(close(pair(fn(field, theta, psi, rate, flag), "theta", "psi"), other) for other, flag in turned):
            raise Mistake(
                "Both steps are right, but the flag is turned round: `alternating=True` asks for the one in turn."
            )
        for alternating, expected, other in [(False, at_once, in_turn), (True, in_turn, at_once)]:
            got = pair(fn(field, theta, psi, rate, alternating), "theta", "psi")
            new_theta = theta + rate * v
            suspects = [
                (
                    other,
                    "Both players should move from where they stand, but your θ moves along the field at the new ψ: "
                    "ψ is overwritten too early. That is the alternating step."
                    if not alternating
                    else "With alternating=True θ should see the new ψ, but yours moves along the field at the old one: "
                    "ask the field again after ψ has moved.",
                ),
                (expected[::-1], "Right, in the wrong order: return θ, then ψ."),
                ((expected[0] - theta, rate * w), "You return the movements. Add them to θ and ψ."),
                ((theta - rate * v, psi - rate * w), "Minus? The field already points where each player wants to go."),
                (
                    (theta - rate * field(theta, psi - rate * w)[0], psi - rate * w),
                    "Minus? The field already points where each player wants to go.",
                ),
                ((theta + v, psi + w), "Your step has length 1: multiply the field by `rate`."),
                ((theta + field(theta, psi + w)[0], psi + w), "Your step has length 1: multiply the field by `rate`."),
                (
                    (new_theta, psi + rate * field(new_theta, psi)[1]),
                    "Your θ moves first. ψ moves first, then θ at the new ψ.",
                ),
                (
                    (expected[0], psi + rate * field(theta, new)[1]),
                    "Your ψ moves by the field at the new ψ. Only θ asks the field a second time.",
                ),
                (
                    (theta + rate * field(theta, new)[1], new),
                    "θ moves along the field's second entry. The first one is its own.",
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
                ((theta, new), "θ has not moved. A step is θ + rate·v_θ, ψ + rate·v_ψ."),
                ((new_theta, psi), "ψ has not moved. A step is θ + rate·v_θ, ψ + rate·v_ψ."),
                *[
                    (
                        (theta + sign * rate * field(theta, psi - sign * rate * w * turns)[0], psi - sign * rate * w),
                        "One player walks against the field, as if it held slopes. It already points where each wants to go.",
                    )
                    for sign in (1, -1)
                    for turns in (0, 1)
                ],
                *[
                    (
                        (
                            theta + rate * times * field(theta, psi + turns * rate * times * w)[0],
                            psi + rate * times * w,
                        ),
                        f"Your step has the length {length}.",
                    )
                    for times, length in ((0.5, "rate/2"), (2, "2·rate"), (rate, "rate²"))
                    for turns in (0, 1)
                ],
                (
                    (theta + rate * field(theta, w)[0], new),
                    "In turn, θ asks the field at the direction v_ψ. Ask it where ψ is now.",
                ),
                *[
                    (
                        (new_theta + rate * field(start, new)[0], new),
                        "Your θ moves twice: once from where both stood, and once more. One step each.",
                    )
                    for start in (theta, new_theta)
                ],
                (
                    (theta + rate * field(new_theta, new)[0], new),
                    "Your θ asks the field at its own new place, too. Only ψ has moved by then.",
                ),
                (
                    (theta + rate * w, psi + rate * v),
                    "The field's entries are exchanged: the first is v_θ, the second v_ψ.",
                ),
                (
                    (theta + rate * field(theta, new)[0], psi + rate * field(new_theta, psi)[1]),
                    "Each player answers the other's move. ψ moves first, from where both stood; only θ answers.",
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
        "The first line is v_theta, v_psi = field(theta, psi), the second moves ψ. If alternating, the world has changed "
        "before θ moves: whom do you ask?",
        "After psi = psi + rate * v_psi: if alternating, v_theta = field(theta, psi)[0]. "
        "Then return theta + rate * v_theta, psi.",
    ),
)
def step(field, theta, psi, rate, alternating):
    """(theta, psi) after one step of size rate along field.

    field(theta, psi) is (v_theta, v_psi); ψ moves first if alternating.
    """
    v_theta, v_psi = field(theta, psi)
    psi = psi + rate * v_psi
    if alternating:
        v_theta = field(theta, psi)[0]
    return theta + rate * v_theta, psi


# --- 03.eigenvalues -------------------------------------------------------------------------------------------------


def noisy(theta, psi):
    """The notebook's field with instance noise, σ = 1: of NumPy functions, for numbers, and with digits to lose."""
    n, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    at_fake, at_real = np.tanh(psi * (theta + n) / 2), np.tanh(psi * n / 2)
    return psi * (weights @ (1 + at_fake)) / 2, -(theta + weights @ ((theta + n) * at_fake + n * at_real)) / 2


def check_eigenvalues(fn):
    """Random smooth fields, spirals and nodes, as pairs and as arrays; then the notebook's, which JAX cannot trace."""
    rng = np.random.default_rng(15)
    kinds = set()
    while len(kinds) < 2:
        field, jacobian = game(rng)
        kinds.add(bool(np.linalg.eigvals(jacobian).imag.any()))  # the dtype is complex at any rate from NumPy 2.5 on
        check_spectrum(fn(field), jacobian, field)
    damped = partial(r1, gamma=0.3)
    for field, jacobian in (
        (damped, [[0, 0.5], [-0.5, -0.3]]),
        (noisy, [[0, 0.5], [-0.5, -0.5]]),
        (lambda theta, psi: np.add((theta, psi), np.multiply(0.2, damped(theta, psi))), [[1, 0.1], [-0.1, 0.94]]),
        (lambda theta, psi: (psi, -theta), [[0, 1], [-1, 0]]),
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


# --- 03.largest_step ------------------------------------------------------------------------------------------------


def check_largest_step(fn):
    """Spirals, nodes, one eigenvalue that decides among many; and those that no step tames."""
    cases = [
        [-0.3 + 0.4j, -0.3 - 0.4j],
        [-0.05 + 0j, -4.95 + 0j],
        [-0.1 + 2j, -0.1 - 2j],
        [-1.5 + 0j, -0.2 + 0.1j, -0.2 - 0.1j, -0.1 + 0.9j, -0.1 - 0.9j],
        [0.2 + 0.5j, 0.2 - 0.5j],
        [-1.0 + 0j, 0.3 + 0j],
        [0.5j, -0.5j],
    ]
    cases = [(np.array(case),) for case in cases]

    def expected(lam):
        return 0.0 if lam.real.max() >= 0 else (-2 * lam.real / abs(lam) ** 2).min()

    def decided(each):
        """An answer that is right but for the formula."""
        return lambda lam: 0.0 if lam.real.max() >= 0 else each(lam)

    wrong = {
        "2/|λ| is the bound for real λ. An imaginary part makes the step go outwards, too: square 1 + hλ.": (
            decided(lambda lam: (2 / abs(lam)).min())
        ),
        "−2/Re λ is the bound for real λ. An imaginary part makes the step go outwards, too: square 1 + hλ.": (
            decided(lambda lam: (-2 / lam.real).min())
        ),
        "Half of it. |1 + hλ|² = 1 + 2h·Re λ + h²|λ|²: mind the 2.": (
            decided(lambda lam: (-lam.real / abs(lam) ** 2).min())
        ),
        "You take the largest of the bounds. A step has to suit *all* eigenvalues: the smallest.": (
            decided(lambda lam: (-2 * lam.real / abs(lam) ** 2).max())
        ),
        "You take the mean of the bounds. A step has to suit all eigenvalues: the smallest.": (
            decided(lambda lam: (-2 * lam.real / abs(lam) ** 2).mean())
        ),
        "Only the first eigenvalue counts in your answer. A step has to suit all of them.": (
            decided(lambda lam: -2 * lam.real[0] / abs(lam[0]) ** 2)
        ),
        "You divide by |λ|; h²|λ|² has the square.": decided(lambda lam: (-2 * lam.real / abs(lam)).min()),
        "|λ|² is Re² + Im². You divide by Im² alone.": (
            decided(lambda lam: (-2 * lam.real / np.maximum(lam.imag**2, 1e-300)).min())
        ),
        "1/|λ| is a time. The bound comes from |1 + hλ|² < 1: write it out.": decided(lambda lam: (1 / abs(lam)).min()),
        "You take the eigenvalue whose real part is nearest to 0. Here the farthest one may decide, or the one that turns "
        "fastest: the smallest of all bounds.": (
            decided(lambda lam: -2 * lam.real.max() / abs(lam[lam.real.argmax()]) ** 2)
        ),
        "The sign: Re λ is negative, and a step is positive.": lambda lam: (2 * lam.real / abs(lam) ** 2).max(),
        "Right where all real parts are negative. Where one is not, no step shrinks, however small: return 0.": (
            lambda lam: (-2 * lam.real / abs(lam) ** 2).min()
        ),
        "You return the bound for those eigenvalues that shrink. One that grows, grows for every step: return 0.": (
            lambda lam: (-2 * lam.real / abs(lam) ** 2)[lam.real < 0].min() if (lam.real < 0).any() else 0.0
        ),
        "Right for real parts below 0. With a growing one no step will do: return 0, not infinity.": (
            lambda lam: np.inf if lam.real.max() >= 0 else expected(lam)
        ),
    }
    right = [expected(*case) for case in cases]
    recognised(fn, cases[:4], right[:4], wrong)  # an answer with max(0, …) around a wrong formula
    for (lam,), got, value in zip(cases, recognised(fn, cases, right, wrong), right, strict=True):
        fit(got, 0.0, "largest step")
        if np.iscomplexobj(got):
            raise Mistake("Your step is a complex number. Take real parts and absolute values.")
        if np.isscalar(got) and got is not None and value == 0 and float(got) < 0:
            raise Mistake(f"A step of {float(got):.3g}? Where a real part is not below 0, no step shrinks: return 0.")
        same(got, float(value), inputs={"eigenvalues": lam}, rtol=1e-3, what="largest step")


@define(
    "03.largest_step",
    difficulty=2,
    minutes=8,
    check=check_largest_step,
    hints=(
        "A step multiplies the distance along an eigenvector by |1 + hλ|. When is that below 1? Square it.",
        "|1 + hλ|² = 1 + 2h·Re λ + h²|λ|² is below 1 as long as h·|λ|² < −2·Re λ. That is one bound for each λ.",
        "The smallest of −2·Re λ/|λ|², or 0 if one of the real parts is not below 0.",
    ),
)
def largest_step(eigenvalues):
    """The h up to which steps at once bring a game home; 0 if none does.

    eigenvalues: (n,), complex, of the field's Jacobian at its rest.
    """
    bounds = -2 * eigenvalues.real / abs(eigenvalues) ** 2
    return max(0.0, bounds.min())


# --- 03.one_round ---------------------------------------------------------------------------------------------------


def check_one_round(fn):
    """Rates of their own, several steps of D, with friction and without."""
    cases = [(0.2, 0.3, 3, 0.6), (0.2, 0.2, 1, 0.5), (0.4, 0.1, 2, 0.0), (0.1, 0.3, 5, 1.2), (0.2, 0.2, 5, 0.0)]
    power = np.linalg.matrix_power

    def of_d(b, gamma, s=0.5):
        return np.array([[1, 0], [-b * s, 1 - b * gamma]])

    def of_g(a, s=0.5):
        return np.array([[1, a * s], [0, 1]])

    def expected(a, b, k, gamma):
        return of_g(a) @ power(of_d(b, gamma), k)

    wrong = {
        "G moves first in your round. The matrix of what comes first stands on the right: G @ D^k.": (
            lambda a, b, k, gamma: power(of_d(b, gamma), k) @ of_g(a)
        ),
        "D makes one step in your round, whatever k is.": lambda a, b, k, gamma: of_g(a) @ of_d(b, gamma),
        "One step of k times the rate is not k steps: with friction, ψ has slowed down after the first. Take the k-th power "
        "of D's matrix.": lambda a, b, k, gamma: of_g(a) @ of_d(k * b, gamma),
        "G makes k steps, too. Only D does.": lambda a, b, k, gamma: power(of_g(a) @ of_d(b, gamma), k),
        "G makes k steps in your round, and D one. It is the other way round.": (
            lambda a, b, k, gamma: power(of_g(a), k) @ of_d(b, gamma)
        ),
        "This is the transposed matrix. Its first row says what θ becomes, its first column what θ does.": (
            lambda a, b, k, gamma: expected(a, b, k, gamma).T
        ),
        "The friction is missing: D's step takes b·γ·ψ away from ψ.": lambda a, b, k, gamma: expected(a, b, k, 0.0),
        "Your friction drives ψ away: D pays for ψ, and walks to 0. 1 − bγ.": (
            lambda a, b, k, gamma: expected(a, b, k, -gamma)
        ),
        "The ½ is missing: near the cross σ is ½.": lambda a, b, k, gamma: of_g(a, 1.0) @ power(of_d(b, gamma, 1.0), k),
        "A sign: D walks down, ψ ← ψ − b·½θ, and G up, θ ← θ + a·½ψ.": (
            lambda a, b, k, gamma: of_g(-a) @ power(of_d(b, gamma, -0.5), k)
        ),
        "The sign of D's step: ψ ← ψ − b·½θ.": lambda a, b, k, gamma: of_g(a) @ power(of_d(b, gamma, -0.5), k),
        "The sign of G's step: θ ← θ + a·½ψ.": lambda a, b, k, gamma: of_g(-a) @ power(of_d(b, gamma), k),
        "Both move from where they stand in your round. G answers the new ψ: multiply the two matrices.": (
            lambda a, b, k, gamma: of_g(a) + power(of_d(b, gamma), k) - np.eye(2)
        ),
        "You add the matrices. One step after the other is a product.": (
            lambda a, b, k, gamma: of_g(a) + power(of_d(b, gamma), k)
        ),
        "The rates are exchanged: the first is G's.": lambda a, b, k, gamma: expected(b, a, k, gamma),
        "`**` takes the power of each entry. np.linalg.matrix_power takes that of the matrix.": (
            lambda a, b, k, gamma: of_g(a) @ of_d(b, gamma) ** k
        ),
        "`*` multiplies entry by entry. Matrices are multiplied by @.": (
            lambda a, b, k, gamma: of_g(a) * power(of_d(b, gamma), k)
        ),
    }
    right = [expected(*case) for case in cases]
    for case, got, value in zip(cases, recognised(fn, cases, right, wrong), right, strict=True):
        inputs = dict(zip(("g_rate", "d_rate", "k", "gamma"), case, strict=True))
        if isinstance(got, tuple | list) and np.shape(got) == (2, 2):
            got = np.array(got, float)
        same(got, value, inputs=inputs, rtol=1e-4, atol=1e-6, what="matrix of a round")


@define(
    "03.one_round",
    difficulty=2,
    minutes=8,
    check=check_one_round,
    hints=(
        "Each step is a matrix of its own: what do θ and ψ become when D alone has moved? When G alone has?",
        "D: θ stays, ψ becomes −½·d_rate·θ + (1 − d_rate·γ)·ψ. G: θ becomes θ + ½·g_rate·ψ, ψ stays. What comes first "
        "stands on the right of a product.",
        "of_g = np.array([[1, g_rate / 2], [0, 1]]), of_d = np.array([[1, 0], [-d_rate / 2, 1 - d_rate * gamma]]), and "
        "of_g @ np.linalg.matrix_power(of_d, k).",
    ),
)
def one_round(g_rate, d_rate, k, gamma):
    """The matrix (2, 2) of k steps of D, then one of G, near the cross.

    It takes (θ, ψ) to the next (θ, ψ). D pays gamma/2·ψ².
    """
    of_d = np.array([[1, 0], [-d_rate / 2, 1 - d_rate * gamma]])
    of_g = np.array([[1, g_rate / 2], [0, 1]])
    return of_g @ np.linalg.matrix_power(of_d, k)


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
