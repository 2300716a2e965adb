"""Exercises: the mechanism on a scratch notebook, then every real exercise against its reference and wrong answers."""

import contextlib
import functools
import importlib.util
import inspect
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import xml.etree.ElementTree
from collections import Counter, namedtuple
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from gan_lib import exercises
from gan_lib.exercises import Mistake, NotYet, check, define, exercise, hint, names, progress, running, same, solution

ROOT = Path(__file__).parents[1]
NAMES = names()

SCRATCH = '''
"""A notebook's exercises, as an author writes them."""
import jax
import jax.numpy as jnp
import numpy as np
from gan_lib.exercises import Mistake, define, same

CALLS = []
HINTS = ("Think of <b>Bayes</b> & `p`.", "Second.", "Third.")


def check_share(fn):
    CALLS.append(fn)
    p, q = jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([0.4, 0.2, 0.1, 0.4])
    same(fn(p, q), p / (p + q), inputs={"p": p, "q": q})


@define("98.share", difficulty=1, minutes=3, check=check_share, hints=HINTS)
def share(p, q):
    """The probability that x is real, <i>given</i> x."""
    return p / (p + q)  # Bayes & nothing else


def check_slope(fn):
    x = jnp.array([1.0, 2.0, 3.0])
    same(jax.jit(jax.grad(fn))(x, key=jax.random.key(0)), 2 * x, inputs={"x": x}, what="gradient")


@define("98.slope", difficulty=2, minutes=5, check=check_slope, hints=HINTS)
@jax.jit
def slope(x, *, key, scale=1.0):
    return scale * (x**2).sum()


def check_doubler(cls):
    same(cls(2.0)(jnp.ones(3)), 2 * jnp.ones(3))


@define("98.doubler", difficulty=3, minutes=8, check=check_doubler, hints=HINTS)
class Doubler:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * x


def check_update(fn):
    params = {"w": np.ones(3), "steps": [1, 2]}
    same(fn(params, np.full(3, 0.5)), {"w": np.full(3, 0.5), "steps": [1, 2]})


@define("98.update", difficulty=1, minutes=2, check=check_update, hints=HINTS)
def update(params, gradient):
    return {**params, "w": params["w"] - gradient}


def check_loose(fn):
    if abs(fn(jnp.ones(2)).mean() - 1) > 1e-3:
        raise AssertionError("not one")


@define("98.loose", difficulty=1, minutes=2, check=check_loose, hints=HINTS)
def loose(x):
    return x


def check_misled(fn):
    if fn(1.0) != 2.0:
        raise Mistake("The sign is lost.")


@define("98.misled", difficulty=1, minutes=2, check=check_misled, hints=HINTS)
def misled(x):
    return 2 * x
'''


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Notebook 98, found like the others; its file lies where installed packages lie, as not the reader's."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "nb98.py").write_text(SCRATCH, encoding="utf-8")
    monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(folder)])
    monkeypatch.setattr(exercises, "_EXERCISES", dict(exercises._EXERCISES))
    monkeypatch.setattr(exercises, "_SESSION", {})
    monkeypatch.setattr(exercises, "_HINTS", Counter())
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    yield sys.modules
    sys.modules.pop("gan_lib.exercises.nb98", None)


def ran(source, name, **scope):
    """What `source` binds to `name`, run as a cell whose source nobody can find."""
    exec(compile(textwrap.dedent(source), "<string>", "exec"), scope)
    return scope[name]


def right(p, q):
    return p / (p + q)


def swapped(p, q):
    return q / (p + q)


# --- states -----------------------------------------------------------------------------------------------------------

STUBS = {
    "ellipsis": "def f(p, q):\n    ...",
    "documented": 'def f(p, q):\n    """D*(x)."""\n    ...',
    "pass": "def f(p, q):\n    pass",
    "pass after words": 'def f(p, q):\n    """D*(x)."""\n    pass',
    "words only": 'def f(p, q):\n    """D*(x)."""',
    "one line": "def f(p, q): ...",
    "comment": "def f(p, q):\n    # your code\n    ...",
    "defaults": "def f(p, q=3, *, r=None):\n    ...",
    "jitted": "import jax\n@jax.jit\ndef f(p, q):\n    ...",
    "partial": "import functools\ndef g(p, q, r): ...\nf = functools.partial(g, r=1)",
    "empty class": "class f:\n    ...",
}
FILLED = {
    "constant": "def f(p, q):\n    return 0",
    "false": "def f(p, q):\n    return False",
    "assigned": "def f(p, q):\n    x = 3",
    "expression": "def f(p, q):\n    p / q",
    "ellipsis left": "def f(p, q):\n    ...\n    return p / (p + q)",
    "lambda": "f = lambda p, q: None",
    "raises": "def f(p, q):\n    raise NotImplementedError",
    "class": "class f:\n    def __init__(self, x):\n        self.x = x\n    def __call__(self, x):\n        return x",
}


def from_file(source, name, folder):
    file = folder / "reader.py"
    file.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("reader", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


@pytest.mark.parametrize("has_source", [True, False], ids=["source", "no source"])
@pytest.mark.parametrize("kind", STUBS)
def test_a_stub_is_open(course, tmp_path, kind, has_source):
    fn = from_file(STUBS[kind], "f", tmp_path) if has_source else ran(STUBS[kind], "f")
    result = check("98.share", fn)
    assert (result.state, result.passed) == ("open", False)


@pytest.mark.parametrize("has_source", [True, False], ids=["source", "no source"])
@pytest.mark.parametrize("kind", FILLED)
def test_a_filled_stub_is_not_open(course, tmp_path, kind, has_source):
    fn = from_file(FILLED[kind], "f", tmp_path) if has_source else ran(FILLED[kind], "f")
    assert check("98.share", fn).state != "open"


@pytest.mark.parametrize("body", ["return", "return None"])
def test_returning_none_on_purpose_is_wrong_rather_than_open(course, tmp_path, body):
    result = check("98.share", from_file(f"def f(p, q):\n    {body}", "f", tmp_path))
    assert result.state == "wrong"
    assert "is a `return` missing?" in result.message


def test_a_source_that_is_not_the_one_that_ran_is_not_believed(course, tmp_path):
    fn = from_file("def f(p, q):\n    return p / (p + q)", "f", tmp_path)
    (tmp_path / "reader.py").write_text("def other():\n    ...", encoding="utf-8")
    assert check("98.share", fn).passed


def test_the_reference_stands_in_until_the_reader_is_right(course, capsys):
    def stub(p, q): ...

    assert exercise("98.share")(stub) is course["gan_lib.exercises.nb98"].share
    assert capsys.readouterr().out == "○ 98.share · open, the reference stands in\n"
    assert exercise("98.share")(swapped) is course["gan_lib.exercises.nb98"].share
    out = capsys.readouterr().out
    assert out.startswith("✗ 98.share · not yet, the reference stands in\n  The result is not the expected one: ")
    assert 'hint("98.share")' in out
    assert exercise("98.share")(right) is right
    assert capsys.readouterr().out == "✓ 98.share · yours is used from here on\n"


def test_states_follow_the_last_run(course):
    def mark():
        return repr(progress("98")).splitlines()[1].split()[0]

    marks = [mark()]
    for fn in (swapped, right, right, swapped, lambda p, q: None, right):
        exercise("98.share")(fn)
        marks.append(mark())
    exercise("98.share")(ran(STUBS["ellipsis"], "f"))
    assert [*marks, mark()] == list("○✗✓✓✗✗✓○")


def test_a_check_runs_once_a_cell(course):
    exercise("98.share")(right)
    exercise("98.share")(swapped)
    assert len(course["gan_lib.exercises.nb98"].CALLS) == 2


def test_check_leaves_the_session_alone(course):
    assert check("98.share", right).passed
    assert "0 of 6" in repr(progress("98"))


def test_strict_turns_a_wrong_answer_into_an_error_and_an_open_one_not(course, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(NotYet, match=r"98\.share: The result is not the expected one: it is one minus") as caught:
        exercise("98.share")(swapped)
    assert isinstance(caught.value, AssertionError)
    assert "✗" in capsys.readouterr().out
    assert exercise("98.share")(ran(STUBS["ellipsis"], "f")) is course["gan_lib.exercises.nb98"].share
    assert exercise("98.share")(right) is right
    monkeypatch.setenv("COURSE_STRICT", "0")
    exercise("98.share")(swapped)


class Callable:
    def __call__(self, p, q):
        return p / (p + q)


class Busy(Callable):
    """Has attributes of the names that the mechanism uses."""

    last = call = name = "mine"

    def __init__(self):
        self.last = self.state = "mine"


RIGHT = {
    "function": right,
    "jit": jax.jit(right),
    "jit of a lambda": jax.jit(lambda p, q: p / (p + q)),
    "lambda": lambda a, b: a / (a + b),
    "partial": functools.partial(lambda p, q, r: p / (p + q), r=1),
    "jit of a partial": jax.jit(functools.partial(lambda r, p, q: p / (p + q), 1)),
    "vmap": jax.vmap(right),
    "object": Callable(),
    "busy object": Busy(),
    "bound method": Callable().__call__,
    "NumPy": lambda p, q: np.asarray(p) / np.asarray(p + q),
    "float64": lambda p, q: np.asarray(p, np.float64) / np.asarray(p + q),
    "more arguments than asked": lambda p, q, r=1, *rest, **others: p / (p + q),
    "no source": ran("def f(p, q):\n    return p / (p + q)", "f"),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_answer_in_any_form_passes_and_comes_back_untouched(course, kind):
    result = check("98.share", RIGHT[kind])
    assert result.passed, result.message
    assert exercise("98.share")(RIGHT[kind]) is RIGHT[kind]


def test_a_class_can_be_the_exercise(course):
    class Mine:
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, x):
            return x * self.factor

    class Wrong(Mine):
        def __call__(self, x):
            return x + 5 + self.missing

    class HalfDone(Mine):
        def __call__(self, x): ...

    class Idle(Mine):
        last = "mine"

        def __call__(self, x):
            return x * self.factor

        def reset(self):
            pass

    assert exercise("98.doubler")(Mine) is Mine
    assert check("98.doubler", HalfDone).state == "open"
    assert check("98.doubler", Idle).passed
    Mine.__call__ = lambda self, x: 3 * x
    assert "got       [3, 3, 3]" in check("98.doubler", Mine).message
    assert "'Wrong' object has no attribute 'missing'\nline " in check("98.doubler", Wrong).message
    assert check("98.doubler", right).message == "A class is asked for, and you give a function."
    assert check("98.share", Mine).message == "A function is asked for, and you give a class."


def test_a_probed_function_keeps_its_attributes_and_source(course, monkeypatch):
    seen = {}

    def look(fn):
        seen.update(lower=fn.lower, source=inspect.getsource(fn), name=fn.__name__, words=str(inspect.signature(fn)))

    define("98.looks", difficulty=1, minutes=1, hints=("a", "b", "c"), check=look)(right)
    assert check("98.looks", jax.jit(right)).passed
    assert (seen["name"], seen["words"]) == ("right", "(p, q)")
    assert seen["source"].startswith("def right")


# --- explanations -----------------------------------------------------------------------------------------------------


def divides(p, q):
    total = 0
    return 1 / total  # the guilty line


def helper(p):
    raise KeyError("deep")


def asks_for_help(p, q):
    return helper(p)


def branches(p, q):
    return p if p.sum() > 0 else q


leaked = []


def leaks(p, q):
    jax.jit(lambda x: leaked.append(x) or x)(p)
    return leaked.pop()


def contracts(p, q):
    return jnp.zeros((4, 5)) @ p


def exits(p, q):
    sys.exit(3)


def recurses(p, q):
    return recurses(p, q)


def yields(p, q):
    yield p / (p + q)


async def waits(p, q):
    return p / (p + q)


async def streams(p, q):
    yield p / (p + q)


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError


def unprintable(p, q):
    raise Unprintable


class Hostile:
    def __getattr__(self, name):
        raise RuntimeError(name)


class Endless:
    def __getattr__(self, name):
        return self


WRONG = {
    "raises": (divides, "Your code raises ZeroDivisionError: division by zero\nline ", "the guilty line"),
    "raises in a helper": (asks_for_help, "KeyError: 'deep'\nline ", 'raise KeyError("deep")'),
    "undefined name": (lambda p, q: p / (p + undefined), "NameError: name 'undefined' is not defined"),  # noqa: F821
    "no source": (ran("def f(p, q):\n\n    return p.nope", "f"), "AttributeError: ", "'nope'", "\nline 3"),
    "returns None": (lambda p, q: None, "Your function returns nothing (None): is a `return` missing?"),
    "string": (lambda p, q: "abc", "The result is a str ('abc'), expected an array of shape (4,)."),
    "ellipsis": (lambda p, q: ..., "The result is an ellipsis"),
    "function": (lambda p, q: right, "The result is the function right"),
    "list": (lambda p, q: list(p / (p + q)), "a list of 4, expected an array of shape (4,): make one array of it"),
    "tuple": (lambda p, q: (p, q), "a tuple of 2, expected an array of shape (4,)"),
    "dict": (lambda p, q: {"b": 1, "a": 2}, "a dict with keys 'a', 'b', expected an array"),
    "object array": (lambda p, q: np.array([None] * 4), "expected an array of shape (4,)"),
    "column": (lambda p, q: right(p, q)[:, None], "shape (4, 1), expected (4,): drop the last axis", "(B, B)"),
    "broadcast": (lambda p, q: p / (p + q[:, None]), "(4, 4), expected (4,): somewhere (B, 1) met (B,)"),
    "mean": (lambda p, q: right(p, q).mean(), "shape (), expected (4,): you return one number for all"),
    "short": (lambda p, q: right(p, q)[1:], "shape (3,), expected (4,)."),
    "nan": (lambda p, q: jnp.log(-right(p, q)), "not finite: 4 of its 4 entries, the first (nan) at index [0]"),
    "inf": (lambda p, q: p / (p - q), "entries, the first (inf) at index [1]", "\np  "),
    "integers": (lambda p, q: jnp.arange(4), "The result holds integers, expected floats."),
    "booleans": (lambda p, q: p > q, "The result holds booleans, expected floats."),
    "complex": (lambda p, q: right(p, q) + 0j, "holds complex numbers, expected floats"),
    "keys": (lambda p, q: jax.random.split(jax.random.key(0), 4), "holds keys, expected floats"),
    "too few arguments": (lambda p: p, "takes (p), and is called with (p, q): too many positional arguments."),
    "too many arguments": (lambda p, q, r: p, "takes (p, q, r), and is called with (p, q)", "argument: 'r'"),
    "keyword-only": (lambda p, *, q: p, "takes (p, *, q), and is called with (p, q)"),
    "not a function": (jnp.ones(2), "`@exercise` needs a function, and got an array of shape (2,)."),
    "nothing": (None, "needs a function, and got None."),
    "generator": (yields, "Your function is a generator, since it has a `yield`; use `return`."),
    "async": (waits, "Your function is an `async def`; write a plain `def`."),
    "async generator": (streams, "Your function is an asynchronous generator"),
    "if under jit": (jax.jit(branches), "TracerBoolConversionError: inside jit,", "`jnp.where`", "return p if p.sum()"),
    "float under jit": (jax.jit(lambda p, q: float(p[0])), "ConcretizationTypeError: inside jit", "`float(x)`"),
    "NumPy under jit": (jax.jit(lambda p, q: np.log(p)), "TracerArrayConversionError: inside", "use `jnp`"),
    "mask under jit": (jax.jit(lambda p, q: p[p > 0]), "NonConcreteBooleanIndexError: inside", "`x[mask]`"),
    "range under jit": (jax.jit(lambda p, q: [0][p.sum().astype(int)]), "TracerIntegerConversionError: inside"),
    "leaked tracer": (leaks, "tracer"),
    "shapes": (contracts, "TypeError: dot_general requires contracting dimensions", "(5,) and (4,).\nline "),
    "exit": (exits, "Your code raises SystemExit: 3\nline "),
    "recursion": (recurses, "Your code raises RecursionError: maximum recursion depth exceeded", "recurses(p, q)"),
    "unprintable": (unprintable, "Your code raises Unprintable\nline "),
    "hostile": (Hostile(), "RuntimeError"),
    "endless attributes": (Endless(), "needs a function, and got an Endless."),
}


def explained(result, fragments=()):
    """Hold what every explanation owes the reader: no traceback, no path or address, short enough to read."""
    assert result.state == "wrong"
    assert not result.passed
    for fragment in fragments:
        assert fragment in result.message
    assert not re.search(r"Traceback|packages|gan_lib[/\\]|nb\d\d|0x[0-9a-f]{6}|__init__|running\.py", result.message)
    assert str(ROOT) not in result.message
    assert 15 < len(result.message) < 1500
    assert max(map(len, result.message.splitlines())) < 420


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_answers_are_explained(course, kind):
    fn, *fragments = WRONG[kind]
    explained(check("98.share", fn), fragments)


def test_a_function_that_has_lost_its_key_is_told(course):
    explained(check("98.slope", lambda x: (x**2).sum()), ["takes (x), and is called with (x, *, key, scale)", "'key'"])


def test_what_a_transformation_cannot_use_is_explained_by_the_reference(course):
    assert check("98.slope", lambda x, *, key: (x**2).sum()).passed
    explained(check("98.slope", lambda x, *, key: x**2), ["shape (3,), expected (): one number is asked for."])
    explained(check("98.slope", lambda x, *, key: None), ["returns nothing"])
    explained(check("98.slope", lambda x, *, key: "abc"), ["a str ('abc'), expected a number"])
    explained(check("98.slope", lambda x, *, key: x.sum()), ["The gradient is not the expected one"])
    explained(check("98.slope", lambda x, *, key: x.sum().astype(int)), ["holds integers, expected floats"])


def test_nothing_returned_is_not_taken_for_another_mistake(course):
    explained(check("98.misled", lambda x: -2 * x), ["The sign is lost."])
    explained(check("98.misled", lambda x: None), ["returns nothing"])


def test_a_loose_check_still_explains(course):
    explained(check("98.loose", lambda x: None), ["returns nothing"])
    explained(
        check("98.loose", lambda x: 3 * x), ["The check cannot go on with your function: AssertionError: not one"]
    )
    explained(check("98.loose", lambda x: "abc"), ["a str ('abc'), expected an array of shape (2,)"])


@pytest.mark.parametrize(
    "fn",
    [
        lambda params, gradient: params.update(w=params["w"] - gradient) or params,
        lambda params, gradient: params["w"].__isub__(gradient) is None or params,
        lambda params, gradient: params["steps"].append(3) or params,
    ],
    ids=["dict", "array", "list"],
)
def test_inputs_changed_in_place_are_noticed(course, fn):
    explained(check("98.update", fn), ["changes its inputs in place"])
    assert check("98.update", lambda params, gradient: {**params, "w": params["w"] - gradient}).passed


def test_jax_messages_lose_their_paths_and_addresses():
    text = "Bad thing in <function f at 0x7f12ab34cd56> at /a/b-c/gan_lib/exercises/nb01.py:12:4 for jit.\n\nThis typically"
    assert running._brief(ValueError(text)) == "Bad thing in <function f> at for jit."
    assert running._brief(ValueError("one:\n\n  two\n  at /x/y.py:3")) == "one: two"
    assert len(running._brief(ValueError("word " * 500))) <= 300


def test_a_reader_may_print(course, capsys):
    def talks(p, q):
        print("from the reader\n" * 500)
        return p / (p + q)

    assert check("98.share", talks).passed
    assert capsys.readouterr().out.count("from the reader") == 500


# --- time -------------------------------------------------------------------------------------------------------------


def forever(p, q):
    while True:
        try:
            p = p + 1
        except Exception:
            p = q


def back_to(count):
    """Whether the number of threads comes back to `count`, on a busy machine too."""
    until = time.perf_counter() + 5
    while threading.active_count() > count and time.perf_counter() < until:
        time.sleep(0.05)
    return threading.active_count() <= count


def test_the_limit_leaves_time_to_stop():
    assert running.TIME_LIMIT + 0.5 < 10
    assert running.TIME_LIMIT < running.PATIENCE <= 30


def test_an_endless_loop_is_stopped_and_located(course, monkeypatch, capsys):
    monkeypatch.setattr(running, "TIME_LIMIT", 1.0)
    before, handler = threading.active_count(), signal.getsignal(signal.SIGINT)
    start = time.process_time()
    assert exercise("98.share")(forever) is course["gan_lib.exercises.nb98"].share
    assert time.process_time() - start < 3
    assert back_to(before)
    assert signal.getsignal(signal.SIGINT) is handler
    assert re.search(r"Stopped after 1 s: does a loop never end\?\n  line \d+:  \w+", capsys.readouterr().out)
    assert exercise("98.share")(right) is right


def test_a_loop_that_swallows_everything_is_left_behind(course, monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 0.3)
    released = threading.Event()

    def stubborn(p, q):
        while not released.is_set():
            with contextlib.suppress(BaseException):
                while not released.is_set():  # Python 3.13 raises at the end of a round
                    sum(range(10**6))

    start = time.process_time()
    result = check("98.share", stubborn)
    released.set()
    assert time.process_time() - start < 3
    explained(result, ["Stopped after 0.3 s", "It is still running: restart the kernel", "\nline "])


def computing(seconds):
    """Keeps a core busy until this thread has had so many seconds of it."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_right_answer_on_a_busy_machine_is_waited_for(course, monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 1.0)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    crowd = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4 * cores)]
    try:
        result = check("98.share", lambda p, q: computing(0.6) or right(p, q))  # takes 3 s beside four others
    finally:
        for other in crowd:
            other.kill()
        for other in crowd:
            other.wait()
    assert result.passed, result.message


def test_many_threads_do_not_shorten_the_limit(course, monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 1.0)
    monkeypatch.setattr(time, "process_time", lambda used=time.process_time: 100 * used())  # as with a hundred cores
    assert check("98.share", lambda p, q: computing(0.1) or right(p, q)).passed


def test_what_waits_is_not_waited_for_without_end(course, monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 0.2)
    monkeypatch.setattr(running, "PATIENCE", 1.0)
    released, start = threading.Event(), time.perf_counter()
    result = check("98.share", lambda p, q: released.wait(60))
    assert time.perf_counter() - start < 10
    released.set()
    explained(
        result, ["in which it hardly computed: does your code wait for something?", "It is still running", "\nline "]
    )


def test_patience_with_a_busy_machine_ends_too(course, monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 0.6)
    monkeypatch.setattr(running, "PATIENCE", 1.2)

    def seldom(p, q):
        while True:
            computing(0.02)
            time.sleep(0.08)

    explained(check("98.share", seldom), ["is this machine slow, or busy with other programs?", "\nline "])


def test_an_interrupt_by_the_reader_passes_through(course):
    before = threading.active_count()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        exercise("98.share")(forever)
    assert time.perf_counter() - start < 5
    assert back_to(before)


def interrupts(p, q):
    raise KeyboardInterrupt


def test_an_interrupt_inside_passes_through(course):
    with pytest.raises(KeyboardInterrupt):
        check("98.share", interrupts)


def test_off_the_main_thread_a_check_works_too(course, monkeypatch):
    monkeypatch.setattr(running, "TIME_LIMIT", 0.3)
    results = []
    thread = threading.Thread(target=lambda: results.extend(check("98.share", fn) for fn in (right, forever)))
    thread.start()
    thread.join(10)
    assert [result.state for result in results] == ["passed", "wrong"]


PLAIN = """
import os, sys, time
sys.modules["IPython"] = None  # not installed
import jax
from gan_lib import exercises
from gan_lib.exercises import define, exercise, same

@define("99.half", difficulty=1, minutes=2, hints=("a", "b", "c"), check=lambda fn: same(fn(4.0), 2.0))
def half(x):
    return x / 2

exercises.running.TIME_LIMIT, exercises.running.PATIENCE = 1.0, 10.0
start = time.process_time()

@exercise("99.half")
def half(x):
    return jax.lax.while_loop(lambda v: v == v, lambda v: v + 1, x)  # never comes back from XLA

print(half(8.0), time.process_time() - start < 4)

@exercise("99.half")
def half(x):
    return 0.5 * x

sys.stdout.flush()
os._exit(0)  # with a loop still running on a GPU, an exit in order becomes an abort
"""


@pytest.fixture(scope="module")
def plain():
    """What a plain script prints, without IPython, in a console that knows no ○ ✗ ✓."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1", "COURSE_STRICT": ""}
    done = subprocess.run([sys.executable, "-c", PLAIN], env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("latin-1")


def test_a_loop_inside_xla_cannot_hold_up_the_notebook(plain):
    assert "Stopped after 1 s: does a loop never end? It is still running" in plain
    assert "\n4.0 True\n" in plain


def test_plain_text_without_ipython(plain):
    assert plain.startswith("? 99.half · not yet, the reference stands in\n")
    assert "? 99.half · yours is used from here on\n" in plain


# --- cards ------------------------------------------------------------------------------------------------------------


def html_of(card):
    """The card's HTML, which has to be well formed and to load nothing."""
    text = card._repr_html_()
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|https?:", text)
    return text, xml.etree.ElementTree.fromstring(text)


def test_hints_come_one_by_one(course):
    said = [repr(hint("98.share")) for _ in range(5)]
    assert [line.splitlines()[0] for line in said[:3]] == [f"98.share · hint {n} of 3" for n in (1, 2, 3)]
    assert "Bayes" in said[0]
    assert "Second." in said[1]
    assert "Third." in said[2]
    assert said[3] == said[4]
    assert 'no more hints: `solution("98.share")`' in said[3]
    assert "hint 1 of 3" in repr(hint("98.slope"))


def test_hints_are_escaped(course):
    text, tree = html_of(hint("98.share"))
    assert "Think of &lt;b&gt;Bayes&lt;/b&gt; &amp; <code>p</code>." in text
    assert "<b>Bayes</b>" in "".join(tree.itertext())
    card = exercises.Card("<a> & b", "<c>\n<d>", "<e>")
    assert "".join(html_of(card)[1].itertext()) == "<a> & b<c><d><e>"
    assert repr(card) == "<a> & b\n  <c>\n  <d>\n  <e>"


def test_solutions_show_the_source_as_a_cell_has_it(course):
    said = repr(solution("98.share"))
    assert said.splitlines() == [
        "98.share · solution",
        '  @exercise("98.share")',
        "  def share(p, q):",
        '      """The probability that x is real, <i>given</i> x."""',
        "      return p / (p + q)  # Bayes & nothing else",
    ]
    assert repr(solution("98.slope")).splitlines()[1:4] == [
        '  @exercise("98.slope")',
        "  @jax.jit",
        "  def slope(x, *, key, scale=1.0):",
    ]
    assert repr(solution("98.doubler")).splitlines()[1:3] == ['  @exercise("98.doubler")', "  class Doubler:"]
    file = Path(course["gan_lib.exercises.nb98"].__file__)
    file.write_text("# a new line\n" * 3 + SCRATCH, encoding="utf-8")  # after the import, as a git pull does
    assert repr(solution("98.share")).splitlines()[1:] == said.splitlines()[1:]
    text, tree = html_of(solution("98.share"))
    assert "<pre" in text
    assert "return p / (p + q)  # Bayes & nothing else" in "".join(tree.itertext())


@pytest.mark.parametrize(("name", "bound"), [("98.share", "share"), ("98.slope", "slope"), ("98.doubler", "Doubler")])
def test_a_solution_pasted_into_a_cell_is_checked(course, capsys, name, bound):
    pasted = solution(name).text
    mine = ran(pasted, bound, exercise=exercise, jax=jax)
    assert capsys.readouterr().out == f"✓ {name} · yours is used from here on\n"
    assert mine is not getattr(course["gan_lib.exercises.nb98"], bound)


def test_progress_lists_a_notebook(course):
    exercise("98.share")(right)
    exercise("98.slope")(lambda x, *, key: x)
    card = progress("98")
    assert repr(card).splitlines() == [
        "Notebook 98 · 1 of 6 exercises done",
        "  ✓ 98.share    difficulty 1/3    3 minutes",
        "  ✗ 98.slope    difficulty 2/3    5 minutes",
        "  ○ 98.doubler  difficulty 3/3    8 minutes",
        "  ○ 98.update   difficulty 1/3    2 minutes",
        "  ○ 98.loose    difficulty 1/3    2 minutes",
        "  ○ 98.misled   difficulty 1/3    2 minutes",
    ]
    html_of(card)


def test_progress_is_of_the_notebook_last_touched(course):
    assert repr(progress()).startswith("All notebooks · 0 of ")
    define("97.other", difficulty=1, minutes=1, hints=("a", "b", "c"), check=print)(right)
    exercise("98.share")(right)
    assert repr(progress()).startswith("Notebook 98 · 1 of 6")
    exercise("97.other")(swapped)
    assert repr(progress()).startswith("Notebook 97 · 1 of 1")
    hint("98.share")
    assert repr(progress()).startswith("Notebook 98 · 1 of 6")
    solution("97.other")
    assert repr(progress()).startswith("Notebook 97 · 1 of 1")


def test_a_wrong_answer_is_a_card(course):
    text, tree = html_of(check("98.share", lambda p, q: "<b>&</b>"))
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in text
    text, tree = html_of(check("98.share", swapped))
    columns = tree.find("pre").text
    assert "p         [0.1, 0.2, 0.3, 0.4]  float32 (4,)" in columns
    assert "monospace" in tree.find("pre").get("style")
    assert "<code>hint(&quot;98.share&quot;)</code>" in text
    colours = re.findall(r"color:\s*([^;\"]+)", text)
    assert set(colours) <= {"rgba(127,127,127,.09)", "inherit"}  # text takes the theme's colour, light or dark


@pytest.fixture
def shell():
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    yield interactive.InteractiveShell.instance(config=config)
    interactive.InteractiveShell.clear_instance()


def cell(shell, source):
    """Texts and HTML that a cell displays."""
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        shell.run_cell(textwrap.dedent(source), store_history=False).raise_error()
    assert not captured.stderr
    return captured.stdout, [output.data for output in captured.outputs]


def test_cells_in_ipython(course, shell):
    head = 'from gan_lib.exercises import exercise, hint\n@exercise("98.share")\n'
    _, (shown,) = cell(shell, head + 'def f(p, q):\n    """Words."""\n    ...')
    assert shown["text/plain"] == "○ 98.share · open, the reference stands in"
    assert "○ 98.share" in shown["text/html"]
    _, (shown,) = cell(shell, head + "def f(p, q):\n    return None")
    assert "returns nothing" in shown["text/plain"]
    out, (shown,) = cell(shell, head + 'def f(p, q):\n    print("hello")\n    return p / r')
    assert "NameError: name 'r' is not defined\n  line 5:  return p / r" in shown["text/plain"]
    assert out == "hello\n"
    _, (shown,) = cell(shell, head + "class f: ...")
    assert shown["text/plain"].startswith("○")
    _, (shown,) = cell(shell, head + "def f(p, q):\n    return p / (p + q)")
    assert shown["text/plain"].startswith("✓")
    assert cell(shell, "print(f(1.0, 3.0), f.__module__)")[0] == "0.25 __main__\n"
    source = "def f(p, q):\n    return q\nf = exercise('98.share')(f)"  # source-less, as exec in a cell
    _, (shown,) = cell(shell, f"exec({source!r})")
    assert shown["text/plain"].startswith("✗")
    out, shown = cell(shell, "hint('98.share')")
    assert "98.share · hint 1 of 3" in out or "hint 1 of 3" in shown[0]["text/plain"]


# --- names and authors ------------------------------------------------------------------------------------------------


def test_names_are_found_by_prefix_and_listed(course):
    assert "gan_lib.exercises.nb98" not in sys.modules
    assert check("98.share", right).passed
    assert names("98") == ["98.share", "98.slope", "98.doubler", "98.update", "98.loose", "98.misled"]
    assert names()[-6:] == names("98")
    assert [name[:2] for name in names()] == sorted(name[:2] for name in names())


@pytest.mark.parametrize("call", [exercise, hint, solution, lambda name: check(name, right)])
def test_an_unknown_name_lists_the_nearest(course, call):
    with pytest.raises(ValueError, match=r"no exercise '98\.shares'. The nearest names are 98\.share"):
        call("98.shares")
    for wrong in ("nonsense", "", "..", "98", "9/.x", "55.nothing"):
        with pytest.raises(ValueError, match=r"no exercise .* nearest names are"):
            call(wrong)
    with pytest.raises(ValueError, match=r'as in @exercise\("01.some_words"\); got <function right'):
        call(right)


def test_an_unknown_notebook_lists_those_there_are(course):
    for call in (names, progress):
        with pytest.raises(ValueError, match=r"notebook '77' has no exercises; these have: .*98"):
            call("77")


FINE = {"difficulty": 1, "minutes": 3, "hints": ("a", "b", "c"), "check": print}


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("share", {}, "a name such as"),
        ("98.Share", {}, "a name such as"),
        ("98.", {}, "a name such as"),
        (98, {}, "a name such as"),
        ("98.x", {"difficulty": 0}, "a difficulty of 1, 2 or 3; got 0"),
        ("98.x", {"difficulty": "hard"}, "got 'hard'"),
        ("98.x", {"minutes": 0}, "minutes above 0; got 0"),
        ("98.x", {"minutes": "3"}, "minutes above 0; got '3'"),
        ("98.x", {"hints": ("a", "b")}, "three different hints"),
        ("98.x", {"hints": ("a", "b", "c", "d")}, "three different hints"),
        ("98.x", {"hints": ("a", "b", " ")}, "three different hints"),
        ("98.x", {"hints": ("a", "b", "a ")}, "three different hints"),
        ("98.x", {"hints": ("a", "b", 3)}, "three different hints"),
        ("98.x", {"hints": "abc"}, "three different hints"),
        ("98.x", {"check": None}, "a function as check"),
    ],
)
def test_authors_are_held_to_the_form(course, name, wrong, words):
    with pytest.raises(ValueError, match=r"define\(.*\) needs ") as caught:
        define(name, **{**FINE, **wrong})
    assert words in str(caught.value)


def test_a_name_is_defined_once_and_in_its_file(course):
    assert define("98.mine", **FINE)(right) is right
    define("98.mine", **FINE)(right)  # the same file, read again
    check("98.share", right)
    with pytest.raises(ValueError, match=r"'98.share' is defined twice: in gan_lib.exercises.nb98 and in "):
        define("98.share", **FINE)(right)
    stray = ran("def f(): pass", "f", __name__="gan_lib.exercises.nb01")
    with pytest.raises(ValueError, match=r"is looked for in gan_lib.exercises.nb98: move it"):
        define("98.stray", **FINE)(stray)


# --- same -------------------------------------------------------------------------------------------------------------

X = np.array([0.2, 0.7, 0.1, 0.9], np.float32)
SQUARE = np.arange(9.0).reshape(3, 3)
Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (X, X),
        (jnp.asarray(X), X.astype(np.float64)),
        (X + 1e-7, X),
        (0.5, jnp.float32(0.5)),
        (jnp.float32(0.5), 0.5),
        (1, 1.0),
        (True, np.bool_(True)),
        (np.array([np.inf, np.nan]), np.array([np.inf, np.nan])),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (jnp.ones(3, jnp.bfloat16), np.ones(3)),
        (jax.random.split(jax.random.key(1)), jax.random.split(jax.random.key(1))),
        ((1.0, {"a": [X, None]}), (1.0, {"a": [X, None]})),
        (Point(1.0, X), Point(1.0, X)),
        ("relu", "relu"),
        (right, swapped),
    ],
    ids=range(15),
)
def test_same_accepts(got, expected):
    same(got, expected)


UNLIKE = {
    "sign": (-X, X, "the sign is flipped"),
    "one minus": (1 - X, X, "it is one minus the expected one"),
    "reversed": (X[::-1], X, "the order is reversed"),
    "transposed": (SQUARE.T, SQUARE, "it is transposed"),
    "transposed shape": (SQUARE[:2].T, SQUARE[:2], "shape (3, 2), expected (2, 3): the axes are reversed."),
    "logarithm": (np.log(X), X, "it is the logarithm of the expected one"),
    "exponential": (X, np.log(X), "the logarithm is missing"),
    "logit": (np.log(X / (1 - X)), X, "a sigmoid is missing"),
    "sigmoid": (X, np.log(X / (1 - X)), "there is a sigmoid too many"),
    "square root": (np.sqrt(X), X, "it is the square root"),
    "square": (X**2, X, "a square root is missing"),
    "factor": (2.5 * X, X, "it is 2.5 times the expected one"),
    "factor below 0": (-2 * X, X, "it is -2 times the expected one"),
    "scalar factor": (0.7, 0.35, "it is 2 times the expected one"),
    "sum": (4 * X, X, "4 is the batch: a sum where a mean belongs"),
    "mean": (X / 4, X, "1/4 times the expected one, and 4 is the batch: a mean where a sum belongs"),
    "scalar sum": (8 * 0.35, 0.35, "8 is the batch: a sum where a mean belongs", {"x": np.zeros((8, 2))}),
    "offset": (X + 0.3, X, "it is the expected one plus 0.3"),
    "zeros": (0 * X, X, "it is 0 everywhere"),
    "just above": (X + np.float32([0, 2e-5, 0, 0]), X, "at index [1]: got 0.70002, expected 0.7 (1 of 4"),
    "just below": (X - np.float32([0, 2e-5, 0, 0]), X, "at index [1]: got 0.69998, expected 0.7 (1 of 4"),
    "unrelated scalars": (0.7, 0.3501, "The result is not the expected one.\ngot       0.7\nexpected  0.3501"),
    "labels": (1 - np.array([0, 1, 1]), np.array([0, 1, 1]), "it is one minus the expected one, as when real and fake"),
    "two explanations": (X[::-1] - X, X - X[::-1], "one: the sign is flipped, or the order is reversed."),
    "one loss flipped": (-4.0, 4.0, "the sign is flipped"),
    "one number's logarithm": (np.log(0.377), 0.377, "it is the logarithm of the expected one"),
    "one loss too small": (0.0, 0.5, "it is 0."),
    "hardly anything": (np.array([0, 1e-7]), np.array([1.0, 0]), "at index [0]: got 0, expected 1"),
    "n for n - 1": (X * 0.99, X, "it is 0.99 times the expected one"),
    "nan": (np.array([1, np.nan]), np.ones(2), "1 of its 2 entries, the first (nan) at index [1]"),
    "scalar nan": (np.nan, 1.0, "The result is not finite: nan."),
    "nan wanted": (np.ones(2), np.array([1, np.nan]), "at index [1]: got 1, expected nan"),
    "infinity's sign": (np.array([-np.inf]), np.array([np.inf]), "the sign is flipped"),
    "keys": (jax.random.split(jax.random.key(1)), jax.random.split(jax.random.key(2)), "key<fry> (2,)"),
    "complex": (np.array([1j, 2.0]), np.array([1j, 3.0]), "worst"),
    "pair too long": ((1.0, 2.0, 3.0), (1.0, 2.0), "The result is a tuple of 3, expected a tuple of 2."),
    "list": ([1.0, 2.0], (1.0, 2.0), "a list of 2, expected a tuple of 2"),
    "plain tuple": ((1.0, 2.0), Point(1.0, 2.0), "a tuple of 2, expected a Point of 2"),
    "one for two": (1.0, (1.0, 2.0), "a number, expected a tuple of 2"),
    "in a tree": ((1.0, {"a": X[:2]}), (1.0, {"a": X}), "The result[1]['a'] has shape (2,), expected (4,)"),
    "None in a tree": ((1.0, None), (1.0, X), "The result[1] is None: is a `return` missing?"),
    "something for None": ((1.0, X), (1.0, None), "an array of shape (4,), expected None"),
    "dict": ({"a": 1.0}, {"b": 1.0}, "a dict with keys 'a', expected a dict with keys 'b'"),
    "state": (nnx.State({"a": X}), nnx.State({"b": X}), "The result has the entries ['a']; expected ['b']."),
    "number for words": (1.0, "relu", "a number, expected a str ('relu')"),
    "words": ("tanh", "relu", "The result is tanh, expected relu."),
    "number for a function": (1.0, right, "a number, expected the function right"),
    "floats for integers": (X, np.arange(4), "holds floats, expected integers"),
    "integers for floats": (np.zeros(4, int), X, "holds integers, expected floats"),
    "integers for booleans": (np.zeros(4, int), X > 1, "holds integers, expected booleans"),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_same_says_how_two_things_differ(kind):
    got, expected, fragment, *inputs = UNLIKE[kind]
    with pytest.raises(Mistake) as caught:
        same(got, expected, inputs=inputs[0] if inputs else None)
    assert fragment in str(caught.value)
    assert len(str(caught.value)) < 700


COINCIDENCES = {
    "a number slightly off": (1.00005, 1.0),
    "one number in an array": (np.array([1.00005]), np.array([1.0])),
    "a constant slightly off": (np.full(4, 1.00005), np.ones(4)),
    "a constant": (np.full(4, 3.0), np.full(4, 2.0)),
    "the same from both ends": (np.array([1.0, 2.0, 1.00005]), np.array([1.0, 2.0, 1.0])),
    "symmetric": (SQUARE + SQUARE.T + np.diag([0, 0, 1e-3]), SQUARE + SQUARE.T),
    "nearly a half": (0.50004, 0.5),
    "nearly 1, so is its root": (1 + np.array([3e-5, 4e-5, 5e-5]), np.ones(3)),
    "one more": (1, 0),
    "twice as many": (4, 2),
    "twice as many, of two": (4, 2, {"x": np.zeros((2, 3))}),
    "a share": (0.375, 0.75),
    "a share and its square": (0.25, 0.5),
    "a share and the rest": (0.25, 0.75),
    "one entry": (np.array([0, 1, 4]), np.array([0, 1, 2])),
    "one entry that is not 0": (np.array([0, 0, 0.71]), np.array([0, 0, 0.34])),
    "all and none": (np.ones(3, bool), np.zeros(3, bool)),
    "hardly a factor": (X * np.float32(1.00015), X),
}


@pytest.mark.parametrize("kind", COINCIDENCES)
def test_a_relation_that_proves_nothing_is_not_named(kind):
    got, expected, *inputs = COINCIDENCES[kind]
    with pytest.raises(Mistake, match=r"^The result is not the expected one\.\n"):
        same(got, expected, inputs=inputs[0] if inputs else None, atol=1e-7)


def test_a_relation_holds_as_closely_as_the_answer_has_to():
    off = np.array([1, 1.02, 0.98, 1])
    for rtol, named in ((0.05, True), (1e-3, False)):
        with pytest.raises(Mistake) as caught:
            same(2.5 * X * off, X, rtol=rtol)
        assert ("2.5 times" in str(caught.value)) == named


def test_same_shows_input_got_expected_and_the_worst_entry():
    with pytest.raises(Mistake) as caught:
        same(X * X[::-1], X, inputs={"x": np.arange(100.0), "which": "the ring"}, what="the gradient")
    assert str(caught.value).splitlines() == [
        "The gradient is not the expected one.",
        "x         [0, 1, 2, 3, 4, …]  float64 (100,)",
        "which     the ring",
        "got       [0.18, 0.07, 0.07, 0.18]  float32 (4,)",
        "expected  [0.2, 0.7, 0.1, 0.9]  float32 (4,)",
        "worst     0.72 at index [3]: got 0.18, expected 0.9 (4 of 4 entries are off)",
    ]


def test_tolerances_are_two_sided():
    for sign in (1, -1):
        same(1 + sign * 0.9e-3, 1.0, rtol=1e-3, atol=0)
        same(sign * 0.9e-3, 0.0, rtol=0, atol=1e-3)
        with pytest.raises(Mistake):
            same(1 + sign * 1.1e-3, 1.0, rtol=1e-3, atol=0)
        with pytest.raises(Mistake):
            same(sign * 1.1e-3, 0.0, rtol=0, atol=1e-3)


def test_a_leaked_tracer_is_named():
    kept = []
    jax.jit(lambda x: kept.append(x) or x)(1.0)
    with pytest.raises(Mistake, match="The result is a tracer"):
        same(kept[0], 1.0)


# --- every exercise of the course -------------------------------------------------------------------------------------


def wrong_answers(notebook):
    file = ROOT / "tests" / "exercises" / f"wrong_{notebook}.py"
    if not file.exists():
        return {}
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


ANSWERS = {
    name: found for notebook in sorted({n[:2] for n in NAMES}) for name, found in wrong_answers(notebook).items()
}


def test_wrong_answers_belong_to_exercises():
    assert set(ANSWERS) <= set(NAMES)


@pytest.fixture
def patient(monkeypatch):
    """No check is cut short on a busy machine; its time is taken from the processor instead."""
    monkeypatch.setattr(running, "TIME_LIMIT", 60.0)


@pytest.mark.parametrize("name", NAMES)
def test_reference_passes_in_time(name, patient):
    start = time.process_time()
    result = check(name, exercises._EXERCISES[name].reference)
    assert result.passed, result.message
    assert time.process_time() - start < 5


def test_eigenvalues_of_one_dtype_are_enough(monkeypatch):
    """From NumPy 2.5 on eigvals returns complex numbers for real eigenvalues too."""
    eigvals = np.linalg.eigvals
    monkeypatch.setattr(np.linalg, "eigvals", lambda matrix: eigvals(matrix).astype(complex))
    assert check("03.eigenvalues", exercises._EXERCISES["03.eigenvalues"].reference).passed


@pytest.mark.parametrize("name", NAMES)
def test_solution_shows_and_a_stub_is_open(name, tmp_path):
    source = solution(name).text
    head = rf'(from \S+ import .+\n)*\n?@exercise\("{re.escape(name)}"\)\n(@\S+\n)*(def|class) \w+'
    assert re.match(head, source)
    assert "define" not in source
    stub = "class stub: ..." if isinstance(exercises._EXERCISES[name].reference, type) else "def stub(*a, **k): ..."
    assert check(name, from_file(stub, "stub", tmp_path)).state == "open"


@functools.cache
@pytest.mark.parametrize("name", NAMES)
def test_at_least_four_wrong_answers(name):
    assert len(ANSWERS.get(name, [])) >= 4


COMPILED_LONG = {name: [pytest.mark.slow] for name in ("02.step", "04.generator")}


@pytest.mark.parametrize(
    ("name", "fn", "fragment"),
    [
        pytest.param(
            name,
            fn,
            fragment,
            id=f"{name}-{i}-{getattr(fn, '__name__', type(fn).__name__)}",
            marks=COMPILED_LONG.get(name, []),
        )
        for name, found in ANSWERS.items()
        for i, (fn, fragment) in enumerate(found)
    ],
)
def test_wrong_answer_is_rejected_for_what_it_is(name, fn, fragment, patient):
    explained(check(name, fn), [fragment])


def on_purpose(*args, **kwargs):
    raise ValueError("on purpose")


def changed(change):
    """A wrong answer to any exercise: what the reference returns, each array or number put through `change`.

    change: array -> array, or None where it has nothing to change. With a class, what its objects return.
    """

    def turn(reference):
        def spoil(fn):
            def spoilt(*args, **kwargs):
                return jax.tree.map(leaf, fn(*args, **kwargs))

            return spoilt

        def leaf(x):
            new = change(x) if isinstance(x, jax.Array | np.ndarray | np.generic | float | int) else None
            turn.made += new is not None
            return x if new is None else new

        if isinstance(reference, type):
            return type(reference.__name__, (reference,), {"__call__": spoil(reference.__call__)})
        return spoil(reference)

    turn.made = 0
    return turn


def as_nan(x):
    return x * jnp.nan if jnp.issubdtype(jnp.result_type(x), jnp.floating) else None


CARELESS = {
    "returns None": (lambda reference: lambda *args, **kwargs: None, "return"),
    "raises": (lambda reference: on_purpose, "Your code raises ValueError: on purpose\nline "),
    "returns a string": (lambda reference: lambda *args, **kwargs: "abc", ""),
    "returns NaN": (changed(as_nan), ""),
    "one axis more": (changed(lambda x: jnp.asarray(x)[..., None]), ""),
}


@pytest.mark.parametrize("kind", CARELESS)
@pytest.mark.parametrize("name", NAMES)
def test_careless_answers_are_rejected(name, kind, patient):
    reference = exercises._EXERCISES[name].reference
    turn, fragment = CARELESS[kind]
    turn.made = 0
    result = check(name, turn(reference))
    if kind == "returns NaN" and not turn.made:
        pytest.skip("returns no floats")
    explained(result, [] if isinstance(reference, type) else [fragment])
