"""Wrong answers to the exercises of notebook 10, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jax.nn import sigmoid, softplus

# --- kl


def each(mean, log_variance):
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1 - log_variance)


def sign_lost(mean, log_variance):
    return -each(mean, log_variance).sum(axis=1)


def one_sign_lost(mean, log_variance):
    return 0.5 * (mean**2 + jnp.exp(log_variance) - 1 + log_variance).sum(axis=1)


def mean_of_latents(mean, log_variance):
    return each(mean, log_variance).mean(axis=1)


def not_summed(mean, log_variance):
    return each(mean, log_variance)


def of_the_batch(mean, log_variance):
    return each(mean, log_variance).sum(axis=1).mean()


def no_half(mean, log_variance):
    return 2 * each(mean, log_variance).sum(axis=1)


def for_the_variance(mean, log_variance):
    return 0.5 * (mean**2 + log_variance - 1 - jnp.log(jnp.abs(log_variance))).sum(axis=1)


def for_log_deviation(mean, log_variance):
    return 0.5 * (mean**2 + jnp.exp(2 * log_variance) - 1 - 2 * log_variance).sum(axis=1)


def for_the_deviation(mean, log_variance):
    return 0.5 * (mean**2 + log_variance**2 - 1 - jnp.log(log_variance**2)).sum(axis=1)


def deviation_for_variance(mean, log_variance):
    return 0.5 * (mean**2 + jnp.exp(log_variance / 2) - 1 - log_variance).sum(axis=1)


def no_one(mean, log_variance):
    return 0.5 * (mean**2 + jnp.exp(log_variance) - log_variance).sum(axis=1)


def no_mean(mean, log_variance):
    return each(0, log_variance).sum(axis=1)


def other_direction(mean, log_variance):
    return 0.5 * ((1 + mean**2) * jnp.exp(-log_variance) - 1 + log_variance).sum(axis=1)


def numpys(mean, log_variance):
    return jnp.asarray(np.asarray(each(mean, log_variance)).sum(axis=1))


def one_for_all_latents(mean, log_variance):
    return 0.5 * ((mean**2 + jnp.exp(log_variance) - log_variance).sum(axis=1) - 1)


def by_a_norm(mean, log_variance):  # its slope at 0 is NaN
    return 0.5 * jnp.linalg.norm(mean, axis=1) ** 2 + each(0, log_variance).sum(axis=1)


def mean_held(mean, log_variance):
    return each(stop_gradient(mean), log_variance).sum(axis=1)


def by_a_product(mean, log_variance):
    variance = jnp.exp(log_variance)
    return 0.5 * ((mean**2 + variance - 1).sum(axis=1) - jnp.log(jnp.prod(variance, axis=1)))


def sample_after_sample(mean, log_variance):
    return jnp.stack([each(m, v).sum() for m, v in zip(mean, log_variance, strict=True)])


# --- reparametrise


def no_noise(key, mean, log_variance):
    return mean


def shared_by_the_batch(key, mean, log_variance):
    return mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape[1:])


def shared_by_the_latents(key, mean, log_variance):
    return mean + jnp.exp(log_variance / 2) * jax.random.normal(key, (len(mean), 1))


def variance_for_deviation(key, mean, log_variance):
    return mean + jnp.exp(log_variance) * jax.random.normal(key, mean.shape)


def log_for_deviation(key, mean, log_variance):
    return mean + log_variance * jax.random.normal(key, mean.shape)


def deviation_of_1(key, mean, log_variance):
    return mean + jax.random.normal(key, mean.shape)


def inverse(key, mean, log_variance):
    return mean + jnp.exp(-log_variance / 2) * jax.random.normal(key, mean.shape)


def uniform(key, mean, log_variance):
    return mean + jnp.exp(log_variance / 2) * jax.random.uniform(key, mean.shape)


def uniform_of_variance_1(key, mean, log_variance):
    return mean + jnp.exp(log_variance / 2) * 3**0.5 * jax.random.uniform(key, mean.shape, minval=-1)


def fixed_key(key, mean, log_variance):
    return mean + jnp.exp(log_variance / 2) * jax.random.normal(jax.random.key(0), mean.shape)


def stopped(key, mean, log_variance):
    return stop_gradient(mean + jnp.exp(log_variance / 2) * jax.random.normal(key, mean.shape))


def deviation_stopped(key, mean, log_variance):
    return mean + stop_gradient(jnp.exp(log_variance / 2)) * jax.random.normal(key, mean.shape)


def standardised(key, mean, log_variance):
    noise = jax.random.normal(key, mean.shape)
    return mean + jnp.exp(log_variance / 2) * (noise - noise.mean(0)) / (noise.std(0) + 1e-6)


def one_key_twice(key, mean, log_variance):
    half = mean.shape[1] // 2
    noise = [jax.random.normal(key, (len(mean), d)) for d in (half, mean.shape[1] - half)]
    return mean + jnp.exp(log_variance / 2) * jnp.concatenate(noise, axis=1)


def mean_stretched(key, mean, log_variance):
    return jnp.exp(log_variance / 2) * (mean + jax.random.normal(key, mean.shape))


def cut_off(key, mean, log_variance):
    return mean + jnp.exp(log_variance / 2) * jax.random.truncated_normal(key, -2, 2, mean.shape)


# --- loss


def cross(x, s):
    return softplus(s) - x * s


def image(x):
    return x.reshape(len(x), -1).sum(axis=1)


def rate(m, v):
    return each(m, v).sum(axis=1)


def mean_over_pixels(x, logits, mean, log_variance):
    return cross(x, logits).mean() + rate(mean, log_variance).mean()


def kl_over_pixels(x, logits, mean, log_variance):
    return image(cross(x, logits)).mean() + rate(mean, log_variance).mean() / x[0].size


def kl_mean(x, logits, mean, log_variance):
    return image(cross(x, logits)).mean() + each(mean, log_variance).mean()


def both_means(x, logits, mean, log_variance):
    return cross(x, logits).mean() + each(mean, log_variance).mean()


def summed_over_the_batch(x, logits, mean, log_variance):
    return cross(x, logits).sum() + each(mean, log_variance).sum()


def sigmoid_twice(x, logits, mean, log_variance):
    return image(cross(x, sigmoid(logits))).mean() + rate(mean, log_variance).mean()


def kl_subtracted(x, logits, mean, log_variance):
    return image(cross(x, logits)).mean() - rate(mean, log_variance).mean()


def wrong_pixels_wanted(x, logits, mean, log_variance):
    return -image(cross(x, logits)).mean() + rate(mean, log_variance).mean()


def the_bound(x, logits, mean, log_variance):
    return -image(cross(x, logits)).mean() - rate(mean, log_variance).mean()


def no_kl(x, logits, mean, log_variance):
    return image(cross(x, logits)).mean()


def ink_alone(x, logits, mean, log_variance):
    return image(x * softplus(-logits)).mean() + rate(mean, log_variance).mean()


def squared(x, logits, mean, log_variance):
    return image((x - sigmoid(logits)) ** 2).mean() + rate(mean, log_variance).mean()


def log_of_sigmoid(x, logits, mean, log_variance):
    p = sigmoid(logits)
    return image(-x * jnp.log(p) - (1 - x) * jnp.log(1 - p)).mean() + rate(mean, log_variance).mean()


def with_epsilon(x, logits, mean, log_variance):
    p = jnp.clip(sigmoid(logits), 1e-7, 1 - 1e-7)
    return image(-x * jnp.log(p) - (1 - x) * jnp.log(1 - p)).mean() + rate(mean, log_variance).mean()


def exchanged_inputs(x, logits, mean, log_variance):
    return image(cross(logits, x)).mean() + rate(mean, log_variance).mean()


def first_axis_alone(x, logits, mean, log_variance):
    return cross(x, logits).sum(axis=1).mean() + rate(mean, log_variance).mean()


def as_pixels(x, logits, mean, log_variance):
    return image(cross((x + 1) / 2, logits)).mean() + rate(mean, log_variance).mean()


def rounded(x, logits, mean, log_variance):
    return image(cross(jnp.round(x), logits)).mean() + rate(mean, log_variance).mean()


def rate_held(x, logits, mean, log_variance):
    return image(cross(x, logits)).mean() + stop_gradient(rate(mean, log_variance)).mean()


def with_a_kink(x, logits, mean, log_variance):
    cost = jnp.maximum(logits, 0) - x * logits + jnp.log1p(jnp.exp(-abs(logits)))
    return image(cost).mean() + rate(mean, log_variance).mean()


# --- one_loss


def latents(encoder, x, noise):
    mean, log_variance = encoder(x)
    return mean + jnp.exp(log_variance / 2) * noise, rate(mean, log_variance).mean()


def alike(discriminator, x, made):
    return 0.5 * ((discriminator(x)[1] - discriminator(made)[1]) ** 2).sum(axis=1).mean()


def fooling(discriminator, made):
    return softplus(-discriminator(made)[0]).mean()


def nothing_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    return kl + alike(discriminator, x, decoder(z)) + fooling(discriminator, decoder(z))


def image_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    return kl + alike(discriminator, x, decoder(z)) + fooling(discriminator, stop_gradient(decoder(z)))


def all_of_z_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    made = decoder(stop_gradient(z))
    return kl + alike(discriminator, x, made) + fooling(discriminator, made)


def the_other_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    return kl + alike(discriminator, x, decoder(stop_gradient(z))) + fooling(discriminator, decoder(z))


def kl_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    return stop_gradient(kl) + alike(discriminator, x, decoder(z)) + fooling(discriminator, decoder(stop_gradient(z)))


def code_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(lambda x: stop_gradient(encoder(x)), x, noise)
    return kl + alike(discriminator, x, decoder(z)) + fooling(discriminator, decoder(z))


def without_fooling(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    return kl + alike(discriminator, x, decoder(z))


def logits_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    logits = stop_gradient(discriminator(decoder(z))[0])
    return kl + alike(discriminator, x, decoder(z)) + softplus(-logits).mean()


def compared_image_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    likeness = alike(discriminator, x, stop_gradient(decoder(z)))
    return kl + likeness + fooling(discriminator, decoder(stop_gradient(z)))


def mean_alone_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    held = z - encoder(x)[0] + stop_gradient(encoder(x)[0])
    return kl + alike(discriminator, x, decoder(z)) + fooling(discriminator, decoder(held))


def deviation_alone_stopped(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    held = encoder(x)[0] + stop_gradient(z - encoder(x)[0])
    return kl + alike(discriminator, x, decoder(z)) + fooling(discriminator, decoder(held))


def drawn_judged(encoder, decoder, discriminator, x, noise):
    z, kl = latents(encoder, x, noise)
    return kl + alike(discriminator, x, decoder(z)) + fooling(discriminator, decoder(noise))


# --- three_losses


def forward(p, q):
    return (p * jnp.log(p / q)).sum()


def distance(p, q, x):
    return p @ (x[:, None] - x) ** 2 @ q


def exchanged(p, q, x):
    return distance(p, q, x), forward(q, p), forward(p, q)


def of_means(p, q, x):
    return ((p - q) @ x) ** 2, forward(p, q), forward(q, p)


def of_probabilities(p, q, x):
    return ((p - q) ** 2).sum(), forward(p, q), forward(q, p)


def unweighted(p, q, x):
    return ((x[:, None] - x) ** 2).mean(), forward(p, q), forward(q, p)


def not_squared(p, q, x):
    return p @ abs(x[:, None] - x) @ q, forward(p, q), forward(q, p)


def cross_entropies(p, q, x):
    return distance(p, q, x), -(p * jnp.log(q)).sum(), -(q * jnp.log(p)).sum()


def negative(p, q, x):
    return distance(p, q, x), -forward(p, q), -forward(q, p)


def mean_of_logs(p, q, x):
    return distance(p, q, x), jnp.log(p / q).mean(), jnp.log(q / p).mean()


def kl_as_mean(p, q, x):
    return distance(p, q, x), forward(p, q) / len(x), forward(q, p) / len(x)


def two_of_three(p, q, x):
    return forward(p, q), forward(q, p)


def mean_over_pairs(p, q, x):
    return (p[:, None] * q * (x[:, None] - x) ** 2).mean(), forward(p, q), forward(q, p)


def no_cross_term(p, q, x):
    return ((p + q) * x**2).sum(), forward(p, q), forward(q, p)


def variances_alone(p, q, x):
    spread = lambda w: (w * (x - (w * x).sum()) ** 2).sum()
    return spread(p) + spread(q), forward(p, q), forward(q, p)


def place_by_place(p, q, x):
    return ((p * x - q * x) ** 2).sum(), forward(p, q), forward(q, p)


def with_an_epsilon(p, q, x):
    return distance(p, q, x), forward(p + 1e-3, q + 1e-3), forward(q + 1e-3, p + 1e-3)


def in_bits(p, q, x):
    return distance(p, q, x), forward(p, q) / jnp.log(2), forward(q, p) / jnp.log(2)


def pair_by_pair(p, q, x):
    pairs = [p[i] * q[j] * (x[i] - x[j]) ** 2 for i in range(len(x)) for j in range(len(x))]
    return sum(pairs), forward(p, q), forward(q, p)


WRONG = {
    "10.kl": [
        (sign_lost, "The sign is lost"),
        (one_sign_lost, "log-variance's own term"),
        (mean_of_latents, "A mean over the latents"),
        (not_summed, "One number for each latent"),
        (of_the_batch, "You average over the batch"),
        (no_half, "half is missing"),
        (for_the_variance, "for the variance"),
        (for_log_deviation, "logarithm of the deviation"),
        (for_the_deviation, "for the deviation σ itself"),
        (deviation_for_variance, "which is σ"),
        (no_one, "The −1 is missing"),
        (no_mean, "The mean is missing"),
        (other_direction, "other direction"),
        (numpys, "Right by itself"),
        (one_for_all_latents, "belongs to every latent"),
        (by_a_norm, "gradient in the mean is not finite"),
        (mean_held, "gradient in the mean"),
        (by_a_product, "narrow ones and a wide one is not finite"),
        (sample_after_sample, "Python loop goes over the samples"),
    ],
    "10.reparametrise": [
        (no_noise, "there is no noise"),
        (shared_by_the_batch, "samples of the batch get the same noise"),
        (shared_by_the_latents, "latents of a sample get the same noise"),
        (variance_for_deviation, "which is the variance"),
        (log_for_deviation, "log-variance itself"),
        (deviation_of_1, "deviation 1 for every latent"),
        (inverse, "your deviation is 1/σ"),
        (uniform, "uniform noise"),
        (uniform_of_variance_1, "not normal"),
        (fixed_key, "Two different keys"),
        (stopped, "no gradient reaches"),
        (deviation_stopped, "gradient in the log-variance"),
        (standardised, "adds up to 0"),
        (one_key_twice, "goes together"),
        (mean_stretched, "stretch the mean"),
        (cut_off, "ends at 2.3 deviations"),
    ],
    "10.loss": [
        (mean_over_pixels, "784 times too strong"),
        (kl_over_pixels, "784 times too weak"),
        (kl_mean, "mean over the latents beside a sum"),
        (both_means, "Both terms are means"),
        (summed_over_the_batch, "You sum over the batch"),
        (sigmoid_twice, "A sigmoid twice"),
        (kl_subtracted, "sign of the KL is lost"),
        (wrong_pixels_wanted, "sign of the reconstruction is lost"),
        (the_bound, "the bound itself"),
        (no_kl, "The KL is missing"),
        (ink_alone, "term of the paper is missing"),
        (squared, "squared error"),
        (log_of_sigmoid, "Right for small logits"),
        (with_epsilon, "Right for small logits"),
        (exchanged_inputs, "Image and logits are exchanged"),
        (first_axis_alone, "over the first alone"),
        (as_pixels, "chances in [0, 1] already"),
        (rounded, "You round x"),
        (with_a_kink, "has a kink there"),
        (rate_held, "gradient in the mean"),
    ],
    "10.one_loss": [
        (nothing_stopped, "Nothing is stopped"),
        (image_stopped, "at the image"),
        (all_of_z_stopped, "Decode twice"),
        (the_other_stopped, "which it must not have"),
        (kl_stopped, "The KL no longer reaches"),
        (code_stopped, "The KL no longer reaches"),
        (without_fooling, "GAN's term is missing"),
        (logits_stopped, "or behind it"),
        (compared_image_stopped, "no longer moves the decoder"),
        (mean_alone_stopped, "through the log-variance"),
        (deviation_alone_stopped, "through the mean"),
        (drawn_judged, "decoded from the noise alone"),
    ],
    "10.three_losses": [
        (exchanged, "two KLs are exchanged"),
        (of_means, "compare the two means"),
        (of_probabilities, "difference of the probabilities"),
        (unweighted, "weigh a pair"),
        (not_squared, "The distance is squared"),
        (cross_entropies, "cross-entropy"),
        (negative, "sign of the forward KL"),
        (mean_of_logs, "weighs each logarithm"),
        (kl_as_mean, "a sum over the places"),
        (two_of_three, "expected a tuple of 3"),
        (mean_over_pairs, "a sum over pairs of places"),
        (no_cross_term, "cross term is missing"),
        (variances_alone, "add up the two variances"),
        (place_by_place, "place by place"),
        (with_an_epsilon, "an ε or a clip"),
        (in_bits, "in bits"),
        (pair_by_pair, "loop goes over all pairs"),
    ],
}
