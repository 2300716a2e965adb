"""What every notebook owes its reader: it is the twin's, it ran, it is short, it explains, its links lead somewhere."""

import ast
import base64
import re
import statistics
import subprocess
import sys
import urllib.parse
from pathlib import Path

import jupytext
import nbformat
import pytest

from gan_lib import exercises

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "notebooks" / "source"))
import library  # noqa: E402
from library import fingerprint  # noqa: E402

import build as builder  # noqa: E402
import links as address_links  # noqa: E402

NOTEBOOKS = ROOT / "notebooks"
TWINS = {path.stem: path for path in sorted((NOTEBOOKS / "source").glob("*.md"))}
BUILT = {path.stem: path for path in sorted(NOTEBOOKS.glob("*.ipynb"))}
DOCUMENTS = sorted(path for path in (ROOT / "README.md", *(ROOT / "data").rglob("*.md")) if path.exists())
FEW = 8  # words that count as an explanation
WIDE = 75  # characters of a code cell that JupyterLab shows beside its file browser in a window of 1,000 pixels
PRINTED = 75  # likewise of a line that cells print, which would be wrapped

each = pytest.mark.parametrize("name", BUILT)


def read(name):
    return nbformat.read(BUILT[name], as_version=4)


def code_cells(name):
    return [cell for cell in read(name).cells if cell.cell_type == "code" and cell.source.strip()]


def markdown(name):
    return [cell.source for cell in read(name).cells if cell.cell_type == "markdown"]


def where(cell):
    return f"In [{cell.execution_count}] ({cell.source.strip().splitlines()[0]})"


def parse(source):
    """The syntax tree of a cell, whose lines for the shell do nothing."""
    return ast.parse(re.sub(r"^(\s*)[!%].*", r"\1pass", source, flags=re.MULTILINE))


def defined(source):
    """{name: [syntax trees without docstrings]} of all functions, classes and assigned names, methods included."""
    found = {}
    for node in ast.walk(parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node)
    return {name: [bare(node) for node in nodes] for name, nodes in found.items()}


def bare(node):
    """The tree as text, without docstrings."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(inner, clean=False) is not None:
            inner.body = inner.body[1:] or [ast.Pass()]
    return ast.dump(node)


def test_every_twin_is_built_and_every_notebook_has_a_twin():
    assert list(TWINS) == list(BUILT), "run `make notebooks`"
    assert BUILT


@each
def test_cells_equal_the_twin(name):
    twin = jupytext.reads(TWINS[name].read_text(encoding="utf-8"), fmt="md:myst")
    assert twin.metadata["kernelspec"]["name"] == "python3"
    notebook = read(name)
    for number, (mine, its) in enumerate(zip(notebook.cells, twin.cells, strict=False), start=1):
        assert mine.source == its.source, f"cell {number}: run `make notebooks`"
        assert (mine.cell_type, mine.metadata) == (its.cell_type, its.metadata), f"cell {number}: run `make notebooks`"
    assert len(notebook.cells) == len(twin.cells), "run `make notebooks`"


@each
def test_ran_from_top_to_bottom_without_complaint(name):
    assert [cell.execution_count for cell in code_cells(name)] == list(range(1, len(code_cells(name)) + 1))
    for cell in code_cells(name):
        for output in cell.outputs:
            assert output.output_type != "error", where(cell)
            assert "Warning:" not in output.get("text", ""), where(cell)
            assert "\r" not in output.get("text", ""), where(cell)


def test_new_prose_keeps_the_results_and_new_code_is_executed(tmp_path, monkeypatch):
    runs = []

    def execute(notebook, *_):
        runs.append(notebook.cells[-1].source)
        notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text=f"run {len(runs)}")]
        return {}

    monkeypatch.setattr(builder, "execute", execute)
    monkeypatch.setattr(builder, "NOTEBOOKS", tmp_path)
    twin = tmp_path / "00_twin.md"
    for prose, code, force, expected in (
        ("one", "1 + 1", False, "run 1"),
        ("two", "1 + 1", False, "run 1"),
        ("two", "1 + 1", True, "run 2"),
        ("two", "1 + 2", False, "run 3"),
    ):
        twin.write_text(f"{prose}\n\n```{{code-cell}}\n{code}\n```\n")
        builder.build(twin, force)
        text, cell = nbformat.read(tmp_path / "00_twin.ipynb", as_version=4).cells
        assert (text.source, cell.source, cell.outputs[0].text) == (prose, code, expected)
    builder.build(twin, False)
    assert len(runs) == 3
    monkeypatch.setattr(builder, "fingerprint", lambda *_: "of another library")
    builder.build(twin, keep=True)
    assert len(runs) == 3
    monkeypatch.setattr(builder, "fingerprint", lambda *_: "of a third")
    builder.build(twin)
    assert len(runs) == 4
    builder.build(twin)
    assert len(runs) == 4


@each
def test_results_are_those_of_this_library(name):
    now = fingerprint(read(name), name[:2])
    advice = (
        f"make notebooks ARGS={name[:2]} executes {name} again; where nothing that it shows has changed, add --keep"
    )
    assert read(name).metadata.course.get("library") == now, f"gan_lib has changed since its results. {advice}"


def test_a_change_of_the_library_is_noticed(tmp_path, monkeypatch):
    """Of what is imported, through other modules, too; not a comment, unless the notebook prints source code."""
    monkeypatch.setattr(library, "ROOT", tmp_path)
    (tmp_path / "gan_lib" / "exercises").mkdir(parents=True)
    files = {"__init__": "", "a": "from gan_lib import b", "b": 'def f():\n    """Says."""\n    return 1', "c": "x = 1"}
    files["exercises/nb07"] = "y = 1"
    for file, text in files.items():
        (tmp_path / "gan_lib" / f"{file}.py").write_text(text)
    cells = ["!pip install x\nfrom gan_lib.a import thing", "import inspect, numpy"]
    plain = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    printing = nbformat.from_dict({**plain, "cells": [*plain.cells, nbformat.v4.new_code_cell("inspect.getsource(f)")]})
    changes = {
        "a": ("# why\nfrom gan_lib import b", False, True),
        "b": ('def f():\n    """Tells."""\n\n    return 1', False, True),
        "c": ("x = 2", False, False),
        "exercises/nb07": ("y = 2", True, True),
        "__init__": ("z = 1", True, True),
    }
    for file, (text, *expected) in changes.items():
        before = [fingerprint(notebook, "07") for notebook in (plain, printing)]
        (tmp_path / "gan_lib" / f"{file}.py").write_text(text)
        after = [fingerprint(notebook, "07") for notebook in (plain, printing)]
        assert [a != b for a, b in zip(before, after, strict=True)] == expected, file
    (tmp_path / "gan_lib" / "b.py").write_text('def f():\n    """Tells."""\n    return 2')
    assert fingerprint(plain, "07") != after[0]


@each
def test_metadata_is_the_same_on_every_machine(name):
    metadata = read(name).metadata
    assert set(metadata) == {"course", "kernelspec", "language_info"}
    assert "version" not in metadata.language_info
    assert not any("execution" in cell.metadata for cell in read(name).cells)


@each
def test_code_cells_are_short(name):
    lengths = {
        where(cell): len([line for line in cell.source.splitlines() if line.strip()]) for cell in code_cells(name)
    }
    assert {cell: length for cell, length in lengths.items() if length > 25} == {}
    assert statistics.median(lengths.values()) <= 8


@each
def test_code_fits_beside_the_file_browser(name):
    wide = {where(cell): line for cell in code_cells(name) for line in cell.source.splitlines() if len(line) > WIDE}
    assert wide == {}


@each
def test_printed_lines_are_short(name):
    wide = {
        where(cell): line
        for cell in code_cells(name)
        for output in cell.outputs
        for line in (output.get("text") or output.get("data", {}).get("text/plain", "")).splitlines()
        if output.output_type != "error" and len(line) > PRINTED and "%|" not in line  # a bar
    }
    assert wide == {}


@each
def test_prose_is_neither_thin_nor_long(name):
    assert 1200 <= len(" ".join(markdown(name)).split()) <= 3000


@each
def test_file_is_small(name):
    assert BUILT[name].stat().st_size <= 1.5e6


@each
def test_readers_see_no_remarks_for_tools_and_no_addresses_of_objects(name):
    assert not [cell.source for cell in code_cells(name) if "noqa" in cell.source]
    outputs = [output for cell in code_cells(name) for output in cell.outputs]
    shown = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
    assert not [text for text in shown if re.search(r"<[\w.]+ .*at 0x[0-9a-f]+", text)]


@each
def test_setup_cell_is_the_one_for_the_address(name):
    first = code_cells(name)[0].source
    assert first == address_links.setup_cell(address_links.address())
    assert len(re.findall(r"^\s*\S", first, re.MULTILINE)) <= 10
    assert "receipt()" in first
    assert TWINS[name].read_text() == address_links.relink(TWINS[name].read_text(), address_links.address(), name), (
        "run `make links`"
    )


@pytest.mark.parametrize("url", ["https://github.com/someone/gan-course", "https://github.com/someone/gan-course.git"])
def test_one_setting_makes_cell_and_badges(url):
    name = min(TWINS)
    before = TWINS[name].read_text()
    linked = address_links.relink(before, url, name)
    assert f'"{{sys.executable}}" -m pip install -q --no-deps "${{{{GAN_COURSE_REPO:-git+{url}}}}}"' in linked
    assert len(re.findall(r"^\s*\S", address_links.setup_cell(url), re.MULTILINE)) <= 8
    assert f"https://colab.research.google.com/github/someone/gan-course/blob/main/notebooks/{name}.ipynb" in linked
    assert all(f"[![{words}]" in linked for words in address_links.BADGES)
    assert address_links.relink(linked, url, name) == linked
    assert address_links.relink(linked, address_links.address(), name) == before
    assert address_links.badges("https://example.org/course", name) == ""  # Colab and the others read GitHub


@each
def test_imports_are_used_in_code_or_prose(name):
    trees = [parse(cell.source) for cell in code_cells(name)[1:]]  # the setup cell is the same everywhere
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    used |= set(re.findall(r"\w+", " ".join(re.findall(r"`[^`]+`", "\n".join(markdown(name))))))
    assert {alias.asname or alias.name.split(".")[0] for alias in imported} - used == set()


@each
def test_a_function_keeps_its_name(name):
    """A cell that is run again, later, would find a number or a text where it calls a function."""
    functions, values = {}, {}
    for cell in code_cells(name):
        nodes = [parse(cell.source)]
        while nodes:
            for node in ast.iter_child_nodes(nodes.pop()):
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    functions[node.name] = where(cell)
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    values[node.id] = where(cell)
                elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                    nodes.append(node)  # what these bind stays inside
    twice = {each: (functions[each], values[each]) for each in functions if each in values}
    assert not twice, f"{name}: a function in one cell, something else in another: {twice}"


# --- links --------------------------------------------------------------------------------------------------------------

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|(?:href|src)=\"([^\"]+)\"")
CODE = re.compile(r"^(```|~~~).*?^\1[^\n]*$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def links(text):
    return [target or attribute for target, attribute in LINK.findall(CODE.sub("", text))]


def anchors(text, github):
    """What a #fragment may name: ids, and headings as Jupyter (or, for documents, GitHub) turns them into ids."""
    found = set(re.findall(r"<\w+[^>]*\b(?:id|name)=\"([^\"]+)\"", text))
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        plain = re.sub(r"[`*_]", "", plain)
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-") if github else plain.replace(" ", "-"))
    return found


def broken_links(path, text):
    """The relative links of a file that lead nowhere."""
    broken = []
    for link in links(text):
        target, _, fragment = urllib.parse.unquote(link).partition("#")
        if re.match(r"[a-z]+:", target):
            continue  # an address elsewhere, or inline data
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or not file.is_relative_to(ROOT):
            broken.append(link)
        elif fragment and file.suffix in (".ipynb", ".md"):
            there = "\n\n".join(markdown(file.stem)) if file.suffix == ".ipynb" else file.read_text(encoding="utf-8")
            if fragment not in anchors(there, github=file.suffix == ".md"):
                broken.append(link)
    return broken


@each
def test_lines_for_the_shell_are_well_formed(name):
    """What a reader copies into a terminal or hands to Slurm: bash reads it, and knows its words."""
    for script in re.findall(r"^```(?:bash|sh)\n(.*?)^```", "\n\n".join(markdown(name)), re.MULTILINE | re.DOTALL):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        lines = script.splitlines()
        settings = [line for line in lines if line.startswith("#SBATCH")]
        if settings:  # Slurm reads those at the top, and no others
            assert lines[0].startswith("#!") and lines[1 : len(settings) + 1] == settings
            known = "nodes ntasks-per-node gpus-per-node time signal requeue job-name output partition account"
            assert {re.match(r"#SBATCH --([\w-]+)(=\S+)?$", line)[1] for line in settings} <= set(known.split())


@each
def test_links_lead_somewhere(name):
    assert broken_links(BUILT[name], "\n\n".join(markdown(name))) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_documents_lead_somewhere(path):
    assert broken_links(path, path.read_text(encoding="utf-8")) == []


# --- pictures -----------------------------------------------------------------------------------------------------------


def explains(cell):
    """Whether a neighbour of a picture has words of its own, beyond headings and formulas."""
    if cell is None or cell.cell_type != "markdown":
        return False
    prose = re.sub(r"^#.*$|\$\$.*?\$\$|\$[^$]*\$|<[^>]+>", " ", cell.source, flags=re.MULTILINE | re.DOTALL)
    return len(re.findall(r"[A-Za-z]{2,}", prose)) >= FEW


@each
def test_every_picture_has_words_beside_it(name):
    cells = [cell for cell in read(name).cells if cell.source.strip()]
    for before, cell, after in zip([None, *cells], cells, [*cells[1:], None], strict=False):
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            assert explains(before) or explains(after), where(cell)


@each
def test_pictures_in_the_text_have_alt_text(name):
    check_alt_text("\n\n".join(markdown(name)))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_pictures_in_documents_have_alt_text(path):
    check_alt_text(path.read_text(encoding="utf-8"))


def check_alt_text(text):
    text = CODE.sub("", text)
    assert not re.findall(r"!\[\s*\]\([^)]*\)", text)
    assert not [tag for tag in re.findall(r"<img\b[^>]*>", text) if not re.search(r"\balt=\"[^\"]+\"", tag)]


# --- code and exercises -------------------------------------------------------------------------------------------------


@each
def test_library_code_is_the_library(name):
    for cell in code_cells(name):
        if "library" not in cell.metadata.get("tags", []):
            continue
        first = cell.source.splitlines()[0]
        assert re.fullmatch(r"# gan_lib/\w+\.py", first), f"{where(cell)}: the first line names the file"
        library = defined((ROOT / first[2:]).read_text(encoding="utf-8"))
        shown = {
            node.name if hasattr(node, "name") else node.targets[0].id: bare(node)
            for node in parse(cell.source).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            or (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name))
        }
        assert shown, f"{where(cell)}: defines nothing"
        for each_name, tree in shown.items():
            assert tree in library.get(each_name, []), f"{where(cell)}: {each_name} differs from {first[2:]}"


def stubs(name):
    """{exercise: syntax tree} of the functions and classes under @exercise in a notebook."""
    found = {}
    for cell in code_cells(name):
        for node in ast.walk(parse(cell.source)):
            for decorator in getattr(node, "decorator_list", []):
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "exercise":
                    found[ast.literal_eval(decorator.args[0])] = node
    return found


@each
def test_four_to_six_exercises_each_known_and_open(name):
    assert set(stubs(name)) == set(exercises.names(name[:2]))
    # 07 has five programs to repair, 09 a loss to write, 11 four applications.
    most = {"07_clinic": 8, "09_conditional_gan": 7, "11_put_it_to_work": 7}.get(name, 6)
    assert 4 <= len(stubs(name)) <= most
    for exercise, node in stubs(name).items():
        methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
        bodies = [item.body for item in methods] if isinstance(node, ast.ClassDef) else [node.body]
        for body in bodies:
            words = [
                line for line in body[:-1] if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
            ]
            assert ast.unparse(body[-1]) == "...", f"{exercise}: the stub ends in ..."
            assert not words, f"{exercise}: the stub has nothing but a docstring before its ..."


@each
def test_every_exercise_says_how_hard_it_is_and_where_help_is(name):
    text = "\n\n".join(markdown(name))
    badges = re.findall(rf"\*\*Exercise {name[:2]}\.\d+ · [^*]+\*\* · difficulty (\d)/3 · (\d+) minutes?", text)
    known = [exercises._find(exercise) for exercise in stubs(name)]
    assert badges == [(str(found.difficulty), f"{found.minutes:g}") for found in known]
    for found in known:
        assert f'hint("{found.name}")' in text
    code = "\n".join(cell.source for cell in code_cells(name))
    assert f'progress("{name[:2]}")' in code
    assert "from gan_lib.exercises import exercise, hint, progress, solution" in code, (
        "the text offers hint and solution"
    )


def test_every_exercise_belongs_to_a_notebook():
    assert {exercise[:2] for exercise in exercises.names()} == {name[:2] for name in BUILT}


def test_the_readmes_pictures_are_what_notebooks_drew():
    shown = re.findall(r"!\[[^\]]+\]\((notebooks/[^)]+\.png)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown, "README.md shows no picture of a notebook"
    for path in map(ROOT.joinpath, shown):
        outputs = [o.get("data", {}) for cell in code_cells(path.stem) for o in cell.outputs]
        drawn = [base64.b64decode(data["image/png"]) for data in outputs if "image/png" in data]
        assert path.read_bytes() in drawn, f"{path.name} is not in the notebook: run `make notebooks`"


# --- the repository -----------------------------------------------------------------------------------------------------

PRIVATE = {
    "a path of somebody's machine": r"(?<![\w.~])/(?:home|Users|roo[t]|wor[k]|far[m]|private/var)/|/tmp/ipykerne[l]",
    "a package registry's host": r"\b(?:pypi|pythonhosted|npmjs|deb\.debian|anaconda)\.(?:org|com)\b",
}


def tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("what", PRIVATE)
def test_no_file_tells_where_it_was_made(what):
    found = {}
    for path in tracked():
        raw = path.read_bytes()
        if b"\0" not in raw[:8000] and path.suffix != ".gz":
            hits = re.findall(PRIVATE[what], raw.decode("utf-8"))
            if hits:
                found[str(path.relative_to(ROOT))] = hits[0]
    assert found == {}
