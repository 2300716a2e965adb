"""Six adversarial losses, each a pair: one function for the discriminator, one for the generator. And what joins them.

Every function takes logits, never probabilities, of shape (B,): `real_logits` for data, `fake_logits` for samples of G.
It returns a scalar to *minimise*. Probabilities appear only through softplus, which neither overflows nor loses digits:
−log σ(s) = softplus(−s) and −log(1 − σ(s)) = softplus(s).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import relu, softplus


class Loss(NamedTuple):
    """What each player minimises: two functions (real_logits (B,), fake_logits (B,)) -> scalar."""

    discriminator: Callable[[jax.Array, jax.Array], jax.Array]
    generator: Callable[[jax.Array, jax.Array], jax.Array]


def cross_entropy(real_logits, fake_logits):
    """−E[log D(x)] − E[log(1 − D(G(z)))], D = σ(logit); 2 log 2 where D cannot tell. Goodfellow et al. 2014, eq. 1."""
    check_logits(real_logits, fake_logits)
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def saturating(real_logits, fake_logits):
    """E[log(1 − D(G(z)))]: G's half of the value function. Its gradient fades as D(G(z)) → 0."""
    check_logits(real_logits, fake_logits)
    return -softplus(fake_logits).mean()


def fool(real_logits, fake_logits):
    """−E[log D(G(z))]: same fixed point, gradient of full size where D rejects. Goodfellow et al. 2014, section 3."""
    check_logits(real_logits, fake_logits)
    return softplus(-fake_logits).mean()


def squared_targets(real_logits, fake_logits):
    """½E[(D(x) − 1)²] + ½E[D(G(z))²], D linear. Mao et al. 2017, eq. 9 (a = 0, b = c = 1)."""
    check_logits(real_logits, fake_logits)
    return ((real_logits - 1) ** 2).mean() / 2 + (fake_logits**2).mean() / 2


def squared_fool(real_logits, fake_logits):
    """½E[(D(G(z)) − 1)²]. Mao et al. 2017, eq. 9 (c = 1)."""
    check_logits(real_logits, fake_logits)
    return ((fake_logits - 1) ** 2).mean() / 2


def margins(real_logits, fake_logits):
    """E[relu(1 − D(x))] + E[relu(1 + D(G(z)))]: no cost beyond ±1 on the right side. Lim & Ye 2017, eq. 3."""
    check_logits(real_logits, fake_logits)
    return relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()


def score_gap(real_logits, fake_logits):
    """E[f(G(z))] − E[f(x)]: minus the critic's estimate of W1 if f is 1-Lipschitz. Arjovsky et al. 2017, eq. 2."""
    check_logits(real_logits, fake_logits)
    return fake_logits.mean() - real_logits.mean()


def raise_score(real_logits, fake_logits):
    """−E[f(G(z))], for the hinge and the Wasserstein loss. Not hinged: G always has a slope to follow."""
    check_logits(real_logits, fake_logits)
    return -fake_logits.mean()


def real_above_fake(real_logits, fake_logits):
    """E[softplus(−(D(x) − D(G(z))))], the i-th real paired with the i-th fake. Jolicoeur-Martineau 2018, eq. 5."""
    check_logits(real_logits, fake_logits, paired=True)
    return softplus(fake_logits - real_logits).mean()


def fake_above_real(real_logits, fake_logits):
    """E[softplus(−(D(G(z)) − D(x)))]: each fake should outscore its real partner. Jolicoeur-Martineau 2018, eq. 6."""
    check_logits(real_logits, fake_logits, paired=True)
    return softplus(real_logits - fake_logits).mean()


def check_logits(real_logits, fake_logits, *, paired=False):
    """Refuse shapes that would broadcast: (B, 1) against (B,) gives (B, B), and the mean hides it."""
    shapes = jnp.shape(real_logits), jnp.shape(fake_logits)
    if any(len(shape) != 1 for shape in shapes):
        raise ValueError(
            f"A loss takes logits of shape (B,), one number a sample; got real {shapes[0]} and fake {shapes[1]}. "
            "(B, 1) against (B,) would broadcast to (B, B) without a word. "
            "End the discriminator with .squeeze(-1), or .reshape(len(x))."
        )
    if paired and shapes[0] != shapes[1]:
        raise ValueError(
            f"The relativistic loss pairs each real sample with a fake; got {shapes[0][0]} real and {shapes[1][0]} fake "
            "logits. Draw as many latents as there are real samples."
        )


minimax = Loss(cross_entropy, saturating)
non_saturating = Loss(cross_entropy, fool)
least_squares = Loss(squared_targets, squared_fool)
hinge = Loss(margins, raise_score)
wasserstein = Loss(score_gap, raise_score)
relativistic = Loss(real_above_fake, fake_above_real)

LOSSES: dict[str, Loss] = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "least_squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
    "relativistic": relativistic,
}


@cache
def per_patch(loss: Loss) -> Loss:
    """`loss` for a discriminator that returns (B, P), a logit for each of P patches of a sample: all of them count alike.

    The same loss gives the same result, so that GANs of it stay equal. Raises ValueError on logits of another shape.
    Isola et al. 2017 (pix2pix), section 3.2.2.
    """

    def flat(half):
        def of_patches(real_logits, fake_logits):
            shapes = jnp.shape(real_logits), jnp.shape(fake_logits)
            if any(len(shape) != 2 for shape in shapes):
                raise ValueError(
                    f"per_patch takes logits of shape (B, P), P patches a sample; got real {shapes[0]} and fake {shapes[1]}. "
                    "Logits (B,) need no per_patch; maps (B, H, W) become (B, P) with .reshape(len(x), -1)."
                )
            return half(real_logits.ravel(), fake_logits.ravel())

        return of_patches

    return Loss(flat(loss.discriminator), flat(loss.generator))


@dataclass(frozen=True)
class L1:
    """weight · mean |fake − real| over all entries, as `GAN` takes it for its term. Isola et al. 2017, eq. 3: weight 100."""

    weight: float = 100.0

    def __call__(self, fake, real, *beside):
        return self.weight * jnp.abs(fake - real).mean()
