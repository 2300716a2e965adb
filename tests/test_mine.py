"""The reader's copies: made once, brought up to date, and no answer is ever touched."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks" / "source"))

import build as builder  # noqa: E402
import mine as copies  # noqa: E402

STUB = '@exercise("02.slopes")\ndef slopes(psi):\n    ...'


def publish(path, *sources):
    """A notebook as the course builds it: markdown where a text begins with #."""
    cells = [(new_markdown_cell if text.startswith("#") else new_code_cell)(text) for text in sources]
    notebook = new_notebook(cells=cells)
    builder.name_cells(notebook)
    notebook.metadata["course"] = {"source": builder.digest(notebook)}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)


def texts(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def answer(path, **changes):
    """As a reader does: {number of the cell: its new source}; a cell `after_N` is added."""
    notebook = nbformat.read(path, as_version=4)
    for name, source in sorted(changes.items(), key=lambda item: -int(item[0].split("_")[1])):
        number = int(name.split("_")[1])
        if name.startswith("cell"):
            notebook.cells[number].source = source
            if notebook.cells[number].cell_type == "code":
                notebook.cells[number]["outputs"] = [nbformat.v4.new_output("stream", text="mine")]
        else:
            notebook.cells.insert(number + 1, new_code_cell(source))
    nbformat.write(notebook, path)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one notebook, and the reader's folder."""
    monkeypatch.setattr(copies, "NOTEBOOKS", tmp_path / "notebooks")
    publish(tmp_path / "notebooks" / "02_first.ipynb", "# One", "import jax", "# Two", STUB, "slopes(1)", "# End")
    return tmp_path / "notebooks" / "02_first.ipynb", tmp_path / "mine"


def test_a_copy_is_made_once_and_left_alone(course):
    published, mine = course
    assert copies.update(mine) == []
    copy = mine / published.name
    assert texts(copy) == texts(published)
    answer(copy, cell_3=STUB.replace("...", "return psi"))
    before = copy.read_bytes()
    assert copies.update(mine) == []
    assert copy.read_bytes() == before


def test_an_untouched_copy_takes_what_is_new(course):
    published, mine = course
    copies.update(mine)
    publish(published, "# One, better", "import jax", STUB)
    assert copies.update(mine) == ["02_first: updated."]
    assert texts(mine / published.name) == texts(published)


def test_answers_and_notes_survive_an_update(course):
    published, mine = course
    copies.update(mine)
    copy, right = mine / published.name, STUB.replace("...", "return psi")
    answer(copy, cell_3=right, after_4="print('a try')", cell_5="# End, with a note of mine")
    before = copy.read_bytes()
    harder = STUB.replace("psi", "psi, theta")
    publish(
        published, "# One, better", "import jax", "import numpy", "# Two", harder, "slopes(1)", "# The end", "# More"
    )
    (line,) = copies.update(mine)
    assert line.startswith("02_first: updated, with 3 of your cells in it. As it was: ")
    assert texts(copy) == [
        *("# One, better", "import jax", "import numpy", "# Two", right, "slopes(1)", "print('a try')"),
        *("# End, with a note of mine", "# The end", "# More"),
    ]
    (saved,) = (mine / ".before").iterdir()
    assert saved.read_bytes() == before
    notebook = nbformat.read(copy, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[4].outputs[0].text == "mine"
    assert copies.update(mine) == []
    publish(published, "# One, better", harder)  # and once more, from there
    copies.update(mine)
    assert texts(copy)[:2] == ["# One, better", right]
    assert {"print('a try')", "# End, with a note of mine"} <= set(texts(copy))


def test_an_answer_to_an_exercise_that_is_gone_is_kept_and_not_run(course):
    published, mine = course
    copies.update(mine)
    copy, right = mine / published.name, STUB.replace("...", "return psi")
    answer(copy, cell_3=right, after_4="print('a try')")
    publish(published, "# One", "import jax", "# Two", STUB.replace("slopes", "fields"), "fields(1)", "# End")
    for end in ("# End, better", "# End, once more"):
        publish(published, "# One", "import jax", "# Two", STUB.replace("slopes", "fields"), "fields(1)", end)
        copies.update(mine)
        notebook = nbformat.read(copy, as_version=4)
        nbformat.validate(notebook)
        (kept,) = (cell for cell in notebook.cells if right in cell.source)
        assert kept.cell_type == "markdown"
        assert "`02.slopes` is no longer in this notebook" in kept.source
        assert "print('a try')" in texts(copy)


def test_a_notebook_without_ids_is_matched_by_its_text(course):
    published, mine = course
    copies.update(mine)
    copy, right = mine / published.name, STUB.replace("...", "return psi")
    answer(copy, cell_3=right)
    notebook = nbformat.read(copy, as_version=4)
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"colab{i}"
    nbformat.write(notebook, copy)
    publish(published, "# One, better", "import jax", "# Two", STUB, "slopes(1)", "# End")
    copies.update(mine)
    assert texts(copy) == ["# One, better", "import jax", "# Two", right, "slopes(1)", "# End"]


def test_a_copy_that_cannot_be_read_is_left_as_it_is(course):
    published, mine = course
    copies.update(mine)
    (mine / published.name).write_text("{")
    publish(published, "# New")
    (line,) = copies.update(mine)
    assert "left as it is" in line
    assert (mine / published.name).read_text() == "{"


def git(folder, *words):
    identity = ["-c", "user.name=Reader", "-c", "user.email=reader@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_reader_answers_runs_pulls_and_finds_all_there(tmp_path, monkeypatch):
    """Two repositories: the course's, and the reader's clone of it."""
    upstream, clone = tmp_path / "upstream", tmp_path / "clone"
    publish(upstream / "notebooks" / "02_first.ipynb", "# One", STUB, "# Two", STUB.replace("slopes", "losses"))
    (upstream / "gan_lib.py").write_text("version = 1\n")
    shutil.copy(ROOT / ".gitignore", upstream)
    git(upstream, "init", "-q")
    git(upstream, "add", "-A")
    git(upstream, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", upstream, clone)
    monkeypatch.setattr(copies, "NOTEBOOKS", clone / "notebooks")
    mine = clone / "mine"
    copies.update(mine)
    copy = mine / "02_first.ipynb"
    right = [STUB.replace("...", "return psi"), STUB.replace("slopes", "losses").replace("...", "return 2 * psi")]
    answer(copy, cell_1=right[0], cell_3=right[1])
    notebook = nbformat.read(copy, as_version=4)  # as JupyterLab saves it
    notebook.metadata["language_info"] = {"name": "python", "version": "3.13.1", "nbconvert_exporter": "python"}
    nbformat.write(notebook, copy)
    assert git(clone, "status", "--porcelain") == ""
    (upstream / "gan_lib.py").write_text("version = 2\n")
    publish(
        upstream / "notebooks" / "02_first.ipynb", "# One, new text", STUB, "# Two", STUB.replace("slopes", "losses")
    )
    git(upstream, "commit", "-qam", "second")
    git(clone, "pull", "-q")
    copies.update(mine)
    assert texts(copy) == ["# One, new text", right[0], "# Two", right[1]]
    assert (clone / "gan_lib.py").read_text() == "version = 2\n"
    assert git(clone, "status", "--porcelain") == ""


def test_changes_made_in_notebooks_are_taken_along(tmp_path, monkeypatch, capsys):
    repository = tmp_path / "course"
    published = repository / "notebooks" / "02_first.ipynb"
    publish(published, "# One", STUB)
    git(repository, "init", "-q")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "first")
    answer(published, cell_1=STUB.replace("...", "return psi"))
    monkeypatch.setattr(copies, "NOTEBOOKS", repository / "notebooks")
    (line,) = copies.update(repository / "mine")
    assert "`git checkout notebooks/02_first.ipynb` takes them back" in line
    assert copies.update(repository / "mine") == []
    answer(repository / "mine" / "02_first.ipynb", after_1="print(1)")
    answer(published, after_1="print(2)")  # and now both
    (line,) = copies.update(repository / "mine")
    assert "02_first.from-notebooks.ipynb" in line
    assert texts(repository / "mine" / "02_first.from-notebooks.ipynb")[2] == "print(2)"
    assert copies.update(repository / "mine") == []
    git(repository, "checkout", "notebooks")
    publish(published, "# One, new", STUB)
    copies.update(repository / "mine")
    assert texts(repository / "mine" / "02_first.ipynb") == [
        *("# One, new", STUB.replace("...", "return psi"), "print(1)")
    ]


def test_an_edited_notebook_is_named_and_kept(tmp_path, monkeypatch, capsys):
    published = tmp_path / "notebooks" / "02_first.ipynb"
    publish(published, "# One", STUB)
    answer(published, cell_1=STUB.replace("...", "return psi"))
    monkeypatch.setattr(builder, "NOTEBOOKS", published.parent)
    monkeypatch.setattr(sys, "argv", ["build.py", "--published"])
    with pytest.raises(SystemExit, match=r"checks the course as published, and 02_first.ipynb was edited.*make lab"):
        builder.main()
    publish(published, "# One", STUB)
    with pytest.raises(SystemExit) as end:
        builder.main()
    assert end.value.code == 0


def test_cards_are_counted_where_answers_are_run():
    card = lambda text: new_code_cell(outputs=[nbformat.v4.new_output("display_data", {"text/plain": text})])
    heads = "✓ 02.a · yours", "○ 02.b · open", "✗ 02.c · not yet\n  why", "02.d · hint 1 of 3"
    words = builder.outcomes(new_notebook(cells=[card(head) for head in heads]))
    assert words == "\n    exercises: 1 ✓ yours, 1 ○ open, ✗ not yet: 02.c"
    assert builder.outcomes(new_notebook(cells=[card("a picture")])) == ""
