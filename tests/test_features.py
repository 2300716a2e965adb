"""The classifiers: what they get right, what they doubt, that their distance sees what it should, what is refused."""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import gan_lib
from gan_lib import data, features, fetch
from gan_lib.device import OLDEST
from gan_lib.features import Features, digit_distance, digit_features, fashion_distance, fashion_features
from gan_lib.metrics import frechet_distance, gaussian

FILES = {kind: fetch.REPOSITORY / features.FILE.format(kind) for kind in features.LOADERS}
RNG = np.random.default_rng(0)
NOISE = RNG.uniform(-1, 1, (300, 28, 28, 1)).astype(np.float32)
fashion = pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="needs Debian's dataset-fashion-mnist"
)


@pytest.fixture(scope="module")
def digits():
    return data.mnist("test")


@pytest.fixture(scope="module")
def seen(digits):
    return digit_features(digits[0])


# The classifiers


@pytest.mark.parametrize("kind", FILES)
def test_weights_are_small_and_say_where_they_come_from(kind):
    assert FILES[kind].stat().st_size <= 300_000
    with safetensors.safe_open(FILES[kind], "numpy") as file:
        facts = file.metadata()
    assert all(np.isfinite(array).all() for array in safetensors.numpy.load(FILES[kind].read_bytes()).values())
    assert facts["command"] == f"python -m gan_lib.features --data {kind} --seed {facts['seed']}"
    assert float(facts["test_accuracy"]) >= {"digit": 0.988, "fashion": 0.89}[kind]


def test_digits_are_recognised(digits, seen):
    """As often as the file and the documentation say."""
    accuracy = (seen.probs.argmax(axis=1) == digits[1]).mean()
    assert accuracy >= 0.988
    with safetensors.safe_open(FILES["digit"], "numpy") as file:
        assert float(file.metadata()["test_accuracy"]) == pytest.approx(accuracy, abs=3e-4)
    stated = float(re.search(r"\(([\d.]+) % right", digit_features.__doc__)[1])
    assert stated == pytest.approx(100 * accuracy, abs=0.1)


@fashion
def test_clothes_are_recognised():
    images, labels = data.fashion_mnist("test")
    accuracy = (fashion_features(images).probs.argmax(axis=1) == labels).mean()
    stated = float(re.search(r"\(([\d.]+) % right", fashion_features.__doc__)[1])
    assert stated == pytest.approx(100 * accuracy, abs=0.1)
    distance = fashion_distance(images, n=500)
    assert repr(distance).startswith("Fréchet distance, fashion features (n = 500): ")
    assert distance.value == pytest.approx(distance.floor, rel=0.25)


def test_shapes_and_types(seen):
    assert (seen.features.shape, seen.probs.shape) == ((10_000, 84), (10_000, 10))
    assert seen.features.dtype == seen.probs.dtype == np.float32
    np.testing.assert_allclose(seen.probs.sum(axis=1), 1, atol=1e-5)


def test_every_feature_says_something(seen):
    spread = seen.features.var(axis=0, dtype=float)
    assert spread.sum() == pytest.approx(100, rel=0.03)  # 100 over the training set
    assert spread.min() > 0.005
    assert spread.max() < 10


def test_it_doubts_what_is_no_digit(digits, seen):
    one_grey = np.linspace(-1, 1, 20, dtype=np.float32)[:, None, None, None] * np.ones((28, 28, 1), np.float32)
    shuffled = RNG.permutation(digits[0][:300].reshape(300, -1), axis=1).reshape(-1, 28, 28, 1)
    for images in (NOISE, np.sign(NOISE), one_grey, shuffled):
        assert digit_features(images).probs.max() < 0.6
    assert seen.probs.max(axis=1).mean() > 0.98


def test_an_image_is_seen_alone(digits, seen):
    """Bitwise the same, however many come with it, and at whichever place among them."""
    equal = elsewhere = np.testing.assert_array_equal
    if jax.__version__ == OLDEST[0]:  # on one core, its products round differently at another place
        elsewhere = partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5)
    for rows in (slice(0, 1), slice(0, 7), slice(0, 400)):
        equal(digit_features(digits[0][rows]).features, seen.features[rows])
    for rows in (slice(3, 10), slice(100, 400)):
        elsewhere(digit_features(digits[0][rows]).features, seen.features[rows])
    assert len(digit_features(digits[0][:251]).probs) == 251


def test_jax_arrays_and_other_floats(digits, seen):
    few = digits[0][:20]
    for images in (jnp.asarray(few), few.astype(np.float64), jnp.asarray(few, jnp.bfloat16), few.astype(np.float16)):
        np.testing.assert_allclose(digit_features(images).features, seen.features[:20], atol=0.15)


def test_images_of_other_libraries_and_orders(digits, seen):
    few = digits[0][:20]

    class Tensor:
        dtype, shape = "torch.float32", few.shape

        def __array__(self, dtype=None):
            return few

    for images in (Tensor(), few.astype(">f4"), np.asfortranarray(few), list(few)):
        np.testing.assert_allclose(digit_features(images).features, seen.features[:20], rtol=1e-5, atol=1e-5)


# The distance


@pytest.mark.slow
def test_the_reference_is_the_training_set():
    sample = data.mnist("train")[0]
    stored = features._load("digit")[1]
    np.testing.assert_allclose(stored.root.T @ stored.root, np.cov(stored_features(sample).T), atol=2e-4)
    assert frechet_distance(stored, gaussian(stored_features(sample))) < 1e-5


def stored_features(images):
    return digit_features(images).features.astype(float)


@pytest.mark.slow
def test_distance_and_floor(digits, seen):
    unseen = digit_distance(digits[0])
    assert unseen == (pytest.approx(unseen.floor), 10_000, unseen.floor, "digit")
    assert (
        repr(unseen)
        == str(unseen)
        == (f"Fréchet distance, digit features, n = 10,000: {unseen.value:.2f}; real against real {unseen.floor:.2f}")
    )
    assert "FID" not in repr(unseen)
    floors = [digit_distance(digits[0], n=n).floor for n in (10, 100, 1000)]
    assert floors == sorted(floors, reverse=True)
    assert floors[2] > 2 * unseen.floor
    values = [digit_distance(digits[0], n=500, seed=seed).value for seed in range(10)]
    assert len(set(values)) == 10
    assert np.mean(values) == pytest.approx(digit_distance(digits[0], n=500).floor, rel=0.1)
    whole, again = (digit_distance(digits[0][:500], seed=seed) for seed in (0, 3))  # all 500: nothing to draw
    assert whole == (pytest.approx(again.value), 500, again.floor, "digit")


@pytest.mark.slow
def test_the_distance_sees_what_is_wrong(digits):
    """In multiples of the floor; each is at least half of what was measured when the weights were made."""
    images, labels = digits
    blurred = images
    for axis in (1, 2):
        blurred = (np.roll(blurred, 1, axis) + 2 * blurred + np.roll(blurred, -1, axis)) / 4
    wrong = {
        "noisy": (np.clip(images + 0.3 * RNG.normal(size=images.shape), -1, 1), 80),
        "blurred": (blurred, 80),
        "shifted by one pixel": (np.roll(images, 1, axis=2), 2.5),
        "inverted": (-images, 80),
        "without sevens": (images[labels != 7], 5),
        "threes only": (images[labels == 3], 50),
        "one image": (np.tile(images[:1], (1000, 1, 1, 1)), 100),
        "noise": (NOISE, 50),
    }
    for name, (bad, times) in wrong.items():
        score = digit_distance(bad, n=min(2000, len(bad)))
        assert score.value > times * score.floor, f"{name}: {score}"


def test_one_image_repeated_scores_at_least_a_hundred(digits):
    assert min(digit_distance(np.tile(digits[0][i : i + 1], (20, 1, 1, 1))).value for i in range(5)) >= 100


# What is refused


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (NOISE[0], r"shape \(28, 28, 1\), expected \(N, 28, 28, 1\)"),
        (NOISE[..., 0], r"shape \(300, 28, 28\), expected"),
        (NOISE.reshape(300, 784), r"shape \(300, 784\), expected"),
        (NOISE[:0], r"shape \(0, 28, 28, 1\), expected"),
        (np.zeros((2, 32, 32, 1)), r"shape \(2, 32, 32, 1\), expected .*resize"),
        (
            np.zeros((2, 28, 28, 1), np.uint8),
            r"are uint8, expected floats from -1 to 1: scale bytes with x / 127.5 - 1",
        ),
        (np.zeros((2, 28, 28, 1), bool), r"are bool"),
        ((NOISE + 1) * 127.5, r"run from .* to 255, expected .*scale bytes with x / 127.5 - 1"),
        ((NOISE + 1) / 2, r"run from .* to 1, expected -1 .*scale \[0, 1\] with 2 \* x - 1"),
        (NOISE * 1.5, r"run from -1.5 to 1.5, expected .*tanh, or np.clip\(x, -1, 1\)"),
        (np.where(NOISE > 0.999, np.nan, NOISE), r"not finite"),
        (1e300 * NOISE.astype(np.float64), r"not finite"),
        ((NOISE, np.zeros(300)), r"images is a tuple of 2 parts .* images, labels = mnist"),
        (None, r"images is a NoneType; expected an array"),
        (Features(NOISE, NOISE), r"images is a Features, which holds features, probs"),
        (NOISE.astype(str), r"images is an array of strings"),
        (5, r"shape \(\), expected"),
        ([], r"shape \(0,\), expected"),
    ],
)
def test_images_that_the_classifier_was_not_made_for(images, message):
    for function in (digit_features, digit_distance):
        with pytest.raises(ValueError, match=message):
            function(images)


def test_a_collapsed_generator_is_measured_all_the_same():
    """All ink, all grey, nothing below 0: what a bad generator may draw, not a wrong range."""
    for level in (-1.0, 0.0, 0.5, 1.0):
        assert digit_distance(np.full((5, 28, 28, 1), level)).value > 100


@pytest.mark.parametrize("n", [1, 0, 301, 2.5, "all"])
def test_bad_n(n):
    message = rf"^n is {n!r} for 300 samples, expected a whole number of at least 2, at most that, and at most 10,000"
    with pytest.raises(ValueError, match=message):
        digit_distance(NOISE, n=n)


def test_weights_are_copied_to_the_device_once():
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(features._load("digit")[0]))


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """No weights anywhere, as in an installation without the repository; gives the folder of GAN_COURSE_DATA."""
    features._load.cache_clear()
    monkeypatch.setattr(fetch, "REPOSITORY", tmp_path / "repository")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "chosen"))
    (tmp_path / "chosen").mkdir()
    yield tmp_path / "chosen"
    features._load.cache_clear()


def test_weights_that_are_nowhere(elsewhere):
    with pytest.raises(fetch.DataError) as caught:
        digit_features(NOISE)
    for words in (
        "digit-features.safetensors is in none of these places:",
        str(elsewhere / "digit-features.safetensors"),
        str(fetch.cache_folder() / "digit-features.safetensors"),
        "pip install -e .",
        "set GAN_COURSE_DATA",
        "python -m gan_lib.features --data digit",
    ):
        assert words in str(caught.value)


def test_weights_in_a_chosen_folder(elsewhere):
    shutil.copy(FILES["digit"], elsewhere)
    assert digit_features(NOISE[:3]).features.shape == (3, 84)


def packed(change):
    arrays = safetensors.numpy.load(FILES["digit"].read_bytes())
    change(arrays)
    return safetensors.numpy.save(arrays)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        FILES["digit"].read_bytes()[:1000],
        packed(lambda arrays: arrays.pop("dense.kernel")),
        packed(lambda arrays: arrays.pop("reference.root")),
        packed(lambda arrays: arrays.update({"dense.kernel": arrays["features.kernel"]})),
        packed(lambda arrays: arrays.update(surplus=arrays["dense.bias"])),
    ],
    ids=["empty", "web page", "cut", "no layer", "no reference", "shape", "name"],
)
def test_damaged_weights(elsewhere, content):
    path = elsewhere / "digit-features.safetensors"
    path.write_bytes(content)
    with pytest.raises(fetch.DataError) as caught:
        digit_features(NOISE)
    assert str(caught.value).startswith(f"{path} does not hold the classifier (")
    assert "git checkout data" in str(caught.value)
    assert "python -m gan_lib.features --data digit" in str(caught.value)


# The command


@pytest.mark.slow
def test_the_command_trains_and_stores_a_classifier(elsewhere, digits, monkeypatch, capsys):
    """Shortened: 2,000 images, four passes."""
    few, rest = (tuple(x[part] for x in digits) for part in (slice(5000, 7000), slice(7000, 9000)))
    monkeypatch.setitem(features.LOADERS, "digit", lambda split: few if split == "train" else rest)
    monkeypatch.setattr(sys, "argv", ["features", "--seed", "7"])
    train = features.train
    monkeypatch.setattr(features, "train", lambda *args, **kwargs: train(*args, **kwargs, epochs=4))
    features.main()
    path = fetch.cache_folder() / "digit-features.safetensors"
    assert re.search(
        rf"{re.escape(str(path))}: \d+ kB, right on 9\d\.\d\d% of the test images", capsys.readouterr().out
    )
    with safetensors.safe_open(path, "numpy") as file:
        facts = file.metadata()
    assert facts["command"] == "python -m gan_lib.features --data digit --seed 7"
    seen = digit_features(few[0])
    assert seen.features.var(axis=0, dtype=float).sum() == pytest.approx(100, rel=1e-2)
    accuracy = (digit_features(rest[0]).probs.argmax(axis=1) == rest[1]).mean()
    assert float(facts["test_accuracy"]) == pytest.approx(accuracy, abs=1e-4)
    assert frechet_distance(features._load("digit")[1], seen.features) < 1e-4


@pytest.mark.slow
def test_training_is_repeatable_and_the_seed_counts(digits):
    images, labels = digits[0][:256], digits[1][:256]
    first, again, other = (features.train(images, labels, seed=seed, epochs=2) for seed in (0, 0, 1))
    atol = 0 if jax.default_backend() == "cpu" else 1e-5  # a GPU adds in any order
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0, atol=atol), first, again)
    assert (np.asarray(first["logits"]["kernel"]) != np.asarray(other["logits"]["kernel"])).all()


def test_the_command_explains_itself():
    environment = {**os.environ, "PYTHONPATH": str(Path(gan_lib.__file__).parents[1])}
    command = [sys.executable, "-m", "gan_lib.features", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "--data {digit,fashion}" in done.stdout
    assert "--seed" in done.stdout
