"""Wrong answers to the exercises of notebook 03, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np

# --- step


def overwritten_too_early(field, theta, psi, rate, alternating):
    psi = psi + rate * field(theta, psi)[1]
    theta = theta + rate * field(theta, psi)[0]
    return theta, psi


def always_at_once(field, theta, psi, rate, alternating):
    v_theta, v_psi = field(theta, psi)
    return theta + rate * v_theta, psi + rate * v_psi


def modes_exchanged(field, theta, psi, rate, alternating):
    return (always_at_once if alternating else overwritten_too_early)(field, theta, psi, rate, alternating)


def flag_turned(field, theta, psi, rate, alternating):
    new = psi + rate * field(theta, psi)[1]
    return theta + rate * field(theta, psi if alternating else new)[0], new


def theta_first(field, theta, psi, rate, alternating):
    if not alternating:
        return always_at_once(field, theta, psi, rate, alternating)
    theta = theta + rate * field(theta, psi)[0]
    return theta, psi + rate * field(theta, psi)[1]


def descends(field, theta, psi, rate, alternating):
    v_theta, v_psi = field(theta, psi)
    return theta - rate * v_theta, psi - rate * v_psi


def no_rate(field, theta, psi, rate, alternating):
    v_theta, v_psi = field(theta, psi)
    return theta + v_theta, psi + v_psi


def movements_only(field, theta, psi, rate, alternating):
    v_theta, v_psi = field(theta, psi)
    return rate * v_theta, rate * v_psi


def order_exchanged(field, theta, psi, rate, alternating):
    v_theta, v_psi = field(theta, psi)
    return psi + rate * v_psi, theta + rate * v_theta


def second_entry_for_both(field, theta, psi, rate, alternating):
    new = psi + rate * field(theta, psi)[1]
    if not alternating:
        return theta + rate * field(theta, psi)[0], new
    return theta + rate * field(theta, new)[1], new


def psi_asks_twice(field, theta, psi, rate, alternating):
    v_theta, v_psi = field(theta, psi)
    if alternating:
        v_theta, v_psi = field(theta, psi + rate * v_psi)
    return theta + rate * v_theta, psi + rate * v_psi


def one_number(field, theta, psi, rate, alternating):
    return theta + rate * field(theta, psi)[0]


def moving(times_theta=1.0, times_psi=1.0, seen=lambda field, theta, new_theta, new: field(theta, new)):
    """A step whose players move by these multiples of their movement; in turn θ sees another field."""

    def step(field, theta, psi, rate, alternating):
        v_theta, v_psi = field(theta, psi)
        new = psi + times_psi * rate * v_psi
        if alternating:
            v_theta = seen(field, theta, theta + rate * v_theta, new)[0]
        return theta + times_theta * rate * v_theta, new

    return step


# --- eigenvalues


def jacobian_of(field, e=1e-5, at=0.0, span=2.0):
    in_theta = np.subtract(field(at + e, at), field(at - e, at)) / (span * e)
    in_psi = np.subtract(field(at, at + e), field(at, at - e)) / (span * e)
    return np.stack([in_theta, in_psi], axis=1)


def undivided(field):
    return np.linalg.eigvals(jacobian_of(field, span=1.0) * 1e-5)


def divided_by_e(field):
    return np.linalg.eigvals(jacobian_of(field, span=1.0))


def one_sided_over_two(field):
    e = 1e-6
    columns = [np.subtract(field(*point), field(0.0, 0.0)) / (2 * e) for point in e * np.eye(2)]
    return np.linalg.eigvals(np.transpose(columns))


def at_one(field):
    return np.linalg.eigvals(jacobian_of(field, at=1.0))


def the_jacobian(field):
    return jacobian_of(field)


def real_parts(field):
    return np.linalg.eigvals(jacobian_of(field)).real


def absolute_values(field):
    return abs(np.linalg.eigvals(jacobian_of(field)))


def for_symmetric_matrices(field):
    return np.linalg.eigvalsh(jacobian_of(field))


def with_vectors(field):
    return tuple(np.linalg.eig(jacobian_of(field)))


def signs_turned(field):
    return -np.linalg.eigvals(jacobian_of(field))


def of_the_step(field):
    return 1 + np.linalg.eigvals(jacobian_of(field))


def traced(field):
    jacobian = jax.jacobian(lambda w: jnp.stack(field(w[0], w[1])))(jnp.zeros(2))
    return np.linalg.eigvals(np.asarray(jacobian))


def by_formula(field):
    jacobian = jacobian_of(field)
    mean = np.trace(jacobian) / 2
    root = np.sqrt(complex(mean**2 - np.linalg.det(jacobian)))
    return mean + root, mean - root


def formula_in_real_numbers(field):
    jacobian = jacobian_of(field)
    mean = np.trace(jacobian) / 2
    with np.errstate(invalid="ignore"):
        root = np.sqrt(mean**2 - np.linalg.det(jacobian))
    return np.array([mean + root, mean - root])


def symmetrised(field):
    jacobian = jacobian_of(field)
    return np.linalg.eigvals((jacobian + jacobian.T) / 2)


# --- largest_step


def bound(each, over=np.min):
    """An answer with another bound for each eigenvalue, or another choice among the bounds."""

    def largest_step(eigenvalues):
        return 0.0 if eigenvalues.real.max() >= 0 else float(over(each(eigenvalues)))

    return largest_step


def right_bounds(lam):
    return -2 * lam.real / abs(lam) ** 2


def growing_ones_forgotten(lam):
    return right_bounds(lam)[lam.real < 0].min() if (lam.real < 0).any() else 0.0


# --- one_round


def rounds(combine, s=0.5, sign=1):
    """A round by combine(G's matrix, D's matrix, k)."""

    def one_round(g_rate, d_rate, k, gamma):
        of_d = np.array([[1, 0], [-d_rate * s, 1 - sign * d_rate * gamma]])
        return combine(np.array([[1, g_rate * s], [0, 1]]), of_d, k)

    return one_round


power = np.linalg.matrix_power


def longer_step(g_rate, d_rate, k, gamma):
    return rounds(lambda g, d, _: g @ d)(g_rate, k * d_rate, 1, gamma)


def rates_exchanged(g_rate, d_rate, k, gamma):
    return rounds(lambda g, d, k: g @ power(d, k))(d_rate, g_rate, k, gamma)


# --- squared_slope


def slopes_of(critic, real):
    return jax.grad(lambda x: critic(x).sum())(real)


def axes_of(x):
    return tuple(range(1, x.ndim))


def over_the_batch(critic, real):
    return (slopes_of(critic, real) ** 2).sum()


def over_entries(critic, real):
    return (slopes_of(critic, real) ** 2).mean()


def norm(critic, real):
    return jnp.sqrt((slopes_of(critic, real) ** 2).sum(axes_of(real))).mean()


def norm_squared(critic, real):
    return (jnp.sqrt((slopes_of(critic, real) ** 2).sum(axes_of(real))) ** 2).mean()


def to_one(critic, real):
    return ((jnp.sqrt((slopes_of(critic, real) ** 2).sum(axes_of(real))) - 1) ** 2).mean()


def with_half(critic, real):
    return (slopes_of(critic, real) ** 2).sum(axes_of(real)).mean() / 2


def of_the_mean_logit(critic, real):
    slopes = jax.grad(lambda x: critic(x).mean())(real)
    return (slopes**2).sum(axes_of(real)).mean()


def of_the_mean_slope(critic, real):
    return (slopes_of(critic, real).mean(0) ** 2).sum()


def one_a_sample(critic, real):
    return (slopes_of(critic, real) ** 2).sum(axes_of(real))


def of_the_logits(critic, real):
    return (critic(real) ** 2).mean()


def cut(critic, real):
    return (jax.lax.stop_gradient(slopes_of(critic, real)) ** 2).sum(axes_of(real)).mean()


def last_axis(critic, real):
    return (slopes_of(critic, real) ** 2).sum(-1).mean()


def by_loop(critic, real):
    each = [(jax.grad(lambda x: critic(x[None])[0])(x) ** 2).sum() for x in real]
    return jnp.stack(each).mean()


def of_the_probability(critic, real):
    return (slopes_of(lambda x: jax.nn.sigmoid(critic(x)), real) ** 2).sum(axes_of(real)).mean()


def half_cut(critic, real):
    slopes = slopes_of(critic, real)
    return (slopes * jax.lax.stop_gradient(slopes)).sum(axes_of(real)).mean()


def as_float(critic, real):
    return float((slopes_of(critic, real) ** 2).sum(axes_of(real)).mean())


def by_numpy(critic, real):
    return np.mean(np.sum(np.asarray(slopes_of(critic, real)) ** 2, axis=axes_of(real)))


def summed_first(critic, real):
    return (slopes_of(critic, real).sum(axes_of(real)) ** 2).mean()


def absolute(critic, real):
    return abs(slopes_of(critic, real)).sum(axes_of(real)).mean()


def mean_norm_squared(critic, real):
    return jnp.sqrt((slopes_of(critic, real) ** 2).sum(axes_of(real))).mean() ** 2


WRONG = {
    "03.step": [
        (overwritten_too_early, "ψ is overwritten too early"),
        (modes_exchanged, "the flag is turned round"),
        (flag_turned, "the flag is turned round"),
        (always_at_once, "ask the field again"),
        (theta_first, "Your θ moves first"),
        (descends, "Minus?"),
        (no_rate, "multiply the field by `rate`"),
        (movements_only, "You return the movements"),
        (order_exchanged, "in the wrong order"),
        (second_entry_for_both, "The first one is its own"),
        (psi_asks_twice, "Only θ asks the field a second time"),
        (one_number, "Return two numbers"),
        (moving(0.5, 0.5), "rate/2"),
        (moving(-1.0), "One player walks against the field"),
        (moving(1.0, -1.0), "One player walks against the field"),
        (moving(1.0, 0.0), "ψ has not moved"),
        (moving(0.0, 1.0), "θ has not moved"),
        (moving(seen=lambda field, theta, new_theta, new: field(new_theta, new)), "at its own new place"),
        (lambda field, theta, psi, rate, alternating: field(theta, psi), "You return the field"),
        (lambda field, theta, psi, rate, alternating: (theta, psi), "where the players stood"),
        (
            lambda field, theta, psi, rate, alternating: overwritten_too_early(field, theta, psi, rate, True),
            "too early",
        ),
    ],
    "03.eigenvalues": [
        (undivided, "divide the differences"),
        (divided_by_e, "spans 2e"),
        (one_sided_over_two, "spans e, not 2e"),
        (at_one, "These belong to (1, 1)"),
        (the_jacobian, "You return the Jacobian"),
        (real_parts, "The imaginary parts are missing"),
        (absolute_values, "You return absolute values"),
        (for_symmetric_matrices, "eigvalsh is for symmetric matrices"),
        (with_vectors, "eigenvalues and eigenvectors"),
        (signs_turned, "The signs are turned"),
        (of_the_step, "1 + λ belongs to a step"),
        (traced, "jax.jacobian cannot look into those"),
        (by_formula, "Return one array of the two numbers"),
        (lambda field: list(by_formula(field)), "Return one array of the two numbers"),
        (formula_in_real_numbers, "is NaN in NumPy"),
        (lambda field: np.linalg.eigvals(jacobian_of(field, 1.0)), "e = 1 is too large"),
        (lambda field: np.linalg.eigvals(jacobian_of(field, 10.0)), "e = 10 is too large"),
        (lambda field: np.linalg.eigvals(jacobian_of(field, 0.1)), "e = 0.1 is too large"),
        (symmetrised, "symmetric, and its turning"),
        (lambda field: np.linalg.eigvals(jacobian_of(field)).imag, "the imaginary parts alone"),
        (lambda field: np.linalg.eigvals(jacobian_of(field))[[0, 0]], "twice"),
        (lambda field: np.exp(np.linalg.eigvals(jacobian_of(field))), "over a time of 1"),
        (lambda field: np.linalg.eig(jacobian_of(field))[1], "You return a matrix"),
    ],
    "03.largest_step": [
        (bound(lambda lam: 2 / abs(lam)), "2/|λ| is the bound for real λ"),
        (bound(lambda lam: -2 / lam.real), "−2/Re λ is the bound for real λ"),
        (bound(lambda lam: right_bounds(lam) / 2), "mind the 2"),
        (bound(right_bounds, np.max), "You take the largest of the bounds"),
        (bound(right_bounds, np.mean), "You take the mean of the bounds"),
        (bound(lambda lam: right_bounds(lam)[:1]), "Only the first eigenvalue counts"),
        (bound(lambda lam: -2 * lam.real / abs(lam)), "h²|λ|² has the square"),
        (bound(lambda lam: 1 / abs(lam)), "1/|λ| is a time"),
        (lambda lam: right_bounds(lam).min(), "return 0"),
        (lambda lam: -right_bounds(lam).min(), "The sign"),
        (growing_ones_forgotten, "One that grows, grows for every step"),
        (bound(right_bounds, list), "float() argument"),
        (lambda lam: right_bounds(lam), "shape (2,), expected ()"),
        (lambda lam: 0.4, "largest step is not the expected one"),
    ],
    "03.one_round": [
        (rounds(lambda g, d, k: power(d, k) @ g), "G moves first in your round"),
        (rounds(lambda g, d, k: g @ d), "whatever k is"),
        (longer_step, "is not k steps"),
        (rounds(lambda g, d, k: power(g @ d, k)), "G makes k steps, too"),
        (rounds(lambda g, d, k: (g @ power(d, k)).T), "the transposed matrix"),
        (rounds(lambda g, d, k: g @ power(d, k), sign=0), "The friction is missing"),
        (rounds(lambda g, d, k: g @ power(d, k), sign=-1), "Your friction drives ψ away"),
        (rounds(lambda g, d, k: g @ power(d, k), s=1.0), "The ½ is missing"),
        (rounds(lambda g, d, k: g @ power(d, k), s=-0.5), "A sign"),
        (rounds(lambda g, d, k: g + power(d, k) - np.eye(2)), "Both move from where they stand"),
        (rates_exchanged, "The rates are exchanged"),
        (rounds(lambda g, d, k: g @ d**k), "the power of each entry"),
        (rounds(lambda g, d, k: g * power(d, k)), "entry by entry"),
        (rounds(lambda g, d, k: np.linalg.eigvals(g @ power(d, k))), "shape (2,), expected (2, 2)"),
    ],
    "03.squared_slope": [
        (over_the_batch, "You sum over the batch"),
        (over_entries, "average over a sample's entries"),
        (norm, "The square is missing"),
        (norm_squared, "√ has no slope at 0"),
        (to_one, "as WGAN-GP does"),
        (with_half, "A ½ too many"),
        (of_the_mean_logit, "differentiate their sum"),
        (of_the_mean_slope, "slopes in opposite directions cancel"),
        (one_a_sample, "the mean is missing"),
        (of_the_logits, "You square the logits"),
        (cut, "is there a stop_gradient in the way?"),
        (last_axis, "over all axes but the first"),
        (by_loop, "loop goes over the samples"),
        (of_the_probability, "the slope of the probability"),
        (half_cut, "half of its gradient is cut"),
        (as_float, "find no value in it"),
        (by_numpy, "NumPy cannot read it"),
        (summed_first, "You sum before you square"),
        (absolute, "You sum absolute values"),
        (mean_norm_squared, "You square the mean norm"),
    ],
}
