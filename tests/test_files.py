"""What the course's programs and notebooks never do: run what a file says, install, or open the machine to others."""

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted(
    p for folder in ("gan_lib", "benchmarks", "notebooks/source", ".ci") for p in (ROOT / folder).rglob("*.py")
)
TWINS = sorted((ROOT / "notebooks" / "source").glob("*.md"))
FORBIDDEN = {
    "reads a pickle": r"allow_pickle\s*=\s*True|\b(?:import|from) (?:pickle|dill|joblib|marshal|shelve)\b",
    "runs text as a program": r"(?<![\w.])(?:eval|exec)\([^)]|shell\s*=\s*True|os\.system\(|os\.popen\(",
    "installs": r"^\s*[!%].*\b(?:pip|conda|mamba|apt|npm)\b",
    "fetches": r"^\s*[!%].*\b(?:curl|wget|git clone)\b",
}
FASHION = "fashion-mnist.s3-website.eu-central-1.amazonaws.com"
HOSTS = {  # fetch.py checks the sha256 of what it fetches; the others are links to click on
    "fetch.py": {"ossci-datasets.s3.amazonaws.com", "storage.googleapis.com", FASHION},
    "links.py": {"colab.research.google.com", "kaggle.com", "mybinder.org", "github", "github.com"},
}  # fmt: skip


def complaints(text):
    return [what for what, pattern in FORBIDDEN.items() if re.search(pattern, text, re.MULTILINE)]


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda p: p.name)
def test_programs(path):
    text = path.read_text(encoding="utf-8")
    if path.name == "links.py":  # holds the one line that installs gan_lib, in the setup cell of every notebook
        text = text.replace("-m pip install -q --no-deps", "").replace("|| {pip} ", "")
    assert complaints(text) == []
    assert set(re.findall(r"https?://([\w.-]+)", text)) <= HOSTS.get(path.name, set())


@pytest.mark.parametrize("path", TWINS, ids=lambda p: p.stem)
def test_notebooks(path):
    cells = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    assert complaints("\n".join(cells[1:])) == []  # the first is the setup cell, the same everywhere
    assert not any(re.search(r"https?://", cell) for cell in cells)


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path, allow_pickle=True)",
        "import pickle",
        "x = eval(text)",
        "subprocess.run(line, shell=True)",
        "    !pip install something",
        "%pip install something",
        "!wget https://example.org/weights",
    ],
)
def test_the_scan_sees(line):
    assert len(complaints(line)) == 1


def test_model_evaluation_mode_is_no_evaluation_of_text():
    assert complaints("module.eval()\nnnx.eval_shape(build)\nnp.load(path, allow_pickle=False)") == []


@pytest.mark.slow
def test_jupyterlab_starts_with_its_token_for_this_machine_alone(tmp_path):
    pytest.importorskip("jupyterlab")
    recipe = re.search(
        r"^lab:.*\n.*mine.py\n\t@cd mine && (\w+=\S+) (.*jupyterlab.*) \$\(ARGS\)",
        (ROOT / "Makefile").read_text(),
        re.M,
    )
    command = shlex.split(recipe[2].replace("../$(RUN)", shlex.quote(sys.executable)))
    command += [
        "--no-browser",
        "--ServerApp.port=0",
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
    ]
    places = {f"JUPYTER_{what}_DIR": str(tmp_path / what) for what in ("CONFIG", "DATA", "RUNTIME")}
    settings = dict([recipe[1].split("=")])  # relative to a folder beside notebooks/
    log = tmp_path / "log"
    with log.open("w") as said:
        server = subprocess.Popen(command, cwd=ROOT / "notebooks", env=os.environ | places | settings, stderr=said)
    try:
        until = time.monotonic() + 60
        while not (found := [p for p in tmp_path.glob("RUNTIME/jpserver-*.json") if p.stat().st_size]):
            assert server.poll() is None, f"JupyterLab has ended:\n{log.read_text()}"
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.1)
        running = json.loads(found[0].read_text())
        assert running["hostname"] == "localhost"
        assert len(running["token"]) >= 40
        contents = f"{running['url']}api/contents"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(contents)
        with urllib.request.urlopen(f"{contents}?token={running['token']}") as page:
            assert "00_start_here.ipynb" in {entry["name"] for entry in json.load(page)["content"]}
        assert f"{running['url']}lab/tree/00_start_here.ipynb?token=" in log.read_text()  # what a terminal shows
        with urllib.request.urlopen(f"{running['url']}lab?token={running['token']}") as page:
            settings = json.loads(re.search(rb'id="jupyter-config-data"[^>]*>(.*?)</script>', page.read(), re.S)[1])
        assert {"@jupyterlab/apputils-extension:announcements", "jupyterlab-jupytext"} <= set(
            settings["disabledExtensions"]
        )
        assert "jupytext" not in log.read_text().replace("jupyterlab_jupytext | extension was successfully linked", "")
        elsewhere = [
            a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None) if not a[4][0].startswith(("127.", "::1"))
        ]
        for address in elsewhere:  # what another machine would knock at
            with pytest.raises(OSError):
                socket.create_connection((address, running["port"]), timeout=2)
    finally:
        server.terminate()
        server.wait(30)
