"""Wrong answers to the exercises of notebook 05, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np

# --- output_size


def sizes(convolution, transpose):
    """An answer from its two formulas."""

    def output_size(n, size, stride=1, padding=0, transposed=False):
        return (transpose if transposed else convolution)(n, size, stride, padding)

    return output_size


def right_size(n, k, s, p):
    return (n + 2 * p - k) // s + 1


def right_transpose(n, k, s, p):
    return (n - 1) * s + k - 2 * p


def transposed_ignored(n, size, stride=1, padding=0, transposed=False):
    return (n + 2 * padding - size) // stride + 1


moves_only = sizes(lambda n, k, s, p: (n + 2 * p - k) // s, right_transpose)
stride_forgotten = sizes(lambda n, k, s, p: n + 2 * p - k + 1, right_transpose)
rounded_up = sizes(lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1, right_transpose)
true_division = sizes(lambda n, k, s, p: (n + 2 * p - k) / s + 1, right_transpose)
one_added_first = sizes(lambda n, k, s, p: (n + 2 * p - k + 1) // s, right_transpose)
padded_once = sizes(lambda n, k, s, p: (n + p - k) // s + 1, right_transpose)
padding_forgotten = sizes(lambda n, k, s, p: (n - k) // s + 1, right_transpose)
same_padding = sizes(lambda n, k, s, p: -(-n // s), right_transpose)
transpose_first = sizes(right_transpose, right_transpose)
n_moves = sizes(right_size, lambda n, k, s, p: n * s + k - 2 * p)
padding_added = sizes(right_size, lambda n, k, s, p: (n - 1) * s + k + 2 * p)
cut_once = sizes(right_size, lambda n, k, s, p: (n - 1) * s + k - p)
cut_forgotten = sizes(right_size, lambda n, k, s, p: (n - 1) * s + k)
same_transpose = sizes(right_size, lambda n, k, s, p: n * s)
n_by_stride = sizes(lambda n, k, s, p: n // s, right_transpose)
brackets_missing = sizes(lambda n, k, s, p: n + 2 * p - k // s + 1, right_transpose)
padding_subtracted = sizes(lambda n, k, s, p: (n - 2 * p - k) // s + 1, right_transpose)
transpose_without_stride = sizes(right_size, lambda n, k, s, p: n - 1 + k - 2 * p)
transpose_as_jax = sizes(right_size, lambda n, k, s, p: n * s + max(k - s, 0) - 2 * p)
transpose_without_size = sizes(right_size, lambda n, k, s, p: (n - 1) * s - 2 * p)


def other_defaults(n, size, stride=2, padding=0, transposed=False):
    return (right_transpose if transposed else right_size)(n, size, stride, padding)


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


def marked(n, size, stride):
    return np.minimum(counted(n, size, stride), 1)


def counted(n, size, stride):
    return np.convolve(np.bincount(stride * np.arange(n)), np.ones(size, int))


def exchanged(n, size, stride):
    return counted(n, stride, size)


def end_cut(n, size, stride):
    return counted(n, size, stride)[: n * stride]


def share_of_hits(n, size, stride):
    return counted(n, size, stride) / size


def for_inputs(n, size, stride):
    return np.full(n, size)


def as_floats(n, size, stride):
    return counted(n, size, stride).astype(float)


def as_inside(n, size, stride):
    return np.full(len(counted(n, size, stride)), size // stride)


def stride_left_out(n, size, stride):
    return counted(n, size, 1)


# --- depth_to_space


def reshape_only(x, s):
    b, h, w, c = x.shape
    return x.reshape(b, s * h, s * w, c // s**2)


def parts(x, s):
    b, h, w, c = x.shape
    return x.reshape(b, h, w, s, s, c // s**2)


def joined(x):
    b, h, s, w, _, c = x.shape
    return x.reshape(b, h * s, w * s, c)


def tiled(x, s):
    b, h, w, c = x.shape
    return parts(x, s).transpose(0, 3, 1, 4, 2, 5).reshape(b, s * h, s * w, c // s**2)


def columns_first(x, s):
    return joined(parts(x, s).transpose(0, 1, 4, 2, 3, 5))


def channels_first(x, s):
    b, h, w, c = x.shape
    return joined(x.reshape(b, h, w, c // s**2, s, s).transpose(0, 1, 4, 2, 5, 3))


def repeated(x, s):
    x = x[..., : x.shape[3] // s**2]
    return jnp.repeat(jnp.repeat(x, s, axis=1), s, axis=2)


def not_joined(x, s):
    return parts(x, s).swapaxes(2, 3)


def another_order(x, s):
    b, h, w, c = x.shape
    return parts(x, s).transpose(0, 2, 3, 1, 4, 5).reshape(b, s * h, s * w, c // s**2)


def repeated_last(x, s):
    x = x[..., -(x.shape[3] // s**2) :]
    return jnp.repeat(jnp.repeat(x, s, axis=1), s, axis=2)


def turned_blocks(x, s):
    return joined(parts(x, s)[:, :, :, ::-1, ::-1].swapaxes(2, 3))


# --- dropout


def mask(x, rate, key, train):
    return jax.random.bernoulli(key, 1 - rate, x.shape) if train else jnp.ones(x.shape, bool)


def never_scaled(x, rate, *, key, train):
    return jnp.where(mask(x, rate, key, train), x, 0)


def multiplied(x, rate, *, key, train):
    return jnp.where(mask(x, rate, key, train), (1 - rate) * x if train else x, 0)


def divided_by_rate(x, rate, *, key, train):
    return jnp.where(mask(x, rate, key, train), x / rate if train else x, 0)


def rate_kept(x, rate, *, key, train):
    return jnp.where(mask(x, 1 - rate, key, train), x / rate if train else x, 0)


def always(x, rate, *, key, train):
    return jnp.where(mask(x, rate, key, True), x / (1 - rate), 0)


def scaled_in_evaluation(x, rate, *, key, train):
    return jnp.where(mask(x, rate, key, train), x, 0) if train else (1 - rate) * x


def own_key(x, rate, *, key, train):
    return jnp.where(mask(x, rate, jax.random.key(0), train), x / (1 - rate) if train else x, 0)


def one_mask_for_all(x, rate, *, key, train):
    keep = mask(x[:1], rate, key, train)
    return jnp.where(keep, x / (1 - rate) if train else x, 0)


def numpys_state(x, rate, *, key, train):
    keep = np.random.random(x.shape) > rate if train else True  # noqa: NPY002
    return jnp.where(keep, x / (1 - rate) if train else x, 0)


def in_training(drop):
    def dropout(x, rate, *, key, train):
        return drop(x, rate, key) if train else x

    return dropout


def kept(key, rate, shape):
    return jax.random.bernoulli(key, 1 - rate, shape)


own_rate = in_training(lambda x, rate, key: jnp.where(kept(key, 0.3, x.shape), x / 0.7, 0))
own_factor = in_training(lambda x, rate, key: jnp.where(kept(key, rate, x.shape), x / 0.7, 0))
two_axes = in_training(lambda x, rate, key: jnp.where(kept(key, rate, x.shape[:2]), x / (1 - rate), 0))
negatives_dropped = in_training(lambda x, rate, key: jnp.where(x * kept(key, rate, x.shape) > 0, x / (1 - rate), 0))
halves_alike = in_training(
    lambda x, rate, key: (
        x * jnp.tile(kept(key, rate, (len(x) // 2, *x.shape[1:])), (2,) + (1,) * (x.ndim - 1)) / (1 - rate)
    )
)
whole_channels = in_training(
    lambda x, rate, key: x * kept(key, rate, (len(x), *(1,) * (x.ndim - 2), x.shape[-1])) / (1 - rate)
)
by_what_stayed = in_training(lambda x, rate, key: (x * (keep := kept(key, rate, x.shape))) / keep.mean())
dropped_twice = in_training(
    lambda x, rate, key: x * kept(key, rate, x.shape) * kept(jax.random.fold_in(key, 1), rate, x.shape) / (1 - rate)
)
mask_alone = in_training(lambda x, rate, key: kept(key, rate, x.shape) / (1 - rate))
sign_lost = in_training(lambda x, rate, key: abs(x) * kept(key, rate, x.shape) / (1 - rate))


def modes_exchanged(x, rate, *, key, train):
    return x if train else jnp.where(kept(key, rate, x.shape), x / (1 - rate), 0)


WRONG = {
    "05.output_size": [
        (transposed_ignored, "You ignore `transposed`"),
        (moves_only, "add 1"),
        (stride_forgotten, "forget the stride"),
        (rounded_up, "You round up"),
        (true_division, "You return a float"),
        (one_added_first, "before you divide"),
        (padded_once, "it counts twice"),
        (padding_forgotten, "You forget the padding"),
        (same_padding, "SAME padding"),
        (transpose_first, "size of the transposed convolution"),
        (n_moves, "n − 1 moves"),
        (padding_added, "subtract it"),
        (cut_once, "cut off at both ends: it counts twice"),
        (cut_forgotten, "You forget the padding, which is cut off"),
        (same_transpose, "SAME padding"),
        (n_by_stride, "leave the kernel and the padding out"),
        (brackets_missing, "Brackets are missing"),
        (padding_subtracted, "You subtract the padding"),
        (transpose_without_stride, "forget the stride"),
        (transpose_as_jax, "JAX's rule"),
        (transpose_without_size, "forget the kernel's size"),
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
        (marked, "count each of them"),
        (exchanged, "Size and stride are exchanged"),
        (end_cut, "The end is cut off"),
        (share_of_hits, "the number of hits is asked for"),
        (for_inputs, "*input* pixels"),
        (as_floats, "yours are floats"),
        (as_inside, "well inside at most"),
        (stride_left_out, "forget the stride"),
    ],
    "05.depth_to_space": [
        (reshape_only, "mixes rows up"),
        (tiled, "side by side as whole images"),
        (columns_first, "Rows and columns of each block"),
        (channels_first, "(C, s, s)"),
        (repeated, "You repeat the first channels"),
        (not_joined, "has shape"),
        (another_order, "in the order (0, 2, 3, 1, 4, 5)"),
        (repeated_last, "You repeat the last channels"),
        (turned_blocks, "Each block is turned round"),
    ],
    "05.dropout": [
        (never_scaled, "are not scaled"),
        (multiplied, "Divide, and the mean stays"),
        (divided_by_rate, "You divide by rate"),
        (rate_kept, "the share to drop"),
        (always, "You drop in evaluation"),
        (scaled_in_evaluation, "scaling is part of training"),
        (own_key, "Two different keys give the same mask"),
        (one_mask_for_all, "whole rows or columns"),
        (numpys_state, "two different masks"),
        (own_rate, "expected about 60%"),
        (own_factor, "You divide by 0.7"),
        (two_axes, "ncompatible shapes"),
        (negatives_dropped, "Negative entries are dropped"),
        (halves_alike, "masks come again"),
        (whole_channels, "along axis 1 all masks are the same"),
        (by_what_stayed, "happened to stay"),
        (dropped_twice, "you drop twice"),
        (mask_alone, "You return the mask"),
        (sign_lost, "come out positive"),
        (modes_exchanged, "are exchanged"),
    ],
}
