"""Build the notebooks from their text twins, run them, or format the twins.

    python notebooks/source/build.py [NN ...] [--force]     execute the twins that changed, and those whose library did,
                                                            into notebooks/NN_name.ipynb; where only prose changed, the
                                                            results stay as they are; with --keep also where only
                                                            gan_lib changed, in nothing that a notebook prints or draws
    python notebooks/source/build.py [NN ...] --run DIR     execute the reader's copies in mine/ (or, without, the published
                                                            notebooks) into DIR, with times and exercises
    python notebooks/source/build.py --published            say so, and fail, where a published notebook was edited by hand
    python notebooks/source/build.py [NN ...] --format      format the code cells of the twins with ruff

NN picks notebooks by the start of their name (01, 02_first); without it, all are meant.
"""

import argparse
import base64
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import nbformat
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupytext.myst import myst_to_notebook
from library import fingerprint
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SOURCE = Path(__file__).resolve().parent
NOTEBOOKS = SOURCE.parent
CELL_TIMEOUT = 600  # seconds
LIVE = "application/vnd.jupyter.widget-view+json"  # nothing without its kernel: what is stored is the film beside it
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


class ThisPython(AsyncKernelManager):
    """Starts the kernel with the Python that runs this program, whatever kernels the machine has registered."""

    kernel_spec = KernelSpec(**get_kernel_dict(["--log-level=ERROR"]))


EDITED = (
    "was edited here. Answers belong into mine/: `make lab` takes them along, then `git checkout notebooks` makes this folder "
    "the published one again. A change of the course belongs into notebooks/source/; --force then builds it (and keeps a copy "
    "of the edited notebook in build/)"
)


class BuildError(Exception):
    """Something the author or reader has to mend; the message is all that is printed."""


def read_twin(path):
    """The notebook a twin describes, without outputs, and the line in the twin where each cell starts."""
    try:
        notebook = myst_to_notebook(path.read_text(encoding="utf-8"), add_source_map=True)
    except Exception as error:  # jupytext raises many kinds
        raise BuildError(f"{path.name}: cannot be read as a MyST notebook: {error}") from error
    lines = notebook.metadata["source_map"]
    return nbformat.from_dict({**notebook, "metadata": METADATA}), lines


def digest(notebook):
    """What the author wrote, as a short hash: cell kinds, sources, tags, and words for a picture where there are some."""
    alts = ([cell.metadata.alt] if "alt" in cell.metadata else [] for cell in notebook.cells)
    cells = [
        [cell.cell_type, cell.source, cell.metadata.get("tags", []), *alt]
        for cell, alt in zip(notebook.cells, alts, strict=True)
    ]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()[:16]


def is_edited(notebook):
    """Does it hold other text or code than what was built from its twin?"""
    return digest(notebook) != notebook.metadata.get("course", {}).get("source")


def exercise_of(cell):
    """The name of the exercise that a cell answers, such as "02.slopes", or None."""
    found = re.search(r"^@exercise\(\s*[\"'](\d\d\.\w+)[\"']", cell.source, re.MULTILINE)
    return found[1] if found and cell.cell_type == "code" else None


def name_cells(notebook):
    """Give every cell an id that depends on its content alone, so that a rebuild changes no ids."""
    seen = Counter()
    for cell in notebook.cells:
        name = hashlib.sha256(f"{cell.cell_type} {cell.source}".encode()).hexdigest()[:8]
        seen[name] += 1
        cell["id"] = name if seen[name] == 1 else f"{name}-{seen[name]}"


def settle(outputs):
    """Merge the pieces of a stream between two displays; keep of a progress bar what a terminal shows in the end."""
    settled, streams = [], {}
    for output in outputs:
        if output.output_type != "stream":
            streams = {}  # a display: later text belongs below it
            if LIVE not in output.get("data", {}):
                settled.append(output)
        elif output.name in streams:
            streams[output.name].text += output.text
        else:
            streams[output.name] = output
            settled.append(output)
    for output in settled:
        if output.output_type == "stream":
            lines = [[state for state in line.split("\r") if state.strip()] for line in output.text.split("\n")]
            output.text = "\n".join(states[-1].rstrip() if states else "" for states in lines)
    return [output for output in settled if output.output_type != "stream" or output.text.strip()]


def execute(notebook, name, lines=None, folder=NOTEBOOKS):
    """Run all cells in a fresh kernel in a folder, in place. Returns {cell number: seconds}.

    lines: where each cell starts in the twin, for messages.
    Raises BuildError that names notebook, cell and error.
    """
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        timeout=CELL_TIMEOUT,
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    seconds = {}
    with client.setup_kernel():
        for number, index in enumerate(code, start=1):
            progress(f"{name}  cell {number}/{len(code)}")
            cell = notebook.cells[index]
            started = time.perf_counter()
            try:
                client.execute_cell(cell, index)
            except CellExecutionError as error:
                problem = f"{error.ename}: {error.evalue}"
            except Exception as error:  # a timeout, a dead kernel
                problem = str(error).strip().partition("\n")[0] or type(error).__name__
            else:
                problem = None
            if problem:
                where = f", line {lines[index] + 1} of its twin" if lines else ""
                first = next((line for line in cell.source.splitlines() if line.strip()), "")
                raise BuildError(f"{name}: code cell {number}{where} ({first.strip()[:60]})\n    {problem}")
            seconds[number] = time.perf_counter() - started
            cell.outputs = settle(cell.outputs)
    return seconds


def progress(text):
    """Show what is going on, on a terminal only; the next line overwrites it."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)


def report(text):
    """Print a line that stays."""
    progress("")
    print(text, flush=True)


def write(notebook, path):
    """Write path at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        nbformat.write(notebook, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def stored(path):
    """The notebook at path, or None if there is none that can be read."""
    try:
        return nbformat.read(path, as_version=4)
    except (FileNotFoundError, ValueError):
        return None


def picture(notebook):
    """The PNG of the cell tagged `picture`, which README.md shows, or None if no cell is."""
    for cell in notebook.cells:
        if "picture" in cell.metadata.get("tags", []):
            return base64.b64decode(next(o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})))
    return None


def slowest(seconds):
    return ", ".join(f"[{number}] {seconds[number]:.1f} s" for number in sorted(seconds, key=seconds.get)[:-4:-1])


def code_of(notebook):
    """The code cells, and what the author wrote in them."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return cells, [(cell.source, cell.metadata.get("tags", [])) for cell in cells]


def build(twin, force=False, keep=False):
    """Execute one twin into its notebook unless that is up to date. Where only prose changed, its results stay.

    keep: they stay where only the library changed, too.
    """
    target = NOTEBOOKS / f"{twin.stem}.ipynb"
    notebook, lines = read_twin(twin)
    course = {"source": digest(notebook), "library": fingerprint(notebook, twin.stem[:2])}
    old = stored(target)
    if old and not force:
        if is_edited(old):
            raise BuildError(f"{target.name} {EDITED}")
        if course == old.metadata["course"]:
            report(f"{twin.stem}  up to date")
            return
    if old and is_edited(old):
        write(old, NOTEBOOKS.parent / "build" / f"{twin.stem}.edited.ipynb")
    name_cells(notebook)
    notebook.metadata["course"] = course
    (new_cells, new_code), (old_cells, old_code) = code_of(notebook), code_of(old) if old else ([], None)
    same_library = keep or (old and old.metadata["course"].get("library") == course["library"])
    if new_code == old_code and same_library and not force:
        for cell, before in zip(new_cells, old_cells, strict=True):
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
        write(notebook, target)
        report(f"{twin.stem}  the results stay")
        return
    seconds = execute(notebook, twin.stem, lines)
    write(notebook, target)
    if png := picture(notebook):
        target.with_suffix(".png").write_bytes(png)
    report(f"{twin.stem}  {sum(seconds.values()):.0f} s  slowest: {slowest(seconds)}")


def run(path, folder):
    """Execute one notebook as it stands into folder. Returns the seconds its cells took."""
    notebook = nbformat.read(path, as_version=4)
    seconds = execute(notebook, path.stem, folder=path.parent)
    write(notebook, folder / path.name)
    report(f"{path.stem}  {sum(seconds.values()):.0f} s  slowest: {slowest(seconds)}{outcomes(notebook)}")
    return sum(seconds.values())


def outcomes(notebook):
    """What the exercises' cards say, for the end of a line."""
    shown = [
        output.get("data", {}).get("text/plain", "") for cell in notebook.cells for output in cell.get("outputs", [])
    ]
    heads = [re.match(r"([✓✗○]) (\d\d\.\w+) · ", text) for text in shown]
    by_mark = {mark: [head[2] for head in heads if head and head[1] == mark] for mark in "✓✗○"}
    words = f"\n    exercises: {len(by_mark['✓'])} ✓ yours, {len(by_mark['○'])} ○ open" if any(by_mark.values()) else ""
    return words + (f", ✗ not yet: {', '.join(by_mark['✗'])}" if by_mark["✗"] else "")


def format_twin(twin):
    """Format the code cells of a twin with ruff, and leave its prose alone."""
    text = twin.read_text(encoding="utf-8")
    notebook, lines = read_twin(twin)
    command = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(NOTEBOOKS / f"{twin.stem}.ipynb"), "-"]
    formatted = nbformat.writes(notebook)
    for step in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
        done = subprocess.run([*command, *step, *name], input=formatted, text=True, capture_output=True)
        if done.returncode:
            raise BuildError(f"{twin.name}: ruff {step[0]}: {done.stderr.strip()}")
        formatted = done.stdout
    starts = list(itertools.accumulate((len(line) for line in text.splitlines(keepends=True)), initial=0))
    pairs = zip(notebook.cells, nbformat.reads(formatted, as_version=4).cells, lines, strict=True)
    for old, new, line in reversed(list(pairs)):  # from the end, so that the starts before it stay true
        if old.cell_type == "code" and old.source != new.source:
            at = text.index(f"\n{old.source}\n", starts[line] - 1) + 1
            text = text[:at] + new.source + text[at + len(old.source) :]
    if text != twin.read_text(encoding="utf-8"):
        twin.write_text(text, encoding="utf-8")
        report(f"{twin.name}  formatted: build it again")


def pick(paths, names):
    """The paths whose name starts with one of names, in order; all of them without names."""
    paths = sorted(paths)
    for name in names:
        if not any(path.name.startswith(name) for path in paths):
            raise BuildError(f"no notebook starts with {name!r}; there are {', '.join(path.stem for path in paths)}")
    return [path for path in paths if not names or path.name.startswith(tuple(names))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NN", help="start of a notebook's name; all without it")
    parser.add_argument("--force", action="store_true", help="execute twins that did not change, overwrite edits")
    parser.add_argument("--keep", action="store_true", help="keep results that a change of gan_lib does not change")
    parser.add_argument("--run", metavar="DIR", type=Path, help="execute the notebooks as they stand into DIR")
    parser.add_argument("--format", action="store_true", help="format the code cells of the twins")
    parser.add_argument("--published", action="store_true", help="fail where a notebook was edited by hand")
    arguments = parser.parse_args()
    if arguments.published:
        edited = [
            path.name for path in sorted(NOTEBOOKS.glob("*.ipynb")) if is_edited(nbformat.read(path, as_version=4))
        ]
        sys.exit(f"This checks the course as published, and {', '.join(edited)} {EDITED}." if edited else 0)
    os.environ.pop("COURSE_STRICT", None)  # an open or wrong exercise must not stop a build
    mine = NOTEBOOKS.parent / "mine"
    twins_or_notebooks = (
        (mine if mine.exists() else NOTEBOOKS).glob("*.ipynb") if arguments.run else SOURCE.glob("*.md")
    )
    times, problems = {}, []
    try:
        chosen = pick(twins_or_notebooks, arguments.names)
    except BuildError as error:
        sys.exit(str(error))
    for path in chosen:
        try:
            if arguments.format:
                format_twin(path)
            elif arguments.run:
                times[path.stem] = run(path, arguments.run)
            else:
                build(path, arguments.force, arguments.keep)
        except BuildError as error:
            report(f"✗ {error}")
            problems.append(path.stem)
    if times:
        width = max(map(len, times))
        report(f"\n{'notebook':{width}}  seconds")
        for name, seconds in {**times, "all": sum(times.values())}.items():
            report(f"{name:{width}}  {seconds:7.1f}")
    if problems:
        sys.exit(f"failed: {', '.join(problems)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
