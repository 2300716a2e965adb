"""Dense networks: what is where, and shapes that do not fit."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gan_lib.nets import MLP


def layers(module, kind):
    return [m for _, m in nnx.iter_graph(module) if isinstance(m, kind)]


def test_parameters_are_counted_by_the_formula():
    sizes = (100, 128, 256, 784)
    arrays = jax.tree.leaves(nnx.to_pure_dict(nnx.state(MLP(sizes, rngs=nnx.Rngs(0)), nnx.Param)))
    assert sum(a.size for a in arrays) == sum((a + 1) * b for a, b in pairwise(sizes))


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
