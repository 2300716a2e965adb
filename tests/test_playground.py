"""The playground is GAN.step with knobs: what it trains, draws, refuses and shows, and that it leaves the kernel free."""

import ast
import asyncio
import builtins
import io
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gan_lib import live, playground, plots, situations
from gan_lib.live import PATIENCE, Player
from gan_lib.losses import LOSSES
from gan_lib.playground import LIMIT, Playground
from gan_lib.situations import SITUATIONS, START
from gan_lib.training import fit

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = (ROOT / "gan_lib" / "playground.js").read_text(encoding="utf-8")


def small(**settings):
    return Playground(**{"size": 16, **settings})


def apart(a, b):
    return max(float(jnp.abs(x - y).max()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_its_steps_are_those_of_gan_step():
    game = small(gamma=0.5, d_steps=2, momentum=0.9, seed=4)
    state, gan = game.state, game.gan
    for _ in range(10):
        batch_key, step_key = jax.random.split(jax.random.fold_in(game.key, state.step))
        chosen = jax.random.randint(batch_key, (playground.BATCH,), 0, playground.POINTS)
        state, metrics = gan.step(state, game.points[chosen], step_key)
    game.run(9)
    last = game.run(1)
    assert apart(state.params, game.state.params) < 1e-6
    assert {name: pytest.approx(float(value), abs=1e-5) for name, value in metrics.items()} == last


def test_its_training_is_that_of_fit():
    game = small(data="moons", seed=1)
    state, _ = fit(game.gan, game.state, game.points, steps=20, key=game.key, progress=False)
    game.run(20)
    assert apart(state.params, game.state.params) < 1e-6


def test_no_knob_and_no_data_compile_anew():
    game = small()
    game.run(1)
    programs = playground._advance._cache_size(), playground._look._cache_size()
    game.view()
    for change in (
        dict(g_rate=0.01),
        dict(d_rate=0.0, gamma=3.0),
        dict(momentum=0.0, d_steps=5),
        dict(data="spiral"),
        dict(seed=9),
    ):
        game.set(**change)
        game.run(game.settings["speed"] + 3)
    game.draw([[0.5, 0.5]])
    game.run(2)
    game.view()
    assert playground._advance._cache_size() == programs[0]
    assert playground._look._cache_size() <= programs[1] + 1


def test_the_generator_waits_for_its_turn():
    game, moved = small(d_steps=3), []
    for _ in range(6):
        before = game.state.params
        game.run(1)
        moved.append([apart(old, new) > 0 for old, new in zip(before, game.state.params, strict=True)])
    assert [g for g, _ in moved] == [False, False, True] * 2
    assert all(d for _, d in moved)


def test_a_rate_of_0_stands_still_and_a_larger_one_goes_farther():
    ways = []
    for rate in (0.0, 1e-3, 1e-2):
        game = small(g_rate=rate)
        before = game.state.params.generator
        game.run(1)
        ways.append(apart(before, game.state.params.generator))
    assert ways[0] == 0
    assert ways[2] == pytest.approx(10 * ways[1], rel=1e-3)  # Adam's first step is as long as its rate


def test_what_is_drawn_is_what_is_learnt():
    game = small(g_rate=1e-2, d_rate=1e-2, gamma=0.3, momentum=0.0)
    game.draw([[1.0, -0.9], [1.1, -0.9]])
    assert game.settings["data"] == "own"
    game.run(500)
    assert np.abs(game.view().fake.mean(axis=0) - [1.05, -0.9]).max() < 0.3
    assert np.abs(np.asarray(game.points).mean(axis=0) - [1.05, -0.9]).max() < 0.02


@pytest.mark.parametrize("text", ["0, 0\n2,2\n4 , 4", "x;y\n0;0\n2;2\n4;4\n", "0 0\n\n2\t2\n4 4"])
def test_pasted_points_fit_the_square(text):
    game = small()
    game.paste(text)
    assert np.allclose(game.mixture.means, [[-1.3, -1.3], [0, 0], [1.3, 1.3]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2\n3", "Line 2 is '3'"),
        ("a,b", "no points"),
        ("", "no points"),
        ("1,2\n1,inf", "Line 2"),
        ("1,2\n1,2,3", "Line 2"),
    ],
)
def test_what_cannot_be_pasted_is_refused_with_its_line(text, words):
    game = small()
    with pytest.raises(ValueError, match=words):
        game.paste(text)
    assert game.settings["data"] == "ring"


def test_many_pasted_points_are_thinned_over_all_lines():
    game = small()
    game.paste("\n".join(f"{n},{n % 7}" for n in range(5000)))
    assert len(game.mixture.means) == playground.OWN
    assert float(game.mixture.means[-1, 0]) == pytest.approx(1.3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(g_rate=-1), "g_rate is -1; expected a number from 0 to 0.1"),
        (dict(d_steps=1.5), "expected a whole number from 1 to 20"),
        (dict(gamma=float("nan")), "gamma is nan"),
        (dict(gamma="1"), "gamma is '1'"),
        (dict(seed=True), "seed is True"),
        (dict(loss="mse"), "loss is 'mse'; there are minimax"),
        (dict(size=17), "there are 16, 64, 128"),
        (dict(data=["ring"]), "there are cluster, ring"),
        (dict(rate=1), "There is no setting 'rate'; there are data"),
    ],
)
def test_what_cannot_be_set_is_refused_and_nothing_changes(settings, words):
    game = small()
    with pytest.raises(ValueError, match=re.escape(words)):
        game.set(momentum=0.1, **settings)
    assert game.settings == {**START, "size": 16}


@pytest.mark.parametrize("points", [[], [[1, 2, 3]], [[0, 2]], [[0, float("nan")]], np.zeros((401, 2))])
def test_what_cannot_be_drawn_is_refused(points):
    with pytest.raises(ValueError):
        small().draw(points)


def test_a_seed_is_a_whole_training():
    a, b, c = small(seed=3), small(seed=3), small(seed=4)
    for game in (a, b, c):
        game.run(5)
    assert apart(a.state.params, b.state.params) == 0
    assert apart(a.state.params, c.state.params) > 0
    c.set(seed=3)
    assert int(c.state.step) == 0
    c.run(5)
    assert apart(a.state.params, c.state.params) == 0


def test_a_view_is_the_four_layers():
    game = small()
    game.run(50)
    view, gan = game.view(), game.gan
    judge = lambda x: jax.nn.sigmoid(gan.logits(game.state, jnp.array([x])))[0]
    assert view.surface[0, -1] == pytest.approx(255 * float(judge([LIMIT, -LIMIT])), abs=1)
    assert view.surface[-1, 0] == pytest.approx(255 * float(judge([-LIMIT, LIMIT])), abs=1)
    assert view.fake == pytest.approx(np.asarray(gan.generate(game.state, game.z))[:300], abs=1e-5)
    of_one = jax.grad(lambda x: jax.nn.softplus(-gan.logits(game.state, x[None])[0]))
    assert view.push[7] == pytest.approx(-np.asarray(of_one(view.fake[7])), abs=1e-5)


def test_a_film_is_small_and_leaves_the_game_where_it_is():
    game = small()
    game.run(3)
    film = game.film(steps=60)
    assert int(game.state.step) == 3
    assert len(film.png) < 50_000
    assert Image.open(io.BytesIO(film.png)).n_frames == 11  # the file's own picture, and ten of the film


# --- live ------------------------------------------------------------------------------------------------------------


class Told(list):
    """What a player sends."""

    def __call__(self, content, buffers):
        self.append((content, buffers))

    def kinds(self):
        return [content["kind"] for content, _ in self]

    def steps(self):
        return [content["step"] for content, _ in list(self) if content["kind"] == "view"]

    def said(self):
        return [content["said"] for content, _ in list(self) if content["kind"] == "state" and content["said"]]


def wait(look, seconds=60):
    until = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_player_plays_pauses_and_steps():
    told, game = Told(), small()
    player = Player(game, told)
    player.ask({"do": "hello"})
    wait(lambda: "view" in told.kinds())
    assert told.kinds() == ["hello", "state", "settings", "data", "view"]
    sizes = [len(part) for part in told[-1][1]]
    assert sizes == [playground.SIDE**2, 300 * 2 * 4, 60 * 2 * 4]
    player.ask({"do": "play"})
    wait(lambda: len(told.steps()) > 4)
    assert {b - a for a, b in pairwise(told.steps()[2:])} == {game.settings["speed"]}
    player.ask({"do": "set", "settings": {"g_rate": 0.02}})
    wait(lambda: game.settings["g_rate"] == 0.02)
    player.ask({"do": "pause"})
    wait(lambda: told[-1][0]["kind"] == "view" and not player.playing)
    time.sleep(0.2)
    at = told.steps()[-1]
    player.ask({"do": "step"})
    wait(lambda: told.steps()[-1] == at + 1)
    time.sleep(0.2)
    assert told.steps()[-1] == at + 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"do": "set", "settings": {"g_rate": None}}, "g_rate is None"),
        ({"do": "draw", "points": "abc"}, "points"),
        ({"do": "paste", "text": "1"}, "no points"),
        ({"do": "situation", "name": "luck"}, "no situation 'luck'"),
    ],
)
def test_a_player_answers_in_words_and_lives_on(command, words):
    told = Told()
    player = Player(small(), told)
    player.ask(command)
    wait(told.said)
    assert words in told.said()[0]
    player.ask({"do": "step"})
    wait(lambda: told.steps() and told.steps()[-1] == 1)


def test_a_player_says_when_numbers_overflow():
    told, game = Told(), small()
    game.state = jax.tree.map(lambda x: x * jnp.nan if x.dtype == jnp.float32 else x, game.state)
    player = Player(game, told)
    player.ask({"do": "play"})
    wait(told.said)
    assert "not finite" in told.said()[0]
    assert not player.playing


def test_a_browser_that_is_gone_stops_it_and_a_busy_kernel_does_not(monkeypatch):
    monkeypatch.setattr(live, "PULSE", 0.02)
    told, loop = Told(), asyncio.new_event_loop()
    player = Player(small(), told, loop)
    player.ask({"do": "play"})
    wait(lambda: len(told.steps()) > 3 * PATIENCE)  # the loop does not run: a cell is busy, for so many pulses at least
    assert player.playing
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    for _ in range(3 * PATIENCE):  # somebody looks
        player.ask({"do": "alive"})
        time.sleep(live.PULSE)
    assert player.playing
    wait(lambda: not player.playing)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


LIVE = """
import asyncio, time
from gan_lib.live import Player, _pause_with_cells
from gan_lib.playground import Playground
game, told = Playground(size=16), []
game.run(1), game.view()
player = Player(game, lambda content, buffers: told.append(content), asyncio.get_running_loop())
_pause_with_cells(player)
player.ask({"do": "play"})
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_kernel_stays_free_and_an_interrupt_pauses(kernel, tmp_path):
    manager, client = kernel(tmp_path)

    def ask(code, expression, after=0.0):
        if after:  # not by the manager, who leaves an event loop open in each thread that asks it
            threading.Timer(after, os.kill, (pid, signal.SIGINT)).start()
        reply = client.execute_interactive(code, user_expressions={"it": expression}, timeout=120, output_hook=print)
        reply = reply["content"]
        return (
            ast.literal_eval(reply["user_expressions"]["it"]["data"]["text/plain"])
            if reply["status"] == "ok"
            else reply["ename"]
        )

    pid = ask(LIVE, "__import__('os').getpid()")
    n = ask("time.sleep(0.5)", "int(game.state.step)")
    assert ask("time.sleep(1)", "int(game.state.step)") > n > 1  # while another cell runs
    assert ask("time.sleep(30)", "1", after=1.0) == "KeyboardInterrupt"
    assert ask("time.sleep(0.5)", "(player.playing, told[-1]['kind'])") == (False, "view")
    assert ask("player.ask({'do': 'play'})", "player.playing or time.sleep(0.5) or player.playing")
    time.sleep(3)  # no cell runs
    manager.interrupt_kernel()
    time.sleep(0.5)
    assert not ask("", "player.playing")


def test_without_anywidget_the_film_is_there_and_what_to_install(monkeypatch, capsys):
    found, real = [], builtins.__import__

    def without(name, *args, **kwargs):
        if name == "anywidget":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("IPython.display.display", found.append)
    monkeypatch.setattr(Playground, "film", lambda self: "film")
    small()._ipython_display_()
    assert found == ["film"]
    assert 'pip install "anywidget' in capsys.readouterr().out


# --- the browser's half, and what it says ------------------------------------------------------------------------------


def test_the_script_is_alone():
    assert not re.search(r"\bimport\b\s*[({\"'*\w]|\beval\b|new Function|https?:|fetch\(|XMLHttp", SCRIPT)
    assert "export default { render }" in SCRIPT


def test_the_script_and_the_library_agree():
    assert float(re.search(r"const LIMIT = ([\d.]+)", SCRIPT)[1]) == LIMIT
    for name in ("REAL", "FAKE", "JUDGE"):
        assert re.search(rf'\b{name} = "(#\w+)"', SCRIPT)[1] == getattr(plots, name)
    shades = [list(map(int, three)) for three in re.findall(r"\[(\d+), (\d+), (\d+)\]", SCRIPT)]
    assert np.allclose(shades, 255 * np.array([plots.SURFACE(x)[:3] for x in np.linspace(0, 1, 5)]), atol=1)
    knobs = re.findall(r"^  (\w+): \[", re.search(r"const KNOBS = \{(.+?)\n\};", SCRIPT, re.DOTALL)[1], re.MULTILINE)
    assert {*knobs, "seed"} == set(situations.RANGES)
    listed = re.search(r"const LISTS = \{(.+?)\}", SCRIPT)[1]
    assert set(re.findall(r"(\w+):", listed)) == set(situations.CHOICES)


RUN = """
import { readFileSync } from "node:fs";
import { begin, step } from "./playground.mjs";
const cases = JSON.parse(readFileSync(0));
console.log(JSON.stringify(cases.map(({ g, d, batches, latents, settings }) => {
  const net = (layers) => layers.map(({ W, b, ins, outs }) => ({ W: Float64Array.from(W), b: Float64Array.from(b), ins, outs }));
  const state = begin(net(g), net(d));
  const metrics = batches.map((real, n) => step(state, Float64Array.from(real), Float64Array.from(latents[n]), settings));
  return { weights: [state.g, state.d].map((net) => net.map(({ W, b }) => [...W, ...b])).flat(2), metrics };
})));
"""


def as_layer(dense):
    """A layer of Flax as the script has it."""
    ins, outs = dense["kernel"].shape
    return dict(W=np.ravel(dense["kernel"]).tolist(), b=dense["bias"].tolist(), ins=ins, outs=outs)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("node"), reason="no Node here: apt install nodejs")
def test_the_scripts_own_arithmetic_is_gan_step(tmp_path):
    """Ten steps of each loss, with R1 and several steps of D, from the same weights on the same batches and latents."""
    cases, wanted, measured = [], [], []
    double_precision = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with double_precision(True):  # Adam divides by a gradient's size: what float32 rounds, it makes as large as a step
        for number, loss in enumerate(LOSSES):
            odd = number % 2
            game = small(loss=loss, gamma=0.7 * odd, d_steps=1 + number % 3, momentum=0.5 + 0.4 * odd, seed=number)
            step, points = jax.jit(game.gan.step), np.float64(game.points)
            double = lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x
            state, batches, latents = jax.tree.map(double, game.state), [], []
            nets = [[as_layer(net["layers"]["layers"][n]) for n in (0, 2, 4)] for net in state.params]
            for n in range(10):
                batches.append(points[128 * n : 128 * (n + 1)])
                key = jax.random.key(n)
                latents.append(np.float64(jax.random.normal(jax.random.split(key)[0], (128, 2), jnp.float32)))
                state, metrics = step(state, jnp.asarray(batches[-1]), key)
                measured.append({name: float(value) for name, value in metrics.items()})
            flat = lambda arrays: [array.ravel().tolist() for array in arrays]
            settings = game.settings
            cases.append(dict(g=nets[0], d=nets[1], batches=flat(batches), latents=flat(latents), settings=settings))
            nets = [[as_layer(net["layers"]["layers"][n]) for n in (0, 2, 4)] for net in state.params]
            wanted.append(np.concatenate([[*layer["W"], *layer["b"]] for net in nets for layer in net]))
    (tmp_path / "playground.mjs").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "run.mjs").write_text(RUN, encoding="utf-8")
    done = subprocess.run(
        ["node", "run.mjs"], cwd=tmp_path, input=json.dumps(cases), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    for loss, one, weights in zip(LOSSES, found, wanted, strict=True):
        assert np.abs(np.array(one["weights"]) - weights).max() < 1e-5, loss
    for mine, its in zip([m for one in found for m in one["metrics"]], measured, strict=True):
        assert mine == {name: pytest.approx(its[name], abs=1e-5) for name in mine}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_situation_names_a_section_that_is_there(name):
    about = SITUATIONS[name]
    number, heading = about.section.split(" · ")
    (twin,) = (ROOT / "notebooks" / "source").glob(f"{number}_*.md")
    assert re.search(rf"^##+ {re.escape(heading)}$", twin.read_text(encoding="utf-8"), re.MULTILINE)
    assert about.question.endswith("?")
    assert Playground(name).settings == {**START, **about.settings}


SEEN = {  # after the steps of its film, seed 0; seeds 0 and 1 were looked at
    "friction": lambda view, off: off < 0.25,
    "a ring": lambda view, off: view.numbers["found"] >= 0.85,
    "a slow D": lambda view, off: view.numbers["found"] <= 0.4,
    "a frozen D": lambda view, off: off > 5 and view.numbers["d_fake"] > 0.95,
    "D ahead, saturating": lambda view, off: view.numbers["d_fake"] < 0.15,
    "D ahead, non-saturating": lambda view, off: view.numbers["d_fake"] < 0.35,
    "R1 cures it": lambda view, off: abs(view.numbers["d_fake"] - 0.5) < 0.1 and view.numbers["found"] >= 0.6,
    "a critic without a leash": lambda view, off: view.numbers["found"] <= 0.5,
    "a small network": lambda view, off: view.numbers["found"] <= 0.6,
    "a rush": lambda view, off: view.numbers["found"] <= 0.4,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SEEN)
def test_a_situation_shows_what_it_asks_about(name):
    game = Playground(name)
    game.run(SITUATIONS[name].steps)
    view = game.view()
    off = np.linalg.norm(view.fake.mean(axis=0) - np.asarray(game.mixture.means).mean(axis=0))
    assert SEEN[name](view, off), (view.numbers, off)
