"""A checkpoint belongs to one experiment, is written in time, and what a callback does to it loses nothing."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gan_lib import experiment, losses, penalties
from gan_lib.checkpoint import header, restore, save
from gan_lib.gan import GAN
from gan_lib.nets import MLP
from gan_lib.training import fit

KEY = jax.random.key(0)
DATA = jax.random.normal(jax.random.key(1), (512, 2)) + 2
ROOT = Path(__file__).resolve().parent.parent


def generator(rngs, activation=nnx.relu):
    return MLP((4, 16, 2), activation=activation, rngs=rngs)


def discriminator(rngs):
    return MLP((2, 16, 1), shape=(), rngs=rngs)


PLAIN = GAN(generator, discriminator, latent_dim=4, optimizer=optax.adam(1e-3))


def train(gan=PLAIN, seed=0, data=DATA, state=None, **options):
    settings = dict(steps=8, key=jax.random.key(seed), batch_size=32, progress=False)
    return fit(gan, gan.init(jax.random.key(seed)) if state is None else state, data, **settings | options)


def same(a, b):
    return jax.tree.all(jax.tree.map(lambda x, y: bool((x == y).all()), a, b))


# --- whose it is ----------------------------------------------------------------------------------------------------

OTHERS = {
    "another seed": (dict(seed=1), "another key, another state to begin with"),
    "another key": (dict(key=jax.random.key(5)), r"with another key\."),
    "another first state": (dict(state=PLAIN.init(jax.random.key(5))), "state to begin with"),
    "another loss": (dict(gan=replace(PLAIN, loss=losses.hinge)), "another network, loss"),
    "another penalty": (dict(gan=replace(PLAIN, penalty=penalties.ZeroCentred(1.0))), "another network, loss"),
    "another weight of the penalty": (dict(gan=replace(PLAIN, penalty=penalties.ZeroCentred(2.0))), "another network"),
    "another activation": (
        dict(gan=replace(PLAIN, generator=partial(generator, activation=nnx.gelu))),
        "another network",
    ),
    "another rate": (dict(gan=replace(PLAIN, optimizer=optax.adam(2e-3))), "another network.*optimiser"),
    "another average": (dict(gan=replace(PLAIN, averaging=0.9)), "another network"),
    "other batches": (dict(batch_size=64), "size of batches"),
    "other data": (dict(data=DATA[::-1] * 1.0), "with another data"),
    "fewer data": (dict(data=DATA[:500]), "another .*data"),
    "other order": (dict(data=DATA[jnp.arange(512)[::-1]]), "another data"),
    "less precise data": (dict(data=DATA.astype(jnp.float16).astype(jnp.float32) + 0.01), "another data"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_the_checkpoint_of_another_experiment_is_refused(tmp_path, name):
    options, message = OTHERS[name]
    path = tmp_path / "gan.st"
    first = dict(gan=replace(PLAIN, penalty=penalties.ZeroCentred(1.0))) if "weight" in name else {}
    train(checkpoint=path, **first)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"belongs to another experiment.*{message}.*a file of its own"):
        train(checkpoint=path, **options)
    assert path.read_bytes() == before


def test_what_does_not_change_the_result_may_change(tmp_path):
    path = tmp_path / "gan.st"
    train(checkpoint=path, steps=4)
    whole, _ = train()
    seen = []
    again = GAN(
        lambda rngs: generator(rngs), lambda rngs: discriminator(rngs), latent_dim=4, optimizer=optax.adam(1e-3)
    )  # the cell that defines it has run once more
    resumed, history = train(
        again, checkpoint=path, chunk=1, every=2, callback=seen.append, progress=True, data=np.asarray(DATA)
    )
    np.testing.assert_allclose(
        resumed.params.generator["layers"]["layers"][0]["kernel"],
        whole.params.generator["layers"]["layers"][0]["kernel"],
        atol=1e-6,
    )
    assert len(history["step"]) == 8


def test_the_state_it_holds_and_the_states_it_came_from_are_taken(tmp_path):
    path = tmp_path / "gan.st"
    middle, _ = train(checkpoint=path, steps=4)
    final, history = train(state=middle, checkpoint=path, steps=4)
    assert int(final.step) == len(history["step"]) == 8
    assert same(train(state=middle, checkpoint=path, steps=4)[0], final)  # a state on the way
    assert same(train(checkpoint=path, steps=8)[0], final)  # the first one
    restored = restore(path, middle)
    assert int(train(state=restored, checkpoint=path, steps=4)[0].step) == 12
    with pytest.raises(ValueError, match="state to begin with"):
        train(state=middle._replace(params=jax.tree.map(lambda p: p + 1.0, middle.params)), checkpoint=path)


def test_rounding_of_another_device_makes_no_other_experiment():
    described = experiment.describe(PLAIN, PLAIN.init(KEY), DATA, KEY, 32)
    rounded = jax.tree.map(lambda x: x * (1 + 1e-7) if x.dtype == jnp.float32 else x, PLAIN.init(KEY))
    again = experiment.describe(PLAIN, rounded, DATA * (1 + 1e-7), KEY, 32)
    assert experiment.differences(again, described, PLAIN.init(jax.random.key(3))) == []
    newer = again | {"program": "another", "versions": "jax 9.9"}  # prints the same program in other words
    assert experiment.differences(newer, described, rounded) == []


@pytest.mark.slow
def test_an_experiment_is_known_again_in_another_session(tmp_path):
    """Programs name functions by their addresses, and sets have another order in each session."""
    script = """
import jax, jax.numpy as jnp, json, optax
from gan_lib import experiment, nets, penalties
from gan_lib.gan import GAN
scalar = jax.ShapeDtypeStruct((), jnp.float32)  # jax 0.7.2 prints where the function of a callback lies
spy = lambda critic, real, fake, *, key: jax.pure_callback(lambda: jnp.float32(0), scalar)
parts = dict(latent_dim=100, optimizer=optax.adam(lambda t: 1e-3 / (1 + t)), penalty=spy)
gan = GAN(nets.dcgan_generator, nets.dcgan_discriminator, **parts)
print(json.dumps(experiment.describe(gan, gan.init(jax.random.key(0)), jnp.zeros((9, 28, 28, 1)), jax.random.key(0), 4)))
"""
    outputs = [
        subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True,
                       env=os.environ | {"PYTHONHASHSEED": str(seed)}).stdout
        for seed in (1, 2)
    ]  # fmt: skip
    assert json.loads(outputs[0]) == json.loads(outputs[1])


def test_a_file_of_save_is_gone_on_from_only_where_the_state_is_its_own(tmp_path):
    path = tmp_path / "gan.st"
    state, _ = train()
    save(path, state)
    with pytest.raises(ValueError, match=r"written by save.*restore"):
        train(checkpoint=path)
    assert int(train(state=state, checkpoint=path)[0].step) == 16


def test_a_run_that_failed_before_its_first_step_is_in_nobodys_way(tmp_path):
    def stop(state):
        raise RuntimeError("not yet")

    path = tmp_path / "gan.st"
    with pytest.raises(RuntimeError):
        train(checkpoint=path, callback=stop)
    assert path.exists()
    assert int(train(replace(PLAIN, loss=losses.hinge), checkpoint=path)[0].step) == 8


def test_two_trainings_on_one_file_do_not_overwrite_each_other(tmp_path, capsys):
    path = tmp_path / "gan.st"

    def meddle(state):
        if state.step == 4:
            train(checkpoint=path, steps=6)  # another kernel, say

    state, _ = train(checkpoint=path, every=2, callback=meddle, progress=True)
    assert state.step == 6  # the one that was made before it was noticed
    assert "another training has written" in capsys.readouterr().out
    assert restore(path, state).step == 6
    assert json.loads(header(path)["experiment"])["made"] == 6


# --- what a lost session costs --------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("every", [None, 10**7])
def test_a_lost_session_costs_seconds_without_every(tmp_path, every):
    path = tmp_path / "gan.st"
    script = f"""
import sys; sys.path.insert(0, "tests")
from gan_lib import experiment
experiment.SECONDS = 0.2
from test_experiment import train
train(steps=10_000_000, checkpoint={str(path)!r}, every={every}, callback=lambda s: print("started", flush=True))
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"started\n"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not path.exists() or restore(path, PLAIN.init(KEY)).step < 1000):
            time.sleep(0.1)
        run.kill()
    reached = restore(path, PLAIN.init(KEY))
    assert reached.step >= 1000
    resumed, history = train(checkpoint=path, steps=int(reached.step) + 50)
    assert len(history["step"]) == int(resumed.step) == int(reached.step) + 50
    assert np.isfinite(history["d_loss"]).all()


def test_a_minute_is_the_bound_and_longer_where_saving_takes_long(tmp_path, monkeypatch):
    assert experiment.SECONDS == 60
    file = experiment.RunFile(tmp_path / "gan.st", lambda: experiment.describe(PLAIN, PLAIN.init(KEY), DATA, KEY, 32))
    now = time.perf_counter()
    for cost, seconds, due in (0.0, 59, False), (0.0, 61, True), (10.0, 190, False), (10.0, 210, True):
        file.cost, file.time = cost, now - seconds
        assert file.is_due() is due


def test_saved_between_callbacks_a_run_goes_on_bitwise(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment.RunFile, "is_due", lambda self: True)
    path = tmp_path / "gan.st"
    whole, history = train(steps=30, every=12, chunk=4)

    class Lost(BaseException):
        pass

    keep, seen = experiment.RunFile.keep, []

    def lose(self, state, log):
        keep(self, state, log)
        if state.step == 16:
            raise Lost

    monkeypatch.setattr(experiment.RunFile, "keep", lose)
    with pytest.raises(Lost):
        train(steps=30, every=12, chunk=4, checkpoint=path)
    monkeypatch.setattr(experiment.RunFile, "keep", keep)
    resumed, again = train(steps=30, every=12, chunk=4, checkpoint=path, callback=lambda s: seen.append(int(s.step)))
    assert same(resumed, whole)
    np.testing.assert_array_equal(again["d_loss"], history["d_loss"])
    assert seen == [16, 24]  # where it goes on, and as ever


# --- callbacks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["step", "seconds", "d_loss"])
def test_measured_names_cannot_be_overwritten(name):
    with pytest.raises(ValueError, match=f"returns '{name}', which each step reports itself"):
        train(every=2, callback=lambda s: {name: 1.0})


@pytest.mark.parametrize("value", ["0.5", None, np.zeros(3), [1.0], {"a": 1}, 1j])
def test_what_is_no_number_is_refused_before_the_first_step(value):
    with pytest.raises(ValueError, match=r"must return \{name: number\}; got .* for 'quality'") as caught:
        train(every=2, callback=lambda s: {"quality": value})
    assert caught.value.state.step == 0


@pytest.mark.parametrize("value", [1, 0.5, True, np.float32(1), jnp.float32(1), np.array(2.0), np.nan])
def test_numbers_of_all_kinds_are_noted(value):
    _, history = train(every=4, callback=lambda s: {"quality": value})
    np.testing.assert_array_equal(history["quality"][[3, 7]], [float(value)] * 2)


def test_a_callback_that_fails_loses_nothing(tmp_path):
    path = tmp_path / "gan.st"

    def fail(state):
        if state.step == 4:
            raise ZeroDivisionError("of the reader")

    for options in {}, dict(checkpoint=path):
        with pytest.raises(ZeroDivisionError, match="of the reader") as caught:
            train(every=2, callback=fail, **options)
        assert int(caught.value.state.step) == len(caught.value.history["step"]) == 4
        assert "fit had reached step 4" in caught.value.__notes__[0]
    assert restore(path, PLAIN.init(KEY)).step == 4
    assert int(train(checkpoint=path)[0].step) == 8


def test_numbers_of_the_last_callback_are_in_the_file(tmp_path):
    path = tmp_path / "gan.st"
    options = dict(every=4, checkpoint=path, callback=lambda s: {"twice": 2 * int(s.step)})
    _, history = train(**options)
    _, again = train(**options)  # nothing is left to do
    np.testing.assert_array_equal(again["twice"], history["twice"])
    assert again["twice"][-1] == 16


def test_a_film_of_a_run_that_was_done_already_has_its_last_frame(tmp_path):
    path, film = tmp_path / "gan.st", []
    train(checkpoint=path, every=4)
    train(checkpoint=path, every=4, callback=film.append)
    assert [int(state.step) for state in film] == [8]
