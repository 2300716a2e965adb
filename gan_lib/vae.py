"""Two more models for `fit`: a VAE, and a VAE-GAN, whose decoder is also the generator of a GAN.

All terms are in nats a sample: sums over its entries and its latents, then a mean over the batch. With a mean over the pixels
of a digit, beside a sum over latents, the KL would count 784 times as much.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx

from gan_lib.coder import Coder, CoderState, Parts
from gan_lib.gan import descend
from gan_lib.likelihoods import per_sample
from gan_lib.losses import Loss, non_saturating
from gan_lib.parts import ready
from gan_lib.pure import forward


def kl_to_standard_normal(mean, log_variance):
    """KL(N(mean, diag exp(log_variance)) ‖ N(0, I)) of each sample, in nats: (B, d), (B, d) -> (B,).

    Raises ValueError on other shapes. Kingma & Welling 2014, appendix B.
    """
    shapes = jnp.shape(mean), jnp.shape(log_variance)
    if len(shapes[0]) != 2 or shapes[0] != shapes[1]:
        raise ValueError(f"mean and log_variance must both be (B, d); got {shapes[0]} and {shapes[1]}.")
    return 0.5 * (mean**2 + jnp.expm1(log_variance) - log_variance).sum(axis=1)


class VAE(Coder):
    """A variational autoencoder: up E_q(z|x)[log p(x|z)] − β·KL(q(z|x) ‖ N(0, I)). Kingma & Welling 2014, eq. 3."""

    def step(self, state: CoderState, batch: jax.Array, key: jax.Array) -> tuple[CoderState, dict[str, jax.Array]]:
        """One step up the bound, with one latent for each sample: z = mean + deviation · noise."""
        (x,) = ready(self, batch)
        noise = jax.random.normal(key, (len(x), self.latent_dim))

        def objective(params):
            code, e_rest = forward(self.encoder, params.encoder, state.rest.encoder, x)
            out, g_rest = forward(self.decoder, params.generator, state.rest.generator, self._latents(code, noise))
            distortion, rate = -self._log_prob(x, out).mean(), kl_to_standard_normal(*self._split(code)).mean()
            return distortion + self.beta * rate, (Parts(e_rest, g_rest), {"reconstruction": distortion, "kl": rate})

        (loss, (rest, terms)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        return self._moved(state, grads, rest), {"loss": loss, **terms}

    def describe(self, metrics: dict[str, float]) -> str:
        """What stands beside the bar of `fit`."""
        return f"reconstruction {metrics['reconstruction']:.1f} + KL {metrics['kl']:.1f} nats"


@dataclass(frozen=True)
class VAEGAN(Coder):
    """A VAE and a GAN that share the decoder. How alike two samples are is measured in a layer of D.

    discriminator: samples -> (logits (B,), what that layer sees (B, F)), such as nets.Showing. gamma: what likeness counts for
        the decoder, beside fooling D. loss: as for `GAN`; fakes are rebuilt ones and drawn ones, and count half each.
    Larsen et al. 2016, section 2.3 and algorithm 1. Its eq. 5 is what D raises; the algorithm takes it as D's loss.
    """

    discriminator: Callable[..., nnx.Module] = None
    gamma: float = 1.0
    loss: Loss = non_saturating

    def step(self, state: CoderState, batch: jax.Array, key: jax.Array) -> tuple[CoderState, dict[str, jax.Array]]:
        """D by the GAN's loss; then, against the new D, the encoder by KL + likeness, the decoder by γ·likeness + fooling D."""
        (x,) = ready(self, batch)
        n, (e, g, d), rest = len(x), state.params, state.rest
        noise, drawn_z = jax.random.normal(key, (2, n, self.latent_dim))
        code, to_encoder, e_rest = jax.vjp(lambda e: forward(self.encoder, e, rest.encoder, x), e, has_aux=True)
        z, to_code = jax.vjp(lambda code: self._latents(code, noise), code)

        def generate(g, z):  # rebuilt and drawn samples in one batch of BatchNorm: it moves once
            out, g_rest = forward(self.decoder, g, rest.generator, jnp.concatenate([z, drawn_z]))
            return self.likelihood.mean(out), g_rest

        made, to_decoder, g_rest = jax.vjp(generate, g, z, has_aux=True)

        def judge(d, d_rest, made):
            """D on real, rebuilt and drawn samples, never mixed in a batch: ([logits], [what its layer sees], the new rest)."""
            verdicts = []
            for samples in (x, made[:n], made[n:]):
                verdict, d_rest = forward(self.discriminator, d, d_rest, samples)
                verdicts.append(verdict)
            return *zip(*verdicts, strict=True), d_rest

        def d_objective(d):
            logits, _, d_rest = judge(d, rest.discriminator, made)
            return self._half_each(self.loss.discriminator, *logits), (logits, d_rest)

        (d_loss, (logits, d_rest)), d_grads = jax.value_and_grad(d_objective, has_aux=True)(d)
        d_new, _ = descend(self.optimizer.discriminator, d_grads, state.opt.discriminator, d)

        def terms(made):
            logits, (real, rebuilt, _), new_rest = judge(d_new, d_rest, made)
            likeness = 0.5 * per_sample((real - rebuilt) ** 2).mean()  # −log N(real; rebuilt, I), but for a constant
            return (likeness, self._half_each(self.loss.generator, *logits)), new_rest

        (likeness, g_loss), to_made, d_rest = jax.vjp(terms, made, has_aux=True)
        (of_likeness,), (of_fooling,) = to_made((1.0, 0.0)), to_made((0.0, 1.0))
        g_grads, _ = to_decoder(self.gamma * of_likeness + of_fooling)
        _, to_z = to_decoder(of_likeness)  # fooling D is no aim of the encoder: it ends in the decoder
        kl, of_kl = jax.value_and_grad(lambda code: kl_to_standard_normal(*self._split(code)).mean())(code)
        (e_grads,) = to_encoder(to_code(to_z)[0] + self.beta * of_kl)
        state = self._moved(state, Parts(e_grads, g_grads, d_grads), Parts(e_rest, g_rest, d_rest))
        d_real, *d_fakes = (jax.nn.sigmoid(each).mean() for each in logits)
        judged = {"d_loss": d_loss, "g_loss": g_loss, "d_real": d_real, "d_fake": sum(d_fakes) / 2}
        return state, judged | {"likeness": likeness, "kl": kl}

    @staticmethod
    def _half_each(loss, real, *fakes):
        return sum(loss(real, fake) for fake in fakes) / 2

    def describe(self, metrics: dict[str, float]) -> str:
        """What stands beside the bar of `fit`."""
        m = metrics
        return f"likeness {m['likeness']:.1f}, KL {m['kl']:.1f}, D(x) {m['d_real']:.2f} D(fake) {m['d_fake']:.2f}"
