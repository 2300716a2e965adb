"""The six losses by closed form: values, slopes, optima, and shapes that would broadcast."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_lib.losses import LOSSES, hinge, least_squares, minimax, non_saturating, relativistic, wasserstein

S = np.linspace(-4, 4, 9)


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def log_loss(real, fake):
    return -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean()


ORACLES = {  # the same in NumPy and float64, written from the papers' formulas
    "minimax": (log_loss, lambda r, f: np.log(1 - sigmoid(f)).mean()),
    "non_saturating": (log_loss, lambda r, f: -np.log(sigmoid(f)).mean()),
    "least_squares": (lambda r, f: (np.mean((r - 1) ** 2) + np.mean(f**2)) / 2, lambda r, f: np.mean((f - 1) ** 2) / 2),
    "hinge": (lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(), lambda r, f: -f.mean()),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "relativistic": (lambda r, f: -np.log(sigmoid(r - f)).mean(), lambda r, f: -np.log(sigmoid(f - r)).mean()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_values_agree_with_the_papers_formulas(name):
    real, fake = np.random.default_rng(0).normal(size=(2, 33)) * 3
    for player, oracle in zip(LOSSES[name], ORACLES[name], strict=True):
        value = player(jnp.float32(real), jnp.float32(fake))
        assert value.shape == ()
        np.testing.assert_allclose(value, oracle(real, fake), rtol=2e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_players_pull_in_opposite_directions(name):
    """Near 0 the discriminator wants real up and fake down; the generator wants fake up."""
    zero = jnp.zeros(5)
    real_slope, fake_slope = jax.grad(LOSSES[name].discriminator, argnums=(0, 1))(zero, zero)
    if name == "least_squares":  # its target for fakes is 0 itself
        fake_slope = jax.grad(LOSSES[name].discriminator, argnums=1)(zero, zero + 0.1)
    assert (real_slope < 0).all()
    assert (fake_slope > 0).all()
    assert (jax.grad(LOSSES[name].generator, argnums=1)(zero, zero) < 0).all()


def test_generator_slopes_are_the_known_weights():
    slope = lambda loss: 9 * jax.grad(loss.generator, argnums=1)(jnp.zeros(9), jnp.float32(S))
    np.testing.assert_allclose(slope(minimax), -sigmoid(S), rtol=1e-4)
    np.testing.assert_allclose(slope(non_saturating), -(1 - sigmoid(S)), rtol=1e-4)


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "relativistic"])
def test_an_undecided_discriminator_pays_log_2(name):
    zero = jnp.zeros(4)
    expected = np.log(2) * (1 if name == "relativistic" else 2)
    np.testing.assert_allclose(LOSSES[name].discriminator(zero, zero), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "optimum"),
    [
        (non_saturating, lambda p, q: np.log(p / q)),
        (least_squares, lambda p, q: p / (p + q)),
        (hinge, lambda p, q: np.sign(p - q)),
    ],
)
def test_the_best_logit_where_the_densities_are_p_and_q(loss, optimum):
    """Minimise p·loss(real at s) + q·loss(fake at s) over one logit s, on a fine grid."""
    grid = jnp.linspace(-5, 5, 20001)
    one = jax.vmap(
        lambda s: jnp.stack([loss.discriminator(s[None], jnp.zeros(1)), loss.discriminator(jnp.zeros(1), s[None])])
    )
    on_real, on_fake = one(grid).T
    for p, q in [(0.9, 0.1), (0.3, 0.7), (0.45, 0.55)]:
        np.testing.assert_allclose(grid[np.argmin(p * on_real + q * on_fake)], optimum(p, q), atol=2e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_stay_finite(name):
    extreme = jnp.array([-1e4, 1e4])
    for player in LOSSES[name]:
        value, slopes = jax.value_and_grad(player, argnums=(0, 1))(extreme, extreme[::-1])
        assert np.isfinite([value, *np.ravel(slopes)]).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize("shapes", [((8, 1), (8,)), ((8,), (8, 1)), ((8, 1), (8, 1)), ((), (8,))])
def test_shapes_that_would_broadcast_are_refused(name, player, shapes):
    with pytest.raises(ValueError, match=r"\(B,\).*squeeze"):
        getattr(LOSSES[name], player)(*map(jnp.zeros, shapes))


def test_relativistic_wants_pairs():
    with pytest.raises(ValueError, match="8 real and 6 fake"):
        relativistic.discriminator(jnp.zeros(8), jnp.zeros(6))


def test_wasserstein_certifies_a_shift():
    """With the critic f(x) = x, 1-Lipschitz, minus the loss is W1 between two point masses."""
    assert -wasserstein.discriminator(jnp.full(3, 2.5), jnp.zeros(3)) == 2.5
