"""Batches from an iterator: each one once, in order, ahead of the step; what ends, breaks or goes on."""

import os
import signal
import time
from itertools import count, islice
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_lib.mesh import data_parallel
from gan_lib.stream import AHEAD, Stream, is_stream
from gan_lib.training import fit

KEY = jax.random.key(0)


class State(NamedTuple):
    params: jax.Array
    step: jax.Array


class Sum:
    """A model that adds up what it sees, weighted by when."""

    def init(self, key):
        return State(jnp.zeros(()), jnp.int32(0))

    def step(self, state, batch, key):
        seen = batch["x"].mean()
        return State(state.params * 2 + seen, state.step + 1), {"seen": seen}


def batches(start=0, end=None, log=None):
    for i in islice(count(start), end if end is None else end - start):
        if log is not None:
            log.append(i)
        yield {"x": np.full((4, 2), i, np.float32)}


def train(data, steps, **more):
    model = Sum()
    return fit(model, model.init(KEY), data, steps=steps, key=KEY, progress=False, **more)


@pytest.mark.parametrize("mesh", [False, True])
def test_each_batch_is_used_once_in_order_and_none_too_many_is_asked_for(mesh):
    log = []
    stream = batches(log=log)
    state, history = train(stream, 7, every=3, mesh=data_parallel(jax.devices()[:1]) if mesh else None)
    assert history["seen"].tolist() == list(range(7))
    assert history["step"].tolist() == list(range(1, 8))
    assert float(state.params) == sum(i * 2 ** (6 - i) for i in range(7))
    assert log == list(range(7))
    assert next(stream)["x"][0, 0] == 7  # the next training goes on where this one ended


def test_a_loader_is_asked_for_an_iterator():
    class Loader:
        def __iter__(self):
            return batches(0, 5)

    assert is_stream(Loader()) and is_stream(batches())
    assert not any(map(is_stream, ([1, 2], (1, 2), {"x": 1}, np.ones(3), jnp.ones(3), "text", 3)))
    assert len(train(Loader(), 5)[1]["seen"]) == 5


def test_the_next_batches_are_made_while_a_step_runs():
    log = []
    stream = Stream(batches(log=log))
    stream.start(10)
    assert stream.take()["x"][0, 0] == 0
    deadline = time.time() + 10
    while len(log) < 1 + AHEAD and time.time() < deadline:
        time.sleep(0.01)
    assert log == list(range(1 + AHEAD))  # and no more: memory holds so many
    stream.stop()
    assert isinstance(Stream(batches()).first["x"], np.ndarray)
    stream = Stream(batches())
    stream.start(1)
    assert isinstance(stream.take()["x"], jax.Array)  # on the device before the step asks


def test_an_iterator_that_ends_says_so(capsys):
    state, history = train(batches(0, 3), 10)
    assert int(state.step) == 3 and len(history["seen"]) == 3
    assert "The iterator ended after 3 of 10 steps." in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"without a batch\. Was it used up"):
        train(batches(0, 0), 3)


def test_what_an_iterator_raises_arrives_with_what_was_reached():
    def broken():
        yield from batches(0, 3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone") as caught:
        train(broken(), 10)
    assert int(caught.value.state.step) == 3 and len(caught.value.history["seen"]) == 3


def test_a_batch_unlike_the_first_is_explained():
    def uneven():
        yield from batches(0, 2)
        yield {"x": np.ones((3, 2), np.float32)}

    with pytest.raises(
        ValueError, match=r"Batch 3 of the iterator is float32\[3, 2\], the first was float32\[4, 2\].*drop"
    ):
        train(uneven(), 10)


def test_going_on_from_a_checkpoint_is_the_same_where_the_iterator_stands_right(tmp_path):
    whole, _ = train(batches(), 6)
    for name, where, same in (("right", 3, True), ("from the start", 0, False)):
        file = tmp_path / f"{name}.safetensors"
        train(batches(), 3, checkpoint=file)
        state, history = train(batches(where), 6, checkpoint=file)
        assert int(state.step) == 6 and len(history["seen"]) == 6
        assert (float(state.params) == float(whole.params)) == same
        assert history["seen"].tolist() == [0, 1, 2, where, where + 1, where + 2]


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_an_interrupt_keeps_what_was_reached_and_loses_what_was_asked_for(capsys):
    def pressed():
        for i, batch in enumerate(batches()):
            if i == 4:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

    stream = pressed()
    state, history = train(stream, 1000)
    assert "Interrupted after" in capsys.readouterr().out
    assert int(state.step) == len(history["seen"]) < 1000
    time.sleep(0.1)  # for what the thread has begun
    lost = next(stream)["x"][0, 0] - int(state.step)
    assert 0 <= lost <= AHEAD + 1


def test_a_grain_loader_plugs_in():
    grain = pytest.importorskip("grain", reason="grain is an extra: pip install gan_lib[grain]")
    data = grain.MapDataset.source(np.arange(12, dtype=np.float32)).map(lambda i: {"x": np.full(2, i, np.float32)})
    loader = data.shuffle(seed=0).repeat().batch(4, drop_remainder=True).to_iter_dataset()
    _, history = train(loader, 6)
    assert history["seen"][:3].sum() == pytest.approx(3 * 5.5)  # each epoch has all twelve
    again = iter(loader)
    for _ in range(2):
        next(again)
    place = again.get_state()
    rest = iter(loader)
    rest.set_state(place)  # how an iterator goes on after a checkpoint
    np.testing.assert_array_equal(train(rest, 4)[1]["seen"], history["seen"][2:])
