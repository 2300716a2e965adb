"""Build the site out of the notebooks as they are stored, README.md and the library's docstrings; no notebook runs.

    python site/make.py [FOLDER]        into FOLDER, build/site without one: open its index.html, or put it anywhere

The pages' sources are written to FOLDER-source first, for Sphinx to read.
"""

import re
import shutil
import sys
from pathlib import Path

import nbformat
from sphinx.cmd.build import build_main

from pages import NOTEBOOKS, ROOT, badge_links, card, page
from reference import api_pages, formula_page

README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d\d) \| \[(.+?)\]\(notebooks/(\w+)\.ipynb\) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def landing():
    """The first page: README.md's film, first lines and commands, and its table as cards."""
    (title, intro, alt, film) = re.match(r"# (.+)\n\n(.+?)\n\n!\[(.+?)\]\((.+?)\)", README, re.DOTALL).groups()
    legend = re.search(r"^\*(Notebook 02.+?)\*$", README, re.MULTILINE | re.DOTALL)[1]
    commands = re.search(r"```sh\n(.+?)```", README, re.DOTALL)[1]
    cards = []
    for number, name, file, will, cores, gpu in ROW.findall(README):
        where = "".join(f" · [{words}]({url})" for words, url in badge_links(file) if "Colab" in words)
        cards += [
            f"::::{{grid-item-card}} {number} · {name}",
            f":img-top: pictures/{file}.png",
            f":img-alt: A picture of notebook {number}, {name}",
            "",
            f"You {will}.",
            ":::{card-footer}",
            f"[Read](notebooks/{file}.ipynb){where} · {cores} min on two cores"
            + (f", {gpu} on a GPU" if gpu[0].isdigit() else ""),
            ":::",
            "::::",
        ]
    lines = [
        f"# {title}",
        "",
        intro,
        "",
        '<figure class="film"><picture>'
        '<source srcset="pictures/still.png" media="(prefers-reduced-motion: reduce)">'
        f'<img src="pictures/film.png" alt="{alt}"></picture><figcaption>{legend}</figcaption></figure>',
        "",
        "## Start",
        "",
        "In a copy of the course, with Python 3.11 or newer:",
        "",
        f"```sh\n{commands}```",
        "",
        "## What is in it",
        "",
        ":::::{grid} 1 2 2 3",
        ":gutter: 3",
        "",
        *cards,
        ":::::",
        "",
        "```{toctree}\n:hidden:\n:caption: Notebooks\n",
        *(f"notebooks/{name}" for name in NOTEBOOKS),
        "```",
        "",
        "```{toctree}\n:hidden:\n:caption: Reference\n",
        "formulas",
        "api/index",
        "```",
        "",
    ]
    return "\n".join(lines), ROOT / film


def write(source):
    """All that Sphinx is to read, into the folder source."""
    shutil.rmtree(source, ignore_errors=True)
    for folder in ("notebooks", "api", "pictures", "extra/pictures"):
        (source / folder).mkdir(parents=True)
    for name, path in NOTEBOOKS.items():
        nbformat.write(page(path), source / "notebooks" / path.name)
        card(path, source / "pictures" / f"{name}.png")
    text, film = landing()
    (source / "index.md").write_text(text, encoding="utf-8")
    shutil.copy(film, source / "extra" / "pictures" / "film.png")
    shutil.copy(source / "pictures" / f"{film.stem}.png", source / "extra" / "pictures" / "still.png")
    (source / "formulas.md").write_text(formula_page(), encoding="utf-8")
    for name, content in api_pages().items():
        (source / "api" / name).write_text(content, encoding="utf-8")


def main(folder):
    source = folder.with_name(f"{folder.name}-source")
    write(source)
    shutil.rmtree(folder, ignore_errors=True)
    options = ["-q", "-E", "-W", "--keep-going", "-c", str(ROOT / "site"), "-d", f"{source}/.doctrees"]
    failed = build_main([*options, "-D", f"html_extra_path={source / 'extra'}", str(source), str(folder)])
    if failed:
        sys.exit(f"The site in {folder} has the faults above.")
    print(f"The site is in {folder}: open {folder / 'index.html'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site").resolve())
