"""Do the players learn? The ring of notebook 02, its recipe and its failures, in numbers with room for other machines.

Measured on 40 seeds, 20 of them through `fit`: eight modes on all, 83 to 96 % good samples (median 93 %), and KL up to
0.02 but for one of 0.14.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gan_lib.data import ring
from gan_lib.gan import GAN, Pair
from gan_lib.losses import Loss, cross_entropy, fool
from gan_lib.metrics import mode_coverage
from gan_lib.nets import MLP
from gan_lib.training import fit

STEPS = 6000

pytestmark = pytest.mark.slow

RING = ring()


def generator(rngs):
    return MLP((2, 64, 64, 2), rngs=rngs)


def discriminator(rngs):
    return MLP((2, 64, 64, 1), shape=(), rngs=rngs)


def adam(rate):
    return optax.adam(rate, b1=0.5)


SHRINKING = Pair(*(adam(optax.cosine_decay_schedule(rate, STEPS)) for rate in (3e-3, 1e-3)))
CONSTANT = Pair(adam(3e-3), adam(1e-3))
GAN_ON_RING = GAN(generator, discriminator, latent_dim=2, optimizer=SHRINKING)


@pytest.fixture(scope="module")
def real():
    return RING.sample(jax.random.key(100), 50_000)


def train(gan, real, seed, steps):
    """(the state before, the state after, the history)."""
    init_key, fit_key = jax.random.split(jax.random.key(seed))
    start = gan.init(init_key)
    return start, *fit(gan, start, real, steps=steps, key=fit_key, batch_size=256, progress=False)


def score(gan, state, **settings):
    return mode_coverage(gan.sample(state, jax.random.key(101), 2500, **settings), RING)


def moved(before, after):
    """The distance between two trees of parameters."""
    return float(optax.tree.norm(jax.tree.map(jnp.subtract, before, after)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_ring_is_covered(real, seed):
    start, state, history = train(GAN_ON_RING, real, seed, STEPS)
    untrained, trained = score(GAN_ON_RING, start), score(GAN_ON_RING, state)
    assert untrained.high_quality < 0.1
    assert trained.modes == 8
    assert 0.75 < trained.high_quality < 0.9889 + 0.007  # the mixture's own share, and three standard errors
    assert trained.reverse_kl < 0.3
    last = {name: values[-500:].mean() for name, values in history.items()}
    assert abs(last["d_loss"] - 2 * np.log(2)) < 0.2
    assert abs(last["g_loss"] - np.log(2)) < 0.3
    assert last["d_fake"] < 0.5 < last["d_real"]


def test_each_player_moves_in_every_step(real):
    start, state, history = train(replace(GAN_ON_RING, optimizer=CONSTANT), real, 3, 50)
    assert (history["g_grad"] > 0).all()
    assert (history["d_grad"] > 0).all()
    for before, after in zip(start.params, state.params, strict=True):
        assert moved(before, after) > 0.1


def test_a_discriminator_alone_learns_to_tell(real):
    alone = replace(GAN_ON_RING, optimizer=Pair(optax.set_to_zero(), adam(1e-3)))
    start, state, history = train(alone, real, 4, 1000)
    assert moved(start.params.generator, state.params.generator) == 0
    assert history["d_real"][-100:].mean() > 0.9
    assert history["d_fake"][-100:].mean() < 0.1
    assert history["d_loss"][-100:].mean() < 0.3


def test_a_generator_alone_learns_to_fool(real):
    """Against a D that stands still, after a while of its own."""
    taught = replace(GAN_ON_RING, optimizer=Pair(optax.set_to_zero(), adam(1e-3)))
    _, state, _ = train(taught, real, 5, 500)
    alone = replace(GAN_ON_RING, optimizer=Pair(adam(1e-3), optax.set_to_zero()))
    start = state._replace(opt=alone.init(jax.random.key(0)).opt)
    state, history = fit(alone, start, real, steps=300, key=jax.random.key(6), progress=False)
    assert moved(start.params.discriminator, state.params.discriminator) == 0
    assert history["d_fake"][0] < 0.2
    assert history["d_fake"][-5:].mean() > 0.8


def test_the_average_is_better_than_the_last_weights(real):
    """While steps of one size keep circling. Measured on ten seeds: 12 to 50 points more good samples."""
    gan = replace(GAN_ON_RING, optimizer=CONSTANT)
    _, state, _ = train(gan, real, 0, 3000)
    assert score(gan, state).high_quality > score(gan, state, average=False).high_quality + 0.05


def test_a_cut_gradient_shows_as_zero(real):
    loss = Loss(cross_entropy, lambda real, fake: fool(real, jax.lax.stop_gradient(fake)))
    start, state, history = train(replace(GAN_ON_RING, loss=loss), real, 7, 50)
    assert (history["g_grad"] == 0).all()
    assert moved(start.params.generator, state.params.generator) == 0
    assert moved(start.params.discriminator, state.params.discriminator) > 0.1


def test_swapped_labels_bring_both_losses_to_zero_and_the_fakes_nowhere(real):
    gan = replace(GAN_ON_RING, loss=Loss(lambda real, fake: cross_entropy(fake, real), fool))
    _, state, history = train(gan, real, 8, 1000)
    assert history["d_loss"][-1] + history["g_loss"][-1] < 0.01
    assert history["d_real"][-1] < 0.01
    assert score(gan, state, average=False).modes == 0


# --- labels ---------------------------------------------------------------------------------------------------------


class WithLabel(nnx.Module):
    """An MLP on a sample or latents and its label as a one-hot row beside them."""

    def __init__(self, sizes, rngs, shape=None):
        self.mlp = MLP((sizes[0] + 4, *sizes[1:]), shape=shape, rngs=rngs)

    def __call__(self, x, labels):
        return self.mlp(jnp.concatenate([x, jax.nn.one_hot(labels, 4)], axis=1))


CONDITIONAL = GAN(
    lambda rngs: WithLabel((2, 64, 64, 2), rngs),
    lambda rngs: WithLabel((2, 64, 64, 1), rngs, shape=()),
    latent_dim=2,
    classes=4,
    optimizer=Pair(*(adam(optax.cosine_decay_schedule(rate, 2000)) for rate in (3e-3, 1e-3))),
)


def obedience(state):
    """The share of 2,000 samples, 500 of each class, that lie nearest to a mode of the class asked for: 0.25 by chance."""
    labels = np.arange(2000) % 4
    made = CONDITIONAL.sample(state, jax.random.key(101), 2000, labels=labels)
    nearest = jnp.linalg.norm(made[:, None] - RING.means, axis=-1).argmin(1)
    return float((nearest % 4 == labels).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_a_conditional_gan_draws_what_it_is_asked_for(real, seed):
    """Eight modes, four classes: opposite modes share one."""
    labels = jnp.linalg.norm(real[:, None] - RING.means, axis=-1).argmin(1) % 4
    start, state, _ = train(CONDITIONAL, (real, labels), seed, 2000)
    assert obedience(start) < 0.5
    assert obedience(state) > 0.95
    shuffled = jax.random.permutation(jax.random.key(9), labels)
    _, deaf, _ = train(CONDITIONAL, (real, shuffled), seed, 2000)
    assert obedience(deaf) < 0.4
