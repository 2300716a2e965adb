"""A notebook alone in an empty folder, as on Colab: it finds or installs gan_lib beside the JAX that is there, and runs.

Of all notebooks but the first only what a lone one needs is run: setup cell, imports, data and weights. To see all of
them run to their ends, and their receipts and seconds: COURSE_ALONE=all .venv/bin/python -m pytest -s tests/test_alone.py
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import jax
import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks" / "source"))
import links  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
WHOLE = NOTEBOOKS if os.environ.get("COURSE_ALONE") == "all" else NOTEBOOKS[:1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """run(cells, repository=None, afresh=True): a kernel in an empty folder, with this Python's packages but for gan_lib.

    Its interpreter's path is one that a shell takes apart.
    """
    folder = tmp_path_factory.mktemp("elsewhere") / "the reader's own"
    folder.mkdir()
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    # A path from a .pth file is searched, but the .pth files in it are not read: among them that of our own gan_lib.
    Path(own.stdout.strip(), "shared.pth").write_text(sysconfig.get_path("purelib"))
    kernel = folder / "kernels" / "kernels" / "elsewhere"
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": command, "display_name": "elsewhere", "language": "python"})
    )
    empty = folder / "empty"
    empty.mkdir()

    def run(cells, repository=None, afresh=True):
        """The cells, executed. afresh: without the gan_lib that an earlier run installed or unpacked."""
        if afresh:
            shutil.rmtree(empty / "build", ignore_errors=True)
            subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "gan_lib"], check=True, capture_output=True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", str(folder / "kernels"))
            patch.setenv("COURSE_STRICT", "1")
            patch.delenv("PYTHONPATH", raising=False)
            patch.delenv("GAN_COURSE_REPO", raising=False)
            if repository:
                patch.setenv("GAN_COURSE_REPO", repository)
            notebook = nbformat.v4.new_notebook(cells=cells)
            resources = {"metadata": {"path": str(empty)}}
            try:
                NotebookClient(notebook, kernel_name="elsewhere", timeout=300, resources=resources).execute()
            except CellExecutionError as error:
                if "requirement setuptools" in str(error):
                    pytest.skip("pip cannot fetch setuptools, with which it builds gan_lib: no network")
                raise
        assert set(os.listdir(empty)) <= {"build"}, "a notebook writes beside build/"
        return notebook

    return run


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a copy of the repository: what is committed or edited, without what this machine built in it."""
    if not (ROOT / ".git").exists():
        pytest.skip("serves the course from its git history")
    copy = tmp_path_factory.mktemp("served")
    names = subprocess.run(
        ["git", "ls-files", "-z", "--", "gan_lib", "data", "pyproject.toml", "README.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    return copy.as_uri()


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def setup_cell():
    return nbformat.v4.new_code_cell(links.setup_cell(None))


def listing(folder):
    return sorted(path for path in folder.rglob("*") if path.name != "__pycache__" and path.suffix != ".pyc")


def test_without_an_address_the_error_points_at_what_to_do(elsewhere):
    with pytest.raises(CellExecutionError, match=r"not found\? README[^$]*No module named"):
        elsewhere([setup_cell()])


def test_a_path_that_is_not_there_is_named(elsewhere):
    with pytest.raises(CellExecutionError) as caught:
        elsewhere([setup_cell()], "gan-cours.zip")
    assert "gan-cours.zip" in str(caught.value)


SHAPES = {
    "a zip made on a Mac, with another folder in it": "mac.zip",
    "a zip with the course's folder one level deeper": "deeper.zip",
    "a folder with the course's folder in it, where nobody may write": "course",
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory, served):
    """A folder with what arrives at a hosted service."""
    folder = tmp_path_factory.mktemp("where the reader's files lie")
    shutil.copytree(Path(served.removeprefix("file://")), folder / "course" / "gan-course")
    shutil.make_archive(folder / "deeper", "zip", folder, "course")
    (folder / "mac" / "__MACOSX" / "gan-course" / "gan_lib").mkdir(parents=True)
    (folder / "mac" / "__MACOSX" / "gan-course" / "gan_lib" / "._notebook.py").write_bytes(b"\0\5\x16\7")
    shutil.copytree(folder / "course" / "gan-course", folder / "mac" / "gan-course")
    shutil.make_archive(folder / "mac", "zip", folder / "mac")
    shutil.rmtree(folder / "mac")
    for path in (folder / "course", *(folder / "course").rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)
    yield folder
    for path in (folder / "course", *(folder / "course").rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


@pytest.mark.skipif(os.name == "nt", reason="hosted services have unzip")
@pytest.mark.parametrize("shape", SHAPES)
def test_whatever_arrives_is_found_without_pip_and_network(elsewhere, shapes, monkeypatch, shape):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shapes / "nowhere"))
    before = listing(shapes)
    use = (
        "from gan_lib import data\nprint(len(data.mnist('test')[1]), data.weights('small-dcgan.safetensors', '').name)"
    )
    cells = [setup_cell(), nbformat.v4.new_code_cell(use)]
    notebook = elsewhere(cells, str(shapes / SHAPES[shape]))
    assert printed(notebook.cells[0]).startswith("gan_lib ")  # nothing before the receipt
    assert printed(notebook.cells[0]).count("\n") == 1
    assert printed(notebook.cells[1]) == "10000 small-dcgan.safetensors\n"
    assert listing(shapes) == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_alone_has_what_it_needs(elsewhere, served, path):
    cells = code_cells(path)
    files = re.findall(r"data\.(?:mnist|weights)\(.*?\)", "\n".join(cell.source for cell in cells))
    files = [call.replace(", command)", ', "")') for call in files]  # a name of the notebook, for an error's text
    if path not in WHOLE:
        cells = cells[:2]  # set-up and imports
    # Which gan_lib this was, and everything the notebook loads, from the wheel.
    where = nbformat.v4.new_code_cell("import gan_lib.data as data, gan_lib\nprint(gan_lib.__file__)")
    loads = [nbformat.v4.new_code_cell(f"print(type({call}).__name__)") for call in files]
    start = time.perf_counter()
    # All setup cells are the same, and each installs gan_lib if it is not there: in the suite, the first of them does.
    notebook = elsewhere([*cells, where, *loads], served, afresh=path in WHOLE)
    receipt = printed(notebook.cells[0])
    print(f"{path.stem} alone, {time.perf_counter() - start:.0f} s: {receipt.strip().splitlines()[-1]}")
    assert f"jax {jax.__version__}" in receipt
    found = printed(notebook.cells[len(cells)])
    assert "elsewhere" in found
    assert sys.prefix not in found
    assert all(printed(cell).strip() for cell in notebook.cells[len(cells) + 1 :])
