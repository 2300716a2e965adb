"""Wrong answers to the exercises of notebook 11, among them mistakes of real code, each with words of its message."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jax.nn import softplus
from jax.scipy.special import xlogy

# --- on_missing


def inverted(error, missing):
    return (error * (1 - missing)).sum() / (1 - missing).sum()


def all_pixels(error, missing):
    return error.mean()


def averaged_with_zeros(error, missing):
    return (error * missing).mean()


def inverted_with_zeros(error, missing):
    return (error * (1 - missing)).mean()


def summed(error, missing):
    return (error * missing).sum()


def image_by_image(error, missing):
    axes = tuple(range(1, error.ndim))
    return ((error * missing).sum(axes) / missing.sum(axes)).mean()


def image_by_image_safely(error, missing):
    axes = tuple(range(1, error.ndim))
    return ((error * missing).sum(axes) / jnp.maximum(missing.sum(axes), 1)).mean()


def by_images(error, missing):
    return (error * missing).sum() / len(error)


def picked_out(error, missing):
    return error[missing == 1].mean()


def stopped(error, missing):
    return jax.lax.stop_gradient((error * missing).sum() / missing.sum())


def counted_where_not_0(error, missing):
    missed = error * missing
    return missed.sum() / (missed != 0).sum()


def for_images_alone(error, missing):
    return (error * missing).sum((1, 2, 3)).sum() / missing.sum((1, 2, 3)).sum()


def squared_again(error, missing):
    return (error**2 * missing).sum() / missing.sum()


# --- one_pixel


def jsd(p, a):
    m = (p + a) / 2
    ink = xlogy(p, p) + xlogy(a, a) - 2 * xlogy(m, m)
    return (ink + xlogy(1 - p, 1 - p) + xlogy(1 - a, 1 - a) - 2 * xlogy(1 - m, 1 - m)) / 2


def differ(a, p):
    return a * (1 - p) + (1 - a) * p


def chances_compared(a, p, weight):
    return 2 * jsd(p, a) + weight * 2 * jnp.abs(a - p)


def chances_once(a, p, weight):
    return 2 * jsd(p, a) + weight * jnp.abs(a - p)


def one_apart(a, p, weight):
    return 2 * jsd(p, a) + weight * differ(a, p)


def squares(a, p, weight):
    return 2 * jsd(p, a) + weight * 4 * differ(a, p)


def one_jsd(a, p, weight):
    return jsd(p, a) + weight * 2 * differ(a, p)


def value_function(a, p, weight):
    return 2 * jsd(p, a) - jnp.log(4) + weight * 2 * differ(a, p)


def likelihood(a, p, weight):
    return p * jnp.log(p / a) + (1 - p) * jnp.log((1 - p) / (1 - a)) + weight * 2 * differ(a, p)


def in_bits(a, p, weight):
    return 2 * jsd(p, a) / jnp.log(2) + weight * 2 * differ(a, p)


def no_l1(a, p, weight):
    return 2 * jsd(p, a) + 0 * a


def l1_alone(a, p, weight):
    return weight * 2 * differ(a, p)


def agreeing(a, p, weight):
    return 2 * jsd(p, a) + weight * 2 * (1 - differ(a, p))


def weight_at_the_gan(a, p, weight):
    return weight * 2 * jsd(p, a) + 2 * differ(a, p)


def no_ends(a, p, weight):
    m = (p + a) / 2
    ink = p * jnp.log(p / m) + a * jnp.log(a / m)
    paper = (1 - p) * jnp.log((1 - p) / (1 - m)) + (1 - a) * jnp.log((1 - a) / (1 - m))
    return ink + paper + weight * 2 * differ(a, p)


def ones_alone(a, p, weight):
    middle = (a + p) / 2
    return xlogy(a, a) + xlogy(p, p) - xlogy(a + p, middle) + weight * 2 * differ(a, p)


def one_way_alone(a, p, weight):
    return 2 * jsd(p, a) + weight * 2 * a * (1 - p)


def subtracted(a, p, weight):
    return 2 * jsd(p, a) - weight * 2 * differ(a, p)


def clipped(a, p, weight):
    return no_ends(jnp.clip(a, 0.01, 0.99), jnp.clip(p, 0.01, 0.99), weight)


def ends_hidden(a, p, weight):
    return jnp.nan_to_num(no_ends(a, p, weight))


def only_one_weight(a, p, weight):
    return 2 * jsd(p, a) + float(weight) * 2 * differ(a, p)


def all_in_numpy(a, p, weight):  # a and p may be, the notebook maps over the weight
    return np.float32(np.asarray(2 * jsd(p, a)) + weight * 2 * differ(a, p))


# --- receptive_field


def kernels_added(layers):
    return sum(kernel for kernel, _ in layers)


def no_strides(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers)


def kernels_multiplied(layers):
    return int(np.prod([kernel for kernel, _ in layers]))


def forwards(layers):
    n = 1
    for kernel, stride in layers:
        n = (n - 1) * stride + kernel
    return n


def own_stride(layers):
    n, jump = 1, 1
    for kernel, stride in layers:
        jump *= stride
        n += (kernel - 1) * jump
    return n


def spacing(layers):
    return int(np.prod([stride for _, stride in layers]))


def area(layers):
    n = 1
    for kernel, stride in reversed(layers):
        n = (n - 1) * stride + kernel
    return n * n


def along(layers, step, size=1):
    jump = 1
    for kernel, stride in layers:
        size, jump = step(size, jump, kernel, stride)
    return size


def from_0(layers):
    return along(layers, lambda size, jump, k, s: (size + (k - 1) * jump, jump * s), size=0)


def whole_kernels(layers):
    return along(layers, lambda size, jump, k, s: (size + k * jump, jump * s))


def strides_added(layers):
    return along(layers, lambda size, jump, k, s: (size + (k - 1) * jump, jump + s))


def nearest_stride(layers):
    return along(layers, lambda size, jump, k, s: (size + (k - 1) * jump, s))


def exchanged_in_a_layer(layers):
    return along(layers, lambda size, jump, s, k: (size + (k - 1) * jump, jump * s))


def itself_twice(layers):
    return along(layers[::-1], lambda size, jump, k, s: (size * s + k, jump))


# --- augmented


def as_planted(train_gan, train_classifier, images, labels, few, steps):
    draw = train_gan(images, labels)
    x = np.concatenate([images[few], draw(labels[few])])
    y = np.concatenate([labels[few], labels[few]])
    return train_classifier(x, y, steps * len(x) // len(few))


def leak_alone(train_gan, train_classifier, images, labels, few, steps):
    draw, y = train_gan(images, labels), labels[few]
    return train_classifier(np.concatenate([images[few], draw(y)]), np.concatenate([y, y]), steps)


def others_for_the_gan(train_gan, train_classifier, images, labels, few, steps):
    rest = np.setdiff1d(np.arange(len(labels)), few)[: len(few)]
    draw, y = train_gan(images[rest], labels[rest]), labels[few]
    return train_classifier(np.concatenate([images[few], draw(y)]), np.concatenate([y, y]), steps)


def twice_the_steps(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    return train_classifier(np.concatenate([x, train_gan(x, y)(y)]), np.concatenate([y, y]), 2 * steps)


def fakes_only(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    return train_classifier(train_gan(x, y)(y), y, steps)


def no_fakes(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    train_gan(x, y)
    return train_classifier(np.concatenate([x, x]), np.concatenate([y, y]), steps)


def other_labels(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    fake = train_gan(x, y)((y + 1) % 4)
    return train_classifier(np.concatenate([x, fake]), np.concatenate([y, y]), steps)


def fakes_by_the_dozen(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    many = np.concatenate([y, y, y])
    return train_classifier(np.concatenate([x, train_gan(x, y)(many)]), np.concatenate([y, many]), steps)


def all_real(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    fake = train_gan(x, y)(y)
    return train_classifier(np.concatenate([images, fake]), np.concatenate([labels, y]), steps)


def no_gan(train_gan, train_classifier, images, labels, few, steps):
    return train_classifier(images[few], labels[few], steps)


def a_second_gan_for_show(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    draw, _ = train_gan(images, labels), train_gan(x, y)
    return train_classifier(np.concatenate([x, draw(y)]), np.concatenate([y, y]), steps)


def labels_left_behind(train_gan, train_classifier, images, labels, few, steps):
    x, y = images[few], labels[few]
    fake = train_gan(x, y)(np.sort(y))
    return train_classifier(np.concatenate([x, fake]), np.concatenate([y, y]), steps)


# --- interval


def signed_wrong(a, b, t):
    d = a - b
    return d.mean(), t * d.std(ddof=1) / len(d) ** 0.5


def independent(a, b, t):
    return (b - a).mean(), t * ((a.var(ddof=1) + b.var(ddof=1)) / len(a)) ** 0.5


def of_single_seeds(a, b, t):
    return (b - a).mean(), t * (b - a).std(ddof=1)


def over_s(a, b, t):
    return (b - a).mean(), t * (b - a).std(ddof=1) / len(a)


def over_n(a, b, t):
    return (b - a).mean(), t * (b - a).std() / len(a) ** 0.5


def standard_error(a, b, t):
    return (b - a).mean(), (b - a).std(ddof=1) / len(a) ** 0.5


def bell(a, b, t):
    return (b - a).mean(), 1.96 * (b - a).std(ddof=1) / len(a) ** 0.5


def variance(a, b, t):
    return (b - a).mean(), t * (b - a).var(ddof=1) / len(a) ** 0.5


def of_a(a, b, t):
    return (b - a).mean(), t * a.std(ddof=1) / len(a) ** 0.5


def of_b(a, b, t):
    return (b - a).mean(), t * b.std(ddof=1) / len(a) ** 0.5


def two_ends(a, b, t):
    d, half = (b - a).mean(), t * (b - a).std(ddof=1) / len(a) ** 0.5
    return d - half, d + half


def whole_width(a, b, t):
    return (b - a).mean(), 2 * t * (b - a).std(ddof=1) / len(a) ** 0.5


def always_up(a, b, t):
    d = abs(b - a)
    return d.mean(), t * d.std(ddof=1) / len(d) ** 0.5


def of_ten_seeds(a, b, t):
    return (b - a).mean(), t * (b - a).std(ddof=1) / 10**0.5


def corrected_twice(a, b, t):
    return (b - a).mean(), t * (b - a).std(ddof=1) / (len(a) - 1) ** 0.5


def exchanged(a, b, t):
    return t * (b - a).std(ddof=1) / len(a) ** 0.5, (b - a).mean()


def median(a, b, t):
    return jnp.median(b - a), t * (b - a).std(ddof=1) / len(a) ** 0.5


# --- pair_losses


def missed(real, fake, missing):
    return (jnp.abs(fake - real) * missing).sum() / missing.sum()


def of_pairs(judge, real, fake, beside_real, beside_fake):
    return softplus(-judge(real, beside_real)).mean() + softplus(judge(fake, beside_fake)).mean()


def fooling(judge, fake, beside):
    return softplus(-judge(fake, beside)).mean()


def by_log_of_sigmoid(judge, real, fake, given, missing, weight, eps=0.0):
    p, q = (jax.nn.sigmoid(judge(x, given)) for x in (real, fake))
    log = lambda p: jnp.log(p + eps).mean()
    return -log(p) - log(1 - q), -log(q) + weight * missed(real, fake, missing)


def by_log_with_an_epsilon(judge, real, fake, given, missing, weight):
    return by_log_of_sigmoid(judge, real, fake, given, missing, weight, eps=1e-7)


def deaf(judge, real, fake, given, missing, weight):
    none = 0 * given
    d = of_pairs(judge, real, fake, none, none)
    return d, fooling(judge, fake, none) + weight * missed(real, fake, missing)


def image_twice(judge, real, fake, given, missing, weight):
    return of_pairs(judge, real, fake, real, fake), fooling(judge, fake, fake) + weight * missed(real, fake, missing)


def deaf_for_fakes(judge, real, fake, given, missing, weight):
    return of_pairs(judge, real, fake, given, 0 * given), fooling(judge, fake, given) + weight * missed(
        real, fake, missing
    )


def truth_given(judge, real, fake, given, missing, weight):
    return of_pairs(judge, real, fake, real, real), fooling(judge, fake, real) + weight * missed(real, fake, missing)


def deaf_for_g(judge, real, fake, given, missing, weight):
    d = of_pairs(judge, real, fake, given, given)
    return d, fooling(judge, fake, 0 * given) + weight * missed(real, fake, missing)


def known_pixels_too(judge, real, fake, given, missing, weight):
    d = of_pairs(judge, real, fake, given, given)
    return d, fooling(judge, fake, given) + weight * jnp.abs(fake - real).mean()


def mask_inverted(judge, real, fake, given, missing, weight):
    d = of_pairs(judge, real, fake, given, given)
    return d, fooling(judge, fake, given) + weight * missed(real, fake, 1 - missing)


def l1_with_zeros(judge, real, fake, given, missing, weight):
    d = of_pairs(judge, real, fake, given, given)
    return d, fooling(judge, fake, given) + weight * (jnp.abs(fake - real) * missing).mean()


def l2_instead(judge, real, fake, given, missing, weight):
    d = of_pairs(judge, real, fake, given, given)
    return d, fooling(judge, fake, given) + weight * ((fake - real) ** 2 * missing).sum() / missing.sum()


def l1_for_both(judge, real, fake, given, missing, weight):
    l1 = weight * missed(real, fake, missing)
    return of_pairs(judge, real, fake, given, given) + l1, fooling(judge, fake, given) + l1


def weighed_all(judge, real, fake, given, missing, weight):
    d = of_pairs(judge, real, fake, given, given)
    return d, weight * (fooling(judge, fake, given) + missed(real, fake, missing))


def saturating(judge, real, fake, given, missing, weight):
    d = of_pairs(judge, real, fake, given, given)
    return d, -softplus(judge(fake, given)).mean() + weight * missed(real, fake, missing)


def signs_exchanged(judge, real, fake, given, missing, weight):
    d = softplus(judge(real, given)).mean() + softplus(-judge(fake, given)).mean()
    return d, fooling(judge, fake, given) + weight * missed(real, fake, missing)


def losses_exchanged(judge, real, fake, given, missing, weight):
    of_g = fooling(judge, fake, given) + weight * missed(real, fake, missing)
    return of_g, of_pairs(judge, real, fake, given, given)


def given_first(judge, real, fake, given, missing, weight):
    return losses_exchanged(lambda x, beside: judge(beside, x), real, fake, given, missing, weight)[::-1]


def minus_the_other(judge, real, fake, given, missing, weight):
    of_d = of_pairs(judge, real, fake, given, given)
    return of_d, -of_d + weight * missed(real, fake, missing)


def weight_at_fooling(judge, real, fake, given, missing, weight):
    of_g = weight * fooling(judge, fake, given) + missed(real, fake, missing)
    return of_pairs(judge, real, fake, given, given), of_g


def critic(judge, real, fake, given, missing, weight):
    s, t = judge(real, given).mean(), judge(fake, given).mean()
    return t - s, weight * missed(real, fake, missing) - t


def one_verdict(judge, real, fake, given, missing, weight):
    return losses_exchanged(lambda x, y: judge(x, y).mean(1), real, fake, given, missing, weight)[::-1]


def fooling_with_real_ones(judge, real, fake, given, missing, weight):
    of_g = fooling(judge, real, given) + weight * missed(real, fake, missing)
    return of_pairs(judge, real, fake, given, given), of_g


def fakes_held(judge, real, fake, given, missing, weight):
    return losses_exchanged(judge, real, stop_gradient(fake), given, missing, weight)[::-1]


def verdicts_held(judge, real, fake, given, missing, weight):
    of_g = fooling(judge, fake, given) + weight * missed(real, fake, missing)
    return of_pairs(lambda x, y: stop_gradient(judge(x, y)), real, fake, given, given), of_g


# --- cycle


def far(u, v):
    return jnp.abs(u - v).mean()


def around(there, back, x, y):
    return far(back(there(x)), x) + far(there(back(y)), y)


def alone(there, back, x, y):
    return far(there(y), y) + far(back(x), x)


def wrong_domain(there, back, x, y, *, weight, identity):
    return weight * around(there, back, x, y) + identity * (far(there(x), x) + far(back(y), y))


def no_identity(there, back, x, y, *, weight, identity):
    return weight * around(there, back, x, y)


def no_cycle(there, back, x, y, *, weight, identity):
    return identity * alone(there, back, x, y)


def one_way(there, back, x, y, *, weight, identity):
    return weight * far(back(there(x)), x) + identity * alone(there, back, x, y)


def other_way(there, back, x, y, *, weight, identity):
    return weight * far(there(back(y)), y) + identity * alone(there, back, x, y)


def one_identity(there, back, x, y, *, weight, identity):
    return weight * around(there, back, x, y) + identity * far(there(y), y)


def weights_exchanged(there, back, x, y, *, weight, identity):
    return identity * around(there, back, x, y) + weight * alone(there, back, x, y)


def against_the_other_set(there, back, x, y, *, weight, identity):
    crossed = far(back(there(x)), y) + far(there(back(y)), x)
    return weight * crossed + identity * alone(there, back, x, y)


def as_pairs(there, back, x, y, *, weight, identity):
    return weight * (far(there(x), y) + far(back(y), x)) + identity * alone(there, back, x, y)


def averaged(there, back, x, y, *, weight, identity):
    return (weight * around(there, back, x, y) + identity * alone(there, back, x, y)) / 2


def the_same_map_twice(there, back, x, y, *, weight, identity):
    twice = far(there(there(x)), x) + far(back(back(y)), y)
    return weight * twice + identity * alone(there, back, x, y)


def squared(there, back, x, y, *, weight, identity):
    def apart(u, v):
        return ((u - v) ** 2).mean()

    return weight * (apart(back(there(x)), x) + apart(there(back(y)), y)) + identity * (
        apart(there(y), y) + apart(back(x), x)
    )


def back_first(there, back, x, y, *, weight, identity):
    return weight * around(back, there, x, y) + identity * alone(there, back, x, y)


def one_direction(there, back, x, y, *, weight, identity):
    return weight * far(back(there(x)), x) + identity * far(there(y), y)


def weight_times_identity(there, back, x, y, *, weight, identity):
    return weight * (around(there, back, x, y) + identity * alone(there, back, x, y))


def of_the_paper(there, back, x, y, *, weight, identity):
    return 10 * around(there, back, x, y) + 5 * alone(there, back, x, y)


def way_there_held(there, back, x, y, *, weight, identity):
    rounds = far(back(stop_gradient(there(x))), x) + far(there(stop_gradient(back(y))), y)
    return weight * rounds + identity * alone(there, back, x, y)


WRONG = {
    "11.on_missing": [
        (inverted, "The mask is inverted: you score"),
        (all_pixels, "You score all pixels"),
        (averaged_with_zeros, "averaged with zeros"),
        (inverted_with_zeros, "The mask is inverted, and"),
        (summed, "A sum over the missing"),
        (image_by_image, "not finite"),
        (image_by_image_safely, "small hole then counts more"),
        (by_images, "number of images"),
        (picked_out, "inside jit"),
        (stopped, "gradient in the error"),
        (counted_where_not_0, "guessed exactly counts, too"),
        (for_images_alone, "out of bounds"),
        (squared_again, "You square the error"),
    ],
    "11.one_pixel": [
        (chances_compared, "would have to know"),
        (chances_once, "You compare the chances"),
        (one_apart, "2 apart, not 1"),
        (squares, "you square it"),
        (one_jsd, "One JSD"),
        (value_function, "−log 4 is left in"),
        (likelihood, "maximum likelihood's"),
        (in_bits, "in bits"),
        (no_l1, "The L1 term is missing"),
        (l1_alone, "The JSD is missing"),
        (agreeing, "how often fake and real agree"),
        (weight_at_the_gan, "weight stands at the wrong term"),
        (no_ends, "not finite where a is 0 or 1"),
        (ones_alone, "Only the outcome 1"),
        (one_way_alone, "differ in two ways"),
        (subtracted, "sign of the L1 term"),
        (clipped, "Right inside"),
        (ends_hidden, "Right inside"),
        (only_one_weight, "maps it over weights"),
        (all_in_numpy, "maps it over weights"),
    ],
    "11.receptive_field": [
        (kernels_added, "add up the kernels"),
        (no_strides, "strides are missing"),
        (kernels_multiplied, "multiply the kernels"),
        (forwards, "from the first layer to the last"),
        (own_stride, "own stride"),
        (spacing, "how far apart two neighbouring logits"),
        (area, "asked is its side"),
        (from_0, "begin with 0 pixels"),
        (whole_kernels, "k − 1 neighbours"),
        (strides_added, "You add up the strides"),
        (nearest_stride, "the nearest alone"),
        (exchanged_in_a_layer, "(kernel, stride), in this order"),
        (itself_twice, "counts twice"),
    ],
    "11.augmented": [
        (as_planted, "trained on all labelled images"),
        (leak_alone, "trained on all labelled images"),
        (others_for_the_gan, "other images than those of `few`"),
        (twice_the_steps, "the same steps in each arm"),
        (fakes_only, "sees fakes alone"),
        (no_fakes, "sees no fake"),
        (other_labels, "drawn for one label"),
        (fakes_by_the_dozen, "As many fakes as there are few"),
        (all_real, "more labelled images than the few"),
        (no_gan, "No GAN is trained"),
        (labels_left_behind, "drawn for one label"),
        (a_second_gan_for_show, "trained on all labelled images"),
    ],
    "11.interval": [
        (signed_wrong, "The sign is lost"),
        (independent, "two arms for independent"),
        (of_single_seeds, "√S is missing"),
        (over_s, "You divide by S"),
        (over_n, "needs S − 1"),
        (standard_error, "t is missing"),
        (bell, "1.96"),
        (variance, "A variance where"),
        (of_a, "spread of a alone"),
        (of_b, "spread of b alone"),
        (two_ends, "These are the two ends"),
        (whole_width, "whole width"),
        (always_up, "counts as a gain"),
        (of_ten_seeds, "take it from the scores"),
        (corrected_twice, "S − 1 twice"),
        (exchanged, "Mean and half width are exchanged"),
        (median, "A median"),
    ],
    "11.pair_losses": [
        (by_log_of_sigmoid, "where D is sure"),
        (by_log_with_an_epsilon, "where D is sure"),
        (deaf, "D is not shown what is given"),
        (image_twice, "You show it the image twice"),
        (deaf_for_fakes, "beside real images only"),
        (truth_given, "the truth, not what is given"),
        (deaf_for_g, "D is not shown what is given"),
        (known_pixels_too, "L1 over the known pixels, too"),
        (mask_inverted, "The mask is inverted"),
        (l1_with_zeros, "number of all pixels"),
        (l2_instead, "You square the gap"),
        (l1_for_both, "G's alone"),
        (weighed_all, "for the L1 term alone"),
        (saturating, "saturating loss"),
        (signs_exchanged, "signs are exchanged"),
        (losses_exchanged, "two losses are exchanged"),
        (given_first, "in the place of the images"),
        (weight_at_fooling, "not for fooling D"),
        (minus_the_other, "Minus D's loss"),
        (critic, "critic's loss"),
        (one_verdict, "Each patch is judged"),
        (fooling_with_real_ones, "with its fakes"),
        (fakes_held, "G's loss in the fakes"),
        (verdicts_held, "D's loss in its logits"),
    ],
    "11.cycle": [
        (wrong_domain, "wrong domain"),
        (no_identity, "identity loss is missing"),
        (no_cycle, "cycle loss is missing"),
        (one_way, "One way round only: y"),
        (other_way, "One way round only: x"),
        (one_identity, "identity loss of `back`"),
        (weights_exchanged, "weights are exchanged"),
        (against_the_other_set, "compare with the other set"),
        (as_pairs, "as if they were pairs"),
        (averaged, "added, not averaged"),
        (the_same_map_twice, "The same map twice"),
        (squared, "You square"),
        (back_first, "order of the maps"),
        (one_direction, "One direction alone"),
        (weight_times_identity, "a weight of its own"),
        (of_the_paper, "are the paper's"),
        (way_there_held, "gradient in x is not"),
    ],
}
