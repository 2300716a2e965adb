"""Compare what a reader's function returned with what was expected, and say what the difference looks like."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import all_leaves, keystr, tree_flatten_with_path

NOTHING = "Your function returns nothing (None): is a `return` missing?"


class Mistake(Exception):
    """A wrong answer. The message tells the reader which mistake it looks like: one sentence, then details by line."""


def same(got, expected, *, inputs=None, rtol=1e-5, atol=1e-6, what="result"):
    """Raise a Mistake unless `got` equals `expected` in structure, shape, kind of numbers, finiteness and values.

    got, expected: numbers, arrays or any pytrees of them; |got − expected| ≤ atol + rtol·|expected|, entry by entry.
    inputs: {name: value} to show in the message; their first axes also tell a sum from a mean over the batch.
    what: the words for it in the message ("gradient", "loss on fakes").
    """
    sizes = {np.shape(leaf)[0] for leaf in jax.tree.leaves((inputs, expected)) if np.ndim(leaf) and np.size(leaf)}
    for name, g, e in fit(got, expected, what.removeprefix("the ")):
        if isinstance(g, jax.core.Tracer):
            raise Mistake(f"The {name} is a tracer, a value kept from inside jit, grad or vmap: return it from there.")
        if not _numeric(e):
            if not callable(e) and g != e:
                raise Mistake(f"The {name} is {_short(g)}, expected {_short(e)}.")
            continue
        a, b = _plain(g), _plain(e)
        shown = (inputs or {}) | {"got": g, "expected": e}
        bad = ~np.isfinite(a) & np.isfinite(b)
        if bad.any():
            at = tuple(map(int, np.argwhere(bad)[0]))
            place = f"{bad.sum()} of its {bad.size} entries, the first ({a[at]}) at index {list(at)}" if at else f"{a}"
            raise Mistake(f"The {name} is not finite: {place}.{_table(shown)}")
        wrong = ~np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
        if wrong.any():
            gap = np.where(wrong, np.nan_to_num(abs(a - b), nan=np.inf), -1)
            at = tuple(map(int, np.unravel_index(np.argmax(gap), gap.shape)))
            if at:
                worst = f"{abs(a[at] - b[at]):.3g} at index {list(at)}: got {a[at]:.6g}, expected {b[at]:.6g}"
                shown["worst"] = worst + f" ({wrong.sum()} of {wrong.size} entries are off)"
            relation = _relation(a, b, _numbers(e) in ("booleans", "integers"), sizes, rtol, atol)
            raise Mistake(f"The {name} is not the expected one{relation and ': ' + relation}.{_table(shown)}")


def close(a, b):
    """Whether two numbers, arrays or trees of arrays of one structure are the same up to rounding."""
    try:
        pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
        return all(np.shape(x) == np.shape(y) and np.allclose(x, y, rtol=1e-4, atol=1e-5) for x, y in pairs)
    except (TypeError, ValueError):
        return False


def recognise(got, *suspects, right=None):
    """Raise the message of the first (value, message) in `suspects` that `got` equals: a mistake seen before.

    right: the right answer, where a suspect may happen to equal it.
    """
    for value, message in suspects:
        if close(got, value) and not (right is not None and close(value, right)):
            raise Mistake(message)


def fit(got, expected, what="result"):
    """List of (what, got, expected) for each leaf; a Mistake on a wrong type, structure, shape or kind of numbers."""
    if got is None and expected is not None:
        raise Mistake(NOTHING if what == "result" else f"The {what} is None: is a `return` missing?")
    misfit = f"The {what} is {kind_of(got)}, expected {kind_of(expected)}"
    if not all_leaves([expected]):
        if kind_of(got) != kind_of(expected):
            raise Mistake(f"{misfit}.")
        ours, theirs = _children(expected), _children(got)
        if ours.keys() != theirs.keys():
            raise Mistake(f"The {what} has the entries {', '.join(theirs)}; expected {', '.join(ours)}.")
        return [leaf for path in ours for leaf in fit(theirs[path], ours[path], what + path)]
    if not _numeric(expected):
        if not (callable(got) if callable(expected) else isinstance(got, type(expected))):
            raise Mistake(f"{misfit}.")
    elif not _numeric(got):
        listed = isinstance(got, (list, tuple)) and np.ndim(expected) > 0
        raise Mistake(misfit + (": make one array of it with `jnp.stack` or `jnp.array`." if listed else "."))
    elif np.shape(got) != np.shape(expected):
        shapes = f"The {what} has shape {np.shape(got)}, expected {np.shape(expected)}"
        raise Mistake(shapes + _shape_advice(np.shape(got), np.shape(expected)))
    elif _numbers(got) != _numbers(expected) and not (type(got) is int and _numbers(expected) == "floats"):
        raise Mistake(f"The {what} holds {_numbers(got)}, expected {_numbers(expected)}.")
    return [(what, got, expected)]


def _shape_advice(got, expected):
    if got == (*expected, 1):
        return ": drop the last axis, for instance with `[..., 0]`. Left in, (B, 1) against (B,) broadcasts to (B, B)."
    if (*got, 1) == expected:
        return ": the last axis, of length 1, is missing; `[..., None]` adds it."
    if len(expected) == 1 and got == expected * 2:
        return ": somewhere (B, 1) met (B,), which broadcasts to (B, B)."
    if expected == ():
        return ": one number is asked for. Is a mean or a sum missing?"
    if got == ():
        return ": you return one number for all. Is there a mean or a sum too many?"
    return ": the axes are reversed." if got == expected[::-1] else "."


def _relation(got, expected, counts, sizes, rtol, atol):
    """Words for a relation between two arrays of one shape that mistakes often leave; "" where none explains them.

    counts: whether whole numbers are asked for; their ratio is no sum or mean over a batch.
    """
    wrong = ~np.isclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
    rtol = max(rtol, 1e-4)  # to undo a relation also magnifies what was rounded

    def alike(x, y, times=1):
        return np.allclose(x, y, rtol=times * rtol, atol=times * atol)

    if not got.any():
        return "it is 0" + " everywhere" * (got.size > 1)
    # One number alone, or one number again and again, proves little: 4 is the square of 2, and 1 is 1 - 0.
    numbers = got[wrong], expected[wrong]
    single = all(alike(x, x[0]) for x in numbers)
    chance = single and all(_simple(x[0]) for x in numbers)
    with np.errstate(all="ignore"):
        undone = {
            "the sign is flipped": -got,
            "it is one minus the expected one, as when real and fake are swapped": 1 - got,
            "the order is reversed": got[::-1] if got.ndim else got,
            "it is transposed": got.T if got.shape == got.shape[::-1] else got,
            "it is the logarithm of the expected one": np.exp(got),
            "the logarithm is missing": np.log(got),
            "it is the logit of the expected one; a sigmoid is missing": 1 / (1 + np.exp(-got)),
            "there is a sigmoid too many: a probability where a logit is asked for": np.log(got / (1 - got)),
            "it is the square root of the expected one": got**2,
            "it is the square of the expected one; a square root is missing": np.sqrt(got),
        }
        if not alike(got, expected, times=3):  # else what hardly changes them, as a root does near 1, would do
            found = [words for words, value in undone.items() if alike(value, expected)]
            found = [words for words in found if not chance or words == "the sign is flipped"]
            if found:  # two of them, as where the numbers are symmetric around 0: the reader knows which
                return ", or ".join(found)
        top = abs(expected).argmax()
        factor, offset = got.ravel()[top] / expected.ravel()[top], (got - expected).mean()
        proportional = factor and np.isfinite(factor) and np.isreal(factor) and alike(got, factor * expected)
        if proportional and abs(factor - 1) > 3 * rtol:
            ratio = float(max(abs(factor), 1 / abs(factor)))
            whole = np.isclose(ratio, round(ratio), rtol=1e-4) and round(ratio) > 1
            if whole and round(ratio) in sizes and factor.real > 0 and not counts:
                size, (right, wrong) = round(ratio), ("mean", "sum") if factor.real > 1 else ("sum", "mean")
                times = f"{size}" if factor.real > 1 else f"1/{size}"
                return (
                    f"it is {times} times the expected one, and {size} is the batch: a {wrong} where a {right} belongs"
                )
            if not single or (whole and ratio < 17 and not chance):  # any two single numbers are a factor apart
                return f"it is {factor.real:.4g} times the expected one"
        if not single and abs(offset) > 3 * atol and alike(got - expected, offset):
            return f"it is the expected one plus {offset:.4g}"
    return ""


def _simple(x):
    """Whether x is a whole number or a fraction with a small denominator, as counts and shares are."""
    return np.isfinite(x) and any(abs(n * x - np.round(n * x)) < 1e-6 * n for n in range(1, 17))


def _children(tree):
    pairs, _ = tree_flatten_with_path(tree, is_leaf=lambda node: node is not tree)
    return {keystr(path): child for path, child in pairs}


def _numeric(x):
    return isinstance(x, (bool, int, float, complex, np.generic, np.ndarray, jax.Array)) and _numbers(x) != "objects"


def _numbers(x):
    dtype = x.dtype if hasattr(x, "dtype") else np.dtype(type(x))
    kinds = {"booleans": np.bool_, "integers": np.integer, "floats": np.floating, "complex numbers": np.complexfloating}
    kinds["keys"] = jax.dtypes.prng_key
    return next((name for name, kind in kinds.items() if jnp.issubdtype(dtype, kind)), "objects")


def _plain(x):
    x = np.asarray(jax.random.key_data(x) if _numbers(x) == "keys" else x)
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def kind_of(x):
    """Words for what x is: "an array of shape (8,)", "a tuple of 2", "None"."""
    name = ("an " if type(x).__name__[0] in "AEIOUaeiou" else "a ") + type(x).__name__
    if isinstance(x, dict):
        return f"a dict with keys {', '.join(map(repr, sorted(x, key=str)))}"
    if isinstance(x, (list, tuple)):
        return f"{name} of {len(x)}"
    if _numeric(x):
        return f"an array of shape {np.shape(x)}" if np.ndim(x) else "a number"
    if isinstance(x, type) or (callable(x) and hasattr(x, "__name__")):
        return f"the {'class' if isinstance(x, type) else 'function'} {x.__name__}"
    return f"a str ({x[:20]!r})" if isinstance(x, str) else "None" if x is None else name


def _short(x):
    if not _numeric(x):
        return x[:200] if isinstance(x, str) else kind_of(x)
    if isinstance(x, jax.core.Tracer):
        return f"{x.dtype} {x.shape}"
    entries = _plain(x).ravel()
    first = ", ".join(f"{v:.4g}" for v in entries[:5])
    return f"{entries[0]:.6g}" if not np.ndim(x) else f"[{first}{', …' * (entries.size > 5)}]  {x.dtype} {x.shape}"


def _table(rows):
    width = max(map(len, rows))
    return "".join(f"\n{name:<{width}}  {_short(value)}" for name, value in rows.items())
