"""The set-up, in a course of two files whose packages lie in a folder: ready means ready, or one line says what to do."""

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parent.parent
INSTALL = runpy.run_path(str(ROOT / ".ci" / "install.py"))
BACKEND = """
import pathlib, zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(pathlib.Path(folder, "gan_lib-1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("gan_lib.pth", str(pathlib.Path.cwd()))
        wheel.writestr("gan_lib-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("gan_lib-1.dist-info/RECORD", "")
        wheel.writestr("gan_lib-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: gan_lib\\nVersion: 1\\n"
            "Provides-Extra: lab\\nProvides-Extra: test\\nProvides-Extra: site\\n"
            "Requires-Dist: stand-in\\n")
    return "gan_lib-1-py3-none-any.whl"
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'

slow = pytest.mark.slow
unix = pytest.mark.skipif(os.name == "nt", reason="make and sh")


def stand_in(folder, modules=INSTALL["MODULES"]):
    """A wheel in a new folder, that holds all modules which a set-up imports."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "stand_in-1-py3-none-any.whl", "w") as wheel:
        for name in modules:
            wheel.writestr(f"{name}.py", "")
        wheel.writestr("stand_in-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: stand-in\nVersion: 1\n")
        wheel.writestr("stand_in-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("stand_in-1.dist-info/RECORD", "")
    return folder


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course in a folder with a space and an apostrophe in its name. Its packages lie in mirror/."""
    folder = tmp_path_factory.mktemp("set-up") / "the reader's course"
    (folder / "gan_lib").mkdir(parents=True)
    (folder / "gan_lib" / "__init__.py").touch()
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "constraints.txt").write_text("stand-in==1\n")
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    shutil.copy(ROOT / "Makefile", folder)
    stand_in(folder.parent / "mirror")
    return folder


def start(course, settings, index=True, options=()):
    """A set-up that runs. index: the packages are found. Else no setting but those given."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON"))}
    environ |= {"PYTHON": sys.executable, "PIP_CONFIG_FILE": os.devnull}
    if index:
        environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(course.parent / "mirror")}
    return subprocess.Popen(
        ["sh", ".ci/setup.sh", ".venv", "constraints.txt", *options], cwd=course, env=environ | settings,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def set_up(course, settings, index=True, options=()):
    """(what stops make, or nothing; what else is said) of a set-up that has something to do."""
    if (course / ".venv").exists():  # emptied and called older: quicker to update than to make another
        (course / ".venv" / "ready").write_text(f"{course.resolve()}\nsomething older\n")
        for path in packages(course).glob("*"):
            if not path.name.startswith(("pip", "setuptools")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    with start(course, settings, index, options) as running:
        return running.communicate(timeout=120)


def packages(course):
    (found,) = course.glob(".venv/lib/python*/site-packages")
    return found


def is_ready(course):
    return (course / ".venv" / "ready").exists() and (packages(course) / "jax.py").exists()


@slow
@unix
def test_two_at_once_and_neither_is_spoilt(course):
    """With what ought to be no obstacle, either: settings for other Pythons, and the lock of a set-up that was killed."""
    shutil.rmtree(course / ".venv", ignore_errors=True)
    os.symlink("999999999", course / ".venv.lock")
    first = start(course, {"PYTHONHOME": "/nowhere", "PYTHONWARNINGS": "error"})
    while first.poll() is None and not (course / ".venv" / "bin").exists():
        time.sleep(0.05)
    second = start(course, {})
    try:
        said, told = first.communicate(timeout=60)
        assert second.communicate(timeout=60) == ("", f"Process {first.pid} sets up .venv: waiting for it ...\n")
    finally:
        first.kill()
        second.kill()
    assert said == ""
    assert "Setting up .venv" in told
    assert is_ready(course)
    assert not os.path.lexists(course / ".venv.lock")
    with start(course, {}) as third:
        assert third.communicate() == ("", "")  # there is nothing to do


CONF = """
[global]
quiet = 1
no-index = true
find-links = ../mirror
[install]
prefix = {elsewhere}
no-deps = true
"""
ELSEWHERE = {
    "PIP_PREFIX": {"PIP_PREFIX": "{elsewhere}"},
    "PIP_TARGET": {"PIP_TARGET": "{elsewhere}"},
    "PIP_ROOT": {"PIP_ROOT": "{elsewhere}"},
    "PIP_USER": {"PIP_USER": "1"},
    "PIP_NO_DEPS": {"PIP_NO_DEPS": "1"},
    "PIP_DRY_RUN": {"PIP_DRY_RUN": "1"},
    "PIP_CONSTRAINT": {"PIP_CONSTRAINT": "/nowhere"},
    "PIP_REQUIRE_HASHES": {"PIP_REQUIRE_HASHES": "1"},
    "PYTHONPATH": {"PYTHONPATH": "{elsewhere}"},
    "PYTHONUSERBASE": {"PYTHONUSERBASE": "{elsewhere}", "PIP_USER": "1"},
    "a file in PIP_CONFIG_FILE": {"PIP_CONFIG_FILE": "{folder}/.pip/pip.conf", "PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""},
    "a file in the home folder": {"HOME": "{folder}", "PIP_CONFIG_FILE": "", "PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""},
}  # fmt: skip


@slow
@unix
@pytest.mark.parametrize("setting", ELSEWHERE)
def test_no_setting_of_the_caller_sends_the_packages_elsewhere(course, tmp_path, setting):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "jax.py").write_text("raise ImportError('of another Python')")
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text(CONF.format(elsewhere=elsewhere))
    settings = {k: v.format(elsewhere=elsewhere, folder=tmp_path) for k, v in ELSEWHERE[setting].items()}
    assert set_up(course, settings)[0] == ""
    assert is_ready(course)
    assert os.listdir(elsewhere) == ["jax.py"]


@slow
@unix
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PIP_NO_INDEX": "1"}, r"PIP_NO_INDEX keeps pip from every package index.* PIP_FIND_LINKS \(details: "),
        (
            {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "1"},
            r"No network: .* it follows PIP_INDEX_URL, PIP_RET",
        ),
        ({"PIP_CONFIG_FILE": "backend.py"}, r"pip cannot read its settings: .*backend\.py"),
        ({"PIP_TIMEOUT": "soon"}, r"pip could not install .*soon.* it follows PIP_TIMEOUT: is one of them in the way"),
    ],
)
def test_one_line_names_the_setting_that_is_in_the_way(course, settings, words):
    said, _ = set_up(course, settings, index=False)
    assert re.match(words, said)
    assert said.count("\n") == 1
    assert not (course / ".venv" / "ready").exists()


@slow
@unix
def test_not_ready_while_an_import_fails(course, tmp_path):
    mirror = stand_in(tmp_path / "mirror", set(INSTALL["MODULES"]) - {"jax"})
    said, _ = set_up(course, {"PIP_FIND_LINKS": str(mirror)})
    assert re.match(
        r"pip has installed the packages, but jax cannot be imported \(ModuleNotFoundError: .*Delete ", said
    )
    assert not (course / ".venv" / "ready").exists()


@slow
@unix
def test_what_builds_the_site_comes_when_asked_for_and_then_stays(course, tmp_path):
    said, _ = set_up(course, {}, options=["--site"])
    assert re.match(r"pip has installed the packages, but check_jsonschema cannot be imported ", said)
    mirror = stand_in(tmp_path / "mirror", INSTALL["MODULES"] + INSTALL["SITE"])
    assert set_up(course, {"PIP_FIND_LINKS": str(mirror)}, options=["--site"])[0] == ""
    assert is_ready(course)
    for options in ([], ["--site"]):
        with start(course, {}, options=options) as again:
            assert again.communicate() == ("", "")  # there is nothing to do
    (course / "constraints.txt").write_text("stand-in==1\n# newer\n")
    with start(course, {"PIP_FIND_LINKS": str(mirror)}) as update:
        assert update.communicate()[0] == ""
    assert (course / ".venv" / "ready").read_text().endswith("lab,test,site\n")
    shutil.rmtree(course / ".venv")


def test_a_reason_is_never_empty():
    assert INSTALL["reason"]("", 2) == "it ended without a word (pip's exit status is 2)"
    assert INSTALL["reason"]("\n  MemoryError\n\n", 1) == "MemoryError (pip's exit status is 1)"
    assert INSTALL["reason"]("WARNING: slow\n  ERROR: no such thing\nhint", 1) == "ERROR: no such thing"


@unix
@pytest.mark.parametrize("target", ["lab", "test", "test-floor", "site", "setup"])
def test_make_n_only_shows_what_would_be_done(course, tmp_path, target):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    shown = subprocess.run(["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "sh .ci/setup.sh .venv" in shown
    assert sorted(os.listdir(tmp_path)) == ["Makefile", "constraints.txt"]


def imported(text):
    """The top names of the modules that a program, or the code of a notebook, imports."""
    text = re.sub(r"^(\s*)[!%].*", r"\1pass", text, flags=re.MULTILINE)
    nodes = list(ast.walk(ast.parse(text)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in names}


def test_a_set_up_tries_all_that_the_course_imports():
    folders = ("gan_lib", "tests", "benchmarks", "notebooks/source", "site", ".ci")
    programs = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    names = set().union(*(imported(path.read_text(encoding="utf-8")) for path in programs))
    for twin in (ROOT / "notebooks" / "source").glob("*.md"):
        cells = jupytext.read(twin).cells
        names |= imported("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
    own = {path.stem for path in programs} | {"gan_lib"}
    optional = {*INSTALL["SITE"], "torch", "torch_fidelity", "torchvision", "tensorflow"}
    assert names - own - optional - set(sys.stdlib_module_names) - set(INSTALL["MODULES"]) == set()
