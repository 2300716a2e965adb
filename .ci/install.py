"""Install gan_lib with its extras into the environment of the Python that runs this, and see that the course's imports work.

    VENV/bin/python -I .ci/install.py CONSTRAINTS LOG EXTRAS        from the repository root, by setup.sh

Prints nothing and ends with 0 when all is there, else prints one line that says what to do, and ends with 1.

Of the caller's settings of pip, in the environment and in its files, those are followed that say where packages come from
and how they are fetched: a mirror, a proxy, a certificate. All others would change what a set-up is: they could send the
packages elsewhere, leave out some, or take other versions.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

FOLLOWED = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert", "client-cert",
    "keyring-provider", "use-feature", "use-deprecated", "timeout", "default-timeout", "retries", "resume-retries",
    "cache-dir", "no-cache-dir",
)  # fmt: skip
# All that library, notebooks, tests and the Makefile import or start. A test holds that the list is whole.
MODULES = (
    "IPython", "PIL", "anywidget", "cycler", "flax", "ipykernel", "jax", "jupyter_client", "jupyterlab", "jupytext", "matplotlib",
    "ml_dtypes", "nbclient", "nbformat", "nbval", "numpy", "optax", "packaging", "prdc", "pytest", "ruff", "safetensors", "scipy",
    "selenium", "sklearn", "tqdm", "traitlets", "xdist", "yaml",
)  # fmt: skip
SITE = (
    "check_jsonschema", "myst_nb", "sphinx", "sphinx-mathjax-offline", "sphinx_book_theme", "sphinx_copybutton", "sphinx_design",
)  # fmt: skip
LOOK = """
import importlib, pathlib, sys
folder, *modules = sys.argv[1:]
for name, home in [(name, sys.prefix) for name in modules] + [("gan_lib", folder)]:
    try:
        file = importlib.import_module(name).__file__
    except BaseException as error:
        words = " ".join(str(error).split())
        sys.exit(f"{name} cannot be imported ({type(error).__name__}: {words[:300]})")
    if not pathlib.Path(file).resolve().is_relative_to(pathlib.Path(home).resolve()):
        sys.exit(f"{name} is taken from {file}, not from {home}")
"""
PIP = [sys.executable, "-I", "-m", "pip"]


def stop(*words):
    print(*words)
    sys.exit(1)


def own_settings():
    """{option: (value, the name under which the caller set it)} of the settings to follow."""
    bare = {
        name: value for name, value in os.environ.items() if not name.startswith("PIP_") or name == "PIP_CONFIG_FILE"
    }
    # -vv: a `quiet` in a file would silence the list.
    listed = subprocess.run([*PIP, "-vv", "config", "list"], env=bare, capture_output=True, text=True, check=False)
    if listed.returncode:
        stop("pip cannot read its settings:", " ".join(listed.stderr.split())[-300:] or last_line(listed.stdout))
    found = {}
    for section in ("global", "install"):  # the second wins, and the environment over both, as for pip
        for option, value in re.findall(rf"^{section}\.([a-z-]+)=(.+)$", listed.stdout, re.MULTILINE):
            found[option] = (" ".join(ast.literal_eval(value).split()), f"{option} in pip's configuration")
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            found[name[4:].lower().replace("_", "-")] = (value, name)
    return {option: found[option] for option in FOLLOWED if option in found}


def last_line(text):
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it ended without a word")


def reason(log, status):
    """What pip says is wrong; never nothing."""
    said = re.search(r"^\s*(ERROR: .+)$", log, re.MULTILINE)
    return said[1] if said else f"{last_line(log)} (pip's exit status is {status})"


def why(log, status, settings, file):
    """One line for a pip that failed."""
    details = f"(details: {file})"
    names = ", ".join(name for _, name in settings.values())
    following = f". Of your settings it follows {names}: is one of them in the way?" if names else "."
    if "No space left" in log:
        return "The disk is full: the course needs about 1.5 GB here. Make room, then try again"
    if settings.get("no-index", ("0",))[0].lower() in ("1", "true", "yes", "on"):
        return (
            f"{settings['no-index'][1]} keeps pip from every package index, and what it needs is not at hand: unset it, or"
            f" name a folder with all packages in PIP_FIND_LINKS {details}"
        )
    if re.search(
        r"connection broken by|Could not fetch URL|[Cc]onnection ?[Ee]rror|NewConnectionError|Max retries", log
    ):
        return f"No network: pip reaches no package index. Connect, then try again {details}{following}"
    return f"pip could not install the packages: {reason(log, status)} {details}{following}"


def main(constraints, log, extras):
    settings = own_settings()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    own = {f"PIP_{option.upper().replace('-', '_')}": value for option, (value, _) in settings.items()}
    mine = {"CONFIG_FILE": os.devnull, "CONSTRAINT": constraints, "BUILD_CONSTRAINT": constraints}
    environ |= own | {f"PIP_{name}": value for name, value in mine.items()}
    command = ["install", "--no-input", "--disable-pip-version-check", "--quiet", "--no-compile"]
    with open(log, "w", encoding="utf-8") as said:
        done = subprocess.run([*PIP, *command, "--editable", f".[{extras}]"], env=environ, stdout=said, stderr=said)
    if done.returncode:
        stop(why(Path(log).read_text(encoding="utf-8", errors="replace"), done.returncode, settings, log))
    modules = MODULES + SITE * ("site" in extras.split(","))
    look = subprocess.run(
        [sys.executable, "-I", "-c", LOOK, os.getcwd(), *modules], env=environ, capture_output=True, text=True
    )
    if look.returncode:
        stop(
            f"pip has installed the packages, but {last_line(look.stderr)}. Delete {sys.prefix} and try again; if that does"
            " not help, please report it"
        )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(1)
