"""What is handed to the library becomes a plain array of real numbers, or is refused in words before anything compiles."""

import jax
import jax.numpy as jnp
import numpy as np

LARGEST = 1e45  # whose cubes can be summed in float64


def as_array(value, name: str, *, on_device: bool = False):
    """value as a NumPy array of booleans, integers or floats, in this machine's byte order; not copied without need.

    value: an array of NumPy, JAX, PyTorch or whatever else NumPy can read, a number, or nested lists of one shape.
    name: what the error calls it. on_device: a JAX array is looked at, and returned as it is where it lies.
    Shape, size and range are the caller's matter: () and (0, 28, 28, 1) pass, and so does NaN.
    Raises ValueError on what is no array, or holds something else: a tuple of several, strings, objects, complex numbers,
    keys, masked or deleted entries, and what `jax.jit` has not computed yet.
    """
    if fields := getattr(value, "_fields", ()):
        raise ValueError(
            f"{name} is a {type(value).__name__}, which holds {', '.join(fields)}; expected one array. "
            f"Hand over the one that is meant, as in .{fields[0]}."
        )
    if isinstance(value, jax.core.Tracer):
        raise ValueError(
            f"{name} has no values yet, as inside jax.jit, jax.grad or jax.vmap; expected an array. "
            "Call this function outside of them, with their result."
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{name} has masked entries; expected numbers throughout. Leave the masked samples out, or fill them."
        )
    stays = on_device and _is_jax(value) and not value.is_deleted()
    try:
        x = value if stays else np.asarray(value)
    except Exception as error:  # whatever another library's __array__ raises
        raise ValueError(f"{name} {_trouble(value, error)}") from None
    if not _real(x.dtype):
        what = f"a {type(value).__name__}" if x.dtype == object and not x.ndim else f"an array of {_words(x.dtype)}"
        raise ValueError(
            f"{name} is {what}; expected an array of real numbers. Convert it first, as with np.float32(...), or take the "
            "part that holds the numbers."
        )
    return x if stays or x.dtype.isnative else x.astype(x.dtype.newbyteorder("="))


def as_data(data):
    """data as `fit` takes it: an array (N, ...), or a pytree of arrays with one N. Each leaf goes through `as_array`.

    Raises ValueError, too, where there is no common first axis, or nothing along it.
    """
    data = jax.tree.map(lambda x: as_array(x, "data", on_device=True), data)
    shapes = [x.shape for x in jax.tree.leaves(data)]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or lengths == {()}:
        given = ", ".join(map(str, shapes[:8])) or "nothing"
        raise ValueError(f"data must be an array (N, ...), or several with one N; got shapes {given}.")
    if lengths == {(0,)}:
        raise ValueError("data hold no sample: N is 0. Does the selection before it pick any?")
    return data


def check_key(key) -> None:
    """Raise ValueError unless this is one random key."""
    kind, shape = getattr(key, "dtype", None), getattr(key, "shape", None)
    typed = kind is not None and jnp.issubdtype(kind, jax.dtypes.prng_key)
    if shape != () if typed else (kind != jnp.uint32 or shape not in ((2,), (4,))):
        given = repr(key) if kind is None else f"{kind} of shape {shape}"
        raise ValueError(f"A random key is asked for, such as jax.random.key(0); got {given}.")


def as_float64(value, name: str) -> np.ndarray:
    """value as a NumPy array of float64, for sums of cubes: what the metrics compute stays in its range.

    Raises ValueError as `as_array` does, on values that are not finite, and on values beyond ±1e45.
    """
    with np.errstate(over="ignore"):  # of longer floats
        x = as_array(value, name).astype(np.float64, copy=False)
    finite = np.isfinite(x).all(axis=tuple(range(1, x.ndim)))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise ValueError(
            f"{name} has values that are not finite in {len(bad):,} of {finite.size:,} rows, the first is row {bad[0]}; "
            "expected numbers. Look at the samples of these rows, or leave them out and say so."
        )
    if (largest := abs(x).max(initial=0)) > LARGEST:
        raise ValueError(
            f"{name} has values up to {largest:.3g}, expected at most {LARGEST:.0e}: their powers leave float64. Look at "
            "the largest ones; a network that has diverged makes such."
        )
    return x


def as_ink(images) -> np.ndarray:
    """Images of any shape as float32 from −1 (paper) to 1 (ink), from such floats, bytes from 0 to 255, or booleans.

    Raises ValueError as `as_array` does, and on values that are not finite or lie outside: a picture would cut them off.
    """
    x = as_array(images, "images")
    with np.errstate(over="ignore"):  # what is too large is not finite
        inked = x.astype(np.float32)
    low, high = inked.min(initial=np.inf), inked.max(initial=-np.inf)
    if x.size and not np.isfinite([low, high]).all():
        raise ValueError("images hold values that are not finite, expected -1 to 1: look for np.isnan(images).")
    if x.dtype == bool:
        return 2 * inked - 1
    if x.dtype == np.uint8 and high != 1:
        return inked / 127.5 - 1
    if low < -1.001 or high > 1.001 or x.dtype == np.uint8:  # bytes of 0 and 1 may be black, or black and white
        cure = "end the generator with tanh, or np.clip(x, -1, 1)"
        cure = "scale bytes with x / 127.5 - 1" if low >= 0 and high > 100 else cure
        cure = "scale [0, 1] with 2.0 * x - 1" if x.dtype == np.uint8 else cure
        raise ValueError(f"images run from {low:.3g} to {high:.3g}, expected -1 (paper) to 1 (ink): {cure}.")
    return inked


def check_whole(value, name: str, least: int, most: int | None = None, why: str = "") -> None:
    """Raise ValueError on what is no whole number from least to most. why: what most is."""
    if not isinstance(value, int | np.integer) or value < least or (most is not None and value > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most:,}, {why}"
        raise ValueError(f"{name} is {value!r}, expected a whole number {bounds}.")


def _real(dtype):
    real = any(jax.dtypes.issubdtype(dtype, kind) for kind in (np.bool_, np.integer, np.floating))
    return real and dtype.kind != "m"  # to NumPy, spans of time are integers


def _is_jax(value):
    """Is it an array of numbers in JAX's hands? A key is none."""
    return isinstance(value, jax.Array) and not jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key)


def _words(dtype):
    words = {"O": "objects", "U": "strings", "S": "bytes", "M": "dates", "m": "spans of time", "c": "complex numbers"}
    return words.get(dtype.kind, "records" if dtype.names else dtype)


def _trouble(value, error):
    """Why value is no array, and what to do."""
    if isinstance(value, list | tuple):
        parts = [f"{type(x).__name__}{getattr(x, 'shape', '')}" for x in value[:3]]
        return (
            f"is a {type(value).__name__} of {len(value)} parts that make no array ({', '.join(parts)} …); expected one "
            'array. Hand over one part, as in: images, labels = mnist("test").'
        )
    if getattr(value, "is_deleted", bool)():
        return (
            "is an array whose memory JAX has given to another (donate_argnums, or .delete()); expected one that still "
            "has its numbers. Keep what the function returned instead."
        )
    if isinstance(value, jax.Array):
        return (
            f"is an array of {value.dtype}; expected numbers. Draw some with it, as jax.random.normal(key, shape) does."
        )
    return (
        f"is a {type(value).__name__} that NumPy cannot read ({str(error).partition(chr(10))[0]}); expected an array of "
        "numbers. Convert it first; for PyTorch: x.detach().cpu().float().numpy()."
    )
