"""Notebook 05, convolutional GANs: references, hints and checks."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.compare import fit, recognise
from gan_lib.exercises.running import ADVICE


def picture(seed, *shape):
    """Random quarters of that shape, as JAX holds them; in short numbers a GPU's fast products are exact, too."""
    return jnp.asarray(np.round(4 * np.random.default_rng(seed).normal(size=shape)) / 4, jnp.float32)


NAMES = "n", "size", "stride", "padding"


# --- 05.output_size -------------------------------------------------------------------------------------------------


def check_output_size(fn):
    """Against the places a window fits, counted one by one; then the formula of the transpose. All cases at once: one
    number alone looks like many mistakes."""
    cases = [(4, 3, 1, 0), (28, 4, 2, 1), (7, 5, 1, 2), (9, 3, 2, 0), (10, 3, 2, 0), (6, 2, 3, 1), (9, 4, 4, 0)]
    n, size, stride, padding = np.transpose(cases)
    got = [fn(*case) for case in cases]
    if any(isinstance(number, float) for number in got):
        raise Mistake("You return a float. A window that sticks out does not count: divide with `//`.")
    room = n + 2 * padding - size
    recognise(
        np.array(got),
        (n // stride, "You divide n by the stride, and leave the kernel and the padding out."),
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
    cases = [(2, 3, 1, 0), (2, 3, 2, 0), (7, 4, 2, 1), (14, 5, 2, 1), (5, 2, 3, 0)]
    n, size, stride, padding = np.transpose(cases)
    got, right = [fn(*case, transposed=True) for case in cases], (n - 1) * stride + size - 2 * padding
    recognise(
        np.array(got),
        ((n + 2 * padding - size) // stride + 1, "You ignore `transposed`: this is the size of a convolution."),
        (n - 1 + size - 2 * padding, "You forget the stride: the copies lie that many pixels apart."),
        (
            n * stride + np.maximum(size - stride, 0) - 2 * padding,
            "That is JAX's rule, which leaves room for a whole stride "
            "after the last copy. Here the picture ends with it, though the stride be larger than the kernel.",
        ),
        (
            n * stride - 2 * padding,
            "n · stride ends where a next copy would start; the last one reaches `size` pixels.",
        ),
        ((n + 1) * stride + size - 2 * padding, "There are n − 1 moves between n copies of the kernel, not n + 1."),
        ((n - 1) * size + stride - 2 * padding, "Size and stride are exchanged."),
        (n * size - 2 * padding, "You put the copies side by side; they start `stride` pixels apart, and may overlap."),
        (right - size, "You forget the kernel's size: the last copy reaches `size` pixels on."),
        (right + 1, "You count a pixel too many: the last copy starts at stride · (n − 1), and has `size` pixels."),
        (right - 1, "You count a pixel too few: the last copy starts at stride · (n − 1), and has `size` pixels."),
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
        "A convolution has n + 2·padding pixels, and room for ⌊(n + 2·padding − size)/stride⌋ moves after the start. The "
        "transpose lays n copies of the kernel, `stride` apart, and cuts `padding` off at both ends.",
        "(n + 2 * padding - size) // stride + 1, and in the transpose (n - 1) * stride + size - 2 * padding.",
    ),
)
def output_size(n, size, stride=1, padding=0, transposed=False):
    """Pixels a side after a (transposed) convolution of n pixels a side.

    size: pixels a side of the kernel. padding: zeros added at both ends
    before a convolution; pixels cut off at both ends after a transposed.
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
    cases = [(4, 3, 2), (4, 4, 2), (6, 5, 2), (3, 2, 3), (5, 3, 1), (1, 4, 2)]

    def counted(n, size, stride):
        counts = np.zeros(stride * (n - 1) + size, int)
        for i in range(n):
            counts[stride * i : stride * i + size] += 1
        return counts

    got, rights = [fn(*case) for case in cases], [counted(*case) for case in cases]
    # The notebook hands them to np.outer, which takes a list as well.
    got = [
        np.array(x) if isinstance(x, list | tuple) and all(isinstance(i, int | np.integer) for i in x) else x
        for x in got
    ]
    for message, wrong in {
        "You mark the pixels that are hit. Where copies overlap, count each of them.": lambda n, k, s: (
            counted(n, k, s) > 0
        ),
        "Size and stride are exchanged.": lambda n, k, s: counted(n, s, k),
        "n and size are exchanged.": lambda n, k, s: counted(k, n, s),
        "You forget the stride: the copies start that many pixels apart.": lambda n, k, s: counted(n, k, 1),
        "You take a share; the number of hits is asked for.": lambda n, k, s: counted(n, k, s) / k,
        "The end is cut off: the last copy starts at stride·(n − 1), and reaches size − 1 pixels further.": (
            lambda n, k, s: counted(n, k, s)[: n * s]
        ),
        "size // stride is right well inside at most. Near the ends fewer copies meet: count for each pixel.": (
            lambda n, k, s: np.full(len(counted(n, k, s)), k // s)
        ),
        "size / stride, rounded up, is the most there can be. Count for each pixel.": (
            lambda n, k, s: np.full(len(counted(n, k, s)), -(-k // s))
        ),
        "Your line is too long: the last copy ends at stride·(n − 1) + size.": (
            lambda n, k, s: np.append(counted(n, k, s), np.zeros(s, int))
        ),
        "Your line is a pixel too long: the last copy ends before stride·(n − 1) + size.": (
            lambda n, k, s: np.append(counted(n, k, s), 0)
        ),
        "Your copies are a pixel too wide: they end before stride·i + size.": lambda n, k, s: counted(n, k + 1, s),
        "Your copies are a pixel too narrow: they cover `size` pixels.": lambda n, k, s: counted(n, k - 1, s),
        "A copy is missing: there are n of them.": lambda n, k, s: counted(n - 1, k, s) if n > 1 else np.zeros(0),
        "You count what is hit more than once; each hit counts.": lambda n, k, s: np.maximum(counted(n, k, s) - 1, 0),
        "Your counts add up along the line. Each pixel has its own.": lambda n, k, s: np.cumsum(counted(n, k, s)),
        "What sticks out comes in again on the left. The line has stride·(n − 1) + size pixels.": lambda n, k, s: (
            np.bincount((s * np.arange(n)[:, None] + np.arange(k)).ravel() % (n * s), minlength=n * s)
        ),
        "Copy i counts i + 1 times; each hit counts once.": lambda n, k, s: sum(
            (i + 1) * np.eye(n, dtype=int)[i] @ [np.pad(np.ones(k, int), (s * j, s * (n - 1 - j))) for j in range(n)]
            for i in range(n)
        ),
    }.items():
        values = [wrong(*case) for case in cases]
        if all(np.shape(x) == y.shape and np.array_equal(x, y) for x, y in zip(got, values, strict=True)):
            raise Mistake(message)
    for case, counts, right in zip(cases, got, rights, strict=True):
        inputs, n = dict(zip(NAMES[:3], case, strict=True)), case[0]
        if np.shape(counts) == (n,) and n != len(right):
            raise Mistake(
                f"You return one number for each of the {n} *input* pixels. Count for the {len(right)} output pixels."
            )
        if np.ndim(counts) == 2:
            raise Mistake(
                "You count in the plane. A line is asked for; the notebook multiplies rows by columns itself."
            )
        floats = hasattr(counts, "dtype") and jnp.issubdtype(counts.dtype, jnp.floating)
        if floats and np.array_equal(counts, right):
            raise Mistake("Counts are whole numbers, and yours are floats: the figure would write 4.0. `.astype(int)`.")
        same(counts, right, inputs=inputs)


@define(
    "05.hits",
    difficulty=1,
    minutes=6,
    check=check_hits,
    hints=(
        "Copy i of the kernel covers the pixels from stride·i to stride·i + size − 1. How many copies cover pixel p?",
        "Add 1 to a slice, n times. (A transposed convolution of ones with a kernel of ones counts, too, but in floats: "
        "cast them to integers.)",
        "counts = np.zeros(stride * (n - 1) + size, int); then for each i in range(n) "
        "`counts[stride * i : stride * i + size] += 1`.",
    ),
)
def hits(n, size, stride):
    """How many of n copies of a kernel cover each pixel of a line.

    Copies are `size` pixels long, `stride` apart; the counts are 1-D.
    """
    counts = np.zeros(stride * (n - 1) + size, int)
    for i in range(n):
        counts[stride * i : stride * i + size] += 1
    return counts


# --- 05.depth_to_space ----------------------------------------------------------------------------------------------


def check_depth_to_space(fn):
    """Each pixel by its place; all other orders of the axes are mistakes that have a name."""
    for b, h, w, c, s in [(2, 2, 3, 2, 3), (1, 3, 2, 1, 2), (3, 2, 4, 4, 2)]:
        x = np.random.default_rng(h).permutation(b * h * w * s * s * c).reshape(b, h, w, -1).astype(np.float32) / 4
        right = np.zeros((b, s * h, s * w, c))
        for i, j, d in np.ndindex(s, s, c):
            right[:, i::s, j::s, d] = x[..., (i * s + j) * c + d]
        got, split, last = fn(jnp.asarray(x), s), x.reshape(b, h, w, s, s, c), x.reshape(b, h, w, c, s, s)
        block = split.mean((3, 4)), split[:, :, :, 0, 0], split[:, :, :, -1, -1]
        each = [part.repeat(s, 1).repeat(s, 2) for part in block]
        corner = np.zeros_like(right)
        corner[:, ::s, ::s] = block[1]
        recognise(
            got,
            (
                x.reshape(b, s * h, s * w, c),
                "A single reshape keeps the order of the numbers and mixes rows up. Split the channels into (s, s, C), move "
                "those two axes beside H and W, then join.",
            ),
            (
                split.transpose(0, 3, 1, 4, 2, 5).reshape(right.shape),
                "The s × s parts stand side by side as whole images. Each pixel becomes a block: (H, s, W, s, C).",
            ),
            (
                split.transpose(0, 1, 4, 2, 3, 5).reshape(right.shape),
                "Rows and columns of each block are exchanged: the channels come as (row, column, C).",
            ),
            (
                last.transpose(0, 1, 4, 2, 5, 3).reshape(right.shape),
                "You split the channels into (C, s, s); here they come as (s, s, C).",
            ),
            (each[1], "You repeat the first channels. Each one goes to its own pixel."),
            (each[2], "You repeat the last channels. Each one goes to its own pixel."),
            (each[0], "You repeat the mean of the channels. Each one goes to its own pixel."),
            (corner, "You fill the first pixel of each block only. Each channel goes to its own pixel."),
            (
                split[:, :, :, ::-1, ::-1].swapaxes(2, 3).reshape(right.shape),
                "Each block is turned round: its first channels belong to its upper left pixel.",
            ),
            (
                x[..., ::-1].reshape(split.shape).swapaxes(2, 3).reshape(right.shape),
                "You take the channels from the last to the first.",
            ),
            (right.swapaxes(1, 2), "Rows and columns of your picture are exchanged: (B, s·H, s·W, C)."),
            right=right,
        )
        if np.shape(got) == right.shape:
            for name, parts in {"(B, H, W, s, s, C)": split, "(B, H, W, C, s, s)": last}.items():
                recognise(
                    got,
                    *(
                        (
                            parts.transpose(0, *order).reshape(right.shape),
                            f"From {name} you take the axes in the order {(0, *order)}; from (B, H, W, s, s, C) it is "
                            "(0, 1, 3, 2, 4, 5): the block's row right behind H, its column right behind W.",
                        )
                        for order in permutations(range(1, 6))
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
    """Channels to pixels: (B, H, W, s²·C) -> (B, s·H, s·W, C).

    Each pixel's channels, in the order (row, column, C), become a block
    of s × s pixels.
    """
    b, h, w, c = x.shape
    blocks = x.reshape(b, h, w, s, s, c // s**2)
    return blocks.swapaxes(2, 3).reshape(b, h * s, w * s, c // s**2)


# --- 05.dropout -----------------------------------------------------------------------------------------------------


def check_dropout(fn):
    """Which values come out, how often, with which mean; keys; evaluation. A table, then images; two rates, and 0."""
    for shape, rate in (((200, 100), 0.3), ((8, 9, 10, 25), 0.6)):
        x = picture(50, *shape) + 0.125  # of both signs, and no entry is 0
        inputs = {"x": x, "rate": rate}
        still = fn(x, rate, key=jax.random.key(0), train=False)
        got = fn(x, rate, key=jax.random.key(1), train=True)
        if np.shape(still) == x.shape and (np.asarray(still) == 0).any():
            if np.shape(got) == x.shape and np.array_equal(got, x):
                raise Mistake("Training and evaluation are exchanged: with train=True entries are dropped.")
            raise Mistake("You drop in evaluation, too: with train=False x comes out as it is.")
        recognise(
            still,
            ((1 - rate) * x, "In evaluation x comes out as it is: the scaling is part of training."),
            (x / (1 - rate), "In evaluation x comes out as it is: the scaling is part of training."),
        )
        same(still, x, inputs=inputs, what="result with train=False")
        fit(got, x, "result in training")
        check_dropped(np.asarray(got), np.asarray(x), rate)
        same(
            got, np.where(np.asarray(got) != 0, x / (1 - rate), 0), inputs=inputs, rtol=1e-3, what="result in training"
        )
        again, other = (np.asarray(fn(x, rate, key=jax.random.key(seed), train=True)) for seed in (1, 2))
        if not np.array_equal(again, got):
            raise Mistake("The same key gives two different masks. Draw from `key` alone.")
        if np.array_equal(other, got):
            raise Mistake("Two different keys give the same mask. Draw from the `key` that comes in.")
    same(fn(x, 0.0, key=jax.random.key(3), train=True), x, what="result at rate 0, where nothing is dropped,")


def check_dropped(got, x, rate):
    """Raise the Mistake that explains what came out of x in training."""
    kept = got != 0
    share = float(1 - kept.mean())
    if np.isnan(got).any():
        raise Mistake("What is dropped is NaN. It should be 0.")
    if np.array_equal(got, x):
        raise Mistake(f"Nothing is dropped in training: at rate {rate} that share of the entries is to be 0.")
    if kept.any() and not kept.all():
        masks = [np.moveaxis(kept, axis, 0).reshape(x.shape[axis], -1) for axis in range(x.ndim)]
        for axis, mask in enumerate(masks):
            if (mask == mask[:1]).all():
                raise Mistake(
                    f"You drop whole rows or columns: along axis {axis} all masks are the same. The mask has the shape of "
                    "x, one draw for each entry."
                )
        for axis, mask in enumerate(masks):
            if len(np.unique(mask, axis=0)) < len(mask):
                raise Mistake(
                    f"Along axis {axis} masks come again. The mask has the shape of x, one draw for each entry."
                )
    if (positive := kept[x > 0].mean()) > 0.02 and kept[x < 0].mean() < positive / 2:
        raise Mistake("Negative entries are dropped more often than positive ones. The mask knows nothing of x.")
    if abs(share - (1 - rate)) < 0.02:
        raise Mistake(f"You keep {rate:.0%} of the entries and drop the rest; `rate` is the share to drop.")
    if abs(share - (1 - (1 - rate) ** 2)) < 0.02:
        raise Mistake(f"{share:.0%} of the entries are 0: you drop twice. At rate {rate} it is {rate:.0%}.")
    if abs(share - rate) > 0.02:
        hard = " Is the rate a number of your own? It comes in as `rate`." if rate == 0.6 else ""
        raise Mistake(f"{share:.1%} of {x.size:,} entries are 0, expected about {rate:.0%}.{hard}")
    factor = got[kept] / x[kept]
    for wrong, message in [
        (1, "The entries that stay are not scaled: the mean falls to 1 − rate. Divide by 1 − rate."),
        (1 - rate, "You multiply what stays by 1 − rate. Divide, and the mean stays."),
        (1 / rate, "You divide by rate. A share of 1 − rate stays: divide by that."),
        (1 + rate, "You multiply what stays by 1 + rate. A share of 1 − rate stays: divide by that."),
        (
            (1 - rate) ** -0.5,
            "You divide by √(1 − rate), which keeps the spread. The mean stays if you divide by 1 − rate.",
        ),
        ((1 - rate) ** -2, "You divide by 1 − rate twice."),
        (
            1 / kept.mean(),
            "You divide by the share that happened to stay. Divide by 1 − rate: then it holds on average.",
        ),
        (1 / 0.7, "You divide by 0.7, the share that stays at rate 0.3. It is 1 − rate."),
    ]:
        if np.allclose(factor, wrong, rtol=1e-4) and not np.isclose(wrong, 1 / (1 - rate), rtol=1e-4):
            raise Mistake(message)
    if np.allclose(got[kept] * (1 - rate), 1) or np.allclose(got[kept], 1):
        raise Mistake("You return the mask. Multiply x by it.")
    if np.allclose(got[kept] * (1 - rate), abs(x[kept])):
        raise Mistake("Negative entries come out positive. What stays keeps its sign.")


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
    """In training each entry of x is 0 with probability `rate`.

    The others are scaled so that the mean stays. Else x itself.
    """
    if not train:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), 0)
