"""`fit` trains any model on any pytree of data; what cannot be trained is refused in words, before anything compiles."""

import re
import traceback
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from gan_lib import data, device, nets, penalties
from gan_lib.gan import GAN, Pair
from gan_lib.losses import Loss, non_saturating
from gan_lib.nets import MLP
from gan_lib.training import fit

KEY = jax.random.key(0)
POINTS = np.random.default_rng(0).normal(size=(512, 2)).astype(np.float32) + 2
SETTINGS = dict(steps=6, key=KEY, batch_size=32, progress=False)


def generator(rngs):
    return MLP((4, 16, 2), rngs=rngs)


def discriminator(rngs):
    return MLP((2, 16, 1), shape=(), rngs=rngs)


def make_gan(**options):
    return GAN(**dict(generator=generator, discriminator=discriminator, latent_dim=4) | options)


# --- any model ------------------------------------------------------------------------------------------------------


class LineState(NamedTuple):
    params: jax.Array
    step: jax.Array


class Line:
    """y = a·x + b by gradient descent: a model without networks, on a dictionary of arrays."""

    rate = 0.1

    def init(self, key):
        return LineState(jax.random.normal(key, (2,)), jnp.int32(0))

    def step(self, state, batch, key):
        def loss(params):
            return ((params[0] * batch["x"] + params[1] - batch["y"]) ** 2).mean()

        error, slope = jax.value_and_grad(loss)(state.params)
        return LineState(state.params - self.rate * slope, state.step + 1), {"squared_error": error}


X = np.linspace(-1, 1, 200, dtype=np.float32)
LINE = {"x": X, "y": 3 * X - 1}


def test_a_model_of_the_readers_own_learns(capsys):
    model = Line()
    state, history = fit(model, model.init(KEY), LINE, **SETTINGS | dict(steps=300, progress=True))
    np.testing.assert_allclose(state.params, [3, -1], atol=1e-3)
    assert set(history) == {"step", "squared_error", "seconds"}
    assert history["squared_error"][-1] < 1e-5 < history["squared_error"][0]
    assert "squared_error" in capsys.readouterr().out  # beside the bar, by its own name


def test_the_example_in_the_readme_runs():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text[text.index("## A model of your own") :], re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15 + 8  # and imports
    names = {}
    exec(code, names)
    loss = names["history"]["loss"]
    assert loss[-20:].mean() < loss[0] / 5


def test_batches_have_the_structure_of_the_data_and_their_rows_stay_together():
    seen = []

    class Spy(Line):
        def step(self, state, batch, key):
            jax.debug.callback(lambda b: seen.append(jax.tree.map(np.asarray, b)), batch)
            return state._replace(step=state.step + 1), {"nothing": jnp.float32(0)}

    rows = np.arange(50)
    pairs = (rows.astype(np.float32), {"label": rows.astype(np.int32), "byte": rows.astype(np.uint8)})
    fit(Spy(), Line().init(KEY), pairs, **SETTINGS)
    jax.effects_barrier()
    assert len(seen) == 6
    for floats, rest in seen:
        assert (floats.dtype, rest["label"].dtype, rest["byte"].dtype) == (np.float32, np.int32, np.uint8)
        assert (floats == rest["label"]).all()
        assert (floats == rest["byte"]).all()


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (1e30, "Stopped at step 2: squared_error is inf"),
        (np.inf, "Stopped at step 1 because of the weights: its weights"),
    ],
)
def test_a_failure_is_named_by_the_models_own_metrics(rate, said, capsys):
    model = Line()
    model.rate = rate
    state, history = fit(model, model.init(KEY), LINE, **SETTINGS)
    assert np.isfinite(state.params).all()
    assert int(state.step) == len(history["squared_error"])
    assert said in capsys.readouterr().out


def test_the_part_that_failed_first_is_named_even_where_the_other_one_fails_with_it(capsys):
    class Two(NamedTuple):
        encoder: jax.Array
        decoder: jax.Array

    class State(NamedTuple):
        params: Two
        step: jax.Array

    class Model:
        def step(self, state, batch, key):
            spoilt = jnp.where(state.step == 2, jnp.nan, 1.0)
            metrics = {"e_loss": spoilt * 1.0, "d_loss": spoilt * 2.0}  # not in the order of the alphabet
            return State(jax.tree.map(lambda p: p * spoilt, state.params), state.step + 1), metrics

    fit(Model(), State(Two(jnp.ones(2), jnp.ones(2)), jnp.int32(0)), POINTS, **SETTINGS)
    assert "Stopped at step 3 because of the encoder: e_loss is nan. " in capsys.readouterr().out


class Wrong(Line):
    def __init__(self, step):
        self.make = step

    def step(self, state, batch, key):
        return self.make(state)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            lambda s: (s._replace(params=s.params[:1]), {}),
            r"at \.params that was float32\[2\], and it returns float32\[1\]",
        ),
        (lambda s: (s._replace(step=s.step + 1.0), {}), r"at \.step that was int32\[\], and it returns float32\[\]"),
        (lambda s: ((s.params, s.step), {}), "step must return a state like the one it was given"),
        (lambda s: (s, {"loss": s.params}), r"a dictionary of scalars; got \{'loss': \(2,\)\}"),
        (lambda s: (s, s.params[0]), "a dictionary of scalars"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 3])
def test_a_step_that_cannot_be_repeated_is_explained(step, message, chunk):
    model = Wrong(step)
    with pytest.raises(ValueError, match=message):
        fit(model, model.init(KEY), LINE, chunk=chunk, **SETTINGS)


def test_bytes_stay_bytes_and_are_scaled_in_the_step():
    pictures = np.random.default_rng(0).integers(0, 256, (64, 4, 4, 1), dtype=np.uint8)
    parts = dict(
        generator=lambda rngs: MLP((4, 16), shape=(4, 4, 1), output=jnp.tanh, rngs=rngs),
        discriminator=lambda rngs: MLP((16, 8, 1), shape=(), rngs=rngs),
    )
    bytewise, plain = make_gan(**parts, prepare=data.scaled), make_gan(**parts)
    one, first = fit(bytewise, bytewise.init(KEY), pictures, **SETTINGS)
    _, second = fit(plain, plain.init(KEY), data.scaled(pictures), **SETTINGS)
    np.testing.assert_allclose(first["d_loss"], second["d_loss"], rtol=1e-5)
    assert float(data.scaled(np.uint8(0))) == -1 == -float(data.scaled(np.uint8(255)))
    text = str(jax.make_jaxpr(bytewise.step)(one, jax.ShapeDtypeStruct((32, 4, 4, 1), jnp.uint8), KEY))
    assert "u8[32,4,4,1]" in text  # no float copy of the data comes in


def test_data_that_do_not_fit_are_counted(monkeypatch):
    monkeypatch.setattr(device, "free_bytes", lambda: 2_000_000_000)
    gan = make_gan()
    huge = np.broadcast_to(np.float32(0), (300_000_000, 2))  # 2.4 GB that nobody holds
    with pytest.raises(ValueError, match=r"has 2\.0 GB free; the data take 2\.4 GB there.*uint8"):
        fit(gan, gan.init(KEY), huge, **SETTINGS)
    assert device.check_room(jnp.ones((10, 2)), gan.init(KEY)) is None  # there already


def test_free_memory_is_known_on_linux():
    free = device.free_bytes()
    assert free is None or 1e6 < free < 1e15


# --- what cannot be trained -----------------------------------------------------------------------------------------


class Tensor:
    """Stands for another library's array: NumPy can read it, JAX cannot."""

    def __init__(self, x):
        self.x, self.dtype, self.shape = x, "torch.float32", x.shape

    def __array__(self, dtype=None, copy=None):
        return self.x

    def __len__(self):
        return len(self.x)


@pytest.mark.parametrize("turn", [Tensor, lambda x: x.astype(">f4"), jnp.asarray, np.asfortranarray, np.float64])
def test_arrays_of_all_kinds_train_alike(turn):
    gan = make_gan()
    _, plain = fit(gan, gan.init(KEY), POINTS, **SETTINGS)
    _, other = fit(gan, gan.init(KEY), turn(POINTS), **SETTINGS)
    np.testing.assert_allclose(plain["d_loss"], other["d_loss"], rtol=1e-6)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ((POINTS, np.zeros(512, np.int32)), "learns from one array of samples; got a tuple of 2.*images, labels"),
        ((POINTS, np.zeros(7, np.int32)), r"several with one N; got shapes \(512, 2\), \(7,\)"),
        (POINTS[:0], "N is 0"),
        ({}, "got shapes nothing"),
        (None, "got shapes nothing"),
        ("mnist", "data is"),
        (np.float32(1), r"got shapes \(\)"),
        (POINTS.astype(complex), "complex"),
        (np.uint8(POINTS > 0), "got uint8 of shape.*prepare=data.scaled"),
    ],
)
def test_data_of_the_wrong_kind_are_refused_in_words(points, message):
    gan = make_gan()
    with pytest.raises(ValueError, match=message):
        fit(gan, gan.init(KEY), points, **SETTINGS)


def test_what_fit_returns_is_two_things():
    gan = make_gan()
    both = fit(gan, gan.init(KEY), POINTS, **SETTINGS)
    with pytest.raises(ValueError, match="state, history = fit"):
        fit(gan, both, POINTS, **SETTINGS)


@pytest.mark.parametrize("key", [0, None, "seed", jnp.zeros(3), jax.random.split(jax.random.key(0), 2), np.int64(7)])
def test_what_is_no_key_is_refused(key):
    gan = make_gan()
    state = gan.init(KEY)
    for use in (
        gan.init,
        lambda k: gan.sample(state, k, 3),
        lambda k: fit(gan, state, POINTS, **SETTINGS | dict(key=k)),
    ):
        with pytest.raises(ValueError, match=r"random key is asked for, such as jax.random.key\(0\); got"):
            use(key)


def test_keys_of_the_old_kind_will_do():
    gan, old = make_gan(), jax.random.PRNGKey(0)
    one, _ = fit(gan, gan.init(old), POINTS, **SETTINGS | dict(key=old))
    two, _ = fit(gan, gan.init(KEY), POINTS, **SETTINGS)
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), one.params, two.params))


class Twice(nnx.Module):
    def __init__(self, rngs):
        self.lin = nnx.Linear(4, 2, rngs=rngs)

    def __call__(self, z):
        self.lin(z)  # and the result is lost


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(optimizer="adam"), "optimizer must be an optax transformation.*got 'adam' for the generator"),
        (dict(optimizer=optax.adam), "optimizer must be.*got a function"),
        (dict(optimizer=(optax.sgd(0.1), optax.sgd(0.1))), "optimizer must be.*Pair of two; got a tuple"),
        (dict(optimizer=Pair(optax.sgd(0.1), None)), "got None for the discriminator"),
        (dict(optimizer=optax.lbfgs()), "generator cannot make a step from gradients alone"),
        (dict(optimizer=optax.contrib.reduce_on_plateau()), "generator cannot make a step from gradients alone"),
        (dict(penalty=None), "penalty must be a function.*got None"),
        (dict(penalty=10.0), "penalty must be a function.*got 10.0"),
        (dict(penalty=penalties.OneCentred), "penalty must be a function.*the class OneCentred itself"),
        (dict(prepare=255), "prepare must be a function.*got 255"),
        (dict(latent_dim=64.0), "latent_dim must be a whole number of at least 1; got 64.0"),
        (dict(latent_dim=0), "latent_dim must be a whole number of at least 1; got 0"),
        (dict(latent_dim="64"), "latent_dim must be a whole number of at least 1; got '64'"),
        (dict(latent_dim=True), "latent_dim must be"),
        (dict(averaging="0.9"), "averaging"),
        (
            dict(latent_dim=64),
            r"The generator does not take latents of shape \(B, 64\).*It takes 4: GAN\(\.\.\., latent_dim=4\)",
        ),
        (dict(generator=lambda rngs: MLP((4, 3), rngs=rngs)), "discriminator does not take what the generator makes"),
        (dict(generator=Twice), "generator must return floats.*None: is its return missing"),
        (dict(generator=lambda rngs: jnp.tanh), "generator must be a function of rngs that returns an nnx.Module"),
        (dict(discriminator=lambda rngs: None), "discriminator must be a function of rngs that returns an nnx.Module"),
    ],
)
def test_parts_that_cannot_be_trained_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        make_gan(**options).init(KEY)


def test_the_default_latents_of_a_network_that_takes_others():
    with pytest.raises(ValueError, match=r"\(B, 64\).*It takes 16: GAN\(\.\.\., latent_dim=16\)"):
        GAN(nets.small_generator, nets.small_discriminator).init(KEY)


@pytest.mark.parametrize(
    ("output", "scale", "message"),
    [
        (
            jnp.tanh,
            lambda x: 127.5 * (x + 1),
            r"ends in tanh, from -1 to 1; .* 255\.\nScale them: x / 127.5 − 1",
        ),
        (nnx.sigmoid, lambda x: x, r"ends in a sigmoid.*from -1 to 1\.\nScale them: \(x \+ 1\) / 2"),
        (jnp.tanh, lambda x: x, None),
        (nnx.sigmoid, lambda x: (x + 1) / 2, None),
        (None, lambda x: 127.5 * (x + 1), None),
    ],
)
@pytest.mark.parametrize("shape", [(4,), (2, 2, 1)])
def test_data_out_of_the_generators_reach_are_refused(output, scale, message, shape):
    x = np.linspace(-1, 1, 400, dtype=np.float32).reshape(-1, *shape)
    gan = make_gan(
        generator=lambda rngs: MLP((4, 4), shape=shape, output=output, rngs=rngs),
        discriminator=lambda rngs: MLP((4, 1), shape=(), rngs=rngs),
    )
    if message is None:
        fit(gan, gan.init(KEY), scale(x), **SETTINGS)
    else:
        with pytest.raises(ValueError, match=message):
            fit(gan, gan.init(KEY), scale(x), **SETTINGS)


def test_data_in_a_half_of_the_generators_range_are_remarked_on(capsys):
    x = np.linspace(0, 1, 400, dtype=np.float32).reshape(-1, 4)
    gan = make_gan(
        generator=lambda rngs: MLP((4, 4), output=jnp.tanh, rngs=rngs),
        discriminator=lambda rngs: MLP((4, 1), shape=(), rngs=rngs),
    )
    fit(gan, gan.init(KEY), x, **SETTINGS)
    said = capsys.readouterr().out
    assert "ends in tanh, from -1 to 1; the data go from 0 to 1.\nScale them: 2·x − 1." in said
    fit(gan, gan.init(KEY), 2 * x - 1, **SETTINGS)
    assert "Scale them" not in capsys.readouterr().out


# --- labels ---------------------------------------------------------------------------------------------------------

LABELS = np.arange(512, dtype=np.int32) % 3


class Labelled(nnx.Module):
    """A network that is called with samples and labels, which it adds up, scaled."""

    def __init__(self, features_in, features_out, rngs):
        self.lin, self.table = nnx.Linear(features_in, features_out, rngs=rngs), nnx.Embed(3, features_out, rngs=rngs)

    def __call__(self, x, labels):
        y = self.lin(x) + self.table(labels)
        return y[:, 0] if y.shape[1] == 1 else y


def conditional(**options):
    parts = dict(
        generator=lambda rngs: Labelled(4, 2, rngs),
        discriminator=lambda rngs: Labelled(2, 1, rngs),
        latent_dim=4,
        classes=3,
    )
    return GAN(**parts | options)


def test_both_networks_get_the_labels_of_the_real_batch():
    """By the arrays that a step leaves: an embedding that no label asked for has no gradient, in G as in D."""
    gan = conditional(optimizer=optax.sgd(0.1))
    state = gan.init(KEY)
    new, _ = jax.jit(gan.step)(state, (POINTS[:32], np.where(LABELS[:32] == 1, 2, LABELS[:32])), KEY)
    for before, after in zip(state.params, new.params, strict=True):
        moved = (before["table"]["embedding"] != after["table"]["embedding"]).any(axis=1)
        assert moved.tolist() == [True, False, True]


def test_fakes_are_judged_with_the_labels_they_were_made_with():
    """G writes its label into the sample, D compares it with the label it is told: 0 where they agree."""

    class Writes(nnx.Module):
        def __init__(self, rngs):
            self.weight = nnx.Param(jnp.ones(()))

        def __call__(self, z, labels):
            return self.weight * jnp.stack([labels, labels], axis=1).astype(jnp.float32)

    class Compares(Writes):
        def __call__(self, x, labels):
            return self.weight * jnp.abs(x[:, 0] - labels)

    real = np.stack([LABELS, LABELS], axis=1).astype(np.float32)
    gan = conditional(generator=Writes, discriminator=Compares)
    _, metrics = jax.jit(gan.step)(gan.init(KEY), (real[:50], LABELS[:50]), KEY)
    assert metrics["d_real"] == metrics["d_fake"] == 0.5
    _, metrics = jax.jit(gan.step)(gan.init(KEY), (real[:50], LABELS[1:51]), KEY)  # labels of other samples
    assert metrics["d_fake"] == 0.5 < metrics["d_real"]


def test_a_penalty_differentiates_the_sample_alone():
    gan = conditional(penalty=penalties.ZeroCentred(2.0), optimizer=optax.sgd(0.0))
    plain = conditional(optimizer=optax.sgd(0.0))
    state, batch = gan.init(KEY), (POINTS[:32], LABELS[:32])
    (_, with_r1), (_, without) = (jax.jit(g.step)(state, batch, KEY) for g in (gan, plain))
    kernel = state.params.discriminator["lin"]["kernel"]  # D's slope in the sample, whatever the label
    np.testing.assert_allclose(with_r1["d_loss"] - without["d_loss"], (kernel**2).sum(), rtol=1e-4)


def test_labels_are_asked_for_one_by_one_or_all_at_once():
    gan = conditional()
    state, _ = fit(gan, gan.init(KEY), (POINTS, LABELS), **SETTINGS)
    z = jax.random.normal(KEY, (5, 4))
    one = gan.generate(state, z, 2)
    np.testing.assert_array_equal(one, gan.generate(state, z, np.full(5, 2)))
    np.testing.assert_array_equal(one[2:], gan.generate(state, z, [0, 1, 2, 2, 2])[2:])
    assert (one[:2] != gan.generate(state, z, [0, 1, 2, 2, 2])[:2]).any(axis=1).all()
    np.testing.assert_array_equal(gan.sample(state, KEY, 5, labels=2), one)
    assert (gan.logits(state, POINTS[:5], 0) != gan.logits(state, POINTS[:5], 1)).all()
    assert jax.jit(lambda y: gan.generate(state, z, y))(jnp.array([0, 1, 2, 0, 1])).shape == (5, 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3, dtype=np.float32)[LABELS], r"whole numbers of shape \(\d+,\).*float32.*argmax\(axis=1\)"),
        (LABELS.astype(np.float32), "whole numbers"),
        (LABELS[:, None], "whole numbers"),
        (LABELS + 1, "go from 1 to 3; a GAN of 3 classes takes 0 to 2. Subtract 1"),
        (LABELS - 1, "go from -1 to 1"),
        (LABELS * 5, "go from 0 to 10.*Or is it a GAN of 11 classes"),
        (LABELS[:100], "several with one N"),
    ],
)
def test_labels_that_name_no_class_are_refused(labels, message):
    gan = conditional()
    with pytest.raises(ValueError, match=message):
        fit(gan, gan.init(KEY), (POINTS, labels), **SETTINGS)


def test_labels_that_cannot_be_asked_for_are_refused():
    gan, plain = conditional(), make_gan()
    state = gan.init(KEY)
    for labels, message in (
        (None, "Which of the 3 classes"),
        (3, "go from 3 to 3"),
        ([0, 1], "whole numbers"),
        ("7", "labels"),
    ):
        with pytest.raises(ValueError, match=message):
            gan.sample(state, KEY, 5, labels=labels)
    with pytest.raises(ValueError, match="no classes"):
        plain.sample(plain.init(KEY), KEY, 5, labels=1)
    with pytest.raises(ValueError, match=r"learns from \(samples, labels\)"):
        fit(gan, state, POINTS, **SETTINGS)
    with pytest.raises(ValueError, match="classes must be how many"):
        conditional(classes=-1)
    with pytest.raises(ValueError, match=r"generator does not take latents .* and labels"):
        conditional(generator=generator).init(KEY)


# --- networks that Flax allows --------------------------------------------------------------------------------------


class Scaled(nnx.Module):
    """An array that is no Variable."""

    def __init__(self, rngs):
        self.lin, self.scale, self.shift = nnx.Linear(2, 1, rngs=rngs), jnp.array([1.0, 3.0]), np.ones(2)

    def __call__(self, x):
        return self.lin(x * self.scale + self.shift)[:, 0]


class Nested(nnx.Module):
    def __init__(self, rngs):
        self.inner, self.scales = Scaled(rngs), [jnp.float32(2.0), jnp.ones(2)]

    def __call__(self, x):
        return self.inner(x * self.scales[1]) * self.scales[0]


class Attentive(nnx.Module):
    """A layer whose mode nobody has set."""

    def __init__(self, rngs):
        self.attention = nnx.MultiHeadAttention(2, 2, dropout_rate=0.5, decode=False, rngs=rngs)
        self.lin = nnx.Linear(2, 1, rngs=rngs)

    def __call__(self, x):
        return self.lin(self.attention(x[:, None])[:, 0])[:, 0]


class Sowing(nnx.Module):
    """Variables that are born in a pass."""

    def __init__(self, rngs):
        self.lin = nnx.Linear(2, 1, rngs=rngs)

    def __call__(self, x):
        self.sow(nnx.Intermediate, "seen", x)
        return self.lin(x)[:, 0]


@pytest.mark.filterwarnings("ignore:Using 'Module.sow:DeprecationWarning")
@pytest.mark.parametrize("network", [Scaled, Nested, Attentive, Sowing])
@pytest.mark.parametrize("chunk", [1, 3])
def test_networks_that_flax_allows_train(network, chunk):
    gan = make_gan(discriminator=network)
    state = gan.init(KEY)
    new, history = fit(gan, state, POINTS, chunk=chunk, **SETTINGS)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert np.isfinite(history["d_loss"]).all()
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), state.params.discriminator, new.params.discriminator)
    assert any(jax.tree.leaves(moved))
    assert gan.logits(new, POINTS[:5]).shape == (5,)


def test_an_array_of_a_network_is_used_and_not_learnt():
    gan = make_gan(discriminator=Scaled)
    state, _ = fit(gan, gan.init(KEY), POINTS, **SETTINGS)
    lin = state.params.discriminator["lin"]
    plain = (POINTS * np.array([1.0, 3.0]) + 1) @ lin["kernel"] + lin["bias"]
    np.testing.assert_allclose(gan.logits(state, POINTS), plain[:, 0], rtol=1e-5)
    assert set(state.params.discriminator) == {"lin"}


def test_attention_drops_in_training_and_not_in_evaluation():
    gan = make_gan(discriminator=Attentive)
    state = gan.init(KEY)
    assert (gan.logits(state, POINTS) == gan.logits(state, POINTS)).all()
    still = make_gan(discriminator=lambda rngs: _without_dropout(Attentive(rngs)))
    losses = [jax.jit(g.step)(state, POINTS[:64], KEY)[1]["d_loss"] for g in (gan, still)]
    assert losses[0] != losses[1]


def _without_dropout(module):
    module.attention.deterministic = True  # a mode that is set stays
    return module


def test_a_failed_try_does_not_spoil_the_next():
    mood = {"raise": True}

    def moody(rngs):
        if mood["raise"]:
            raise RuntimeError("not yet")
        return discriminator(rngs)

    gan = make_gan(discriminator=moody)
    with pytest.raises(RuntimeError, match="not yet"):
        gan.init(KEY)
    mood["raise"] = False
    state, _ = fit(gan, gan.init(KEY), POINTS, **SETTINGS)
    assert state.step == 6


@pytest.mark.parametrize("chunk", [1, 2])
def test_bfloat16_weights_have_an_average_that_moves(chunk):
    gan = make_gan(
        generator=lambda rngs: nnx.Linear(4, 2, param_dtype=jnp.bfloat16, rngs=rngs),
        optimizer=optax.sgd(0.5),
        averaging=0.99,
    )
    state = gan.init(KEY)
    new, _ = fit(gan, state, POINTS, chunk=chunk, **SETTINGS | dict(steps=200))
    kernel = new.params.generator["kernel"]
    average = new.average[0]["kernel"]
    assert (kernel.dtype, average.dtype) == (jnp.bfloat16, jnp.float32)
    start = np.float32(state.params.generator["kernel"])
    travelled = np.abs(np.float32(kernel) - start).max()
    assert np.abs(average - np.float32(kernel)).max() < travelled / 2  # in bfloat16 it would have stood still
    assert gan.generate(new, jnp.ones((3, 4))).dtype == gan.generate(new, jnp.ones((3, 4)), average=False).dtype


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_advice_after_a_nan_leads_to_the_line(capsys):
    def naive(real, fake):
        return -jnp.log(jax.nn.sigmoid(fake - 200)).mean()

    gan = make_gan(loss=Loss(non_saturating.discriminator, naive))
    fit(gan, gan.init(KEY), POINTS, **SETTINGS)
    assert "with jax.debug_nans(True), jax.debug_infs(True):" in capsys.readouterr().out
    with jax.debug_nans(True), jax.debug_infs(True), pytest.raises(FloatingPointError) as caught:
        fit(gan, gan.init(KEY), POINTS, **SETTINGS)
    places = traceback.extract_tb(caught.value.__traceback__)
    assert any(place.name == "naive" for place in places), [f"{p.filename}:{p.lineno}" for p in places]
