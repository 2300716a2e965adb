"""Give the reader copies of the notebooks to work in, and bring these up to date without touching an answer.

    python notebooks/source/mine.py          from anywhere; `make lab` does it first

The copies are in mine/, outside version control, so that looking, running and answering change nothing that `git pull`
brings. Where a published notebook is newer than the copy, the copy takes its text and results. Cells that the reader
changed or added stay as they are, in their places, and the copy from before is kept in mine/.before/. An answer to an
exercise that is gone stays to be read, as text: run, it would stop the notebook.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat

from build import NOTEBOOKS, digest, exercise_of, is_edited, stored, write

MINE = NOTEBOOKS.parent / "mine"


def update(folder: Path = MINE) -> list[str]:
    """Make or update all copies; a sentence for each that tells the reader something."""
    said = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        copy, base = folder / path.name, folder / ".published" / path.name
        new = stored(path)
        if new is not None and is_edited(new):  # in place, by a reader who did not come through `make lab`
            edited, new = new, at_last_commit(path) or new
            said += take_along(path, edited, new, copy, base)
        if new is not None and copy.exists():
            said += refresh(new, copy, base)
        elif new is not None:
            write(new, copy)
            write(new, base)
    return said


def take_along(path, edited, published, copy, base):
    """Copy a notebook that was edited in notebooks/ to mine/, beside the copy there if that has other answers."""
    mine, old = stored(copy), stored(base)
    free = not copy.exists() or (mine is not None and old is not None and digest(mine) == digest(old))
    target = copy if free else copy.with_name(f"{path.stem}.from-notebooks.ipynb")
    if digest(edited) in [digest(notebook) for notebook in (mine, stored(target)) if notebook is not None]:
        return []
    keep(path, target)
    if free:
        write(published, base)
    back = f"`git checkout {_relative(path)}` takes them back in notebooks/"
    return [f"{path.stem}: your changes in notebooks/ are in {_relative(target)} now; {back}."]


def refresh(new, copy, base):
    """Bring a copy up to date with a published notebook, and note that one as its base."""
    name, mine, old = copy.stem, stored(copy), stored(base)
    if mine is None or old is None:
        return [f"{name}: {_relative(copy)} cannot be read, or who knows what it was made from: left as it is."]
    if digest(new) == digest(old):
        return []
    if digest(mine) == digest(old):
        write(new, copy)
        said = f"{name}: updated."
    else:
        before = copy.parent / ".before" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.ipynb"
        keep(copy, before)
        merged, kept = merge(old, mine, new)
        write(merged, copy)
        said = f"{name}: updated, with {kept} of your cells in it. As it was: {_relative(before)}"
    write(new, base)
    return [said]


def merge(old, mine, new):
    """(`new` with what the reader changed or added in `mine`, how many cells that is). `mine` was made from `old`."""
    published, kept = {cell.get("id"): cell for cell in old.cells}, 0
    result, places = list(new.cells), {_name(cell): cell for cell in reversed(new.cells)}
    exercises = {exercise_of(cell) for cell in new.cells}
    after = None  # the cell of `result` that stands before the reader's next one
    for cell in mine.cells:
        was = published.get(cell.get("id")) or next((c for c in old.cells if _same(c, cell)), None)
        place = places.get(_name(was or cell))
        if was is not None and _same(was, cell):
            after = after if place is None else place  # the text has changed, or it is gone
            continue
        if place is not None and any(place is c for c in result):
            result[_index(result, place)] = cell
        else:
            cell = cell if exercise_of(cell) in exercises | {None} else as_text(cell)
            result.insert(0 if after is None else _index(result, after) + 1, cell)
        after, kept = cell, kept + 1
    seen = set()
    for cell in result:  # a changed cell has the id of the one it was made from
        while cell.get("id") in seen:
            cell["id"] += "-mine"
        seen.add(cell.get("id"))
    return nbformat.from_dict({**new, "cells": result}), kept


def as_text(cell):
    """A reader's answer to an exercise that is no longer there, as a cell that nothing runs."""
    words = f"The exercise `{exercise_of(cell)}` is no longer in this notebook. Your answer was:"
    text = nbformat.v4.new_markdown_cell(f"{words}\n\n```python\n{cell.source.strip()}\n```")
    text["id"] = cell.get("id", text["id"])
    return text


def _same(one, other):
    return one.cell_type == other.cell_type and one.source.strip() == other.source.strip()


def _name(cell):
    """What a cell goes by in another version of its notebook: the exercise in it, or what it says."""
    return exercise_of(cell) or (cell.cell_type, cell.source.strip())


def _index(cells, cell):
    return next(i for i, c in enumerate(cells) if c is cell)


def keep(path, copy):
    """Copy a file whole or not at all."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = copy.with_name(f".{copy.name}.part")
    shutil.copyfile(path, part)
    part.replace(copy)


def at_last_commit(path):
    """The notebook as it is in the repository; None without one."""
    done = subprocess.run(
        ["git", "show", f"HEAD:./{path.name}"], cwd=path.parent, capture_output=True, text=True, check=False
    )
    return nbformat.reads(done.stdout, as_version=4) if done.returncode == 0 else None


def _relative(path):
    return path.relative_to(NOTEBOOKS.parent) if path.is_relative_to(NOTEBOOKS.parent) else path


if __name__ == "__main__":
    for line in update():
        print(line, file=sys.stderr)
