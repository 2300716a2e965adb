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
import dis
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

from gan_lib.exercises.compare import NOTHING, Mistake, fit, kind_of, same

__all__ = ["Mistake", "NotYet", "check", "define", "exercise", "hint", "names", "progress", "same", "solution"]

TIME_LIMIT = 9.0  # seconds for a check; stopping it may take another half, so that no cell hangs for 10
STATES = {  # mark, words, colour
    "open": ("○", "open, the reference stands in", "#888888"),
    "wrong": ("✗", "not yet, the reference stands in", "#d55e00"),
    "passed": ("✓", "yours is used from here on", "#009e73"),
}
ADVICE = {  # what JAX says at length
    "TracerBoolConversionError": "a Python `if`, `while` or `and` cannot look at it; use `jnp.where` or `jax.lax.cond`",
    "ConcretizationTypeError": "`float(x)`, `int(x)` and `x.item()` find no value in it; keep the array",
    "TracerIntegerConversionError": "it cannot be a Python index or length",
    "TracerArrayConversionError": "NumPy cannot read it; use `jnp`",
    "NonConcreteBooleanIndexError": "`x[mask]` has no fixed shape there; use `jnp.where(mask, x, 0)`",
}


class NotYet(AssertionError):
    """A wrong answer while COURSE_STRICT=1."""


class _TimeUp(BaseException):
    """Stops an endless loop. Not an Exception: the loop may catch those."""


@dataclasses.dataclass(frozen=True)
class Exercise:
    name: str
    reference: Callable
    difficulty: int
    minutes: float
    hints: tuple[str, str, str]
    check: Callable


class Card:
    """A headline and a text: HTML in a notebook, plain text elsewhere.

    The text's first line is a sentence; the others (all of them if `code`) keep their columns. foot: a last line.
    """

    def __init__(self, head, text="", foot="", colour="#888888", code=False):
        self.head, self.text, self.foot, self.colour, self.code = head, text, foot, colour, code

    def __repr__(self):
        return "\n  ".join([self.head, *self.text.splitlines(), *self.foot.splitlines()])

    def _repr_html_(self):
        sentence, _, columns = ("", "", self.text) if self.code else self.text.partition("\n")
        box = f"border-left:4px solid {self.colour};background:rgba(127,127,127,.09);padding:.4em .8em;max-width:64em"
        pre = "margin:.3em 0;padding:0;background:none;color:inherit;white-space:pre-wrap;font-family:monospace"
        return (
            f'<div style="{box}"><div><b>{html.escape(self.head)}</b></div>'
            + f"<div>{_marked(sentence)}</div>" * bool(sentence)
            + f'<pre style="{pre}">{html.escape(columns)}</pre>' * bool(columns)
            + f'<div style="opacity:.75">{_marked(self.foot)}</div></div>'
        )


def _marked(line):
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(line))


class Result(Card):
    """What a check found. state: "open", "wrong" or "passed"; message: why; passed: whether it did."""

    def __init__(self, name, state, message):
        self.name, self.state, self.message, self.passed = name, state, message, state == "passed"
        mark, words, colour = STATES[state]
        foot = f'`hint("{name}")` gives the next hint, `solution("{name}")` the reference.'
        super().__init__(f"{mark} {name} · {words}", *((message, foot) if state == "wrong" else ("", "")), colour)


_EXERCISES: dict[str, Exercise] = {}
_SESSION: dict[str, str] = {}  # name -> state, the one last touched at the end
_HINTS = Counter()


# --- for authors ----------------------------------------------------------------------------------------------------


def define(name, *, difficulty, minutes, hints, check):
    """Decorator that registers the reference of an exercise and returns it unchanged.

    name: "NN.snake_case"; difficulty: 1, 2 or 3; minutes: > 0; hints: three texts, more and more concrete;
    check: function of the reader's function that raises Mistake(message) on a wrong answer, in well under 5 s.
    """
    texts = {text.strip() for text in hints if isinstance(text, str)} - {""}
    for fine, wanted in (
        (isinstance(name, str) and re.fullmatch(r"\d\d\.[a-z][a-z0-9_]*", name), 'a name such as "01.some_words"'),
        (difficulty in (1, 2, 3), f"a difficulty of 1, 2 or 3; got {difficulty!r}"),
        (isinstance(minutes, int | float) and minutes > 0, f"minutes above 0; got {minutes!r}"),
        (not isinstance(hints, str) and len(hints) == len(texts) == 3, f"three different hints; got {hints!r}"),
        (callable(check), f"a function as check; got {check!r}"),
    ):
        if not fine:
            raise ValueError(f"define({name!r}) needs {wanted}.")

    def register(reference):
        home, right = reference.__module__, f"{__name__}.nb{name[:2]}"
        if name in _EXERCISES and _EXERCISES[name].reference.__module__ != home:
            raise ValueError(f"{name!r} is defined twice: in {_EXERCISES[name].reference.__module__} and in {home}.")
        if home.startswith(f"{__name__}.nb") and home != right:
            raise ValueError(f"{name!r} is defined in {home}, and is looked for in {right}: move it there.")
        _EXERCISES[name] = Exercise(name, reference, difficulty, minutes, tuple(hints), check)
        return reference

    return register


def _find(name):
    if not isinstance(name, str):
        raise ValueError(f'an exercise goes by its name, as in @exercise("01.some_words"); got {name!r}.')
    module = f"{__name__}.nb{name[:2]}"
    if name not in _EXERCISES and re.match(r"\d\d", name) and importlib.util.find_spec(module):
        importlib.import_module(module)
    if name not in _EXERCISES:
        near = difflib.get_close_matches(name, names(), cutoff=0.4) or names()
        raise ValueError(f"there is no exercise {name!r}. The nearest names are {', '.join(near)}.")
    return _EXERCISES[name]


# --- for readers ----------------------------------------------------------------------------------------------------


def exercise(name):
    """Decorator: check the reader's function, show the outcome, return the function if it passes, else the reference.

    COURSE_STRICT=1 turns a wrong answer (not an open one) into a NotYet error. ValueError on an unknown name.
    """
    reference = _find(name).reference

    def judge(fn):
        result = check(name, fn)
        _touch(name, result.state)
        _show(result)
        if result.state == "wrong" and os.environ.get("COURSE_STRICT") == "1":
            raise NotYet(f"{name}: {result.message}")
        return fn if result.passed else reference

    return judge


def check(name, fn):
    """Check `fn` against exercise `name`: a Result with .passed, .message and .state. Raises nothing that fn raises."""
    state, message = _timed(functools.partial(_judge, _find(name), fn))
    return Result(name, state, message or STATES[state][1])


def hint(name):
    """The next of the three hints of an exercise, as a card."""
    hints = _find(name).hints
    _touch(name)
    _HINTS[name] += 1
    if _HINTS[name] > 3:
        return Card(name, f'There are no more hints: `solution("{name}")` shows the reference.')
    return Card(f"{name} · hint {_HINTS[name]} of 3", hints[_HINTS[name] - 1])


def solution(name):
    """The source of the reference, as a card."""
    reference = _bare(_find(name).reference)
    _touch(name)
    source = inspect.getsource(inspect.getmodule(reference))  # by name, as the lines may have moved since the import
    node = next(node for node in ast.parse(source).body if getattr(node, "name", "") == reference.__name__)
    first = [d.lineno for d in node.decorator_list if not ast.unparse(d).startswith("define(")] + [node.lineno]
    lines = source.splitlines()[first[0] - 1 : node.end_lineno]
    return Card(f"{name} · solution", "\n".join(lines), code=True)


def progress(notebook=None):
    """A card of the exercises of a notebook ("01"; by default the one last touched) with state, difficulty, minutes."""
    notebook = notebook or next(reversed(_SESSION), "")[:2]
    listed = [_find(name) for name in names(notebook)]
    states = [_SESSION.get(found.name, "open") for found in listed]
    width = max((len(found.name) for found in listed), default=0)
    rows = (
        f"{STATES[state][0]} {found.name:<{width}}  difficulty {found.difficulty}/3  {found.minutes:>3g} minutes"
        for state, found in zip(states, listed, strict=True)
    )
    head = f"Notebook {notebook}" if notebook else "All notebooks"
    return Card(f"{head} · {states.count('passed')} of {len(states)} exercises done", "\n".join(rows), code=True)


def names(notebook=None):
    """The names of all exercises, or of one notebook's ("01"), in order. ValueError if that has none."""
    for module in pkgutil.iter_modules(__path__):
        if re.fullmatch(r"nb\d\d", module.name):
            importlib.import_module(f"{__name__}.{module.name}")
    found = [name for name in _EXERCISES if not notebook or name[:2] == notebook]
    if notebook and not found:
        known = ", ".join(sorted({name[:2] for name in _EXERCISES}))
        raise ValueError(f"notebook {notebook!r} has no exercises; these have: {known}.")
    return sorted(found, key=lambda name: name[:2])  # within a notebook they stay in the order of definition


def _touch(name, state=None):
    _SESSION[name] = state or _SESSION.get(name, "open")
    _SESSION[name] = _SESSION.pop(name)  # to the end


def _show(card):
    if getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)():
        from IPython.display import display  # the shell is there, so is this

        display(card)
    else:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # some consoles lack ○ ✗ ✓
        print(repr(card).encode(encoding, "replace").decode(encoding))


# --- looking at the reader's function -------------------------------------------------------------------------------


def _bare(fn):
    """The function inside jit, partial and the like."""
    for _ in range(20):
        fn = fn.func if isinstance(fn, functools.partial) else getattr(fn, "__wrapped__", fn)
    return fn


def _is_open(fn, reference):
    """Whether the body is nothing but a docstring, `...` or `pass`; for a class, that of a method the reference has."""
    fn = _bare(fn)
    if isinstance(fn, type):
        methods = {name: item for name, item in vars(fn).items() if inspect.isfunction(item)}
        return not methods or any(_is_open(item, None) for name, item in methods.items() if name in vars(reference))
    if not inspect.isfunction(fn) or fn.__name__ == "<lambda>":
        return False
    try:
        node = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
        if node.name == fn.__name__:
            return all(map(_idle, node.body))
    except Exception:  # no source, or not the one that was run: an empty body only loads and returns None
        pass
    empty = {"NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    steps = [step for step in dis.get_instructions(fn) if step.opname != "RESUME"]
    return all(step.opname in empty and step.argval is None for step in steps)


def _idle(line):
    return isinstance(line, ast.Pass) or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))


def _unfit(fn, reference):
    """Why fn cannot take the reference's place, seen without calling it; "" if nothing speaks against it."""
    if not callable(fn):
        return f"`@exercise` needs a function, and got {kind_of(fn)}."
    if isinstance(fn, type) != isinstance(reference, type):
        kinds = ("class", "function") if isinstance(reference, type) else ("function", "class")
        return "A {} is asked for, and you give a {}.".format(*kinds)
    for test, kind in (
        (inspect.iscoroutinefunction, "an `async def`; write a plain `def`"),
        (inspect.isasyncgenfunction, "an asynchronous generator; write a plain `def` with `return`"),
        (inspect.isgeneratorfunction, "a generator, since it has a `yield`; use `return`"),
    ):
        if test(_bare(fn)) and not test(_bare(reference)):
            return f"Your function is {kind}."
    try:
        asked, given = inspect.signature(reference), inspect.signature(fn)
    except (TypeError, ValueError):  # some callables have none
        return ""
    needed = [p for p in asked.parameters.values() if p.default is p.empty]
    places = [p.name for p in needed if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    try:
        given.bind(*places, **{p.name: p for p in needed if p.kind == p.KEYWORD_ONLY})
    except TypeError as error:
        return f"Your function takes {_arguments(given)}, and is called with {_arguments(asked)}: {error}."
    return ""


def _arguments(signature):
    bare = [p.replace(default=p.empty, annotation=p.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(bare))


# --- running it -----------------------------------------------------------------------------------------------------


class _Probe:
    """The reader's function as its check sees it: remembers the last call, notices inputs changed in place."""

    def __init__(self, fn):
        functools.update_wrapper(self, fn, updated=())
        self.last = None  # (args, kwargs), result

    def __call__(self, *args, **kwargs):
        before = _contents((args, kwargs))
        result = self.__wrapped__(*args, **kwargs)
        if _contents((args, kwargs)) != before:
            raise Mistake("Your function changes its inputs in place: build new arrays, lists or dicts instead.")
        self.last = (args, kwargs), result
        return result

    def __getattr__(self, name):  # such as .lower of a jitted function
        return getattr(self.__dict__["__wrapped__"], name)


def _contents(tree):
    leaves, structure = jax.tree.flatten(tree, is_leaf=lambda x: not isinstance(x, dict | list | tuple))
    return structure, [leaf.tobytes() if isinstance(leaf, np.ndarray) else id(leaf) for leaf in leaves]


def _judge(found, fn):
    """(state, message) of the reader's fn."""
    probe = None
    try:
        if _is_open(fn, found.reference):
            return "open", ""
        if message := _unfit(fn, found.reference):
            return "wrong", message
        probe = fn if isinstance(fn, type) else _Probe(fn)
        found.check(probe)
    except (KeyboardInterrupt, _TimeUp):
        raise
    except Mistake as mistake:
        nothing = isinstance(probe, _Probe) and probe.last and probe.last[1] is None
        return "wrong", (nothing and _misfit(probe, found.reference)) or str(mistake)
    except BaseException as error:
        said = f"{type(error).__name__}: {_brief(error)}".rstrip(": ")
        if place := _place(traceback.walk_tb(error.__traceback__)):
            return "wrong", f"Your code raises {said}\n{place}"
        return "wrong", _misfit(probe, found.reference) or f"The check cannot go on with your function: {said}"
    return "passed", ""


def _misfit(probe, reference):
    """What is wrong with the type or shape of the last result, by the reference on the same inputs; "" if nothing."""
    if not isinstance(probe, _Probe) or not probe.last:
        return ""
    call, result = probe.last
    try:  # tracers of a transformation that is over become zeros
        args, kwargs = jax.tree.map(
            lambda x: jnp.zeros(x.shape, x.dtype) if isinstance(x, jax.core.Tracer) else x, call
        )
        fit(result, reference(*args, **kwargs))
    except Mistake as mistake:
        return str(mistake)
    except Exception:
        return NOTHING if result is None else ""
    return ""


def _brief(error):
    """The first informative lines of an error's message, without paths and addresses."""
    if type(error).__name__ in ADVICE:
        return f"inside jit, grad or vmap an array has no value yet: {ADVICE[type(error).__name__]}."
    try:
        text = str(error)
    except Exception:
        return ""
    kept = []
    for line in filter(str.strip, text.splitlines()):
        if kept and (".py" in line or line.startswith(("The error occurred", "This ", "See ", "-----"))):
            break
        kept.append(re.sub(r" at 0x[0-9a-f]+|\S*[\\/]\S+\.py(:\d+)*", "", line.strip()))
    return textwrap.shorten(" ".join(kept[:3]), 300, placeholder=" …")


_INSTALLED = (
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
    *{sysconfig.get_path(key) + os.sep for key in ("stdlib", "platstdlib", "purelib", "platlib")},
    "<frozen ",
)


def _place(frames):
    """The innermost of (frame, line)s in the reader's code, as "line 3:  x = y", or "" if none is."""
    for frame, number in reversed(list(frames)):
        file = frame.f_code.co_filename
        if not file.startswith(_INSTALLED) and f"-packages{os.sep}" not in file:
            code = linecache.getline(file, number, frame.f_globals).strip()
            return f"line {number}:  {code}" if code else f"line {number}"
    return ""


def _timed(job):
    """What job() returns, or after TIME_LIMIT a wrong state that says where the reader's code was.

    The job has its own thread: neither a loop inside XLA nor one with a bare `except` can keep the notebook waiting.
    """
    outcome, done = [], threading.Event()

    def work():
        try:
            outcome.append((job(), None))
        except BaseException as error:
            outcome.append((None, error))
        finally:
            done.set()

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        if not done.wait(TIME_LIMIT):
            frame = sys._current_frames().get(thread.ident)
            place = _place(list(traceback.walk_stack(frame))[::-1]) if frame else ""
            ending = "" if _stop(thread) else " It is still running: restart the kernel when you can."
            return "wrong", f"Stopped after {TIME_LIMIT:g} s: does a loop never end?{ending}\n{place}".rstrip()
    except BaseException:  # the reader's interrupt
        _stop(thread)
        raise
    result, error = outcome[0]
    if error:
        raise error
    return result


def _stop(thread):
    for _ in range(5):  # more than once: a bare `except` catches it
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_TimeUp))
        thread.join(0.1)
        if not thread.is_alive():
            return True
    return False
