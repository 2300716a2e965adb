"""Networks: what is where, labels, and shapes that do not fit."""

import re
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gan_lib import nets
from gan_lib.gan import GAN
from gan_lib.layers import Conv, SpectralNorm
from gan_lib.losses import relativistic
from gan_lib.nets import (
    MLP,
    Joined,
    Projection,
    Residual,
    residual_discriminator,
    residual_generator,
    small_channels_discriminator,
    small_conditional_generator,
    small_discriminator,
    small_generator,
    small_projection_discriminator,
)
from gan_lib.penalties import ZeroCentred, r1
from gan_lib.pure import arrays, forward


def layers(module, kind):
    return [m for _, m in nnx.iter_graph(module) if isinstance(m, kind)]


def test_parameters_are_counted_by_the_formula():
    sizes = (100, 128, 256, 784)
    weights = jax.tree.leaves(nnx.to_pure_dict(nnx.state(MLP(sizes, rngs=nnx.Rngs(0)), nnx.Param)))
    assert sum(a.size for a in weights) == sum((a + 1) * b for a, b in pairwise(sizes))


def test_it_is_a_chain_of_affine_maps_with_the_activation_between():
    net = MLP((3, 5, 2), activation=jnp.tanh, output=jnp.exp, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    first, last = layers(net, nnx.Linear)
    expected = np.exp(np.tanh(x @ first.kernel[...] + first.bias[...]) @ last.kernel[...] + last.bias[...])
    np.testing.assert_allclose(net(x), expected, rtol=1e-5)


def test_batchnorm_stands_before_hidden_activations_only():
    net = MLP((4, 32, 16, 6), norm=True, output=jnp.tanh, rngs=nnx.Rngs(0))
    assert sorted(m.num_features for m in layers(net, nnx.BatchNorm)) == [16, 32]
    assert not layers(MLP((4, 32, 6), rngs=nnx.Rngs(0)), nnx.BatchNorm)


def test_shape_and_flattening():
    images = jnp.ones((3, 28, 28, 1))
    assert MLP((784, 8, 1), shape=(), rngs=nnx.Rngs(0))(images).shape == (3,)
    assert MLP((5, 8, 784), shape=(28, 28, 1), rngs=nnx.Rngs(0))(jnp.ones((3, 5))).shape == images.shape


def test_what_does_not_fit_is_explained():
    with pytest.raises(ValueError, match=r"entries of shape"):
        MLP((5, 8, 783), shape=(28, 28, 1), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"takes 784 entries a sample; got a batch of shape \(3, 28\)"):
        MLP((784, 1), rngs=nnx.Rngs(0))(jnp.ones((3, 28)))


# --- labels -----------------------------------------------------------------------------------------------------------


def test_labels_are_joined_as_one_hot_rows_or_channels():
    class Show(nnx.Module):
        def __call__(self, x):
            return x

    joined, labels = Joined(Show(), 3), jnp.array([2, 0])
    x = jax.random.normal(jax.random.key(0), (2, 4))
    np.testing.assert_array_equal(joined(x, labels), np.concatenate([x, np.eye(3)[[2, 0]]], axis=1))
    seen = np.asarray(joined(jnp.ones((2, 5, 6, 1)), labels))
    assert seen.shape == (2, 5, 6, 4)
    for i, label in enumerate([2, 0]):  # one channel of ones, and the image untouched: no grey band
        assert (seen[i].sum((0, 1)) == 30 * (np.arange(4) == 1 + label) + 30 * (np.arange(4) == 0)).all()
    between = jnp.array([[0.5, 0, 0.5], [1, 0, 0]])
    np.testing.assert_array_equal(joined(x, between)[:, 4:], between)
    assert joined(x.astype(jnp.bfloat16), labels).dtype == jnp.bfloat16


def test_a_joined_label_is_a_vector_that_the_first_layer_adds():
    dense = nnx.Linear(4 + 3, 5, rngs=nnx.Rngs(0))
    x, labels = jax.random.normal(jax.random.key(0), (6, 4)), jnp.arange(6) % 3
    kernel, bias = dense.kernel[...], dense.bias[...]
    np.testing.assert_allclose(Joined(dense, 3)(x, labels), x @ kernel[:4] + kernel[4:][labels] + bias, rtol=1e-5)


def test_projection_is_the_formula():
    rngs = nnx.Rngs(0)
    look, verdict = nnx.Linear(4, 5, rngs=rngs), MLP((5, 1), shape=(), rngs=rngs)
    critic = Projection(look, verdict, width=5, classes=3, rngs=rngs)
    x, labels = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32), np.arange(6) % 3
    features = x @ look.kernel[...] + look.bias[...]
    (dense,) = layers(verdict, nnx.Linear)
    psi = features @ dense.kernel[...][:, 0] + dense.bias[...][0]
    expected = [psi[i] + np.dot(critic.vectors[...][labels[i]], features[i]) for i in range(6)]
    np.testing.assert_allclose(critic(x, jnp.asarray(labels)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", [small_channels_discriminator, small_projection_discriminator])
def test_conditional_discriminators_judge_pairs(build):
    net = build(rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (4, 28, 28, 1))
    logits = [np.asarray(net(x, jnp.full(4, label))) for label in (0, 7)]
    assert logits[0].shape == (4,)
    assert (abs(logits[0] - logits[1]) > 1e-4).all()


@pytest.mark.parametrize("build", [small_channels_discriminator, small_projection_discriminator])
def test_conditional_discriminators_judge_each_pair_alone(build):
    """With the batch's spread they get worse from 1,200 steps on: it stands out of both, and of the form without labels."""
    net, bare = build(rngs=nnx.Rngs(0)), small_discriminator(nnx.Rngs(0), spread=False)
    x, labels = jax.random.normal(jax.random.key(0), (4, 28, 28, 1)), jnp.arange(4)
    np.testing.assert_allclose(net(x[:2], labels[:2]), net(x, labels)[:2], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bare(x[:2]), bare(x)[:2], rtol=1e-4, atol=1e-5)
    whole = small_discriminator(nnx.Rngs(0))
    assert abs(whole(x[:2]) - whole(x)[:2]).max() > 1e-3


def test_the_conditional_generator_draws_what_it_is_told():
    net = small_conditional_generator(rngs=nnx.Rngs(0))
    net.eval()
    z = jax.random.normal(jax.random.key(0), (4, 16))
    images = [np.asarray(net(z, jnp.full(4, label))) for label in (0, 7)]
    assert images[0].shape == (4, 28, 28, 1)
    assert abs(images[0]).max() < 1
    assert abs(images[0] - images[1]).max(axis=(1, 2, 3)).min() > 1e-3


@pytest.mark.parametrize("d", [small_channels_discriminator, small_projection_discriminator])
def test_conditional_pairs_fit_together_for_any_number_of_classes(d):
    g, d = (partial(build, classes=4) for build in (small_conditional_generator, d))
    gan = GAN(g, d, latent_dim=16, classes=4)
    state = jax.eval_shape(gan.init, jax.random.key(0))
    assert state.step.shape == ()


def test_unconditional_small_networks_are_what_they_were():
    """Their weights ship, and are counted in notebook 05."""
    counts = [
        sum(w.size for w in jax.tree.leaves(nnx.to_pure_dict(nnx.state(build(rngs=nnx.Rngs(0)), nnx.Param))))
        for build in (small_generator, small_discriminator)
    ]
    assert counts == [463_393, 435_169]


SMALL = dict(widths=(8, 4), blocks=1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "widths"), [(28, (12, 8, 4)), (32, (12, 8, 4)), (64, (12, 8, 4, 4))])
def test_the_residual_pair_fits_together_at_any_size(size, widths, channels):
    settings = dict(size=size, channels=channels, widths=widths, blocks=1, rngs=nnx.Rngs(0))
    images = residual_generator(inputs=5, **settings)(jnp.ones((2, 5)))
    logits = residual_discriminator(**settings)(images)
    assert (images.shape, images.dtype) == ((2, size, size, channels), jnp.float32)
    assert (logits.shape, logits.dtype) == ((2,), jnp.float32)


def test_a_residual_block_starts_as_the_identity_and_still_learns():
    block = Residual(6, depth=4, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (2, 7, 7, 6))
    np.testing.assert_array_equal(block(x), x)
    slope = jax.grad(lambda b: (b(x) ** 3).sum())(block)  # of the kernel at 0, not of the one before it
    assert jnp.abs(slope.last.kernel[...]).max() > 0
    np.testing.assert_array_equal(slope.first.kernel[...], 0)
    spread = float(Residual(64, depth=4, rngs=nnx.Rngs(0)).first.kernel[...].std())
    assert spread == pytest.approx((2 / 1.04 / 4 / (9 * 64)) ** 0.5, rel=0.02)


def test_both_residual_networks_start_as_linear_maps():
    x = jax.random.normal(jax.random.key(0), (3, 28, 28, 1))
    d = residual_discriminator(nnx.Rngs(0), **SMALL)
    np.testing.assert_allclose(d(x).sum(), d(x.sum(0)[None])[0], rtol=1e-4)
    g = residual_generator(nnx.Rngs(0), inputs=5, **SMALL)
    z = x[:, 0, :5, 0]
    np.testing.assert_allclose(g(z).sum(0), g(z.sum(0)[None])[0], atol=1e-4)


def test_widths_that_do_not_fit_the_size_are_explained():
    with pytest.raises(ValueError, match=r"4 widths need a size that can be halved 3 times; got 28"):
        residual_generator(nnx.Rngs(0), widths=(8, 4, 4, 4))
    with pytest.raises(ValueError, match=r"0 widths"):
        residual_discriminator(nnx.Rngs(0), widths=())


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_residual_pair_trains_under_penalties_with_weights_in_32_bits(dtype):
    settings = dict(dtype=dtype, **SMALL)
    build = [partial(net, **settings) for net in (partial(residual_generator, inputs=4), residual_discriminator)]
    gan = GAN(*build, latent_dim=4, penalty=ZeroCentred(1.0, 1.0), loss=relativistic, optimizer=optax.adam(1e-2, b1=0))
    state = gan.init(jax.random.key(0))
    step, real = jax.jit(gan.step), jax.random.normal(jax.random.key(1), (6, 28, 28, 1))
    start = state
    for i in range(3):
        state, metrics = step(state, real, jax.random.key(i))
        assert np.isfinite(list(metrics.values())).all()
    for before, after in zip(*(jax.tree.leaves(s.params) for s in (start, state)), strict=True):
        assert after.dtype == jnp.float32
        assert jnp.isfinite(after).all()
        # Kernels before one of zeros move from the second step on. (A bias of D that all logits share never does.)
        assert (after != before).any() or after.ndim == 1
    program = str(jax.make_jaxpr(gan.step)(state, real, jax.random.key(0)))
    assert ("bf16" in program) == (dtype == jnp.bfloat16)


def test_bfloat16_gives_what_float32_gives_to_two_digits():
    x = jax.random.normal(jax.random.key(0), (4, 28, 28, 3))
    full, half = (
        residual_discriminator(nnx.Rngs(0), channels=3, dtype=t, **SMALL) for t in (jnp.float32, jnp.bfloat16)
    )
    for net in (full, half):  # away from the start
        for block in layers(net, Residual):
            block.last.kernel[...] = 0.1 * jax.random.normal(jax.random.key(1), block.last.kernel[...].shape)
    assert r1(half, x) == pytest.approx(float(r1(full, x)), rel=0.03)
    np.testing.assert_allclose(half(x), full(x), atol=0.05)
    # Logits far from 0, as pairing lets them drift, keep their differences: the last layer is float32.
    before, head = half(x), half.layers[-2]
    head.bias[...] -= 300
    assert half(x).dtype == jnp.float32
    np.testing.assert_allclose(half(x) + 300, before, atol=1e-3)


def test_spectral_norm_goes_into_the_residual_pair():
    spectral = lambda *sizes, rngs, **settings: SpectralNorm(Conv(*sizes, rngs=rngs, **settings), rngs=rngs)
    gan = GAN(
        partial(residual_generator, inputs=4, **SMALL),
        partial(residual_discriminator, conv=spectral, **SMALL),
        latent_dim=4,
    )
    state = gan.init(jax.random.key(0))
    state, metrics = jax.jit(gan.step)(state, jnp.ones((4, 28, 28, 1)), jax.random.key(0))
    assert np.isfinite(list(metrics.values())).all()


IN_HALF = {
    "dense": (partial(MLP, (4, 16, 16, 784), norm=True, shape=(28, 28, 1)), 4),
    "dense D": (partial(MLP, (784, 16, 1), shape=()), None),
    "small": (nets.small_generator, 16),
    "small D": (nets.small_discriminator, None),
    "DCGAN": (nets.dcgan_generator, 100),
    "DCGAN D": (nets.dcgan_discriminator, None),
}


@pytest.mark.parametrize("name", IN_HALF)
def test_a_type_for_the_arithmetic_leaves_weights_statistics_and_results_in_32_bits(name):
    build, latents = IN_HALF[name]
    x = jax.random.normal(jax.random.key(0), (6, latents) if latents else (6, 28, 28, 1)).clip(-1, 1)
    results = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        params, rest = arrays(build(rngs=nnx.Rngs(0), dtype=dtype))
        floats = [leaf for leaf in jax.tree.leaves((params, rest)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        assert {leaf.dtype for leaf in floats} == {jnp.dtype(jnp.float32)}
        network = partial(build, dtype=dtype)
        program = str(jax.make_jaxpr(lambda p, r, x, network=network: forward(network, p, r, x))(params, rest, x))
        assert ("bf16" in program) == (dtype == jnp.bfloat16)
        assert not re.search(r"bf16\[\d+\] = (reduce_sum|sqrt|rsqrt)", program), "statistics of 8 bits"
        results[dtype], _ = forward(network, params, rest, x)
    full, half = results[jnp.float32], results[jnp.bfloat16]
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, full, atol=0.05 * float(abs(full).max() + 1))
    assert (half != full).any()
    assert (half.astype(jnp.bfloat16) != half).any(), "the last layer rounds to 8 bits"
