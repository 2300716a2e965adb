"""Build the site out of the notebooks as they are stored, README.md and the library's docstrings; no notebook runs.

    python site/make.py [FOLDER]        into FOLDER, build/site without one: open its index.html, or put it anywhere

The pages' sources are written to FOLDER-source first, for Sphinx to read.
"""

import json
import re
import shutil
import sys
from importlib import resources
from pathlib import Path

import nbformat
from sphinx.cmd.build import build_main

from gan_lib.situations import for_a_page

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
        "```{toctree}\n:hidden:\n:caption: Play\n",
        "playground",
        "```",
        "",
        "```{toctree}\n:hidden:\n:caption: Reference\n",
        "formulas",
        "api/index",
        "```",
        "",
    ]
    return "\n".join(lines), ROOT / film


def playground():
    """The playground, with the arithmetic of its own; its script stands in the page, since file:// loads no modules."""
    script = resources.files("gan_lib").joinpath("playground.js").read_text(encoding="utf-8")
    start = f"render({{ model: local({json.dumps(for_a_page())}), el: document.getElementById('playground-here') }});"
    return "\n".join(
        [
            "# Playground",
            "",
            "A GAN in the plane, trained in this page: press a situation and answer its question, or turn the knobs, draw",
            "data with the mouse, paste your own. Blue is data, orange is drawn by the generator, the surface is what the",
            "discriminator thinks, and the arrows are all that the generator learns about the data. The step is that of the",
            "library's `GAN`: a test compares ten steps of both, in double precision, to the fifth digit. In a notebook,",
            "`gan_lib.playground.Playground()` runs the library itself.",
            "",
            "`````{raw} html",
            f'<div id="playground-here"></div>\n<script type="module">\n{script}\n{start}\n</script>',
            "`````",
            "",
        ]
    )


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
    (source / "playground.md").write_text(playground(), encoding="utf-8")
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
