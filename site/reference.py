"""Two pages of reference, made from the docstrings: a page for each module, and the index of formulas."""

import ast
import re
from typing import NamedTuple

import nbformat

import gan_lib

from pages import NOTEBOOKS, ROOT

MODULES = re.findall(r"\w+", gan_lib.__doc__.partition("in this list:")[2])
WHO = r"[A-Z][\w-]+(?: et al\.|(?: &|,) [A-Z][\w-]+)*"
PLACE = r"(?:its )?(?:eqs?\.|sections?|algorithm|appendix|chapter|figs?\.|tables?|order|example|theorem|proposition|alg\.|\d)"
PAPER = re.compile(rf"(?P<who>{WHO}) (?P<year>(?:19|20)\d\d)\b(?: \([^)]*\))?")
WHERE = re.compile(
    rf"\s*[,:] (?P<where>(?:arXiv [\d.]+\b|{PLACE}[^;:.]*(?:\.[\d]+|(?<=eq)\.[^;:.]*|(?<=fig)\.[^;:.]*)*))"
)


KNOWN = (
    "known|formula|brute_force|exact|equal|integral|exponential|log_2|best_logit|one_slope"  # names of tests of values
)


class Formula(NamedTuple):
    who: str
    year: str
    where: str  # "eq. 6"
    module: str
    name: str  # "frechet_distance", "GAN.step"
    what: str  # the first sentence of its docstring


def documented(module):
    """(name, docstring) of the functions, classes and methods of a module that do not begin with an underscore."""
    tree = ast.parse((ROOT / "gan_lib" / f"{module}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node) or ""
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", ast.get_docstring(inner) or ""


def formulas():
    """All that a docstring takes from a place in a paper, by year and author."""
    found = []
    for module in MODULES[:-1]:
        for name, doc in documented(module):
            text = " ".join(doc.split())
            what = re.split(r"(?<! al)[.:;] ", text, maxsplit=1)[0].rstrip(".")
            for paper in PAPER.finditer(text):
                where = WHERE.match(text, paper.end())
                if where and not where["where"].startswith("arXiv"):
                    there = re.split(r"[,)] *(?:whose|where|over)|\)$", where["where"])[0].strip(" .")
                    found.append(Formula(paper["who"], paper["year"], there, module, name, what))
    return sorted(found, key=lambda formula: (formula.year, formula.who, formula.where))


def called(module, name):
    """The names under which tests and notebooks use a function: its own, and a loss's for its halves."""
    code = (ROOT / "gan_lib" / f"{module}.py").read_text(encoding="utf-8")
    pairs = re.findall(r"^(\w+) = Loss\((\w+), (\w+)\)", code, re.MULTILINE)
    return {name.rpartition(".")[2], *(loss for loss, *halves in pairs if name in halves)}


def words(node):
    """All names and strings in a piece of a program."""
    found = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    found |= {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    return found | {
        part.value for part in ast.walk(node) if isinstance(part, ast.Constant) if isinstance(part.value, str)
    }


def tests():
    """[(file, test, the words in it)] of the course's tests."""
    return [
        (path.stem, node.name, words(node))
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def callers(module, name):
    """The functions of a module that use one of its names."""
    tree = ast.parse((ROOT / "gan_lib" / f"{module}.py").read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {node.name for node in nodes if name.rpartition(".")[2] in words(node) and not node.name.startswith("_")}


def tested(formula, known):
    """(file, test) that use a formula, or else a function that calls it. First those of its module, those of values first."""
    own = formula.name.partition(".")[0]
    for names in (called(formula.module, formula.name), callers(formula.module, formula.name)):
        using = [
            (file != f"test_{formula.module}", not re.search(KNOWN, test), len(used), file, test)
            for file, test, used in known
            if names & used and (own == formula.name or "_" in formula.name or {own, formula.module} & used)
        ]
        if using:
            return [(file, test) for *_, file, test in sorted(using)]
    return []


def seen():
    """{notebook: the words of its code}."""
    cells = {name: nbformat.read(path, as_version=4).cells for name, path in NOTEBOOKS.items()}
    return {
        name: set(re.findall(r"\w+", "\n".join(cell.source for cell in all_ if cell.cell_type == "code")))
        for name, all_ in cells.items()
    }


def formula_page():
    """The index of formulas, in Markdown."""
    known, shown = tests(), seen()
    rows = []
    for formula in formulas():
        using = tested(formula, known)
        more = "<br>and others" * (len(using) > 2)
        test = "<br>".join(f"`{file}.py::{test}`" for file, test in using[:2]) + more if using else "none of its own"
        books = [
            f"[{name[:2]}](notebooks/{name}.ipynb)"
            for name, used in shown.items()
            if called(formula.module, formula.name) & used and formula.name.partition(".")[0] == formula.name
        ]
        target = f"[`{formula.name}`](#gan_lib.{formula.module}.{formula.name})"
        cells = [
            f"{formula.who} {formula.year}",
            formula.where,
            f"{target}<br>{escaped(formula.what)}",
            test,
            ", ".join(books),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(
        [
            "# Index of formulas",
            "",
            "Which paper's equation is which function, and which test holds it. The notebooks end with the papers' titles.",
            "",
            "| paper | there | here | test in tests/ | in notebook |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def escaped(text):
    """Plain text with `code` as Markdown in a table."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if n % 2 else re.sub(r"([\\*_|$<\[\]])", r"\\\1", part) for n, part in enumerate(parts))


def api_pages():
    """{file: its text}: the list of modules, and a page for each."""
    lines = ["# The library", "", *re.split(r"\n\n|\n(?=Read)", gan_lib.__doc__.partition(" A module imports")[0]), ""]
    found = {}
    for module in MODULES:
        name = f"gan_lib.{module}"
        file = ROOT / "gan_lib" / module
        doc = ast.get_docstring(
            ast.parse((file / "__init__.py" if file.is_dir() else file.with_suffix(".py")).read_text())
        )
        first = " ".join(doc.partition("\n\n")[0].split())
        lines.append(f"- [`{name}`]({module}.rst): {escaped(first)}")
        found[f"{module}.rst"] = f"{module}\n{'=' * len(module)}\n\n.. automodule:: {name}\n"
    toc = ["", "```{toctree}", ":hidden:", "", *MODULES, "```", ""]
    return {"index.md": "\n".join(lines + toc), **found}
