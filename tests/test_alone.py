"""A notebook alone in an empty folder, as on Colab: it installs gan_lib beside the JAX that is there, and runs."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.slow

NOTEBOOK = ROOT / "notebooks" / "00_start_here.ipynb"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A folder with a Python of its own: all packages of this one, but no gan_lib. And a way to run a notebook in it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", with_pip=True)
    scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
    own = subprocess.run(
        [scripts / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # A path from a .pth file is searched, but the .pth files in it are not read: among them that of our own gan_lib.
    Path(own.stdout.strip(), "shared.pth").write_text(sysconfig.get_path("purelib"))
    kernel = folder / "kernels" / "kernels" / "elsewhere"
    kernel.mkdir(parents=True)
    command = [str(scripts / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "elsewhere", "language": "python"})
    )
    work = folder / "empty"
    work.mkdir()

    def run(monkeypatch, cells, repository):
        monkeypatch.setenv("JUPYTER_PATH", str(folder / "kernels"))
        monkeypatch.delenv("PYTHONPATH", raising=False)
        if repository:
            monkeypatch.setenv("GAN_COURSE_REPO", repository)
        else:
            monkeypatch.delenv("GAN_COURSE_REPO", raising=False)
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:cells]
        resources = {"metadata": {"path": str(work)}}
        NotebookClient(notebook, kernel_name="elsewhere", timeout=300, resources=resources).execute()
        return notebook

    return run


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def test_without_an_address_one_line_says_what_to_do(elsewhere, monkeypatch):
    with pytest.raises(
        CellExecutionError, match=r"GAN_COURSE_REPO: is not set\. Run make lab, or see Colab in README\.md"
    ):
        elsewhere(monkeypatch, 1, None)


def test_a_notebook_alone_runs_to_its_end_with_the_data_and_the_jax_that_is_there(elsewhere, monkeypatch, tmp_path):
    import jax

    if not (ROOT / ".git").exists():
        pytest.skip("serves the course from its git history")
    # What is committed or edited here, without what this machine built in it.
    copy = tmp_path / "served"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--", "gan_lib", "data", "pyproject.toml", "README.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setenv("COURSE_STRICT", "1")
    try:
        notebook = elsewhere(monkeypatch, None, copy.as_uri())
    except CellExecutionError as error:
        if "requirement setuptools" in str(error):
            pytest.skip("pip cannot fetch setuptools, with which it builds gan_lib: no network")
        raise
    assert f"jax {jax.__version__}" in printed(notebook.cells[0])
    check = 'from gan_lib import data; print(data.__file__, data.mnist("test")[0].shape)'
    done = subprocess.run(
        [str(Path(os.environ["JUPYTER_PATH"]).parent / "venv" / "bin" / "python"), "-c", check],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert "(10000, 28, 28, 1)" in done.stdout, done.stderr
    assert str(Path(os.environ["JUPYTER_PATH"]).parent) in done.stdout
    assert sys.prefix not in done.stdout
