"""Penalties by closed form: linear and quadratic critics, flat ones, networks; what they refuse, and how GAN takes them."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gan_lib import nets
from gan_lib.gan import GAN
from gan_lib.losses import Loss, relativistic, wasserstein
from gan_lib.nets import MLP
from gan_lib.penalties import OneCentred, ZeroCentred, at_step, gradient_penalty, r1, r2, refuse_mixing
from gan_lib.pure import forward
from gan_lib.training import fit

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def linear(w):
    return lambda x: (x * w).reshape(len(x), -1).sum(axis=1) + 3.0


@pytest.mark.parametrize("shape", [(1,), (2,), (4, 3, 2)])
@pytest.mark.parametrize("scale", [1e-6, 0.3, 1.0, 40.0])
def test_a_linear_critic_has_one_slope_everywhere(shape, scale):
    w = scale * normal(*shape)
    square = float((np.float64(w) ** 2).sum())  # over all of a sample's entries, not the last axis
    real, fake = normal(7, *shape, seed=1), normal(7, *shape, seed=2)
    assert r1(linear(w), real) == pytest.approx(square, rel=1e-5)
    assert r2(linear(w), fake) == pytest.approx(square, rel=1e-5)
    value = gradient_penalty(linear(w), real, fake, key=KEY)
    assert value == pytest.approx((square**0.5 - 1) ** 2, rel=1e-5, abs=1e-6)


def test_a_quadratic_critic_has_its_slope_at_each_sample():
    """critic = ½|x|² has gradient x: means of |x|², and of (|x̂| − 1)²."""
    bowl = lambda x: 0.5 * (x**2).sum(axis=(1, 2))
    real, fake = normal(50, 3, 2), 2 + normal(50, 3, 2, seed=1)
    assert r1(bowl, real) == pytest.approx(float((real**2).sum() / 50), rel=1e-5)
    assert r2(bowl, fake) == pytest.approx(float((fake**2).sum() / 50), rel=1e-5)
    same = gradient_penalty(bowl, real, real, key=KEY)  # between x and x lies x
    assert same == pytest.approx(float(((jnp.linalg.norm(real.reshape(50, -1), axis=1) - 1) ** 2).mean()), rel=1e-5)


def test_points_between_have_one_uniform_share_a_sample():
    """Read off the critic's input: real at 0 and fake at 1 make x̂ = 1 − ε in every entry."""
    seen = []

    def critic(x):
        seen.append(jax.lax.stop_gradient(x))
        return x.sum(axis=(1, 2))

    gradient_penalty(critic, jnp.zeros((4000, 3, 2)), jnp.ones((4000, 3, 2)), key=KEY)
    between = np.asarray(seen[0])
    assert np.ptp(between, axis=(1, 2)).max() == 0  # not an ε for each entry
    share = np.sort(between[:, 0, 0])
    assert np.abs(share - (np.arange(4000) + 0.5) / 4000).max() < 1.63 / 4000**0.5  # Kolmogorov-Smirnov, 1 %
    assert share[0] >= 0
    assert share[-1] <= 1


def test_points_between_lie_on_the_line_from_real_to_fake():
    seen = []
    critic = lambda x: (seen.append(jax.lax.stop_gradient(x)), x.sum(axis=1))[1]
    real, fake = normal(30, 2), normal(30, 2, seed=1)
    gradient_penalty(critic, real, fake, key=KEY)
    share = (seen[0] - fake) / (real - fake)
    np.testing.assert_allclose(share[:, 0], share[:, 1], atol=1e-3)


def test_a_flat_critic_costs_1_and_has_finite_slopes():
    """The norm's own gradient is infinite at 0 if nothing is done about it."""
    x = normal(5, 3)
    cost = lambda w: gradient_penalty(linear(w), x, 2 * x, key=KEY)
    assert np.isfinite(jax.jit(jax.hessian(cost))(jnp.zeros(3))).all()
    value, slope = jax.value_and_grad(cost)(jnp.zeros(3))
    assert value == 1
    np.testing.assert_array_equal(slope, 0)
    dead = lambda b: gradient_penalty(lambda x: nnx.relu(x @ jnp.ones(3) + b), x, x, key=KEY)
    assert jax.value_and_grad(dead)(-100.0) == (1, 0)
    tiny = jax.grad(cost)(jnp.full(3, 1e-12))  # not flat: the slope of (|w| − 1)² is −2w/|w|
    np.testing.assert_allclose(tiny, np.full(3, -2 / 3**0.5), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("activation", [nnx.relu, nnx.leaky_relu, jnp.tanh, nnx.silu])
def test_slopes_of_a_network_agree_with_one_sample_at_a_time_and_differences(activation):
    build = partial(MLP, (3, 16, 16, 1), shape=(), activation=activation)
    d = build(rngs=nnx.Rngs(0))
    real, fake = normal(9, 3), normal(9, 3, seed=1)
    alone = jax.vmap(jax.grad(lambda x: d(x[None])[0]))(real)
    assert r1(d, real) == pytest.approx(float((alone**2).sum(axis=1).mean()), rel=1e-5)
    params, rest = (nnx.to_pure_dict(part) for part in nnx.split(d, nnx.Param, ...)[1:])

    def cost(params):
        critic = lambda x: forward(build, params, rest, x)[0]
        return r1(critic, real) + r2(critic, fake) + gradient_penalty(critic, real, fake, key=KEY)

    slope = jax.grad(cost)(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    way = jax.tree.map(lambda p: normal(*p.shape, seed=3), params)
    step = 1e-3
    moved = [jax.jit(cost)(jax.tree.map(lambda p, w, s=s: p + s * w, params, way)) for s in (step, -step)]
    along = sum(jax.tree.leaves(jax.tree.map(lambda a, b: (a * b).sum(), slope, way)))
    if activation in (jnp.tanh, nnx.silu):  # smooth
        assert along == pytest.approx(float(moved[0] - moved[1]) / (2 * step), rel=0.02)


PENALTIES = {
    "r1": lambda critic, x: r1(critic, x),
    "r2": lambda critic, x: r2(critic, x),
    "gradient_penalty": lambda critic, x: gradient_penalty(critic, x, 2 * x, key=KEY),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_bad_shapes_are_explained(name):
    penalty, x = PENALTIES[name], normal(5, 3)
    for critic, got in ((lambda x: x[:, :1], r"\(5, 1\)"), (lambda x: x.sum(), r"\(\)"), (lambda x: x, r"\(5, 3\)")):
        for shaped in (penalty, jax.jit(penalty, static_argnums=0)):
            with pytest.raises(ValueError, match=rf"to logits \(B,\).* got {got}"):
                shaped(critic, x)
    with pytest.raises(ValueError, match=r"batch of floats \(B, ...\); got int32 of shape \(5, 3\)"):
        r1(linear(1.0), x.astype(int))
    with pytest.raises(ValueError, match=r"batch of floats \(B, ...\); got float32 of shape \(\)"):
        r1(linear(1.0), x[0, 0])


@pytest.mark.parametrize("other", [(4, 3), (5, 2), (5, 3, 1), (3,)])
def test_real_and_fake_of_different_shapes_are_explained(other):
    with pytest.raises(ValueError, match=r"pairs .* got shapes \(5, 3\) and"):
        gradient_penalty(linear(1.0), normal(5, 3), normal(*other), key=KEY)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_critic_that_mixes_samples_is_refused(name):
    penalty, x = PENALTIES[name], normal(5, 3)
    centred = lambda w: lambda x: ((x - x.mean(axis=0)) @ w) ** 2
    with pytest.raises(ValueError, match=r"depends on other samples.*BatchNorm.*LayerNorm"):
        penalty(centred(jnp.ones(3)), x)
    with pytest.raises(ValueError, match="depends on other samples"):  # seen through a derivative, too
        jax.grad(lambda w: penalty(centred(w), x))(jnp.ones(3))


def batch_norm(rngs):
    return MLP((2, 8, 8, 1), norm=True, shape=(), rngs=rngs)


def plain(rngs):
    return MLP((2, 8, 8, 1), shape=(), rngs=rngs)


def test_batch_norm_in_a_module_is_refused_by_its_place():
    module, x = batch_norm(nnx.Rngs(0)), normal(5, 2)
    with pytest.raises(ValueError, match=r"contains BatchNorm, at layers\.layers\.1\..*LayerNorm"):
        r1(module, x)
    with pytest.raises(ValueError, match=r"changes arrays of its own.*BatchNorm"):
        r1(lambda x: module(x), x)
    module.eval()  # fixed statistics mix nothing
    refuse_mixing(module)
    assert r1(module, x) > 0
    refuse_mixing(nnx.Sequential(nnx.Linear(2, 8, rngs=nnx.Rngs(0)), nnx.LayerNorm(8, rngs=nnx.Rngs(0))))


def test_weights_as_gan_takes_them():
    critic, real, fake = (lambda x: (x**2).sum(axis=1)), normal(6, 2), normal(6, 2, seed=1)
    values = [float(r1(critic, real)), float(r2(critic, fake)), float(gradient_penalty(critic, real, fake, key=KEY))]
    assert OneCentred(3.0)(critic, real, fake, key=KEY) == pytest.approx(3 * values[2], rel=1e-6)
    assert OneCentred().weight == 10
    assert ZeroCentred(r1=0.3)(critic, real, fake, key=KEY) == pytest.approx(0.15 * values[0], rel=1e-6)
    both = 0.15 * values[0] + 0.25 * values[1]
    assert ZeroCentred(r1=0.3, r2=0.5)(critic, real, fake, key=KEY) == pytest.approx(both, rel=1e-6)
    assert ZeroCentred()(critic, real, fake, key=KEY) == 0
    scheduled = jax.jit(lambda gamma: ZeroCentred(gamma, gamma)(critic, real, fake, key=KEY))
    assert scheduled(0.4) == pytest.approx(0.2 * (values[0] + values[1]), rel=1e-6)


def test_a_gamma_that_falls_is_the_one_of_the_step():
    critic, real, fake = (lambda x: (x**2).sum(axis=1)), normal(6, 2), normal(6, 2, seed=1)
    falling = lambda step: 3.0 - step
    penalty = ZeroCentred(falling, 0.5)
    assert penalty.at(jnp.int32(2)) == ZeroCentred(1.0, 0.5)
    assert at_step(penalty, 2)(critic, real, fake, key=KEY) == ZeroCentred(1.0, 0.5)(critic, real, fake, key=KEY)
    assert at_step(plain_penalty := OneCentred(), 2) is plain_penalty
    with pytest.raises(ValueError, match=r"is a schedule; expected a number.*penalty\.at\(step\)"):
        penalty(critic, real, fake, key=KEY)


def test_gan_hands_the_step_to_a_falling_gamma():
    """Pushed by the penalty alone, D moves as under the constant γ of that step."""
    silent = Loss(lambda real, fake: 0 * real.mean(), lambda real, fake: 0 * fake.mean())
    gan = GAN(partial(MLP, (2, 8, 2)), plain, loss=silent, latent_dim=2, optimizer=optax.sgd(0.1))
    state, moved = gan.init(KEY), {}
    for name, gamma in {"falling": lambda step: 5.0 - step, "5": 5.0, "2": 2.0}.items():
        now = replace(gan, penalty=ZeroCentred(gamma, gamma))
        for step in (0, 3):
            moved[name, step] = now.step(state._replace(step=jnp.int32(step)), normal(8, 2), KEY)[
                0
            ].params.discriminator
    for one, other in ((("falling", 0), ("5", 0)), (("falling", 3), ("2", 3))):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6), moved[one], moved[other])
    assert not jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), moved["5", 0], moved["2", 0]))


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [OneCentred(10.0), ZeroCentred(r1=0.5, r2=0.5)], ids=str)
def test_a_penalised_gan_trains_in_one_compiled_program(penalty):
    loss = wasserstein if isinstance(penalty, OneCentred) else relativistic
    gan = GAN(partial(MLP, (2, 8, 2)), plain, loss=loss, latent_dim=2, penalty=penalty)
    twin = GAN(gan.generator, plain, loss=loss, latent_dim=2, penalty=type(penalty)(**vars(penalty)))
    assert gan == twin
    assert hash(gan) == hash(twin)  # equal parts share their compiled programs
    data, settings = 3 + normal(256, 2), dict(steps=10, key=KEY, batch_size=32, progress=False)
    _, history = fit(gan, gan.init(KEY), data, **settings)
    assert np.isfinite(history["d_loss"]).all()


@pytest.mark.slow
def test_strong_penalties_hold_the_slope_where_they_say():
    """WGAN-GP: near 1 on real, fake and between. R1: near 0 at the data."""
    data = 3 + normal(512, 2)
    settings = dict(steps=1000, key=KEY, batch_size=64, progress=False)
    for loss, penalty, low, high in (
        (wasserstein, OneCentred(10.0), 0.6, 1.4),
        (relativistic, ZeroCentred(50.0), 0, 0.1),
    ):
        gan = GAN(partial(MLP, (2, 32, 2)), plain, loss=loss, latent_dim=2, penalty=penalty)
        state, _ = fit(gan, gan.init(KEY), data, **settings)
        assert low <= r1(partial(gan.logits, state), data) ** 0.5 <= high


def test_a_discriminator_that_sees_its_batch_is_refused():
    with pytest.raises(ValueError, match=r"contains BatchSpread, at layers\.\d.*no logit has a gradient"):
        GAN(nets.small_generator, nets.small_discriminator, latent_dim=16, penalty=ZeroCentred(r1=1.0)).init(KEY)


def test_gan_refuses_batch_norm_in_a_penalised_discriminator():
    parts = dict(generator=partial(MLP, (2, 8, 2), norm=True), latent_dim=2)  # the generator may have it
    _ = GAN(discriminator=batch_norm, **parts).init(KEY)  # without a penalty so may D
    GAN(discriminator=plain, penalty=OneCentred(), **parts).init(KEY)
    for penalty in (OneCentred(), ZeroCentred(r1=1.0)):
        with pytest.raises(ValueError, match="discriminator contains BatchNorm"):
            GAN(discriminator=batch_norm, penalty=penalty, **parts).init(KEY)
