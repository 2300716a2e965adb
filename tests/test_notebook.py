"""What notebooks need: checks that can fail, honest timing, a receipt."""

import os
import re
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from packaging.requirements import Requirement

from gan_lib import device, notebook
from gan_lib.notebook import budget, expect, median_ms, receipt


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (0.98, dict(at_least=0.97)),
        (0.97, dict(at_least=0.97)),
        (3, dict(at_most=3)),
        (jnp.float32(1.0), dict(at_least=0, at_most=2)),
        (1.38, dict(near=1.386, tol=0.01)),
    ],
)
def test_an_expectation_that_is_met(value, bounds, capsys):
    expect("name", value, **bounds)
    assert capsys.readouterr().out.startswith("✓ name: ")


@pytest.mark.parametrize(
    ("value", "bounds", "words"),
    [
        (0.96, dict(at_least=0.97), "0.96 (expected at least 0.97)"),
        (3.1, dict(at_most=3), "3.1 (expected at most 3)"),
        (2.5, dict(at_least=0, at_most=2), "(expected at least 0 and at most 2)"),
        (1.37, dict(near=1.386, tol=0.01), "(expected 1.386 ± 0.01)"),
        (1.40, dict(near=1.386, tol=0.01), "(expected 1.386 ± 0.01)"),
        (float("nan"), dict(at_least=0), "nan"),
        (float("nan"), dict(at_most=9), "nan"),
        (float("nan"), dict(at_least=-9, at_most=9), "nan"),
        (float("nan"), dict(near=0, tol=9), "nan"),
        (jnp.float32("nan"), dict(at_most=float("inf")), "nan"),
    ],
)
def test_an_expectation_that_is_not_met(value, bounds, words, capsys, monkeypatch):
    expect("name", value, **bounds)
    out = capsys.readouterr().out
    assert out.startswith("✗ name: ")
    assert words in out
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(AssertionError, match="name"):
        expect("name", value, **bounds)


@pytest.mark.parametrize("bounds", [{}, dict(near=1), dict(tol=1)])
def test_an_expectation_without_a_bound_is_refused(bounds):
    with pytest.raises(ValueError, match="needs a bound"):
        expect("name", 1, **bounds)


def test_budget_follows_the_device(monkeypatch):
    assert budget(cpu=1, gpu=2) == (1 if jax.default_backend() == "cpu" else 2)
    for backend, number in {"cpu": 1, "gpu": 2, "tpu": 2}.items():
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        assert budget(cpu=1, gpu=2) == number


def test_timing_waits_for_the_result():
    """A callback that sleeps 20 ms on the device: who does not wait measures the dispatch alone."""

    @jax.jit
    def slow(x):
        return jax.pure_callback(lambda x: (time.sleep(0.02), x)[1], jax.ShapeDtypeStruct((), jnp.float32), x)

    assert 20 <= median_ms(slow, jnp.float32(1), repeats=3) < 200


def test_receipt_says_whether_the_versions_were_tested(capsys, monkeypatch):
    monkeypatch.setattr(notebook, "TESTED", {(jax.__version__, notebook.flax.__version__)})
    receipt()
    assert re.search(rf"jax {re.escape(jax.__version__)}, flax .*\(tested\)", capsys.readouterr().out)
    monkeypatch.setattr(notebook, "TESTED", set())
    receipt()
    assert "not tested" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("jax", "flax", "verdict"),
    [
        ("0.7.2", "0.11.2", "tested"),
        ("0.12.0.1", "0.12.12", "tested"),
        ("0.7.2", "0.12.12", "not tested"),
        ("0.10.0", "0.12.0", "not tested"),  # 10 is more than 7
        ("1.0.0", "0.13.0rc1", "not tested"),
        ("0.7.1", "0.11.2", "too old"),
        ("0.10.2", "0.10.7", "too old: the course needs jax 0.7.2 and flax 0.11.2 or newer"),
    ],
)
def test_versions_have_one_of_three_verdicts(jax, flax, verdict):
    assert notebook._verdict(jax, flax).startswith(verdict)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strict", "module", "stops"),
    [("1", "__main__", 1), ("1", "gan_lib.training", 1), ("1", "numpy", 0), ("", "__main__", 0)],
)
def test_a_warning_from_the_courses_code_is_an_error_where_it_is_tested(strict, module, stops):
    code = f"import warnings\nfrom gan_lib import notebook\nnotebook.receipt()\n__name__ = {module!r}\n"
    code += 'warnings.warn("old name", DeprecationWarning)'
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"COURSE_STRICT": strict}, cwd=Path(__file__).parents[1], capture_output=True, text=True,
    )  # fmt: skip
    assert ("gan_lib" in done.stdout, done.returncode) == (True, stops), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "flags", "level"),
    [
        ("", None, 1),
        ("", "--xla_backend_optimization_level=2", 2),  # the reader's own
        ("jax.numpy.ones(3)", None, 3),  # too late
        ("jax.__version__ = '1.2.3'", None, 3),
        ("jax.config.update('jax_platforms', None); device.find_spec = lambda name: name == 'jax_plugins'", None, 3),
    ],
)
def test_a_receipt_has_xla_compile_sooner_on_a_cpu(before, flags, level):
    code = f"""import os, jax
from gan_lib import device, notebook
from jax.extend.backend import get_compile_options
given = os.environ.get("XLA_FLAGS")
{before}
notebook.receipt()
assert os.environ.get("XLA_FLAGS") == given
options = get_compile_options(1, 1).executable_build_options.debug_options
print(options.xla_backend_optimization_level, options.xla_llvm_disable_expensive_passes)"""
    env = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env | ({"XLA_FLAGS": flags} if flags else {}), cwd=Path(__file__).parents[1], capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split("\n")[1:2] == [f"{level} {level < 3}"], done.stderr


def test_a_warning_is_an_error_in_these_tests():
    with pytest.raises(DeprecationWarning):
        warnings.warn("old name", DeprecationWarning, stacklevel=1)


def test_tested_versions_are_those_the_project_installs():
    """The oldest pair, from the Makefile, and the pinned ones."""
    root = Path(__file__).parents[1]
    oldest = dict(re.findall(r"(jax|flax)==(\S+)", (root / "Makefile").read_text()))
    pins = [Requirement(line) for line in (root / "constraints.txt").read_text().splitlines() if "==" in line]
    pairs = {(oldest["jax"], oldest["flax"])}
    for python in ("3.11", "3.12", "3.13", "3.14"):
        of = {
            pin.name: str(pin.specifier).removeprefix("==")
            for pin in pins
            if not pin.marker or pin.marker.evaluate({"python_version": python, "python_full_version": f"{python}.0"})
        }
        pairs.add((of["jax"], of["flax"]))
    assert pairs == device.TESTED


def test_the_compilation_cache_is_in_the_users_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    try:
        device.enable_compilation_cache()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "gan-course" / "xla")
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


# --- places and consoles --------------------------------------------------------------------------------------------


def run(code, **env):
    """What a new Python prints, with these environment variables, from the repository's root."""
    kept = {name: value for name, value in os.environ.items() if name not in env} | {"JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {name: value for name, value in env.items() if value is not None},
        cwd=Path(__file__).parents[1], capture_output=True, check=True,
    )  # fmt: skip


COMPILES = "from gan_lib.notebook import receipt; receipt()\nimport jax\nprint(jax.jit(lambda x: x * 3 + 1)(jax.numpy.arange(4)))"


@pytest.mark.slow
def test_damaged_entries_of_the_cache_are_replaced(tmp_path):
    folder = tmp_path / "gan-course" / "xla"
    first = run(COMPILES, XDG_CACHE_HOME=str(tmp_path))
    entries = {path: path.read_bytes() for path in folder.glob("*-cache")}
    assert entries
    for i, (path, whole) in enumerate(entries.items()):
        path.write_bytes(whole[: i % 3 * len(whole) // 3])  # nothing, a third, two thirds
    second = run(COMPILES, XDG_CACHE_HOME=str(tmp_path))
    assert (second.stdout, second.stderr) == (first.stdout, first.stderr)
    assert all(device._is_whole(path.read_bytes()) for path in entries)  # compiled anew, they may differ in some bytes


def test_whole_entries_are_left_alone_and_looked_at_once(tmp_path, monkeypatch):
    whole, half = tmp_path / "a-cache", tmp_path / "b-cache"
    whole.write_bytes(zlib.compress(b"program" * 100))
    half.write_bytes(zlib.compress(b"program" * 100)[:-3])
    device.drop_damaged(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-cache", "looked-at"]
    os.utime(whole, (0, 0))
    monkeypatch.setattr(device, "_is_whole", lambda packed: pytest.fail("it was looked at before"))
    device.drop_damaged(tmp_path)


def test_where_nothing_can_be_cached_no_cell_fails(tmp_path, monkeypatch):
    (tmp_path / "gan-course").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = jax.config.jax_compilation_cache_dir
    device.enable_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == before


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_a_console_that_lacks_the_marks_shows_the_line(encoding):
    code = "from gan_lib.notebook import expect, receipt; receipt(); expect('a', 1, at_least=0)"
    lines = run(code, PYTHONIOENCODING=encoding).stdout.decode(encoding).splitlines()
    assert lines[0].startswith("gan_lib ")
    assert lines[1] == "? a: 1 (expected at least 0)"
