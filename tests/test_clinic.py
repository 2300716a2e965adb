"""The check-up: closed forms of what it measures, readings of planted diseases over ten seeds, the dashboard."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_lib import losses, probes
from gan_lib.clinic import DISEASES, chart, reading, reference
from gan_lib.data import ring
from gan_lib.exercises.nb07 import bank
from gan_lib.gan import GAN
from gan_lib.nets import MLP
from gan_lib.training import fit

TWIN = Path(__file__).parents[1] / "notebooks" / "source" / "07_clinic.md"
SEEDS = range(10)


def generator(rngs):
    return MLP((3, 16, 2), rngs=rngs)


def discriminator(rngs):
    return MLP((2, 16, 1), rngs=rngs, shape=())


def with_norm(rngs):
    return MLP((2, 16, 16, 1), rngs=rngs, shape=(), norm=True)


SMALL = GAN(generator, discriminator, latent_dim=3, optimizer=optax.adam(1e-3), averaging=0.9)


# --- readings -------------------------------------------------------------------------------------------------------


def ward_cells():
    """What the notebook's cells tagged `ward` define, with the imports above them."""
    cells = re.findall(r"(?ms)^```\{code-cell\}\n(:tags: \[ward\]\n\n)?(.*?)^```$", TWIN.read_text(encoding="utf-8"))
    scope = {}
    for tag, code in cells:
        if tag or code.startswith("from collections"):
            exec(compile(code, str(TWIN), "exec"), scope)
    return scope


@pytest.fixture(scope="module")
def ward():
    return ward_cells()["admit"](SEEDS)


def one(history, seed):
    return {k: v[seed] if v.ndim > 1 else v for k, v in history.items()}


def test_healthy_runs_give_no_false_alarm(ward):
    history, _ = ward["healthy"]
    assert [reading(one(history, s)).name for s in SEEDS] == ["nothing found"] * 10


@pytest.mark.parametrize("name", DISEASES)
def test_a_planted_disease_is_named_in_nine_of_ten_seeds(ward, name):
    history, _ = ward[name]
    assert sum(reading(one(history, s)).name == name for s in SEEDS) >= 9


def calm(steps=600, every=20, **numbers):
    """A made-up history at rest."""
    history = dict(
        step=np.arange(1, steps + 1), d_loss=1.38, g_loss=0.7, d_real=0.51, d_fake=0.49, d_grad=0.5, g_grad=0.5
    )
    looks = dict(right=0.55, company=0.0, told=0.55, covered=0.9, spread=1.0, moved=0.1, growth=1.5)
    at = history["step"] % every == 0
    history = {k: np.broadcast_to(1.0 * numbers.get(k, v), steps) for k, v in history.items()}
    return history | {k: np.where(at, numbers.get(k, v), np.nan) for k, v in looks.items()}


def said(found):
    """A reading's words, in one line."""
    return " ".join(str(found).split())


SIGNS = {
    "no gradient": dict(g_grad=0.0),
    "BatchNorm leak": dict(company=1.5),
    "learning rate too high": dict(growth=20),
    "oscillation": dict(told=0.95, moved=0.5, d_loss=1.7, d_real=0.65),
    "G too strong": dict(told=0.95),
    "D too strong": dict(d_real=0.95, d_fake=0.05),
    "collapse": dict(covered=0.1, d_real=0.7),
}


@pytest.mark.parametrize("name", SIGNS)
def test_each_sign_names_its_disease_alone(name):
    found = reading(calm(**SIGNS[name]))
    assert (found.name, len(found.findings)) == (name, 1)
    assert f"{name}: sure, in 15 of 15 looks" in said(found)
    assert found.findings[0].cure in said(found)


@pytest.mark.parametrize("text", [bank(), *(str(reading(calm(**sign))) for sign in SIGNS.values())])
def test_what_is_printed_fits_beside_a_file_browser(text):
    assert max(map(len, text.splitlines())) <= 75


def test_a_gradient_that_is_not_finite_is_none():
    assert reading(calm(g_grad=np.nan)).name == "no gradient"


def test_a_sign_in_the_first_half_is_forgotten():
    history = calm()
    history["told"] = np.where((history["step"] < 300) & ~np.isnan(history["told"]), 0.99, history["told"])
    assert reading(history).name == "nothing found"


def test_half_of_the_looks_have_to_agree():
    history = calm(company=1.5)
    history["company"] = np.where(
        history["step"] > 450, history["company"], np.where(np.isnan(history["company"]), np.nan, 0)
    )
    assert reading(history).findings[0].looks == 8
    history["company"] = np.where(
        history["step"] > 470, history["company"], np.where(np.isnan(history["company"]), np.nan, 0)
    )
    assert reading(history).name == "nothing found"


def test_bad_fakes_without_a_disease_are_called_bad():
    assert "a stranger tells 95%" in said(reading(calm(told=0.95, d_real=0.8, d_fake=0.3)))


def test_without_a_watch_it_says_what_it_did_not_look_for():
    history = {k: v for k, v in calm().items() if k not in probes.LOOKS}
    assert "Not looked for, as fit had no Watch: BatchNorm leak, learning rate too high, G too strong" in said(
        reading(history)
    )
    assert reading(history | dict(g_grad=np.zeros(600))).name == "no gradient"


def test_a_run_that_was_interrupted_is_too_short_to_read():
    found = reading({k: v[:40] for k, v in calm().items()})
    assert found.name == "too early"
    assert "2 looks, and a reading needs 8" in said(found)


def test_what_is_no_history_is_refused():
    with pytest.raises(ValueError, match="has no d_loss"):
        reading({"step": np.arange(5)})
    with pytest.raises(ValueError, match="has no step"):
        chart({})


# --- what is measured -----------------------------------------------------------------------------------------------


def test_a_stranger_tells_what_lies_apart_and_not_what_is_alike():
    x, y = jax.random.normal(jax.random.key(0), (2, 400, 2))
    apart, alike = probes.compare(x, y + 100), probes.compare(x, y)
    assert (float(apart["told"]), float(apart["covered"])) == (1.0, 0.0)
    np.testing.assert_allclose(float(alike["told"]), 0.5, atol=0.07)
    np.testing.assert_allclose(float(alike["covered"]), 1 - 2**-5, atol=0.03)
    np.testing.assert_allclose(float(probes.compare(x, 3 * x)["spread"]), 3, rtol=1e-5)


def test_the_gap_of_the_best_discriminator_is_twice_told_less_one():
    x, y = jax.random.normal(jax.random.key(0), (2, 4000, 1)) + jnp.array([[[0.0]], [[2.0]]])
    best = lambda v: jax.nn.sigmoid(-2 * (v - 1))
    gap = float(best(x).mean() - best(y).mean())
    np.testing.assert_allclose(2 * float(probes.compare(x, y)["told"]) - 1, gap, atol=0.03)


@pytest.mark.parametrize(("kinds", "count"), [([0, 1, 2, 3], 4), ([2, 2, 2], 1), ([-1, -1], 0), ([0, 0, 1, 1, -1], 2)])
def test_the_effective_number_of_kinds(kinds, count):
    np.testing.assert_allclose(float(probes.how_many(jnp.array(kinds), 4)), count, rtol=1e-5)


def test_modes_are_the_nearest_within_three_deviations():
    kinds, most = probes.modes(ring(modes=4, std=0.1))
    assert most == 4
    assert kinds(jnp.array([[1.0, 0], [0, 1.2], [0, 0.69]])).tolist() == [0, 1, -1]


def test_only_a_discriminator_that_mixes_samples_minds_the_company():
    real, fake = jax.random.normal(jax.random.key(1), (2, 32, 2)) + jnp.array([[[0.0]], [[3.0]]])
    for build, low, high in ((discriminator, 0, 1e-5), (with_norm, 0.3, np.inf)):
        gan = GAN(generator, build, latent_dim=3)
        seen = probes.examine(gan, gan.init(jax.random.key(0)), real, fake)
        assert low <= float(seen["company"]) <= high
        assert 0 <= float(seen["right"]) <= 1


def test_a_watch_fills_the_history_at_its_looks():
    x = ring().sample(jax.random.key(0), 500)
    watch = probes.Watch(SMALL, x[:32], key=jax.random.key(1), kinds=probes.modes(ring()))
    _, history = fit(
        SMALL,
        SMALL.init(jax.random.key(0)),
        x,
        steps=20,
        every=10,
        key=jax.random.key(1),
        callback=watch,
        progress=False,
    )
    assert set(probes.LOOKS) <= set(history)
    assert np.flatnonzero(~np.isnan(history["told"])).tolist() == [9, 19]
    assert history["moved"][9] > 0
    assert chart(history, most=8).axes


def test_a_watch_takes_the_features_it_is_given():
    x = jax.random.normal(jax.random.key(0), (32, 2))
    watch = probes.Watch(SMALL, x, key=jax.random.key(1), see=lambda x: 0 * x)
    assert watch(SMALL.init(jax.random.key(0)))["told"] == 0  # all points are one: no neighbour of one's own is nearer


@pytest.mark.parametrize("shape", [(31, 2), (8, 2), (32,)])
def test_too_few_samples_are_refused(shape):
    with pytest.raises(ValueError, match="even number of samples"):
        probes.Watch(SMALL, np.zeros(shape), key=jax.random.key(0))


def test_a_trial_is_the_training_that_the_step_makes():
    mixture, keys = ring(std=0.1), jnp.stack([jax.random.key(s) for s in (3, 4)])
    build = lambda rate: GAN(
        generator, discriminator, latent_dim=3, optimizer=optax.sgd(lambda n: rate + 0 * n), averaging=0
    )
    history, fakes = probes.trial(build, jnp.array([0.0, 0.1]), mixture, keys, steps=8, every=4, batch_size=16, n=16)
    assert history["d_loss"].shape == (2, 2, 8)
    assert fakes.shape == (2, 2, 16, 2)
    assert (history["growth"][0, :, 3::4] == 1).all()
    assert (history["moved"][0, :, 3::4] == 0).all()
    assert (history["moved"][1, :, 3::4] > 0).all()
    assert np.isnan(history["told"][..., :3]).all()
    start_key, run_key = jax.random.split(keys[1], 4)[:2]
    gan = build(0.1)
    state = gan.init(start_key)
    for n in range(8):
        data_key, step_key = jax.random.split(jax.random.fold_in(run_key, n))
        state, metrics = gan.step(state, mixture.sample(data_key, 16), step_key)
        np.testing.assert_allclose(history["d_loss"][1, 1, n], metrics["d_loss"], rtol=1e-4)
    with pytest.raises(ValueError, match="multiple"):
        probes.trial(build, jnp.array([0.0]), mixture, keys, steps=7, every=4)


# --- the dashboard --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("non_saturating", (2 * np.log(2), np.log(2))),
        ("minimax", (2 * np.log(2), -np.log(2))),
        ("least_squares", (0.25, 0.125)),
        ("hinge", (2, 0)),
        ("wasserstein", (0, 0)),
        ("relativistic", (np.log(2), np.log(2))),
    ],
)
def test_reference_lines(name, lines):
    np.testing.assert_allclose(reference(losses.LOSSES[name]), lines, atol=1e-4)


def test_bands_hold_the_lowest_and_the_highest_seed():
    several = {k: np.stack([v, 2 * v]) if k != "step" else v for k, v in calm().items()}
    figure = chart(several, title="two seeds")
    band = figure.axes[1].collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose([band.min(), band.max()], [0.51, 1.02], rtol=1e-5)
    assert figure.axes[0].get_title() == "losses"
