"""Dirac-GAN: fields against autodiff of the losses, rates against eigenvalues, what each method is known to do."""

import inspect
import itertools
import math

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import pytest

from gan_lib.dirac import METHODS, field, trajectory

SIZES = dict(weight=0.7, target=0.4, gamma=0.3)
POINTS = np.array([(1.0, 1.0), (-0.8, 0.3), (0.5, -2.0), (-1.5, -0.7), (3.0, 2.0), (0.0, 0.4), (0.9, 0.0)])


def float64():
    """A context in which JAX computes in float64; jax 0.7.2 has it elsewhere."""
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64(True)


# --- the fields: what each player descends, written as losses, differentiated by JAX ---------------------------------


def value(theta, psi):
    """What D pays for the point 0 of the data and the fake θ, by its logits 0 and ψθ; G maximises it."""
    return jax.nn.softplus(psi * theta) + jax.nn.softplus(0.0)


def gap(theta, psi):
    """The same for a critic's score in place of softplus."""
    return psi * theta


def squared_speed(theta, psi):
    """½‖v‖² of the GAN's field."""
    return sum(jax.grad(value, player)(theta, psi) ** 2 for player in (0, 1)) / 2


LOSSES = {  # what G descends, what D descends
    "gan": (lambda t, p: -value(t, p), value),
    "nsgan": (lambda t, p: jax.nn.softplus(-p * t), value),
    "wgan_clip": (lambda t, p: -gap(t, p), gap),
    "wgan_gp": (
        lambda t, p: -gap(t, p),
        lambda t, p: gap(t, p) + SIZES["weight"] / 2 * (jnp.sign(p) * p - SIZES["target"]) ** 2,
    ),
    "r1": (lambda t, p: -value(t, p), lambda t, p: value(t, p) + SIZES["gamma"] / 2 * p**2),
    "consensus": tuple(
        lambda t, p, sign=sign: sign * value(t, p) + SIZES["gamma"] * squared_speed(t, p) for sign in (-1, 1)
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_field_is_minus_the_slope_of_the_losses(method):
    with float64():
        wanted = [[-float(jax.grad(loss, i)(*point)) for i, loss in enumerate(LOSSES[method])] for point in POINTS]
    move = field(method, **SIZES)
    np.testing.assert_allclose([move(*point) for point in POINTS], wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(np.transpose(move(*POINTS.T)), wanted, rtol=1e-12, atol=1e-14)  # arrays at once


def test_every_method_is_checked():
    assert set(LOSSES) == set(METHODS)


def test_fields_are_exact_far_out():
    np.testing.assert_allclose(field("gan")(-100.0, 100.0), 0, atol=1e-300)
    np.testing.assert_allclose(field("gan")(100.0, 100.0), (100, -100), rtol=1e-15)
    assert np.isfinite(field("consensus")(-50.0, 50.0)).all()


# --- the steps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("alternating", [False, True])
def test_steps_follow_the_field(method, alternating):
    move = field(method, **SIZES)
    path = trajectory(method, start=(0.9, -0.5), step_size=0.3, steps=7, alternating=alternating, clip=0.6, **SIZES)
    assert path.shape == (8, 2)
    assert path.dtype == np.float64
    assert path[0].tolist() == [0.9, -0.5]
    for (theta, psi), (new_theta, new_psi) in itertools.pairwise(path):
        moved = psi + 0.3 * move(theta, psi)[1]
        assert new_psi == pytest.approx(np.clip(moved, -0.6, 0.6) if method == "wgan_clip" else moved, rel=1e-14)
        moved = theta + 0.3 * move(theta, new_psi if alternating else psi)[0]
        assert new_theta == pytest.approx(moved, rel=1e-14)


def test_defaults_are_the_documented_ones():
    given = {p.name: p.default for p in inspect.signature(trajectory).parameters.values() if p.kind == p.KEYWORD_ONLY}
    assert given == dict(
        start=(1.0, 1.0), step_size=0.2, steps=500, alternating=False, clip=1.0, weight=1.0, target=1.0, gamma=1.0
    )
    assert trajectory("gan").shape == (501, 2)


def test_each_parameter_belongs_to_its_methods():
    others = dict(clip=0.3, weight=0.3, target=0.3, gamma=0.3)
    owners = {"clip": {"wgan_clip"}, "weight": {"wgan_gp"}, "target": {"wgan_gp"}, "gamma": {"r1", "consensus"}}
    for name, value in others.items():
        changed = {
            method
            for method in METHODS
            if not np.array_equal(trajectory(method, steps=9), trajectory(method, steps=9, **{name: value}))
        }
        assert changed == owners[name]


def test_a_field_of_your_own():
    path = trajectory(lambda theta, psi: (psi, -theta), step_size=0.1, steps=20, alternating=True)
    np.testing.assert_array_equal(
        path, trajectory("wgan_clip", clip=math.inf, step_size=0.1, steps=20, alternating=True)
    )


# --- conservation ----------------------------------------------------------------------------------------------------


def radius(path):
    return np.hypot(*path.T)


def flow(move, start, time, steps):
    """The point that the continuous flow reaches, by Runge-Kutta steps of order 4."""
    h, w = time / steps, np.array(start, float)
    v = lambda w: np.array(move(*w))
    for _ in range(steps):
        a = v(w)
        b = v(w + h / 2 * a)
        c = v(w + h / 2 * b)
        w = w + h / 6 * (a + 2 * b + 2 * c + v(w + h * c))
    return w


@pytest.mark.parametrize("method", ["gan", "wgan_clip"])
def test_the_continuous_flow_keeps_the_radius(method):
    end = flow(field(method), (1.0, 0.5), time=20, steps=2000)
    assert np.hypot(*end) == pytest.approx(np.hypot(1, 0.5), rel=1e-9)
    assert np.linalg.norm(end - (1, 0.5)) > 0.1  # it has moved


@pytest.mark.parametrize("method", ["nsgan", "r1", "consensus"])
def test_the_continuous_flow_of_the_others_shrinks_it(method):
    move = field(method)
    circle = np.array([(np.cos(a), np.sin(a)) for a in np.linspace(0.1, 6.3, 40)])
    radial = (circle * np.transpose(move(*circle.T))).sum(1)
    assert (radial <= 0).all()
    assert radial.mean() < -0.05


@pytest.mark.parametrize("method", ["gan", "wgan_clip"])
def test_simultaneous_steps_always_move_out(method):
    r = radius(trajectory(method, clip=math.inf))
    assert (np.diff(r) > 0).all()
    assert r[-1] > 2 * r[0]


@pytest.mark.parametrize("method", ["gan", "wgan_clip"])
def test_alternating_steps_keep_the_radius_on_average(method):
    r = radius(trajectory(method, clip=math.inf, steps=20_000, alternating=True))
    means = r[1:].reshape(20, 1000).mean(1)
    assert np.ptp(means) < 0.02 * means.mean()
    assert 0.7 < r.min() <= r.max() < 1.45 * r[0]


def test_alternating_steps_of_the_rotation_conserve_a_quadratic_form():
    h = 0.3
    theta, psi = trajectory("wgan_clip", clip=math.inf, step_size=h, alternating=True).T
    np.testing.assert_allclose(theta**2 + psi**2 - h * theta * psi, 2 - h, rtol=1e-12)


def test_non_saturating_flow_approaches_like_one_over_root_t():
    """On average over a turn dr²/dt = −r⁴/8, so 1/r² = 1/r₀² + t/8: slower than any exponential."""
    for steps in (1_000, 10_000):
        path = trajectory("nsgan", start=(1.0, 0.0), step_size=0.1, steps=steps, alternating=True)
        assert radius(path)[-60:].mean() == pytest.approx((1 + steps * 0.1 / 8) ** -0.5, rel=0.05)


def test_non_saturating_simultaneous_steps_end_on_a_circle():
    """The steps add h²/4 of r² each, the field takes h·r⁴/8: balance at r = √(2h)."""
    for h in (0.05, 0.1, 0.2):
        r = radius(trajectory("nsgan", step_size=h, steps=int(4000 / h / 10)))
        assert r[-200:].mean() == pytest.approx(math.sqrt(2 * h), rel=0.03)


# --- rates -----------------------------------------------------------------------------------------------------------


def eigenvalues(move):
    """Of the field's Jacobian at the equilibrium, by central differences."""
    e = 1e-5
    columns = [np.subtract(move(*point), move(*-point)) / (2 * e) for point in e * np.eye(2)]
    return np.sort_complex(np.linalg.eigvals(np.transpose(columns)))


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.5])
def test_eigenvalues_are_the_papers(gamma):
    root = np.sqrt(gamma**2 / 4 - 1 / 4 + 0j)
    close = dict(atol=2e-5)  # at gamma = 1 the eigenvalues meet, and rounding counts by its root
    np.testing.assert_allclose(eigenvalues(field("gan")), (-0.5j, 0.5j), **close)
    np.testing.assert_allclose(eigenvalues(field("nsgan")), (-0.5j, 0.5j), **close)
    np.testing.assert_allclose(eigenvalues(field("wgan_clip")), (-1j, 1j), **close)
    found = eigenvalues(field("consensus", gamma=gamma))
    np.testing.assert_allclose(found, (-gamma / 4 - 0.5j, -gamma / 4 + 0.5j), **close)
    found = eigenvalues(field("r1", gamma=gamma))
    wanted = np.sort_complex([-gamma / 2 - root, -gamma / 2 + root])
    np.testing.assert_allclose(np.sort(found.imag), np.sort(wanted.imag), atol=1e-3)
    np.testing.assert_allclose(np.sort(found.real), np.sort(wanted.real), atol=1e-3)


def measured_rate(method, **options):
    """Factor of the radius a step, over many steps, so that a turn's wobble averages out, and so near 0 that none ends
    where the field is curved."""
    r = radius(trajectory(method, start=(1e-90, 0.0), steps=4000, clip=math.inf, **options))
    return (r[4000] / r[2000]) ** (1 / 2000)


def predicted_rate(method, h, alternating, **options):
    """Spectral radius of the update's Jacobian at 0: [ψ moves, θ moves at the new ψ], or both at once."""
    move = field(method, **options)
    e = 1e-5
    jacobian = np.transpose([np.subtract(move(*point), move(*-point)) / (2 * e) for point in e * np.eye(2)])
    theta, psi = np.eye(2) + h * np.diag([1, 0]) @ jacobian, np.eye(2) + h * np.diag([0, 1]) @ jacobian
    update = theta @ psi if alternating else np.eye(2) + h * jacobian
    return abs(np.linalg.eigvals(update)).max()


@pytest.mark.parametrize("alternating", [False, True])
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gan", {}),
        ("nsgan", {}),
        ("wgan_clip", {}),
        ("r1", dict(gamma=0.5)),
        ("r1", dict(gamma=3.0)),
        ("consensus", dict(gamma=0.5)),
    ],
)
def test_measured_rates_are_the_eigenvalues(method, options, alternating):
    for h in (0.1, 0.3):
        measured = measured_rate(method, step_size=h, alternating=alternating, **options)
        assert measured == pytest.approx(predicted_rate(method, h, alternating, **options), abs=2e-4)


@pytest.mark.parametrize("h", [0.1, 0.2, 0.4])
def test_gan_rates_by_closed_form(h):
    assert measured_rate("gan", step_size=h) == pytest.approx(math.sqrt(1 + h**2 / 4), abs=1e-6)
    assert measured_rate("gan", step_size=h, alternating=True) == pytest.approx(1, abs=1e-4)


def test_critical_damping_at_gamma_1():
    """The smaller |real part| of the two eigenvalues is largest there, and no other gamma returns sooner."""
    gammas = [0.25, 0.5, 0.8, 1.0, 1.25, 2.0, 4.0]
    ends = [radius(trajectory("r1", start=(0.1, 0.0), step_size=0.02, steps=5000, gamma=g))[-1] for g in gammas]
    assert gammas[int(np.argmin(ends))] == 1.0
    slowest = [eigenvalues(field("r1", gamma=g)).real.max() for g in gammas]
    assert gammas[int(np.argmin(slowest))] == 1.0


# --- who reaches the equilibrium -------------------------------------------------------------------------------------


@pytest.mark.parametrize("alternating", [False, True])
def test_who_arrives_and_who_does_not(alternating):
    ends = {m: radius(trajectory(m, steps=2000, alternating=alternating))[-200:] for m in METHODS}
    assert ends["r1"].max() < 1e-12
    assert ends["consensus"].max() < 1e-12
    for method in ("gan", "wgan_clip", "wgan_gp"):
        assert ends[method].min() > 0.3, method
    assert 0.05 < ends["nsgan"].mean() < 0.7  # on its way, at best


def test_clipping_stops_psi_and_nothing_else():
    theta, psi = trajectory("wgan_clip", clip=0.3, start=(2.0, 0.0), steps=300).T
    wall = abs(psi[:-1]) == 0.3
    assert abs(psi).max() == 0.3
    assert wall.mean() > 0.3
    np.testing.assert_allclose(abs(np.diff(theta)[wall]), 0.2 * 0.3)  # G walks on at constant speed


def test_gradient_penalty_drives_the_slope_to_its_target():
    """With θ held at 0, D settles at |ψ| = target, not at the equilibrium 0."""
    _, psi = trajectory(lambda t, p: (0.0, field("wgan_gp", weight=2.0, target=0.7)(t, p)[1]), start=(0.0, 0.1)).T
    assert psi[-1] == pytest.approx(0.7)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GAN", "wgan", "", None, 3])
def test_unknown_methods_are_refused_with_the_known_ones(method):
    with pytest.raises(ValueError, match="gan, nsgan, wgan_clip, wgan_gp, r1, consensus"):
        trajectory(method)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *[("start", bad) for bad in ((1.0,), 1.0, (1, 2, 3), (1.0, math.nan), (math.inf, 0), ((1, 1),))],
        *[("step_size", bad) for bad in (0, -0.1, math.inf, math.nan, "0.1", None)],
        *[("steps", bad) for bad in (-1, 2.5, "3", None)],
        *[("clip", bad) for bad in (0, -1.0, math.nan, None)],
        *[("weight", bad) for bad in (-1.0, math.nan, math.inf, None)],
        *[("target", bad) for bad in (-0.1, math.inf)],
        *[("gamma", bad) for bad in (-0.1, math.nan, "1")],
    ],
)
def test_sizes_that_make_no_sense_are_refused_by_name(name, bad):
    with pytest.raises(ValueError, match=f"^{name} is .*expected"):
        trajectory("r1", **{name: bad})


def test_a_path_that_leaves_the_numbers_goes_on_in_silence():
    path = trajectory("r1", step_size=10.0, gamma=10.0, steps=400)
    assert path.shape == (401, 2)
    assert not np.isfinite(path[-1]).all()
    assert trajectory("gan", steps=0).tolist() == [[1.0, 1.0]]
