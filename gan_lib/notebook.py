"""What only notebooks need: a receipt of the environment, budgets by device, friendly checks, honest timing."""

import os
import platform
import sys
import time
import warnings
from statistics import median

import flax
import jax
import numpy as np

import gan_lib
from gan_lib import plots
from gan_lib.device import OLDEST, TESTED, compile_sooner, enable_compilation_cache, numbers


def receipt() -> None:
    """Print what runs here, and whether it was tested; switch on the course's plot style, and what saves compiling.

    With COURSE_STRICT=1, as in the tests, a warning that gan_lib or a cell causes is an error from here on.
    """
    if os.environ.get("COURSE_STRICT") == "1":
        warnings.filterwarnings("error", module=r"(gan_lib|__main__)\b")
    enable_compilation_cache()
    compile_sooner()
    plots.style()
    device = jax.devices()[0]
    where = f"{os.cpu_count()} cores" if device.platform == "cpu" else f"{jax.device_count()} × {device.device_kind}"
    versions = f"jax {jax.__version__}, flax {flax.__version__}, Python {platform.python_version()}"
    verdict = _verdict(jax.__version__, flax.__version__)
    say(f"gan_lib {gan_lib.__version__} on {where} · {versions} ({verdict})")


def _verdict(*pair):
    """What the tests say of a pair of versions, (jax, flax)."""
    if pair in TESTED:
        return "tested"
    if any(numbers(version) < numbers(oldest) for version, oldest in zip(pair, OLDEST, strict=True)):
        return "too old: the course needs jax {} and flax {} or newer, so expect errors".format(*OLDEST)
    return "not tested together: small differences are possible"


def budget(*, cpu, gpu):
    """The one of two numbers that suits the device at hand; a TPU counts as a GPU."""
    return cpu if jax.default_backend() == "cpu" else gpu


def median_ms(fn, *args, repeats: int = 10) -> float:
    """Median wall time of fn(*args) in milliseconds. Compiles first, and waits for each result: JAX returns early."""
    jax.block_until_ready(fn(*args))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(fn(*args))
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def expect(name: str, value, *, at_least=None, at_most=None, near=None, tol=None) -> None:
    """Say whether a number came out as it should: within [at_least, at_most], or within tol of near.

    Prints a line that starts with ✓ or ✗. With COURSE_STRICT=1, as in the tests, a ✗ raises AssertionError.
    Raises ValueError where no bound is given: a check that cannot fail checks nothing.
    """
    if (near is None) != (tol is None) or (at_least is None and at_most is None and near is None):
        raise ValueError("expect needs a bound: at_least, at_most, or near with tol.")
    value = float(np.asarray(value))
    near_it = None if near is None else f"{near:g} ± {tol:g}"
    bounds = [("at least {:g}", at_least), ("at most {:g}", at_most), ("{}", near_it)]
    bounds = " and ".join(words.format(bound) for words, bound in bounds if bound is not None)
    passed = (
        (at_least is None or value >= at_least)
        and (at_most is None or value <= at_most)
        and (near is None or abs(value - near) <= tol)
    )
    line = f"{'✓' if passed else '✗'} {name}: {value:.4g} (expected {bounds})"
    if not passed and os.environ.get("COURSE_STRICT") == "1":
        raise AssertionError(line)
    say(line if passed else f"{line}. If you changed a cell above, this may be your finding; else please report it.")


def say(line: str) -> None:
    """Print, with ? for what the console cannot show: some lack ✓, · and ×."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding))
