"""VAE and VAE-GAN: the KL and the bound against closed forms and quadrature, who is moved by what, and that both learn."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy import integrate, stats

from gan_lib import data, nets
from gan_lib.coder import Parts
from gan_lib.likelihoods import Likelihood, bernoulli, gaussian
from gan_lib.losses import Loss, cross_entropy, fool, non_saturating
from gan_lib.metrics import mode_coverage
from gan_lib.nets import MLP
from gan_lib.pure import forward
from gan_lib.training import fit
from gan_lib.vae import VAE, VAEGAN, kl_to_standard_normal

KEY = jax.random.key(0)
SGD = optax.sgd(1.0)


def mlp(*sizes, **options):
    return lambda rngs: MLP(sizes, rngs=rngs, **options)


def showing(rngs):
    """A small discriminator of points with BatchNorm-free layers."""
    return nets.Showing(MLP((2, 8), output=jnp.tanh, rngs=rngs), MLP((8, 8, 1), shape=(), rngs=rngs))


def points(n=64, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 2)), jnp.float32)


def moved(before, after):
    """The largest change of any number of a network."""
    return max(float(abs(a - b).max()) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


# --- the KL ---------------------------------------------------------------------------------------------------------


def test_the_kl_of_the_prior_is_0_and_known_ones_come_out():
    mean, log_variance = jnp.zeros((3, 5)), jnp.zeros((3, 5))
    np.testing.assert_array_equal(kl_to_standard_normal(mean, log_variance), np.zeros(3))
    np.testing.assert_allclose(kl_to_standard_normal(mean + 2, log_variance), np.full(3, 10.0), rtol=1e-6)
    doubled = kl_to_standard_normal(mean[:, :1], log_variance[:, :1] + 2 * np.log(2))
    np.testing.assert_allclose(doubled, np.full(3, 0.5 * (4 - 1) - np.log(2)), rtol=1e-6)


@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 1.0), (-2.0, 0.1), (0.0, 3.0)])
def test_the_kl_is_the_integral(mean, deviation):
    q, p = stats.norm(mean, deviation), stats.norm()
    expected, _ = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *q.interval(1 - 1e-14))
    got = kl_to_standard_normal(jnp.array([[mean]]), jnp.array([[2 * np.log(deviation)]]))
    assert got.shape == (1,)
    np.testing.assert_allclose(got[0], expected, rtol=1e-5)


def test_the_kl_sums_over_latents_and_keeps_small_numbers():
    rng = np.random.default_rng(0)
    mean, log_variance = (rng.normal(size=(4, 3)).astype(np.float32) for _ in range(2))
    one = [kl_to_standard_normal(mean[:, [j]], log_variance[:, [j]]) for j in range(3)]
    np.testing.assert_allclose(kl_to_standard_normal(mean, log_variance), sum(one), rtol=1e-5)
    tiny = kl_to_standard_normal(jnp.zeros((1, 1)), jnp.full((1, 1), 1e-3))
    np.testing.assert_allclose(tiny, [2.5e-7], rtol=0.1)  # ½(e^v − 1 − v) ≈ v²/4; exp(v) − 1 would leave 0 or 6e-8


@pytest.mark.parametrize("shapes", [((3, 2), (3, 1)), ((3,), (3,)), ((3, 2), (2,))])
def test_shapes_that_would_broadcast_are_refused(shapes):
    with pytest.raises(ValueError, match=r"must both be \(B, d\)"):
        kl_to_standard_normal(*map(jnp.zeros, shapes))


# --- likelihoods ----------------------------------------------------------------------------------------------------


def test_bernoulli_is_the_mean_over_tossed_images():
    """All 16 black and white images of 4 pixels, each with its chance."""
    rng = np.random.default_rng(0)
    x, s = rng.uniform(-1, 1, (1, 2, 2, 1)), rng.normal(size=(1, 2, 2, 1))
    ink, p = (x.ravel() + 1) / 2, 1 / (1 + np.exp(-s.ravel()))
    expected = 0.0
    for bits in np.ndindex(2, 2, 2, 2):
        b = np.array(bits)
        chance, given = np.where(b, ink, 1 - ink).prod(), np.log(np.where(b, p, 1 - p)).sum()
        expected += chance * given
    np.testing.assert_allclose(bernoulli.log_prob(jnp.asarray(x), jnp.asarray(s)), [expected], rtol=1e-5)
    np.testing.assert_allclose(bernoulli.mean(jnp.asarray(s)).ravel(), 2 * p - 1, rtol=1e-5)
    drawn = bernoulli.draw(KEY, jnp.broadcast_to(s, (20_000, 2, 2, 1)))
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    np.testing.assert_allclose(drawn.mean(0).ravel(), 2 * p - 1, atol=0.03)
    assert np.isfinite(bernoulli.log_prob(jnp.ones((1, 1)), jnp.full((1, 1), 300.0))).all()


def test_gaussian_is_scipys():
    rng = np.random.default_rng(0)
    x, out = rng.normal(size=(5, 3)), rng.normal(size=(5, 4))
    expected = stats.norm(out[:, :3], np.exp(out[:, 3:])).logpdf(x).sum(1)
    np.testing.assert_allclose(gaussian.log_prob(jnp.asarray(x), jnp.asarray(out)), expected, rtol=1e-4)
    drawn = gaussian.draw(KEY, jnp.broadcast_to(jnp.array([1.0, -2.0, np.log(3.0)]), (20_000, 3)))
    np.testing.assert_allclose(drawn.mean(0), [1, -2], atol=0.1)
    np.testing.assert_allclose(drawn.std(0), [3, 3], rtol=0.05)


# --- the bound, on a model small enough to integrate ------------------------------------------------------------------

TOY = VAE(mlp(2, 8, 2), mlp(1, 8, 3), likelihood=gaussian, latent_dim=1)
GRID = np.linspace(-8, 8, 4001)


def exact(model, state, x):
    """(log p(x), KL(q(z|x) ‖ p(z|x))) of each point, by integrating over the one latent."""
    z = jnp.asarray(GRID, jnp.float32)[:, None]
    out = np.asarray(forward(model.decoder, state.average[0].generator, state.average[1].generator, z)[0], float)
    log_joint = stats.norm(out[:, None, :2], np.exp(out[:, None, 2:])).logpdf(np.asarray(x)).sum(2)
    log_joint += stats.norm.logpdf(GRID)[:, None]  # (grid, n)
    log_p = np.log(integrate.trapezoid(np.exp(log_joint), GRID, axis=0))
    mean, log_variance = (np.asarray(part, float)[:, 0] for part in model.encode(state, x))
    log_q = stats.norm(mean, np.exp(log_variance / 2)).logpdf(GRID[:, None])
    return log_p, integrate.trapezoid(np.exp(log_q) * (log_q - (log_joint - log_p)), GRID, axis=0)


@pytest.fixture(scope="module")
def toy():
    """Trained a little on an arc: (state, some points)."""
    arc = data.two_moons(std=0.2).sample(KEY, 2000)
    return fit(TOY, TOY.init(KEY), arc, steps=300, key=KEY, progress=False)[0], arc[:40]


def test_the_bound_is_below_log_p_by_the_kl_to_the_true_posterior(toy):
    state, x = toy
    log_p, gap = exact(TOY, state, x)
    weights = np.asarray(TOY.log_weights(state, x, jax.random.key(1), 20_000), float)
    bound, error = weights.mean(0), weights.std(0) / np.sqrt(len(weights))
    assert (gap > 1e-3).any()
    assert (abs(log_p - gap - bound) < 5 * error + 1e-4).all()


def test_importance_weights_close_the_gap(toy):
    state, x = toy
    log_p, _ = exact(TOY, state, x)
    weights = np.asarray(TOY.log_weights(state, x, jax.random.key(1), 20_000), float)
    bounds = [
        np.mean(jax.nn.logsumexp(jnp.asarray(weights.reshape(k, -1, len(x))), axis=0) - np.log(k))
        for k in (1, 10, 20_000)
    ]
    assert bounds[0] < bounds[1] < bounds[2]
    assert abs(bounds[2] - log_p.mean()) < 0.01
    # p is no density unless the weights' mean is right for one point, too
    one = np.log(np.exp(weights).mean(0))
    np.testing.assert_allclose(one, log_p, atol=0.1)


def test_the_loss_is_minus_the_bound(toy):
    state, x = toy
    same = replace(TOY, averaging=0.0)
    state = state._replace(average=(Parts(*state.params[:2]), Parts(*state.rest[:2])))
    losses = [same.step(state, x, k)[1]["loss"] for k in jax.random.split(KEY, 400)]
    weights = TOY.log_weights(state, x, jax.random.key(1), 2000)
    assert abs(np.mean(losses) + weights.mean()) < 0.05
    terms = same.step(state, x, KEY)[1]
    np.testing.assert_allclose(terms["loss"], terms["reconstruction"] + terms["kl"], rtol=1e-6)
    weighted = replace(same, beta=4.0).step(state, x, KEY)[1]
    np.testing.assert_allclose(weighted["loss"], terms["reconstruction"] + 4 * terms["kl"], rtol=1e-5)


class Told(nnx.Module):
    """A network without weights that always says the same."""

    says = 0.0

    def __init__(self, rngs):
        self.unused = nnx.Param(jnp.zeros(1))

    def __call__(self, x):
        return jnp.full((len(x), 6), self.says)


class Same(Told):
    def __call__(self, x):
        return x


ECHO = Likelihood(lambda x, out: out.sum(1), lambda out: out, lambda key, out: out)


def test_noise_is_new_for_each_sample_latent_and_draw():
    """q(z|x) = N(0, 1), and a decoder that repeats its latents: a weight is the sum of its noise."""
    model = VAE(Told, Same, likelihood=ECHO, latent_dim=3)
    weights = np.asarray(model.log_weights(model.init(KEY), jnp.zeros((2000, 3)), KEY, 3))
    assert weights.shape == (3, 2000)
    assert np.unique(weights).size > 5900
    assert abs(weights.mean()) < 0.1
    assert abs(weights.var() - 3) < 0.2
    first, second = (
        model.step(model.init(KEY), jnp.zeros((500, 3)), k)[1]["reconstruction"] for k in jax.random.split(KEY)
    )
    assert first != second


def test_a_log_variance_is_cut_before_it_overflows():
    class Wild(Told):
        says = 1000.0

    model = VAE(Wild, Same, likelihood=ECHO, latent_dim=3)
    state = model.init(KEY)
    np.testing.assert_allclose(model.encode(state, jnp.zeros((4, 3)))[1], 10)
    assert np.isfinite(model.step(state, jnp.zeros((4, 3)), KEY)[1]["loss"])


# --- VAE-GAN: who is moved by what --------------------------------------------------------------------------------------

PLAYERS = VAEGAN(
    mlp(2, 8, 4), mlp(2, 8, 3), likelihood=gaussian, latent_dim=2, discriminator=showing, optimizer=SGD, averaging=0.0
)  # plain descent with rate 1: what a network moves by is minus its gradient
NAMES = Parts._fields


def changed(before, after):
    """The networks that the two states do not agree on, to the last bit."""
    return {n for n, a, b in zip(NAMES, before.params, after.params, strict=True) if moved(a, b) > 0}


def after(**options):
    model = replace(PLAYERS, **options)
    return model.step(model.init(KEY), points(), KEY)[0]


def scaled(loss, d=1.0, g=1.0):
    return Loss(lambda *s: d * loss.discriminator(*s), lambda *s: g * loss.generator(*s))


def test_all_three_move():
    assert changed(PLAYERS.init(KEY), after()) == set(NAMES)


@pytest.mark.parametrize(
    ("options", "who"),
    [
        ({"gamma": 7.0}, {"generator"}),  # likeness for the decoder: no other's aim
        ({"beta": 7.0}, {"encoder"}),  # the prior
        ({"loss": scaled(non_saturating, g=7.0)}, {"generator"}),  # fooling D is no aim of the encoder
    ],
)
def test_a_weight_moves_only_those_whose_aim_it_is(options, who):
    assert changed(after(), after(**options)) == who


def test_d_is_moved_by_the_gan_alone():
    """Without its own loss D stays exactly where it was, though likeness is measured in its layer."""
    start, end = PLAYERS.init(KEY), after(loss=scaled(non_saturating, d=0.0), gamma=7.0, beta=7.0)
    assert changed(start, end) == {"encoder", "generator"}


def test_without_likeness_the_decoder_is_moved_by_fooling_and_the_encoder_by_the_kl():
    class Blind(nnx.Module):
        """Its layer sees nothing."""

        def __init__(self, rngs):
            self.net = MLP((2, 8, 1), shape=(), rngs=rngs)

        def __call__(self, x):
            return self.net(x), jnp.zeros((len(x), 1))

    start = replace(PLAYERS, discriminator=Blind).init(KEY)
    assert changed(start, after(discriminator=Blind)) == set(NAMES)
    assert changed(start, after(discriminator=Blind, beta=0.0)) == {"generator", "discriminator"}
    mute = scaled(non_saturating, g=0.0)
    assert changed(start, after(discriminator=Blind, loss=mute)) == {"encoder", "discriminator"}


def test_each_gradient_is_that_of_the_algorithm():
    """Written out with one function for each network, and stop_gradient where the algorithm has another player."""
    gamma, beta = 0.7, 1.3
    model = replace(PLAYERS, gamma=gamma, beta=beta)
    state, x = model.init(KEY), points()
    end = model.step(state, x, KEY)[0]
    noise, drawn_z = jax.random.normal(KEY, (2, len(x), 2))
    stop, run = jax.lax.stop_gradient, lambda build, p, inputs: forward(build, p, {}, inputs)[0]

    def all_terms(e, g, d):
        mean, log_variance = jnp.split(run(model.encoder, e, x), 2, axis=1)
        z = mean + jnp.exp(0.5 * log_variance) * noise
        rebuilt, drawn = run(model.decoder, g, z)[:, :2], run(model.decoder, g, drawn_z)[:, :2]
        (real, a), (fake, b), (fake2, _) = (run(showing, d, s) for s in (x, rebuilt, drawn))
        kl = 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(1).mean()
        likeness = 0.5 * ((a - b) ** 2).sum(1).mean()
        judge = 0.5 * (cross_entropy(real, fake) + cross_entropy(real, fake2))
        return beta * kl + likeness, gamma * likeness + 0.5 * (fool(real, fake) + fool(real, fake2)), judge

    e, g, d = state.params
    of_d = jax.grad(lambda d: all_terms(stop(e), stop(g), d)[2])(d)
    d_new = jax.tree.map(jnp.subtract, d, of_d)
    of_e = jax.grad(lambda e: all_terms(e, stop(g), stop(d_new))[0])(e)
    of_g = jax.grad(lambda g: all_terms(stop(e), g, stop(d_new))[1])(g)
    for start, gradient, there in zip(state.params, (of_e, of_g, of_d), end.params, strict=True):
        jax.tree.map(lambda a, b, c: np.testing.assert_allclose(a - b, c, rtol=1e-4, atol=1e-6), start, gradient, there)


def test_half_of_ds_fakes_are_rebuilt_and_half_are_drawn():
    """A D that scores the first coordinate, and a decoder that is far off for drawn latents only where asked."""
    logits = []
    note = Loss(lambda real, fake: logits.append(fake) or cross_entropy(real, fake), fool)
    model = replace(PLAYERS, loss=note)
    jax.eval_shape(model.step, model.init(KEY), points(), KEY)
    assert len(logits) == 2
    fair = replace(PLAYERS, discriminator=lambda rngs: nets.Showing(Told(rngs), _Zero(rngs)))
    metrics = fair.step(fair.init(KEY), points(), KEY)[1]
    np.testing.assert_allclose(metrics["d_loss"], 2 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(metrics["g_loss"], np.log(2), rtol=1e-6)


class _Zero(Told):
    def __call__(self, x):
        return jnp.zeros(len(x))


# --- what does not fit --------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_explained():
    x = points(8)
    with pytest.raises(ValueError, match=r"mean and log-variance of 1 latents side by side, \(B, 2\); got \(8, 3\)"):
        model = VAE(mlp(2, 8, 3), mlp(1, 8, 3), likelihood=gaussian, latent_dim=1)
        model.step(model.init(KEY), x, KEY)
    with pytest.raises(ValueError, match=r"makes samples of shape \(4,\), the data's have \(2,\)"):
        model = VAE(mlp(2, 8, 2), mlp(1, 8, 5), likelihood=gaussian, latent_dim=1)
        model.step(model.init(KEY), x, KEY)
    with pytest.raises(ValueError, match="decoder must be a function of rngs"):
        VAE(mlp(2, 8, 2), "small")
    with pytest.raises(ValueError, match="discriminator must be a function of rngs"):
        VAEGAN(mlp(2, 8, 2), mlp(1, 8, 3))
    with pytest.raises(ValueError, match="values from -1 to 1; got 0 to 255"):
        VAE(mlp(2, 8, 2), mlp(1, 8, 2), latent_dim=1).check(jnp.array([[0.0, 255.0]]))
    with pytest.raises(ValueError, match=r"jax.random.key"):
        TOY.init(0)


def test_the_small_networks_fit():
    model = VAEGAN(nets.small_encoder, nets.small_decoder, discriminator=nets.small_showing_discriminator)
    state, images = model.init(KEY), jnp.zeros((6, 28, 28, 1))
    assert jax.eval_shape(model.step, state, images, KEY)[1].keys() > {"d_loss", "g_loss", "likeness", "kl"}
    assert model.sample(state, KEY, 3).shape == model.sample(state, KEY, 3, draw=True).shape == (3, 28, 28, 1)
    assert model.reconstruct(state, images).shape == images.shape
    assert [part.shape for part in model.encode(state, images)] == [(6, 16)] * 2
    assert set(np.unique(model.sample(state, KEY, 3, draw=True))) == {-1.0, 1.0}


def test_the_decoder_is_the_small_generator():
    z = jax.random.normal(KEY, (4, 16))
    generator, decoder = (build(nnx.Rngs(0)) for build in (nets.small_generator, nets.small_decoder))
    np.testing.assert_allclose(bernoulli.mean(2 * decoder(z)), generator(z), atol=1e-6)


# --- learning -----------------------------------------------------------------------------------------------------------

RING = data.ring(std=0.1)
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def ring():
    return RING.sample(jax.random.key(100), 20_000)


@slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_vae_learns_the_ring(ring, seed):
    """Its bound comes near the entropy of the data, and every draw of its own near a mode."""
    model = VAE(mlp(2, 64, 64, 4), mlp(2, 64, 64, 3), likelihood=gaussian, latent_dim=2, optimizer=optax.adam(2e-3))
    start = model.init(jax.random.key(seed))
    state, history = fit(model, start, ring, steps=3000, batch_size=256, key=jax.random.key(seed), progress=False)
    x = RING.sample(jax.random.key(7), 2000)
    known, bound = RING.log_prob(x).mean(), model.log_weights(state, x, KEY, 20).mean()
    untrained = model.log_weights(start, x, KEY, 20).mean()
    assert untrained < known - 2
    assert known - 1.0 < bound < known + 0.05
    assert history["kl"][-1] > 0.5
    made = model.sample(state, KEY, 2500, draw=True)
    found = mode_coverage(made, RING)
    assert found.modes == 8
    assert found.high_quality > 0.5


@slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_vae_gan_learns_the_ring(ring, seed):
    model = VAEGAN(
        mlp(2, 64, 64, 4),
        mlp(2, 64, 64, 3),
        likelihood=gaussian,
        latent_dim=2,
        discriminator=lambda rngs: nets.Showing(
            MLP((2, 64, 64), output=nnx.relu, rngs=rngs), MLP((64, 64, 1), shape=(), rngs=rngs)
        ),
        optimizer=optax.adam(1e-3, b1=0.5),
    )
    start = model.init(jax.random.key(seed))
    state, history = fit(model, start, ring, steps=3000, batch_size=256, key=jax.random.key(seed), progress=False)
    x = RING.sample(jax.random.key(7), 1000)
    error = jnp.linalg.norm(model.reconstruct(state, x) - x, axis=1).mean()
    untrained = jnp.linalg.norm(model.reconstruct(start, x) - x, axis=1).mean()
    assert error < 0.3 * untrained
    assert mode_coverage(model.sample(state, KEY, 2500), RING).high_quality > 0.5
    assert np.isfinite(history["likeness"]).all()
    assert history["d_real"][-300:].mean() < 0.9
