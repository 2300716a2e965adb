"""Layers: equal to jax.lax on random shapes, strides and parities, forwards and backwards; dropout by its moments."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from gan_lib import layers, nets
from gan_lib.training import GAN

NHWC = ("NHWC", "HWIO", "NHWC")
REFERENCE = {
    layers.conv: lambda x, kernel, stride: lax.conv_general_dilated(
        x, kernel, (stride,) * 2, "SAME", dimension_numbers=NHWC
    ),
    layers.conv_transpose: lambda x, kernel, stride: lax.conv_transpose(
        x, kernel, (stride,) * 2, "SAME", dimension_numbers=NHWC
    ),
}


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("large", [0, 10**9], ids=["fourier", "plain"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("function", list(REFERENCE), ids=["conv", "conv_transpose"])
def test_equal_to_lax_forwards_and_backwards(function, k, stride, large, monkeypatch):
    monkeypatch.setattr(layers, "LARGE", large)
    for h, w in ((1, 1), (4, 7), (5, 6), (8, 3)):
        x, kernel = normal(2, h, w, 3), normal(k, k, 3, 5, seed=1) / k
        want, pull = jax.vjp(partial(REFERENCE[function], stride=stride), x, kernel)
        got, own = jax.vjp(partial(function, stride=stride), x, kernel)
        assert got.shape == want.shape
        g = normal(*want.shape, seed=2)
        for a, b in zip((got, *own(g)), (want, *pull(g)), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)


def test_the_way_through_fourier_coefficients_is_taken_and_exact_at_full_size():
    x, kernel = normal(4, 7, 7, 256), normal(5, 5, 256, 128, seed=1) / 80
    assert layers._fourier_pays(7, 7, kernel) == (jax.default_backend() == "cpu")
    want = REFERENCE[layers.conv_transpose](x, kernel, 1)
    np.testing.assert_allclose(layers.conv_transpose(x, kernel), want, atol=1e-5)
    if jax.default_backend() == "cpu":
        assert "conv_general_dilated" not in str(jax.make_jaxpr(layers.conv_transpose)(x, kernel))


def test_it_takes_121_multiplications_for_a_pair_of_channels():
    of_x, of_kernel, back = layers._fourier((7, 7), 5, (2, 2))
    assert (of_x.shape, of_kernel.shape, back.shape) == ((121, 49), (121, 25), (49, 121))


@pytest.mark.parametrize("large", [0, 10**9], ids=["fourier", "plain"])
def test_second_derivatives_and_batches_of_kernels(large, monkeypatch):
    monkeypatch.setattr(layers, "LARGE", large)
    x, kernel = normal(3, 4, 4, 2), normal(3, 3, 2, 2, seed=1)

    def penalty(kernel, function):
        slope = jax.grad(lambda x: (function(x, kernel, stride=2) ** 3).sum())(x)
        return (slope**2).sum()

    for function, reference in REFERENCE.items():
        got, want = jax.grad(penalty)(kernel, function), jax.grad(penalty)(kernel, reference)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
        kernels = jnp.stack([kernel, 2 * kernel])
        several = jax.vmap(lambda kernel, function=function: function(x, kernel, stride=2))(kernels)
        np.testing.assert_allclose(several[1], 2 * several[0], rtol=1e-4, atol=1e-5)


def test_depth_to_space_undoes_space_to_depth_and_keeps_blocks_together():
    x = jnp.arange(2 * 4 * 6 * 3.0).reshape(2, 4, 6, 3)
    deep = layers.space_to_depth(x, 2)
    assert deep.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(deep[0, 1, 2], x[0, 2:4, 4:6].ravel())
    np.testing.assert_array_equal(layers.depth_to_space(deep, 2), x)


@pytest.mark.parametrize(
    ("x", "kernel", "stride", "words"),
    [
        ((2, 4, 4), (3, 3, 4, 5), 1, "channels last"),
        ((2, 4, 4, 3), (3, 3, 5, 3), 1, r"\(2, 4, 4, 3\) and \(3, 3, 5, 3\)"),
        ((2, 4, 4, 3), (3, 2, 3, 5), 1, r"\(k, k, C, D\)"),
        ((2, 4, 4, 3), (3, 3, 3, 5), 0, "at least 1; got 0"),
        ((2, 4, 4, 3), (3, 3, 3, 5), (2, 2), r"got \(2, 2\)"),
    ],
)
@pytest.mark.parametrize("function", list(REFERENCE), ids=["conv", "conv_transpose"])
def test_what_does_not_fit_is_explained(function, x, kernel, stride, words):
    with pytest.raises(ValueError, match=words):
        function(jnp.zeros(x), jnp.zeros(kernel), stride=stride)


def test_modules_equal_flax_with_the_same_weights():
    x = normal(2, 7, 7, 3)
    for ours, theirs in ((layers.Conv, nnx.Conv), (layers.ConvTranspose, nnx.ConvTranspose)):
        own = ours(3, 4, 5, stride=2, rngs=nnx.Rngs(0))
        flax = theirs(3, 4, (5, 5), (2, 2), padding="SAME", rngs=nnx.Rngs(0))
        own.bias[...] = flax.bias[...] = normal(4)
        flax.kernel[...] = own.kernel[...]
        np.testing.assert_allclose(own(x), flax(x), atol=1e-5)
    assert ours(3, 4, 5, use_bias=False, rngs=nnx.Rngs(0)).bias is None


def test_dropout_drops_its_share_keeps_the_mean_and_rests_in_evaluation():
    layer, x = layers.Dropout(0.3, rngs=nnx.Rngs(0)), jnp.ones((100, 999))
    y = layer(x)
    assert float((y == 0).mean()) == pytest.approx(77 / 256, abs=0.005)
    assert float(y.mean()) == pytest.approx(1, abs=0.01)
    assert set(np.unique(np.asarray(y)).tolist()) == {0.0, float(np.float32(256 / 179))}
    assert not (layer(x) == y).all()  # a fresh mask at each call
    layer.eval()
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layers.Dropout(0.0, rngs=nnx.Rngs(0))(x), x)
    with pytest.raises(ValueError, match=r"in \[0, 1\); got 1"):
        layers.Dropout(1, rngs=nnx.Rngs(0))


@pytest.mark.parametrize(
    ("generator", "discriminator", "latent_dim"),
    [
        (nets.dcgan_generator, nets.dcgan_discriminator, 100),
        (nets.small_generator, nets.small_discriminator, 64),
    ],
    ids=["dcgan", "small"],
)
def test_both_pairs_of_networks_train(generator, discriminator, latent_dim):
    gan = GAN(generator, discriminator, latent_dim=latent_dim)
    state, real = gan.init(jax.random.key(0)), normal(4, 28, 28, 1)
    new, metrics = jax.jit(gan.step)(state, real, jax.random.key(1))
    assert gan.sample(new, jax.random.key(2), 3).shape == (3, 28, 28, 1)
    assert gan.logits(new, real).shape == (4,)
    assert all(np.isfinite(value) for value in metrics.values())
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), state.params, new.params)
    assert all(jax.tree.leaves(changed))
