"""Chance: a key is used once, everything drawn depends on the key given, and what should be independent is.

JAX itself finds a key that is used twice (`jax.debug_key_reuse`). It does not see a key made from a constant, nor one
key for two rows: these show in the numbers. Training's own keys are in test_training.py.
"""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gan_lib import data, features, layers, metrics, nets
from gan_lib.penalties import gradient_penalty

KEY = jax.random.key(3)


def critic_inputs(key, shape=(64, 3)):
    """The points at which the gradient penalty looks, for real at 0 and fake at 1: 1 − ε in every entry."""
    seen = []
    critic = lambda x: (seen.append(jax.lax.stop_gradient(x)), x.reshape(len(x), -1).sum(axis=1))[1]
    gradient_penalty(critic, jnp.zeros(shape), jnp.ones(shape), key=key)
    return seen[0]


def masks(key, calls=1):
    """What two dropouts of one network leave of ones, at each call: (calls, 2, 256, 256)."""
    rngs, ones = nnx.Rngs(dropout=key), jnp.ones((256, 256))
    pair = [layers.Dropout(0.5, rngs=rngs) for _ in range(2)]
    return jnp.stack([jnp.stack([layer(ones) for layer in pair]) for _ in range(calls)])


def spectral(key):
    layer = layers.SpectralNorm(layers.Conv(2, 64, 3, rngs=nnx.Rngs(key)), rngs=nnx.Rngs(jax.random.fold_in(key, 7)))
    return layer.u[...]


DRAWS = {
    "Mixture.sample": lambda key: data.ring().sample(key, 500),
    "Mixture.sample, compiled": jax.jit(lambda key: data.grid().sample(key, 500)),
    "gradient_penalty": critic_inputs,
    "Dropout": masks,
    "Conv": lambda key: layers.Conv(3, 4, 5, rngs=nnx.Rngs(key)).kernel[...],
    "ConvTranspose": lambda key: layers.ConvTranspose(3, 4, 5, rngs=nnx.Rngs(key)).kernel[...],
    "SpectralNorm": spectral,
    "images of nothing": lambda key: features._rubbish(key, jnp.zeros((32, 28, 28, 1))),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_key_is_used_once_and_counts(name):
    draw = DRAWS[name]
    with jax.debug_key_reuse(True):
        first = draw(jax.random.clone(KEY))
        again = draw(jax.random.clone(KEY))
        other = draw(jax.random.key(4))
    np.testing.assert_array_equal(first, again)
    assert (np.asarray(first) != np.asarray(other)).mean() > 0.3


@pytest.mark.parametrize("compiled", [False, True])
def test_a_key_used_twice_is_found(compiled):
    """As Mixture.sample would be with one key for the modes and the noise around them."""
    shape = (29, 31)  # of no other test: jax 0.7.2 does not look into what was compiled before it was told to

    def sample(key):
        return jax.random.randint(key, shape, 0, 3) + jax.random.normal(key, shape)

    with pytest.raises(jax.errors.KeyReuseError), jax.debug_key_reuse(True):
        (jax.jit(sample) if compiled else sample)(jax.random.clone(KEY))


def unrelated(*draws):
    """Each two of these have no correlation: below 5 standard errors, over the entries that both have."""
    flat = [np.asarray(draw, float).ravel() for draw in draws]
    for a, b in combinations(flat, 2):
        n = min(len(a), len(b))
        assert abs(np.corrcoef(a[:n], b[:n])[0, 1]) < 5 / n**0.5


def test_the_noise_of_a_mixture_says_nothing_of_the_mode():
    """Nor a point of the next one, nor one coordinate of the other."""
    mixture = data.grid(side=2)
    x = np.asarray(mixture.sample(KEY, 40_000), float)
    mode = ((x[:, None] - np.asarray(mixture.means)) ** 2).sum(axis=-1).argmin(axis=1)
    noise = x - np.asarray(mixture.means)[mode]
    for column in noise.T:
        unrelated(mode, column, np.roll(mode, 1), np.roll(column, 1), np.roll(mode, 2))
        unrelated(mode, column**2)
    unrelated(*noise.T)
    unrelated(*(noise.T**2))


def test_each_sample_between_real_and_fake_has_a_share_of_its_own():
    share = np.asarray(critic_inputs(KEY, (5000, 2)))[:, 0]
    assert len(np.unique(share)) > 4990
    unrelated(share, *(np.roll(share, by) for by in (1, 2, 2500)))


def test_dropout_draws_anew_for_each_layer_call_and_entry():
    """Four entries share a word of random bits, so those are looked at, too."""
    drawn = np.asarray(masks(KEY, calls=3))
    unrelated(*drawn.reshape(6, -1))
    one = drawn[0, 0].ravel()
    unrelated(one, *(np.roll(one, by) for by in (1, 2, 3, 4, 256)))
    unrelated(one.reshape(-1, 4).sum(axis=1), np.roll(one.reshape(-1, 4).sum(axis=1), 1))


NETWORKS = {
    "MLP": lambda rngs: nets.MLP((64, 64, 64, 64), rngs=rngs, norm=True),
    "small generator": nets.small_generator,
    "small discriminator": nets.small_discriminator,
    "DCGAN's discriminator": nets.dcgan_discriminator,
    "classifier": lambda rngs: features.Classifier(rngs=rngs),
    "spectral": lambda rngs: nnx.Sequential(
        *(layers.SpectralNorm(layers.Conv(64, 64, 3, rngs=rngs), rngs=rngs) for _ in range(2))
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_two_arrays_of_a_network_start_from_one_key(name):
    """A key that is used again gives larger arrays the same beginning, or the same numbers at another scale."""
    with jax.debug_key_reuse(True):
        state = nnx.state(NETWORKS[name](nnx.Rngs(0)), (nnx.Param, layers.SingularVector))
    drawn = [x for x in jax.tree.leaves(state) if np.std(x) > 0]  # biases and BatchNorm's start as constants
    assert len(drawn) >= 2
    unrelated(*drawn)
    for x in drawn:  # nor is it one vector again and again
        assert len(np.unique(x)) > 0.9 * x.size


def test_each_step_of_the_classifier_draws_anew(monkeypatch):
    """Its keys, as they reach the images of nothing, and the images that it draws."""
    seen = []

    def note(key, images):
        jax.debug.callback(lambda *step: seen.append(step), jax.random.key_data(jax.random.clone(key)), images)
        return images

    monkeypatch.setattr(features, "_rubbish", note)
    images = jnp.tile(jnp.linspace(-1, 1, 64)[:, None, None, None], (1, 28, 28, 1))
    with jax.debug_key_reuse(True):
        features.train(images, jnp.zeros(64, int), epochs=2, batch_size=16)
    jax.effects_barrier()
    assert len(seen) == 8
    assert len({tuple(key.tolist()) for key, _ in seen}) == 8
    assert len({np.asarray(x).tobytes() for _, x in seen}) == 8


def test_kernel_distance_draws_both_sets_anew_for_each_subset():
    """Twice the same set: with its mean kernel between all pairs m and between different ones u, 2(u − m) on average.

    The same members in both subsets would take away a share of the diagonal that is N/n times as large.
    """
    x = np.random.default_rng(0).normal(size=(120, 4))
    kernel = (x @ x.T / 4 + 1) ** 3
    apart = (kernel.sum() - np.trace(kernel)) / (120 * 119)
    found = [metrics.kernel_distance(x, x, subsets=20, subset_size=12, seed=seed) for seed in range(200)]
    error = np.std(found) / 200**0.5
    assert abs(np.mean(found) - 2 * (apart - kernel.mean())) < 4 * error
    assert error < 0.1 * np.trace(kernel) / 120 / 12
    single = [metrics.kernel_distance(x, x, subsets=1, subset_size=12, seed=seed) for seed in range(200)]
    assert np.std(found) < 0.31 * np.std(single)  # 1 / √20 = 0.22; of 20 draws with one half the same, 0.38


def test_the_floor_of_a_distance_is_drawn_ten_times(monkeypatch):
    drawn = []
    monkeypatch.setattr(features, "_unseen", lambda kind: np.arange(600.0).reshape(200, 3))
    monkeypatch.setattr(features, "frechet_distance", lambda a, b: drawn.append(b[:, 0]) or 0.0)
    features._floor.__wrapped__("digit", 20)
    assert len({tuple(sorted(draw)) for draw in drawn}) == len(drawn) == 10
    assert all(len(set(draw)) == 20 for draw in drawn)  # without replacement
