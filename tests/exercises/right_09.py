"""Right answers to the exercises of notebook 09 in other styles than the reference's."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.losses import non_saturating

# --- joined


def with_one_hot_rows(z, labels, kernel, bias):
    rows = jax.nn.one_hot(labels, len(kernel) - z.shape[1])
    return jnp.concatenate([z, rows], axis=1) @ kernel + bias


def sample_by_sample(z, labels, kernel, bias):
    d = z.shape[1]
    return jax.vmap(lambda one, y: one @ kernel[:d] + kernel[d + y] + bias)(z, labels)


def taken(z, labels, kernel, bias):
    of_z, of_class = jnp.split(kernel, [z.shape[1]])
    return bias + jnp.take(of_class, labels, axis=0) + jnp.dot(z, of_z)


def in_numpy(z, labels, kernel, bias):
    z, labels, kernel, bias = map(np.asarray, (z, labels, kernel, bias))
    return z @ kernel[: z.shape[1]] + kernel[labels + z.shape[1]] + bias


# --- best_logit


def as_a_ratio(p, q, r, *, shuffled=False):
    real = jnp.outer(p.sum(1), p.sum(0)) if shuffled else p
    return jnp.log(real / (q * r))


def as_two_parts(p, q, r, *, shuffled=False):
    p_y = p.sum(axis=0)
    of_x = p.sum(axis=1)[:, None] if shuffled else p / p_y
    return jnp.log(of_x / q) + jnp.log(p_y / r)


def by_einsum(p, q, r, *, shuffled=False):
    real = jnp.einsum("xk,jy->xy", p, p) if shuffled else p
    return jnp.log(real) - jnp.log(q) - jnp.log(r)[None, :]


def through_the_probability(p, q, r, *, shuffled=False):
    if shuffled:
        p = p.sum(1)[:, None] * p.sum(0)[None]
    best = p / (p + q * r)
    return jnp.log(best / (1 - best))


# --- projection


def summed_vectors(features, labels, vectors, psi):
    return ((vectors[labels] + psi) * features).sum(axis=1)


def from_all_products(features, labels, vectors, psi):
    every = features @ vectors.T
    return features @ psi + jnp.take_along_axis(every, labels[:, None], axis=1)[:, 0]


def by_one_hot(features, labels, vectors, psi):
    return jnp.einsum("bf,f->b", features, psi) + jnp.einsum(
        "bk,kf,bf->b", jax.nn.one_hot(labels, len(vectors)), vectors, features
    )


def one_at_a_time(features, labels, vectors, psi):
    return jax.vmap(lambda phi, y: psi @ phi + vectors[y] @ phi)(features, labels)


# --- pairs


def with_names(generator, discriminator, z, real, labels):
    fake = generator(z, labels)
    real_logits = discriminator(real, labels)
    fake_logits = discriminator(fake, labels)
    return real_logits, fake_logits


def at_once(generator, discriminator, z, real, labels):
    both = jnp.concatenate([real, generator(z, labels)])
    return tuple(jnp.split(discriminator(both, jnp.tile(labels, 2)), 2))


def as_a_list(generator, discriminator, z, real, labels):
    return [discriminator(samples, labels) for samples in (real, generator(z, labels))]


# --- obedience


def class_by_class(probs, asked):
    read = probs.argmax(axis=1)
    return jnp.array([(read[asked == c] == c).mean() for c in range(probs.shape[1])])


def by_the_confusion_matrix(probs, asked):
    classes = probs.shape[1]
    confusion = jnp.zeros((classes, classes)).at[asked, probs.argmax(axis=1)].add(1)
    return jnp.diag(confusion) / confusion.sum(axis=1)


def with_one_hot_columns(probs, asked):
    mine = jax.nn.one_hot(asked, probs.shape[1])
    return ((probs.argmax(1) == asked) @ mine) / mine.sum(0)


def bincounted_in_numpy(probs, asked):
    probs, asked = np.asarray(probs), np.asarray(asked)
    hit = probs.argmax(1) == asked
    return np.bincount(asked[hit], minlength=probs.shape[1]) / np.bincount(asked, minlength=probs.shape[1])


# --- auxiliary


def by_log_sigmoid(real, fake, weight):
    log_d, log_not = jax.nn.log_sigmoid(real[:, 0]), jax.nn.log_sigmoid(-fake[:, 0])
    classes = jnp.mean(real[:, 1]) + jnp.mean(fake[:, 1])
    return -(log_d.mean() + log_not.mean() + weight * classes), -(jax.nn.log_sigmoid(fake) + weight * fake[:, 1:])[
        :, 0
    ].mean()


def row_by_row(real, fake, weight):
    d_losses = jnp.logaddexp(0, -real[:, 0]) + jnp.logaddexp(0, fake[:, 0]) - weight * (real + fake)[:, 1]
    return [d_losses.mean(), jnp.mean(jnp.logaddexp(0, -fake[:, 0]) - weight * fake[:, 1])]


def by_the_librarys_loss(real, fake, weight):
    (s, c), (t, k) = real.T, fake.T
    agree = weight * k.mean()
    return non_saturating.discriminator(s, t) - weight * c.mean() - agree, non_saturating.generator(s, t) - agree


# --- truncate


def by_the_inverse(key, n, d, bound):
    normal = jax.scipy.stats.norm
    u = jax.random.uniform(key, (n, d), minval=normal.cdf(-bound), maxval=normal.cdf(bound))
    return normal.ppf(u)


def drawn_until_within(key, n, d, bound):
    def again(carry):
        key, z = carry
        key, use = jax.random.split(key)
        return key, jnp.where(abs(z) > bound, jax.random.normal(use, (n, d)), z)

    use, key = jax.random.split(key)
    start = key, jax.random.normal(use, (n, d))
    return jax.lax.while_loop(lambda carry: (abs(carry[1]) > bound).any(), again, start)[1]


def kept_of_many(key, n, d, bound):
    z = np.asarray(jax.random.normal(key, (8 * n * d,)))
    return jnp.asarray(z[abs(z) <= bound][: n * d].reshape(n, d))


RIGHT = {
    "09.joined": [with_one_hot_rows, sample_by_sample, taken, in_numpy],
    "09.best_logit": [as_a_ratio, as_two_parts, by_einsum, through_the_probability],
    "09.projection": [summed_vectors, from_all_products, by_one_hot, one_at_a_time],
    "09.pairs": [with_names, at_once, as_a_list],
    "09.obedience": [class_by_class, by_the_confusion_matrix, with_one_hot_columns, bincounted_in_numpy],
    "09.auxiliary": [by_log_sigmoid, row_by_row, by_the_librarys_loss],
    "09.truncate": [by_the_inverse, drawn_until_within, kept_of_many],
}
