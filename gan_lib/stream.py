"""Batches from an iterator, for data that no device holds: `fit` trains on each once, in their order.

While a step runs, a thread asks for the next ones and puts them on the devices. An iterator cannot be rewound, so what is
bitwise the same for arrays is yours to arrange here: a training that goes on from a checkpoint takes the batches that come.
"""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from gan_lib.arrays import as_data
from gan_lib.mesh import dealt, shared

AHEAD = 2  # batches on the device that no step has taken yet


def is_stream(data: Any) -> bool:
    """Does this give batches one after the other, as a generator or a loader does? Arrays and trees of them do not."""
    tree = isinstance(data, list | tuple | dict | str | bytes) or hasattr(data, "__array__") or hasattr(data, "shape")
    return not tree and (hasattr(data, "__next__") or isinstance(data, Iterable))


class Stream:
    """The batches of an iterator, or of what makes one, such as a loader.

    first: the first batch, arrays (B, ...) or a pytree of them; all others have to be like it. size: B. With a mesh, each is
    dealt out; of several processes each gives the same whole batches. Raises ValueError where there is no batch.
    """

    def __init__(self, batches: Iterable, mesh: jax.sharding.Mesh | None = None):
        self.batches, self.mesh = iter(batches), mesh
        try:
            self.first = as_data(next(self.batches))
        except StopIteration:
            raise ValueError(
                "data is an iterator without a batch. Was it used up by an earlier fit? Make a new one."
            ) from None
        self.size, self.given = len(jax.tree.leaves(self.first)[0]), 0
        self.ready, self.thread, self.ended = deque(), None, False

    def start(self, steps: int) -> None:
        """Begin to ask for batches, so many at most: those of a training that is not stopped are all used."""
        self.left, self.thread = steps, ThreadPoolExecutor(1)
        for _ in range(AHEAD):
            self._ask()

    def take(self) -> Any:
        """The next batch, on the devices; None where there are no more. Raises what the iterator raised."""
        batch = self.ready.popleft().result()
        self.ended = batch is None
        self._ask()
        return batch

    def stop(self) -> None:
        """Ask for no more. Up to AHEAD batches that were asked for are lost."""
        if self.thread:
            self.thread.shutdown(wait=False, cancel_futures=True)

    def _ask(self):
        if self.left:
            self.left -= 1
            self.ready.append(self.thread.submit(self._next))

    def _next(self):
        self.given += 1
        try:
            batch = self.first if self.given == 1 else as_data(next(self.batches))
        except StopIteration:
            return None
        shapes = [[(np.shape(x), x.dtype) for x in jax.tree.leaves(tree)] for tree in (batch, self.first)]
        if shapes[0] != shapes[1]:
            words = [", ".join(f"{dtype}{list(shape)}" for shape, dtype in each) for each in shapes]
            raise ValueError(
                f"Batch {self.given:,} of the iterator is {words[0]}, the first was {words[1]}: all have to be alike. Have the "
                "loader drop the last, smaller one."
            )
        with shared(self.mesh):
            return dealt(batch) if self.mesh else jax.device_put(batch)
