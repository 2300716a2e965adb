"""What is handed to the library becomes a plain array of real numbers, or is refused in words before anything compiles."""

import jax
import numpy as np


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
