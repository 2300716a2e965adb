"""benchmarks/modes.py: it writes what it scores, refuses what makes no sense, and its best recipe finds the whole grid."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gan_lib.metrics import mode_coverage

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture
def modes(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import modes

    return modes


def test_samples_are_written_and_score_as_reported(tmp_path, modes):
    file = tmp_path / "samples.npy"
    options = ["--mixture", "ring", "--seeds", "2", "--steps", "500", "--samples", str(file)]
    command = [sys.executable, "benchmarks/modes.py", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["recipe"] for line in lines] == ["best"], done.stderr
    assert done.stderr == ""
    samples = np.load(file, allow_pickle=False)
    assert (samples.shape, samples.dtype) == ((2, 2500, 2), np.float32)
    scores = [mode_coverage(points, modes.data.ring()) for points in samples]
    assert lines[0]["modes"] == [score.modes for score in scores]
    np.testing.assert_allclose(lines[0]["high_quality"], [score.high_quality for score in scores], atol=1e-4)
    assert np.abs(samples[0] - samples[1]).max() > 0.1  # two seeds, two GANs
    assert [p.name for p in tmp_path.iterdir()] == ["samples.npy"]
    last = done.stdout.splitlines()[-1].split()
    assert (last[0], last[1]) == ("best", f"{np.mean(lines[0]['modes']):.1f}")


def test_all_recipes_are_tabled_beside_the_published_ones(benchmark):
    status, printed, _ = benchmark("modes.py --mixture grid --seeds 1 --steps 3")
    table = printed.split("\n\n")[1].splitlines()
    assert status == 0
    assert table[0].split()[:2] == ["grid", "modes"]
    assert "24.8 ± 0.2           93.6              0.04" in printed
    assert [line.split()[0] for line in table[-4:]] == ["gan", "wgan_gp", "rpgan", "best"]
    assert "nan" not in printed
    for line in printed.splitlines()[:4]:
        json.loads(line, parse_constant=pytest.fail)  # no Infinity


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--seeds 0", "--seeds must be at least 1; got 0"),
        ("--steps -5", "--steps must be at least 1; got -5"),
        ("--mixture spiral", "invalid choice: 'spiral'"),
        ("--recipe stylegan", "invalid choice: 'stylegan'"),
        ("--samples nowhere/x.npy", "there is no folder nowhere"),
    ],
)
def test_bad_arguments_are_explained(args, words, benchmark):
    status, _, complaint = benchmark(f"modes.py {args}")
    assert status == 2
    assert words in complaint


def test_the_mean_has_a_standard_error_where_it_can(modes):
    assert modes.mean([24, 25, 26], 1) == "25.0 ± 0.6"  # 1 / √3
    assert modes.mean([25], 1) == "25.0"
    assert modes.mean([0.1, np.inf], 3) == "inf"


def test_recipes_differ_where_they_say(modes):
    known = modes.recipes(100)
    gan, _, rpgan, best = known.values()
    for step, gamma in ((0, modes.GAMMA), (100, modes.GAMMA / 10)):
        now = best.penalty.at(step)
        assert (now.r1, now.r2) == (pytest.approx(gamma), pytest.approx(gamma))
    assert replace(best, penalty=rpgan.penalty, optimizer=rpgan.optimizer) == rpgan  # decays alone tell them apart
    assert len({(g.generator, g.discriminator, g.latent_dim, g.averaging) for g in known.values()}) == 1
    assert gan.loss is modes.losses.non_saturating


def test_the_best_recipe_finds_all_25_modes_of_the_grid(modes):
    """On a quarter of its steps. Measured on five seeds: 90 to 96 % good samples, KL up to 0.009."""
    mixture = modes.data.grid()
    (samples,), *_ = modes.run(modes.recipes(10_000)["best"], mixture, 10_000, seeds=1)
    found = mode_coverage(samples, mixture)
    assert found.modes == 25
    assert 0.8 < found.high_quality < 0.9889 + 0.007
    assert found.reverse_kl < 0.1
    spread = [samples[near].std(axis=0).mean() for near in nearest(samples, mixture)]
    assert 0.2 * mixture.std < np.median(spread) < 2 * mixture.std


def nearest(samples, mixture):
    """For each mode, the deviations of the good samples around it."""
    distances = np.linalg.norm(samples[:, None] - np.asarray(mixture.means), axis=-1)
    good = distances.min(axis=1) < 3 * mixture.std
    return [good & (distances.argmin(axis=1) == mode) for mode in range(len(mixture.means))]


def test_seeds_are_reproduced(modes):
    gan = modes.recipes(20)["best"]
    once, again = (modes.run(gan, modes.data.ring(), 20, seeds=2)[0] for _ in range(2))
    np.testing.assert_array_equal(once, again)
