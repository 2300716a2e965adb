"""Wrong answers to the exercises of notebook 00, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.nn import sigmoid, softplus

# --- sgd_step


def uphill(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p + rate * g, params, grads), value


def dictionaries_only(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return {name: params[name] - rate * grads[name] for name in params}, value


def gradient_not_called(loss, params, rate):
    return params - rate * jax.grad(loss), loss(params)


def full_length(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - g, params, grads), value


def gradient_returned(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return grads, value


def change_returned(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda g: -rate * g, grads), value


def order_swapped(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return value, jax.tree.map(lambda p, g: p - rate * g, params, grads)


def value_after(loss, params, rate):
    new = jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params))
    return new, loss(new)


def numbers_only(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return params - rate * grads, value


def value_forgotten(loss, params, rate):
    return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params))


def unchanged(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    jax.tree.map(lambda p, g: p - rate * g, params, grads)
    return params, value


def value_as_a_float(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - rate * g, params, grads), float(value)


def stepped_in_numpy(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: np.asarray(p) - rate * np.asarray(g), params, grads), value


def looks_at_the_value(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    if value < 0:
        rate = -rate
    return jax.tree.map(lambda p, g: p - rate * g, params, grads), value


def gradient_for_value(loss, params, rate):
    grads = jax.grad(loss)(params)
    return jax.tree.map(lambda p, g: p - rate * g, params, grads), grads


def rate_of_its_own(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value


# --- discriminator_loss


def log_of_sigmoid(real_logits, fake_logits):
    return -jnp.log(sigmoid(real_logits)).mean() - jnp.log(1 - sigmoid(fake_logits)).mean()


def epsilon(real_logits, fake_logits):
    return -jnp.log(sigmoid(real_logits) + 1e-7).mean() - jnp.log(1 - sigmoid(fake_logits) + 1e-7).mean()


def clipped(real_logits, fake_logits):
    real, fake = (jnp.clip(sigmoid(s), 1e-7, 1 - 1e-7) for s in (real_logits, fake_logits))
    return -jnp.log(real).mean() - jnp.log(1 - fake).mean()


def rescued_by_where(real_logits, fake_logits):
    def minus_log_sigmoid(s):
        return jnp.where(s < -15, -s, -jnp.log(sigmoid(s)))

    return minus_log_sigmoid(real_logits).mean() + minus_log_sigmoid(-fake_logits).mean()


def to_maximise(real_logits, fake_logits):
    return -softplus(-real_logits).mean() - softplus(fake_logits).mean()


def swapped(real_logits, fake_logits):
    return softplus(real_logits).mean() + softplus(-fake_logits).mean()


def summed(real_logits, fake_logits):
    return softplus(-real_logits).sum() + softplus(fake_logits).sum()


def averaged_together(real_logits, fake_logits):
    return jnp.concatenate([softplus(-real_logits), softplus(fake_logits)]).mean()


def halved(real_logits, fake_logits):
    return (softplus(-real_logits).mean() + softplus(fake_logits).mean()) / 2


def fakes_forgotten(real_logits, fake_logits):
    return softplus(-real_logits).mean()


def kinked(real_logits, fake_logits):
    def softplus(s):
        return jnp.maximum(s, 0) + jnp.log1p(jnp.exp(-jnp.abs(s)))

    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def overflowing_branch(real_logits, fake_logits):
    def softplus(s):
        return jnp.where(s > 20, s, jnp.log1p(jnp.exp(s)))

    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def large_ones_apart(real_logits, fake_logits):
    def softplus(s):
        return jnp.where(jnp.abs(s) < 80, -jnp.log(1 - sigmoid(jnp.clip(s, -80, 80))), jnp.maximum(s, 0))

    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def fakes_cut(real_logits, fake_logits):
    return softplus(-real_logits).mean() + softplus(jax.lax.stop_gradient(fake_logits)).mean()


def as_many_as_fake(real_logits, fake_logits):
    return 2 * jnp.concatenate([softplus(-real_logits), softplus(fake_logits)]).mean()


# --- step_keys


def step_ignored(key, step):
    return jax.random.split(key, 3)


def one_key_for_all(key, step):
    key = jax.random.fold_in(key, step)
    return key, key, key


def neighbours_meet(key, step):
    return [jax.random.fold_in(key, step + i) for i in range(3)]


def parent_reused(key, step):
    key = jax.random.fold_in(key, step)
    z_key, dropout_key = jax.random.split(key)
    return key, z_key, dropout_key


def parent_itself(key, step):
    return key, *jax.random.split(jax.random.fold_in(key, step))


def seed_from_step(key, step):
    return jax.random.split(jax.random.key(step), 3)


def split_in_a_loop(key, step):
    for _ in range(step):
        key, _ = jax.random.split(key)
    return jax.random.split(jax.random.fold_in(key, 1), 3)


def two_keys(key, step):
    return jax.random.split(jax.random.fold_in(key, step))


def noise_returned(key, step):
    return jax.random.normal(jax.random.fold_in(key, step), (3,))


def thousands_meet(key, step):
    return [jax.random.fold_in(key, step + 1000 * i) for i in range(3)]


def index_runs_out(key, step):
    return jax.random.split(key, (1000, 3))[step]


def wrapped_around(key, step):
    return jax.random.split(jax.random.fold_in(key, step % 1000), 3)


def one_fixed_seed(key, step):
    return *jax.random.split(jax.random.fold_in(key, step)), jax.random.fold_in(jax.random.key(5), step)


# --- point_gradients


def of_the_mean(score, x):
    return jax.grad(lambda x: score(x).mean())(x)


def downhill(score, x):
    return -jax.grad(lambda x: score(x).sum())(x)


def jacobian(score, x):
    return jax.jacrev(score)(x)


def single_points(score, x):
    return jax.vmap(jax.grad(score))(x)


def first_only(score, x):
    return jax.grad(lambda x: score(x)[0])(x)


def unit_length(score, x):
    grads = jax.grad(lambda x: score(x).sum())(x)
    return grads / jnp.linalg.norm(grads, axis=1, keepdims=True)


def lengths_only(score, x):
    return jnp.linalg.norm(jax.grad(lambda x: score(x).sum())(x), axis=1)


def vector_valued(score, x):
    return jax.grad(score)(x)


def floats_in_a_list(score, x):
    gradient = jax.grad(lambda point: score(point[None])[0])
    return jnp.array([[float(v) for v in gradient(point)] for point in x])


def points_in_numpy(score, x):
    gradient = jax.grad(lambda point: score(point[None])[0])
    return jnp.stack([gradient(point) for point in np.asarray(x)])


def loop_over_points(score, x):
    gradient = jax.grad(lambda point: score(point[None])[0])
    return jnp.stack([gradient(point) for point in x])


def moved_points(score, x):
    return x + jax.grad(lambda x: score(x).sum())(x)


def tuple_kept(score, x):
    return jax.vjp(score, x)[1](jnp.ones(len(x)))


# --- train_forward


def statistics_kept(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    return module(x), stats


def evaluation_mode(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    module.eval()
    return module(x), nnx.state(module, nnx.BatchStat)


def no_copy(graph, params, stats, x):
    module = nnx.merge(graph, params, stats)
    return module(x), nnx.state(module, nnx.BatchStat)


def module_returned(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    return module(x), module


def everything_returned(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    return module(x), nnx.state(module)


def called_twice(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    module(x)
    return module(x), nnx.state(module, nnx.BatchStat)


def read_too_early(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    new = jax.tree.map(jnp.copy, nnx.state(module, nnx.BatchStat))
    return module(x), new


def logits_only(graph, params, stats, x):
    return nnx.merge(graph, params, stats, copy=True)(x)


def mode_left_as_it_was(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    return module(x), nnx.state(module, nnx.BatchStat)


def in_training(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    module.train()
    return module(x), nnx.state(module, nnx.BatchStat)


def logits_cut(graph, params, stats, x):
    logits, new = in_training(graph, params, stats, x)
    return jax.lax.stop_gradient(logits), new


def params_cut(graph, params, stats, x):
    return in_training(graph, jax.lax.stop_gradient(params), stats, x)


def blended_twice(graph, params, stats, x):
    logits, new = in_training(graph, params, stats, x)
    return logits, jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, stats, new)


def state_first(graph, params, stats, x):
    return in_training(graph, params, stats, x)[::-1]


# --- repaired_step


def step_of_d(change, forward, sample, adam, carry, key):
    """The step, right but for what `change`, a dictionary, says."""
    params, stats, opt = carry
    real_key, fake_key = change.get("keys", jax.random.split)(key)
    fake = 0.5 * jax.random.normal(fake_key, (128, 2))
    x = jnp.concatenate([sample(real_key, 128), fake])
    labels = change.get("labels", jnp.repeat(jnp.array([1.0, 0.0]), 128))
    loss = change.get("loss", lambda s, y: (softplus(s) - y * s).mean())

    def objective(params):
        logits, new_stats = forward(params, stats, x)
        return loss(logits, labels), new_stats

    (value, new_stats), grads = jax.value_and_grad(objective, has_aux=True)(params)
    updates, new_opt = adam.update(grads, opt)
    new = change.get("apply", optax.apply_updates)(params, updates)
    return (new, change.get("stats", new_stats), change.get("opt", new_opt)), value


def by_log(s, y):
    d = sigmoid(s)
    return -(y * jnp.log(d) + (1 - y) * jnp.log(1 - d)).mean()


def by_log_with_epsilon(s, y):
    d = sigmoid(s)
    return -(y * jnp.log(d + 1e-7) + (1 - y) * jnp.log(1 - d + 1e-7)).mean()


def nothing_mended(forward, sample, adam, carry, key):
    change = {"keys": lambda key: (key, key), "labels": jnp.repeat(jnp.array([[1.0], [0.0]]), 128, axis=0)}
    return step_of_d({**change, "loss": by_log, "stats": carry[1]}, forward, sample, adam, carry, key)


def key_used_twice(forward, sample, adam, carry, key):
    return step_of_d({"keys": lambda key: (key, key)}, forward, sample, adam, carry, key)


def parent_used_too(forward, sample, adam, carry, key):
    return step_of_d({"keys": lambda key: (key, jax.random.split(key)[0])}, forward, sample, adam, carry, key)


def the_same_fakes(forward, sample, adam, carry, key):
    params, stats, opt = carry
    x = jnp.concatenate([sample(key, 128), 0.5 * jax.random.normal(jax.random.key(7), (128, 2))])
    y = jnp.repeat(jnp.array([1.0, 0.0]), 128)

    def objective(params):
        logits, new = forward(params, stats, x)
        return optax.sigmoid_binary_cross_entropy(logits, y).mean(), new

    (value, stats), grads = jax.value_and_grad(objective, has_aux=True)(params)
    updates, opt = adam.update(grads, opt)
    return (optax.apply_updates(params, updates), stats, opt), value


def one_batch_for_all(forward, sample, adam, carry, key):
    return step_of_d({}, forward, sample, adam, carry, jax.random.key(0))


def labels_in_a_column(forward, sample, adam, carry, key):
    labels = jnp.repeat(jnp.array([[1.0], [0.0]]), 128, axis=0)
    return step_of_d({"labels": labels}, forward, sample, adam, carry, key)


def labels_exchanged(forward, sample, adam, carry, key):
    labels = jnp.repeat(jnp.array([0.0, 1.0]), 128)
    return step_of_d({"labels": labels}, forward, sample, adam, carry, key)


def log_left(forward, sample, adam, carry, key):
    return step_of_d({"loss": by_log}, forward, sample, adam, carry, key)


def log_with_epsilon(forward, sample, adam, carry, key):
    return step_of_d({"loss": by_log_with_epsilon}, forward, sample, adam, carry, key)


def statistics_lost(forward, sample, adam, carry, key):
    return step_of_d({"stats": carry[1]}, forward, sample, adam, carry, key)


def state_lost(forward, sample, adam, carry, key):
    return step_of_d({"opt": carry[2]}, forward, sample, adam, carry, key)


def loss_summed(forward, sample, adam, carry, key):
    return step_of_d({"loss": lambda s, y: (softplus(s) - y * s).sum()}, forward, sample, adam, carry, key)


def steps_uphill(forward, sample, adam, carry, key):
    uphill = {"apply": lambda params, updates: jax.tree.map(jnp.subtract, params, updates)}
    return step_of_d(uphill, forward, sample, adam, carry, key)


def params_unmoved(forward, sample, adam, carry, key):
    return step_of_d({"apply": lambda params, updates: params}, forward, sample, adam, carry, key)


def loss_as_a_float(forward, sample, adam, carry, key):
    carry, value = step_of_d({}, forward, sample, adam, carry, key)
    return carry, float(value)


def carry_alone(forward, sample, adam, carry, key):
    return step_of_d({}, forward, sample, adam, carry, key)[0]


def real_and_fake_apart(forward, sample, adam, carry, key):
    params, stats, opt = carry
    real_key, fake_key = jax.random.split(key)
    real, fake = sample(real_key, 128), 0.5 * jax.random.normal(fake_key, (128, 2))

    def objective(params):
        on_real, new_stats = forward(params, stats, real)
        on_fake, new_stats = forward(params, new_stats, fake)
        return (softplus(-on_real).mean() + softplus(on_fake).mean()) / 2, new_stats

    (value, stats), grads = jax.value_and_grad(objective, has_aux=True)(params)
    updates, opt = adam.update(grads, opt)
    return (optax.apply_updates(params, updates), stats, opt), value


WRONG = {
    "00.sgd_step": [
        (uphill, "goes uphill"),
        (dictionaries_only, "for params that are one number"),
        (gradient_not_called, "call it on `params`"),
        (full_length, "by `rate`"),
        (gradient_returned, "return the gradient"),
        (change_returned, "the change alone"),
        (order_swapped, "order is swapped"),
        (value_after, "*after* the step"),
        (numbers_only, "dictionary of arrays"),
        (value_forgotten, "Return two things"),
        (unchanged, "never change in place"),
        (value_as_a_float, "used inside `scan`"),
        (stepped_in_numpy, "NumPy cannot read it"),
        (looks_at_the_value, "a Python `if`"),
        (gradient_for_value, "The second thing is the gradient"),
        (rate_of_its_own, "use the argument"),
    ],
    "00.discriminator_loss": [
        (log_of_sigmoid, "σ rounds to 0 or 1"),
        (epsilon, "takes the gradient from just the samples"),
        (clipped, "takes the gradient from just the samples"),
        (rescued_by_where, "a `where` computes both branches"),
        (to_maximise, "sign is flipped"),
        (swapped, "Real and fake are swapped"),
        (summed, "sum over the batch"),
        (averaged_together, "*plus* a mean over fake"),
        (halved, "half the loss"),
        (fakes_forgotten, "second mean is missing"),
        (kinked, "At a logit of exactly 0"),
        (overflowing_branch, "a `where` computes both branches"),
        (large_ones_apart, "σ rounds to 0 or 1"),
        (fakes_cut, "no gradient reaches"),
        (as_many_as_fake, "as many real as fake only"),
    ],
    "00.step_keys": [
        (step_ignored, "every step would see the same noise"),
        (one_key_for_all, "two draws of one step"),
        (neighbours_meet, "meets itself"),
        (parent_reused, "is the parent of another"),
        (parent_itself, "`key` itself"),
        (seed_from_step, "do not depend on `key`"),
        (split_in_a_loop, "fails inside `jax.jit`"),
        (two_keys, "Return three keys"),
        (noise_returned, "Return keys"),
        (thousands_meet, "`step` plus a number meets itself"),
        (index_runs_out, "an index that runs out"),
        (wrapped_around, "Is there a `%`"),
        (one_fixed_seed, "Key 2 does not depend on `key`"),
    ],
    "00.point_gradients": [
        (of_the_mean, "mean over the batch"),
        (downhill, "sign is flipped"),
        (jacobian, "every score's derivative by every point"),
        (single_points, "takes a batch (B, 2)"),
        (first_only, "Only the first point"),
        (unit_length, "length 1"),
        (lengths_only, "one number a point"),
        (vector_valued, "Which one number"),
        (floats_in_a_list, "used inside `scan` and `jit`"),
        (points_in_numpy, "NumPy cannot read it"),
        (loop_over_points, "calls `score` for each one"),
        (moved_points, "You return the moved points"),
        (tuple_kept, "Return its last entry"),
    ],
    "00.train_forward": [
        (statistics_kept, "come back as they went in"),
        (evaluation_mode, "evaluation mode"),
        (no_copy, "copy=True"),
        (module_returned, "You return the module"),
        (everything_returned, "parameters along with the statistics"),
        (called_twice, "moved twice"),
        (read_too_early, "come back as they went in"),
        (logits_only, "Return two things"),
        (mode_left_as_it_was, "call `module.train()`"),
        (logits_cut, "no gradient reaches `params`"),
        (params_cut, "no gradient reaches `params`"),
        (blended_twice, "You blend the statistics once more"),
        (state_first, "order is swapped"),
    ],
    "00.repaired_step": [
        (the_same_fakes, "Every step sees the same fakes"),
        (nothing_mended, "come back as they went in"),
        (key_used_twice, "one key, one use"),
        (parent_used_too, "used twice: drawn from and split"),
        (one_batch_for_all, "Every step sees the same batch"),
        (labels_in_a_column, "one over all pairs"),
        (labels_exchanged, "The labels are swapped"),
        (log_left, "log of a probability that rounds to 0"),
        (log_with_epsilon, "an ε or a clip that hides it"),
        (statistics_lost, "come back as they went in"),
        (state_lost, "state comes back as it was"),
        (loss_summed, "You sum over the batch"),
        (steps_uphill, "move uphill"),
        (params_unmoved, "come back unchanged"),
        (loss_as_a_float, "where D is trained"),
        (carry_alone, "Return two things"),
        (real_and_fake_apart, "all 256 at once"),
    ],
}
