"""Sphinx's settings for the site. `make site` runs site/make.py, which writes the pages' sources and then calls Sphinx."""

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "site")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "GANs, by running them"
author = "The GAN course authors"
copyright = "the GAN course authors. Text and figures CC BY 4.0, code MIT"
release = re.search(r'__version__ = "(.+)"', (ROOT / "gan_lib" / "__init__.py").read_text(encoding="utf-8"))[1]
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "docstrings",
]
templates_path = []

# The stored results are the pages. Nothing runs.
nb_execution_mode = "off"
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 3
myst_heading_slug_func = "pages.mark"  # of a heading, as Jupyter makes it, so that a link within a notebook leads there
smartquotes = False
suppress_warnings = ["myst.header"]

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
add_module_names = False
toc_object_entries_show_parents = "hide"

# One file, without fonts or anything else to fetch, out of the package that carries MathJax 3.2.
MATHJAX = Path(importlib.util.find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg.js"
html_static_path = ["static", str(MATHJAX)]
mathjax_path = "tex-svg.js"
# Menu and speech would fetch files on demand; MathML for screen readers is in the one file.
mathjax3_config = {"options": {"enableMenu": False}}

html_theme = "sphinx_book_theme"
html_title = project
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_permalinks_icon = "#"
html_context = {"default_mode": "auto"}
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "toc_title": "On this page",
    "show_toc_level": 2,
    "home_page_in_toc": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "navigation_with_keys": False,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
}
copybutton_exclude = ".linenos, .gp"
