"""Does it learn? The ring recipe of notebook 02 on seeds the notebook does not use, and broken GANs that must not pass."""

from dataclasses import replace

import jax
import optax
import pytest

from gan_lib.data import ring
from gan_lib.losses import Loss, non_saturating
from gan_lib.metrics import mode_coverage
from gan_lib.nets import MLP
from gan_lib.training import GAN, Pair, fit

STEPS = 6000
DATA = ring()
REAL = DATA.sample(jax.random.key(0), 50_000)
RECIPE = GAN(
    lambda rngs: MLP((2, 64, 64, 2), rngs=rngs),
    lambda rngs: MLP((2, 64, 64, 1), shape=(), rngs=rngs),
    latent_dim=2,
    optimizer=optax.adam(optax.cosine_decay_schedule(2e-3, STEPS), b1=0.5),
)


def coverage(gan, seed, steps=STEPS):
    init, train, draw = jax.random.split(jax.random.key(seed), 3)
    state, history = fit(gan, gan.init(init), REAL, steps=steps, batch_size=256, key=train, progress=False)
    return mode_coverage(gan.sample(state, draw, 2500), DATA), history


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_the_ring_is_covered(seed):
    score, history = coverage(RECIPE, seed)
    assert score.modes == 8
    assert score.high_quality > 0.8
    assert score.reverse_kl < 0.25
    assert abs(history["d_fake"][-200:].mean() - 0.5) < 0.05


BROKEN = {
    "no gradient reaches G": dict(
        loss=Loss(
            non_saturating.discriminator, lambda real, fake: non_saturating.generator(real, jax.lax.stop_gradient(fake))
        )
    ),
    "D never moves": dict(optimizer=Pair(optax.adam(2e-3, b1=0.5), optax.set_to_zero())),
    "labels swapped": dict(
        loss=Loss(lambda real, fake: non_saturating.discriminator(fake, real), non_saturating.generator)
    ),
    "G's sign lost": dict(
        loss=Loss(non_saturating.discriminator, lambda real, fake: -non_saturating.generator(real, fake))
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_does_not_learn(name):
    score, _ = coverage(replace(RECIPE, **BROKEN[name]), 11, steps=1500)
    assert score.modes < 8
    assert score.high_quality < 0.3
