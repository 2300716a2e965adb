"""Several devices, one training: each batch is shared out among them, and everything else lies on all of them.

JAX's compiler does the rest. `step` is the program of one device, with sums over the whole batch: where the batch is cut in
parts, XLA puts an all-reduce after each such sum (Xu et al. 2021, arXiv 2105.04663). So BatchNorm's statistics, spreads and
penalties are those of the whole batch.

One thing it does not do. Latents are drawn inside the step, from a key that all devices have, so XLA would draw all of them on
each device, and make all fakes there. Hence each network's inputs are dealt out once more, in `pure.forward`.
"""

from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def data_parallel(devices: Any = None) -> Mesh:
    """A mesh of one axis, "data", over these devices; default: all there are, of all processes.

    Its axis is Auto: XLA decides what is sent. (jax.make_mesh makes Explicit axes from jax 0.9 on, with which plain
    programs raise a ShardingTypeError.)
    """
    devices = jax.devices() if devices is None else list(devices)
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def check_mesh(mesh: Mesh | None, batch_size: int) -> None:
    """Raise ValueError where a batch cannot be shared out over this mesh."""
    if mesh is None:
        return
    if not isinstance(mesh, Mesh) or len(mesh.axis_names) != 1:
        given = f"one with axes {mesh.axis_names}" if isinstance(mesh, Mesh) else repr(mesh)
        raise ValueError(f"mesh must be a jax.sharding.Mesh with one axis, as data_parallel() makes it; got {given}.")
    if mesh.axis_types[0] != AxisType.Auto:
        raise ValueError(
            f"mesh has an {mesh.axis_types[0].name} axis, expected Auto: jax.make_mesh(..., axis_types=(AxisType.Auto,)), or "
            "data_parallel()."
        )
    if batch_size % mesh.size:
        near = max(batch_size // mesh.size, 1) * mesh.size
        raise ValueError(f"{mesh.size} devices cannot share a batch of {batch_size}: take a multiple, {near} say.")


def everywhere(mesh: Mesh | None, tree: Any) -> Any:
    """These arrays, whole on each device of the mesh. Without a mesh, as they are."""
    return tree if mesh is None else _place(tree, NamedSharding(mesh, PartitionSpec()))


_shared_by = ContextVar("_shared_by", default=None)


@contextmanager
def shared(mesh: Mesh | None):
    """What is traced inside shares its batches among the devices of this mesh, where `dealt` says so; None: no sharing."""
    token = _shared_by.set(mesh)
    try:
        yield
    finally:
        _shared_by.reset(token)


def dealt(batch: Any) -> Any:
    """Inside `shared(mesh)`: arrays (B, ...) dealt out, the first B/n samples to the first device. Elsewhere as they are.

    What n devices cannot share evenly stays whole on each.
    """
    mesh = _shared_by.get()
    if mesh is None:
        return batch
    parts = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    even = lambda x: hasattr(x, "shape") and x.ndim and x.shape[0] % mesh.size == 0
    return jax.tree.map(lambda x: _place(x, parts) if even(x) else x, batch)


def _place(tree, sharding):
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tree)):
        return jax.lax.with_sharding_constraint(tree, sharding)
    return jax.tree.map(partial(_put, sharding=sharding), tree)


def _put(x, sharding):
    """One array on all those devices. Those of other processes get theirs there, from arrays that are not on a device yet."""
    if sharding.is_fully_addressable or getattr(x, "sharding", None) == sharding:
        return jax.device_put(x, sharding)
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(_put(jax.random.key_data(x), sharding), impl=jax.random.key_impl(x))
    return jax.device_put(np.asarray(x), sharding)


# --- several processes ----------------------------------------------------------------------------------------------


def first_process() -> bool:
    """Is this the process that writes? One is, of all that jax.distributed.initialize() brought together."""
    return jax.process_index() == 0


def wait_for_all(reason: str) -> None:
    """Go on when all processes are here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(reason)


def any_process(flag: Any) -> bool:
    """Does any process say so? All of them ask, and hear the same."""
    return bool(flag if jax.process_count() == 1 else multihost_utils.process_allgather(np.array(bool(flag))).any())
