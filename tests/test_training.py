"""The step against an independent one, the loop's promises, and checkpoints."""

import ast
import errno
import inspect
import multiprocessing
import os
import shutil
import signal
import textwrap
import threading
import time
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy
from flax import nnx

from gan_lib import nets
from gan_lib.checkpoint import restore, save
from gan_lib.gan import GAN, Pair
from gan_lib.losses import LOSSES, Loss, minimax, non_saturating
from gan_lib.nets import MLP
from gan_lib.penalties import OneCentred
from gan_lib.training import fit

KEY = jax.random.key(0)
DATA = jax.random.normal(jax.random.key(1), (512, 2)) + 2


class Critic(nnx.Module):
    """A discriminator with BatchNorm and dropout: whatever state a network can have."""

    def __init__(self, rngs):
        self.layers = nnx.Sequential(
            nnx.Linear(2, 8, rngs=rngs),
            nnx.BatchNorm(8, rngs=rngs),
            nnx.Dropout(0.3, rngs=rngs),
            nnx.Linear(8, 1, rngs=rngs),
        )

    def __call__(self, x):
        return self.layers(x).squeeze(-1)


def make_gan(**options):
    parts = dict(
        generator=lambda rngs: MLP((4, 16, 2), norm=True, rngs=rngs),
        discriminator=lambda rngs: MLP((2, 16, 1), shape=(), rngs=rngs),
        latent_dim=4,
        optimizer=optax.adam(1e-3),
    )
    return GAN(**parts | options)


PLAIN = make_gan()


def same(a, b):
    """Bitwise, PRNG keys included."""
    raw = lambda x: np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
    return all((raw(x) == raw(y)).all() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def train(gan=PLAIN, state=None, data=DATA, **options):
    settings = dict(steps=20, key=jax.random.key(2), batch_size=32, progress=False)
    return fit(gan, gan.init(KEY) if state is None else state, data, **settings | options)


def modules(gan, state):
    """The two networks, as nnx modules that hold a state's arrays."""
    nets = []
    for build, params, rest in zip((gan.generator, gan.discriminator), state.params, state.rest, strict=True):
        graph, *_ = nnx.split(build(rngs=nnx.Rngs(0)), nnx.Param, ...)
        nets.append(nnx.merge(graph, params, rest, copy=True))
    return nets


def arrays(module):
    _, params, rest = nnx.split(module, nnx.Param, ...)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(rest)


# --- the step -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [n if n == "non_saturating" else pytest.param(n, marks=pytest.mark.slow) for n in LOSSES]
)
def test_step_equals_the_algorithm_written_plainly(name):
    """Two separate updates with nnx modules, the generator run twice: D first, then G against the new D, same latents."""
    gan = make_gan(loss=LOSSES[name], discriminator=Critic, optimizer=optax.sgd(0.1), averaging=0.0)
    state, real, key = gan.init(KEY), DATA[:32], jax.random.key(3)
    new, metrics = jax.jit(gan.step)(state, real, key)

    def move(module, loss):
        value, grads = nnx.value_and_grad(loss)(module)
        nnx.update(module, jax.tree.map(lambda p, g: p - 0.1 * g, nnx.state(module, nnx.Param), grads))
        return value

    def copy(module):
        return nnx.merge(*nnx.split(module), copy=True)

    @jax.jit
    def plain_step(state):
        g, d = modules(gan, state)
        z = jax.random.normal(jax.random.split(key)[0], (32, 4))
        fake = copy(g)(z)  # D's business: G's statistics stay
        d_loss = move(d, lambda d: gan.loss.discriminator(d(real), d(fake)))

        def g_objective(g):
            judge = copy(d)
            return gan.loss.generator(judge(real), judge(g(z)))

        g_loss = move(g, g_objective)
        return (d_loss, g_loss), (arrays(g)[0], arrays(d)[0]), arrays(g)[1]

    values, params, g_rest = plain_step(state)
    np.testing.assert_allclose([metrics["d_loss"], metrics["g_loss"]], values, rtol=1e-4)
    for ours, plain in zip(
        jax.tree.leaves((new.params, new.rest.generator)), jax.tree.leaves((params, g_rest)), strict=True
    ):
        np.testing.assert_allclose(ours, plain, atol=1e-5)
    assert new.step == 1


def test_step_reads_like_the_algorithm_box():
    text = textwrap.dedent(inspect.getsource(GAN.step))
    assert max(map(len, text.splitlines())) <= 75  # notebook 02 prints it
    first = ast.parse(text).body[0].body[1].lineno  # below the docstring
    code = [line.strip() for line in text.splitlines()[first - 1 :]]
    assert len([line for line in code if line and not line.startswith("#")]) <= 26


def test_step_is_pure_and_its_key_decides():
    state, step = PLAIN.init(KEY), jax.jit(PLAIN.step)
    before = jax.tree.map(jnp.copy, state)
    one, again, other = (step(state, DATA[:32], jax.random.key(k))[0] for k in (3, 3, 4))
    assert same(state, before)
    assert same(one, again)
    assert not same(one.params, other.params)


@pytest.mark.slow
def test_dropout_masks_are_never_drawn_twice():
    """The key's counter in the state moves on by every pass: two for D's update, two for G's."""
    gan = make_gan(discriminator=Critic)
    count = lambda state: int(state.rest.discriminator["layers"]["layers"][2]["rngs"]["count"])
    state, step = gan.init(KEY), jax.jit(gan.step)
    assert count(state) == 0
    for passes in (4, 8):
        state, _ = step(state, DATA[:8], KEY)
        assert count(state) == passes


@pytest.mark.slow
def test_the_penalty_is_added_to_the_discriminators_loss_only():
    penalty = lambda critic, real, fake, *, key: 10 * (critic(real) ** 2).mean() + 7.0
    gan, state = make_gan(penalty=penalty, optimizer=optax.sgd(0.1)), PLAIN.init(KEY)
    logits = PLAIN.logits(state, DATA[:32])
    (_, plain), (_, penalised) = (jax.jit(g.step)(state, DATA[:32], KEY) for g in (PLAIN, gan))
    expected = plain["d_loss"] + 10 * (logits**2).mean() + 7
    np.testing.assert_allclose(penalised["d_loss"], expected, rtol=1e-5)
    assert plain["d_grad"] != penalised["d_grad"]
    constant = make_gan(penalty=lambda critic, real, fake, *, key: 7.0)  # moves D nowhere, so G neither
    _, constant = jax.jit(constant.step)(state, DATA[:32], KEY)
    np.testing.assert_allclose(constant["d_loss"], plain["d_loss"] + 7, rtol=1e-5)
    np.testing.assert_allclose([constant[n] for n in ("g_loss", "g_grad")], [plain[n] for n in ("g_loss", "g_grad")])


def test_measurements_by_hand():
    state = PLAIN.init(KEY)
    _, metrics = jax.jit(PLAIN.step)(state, DATA[:32], KEY)
    generator, discriminator = modules(PLAIN, state)
    fake = generator(jax.random.normal(jax.random.split(KEY)[0], (32, 4)))
    for name, x in {"d_real": DATA[:32], "d_fake": fake}.items():
        np.testing.assert_allclose(metrics[name], (1 / (1 + np.exp(-discriminator(x)))).mean(), rtol=1e-5)
    assert all(np.shape(m) == () for m in metrics.values())
    assert metrics["g_grad"] > 0


def test_the_average_is_the_stated_moving_average():
    gan, step = make_gan(averaging=0.9), None
    state = gan.init(KEY)
    expected = jax.tree.map(np.asarray, (state.params.generator, state.rest.generator))
    step = jax.jit(gan.step)
    for t in range(20):
        state, _ = step(state, DATA[:32], jax.random.key(t))
        decay = min(0.9, (1 + t) / (10 + t))
        latest = state.params.generator, state.rest.generator
        expected = jax.tree.map(lambda a, b, decay=decay: decay * a + (1 - decay) * b, expected, latest)
    for ours, plain in zip(jax.tree.leaves(state.average), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-5)
    z = jax.random.normal(KEY, (5, 4))
    generator = modules(
        gan, state._replace(params=Pair(expected[0], state.params[1]), rest=Pair(expected[1], state.rest[1]))
    )[0]
    generator.eval()
    np.testing.assert_allclose(gan.generate(state, z), generator(z), atol=1e-5)
    np.testing.assert_array_equal(gan.sample(state, KEY, 5), gan.generate(state, z))
    assert not np.allclose(gan.generate(state, z), gan.generate(state, z, average=False))


@pytest.mark.slow
def test_without_averaging_the_latest_weights_are_the_average():
    gan = make_gan(averaging=0.0)
    state, _ = train(gan, steps=3)
    assert same(state.average, (state.params.generator, state.rest.generator))


def test_logits_of_the_wrong_shape_are_explained():
    gan = make_gan(discriminator=lambda rngs: MLP((2, 16, 1), rngs=rngs))
    with pytest.raises(ValueError, match=r"got real \(32, 1\).*squeeze"):
        train(gan)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(generator=MLP((4, 2), rngs=nnx.Rngs(0))), "generator must be a function of rngs"),
        (dict(discriminator=None), "discriminator must be a function of rngs"),
        (dict(loss="hinge"), "loss must be a Loss"),
        (dict(averaging=1.0), r"averaging .* in \[0, 1\); got 1.0"),
    ],
)
def test_parts_that_cannot_be_trained_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_gan(**options)


# --- its keys -------------------------------------------------------------------------------------------------------


class Diary:
    """A model that learns nothing and writes down what it is given: a draw with its key, and the batch."""

    def init(self, key):
        return DiaryState(jnp.int32(0))

    def step(self, state, batch, key):
        drawn = {f"draw {i}": x for i, x in enumerate(jax.random.uniform(key, (4,)))}
        raw = dict(
            zip(("key a", "key b"), jax.lax.bitcast_convert_type(jax.random.key_data(key), jnp.int32), strict=True)
        )
        return DiaryState(state.step + 1), drawn | raw | {f"row {i}": x for i, x in enumerate(batch)}


class DiaryState(NamedTuple):
    step: jax.Array


def diary(steps=400, key=KEY, chunk=None):
    """(keys of the steps, draws with them, rows of the batches), each (steps, ...)."""
    model, data = Diary(), jnp.arange(1000, dtype=jnp.int32)
    _, h = fit(model, model.init(key), data, steps=steps, key=key, batch_size=16, chunk=chunk, progress=False)
    wide = lambda word: np.stack([h[name] for name in h if name.startswith(word)], axis=1)
    return jax.vmap(jax.random.wrap_key_data)(wide("key").view(np.uint32)), wide("draw"), wide("row")


@pytest.mark.parametrize("chunk", [1, 50])
def test_every_step_has_a_key_and_a_batch_of_its_own(chunk):
    keys, draws, rows = diary(steps=400 if chunk > 1 else 230, chunk=chunk)
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == len(keys)
    assert len(np.unique(draws, axis=0)) == len(draws)
    assert len(np.unique(rows, axis=0)) == len(rows)
    # Even, and one step says nothing of the next, nor of the one 100 steps on.
    assert abs(draws.mean() - 0.5) < 5 * 12**-0.5 / draws.size**0.5
    assert abs(rows.mean() - 499.5) < 5 * 1000 * 12**-0.5 / rows.size**0.5
    for series in draws, rows:
        for lag in (1, 50, 100):
            assert abs(np.corrcoef(series[lag:].ravel(), series[:-lag].ravel())[0, 1]) < 5 / series[lag:].size ** 0.5


def test_a_steps_key_is_not_the_one_that_drew_its_batch():
    keys, _, rows = diary(steps=60)
    draw = jax.vmap(lambda key: jax.random.randint(key, (16,), 0, 1000))
    stepwise = jax.vmap(lambda n: jax.random.fold_in(KEY, n))(jnp.arange(60))
    for other in keys, stepwise, jax.vmap(lambda k: jax.random.split(k)[1])(stepwise):
        assert not (np.asarray(draw(other)) == rows).all(axis=1).any()
    assert jax.random.key_data(KEY).tolist() not in jax.random.key_data(keys).tolist()


@pytest.mark.parametrize("chunk", [1, 5])
def test_no_key_is_used_twice_in_training(chunk):
    """By JAX's own account, of the whole program: batch, latents, dropout, penalty."""
    gan = make_gan(discriminator=Dropping, penalty=OneCentred(1.0))
    with jax.debug_key_reuse(True):
        state = gan.init(jax.random.clone(KEY))
        state, _ = train(gan, state=state, key=jax.random.key(2), steps=5, chunk=chunk)
        gan.sample(state, jax.random.key(4), 5)


def test_latents_weights_and_penalty_have_keys_of_their_own():
    seen = []
    spy = lambda critic, real, fake, *, key: jax.debug.callback(lambda k, x: seen.append((k, x)), key, fake) or 0.0
    gan = make_gan(
        generator=lambda rngs: nnx.Sequential(lambda z: z, nnx.Linear(2, 2, kernel_init=same_weight, rngs=rngs)),
        discriminator=lambda rngs: nnx.Sequential(nnx.Linear(2, 2, rngs=rngs), lambda x: x.sum(axis=1)),
        latent_dim=2,
        penalty=spy,
    )
    jax.jit(gan.step)(gan.init(KEY), DATA[:32], KEY)
    jax.effects_barrier()
    ((penalty_key, latents),) = seen
    for key in penalty_key, KEY:
        assert not np.isclose(jax.random.normal(key, (32, 2)), latents).any()
    twins = make_gan(generator=Twin, discriminator=lambda rngs: TwinCritic(rngs), latent_dim=2).init(KEY)
    assert not np.isclose(twins.params.generator["lin"]["kernel"], twins.params.discriminator["lin"]["kernel"]).any()


def same_weight(key, shape, dtype):
    """G is the identity: its samples are the latents."""
    return jnp.eye(*shape, dtype=dtype)


class Twin(nnx.Module):
    def __init__(self, rngs):
        self.lin = nnx.Linear(2, 2, rngs=rngs)

    def __call__(self, x):
        return self.lin(x)


class TwinCritic(Twin):
    def __call__(self, x):
        return self.lin(x).sum(axis=1)


class Dropping(nnx.Module):
    """A discriminator with dropout that a penalty can take."""

    def __init__(self, rngs):
        self.lin, self.drop, self.end = (
            nnx.Linear(2, 8, rngs=rngs),
            nnx.Dropout(0.3, rngs=rngs),
            nnx.Linear(8, 1, rngs=rngs),
        )

    def __call__(self, x):
        return self.end(self.drop(self.lin(x)))[:, 0]


# --- the loop -------------------------------------------------------------------------------------------------------


def test_one_seed_gives_bitwise_the_same_run_twice():
    gan = make_gan(discriminator=Critic)
    (one, first), (two, second) = train(gan), train(gan)
    assert same(one, two)
    assert all((first[name] == second[name]).all() for name in first if name != "seconds")
    assert not same(one, train(gan, key=jax.random.key(9))[0])


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_as_for_a_reader")
def test_chunks_steps_and_resumed_runs_agree():
    # Not Adam: it makes whole steps of a gradient that is 0 but for rounding, as of a bias before BatchNorm.
    gan = make_gan(optimizer=optax.sgd(1e-2, momentum=0.9))
    whole, history = train(gan, steps=20, chunk=20)
    stepwise, _ = train(gan, steps=20, chunk=1)
    half, _ = train(gan, steps=10, chunk=5)
    resumed, rest = train(gan, state=half, steps=10, chunk=7)
    assert rest["step"].tolist() == list(range(11, 21))
    np.testing.assert_array_equal(history["d_loss"][10:], rest["d_loss"])
    for other in (stepwise, resumed):
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled_as_for_a_reader")
def test_a_step_by_itself_agrees_with_one_in_a_chunk_where_layers_are_wide():
    wide = make_gan(
        generator=lambda rngs: MLP((100, 256, 784), rngs=rngs),
        discriminator=lambda rngs: MLP((784, 128, 1), shape=(), rngs=rngs),
        latent_dim=100,
    )
    data = jax.random.normal(KEY, (256, 784))
    (_, chunked), (_, stepwise) = (train(wide, data=data, steps=5, batch_size=128, chunk=chunk) for chunk in (5, 1))
    np.testing.assert_allclose(chunked["g_loss"], stepwise["g_loss"], rtol=1e-4)


def test_the_callers_state_is_spared_and_history_is_plain():
    state = PLAIN.init(KEY)
    before = jax.tree.map(jnp.copy, state)
    new, history = train(state=state)
    assert same(state, before)
    assert new.step == 20
    assert history["step"].tolist() == list(range(1, 21))
    assert set(history) == {"step", "d_loss", "g_loss", "d_real", "d_fake", "d_grad", "g_grad", "seconds"}
    assert all(type(v) is np.ndarray and v.shape == (20,) for v in history.values())
    assert (np.diff(history["seconds"]) >= 0).all()


def test_batches_are_random_samples_of_all_the_data():
    seen = []
    marked = jnp.stack([jnp.arange(512.0), jnp.zeros(512)], axis=1)
    spy = lambda critic, real, fake, *, key: jax.debug.callback(lambda x: seen.append(np.asarray(x)), real[:, 0]) or 0.0
    train(make_gan(penalty=spy), data=marked, steps=100)
    jax.effects_barrier()
    batches = np.array(seen)
    assert batches.shape == (100, 32)
    assert len(np.unique(batches)) > 500  # of 512: 3,200 draws miss one with probability 0.2 %
    assert len(np.unique(batches[:, 0])) > 50


def test_the_callback_sees_the_start_and_every_so_many_steps():
    seen = []
    train(steps=25, every=10, callback=lambda s: seen.append((int(s.step), s)))
    assert [step for step, _ in seen] == [0, 10, 20]
    assert np.isfinite(PLAIN.sample(seen[1][1], KEY, 3)).all()  # kept states stay usable


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_interrupted_before_its_first_step_a_run_has_an_empty_history():
    state, history = train(callback=lambda state: os.kill(os.getpid(), signal.SIGINT))
    assert state.step == 0
    _, full = train(steps=1)
    assert {name: (values.dtype, values[:0].shape) for name, values in full.items()} == {
        name: (values.dtype, values.shape) for name, values in history.items()
    }


def test_numbers_from_the_callback_stand_in_the_history_and_beside_the_bar(capsys):
    _, history = train(steps=25, every=10, callback=lambda s: {"twice": 2 * int(s.step)}, progress=True)
    assert history["twice"].shape == (25,)
    assert np.flatnonzero(np.isfinite(history["twice"])).tolist() == [9, 19]
    assert history["twice"][[9, 19]].tolist() == [20, 40]
    assert "twice 40" in capsys.readouterr().out
    train(steps=20, every=10, callback=lambda s: {"twice": 2 * int(s.step)}, progress=True)
    assert "twice 40" in capsys.readouterr().out.splitlines()[-1]  # the last one, too


@pytest.mark.slow
def test_fit_picks_its_loop_by_measurement(monkeypatch, capsys):
    from gan_lib import device, training

    flat, convolutional = PLAIN.init(KEY), GAN(nets.small_generator, nets.small_discriminator, latent_dim=16).init(KEY)
    for slowdown, expected in (10.0, 1), (1.0, 50):
        monkeypatch.setattr(device, "slowdown_in_loop", lambda slowdown=slowdown: slowdown)
        assert (training.chunk_for(flat), training.chunk_for(convolutional)) == (50, expected)
    train(progress=True, steps=50)
    assert "50 at a time" in capsys.readouterr().out
    train(progress=True, steps=50, chunk=7)
    assert "7 at a time" in capsys.readouterr().out


@pytest.mark.parametrize(("every", "chunk"), [(100, 50), (160, 40), (125, 25), (60, 30), (30, 30), (2, 2), (101, 50)])
def test_chunks_divide_the_steps_between_callbacks_where_they_can(monkeypatch, every, chunk):
    """So that there is one program to compile, not a second one for the steps that are left over."""
    from gan_lib import training

    lengths, names = [], train(steps=1)[1].keys() - {"seconds"}

    def run(model, state, data, key, *, batch_size, length, mesh):
        lengths.append(length)
        metrics = dict.fromkeys(names, np.ones(length))
        return state._replace(step=state.step + length), metrics | {"step": np.arange(length)}, None

    monkeypatch.setattr(training, "_run", run)
    train(steps=2 * every, every=every)
    assert sum(lengths) == 2 * every
    assert set(lengths) == ({chunk} if every % chunk == 0 else {chunk, 1})


def test_dense_layers_go_to_the_faster_matrix_library(monkeypatch, tmp_path):
    """Which one that is, is measured once on a machine; networks with convolutions always get Eigen."""
    from gan_lib import device

    choose = device.compiler_options.__wrapped__  # without its memory
    eigen = choose(convolutional=True)
    if eigen is None:
        pytest.skip("this jaxlib has no choice to offer")
    for seconds_of_own, expected in (2.0, eigen), (0.5, None), (1.1, None):
        folder = tmp_path / str(seconds_of_own)
        monkeypatch.setattr(device, "cache_folder", lambda folder=folder: folder)
        monkeypatch.setattr(device, "_seconds_of_products", lambda o, own=seconds_of_own: 1.0 if o else own)
        assert choose() == expected
        assert choose(convolutional=True) == eigen
        # The next session, on a busy machine, takes the same one: a training that goes on does so bitwise.
        monkeypatch.setattr(device, "_seconds_of_products", lambda o, own=3 - seconds_of_own: 1.0 if o else own)
        assert choose() == expected
    # A note that cannot be read or written is measured again.
    (note,) = folder.iterdir()
    note.write_bytes(b"\xff\0")
    assert choose() == eigen
    note.unlink()
    monkeypatch.setattr(device, "cache_folder", lambda: tmp_path / "2.0" / next((tmp_path / "2.0").iterdir()).name)
    assert choose() == eigen
    # Processes that train together, or go on tomorrow, have to take the same one whatever they would measure.
    monkeypatch.setattr(device, "_seconds_of_products", lambda o: 1.0 if o else 0.5)
    assert choose() is None
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert choose() == eigen


@pytest.mark.slow
def test_the_slowdown_in_a_loop_is_a_measured_ratio():
    from gan_lib.device import slowdown_in_loop

    assert 0.3 < slowdown_in_loop() < 1000
    assert slowdown_in_loop() is slowdown_in_loop()  # once a session


def test_collected_gradients_move_the_weights_at_each_fourth_step():
    rule = optax.MultiSteps(optax.sgd(0.1), 4).gradient_transformation()
    gan = GAN(partial(MLP, (2, 8, 2)), partial(MLP, (2, 8, 1), shape=()), latent_dim=2, optimizer=rule, averaging=0)
    points, seen = jax.random.normal(jax.random.key(0), (64, 2)), []
    keep = lambda state: seen.append([np.asarray(x) for x in jax.tree.leaves(state.params)])
    options = dict(steps=10, key=jax.random.key(2), batch_size=16, every=1, progress=False)
    fit(gan, gan.init(jax.random.key(1)), points, callback=keep, **options)
    moved = [any((a != b).any() for a, b in zip(*pair, strict=True)) for pair in pairwise(seen)]
    assert moved == [n % 4 == 0 for n in range(1, 11)]


def broken_after(step, player):
    """An optimiser whose learning rate is infinite from that update on."""
    broken = optax.sgd(lambda count: jnp.where(count >= step, jnp.inf, 1e-3))
    return Pair(**{name: broken if name == player else optax.sgd(1e-3) for name in Pair._fields})


@pytest.mark.parametrize(
    ("chunk", "player"),
    [(5, "discriminator")]
    + [pytest.param(*p, marks=pytest.mark.slow) for p in [(5, "generator"), (1, "discriminator"), (1, "generator")]],
)
def test_it_stops_at_the_first_overflow_with_the_last_finite_state(chunk, player, capsys):
    gan = make_gan(optimizer=broken_after(7, player))
    state, history = train(gan, chunk=chunk)
    assert state.step == 7 == len(history["d_loss"])
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(state.params))
    assert f"Stopped at step 8 because of the {player}" in capsys.readouterr().out
    sound, _ = train(make_gan(optimizer=broken_after(99, player)), steps=7, chunk=7)
    for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(sound.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.slow
def test_it_stays_at_the_last_finite_state_even_if_later_steps_would_be_finite():
    def moody(critic, real, fake, *, key):
        return jnp.where(jax.random.uniform(key) < 0.05, jnp.nan, 0.0)

    state, history = train(make_gan(penalty=moody), steps=200, chunk=200)
    assert 0 < int(state.step) == len(history["step"]) < 200


@pytest.mark.slow
def test_it_names_the_player_whose_loss_is_not_finite(capsys):
    naive = Loss(non_saturating.discriminator, lambda real, fake: -jnp.log(jax.nn.sigmoid(fake - 200)).mean())
    state, history = train(make_gan(loss=naive))
    assert state.step == 0 == len(history["step"])
    out = capsys.readouterr().out
    assert "Stopped at step 1 because of the generator: g_loss is inf" in out
    assert "softplus" in out


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_an_interrupt_keeps_what_was_reached(capsys):
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    state, history = train(steps=10_000_000, chunk=10)
    assert 0 <= int(state.step) == len(history["step"]) < 10_000_000
    assert f"fit(model, state, data, steps={10_000_000 - int(state.step)}, key=...)" in capsys.readouterr().out
    again, _ = train(state=state, steps=10)
    assert again.step == state.step + 10
    with pytest.raises(KeyboardInterrupt):  # the handler from before is back
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(5)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_an_interrupt_during_the_callback_keeps_what_was_reached():
    def slow(state):
        if state.step == 10:
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(60)

    start = time.perf_counter()
    state, history = train(steps=1000, every=10, callback=slow)
    assert time.perf_counter() - start < 30  # the callback is cut short
    assert state.step == 10 == len(history["step"])


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (DATA, dict(steps=0), "steps must be a whole number of at least 1; got 0"),
        (DATA, dict(steps=1.5), "steps must be a whole number"),
        (DATA, dict(batch_size=1.5), "batch_size must be a whole number"),
        (DATA, dict(batch_size="32"), "batch_size must be a whole number of at least 1; got '32'"),
        (DATA, dict(chunk=-1), "chunk must be a whole number"),
        (np.zeros((9, 28, 28), np.uint8), {}, "got uint8 of shape.*127.5"),
        ([1.0, 2.0], {}, r"data must be an array \(N, ...\), or several with one N; got shapes \(\), \(\)"),
        (np.zeros(512, np.int32), {}, r"float array of shape \(N, ...\); got int32 of shape \(512,\)"),  # the labels
        (DATA.at[0].set(jnp.nan), {}, "not finite"),
        (jnp.zeros((9, 3)), {}, r"makes samples of shape \(2,\), the data's have \(3,\)"),
    ],
)
def test_bad_input_is_explained(data, options, message):
    with pytest.raises(ValueError, match=message):
        train(data=data, **options)


def test_the_bar_shows_losses_scores_and_speed(capsys):
    train(progress=True)
    out = capsys.readouterr().out
    assert all(word in out for word in ("20/20", "loss D", "G ", "D(x)", "D(G(z))", "images/s"))


# --- checkpoints ----------------------------------------------------------------------------------------------------


def test_a_checkpoint_holds_everything(tmp_path):
    gan = make_gan(discriminator=Critic)
    state, _ = train(gan)
    save(tmp_path / "gan.safetensors", state)
    restored = restore(tmp_path / "gan.safetensors", gan.init(jax.random.key(5)))
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert same(restored, state)
    assert same(train(gan, state=restored)[0], train(gan, state=state)[0])


@pytest.mark.usefixtures("compiled_as_for_a_reader")
def test_interrupted_and_resumed_is_bitwise_the_uninterrupted_run(tmp_path):
    gan = make_gan(discriminator=Critic)
    options = dict(steps=50, every=20, chunk=8)
    whole, history = train(gan, **options)

    class Killed(Exception):
        pass

    def die(state):
        if state.step == 20:
            shutil.copy(path, earlier)
        if state.step == 40:
            raise Killed

    path, earlier = tmp_path / "run.safetensors", tmp_path / "earlier.safetensors"
    with pytest.raises(Killed):
        train(gan, checkpoint=path, callback=die, **options)
    shutil.copy(earlier, path)  # as if the state of step 40 had been lost, too
    assert restore(path, whole).step == 20
    resumed, again = train(gan, checkpoint=path, **options)
    assert same(resumed, whole)
    assert set(again) == set(history)
    for name in history.keys() - {"seconds"}:
        np.testing.assert_array_equal(again[name], history[name])
    assert (np.diff(again["seconds"]) >= 0).all()
    assert same(restore(path, whole), whole)
    done, unchanged = train(gan, checkpoint=path, **options)
    assert same(done, whole)
    assert same(unchanged, again)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_run_stopped_by_hand_is_resumed_bitwise(tmp_path, capsys):
    def stop(state):
        if state.step == 15:
            os.kill(os.getpid(), signal.SIGINT)

    path, options = tmp_path / "run.safetensors", dict(steps=30, every=15, chunk=4)
    stopped, _ = train(checkpoint=path, callback=stop, **options)
    assert "after 15 of 30 steps" in (out := capsys.readouterr().out)
    assert "run the same cell again" in out
    assert stopped.step == 15 == restore(path, stopped).step
    assert same(train(checkpoint=path, **options)[0], train(**options)[0])


def test_a_longer_run_goes_on_from_the_file(tmp_path, capsys):
    path = tmp_path / "run.safetensors"
    train(steps=10, checkpoint=path)
    longer, history = train(steps=30, checkpoint=path)
    assert longer.step == 30 == len(history["step"])
    train(steps=20, checkpoint=path, progress=True)
    assert "holds step 30 already" in capsys.readouterr().out
    with pytest.raises(ValueError, match="holds step 30, the state given is at step 40"):
        train(state=longer._replace(step=longer.step + 10), checkpoint=path)


def test_a_checkpoint_that_cannot_be_written_is_known_at_the_start(tmp_path):
    with pytest.raises(OSError, match=r"nowhere.*could not be written.*Choose a folder"):
        train(checkpoint=tmp_path / "nowhere" / "run.safetensors")


def test_a_full_disk_during_training_loses_nothing(tmp_path, monkeypatch, capsys):
    path, sync, calls = tmp_path / "run.safetensors", os.fsync, []

    def full(file):
        calls.append(file)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    state, history = train(steps=50, every=10, checkpoint=path)
    assert state.step == 20 == len(history["step"])
    assert restore(path, state).step == 10
    assert "Stopped after 20 of 50 steps" in (out := capsys.readouterr().out)
    assert "No space left" in out


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_kill_9_while_writing_leaves_the_earlier_checkpoint_whole(tmp_path):
    path, rng = tmp_path / "run.safetensors", np.random.default_rng(0)
    like = {"weights": np.zeros(5_000_000, np.float32), "step": np.int32(0)}
    save(path, like)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["gan_lib.checkpoint"])
    cut = 0
    for step in range(1, 21):
        new = {"weights": np.full(5_000_000, step, np.float32), "step": np.int32(step)}
        writer = processes.Process(target=save, args=(path, new))
        writer.start()
        while writer.is_alive() and not list(tmp_path.glob(f"run.safetensors.*-{writer.pid}-*.part")):
            pass
        time.sleep(rng.uniform(0, 0.01))
        writer.kill()
        writer.join()
        kept = restore(path, like)
        cut += int(kept["step"]) < step
        assert (kept["weights"] == kept["step"]).all()
    assert cut > 5  # otherwise the writers were through before they were killed
    save(path, like)
    assert list(tmp_path.iterdir()) == [path]  # no litter


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "gan.safetensors"
    save(path, PLAIN.init(KEY))
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, PLAIN.init(jax.random.key(1)))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_halfway_leaves_the_old_file(tmp_path):
    """The system itself refuses to write on, as it does on a full disk."""
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    path, limits = tmp_path / "gan.safetensors", resource.getrlimit(resource.RLIMIT_FSIZE)
    save(path, PLAIN.init(KEY))
    old = path.read_bytes()
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(old) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"gan\.safetensors could not be written \(File too large\); an earlier file"):
            save(path, PLAIN.init(jax.random.key(1)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_sync_takes_checkpoints_too(tmp_path, monkeypatch):
    def cannot(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", cannot)
    path = tmp_path / "run.safetensors"
    state, _ = train(steps=20, every=10, checkpoint=path)
    assert same(restore(path, state), state)


def test_a_checkpoint_that_does_not_fit_is_explained(tmp_path):
    path = tmp_path / "gan.safetensors"
    save(path, PLAIN.init(KEY))
    wider = make_gan(discriminator=lambda rngs: MLP((2, 17, 1), shape=(), rngs=rngs))
    with pytest.raises(ValueError, match=r"another network: at .*16.*17"):
        restore(path, wider.init(KEY))
    halves = jax.tree.map(lambda x: x.astype(jnp.float16), PLAIN.init(KEY).params)
    save(other := tmp_path / "half.safetensors", halves)
    with pytest.raises(ValueError, match=r"another network: at .*float16.*float32"):
        restore(other, PLAIN.init(KEY).params)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="cut short"):
        restore(path, PLAIN.init(KEY))
    with pytest.raises(ValueError, match="cut short"):
        train(checkpoint=path)
    safetensors.numpy.save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="not a checkpoint of format 1"):
        restore(path, PLAIN.init(KEY))
    with pytest.raises(FileNotFoundError):
        restore(tmp_path / "none.safetensors", PLAIN.init(KEY))


def test_the_default_loss_is_not_the_saturating_one():
    assert PLAIN.loss is non_saturating is not minimax
