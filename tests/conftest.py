"""One set of rules for tests and for the notebooks that run beside them."""

import os
import signal

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX_PLATFORMS=cuda tests on a GPU

import matplotlib
import pytest

from gan_lib.notebook import enable_compilation_cache

enable_compilation_cache()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with Ctrl-C ignored
matplotlib.use("agg")


def pytest_configure():
    os.environ["COURSE_STRICT"] = "1"  # notebooks inherit it: an expectation that is not met fails its cell


@pytest.fixture(autouse=True)
def as_for_a_reader(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT")
