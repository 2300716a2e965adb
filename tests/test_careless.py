"""Careless readers, in a real kernel: cells run twice, out of order or cut short, exercises filled with nonsense.

Run All still ends, and says what is wrong. Training and judging are faked: but for the training that is interrupted, steps
are traced, not made, and of many images, a few are looked at.
"""

import ast
import os
import random
import re
import time
from collections import namedtuple
from pathlib import Path

import nbformat
import pytest

from gan_lib import exercises

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")]

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LONGEST = 10.0  # seconds that an exercise may keep a reader waiting, whatever is typed into it

# What the kernel runs before the notebook. `fit` is the real one: callbacks, bar, history and interrupts are as ever.
HASTE = """
import functools, sys, threading, time
sys.path.insert(0, "..")
import jax, jax.numpy as jnp, numpy
from gan_lib import exercises, features, metrics, training

class Haste:
    slow, chunks, run = False, 0, staticmethod(training._run)

    def __call__(self, model, state, data, key, *, batch_size, length, mesh=None):
        self.chunks += 1
        settings, done = dict(batch_size=batch_size, length=1), int(state.step) + length
        if self.slow:
            if state.step == 0:
                print("training", flush=True)
            time.sleep(0.1)  # so that it lasts until the button is pressed
            jax.config.update("jax_disable_most_optimizations", True)  # a step takes longer to compile than to run
            try:
                state, metrics, failed = self.run(model, state, data, key, **settings)
            finally:
                jax.config.update("jax_disable_most_optimizations", False)
            metrics = {name: values.repeat(length) for name, values in metrics.items()}
        else:  # compiled or not, a step that can be traced says that all shapes fit
            names = training._names(model, state, data, key, **settings)
            failed, metrics = None, {name: numpy.full(length, 0.5, numpy.float32) for name in names}
        metrics["step"] = numpy.arange(done - length, done) + 1
        return state._replace(step=jnp.int32(done)), metrics, failed

def infinite(name):
    \"\"\"The reference's answers with infinity for every number in them, or just infinity.\"\"\"
    number = lambda x: isinstance(x, jax.Array | numpy.ndarray | numpy.generic | float | int)
    spoil = lambda x: jnp.full(jnp.shape(x), jnp.inf) if number(x) else jnp.inf
    return lambda *args, **kwargs: jax.tree.map(spoil, exercises._find(name).reference(*args, **kwargs))

training._run = haste = Haste()
training.chunk_for = lambda state: 50 if haste.slow else 200
features._run = lambda params, images, see=features._run: features.Features(
    *(numpy.resize(found, (len(images), *found.shape[1:])) for found in see(params, images[:250]))
)
metrics.kernel_distance = functools.partial(metrics.kernel_distance, subsets=5)
metrics.memorisation = lambda train, *rest, run=metrics.memorisation, **kwargs: run(train[::10], *rest, **kwargs)
"""

# What takes long without `fit`, and what does instead.
SHORTER = {
    "for seed in range(6):": "for seed in range(2):",
    "(300, 3000, 30000)": "(300, 600, 900)",
    "repeats=50": "repeats=5",
    "jax.random.key(5), 3000)": "jax.random.key(5), 300)",
    "loss=less_gap, steps=1000": "loss=less_gap, steps=100",
    "{10: 3000, 1: 1000}": "{10: 100, 1: 100}",
    "n, rng = 2000,": "n, rng = 500,",
    "x[::401]": "x[:5]",
    "keys = jax.random.split(key, 1000)": "keys = jax.random.split(key, 50)",
    'Playground("a slow D")': 'Playground("a slow D").film(steps=20, frames=2)',
    'Playground("circling")': 'Playground("circling").film(steps=20, frames=2)',
    "steps=2000, batch=few": "steps=20, batch=few",
    "jax.jit(jax.jacfwd(field))(params)": "np.diag(field(params)[:9])",
    "np.linspace(0, last, 20, dtype=int)": "np.linspace(0, last, 3, dtype=int)",
    "range(0, 900, 100)": "range(0, 900, 400)",
    "(32, 7, 7, 128)": "(2, 7, 7, 128)",
    "(32, 14, 14, 64)": "(2, 14, 14, 64)",
    "states[1:]": "states[1::4]",
    "budget(cpu=1000, gpu=2000)": "20",
    "long = budget(cpu=100, gpu=200)": "long = 3",
    "jnp.asarray(data.mnist()[0])": "jnp.asarray(data.mnist()[0][:6000])",
    "admit(range(10))": "admit(range(2))",
    "outcome, seeds = {}, range(10)": "outcome, seeds = {}, range(2)",
    "steps=1500, **more)": "steps=500, **more)",
    "on_digits(seed, **case) for seed in range(3)": "on_digits(seed, **case) for seed in range(1)",
    "jax.random.key(1), 1500)": "jax.random.key(1), 150)",
    "BATCH, STEPS, GAMMA = 64, 6000, 0.02": "BATCH, STEPS, GAMMA = 64, 20, 0.02",
    "climb(dense, 3000, ": "climb(dense, 20, ",
    "READ = 2000": "READ = 200",
    "EXTRA, SEEDS, COUNTS = 200, 10,": "EXTRA, SEEDS, COUNTS = 200, 2,",
    "long = budget(cpu=60, gpu=120)": "long = 3",
    "long = jnp.array(COUNTS), budget(cpu=1200, gpu=2400)": "long = jnp.array(COUNTS), 3",
    "long = budget(cpu=600, gpu=1800)": "long = 3",
    "few_fakes, arm, 600)": "few_fakes, arm, 5)",
    "state, key, steps=60)": "state, key, steps=3)",
    "steps=60, nap=0.0": "steps=20, nap=0.0",
    "options = dict(steps=60,": "options = dict(steps=10,",
}

# {kind: (what stands for the `...` of the stub, what the card has to say)}
NONSENSE = {
    "returns None": ("return None", "returns nothing"),
    "raises": ('raise ValueError("on purpose")', r"Your code raises ValueError: on purpose\n  line \d+:  raise Value"),
    "wrong shape": (
        "import numpy; return numpy.ones((3, 1, 7), numpy.float32)",
        r"shape \(3, 1, 7\)|Return (two|keys)",
    ),
    "wrong type": ('return "abc"', r"\('abc'\)|Return (two|keys)|You return σ alone"),
    "infinite": (
        "return infinite(NAME)(**locals())",
        "not finite|is inf|is a number, expected|(holds|are) float|Return keys",
    ),
    "half typed": ("rate = 1", "returns nothing"),
    "endless": ("while True: pass", r"Stopped after 0\.2 s: does a loop never end\?\n  line \d+:  while True: pass"),
}

Ran = namedtuple("Ran", "text error seconds asked")


@pytest.fixture
def run(kernel):
    """run(code, ask={name: expression}, press=False) -> Ran: what the cell printed, its error or None, …

    press: press the stop button a moment after training has begun.
    """
    manager, client = kernel(NOTEBOOKS)

    def execute(code, ask=(), press=False):
        printed = []

        def note(message):
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
                if press and "training\n" in content["text"]:
                    time.sleep(0.2)
                    manager.interrupt_kernel()
            elif message["msg_type"] in ("display_data", "execute_result"):
                printed.append(content["data"].get("text/plain", "") + "\n")

        start = time.perf_counter()
        reply = client.execute_interactive(code, output_hook=note, user_expressions=dict(ask), timeout=120)["content"]
        seconds = time.perf_counter() - start
        error = None if reply["status"] == "ok" else f"{reply['ename']}: {reply['evalue']}"
        asked = {
            name: ast.literal_eval(a["data"]["text/plain"]) for name, a in reply.get("user_expressions", {}).items()
        }
        return Ran("".join(printed), error, seconds, asked)

    assert execute(HASTE).error is None
    return execute


def shorter(source):
    for long, short in SHORTER.items():
        source = source.replace(long, short)
    return source


def cells(name):
    """{number: source} of the code cells, made shorter."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    return dict(enumerate((shorter(cell.source) for cell in notebook.cells if cell.cell_type == "code"), start=1))


def listing():
    """The files beside the notebooks, but for folders that git ignores: what a notebook builds goes to build/."""
    ignored = {"build", ".ipynb_checkpoints", "__pycache__"}
    return {path for path in NOTEBOOKS.rglob("*") if not ignored & set(path.parts)}


@pytest.mark.parametrize("name", sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")))
def test_a_careless_reader_reaches_the_end(name, run):
    source, before, problems, took = cells(name), listing(), [], {}

    def check(number, how, ran, fine=None):
        took[number] = ran.seconds
        if ran.error if fine is None else not fine:
            problems.append(f"[{number}] {how}: {ran.error or ran.text or 'no output'}")

    trains = None  # the first cell that does
    for number, code in source.items():
        found = re.search(r'@exercise\("(.+?)"\)', code)
        if found:
            for how, ran, fine in nonsense(run, code, found[1]):
                check(number, f"{found[1]} {how}", ran, fine)
        for how in ("first", "again"):
            ran = run(code, ask={"chunks": "haste.chunks"})
            check(number, how, ran)
            trains = trains or (number if ran.asked.get("chunks") else None)
        if found:
            check(number, "an open stub stands for the reference", ran, f"○ {found[1]}" in ran.text)

    quick = [number for number in source if number > 1 and took[number] < 2]
    for number in random.Random(name).sample(quick, 12):  # in any order, all names are there
        check(number, "out of order", run(source[number]))

    if trains:
        run("haste.slow = True")
        ran = run(source[trains], press=True)
        check(trains, "interrupted", ran, ran.error is None and "Interrupted after" in ran.text)
        run("haste.slow = False")
        for number, code in source.items():
            if number > trains:  # on with what training reached
                check(number, f"after an interrupt in [{trains}]", run(code))

    assert not problems, f"{name}\n" + "\n".join(problems)
    assert listing() == before


def test_what_is_made_shorter_is_there():
    code = "\n".join(
        cell.source for path in NOTEBOOKS.glob("*.ipynb") for cell in nbformat.read(path, as_version=4).cells
    )
    assert [long for long in SHORTER if long not in code] == []


def nonsense(run, stub, name):
    """Yields (kind, Ran, whether all is as it should be) for each kind of nonsense in an exercise's cell."""
    ask = {"stands in": f"{exercises._find(name).reference.__name__} is exercises._find({name!r}).reference"}
    ask |= {"threads": "threading.active_count()"}
    threads = run("", ask={"threads": "threading.active_count()"}).asked["threads"]
    for kind, (body, words) in NONSENSE.items():
        run(f"exercises.running.TIME_LIMIT = {0.2 if kind == 'endless' else 9.0}")
        code = re.sub(r"(?m)^( +)\.\.\.$", r"\1" + body.replace("NAME", repr(name)), stub)
        assert code != stub
        ran = run(code, ask=ask)
        said = ran.text.partition(f"✗ {name} · not yet, the reference stands in\n")[2]
        yield (
            kind,
            ran,
            (
                ran.error is None
                and ran.asked["stands in"]
                and ran.asked["threads"] == threads
                and ran.seconds < LONGEST
                and re.search(words, said) is not None
            ),
        )
