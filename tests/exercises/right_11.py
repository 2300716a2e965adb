"""Right answers to the exercises of notebook 11 in other styles than the reference's."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# --- on_missing


def by_where(error, missing):
    return jnp.where(missing == 1, error, 0).sum() / (missing == 1).sum()


def as_weights(error, missing):
    return jnp.average(error, weights=missing)


def by_a_dot_product(error, missing):
    return jnp.vdot(error, missing / missing.sum())


def mean_where(error, missing):
    return error.mean(where=missing > 0.5)


def image_by_image(error, missing):
    total = count = 0.0
    for e, m in zip(error, missing, strict=True):
        total, count = total + (e * m).sum(), count + m.sum()
    return total / count


# --- one_pixel


def by_entropies(a, p, weight):
    h = lambda q: -jax.scipy.special.xlogy(q, q) - jax.scipy.special.xlogy(1 - q, 1 - q)
    return 2 * h((a + p) / 2) - h(a) - h(p) + 2 * weight * (a + p - 2 * a * p)


def by_relative_entropies(a, p, weight):
    kl = jax.scipy.special.rel_entr
    real, fake = jnp.stack([p, 1 - p]), jnp.stack([a, 1 - a])
    middle = (real + fake) / 2
    apart = (real * fake[::-1]).sum(0)
    return (kl(real, middle) + kl(fake, middle)).sum(0) + weight * 2 * apart


def in_numpy(a, p, weight):
    a, p, total = np.asarray(a, float), np.asarray(p, float), 0.0
    for x, y in ((p, a), (1 - p, 1 - a)):
        for z in (x, y):
            total = total + z * np.log(np.where(z > 0, z, 1) / np.where(x + y > 0, (x + y) / 2, 1))
    return np.float32(total) + weight * np.float32(2 * a * (1 - p) + 2 * (1 - a) * p)  # the weight may be a tracer


# --- receptive_field


def by_jumps(layers):
    field, jump = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * jump
        jump *= stride
    return field


def recursively(layers):
    if not layers:
        return 1
    (kernel, stride), *rest = layers
    return (recursively(rest) - 1) * stride + kernel


def by_a_product(layers):
    kernels, strides = np.array(layers).T
    return int(1 + ((kernels - 1) * np.r_[1, np.cumprod(strides)[:-1]]).sum())


# --- augmented


def step_by_step(train_gan, train_classifier, images, labels, few, steps):
    few_images, few_labels = images[few], labels[few]
    draw = train_gan(few_images, few_labels)
    fakes = draw(few_labels)
    more_images = np.vstack([few_images, fakes])
    more_labels = np.hstack([few_labels, few_labels])
    return train_classifier(more_images, more_labels, steps)


def fakes_first(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    asked = np.sort(y)
    fake = train_gan(x, y)(asked)
    return train_classifier(np.concatenate([fake, x]), np.concatenate([asked, y]), steps)


def in_jax(train_gan, train_classifier, images, labels, few, steps):
    x, y = jnp.asarray(images)[few], jnp.asarray(labels)[few]
    return train_classifier(jnp.concatenate([x, train_gan(x, y)(y)]), jnp.tile(y, 2), steps)


# --- interval


def in_plain_numpy(a, b, t):
    d = np.asarray(b) - np.asarray(a)
    return d.mean(), t * np.sqrt(d.var(ddof=1) / len(d))


def by_hand(a, b, t):
    d = b - a
    mean = d.sum() / len(d)
    return mean, t * jnp.sqrt(((d - mean) ** 2).sum() / (len(d) - 1) / len(d))


def by_covariance(a, b, t):
    c = np.cov(np.asarray(a, float), np.asarray(b, float))
    mean = float(np.mean(b) - np.mean(a))
    return mean, float(t * np.sqrt((c[0, 0] + c[1, 1] - 2 * c[0, 1]) / len(a)))


def as_an_array(a, b, t):
    d = b - a
    return jnp.array([d.mean(), t * d.std() / (len(d) - 1) ** 0.5])


def as_a_list(a, b, t):
    return list(in_plain_numpy(a, b, t))


# --- pair_losses


def by_log_sigmoid(judge, real, fake, given, missing, weight):
    s, t = judge(real, given), judge(fake, given)
    log = jax.nn.log_sigmoid
    return -(log(s).mean() + log(-t).mean()), -log(t).mean() + weight * jnp.average(abs(real - fake), weights=missing)


def in_one_pass(judge, real, fake, given, missing, weight):
    both, twice = jnp.concatenate([real, fake]), jnp.concatenate([given, given])
    s, t = jnp.split(judge(both, twice), 2)
    l1 = jnp.where(missing == 1, abs(fake - real), 0).sum() / (missing == 1).sum()
    return jnp.logaddexp(0, -s).mean() + jnp.logaddexp(0, t).mean(), jnp.logaddexp(0, -t).mean() + weight * l1


class Losses(NamedTuple):
    d: jax.Array
    g: jax.Array


def by_name(judge, real, fake, given, missing, weight):
    """As in the training of two players: D's loss leaves G alone."""
    of_d, _ = by_log_sigmoid(judge, real, jax.lax.stop_gradient(fake), given, missing, weight)
    return Losses(of_d, by_log_sigmoid(judge, real, fake, given, missing, weight)[1])


def as_a_list_of_losses(judge, real, fake, given, missing, weight):
    return list(by_log_sigmoid(judge, real, fake, given, missing, weight))


# --- cycle


def in_one_sum(there, back, x, y, *, weight, identity):
    terms = [(weight, back(there(x)), x), (weight, there(back(y)), y), (identity, there(y), y), (identity, back(x), x)]
    return sum(w * jnp.mean(jnp.abs(got - wanted)) for w, got, wanted in terms)


def by_both_directions(there, back, x, y, *, weight, identity):
    def one(go, come, own, other):
        return weight * abs(come(go(own)) - own).mean() + identity * abs(go(other) - other).mean()

    return one(there, back, x, y) + one(back, there, y, x)


RIGHT = {
    "11.on_missing": [by_where, as_weights, by_a_dot_product, mean_where, image_by_image],
    "11.one_pixel": [by_entropies, by_relative_entropies, in_numpy],
    "11.receptive_field": [by_jumps, recursively, by_a_product],
    "11.augmented": [step_by_step, fakes_first, in_jax],
    "11.interval": [in_plain_numpy, by_hand, by_covariance, as_an_array, as_a_list],
    "11.pair_losses": [by_log_sigmoid, in_one_pass, by_name, as_a_list_of_losses],
    "11.cycle": [in_one_sum, by_both_directions],
}
