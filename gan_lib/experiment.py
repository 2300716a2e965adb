"""Whose checkpoint is it? What a training was made of, as a short text for the file's header, and the question whether
another one is made of the same.

Numbers are compared with a tolerance: the same seed gives other last digits on another device.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.checkpoint import header, place, restore, restore_history, save
from gan_lib.history import History
from gan_lib.mesh import first_process, wait_for_all

SECONDS = 60  # of training that a lost runtime costs at most, but for twenty times what it takes to save
STARTS = 20  # states that runs began with, kept in a file


def describe(model: Any, state: Any, data: Any, key: jax.Array, batch_size: int) -> dict:
    """What decides the result of `fit`, but for how many steps are made and how they are cut: plain JSON."""
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), x.dtype), data)
    program = jax.make_jaxpr(model.step)(state, batch, key)
    # A program prints the addresses of the functions in it, which differ between sessions.
    text = re.sub(r" at 0x[0-9a-f]+", "", str(program.jaxpr)) + repr(sketches(list(program.consts)))
    raw = key if key.dtype == jnp.uint32 else jax.random.key_data(key)
    return {
        "versions": f"jax {jax.__version__}, flax {flax.__version__}, {jax.default_backend()}",
        "program": hashlib.sha256(text.encode()).hexdigest()[:16],
        "key": np.asarray(raw).tolist(),
        "data": sketches(data),
        "starts": [sketches(state)],
    }


def sketches(tree: Any) -> list:
    """For each array its kind, and two sums that hardly any other array has: [dtype, shape, sum, norm]."""
    leaves = jax.tree.leaves(tree)
    return [[str(x.dtype), list(x.shape), *map(float, sums)] for x, sums in zip(leaves, _sums(leaves), strict=True)]


@jax.jit
def _sums(leaves):
    raw = (jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in leaves)
    flat = [x.ravel().astype(jnp.float32) for x in raw]
    return [((x * jnp.cos(jnp.arange(x.size, dtype=jnp.float32))).sum(), jnp.sqrt((x**2).sum())) for x in flat]


def alike(one: list, other: list) -> bool:
    """Are these the sketches of the same arrays, up to rounding?"""
    return [a[:2] for a in one] == [b[:2] for b in other] and all(
        max(abs(a[2] - b[2]), abs(a[3] - b[3])) <= 1e-4 * (a[3] + b[3]) for a, b in zip(one, other, strict=True)
    )


def differences(ours: dict, theirs: dict, kept: Any) -> list[str]:
    """What keeps a checkpoint from being this experiment's, in words; nothing if it is. kept: the state in the file."""
    found = []
    if ours["versions"] == theirs["versions"] and ours["program"] != theirs["program"]:
        found.append("network, loss, penalty, optimiser or size of batches")
    if ours["key"] != theirs["key"]:
        found.append("key")
    if not alike(ours["data"], theirs["data"]):
        found.append("data")
    given = ours["starts"][-1]
    if not any(alike(given, start) for start in theirs["starts"]) and not alike(given, sketches(kept)):
        found.append("state to begin with (another seed?)")
    return found


class RunFile:
    """The checkpoint of one training, or none (path None): what is in it, whose it is, when it is due again.

    Of several processes the first writes it, and all read it.

    describe: function () -> what this training is made of, asked for only where there is a path.
    """

    def __init__(self, path: str | os.PathLike | None, describe: Callable[[], dict]):
        self.path = None if path is None else place(path)
        self.trouble = None  # why it cannot be written any more
        self.kept = self.cost = 0  # what it holds, seconds that took
        self.time = time.perf_counter()
        self.experiment = None if path is None else describe() | {"writer": os.urandom(8).hex()}
        self.last = None  # who wrote it last, as far as this training knows

    def resume(self, state: Any) -> tuple[Any, dict | None]:
        """The (state, history) to go on from: those in the file, if there is one, else the state given.

        Raises ValueError on a file of another experiment, OSError where none can be written.
        """
        if self.path is None:
            return state, None
        if not first_process():
            wait_for_all("the first has looked")
        fresh = not self.path.exists() or self._is_empty()
        if fresh:
            self._write(state, {}, 0)  # finds out now, not after an hour, whether it can be written
        if first_process():
            wait_for_all("the first has looked")
        if fresh:
            return state, None
        kept, theirs = restore(self.path, state), self._noted()
        if kept.step < state.step:
            raise ValueError(
                f"{self.path} holds step {int(kept.step):,}, the state given is at step {int(state.step):,} already. Give "
                "another path, or go on from restore(path, state)."
            )
        if theirs is None and not alike(self.experiment["starts"][-1], sketches(kept)):
            raise ValueError(
                f"{self.path} was written by save, which does not note the experiment it belongs to. To go on from it: "
                "state = restore(path, state), and give fit that."
            )
        if theirs and (other := differences(self.experiment, theirs, kept)):
            raise ValueError(
                f"{self.path} belongs to another experiment, with another {', another '.join(other)}. Give this one a file "
                "of its own, or delete that one. To go on from it all the same: restore(path, state), and another path."
            )
        given = self.experiment["starts"][-1]
        before = [start for start in (theirs or {}).get("starts", []) if not alike(start, given)]
        self.experiment["starts"] = [*before[1 - STARTS :], given]
        self.kept, self.last = (int(kept.step), 0), (theirs or {}).get("writer")
        return kept, restore_history(self.path)

    def is_due(self) -> bool:
        """Has it been a minute since the last time? Longer where saving takes long."""
        return time.perf_counter() - self.time > max(SECONDS, 20 * self.cost)

    def keep(self, state: Any, history: History) -> None:
        """Save both, unless the file has them. Where that fails, `trouble` says why, and nothing is tried again."""
        now = int(state.step), history.measurements
        if self.path is None or self.trouble or self.kept == now or not first_process():
            return
        start = time.perf_counter()
        try:
            if self.path.exists() and (self._noted() or {}).get("writer") != self.last:
                self.trouble = f"another training has written {self.path} meanwhile; give each a file of its own"
                return
            self._write(state, history.arrays(), len(history.arrays()["step"]))
        except OSError as error:
            self.trouble = error.strerror
            return
        self.kept, self.time = now, time.perf_counter()
        self.cost = self.time - start

    def _write(self, state, arrays, made):
        if first_process():
            save(self.path, state, history=arrays, notes={"experiment": json.dumps(self.experiment | {"made": made})})
        self.last = self.experiment["writer"]

    def _noted(self):
        """The experiment noted in the file; None where none is."""
        try:
            return json.loads(header(self.path)["experiment"])
        except (KeyError, OSError):
            return None

    def _is_empty(self):
        """Is it the file of a training that stopped before its first step? That is in nobody's way."""
        restore_history(self.path)  # raises on what is no checkpoint
        return (self._noted() or {"made": 1})["made"] == 0
