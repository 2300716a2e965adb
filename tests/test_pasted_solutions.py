"""A solution pasted under its stub needs only what the cells above it, and itself, import or define."""

import ast
import builtins
import re
import symtable
from pathlib import Path

import pytest

from gan_lib.exercises import names, solution

SOURCES = Path(__file__).parents[1] / "notebooks" / "source"


def bound(code):
    """Names that the lines of a cell import, define or assign."""
    found = set()
    for node in ast.walk(ast.parse(re.sub(r"(?m)^( *)[!%].*", r"\1pass", code))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def used(code):
    """Names that it looks up outside itself."""
    tables, found = [symtable.symtable(code, "cell", "exec")], set()
    while tables:
        table = tables.pop()
        tables += table.get_children()
        found |= {
            s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global() and not s.is_assigned()
        }
    return found


@pytest.mark.parametrize("name", names())
def test_a_solution_runs_where_it_is_pasted(name):
    (source,) = SOURCES.glob(f"{name[:2]}_*.md")
    cells = re.findall(r"(?ms)^```\{code-cell\}[^\n]*\n(?::[^\n]*\n)*(.*?)^```$", source.read_text(encoding="utf-8"))
    (place,) = (i for i, cell in enumerate(cells) if f'@exercise("{name}")' in cell)
    above = set().union(*(bound(cell) for cell in cells[:place]))
    text = solution(name).text
    assert used(text) - above - bound(text) - set(dir(builtins)) == set()
