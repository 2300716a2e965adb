"""Exercises that check themselves and never block.

In a notebook, `@exercise("01.name")` checks the function under it, shows ○, ✗ or ✓, and returns that function if it
passes and the reference otherwise, so that the cells below always work. `nbNN.py` beside this file holds the
references, checks and hints of notebook NN; it is imported when one of its names is first asked for.
"""

import ast
import dataclasses
import difflib
import functools
import html
import importlib
import importlib.util
import inspect
import os
import pkgutil
import re
import sys
from collections import Counter
from collections.abc import Callable

from gan_lib.exercises.compare import Mistake, same
from gan_lib.exercises.running import bare, judge, timed

__all__ = ["Mistake", "NotYet", "check", "define", "exercise", "hint", "names", "progress", "same", "solution"]

STATES = {  # mark, words, colour
    "open": ("○", "open, the reference stands in", "#888888"),
    "wrong": ("✗", "not yet, the reference stands in", "#d55e00"),
    "passed": ("✓", "yours is used from here on", "#009e73"),
}


class NotYet(AssertionError):
    """A wrong answer while COURSE_STRICT=1."""


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
    state, message = timed(functools.partial(judge, _find(name), fn))
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
    """The source of the reference, with what it imports by name, as a card; pasted into a cell it is checked."""
    reference = bare(_find(name).reference)
    _touch(name)
    source = inspect.getsource(inspect.getmodule(reference))  # by name, as the lines may have moved since the import
    body = ast.parse(source).body
    node = next(node for node in body if getattr(node, "name", "") == reference.__name__)
    first = [d.lineno for d in node.decorator_list if not ast.unparse(d).startswith("define(")] + [node.lineno]
    lines = source.splitlines()[first[0] - 1 : node.end_lineno]
    used = {part.id for part in ast.walk(ast.parse("\n".join(lines))) if isinstance(part, ast.Name)}
    brought = [
        f"from {line.module} import {ast.unparse(alias)}"
        for line in body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
        if (alias.asname or alias.name) in used
    ]
    return Card(
        f"{name} · solution", "\n".join([*brought, *[""] * bool(brought), f'@exercise("{name}")', *lines]), code=True
    )


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
