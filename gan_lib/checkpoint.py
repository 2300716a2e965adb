"""Files of arrays: written whole or not at all, read without running anything in them (safetensors, no pickle)."""

import errno
import glob
import json
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

FORMAT = "1"  # of the names in a file; a file of another format is refused
HISTORY = "history "  # what the names of a history's arrays begin with
TYPES = "gan_lib types"  # header: {name: dtype} of what safetensors has no name for, and of keys
CODES = {"BOOL": "bool", "F16": "float16", "F32": "float32", "F64": "float64"}
CODES |= {f"{kind[0].upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
PLAIN = set(CODES.values())  # kept as they are; earlier versions wrote these, too, and then could not read them:
CODES |= {"BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64"}
EIGHT, SCALE = "float32 in 8 bits", " scale"  # its type in the header; what its scales' name ends with
ABANDONED = 3600  # seconds; no save takes as long


def save(
    path: str | os.PathLike,
    state: Any,
    *,
    history: dict[str, np.ndarray] | None = None,
    notes: dict[str, str] | None = None,
    eight_bits: bool = False,
) -> None:
    """Write every array of a state to a safetensors file. The file that was there stays whole until the new one is.

    path: as `place` takes it. state: a pytree of numbers and of arrays, of NumPy, of JAX, or keys, in any order of their
    bytes and of any type that JAX has; e.g. a GANState or its `average`. history: what `fit` returned with it.
    notes: short texts for the file's header, such as the command that trained it.
    eight_bits: a quarter of the size, to ship: kernels, that is float32 arrays of two axes or more, as whole numbers from
        -127 to 127 with one scale for each output channel, the last axis. `restore` gives float32, off by scale/2 at most.
    Raises ValueError on a leaf that `restore` could not give back, and on a path that is no file's; OSError, with the path
    and the reason, if the file cannot be written.
    """
    path = place(path)
    arrays, types = {}, {}
    leaves = [(jax.tree_util.keystr(name), x) for name, x in jax.tree_util.tree_flatten_with_path(state)[0]]
    for name, x in leaves + [(HISTORY + name, x) for name, x in (history or {}).items()]:
        if name in arrays:
            raise ValueError(f"Two leaves of the state are called {name}; expected names that differ. Rename one.")
        arrays[name], kind = _plain(name, x)
        if eight_bits and not kind and _is_kernel(name, arrays[name]):
            (arrays[name], arrays[name + SCALE]), kind = _narrowed(name, arrays[name]), EIGHT
        types |= {name: kind} if kind else {}
    header = {str(name): str(text) for name, text in (notes or {}).items()} | {"gan_lib": FORMAT}
    data = safetensors.numpy.save(arrays, metadata=header | ({TYPES: json.dumps(types)} if types else {}))
    part = path.with_name(f"{path.name}.{_here()}-{os.getpid()}-{threading.get_ident()}.part")  # two may save at a time
    try:
        try:
            with open(part, "wb") as file:
                file.write(data)
                file.flush()
                _sync(file)
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"{path} could not be written ({error.strerror}); an earlier file of that name is intact. Choose a folder "
            f"that exists and is yours, with {len(data) / 1e6:.1f} MB free",
        ) from error
    _sweep(path)


def place(path: str | os.PathLike) -> Path:
    """The file that a path means: ~ is the home folder, and where a link leads is where it is written and read.

    Raises ValueError on a path that is empty, or a folder's, or that of anything else that is no file.
    """
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ValueError(f"A checkpoint needs a file's name, such as gan.safetensors; got {path!r}.")
    name = os.path.expanduser(os.fsdecode(path))
    real = Path(os.path.realpath(name) if os.path.islink(name) else name)
    if real.is_dir() or name.endswith(("/", os.sep)):
        raise ValueError(f"{name} is a folder; expected a file. Add a name: {os.path.join(name, 'gan.safetensors')}.")
    if real.exists() and not real.is_file():
        raise ValueError(
            f"{name} is a device or a pipe; expected a file. Choose another name, such as gan.safetensors."
        )
    return real


def _here():
    """This machine's name, without what a file's name may not hold."""
    return re.sub(r"\W", "_", socket.gethostname())[:20]


def _sweep(path):
    """Remove what writers left that were killed: on this machine, or an hour ago."""
    for part in map(Path, glob.glob(f"{glob.escape(str(path))}.*part")):
        name = re.fullmatch(re.escape(path.name) + r"(?:\.(\w*)-(\d+)-\d+)?\.part", part.name)
        try:
            old = name and time.time() - part.stat().st_mtime > ABANDONED
            if old or (name and name[1] == _here() and _dead(int(name[2]))):
                part.unlink()
        except OSError:  # it is gone, or not ours
            pass


def _dead(process):
    """Has it ended? Only POSIX can be asked without harm."""
    try:
        if os.name == "posix":
            os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def _sync(file):
    """Wait until the file is on the disk; some mounted folders, such as a drive in the cloud, cannot tell."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


def header(path: str | os.PathLike) -> dict[str, str]:
    """The notes that `save` wrote beside the arrays."""
    with safetensors.safe_open(place(path), framework="numpy") as file:
        return file.metadata() or {}


def restore(path: str | os.PathLike, state_like: Any) -> Any:
    """The state saved at path. state_like: one of the same structure, e.g. gan.init(key); its values do not matter.

    Bit for bit what was saved, each leaf of state_like's sort: a JAX array, a NumPy one, a key or a Python number.
    Raises ValueError on a file that is no checkpoint, or one whose names, shapes or types are not state_like's.
    """
    path = place(path)
    saved, types = _load(path)
    saved = {name: x for name, x in saved.items() if not name.startswith(HISTORY)}
    leaves, tree = jax.tree_util.tree_flatten_with_path(state_like)
    like = {jax.tree_util.keystr(name): x for name, x in leaves}
    wanted = {name: _kind(x) for name, x in like.items()}
    found = {name: f"{types.get(name, x.dtype.name)} {x.shape}" for name, x in saved.items()}
    # Files of earlier versions do not say what drew a key's numbers.
    same = {n for n in wanted if found.get(n) in (wanted[n], re.sub("^key<.*>", "uint32", wanted[n]))}
    if others := sorted(wanted.keys() ^ found.keys() | wanted.keys() - same):
        only_optimiser = all(name.startswith(".opt") for name in others)
        what = "network or optimiser (a schedule adds a counter)" if only_optimiser else "network"
        raise ValueError(
            f"{path} was saved from another {what}: at {others[0]} it has {found.get(others[0], 'nothing')}, state_like "
            f"has {wanted.get(others[0], 'nothing')}. Build the GAN as it was when it was saved."
        )
    return jax.tree.unflatten(tree, [_as(x, saved[name]) for name, x in like.items()])


def restore_history(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The history saved beside a state; empty if there was none."""
    return {name.removeprefix(HISTORY): x for name, x in _load(place(path))[0].items() if name.startswith(HISTORY)}


def _load(path):
    """{name: array} of a file that `save` wrote, and {name: type} of its keys and of what safetensors has no name for."""
    data = path.read_bytes()
    try:
        parts = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is no checkpoint of ours, or is cut short ({error}). Restore an earlier one."
        ) from None
    notes = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
    if notes.get("gan_lib") != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file, but not a checkpoint of format {FORMAT} (its header says "
            f"{notes.get('gan_lib')}): save it again with this version of gan_lib."
        )
    types, arrays = json.loads(notes.get(TYPES, "{}")), {}
    for name, part in parts:
        kind = CODES.get(part["dtype"], part["dtype"])
        kind = types.get(name, kind) if types.get(name) != EIGHT else kind
        try:
            dtype = np.dtype("uint32" if kind.startswith("key<") else kind)
        except TypeError:
            raise ValueError(f"{path} holds {kind} at {name}, which NumPy here does not know. Update JAX.") from None
        shape = part["shape"][:-1] if _split(dtype) and name in types else part["shape"]
        arrays[name] = np.frombuffer(part["data"], dtype).reshape(shape)
    for name in [name for name, kind in types.items() if kind == EIGHT]:
        arrays[name] = _widened(path, name, arrays.get(name), arrays.pop(name + SCALE, None))
        types.pop(name)
    return arrays, types


def _is_kernel(name, array):
    return array.dtype == np.float32 and array.ndim > 1 and array.size and not name.startswith(HISTORY)


def _narrowed(name, kernel):
    """(int8, scales): whole numbers times scales are the kernel (..., out), and the largest of each channel is ±127."""
    if not np.isfinite(kernel).all():
        raise ValueError(f"{_called(name)} is not finite, so it has no scale; expected finite weights in eight bits.")
    scale = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1))) / np.float32(127)
    return np.rint(kernel / np.where(scale > 0, scale, 1)).clip(-127, 127).astype(np.int8), scale


def _widened(path, name, whole, scale):
    """The float32 kernel (..., out) of whole numbers (..., out) and scales (out,)."""
    fits = whole is not None and whole.dtype == np.int8 and scale is not None and scale.dtype == np.float32
    if not (fits and scale.shape == whole.shape[-1:] and np.isfinite(scale).all() and (scale >= 0).all()):
        raise ValueError(
            f"{path} is damaged: at {name} it should hold int8 numbers and a scale ≥ 0 for each channel. Restore or "
            "download it again."
        )
    return whole * scale


def _plain(name, x):
    """x as an array that safetensors has a name for, and what it is where that does not say it.

    In C order and this machine's byte order: safetensors copies memory from an array's first entry on, whatever its
    strides are. Other types go as their bytes, which get an axis of their own.
    """
    kind = str(x.dtype) if _is_key(x) else None
    try:
        array = np.asarray(jax.random.key_data(x) if kind else x, order="C")
    except Exception as error:  # ragged lists, deleted arrays, tracers
        raise ValueError(f"{_called(name)} is no array ({str(error).splitlines()[0]}); {CURE}") from None
    dtype = array.dtype
    if np.ma.is_masked(x) or not (dtype.name in PLAIN or _split(dtype)):
        what = "masked entries" if np.ma.is_masked(x) else f"{type(x).__name__}, {dtype}"
        raise ValueError(f"{_called(name)} holds what cannot be read again ({what}); {CURE}")
    array = array.astype(dtype.newbyteorder("="), copy=False)
    if _split(dtype):
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8).reshape(*array.shape, dtype.itemsize), dtype.name
    return array, kind


CURE = "expected numbers, or arrays of numbers. Leave it out of the state, or convert it, as with np.float32(...)."


def _called(name):
    return f"The state's leaf {name}" if name else "The state"


def _split(dtype):
    """Is it a type of JAX or NumPy that goes as bytes: bfloat16, float8, int4, complex?"""
    if dtype.name in ("complex64", "complex128"):
        return True
    try:
        return dtype.isbuiltin == 2 and not dtype.hasobject and np.dtype(dtype.name) == dtype
    except TypeError:  # a registered type without a name
        return False


def _kind(x):
    """Type and shape of a leaf, in words."""
    if _is_key(x):
        return f"{x.dtype} {jax.eval_shape(jax.random.key_data, x).shape}"
    x = x if hasattr(x, "shape") and isinstance(getattr(x, "dtype", None), np.dtype) else np.asarray(x)
    return f"{x.dtype.name} {x.shape}"


def _as(like, array):
    """The array as a leaf of this sort. To JAX, a float64 of NumPy or Python is a float32."""
    if _is_key(like):
        return jax.random.wrap_key_data(array, impl=jax.random.key_impl(like))
    if isinstance(like, bool | int | float | complex) and not isinstance(like, np.generic):
        return array.item()
    if isinstance(like, np.generic):
        return array[()]
    return array.copy() if isinstance(like, np.ndarray) else jnp.asarray(array)


def _is_key(x):
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
