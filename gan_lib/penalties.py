"""Penalties on the slope of a critic, ∇ₓ critic(x): R1, R2 and the one of WGAN-GP; and how to hand them to `GAN`.

A critic is a function from a batch (B, ...) to logits (B,). The gradient of the *sum* of the logits holds every sample's
own gradient, since logit i depends on sample i alone. BatchNorm breaks that, so it is refused.

`GAN(..., penalty=OneCentred(10.0))` trains WGAN-GP, `penalty=ZeroCentred(r1=1.0)` adds γ/2·R1 with γ = 1.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
from flax import nnx
from flax.errors import TraceContextError

Critic = Callable[[jax.Array], jax.Array]
Schedule = Callable[[jax.Array], jax.Array]  # of the number of updates made, such as those of optax


def r1(critic: Critic, real: jax.Array) -> jax.Array:
    """Mean over the batch of ‖∇ₓ critic(x)‖² at real samples x (B, ...): no ½, no γ; the square sums over all entries.

    Raises ValueError on a critic whose logits are not (B,) or that mixes samples. Mescheder et al. 2018, section 4.1.
    """
    return _squared_norms(slopes(critic, real)).mean()


def r2(critic: Critic, fake: jax.Array) -> jax.Array:
    """The same at fake samples (B, ...). Mescheder et al. 2018, section 4.1."""
    return r1(critic, fake)


def gradient_penalty(critic: Critic, real: jax.Array, fake: jax.Array, *, key: jax.Array) -> jax.Array:
    """Mean of (‖∇ critic(x̂)‖ − 1)² at x̂ = ε·real + (1 − ε)·fake, one uniform ε for each pair of samples.

    real, fake: (B, ...), of one shape. The norm is exact, and its own gradient is 0, not NaN, where the slope is 0.
    Raises ValueError as `r1` does, and on real and fake of different shapes. Gulrajani et al. 2017, eq. 3.
    """
    if jnp.shape(real) != jnp.shape(fake):
        raise ValueError(
            f"The gradient penalty lies between pairs of a real and a fake sample; got shapes {jnp.shape(real)} and "
            f"{jnp.shape(fake)}. Draw as many latents as there are real samples."
        )
    dtype = jnp.result_type(real, fake, jnp.float32)  # not JAX's default, which may be float64
    share = jax.random.uniform(key, (len(real),) + (1,) * (jnp.ndim(real) - 1), dtype)
    between = share * real + (1 - share) * fake
    squares = _squared_norms(slopes(critic, between))
    flat = squares == 0  # the square root's own slope is infinite here; both branches of `where` are differentiated
    norms = jnp.where(flat, 0, jnp.sqrt(jnp.where(flat, 1, squares)))
    return ((norms - 1) ** 2).mean()


@dataclass(frozen=True)
class OneCentred:
    """weight · gradient_penalty, as `GAN` takes it: WGAN-GP with weight λ = 10. Equal weights make equal GANs."""

    weight: float = 10.0

    def __call__(self, critic, real, fake, *, key):
        return self.weight * gradient_penalty(critic, real, fake, key=key)


@dataclass(frozen=True)
class ZeroCentred:
    """½·(r1 · R1 + r2 · R2), as `GAN` takes it. r1, r2: the two γ; R3GAN takes the same for both.

    Each is a number, or a schedule of the step: gamma = optax.linear_schedule(3.0, 1.0, 1000); ZeroCentred(gamma, gamma).
    Mescheder et al. 2018, section 4.1; Huang et al. 2024 (R3GAN), eq. 3; falling: its appendix D and table 9.
    """

    r1: float | Schedule = 0.0
    r2: float | Schedule = 0.0

    def at(self, step):
        """The same with numbers for schedules: those at a step."""
        schedules = {name: weight for name in ("r1", "r2") if callable(weight := getattr(self, name))}
        return replace(self, **{name: schedule(step) for name, schedule in schedules.items()})

    def __call__(self, critic, real, fake, *, key):
        if callable(self.r1) or callable(self.r2):
            raise ValueError(
                "A γ of this penalty is a schedule; expected a number. Which step? Call penalty.at(step)(...)."
            )
        terms = (weight / 2 * r1(critic, x) for weight, x in ((self.r1, real), (self.r2, fake)) if _counts(weight))
        return sum(terms, start=0.0)


def at_step(penalty: Callable, step: jax.Array) -> Callable:
    """The penalty as it stands at a step: what its method `at` returns, or itself where it has none."""
    return penalty.at(step) if hasattr(penalty, "at") else penalty


def _counts(weight):
    """Is this term there? A weight that a schedule computes inside jit has no value yet, and counts."""
    return isinstance(weight, jax.core.Tracer) or weight != 0


def slopes(critic: Critic, x: jax.Array) -> jax.Array:
    """∇ₓ of each sample's own logit, (B, ...), for x (B, ...). Raises ValueError as `r1` does.

    A critic that mixes samples is found by its numbers where there are some, that is outside `jax.jit`, and by
    `refuse_mixing` where it is a module.
    """
    if isinstance(critic, nnx.Module):
        refuse_mixing(critic)
    if jnp.ndim(x) < 1 or not jnp.issubdtype(jnp.result_type(x), jnp.floating):
        raise ValueError(f"x must be a batch of floats (B, ...); got {jnp.result_type(x)} of shape {jnp.shape(x)}.")
    try:
        logits, pull_back = jax.vjp(critic, x)
    except TraceContextError:
        raise ValueError(
            "The critic changes arrays of its own while it is differentiated, as Flax's BatchNorm, Dropout and spectral "
            f"norm do in training. {BATCH_NORM} The others: hand over a pure function, such as training.forward makes."
        ) from None
    if jnp.shape(logits) != (len(x),):
        raise ValueError(
            f"A critic maps a batch (B, ...) to logits (B,), one number a sample; got {jnp.shape(logits)} for a batch of "
            f"shape {x.shape}. End it with .squeeze(-1), or .reshape(len(x))."
        )
    if not isinstance(jax.lax.stop_gradient(logits), jax.core.Tracer):
        (of_first,) = pull_back(jnp.zeros_like(logits).at[0].set(1))
        if (jnp.abs(jax.lax.stop_gradient(of_first[1:])) > 0).any():
            raise ValueError(f"The critic's first logit depends on other samples, too. {BATCH_NORM}")
    (gradients,) = pull_back(jnp.ones_like(logits))
    return gradients


BATCH_NORM = (
    "Is there BatchNorm in it? That mixes the samples of a batch: then a logit has no gradient in its own sample alone, and "
    "the penalty would hold down another function than the one the generator climbs. Leave it out of a penalised "
    "discriminator, or normalise each sample by itself with nnx.LayerNorm. Gulrajani et al. 2017, section 4."
)


def refuse_mixing(module: nnx.Module) -> None:
    """Raise ValueError, with the reason, where a module's logits depend on the batch: by BatchNorm, or layers.BatchSpread."""
    for path, part in nnx.iter_graph(module):
        place = ".".join(map(str, path)) or "the module itself"
        if isinstance(part, nnx.BatchNorm) and not part.use_running_average:
            raise ValueError(f"A penalised discriminator contains BatchNorm, at {place}. {BATCH_NORM}")
        if getattr(part, "mixes_samples", False):
            raise ValueError(
                f"A penalised discriminator contains {type(part).__name__}, at {place}: it mixes the samples of a batch, "
                "so no logit has a gradient in its own sample alone. Leave it out where there is a penalty."
            )


def _squared_norms(gradients):
    """‖·‖² of each sample's entries, all of them: (B, ...) -> (B,). Over the channels alone it is another penalty."""
    return (gradients**2).sum(axis=tuple(range(1, gradients.ndim)))
