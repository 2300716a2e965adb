"""What a VAE and a VAE-GAN have in common: an encoder, a decoder, their arrays, and what can be asked of them once trained."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from gan_lib.arrays import check_key
from gan_lib.gan import as_it_is, descend, in_full, in_type_of, moving_average
from gan_lib.likelihoods import Likelihood, bernoulli
from gan_lib.parts import ready
from gan_lib.pure import arrays, create, forward

ADAM = optax.adam(1e-3)


class Parts(NamedTuple):
    """One for each network. The generator is the decoder; a VAE has no discriminator."""

    encoder: Any
    generator: Any
    discriminator: Any = ()


class CoderState(NamedTuple):
    """Every array of a VAE or a VAEGAN in training."""

    params: Parts
    rest: Parts  # BatchNorm's statistics and the like
    opt: Parts
    average: tuple[Parts, Parts]  # moving average of (params, rest), without the discriminator's
    step: jax.Array  # updates made, int32


@dataclass(frozen=True)
class Coder:
    """An encoder q(z|x) and a decoder p(x|z), without their arrays. VAE and VAEGAN (vae.py) add how they are trained.

    encoder, decoder: functions of `rngs` that return an nnx.Module. The encoder maps samples (B, ...) to (B, 2·latent_dim),
        mean and log-variance of q(z|x), the latter cut to ±10; the decoder maps latents to what `likelihood` takes.
    beta: weight of the KL, 1 for the bound. optimizer: one optax transformation for all networks, or Parts of them.
    averaging, prepare: as for `GAN`. Raises ValueError on parts of another kind, in `step` also on those that do not fit.
    """

    encoder: Callable[..., nnx.Module]
    decoder: Callable[..., nnx.Module]
    likelihood: Likelihood = bernoulli
    latent_dim: int = 16
    beta: float = 1.0
    optimizer: Any = ADAM
    averaging: float = 0.99
    prepare: Callable[[Any], jax.Array] = as_it_is
    discriminator: Any = ()  # none; a VAEGAN needs one
    classes, given = 0, ()

    def init(self, key: jax.Array) -> CoderState:
        """A fresh state. The key decides every weight."""
        check_key(key)
        return self._init(key)

    @partial(jax.jit, static_argnums=0)
    def encode(self, state: CoderState, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """q(z|x) for samples x (n, ...): mean and log-variance, (n, latent_dim) each."""
        return self._split(forward(self.encoder, *self._weights(state, "encoder"), x, train=False)[0])

    def decode(self, state: CoderState, z: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
        """The mean of p(x|z) for latents z (n, latent_dim): (n, ...); with a key, a sample of p(x|z)."""
        out = self._decode(state, z)
        return self.likelihood.mean(out) if key is None else self.likelihood.draw(key, out)

    def sample(self, state: CoderState, key: jax.Array, n: int, *, draw: bool = False) -> jax.Array:
        """n fresh latents, decoded: (n, ...). draw: to samples of p(x|z); else to its means, as is usual."""
        check_key(key)
        z = jax.random.normal(key, (n, self.latent_dim))
        return self.decode(state, z, key=jax.random.fold_in(key, 1) if draw else None)

    def reconstruct(self, state: CoderState, x: jax.Array) -> jax.Array:
        """Samples x (n, ...), encoded to the mean of q(z|x) and decoded to that of p(x|z)."""
        return self.decode(state, self.encode(state, x)[0])

    @partial(jax.jit, static_argnums=(0, 4))
    def log_weights(self, state: CoderState, x: jax.Array, key: jax.Array, k: int) -> jax.Array:
        """log p(x|z) + log p(z) − log q(z|x) for k draws z of q(z|x) for each of x (n, ...): (k, n), in nats.

        The mean over k is the bound; logsumexp over k, less log k, a tighter one. Burda et al. 2016, eq. 8.
        """
        mean, log_variance = code = self.encode(state, x)

        def weigh(key):
            noise = jax.random.normal(key, mean.shape)
            z = self._latents(jnp.concatenate(code, axis=1), noise)
            prior_over_posterior = 0.5 * (noise**2 + log_variance - z**2).sum(axis=1)
            return self._log_prob(x, self._decode(state, z)) + prior_over_posterior

        return jax.lax.map(weigh, jax.random.split(key, k))

    def check(self, data: Any) -> str:
        """Raise ValueError on data that the likelihood gives no probability."""
        (some,) = ready(self, data[:: max(1, len(data) // 1000)])
        (low, high), (lowest, highest) = self.likelihood.reach, (float(some.min()), float(some.max()))
        if lowest < low - 1e-3 or highest > high + 1e-3:
            raise ValueError(f"The likelihood is for values from {low} to {high}; got {lowest:.3g} to {highest:.3g}.")
        return ""

    @partial(jax.jit, static_argnums=0)
    def _init(self, key):
        builds = zip((self.encoder, self.decoder, self.discriminator), jax.random.split(key, 3), strict=True)
        made = [arrays(create(build, k)) if build else ((), ()) for build, k in builds]
        params, rest = (Parts(*part) for part in zip(*made, strict=True))
        opt = Parts(*(o.init(p) for o, p in zip(self.optimizer, params, strict=True)))
        average = Parts(*params[:2]), Parts(*rest[:2])
        average = jax.tree.map(in_full, average) if self.averaging else average
        return CoderState(params, rest, opt, average, jnp.int32(0))

    @partial(jax.jit, static_argnums=0)
    def _decode(self, state, z):
        return forward(self.decoder, *self._weights(state, "generator"), z, train=False)[0]

    def _weights(self, state, name):
        latest = getattr(state.params, name), getattr(state.rest, name)
        return jax.tree.map(in_type_of, tuple(getattr(part, name) for part in state.average), latest)

    def _split(self, code):
        if code.shape[1:] != (2 * self.latent_dim,):
            raise ValueError(
                f"The encoder must return mean and log-variance of {self.latent_dim} latents side by side, "
                f"(B, {2 * self.latent_dim}); got {code.shape}."
            )
        mean, log_variance = jnp.split(code, 2, axis=1)
        return mean, jnp.clip(log_variance, -10, 10)  # exp of more soon leaves float32

    def _latents(self, code, noise):
        mean, log_variance = self._split(code)
        return mean + jnp.exp(log_variance / 2) * noise

    def _log_prob(self, x, out):
        if (made := jax.eval_shape(self.likelihood.mean, out).shape) != x.shape:
            raise ValueError(f"The decoder makes samples of shape {made[1:]}, the data's have {x.shape[1:]}.")
        return self.likelihood.log_prob(x, out)

    def _moved(self, state, grads, rest):
        moved = map(descend, self.optimizer, grads, state.opt, state.params)
        params, opt = (Parts(*part) for part in zip(*moved, strict=True))
        latest = Parts(*params[:2]), Parts(*rest[:2])
        average = moving_average(state.average, latest, state.step, self.averaging)
        return CoderState(params, rest, opt, average, state.step + 1)

    def __post_init__(self):
        for name in ("encoder", "decoder", *(["discriminator"] if self.discriminator != () else [])):
            part = getattr(self, name)
            if isinstance(part, nnx.Module) or not callable(part):
                raise ValueError(f"{name} must be a function of rngs that returns an nnx.Module; got {part!r:.60}.")
        if not isinstance(self.optimizer, Parts):
            object.__setattr__(self, "optimizer", Parts(*[self.optimizer] * 3))
