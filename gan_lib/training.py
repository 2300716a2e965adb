"""What is trained (`GAN`), its arrays (`GANState`), one pure `step`, one loop `fit`, and `save` / `restore`.

The networks are Flax NNX modules, but the step is functional: arrays in, arrays out. So `jax.jit`, `jax.lax.scan` and
`jax.vmap` apply to it as to any function, and nothing is updated behind your back.
"""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import safetensors
import safetensors.numpy
from flax import nnx
from tqdm import tqdm

from gan_lib.losses import Loss, non_saturating

ADAM = optax.adam(2e-4, b1=0.5)  # Radford et al. 2016 (DCGAN), section 4


class Pair(NamedTuple):
    """What comes in twos: one for the generator, one for the discriminator."""

    generator: Any
    discriminator: Any


class GANState(NamedTuple):
    """Every array of a GAN in training, as a pytree of plain dictionaries.

    params: Pair of learnable arrays. rest: Pair of the other ones (BatchNorm statistics, dropout keys).
    opt: Pair of optimiser states. average: moving average of the generator's (params, rest). step: updates made, int32.
    """

    params: Pair
    rest: Pair
    opt: Pair
    average: tuple[Any, Any]
    step: jax.Array


def no_penalty(critic, real, fake, *, key):
    """The plain GAN: nothing is added to the discriminator's loss."""
    return 0.0


@dataclass(frozen=True)
class GAN:
    """What is trained, without its arrays: two networks, a loss, an optimiser for each player.

    generator, discriminator: functions of `rngs` that return an nnx.Module; a class with only that argument will do.
        The generator maps latents (B, latent_dim) to samples (B, ...), the discriminator maps samples to logits (B,).
    loss: a Loss (losses.py). latent_dim: latents are drawn from N(0, I) of that dimension.
    optimizer: one optax transformation for both players, or a Pair of two.
    penalty: function (critic, real, fake, *, key) -> scalar, added to the discriminator's loss; critic maps a batch to
        its logits.
    averaging: decay of the generator's moving average, in [0, 1); 0 keeps the latest weights. The first steps use a
        smaller one, so that the average forgets the untrained network.

    Two GANs built from the same parts are equal and share their compiled programs. Raises ValueError on parts that
    cannot be trained.
    """

    generator: Callable[..., nnx.Module]
    discriminator: Callable[..., nnx.Module]
    loss: Loss = non_saturating
    latent_dim: int = 64
    optimizer: Any = ADAM
    penalty: Callable[..., jax.Array | float] = no_penalty
    averaging: float = 0.999

    def __post_init__(self):
        for name in Pair._fields:
            if isinstance(build := getattr(self, name), nnx.Module) or not callable(build):
                raise ValueError(
                    f"GAN builds its networks itself, from a key: {name} must be a function of rngs that returns an "
                    f"nnx.Module, e.g. lambda rngs: MLP((64, 128, 2), rngs=rngs); got {type(build).__name__}."
                )
        if not isinstance(self.loss, Loss):
            raise ValueError(f"loss must be a Loss, e.g. losses.non_saturating; got {type(self.loss).__name__}.")
        if not 0 <= self.averaging < 1:
            raise ValueError(f"averaging is the decay of a moving average, in [0, 1); got {self.averaging}.")
        if not isinstance(self.optimizer, Pair):
            object.__setattr__(self, "optimizer", Pair(self.optimizer, self.optimizer))

    @partial(jax.jit, static_argnums=0)
    def init(self, key: jax.Array) -> GANState:
        """A fresh state. The key decides every weight, and the dropout masks of the whole training."""
        g_key, d_key = jax.random.split(key)
        g, g_rest = _arrays(self.generator(rngs=nnx.Rngs(g_key)))
        d, d_rest = _arrays(self.discriminator(rngs=nnx.Rngs(d_key)))
        opt = Pair(self.optimizer.generator.init(g), self.optimizer.discriminator.init(d))
        return GANState(Pair(g, d), Pair(g_rest, d_rest), opt, average=(g, g_rest), step=jnp.int32(0))

    def step(self, state: GANState, real: jax.Array, key: jax.Array) -> tuple[GANState, dict[str, jax.Array]]:
        """Move D, then move G against the new D, on one batch. Goodfellow et al. 2014, algorithm 1 with k = 1."""
        z_key, penalty_key = jax.random.split(key)
        z = jax.random.normal(z_key, (len(real), self.latent_dim))
        params, rest, opt = state.params, state.rest, state.opt
        # One forward pass of G serves both players: D needs its samples, G the way back from them to its weights.
        generate = partial(forward, self.generator, rest=rest.generator, x=z)
        fake, pull_back, g_rest = jax.vjp(generate, params.generator, has_aux=True)

        def d_objective(d):
            logits, d_rest = judge(self.discriminator, d, rest.discriminator, real, fake)
            penalty = self.penalty(lambda x: forward(self.discriminator, d, d_rest, x)[0], real, fake, key=penalty_key)
            return self.loss.discriminator(*logits) + penalty, (logits, d_rest)

        (d_loss, (logits, d_rest)), d_grads = jax.value_and_grad(d_objective, has_aux=True)(params.discriminator)
        d, d_opt = descend(self.optimizer.discriminator, d_grads, opt.discriminator, params.discriminator)

        def g_objective(fake):
            logits, new_rest = judge(self.discriminator, d, d_rest, real, fake)
            return self.loss.generator(*logits), new_rest

        (g_loss, d_rest), slope = jax.value_and_grad(g_objective, has_aux=True)(fake)
        (g_grads,) = pull_back(slope)
        g, g_opt = descend(self.optimizer.generator, g_grads, opt.generator, params.generator)
        average = moving_average(state.average, (g, g_rest), state.step, self.averaging)
        state = GANState(Pair(g, d), Pair(g_rest, d_rest), Pair(g_opt, d_opt), average, state.step + 1)
        return state, measure(d_loss, g_loss, logits, d_grads, g_grads)

    def sample(self, state: GANState, key: jax.Array, n: int, *, average: bool = True) -> jax.Array:
        """n samples (n, ...) for n fresh latents; see `generate`."""
        return self.generate(state, jax.random.normal(key, (n, self.latent_dim)), average=average)

    @partial(jax.jit, static_argnums=0, static_argnames="average")
    def generate(self, state: GANState, z: jax.Array, *, average: bool = True) -> jax.Array:
        """Samples (n, ...) for latents z (n, latent_dim), BatchNorm and dropout in evaluation mode.

        average: with the averaged weights; False takes the latest ones.
        """
        weights = state.average if average else (state.params.generator, state.rest.generator)
        return forward(self.generator, *weights, z, train=False)[0]

    @partial(jax.jit, static_argnums=0)
    def logits(self, state: GANState, x: jax.Array) -> jax.Array:
        """The discriminator's logits (n,) for samples x (n, ...), in evaluation mode."""
        return forward(self.discriminator, state.params.discriminator, state.rest.discriminator, x, train=False)[0]


@lru_cache(maxsize=64)
def _graph(build):
    """The network without its arrays: what nnx.merge needs beside them."""
    return nnx.split(nnx.eval_shape(lambda: build(rngs=nnx.Rngs(0))), nnx.Param, ...)[0]


def _arrays(module):
    """The module's (params, rest) as plain dictionaries."""
    _, params, rest = nnx.split(module, nnx.Param, ...)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(rest)


def forward(build, params, rest, x, train=True):
    """One pass of the network that `build` makes, with these arrays: (result, the new rest)."""
    module = nnx.merge(_graph(build), params, rest, copy=True)
    if not train:
        module.eval()
    y = module(x)
    return y, _arrays(module)[1]


def judge(build, params, rest, real, fake):
    """D on real and on fake samples, never mixed in one batch: ((real_logits, fake_logits), the new rest)."""
    real_logits, rest = forward(build, params, rest, real)
    fake_logits, rest = forward(build, params, rest, fake)
    return (real_logits, fake_logits), rest


def descend(optimizer, grads, opt, params):
    """One update of one player: (new params, new optimiser state)."""
    updates, opt = optimizer.update(grads, opt, params)
    return optax.apply_updates(params, updates), opt


def moving_average(average, latest, step, decay):
    """average + (1 − decay)·(latest − average), for floats; other arrays (dropout keys) are taken as they are."""
    decay = jnp.minimum(decay, (1 + step) / (10 + step))  # short memory at first: forget the untrained network
    return jax.tree.map(
        lambda a, b: decay * a + (1 - decay) * b if jnp.issubdtype(b.dtype, jnp.floating) else b, average, latest
    )


def measure(d_loss, g_loss, logits, d_grads, g_grads):
    """What `step` reports, all scalars: losses, mean σ(logit) on real and fake (D(x), D(G(z))), gradient norms."""
    d_real, d_fake = (jax.nn.sigmoid(s).mean() for s in logits)
    norms = dict(d_grad=optax.tree.norm(d_grads), g_grad=optax.tree.norm(g_grads))
    return dict(d_loss=d_loss, g_loss=g_loss, d_real=d_real, d_fake=d_fake, **norms)


def _advance(gan, state, images, key, *, batch_size, length):
    """`length` guarded steps in one compiled program: (state, metrics of shape (length,)).

    The state is not donated: jax 0.7.2 on a CPU then overwrites weights that a single step has yet to read.
    """

    def one(state, _):
        # The key of a step depends on its number alone, so chunks of any length and resumed runs draw the same.
        batch_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        real = images[jax.random.randint(batch_key, (batch_size,), 0, len(images))]
        new, metrics = gan.step(state, real, step_key)
        finite = Pair(_finite(metrics, "g", new.params.generator), _finite(metrics, "d", new.params.discriminator))
        # A step that fails is undone. The rest of the chunk then repeats it, with the same key, and fails alike.
        state = jax.tree.map(partial(jnp.where, finite.generator & finite.discriminator), new, state)
        return state, metrics | {"finite": finite}

    if length == 1:  # no loop around convolutions: XLA compiles those badly inside one on a CPU
        state, metrics = one(state, None)
        return state, jax.tree.map(lambda m: m[None], metrics)
    return jax.lax.scan(one, state, length=length)


@lru_cache
def compiler_options():
    """Options for jax.jit that make training faster on a CPU, or None where this jaxlib does not know them.

    Left alone, jaxlib 0.10 hands matrix products to YNNPACK, which takes up to twice as long as Eigen for those of a
    backward pass: benchmarks/step.py.
    """
    options = {"xla_cpu_experimental_ynn_fusion_type": ""}
    try:
        jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
    except Exception:  # which one differs between versions
        return None
    return options


@lru_cache
def _program():
    """`_advance`, compiled; not at import, when the device is still the reader's to choose."""
    static = "gan", "batch_size", "length"
    return jax.jit(_advance, static_argnames=static, compiler_options=compiler_options())


def _finite(metrics, player, params):
    """Are this player's loss, gradient and new weights all finite?"""
    arrays = metrics[f"{player}_loss"], metrics[f"{player}_grad"], *jax.tree.leaves(params)
    return jnp.stack([jnp.isfinite(a).all() for a in arrays]).all()


def fit(
    gan: GAN,
    state: GANState,
    images: jax.Array,
    *,
    steps: int,
    key: jax.Array,
    batch_size: int = 128,
    chunk: int | None = None,
    every: int | None = None,
    callback: Callable[[GANState], None] | None = None,
    progress: bool = True,
) -> tuple[GANState, dict[str, np.ndarray]]:
    """Train for `steps` updates of each player on random batches of `images` (N, ...), floats.

    chunk: steps in one compiled `lax.scan`. Default: many, but 1 for convolutions on a CPU, which are slow inside it.
    every, callback: callback(state) is called before the first step and after each `every` steps, e.g. to keep samples.
    progress: a bar with the losses, D(x), D(G(z)) and images/s.

    Returns the new state, and a history: arrays of one entry a step, "step", what `GAN.step` measures, and "seconds"
    since the start. The same state, data and key give bitwise the same result on one machine; the state that comes
    in is left as it was.

    Stops early, says so, and returns what was reached: at an interrupt (Ctrl-C, or the notebook's stop button), and
    at the first loss or gradient that is not finite, with the last finite state. Call `fit` again to go on.
    Raises ValueError on data that cannot be trained on.
    """
    every = _check(gan, images, steps, batch_size, chunk, every)
    chunk = min(chunk or _default_chunk(state), every)
    images = jnp.asarray(images)
    first, done, parts, clock = int(state.step), 0, [], [(0, 0.0)]
    bar = tqdm(total=steps, file=sys.stdout, disable=not progress, bar_format=BAR)
    with bar, _Interrupt() as interrupt:
        if callback:
            interrupt.around(callback, state)
        start = time.perf_counter()
        for length in _lengths(steps, every, chunk):
            if interrupt.noted:
                bar.write(f"Interrupted after {done:,} of {steps:,} steps. Call fit again to go on.", file=sys.stdout)
                break
            state, metrics = _program()(gan, state, images, key, batch_size=batch_size, length=length)
            finite = np.asarray(metrics.pop("finite"))  # (2, length): generator, discriminator
            metrics = {name: np.asarray(values) for name, values in metrics.items()}
            good = length if finite.all() else int(finite.all(axis=0).argmin())
            parts.append({name: values[:good] for name, values in metrics.items()})
            done += good
            clock.append((done, time.perf_counter() - start))
            bar.set_postfix_str(_summary(metrics, clock, batch_size), refresh=False)
            bar.update(good)
            if good < length:
                player = "generator" if finite[1, good] else "discriminator"  # D moves first: a bad D spoils G
                bar.write(
                    _diagnosis(first + done + 1, player, {k: v[good] for k, v in metrics.items()}), file=sys.stdout
                )
                break
            if callback and done % every == 0:
                interrupt.around(callback, state)
    history = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
    step = np.arange(1, done + 1)
    return state, {"step": first + step, **history, "seconds": np.interp(step, *np.transpose(clock))}


BAR = "{l_bar}{bar:16}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def _check(gan, images, steps, batch_size, chunk, every):
    """Refuse what cannot be trained on, in words. Returns `every`, or steps where it is None."""
    for name, value in dict(steps=steps, batch_size=batch_size, chunk=chunk or 1, every=every or steps).items():
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
    shape, dtype = np.shape(images), getattr(images, "dtype", None)
    if len(shape) < 2 or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"images must be a float array of shape (N, ...); got {dtype} of shape {shape}. "
            "Scale uint8 pixels with x / 127.5 − 1."
        )
    if not np.isfinite(np.asarray(images)).all():
        raise ValueError("images hold values that are not finite: look for NaN with np.isnan(images).any().")
    weights = jax.eval_shape(lambda: _arrays(gan.generator(rngs=nnx.Rngs(0))))
    made = jax.eval_shape(partial(forward, gan.generator), *weights, jnp.zeros((2, gan.latent_dim)))[0].shape
    if made[1:] != shape[1:]:
        raise ValueError(
            f"The generator makes samples of shape {made[1:]}, the data's have {shape[1:]}: change one of them."
        )
    return every or steps


def _default_chunk(state):
    """1 for convolutions on a CPU (kernels of rank 4), which XLA compiles badly inside a loop; else many."""
    convolutional = any(p.ndim > 2 for p in jax.tree.leaves(state.params))
    return 1 if convolutional and jax.default_backend() == "cpu" else 50


def _lengths(steps, every, chunk):
    """Lengths of the programs to run: they add up to steps, end at each multiple of every, and take at most two values."""
    for period in [every] * (steps // every) + [steps % every]:
        yield from [chunk] * (period // chunk) + [1] * (period % chunk)


class _Interrupt:
    """Notes Ctrl-C instead of raising it, so that no update is cut in half; raises it inside a callback only."""

    def __enter__(self):
        self.noted = self.raising = False
        self.main = threading.current_thread() is threading.main_thread()  # signals reach no other thread
        if self.main:
            self.previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_):
        if self.main:
            signal.signal(signal.SIGINT, self.previous)

    def _handle(self, *_):
        self.noted = True
        if self.raising:
            raise KeyboardInterrupt

    def around(self, callback, state):
        """Run the reader's callback, which may be cut short: the state is safe meanwhile."""
        self.raising = True
        try:
            callback(state)
        except KeyboardInterrupt:
            self.noted = True
        finally:
            self.raising = False


def _summary(metrics, clock, batch_size):
    """The words beside the bar: means over the last chunk; images/s without the first one, which compiles."""
    (n0, t0), (n1, t1) = clock[1 if len(clock) > 2 else 0], clock[-1]
    m = {name: float(values.mean()) for name, values in metrics.items()}
    return (
        f"loss D {m['d_loss']:.2f} G {m['g_loss']:.2f}, D(x) {m['d_real']:.2f} D(G(z)) {m['d_fake']:.2f}, "
        f"{(n1 - n0) * batch_size / (t1 - t0):,.0f} images/s"
    )


def _diagnosis(step, player, metrics):
    """What went wrong at this step, whose it is, what to try."""
    loss, grad = metrics[f"{player[0]}_loss"], metrics[f"{player[0]}_grad"]
    what = (
        "its weights overflow"
        if np.isfinite([loss, grad]).all()
        else f"its loss is {loss:.3g}, its gradient's norm {grad:.3g}"
    )
    return (
        f"Stopped at step {step:,} because of the {player}: {what}. The state before that step is returned. Try a smaller "
        "learning rate for it; look for log, sqrt or a division at 0 in its loss (softplus, not log of a sigmoid); "
        "jax.debug_nans(True) finds the operation."
    )


def _named_arrays(state):
    """{name: array} of a state's leaves, and the tree to put them back. PRNG keys become their raw numbers."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(state)
    raw = [jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for _, x in leaves]
    return {jax.tree_util.keystr(path): np.asarray(x) for (path, _), x in zip(leaves, raw, strict=True)}, tree


def save(path: str | os.PathLike, state: Any, *, notes: dict[str, str] | None = None) -> None:
    """Write every array of a state to a safetensors file: whole or not at all, and no pickle.

    notes: short texts for the file's header, such as the command that trained it.
    """
    path = Path(path)
    data = safetensors.numpy.save(_named_arrays(state)[0], metadata={"gan_lib": "1", **(notes or {})})
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def header(path: str | os.PathLike) -> dict[str, str]:
    """The notes that `save` wrote beside the arrays."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata()


def restore(path: str | os.PathLike, state_like: Any) -> Any:
    """The state saved at path. state_like: one of the same structure, e.g. gan.init(key); its values do not matter.

    Raises ValueError on a file that is no checkpoint, or one whose names, shapes or types are not state_like's.
    """
    try:
        saved = safetensors.numpy.load(Path(path).read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is no checkpoint of ours, or is cut short ({error}). Restore an earlier one."
        ) from None
    wanted, tree = _named_arrays(state_like)
    kind = {name: (x.shape, x.dtype) for name, x in wanted.items()}
    found = {name: (x.shape, x.dtype) for name, x in saved.items()}
    if kind != found:
        name = min(n for n in kind.keys() | found.keys() if kind.get(n) != found.get(n))
        raise ValueError(
            f"{path} was saved from another network: at {name} it has {found.get(name, 'nothing')}, state_like has "
            f"{kind.get(name, 'nothing')}. Build the GAN as it was when it was saved."
        )
    like = jax.tree.leaves(state_like)
    arrays = [
        jax.random.wrap_key_data(saved[name])
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        else jnp.asarray(saved[name])
        for name, x in zip(wanted, like, strict=True)
    ]
    return jax.tree.unflatten(tree, arrays)
