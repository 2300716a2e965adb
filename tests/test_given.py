"""GANs that are given an image: pairs through the same step, a term for G, patches, the U-Net, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gan_lib import data, nets
from gan_lib.gan import GAN, no_term
from gan_lib.losses import L1, LOSSES, non_saturating, per_patch
from gan_lib.nets import UNet, patch_discriminator
from gan_lib.training import fit

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (64, 8, 8, 1)).astype(np.float32)
GIVEN = RNG.uniform(-1, 1, (64, 8, 8, 2)).astype(np.float32)


class Scales(nnx.Module):
    """Draws the first channel of what it is given, times a weight, plus a latent."""

    def __init__(self, rngs):
        self.weight = nnx.Param(jnp.float32(0.5))

    def __call__(self, z, image):
        return self.weight[...] * image[..., :1] + 0 * z[:, :1, None, None]


class Compares(nnx.Module):
    """A logit by how far a sample is from the first channel of what is given."""

    def __init__(self, rngs):
        self.weight = nnx.Param(jnp.float32(1.0))

    def __call__(self, x, image):
        return self.weight[...] * jnp.abs(x - image[..., :1]).mean((1, 2, 3))


class Mute(nnx.Module):
    """No weights, and no opinion."""

    def __init__(self, rngs):
        pass

    def __call__(self, x, image):
        return jnp.zeros(len(x))


def pairing(**options):
    parts = dict(generator=Scales, discriminator=Compares, latent_dim=3, given=(8, 8, 2), optimizer=optax.sgd(0.0))
    return GAN(**parts | options)


def test_both_networks_are_given_the_image_of_their_own_sample():
    gan = pairing()
    state = gan.init(KEY)
    _, metrics = jax.jit(gan.step)(state, (GIVEN[..., :1], GIVEN), KEY)
    assert metrics["d_real"] == 0.5  # real samples are what is given: a distance of 0
    apart = 0.5 * np.abs(GIVEN[..., 0]).mean((1, 2))
    assert metrics["d_fake"] == pytest.approx((1 / (1 + np.exp(-apart))).mean(), rel=1e-4)
    np.testing.assert_allclose(gan.generate(state, jnp.zeros((64, 3)), GIVEN), 0.5 * GIVEN[..., :1], atol=1e-6)


def test_the_term_is_added_to_the_loss_of_g_and_moves_g_alone():
    """Against a mute D, L1 is all there is: the slope of 7·mean |w·x − y| in w, by hand."""
    gan = pairing(discriminator=Mute, term=L1(7.0), optimizer=optax.sgd(0.01), averaging=0)
    state = gan.init(KEY)
    new, metrics = jax.jit(gan.step)(state, (IMAGES, GIVEN), KEY)
    x = GIVEN[..., :1]
    assert metrics["g_loss"] - np.log(2) == pytest.approx(7 * np.abs(0.5 * x - IMAGES).mean(), rel=1e-4)
    slope = 7 * (np.sign(0.5 * x - IMAGES) * x).mean()
    assert new.params.generator["weight"] == pytest.approx(0.5 - 0.01 * slope, rel=1e-4)
    heard = pairing(term=L1(7.0), optimizer=optax.sgd(0.01))
    unheard = pairing(optimizer=optax.sgd(0.01))
    with_term, without = (jax.jit(g.step)(g.init(KEY), (IMAGES, GIVEN), KEY)[0].params for g in (heard, unheard))
    assert with_term.discriminator == without.discriminator
    assert with_term.generator != without.generator


def test_the_term_sees_what_is_given():
    seen = []

    def term(fake, real, *beside):
        seen.append([x.shape for x in (fake, real, *beside)])
        return (beside[0][..., 1:] * (fake - real) ** 2).mean()

    gan = pairing(term=term)
    _, metrics = jax.jit(gan.step)(gan.init(KEY), (IMAGES, GIVEN), KEY)
    assert seen[-1] == [(64, 8, 8, 1), (64, 8, 8, 1), (64, 8, 8, 2)]
    assert np.isfinite(metrics["g_loss"])


def test_a_term_of_weight_zero_changes_nothing():
    step = lambda gan: jax.jit(gan.step)(gan.init(KEY), (IMAGES, GIVEN), KEY)[1]
    assert step(pairing(term=L1(0.0))) == step(pairing(term=no_term))


@pytest.mark.parametrize("name", LOSSES)
def test_per_patch_is_the_loss_of_all_patches_together(name):
    real, fake = (jnp.asarray(RNG.normal(size=(5, 7)), jnp.float32) for _ in range(2))
    for flat, patches in zip(LOSSES[name], per_patch(LOSSES[name]), strict=True):
        assert patches(real, fake) == pytest.approx(float(flat(real.ravel(), fake.ravel())), rel=1e-5)
    assert per_patch(LOSSES[name]) is per_patch(LOSSES[name])  # so GANs of it share their programs


@pytest.mark.parametrize("shape", [(8,), (8, 7, 7)])
def test_per_patch_refuses_logits_that_are_no_patches(shape):
    with pytest.raises(ValueError, match=r"per_patch takes logits of shape \(B, P\)"):
        per_patch(non_saturating).generator(jnp.zeros(shape), jnp.zeros(shape))


@pytest.mark.parametrize(("size", "widths"), [(28, (8, 4)), (32, (8, 4)), (64, (16, 8, 4))])
@pytest.mark.parametrize(("channels", "given"), [(1, 2), (3, 1)])
def test_unet_and_patches_fit_together_at_any_size(size, widths, channels, given):
    image = jnp.asarray(RNG.uniform(-1, 1, (3, size, size, given)), jnp.float32)
    shape = dict(channels=channels, given=given, rngs=nnx.Rngs(0))
    drawn = UNet(size=size, widths=widths, inputs=5, middle=16, **shape)(jnp.ones((3, 5)), image)
    assert drawn.shape == (3, size, size, channels)
    assert (jnp.abs(drawn) < 1).all()
    assert patch_discriminator(**shape)(drawn, image).shape == (3, (size // 4) ** 2)


def test_a_size_that_cannot_be_halved_so_often_is_explained():
    with pytest.raises(ValueError, match="2 widths need a size that can be halved 2 times; got 30"):
        UNet(size=30, rngs=nnx.Rngs(0))


def test_every_layer_of_the_unet_reaches_its_output():
    """A skip that is left out leaves weights without a slope; so would a latent that goes nowhere."""
    net = UNet(given=1, inputs=4, widths=(8, 4), middle=16, rngs=nnx.Rngs(0))
    graph, params, rest = nnx.split(net, nnx.Param, ...)
    image, z = jnp.asarray(RNG.normal(size=(6, 28, 28, 1)), jnp.float32), jax.random.normal(KEY, (6, 4))
    run = lambda params, z: (nnx.merge(graph, params, rest, copy=True)(z, image) * image**2).sum()
    slopes, of_z = jax.grad(run, argnums=(0, 1))(params, z)
    kernels = [leaf for leaf in jax.tree.leaves(slopes) if leaf.ndim > 1]
    assert len(kernels) == 6
    assert all((jnp.abs(leaf) > 0).mean() > 0.9 for leaf in kernels)
    assert (jnp.abs(of_z) > 0).any(axis=0).all()


def test_a_patch_sees_eighteen_pixels():
    net = patch_discriminator(nnx.Rngs(0))
    x = jnp.asarray(RNG.normal(size=(1, 28, 28, 1)), jnp.float32)
    for of in (0, 1):  # the sample, and what is given
        slope = jax.grad(lambda *both: net(*both)[0, 7 * 3 + 3], argnums=of)(x, x)[0, ..., 0]
        assert [(jnp.abs(slope).sum(axis) > 0).sum() for axis in (0, 1)] == [18, 18]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 32, 64])
def test_the_small_pair_fits_together_at_every_size(size, channels):
    shape = dict(size=size, channels=channels)
    for g, d, classes in (
        (nets.small_generator, nets.small_discriminator, 0),
        (nets.small_conditional_generator, nets.small_channels_discriminator, 10),
        (nets.small_conditional_generator, nets.small_projection_discriminator, 10),
    ):
        gan = GAN(partial(g, **shape), partial(d, **shape), latent_dim=16, classes=classes)
        state = jax.eval_shape(gan.init, KEY)  # refuses parts that do not fit together
        assert state.step.shape == ()
        drawn = jax.eval_shape(lambda s, c=classes, g=gan: g.sample(s, KEY, 2, labels=1 if c else None), state)
        assert drawn.shape == (2, size, size, channels)


def test_the_small_pair_of_another_size_is_refused():
    for build in (nets.small_generator, nets.small_discriminator):
        with pytest.raises(ValueError, match="28, 32 or 64 pixels a side; got 48"):
            build(nnx.Rngs(0), size=48)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"given": [8, 8, 2]}, r"given is the shape of an image, such as \(28, 28, 1\)"),
        ({"given": (8, 0)}, "given is the shape"),
        ({"given": (8, 8, 2), "classes": 3}, "not both"),
        ({"term": 100.0}, "term must be a function, e.g. losses.L1"),
        ({"term": L1}, "term must be a function"),
    ],
)
def test_parts_that_cannot_be_trained_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        pairing(**options)


def test_a_term_that_is_no_number_is_refused_before_training():
    with pytest.raises(ValueError, match=r"must return one number for the batch, as a mean does; got float32 of shape"):
        pairing(term=lambda fake, real, seen: fake - real).init(KEY)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (IMAGES, r"A GAN that is given images learns from \(samples, images\)"),
        ((IMAGES, IMAGES), r"is given images of floats, .*8, 8, 2\).* got float32 .*what is to be drawn comes first"),
        ((IMAGES, GIVEN > 0), "got bool"),
    ],
)
def test_pairs_of_the_wrong_kind_are_refused(pairs, message):
    gan = pairing()
    with pytest.raises(ValueError, match=message):
        fit(gan, gan.init(KEY), pairs, steps=1, key=KEY, batch_size=8, progress=False)


def test_images_are_asked_for_one_by_one_or_one_for_all():
    gan = pairing()
    state, z = gan.init(KEY), jnp.zeros((5, 3))
    each = gan.generate(state, z, np.stack([GIVEN[3]] * 5))
    np.testing.assert_array_equal(gan.generate(state, z, GIVEN[3]), each)
    assert gan.logits(state, each, GIVEN[3]).shape == (5,)
    with pytest.raises(ValueError, match=r"What is it given\? Hand over images \(5, 8, 8, 2\)"):
        gan.generate(state, z)
    with pytest.raises(ValueError, match="is given images of floats"):
        gan.generate(state, z, GIVEN[:4])


def test_bytes_of_both_are_scaled_in_the_step():
    pixels = lambda x: np.uint8(127.5 * (x + 1))
    gan = pairing(prepare=data.scaled)
    pairs = pixels(IMAGES), pixels(GIVEN)
    _, metrics = jax.jit(gan.step)(gan.init(KEY), pairs, KEY)
    _, floats = jax.jit(pairing().step)(gan.init(KEY), tuple(map(data.scaled, pairs)), KEY)
    assert metrics["d_fake"] == pytest.approx(float(floats["d_fake"]), rel=1e-5)


@pytest.mark.slow
def test_a_paired_gan_learns_to_translate(compiled_as_for_a_reader):
    """Discs from their outlines at 28 × 28, in 150 steps: the inside is filled, the outside stays paper."""
    rows, columns = np.mgrid[:28, :28]
    middle, radius = RNG.uniform(10, 18, (400, 2, 1, 1)), RNG.uniform(4, 8, (400, 1, 1))
    far = np.hypot(rows - middle[:, 0], columns - middle[:, 1])
    discs = np.where(far < radius, 1, -1).astype(np.float32)[..., None]
    rings = np.where(abs(far - radius) < 1, 1, -1).astype(np.float32)[..., None]
    gan = GAN(
        lambda rngs: UNet(widths=(16, 8), rngs=rngs),
        lambda rngs: patch_discriminator(rngs, widths=(8, 16)),
        loss=per_patch(non_saturating),
        latent_dim=16,
        given=(28, 28, 1),
        term=L1(100.0),
        optimizer=optax.adam(2e-3, b1=0.5),
        averaging=0.9,
    )
    start = gan.init(KEY)
    options = dict(steps=150, batch_size=16, key=jax.random.key(1), progress=False)
    state, _ = fit(gan, start, (discs[:300], rings[:300]), **options)
    z = jax.random.normal(KEY, (100, 16))
    error = lambda s: float(jnp.abs(gan.generate(s, z, rings[300:]) - discs[300:]).mean())
    assert error(start) > 0.7
    assert error(state) < 0.12
