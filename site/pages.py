"""What a notebook becomes on the site: pictures with words, folded help for its exercises, links that lead somewhere."""

import base64
import html
import io
import math
import re
import sys
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks" / "source")]

from gan_lib import exercises  # noqa: E402

from build import exercise_of  # noqa: E402
from links import BADGES, address, badges  # noqa: E402

NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
SHAPE = 1.2  # width over height of a card's picture
ENOUGH = 10  # words of an alternative text that is taken from the prose
SIGNS = {  # what a formula's commands look like in plain text
    r"\theta": "θ", r"\psi": "ψ", r"\beta": "β", r"\gamma": "γ", r"\sigma": "σ", r"\mu": "μ", r"\Sigma": "Σ",
    r"\lambda": "λ", r"\to": "→", r"\times": "×", r"\log": "log", r"\pm": "±", r"\infty": "∞", r"\le": "≤", r"\ge": "≥",
    r"\cdot": "·", r"\|": "‖", r"\lVert": "‖", r"\rVert": "‖", r"\frac12": "½", r"\sqrt": "√",
}  # fmt: skip


def page(path):
    """The notebook at path as Sphinx is to read it."""
    notebook = nbformat.read(path, as_version=4)
    alts = alternatives(notebook)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.metadata.tags = [*first.metadata.get("tags", []), "hide-input"]
    first.metadata.mystnb = {"code_prompt_show": "Show the setup cell", "code_prompt_hide": "Hide the setup cell"}
    cells = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source)
        elif number in alts:
            cell.metadata.mystnb = {"image": {"alt": alts[number]}}
        cells.append(cell)
        if name := exercise_of(cell):
            cells.append(nbformat.v4.new_markdown_cell(help_for(name)))
    notebook.cells = cells
    return notebook


def linked(text):
    """Markdown whose papers are links, and whose badges are words: a picture of a badge would come from elsewhere."""
    for words in BADGES:
        text = re.sub(rf"\[!\[{words}\]\([^)]*\)\]", f"[{words}]", text)
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def badge_links(name):
    """[("Open in Colab", address of that)] for a notebook; empty while the course has no address."""
    return re.findall(r"\[!\[(.+?)\]\(.+?\)\]\((.+?)\)", badges(address(), name))


def help_for(name):
    """The hints and the reference of an exercise, folded, in the words in which the notebook would give them."""
    cards = [exercises.Card(name, hint)._repr_html_() for hint in exercises._find(name).hints]
    folds = [f"{fold(f'Hint {n} of 3')}\n{card}\n\n</details>" for n, card in enumerate(cards, start=1)]
    solution = f"{fold('Solution')}\n\n```python\n{exercises.solution(name).text}\n```\n\n</details>"
    return "\n\n".join([*folds, solution])


def fold(summary):
    return f'<details class="help"><summary>{summary}</summary>'


def mark(heading):
    """The mark of a heading, to which `[…](#The-atlas)` leads: Jupyter's and GitHub's form, spaces as hyphens."""
    return heading.replace(" ", "-")


# --- pictures -----------------------------------------------------------------------------------------------------------


def pngs(cell):
    """The pictures that a cell shows."""
    outputs = (output.get("data", {}) for output in cell.get("outputs", []))
    return [base64.b64decode(data["image/png"]) for data in outputs if "image/png" in data]


def is_film(png):
    return b"acTL" in png.partition(b"IDAT")[0]


def alternatives(notebook):
    """{cell number: what its picture shows, in words}, for all cells with a picture.

    An author's words, `:alt: …` at the top of a cell in the twin, come first. Without them: the heading above, and the
    sentences with which the text goes on below the picture, or else those with which it led to it.
    """
    found, heading, before = {}, "", ""
    cells = [cell for cell in notebook.cells if cell.source.strip()]
    numbers = {id(cell): number for number, cell in enumerate(notebook.cells)}
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if cell.cell_type == "markdown":
            heading = spoken((re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE) or [heading])[-1])
            before = sentences(cell.source, last=True) or before
        elif pictures := pngs(cell):
            below = sentences(after.source) if after is not None and after.cell_type == "markdown" else ""
            kind = "Film" if is_film(pictures[0]) else "Figure"
            found[numbers[id(cell)]] = cell.metadata.get("alt") or f"{kind}, {heading}: {(below or before).rstrip(':')}"
    return found


def sentences(text, last=False):
    """The first (or last) sentences of a text, of ENOUGH words; nothing if it begins with a heading or a fold."""
    paragraphs = [
        part
        for part in re.split(r"\n\s*\n", text)
        if not re.match(r"#|<|\$\$|\||```|\*\*Exercise|Help: ", part.strip())
    ]
    if not paragraphs or (not last and not text.strip().startswith(paragraphs[0].strip())):
        return ""
    pieces = re.split(r"(?<=[.?!]) +", spoken(paragraphs[-1 if last else 0]))
    taken = []
    while pieces and sum(len(piece.split()) for piece in taken) < ENOUGH:
        taken.append(pieces.pop(-1 if last else 0))
    return " ".join(reversed(taken) if last else taken)


def spoken(markdown):
    """Markdown as words: no marks, and formulas in plain signs."""
    text = re.sub(r"^([-*]|\d+\.) ", "", html.unescape(markdown), flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    parts = re.split(r"\$([^$]+)\$", text)
    prose = [re.sub(r"\*\*|(?<!\w)[*_]|[*_](?!\w)|`|<[^>]+>", "", part) for part in parts[::2]]
    return " ".join("".join(a + b for a, b in zip(prose, [*map(signs, parts[1::2]), ""], strict=True)).split())


def signs(formula):
    for sign in sorted(SIGNS, key=len, reverse=True):
        formula = re.sub(re.escape(sign) + (r"(?![a-zA-Z])" if sign[-1].isalpha() else ""), SIGNS[sign], formula)
    return re.sub(r"[{}^]|\\[a-zA-Z]*", "", formula)


def card(path, target):
    """Write a small picture of a notebook: of its cell tagged `picture`, else its film, else the one of a card's shape."""
    cells = nbformat.read(path, as_version=4).cells
    tagged = [png for cell in cells if "picture" in cell.metadata.get("tags", []) for png in pngs(cell)]
    shown = [png for cell in cells for png in pngs(cell)]
    films = [png for png in shown if is_film(png)]
    pictures = [Image.open(io.BytesIO(png)) for png in (tagged or films or shown)]
    picture = min(pictures, key=lambda p: abs(math.log(p.width / p.height / SHAPE)))
    picture.seek(getattr(picture, "n_frames", 1) - 1)  # how a film ends
    small = picture.convert("RGB")
    small.thumbnail((640, 640))
    target.parent.mkdir(parents=True, exist_ok=True)
    small.quantize(128).save(target, optimize=True)
