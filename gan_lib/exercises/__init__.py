"""Exercises that check themselves and never block.

In a notebook, `@exercise("01.name")` checks the function under it, shows ○, ✗ or ✓, and returns that function if it
passes and the reference otherwise, so that the cells below always work. `nbNN.py` beside this file holds the
references, checks and hints of notebook NN; it is imported when one of its names is first asked for.
"""

import ast
import contextvars
import ctypes
import dataclasses
import difflib
import functools
import html
import importlib
import importlib.util
import inspect
import linecache
import os
import pkgutil
import re
import sys
import sysconfig
import textwrap
import threading
import traceback
from collections import Counter
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.exercises.compare import NOTHING, Mistake, fit, same

__all__ = ["Mistake", "NotYet", "check", "define", "exercise", "hint", "names", "progress", "same", "solution"]

TIME_LIMIT = 9.0  # seconds a check may take; with the second that stopping it may need, no cell hangs for over 10 s
MARKS = {"open": "○", "wrong": "✗", "passed": "✓"}
LINES = {
    "open": "open, the reference stands in",
    "wrong": "not yet, the reference stands in",
    "passed": "yours is used from here on",
}
COLOURS = {"open": "#888888", "wrong": "#d55e00", "passed": "#009e73"}
ADVICE = {  # what JAX's longer messages mean in an exercise
    "TracerBoolConversionError": "inside jit, grad or vmap a Python `if`, `while` or `and` cannot look at an array's "
    "value; use `jnp.where` or `jax.lax.cond`",
    "ConcretizationTypeError": "inside jit, grad or vmap `float(x)`, `int(x)` and `x.item()` have no value to read; "
    "keep the array",
    "TracerIntegerConversionError": "inside jit, grad or vmap an array cannot be a Python index or a length",
    "TracerArrayConversionError": "inside jit, grad or vmap NumPy cannot read an array; use `jnp`",
    "NonConcreteBooleanIndexError": "inside jit, grad or vmap `x[mask]` has no fixed shape; use `jnp.where(mask, x, 0)`",
    "UnexpectedTracerError": "a value from inside jit, grad or vmap was kept outside; return it from the function",
}


class NotYet(AssertionError):
    """A wrong answer while COURSE_STRICT=1."""


class _TimeUp(BaseException):
    """Stops a reader's endless loop; no Exception, since loops may catch those."""


@dataclasses.dataclass(frozen=True)
class Exercise:
    name: str
    reference: Callable
    difficulty: int
    minutes: int
    hints: tuple[str, str, str]
    check: Callable


@dataclasses.dataclass(frozen=True, repr=False)
class Card:
    """A headline and a text, shown as HTML in a notebook and as plain text elsewhere.

    The first line of the text is a sentence; the lines after it, or all of them if `code`, keep their columns.
    """

    head: str
    text: str = ""
    colour: str = "#888888"
    code: bool = False

    def __repr__(self):
        return f"{self.head}\n{textwrap.indent(self.text, '  ')}".rstrip()

    def _repr_html_(self):
        sentence, _, rest = ("", "", self.text) if self.code else self.text.partition("\n")
        sentence = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(sentence))
        box = f"border-left:4px solid {self.colour};background:rgba(127,127,127,.09);padding:.4em .8em;max-width:64em"
        mono = "margin:.3em 0 0;padding:0;background:none;color:inherit;white-space:pre-wrap;font-size:.92em"
        return (
            f'<div style="{box}"><b>{html.escape(self.head)}</b>'
            + f'<div style="margin-top:.2em">{sentence}</div>' * bool(sentence)
            + f'<pre style="{mono}">{html.escape(rest)}</pre></div>' * bool(rest)
            + "</div>" * (not rest)
        )


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """What a check found: `state` "open", "wrong" or "passed", and why."""

    name: str
    state: str
    message: str

    @property
    def passed(self):
        return self.state == "passed"

    def card(self):
        help_ = f'\nhint("{self.name}") helps, solution("{self.name}") shows the reference.'
        text = self.message + help_ if self.state == "wrong" else ""
        return Card(f"{MARKS[self.state]} {self.name} · {LINES[self.state]}", text, COLOURS[self.state])

    def __repr__(self):
        return repr(self.card())

    def _repr_html_(self):
        return self.card()._repr_html_()


_EXERCISES: dict[str, Exercise] = {}
_STATES: dict[str, str] = {}  # of this session, by name
_HINTS = Counter()
_LAST = [""]  # the notebook last touched in this session


# --- for authors ----------------------------------------------------------------------------------------------------


def define(name, *, difficulty, minutes, hints, check):
    """Decorator that registers the reference of an exercise and returns it unchanged.

    name: "NN.snake_case"; difficulty: 1–3; minutes: > 0; hints: three texts, more and more concrete;
    check: function of the reader's function; raises Mistake(message) on a wrong answer, in well under 5 s.
    """
    for fine, wanted in (
        (isinstance(name, str) and re.fullmatch(r"\d\d\.[a-z][a-z0-9_]*", name), 'a name such as "01.some_words"'),
        (type(difficulty) is int and difficulty in (1, 2, 3), "a difficulty of 1, 2 or 3"),
        (isinstance(minutes, (int, float)) and minutes > 0, "minutes above 0"),
        (
            isinstance(hints, (tuple, list))
            and all(isinstance(text, str) and text.strip() for text in hints)
            and len(hints) == len({text.strip() for text in hints}) == 3,
            "exactly three hints, none empty, no two alike",
        ),
        (callable(check), "a check to call"),
    ):
        if not fine:
            got = f"difficulty={difficulty!r}, minutes={minutes!r}, hints={hints!r}, check={check!r}"
            raise ValueError(f"define({name!r}) needs {wanted}; got {got}.")

    def register(reference):
        home = reference.__module__
        if name in _EXERCISES and _EXERCISES[name].reference.__module__ != home:
            raise ValueError(f"{name!r} is defined twice: in {_EXERCISES[name].reference.__module__} and in {home}.")
        if home.startswith(f"{__name__}.nb") and home != f"{__name__}.nb{name[:2]}":
            raise ValueError(f"{name!r} is defined in {home}; it belongs in nb{name[:2]}.py, where it is looked for.")
        _EXERCISES[name] = Exercise(name, reference, difficulty, minutes, tuple(hints), check)
        return reference

    return register


def _load(notebook):
    module = f"{__name__}.nb{notebook}"
    if re.fullmatch(r"\d\d", notebook) and importlib.util.find_spec(module):
        importlib.import_module(module)


def _find(name):
    if not isinstance(name, str):
        raise ValueError(f'an exercise goes by its name, as in @exercise("01.some_words"); got {name!r}.')
    if name not in _EXERCISES:
        _load(name[:2])
    if name not in _EXERCISES:
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.4) or names()
        raise ValueError(f"there is no exercise {name!r}. Nearest names: {', '.join(near)}.")
    return _EXERCISES[name]


# --- for readers ----------------------------------------------------------------------------------------------------


def exercise(name):
    """Decorator: check the reader's function, show the outcome, return the function if it passes, else the reference.

    COURSE_STRICT=1 turns a wrong answer (not an open one) into a NotYet error. ValueError on an unknown name.
    """
    reference = _find(name).reference

    def judge(fn):
        result = check(name, fn)
        _STATES[name], _LAST[0] = result.state, name[:2]
        _show(result)
        if result.state == "wrong" and os.environ.get("COURSE_STRICT") == "1":
            raise NotYet(f"{name}: {result.message}")
        return fn if result.passed else reference

    return judge


def check(name, fn):
    """Check `fn` against exercise `name`: a Result with .passed, .message and .state. Never raises what fn raises."""
    found = _find(name)
    if _is_open(fn):
        return Result(name, "open", LINES["open"])
    message = _unfit(fn, found.reference)
    if not message:
        probe = fn if isinstance(fn, type) else _Probe(fn)
        message = _timed(lambda: _run(found, probe))
    return Result(name, "wrong" if message else "passed", message or LINES["passed"])


def hint(name):
    """The next of the three hints of an exercise, as a card."""
    found = _find(name)
    _HINTS[name], _LAST[0] = _HINTS[name] + 1, name[:2]
    if _HINTS[name] > 3:
        return Card(name, f'There are no more hints: `solution("{name}")` shows the reference.')
    return Card(f"{name} · hint {_HINTS[name]} of 3", found.hints[_HINTS[name] - 1])


def solution(name):
    """The source of the reference, as a card."""
    reference, _LAST[0] = inspect.unwrap(_find(name).reference), name[:2]
    source = textwrap.dedent(inspect.getsource(reference))
    node = ast.parse(source).body[0]
    first = [d.lineno for d in node.decorator_list if not ast.unparse(d).startswith("define(")] + [node.lineno]
    return Card(f"{name} · solution", "\n".join(source.splitlines()[first[0] - 1 :]), code=True)


def progress(notebook=None):
    """A card of the exercises of a notebook ("01"; by default the one last touched) with state, difficulty, minutes."""
    notebook = notebook or _LAST[0]
    listed = [_find(name) for name in names(notebook)]
    width = max(len(found.name) for found in listed)
    rows = [
        f"{MARKS[_STATES.get(e.name, 'open')]} {e.name:<{width}}  difficulty {e.difficulty}/3  {e.minutes:>2} minutes"
        for e in listed
    ]
    done = sum(_STATES.get(found.name) == "passed" for found in listed)
    head = f"Notebook {notebook}" if notebook else "All notebooks"
    return Card(f"{head} · {done} of {len(listed)} exercises done", "\n".join(rows), code=True)


def names(notebook=None):
    """The names of all exercises, or of one notebook's ("01"), in order. ValueError if it has none."""
    for module in pkgutil.iter_modules(__path__):
        if re.fullmatch(r"nb\d\d", module.name) and (not notebook or module.name == f"nb{notebook}"):
            importlib.import_module(f"{__name__}.{module.name}")
    found = [name for name in _EXERCISES if not notebook or name.startswith(f"{notebook}.")]
    if notebook and not found:
        known = ", ".join(sorted({name[:2] for name in names()}))
        raise ValueError(f"notebook {notebook!r} has no exercises; these have: {known}.")
    return sorted(found, key=lambda name: name[:2])  # stable: within a notebook, in the order of definition


def _show(card):
    shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    if shell:
        sys.modules["IPython"].display.display(card)
    else:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # a console may lack ○ ✗ ✓
        print(repr(card).encode(encoding, "replace").decode(encoding))


# --- looking at the reader's function -------------------------------------------------------------------------------


def _bare(fn):
    """The function inside jit, partial and the like."""
    while isinstance(fn, functools.partial) or hasattr(fn, "__wrapped__"):
        fn = fn.func if isinstance(fn, functools.partial) else fn.__wrapped__
    return fn


def _is_open(fn):
    """Whether the body (of any method, for a class) is nothing but a docstring, `...` or `pass`."""
    fn = _bare(fn)
    if isinstance(fn, type):
        methods = [item for item in vars(fn).values() if inspect.isfunction(item)]
        return not methods or any(map(_is_open, methods))
    if not inspect.isfunction(fn) or fn.__name__ == "<lambda>":
        return False
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
        if node.name == fn.__name__:
            return all(
                isinstance(line, ast.Pass) or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
                for line in node.body
            )
    except Exception:  # no source, or one that has changed since: compare the code with that of a stub
        pass
    return fn.__code__.co_code == (lambda: None).__code__.co_code and fn.__code__.co_consts[-1:] == (None,)


def _unfit(fn, reference):
    """Why fn cannot take the reference's place, seen without calling it; "" if nothing speaks against it."""
    if not callable(fn):
        return f"`@exercise` needs a function, and got {type(fn).__name__} {str(fn)[:60]!r}."
    if isinstance(reference, type) != isinstance(fn, type):
        return "A class is asked for, not a function." if isinstance(reference, type) else "A function is asked for."
    for kind, test in (
        ("an `async def`; write a plain `def`", inspect.iscoroutinefunction),
        ("a generator (it has a `yield`); use `return`", inspect.isgeneratorfunction),
        ("an asynchronous generator; write a plain `def` with `return`", inspect.isasyncgenfunction),
    ):
        if test(_bare(fn)) and not test(_bare(reference)):
            return f"Your function is {kind}."
    try:
        asked, given = inspect.signature(reference), inspect.signature(fn)
    except (TypeError, ValueError):  # some callables have none
        return ""
    needed = [p for p in asked.parameters.values() if p.default is p.empty]
    places = [p.name for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    words = {p.name: p.name for p in needed if p.kind == p.KEYWORD_ONLY}
    try:
        given.bind(*places, **words)
    except TypeError as error:
        return f"Your function takes {_arguments(given)}, and is called with {_arguments(asked)}: {error}."
    return ""


def _arguments(signature):
    bare = [p.replace(default=p.empty, annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


# --- running it -----------------------------------------------------------------------------------------------------


class _Probe:
    """The reader's function as its check sees it: remembers the last call, notices inputs changed in place."""

    def __init__(self, fn):
        functools.update_wrapper(self, fn)
        self.last = None  # (args, kwargs), result

    def __call__(self, *args, **kwargs):
        before = _contents((args, kwargs), copy=True)
        result = self.__wrapped__(*args, **kwargs)
        after = _contents((args, kwargs))
        if before[1] != after[1] or not all(map(_untouched, before[0], after[0])):
            raise Mistake("Your function changes its inputs in place: build new arrays, lists or dicts instead.")
        self.last = (args, kwargs), result
        return result

    def __getattr__(self, name):  # such as .lower of a jitted function
        return getattr(self.__dict__["__wrapped__"], name)


def _contents(tree, copy=False):
    leaves, structure = jax.tree.flatten(tree, is_leaf=lambda x: not isinstance(x, (dict, list, tuple)))
    return [np.array(leaf) if copy and isinstance(leaf, np.ndarray) else leaf for leaf in leaves], structure


def _untouched(before, after):
    return (
        np.array_equal(before, after, equal_nan=before.dtype.kind in "fc")
        if isinstance(before, np.ndarray)
        else before is after
    )


def _run(found, probe):
    """Run the check; the message if it fails, "" if it passes."""
    try:
        found.check(probe)
        return ""
    except (KeyboardInterrupt, _TimeUp):
        raise
    except Mistake as mistake:
        return _misfit(probe, found.reference, only_nothing=True) or str(mistake)
    except BaseException as error:
        kind, frames = type(error).__name__, list(traceback.walk_tb(error.__traceback__))
        said = f"{kind}: {ADVICE[kind]}" if kind in ADVICE else f"{kind}: {_brief(error)}".rstrip(": ")
        place = _place(frames)
        if place:
            return f"Your code raises {said}\n{place}"
        return _misfit(probe, found.reference) or f"The check cannot go on with your function: {said}"


def _misfit(probe, reference, only_nothing=False):
    """What is wrong with the type or shape of the last result, by the reference on the same arguments; "" if nothing."""
    if not isinstance(probe, _Probe) or probe.last is None or (only_nothing and probe.last[1] is not None):
        return ""
    try:
        args, kwargs = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype) if isinstance(x, jax.core.Tracer) else x, probe.last[0]
        )
        fit(probe.last[1], reference(*args, **kwargs))
    except Mistake as mistake:
        return str(mistake)
    except Exception:
        return NOTHING if probe.last[1] is None else ""
    return ""


def _brief(error):
    """The first informative lines of an error's message, without paths and addresses."""
    kept = []
    for line in str(error).strip().splitlines():
        told = kept and not kept[-1].endswith(":")
        if told and (not line.strip() or ".py" in line or line.startswith(("The error occurred", "This ", "See "))):
            break
        kept += [line.strip()] * bool(line.strip())
    text = re.sub(r" at 0x[0-9a-f]+|\S*[\\/]\S+\.py(:\d+)*", "", " ".join(kept[:3]))
    return textwrap.shorten(text, 300, placeholder=" …")


_INSTALLED = (
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
    *{sysconfig.get_path(key) + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib")},
    "<frozen ",
)


def _place(frames):
    """ "line 3:  the code", of the innermost of (frame, line) that is in the reader's code; "" if none is."""
    calls = [i for i, (frame, _) in enumerate(frames) if frame.f_code is _Probe.__call__.__code__]
    for frame, number in reversed(frames[calls[-1] + 1 if calls else 0 :]):
        file = frame.f_code.co_filename
        if not file.startswith(_INSTALLED) and "-packages" + os.sep not in file:
            return f"line {number}:  {linecache.getline(file, number, frame.f_globals).strip()}".rstrip(": ")
    return ""


def _timed(job):
    """What job() returns, or after TIME_LIMIT a message that says where the reader's code was.

    The job runs in a thread, so that a loop that never returns to Python (in XLA, or under a bare `except`) cannot
    keep the notebook waiting either; the thread is then left behind.
    """
    outcome, done = [], threading.Event()

    def work():
        try:
            outcome.append((job(), None))
        except BaseException as error:
            outcome.append(("", error))
        finally:
            done.set()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        finished = done.wait(TIME_LIMIT)
    except BaseException:  # the reader's interrupt
        _stop(thread)
        raise
    if finished:
        message, error = outcome[0]
        if error:
            raise error
        return message
    frame = sys._current_frames().get(thread.ident)
    place = _place(list(traceback.walk_stack(frame))[::-1]) if frame else ""
    ending = "" if _stop(thread) else " It is still running: restart the kernel when you can."
    return f"Stopped after {TIME_LIMIT:.0f} s: does a loop never end?{ending}\n{place}".rstrip()


def _stop(thread):
    for _ in range(5):  # again, since a bare `except` catches it
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_TimeUp))
        thread.join(0.1)
        if not thread.is_alive():
            return True
    return False
