"""Write constraints.txt anew: the newest versions that fit together, for every Python and platform of the course.

    make constraints

Asks pip to resolve pyproject.toml once for each Python and platform (a few minutes, needs the network, installs
only a new pip into build/) and folds the answers into one file, with markers where they differ.
"""

import json
import os
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEW_PIP = ROOT / "build" / "pip"  # the one that a virtual environment starts with can be too old for this
EXTRAS = ("lab", "test")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
GLIBC = range(17, 32)
PLATFORMS = {  # name: (marker variables, wheel tags)
    "linux-x86_64": (("linux", "Linux", "posix", "x86_64"), [f"manylinux_2_{n}_x86_64" for n in GLIBC]),
    "linux-aarch64": (("linux", "Linux", "posix", "aarch64"), [f"manylinux_2_{n}_aarch64" for n in GLIBC]),
    "macos-arm64": (("darwin", "Darwin", "posix", "arm64"), ["macosx_14_0_arm64"]),
    "windows-amd64": (("win32", "Windows", "nt", "AMD64"), ["win_amd64"]),
}
HEADER = """\
# Exact versions for Python 3.11 to 3.14 on Linux, macOS (Apple silicon) and Windows. Written by `make constraints`.
"""
# pip finds wheels for other Pythons and platforms, but reads markers for the one it runs on: tell it otherwise.
PIP = """
import json, sys
from pip._vendor.packaging import markers
here = markers.default_environment()
there = {**here, **json.loads(sys.argv.pop(1))}
markers.default_environment = lambda: there
from pip._internal.cli.main import main
sys.exit(main())
"""


def requirements():
    """What a full set-up asks for: dependencies, the extras and the build backend."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = settings["project"]
    extras = [requirement for extra in EXTRAS for requirement in project["optional-dependencies"][extra]]
    return project["dependencies"] + extras + settings["build-system"]["requires"]


def resolve(python, platform):
    """{package: version} that pip would install on one Python and platform."""
    (sys_platform, system, os_name, machine), tags = PLATFORMS[platform]
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_version": f"{python}.0",
        "sys_platform": sys_platform,
        "platform_system": system,
        "os_name": os_name,
        "platform_machine": machine,
    }
    options = ["--dry-run", "--ignore-installed", "--quiet", "--report=-", "--only-binary=:all:", "--target=build"]
    options += [f"--python-version={python}", *(f"--platform={tag}" for tag in tags)]
    command = [sys.executable, "-c", PIP, json.dumps(environment), "install", *options, *requirements()]
    environ = {**os.environ, "PYTHONPATH": str(NEW_PIP)}
    done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"pip found no versions that fit together for Python {python} on {platform}")
    found = (item["metadata"] for item in json.loads(done.stdout)["install"])
    return {item["name"].lower().replace("_", "-"): item["version"] for item in found}


def python_marker(pythons):
    """The marker for a run of neighbouring Pythons; None if they are no such run."""
    first, last = PYTHONS.index(pythons[0]), PYTHONS.index(pythons[-1])
    if len(pythons) != last - first + 1:
        return None
    if len(pythons) == 1 and 0 < first < len(PYTHONS) - 1:
        return f'python_version == "{pythons[0]}"'
    lower = f'python_version >= "{pythons[0]}"' if first else ""
    upper = f'python_version < "{PYTHONS[last + 1]}"' if last + 1 < len(PYTHONS) else ""
    return " and ".join(filter(None, (lower, upper)))


def platform_marker(platforms):
    """The marker for a set of platforms; None if it takes more than one."""
    if len(platforms) == len(PLATFORMS):
        return ""
    systems = {name: PLATFORMS[name][0][0] for name in PLATFORMS}
    for system in sorted(set(systems.values())):
        those = {name for name in systems if systems[name] == system}
        if platforms == those:
            return f'sys_platform == "{system}"'
        if platforms == set(PLATFORMS) - those:
            return f'sys_platform != "{system}"'
    if len(platforms) > 1:
        return None
    (system, _, _, machine), _ = PLATFORMS[next(iter(platforms))]
    return f'sys_platform == "{system}" and platform_machine == "{machine}"'


def pin_lines(name, where):
    """The lines of constraints.txt for one package; where: {version: {(python, platform), …}}."""
    for version, places in sorted(where.items()):
        by_platforms = defaultdict(list)
        for python in PYTHONS:
            platforms = frozenset(platform for p, platform in places if p == python)
            if platforms:
                by_platforms[platforms].append(python)
        for platforms, pythons in by_platforms.items():
            whole = python_marker(pythons)
            python_markers = [python_marker([python]) for python in pythons] if whole is None else [whole]
            whole = platform_marker(platforms)
            platform_markers = [platform_marker({p}) for p in sorted(platforms)] if whole is None else [whole]
            for python in python_markers:
                for platform in platform_markers:
                    marker = " and ".join(filter(None, (python, platform)))
                    yield f"{name}=={version}" + (f"; {marker}" if marker else "")


def main():
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", f"--target={NEW_PIP}", "pip"], check=True
    )
    pins = defaultdict(lambda: defaultdict(set))
    for python in PYTHONS:
        for platform in PLATFORMS:
            print(f"Python {python} on {platform}", flush=True)
            for name, version in resolve(python, platform).items():
                pins[name][version].add((python, platform))
    lines = [line for name in sorted(pins) for line in pin_lines(name, pins[name])]
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
