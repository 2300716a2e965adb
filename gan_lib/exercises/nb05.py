"""Notebook 05, convolutional GANs: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.compare import recognise


def picture(seed, *shape):
    """Random numbers of that shape, as JAX holds them."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


NAMES = "n", "size", "stride", "padding"


# --- 05.output_size -------------------------------------------------------------------------------------------------


def check_output_size(fn):
    """Against the places a window fits, counted one by one; then the formula of the transpose. All cases at once: one
    number alone looks like many mistakes."""
    cases = [(4, 3, 1, 0), (28, 4, 2, 1), (7, 5, 1, 2), (9, 3, 2, 0), (10, 3, 2, 0), (6, 2, 3, 1)]
    n, size, stride, padding = np.transpose(cases)
    got = [fn(*case) for case in cases]
    if any(isinstance(number, float) for number in got):
        raise Mistake("You return a float. A window that sticks out does not count: divide with `//`.")
    room = n + 2 * padding - size
    recognise(
        np.array(got),
        (room // stride, "You count the moves of the window. It also stands at the start: add 1."),
        (room + 1, "You forget the stride: the window moves on by that many pixels."),
        (-(-room // stride) + 1, "You round up: a window that sticks out does not count. Divide with `//`."),
        ((room + 1) // stride, "You add 1 before you divide: there are ⌊room/stride⌋ moves and one start."),
        ((n + padding - size) // stride + 1, "Padding is added at both ends: it counts twice."),
        ((n - size) // stride + 1, "You forget the padding, which makes the input wider at both ends."),
        (-(-n // stride), "That is the size with SAME padding. Here `padding` says how many pixels are added."),
        (stride * (n - 1) + size - 2 * padding, "That is the size of the transposed convolution."),
    )
    for case, number in zip(cases, got, strict=True):
        right = len(range(0, case[0] + 2 * case[3] - case[1] + 1, case[2]))
        same(number, right, inputs=dict(zip(NAMES, case, strict=True)), rtol=0, what="size after a convolution")
    cases = [(2, 3, 1, 0), (2, 3, 2, 0), (7, 4, 2, 1), (14, 5, 2, 1), (5, 2, 3, 0)]
    n, size, stride, padding = np.transpose(cases)
    got, right = [fn(*case, transposed=True) for case in cases], (n - 1) * stride + size - 2 * padding
    recognise(
        np.array(got),
        ((n + 2 * padding - size) // stride + 1, "You ignore `transposed`: this is the size of a convolution."),
        (right + stride, "There are n − 1 moves between n copies of the kernel, not n."),
        (right + 4 * padding, "In the transpose, padding is cut off: subtract it."),
        (right + padding, "Padding is cut off at both ends: it counts twice."),
        (right + 2 * padding, "You forget the padding, which is cut off at both ends."),
        (right - size + 1, "The last copy of the kernel reaches `size` pixels, not one."),
        (n * stride, "That is the size with SAME padding. Here `padding` says how many pixels are cut off."),
    )
    for case, number, each in zip(cases, got, right.tolist(), strict=True):
        inputs = dict(zip(NAMES, case, strict=True), transposed=True)
        same(number, each, inputs=inputs, rtol=0, what="size after a transposed convolution")


@define(
    "05.output_size",
    difficulty=1,
    minutes=6,
    check=check_output_size,
    hints=(
        "Count the places of the window's left edge: it starts at 0 and moves on by `stride` while the window fits.",
        "A convolution has n + 2·padding pixels, and room for ⌊(n + 2·padding − size)/stride⌋ moves after the start. The "
        "transpose lays n copies of the kernel, `stride` apart, and cuts `padding` off at both ends.",
        "(n + 2 * padding - size) // stride + 1, and in the transpose (n - 1) * stride + size - 2 * padding.",
    ),
)
def output_size(n, size, stride=1, padding=0, transposed=False):
    """Pixels a side after a (transposed) convolution of n pixels a side with a kernel of `size` pixels a side.

    padding: zeros added at both ends before a convolution; pixels cut off at both ends after a transposed one.
    """
    if transposed:
        return (n - 1) * stride + size - 2 * padding
    return (n + 2 * padding - size) // stride + 1


# --- 05.convolve ----------------------------------------------------------------------------------------------------


def correlation(x, kernel, stride):
    """The right answer, by a way of its own: one shifted copy of x for each entry of the kernel. (H, W) -> (h, w)."""
    k = len(kernel)
    h, w = (n - k + 1 for n in x.shape)
    whole = sum(kernel[a, b] * x[a : a + h, b : b + w] for a in range(k) for b in range(k))
    return whole[::stride, ::stride]


def check_convolve(fn):
    """Random images, kernels and strides by shifted copies."""
    for seed, shape, k, stride in [(0, (4, 4), 3, 1), (1, (7, 9), 3, 2), (2, (8, 8), 2, 3), (3, (6, 5), 4, 1)]:
        x, kernel = picture(seed, *shape), picture(seed + 10, k, k)
        inputs, (a, b) = {"x": x, "kernel": kernel, "stride": stride}, (np.asarray(x), np.asarray(kernel))
        right, got = correlation(a, b, stride), fn(x, kernel, stride)
        recognise(
            got,
            (
                correlation(a, b[::-1, ::-1], stride),
                "You turn the kernel round, as in mathematics. Here it stays as it is.",
            ),
            (correlation(a, b.T, stride), "Rows and columns of your kernel are exchanged."),
            (correlation(a, b, 1), "You forget the stride: the window moves on by that many pixels."),
            (right / k**2, "You take the mean over the window; a convolution is the sum."),
            right=right,
        )
        if np.shape(got) == x.shape and x.shape != right.shape:
            raise Mistake(
                f"Your result is as large as x, {x.shape}, expected {right.shape}: the window may not stick out, and "
                "nothing is padded."
            )
        if np.ndim(got) == 2 and np.shape(got) == tuple(n - 1 for n in right.shape):
            raise Mistake(
                f"The result has shape {np.shape(got)}, expected {right.shape}: the last place of the window is missing. "
                "There are (n − k)//stride + 1 of them on each axis."
            )
        same(got, right, inputs=inputs, rtol=1e-4, atol=1e-5)


@define(
    "05.convolve",
    difficulty=2,
    minutes=10,
    check=check_convolve,
    hints=(
        "The result at (i, j) is one number: cut out the k × k pixels of x that start at (s·i, s·j), multiply them by the "
        "kernel entry by entry, and add up.",
        "A slice: `x[s * i : s * i + k, s * j : s * j + k]`. There are (H − k)//s + 1 rows and (W − k)//s + 1 columns.",
        "Two comprehensions inside `jnp.array`: for i in range(h) for rows, for j in range(w) for the numbers of a row; "
        "each is `(x[slice] * kernel).sum()`.",
    ),
)
def convolve(x, kernel, stride=1):
    """Slide a kernel (k, k) over x (H, W), no padding: (h, w). Each result is the sum of window · kernel."""
    k = len(kernel)
    h, w = ((n - k) // stride + 1 for n in x.shape)

    def window(i, j):
        return x[stride * i : stride * i + k, stride * j : stride * j + k]

    return jnp.array([[(window(i, j) * kernel).sum() for j in range(w)] for i in range(h)])


# --- 05.scatter -----------------------------------------------------------------------------------------------------


def stamped(y, kernel, stride, *, over=False):
    """A copy of the kernel for each pixel, added up, or laid over those before."""
    k, (h, w) = len(kernel), y.shape
    x = np.zeros((stride * (h - 1) + k, stride * (w - 1) + k))
    for i, j in np.ndindex(h, w):
        part = x[stride * i : stride * i + k, stride * j : stride * j + k]
        part[...] = y[i, j] * kernel + (0 if over else part)
    return x


def check_scatter(fn):
    """One pixel gives the kernel; random ones by copies; ⟨scatter y, x⟩ = ⟨y, convolve x⟩."""
    kernel = picture(20, 3, 3)
    got = fn(jnp.ones((1, 1)), kernel, 2)
    recognise(
        got, (kernel[::-1, ::-1], "One pixel of 1 should give the kernel as it is; yours comes out turned round.")
    )
    same(
        got,
        kernel,
        inputs={"y": jnp.ones((1, 1)), "kernel": kernel, "stride": 2},
        rtol=1e-4,
        what="result for one pixel",
    )
    for seed, shape, k, stride in [(21, (2, 2), 3, 1), (22, (3, 4), 3, 2), (23, (2, 3), 2, 3), (24, (4, 3), 4, 2)]:
        y, kernel = picture(seed, *shape), picture(seed + 10, k, k)
        inputs, (a, b) = {"y": y, "kernel": kernel, "stride": stride}, (np.asarray(y), np.asarray(kernel))
        right, got = stamped(a, b, stride), fn(y, kernel, stride)
        h, w = right.shape
        whole = np.pad(right, ((0, stride), (0, stride)))
        recognise(
            got,
            (stamped(a, b, stride, over=True), "Where copies overlap, yours covers the one before. Add them up."),
            (stamped(a, b, 1), "You forget the stride: copies of the kernel start that many pixels apart."),
            (stamped(a, b[::-1, ::-1], stride), "Your kernel is turned round: a pixel of 1 gives the kernel as it is."),
            (stamped(a, b.T, stride), "Rows and columns of your kernel are exchanged."),
            (stamped(np.ones_like(a), b, stride), "Each copy of the kernel is multiplied by its pixel of y."),
            (
                right[: stride * len(a), : stride * a.shape[1]],
                "The lower right edge is cut off: nothing is padded here.",
            ),
            (
                whole[: stride * len(a) + k, : stride * a.shape[1] + k],
                "Your result is too large: the last copy starts at "
                "stride·(h − 1), so the height is stride·(h − 1) + k.",
            ),
            right=right,
        )
        same(got, right, inputs=inputs, rtol=1e-4, atol=1e-5)
        x = picture(seed + 20, h, w)
        sides = float((np.asarray(got) * x).sum()), float((a * correlation(np.asarray(x), b, stride)).sum())
        if abs(sides[0] - sides[1]) > 1e-3:
            raise Mistake("Your function is not the transpose: ⟨scatter(y), x⟩ differs from ⟨y, convolve(x)⟩.")


@define(
    "05.scatter",
    difficulty=2,
    minutes=10,
    check=check_scatter,
    hints=(
        "Start from zeros. Each pixel of y lays down one copy of the kernel, multiplied by that pixel.",
        "The copy of pixel (i, j) covers `[s * i : s * i + k, s * j : s * j + k]`; the last one ends at s·(h − 1) + k.",
        "In JAX an array is changed by `x = x.at[rows, columns].add(y[i, j] * kernel)`, with `slice(s * i, s * i + k)` "
        "as rows. Loop over `np.ndindex(*y.shape)`.",
    ),
)
def scatter(y, kernel, stride=1):
    """Lay a copy of the kernel (k, k), times y[i, j], at (stride·i, stride·j), and add: (h, w) -> (s·(h−1)+k, s·(w−1)+k)."""
    k, (h, w) = len(kernel), y.shape
    x = jnp.zeros((stride * (h - 1) + k, stride * (w - 1) + k))
    for i, j in np.ndindex(h, w):
        x = x.at[stride * i : stride * i + k, stride * j : stride * j + k].add(y[i, j] * kernel)
    return x


# --- 05.hits --------------------------------------------------------------------------------------------------------


def check_hits(fn):
    """Against copies of a kernel of ones."""
    for n, size, stride in [(4, 3, 2), (4, 4, 2), (6, 5, 2), (3, 2, 3), (5, 3, 1), (1, 4, 2)]:
        right = np.zeros(stride * (n - 1) + size, int)
        for i in range(n):
            right[stride * i : stride * i + size] += 1
        got = fn(n, size, stride)
        inputs = {"n": n, "size": size, "stride": stride}
        if np.ndim(got) == 1 and len(np.asarray(got)) == n and n != len(right):
            raise Mistake(
                f"You return one number for each of the {n} *input* pixels. Count for the {len(right)} output pixels."
            )
        turned = np.zeros(size * (n - 1) + stride, int)
        for i in range(n):
            turned[size * i : size * i + stride] += 1
        recognise(
            np.asarray(got) if np.ndim(got) else got,
            (np.minimum(right, 1), "You mark the pixels that are hit. Where copies overlap, count each of them."),
            (turned, "Size and stride are exchanged."),
            (right[: n * stride], f"The end is cut off: the last copy reaches pixel {len(right) - 1}."),
            (right / size, "You take a share; the number of hits is asked for."),
            right=right,
        )
        floats = hasattr(got, "dtype") and np.issubdtype(got.dtype, np.floating)  # such as a convolution of ones
        same(got, right.astype(float) if floats else right, inputs=inputs)


@define(
    "05.hits",
    difficulty=1,
    minutes=6,
    check=check_hits,
    hints=(
        "Copy i of the kernel covers the pixels from stride·i to stride·i + size − 1. How many copies cover pixel p?",
        "A transposed convolution of ones with a kernel of ones counts for you; or add 1 to a slice, n times.",
        "counts = np.zeros(stride * (n - 1) + size, int); then for each i in range(n) "
        "`counts[stride * i : stride * i + size] += 1`.",
    ),
)
def hits(n, size, stride):
    """How many of n copies of a kernel of `size` pixels, `stride` apart on a line, cover each output pixel: 1-D integers."""
    counts = np.zeros(stride * (n - 1) + size, int)
    for i in range(n):
        counts[stride * i : stride * i + size] += 1
    return counts


# --- 05.depth_to_space ----------------------------------------------------------------------------------------------


def check_depth_to_space(fn):
    """Each pixel by its place."""
    for seed, (b, h, w, c), s in [(40, (2, 2, 3, 1), 2), (41, (1, 3, 2, 2), 3), (42, (3, 2, 2, 4), 2)]:
        x = np.asarray(picture(seed, b, h, w, s * s * c))
        right, columns_first, channels_first = np.zeros((3, b, s * h, s * w, c))
        for i, j, d in np.ndindex(s, s, c):
            right[:, i::s, j::s, d] = x[..., (i * s + j) * c + d]
            columns_first[:, i::s, j::s, d] = x[..., (j * s + i) * c + d]
            channels_first[:, i::s, j::s, d] = x[..., d * s * s + i * s + j]
        tiles = x.reshape(b, h, w, s, s, c).transpose(0, 3, 1, 4, 2, 5).reshape(b, s * h, s * w, c)
        got = fn(jnp.asarray(x), s)
        recognise(
            got,
            (
                x.reshape(b, s * h, s * w, c),
                "A single reshape keeps the order of the numbers and mixes rows up. Split the channels into (s, s, C), move "
                "those two axes beside H and W, then join.",
            ),
            (tiles, "The s × s parts stand side by side as whole images. Each pixel becomes a block: (H, s, W, s, C)."),
            (columns_first, "Rows and columns of each block are exchanged: the channels come as (row, column, C)."),
            (channels_first, "You split the channels into (C, s, s); here they come as (s, s, C)."),
            (
                np.repeat(np.repeat(x[..., :c], s, 1), s, 2),
                "You repeat the first channels. Each one goes to its own pixel.",
            ),
            right=right,
        )
        same(got, right.astype(np.float32), inputs={"x": x, "s": s})


@define(
    "05.depth_to_space",
    difficulty=2,
    minutes=8,
    check=check_depth_to_space,
    hints=(
        "Draw one pixel with four channels: it becomes a block of 2 × 2 pixels with one channel, in reading order.",
        "Split the channels: (B, H, W, s, s, C). The two new axes are the row and the column inside a block; each belongs "
        "right behind H and W.",
        "Reshape to (B, H, W, s, s, C), `swapaxes(2, 3)` for (B, H, s, W, s, C), reshape to (B, s·H, s·W, C).",
    ),
)
def depth_to_space(x, s):
    """Each pixel's s²·C channels, in the order (row, column, C), become a block of s × s pixels: -> (B, s·H, s·W, C)."""
    b, h, w, c = x.shape
    return x.reshape(b, h, w, s, s, c // s**2).swapaxes(2, 3).reshape(b, h * s, w * s, c // s**2)


# --- 05.dropout -----------------------------------------------------------------------------------------------------


def check_dropout(fn):
    """Which values come out, how often, with which mean; keys; evaluation."""
    x, rate = 1 + jnp.abs(picture(50, 200, 100)), 0.3
    inputs = {"x": x, "rate": rate}
    got = fn(x, rate, key=jax.random.key(0), train=False)
    recognise(
        got,
        ((1 - rate) * x, "In evaluation x comes out as it is: the scaling is part of training."),
        (x / (1 - rate), "In evaluation x comes out as it is: the scaling is part of training."),
    )
    if np.shape(got) == x.shape and (np.asarray(got) == 0).any():
        raise Mistake("You drop in evaluation, too: with train=False x comes out as it is.")
    same(got, x, inputs=inputs, what="result with train=False")
    got = fn(x, rate, key=jax.random.key(1), train=True)
    if np.shape(got) != x.shape:
        same(got, x, inputs=inputs, what="result in training")
    got, share = np.asarray(got), float((np.asarray(got) == 0).mean())
    kept = got != 0
    if not kept.all() and ((kept == kept[:1]).all() or (kept == kept[:, :1]).all()):
        raise Mistake("You drop whole rows or columns: the mask has the shape of x, one draw for each entry.")
    if abs(share - (1 - rate)) < 0.02:
        raise Mistake(f"You keep {rate:.0%} of the entries and drop the rest; `rate` is the share to drop.")
    if abs(share - rate) > 0.02:
        raise Mistake(f"{share:.1%} of 20,000 entries are 0, expected about {rate:.0%}.")
    factor = got[kept] / np.asarray(x)[kept]
    for wrong, message in [
        (1, "The entries that stay are not scaled: the mean falls to 1 − rate. Divide by 1 − rate."),
        (1 - rate, "You multiply what stays by 1 − rate. Divide, and the mean stays."),
        (1 / rate, "You divide by rate. A share of 1 − rate stays: divide by that."),
    ]:
        if np.allclose(factor, wrong, rtol=1e-3):
            raise Mistake(message)
    same(got, np.where(kept, np.asarray(x) / (1 - rate), 0), inputs=inputs, rtol=1e-3, what="result in training")
    again, other = (np.asarray(fn(x, rate, key=jax.random.key(seed), train=True)) for seed in (1, 2))
    if not np.array_equal(again, got):
        raise Mistake("The same key gives two different masks. Draw from `key` alone.")
    if np.array_equal(other, got):
        raise Mistake("Two different keys give the same mask. Draw from the `key` that comes in.")


@define(
    "05.dropout",
    difficulty=1,
    minutes=6,
    check=check_dropout,
    hints=(
        "In evaluation return x. In training draw for each entry whether it stays, with probability 1 − rate.",
        "`jax.random.bernoulli(key, p, shape)` is True with probability p. What stays is divided by 1 − rate, so that the "
        "mean over all masks is x.",
        "keep = jax.random.bernoulli(key, 1 - rate, x.shape); then jnp.where(keep, x / (1 - rate), 0).",
    ),
)
def dropout(x, rate, *, key, train):
    """In training each entry of x is 0 with probability `rate`, the rest scaled so that the mean stays; else x itself."""
    if not train:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0)
