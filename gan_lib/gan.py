"""How a GAN is trained: its arrays (`GANState`), and the pure function that moves both players once (`GAN.step`).

Arrays in, arrays out: `jax.jit`, `jax.lax.scan` and `jax.vmap` apply to a step as to any function, and nothing is updated
behind your back. The networks are Flax NNX modules; `forward` runs one with the arrays it is given (pure.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from gan_lib.arrays import check_key
from gan_lib.losses import Loss, non_saturating
from gan_lib.parts import asked, check_data, check_fit, check_parts, ready
from gan_lib.penalties import at_step, refuse_mixing
from gan_lib.pure import arrays, create, forward

ADAM = optax.adam(2e-4, b1=0.5)  # Radford et al. 2016 (DCGAN), section 4


class Pair(NamedTuple):
    """What comes in twos: one for the generator, one for the discriminator."""

    generator: Any
    discriminator: Any


class GANState(NamedTuple):
    """Every array of a GAN in training, as a pytree of plain dictionaries."""

    params: Pair  # what is learnt
    rest: Pair  # other arrays of the networks: BatchNorm statistics, dropout keys
    opt: Pair  # of the optimisers
    average: tuple[Any, Any]  # moving average of the generator's (params, rest)
    step: jax.Array  # updates made, int32


def no_penalty(critic, real, fake, *, key):
    """The plain GAN: nothing is added to the discriminator's loss."""
    return 0.0


def no_term(fake, real, *beside):
    """Nothing is added to the generator's loss."""
    return 0.0


def as_it_is(batch):
    """A batch that needs no preparation."""
    return batch


@dataclass(frozen=True)
class GAN:
    """What is trained, without its arrays: two networks, a loss, an optimiser for each player.

    generator, discriminator: functions of `rngs` that return an nnx.Module; a class with only that argument will do.
        The generator maps latents (B, latent_dim) to samples (B, ...), the discriminator maps samples to logits (B,).
    loss: a Loss (losses.py). latent_dim: latents are drawn from N(0, I) of that dimension.
    optimizer: one optax transformation for both players, or a Pair of two.
    penalty: function (critic, real, fake, *, key) -> scalar, added to the discriminator's loss; critic maps a batch to
        its logits. One with a method at(step) is asked for itself as it stands after so many updates: a falling γ.
    averaging: decay of the generator's moving average, in [0, 1); 0 keeps the latest weights. The first steps use a
        smaller one, so that the average forgets the untrained network.
    prepare: what each batch of samples goes through first, in the step: with data.scaled, images stay bytes until then.
    classes: 0, or how many there are for a conditional GAN. Its batches are (samples, labels), labels int (B,) from 0 on,
        and both networks are called with labels after the rest. Fakes get the labels of the real batch: so the shares of
        the classes agree, and a relativistic pair shares its class.
    given: (), or the shape (H, W, C) of an image in the place of a label. Batches are (samples, images); where labels are
        asked for below, these are. Isola et al. 2017, eq. 1.
    term: function (fake, real, *what is given) -> scalar, added to the generator's loss, such as losses.L1(100.0).

    Two GANs of the same parts are equal and share their compiled programs. Raises ValueError on parts that cannot be trained.
    """

    generator: Callable[..., nnx.Module]
    discriminator: Callable[..., nnx.Module]
    loss: Loss = non_saturating
    latent_dim: int = 64
    optimizer: Any = ADAM
    penalty: Callable[..., jax.Array | float] = no_penalty
    averaging: float = 0.999
    prepare: Callable[[Any], jax.Array] = as_it_is
    classes: int = 0
    given: tuple[int, ...] = ()
    term: Callable[..., jax.Array | float] = no_term

    def step(self, state: GANState, batch, key) -> tuple[GANState, dict]:
        """Move D, then move G against the new D, on one batch.

        Goodfellow et al. 2014, algorithm 1 with k = 1.
        """
        (g, d), (g_rest, d_rest), (g_opt, d_opt), average, number = state
        generator, discriminator = self.generator, self.discriminator
        real, *labels = ready(self, batch)  # labels or images, if any
        z_key, p_key = jax.random.split(key)
        z = jax.random.normal(z_key, (len(real), self.latent_dim), jnp.float32)
        # One forward pass of G serves both players: D needs its samples, G
        # the way back from them to its weights.
        generate = lambda g: forward(generator, g, g_rest, z, *labels)
        fake, pull_back, g_rest = jax.vjp(generate, g, has_aux=True)

        def d_objective(d):
            logits, rest = judge(discriminator, d, d_rest, real, fake, *labels)
            critic = lambda x: forward(discriminator, d, rest, x, *labels)[0]
            term = at_step(self.penalty, number)(critic, real, fake, key=p_key)
            return self.loss.discriminator(*logits) + term, (logits, rest)

        value_and_grad = partial(jax.value_and_grad, has_aux=True)
        (d_loss, (logits, d_rest)), d_grads = value_and_grad(d_objective)(d)
        d, d_opt = descend(self.optimizer.discriminator, d_grads, d_opt, d)

        def g_objective(fake):
            logits, rest = judge(discriminator, d, d_rest, real, fake, *labels)
            term = self.term(fake, real, *labels)
            return self.loss.generator(*logits) + term, rest

        (g_loss, d_rest), slope = value_and_grad(g_objective)(fake)
        (g_grads,) = pull_back(slope)
        g, g_opt = descend(self.optimizer.generator, g_grads, g_opt, g)
        average = moving_average(average, (g, g_rest), number, self.averaging)
        pairs = Pair(g, d), Pair(g_rest, d_rest), Pair(g_opt, d_opt)
        state = GANState(*pairs, average, number + 1)
        return state, measure(d_loss, g_loss, logits, d_grads, g_grads)

    def init(self, key: jax.Array) -> GANState:
        """A fresh state. The key decides every weight, and the dropout masks of the whole training.

        Raises ValueError on what is no key, on parts that do not fit together, and where a penalised discriminator mixes
        samples, by BatchNorm say: penalties.py says why.
        """
        check_key(key)
        return self._init(key)

    @partial(jax.jit, static_argnums=0)
    def _init(self, key):
        check_fit(self)
        g_key, d_key = jax.random.split(key)
        g, g_rest = arrays(create(self.generator, g_key))
        critic = create(self.discriminator, d_key)
        if self.penalty is not no_penalty:
            refuse_mixing(critic)
        d, d_rest = arrays(critic)
        opt = Pair(self.optimizer.generator.init(g), self.optimizer.discriminator.init(d))
        average = jax.tree.map(in_full, (g, g_rest)) if self.averaging else (g, g_rest)
        return GANState(Pair(g, d), Pair(g_rest, d_rest), opt, average, step=jnp.int32(0))

    def sample(self, state: GANState, key: jax.Array, n: int, *, labels: Any = None, average: bool = True) -> jax.Array:
        """n samples (n, ...) for n fresh latents; see `generate`."""
        check_key(key)
        z = jax.random.normal(key, (n, self.latent_dim), jnp.float32)
        return self.generate(state, z, labels, average=average)

    def generate(self, state: GANState, z: jax.Array, labels: Any = None, *, average: bool = True) -> jax.Array:
        """Samples (n, ...) for latents z (n, latent_dim), BatchNorm and dropout in evaluation mode.

        labels: of a conditional GAN, int (n,), or one number for all; of one that is given images (n, H, W, C), or one
        (H, W, C) for all. average: with the averaged weights; False takes the latest ones.
        """
        return self._generate(state, z, *asked(self, labels, len(z)), average=average)

    @partial(jax.jit, static_argnums=0, static_argnames="average")
    def _generate(self, state, z, *labels, average):
        latest = state.params.generator, state.rest.generator
        weights = jax.tree.map(in_type_of, state.average, latest) if average else latest
        return forward(self.generator, *weights, z, *labels, train=False)[0]

    def logits(self, state: GANState, x: jax.Array, labels: Any = None) -> jax.Array:
        """The discriminator's logits (n,) for samples x (n, ...), in evaluation mode. labels: as for `generate`."""
        return self._logits(state, x, *asked(self, labels, len(x)))

    @partial(jax.jit, static_argnums=0)
    def _logits(self, state, x, *labels):
        d = state.params.discriminator, state.rest.discriminator
        return forward(self.discriminator, *d, x, *labels, train=False)[0]

    def __post_init__(self):
        if not isinstance(self.optimizer, Pair):
            object.__setattr__(self, "optimizer", Pair(self.optimizer, self.optimizer))
        check_parts(self)

    def check(self, data: Any) -> str:
        """Raise ValueError, in words, on data (N, ...) that this GAN can never learn to draw, or return a remark on them."""
        return check_data(self, data)

    def describe(self, metrics: dict[str, float]) -> str:
        """What stands beside the bar of `fit`, from means of the metrics over some steps."""
        m = metrics
        return f"loss D {m['d_loss']:.2f} G {m['g_loss']:.2f}, D(x) {m['d_real']:.2f} D(G(z)) {m['d_fake']:.2f}"


def judge(build, params, rest, real, fake, *labels):
    """D on real and on fake samples, never mixed in one batch: ((real_logits, fake_logits), the new rest)."""
    if real.shape != fake.shape:
        raise ValueError(
            f"The generator makes samples of shape {fake.shape[1:]}, the data's have {real.shape[1:]}: change one of them."
        )
    real_logits, rest = forward(build, params, rest, real, *labels)
    fake_logits, rest = forward(build, params, rest, fake, *labels)
    return (real_logits, fake_logits), rest


def descend(optimizer, grads, opt, params):
    """One update of one player: (new params, new optimiser state)."""
    updates, opt = optimizer.update(grads, opt, params)
    return optax.apply_updates(params, updates), opt


def moving_average(average, latest, step, decay):
    """average + (1 − decay)·(latest − average), for floats; other arrays (dropout keys) are taken as they are."""
    if not decay:
        return latest
    decay = jnp.minimum(decay, (1 + step) / (10 + step))  # short memory at first: forget the untrained network
    return jax.tree.map(
        lambda a, b: decay * a + (1 - decay) * b if jnp.issubdtype(b.dtype, jnp.floating) else b, average, latest
    )


def in_full(x):
    """A float of fewer than 32 bits in 32: an average of bfloat16 in bfloat16 would round its small steps away."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32)) if jnp.issubdtype(x.dtype, jnp.floating) else x


def in_type_of(x, like):
    return x if x.dtype == like.dtype else x.astype(like.dtype)


def measure(d_loss, g_loss, logits, d_grads, g_grads):
    """What `step` reports, all scalars: losses, mean σ(logit) on real and fake (D(x), D(G(z))), gradient norms."""
    d_real, d_fake = (jax.nn.sigmoid(s).mean() for s in logits)
    norms = dict(d_grad=optax.tree.norm(d_grads), g_grad=optax.tree.norm(g_grads))
    return dict(d_loss=d_loss, g_loss=g_loss, d_real=d_real, d_fake=d_fake, **norms)
