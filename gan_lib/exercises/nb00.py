"""Notebook 00, start here: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import EDGES, hold, nearly, traced
from gan_lib.exercises.compare import fit


def close(got, expected, atol=1e-5):
    """Whether two pytrees agree in structure, shapes and values; False where they cannot be compared."""
    try:
        same(got, expected, rtol=1e-4, atol=atol)
    except Mistake:
        return False
    return True


def two(got, first, second):
    """The two entries of `got`, or a Mistake that says what was to be returned."""
    if not isinstance(got, tuple | list) or len(got) != 2:
        raise Mistake(f"Return two things, `{first}, {second}`, in this order.")
    return got


# --- 00.sgd_step ----------------------------------------------------------------------------------------------------


def check_sgd_step(fn):
    """A parabola of one number; random bowls over a dictionary of arrays, whose gradients are known; then a scan."""

    def parabola(w):
        return (w - 3.0) ** 2

    w = jnp.float32(1.5)
    try:
        new, value = two(fn(parabola, w, 0.1), "new_params", "value")
    except TypeError as error:
        if "'function'" in str(error):
            raise Mistake("`jax.grad(loss)` is a function too: call it on `params` to get the gradient.") from None
        if "iterat" in str(error) or "0-d" in str(error):
            raise Mistake(
                "It fails for params that are one number: you go through them as through a dictionary. `jax.tree.map` "
                "serves a number and a dictionary alike."
            ) from None
        raise
    _name_sgd_mistakes(new, value, params=w, grads=jnp.float32(-3.0), rate=0.1, before=2.25, loss=parabola)
    same(new, jnp.float32(1.8), inputs={"params": w, "gradient": -3.0, "rate": 0.1}, what="new parameter")
    same(value, jnp.float32(2.25), inputs={"params": w}, what="value")

    rng = np.random.default_rng(0)
    for features, rate in [(3, 0.5), (2, 0.01)]:
        params = {"w": jnp.asarray(rng.normal(size=features), jnp.float32), "b": jnp.float32(rng.normal())}
        target = {"w": jnp.asarray(rng.normal(size=features), jnp.float32), "b": jnp.float32(rng.normal())}

        def bowl(p, target=target):
            return ((p["w"] - target["w"]) ** 2).sum() + 2 * (p["b"] - target["b"]) ** 2

        try:
            new, value = two(fn(bowl, params, rate), "new_params", "value")
        except (TypeError, AttributeError):
            raise Mistake(
                "It works for one number and fails for a dictionary of arrays: `params - rate * grads` means nothing for "
                "a dict. `jax.tree.map` applies a function to every array of one, or leaf by leaf of several."
            ) from None
        grads = {"w": 2 * (params["w"] - target["w"]), "b": 4 * (params["b"] - target["b"])}
        expected = {name: params[name] - rate * grads[name] for name in params}
        if close(new, {name: params[name] - 0.1 * grads[name] for name in params}):
            raise Mistake(f"Your step is one of rate 0.1, and `rate` is {rate}: use the argument.")
        same(new, expected, inputs={"rate": rate, "params['w']": params["w"]}, what="new params")
        same(value, bowl(params), inputs={"rate": rate}, what="value")
    if jnp.result_type(new["w"]) != jnp.float32:
        raise Mistake(f"float32 parameters come back as {jnp.result_type(new['w'])}: a carry of `scan` keeps its type.")

    path, values, w = [], [], 0.0
    for _ in range(3):
        path, values, w = [*path, w], [*values, np.cosh(w - 1)], w - 0.3 * np.sinh(w - 1)

    def descend(w, _):
        new, value = two(fn(lambda w: jnp.cosh(w - 1.0), w, 0.3), "new_params", "value")
        return new, (w, value)

    with traced("`scan`, in the next cell"):
        got = jax.lax.scan(descend, jnp.float32(0), length=3)
    same(
        got, (np.float32(w), (np.float32(path), np.float32(values))), rtol=1e-4, what="result of three steps in `scan`"
    )


def _name_sgd_mistakes(new, value, *, params, grads, rate, before, loss):
    for wrong, message in (
        (params + rate * grads, "Your step goes uphill: the gradient points where the loss grows. Subtract it."),
        (params - grads, "Your step has full length: multiply the gradient by `rate`."),
        (grads, "You return the gradient where the new parameters belong: params − rate·gradient."),
        (-rate * grads, "You return the change alone. Add it to the parameters."),
        (params - rate * jnp.sign(grads), "You step by the gradient's sign. Its size counts too."),
        (params - grads / rate, "You divide the gradient by `rate`. Multiply."),
        (params - rate * before, "You step by the value of the loss. Step by its gradient."),
        (
            (new_params := params - rate * grads) - rate * jax.grad(loss)(new_params),
            "You take two steps. Return after one.",
        ),
        (
            jnp.float32(before),
            "The order is swapped: `jax.value_and_grad` gives (value, gradient); return (params, value).",
        ),
        (params, "The parameters come back unchanged. JAX arrays never change in place: return the new ones."),
    ):
        if close(new, wrong):
            raise Mistake(message)
    if close(value, grads):
        raise Mistake(
            "The second thing is the gradient. Return the loss: `jax.value_and_grad` gives (value, gradient)."
        )
    if close(value, loss(params - rate * grads)):
        raise Mistake("The value is the loss *after* the step. Return the one before it: `jax.value_and_grad` has it.")


@define(
    "00.sgd_step",
    difficulty=1,
    minutes=4,
    check=check_sgd_step,
    hints=(
        "`jax.value_and_grad(loss)` is a function. Called on `params` it gives the value and the gradient in one pass.",
        "The gradient has the same structure as `params`: a number for a number, a dictionary for a dictionary. "
        "`jax.tree.map(f, params, grads)` calls f on each pair of arrays.",
        "`value, grads = jax.value_and_grad(loss)(params)`, then `jax.tree.map(lambda p, g: p - rate * g, params, grads)`.",
    ),
)
def sgd_step(loss, params, rate):
    """One step of gradient descent: (new params, the loss before it).

    params: a number or any pytree.
    """
    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - rate * g, params, grads), value


# --- 00.discriminator_loss ------------------------------------------------------------------------------------------


def check_discriminator_loss(fn):
    """Random logits of random sizes against float64, then those at which a sigmoid is 0, ½ or 1; under `grad` and `jit`."""
    rng = np.random.default_rng(1)
    for n_real, n_fake in [(3, 7), (4, 4), (2, 1), (1, 1)]:
        real, fake = (jnp.asarray(rng.normal(0, 3, n), jnp.float32) for n in (n_real, n_fake))
        on_real, on_fake = np.logaddexp(0, -np.float64(real)), np.logaddexp(0, np.float64(fake))
        expected = on_real.mean() + on_fake.mean()
        try:
            got = fn(real, fake)
        except (TypeError, ValueError):
            if n_real == n_fake:
                raise
            continue  # as many real as fake, says the notebook: to pair them up is right, and fails aloud where it is not
        for wrong, message in (
            (
                -expected,
                "The sign is flipped: you return what the discriminator should *maximise*. A loss is minimised.",
            ),
            (
                np.logaddexp(0, np.float64(real)).mean() + np.logaddexp(0, -np.float64(fake)).mean(),
                "Real and fake are swapped: your loss is small where D calls the fakes real.",
            ),
            (on_real.sum() + on_fake.sum(), "You sum over the batch. Take the mean over real plus the mean over fake."),
            (
                np.concatenate([on_real, on_fake]).mean(),
                "You average over all samples together. The loss is a mean over real *plus* a mean over fake: twice that.",
            ),
            (
                2 * np.concatenate([on_real, on_fake]).mean(),
                "Right for as many real as fake only. The loss is a mean over real *plus* a mean over fake.",
            ),
            (expected / 2, "You return half the loss: it is the *sum* of the two means."),
            (
                on_real.mean() + np.logaddexp(0, -np.float64(fake)).mean(),
                "Your second term is −log D on the fakes: D would gain by calling them real. It is −log(1 − D).",
            ),
            (
                np.logaddexp(0, -np.float64(real).mean()) + np.logaddexp(0, np.float64(fake).mean()),
                "You average the logits, then take the log. The mean comes last: of the loss of each sample.",
            ),
            (expected / np.log(2), "You measure in bits (log base 2). Here every log is natural."),
            (on_real.mean(), "The fakes do not count in your loss: the second mean is missing."),
            (on_fake.mean(), "The real samples do not count in your loss: the first mean is missing."),
            (on_real.mean() - on_fake.mean(), "You subtract the fakes' half. D loses by both: add them."),
            (on_fake.mean() - on_real.mean(), "The sign of the real half is flipped: −log σ is never below 0."),
        ):
            if close(got, np.float32(wrong)) and not close(np.float32(wrong), np.float32(expected)):
                raise Mistake(message)
        nearly(got, expected)
        same(got, jnp.float32(expected), inputs={"real_logits": real, "fake_logits": fake}, atol=1e-5, what="loss")
    s, n = EDGES, len(EDGES)
    slope = 1 / (1 + np.exp(-np.float64(s))) / n
    with traced("`grad` and `jit`"):
        value, slopes = jax.jit(jax.value_and_grad(fn, argnums=(0, 1)))(jnp.asarray(-s), jnp.asarray(s))
    expected = 2 * np.logaddexp(0, np.float64(s)).mean()
    hold(value, slopes[1], s, expected, slope, "loss")
    hold(value, slopes[0], -s, expected, -slope, "loss")


@define(
    "00.discriminator_loss",
    difficulty=1,
    minutes=4,
    check=check_discriminator_loss,
    hints=(
        "Write σ(s) = 1/(1 + e⁻ˢ) into −log σ(s) and simplify before you write any code.",
        "−log σ(s) = log(1 + e⁻ˢ) = softplus(−s), and 1 − σ(s) = σ(−s). `jax.nn.softplus` computes it without overflow.",
        "`softplus(-real_logits).mean() + softplus(fake_logits).mean()`.",
    ),
)
def discriminator_loss(real_logits, fake_logits):
    """−mean log σ(real) − mean log(1 − σ(fake)).

    Finite, with the right gradient, for logits of any size.
    """
    softplus = jax.nn.softplus
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


# --- 00.step_keys ---------------------------------------------------------------------------------------------------


_DENSE = np.arange(2100)
_FAR = np.array([3000, 4000, 4095, 4096, 4097, 5000, 8192, 10_000, 10_001, 16_384, 20_000])


def check_step_keys(fn):
    """Thousands of steps: no key equal to another, to its parent or to a child of another; the same traced and not."""
    parent = jax.random.key(7)
    steps = [_keys(fn(parent, step)) for step in range(12)]
    for i in range(3):
        first, *others = (_bits(keys[i]) for keys in steps)
        if first != _bits(parent) and all(other == first for other in others):
            raise Mistake(f"Key {i} is the same at each step: every step would see the same noise. Fold `step` in.")
    _all_new(parent, dict(enumerate([[_bits(key) for key in keys] for keys in steps])))
    for i, key in enumerate(steps[0]):
        children = {
            tuple(c) for c in _all_bits(jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(1100))).tolist()
        }
        children |= {_bits(c) for n in (2, 3, 4) for c in jax.random.split(key, n)}
        if any(_bits(other) in children for other in steps[0]):
            raise Mistake(
                f"Key {i} is the parent of another one you return. A key is either split or drawn from, never both: "
                "split once into three, and return only children."
            )
    if [_bits(key) for key in _keys(fn(parent, 3))] != [_bits(key) for key in steps[3]]:
        raise Mistake("Two calls with the same key and step give different keys: a run could not be repeated.")
    for i, (key, other) in enumerate(zip(_keys(fn(jax.random.key(8), 3)), steps[3], strict=True)):
        if _bits(key) == _bits(other):
            raise Mistake(
                f"Key {i} does not depend on `key`: every seed would give the same run. Your keys do not depend on `key` "
                "unless you derive each of them from it."
            )
    traced_keys = jax.jit(jax.vmap(lambda step: jnp.stack([jax.random.key_data(k) for k in _keys(fn(parent, step))])))
    try:
        many = {
            step: bits
            for some in (_DENSE, _FAR)
            for step, bits in zip(some, np.asarray(traced_keys(some)), strict=True)
        }
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError, TypeError):
        raise Mistake(
            "It fails inside `jax.jit`, where `step` is traced: neither `range(step)`, `if`, `int` nor a length can use it. "
            "`jax.random.fold_in(key, step)` can."
        ) from None
    many = {int(step): [tuple(key) for key in bits.tolist()] for step, bits in many.items()}
    if many[3] != [_bits(key) for key in steps[3]]:
        raise Mistake("Under `jax.jit` your function gives other keys than outside it.")
    _all_new(parent, many)


def _keys(got):
    """The three keys in `got`, as a list; it is unpacked, so that any iterable will do."""
    keys = list(got) if hasattr(got, "__iter__") and (not isinstance(got, jax.Array) or got.ndim) else [got]
    if not all(isinstance(k, jax.Array) and jnp.issubdtype(k.dtype, jax.dtypes.prng_key) and not k.ndim for k in keys):
        raise Mistake("Return keys, as `jax.random.split` and `jax.random.fold_in` give them; these are other things.")
    if len(keys) != 3:
        raise Mistake(f"Return three keys, for latents, dropout and data; you return {len(keys)}.")
    return keys


def _bits(key):
    return tuple(_all_bits(key).tolist())


def _all_bits(keys):
    return np.asarray(jax.random.key_data(keys))


def _all_new(parent, steps):
    """No two of the keys are equal; steps: {step: the three}. Otherwise a Mistake that says what it looks like."""
    seen = {_bits(parent): (None, None)}
    for step, keys in steps.items():
        for i, key in enumerate(keys):
            use, earlier = seen.setdefault(key, (i, step))
            if (use, earlier) == (i, step):
                continue
            equals = f"Key {i} of step {step} equals key {use} of step {earlier}:"
            if use is None:
                raise Mistake(
                    f"Key {i} of step {step} is `key` itself, from which the others come. Once split or folded, a key has "
                    "done its work: return only children."
                )
            if earlier == step:
                raise Mistake(f"{equals} two draws of one step would be the same noise. Split into three.")
            if use == i:
                raise Mistake(
                    f"{equals} both steps would see the same noise. Is there a `%`, a `//`, an index that runs out, or a "
                    "number that is rounded? `jax.random.fold_in(key, step)` tells all steps apart."
                )
            raise Mistake(
                f"{equals} `step` plus a number meets itself some steps later. Fold `step` in first, alone, then split the "
                "key that comes out."
            )


@define(
    "00.step_keys",
    difficulty=2,
    minutes=5,
    check=check_step_keys,
    hints=(
        "Two things to separate: one step from the next, and three uses within a step. One function does each.",
        "`jax.random.fold_in(key, step)` is a key that belongs to this step, also where `step` is traced.",
        "Split that key: `jax.random.split(jax.random.fold_in(key, step), 3)`.",
    ),
)
def step_keys(key, step):
    """Three keys (latents, dropout, data) for one training step.

    Never used in another. step: a whole number.
    """
    return jax.random.split(jax.random.fold_in(key, step), 3)


# --- 00.train_forward -----------------------------------------------------------------------------------------------


class _Normed(nnx.Module):
    def __init__(self, kernel):
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(*kernel.shape, kernel_init=lambda *_: jnp.asarray(kernel), rngs=rngs)
        self.norm = nnx.BatchNorm(kernel.shape[1], momentum=0.9, epsilon=1e-5, rngs=rngs)

    def __call__(self, x):
        return jnp.tanh(self.norm(self.first(x))).sum(-1)


def check_train_forward(fn):
    """A small network with BatchNorm: logits of training mode, statistics moved once, by the rule, inputs untouched.

    Then a module taken apart in evaluation mode, and two steps of training in one scan, as in the notebook.
    """
    rng = np.random.default_rng(4)
    kernel, x = (rng.normal(2, 1, size=shape).astype(np.float32) for shape in [(2, 4), (16, 2)])
    model = _Normed(kernel)
    graph, params, stats = nnx.split(model, nnx.Param, ...)
    hidden = x @ kernel
    before, batch = {"mean": np.zeros(4), "var": np.ones(4)}, {"mean": hidden.mean(0), "var": hidden.var(0)}
    once = {name: 0.9 * before[name] + 0.1 * batch[name] for name in batch}
    twice = {name: 0.9 * once[name] + 0.1 * batch[name] for name in batch}
    training = np.tanh((hidden - batch["mean"]) / np.sqrt(batch["var"] + 1e-5)).sum(-1)
    evaluation = np.tanh(hidden / np.sqrt(1 + 1e-5)).sum(-1)

    logits, new = two(fn(graph, params, stats, jnp.asarray(x)), "logits", "new_stats")
    if isinstance(logits, nnx.State):
        raise Mistake("The order is swapped: return logits, new_stats.")
    if not close(_statistics(stats), before):
        raise Mistake(
            "The statistics that came in were changed in place; inside `jax.grad` that is a TraceContextError. "
            "Work on a copy: `nnx.merge(..., copy=True)`."
        )
    if isinstance(new, nnx.Module):
        raise Mistake("You return the module. Its BatchNorm statistics are `nnx.state(module, nnx.BatchStat)`.")
    if close(logits, evaluation, atol=1e-3):
        raise Mistake("These are the logits of evaluation mode: the running statistics were used, and never move.")
    same(logits, training, inputs={"x": x}, rtol=1e-3, atol=1e-3, what="array of logits")
    got = _statistics(new)
    for wrong, message in (
        (before, "The statistics come back as they went in: the update stayed on the merged module. Return its state."),
        (
            {name: 0.9 * before[name] + 0.1 * once[name] for name in batch},
            "You blend the statistics once more: the module has already done it. Read its own.",
        ),
        (batch, "You return the batch's own mean and variance. The module has already blended them in: read it."),
        (twice, "The statistics moved twice: call the module once, and read logits and statistics after that call."),
    ):
        if close(got, wrong, atol=1e-3):
            raise Mistake(message)
    same(got, once, inputs={"x": x}, rtol=1e-3, atol=1e-3, what="running statistics")
    model.eval()
    logits, new = two(fn(nnx.split(model, nnx.Param, ...)[0], params, stats, jnp.asarray(x)), "logits", "new_stats")
    if close(logits, evaluation, atol=1e-3) or not close(_statistics(new), once, atol=1e-3):
        raise Mistake(
            "A module that was taken apart after `model.eval()` comes back in evaluation mode, and yours leaves it there. "
            "The exercise asks for training mode in any case: after `nnx.merge`, call `module.train()`."
        )
    if jax.tree.structure(new) != jax.tree.structure(stats):
        raise Mistake(
            f"new_stats, a {type(new).__name__}, is built unlike the stats that came in, and `scan` carries one to the next "
            "step. Return `nnx.state(module, nnx.BatchStat)`."
        )

    def two_steps(forward):
        def step(carry, x):
            params, stats = carry

            def objective(params):
                logits, new = forward(graph, params, stats, x)
                return (logits * jnp.arange(8.0)).mean(), new

            (_, stats), grads = jax.value_and_grad(objective, has_aux=True)(params)
            return (jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), stats), grads

        (_, last), grads = jax.lax.scan(step, (params, stats), jnp.asarray(x).reshape(2, 8, 2))
        return jax.tree.leaves(grads), jax.tree.leaves(last)

    with traced("`grad`, `scan` and `jit`, which is how a D is trained below"):
        (grads, last), (right, moved) = jax.jit(lambda: (two_steps(fn), two_steps(train_forward)))()
    if not any(np.any(g) for g in grads):
        raise Mistake("Logits and statistics are right, but no gradient reaches `params`: is there a stop_gradient?")
    same(grads, right, rtol=1e-3, atol=1e-4, what="gradients of two training steps")
    same(last, moved, rtol=1e-3, atol=1e-4, what="statistics after two training steps")


def _statistics(state):
    """{"mean": …, "var": …} of a state that holds these two and nothing else; a Mistake for any other thing."""
    try:
        tree = nnx.to_pure_dict(state)
        found = {name: np.asarray(tree["norm"][name]) for name in ("mean", "var")}
    except (KeyError, TypeError, AttributeError):
        raise Mistake(
            f"new_stats is a {type(state).__name__}; return the module's statistics as NNX holds them: "
            "`nnx.state(module, nnx.BatchStat)`."
        ) from None
    if len(jax.tree.leaves(state)) > 2:
        raise Mistake(
            "You return the parameters along with the statistics. `nnx.state(module, nnx.BatchStat)` selects."
        )
    return found


@define(
    "00.train_forward",
    difficulty=3,
    minutes=8,
    check=check_train_forward,
    hints=(
        "A pure function keeps nothing behind your back. What the module changes must leave through the `return`.",
        "`nnx.merge(graph, params, stats, copy=True)` is a fresh module. Call it: the copy updates its statistics. "
        "`nnx.state(module, kind)` reads all arrays of one kind. `module.train()` turns evaluation mode off.",
        "Merge, `module.train()`, `logits = module(x)`, then `return logits, nnx.state(module, nnx.BatchStat)`.",
    ),
)
def train_forward(graph, params, stats, x):
    """One pass in training mode: (logits, the new BatchNorm statistics).

    A pure function: its inputs stay as they are.
    """
    module = nnx.merge(graph, params, stats, copy=True)
    module.train()  # the graph may come from a module in evaluation mode
    logits = module(x)
    return logits, nnx.state(module, nnx.BatchStat)


# --- 00.repaired_step -----------------------------------------------------------------------------------------------


class _Trial:
    """A D that is a line, whose "statistics" are the batch that it last saw: they tell what a step trained it on."""

    half, around, rate = 128, 12.0, 0.5
    optimizer = optax.sgd(0.5, momentum=0.9)

    def __init__(self, scale=1.0, **params):
        self.scale = scale
        self.params = {"w": jnp.array([0.2, -0.5], jnp.float32), "b": jnp.float32(-1.0)} | params
        self.stats = {"seen": jnp.zeros((2 * self.half, 2))}
        self.carry = self.params, self.stats, self.optimizer.init(self.params)

    def forward(self, params, stats, x):
        return self.scale * (x @ params["w"] + params["b"]), {"seen": x}

    def sample(self, key, n):
        return self.around + jax.random.normal(key, (n, 2))

    def __call__(self, fn, key, carry=None):
        """(params, statistics, state of the optimiser, loss) after one step of fn."""
        try:
            carry, value = two(fn(self.forward, self.sample, self.optimizer, carry or self.carry, key), "carry", "loss")
        except FloatingPointError:
            raise Mistake("A NaN comes out: is there a log of a probability?") from None
        if not isinstance(carry, tuple | list) or len(carry) != 3:
            raise Mistake("The first thing to return is the next carry: (params, stats, opt).")
        return (*carry, value)

    def right(self, x):
        """The loss and its gradient on the batch x, in float64: real points are those around 12."""
        x, y = np.float64(x), (np.float64(x)[:, 0] > self.around / 2) * 1.0
        s = self.scale * (x @ np.float64(self.params["w"]) + np.float64(self.params["b"]))
        slope = self.scale * (1 / (1 + np.exp(-np.clip(s, -700, 700))) - y) / len(s)
        return s, y, (np.logaddexp(0, s) - y * s).mean(), {"w": slope @ x, "b": slope.sum()}


def check_repaired_step(fn):
    """One step, of small and then of huge logits, against float64; its keys, statistics and optimiser; then three in a scan."""
    trial, key = _Trial(), jax.random.key(11)
    params, stats, opt, value = trial(fn, key)
    fit(value, np.float32(0), "loss")
    if not np.isfinite(value):
        raise Mistake(f"The loss is not finite, but {float(value)}: is there a log of a probability?")
    seen = _batch_seen(trial, stats)
    _keys_apart(trial, fn, key, seen)
    s, y, expected, grads = trial.right(seen)
    pairs = (np.logaddexp(0, s) - y.mean() * s).mean()
    for wrong, message in (
        (
            pairs,
            "The loss is one over all pairs: logits (256,) meet labels (256, 1), and (256, 256) comes out. Labels are to be "
            "(256,), too.",
        ),
        (
            (np.logaddexp(0, s) - (1 - y) * s).mean(),
            "The labels are swapped: 1 is real, and real points come first in x.",
        ),
        (len(s) * expected, "You sum over the batch. The loss is the mean."),
        (-expected, "The sign is flipped: D minimises its loss."),
    ):
        if close(value, np.float32(wrong)) and not np.isclose(wrong, expected):
            raise Mistake(message)
    if close(value, np.float32(2 * expected)):  # a mean over real plus a mean over fake, as in 00.2: as good
        expected, grads = 2 * expected, {name: 2 * g for name, g in grads.items()}
    same(value, np.float32(expected), rtol=1e-4, what="loss of this step")
    moved = {name: np.float32(np.asarray(trial.params[name]) - trial.rate * g) for name, g in grads.items()}
    for wrong, message in (
        (trial.params, "The parameters come back unchanged: return those that `apply_updates` gives."),
        (
            {name: np.asarray(trial.params[name]) + trial.rate * g for name, g in grads.items()},
            "The parameters move uphill: Optax's updates are to be added, and already have their sign.",
        ),
    ):
        if close(params, wrong):
            raise Mistake(message)
    same(params, moved, rtol=1e-3, atol=1e-4, what="new params")
    if jax.tree.structure(opt) != jax.tree.structure(trial.carry[2]):
        raise Mistake("The third entry of the carry is the optimiser's state: that which `adam.update` returns.")
    if close(opt, trial.carry[2]):
        raise Mistake("The optimiser's state comes back as it was: return the one that `adam.update` gives.")

    huge = _Trial(scale=100.0)
    _, stats, _, value = huge(fn, key)
    s, y, expected, _ = huge.right(_batch_seen(huge, stats))
    if not any(close(value / expected, np.float32(times), atol=1e-3) for times in (1, 2)):
        raise Mistake(
            f"Right for small logits, but the loss is {float(value):.4g} instead of {expected:.4g} where they reach "
            f"±{abs(s).max():.0f}: the log of a probability that rounds to 0, or an ε or a clip that hides it. Take the loss "
            "from the logits."
        )

    def scanned(carry, key):
        *carry, value = trial(fn, key, carry)
        return tuple(carry), (value, carry[1]["seen"])

    with traced("`scan` and `jit`, where D is trained"):
        keys = jax.random.split(key, 3)
        _, (values, batches) = jax.jit(lambda: jax.lax.scan(scanned, trial.carry, keys))()
    if not np.isfinite(values).all():
        raise Mistake(f"The losses of three steps in `scan` are not finite: {np.asarray(values)}.")
    if close(batches[0], batches[1]):
        raise Mistake("Every step sees the same batch: your points do not depend on the `key` of the step.")
    for real, of in ((True, "real points"), (False, "fakes")):
        first, second = (x[(x[:, 0] > trial.around / 2) == real] for x in np.asarray(batches[:2]))
        if close(first, second):
            raise Mistake(f"Every step sees the same {of}: they do not depend on the `key` of the step.")


def _batch_seen(trial, stats):
    """The batch in the new statistics, or a Mistake that says what became of them."""
    if not isinstance(stats, dict) or "seen" not in stats:
        raise Mistake("The second entry of the carry is the statistics, the second thing that `forward` returns.")
    seen = np.asarray(stats["seen"])
    if not seen.any():
        raise Mistake(
            "The statistics come back as they went in: what `forward` returns beside the logits is lost, the running means "
            "stay 0, and evaluation uses wrong ones. The auxiliary output of `value_and_grad` has the new ones."
        )
    if seen.shape != (2 * trial.half, 2):
        raise Mistake(
            f"`forward` saw points of shape {seen.shape}. Leave it all {2 * trial.half} at once: BatchNorm's mean is that of "
            "real and fake points together."
        )
    return seen


def _keys_apart(trial, fn, key, seen):
    real = seen[:, 0] > trial.around / 2
    if real.sum() != trial.half:
        raise Mistake(f"{trial.half} real points, from `sample`, and as many fakes are asked for.")
    one, other = seen[real] - trial.around, seen[~real] / 0.5
    message = (
        "One key draws the real points and the fakes, so their noise is the same: one key, one use. Split it into two."
    )
    if abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) > 0.5:
        raise Mistake(message)
    try:
        with jax.debug_key_reuse(True):
            jax.jit(lambda key: trial(fn, key))(key)  # jax 0.7.2 does not look at calls of what is compiled already
    except jax.errors.KeyReuseError:
        raise Mistake(
            "JAX's own watch, `jax.debug_key_reuse`, finds a key that is used twice: drawn from and split, say. Split once, "
            "and use only the children."
        ) from None
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        pass  # it cannot be traced, which is told below
    if not 0.4 < seen[~real].std() < 0.6 or abs(seen[~real].mean()) > 0.3:
        raise Mistake("Leave the fakes as they were: 0.5 times a normal draw, around 0.")


@define(
    "00.repaired_step",
    difficulty=2,
    minutes=10,
    check=check_repaired_step,
    hints=(
        "Go through the notebook's bugs one by one. Does the step take the log of a probability? Who uses `key`, and how "
        "often? Which shapes meet in the loss? What does `forward` return, and where does it go?",
        "All four are there. Write the shape of `logits` and of `labels` beside their lines; follow `key` and `new_stats` to "
        "where they are last used.",
        "`real_key, fake_key = jax.random.split(key)`; labels `jnp.repeat(jnp.array([1.0, 0.0]), 128)`; the loss "
        "`optax.sigmoid_binary_cross_entropy(logits, labels).mean()`; `(value, stats), grads = …`.",
    ),
)
def repaired_step(forward, sample, adam, carry, key):
    """One step of D: (the next carry, its loss).

    forward(params, stats, x): (logits (B,), new statistics).
    sample(key, n): n real points. carry: (params, stats, opt).
    """
    params, stats, opt = carry
    real_key, fake_key = jax.random.split(key)
    fake = 0.5 * jax.random.normal(fake_key, (128, 2))
    x = jnp.concatenate([sample(real_key, 128), fake])
    labels = jnp.repeat(jnp.array([1.0, 0.0]), 128)

    def objective(params):
        logits, new_stats = forward(params, stats, x)
        losses = optax.sigmoid_binary_cross_entropy(logits, labels)
        return losses.mean(), new_stats

    value_and_grad = jax.value_and_grad(objective, has_aux=True)
    (value, stats), grads = value_and_grad(params)
    updates, opt = adam.update(grads, opt)
    return (optax.apply_updates(params, updates), stats, opt), value


# --- 00.point_gradients ---------------------------------------------------------------------------------------------


def check_point_gradients(fn):
    """A bowl and a small random network, whose gradients are known; then 500 points inside scan, as in the notebook."""
    rng = np.random.default_rng(3)
    first, last = (rng.normal(size=shape).astype(np.float32) for shape in [(2, 8), (8,)])

    def bowl(x):
        return (_batch(x) ** 2 * jnp.array([0.5, 1.5])).sum(-1)

    def network(x):
        return jnp.tanh(_batch(x) @ first) @ last

    for n in (5, 1):
        x = rng.normal(size=(n, 2)).astype(np.float32)
        try:
            got = fn(bowl, jnp.asarray(x))
        except TypeError as error:
            if "scalar-output" not in str(error):
                raise
            raise Mistake(
                f"`jax.grad` needs a function whose result is one number. (JAX: {error}) "
                "Which one number, made of all scores, has every point's gradient in its own?"
            ) from None
        _compare_gradients(got, x * np.float32([1.0, 3.0]), x)
        slope = 1 - np.tanh(x @ first) ** 2
        _compare_gradients(fn(network, jnp.asarray(x)), (slope * last) @ first.T, x)

    x, calls = rng.normal(size=(500, 2)).astype(np.float32), []

    def counted(first, points):
        calls.append(points.shape)
        if len(calls) > 100:
            raise Mistake(
                "Right for a few points, but your loop calls `score` for each one. The last cell runs it on 500 points inside "
                "`scan`, which compiles every turn of a Python loop anew, for minutes. The gradient of the *sum* of the "
                "scores needs one call, as does `jax.vmap`."
            )
        return jnp.tanh(_batch(points) @ first) @ last

    def move(x, first):
        return x + 0.01 * fn(lambda x: counted(first, x), x), None

    with traced("`scan` and `jit`, which move the fakes"):
        moved, _ = jax.jit(lambda x: jax.lax.scan(move, x, jnp.asarray(first)[None]))(jnp.asarray(x))
    _compare_gradients((moved - x) / 0.01, ((1 - np.tanh(x @ first) ** 2) * last) @ first.T, x, atol=1e-3)


def _batch(x):
    if jnp.ndim(x) != 2:
        raise Mistake(
            f"`score` was called on an array of shape {jnp.shape(x)}. It takes a batch (B, 2) and returns (B,), as a "
            "network does: either differentiate the sum of its scores, or give it `point[None]`."
        )
    return x


def _compare_gradients(got, expected, x, atol=1e-5):
    n = len(x)
    if isinstance(got, tuple) and n > 1 and [np.shape(part) for part in got] in ([(n, 2)], [(), (n, 2)]):
        raise Mistake(f"You return a tuple of {len(got)}, as `jax.vjp` and `value_and_grad` do. Return its last entry.")
    if np.shape(got) == (n, n, 2):
        raise Mistake(
            "You return every score's derivative by every point, (B, B, 2): B times too much, and 0 where the two differ. "
            "A point's score depends on that point alone, so the gradient of the *sum* has all you want."
        )
    if np.shape(got) == (n,):
        raise Mistake("You return one number a point. The gradient has one for each coordinate: (B, 2).")
    if np.shape(got) == np.shape(expected) and n > 1:
        length = np.linalg.norm(expected, axis=1, keepdims=True)
        for wrong, message in (
            (
                expected / n,
                f"Each gradient is 1/{n} of its own: you differentiate the mean over the batch. Take the sum.",
            ),
            (x + expected, "You return the moved points. Return the gradients alone."),
            (-expected, "The sign is flipped: return the gradient itself, which points where the score grows."),
            (expected / length, "Your gradients all have length 1. Their length matters: return them as they are."),
            (np.where(np.arange(n)[:, None] == 0, expected, 0), "Only the first point gets its gradient."),
            (np.broadcast_to(expected.sum(0), (n, 2)), "Every point gets the same: the sum of all gradients."),
        ):
            if close(got, np.float32(wrong), atol=max(atol, 1e-4)):
                raise Mistake(message)
    same(got, expected, inputs={"x": x}, rtol=1e-4, atol=atol, what="gradient")


@define(
    "00.point_gradients",
    difficulty=2,
    minutes=5,
    check=check_point_gradients,
    hints=(
        "`jax.grad` needs a function with *one* number as result, and `score` returns B of them. Which one number will do?",
        "Score i depends on point i alone. So in the gradient of the sum of scores, row i is the gradient of score i.",
        "`jax.grad(lambda x: score(x).sum())(x)`.",
    ),
)
def point_gradients(score, x):
    """The gradient of each point's score with respect to that point.

    x (B, 2), score (B, 2) -> (B,), result (B, 2).
    """
    return jax.grad(lambda x: score(x).sum())(x)
