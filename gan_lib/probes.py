"""What to look at in a GAN in training, and a trial of many runs at once.

`fit(..., every=50, callback=Watch(gan, real, key=...))` puts the numbers of `examine` and `compare` into the history; clinic.py
reads and draws them. `trial` trains all cases and seeds of a GAN in the plane in one compiled program, watched alike.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gan_lib.arrays import check_key, check_whole
from gan_lib.gan import GAN, GANState, judge
from gan_lib.pure import forward

NEIGHBOURS = 5  # of a real sample, that its ball reaches to: Naeem et al. 2020, section 3.2
LOOKS = ("right", "company", "told", "covered", "spread", "kinds", "moved", "growth")


def examine(gan: GAN, state: GANState, real: jax.Array, fake: jax.Array) -> dict[str, jax.Array]:
    """What D makes of real and fake samples (n, ...), in training mode. Pure; n is even.

    right: the chance that D scores a real sample above a fake, in [0, 1]; ½ where it cannot tell.
    company: how far a sample's logit changes when its batch is half real, half fake instead of all of a kind: root mean
    square, over the spread of the logits. 0 where D judges each sample by itself.
    """
    d, half = (state.params.discriminator, state.rest.discriminator), len(real) // 2
    (of_real, of_fake), _ = judge(gan.discriminator, *d, real, fake)
    pure = jnp.concatenate([of_real[:half], of_fake[:half]])
    mixed = forward(gan.discriminator, *d, jnp.concatenate([real[:half], fake[:half]]))[0]
    higher = of_real[:, None] - of_fake
    spread = jnp.concatenate([of_real, of_fake]).std()
    return {
        "right": (higher > 0).mean() + (higher == 0).mean() / 2,
        "company": jnp.sqrt(jnp.square(pure - mixed).mean()) / jnp.maximum(spread, 1e-12),
    }


def compare(real: jax.Array, fake: jax.Array) -> dict[str, jax.Array]:
    """What a stranger, who has not met D, makes of n real and n fake points or features (n, d). Pure.

    told: the share of the 2n whose nearest other is of their own kind, in [0, 1]; about ½ for honest samples. With many
    samples the best D has D(x) − D(G(z)) = 2·told − 1 on average. Lopez-Paz & Oquab 2017; Cover & Hart 1967.
    covered: the share of real samples with a fake nearer than their fifth real neighbour; 1 − 2⁻⁵ for honest samples.
    spread: root of the fakes' total variance over that of the reals.
    """
    real, fake = (x.reshape(len(x), -1) for x in (real, fake))
    alone = jnp.diag(jnp.full(len(real), jnp.inf))
    among, fakes, across = _squares(real, real) + alone, _squares(fake, fake) + alone, _squares(real, fake)
    own = (among.min(1) < across.min(1)).mean() + (fakes.min(1) < across.min(0)).mean()
    reach = -jax.lax.top_k(-among, NEIGHBOURS)[0][:, -1]
    return {
        "told": own / 2,
        "covered": (across.min(1) < reach).mean(),
        "spread": jnp.sqrt(fake.var(0).sum() / jnp.maximum(real.var(0).sum(), 1e-30)),
    }


def how_many(kinds: jax.Array, most: int) -> jax.Array:
    """exp of the entropy of the shares of kinds (n,), whole numbers from 0 below most, −1 for none: from 1 to most, or 0.

    An effective number: k equally frequent kinds count k, a rare one hardly counts. Hill 1973, order 1.
    """
    count = jax.nn.one_hot(kinds, most).sum(0)  # of −1: nothing
    share = count / jnp.maximum(count.sum(), 1)
    return jnp.where(count.sum() > 0, jnp.exp(-jax.scipy.special.xlogy(share, share).sum()), 0.0)


def modes(mixture) -> tuple[Callable[[jax.Array], jax.Array], int]:
    """(kinds, most) for points (n, 2): the nearest mode, −1 beyond three standard deviations; see `Watch`."""

    def kinds(x):
        apart = jnp.linalg.norm(x[:, None] - mixture.means, axis=-1)
        return jnp.where(apart.min(1) <= 3 * mixture.std, apart.argmin(1), -1)

    return kinds, len(mixture.means)


class Watch:
    """A callback for `fit`: at each look {name: number} of `examine` and `compare`, and how far things moved since.

    real: real samples (n, ...), 16 or more, an even number; 256 is a good one. key: for as many fixed latents.
    see: function from samples to features (n, d) in which neighbours mean something; default, the entries themselves.
    kinds: (function from samples to whole numbers (n,), how many there are), such as `modes(mixture)`: adds "kinds", the
    effective number of kinds in the fakes. average: look at the averaged weights of G.

    moved: how far a fake of the same latent moved since the last look, root mean square over the spread of the reals.
    growth: the length of a player's weights over that at the first look, of the player that grew more.
    Raises ValueError on a conditional GAN, on too few samples or an odd number.
    """

    def __init__(self, gan: GAN, real: Any, *, key: jax.Array, see=None, kinds=None, average: bool = False):
        check_key(key)
        if gan.classes:
            raise ValueError(
                "Watch looks at GANs without labels; got one with classes. Watch one class's samples apart."
            )
        if np.ndim(real) < 2 or len(real) < 16 or len(real) % 2:
            raise ValueError(f"real must be an even number of samples (n, ...), at least 16; got {np.shape(real)}.")
        self.gan, self.real, self.average, self.kinds = gan, jnp.asarray(gan.prepare(real)), average, kinds
        self.see = see or (lambda x: x.reshape(len(x), -1))
        self.z = jax.random.normal(key, (len(self.real), gan.latent_dim), jnp.float32)
        self.of_real = jnp.asarray(self.see(self.real))
        self.before = self.first = None

    def __call__(self, state: GANState) -> dict[str, float]:
        if self.first is None:
            self.first = lengths(state)
        numbers, self.before = self.look(state, self.before)
        return {name: float(value) for name, value in numbers.items()}

    def look(self, state, before):
        """(numbers, the fakes' features) of a state, given the features at the last look, or None. Pure if `see` is."""
        fake = self.gan.generate(state, self.z, average=self.average)
        features = jnp.asarray(self.see(fake))
        numbers = _examine(self.gan, state, self.real, fake) | _compare(self.of_real, features)
        if self.kinds:
            numbers["kinds"] = how_many(jnp.asarray(self.kinds[0](fake)), self.kinds[1])
        far = jnp.square(features - (features if before is None else before)).sum(1).mean()
        numbers["moved"] = jnp.sqrt(far / jnp.maximum(self.of_real.var(0).sum(), 1e-30))
        numbers["growth"] = (lengths(state) / jnp.maximum(self.first, 1e-12)).max()
        return numbers, features


def lengths(state: GANState) -> jax.Array:
    """‖w‖ of each player, (2,)."""
    return jnp.stack([optax.tree.norm(w) for w in state.params])


def trial(
    build: Callable[[Any], GAN],
    cases: Any,
    data: Any,
    keys: jax.Array,
    *,
    steps: int,
    every: int = 50,
    batch_size: int = 64,
    n: int = 256,
    average: bool = False,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Train GANs on a Mixture, all cases and seeds in one program: (history, fakes).

    build: function of one case, a pytree of numbers, to a GAN. cases: that pytree with arrays (C,). keys: (S,).
    history: as `fit` returns with a Watch, but arrays (C, S, steps). fakes: (C, S, n, 2), at the end.
    Raises ValueError where steps is no multiple of every.
    """
    for name, value in {"steps": steps, "every": every, "batch_size": batch_size, "n": n}.items():
        check_whole(value, name, 1)
    if steps % every:
        raise ValueError(f"steps must be a multiple of every; got {steps} and {every}.")
    metrics, looks, fakes = _trial(build, data, steps, every, batch_size, n, average, cases, keys)
    history = {"step": np.arange(1, steps + 1)} | {
        k: np.asarray(v).reshape(*v.shape[:2], -1) for k, v in metrics.items()
    }
    for name, values in looks.items():
        history[name] = np.full(history["d_loss"].shape, np.nan)
        history[name][..., every - 1 :: every] = values
    return history, np.asarray(fakes)


@partial(jax.jit, static_argnums=range(7))
def _trial(build, data, steps, every, batch_size, n, average, cases, keys):
    def one(case, key):
        gan = build(case)
        start_key, run_key, real_key, z_key = jax.random.split(key, 4)
        watch = Watch(gan, data.sample(real_key, n), key=z_key, kinds=modes(data), average=average)
        state = gan.init(start_key)
        watch.first = lengths(state)

        def step(state, _):
            data_key, step_key = jax.random.split(jax.random.fold_in(run_key, state.step))
            return gan.step(state, data.sample(data_key, batch_size), step_key)

        def until_next_look(carry, _):
            state, before = carry
            state, metrics = jax.lax.scan(step, state, length=every)
            numbers, features = watch.look(state, before)
            return (state, features), (metrics, numbers)

        start = state, gan.generate(state, watch.z, average=average)
        (_, fake), (metrics, numbers) = jax.lax.scan(until_next_look, start, length=steps // every)
        return metrics, numbers, fake

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(cases, keys)


_examine, _compare = jax.jit(examine, static_argnums=0), jax.jit(compare)


def _squares(x, y):
    """Squared distances (n, m), by differences: exact for copies."""
    return jnp.square(x[:, None] - y).sum(-1)
