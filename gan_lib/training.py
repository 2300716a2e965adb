"""One loop, `fit`, that trains any model: batches, a bar, a history, checkpoints, interrupts, and what went wrong.

A *model* is an object with

    init(key) -> state                                 the arrays at the start
    step(state, batch, key) -> (state, metrics)        pure; metrics are named scalars

and whatever else it can do, such as `sample`. A *state* is a pytree with `step`, the number of updates made; what it learns
is best called `params`, one field for each network. `GAN` (gan.py) is such a model; README.md has one in fifteen lines.
Where there are such methods, check(data) may refuse data or return a remark, and describe(means) gives the bar its words.
"""

import os
import sys
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from gan_lib.arrays import as_data, check_key
from gan_lib.device import check_room, chunk_for, compiler_options, is_convolutional
from gan_lib.experiment import RunFile, describe
from gan_lib.history import History, diagnosis, interruption
from gan_lib.interrupts import Interrupt
from gan_lib.mesh import any_process, check_mesh, dealt, everywhere, shared
from gan_lib.stream import Stream, is_stream

BAR = "{l_bar}{bar:16}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


def fit(
    model: Any,
    state: Any,
    data: Any,
    *,
    steps: int,
    key: jax.Array,
    batch_size: int = 128,
    chunk: int | None = None,
    every: int | None = None,
    callback: Callable[[Any], Any] | None = None,
    checkpoint: str | os.PathLike | None = None,
    mesh: jax.sharding.Mesh | None = None,
    progress: bool = True,
) -> tuple[Any, dict[str, np.ndarray]]:
    """Train a model for `steps` updates on random batches of `data`.

    data: an array (N, ...), or a pytree of arrays with a common first axis, such as (images, labels). A batch has the same
        structure, with batch_size for N. It lies on the device as it is: uint8 stays uint8. Or an iterator of such batches,
        for data that do not fit there (stream.py): one for each step, whatever batch_size is.
    chunk: steps in one compiled `lax.scan`. Default: `chunk_for(state)`, measured on this device, or somewhat fewer that
        divide `every`: one program less to compile. The bar names it.
    every, callback: callback(state) is called before the first step and after each `every` steps, e.g. to keep samples.
        A dictionary {name: number} that it returns appears beside the bar and in the history, NaN at the steps between.
    checkpoint: a file. State and history are saved there after each `every` steps, after a minute without that, and at the
        end. If it is there already, training goes on from it, up to `steps` steps after the `state` given, as if never
        stopped; the callback sees the state at which it goes on. An iterator goes on where it stands: to have the same
        result, give one from which the batches before were taken.
    mesh: devices that share each batch, `data_parallel()` of mesh.py say; their number divides batch_size. The same key
        draws the same batches and latents, so the result is that of one device, up to the order of sums.
    progress: a bar with the model's metrics and samples/s.

    Returns the new state, and a history: arrays of one entry a step, "step", the metrics, and "seconds" since the start.
    The state that comes in is left as it was.

    On one machine the same state, data and key give the same result, resumed or not: bitwise on a CPU. A GPU adds in any
    order, and each step enlarges the difference. With XLA_FLAGS=--xla_gpu_deterministic_ops=true in the environment
    before JAX starts it is bitwise there, too, and a step takes an eighth to a third longer.

    Stops early, says so, and returns what was reached: at an interrupt (Ctrl-C, or the notebook's stop button), at
    the first metric or weight that is not finite, with the last finite state, and when the checkpoint cannot be
    written any more. With a checkpoint, the history is that of all its runs.
    An error in the callback carries what was reached, as its `state` and `history`; the checkpoint has that, too.
    Raises ValueError on what cannot be trained (on), or on a checkpoint of another experiment; OSError if it cannot be
    written at the start.
    """
    stream = Stream(data, mesh) if is_stream(data) else None
    if stream:
        data, batch_size, chunk = stream.first, stream.size, 1
    data = _check(model, state, data, key, steps=steps, batch_size=batch_size, chunk=chunk, every=every)
    check_mesh(mesh, batch_size)
    placed = everywhere(mesh, dict(data=data, key=key))
    every = every or steps
    chunk = min(chunk or _that_divides(every, chunk_for(state)), every)
    sizes = dict(batch_size=None if stream else batch_size, mesh=mesh)
    if stream:
        data = jax.tree.map(jnp.zeros_like, data)  # whose checkpoint: of batches like these
    run = partial(_run, model, **placed, **sizes)
    names = _names(model, state, **placed, **sizes, length=next(_lengths(steps, every, chunk)))
    with Interrupt() as interrupt:
        first = int(state.step)
        file = RunFile(checkpoint, partial(describe, model, state, data, key, batch_size))
        state, past = file.resume(state)
        state = everywhere(mesh, state)
        log = History(names, past, getattr(model, "describe", None))
        done = int(state.step) - first
        failed = None
        if stream:
            stream.start(steps - done)
        bar = tqdm(total=steps, initial=min(done, steps), file=sys.stdout, disable=not progress, bar_format=BAR)
        with bar:
            bar.set_description_str(f"{chunk} at a time", refresh=False)
            try:
                if callback:
                    interrupt.around(callback, state, log, note=done % every == 0)
                for length in _lengths(steps, every, chunk, done):
                    if any_process(interrupt.noted or file.trouble):
                        break
                    if stream and (batch := stream.take()) is None:
                        bar.write(f"The iterator ended after {done:,} of {steps:,} steps.", file=sys.stdout)
                        break
                    state, metrics, failed = run(state, length=length, **dict(data=batch) if stream else {})
                    log.add(metrics)
                    done = int(state.step) - first
                    if done % every == 0 or file.is_due():
                        file.keep(state, log)
                    bar.set_postfix_str(log.summary(batch_size), refresh=False)
                    bar.update(done - bar.n)
                    if failed:
                        break
                    if callback and done % every == 0:
                        interrupt.around(callback, state, log, note=True)
                        bar.set_postfix_str(log.summary(batch_size), refresh=False)
            except Exception as error:  # of the callback, or of the device
                error.state, error.history = state, log.arrays()
                error.add_note(
                    f"fit had reached step {int(state.step):,}. That is with this error, as its .state and .history; in a "
                    "notebook: import sys; sys.last_value.state"
                )
                raise
            finally:
                if stream:
                    stream.stop()
            file.keep(state, log)
            if failed:
                bar.write(diagnosis(first + done + 1, *failed), file=sys.stdout)
            elif done < steps and not file.trouble and not (stream and stream.ended):
                bar.write(interruption(done, steps, checkpoint), file=sys.stdout)
            if not log.clock[1:] and done >= steps:
                bar.write(
                    f"{checkpoint} holds step {first + done:,} already. To go on, ask for more steps.", file=sys.stdout
                )
            if file.trouble:
                bar.write(f"Stopped after {done:,} of {steps:,} steps: {file.trouble}.", file=sys.stdout)
        return state, log.arrays()


# --- what comes in --------------------------------------------------------------------------------------------------


def _check(model, state, data, key, **numbers):
    """Refuse what cannot be trained or trained on, in words, before anything compiles. Returns the data, on the device."""
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
            raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}.")
    if not callable(getattr(model, "step", None)):
        raise ValueError(f"fit trains a model, an object with init and step such as a GAN; got {type(model).__name__}.")
    try:
        hash(model)
    except TypeError as error:
        raise ValueError(
            f"A model must be hashable, to share compiled programs ({error}): tuples for lists, @dataclass(frozen=True)."
        ) from None
    if not hasattr(state, "step"):
        raise ValueError(
            f"state must be what init returns, with its number of updates as `step`; got {type(state).__name__}. "
            "fit returns two things: state, history = fit(...)."
        )
    check_key(key)
    data = as_data(data)
    check_room(data, state)
    data = jax.tree.map(jnp.asarray, data)
    if not _all_finite(data):
        raise ValueError("data hold values that are not finite: look for NaN with np.isnan(x).any().")
    if remark := getattr(model, "check", lambda data: "")(data):
        print(remark)
    return data


@jax.jit
def _all_finite(tree):
    return jnp.all(jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]))


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


# --- some steps -----------------------------------------------------------------------------------------------------


def _advance(model, state, data, key, *, batch_size, length, mesh=None):
    """`length` steps in one compiled program: (state, metrics of shape (length,), which parts' weights are finite).

    Where batch_size is None, `data` are the batch.

    The state is not donated: jax 0.7.2 on a CPU then overwrites weights that a single step has yet to read. And `fit`
    goes back to it when a step fails.
    """
    n = len(jax.tree.leaves(data)[0])

    def one(state, _):
        # The key of a step depends on its number alone, so chunks of any length and resumed runs draw the same.
        batch_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))
        batch = data
        if batch_size:
            chosen = jax.random.randint(batch_key, (batch_size,), 0, n)
            batch = jax.tree.map(lambda x: x[chosen], data)
        with shared(mesh):
            new, metrics = model.step(state, dealt(batch), step_key)
        _check_step(state, new, metrics)
        return everywhere(mesh, new), OrderedDict(metrics)  # jit sorts the names of a plain one

    if length == 1:  # no loop around convolutions: XLA compiles those badly inside one on a CPU
        state, metrics = one(state, None)
        metrics = jax.tree.map(lambda m: m[None], metrics)
    else:
        state, metrics = jax.lax.scan(one, state, length=length)
    # Weights that are not finite stay so: a look at the last ones will do.
    return state, metrics, {part: _finite(weights) for part, weights in _parts(state).items()}


def _check_step(old, new, metrics):
    """Refuse a model whose step cannot be repeated, in words that say what it returned."""
    flat, name_of = jax.tree_util.tree_flatten_with_path, jax.tree_util.keystr
    was, now = ({name_of(p): f"{jnp.asarray(x).dtype}{list(jnp.shape(x))}" for p, x in flat(s)[0]} for s in (old, new))
    for name in sorted(was.keys() | now.keys()):
        if was.get(name) != now.get(name):
            raise ValueError(
                f"step must return a state like the one it was given; at {name} that was {was.get(name, 'nothing')}, and it "
                f"returns {now.get(name, 'nothing')}."
            )
    if not isinstance(metrics, dict) or any(jnp.shape(m) != () for m in metrics.values()):
        shapes = {k: jnp.shape(m) for k, m in metrics.items()} if isinstance(metrics, dict) else type(metrics).__name__
        raise ValueError(f"step must return (state, metrics), with metrics a dictionary of scalars; got {shapes}.")


def _parts(state):
    """{name: arrays} of what is learnt: a field of `params`, or of the state itself, for each network."""
    learnt = getattr(state, "params", state)
    return dict(zip(learnt._fields, learnt, strict=True)) if hasattr(learnt, "_fields") else {"weights": learnt}


def _finite(tree):
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(x).all() for x in floats] or [True]).all()


@lru_cache
def _program(convolutional):
    """`_advance`, compiled; not at import, when the device is still the reader's to choose."""
    static = "model", "batch_size", "length", "mesh"
    return jax.jit(_advance, static_argnames=static, compiler_options=compiler_options(convolutional))


def _names(model, state, data, key, **sizes):
    """{name: array of no steps} of what `_run` measures, without compiling. A model that cannot be trained ends here."""
    metrics = _program(is_convolutional(state)).eval_shape(model, state, data, key, **sizes)[1]
    return {"step": np.arange(0)} | {name: np.zeros(0, m.dtype) for name, m in metrics.items()}


def _run(model, state, data, key, *, batch_size, length, mesh=None):
    """`length` steps, or those before the first that fails: (state, their metrics, the failed one's report or None)."""
    program, sizes = _program(is_convolutional(state)), dict(batch_size=batch_size, mesh=mesh)
    new, metrics, sound = program(model, state, data, key, **sizes, length=length)
    step = int(state.step)
    metrics = {"step": np.arange(step + 1, step + 1 + length)} | {name: np.asarray(m) for name, m in metrics.items()}
    if all(sound.values()) and all(np.isfinite(m).all() for m in metrics.values()):
        return new, metrics, None
    if length == 1:
        last = {name: m[0] for name, m in metrics.items() if name != "step"}
        return state, {name: m[:0] for name, m in metrics.items()}, (last, sound)
    parts = []
    for _ in range(length):  # the chunk again, from its start, to find the step
        state, part, failed = _run(model, state, data, key, **sizes, length=1)
        parts.append(part)
        if failed:
            break
    return state, {name: np.concatenate([part[name] for part in parts]) for name in metrics}, failed
