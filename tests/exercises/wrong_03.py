"""Wrong answers to the exercises of notebook 03, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.dirac import slope

# --- step


def overwritten_too_early(field, theta, psi, rate, alternating):
    theta = theta + rate * field(theta, psi)[0]
    psi = psi + rate * field(theta, psi)[1]
    return theta, psi


def always_at_once(field, theta, psi, rate, alternating):
    v_theta, v_psi = field(theta, psi)
    return theta + rate * v_theta, psi + rate * v_psi


def modes_exchanged(field, theta, psi, rate, alternating):
    return (always_at_once if alternating else overwritten_too_early)(field, theta, psi, rate, alternating)


def psi_first(field, theta, psi, rate, alternating):
    if not alternating:
        return always_at_once(field, theta, psi, rate, alternating)
    psi = psi + rate * field(theta, psi)[1]
    return theta + rate * field(theta, psi)[0], psi


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


def first_entry_for_both(field, theta, psi, rate, alternating):
    new = theta + rate * field(theta, psi)[0]
    if not alternating:
        return new, psi + rate * field(theta, psi)[1]
    return new, psi + rate * field(new, psi)[0]


def theta_asks_twice(field, theta, psi, rate, alternating):
    v_theta, v_psi = field(theta, psi)
    if alternating:
        v_theta, v_psi = field(theta + rate * v_theta, psi)
    return theta + rate * v_theta, psi + rate * v_psi


def one_number(field, theta, psi, rate, alternating):
    return theta + rate * field(theta, psi)[0]


def moving(times_theta=1.0, times_psi=1.0, seen=lambda field, new, psi, new_psi: field(new, psi)):
    """A step whose players move by these multiples of their movement; in turn ψ sees another field."""

    def step(field, theta, psi, rate, alternating):
        v_theta, v_psi = field(theta, psi)
        new = theta + times_theta * rate * v_theta
        if alternating:
            v_psi = seen(field, new, psi, psi + rate * v_psi)[1]
        return new, psi + times_psi * rate * v_psi

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


# --- r1_field


def no_penalty(theta, psi, gamma):
    return -psi * slope(theta * psi), theta * slope(theta * psi)


def climbs_the_penalty(theta, psi, gamma):
    return -psi * slope(theta * psi), theta * slope(theta * psi) + gamma * psi


def damps_both(theta, psi, gamma):
    return -psi * slope(theta * psi) - gamma * theta, theta * slope(theta * psi) - gamma * psi


def damps_g(theta, psi, gamma):
    return -psi * slope(theta * psi) - gamma * psi, theta * slope(theta * psi)


def the_penalty_itself(theta, psi, gamma):
    return -psi * slope(theta * psi), theta * slope(theta * psi) - gamma / 2 * psi**2


def half(theta, psi, gamma):
    return -psi * slope(theta * psi), theta * slope(theta * psi) - gamma / 2 * psi


def twice(theta, psi, gamma):
    return -psi * slope(theta * psi), theta * slope(theta * psi) - 2 * gamma * psi


def linearised(theta, psi, gamma):
    return -psi / 2, theta / 2 - gamma * psi


def wasserstein(theta, psi, gamma):
    return -psi, theta - gamma * psi


def non_saturating(theta, psi, gamma):
    return -psi * slope(-theta * psi), theta * slope(theta * psi) - gamma * psi


def constant_friction(theta, psi, gamma):
    return -psi * slope(theta * psi), theta * slope(theta * psi) - gamma * np.sign(psi)


def psi_alone(theta, psi, gamma):
    return theta * slope(theta * psi) - gamma * psi


def renamed(theta, psi, g):
    return -psi * slope(theta * psi), theta * slope(theta * psi) - g * psi


def fielded(v_theta, v_psi):
    """A field from functions of (theta, psi, gamma, f′)."""

    def r1_field(theta, psi, gamma):
        f = slope(theta * psi)
        return v_theta(theta, psi, gamma, f), v_psi(theta, psi, gamma, f)

    return r1_field


# --- optimistic


def plain(w, v, v_before, rate):
    return w + rate * v


def momentum(w, v, v_before, rate):
    return w + rate * (v + v_before)


def wrong_sign(w, v, v_before, rate):
    return w + rate * (2 * v + v_before)


def change_alone(w, v, v_before, rate):
    return w + rate * (v - v_before)


def times_exchanged(w, v, v_before, rate):
    return w + rate * (2 * v_before - v)


def average(w, v, v_before, rate):
    return w + rate * (v + v_before) / 2


def minus(w, v, v_before, rate):
    return w - rate * (2 * v - v_before)


def bare_velocity(w, v, v_before, rate):
    return w + 2 * rate * v - v_before


def length_one(w, v, v_before, rate):
    return w + 2 * v - v_before


def movement(w, v, v_before, rate):
    return rate * (2 * v - v_before)


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
        (overwritten_too_early, "θ is overwritten too early"),
        (modes_exchanged, "θ is overwritten too early"),
        (always_at_once, "ask the field again"),
        (psi_first, "Your ψ moves first"),
        (descends, "Minus?"),
        (no_rate, "multiply the field by `rate`"),
        (movements_only, "You return the movements"),
        (order_exchanged, "in the wrong order"),
        (first_entry_for_both, "The second one is its own"),
        (theta_asks_twice, "Only ψ asks the field a second time"),
        (one_number, "Return two numbers"),
        (moving(0.5, 0.5), "rate/2"),
        (moving(-1.0), "One player walks against the field"),
        (moving(1.0, -1.0), "One player walks against the field"),
        (moving(1.0, 0.0), "ψ has not moved"),
        (moving(0.0, 1.0), "θ has not moved"),
        (moving(seen=lambda field, new, psi, new_psi: field(new, new_psi)), "at its own new place"),
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
    "03.r1_field": [
        (no_penalty, "D's penalty γ/2·ψ² is missing"),
        (climbs_the_penalty, "drives ψ away from 0"),
        (damps_both, "You damp G too"),
        (damps_g, "You damp G. It is D"),
        (the_penalty_itself, "You subtract the penalty itself"),
        (half, "the square brings a 2 along"),
        (twice, "the ½ takes the 2 away"),
        (linearised, "right at the equilibrium only"),
        (wasserstein, "the field of a Wasserstein GAN"),
        (non_saturating, "the non-saturating field"),
        (constant_friction, "in proportion to ψ"),
        (psi_alone, "Return two numbers"),
        (renamed, "leave the third argument its name"),
        (fielded(lambda t, p, c, f: -p * f - c * t, lambda t, p, c, f: t * f), "It is D who pays"),
        (fielded(lambda t, p, c, f: -p * f, lambda t, p, c, f: t * f - c * t), "not γθ"),
        (fielded(lambda t, p, c, f: -p * f, lambda t, p, c, f: t * f - p), "γ is missing"),
        (fielded(lambda t, p, c, f: -p * f, lambda t, p, c, f: -c * p), "own slope is missing"),
        (fielded(lambda t, p, c, f: p * f, lambda t, p, c, f: t * f - c * p), "The sign of v_θ"),
        (fielded(lambda t, p, c, f: -t * f, lambda t, p, c, f: p * f - c * p), "θ and ψ are exchanged"),
        (fielded(lambda t, p, c, f: -f, lambda t, p, c, f: f - c * p), "The inner derivatives are missing"),
        (fielded(lambda t, p, c, f: -p * f, lambda t, p, c, f: t * f - c * abs(p)), "one sign on both sides"),
        (fielded(lambda t, p, c, f: -p * f, lambda t, p, c, f: (t - c * p) * f), "not to the penalty"),
    ],
    "03.critical": [
        (lambda s: s, "γ = s: right if"),
        (lambda s: 1.0, "You return 1 for every s"),
        (lambda s: 4 * s**2, "which is γ²"),
        (lambda s: 4 * s, "γ = 4s"),
        (lambda s: s / 2, "γ = s/2"),
        (lambda s: -2 * s, "The sign"),
        (lambda s: s**2, "You return s²"),
        (lambda s: 2.2 * s, "critical γ is not the expected one"),
        (lambda s: 2 * s - 0.2 * s**2, "for steps of h = 0.2 in turn"),
        (lambda s: 2 * s**2, "in proportion to s"),
        (lambda s: 1 / s, "γ grows with s"),
        (lambda s: s + 0.5, "right for s = ½ only"),
        (lambda s: 0.0, "no penalty at all"),
        (lambda s: {0.3: 0.6, 1.0: 2.0, 0.5: 1.0}[s], "KeyError"),
    ],
    "03.optimistic": [
        (plain, "v_before is not used"),
        (momentum, "That is momentum"),
        (wrong_sign, "wrong sign"),
        (change_alone, "You step by the change alone"),
        (times_exchanged, "now and before are exchanged"),
        (average, "You average now and before"),
        (minus, "Minus?"),
        (bare_velocity, "v_before is a velocity, too"),
        (length_one, "multiply by `rate`"),
        (movement, "You return the movement"),
        (lambda w, v, v_before, rate: 2 * v - v_before, "You return the forecast"),
        (lambda w, v, v_before, rate: w + rate * (3 * v - 2 * v_before), "two steps ahead"),
        (lambda w, v, v_before, rate: w + rate * (1.5 * v - 0.5 * v_before), "half of the change"),
        (lambda w, v, v_before, rate: w + 0.2 * (2 * v - v_before), "whatever `rate` is"),
        (lambda w, v, v_before, rate: w + rate * v + (v - v_before), "multiply it by `rate`"),
        (lambda w, v, v_before, rate: tuple(w + rate * (2 * v - v_before)), "make one array of it"),
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
