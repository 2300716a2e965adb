"""benchmarks/stacked.py: what it counts, on labels and images made by hand; how it trains; what it refuses."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_lib import data
from gan_lib.checkpoint import header, restore

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def stacked(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import stacked

    return stacked


def triples(n, seed=0):
    """n triples of test digits, (n, 28, 28, 3), and their labels (n, 3)."""
    images, labels = data.mnist("test")
    chosen = np.random.default_rng(seed).integers(0, len(images), (n, 3))
    return np.moveaxis(images[chosen][..., 0], 1, 3), labels[chosen]


def test_the_divergence_is_that_of_the_shares_to_equal_ones(stacked):
    every = np.stack(np.meshgrid(*[range(10)] * 3, indexing="ij"), -1).reshape(-1, 3)
    assert stacked.modes_and_kl(every) == (1000, pytest.approx(0, abs=1e-12))
    assert stacked.modes_and_kl(np.repeat([[1, 2, 3]], 50, axis=0)) == (1, pytest.approx(np.log(1000)))
    two = np.array([[1, 2, 3]] * 3 + [[3, 2, 1]])  # the order of the channels counts
    assert stacked.modes_and_kl(two) == (2, pytest.approx(0.75 * np.log(750) + 0.25 * np.log(250)))


def test_floors_are_those_of_faultless_samplers(stacked):
    uniform, real = stacked.floors(26_000)
    assert uniform == pytest.approx(999 / 52_000, rel=0.05)  # (K − 1)/(2n), to first order
    share = np.bincount(data.mnist()[1], minlength=10) / 60_000
    assert real == pytest.approx(uniform + 3 * (share * np.log(10 * share)).sum(), rel=0.05)
    assert stacked.floors(1000)[0] > 20 * uniform  # it depends on n


def test_the_classifier_reads_each_channel_and_sees_noise(stacked):
    images, labels = triples(300)
    assert (stacked.read(images).argmax(axis=2) == labels).mean() > 0.98
    real = stacked.score(images)
    assert real["n"] == 300
    assert real["sure"] > 0.97
    noise = np.random.default_rng(0).uniform(-1, 1, (300, 28, 28, 3)).astype(np.float32)
    assert stacked.score(noise)["sure"] < 0.05
    blurred = np.clip(images + np.roll(images, 3, axis=1) + np.roll(images, 5, axis=0), -1, 1)
    seen = stacked.score(blurred)
    assert seen["modes"] > 150  # "modes" alone prove little
    assert seen["modes_sure"] < seen["modes"] / 2
    one_bad = np.concatenate([images[..., :2], noise[..., :1]], axis=3)
    far = stacked.distances(one_bad)["distance"]
    assert far[2] > 5 * max(far[:2])


def test_batches_are_three_random_digits_as_colours(stacked):
    images = jnp.arange(50, dtype=jnp.uint8)[:, None, None] * jnp.ones((1, 28, 28), jnp.uint8)  # each of one grey
    batch = np.asarray(stacked.draw_batch(jax.random.key(0), images, 4000))
    assert (batch.shape, batch.dtype) == ((4000, 28, 28, 3), np.uint8)
    assert (np.ptp(batch, axis=(1, 2)) == 0).all()
    drawn = batch[:, 0, 0]
    assert (np.ptp(drawn, axis=0) == 49).all()
    assert np.abs(np.corrcoef(drawn.T) - np.eye(3)).max() < 0.06  # channels are independent


def test_schedules_go_from_the_first_number_to_the_second(stacked):
    gamma = stacked.early((3.0, 1.0), 1000)
    assert [float(gamma(step)) for step in (0, 200, 1000)] == pytest.approx([3, 1, 1])
    assert float(gamma(100)) == pytest.approx(3**0.5)
    optimizer = stacked.optimizer(12, rate=1.0, last=0.1)
    state, moved = (
        stacked.optimizer(1).init({"w": jnp.zeros(1)}),
        [],
    )  # begun for another number of steps, as in `advance`
    for _ in range(13):
        _, state = optimizer.update({"w": jnp.ones(1)}, state)
        moved.append({name: float(state.hyperparams[name]) for name in ("learning_rate", "b2")})
    rates, memories = ([step[name] for step in moved] for name in ("learning_rate", "b2"))
    assert rates[:9] == pytest.approx([1] * 9)  # a cosine from step 8 to 12
    assert (rates[10], rates[12]) == (pytest.approx(0.55), pytest.approx(0.1))
    assert (memories[0], memories[3]) == (pytest.approx(0.9), pytest.approx(0.99))


@pytest.mark.slow
def test_a_program_makes_as_many_steps_as_it_is_told(stacked):
    """And a loop of them is the same as one by one, up to rounding."""
    images = jnp.asarray(np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8))
    gan = stacked.pair(4, 1)
    state, key = gan.init(jax.random.key(0)), jax.random.key(1)
    ends = []
    for loop in (True, False):
        program = jax.jit(lambda *a, loop=loop: stacked.advance(gan, 1e-3, 0.1, 4, loop, *a))
        now = state
        for count in [3] if loop else [1] * 3:
            now, metrics = program(now, images, key, jnp.float32(10), jnp.int32(count))
        ends.append(now)
        assert now.step == 3
        assert np.isfinite(list(metrics.values())).all()
    for one, other in zip(*(jax.tree.leaves(end.params) for end in ends), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), ends[0].average[0], state.params.generator)
    assert max(jax.tree.leaves(moved)) > 0


@pytest.mark.slow
def test_it_prints_what_it_measured_and_writes_weights(benchmark, tmp_path, stacked):
    out = tmp_path / "w{}.safetensors"
    status, printed, _ = benchmark(
        f"stacked.py --steps 2 --seed 4 5 --batch 4 --width 4 --blocks 1 --samples 100 --weights {out}"
    )
    lines = [json.loads(line) for line in printed.splitlines()]
    assert status == 0
    assert [line["seed"] for line in lines] == [4, 5]
    for line in lines:
        assert line["final"]
        assert (line["steps"], line["n"], line["distance_n"]) == (2, 100, 100)
        assert 0 < line["floor"] < line["floor_real"] * 1.05
        assert len(line["distance"]) == 3
        assert not line["diverged"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w4.safetensors", "w5.safetensors"]
    notes = header(tmp_path / "w4.safetensors")
    assert notes["command"].startswith("python benchmarks/stacked.py --seed 4 --steps 2")
    gan = stacked.pair(4, 1)
    state = gan.init(jax.random.key(0))
    state = state._replace(average=restore(tmp_path / "w4.safetensors", state.average))
    samples = stacked.draw(gan, state, jax.random.fold_in(jax.random.key(4), 2), 100)
    assert stacked.score(samples)["modes"] == lines[0]["modes"]
    # What it wrote, it scores again: as it is, and in eight bits.
    same = stacked.scored(tmp_path / "w4.safetensors", 100, seed=4)
    names = ("n", "modes", "reverse_kl", "sure", "floor", "distance")
    assert {name: same[name] for name in names} == {name: lines[0][name] for name in names}
    small = tmp_path / "small.safetensors"
    options = f"--score {tmp_path / 'w4.safetensors'} --pack {small} --seed 4 --samples 100"
    status, printed, _ = benchmark(f"stacked.py {options}")
    assert status == 0
    packed = json.loads(printed)
    assert (packed["file"], packed["n"], packed["seed"]) == ("small.safetensors", 100, 4)
    assert packed["distance"] == pytest.approx(lines[0]["distance"], rel=0.1)
    assert header(small)["command"] == notes["command"]
    assert json.loads(header(small)["packed"]) == packed


def test_weights_that_were_not_trained_here_are_refused(stacked):
    with pytest.raises(ValueError, match=r"small-dcgan\.safetensors does not say that it was trained here"):
        stacked.load(ROOT / "data" / "small-dcgan.safetensors")


@pytest.mark.slow
def test_the_weights_that_ship_draw_a_thousand_modes_and_say_where_they_come_from(stacked):
    path = data.weights("stacked-mnist.safetensors", "")
    assert path == ROOT / "data" / "stacked-mnist.safetensors"
    assert path.stat().st_size <= 2_600_000
    notes = header(path)
    assert notes["command"].startswith("python benchmarks/stacked.py --seed 0 --seconds")
    assert {"device", "dtype", "seconds", "steps", "reverse_kl", "floor", "sure", "distance", "packed"} <= notes.keys()
    again = stacked.scored(path, 2000)
    assert again["modes"] >= 830  # measured: 856; 2,000 faultless samples find 865 on average
    assert again["reverse_kl"] < again["floor_real"] + 0.03
    assert again["sure"] == pytest.approx(float(notes["sure"]), abs=0.03)


@pytest.mark.slow
def test_a_training_that_diverges_ends_at_its_last_finite_state(stacked):
    images = jnp.zeros((8, 28, 28), jnp.uint8)
    trainer = stacked.Trainer(stacked.pair(4, 1), images, batch=2, rate=1e30)
    state, facts = trainer.train(0, steps=20)
    assert facts["diverged"]
    assert facts["steps"] < 20
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("", "give --seconds or --steps"),
        ("--score x.safetensors --steps 5", "give --seconds or --steps, or --score"),
        ("--steps 5 --pack y.safetensors", "give --seconds or --steps, or --score"),
        ("--score nowhere.safetensors", "--score: No such file"),
        ("--seconds 0", "must be above 0; got 0"),
        ("--steps 5 --width 30", "multiple of 4; got 30"),
        ("--steps 5 --weights nowhere/x{}.safetensors", "there is no folder nowhere"),
        ("--steps 5 --seed 0 1 --weights x.safetensors", "must have {} for the seed"),
    ],
)
def test_bad_arguments_are_explained(args, words, benchmark):
    status, _, complaint = benchmark(f"stacked.py {args}")
    assert status == 2
    assert words in complaint
