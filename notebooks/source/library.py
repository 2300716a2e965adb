"""Which of gan_lib's code a notebook's results come from, as a short hash: results older than it are found by a test."""

import ast
import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COMMENTED = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef


def fingerprint(notebook, number):
    """Hash of the modules that a notebook imports, directly or through others, and of its own exercises (number: "05").

    Comments, docstrings and blank lines don't count, unless the notebook prints source code.
    """
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    code = re.sub(r"^( *)[!%].*$", r"\1pass", code, flags=re.MULTILINE)  # IPython's commands
    exercises = ROOT / "gan_lib" / "exercises" / f"nb{number}.py"
    found, new = set(), imported(code) | ({exercises} if exercises.exists() else set())
    while new:
        found |= new
        new = set().union(*(imported(path.read_text(encoding="utf-8")) for path in new)) - found
    read = (lambda text: text) if "getsource" in code else statements
    texts = [f"{path.relative_to(ROOT).as_posix()}\n{read(path.read_text(encoding='utf-8'))}" for path in sorted(found)]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def imported(code):
    """The files of gan_lib that code imports by name, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = [ROOT.joinpath(*name.split(".")) for name in names if name.split(".")[0] == "gan_lib"]
    return {file for path in paths for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()}


def statements(text):
    """Text without blank lines, lines of comment and docstrings."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, COMMENTED) and ast.get_docstring(node, clean=False) is not None:
            first, last = node.body[0].lineno, node.body[0].end_lineno
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
