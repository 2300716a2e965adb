"""Wrong answers to the exercises of notebook 09, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus

# --- joined


def as_one_number(z, labels, kernel, bias):
    return z @ kernel[: z.shape[1]] + labels[:, None] * kernel[z.shape[1]] + bias


def multiplied(z, labels, kernel, bias):
    d = z.shape[1]
    return z @ kernel[:d] * kernel[d:][labels] + bias


def rows_from_the_top(z, labels, kernel, bias):
    return z @ kernel[: z.shape[1]] + kernel[labels] + bias


def no_bias(z, labels, kernel, bias):
    return z @ kernel[: z.shape[1]] + kernel[z.shape[1] :][labels]


def no_label(z, labels, kernel, bias):
    return z @ kernel[: z.shape[1]] + bias


def no_latent(z, labels, kernel, bias):
    return kernel[z.shape[1] :][labels] + bias


def all_classes(z, labels, kernel, bias):
    return z @ kernel[: z.shape[1]] + kernel[z.shape[1] :].sum(axis=0) + bias


def label_first(z, labels, kernel, bias):
    return jnp.concatenate([jax.nn.one_hot(labels, len(kernel) - z.shape[1]), z], axis=1) @ kernel + bias


def from_one(z, labels, kernel, bias):
    return jnp.concatenate([z, jax.nn.one_hot(labels - 1, len(kernel) - z.shape[1])], axis=1) @ kernel + bias


def row(name, at):
    def answer(z, labels, kernel, bias):
        return z @ kernel[: z.shape[1]] + kernel[at(z.shape[1], labels)] + bias

    answer.__name__ = name
    return answer


def bias_twice(z, labels, kernel, bias):
    return bias + row("right", lambda d, y: d + y)(z, labels, kernel, bias)


def of_the_whole_batch(z, labels, kernel, bias):
    return z @ kernel[: z.shape[1]] + kernel[z.shape[1] + labels].sum(0) + bias


# --- best_logit


def independent(p):
    return p.sum(1, keepdims=True) * p.sum(0)


def sign_lost(p, q, r, *, shuffled=False):
    return jnp.log(q * r) - jnp.log(p)


def labels_forgotten(p, q, r, *, shuffled=False):
    return jnp.log(p) - jnp.log(q)


def conditionals(p, q, r, *, shuffled=False):
    return jnp.log(p / p.sum(0)) - jnp.log(q)


def labels_of_the_data(p, q, r, *, shuffled=False):
    return jnp.log(p) - jnp.log(q * p.sum(0))


def no_label_seen(p, q, r, *, shuffled=False):
    return jnp.log(p.sum(1, keepdims=True) / (q * r).sum(1, keepdims=True)) + jnp.zeros_like(p)


def a_probability(p, q, r, *, shuffled=False):
    return p / (p + q * r)


def a_ratio(p, q, r, *, shuffled=False):
    return p / (q * r)


def divided_twice(p, q, r, *, shuffled=False):
    return jnp.log(p / p.sum(0) / (q * r))


def r_in_the_numerator(p, q, r, *, shuffled=False):
    return jnp.log(p * r / q)


def even_labels(p, q, r, *, shuffled=False):
    return jnp.log(p / q * len(r))


def log_of_a_probability(p, q, r, *, shuffled=False):
    return jnp.log(p / (p + q * r))


def shuffled_by_default(p, q, r, *, shuffled=True):
    return jnp.log((independent(p) if shuffled else p) / (q * r))


def no_default(p, q, r, *, shuffled):
    return jnp.log((independent(p) if shuffled else p) / (q * r))


def never_shuffled(p, q, r, *, shuffled=False):
    return jnp.log(p) - jnp.log(q * r)


def fakes_shuffled(p, q, r, *, shuffled=False):
    return jnp.log(p) - jnp.log(independent(q * r) if shuffled else q * r)


def both_shuffled(p, q, r, *, shuffled=False):
    return jnp.log(independent(p)) - jnp.log(independent(q * r)) if shuffled else jnp.log(p) - jnp.log(q * r)


def evenly_shuffled(p, q, r, *, shuffled=False):
    p = p.sum(1, keepdims=True) / len(r) if shuffled else p
    return jnp.log(p) - jnp.log(q * r)


# --- projection


def inner_only(features, labels, vectors, psi):
    return (vectors[labels] * features).sum(axis=1)


def psi_only(features, labels, vectors, psi):
    return features @ psi


def gated(features, labels, vectors, psi):
    return (features * vectors[labels]) @ psi


def parts_multiplied(features, labels, vectors, psi):
    return features @ psi * (vectors[labels] * features).sum(axis=1)


def subtracted(features, labels, vectors, psi):
    return features @ psi - (vectors[labels] * features).sum(axis=1)


def mean_of_features(features, labels, vectors, psi):
    return features @ psi + (vectors[labels] * features).mean(axis=1)


def every_class(features, labels, vectors, psi):
    return features @ psi + (features @ vectors.T).sum(axis=1)


def best_class(features, labels, vectors, psi):
    return features @ psi + (features @ vectors.T).max(axis=1)


def a_classifier(features, labels, vectors, psi):
    scores = jax.nn.log_softmax(features @ vectors.T)
    return features @ psi + scores[jnp.arange(len(labels)), labels]


def softmax_over_the_batch(features, labels, vectors, psi):
    scores = jax.nn.log_softmax(features @ vectors.T, axis=0)
    return features @ psi + scores[jnp.arange(len(labels)), labels]


def vector_summed(features, labels, vectors, psi):
    return features @ psi + vectors[labels].sum(axis=1)


def whole_label(features, labels, vectors, psi):
    return features @ psi + labels


def crossed(features, labels, vectors, psi):
    return (features @ psi)[:, None] + features @ vectors[labels].T


def all_logits(features, labels, vectors, psi):
    return (features @ psi)[:, None] + features @ vectors.T


def psi_on_the_vector(features, labels, vectors, psi):
    return features @ psi + vectors[labels] @ psi


def as_attention(features, labels, vectors, psi):
    return features @ psi + (vectors[labels] * features).sum(1) / features.shape[1] ** 0.5


def unit_vectors(features, labels, vectors, psi):
    unit = vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)
    return features @ psi + (unit[labels] * features).sum(1)


def mean_vector(features, labels, vectors, psi):
    return features @ (psi + vectors[labels].mean(0))


def first_label(features, labels, vectors, psi):
    return features @ (psi + vectors[labels[0]])


# --- pairs


def as_planted(generator, discriminator, z, real, labels):
    others = jnp.roll(labels, 1)
    return discriminator(real, labels), discriminator(generator(z, labels), others)


def turned_for_d(generator, discriminator, z, real, labels):
    return discriminator(real, labels), discriminator(generator(z, labels), labels[::-1])


def turned_for_g(generator, discriminator, z, real, labels):
    return discriminator(real, labels), discriminator(generator(z, labels[::-1]), labels)


def turned_for_real(generator, discriminator, z, real, labels):
    return discriminator(real, labels[::-1]), discriminator(generator(z, labels), labels)


def exchanged(generator, discriminator, z, real, labels):
    return discriminator(generator(z, labels), labels), discriminator(real, labels)


def class_zero(generator, discriminator, z, real, labels):
    return discriminator(real, labels), discriminator(generator(z, labels), jnp.zeros_like(labels))


def drawn_anew_for_real(generator, discriminator, z, real, labels):
    anew = jax.random.randint(jax.random.key(3), labels.shape, 0, 4)
    return discriminator(real, anew), discriminator(generator(z, labels), labels)


def drawn_anew_for_both(generator, discriminator, z, real, labels):
    anew = jax.random.permutation(jax.random.key(1), labels)
    return discriminator(real, labels), discriminator(generator(z, anew), anew)


def sorted_for_all(generator, discriminator, z, real, labels):
    anew = jnp.sort(labels)
    return discriminator(real, anew), discriminator(generator(z, anew), anew)


def detached(generator, discriminator, z, real, labels):
    fake = jax.lax.stop_gradient(generator(z, labels))
    return discriminator(real, labels), discriminator(fake, labels)


def real_detached(generator, discriminator, z, real, labels):
    return jax.lax.stop_gradient(discriminator(real, labels)), discriminator(generator(z, labels), labels)


def probabilities(generator, discriminator, z, real, labels):
    both = discriminator(real, labels), discriminator(generator(z, labels), labels)
    return tuple(map(jax.nn.sigmoid, both))


def real_twice(generator, discriminator, z, real, labels):
    return discriminator(real, labels), discriminator(real, labels)


def fakes_alone(generator, discriminator, z, real, labels):
    return discriminator(generator(z, labels), labels)


# --- obedience


def shares(hits, asked, classes):
    return hits / jnp.bincount(asked, length=classes)


def overall(probs, asked):
    return (probs.argmax(axis=1) == asked).mean()


def of_what_was_read(probs, asked):
    read = probs.argmax(axis=1)
    counts = [((read == c) & (asked == c)).sum() / jnp.maximum((read == c).sum(), 1) for c in range(probs.shape[1])]
    return jnp.stack(counts)


def counted(probs, asked):
    read = probs.argmax(axis=1)
    return jnp.stack([((read == c) & (asked == c)).sum() for c in range(probs.shape[1])]).astype(float)


def of_all_samples(probs, asked):
    return counted(probs, asked) / len(asked)


def of_equal_classes(probs, asked):
    return counted(probs, asked) * probs.shape[1] / len(asked)


def mean_probability(probs, asked):
    return jnp.stack([probs[asked == c, c].mean() for c in range(probs.shape[1])])


def disobedience(probs, asked):
    return 1 - shares(counted(probs, asked), asked, probs.shape[1])


def wrong_axis(probs, asked):
    read = probs.argmax(axis=0)  # (K,): one sample for each class
    return jnp.stack([(asked[read[c]] == c).astype(float) for c in range(probs.shape[1])])


def class_zero_only(probs, asked):
    return jnp.stack([(asked[asked == c] == 0).mean() for c in range(probs.shape[1])])


def often_read(probs, asked):
    return jnp.stack([(probs.argmax(axis=1) == c).mean() for c in range(probs.shape[1])])


def a_list(probs, asked):
    return [float((probs.argmax(1) == c)[asked == c].mean()) for c in range(probs.shape[1])]


def reads_over_asked(probs, asked):
    classes = probs.shape[1]
    return jnp.bincount(probs.argmax(1), length=classes) / jnp.bincount(asked, length=classes)


def above_one_half(probs, asked):
    return jnp.stack([(probs[asked == c, c] > 0.5).mean() for c in range(probs.shape[1])])


def class_by_class(probs, asked):
    classes = probs.shape[1]
    return (probs.argmax(1) == asked)[: len(asked) - len(asked) % classes].reshape(classes, -1).mean(1)


# --- auxiliary


def parts(real, fake, weight):
    """Of the losses: (D's, G's, the class parts on real and on fake)."""
    d = softplus(-real[:, 0]).mean() + softplus(fake[:, 0]).mean()
    return d, softplus(-fake[:, 0]).mean(), weight * real[:, 1].mean(), weight * fake[:, 1].mean()


def sign_lost_on_fakes(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d - of_real + of_fake, g - of_fake


def sign_lost_on_real(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d + of_real - of_fake, g - of_fake


def sign_lost_for_d(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d + of_real + of_fake, g - of_fake


def sign_lost_for_g(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d - of_real - of_fake, g + of_fake


def sign_lost_for_both(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d + of_real + of_fake, g + of_fake


def zero_sum(real, fake, weight):
    d, _, of_real, of_fake = parts(real, fake, weight)
    return d - of_real - of_fake, -(d - of_real - of_fake)


def fakes_not_classified(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d - of_real, g - of_fake


def real_not_classified(real, fake, weight):
    d, g, _, of_fake = parts(real, fake, weight)
    return d - of_fake, g - of_fake


def classifier_untaught(real, fake, weight):
    d, g, _, of_fake = parts(real, fake, weight)
    return d, g - of_fake


def g_untold(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d - of_real - of_fake, g


def g_paid_for_real(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d - of_real - of_fake, g - of_real


def weightless(real, fake, weight):
    return auxiliary_of_probabilities(real, fake, 1.0, as_they_are=True)


def auxiliary_of_probabilities(real, fake, weight, as_they_are=False):
    look = (lambda x: x) if as_they_are else jnp.exp
    d, g, *_ = parts(real, fake, weight)
    of_real, of_fake = weight * look(real[:, 1]).mean(), weight * look(fake[:, 1]).mean()
    return d - of_real - of_fake, g - of_fake


def weightless_for_g(real, fake, weight):
    return (*right(real, fake, weight)[:1], right(real, fake, 1.0)[1])


def weightless_for_d(real, fake, weight):
    return (right(real, fake, 1.0)[0], right(real, fake, weight)[1])


def right(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d - of_real - of_fake, g - of_fake


def columns_exchanged(real, fake, weight):
    return right(real[:, ::-1], fake[:, ::-1], weight)


def rows_for_columns(real, fake, weight):
    return right(real[:2].T, fake[:2].T, weight)


def real_detached_for_d(real, fake, weight):
    return right(jax.lax.stop_gradient(real), fake, weight)


def averaged_parts(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d - (of_real + of_fake) / 2, g - of_fake


def saturating_g(real, fake, weight):
    d, _, of_real, of_fake = parts(real, fake, weight)
    return d - of_real - of_fake, -softplus(fake[:, 0]).mean() - of_fake


def g_first(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return g - of_fake, d - of_real - of_fake


def no_slope(real, fake, weight):
    d, g, of_real, of_fake = parts(real, jax.lax.stop_gradient(fake), weight)
    return d - of_real - of_fake, g - of_fake


def as_floats(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return float(d - of_real - of_fake), float(g - of_fake)


def log_of_sigmoid(real, fake, weight):
    _, _, of_real, of_fake = parts(real, fake, weight)
    p, q = jax.nn.sigmoid(real[:, 0]), jax.nn.sigmoid(fake[:, 0])
    return -(jnp.log(p) + jnp.log(1 - q)).mean() - of_real - of_fake, -jnp.log(q).mean() - of_fake


def one_sum(real, fake, weight):
    d, g, of_real, of_fake = parts(real, fake, weight)
    return d - of_real - of_fake + g - of_fake


# --- truncate


def clipped(key, n, d, bound):
    return jnp.clip(jax.random.normal(key, (n, d)), -bound, bound)


def scaled(key, n, d, bound):
    return bound * jax.random.normal(key, (n, d))


def uniform(key, n, d, bound):
    return jax.random.uniform(key, (n, d), minval=-bound, maxval=bound)


def squeezed(key, n, d, bound):
    return bound * jnp.tanh(jax.random.normal(key, (n, d)))


def untouched(key, n, d, bound):
    return jax.random.normal(key, (n, d))


def by_length(key, n, d, bound):
    z = jax.random.normal(key, (n, d))
    length = jnp.linalg.norm(z, axis=1, keepdims=True)
    return z * jnp.minimum(1, bound * d**0.5 / length)


def one_sided(key, n, d, bound):
    return jax.random.truncated_normal(key, 0, bound, (n, d))


def fixed_key(key, n, d, bound):
    return jax.random.truncated_normal(jax.random.key(0), -bound, bound, (n, d))


def one_column(key, n, d, bound):
    return jnp.broadcast_to(jax.random.truncated_normal(key, -bound, bound, (n, 1)), (n, d))


def one_row(key, n, d, bound):
    return jnp.tile(jax.random.truncated_normal(key, -bound, bound, (1, d)), (n, 1))


def from_a_pool(key, n, d, bound):
    pool = jax.random.truncated_normal(key, -bound, bound, (200,))
    return jax.random.choice(jax.random.fold_in(key, 1), pool, (n, d))


def drawn_twice_then_zero(key, n, d, bound):
    z = jax.random.normal(key, (n, d))
    return jnp.where(jnp.abs(z) > bound, 0, z)


def numpys_state(key, n, d, bound):
    z = np.random.normal(size=(40 * n, d))  # noqa: NPY002
    return jnp.asarray(z[(abs(z) < bound).all(axis=1)][:n])


WRONG = {
    "09.joined": [
        (as_one_number, "as one number"),
        (multiplied, "A matrix product adds"),
        (rows_from_the_top, "the first d belong to z"),
        (no_bias, "bias is missing"),
        (no_label, "The label is missing"),
        (no_latent, "z is missing"),
        (all_classes, "rows of all classes"),
        (label_first, "z comes first"),
        (from_one, "not the expected one"),
        (row("too_high", lambda d, y: d - 1 + y), "One row too high"),
        (row("too_low", lambda d, y: d + 1 + y), "One row too low"),
        (row("backwards", lambda d, y: -1 - y), "from the end"),
        (row("first_label", lambda d, y: d + y[0]), "the label of the first"),
        (bias_twice, "added twice"),
        (of_the_whole_batch, "of the whole batch"),
    ],
    "09.best_logit": [
        (sign_lost, "The sign is lost"),
        (labels_forgotten, "r is missing"),
        (conditionals, "Labels differ in how often"),
        (labels_of_the_data, "Labels differ in how often"),
        (no_label_seen, "sees no label"),
        (a_probability, "That is the probability"),
        (a_ratio, "logarithm is missing"),
        (never_shuffled, "Shuffled changes nothing"),
        (fakes_shuffled, "You shuffle the fakes' labels"),
        (both_shuffled, "You shuffle both"),
        (evenly_shuffled, "as often as before"),
        (divided_twice, "as if it were p(x|y)"),
        (r_in_the_numerator, "on the wrong side"),
        (even_labels, "r says how frequent"),
        (log_of_a_probability, "That is log D*"),
        (shuffled_by_default, "the default is False"),
        (no_default, "missing"),
    ],
    "09.projection": [
        (inner_only, "ψ is missing"),
        (psi_only, "The label is missing"),
        (gated, "The two parts are added"),
        (parts_multiplied, "logarithm of a product"),
        (subtracted, "sign of ⟨v_y, φ⟩ is lost"),
        (mean_of_features, "A mean over the features"),
        (every_class, "vectors of all classes"),
        (best_class, "class that fits best"),
        (a_classifier, "softmax"),
        (softmax_over_the_batch, "over the wrong axis, the batch"),
        (vector_summed, "add up the class's vector"),
        (whole_label, "joined as one number"),
        (psi_on_the_vector, "the features belong there"),
        (as_attention, "nothing is scaled"),
        (unit_vectors, "vector's length"),
        (mean_vector, "average the vectors over the batch"),
        (first_label, "the label of the first"),
        (crossed, "look up one vector"),
        (all_logits, "look up one vector"),
    ],
    "09.pairs": [
        (as_planted, "The bug is still there"),
        (turned_for_d, "D judges the fakes with other labels"),
        (turned_for_g, "G draws for other labels"),
        (turned_for_real, "turned against its images"),
        (exchanged, "exchanged"),
        (class_zero, "as class 0"),
        (drawn_anew_for_real, "with their own labels"),
        (fakes_alone, "expected a tuple"),
        (drawn_anew_for_both, "not the batch's"),
        (sorted_for_all, "not the batch's"),
        (detached, "No gradient reaches the generator"),
        (real_detached, "D learns by them"),
        (probabilities, "Probabilities"),
        (real_twice, "where are the fakes"),
    ],
    "09.obedience": [
        (overall, "one share for all"),
        (of_what_was_read, "how often a class was *read*"),
        (counted, "These are counts"),
        (of_all_samples, "number of all samples"),
        (of_equal_classes, "asked for equally often"),
        (mean_probability, "average the probability"),
        (disobedience, "share of disobedience"),
        (wrong_axis, "over the wrong axis"),
        (class_zero_only, "not the expected one"),
        (often_read, "asked for or not"),
        (a_list, "make one array of it"),
        (reads_over_asked, "rightly or not"),
        (above_one_half, "above ½"),
        (class_by_class, "come class by class"),
    ],
    "09.auxiliary": [
        (sign_lost_on_fakes, "sign of the class part on fakes is lost in D's loss"),
        (sign_lost_on_real, "sign of the class part on real samples is lost"),
        (sign_lost_for_d, "sign of the class part is lost in D's loss"),
        (sign_lost_for_g, "sign of the class part is lost in G's loss"),
        (sign_lost_for_both, "both players are paid for *wrong* guesses"),
        (zero_sum, "G's loss is D's times −1"),
        (fakes_not_classified, "class part on fakes is missing"),
        (real_not_classified, "class part on real samples is missing"),
        (classifier_untaught, "nobody teaches the classifier"),
        (g_untold, "G's loss has no class part"),
        (g_paid_for_real, "which G does not change: no slope"),
        (weightless, "weight is missing"),
        (auxiliary_of_probabilities, "You pay with the probability"),
        (averaged_parts, "You average the two class parts"),
        (weightless_for_d, "weight is missing in D's loss"),
        (weightless_for_g, "weight is missing in G's loss"),
        (columns_exchanged, "The columns are exchanged"),
        (rows_for_columns, "first two rows for the columns"),
        (real_detached_for_d, "gradient of D's loss in the real samples"),
        (saturating_g, "saturating loss"),
        (g_first, "exchanged"),
        (no_slope, "gradient in the fakes[0] is not the expected one"),
        (as_floats, "Right by itself, but the notebook compiles it"),
        (log_of_sigmoid, "Use softplus"),
        (one_sum, "expected a tuple"),
    ],
    "09.truncate": [
        (clipped, "you clip"),
        (scaled, "You scale"),
        (uniform, "uniform between the bounds"),
        (squeezed, "spread as N(0, 1) is there"),
        (untouched, "There are entries up to"),
        (by_length, "not for the length"),
        (one_sided, "keep both signs"),
        (fixed_key, "Two different keys"),
        (one_column, "Entries repeat"),
        (one_row, "Entries repeat"),
        (from_a_pool, "Entries repeat"),
        (drawn_twice_then_zero, "spread as N(0, 1) is there"),
        (numpys_state, "Draw from `key` alone"),
    ],
}
