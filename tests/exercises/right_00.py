"""Right answers to the exercises of notebook 00 in other styles than the reference's."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.nn import softplus

# --- sgd_step


def by_optax(loss, params, learning_rate):
    optimizer = optax.sgd(learning_rate)
    value, grads = jax.value_and_grad(loss)(params)
    updates, _ = optimizer.update(grads, optimizer.init(params))
    return optax.apply_updates(params, updates), value


def two_passes_as_a_list(loss, params, rate):
    return [jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params)), loss(params)]


def numbers_and_dictionaries(loss, params, rate):
    value, grads = jax.value_and_grad(loss)(params)
    if isinstance(params, dict):
        return {name: params[name] - rate * grads[name] for name in params}, value
    return params - rate * grads, value


def by_vjp(loss, params, rate):
    value, pull = jax.vjp(loss, params)
    return jax.tree.map(lambda p, g: p - rate * g, params, *pull(jnp.ones_like(value))), value


# --- discriminator_loss


def paired(real, fake):
    return (softplus(-real) + softplus(fake)).mean()


def by_log_sigmoid(real, fake):
    return -jax.nn.log_sigmoid(real).mean() - jax.nn.log_sigmoid(-fake).mean()


def by_logaddexp(real, fake):
    return jnp.logaddexp(0, -real).sum() / len(real) + jnp.logaddexp(0, fake).sum() / len(fake)


def by_labels(real, fake):
    loss = optax.sigmoid_binary_cross_entropy
    return loss(real, jnp.ones_like(real)).mean() + loss(fake, jnp.zeros_like(fake)).mean()


# --- step_keys


def split_then_folded(key, step):
    return [jax.random.fold_in(part, step) for part in jax.random.split(key, 3)]


def numbered(key, step):
    return tuple(jax.random.fold_in(key, 3 * step + i) for i in range(3))


def folded_twice(key, step):
    return (jax.random.fold_in(jax.random.fold_in(key, step), use) for use in (10, 20, 30))


def chain_of_splits(key, step):
    key = jax.lax.fori_loop(0, step, lambda _, key: jax.random.split(key)[0], key)
    return jax.random.split(key, 4)[1:]


# --- point_gradients


def point_by_point(score, x):
    return jax.vmap(jax.grad(lambda point: score(point[None])[0]))(x)


def pulled_back(score, x):
    scores, pull = jax.vjp(score, x)
    return pull(jnp.ones_like(scores))[0]


def diagonal_of_the_jacobian(score, x):
    return jnp.einsum("iij->ij", jax.jacrev(score)(x))


def one_after_another(score, x):
    return jax.lax.map(jax.grad(lambda point: score(point[None]).squeeze()), x)


# --- train_forward


def rest_of_the_split(graph, params, stats, x):
    module = nnx.merge(graph, params, stats, copy=True)
    module.train()
    return [module(x), nnx.split(module, nnx.Param, ...)[2]]


def cloned(graph, params, stats, x):
    module = nnx.clone(nnx.merge(graph, params, stats))
    module.train()
    logits = module(x)
    return logits, nnx.state(module, nnx.Not(nnx.Param))


# --- repaired_step


def by_two_halves(forward, sample, adam, carry, key):
    params, stats, opt = carry
    fake_key, real_key = jax.random.split(key)
    x = jnp.concatenate([sample(real_key, 128), 0.5 * jax.random.normal(fake_key, (128, 2))])

    def objective(params):
        logits, new = forward(params, stats, x)
        return paired(*jnp.split(logits, 2)), new

    (value, stats), grads = jax.value_and_grad(objective, has_aux=True)(params)
    updates, opt = adam.update(grads, opt, params)
    return [optax.apply_updates(params, updates), stats, opt], value


def fakes_first(forward, sample, adam, carry, key):
    params, stats, opt = carry
    fake = 0.5 * jax.random.normal(jax.random.fold_in(key, 0), (128, 2))
    x = jnp.concatenate([fake, sample(jax.random.fold_in(key, 1), 128)])
    labels = jnp.arange(256) >= 128

    def objective(params):
        logits, new = forward(params, stats, x)
        return jnp.where(labels, softplus(-logits), softplus(logits)).mean(), (logits, new)

    (value, (_, stats)), grads = jax.value_and_grad(objective, has_aux=True)(params)
    updates, opt = adam.update(grads, opt)
    return (jax.tree.map(jnp.add, params, updates), stats, opt), value


RIGHT = {
    "00.sgd_step": [by_optax, two_passes_as_a_list, numbers_and_dictionaries, by_vjp],
    "00.discriminator_loss": [paired, by_log_sigmoid, by_logaddexp, by_labels],
    "00.step_keys": [split_then_folded, numbered, folded_twice, chain_of_splits],
    "00.point_gradients": [point_by_point, pulled_back, diagonal_of_the_jacobian, one_after_another],
    "00.train_forward": [rest_of_the_split, cloned],
    "00.repaired_step": [by_two_halves, fakes_first],
}
