"""Look at a reader's function, and run its check under a time limit: what it says of the answer, whatever that does."""

import ast
import contextvars
import ctypes
import dis
import functools
import inspect
import linecache
import os
import re
import sys
import sysconfig
import textwrap
import threading
import time
import traceback

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.exercises.compare import NOTHING, Mistake, fit, kind_of

# Seconds of computing for a check; stopping it may take another half, so that no cell hangs for 10 on an idle machine.
TIME_LIMIT = 9.0
PATIENCE = 30.0  # seconds on the wall, however little of them a busy machine gives to the check
ADVICE = {  # what JAX says at length
    "TracerBoolConversionError": "a Python `if`, `while` or `and` cannot look at it; use `jnp.where` or `jax.lax.cond`",
    "ConcretizationTypeError": "`float(x)`, `int(x)` and `x.item()` find no value in it; keep the array",
    "TracerIntegerConversionError": "it cannot be a Python index or length",
    "TracerArrayConversionError": "NumPy cannot read it; use `jnp`",
    "NonConcreteBooleanIndexError": "`x[mask]` has no fixed shape there; use `jnp.where(mask, x, 0)`",
}


class _TimeUp(BaseException):
    """Stops an endless loop. Not an Exception: the loop may catch those."""


# --- looking at the reader's function -------------------------------------------------------------------------------


def bare(fn):
    """The function inside jit, partial and the like."""
    for _ in range(20):
        fn = fn.func if isinstance(fn, functools.partial) else getattr(fn, "__wrapped__", fn)
    return fn


def _is_open(fn, reference):
    """Whether the body is nothing but a docstring, `...` or `pass`; for a class, that of a method the reference has."""
    fn = bare(fn)
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
        if test(bare(fn)) and not test(bare(reference)):
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


def judge(found, fn):
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


def timed(job):
    """What job() returns, or when the time is up a wrong state that says where the reader's code was.

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
        if late := _time_up(done):
            frame = sys._current_frames().get(thread.ident)
            place = _place(list(traceback.walk_stack(frame))[::-1]) if frame else ""
            ending = "" if _stop(thread) else " It is still running: restart the kernel when you can."
            return "wrong", f"{late}{ending}\n{place}".rstrip()
    except BaseException:  # the reader's interrupt
        _stop(thread)
        raise
    result, error = outcome[0]
    if error:
        raise error
    return result


def _time_up(done):
    """Waits for the event. "" if it comes; else, after TIME_LIMIT seconds of computing or PATIENCE on the wall, what to say.

    Computing is processor time of the whole process. That of the job's thread alone would miss XLA, which compiles and
    runs in threads of its own; and a kernel does nothing else while a cell waits here. Several threads at once (or a
    loop that an earlier check left behind) use up the limit sooner than a clock: so never before TIME_LIMIT on the wall.
    """
    began, used = time.perf_counter(), time.process_time()
    if done.wait(TIME_LIMIT):
        return ""
    while (computed := time.process_time() - used) < TIME_LIMIT:
        if (waited := time.perf_counter() - began) >= PATIENCE:
            if computed < 0.02 * waited:
                return f"Stopped after {waited:.0f} s, in which it hardly computed: does your code wait for something?"
            return (
                f"Stopped after {waited:.0f} s, {computed:.1f} s of them computing: is this machine slow, or busy with "
                "other programs? Then run the cell again when it is not."
            )
        if done.wait(0.1):
            return ""
    return f"Stopped after {TIME_LIMIT:g} s: does a loop never end?"


def _stop(thread):
    for _ in range(5):  # more than once: a bare `except` catches it
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_TimeUp))
        thread.join(0.1)
        if not thread.is_alive():
            return True
    return False
