"""Write what depends on the course's public address, `Repository` in [project.urls] of pyproject.toml: `make links`.

That is the first code cell of every notebook, which finds or installs `gan_lib`, and the badges that open a notebook on
Colab, Kaggle and Binder. While there is no address there are no badges, and a notebook alone is told where the course lies.
"""

import re
import tomllib

from build import METADATA, NOTEBOOKS, SOURCE, digest, name_cells, read_twin, report, stored, write

# A folder is used where it lies and a zip where it is unpacked, in any shape, without pip or a network. pip adds nothing but
# gan_lib, since a JAX must match its driver.
WITHOUT_ADDRESS = """\
import os
import sys

course = os.environ.get("GAN_COURSE_REPO", "")  # on Colab: see README
if course and not os.path.isdir(course):  # a zip, or a git address
    pip = f'"{sys.executable}" -m pip install -q --no-deps'
    !unzip -qo "{course}" -d build 2>/dev/null || {pip} "{course}"
parts = [at for top in (course, "build") for at, *_ in os.walk(top)]
sys.path[:0] = ["..", *(p for p in parts if "gan_lib" in os.listdir(p))]
from gan_lib.notebook import budget, expect, receipt  # not found? README

receipt()"""
WITH_ADDRESS = """\
import sys

sys.path.insert(0, "..")  # the repository's own gan_lib, where there is one
try:
    from gan_lib.notebook import budget, expect, receipt
except ModuleNotFoundError:  # a notebook alone, as on Colab
    !"{sys.executable}" -m pip install -q --no-deps "${{GAN_COURSE_REPO:-git+%s}}"
    from gan_lib.notebook import budget, expect, receipt
receipt()"""
BADGES = {
    "Open in Colab": (
        "https://colab.research.google.com/assets/colab-badge.svg",
        "https://colab.research.google.com/github/{owner}/blob/main/notebooks/{name}.ipynb",
    ),
    "Open in Kaggle": (
        "https://kaggle.com/static/images/open-in-kaggle.svg",
        "https://kaggle.com/kernels/welcome?src=https://github.com/{owner}/blob/main/notebooks/{name}.ipynb",
    ),
    "Open in Binder": (
        "https://mybinder.org/badge_logo.svg",
        "https://mybinder.org/v2/gh/{owner}/main?labpath=notebooks/{name}.ipynb",
    ),
}


def address():
    """The course's public address, or None while it has none."""
    project = tomllib.loads((NOTEBOOKS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository")


def setup_cell(url):
    """The first code cell of every notebook."""
    return WITH_ADDRESS % url if url else WITHOUT_ADDRESS


def badges(url, name):
    """One line that opens the notebook elsewhere; empty without an address on GitHub, which these services read."""
    owner = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", url or "")
    if not owner:
        return ""
    links = [(words, image, page.format(owner=owner[1], name=name)) for words, (image, page) in BADGES.items()]
    return " ".join(f"[![{words}]({image})]({page})" for words, image, page in links)


def relink(text, url, name):
    """The text of a twin with the setup cell and badges that belong to this address."""
    text = re.sub(r"\n\[!\[Open in .*\n", "", text)
    if line := badges(url, name):
        text = re.sub(r"^(# .*\n)", lambda title: f"{title[1]}\n{line}\n", text, count=1, flags=re.MULTILINE)
    cell = setup_cell(url)
    first = r"```\{code-cell\}\n(?:import os\n)?import sys\n.*?\nreceipt\(\)"
    return re.sub(first, lambda _: f"```{{code-cell}}\n{cell}", text, count=1, flags=re.DOTALL)


def main():
    for twin in sorted(SOURCE.glob("*.md")):
        before = twin.read_text(encoding="utf-8")
        after = relink(before, address(), twin.stem)
        if after == before:
            continue
        twin.write_text(after, encoding="utf-8")
        # These cells change no result: the notebook keeps its outputs, if it was up to date.
        notebook, target = stored(NOTEBOOKS / f"{twin.stem}.ipynb"), NOTEBOOKS / f"{twin.stem}.ipynb"
        new, _ = read_twin(twin)
        if notebook and len(notebook.cells) == len(new.cells):
            for old, cell in zip(notebook.cells, new.cells, strict=True):
                old.source = cell.source
            name_cells(notebook)
            notebook.metadata = {**METADATA, "course": {**notebook.metadata["course"], "source": digest(new)}}
            write(notebook, target)
        report(f"{twin.stem}  linked")


if __name__ == "__main__":
    main()
