"""Layers: equal to jax.lax on random shapes, strides and parities, forwards and backwards; dropout by its moments;
spectral norm by numpy's singular values."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import lax

from gan_lib import layers, nets
from gan_lib.gan import GAN, Pair
from gan_lib.losses import wasserstein
from gan_lib.penalties import ZeroCentred
from gan_lib.training import fit

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


def there_and_back(function, x, kernel, stride):
    """The result, and the slopes in x and kernel of its product with fixed numbers; compiled in one piece."""

    def run(x, kernel):
        y, pull = jax.vjp(partial(function, stride=stride), x, kernel)
        return y, *pull(normal(*y.shape, seed=2))

    return jax.jit(run)(x, kernel)


@pytest.mark.parametrize("large", [0, 10**9], ids=["fourier", "plain"])
@pytest.mark.parametrize("stride", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
@pytest.mark.parametrize("k", [4, *(pytest.param(k, marks=pytest.mark.slow) for k in (1, 2, 3, 5))])
@pytest.mark.parametrize("function", list(REFERENCE), ids=["conv", "conv_transpose"])
def test_equal_to_lax_forwards_and_backwards(function, k, stride, large, monkeypatch):
    monkeypatch.setattr(layers, "LARGE", large)
    for h, w in ((1, 1), (4, 7), (5, 6), (8, 3)):
        x, kernel = normal(2, h, w, 3), normal(k, k, 3, 5, seed=1) / k
        want, got = (there_and_back(f, x, kernel, stride) for f in (REFERENCE[function], function))
        assert got[0].shape == want[0].shape
        for a, b in zip(got, want, strict=True):
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


@pytest.mark.slow
@pytest.mark.parametrize("large", [0, 10**9], ids=["fourier", "plain"])
def test_second_derivatives_and_batches_of_kernels(large, monkeypatch):
    monkeypatch.setattr(layers, "LARGE", large)
    x, kernel = normal(3, 4, 4, 2), normal(3, 3, 2, 2, seed=1)

    def penalty(kernel, function):
        slope = jax.grad(lambda x: (function(x, kernel, stride=2) ** 3).sum())(x)
        return (slope**2).sum()

    for function, reference in REFERENCE.items():
        got, want = (jax.jit(jax.grad(partial(penalty, function=f)))(kernel) for f in (function, reference))
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)
        kernels = jnp.stack([kernel, 2 * kernel])
        several = jax.vmap(lambda kernel, function=function: function(x, kernel, stride=2))(kernels)
        np.testing.assert_allclose(several[1], 2 * several[0], rtol=1e-4, atol=1e-5)


def test_resampling_is_bilinear():
    x = jax.random.normal(jax.random.key(0), (2, 6, 8, 3))
    np.testing.assert_allclose(layers.double(x), jax.image.resize(x, (2, 12, 16, 3), "linear"), atol=1e-6)
    half = jax.image.resize(x, (2, 3, 4, 3), "linear", antialias=True)
    np.testing.assert_allclose(layers.halve(x)[:, 1:-1, 1:-1], half[:, 1:-1, 1:-1], atol=1e-6)  # at the edge: repeated
    flat = jnp.full((1, 4, 4, 1), 3.0, jnp.bfloat16)
    for resampled in (layers.double(flat), layers.halve(flat)):
        np.testing.assert_array_equal(resampled, 3)
        assert resampled.dtype == jnp.bfloat16


def test_a_convolution_computes_in_the_type_it_is_told():
    layer = layers.Conv(3, 4, 3, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    assert layer.kernel[...].dtype == jnp.float32
    x = jnp.ones((2, 8, 8, 3))
    assert layer(x).dtype == jnp.bfloat16
    exact = layers.conv(x, layer.kernel[...])
    np.testing.assert_allclose(layer(x).astype(jnp.float32), exact, atol=0.03)


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


TYPES = ["float32", "bfloat16", "float16", "int32", "uint8"]


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
@pytest.mark.parametrize("large", [0, 10**9], ids=["fourier", "plain"])
@pytest.mark.parametrize("given", TYPES)
def test_types_come_out_as_from_flax(given, weights, large, monkeypatch):
    monkeypatch.setattr(layers, "LARGE", large)
    x = (3 * normal(2, 4, 4, 3)).astype(given)
    for ours, theirs in ((layers.Conv, nnx.Conv), (layers.ConvTranspose, nnx.ConvTranspose)):
        own = ours(3, 4, 5, stride=2, rngs=nnx.Rngs(0))
        flax = theirs(3, 4, (5, 5), (2, 2), padding="SAME", param_dtype=weights, rngs=nnx.Rngs(0))
        own.kernel, own.bias = nnx.clone(flax.kernel), nnx.clone(flax.bias)
        assert own(x).dtype == flax(x).dtype
        np.testing.assert_allclose(np.float32(own(x)), np.float32(flax(x)), atol=0.1)
        if jnp.issubdtype(given, jnp.floating):
            slope = jax.grad(lambda x, layer=own: layer(x).astype(jnp.float32).sum())(x)
            assert slope.dtype == x.dtype
    if jnp.issubdtype(given, jnp.floating):
        assert layers.Dropout(0.5, rngs=nnx.Rngs(0))(x).dtype == nnx.Dropout(0.5, rngs=nnx.Rngs(0))(x).dtype
        assert layers.BatchSpread()(x[:, 0, 0]).dtype == x.dtype
        dense = nnx.Linear(3, 4, param_dtype=weights, rngs=nnx.Rngs(0))
        assert layers.SpectralNorm(dense, rngs=nnx.Rngs(1))(x).dtype == dense(x).dtype


IN_64_BITS = """
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
from gan_lib import layers
from gan_lib.penalties import gradient_penalty

assert jnp.ones(2).dtype == "float64"
rngs, image, row = nnx.Rngs(0), (2, 4, 4, 64), (6, 5)
made = [
    (layers.Conv(64, 64, 5, rngs=rngs), nnx.Conv(64, 64, (5, 5), padding="SAME", rngs=rngs), image),
    (layers.Conv(64, 4, 3, stride=2, rngs=rngs), nnx.Conv(64, 4, (3, 3), 2, padding="SAME", rngs=rngs), image),
    (layers.ConvTranspose(64, 4, 4, stride=2, rngs=rngs), nnx.ConvTranspose(64, 4, (4, 4), 2, rngs=rngs), image),
    (layers.SpectralNorm(layers.Conv(64, 4, 3, rngs=rngs), rngs=rngs), nnx.Conv(64, 4, (3, 3), rngs=rngs), image),
    (layers.SpectralNorm(nnx.Linear(5, 4, rngs=rngs), rngs=rngs), nnx.Linear(5, 4, rngs=rngs), row),
    (layers.Dropout(0.5, rngs=rngs), nnx.Dropout(0.5, rngs=rngs), row),
    (layers.BatchSpread(), None, row),
]
for own, flax, shape in made:
    for dtype in ("float32", "float64", "bfloat16"):
        x = jnp.ones(shape, dtype)
        expected = flax(x).dtype if flax else x.dtype
        assert own(x).dtype == expected, (type(own), dtype, own(x).dtype, expected)
        arrays = jax.tree.leaves(nnx.state(own, nnx.Not(nnx.RngState)))
        assert all(a.dtype == "float32" for a in arrays), (type(own), [a.dtype for a in arrays])
x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 64)))
kernel = jnp.asarray(np.random.default_rng(1).normal(size=(5, 5, 64, 64)))
names = ("NHWC", "HWIO", "NHWC")
exact = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)
np.testing.assert_allclose(layers.conv(x, kernel), exact, rtol=1e-9, atol=1e-9)
real = jnp.ones((4, 3), jnp.float32)
assert gradient_penalty(lambda x: (x**2).sum(1), real, 0 * real, key=jax.random.key(0)).dtype == "float32"
drop, x = layers.Dropout(0.3, rngs=nnx.Rngs(0)), jnp.ones((3, 7), jnp.float32)
print(*np.flatnonzero(drop(x)))
"""


@pytest.mark.slow
def test_in_64_bits_layers_keep_32_as_flax_does():
    """And the same entries are dropped."""
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", IN_64_BITS],
        env=os.environ | {"JAX_ENABLE_X64": "1", "PYTHONPATH": str(Path(layers.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    kept = np.flatnonzero(layers.Dropout(0.3, rngs=nnx.Rngs(0))(jnp.ones((3, 7))))
    assert told.stdout.split() == [str(i) for i in kept]


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


@pytest.mark.slow
def test_the_spread_of_a_batch_stands_beside_each_samples_features():
    x = normal(6, 5)
    y = layers.BatchSpread()(x)
    np.testing.assert_array_equal(y[:, :5], x)
    np.testing.assert_allclose(y[:, 5:], np.tile(np.sqrt(np.var(x, 0) + 1e-4), (6, 1)), rtol=1e-5)
    alike = jnp.ones((6, 5))
    assert jnp.isfinite(jax.grad(lambda x: layers.BatchSpread()(x).sum())(alike)).all()
    discriminator = nets.small_discriminator(nnx.Rngs(0))
    one, varied = jnp.repeat(normal(1, 28, 28, 1), 6, axis=0), normal(6, 28, 28, 1)
    assert discriminator(one)[0] != discriminator(varied.at[0].set(one[0]))[0]  # sees what stands beside it


@pytest.mark.slow
@pytest.mark.parametrize(
    ("generator", "discriminator", "latent_dim"),
    [
        (nets.dcgan_generator, nets.dcgan_discriminator, 100),
        (nets.small_generator, nets.small_discriminator, 16),
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


def iterated(kernel, times, seed=3):
    u = normal(kernel.shape[-1], seed=seed)
    for _ in range(times):
        sigma, u = layers.power_iteration(kernel, u)
    return sigma, u


def test_power_iteration_on_matrices_whose_singular_values_are_known():
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    for values in ([5, 2, 1, 0.5, 0.1], [3, 0, 0, 0, 0], [1, 1, 1, 1, 1]):
        kernel = jnp.asarray(turn @ np.diag(values) @ turn[::-1], jnp.float32)
        assert iterated(kernel, 30)[0] == pytest.approx(values[0], rel=1e-5)
    column = normal(6, 1)
    assert layers.power_iteration(column, jnp.ones(1))[0] == pytest.approx(float(jnp.linalg.norm(column)), rel=1e-6)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (1, 5), (3, 3, 2, 6), (5, 5, 1, 8)])
def test_power_iteration_rises_to_numpys_largest_singular_value(shape):
    kernel = normal(*shape)
    _, values, right = np.linalg.svd(np.asarray(kernel, np.float64).reshape(-1, shape[-1]), full_matrices=False)
    estimates = [float(iterated(kernel, times)[0]) for times in (1, 2, 4, 8, 200)]
    assert all(b >= a * (1 - 1e-5) for a, b in zip(estimates, [*estimates[1:], values[0]], strict=True))  # from below
    assert estimates[-1] == pytest.approx(values[0], rel=1e-4)
    u = np.asarray(iterated(kernel, 200)[1])
    assert abs(u @ right[0]) == pytest.approx(1, abs=1e-3)


def test_the_slope_of_sigma_is_the_outer_product_of_the_singular_vectors():
    kernel = normal(6, 4)
    u = iterated(kernel, 100)[1]
    left, _, right = np.linalg.svd(np.asarray(kernel, np.float64))
    slope = jax.grad(lambda k: layers.power_iteration(k, u)[0])(kernel)
    np.testing.assert_allclose(slope, np.outer(left[:, 0], right[0]), atol=1e-3)


@pytest.mark.parametrize(
    "layer",
    [
        lambda rngs: nnx.Linear(6, 4, rngs=rngs),
        lambda rngs: nnx.Linear(6, 4, use_bias=False, rngs=rngs),
        lambda rngs: nnx.Conv(6, 4, (3, 3), strides=2, rngs=rngs),
        lambda rngs: layers.Conv(6, 4, 3, stride=2, rngs=rngs),
        lambda rngs: layers.ConvTranspose(6, 4, 3, rngs=rngs),
    ],
    ids=["linear", "no bias", "nnx.Conv", "Conv", "ConvTranspose"],
)
def test_spectral_norm_divides_the_kernel_and_nothing_else(layer):
    plain, x = layer(nnx.Rngs(0)), normal(2, 4, 4, 6)
    if plain.bias is not None:
        plain.bias[...] = normal(4, seed=5)
    kernel = plain.kernel[...]
    normed = layers.SpectralNorm(plain, rngs=nnx.Rngs(1))
    for _ in range(100):
        normed(x[:, :1, :1])
    bias = 0 if plain.bias is None else plain.bias[...]
    sigma = np.linalg.norm(np.asarray(kernel, np.float64).reshape(-1, 4), 2)
    np.testing.assert_allclose(normed(x) - bias, (plain(x) - bias) / sigma, atol=1e-4)
    np.testing.assert_array_equal(plain.kernel[...], kernel)  # the layer's own stays


def test_spectral_norm_moves_u_in_training_and_rests_in_evaluation():
    normed, x = layers.SpectralNorm(nnx.Linear(6, 4, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1)), normal(3, 6)
    before = normed.u[...]
    normed(x)
    after = normed.u[...]
    assert jnp.abs(before / jnp.linalg.norm(before) - after).max() > 1e-3
    assert jnp.linalg.norm(after) == pytest.approx(1, abs=1e-6)
    normed.eval()
    first = normed(x)
    np.testing.assert_array_equal(normed(x), first)
    np.testing.assert_array_equal(normed.u[...], after)
    assert set(nnx.to_pure_dict(nnx.state(normed, nnx.Param))) == {"layer"}  # u is not learnt


def test_a_kernel_of_zeros_stays_as_it_is_and_comes_back():
    normed, x = layers.SpectralNorm(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(1)), normal(5, 3)
    kernel = normed.layer.kernel[...]
    normed.layer.kernel[...] = jnp.zeros((3, 2))
    np.testing.assert_array_equal(normed(x), 0)
    normed.layer.kernel[...] = kernel
    for _ in range(50):
        y = normed(x)
    np.testing.assert_allclose(y, x @ kernel / np.linalg.norm(kernel, 2), atol=1e-5)
    with pytest.raises(ValueError, match="Dropout has none"):
        layers.SpectralNorm(layers.Dropout(0.1, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0))


def spectral_critic(rngs):
    sizes = (2, 32, 32, 1)
    dense = [layers.SpectralNorm(nnx.Linear(a, b, rngs=rngs), rngs=rngs) for a, b in pairwise(sizes)]
    relu = partial(nnx.leaky_relu, negative_slope=0.2)
    return nnx.Sequential(dense[0], relu, dense[1], relu, dense[2], nets.reshape())


@pytest.mark.slow
def test_a_spectral_critic_trains_and_keeps_its_slope_below_1():
    """In `fit`, that is in jit and scan: u is carried, σ follows the weights, the critic tells real from fake."""
    generator = partial(nets.MLP, (2, 16, 2))
    gan = GAN(generator, spectral_critic, loss=wasserstein, latent_dim=2, optimizer=optax.adam(1e-2, b1=0.5))
    start, real = gan.init(jax.random.key(0)), 4 + normal(512, 2)
    frozen = replace(gan, optimizer=Pair(optax.set_to_zero(), gan.optimizer.discriminator))
    state, history = fit(frozen, frozen.init(jax.random.key(0)), real, steps=400, key=jax.random.key(1), progress=False)
    assert (state.rest.discriminator["layers"][0]["u"] != start.rest.discriminator["layers"][0]["u"]).any()
    for place in (0, 2, 4):
        kernel = state.params.discriminator["layers"][place]["layer"]["kernel"]
        sigma, _ = layers.power_iteration(kernel, state.rest.discriminator["layers"][place]["u"])
        assert sigma == pytest.approx(np.linalg.norm(kernel, 2), rel=1e-3)
    x = 4 * normal(4000, 2, seed=1)
    slope = jax.vmap(jax.grad(lambda x: gan.logits(state, x[None])[0]))(x)
    assert 0.7 < jnp.linalg.norm(slope, axis=1).max() <= 1.001
    fake = frozen.sample(state, jax.random.key(2), 512)
    distance = float(jnp.linalg.norm(real.mean(0) - fake.mean(0)))  # W1 is at least this
    assert 0.8 * distance < -history["d_loss"][-50:].mean() < 1.1 * distance + 0.3


@pytest.mark.slow
def test_second_derivatives_through_spectral_norm_are_finite():
    gan = GAN(partial(nets.MLP, (2, 8, 2)), spectral_critic, latent_dim=2, penalty=ZeroCentred(1.0, 1.0))
    state = gan.init(jax.random.key(0))
    new, metrics = jax.jit(gan.step)(state, normal(16, 2), jax.random.key(1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((new.params, metrics)))
    assert metrics["d_grad"] > 0
