"""Notebook 05, convolutional GANs: references, hints and checks."""

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import jitted
from gan_lib.exercises.compare import fit, recognise
from gan_lib.exercises.running import ADVICE


def picture(seed, *shape):
    """Random quarters of that shape, as JAX holds them; in short numbers a GPU's fast products are exact, too."""
    return jnp.asarray(np.round(4 * np.random.default_rng(seed).normal(size=shape)) / 4, jnp.float32)


NAMES = "n", "size", "stride", "padding"


# --- 05.output_size -------------------------------------------------------------------------------------------------


def check_output_size(fn):
    """Against the places a window fits, counted one by one. All cases at once: one number alone looks like many mistakes."""
    cases = [(4, 3, 1, 0), (28, 4, 2, 1), (7, 5, 1, 2), (9, 3, 2, 0), (10, 3, 2, 0), (6, 2, 3, 1), (9, 4, 4, 0)]
    n, size, stride, padding = np.transpose(cases)
    got = [fn(*case) for case in cases]
    if any(isinstance(number, float) for number in got):
        raise Mistake("You return a float. A window that sticks out does not count: divide with `//`.")
    room = n + 2 * padding - size
    recognise(
        np.array(got),
        (n // stride, "You divide n by the stride, and leave the kernel and the padding out."),
        (
            n // stride + 1,
            "You leave the kernel and the padding out: the window has n + 2·padding − size pixels of room.",
        ),
        (room // stride, "You count the moves of the window. It also stands at the start: add 1."),
        (room // stride + 2, "You count a place too many: one at the start, and one for each move."),
        (
            np.rint(room / stride).astype(int) + 1,
            "You round to the nearest: a window that sticks out does not count. Use `//`.",
        ),
        (room // (stride + 1), "You add 1 to the stride. A bracket is missing: divide first, then add 1."),
        (
            n + 2 * padding - size // stride + 1,
            "You divide only the kernel's size. Brackets are missing around the room.",
        ),
        (room * stride + 1, "You multiply by the stride. A wider stride leaves fewer places: divide."),
        ((n + 2 * padding) // stride, "You forget the kernel's size, which the window takes up itself."),
        (
            (n + 2 * padding - 1) // stride + 1,
            "You forget the kernel's size: the window takes up `size` pixels, not one.",
        ),
        (
            (n + 2 * padding + size) // stride + 1,
            "You add the kernel's size. The window takes up that many pixels: subtract.",
        ),
        (
            (n - 2 * padding - size) // stride + 1,
            "You subtract the padding. Before a convolution zeros are added at both ends.",
        ),
        ((n + 2 * padding - stride) // size + 1, "Size and stride are exchanged."),
        ((room // stride + 1) ** 2, "You count the places in the plane; pixels a side are asked for."),
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
    for case, number in (((9, 3), 7), ((9, 3, 2), 4)):
        same(
            fn(*case), number, inputs=dict(zip(NAMES, case, strict=False)), rtol=0, what="size with the stub's defaults"
        )


@define(
    "05.output_size",
    difficulty=1,
    minutes=6,
    check=check_output_size,
    hints=(
        "Count the places of the window's left edge: it starts at 0 and moves on by `stride` while the window fits.",
        "With its padding the picture has n + 2·padding pixels. The window takes up `size` of them; the rest is its room.",
        "There are ⌊room / stride⌋ moves, and the window also stands at the start: (n + 2 * padding - size) // stride + 1.",
    ),
)
def output_size(n, size, stride=1, padding=0):
    """Pixels a side after a convolution of n pixels a side.

    size: pixels a side of the kernel. padding: zeros added at each end.
    """
    return (n + 2 * padding - size) // stride + 1


# --- 05.convolve ----------------------------------------------------------------------------------------------------


def correlation(x, kernel, stride):
    """The right answer, by a way of its own: one shifted copy of x for each entry of the kernel. (H, W) -> (h, w)."""
    k = len(kernel)
    h, w = (n - k + 1 for n in x.shape)
    whole = sum(kernel[a, b] * x[a : a + h, b : b + w] for a in range(k) for b in range(k))
    return whole[::stride, ::stride]


def check_convolve(fn):
    """Random images, kernels and strides by shifted copies; then the gradient, as the notebook takes it by jax.vjp."""
    cases = [((7, 4), 3, 1), ((7, 10), 3, 2), ((9, 6), 2, 3), ((6, 5), 4, 1), ((7, 8), 2, 2), ((4, 4), 3, 1)]
    for seed, (shape, k, stride) in enumerate(cases):
        x, kernel = picture(seed, *shape), picture(seed + 10, k, k)
        inputs, (a, b) = {"x": x, "kernel": kernel, "stride": stride}, (np.asarray(x), np.asarray(kernel))
        right, got = correlation(a, b, stride), fn(x, kernel, stride)
        h, w = right.shape
        whole, size = correlation(a, b, 1), np.shape(got)
        if size != right.shape and size in ((h, h), (w, w)):
            raise Mistake(
                f"Your result has shape {size}, expected {right.shape}: x need not be square. H and W differ."
            )
        recognise(
            got,
            (
                correlation(a, b[::-1, ::-1], stride),
                "You turn the kernel round, as in mathematics. Here it stays as it is.",
            ),
            (correlation(a, b.T, stride), "Rows and columns of your kernel are exchanged."),
            (correlation(a, b[::-1], stride), "Your kernel stands on its head: row 0 of it meets row 0 of the window."),
            (
                correlation(a, b[:, ::-1], stride),
                "Your kernel is mirrored: column 0 of it meets column 0 of the window.",
            ),
            (whole, "You forget the stride: the window moves on by that many pixels."),
            (whole[:h, :w], "Your window (i, j) starts at pixel (i, j). With a stride it starts at (s·i, s·j)."),
            (whole[::stride], "Your window moves on by the stride downwards only. It does so to the right, too."),
            (whole[:, ::stride], "Your window moves on by the stride to the right only. It does so downwards, too."),
            (correlation(a, b, k), "Your window moves on by its own size. It moves on by `stride`."),
            (right[:-1, :-1], "The last place of the window is missing: there are (n − k)//stride + 1 on each axis."),
            (right[:-1], "The last row of places is missing: there are (H − k)//stride + 1."),
            (right[:, :-1], "The last column of places is missing: there are (W − k)//stride + 1."),
            (right / k**2, "You take the mean over the window; a convolution is the sum."),
            (right / (b.sum() or 1), "You divide by the sum of the kernel. Nothing is divided here."),
            (abs(right), "You take absolute values; a result can be negative."),
            (np.maximum(right, 0), "You cut off what is negative; a convolution has no activation."),
            (
                correlation(a, np.ones_like(b), stride),
                "You add up the window. Multiply it by the kernel first, entry by entry.",
            ),
            (right.T, "Your result is transposed: i counts rows of x, and j columns."),
            (
                np.array(
                    [
                        [(a[i : i + k, j : j + k] @ b).sum() for j in range(0, shape[1] - k + 1, stride)]
                        for i in range(0, shape[0] - k + 1, stride)
                    ]
                ),
                "`@` is a matrix product. Window and kernel are multiplied entry by entry, with `*`.",
            ),
            right=right,
        )
        if len(size) == 2 and size != right.shape:
            if size == tuple((n - 3) // stride + 1 for n in shape):
                raise Mistake("You count the places of a 3 × 3 window. The kernel is k × k, with k = len(kernel).")
            if size == tuple(-(-n // stride) for n in shape):
                raise Mistake(
                    f"Your result has shape {size}, as with SAME padding, expected {right.shape}: the window may not stick "
                    "out, and nothing is padded."
                )
            if size[0] > h or size[1] > w:
                raise Mistake(
                    f"Your result has shape {size}, expected {right.shape}: the window may not stick out of x, and "
                    "nothing is padded."
                )
        same(got, right, inputs=inputs, rtol=1e-4, atol=1e-5)
    same(
        fn(x, kernel), right, inputs={"x": x, "kernel": kernel}, rtol=1e-4, what="result at stride 1, if none is given,"
    )
    y = picture(30, *right.shape)
    try:
        got = jax.vjp(lambda x: fn(x, kernel), x)[1](y)[0]
    except (jax.errors.JAXTypeError, TypeError, ValueError) as error:
        why = ADVICE.get(type(error).__name__, "NumPy cannot hold it; build the result with `jnp`")
        raise Mistake(
            "Right in value, but the notebook differentiates your function by jax.vjp, and there a pixel has no value "
            f"yet: {why}."
        ) from None
    expected = stamped(np.asarray(y), b, 1)
    if not np.asarray(got).any():
        raise Mistake(
            "Right in value, but its gradient, which the notebook takes by jax.vjp, is 0: stay with `jnp`, and with the "
            "numbers that come in."
        )
    same(got, expected, inputs={"x": x, "kernel": kernel}, rtol=1e-4, atol=1e-5, what="gradient by jax.vjp")


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
    """Slide a kernel (k, k) over x (H, W), without padding: (h, w).

    Each result is the sum of window · kernel.
    """
    k = len(kernel)
    h, w = ((n - k) // stride + 1 for n in x.shape)

    def result(i, j):
        a, b = stride * i, stride * j
        return (x[a : a + k, b : b + k] * kernel).sum()

    return jnp.array([[result(i, j) for j in range(w)] for i in range(h)])


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
    """Random pictures by copies; one pixel gives the kernel; ⟨scatter y, x⟩ = ⟨y, convolve x⟩."""
    cases = [((3, 2), 3, 1), ((3, 4), 3, 2), ((2, 3), 2, 3), ((4, 3), 4, 2), ((2, 3), 5, 2), ((1, 1), 3, 2)]
    for seed, (shape, k, stride) in enumerate(cases):
        y, kernel = picture(seed + 20, *shape) + 0.125, picture(seed + 30, k, k)  # no pixel is 0
        inputs, (a, b) = {"y": y, "kernel": kernel, "stride": stride}, (np.asarray(y), np.asarray(kernel))
        right, got = stamped(a, b, stride), fn(y, kernel, stride)
        h, w = right.shape
        same_h, same_w = (stride * n for n in shape)  # as large as with SAME padding
        top = max(k - stride, 0)
        swapped = a[
            np.minimum(np.arange(shape[1]), shape[0] - 1)[:, None], np.minimum(np.arange(shape[0]), shape[1] - 1)
        ].T
        recognise(
            got,
            (stamped(a, b, stride, over=True), "Where copies overlap, yours covers the one before. Add them up."),
            (stamped(a, b, 1), "You forget the stride: copies of the kernel start that many pixels apart."),
            (stamped(a, b, k), "Your copies lie side by side. They start `stride` pixels apart, and overlap."),
            (stamped(a, b[::-1, ::-1], stride), "Your kernel is turned round: a pixel of 1 gives the kernel as it is."),
            (stamped(a, b.T, stride), "Rows and columns of your kernel are exchanged."),
            (stamped(a, b[::-1], stride), "Your kernel stands on its head: a pixel of 1 gives the kernel as it is."),
            (stamped(a, b[:, ::-1], stride), "Your kernel is mirrored: a pixel of 1 gives the kernel as it is."),
            (stamped(np.ones_like(a), b, stride), "Each copy of the kernel is multiplied by its pixel of y."),
            (
                stamped(a, np.ones_like(b), stride),
                "You lay down squares of one number: multiply each pixel by the kernel.",
            ),
            (
                stamped(a[::-1, ::-1], b, stride),
                "Your picture is turned round: y[0, 0] belongs to the upper left corner.",
            ),
            (stamped(a.T, b, stride), "Rows and columns of y are exchanged."),
            (stamped(swapped, b, stride), "You read y[j, i] where y[i, j] belongs."),
            (right.T, "Your result is transposed: i counts rows, and j columns."),
            (np.maximum(right, 0), "You cut off what is negative; a convolution has no activation."),
            (
                right / np.maximum(stamped(np.ones_like(a), np.ones_like(b), stride), 1),
                "Where copies overlap you take their mean. Add them up.",
            ),
            (stamped(a[:-1, :-1], b, stride), "The last row and column of y are missing."),
            right=right,
        )
        if k > stride:
            recognise(
                got,
                (right[:same_h, :same_w], "The lower right edge is cut off: nothing is padded, and nothing cut, here."),
                *(
                    (
                        right[t : t + same_h, t : t + same_w],
                        "Edges are cut off, as with SAME padding. Here nothing is cut.",
                    )
                    for t in {top, top // 2, -(-top // 2)}
                ),
            )
        size = np.shape(got)
        if h != w and size in ((h, h), (w, w)):
            raise Mistake(
                f"Your result is square, {size}, expected {right.shape}: y need not be; each axis has its own size."
            )
        if len(size) == 2 and size[0] >= h and size[1] >= w and size != right.shape:
            note = " JAX's own layer fills up a whole stride after a smaller kernel." * (
                size == (same_h, same_w) and k < stride
            )
            raise Mistake(
                f"Your result is too large, {size}, expected {right.shape}: the last copy starts at stride·(h − 1), so "
                f"the height is stride·(h − 1) + k.{note}"
            )
        if len(size) == 2 and size[0] <= h and size[1] <= w and size != right.shape:
            raise Mistake(
                f"Your result is too small, {size}, expected {right.shape}: the last copy starts at stride·(h − 1), and "
                "all of it is laid down."
            )
        same(got, right, inputs=inputs, rtol=1e-4, atol=1e-5)
        x = picture(seed + 40, h, w)
        sides = float((np.asarray(got) * x).sum()), float((a * correlation(np.asarray(x), b, stride)).sum())
        if abs(sides[0] - sides[1]) > 1e-3:
            raise Mistake("Your function is not the transpose: ⟨scatter(y), x⟩ differs from ⟨y, convolve(x)⟩.")
    y, kernel = picture(60, 2, 3), picture(61, 3, 3)
    right = stamped(np.asarray(y), np.asarray(kernel), 1)
    same(
        fn(y, kernel), right, inputs={"y": y, "kernel": kernel}, rtol=1e-4, what="result at stride 1, if none is given,"
    )


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
    """Lay a copy of the kernel (k, k), times y[i, j], for each i, j; add.

    Copy i, j begins at (stride·i, stride·j):
    (h, w) -> (stride·(h−1) + k, stride·(w−1) + k).
    """
    k, (h, w) = len(kernel), y.shape
    x = jnp.zeros((stride * (h - 1) + k, stride * (w - 1) + k))
    for i, j in np.ndindex(h, w):
        rows, columns = (slice(stride * n, stride * n + k) for n in (i, j))
        x = x.at[rows, columns].add(y[i, j] * kernel)
    return x


# --- 05.hits --------------------------------------------------------------------------------------------------------


def check_hits(fn):
    """Against copies of a kernel of ones. All cases at once, where counts alone look like many mistakes."""
    belows = [[1, 1, 1, 1], [1, 1, 1, 1], [1, 3, 2, 0, 5, 1], [2, 1, 4], [1, 2, 1, 3, 1], [7]]
    cases = list(zip(map(np.array, belows), (3, 4, 5, 2, 3, 4), (2, 2, 2, 3, 1, 2), strict=True))

    def counted(below, size, stride):
        counts = np.zeros(stride * (len(below) - 1) + size, int)
        for i, terms in enumerate(below):
            counts[stride * i : stride * i + size] += terms
        return counts

    got, rights = [fn(*case) for case in cases], [counted(*case) for case in cases]
    # The notebook takes a list as well: np.outer does, and elsewhere np.array makes one of it.
    got = [
        np.array(x) if isinstance(x, list | tuple) and all(isinstance(i, int | np.integer) for i in x) else x
        for x in got
    ]
    for message, wrong in {
        "You mark the pixels that are hit. Where copies overlap, add their terms.": lambda x, k, s: (
            counted(x, k, s) > 0
        ),
        "Each of your copies counts once. Copy i brings below[i] terms to each pixel that it covers.": (
            lambda x, k, s: counted(np.ones_like(x), k, s)
        ),
        "Where copies overlap, yours covers the one before. Add them up.": lambda x, k, s: laid_over(x, k, s),
        "Where copies overlap you take the largest. Add them up.": lambda x, k, s: np.max(
            [np.pad(np.full(k, n), (s * i, s * (len(x) - 1 - i))) for i, n in enumerate(x)], axis=0
        ),
        "Size and stride are exchanged.": lambda x, k, s: counted(x, s, k),
        "You forget the stride: the copies start that many pixels apart.": lambda x, k, s: counted(x, k, 1),
        "You take a share; the number of terms is asked for.": lambda x, k, s: counted(x, k, s) / k,
        "The end is cut off: the last copy starts at stride·(n − 1), and reaches size − 1 pixels further.": (
            lambda x, k, s: counted(x, k, s)[: len(x) * s]
        ),
        "size // stride is right well inside at most. Near the ends fewer copies meet: count for each pixel.": (
            lambda x, k, s: np.full(len(counted(x, k, s)), k // s)
        ),
        "size / stride, rounded up, is the most copies there can be. Count for each pixel.": (
            lambda x, k, s: np.full(len(counted(x, k, s)), -(-k // s))
        ),
        "Your line is too long: the last copy ends at stride·(n − 1) + size.": (
            lambda x, k, s: np.append(counted(x, k, s), np.zeros(s, int))
        ),
        "Your line is a pixel too long: the last copy ends before stride·(n − 1) + size.": (
            lambda x, k, s: np.append(counted(x, k, s), 0)
        ),
        "Your copies are a pixel too wide: they end before stride·i + size.": lambda x, k, s: counted(x, k + 1, s),
        "Your copies are a pixel too narrow: they cover `size` pixels.": lambda x, k, s: counted(x, k - 1, s),
        "A copy is missing: there are as many as entries of `below`.": lambda x, k, s: (
            counted(x[:-1], k, s) if len(x) > 1 else np.zeros(0)
        ),
        "You read `below` from its end: copy 0 belongs to below[0].": lambda x, k, s: counted(x[::-1], k, s),
        "You multiply by size. Each entry of the kernel meets a pixel once.": lambda x, k, s: counted(x, k, s) * k,
        "Your counts add up along the line. Each pixel has its own.": lambda x, k, s: np.cumsum(counted(x, k, s)),
        "What sticks out comes in again on the left. The line has stride·(n − 1) + size pixels.": lambda x, k, s: (
            np.bincount((s * np.arange(len(x))[:, None] + np.arange(k)).ravel() % (len(x) * s), np.repeat(x, k))
        ),
    }.items():
        values = [wrong(*case) for case in cases]
        if all(np.shape(x) == np.shape(y) and np.array_equal(x, y) for x, y in zip(got, values, strict=True)):
            raise Mistake(message)
    for (below, size, stride), counts, right in zip(cases, got, rights, strict=True):
        if np.shape(counts) == below.shape and len(below) != len(right):
            raise Mistake(
                f"You return one number for each of the {len(below)} *input* pixels. Count for the {len(right)} output pixels."
            )
        if np.ndim(counts) == 2:
            raise Mistake(
                "You count in the plane. A line is asked for; the notebook multiplies rows by columns itself."
            )
        floats = hasattr(counts, "dtype") and jnp.issubdtype(counts.dtype, jnp.floating)
        if floats and np.array_equal(counts, right):
            raise Mistake("Counts are whole numbers, and yours are floats: the figure would write 4.0. `.astype(int)`.")
        same(counts, right, inputs={"below": below, "size": size, "stride": stride})


def laid_over(below, size, stride):
    """Copies that cover those before."""
    line = np.zeros(stride * (len(below) - 1) + size, int)
    for i, terms in enumerate(below):
        line[stride * i : stride * i + size] = terms
    return line


@define(
    "05.hits",
    difficulty=2,
    minutes=8,
    check=check_hits,
    hints=(
        "Copy i of the kernel covers the pixels from stride·i to stride·i + size − 1, and brings below[i] terms to each. "
        "Where copies overlap, their terms add up.",
        "Add below[i] to a slice, once for each i. (This is `scatter` on a line, with a kernel of ones, but in integers.)",
        "counts = np.zeros(stride * (len(below) - 1) + size, int); then for i, terms in enumerate(below): "
        "`counts[stride * i : stride * i + size] += terms`.",
    ),
)
def hits(below, size, stride):
    """How many terms each pixel of a line is the sum of, as integers.

    below: (n,) integers, that number for the n pixels of the layer below
    (ones at first). Each lays down a copy `size` long, `stride` apart.
    """
    counts = np.zeros(stride * (len(below) - 1) + size, int)
    for i, terms in enumerate(below):
        counts[stride * i : stride * i + size] += terms
    return counts


# --- 05.batch_spread ------------------------------------------------------------------------------------------------


def check_batch_spread(fn):
    """Values, of any small ε; then what makes it teach: slopes, in a varied batch and in one that has collapsed."""
    for seed, shape in ((70, (6, 4)), (71, (32, 5)), (72, (9, 9))):
        x = picture(seed, *shape) + jnp.arange(shape[1])  # of different means
        (n, c), a = shape, np.asarray(x)
        spread, got = a.std(axis=0), fn(x)
        beside = lambda s, a=a: np.concatenate([a, np.broadcast_to(s, a.shape)], axis=1)
        size = np.shape(got)
        for wrong, message in (
            (beside(a.var(axis=0)), "You put variances there. The standard deviation is their root."),
            (beside(a.std(axis=0, ddof=1)), "You divide by n − 1; the mean square over the batch has n below."),
            (beside(a.mean(axis=0)), "You put the means there. The spread is the standard deviation."),
            (beside(a.std()), "That is one deviation of all entries. Each feature has its own, over the batch."),
            (beside(spread.mean()), "You average over the features. Each one keeps its own deviation here."),
            (
                beside(np.abs(a - a.mean(axis=0)).mean(axis=0)),
                "That is the mean distance from the mean. The deviation is the root of the mean square.",
            ),
            (beside(np.sqrt(np.square(a).mean(axis=0))), "You forget to subtract the mean before you square."),
            (
                beside(np.abs(a - a.mean(axis=0))),
                "That is each sample's own distance from the mean. The whole batch has one spread.",
            ),
            (
                np.concatenate([beside(spread)[:, c:], a], axis=1),
                "The spread stands first. The features come first, then their spread.",
            ),
            (
                np.broadcast_to(spread, a.shape),
                "You return the spread alone. The features stay, and it stands beside them.",
            ),
            (a + spread, "You add the spread to the features. It goes beside them, in new columns."),
            (a / spread, "You divide by the spread, as BatchNorm does, and so hide it. Put it beside the features."),
            (spread, "You return the spread alone, once. It stands beside the features of each sample."),
        ):  # an ε of the reader's own is allowed for; of few samples all mistakes are larger
            if n < 10 and size == np.shape(wrong) and np.allclose(got, wrong, atol=0.01):
                raise Mistake(message)
        if size == (n, c + 1) and not np.allclose(np.asarray(got)[:, c], a.std(axis=1), atol=0.02):
            raise Mistake(
                f"Your result has shape {size}: one number is beside the features. Each feature has its own: (B, 2C)."
            )
        if size == (n, c + 1) or (size == (n, 2 * c) and np.allclose(got, beside(a.std(1, keepdims=True)), atol=0.02)):
            raise Mistake("You take the deviation over the features of one sample. It goes over the batch: axis 0.")
        if size in ((n + 1, c), (2 * n, c)):
            raise Mistake(f"Your result has shape {size}: you join along the batch. Join along the features: axis 1.")
        fit(got, beside(spread), "result")
        same(np.asarray(got)[:, :c], a, inputs={"x": x}, what="first half, the features as they are,")
        same(np.asarray(got)[:, c:], beside(spread)[:, c:], inputs={"x": x}, rtol=0.02, atol=0.02, what="spread")
        same(jitted(fn, x, where="a step compiles it and takes gradients"), got, rtol=1e-3, what="result inside jit")
    slope = np.asarray(jax.grad(lambda x: fn(x)[:, c:].sum())(x))
    if not slope.any():
        raise Mistake(
            "Right in value, but no gradient comes back through the spread: G could not learn to vary. Is there a "
            "stop_gradient, or NumPy, in the way?"
        )
    same(slope, (a - a.mean(axis=0)) / spread, rtol=0.05, atol=0.02, what="gradient of the spread")
    if not np.isfinite(fn(jnp.full((128, 3), 100.1))).all():  # 0.5, below, is exact
        raise Mistake(
            "Samples that are all 100.1 give NaN: E x² − (E x)² rounds below 0. Take the mean of (x − mean)²."
        )
    collapsed = jnp.full((8, 3), 0.5)
    value, slope = fn(collapsed)[:, 3:], jax.grad(lambda x: fn(x)[:, 3:].sum())(collapsed)
    if not np.isfinite(slope).all():
        raise Mistake(
            "Right in value, but where all samples are the same the gradient is NaN: √ has an infinite slope at 0, and a "
            "collapsed batch is what this layer is for. Add something small, such as 1e-4, *under* the root."
        )
    if not np.isfinite(value).all() or abs(np.asarray(value)).max() > 0.1:
        raise Mistake(
            f"Of a batch without spread yours says {float(value[0, 0]):.2g}; it should be near 0. A smaller ε."
        )


@define(
    "05.batch_spread",
    difficulty=2,
    minutes=8,
    check=check_batch_spread,
    hints=(
        "The deviation goes over the batch, axis 0: one number for each feature, the same for all samples. What is the slope "
        "of √v where v is 0?",
        "`x.var(axis=0)`, then the root of that plus 1e-4. `jnp.broadcast_to(spread, x.shape)` gives each sample its row.",
        "spread = jnp.sqrt(x.var(axis=0) + 1e-4), and join [x, the broadcast spread] with jnp.concatenate(..., axis=1).",
    ),
)
def batch_spread(x):
    """Features (B, C) -> (B, 2C): beside them their spread in the batch.

    That is each feature's standard deviation over the B samples: all B
    rows get the same C numbers. Its slope is finite also where all
    samples are the same.
    """
    spread = jnp.sqrt(x.var(axis=0) + 1e-4)
    return jnp.concatenate([x, jnp.broadcast_to(spread, x.shape)], axis=1)


# --- 05.honest_error ------------------------------------------------------------------------------------------------


def check_honest_error(fn):
    """Four pairs of sizes at once, to 4 %: a simulation is as good an answer as the formula."""
    cases = [(2000, 1000), (100, 400), (60, 60), (40, 500)]
    m, n = np.transpose(cases).astype(float)
    got = []
    for case in cases:
        (_, value, _), *_ = fit(fn(*case), 0.01)
        got.append(float(value))
    got, right = np.array(got), np.sqrt((m + n + 1) / (12 * m * n))
    for wrong, message in (
        (right**2, "That is the variance. The standard deviation is its root."),
        (0.5 / np.sqrt(n), "You toss a coin for each sample. Each is compared with held-out points that are a draw, too, and "
         "how *often* it is nearer is a number between 0 and 1, not a coin."),
        (0.5 / np.sqrt(m), "You toss a coin for each held-out point. How often one is beaten is a number between 0 and 1."),
        (1 / np.sqrt(12 * n), "You take the held-out points for exact. They are a draw, too: others give another `nearer`."),
        (1 / np.sqrt(12 * m), "You take the samples for exact. They are a draw, too: others give another `nearer`."),
        (0.5 / np.sqrt(m * n), "You toss a coin for each pair. The pairs are not independent: each point is in many of them."),
        (0.5 * np.sqrt(1 / m + 1 / n), "You toss coins for samples and for held-out points. A share of ranks varies less than "
         "coins: its variance is 1/12, not 1/4."),
        (0.5 / np.sqrt(m + n), "You toss one coin for each point of both sets."),
        (1 / np.sqrt(12 * (m + n)), "You pool both sets. Their two errors add up: 1/m + 1/n, not 1/(m + n)."),
        (1 / np.sqrt(12 * np.minimum(m, n)), "You count the smaller set alone. Both sets are draws; their variances add up."),
        (right * m * n, "That is the deviation of the *number* of pairs in which the sample is nearer. Divide by the m·n pairs."),
        (np.full(4, 0.5), "0.5 is the mean of `nearer` under honesty. How far does it stray from one draw to the next?"),
        (np.full(4, np.sqrt(1 / 12)), "That is the deviation of one uniform number. Here many are averaged."),
        (right * np.sqrt(12), "A factor is missing: a uniform number has variance 1/12."),
        (2 * right, "Twice the standard deviation: an interval, perhaps. One deviation is asked for."),
    ):  # fmt: skip
        if np.allclose(got, wrong, rtol=0.04, atol=0) and not np.allclose(wrong, right, rtol=0.05):
            raise Mistake(message)
    for case, value, expected in zip(cases, got, right, strict=True):
        same(
            value, float(expected), inputs=dict(zip(("held_out", "samples"), case, strict=True)), rtol=0.05, atol=0,
            what="standard deviation of `nearer`",
        )  # fmt: skip


@define(
    "05.honest_error",
    difficulty=3,
    minutes=12,
    check=check_honest_error,
    hints=(
        "If the samples are honest, their distances and those of the held-out points are draws from one and the same "
        "distribution, whichever. So take any: uniform numbers. You can simulate it, or do it on paper.",
        "Simulate: draw both sets, 2,000 times; `(samples[:, None] < held_out).mean()` is one `nearer`; sorting is faster. On "
        "paper: fix the held-out points, and a sample is nearer than a uniform share of them. That has variance 1/12.",
        "Both sets are draws, so about √(1/(12 m) + 1/(12 n)); exactly √((m + n + 1)/(12 m n)) (Mann & Whitney 1947).",
    ),
)
def honest_error(held_out, samples):
    """Standard deviation of `nearer` for honest samples.

    held_out, samples: how many test digits and how many samples. All
    their distances are then independent draws from one distribution.
    """
    return np.sqrt((held_out + samples + 1) / (12 * held_out * samples))
