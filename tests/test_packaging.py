"""pyproject.toml, constraints.txt, environment.yml, Makefile, README.md and tests/mutants.py keep up with each other."""

import importlib.metadata
import importlib.util
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from mutants import MUTANTS
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import gan_lib
from gan_lib import device

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "arm": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "aarch64"},
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}
EXTRAS = ("lab", "test")  # what `make` installs
WITH_SITE = (*EXTRAS, "site")  # what `make site` installs


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


SETTINGS = tomllib.loads(text("pyproject.toml"))
PROJECT = SETTINGS["project"]
CONSTRAINTS = [Requirement(line) for line in text("constraints.txt").splitlines() if not line.startswith("#")]


def environment(python, system):
    return {**SYSTEMS[system], "python_version": python, "python_full_version": f"{python}.0", "extra": ""}


def pins(python, system):
    """{package: version} that constraints.txt names for one Python and system; each package at most once."""
    found = {}
    for pin in CONSTRAINTS:
        if pin.marker is None or pin.marker.evaluate(environment(python, system)):
            (exact,) = pin.specifier
            assert exact.operator == "==", pin
            assert pin.name not in found, f"{pin.name} is pinned twice for Python {python} on {system}"
            found[pin.name] = Version(exact.version)
    return found


def direct(extras=EXTRAS):
    """All that pyproject.toml asks for by name in a set-up."""
    extras = [requirement for extra in extras for requirement in PROJECT["optional-dependencies"][extra]]
    return [Requirement(r) for r in PROJECT["dependencies"] + extras + SETTINGS["build-system"]["requires"]]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_dependency_is_pinned_within_its_range(python, system):
    pinned = pins(python, system)
    for requirement in direct(WITH_SITE):
        assert requirement.name in pinned, f"{requirement.name}: run `make constraints`"
        assert pinned[requirement.name] in requirement.specifier, requirement
    assert pinned["jax"] == pinned["jaxlib"]


def test_every_package_of_this_installation_is_pinned():
    pinned, seen = {pin.name for pin in CONSTRAINTS}, set()
    asked = direct(WITH_SITE if importlib.util.find_spec("sphinx_book_theme") else EXTRAS)
    queue = [(r.name, frozenset(r.extras)) for r in asked if r.name != "setuptools"]
    while queue:
        name, extras = queue.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        assert canonicalize_name(name) in pinned, f"{name}: run `make constraints`"
        for needed in map(Requirement, importlib.metadata.requires(name) or ()):
            if not needed.marker or any(needed.marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                queue.append((needed.name, frozenset(needed.extras)))
    assert len(seen) > 50


def test_pairs_called_tested_are_the_pinned_ones_and_the_floor():
    tested = {(p["jax"], p["flax"]) for python in PYTHONS for system in SYSTEMS for p in [pins(python, system)]}
    lowest = {r.name: r.specifier for r in direct()}
    floor = tuple(str(lowest[name]).removeprefix(">=") for name in ("jax", "flax"))
    assert {tuple(map(str, pair)) for pair in tested} | {floor} == device.TESTED


def test_make_test_floor_installs_the_lowest_versions_allowed():
    floor = dict(pin.split("==") for pin in re.search(r"^FLOOR = (.+)$", text("Makefile"), re.MULTILINE)[1].split())
    lowest = {r.name: str(r.specifier) for r in map(Requirement, PROJECT["dependencies"])}
    assert floor.pop("jaxlib") == floor["jax"]
    assert set(floor) == {"jax", "flax", "optax", "numpy"}
    for name, version in floor.items():
        assert lowest[name] == f">={version}"


def test_extras_for_accelerators_ask_for_the_same_jax():
    (jax,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "jax")
    for extra in ("cuda", "tpu"):
        (requirement,) = map(Requirement, PROJECT["optional-dependencies"][extra])
        assert requirement.name == "jax"
        assert requirement.extras
        assert requirement.specifier == jax.specifier


def test_no_upper_caps():
    specifiers = [SpecifierSet(PROJECT["requires-python"]), *(r.specifier for r in direct(WITH_SITE))]
    for one in (one for specifier in specifiers for one in specifier):
        assert one.operator == ">=", one


def test_environment_yml_is_the_same_set_up():
    conda = yaml.safe_load(text("environment.yml"))
    *packages, pip = conda["dependencies"]
    (python,) = (Requirement(package).specifier for package in packages if package.startswith("python"))
    lowest, highest = PYTHONS[0], PYTHONS[-1]
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={lowest}")
    assert python == SpecifierSet(f">={lowest},<3.{int(highest[2:]) + 1}")
    assert "pip" in packages
    assert pip["pip"] == ["-c constraints.txt", f"-e .[{','.join(EXTRAS)}]"]
    assert re.findall(r"^ *extras=(.+)$", text(".ci/setup.sh"), re.MULTILINE) == [",".join(EXTRAS), ",".join(WITH_SITE)]


def test_constraints_are_made_from_what_a_set_up_asks_for():
    """Dependencies and extras come from pyproject.toml, the build backend through the standard input of uv."""
    recipe = re.search(r"^constraints:.*\n((?:\t.*\n)+)", text("Makefile"), re.MULTILINE)[1]
    assert re.findall(r"--extra (\w+)", recipe) == list(WITH_SITE)
    assert re.search(r"sed .*requires = .* pyproject\.toml \|", recipe)
    assert "--universal" in recipe
    assert f"--python-version {PYTHONS[0]}" in recipe
    assert text("Makefile").count("uv") == recipe.count("uv")  # no other command needs it
    assert not any(requirement.name == "uv" for requirement in direct())


def test_constraints_hold_versions_and_markers_alone():
    header, *lines = text("constraints.txt").splitlines()
    assert header.startswith("# Exact versions for Python 3.11 to 3.14 ")
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.!+]+( ; [^#@]+)?", line), line
    assert not (ROOT / "uv.lock").exists()


@pytest.mark.parametrize("name", ["constraints.txt", "environment.yml"])
def test_no_address(name):
    assert not re.search(r"://|file:|--hash|index-url|find-links|trusted-host", text(name))


def test_no_requirement_names_an_address():
    extras = [r for extra in PROJECT["optional-dependencies"].values() for r in extra]
    assert not any(Requirement(r).url for r in PROJECT["dependencies"] + extras)


def test_the_readme_and_ci_name_targets_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert {"lab", "test", "run", "notebooks", "lint", "format", "test-floor", "test-newest", "help"} <= targets
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text("README.md"), re.MULTILINE))
    assert {"lab", "test"} <= named <= targets
    assert re.search(r"^make site\nmake test$", text(".ci/run"), re.MULTILINE)
    assert "make test-newest" in text(".ci/run")
    listed = set(re.findall(r"^([a-z-]+):.*## ", text("Makefile"), re.MULTILINE))
    assert targets - listed == {"published", "setup", "setup-site", "setup-floor", "setup-newest"}


def test_the_readme_installs_what_make_installs():
    lines = re.findall(r"pip install .*", text("README.md"))
    assert f'pip install -e ".[{",".join(EXTRAS)}]" -c constraints.txt' in "\n".join(lines)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_mutant_finds_the_line_it_changes(mutant):
    assert text(mutant.file).count(mutant.old) == 1


def test_only_the_tests_own_process_compiles_quickly():
    """Notebooks are to be checked, and timed, as a reader runs them; kernels inherit the environment."""
    assert "optimization_level" not in os.environ.get("XLA_FLAGS", "")


MODULES = re.findall(r"\w+", gan_lib.__doc__.partition("in this list:")[2])
FILES = sorted((ROOT / "gan_lib").rglob("*.py"))


def test_the_list_of_modules_is_whole():
    """The exercises come last, whatever is in their folder."""
    found = {path.relative_to(ROOT / "gan_lib").parts[0].removesuffix(".py") for path in FILES} - {"__init__"}
    assert sorted(MODULES) == sorted(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_module_imports_only_those_before_it_and_no_notebook(path):
    own = path.relative_to(ROOT / "gan_lib").parts[0].removesuffix(".py")
    code = path.read_text(encoding="utf-8")
    named = re.findall(r"^\s*from gan_lib\.(\w+)", code, re.MULTILINE)
    for names in re.findall(r"^\s*from gan_lib import (.+)$", code, re.MULTILINE):
        named += names.split(", ")
    before = MODULES[: MODULES.index(own)] if own != "__init__" else []
    assert {name for name in named if name != own} <= set(before)


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name == "gan_lib"], ids=lambda path: path.name)
def test_a_module_is_short_enough_to_read(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= (250 if path.name == "gan.py" else 300)
