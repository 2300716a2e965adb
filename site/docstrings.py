"""The library's docstrings, which are plain text with `code`, as autodoc wants them: reStructuredText."""

import inspect
import re


def plain(text):
    """One line of plain text with `code`, in which nothing else has a meaning."""
    parts = re.split(r"`([^`]+)`", text)
    escaped = [re.sub(r"([\\*_|`])", r"\\\1", part) for part in parts[::2]]
    code = [f"``{part}``" for part in parts[1::2]]
    return "".join(a + b for a, b in zip(escaped, [*code, ""], strict=True))


def restructured(app, what, name, obj, options, lines):
    """Where a line of a docstring ends with its sentence, so it does on the page; elsewhere words flow."""
    text = "\n".join(lines).strip()
    blocks = []
    for paragraph in re.split(r"\n\s*\n", text):
        if all(line.startswith("    ") for line in paragraph.splitlines()):
            blocks.append("::\n\n" + paragraph)
        else:
            flowing = re.sub(r"(?<![.:])\n\s*", " ", paragraph)
            blocks.append("\n".join(f"| {plain(line.strip())}" for line in flowing.splitlines()))
    lines[:] = [*"\n\n".join(blocks).splitlines(), ""]


def skip(app, what, name, obj, skip, options):
    """A named tuple's fields say nothing but their number; a default that is a function is no method."""
    field = (getattr(obj, "__doc__", "") or "").startswith("Alias for field number")
    default = what == "class" and inspect.isfunction(obj) and "." not in obj.__qualname__
    return True if field or default else None


def short(app, what, name, obj, options, signature, returns):
    """Types and functions by their last names, also where they are defaults."""
    if signature:
        within = r"(?:[^()]|\([^()]*\))*"
        signature = re.sub(rf" = \({within}<function {within}\)", " = …", signature)
        signature = re.sub(r"<function (\w+)>", r"\1", signature)
    return tuple(text and re.sub(r"~[\w.]+\.", "", text) for text in (signature, returns))


def setup(app):
    app.connect("autodoc-process-signature", short)
    app.connect("autodoc-process-docstring", restructured)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True}
