"""What is trained (`GAN`), its arrays (`GANState`), one pure `step`, one loop `fit`, and `save` / `restore`.

The networks are Flax NNX modules, but the step is functional: arrays in, arrays out. So `jax.jit`, `jax.lax.scan` and
`jax.vmap` apply to it as to any function, and nothing is updated behind your back.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tqdm import tqdm

from gan_lib.checkpoint import restore, restore_history, save
from gan_lib.losses import Loss, non_saturating
from gan_lib.penalties import refuse_mixing

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
        """A fresh state. The key decides every weight, and the dropout masks of the whole training.

        Raises ValueError where a penalised discriminator mixes samples, by BatchNorm say: penalties.py says why.
        """
        g_key, d_key = jax.random.split(key)
        g, g_rest = _arrays(self.generator(rngs=nnx.Rngs(g_key)))
        critic = self.discriminator(rngs=nnx.Rngs(d_key))
        if self.penalty is not no_penalty:
            refuse_mixing(critic)
        d, d_rest = _arrays(critic)
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
    if not decay:
        return latest
    decay = jnp.minimum(decay, (1 + step) / (10 + step))  # short memory at first: forget the untrained network
    return jax.tree.map(
        lambda a, b: decay * a + (1 - decay) * b if jnp.issubdtype(b.dtype, jnp.floating) else b, average, latest
    )


MEASURED = "d_loss", "g_loss", "d_real", "d_fake", "d_grad", "g_grad"


def measure(d_loss, g_loss, logits, d_grads, g_grads):
    """What `step` reports, all scalars: losses, mean σ(logit) on real and fake (D(x), D(G(z))), gradient norms."""
    d_real, d_fake = (jax.nn.sigmoid(s).mean() for s in logits)
    norms = dict(d_grad=optax.tree.norm(d_grads), g_grad=optax.tree.norm(g_grads))
    return dict(d_loss=d_loss, g_loss=g_loss, d_real=d_real, d_fake=d_fake, **norms)


def _advance(gan, state, images, key, *, batch_size, length):
    """`length` steps in one compiled program: (state, metrics of shape (length,)), with "finite" for each player.

    The state is not donated: jax 0.7.2 on a CPU then overwrites weights that a single step has yet to read. And `fit`
    goes back to it when a step fails.
    """

    def one(state, _):
        # The key of a step depends on its number alone, so chunks of any length and resumed runs draw the same.
        batch_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        real = images[jax.random.randint(batch_key, (batch_size,), 0, len(images))]
        return gan.step(state, real, step_key)

    if length == 1:  # no loop around convolutions: XLA compiles those badly inside one on a CPU
        state, metrics = one(state, None)
        metrics = jax.tree.map(lambda m: m[None], metrics)
    else:
        state, metrics = jax.lax.scan(one, state, length=length)
    # Weights that are not finite stay so: a look at the last ones will do, where losses and gradients are free.
    finite = Pair(_finite(metrics, "g", state.params.generator), _finite(metrics, "d", state.params.discriminator))
    return state, metrics | {"finite": finite}


@lru_cache
def compiler_options(convolutional: bool = False):
    """Options for jax.jit that make training faster on a CPU, or None for the compiler's own.

    From 0.10 on jaxlib hands matrix products to YNNPACK, else to Eigen. For networks with convolutions Eigen is the
    faster one (benchmarks/step.py); for dense ones that depends on the processor, and is measured once a session.
    """
    eigen = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}  # YNNPACK for sums alone
    try:
        jax.jit(lambda x: x, compiler_options=eigen).lower(0.0).compile()
    except Exception:  # an older jaxlib, or no CPU; which error differs between versions
        return None
    return eigen if convolutional or _seconds_of_products(None) > 1.3 * _seconds_of_products(eigen) else None


def _seconds_of_products(options):
    """How long a dense layer takes, forwards and backwards, compiled with these options."""
    x, weights = jnp.ones((128, 512)), jnp.full((512, 1024), 0.01)
    return _seconds(jax.jit(jax.grad(lambda a: ((a[0] @ a[1]) ** 2).sum()), compiler_options=options), (x, weights))


def _seconds(fn, *args):
    """The best of four calls, without the first, which compiles."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(fn(*args))
        times.append(time.perf_counter() - start)
    return min(times[1:])


def is_convolutional(state: GANState) -> bool:
    """Does a network of this state hold a convolution's kernel?"""
    return any(p.ndim > 2 for p in jax.tree.leaves(state.params))


@lru_cache
def _program(convolutional):
    """`_advance`, compiled; not at import, when the device is still the reader's to choose."""
    static = "gan", "batch_size", "length"
    return jax.jit(_advance, static_argnames=static, compiler_options=compiler_options(convolutional))


def _finite(metrics, player, params):
    """Are this player's losses and gradients, and its last weights, all finite?"""
    arrays = metrics[f"{player}_loss"], metrics[f"{player}_grad"], *jax.tree.leaves(params)
    return jnp.stack([jnp.isfinite(a).all() for a in arrays]).all()


def _run(gan, state, images, key, *, batch_size, length):
    """`length` steps, or those before the first that fails: (state, metrics of these steps, the failed one's or None)."""
    program = _program(is_convolutional(state))
    new, metrics = program(gan, state, images, key, batch_size=batch_size, length=length)
    finite = metrics.pop("finite")
    step = int(state.step)
    metrics = {"step": np.arange(step + 1, step + 1 + length)} | jax.tree.map(np.asarray, metrics)
    if finite.generator and finite.discriminator:
        return new, metrics, None
    if length == 1:
        player = "generator" if finite.discriminator else "discriminator"  # D moves first: a bad D spoils G
        return state, {name: v[:0] for name, v in metrics.items()}, (player, {k: v[0] for k, v in metrics.items()})
    parts = []
    for _ in range(length):  # the chunk again, from its start, to find the step
        state, part, failed = _run(gan, state, images, key, batch_size=batch_size, length=1)
        parts.append(part)
        if failed:
            break
    return state, jax.tree.map(lambda *p: np.concatenate(p), *parts), failed


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
    callback: Callable[[GANState], Any] | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
) -> tuple[GANState, dict[str, np.ndarray]]:
    """Train for `steps` updates of each player on random batches of `images` (N, ...), floats.

    chunk: steps in one compiled `lax.scan`. Default: `chunk_for(state)`, measured on this device, or somewhat fewer that
        divide `every`: one program less to compile. The bar names it.
    every, callback: callback(state) is called before the first step and after each `every` steps, e.g. to keep samples.
        A dictionary {name: number} that it returns appears beside the bar and in the history, NaN
        at the steps between.
    checkpoint: a file. State and history are saved there after each `every` steps and at the end. If it is there
        already, training goes on from it, up to `steps` steps after the `state` given, as if never stopped.
    progress: a bar with the losses, D(x), D(G(z)) and images/s.

    Returns the new state, and a history: arrays of one entry a step, "step", what `GAN.step` measures, and "seconds"
    since the start. The state that comes in is left as it was.

    On one machine the same state, data and key give the same result, resumed or not: bitwise on a CPU. A GPU adds in any
    order, and each step enlarges the difference. With XLA_FLAGS=--xla_gpu_deterministic_ops=true in the environment
    before JAX starts it is bitwise there, too, and a step takes an eighth to a third longer.

    Stops early, says so, and returns what was reached: at an interrupt (Ctrl-C, or the notebook's stop button), at
    the first loss or gradient that is not finite, with the last finite state, and when the checkpoint cannot be
    written any more. Call `fit` again to go on.
    With a checkpoint, the history is that of all its runs.
    Raises ValueError on data that cannot be trained on, or on a checkpoint of something else; OSError if it cannot be
    written at the start.
    """
    images = _check(gan, images, steps=steps, batch_size=batch_size, chunk=chunk, every=every)
    every = every or steps
    chunk = min(chunk or _that_divides(every, chunk_for(state)), every)
    run = partial(_run, gan, images=images, key=key, batch_size=batch_size)
    with _Interrupt() as interrupt:
        first = int(state.step)
        state, log = _resume(checkpoint, state)
        done = kept = int(state.step) - first
        failed = trouble = None
        bar = tqdm(total=steps, initial=min(done, steps), file=sys.stdout, disable=not progress, bar_format=BAR)
        with bar:
            bar.set_description_str(f"{chunk} at a time", refresh=False)
            if callback and not done:
                interrupt.around(callback, state)
            for length in _lengths(steps, every, chunk, done):
                if interrupt.noted:
                    break
                state, metrics, failed = run(state, length=length)
                log.add(metrics)
                done = int(state.step) - first
                bar.set_postfix_str(log.summary(batch_size), refresh=False)
                bar.update(done - bar.n)
                if failed:
                    break
                if callback and done % every == 0:
                    log.measured(interrupt.around(callback, state))
                    bar.set_postfix_str(log.summary(batch_size), refresh=False)
                if checkpoint and done % every == 0:
                    kept, trouble = done, _keep(checkpoint, state, log)
                    if trouble:
                        break
            if checkpoint and kept != done:
                trouble = _keep(checkpoint, state, log)
            if failed:
                bar.write(_diagnosis(first + done + 1, *failed), file=sys.stdout)
            elif done < steps and not trouble:
                bar.write(f"Interrupted after {done:,} of {steps:,} steps. Call fit again to go on.", file=sys.stdout)
            if not log.clock[1:] and done >= steps:
                bar.write(
                    f"{checkpoint} holds step {first + done:,} already. To go on, ask for more steps.", file=sys.stdout
                )
            if trouble:
                bar.write(f"Stopped after {done:,} of {steps:,} steps: {trouble}.", file=sys.stdout)
        return state, log.arrays()


BAR = "{l_bar}{bar:16}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def _check(gan, images, **numbers):
    """Refuse what cannot be trained on, in words. Returns the images, on the device."""
    for name, value in numbers.items():
        if value is not None and (not isinstance(value, int | np.integer) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
    shape, dtype = np.shape(images), getattr(images, "dtype", None)
    if len(shape) < 2 or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"images must be a float array of shape (N, ...); got {dtype} of shape {shape}. "
            "Scale uint8 pixels with x / 127.5 − 1."
        )
    images = jnp.asarray(images)
    if not _all_finite(images):
        raise ValueError("images hold values that are not finite: look for NaN with np.isnan(images).any().")
    weights = jax.eval_shape(lambda: _arrays(gan.generator(rngs=nnx.Rngs(0))))
    made = jax.eval_shape(partial(forward, gan.generator), *weights, jnp.zeros((2, gan.latent_dim)))[0].shape
    if made[1:] != shape[1:]:
        raise ValueError(
            f"The generator makes samples of shape {made[1:]}, the data's have {shape[1:]}: change one of them."
        )
    return images


_all_finite = jax.jit(lambda x: jnp.isfinite(x).all())


def chunk_for(state: GANState) -> int:
    """Steps that `fit` puts in one compiled loop: 50, or 1 where the device is slow at convolutions inside a loop."""
    return 1 if is_convolutional(state) and slowdown_in_loop() > 2 else 50


@lru_cache
def slowdown_in_loop() -> float:
    """How many times as long the gradient of a convolution takes inside `lax.scan` as outside it, on this device.

    About 10 on a CPU, whose XLA lacks fast convolutions for loops (jax-ml/jax#12868). Measured once a session.
    """
    x, weights = jnp.ones((16, 14, 14, 32)), jnp.full((4, 4, 32, 32), 0.01)

    def descend_once(w, _=None):
        form = dict(window_strides=(2, 2), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return w - 1e-6 * jax.grad(lambda w: (jax.lax.conv_general_dilated(x, w, **form) ** 2).sum())(w), None

    alone = _seconds(jax.jit(lambda w: descend_once(w)[0]), weights)
    return _seconds(jax.jit(lambda w: jax.lax.scan(descend_once, w, length=4)[0]), weights) / (4 * alone)


def _that_divides(every, most):
    """The largest divisor of `every` from `most` down to a half of it, or `most`."""
    return next((n for n in range(min(most, every), max(most // 2, 1) - 1, -1) if every % n == 0), most)


def _lengths(steps, every, chunk, done=0):
    """Lengths of the programs to run after `done` steps: they end at each multiple of every, and at steps.

    They take at most two values, and are the same after a resumption as in one go: bitwise the same run.
    """
    end = 0
    for period in [every] * (steps // every) + [steps % every]:
        for length in [chunk] * (period // chunk) + [1] * (period % chunk):
            end += length
            if end > done:
                yield min(length, end - done)


def _resume(path, state):
    """The (state, log) to go on from: the checkpoint's, if there is one."""
    if path is None:
        return state, _Log()
    if not os.path.exists(path):
        save(path, state)  # finds out now, not after an hour, whether it can be written
        return state, _Log()
    kept = restore(path, state)
    if kept.step < state.step:
        raise ValueError(
            f"{path} holds step {int(kept.step):,}, the state given is at step {int(state.step):,} already. Give another "
            "path, or go on from restore(path, state)."
        )
    return kept, _Log(restore_history(path))


def _keep(path, state, log):
    """Save both; returns None, or what went wrong."""
    try:
        save(path, state, history=log.arrays())
    except OSError as error:
        return error.strerror


class _Log:
    """The history in the making: a dictionary of arrays for each chunk of steps."""

    def __init__(self, before=None):
        nothing = (
            {"step": np.arange(0)} | {name: np.zeros(0, np.float32) for name in MEASURED} | {"seconds": np.zeros(0)}
        )
        self.parts = [nothing, *([before] if before else [])]  # stopped before its first step, a run has all names, too
        passed = self.parts[-1]["seconds"][-1] if before and len(before["seconds"]) else 0.0
        self.zero = time.perf_counter() - passed
        self.clock = [(0, passed)]  # (steps made here, seconds) after each chunk
        self.said = ""

    def add(self, metrics):
        """The metrics of the steps just made."""
        (done, then), n = self.clock[-1], len(metrics["step"])
        self.clock.append((done + n, time.perf_counter() - self.zero))
        self.parts.append(metrics | {"seconds": np.linspace(then, self.clock[-1][1], n + 1)[1:]})

    def measured(self, numbers):
        """Numbers that a callback returned, if it did, noted at the last step."""
        if isinstance(numbers, dict):
            for name, value in numbers.items():
                values = np.full(len(self.parts[-1]["step"]), np.nan)
                values[-1] = value
                self.parts[-1][name] = values
            self.said = "".join(f", {name} {value:.3g}" for name, value in numbers.items())

    def summary(self, batch_size):
        """The words beside the bar: means over the last chunk; images/s without the first one, which compiles."""
        (n0, t0), (n1, t1) = self.clock[1 if len(self.clock) > 2 else 0], self.clock[-1]
        m = {name: values.mean() if len(values) else np.nan for name, values in self.parts[-1].items()}
        return (
            f"loss D {m['d_loss']:.2f} G {m['g_loss']:.2f}, D(x) {m['d_real']:.2f} D(G(z)) {m['d_fake']:.2f}, "
            f"{(n1 - n0) * batch_size / (t1 - t0):,.0f} images/s{self.said}"
        )

    def arrays(self):
        """{name: array}, one entry a step; NaN where a number was not measured."""
        names = dict.fromkeys(name for part in self.parts for name in part)
        nan = [np.full(len(part["step"]), np.nan) for part in self.parts]
        return {n: np.concatenate([p.get(n, gap) for p, gap in zip(self.parts, nan, strict=True)]) for n in names}


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
        """What the reader's callback returns. It may be cut short: the state is safe meanwhile."""
        self.raising = True
        try:
            return callback(state)
        except KeyboardInterrupt:
            self.noted = True
        finally:
            self.raising = False


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
