"""What only notebooks need: a receipt of the environment, budgets by device, friendly checks, honest timing."""

import os
import platform
import re
import time
import warnings
from importlib.util import find_spec
from statistics import median

import flax
import jax
import numpy as np

import gan_lib
from gan_lib import plots
from gan_lib.data import cache_folder

OLDEST = ("0.7.2", "0.11.2")  # the first (jax, flax) that the course supports
# The pairs on which every test passes: the oldest, and those of constraints.txt.
TESTED = {OLDEST, ("0.10.2", "0.12.8"), ("0.12.0.1", "0.12.12")}


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
    where = (
        f"{os.cpu_count()} CPU cores" if device.platform == "cpu" else f"{jax.device_count()} × {device.device_kind}"
    )
    versions = f"jax {jax.__version__}, flax {flax.__version__}, Python {platform.python_version()}"
    verdict = _verdict(jax.__version__, flax.__version__)
    print(f"gan_lib {gan_lib.__version__} on {where} · {versions} ({verdict})")


def _verdict(*pair):
    """What the tests say of a pair of versions, (jax, flax)."""
    if pair in TESTED:
        return "tested"
    if any(_numbers(version) < _numbers(oldest) for version, oldest in zip(pair, OLDEST, strict=True)):
        return "too old: the course needs jax {} and flax {} or newer, so expect errors".format(*OLDEST)
    return "not tested together: small differences are possible"


def _numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)]


def enable_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that a second run starts in a fraction of the time."""
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def compile_sooner() -> None:
    """On a CPU, have XLA leave out optimisations that are a quarter of its work and make no training step faster.

    No effect after the first array, with a GPU or a TPU to compile for, and where jax is newer than any version tested: XLA
    ends the program at a flag that it does not know.
    """
    known = any(_numbers(jax.__version__) <= _numbers(tested) for tested, _ in TESTED)
    alone = jax.config.jax_platforms == "cpu" or not any(find_spec(name) for name in ("jax_plugins", "libtpu"))
    if known and alone:
        start_xla("xla_backend_optimization_level=1", "xla_llvm_disable_expensive_passes=true")


def start_xla(*flags: str) -> None:
    """Start the compiler of JAX with these flags and those in XLA_FLAGS, which stays as it is and wins where they differ.

    It reads them once: no effect after the first array.
    """
    given = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = " ".join([*(f"--{flag}" for flag in flags), given or ""])
    try:
        jax.devices()
    finally:
        if given is None:
            del os.environ["XLA_FLAGS"]
        else:
            os.environ["XLA_FLAGS"] = given


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
    print(line if passed else f"{line}. If you changed a cell above, this may be your finding; else please report it.")
