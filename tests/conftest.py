"""One set of rules for tests and for the notebooks that run beside them."""

import gc
import os
import runpy
import signal
import sys
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX_PLATFORMS=cuda,cpu tests on a GPU
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # which workers and kernels share

import pytest
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with Ctrl-C ignored


def pytest_configure():
    os.environ["COURSE_STRICT"] = "1"  # notebooks inherit it: an expectation that is not met fails its cell
    keep_to_own_cores()
    if os.environ["JAX_PLATFORMS"] == "cpu":
        compile_quickly()

    import jax
    import matplotlib

    from gan_lib.device import enable_compilation_cache

    enable_compilation_cache()
    if os.environ["JAX_PLATFORMS"] != "cpu":  # a GPU would round the factors of products to 10 bits
        jax.config.update("jax_default_matmul_precision", "highest")
    matplotlib.use("agg")


def keep_to_own_cores():
    """Before NumPy starts threads: two programs with threads on all cores wait for each other most of the time."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1, …, or nothing without pytest-xdist
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[int(worker[2:]) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])] or cores)


def compile_quickly():
    """What tests compile seldom runs as long as it would take to optimise it: a third of their time.

    In this process alone. Kernels and programs that it starts, so all notebooks, compile as they do for a reader.
    """
    from gan_lib.device import start_xla

    start_xla(
        "xla_backend_optimization_level=0",
        "xla_llvm_disable_expensive_passes=true",
        "xla_cpu_parallel_codegen_split_count=1",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A worker gets a file at a time: a notebook's cells share a kernel, a file's tests what they compiled."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            return nodeid if file.endswith("test_careless.py") else file  # there, a kernel a test

    return ByFile(config, log)


@pytest.fixture(scope="module", autouse=True)
def room_for_programs():
    """A file leaves no compiled programs behind: each holds memory and a few of the 65,530 mappings that Linux gives a process.

    A worker that ran out of those died in the middle of the tests, as it read a program from the cache.
    """
    yield
    import jax

    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True)
def as_for_a_reader(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT")


@pytest.fixture
def compiled_as_for_a_reader(monkeypatch):
    """`fit` with all of XLA's optimisations: for tests that train for long, or of what only these may spoil."""
    from gan_lib import training

    fully = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
    chosen = training.compiler_options
    monkeypatch.setattr(training, "compiler_options", lambda *args: (chosen(*args) or {}) | fully)
    training._program.cache_clear()
    yield
    training._program.cache_clear()


@pytest.fixture
def benchmark(monkeypatch, capsys):
    """benchmark("step.py mlp 4") -> (exit status, what it prints, what it complains of), in this process.

    By itself, a benchmark takes longer to load JAX than to refuse an argument.
    """
    folder = Path(__file__).resolve().parent.parent / "benchmarks"
    monkeypatch.syspath_prepend(folder)

    def run(line):
        name, *args = line.split()
        monkeypatch.setattr(sys, "argv", [name, *args])
        status = 0
        try:
            runpy.run_path(str(folder / name), run_name="__main__")
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


class ThisPython(KernelManager):
    """Starts the kernel with the Python that runs the tests, whatever kernels the machine has registered."""

    kernel_spec = KernelSpec(**get_kernel_dict(["--log-level=ERROR"]))


@pytest.fixture
def kernel():
    """kernel(folder) -> (manager, client) of a real kernel that works in the folder. It ends with the test."""
    started = []

    def start(folder, attempts=3):
        manager = ThisPython()
        # One thread for NumPy's products: two that wait for each other on a busy machine take many times as long.
        manager.start_kernel(cwd=str(folder), env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
        client = manager.client()
        started.append((manager, client))
        client.start_channels()
        try:
            client.wait_for_ready(timeout=60)
        except RuntimeError:  # as when another program took one of the ports after they were chosen
            if attempts == 1:
                raise
            return start(folder, attempts - 1)
        return manager, client

    yield start
    for manager, client in started:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
