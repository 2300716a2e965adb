"""Wrong answers to the exercises of notebook 05, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np

# --- output_size


def sizes(convolution):
    """An answer from its formula."""

    def output_size(n, size, stride=1, padding=0):
        return convolution(n, size, stride, padding)

    return output_size


def right_size(n, k, s, p):
    return (n + 2 * p - k) // s + 1


moves_only = sizes(lambda n, k, s, p: (n + 2 * p - k) // s)
stride_forgotten = sizes(lambda n, k, s, p: n + 2 * p - k + 1)
rounded_up = sizes(lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1)
true_division = sizes(lambda n, k, s, p: (n + 2 * p - k) / s + 1)
one_added_first = sizes(lambda n, k, s, p: (n + 2 * p - k + 1) // s)
padded_once = sizes(lambda n, k, s, p: (n + p - k) // s + 1)
padding_forgotten = sizes(lambda n, k, s, p: (n - k) // s + 1)
same_padding = sizes(lambda n, k, s, p: -(-n // s))
of_the_transpose = sizes(lambda n, k, s, p: (n - 1) * s + k - 2 * p)
n_by_stride = sizes(lambda n, k, s, p: n // s)
places_by_stride = sizes(lambda n, k, s, p: n // s + 1)
brackets_missing = sizes(lambda n, k, s, p: n + 2 * p - k // s + 1)
padding_subtracted = sizes(lambda n, k, s, p: (n - 2 * p - k) // s + 1)


def other_defaults(n, size, stride=2, padding=0):
    return right_size(n, size, stride, padding)


# --- convolve


def slide(x, kernel, stride):
    k = len(kernel)
    h, w = ((n - k) // stride + 1 for n in x.shape)
    rows = [[x[stride * i : stride * i + k, stride * j : stride * j + k] for j in range(w)] for i in range(h)]
    return jnp.array([[(window * kernel).sum() for window in row] for row in rows])


def kernel_turned(x, kernel, stride=1):
    return slide(x, kernel[::-1, ::-1], stride)


def kernel_transposed(x, kernel, stride=1):
    return slide(x, kernel.T, stride)


def stride_ignored(x, kernel, stride=1):
    return slide(x, kernel, 1)


def mean_of_window(x, kernel, stride=1):
    return slide(x, kernel, stride) / kernel.size


def padded(x, kernel, stride=1):
    before = (len(kernel) - 1) // 2
    after = len(kernel) - 1 - before
    return slide(jnp.pad(x, (before, after)), kernel, stride)


def last_place_missing(x, kernel, stride=1):
    return slide(x, kernel, stride)[:-1, :-1]


def matrix_product(x, kernel, stride=1):
    k = len(kernel)
    h, w = ((n - k) // stride + 1 for n in x.shape)
    windows = [[x[stride * i : stride * i + k, stride * j : stride * j + k] for j in range(w)] for i in range(h)]
    return jnp.array([[(window @ kernel).sum() for window in row] for row in windows])


def not_moved_by_stride(x, kernel, stride=1):
    k = len(kernel)
    h, w = ((n - k) // stride + 1 for n in x.shape)
    return slide(x, kernel, 1)[:h, :w]


def numbers_from_numpy(x, kernel, stride=1):
    k = len(kernel)
    y = np.zeros([(n - k) // stride + 1 for n in x.shape])
    for i, j in np.ndindex(*y.shape):
        y[i, j] = (x[stride * i : stride * i + k, stride * j : stride * j + k] * kernel).sum()
    return y


def numpys_copy(x, kernel, stride=1):
    return jnp.asarray(numbers_from_numpy(np.asarray(x), np.asarray(kernel), stride))


def floats_from_jax(x, kernel, stride=1):
    return jnp.array([[float(number) for number in row] for row in slide(x, kernel, stride)])


def no_gradient(x, kernel, stride=1):
    return jax.lax.stop_gradient(slide(x, kernel, stride))


def moved_by_size(x, kernel, stride=1):
    return slide(x, kernel, len(kernel))


def counted_for_three(x, kernel, stride=1):
    h, w = ((n - 3) // stride + 1 for n in x.shape)
    whole = jnp.pad(slide(x, kernel, stride), ((0, 9), (0, 9)))
    return whole[:h, :w]


def square_only(x, kernel, stride=1):
    side = min(x.shape)
    return slide(x[:side, :side], kernel, stride)


def window_without_kernel(x, kernel, stride=1):
    return slide(x, jnp.ones_like(kernel), stride)


def mirrored(x, kernel, stride=1):
    return slide(x, kernel[:, ::-1], stride)


# --- scatter


def lay(y, kernel, stride, over=False):
    k, (h, w) = len(kernel), y.shape
    x = jnp.zeros((stride * (h - 1) + k, stride * (w - 1) + k))
    for i, j in np.ndindex(h, w):
        place = x.at[stride * i : stride * i + k, stride * j : stride * j + k]
        x = place.set(y[i, j] * kernel) if over else place.add(y[i, j] * kernel)
    return x


def square_picture(y, kernel, stride=1):
    h = len(y)
    x = jnp.zeros((stride * (h - 1) + len(kernel),) * 2)
    for i in range(h):
        for j in range(min(h, y.shape[1])):
            place = x.at[stride * i : stride * i + len(kernel), stride * j : stride * j + len(kernel)]
            x = place.add(y[i, j] * kernel)
    return x


def covered(y, kernel, stride=1):
    return lay(y, kernel, stride, over=True)


def stamps_turned(y, kernel, stride=1):
    return lay(y, kernel[::-1, ::-1], stride)


def stamps_transposed(y, kernel, stride=1):
    return lay(y, kernel.T, stride)


def stamps_together(y, kernel, stride=1):
    return lay(y, kernel, 1)


def not_weighted(y, kernel, stride=1):
    return lay(jnp.ones_like(y), kernel, stride)


def edge_cut(y, kernel, stride=1):
    return lay(y, kernel, stride)[: stride * len(y), : stride * y.shape[1]]


def too_large(y, kernel, stride=1):
    return jnp.pad(lay(y, kernel, stride), (0, stride))


def cut_all_round(y, kernel, stride=1):
    top, (h, w) = (len(kernel) - stride) // 2, y.shape
    return lay(y, kernel, stride)[top : top + stride * h, top : top + stride * w] if top > 0 else lay(y, kernel, stride)


def indices_exchanged(y, kernel, stride=1):
    h, w = y.shape
    return lay(jnp.array([[y[j, i] for j in range(w)] for i in range(h)]), kernel, stride)


def side_by_side(y, kernel, stride=1):
    return jnp.kron(y, kernel)


def mean_of_copies(y, kernel, stride=1):
    return lay(y, kernel, stride) / jnp.maximum(lay(jnp.ones_like(y), jnp.ones_like(kernel), stride), 1)


# --- hits


def counted(below, size, stride):
    line = np.zeros(stride * (len(below) - 1) + size, int)
    for i, terms in enumerate(below):
        line[stride * i : stride * i + size] += terms
    return line


def marked(below, size, stride):
    return np.minimum(counted(below, size, stride), 1)


def copies_counted(below, size, stride):
    return counted(np.ones_like(below), size, stride)


def exchanged(below, size, stride):
    return counted(below, stride, size)


def end_cut(below, size, stride):
    return counted(below, size, stride)[: len(below) * stride]


def share_of_hits(below, size, stride):
    return counted(below, size, stride) / size


def for_inputs(below, size, stride):
    return size * below


def as_floats(below, size, stride):
    return counted(below, size, stride).astype(float)


def as_inside(below, size, stride):
    return np.full(len(counted(below, size, stride)), size // stride)


def stride_left_out(below, size, stride):
    return counted(below, size, 1)


def last_one_wins(below, size, stride):
    line = np.zeros(stride * (len(below) - 1) + size, int)
    for i, terms in enumerate(below):
        line[stride * i : stride * i + size] = terms
    return line


def from_the_end(below, size, stride):
    return counted(below[::-1], size, stride)


def in_the_plane(below, size, stride):
    line = counted(below, size, stride)
    return np.outer(line, line)


# --- batch_spread


def deviation(x):
    return jnp.sqrt(x.var(axis=0) + 1e-4)


def beside(x, spread):
    return jnp.concatenate([x, jnp.broadcast_to(spread, x.shape)], axis=1)


def variances(x):
    return beside(x, x.var(axis=0))


def unbiased(x):
    return beside(x, x.std(axis=0, ddof=1))


def over_features(x):
    return beside(x, x.std(axis=1, keepdims=True))


def over_features_once(x):
    return jnp.concatenate([x, x.std(axis=1, keepdims=True)], axis=1)


def one_number(x):
    return beside(x, deviation(x).mean())


def one_column(x):
    return jnp.concatenate([x, jnp.broadcast_to(deviation(x).mean(), (len(x), 1))], axis=1)


def of_all_entries(x):
    return beside(x, x.std())


def without_epsilon(x):
    return beside(x, x.std(axis=0))


def epsilon_outside(x):
    return beside(x, jnp.sqrt(x.var(axis=0)) + 1e-4)


def blocked(x):
    return beside(x, jax.lax.stop_gradient(deviation(x)))


def through_numpy(x):
    return beside(x, np.asarray(x).std(axis=0))


def spread_first(x):
    return jnp.concatenate([jnp.broadcast_to(deviation(x), x.shape), x], axis=1)


def spread_alone(x):
    return jnp.broadcast_to(deviation(x), x.shape)


def spread_added(x):
    return x + deviation(x)


def normalised(x):
    return x / deviation(x)


def under_the_batch(x):
    return jnp.concatenate([x, deviation(x)[None]], axis=0)


def distances_from_mean(x):
    return beside(x, abs(x - x.mean(axis=0)))


def mean_not_subtracted(x):
    return beside(x, jnp.sqrt((x**2).mean(axis=0)))


def large_epsilon(x):
    return beside(x, jnp.sqrt(x.var(axis=0) + 0.012))


def by_two_means(x):
    return beside(x, jnp.sqrt((x**2).mean(axis=0) - x.mean(axis=0) ** 2 + 1e-4))


# --- honest_error


def error(formula):
    def honest_error(held_out, samples):
        return formula(float(held_out), float(samples))

    return honest_error


def exact(m, n):
    return np.sqrt((m + n + 1) / (12 * m * n))


WRONG = {
    "05.output_size": [
        (moves_only, "add 1"),
        (stride_forgotten, "forget the stride"),
        (rounded_up, "You round up"),
        (true_division, "You return a float"),
        (one_added_first, "before you divide"),
        (padded_once, "it counts twice"),
        (padding_forgotten, "You forget the padding"),
        (same_padding, "SAME padding"),
        (of_the_transpose, "size of the transposed convolution"),
        (n_by_stride, "leave the kernel and the padding out"),
        (places_by_stride, "leave the kernel and the padding out"),
        (brackets_missing, "Brackets are missing"),
        (padding_subtracted, "You subtract the padding"),
        (other_defaults, "stub's defaults"),
    ],
    "05.convolve": [
        (kernel_turned, "You turn the kernel round"),
        (kernel_transposed, "Rows and columns of your kernel"),
        (stride_ignored, "forget the stride"),
        (mean_of_window, "mean over the window"),
        (padded, "nothing is padded"),
        (last_place_missing, "last place of the window is missing"),
        (matrix_product, "`@` is a matrix product"),
        (not_moved_by_stride, "starts at (s·i, s·j)"),
        (numbers_from_numpy, "differentiates your function by jax.vjp"),
        (numpys_copy, "differentiates your function by jax.vjp"),
        (floats_from_jax, "keep the array"),
        (no_gradient, "its gradient"),
        (moved_by_size, "by its own size"),
        (counted_for_three, "3 × 3 window"),
        (square_only, "need not be square"),
        (window_without_kernel, "Multiply it by the kernel first"),
        (mirrored, "Your kernel is mirrored"),
    ],
    "05.scatter": [
        (square_picture, "Your result is square"),
        (covered, "Add them up"),
        (stamps_turned, "turned round"),
        (stamps_transposed, "Rows and columns of your kernel"),
        (stamps_together, "forget the stride"),
        (not_weighted, "multiplied by its pixel"),
        (edge_cut, "edge is cut off"),
        (too_large, "too large"),
        (cut_all_round, "Edges are cut off"),
        (indices_exchanged, "y[j, i]"),
        (side_by_side, "side by side"),
        (mean_of_copies, "you take their mean"),
    ],
    "05.hits": [
        (marked, "add their terms"),
        (copies_counted, "below[i] terms"),
        (exchanged, "Size and stride are exchanged"),
        (end_cut, "The end is cut off"),
        (share_of_hits, "the number of terms is asked for"),
        (for_inputs, "*input* pixels"),
        (as_floats, "yours are floats"),
        (as_inside, "well inside at most"),
        (stride_left_out, "forget the stride"),
        (last_one_wins, "covers the one before"),
        (from_the_end, "from its end"),
        (in_the_plane, "A line is asked for"),
    ],
    "05.batch_spread": [
        (variances, "You put variances there"),
        (unbiased, "n − 1"),
        (over_features, "over the features of one sample"),
        (over_features_once, "over the features of one sample"),
        (one_number, "You average over the features"),
        (one_column, "one number is beside the features"),
        (of_all_entries, "one deviation of all entries"),
        (without_epsilon, "the gradient is NaN"),
        (epsilon_outside, "the gradient is NaN"),
        (blocked, "no gradient comes back"),
        (through_numpy, "inside jit"),
        (spread_first, "The spread stands first"),
        (spread_alone, "You return the spread alone"),
        (spread_added, "You add the spread"),
        (normalised, "as BatchNorm does"),
        (under_the_batch, "join along the batch"),
        (distances_from_mean, "each sample's own distance"),
        (mean_not_subtracted, "forget to subtract the mean"),
        (large_epsilon, "A smaller ε"),
        (by_two_means, "rounds below 0"),
        (deviation, "You return the spread alone, once"),
    ],
    "05.honest_error": [
        (error(lambda m, n: exact(m, n) ** 2), "That is the variance"),
        (error(lambda m, n: 0.5 / np.sqrt(n)), "a coin for each sample"),
        (error(lambda m, n: 0.5 / np.sqrt(m)), "a coin for each held-out point"),
        (error(lambda m, n: 1 / np.sqrt(12 * n)), "held-out points for exact"),
        (error(lambda m, n: 1 / np.sqrt(12 * m)), "the samples for exact"),
        (error(lambda m, n: 0.5 / np.sqrt(m * n)), "a coin for each pair"),
        (error(lambda m, n: 0.5 * np.sqrt(1 / m + 1 / n)), "1/12, not 1/4"),
        (error(lambda m, n: 1 / np.sqrt(12 * (m + n))), "You pool both sets"),
        (error(lambda m, n: np.sqrt(m * n * (m + n + 1) / 12)), "*number* of pairs"),
        (error(lambda m, n: 0.5), "the mean of `nearer`"),
        (error(lambda m, n: np.sqrt(1 / 12)), "one uniform number"),
        (error(lambda m, n: np.sqrt((m + n + 1) / (m * n))), "A factor is missing"),
        (error(lambda m, n: 1.96 * exact(m, n)), "One deviation is asked for"),
    ],
}
