"""The few layers Flax lacks, or is slow at on a CPU: convolutions, resampling, dropout, a batch's spread, spectral norm.

A transposed convolution with stride s is a plain one that makes the s² phases of its output (depth to space), and a
convolution with stride s a plain one on the s² phases of its input (space to depth). So one plain convolution,
`correlate`, carries both, forwards and backwards; XLA's own gradient of a transposed convolution takes 10 to 20 times
as long on a CPU.
"""

from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

KERNEL = nnx.initializers.lecun_normal()
LARGE = 50_000  # entries of a kernel from which Fourier coefficients pay


def space_to_depth(x, s):
    """(B, s·H, s·W, C) -> (B, H, W, s²·C): each block of s × s pixels becomes the channels of one pixel."""
    b, h, w, c = x.shape
    return x.reshape(b, h // s, s, w // s, s, c).swapaxes(2, 3).reshape(b, h // s, w // s, s * s * c)


def depth_to_space(x, s):
    """(B, H, W, s²·C) -> (B, s·H, s·W, C), the inverse: "pixel shuffle". Shi et al. 2016, eq. 4."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, s, s, c // s**2).swapaxes(2, 3).reshape(b, h * s, w * s, c // s**2)


def double(x):
    """(B, H, W, C) -> (B, 2·H, 2·W, C), bilinear: a new pixel is ¾ of the nearest old one, ¼ of the next, on both axes."""
    for axis in (1, 2):
        before, after = _neighbours(x, axis)
        pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


def halve(x):
    """(B, 2·H, 2·W, C) -> (B, H, W, C), bilinear without aliasing: weights 1, 3, 3, 1 over 8 on both axes."""
    for axis in (1, 2):
        before, after = _neighbours(x, axis)
        even, odd = ((slice(None),) * axis + (slice(start, None, 2),) for start in (0, 1))
        x = 0.375 * (x[even] + x[odd]) + 0.125 * (before[even] + after[odd])
    return x


def reshape(*shape):
    """A layer that gives each sample this shape: (B, ...) -> (B, *shape)."""
    return lambda x: x.reshape(len(x), *shape)


def _neighbours(x, axis):
    """The entry before each one and that after it, on one axis; at its ends the entry itself."""
    first, last = lax.slice_in_dim(x, 0, 1, axis=axis), lax.slice_in_dim(x, -1, None, axis=axis)
    before = jnp.concatenate([first, lax.slice_in_dim(x, 0, -1, axis=axis)], axis)
    return before, jnp.concatenate([lax.slice_in_dim(x, 1, None, axis=axis), last], axis)


def conv(x, kernel, *, stride=1):
    """Convolution with SAME padding, equal to lax.conv_general_dilated: (B, H, W, C) -> (B, ⌈H/s⌉, ⌈W/s⌉, D).

    kernel: (k, k, C, D). stride: s. Raises ValueError on shapes that do not fit.
    """
    x, kernel = _checked(x, kernel, stride)
    (h, w), k, s = x.shape[1:3], len(kernel), stride
    if not _fourier_pays(-(-h // s), -(-w // s), kernel):
        return _plain(x, kernel, "SAME", s)
    # y[o] = Σ_t x[s·o + t − before]·kernel[t]: with t − before = s·a + r this is tap a of phase r.
    before = [max((-(-n // s) - 1) * s + k - n, 0) // 2 for n in (h, w)]
    taps, before = _phases(kernel, s, [-b for b in before])
    phases = space_to_depth(jnp.pad(x, ((0, 0), (0, -h % s), (0, -w % s), (0, 0))), s)
    return correlate(phases, taps.reshape(*taps.shape[:2], -1, kernel.shape[3]), before)


def conv_transpose(x, kernel, *, stride=1):
    """Transposed convolution with SAME padding, equal to lax.conv_transpose: (B, H, W, C) -> (B, s·H, s·W, D).

    kernel: (k, k, C, D). stride: s. Raises ValueError on shapes that do not fit.
    Dumoulin & Visin 2016, section 4; by phases: Shi et al. 2016, section 3.
    """
    x, kernel = _checked(x, kernel, stride)
    k, s = len(kernel), stride
    before = k - 1 if s > k - 1 else -(-(k + s - 2) // 2)  # lax.conv_transpose's choice
    # y[s·q + r] = Σ_a x[q + a]·kernel[s·a + before − r]: the taps of a strided convolution, phases in reverse.
    taps, before = _phases(kernel, s, [s - 1 - before] * 2)
    taps = jnp.moveaxis(taps[:, :, ::-1, ::-1], 4, 2)  # (A, A, s, s, C, D) -> (A, A, C, s, s, D)
    return depth_to_space(correlate(x, taps.reshape(*taps.shape[:3], -1), before), s)


def correlate(x, kernel, before):
    """y[o] = Σ_t x[o + t − before]·kernel[t], x being 0 outside: (B, H, W, C) -> (B, H, W, D).

    kernel: (k, k, C, D). before: a pair, the number of taps before the pixel, for rows and columns.
    On a CPU small maps go through their Fourier coefficients, where a convolution is a product: a 5 × 5 kernel on a
    7 × 7 map then costs 121 multiplications for each pair of channels, not 25·49. Winograd 1980, chapter 5.
    """
    (b, h, w, c), (k, _, _, d) = x.shape, kernel.shape
    if not _fourier_pays(h, w, kernel):
        return _plain(x, kernel, [(n, k - 1 - n) for n in before], 1)
    dtype = x.dtype
    x, kernel = (
        a.astype(jnp.promote_types(dtype, jnp.float32)) for a in (x, kernel)
    )  # coefficients of 8 bits are none
    of_x, of_kernel, back = _fourier((h, w), k, before, x.dtype)
    x = _mix(of_x, x.reshape(b, h * w, c).swapaxes(0, 1))
    y = _mix(back, x @ _mix(of_kernel, kernel.reshape(k * k, c, d)))
    return y.swapaxes(0, 1).reshape(b, h, w, d).astype(dtype)


def _plain(x, kernel, padding, stride):
    return lax.conv_general_dilated(x, kernel, (stride,) * 2, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _fourier_pays(h, w, kernel):
    """On a CPU, small maps and big kernels; benchmarks/layers.py measures it."""
    return jax.default_backend() == "cpu" and h * w <= 64 and len(kernel) > 1 and kernel.size >= LARGE


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mix(matrix, x):
    """matrix (m, n) times the first axis of x (n, ...), by a rule of its own: JAX's gradient would transpose x twice."""
    return (matrix @ x.reshape(len(x), -1)).reshape(-1, *x.shape[1:])


_mix.defvjp(lambda matrix, x: (_mix(matrix, x), None), lambda matrix, _, g: (_mix(matrix.T, g),))


def _phases(kernel, s, start):
    """The taps of a kernel (k, k, C, D) sorted by phase, (A, A, s, s, C, D), and how many stand before tap 0.

    start: place of the kernel's first entry on each axis, in pixels. Place p belongs to tap ⌊p/s⌋, phase p mod s.
    """
    k, c, d = kernel.shape[1:]
    first = [p // s for p in start]
    count = max((p + k - 1) // s - a + 1 for p, a in zip(start, first, strict=True))
    pads = [(p - a * s, count * s - k - (p - a * s)) for p, a in zip(start, first, strict=True)]
    taps = jnp.pad(kernel, (*pads, (0, 0), (0, 0))).reshape(count, s, count, s, c, d)
    return taps.swapaxes(1, 2), tuple(-a for a in first)


@lru_cache(maxsize=64)
def _fourier(shape, k, before, dtype=np.float32):
    """Three matrices A (F, H·W), B (F, k·k), C (H·W, F) with correlate(x, kernel) = C((A x)·(B kernel)).

    Real and imaginary parts of a two-dimensional discrete Fourier transform, and of each pair of conjugate frequencies
    only one. A complex product takes three real ones (Gauss): with k₁ = c(a+b), k₂ = a(d−c), k₃ = b(c+d),
    (a+ib)(c+id) = (k₁−k₃) + i(k₁+k₂). The period is just long enough that what wraps around is cropped.
    """
    periods = [max(n + b, n + k - 1 - b) for n, b in zip(shape, before, strict=True)]
    of_x, of_kernel, back = [], [], []
    for u, v in np.ndindex(*periods):
        mirror = (-u % periods[0], -v % periods[1])
        if (u, v) > mirror:
            continue
        wave = [lambda n, f=f, p=p: np.exp(-2j * np.pi * f * n / p) for f, p in zip((u, v), periods, strict=True)]
        x = np.outer(*(e(np.arange(n)) for e, n in zip(wave, shape, strict=True))).ravel()
        taps = np.outer(*(e(b - np.arange(k)) for e, b in zip(wave, before, strict=True))).ravel()
        y = x.conj() / np.prod(periods)
        if (u, v) == mirror:  # a real coefficient
            of_x, of_kernel, back = [*of_x, x.real], [*of_kernel, taps.real], [*back, y.real]
        else:
            of_x += [x.real + x.imag, x.real, x.imag]
            of_kernel += [taps.real, taps.imag - taps.real, taps.real + taps.imag]
            back += [2 * (y.real - y.imag), -2 * y.imag, -2 * y.real]
    return np.asarray(of_x, dtype), np.asarray(of_kernel, dtype), np.asarray(back, dtype).T


def _checked(x, kernel, stride):
    """Both in one type, by Flax's rules; what would fail deep inside is refused in words."""
    square = np.ndim(kernel) == 4 and kernel.shape[0] == kernel.shape[1]
    if np.ndim(x) != 4 or not square or x.shape[3] != kernel.shape[2]:
        raise ValueError(
            "A convolution takes images (B, H, W, C), channels last, and a kernel (k, k, C, D); got shapes "
            f"{np.shape(x)} and {np.shape(kernel)}."
        )
    if not isinstance(stride, int) or stride < 1:
        raise ValueError(f"stride must be a whole number of at least 1; got {stride!r}.")
    dtype = jnp.result_type(x, kernel)
    dtype = dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.promote_types(jnp.float32, dtype)
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


class Conv(nnx.Module):
    """`conv` with a kernel of its own, and a bias unless use_bias=False. Both are float32, as Flax's, in any mode of JAX.

    dtype: what it computes in, e.g. jnp.bfloat16, and so the type of its result; default: that of input and kernel.
    """

    function = staticmethod(conv)

    def __init__(self, features_in, features_out, size, *, rngs, stride=1, use_bias=True, init=KERNEL, dtype=None):
        self.kernel = nnx.Param(init(rngs.params(), (size, size, features_in, features_out), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(features_out, jnp.float32)) if use_bias else None
        self.stride, self.dtype = stride, dtype

    def __call__(self, x):
        x, kernel = (a if self.dtype is None else jnp.asarray(a, self.dtype) for a in (x, self.kernel[...]))
        y = self.function(x, kernel, stride=self.stride)
        return y if self.bias is None else y + self.bias[...].astype(y.dtype)


class ConvTranspose(Conv):
    """`conv_transpose` with a kernel of its own, and a bias unless use_bias=False."""

    function = staticmethod(conv_transpose)


class Dropout(nnx.Module):
    """Sets each entry to 0 with probability `rate` in training, and scales the rest so that the mean stays.

    rate: in [0, 1), taken to the nearest 1/256: four entries share the 32 random bits that Flax's spends on one, and
    on a CPU those bits cost as much as a convolution. Srivastava et al. 2014, section 4.
    Raises ValueError on a rate outside [0, 1).
    """

    def __init__(self, rate: float, *, rngs: nnx.Rngs):
        if not 0 <= rate < 1:
            raise ValueError(f"rate is the share of entries set to 0, in [0, 1); got {rate}.")
        self.dropped, self.deterministic = round(256 * rate), False  # nnx's eval() sets deterministic
        self.rngs = rngs.dropout.fork() if self.dropped else None

    def __call__(self, x):
        if self.deterministic or not self.dropped:
            return x
        words = jax.random.bits(self.rngs(), (-(-x.size // 4),), jnp.uint32)
        chances = lax.bitcast_convert_type(words, jnp.uint8).ravel()[: x.size].reshape(x.shape)
        return jnp.where(chances < self.dropped, 0, x * (256 / (256 - self.dropped)))


class BatchSpread(nnx.Module):
    """Puts beside each sample's features their standard deviations over the batch: (B, C) -> (B, 2C).

    So a discriminator sees how varied a batch is, and a generator that draws too few kinds of samples is found out.
    Karras et al. 2018 (progressive growing), section 3, where the deviations are averaged to one number.
    """

    mixes_samples = True  # a logit depends on the whole batch: no gradient penalty with this, see penalties.py

    def __call__(self, x):
        exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # deviations of 8 bits are none
        spread = jnp.sqrt(exact.var(axis=0) + 1e-4).astype(x.dtype)  # the root's slope at 0 is infinite
        return jnp.concatenate([x, jnp.broadcast_to(spread, x.shape)], axis=1)


def power_iteration(kernel, u):
    """(σ, the next u): one step towards the largest singular value of a kernel (..., out), taken as a matrix (-1, out).

    u (out,): the right singular vector so far, of any length. σ approaches from below; its slope in the kernel is the
    exact one, v uᵀ, once u and v have settled: they are constants to the gradient. Miyato et al. 2018, section 2.2.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    u = lax.stop_gradient(u)
    v = lax.stop_gradient(_unit(matrix @ u))
    u = lax.stop_gradient(_unit(v @ matrix, otherwise=u))
    return v @ matrix @ u, u


def _unit(x, otherwise=0.0):
    """x / ‖x‖, or `otherwise` where x is 0."""
    length = jnp.linalg.norm(x)
    return jnp.where(length > 0, x / jnp.where(length > 0, length, 1), otherwise)


class SingularVector(nnx.Variable):
    """What `SpectralNorm` remembers between passes. Not learnt."""


class SpectralNorm(nnx.Module):
    """A layer whose kernel is divided by its largest singular value σ, so that a dense layer has slope at most 1.

    layer: an nnx.Linear, a convolution, or anything with a `kernel` (..., out). σ comes from one power iteration at each
    pass in training, begun where the last one ended; eval() leaves u as it is. A convolution's σ is that of its kernel as a
    matrix (k·k·in, out): the k × k map itself may stretch by up to k·σ. A kernel of zeros stays as it is.
    Raises ValueError on a layer without a kernel. Miyato et al. 2018, section 2.1 and algorithm 1.
    """

    def __init__(self, layer: nnx.Module, *, rngs: nnx.Rngs):
        if getattr(layer, "kernel", None) is None:
            raise ValueError(f"SpectralNorm divides a layer's kernel; {type(layer).__name__} has none.")
        self.layer, self.deterministic = layer, False  # nnx's eval() sets deterministic
        self.u = SingularVector(jax.random.normal(rngs.params(), layer.kernel[...].shape[-1:], jnp.float32))

    def __call__(self, x):
        kernel = self.layer.kernel[...]
        sigma, u = power_iteration(kernel, self.u[...])
        if not self.deterministic:
            self.u[...] = u.astype(self.u.dtype)
        normalised = nnx.clone(self.layer)
        normalised.kernel[...] = (kernel / jnp.where(sigma > 0, sigma, 1)).astype(kernel.dtype)
        return normalised(x)
