"""Files of arrays: written whole or not at all, read without running anything in them (safetensors, no pickle)."""

import errno
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

FORMAT = "1"  # of the names in a file; a file of another format is refused
HISTORY = "history "  # what the names of a history's arrays begin with


def save(
    path: str | os.PathLike,
    state: Any,
    *,
    history: dict[str, np.ndarray] | None = None,
    notes: dict[str, str] | None = None,
) -> None:
    """Write every array of a state to a safetensors file. The file that was there stays whole until the new one is.

    state: a pytree of arrays, e.g. a GANState or its `average`. history: what `fit` returned with it.
    notes: short texts for the file's header, such as the command that trained it.
    Raises OSError, with the path and the reason, if the file cannot be written.
    """
    path = Path(path)
    past = {HISTORY + name: np.ascontiguousarray(values) for name, values in (history or {}).items()}
    data = safetensors.numpy.save(_named_arrays(state)[0] | past, metadata={"gan_lib": FORMAT, **(notes or {})})
    part = path.with_name(path.name + ".part")  # one name, so that a write that was killed leaves no second file
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


def _sync(file):
    """Wait until the file is on the disk; some mounted folders, such as a drive in the cloud, cannot tell."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


def header(path: str | os.PathLike) -> dict[str, str]:
    """The notes that `save` wrote beside the arrays."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.metadata() or {}


def restore(path: str | os.PathLike, state_like: Any) -> Any:
    """The state saved at path. state_like: one of the same structure, e.g. gan.init(key); its values do not matter.

    Raises ValueError on a file that is no checkpoint, or one whose names, shapes or types are not state_like's.
    """
    saved = {name: x for name, x in _load(path).items() if not name.startswith(HISTORY)}
    wanted, tree = _named_arrays(state_like)
    kind = {name: (x.shape, x.dtype) for name, x in wanted.items()}
    found = {name: (x.shape, x.dtype) for name, x in saved.items()}
    if kind != found:
        name = min(n for n in kind.keys() | found.keys() if kind.get(n) != found.get(n))
        raise ValueError(
            f"{path} was saved from another network: at {name} it has {found.get(name, 'nothing')}, state_like has "
            f"{kind.get(name, 'nothing')}. Build the GAN as it was when it was saved."
        )
    like = jax.tree.leaves(state_like)
    arrays = [
        jax.random.wrap_key_data(saved[name]) if _is_key(x) else jnp.asarray(saved[name])
        for name, x in zip(wanted, like, strict=True)
    ]
    return jax.tree.unflatten(tree, arrays)


def restore_history(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The history saved beside a state; empty if there was none."""
    return {name.removeprefix(HISTORY): x for name, x in _load(path).items() if name.startswith(HISTORY)}


def _load(path):
    """{name: array} of a file that `save` wrote."""
    try:
        arrays, found = safetensors.numpy.load(Path(path).read_bytes()), header(path).get("gan_lib")
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is no checkpoint of ours, or is cut short ({error}). Restore an earlier one."
        ) from None
    if found != FORMAT:
        raise ValueError(
            f"{path} is a safetensors file, but not a checkpoint of format {FORMAT} (its header says {found}): save it "
            "again with this version of gan_lib."
        )
    return arrays


def _named_arrays(state):
    """{name: array} of a state's leaves, and the tree to put them back. PRNG keys become their raw numbers."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(state)
    raw = [jax.random.key_data(x) if _is_key(x) else x for _, x in leaves]
    return {jax.tree_util.keystr(path): np.asarray(x) for (path, _), x in zip(leaves, raw, strict=True)}, tree


def _is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
