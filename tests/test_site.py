"""The site: built from what is stored, whole within its folder, readable by eye, by ear and on a phone, and offline.

Needs the extra `site` (`make site` brings it); the tests in a browser need Chromium with its driver and Selenium, too.
What is missing is named where tests are skipped.
"""

import base64
import functools
import http.server
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import nbformat
import pytest
import yaml

from gan_lib import exercises

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
AXE = ROOT / "build" / "node_modules" / "axe-core" / "axe.min.js"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MISSING = [
    name
    for name in (
        "myst_nb",
        "sphinx",
        "sphinx-mathjax-offline",
        "sphinx_book_theme",
        "sphinx_copybutton",
        "sphinx_design",
    )
    if not importlib.util.find_spec(name)
]

needs_sphinx = pytest.mark.skipif(bool(MISSING), reason=f"no {', '.join(MISSING)} here: `make site` brings them")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no Chromium with its driver here: apt install chromium-driver"
)
slow = pytest.mark.slow
each = pytest.mark.parametrize("name", NOTEBOOKS)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a site that was built without a warning. A folder above it stands for a project page's path."""
    folder = tmp_path_factory.mktemp("www") / "some one" / "course"
    folder.parent.mkdir()
    environ = {name: value for name, value in os.environ.items() if name != "COURSE_STRICT"}
    built = subprocess.run(
        [sys.executable, "site/make.py", str(folder)], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """{path below the site's folder: its HTML, parsed}."""
    bs4 = pytest.importorskip("bs4")
    return {
        path.relative_to(site).as_posix(): bs4.BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts
    }


@pytest.fixture
def parts(monkeypatch):
    """The modules of the folder site/, by name."""
    monkeypatch.syspath_prepend(ROOT / "site")
    return lambda name: importlib.import_module(name)


def as_words(element):
    return " ".join(element.get_text(" ").split())


# --- the pages ----------------------------------------------------------------------------------------------------------


@slow
@needs_sphinx
def test_every_notebook_is_a_page_with_its_stored_pictures(site, pages):
    drawn = {path.read_bytes() for path in (site / "_images").glob("*.png")}
    for name, path in NOTEBOOKS.items():
        cells = nbformat.read(path, as_version=4).cells
        stored = [o.data["image/png"] for c in cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
        assert len(pages[f"notebooks/{name}.html"].select(".cell_output img")) == len(stored)
        assert {base64.b64decode(png) for png in stored} <= drawn
        assert len(pages[f"notebooks/{name}.html"].select("div.cell_input")) == sum(
            c.cell_type == "code" for c in cells
        )


@slow
@needs_sphinx
def test_all_that_a_page_names_lies_in_the_folder(site, pages):
    """Scripts, styles, pictures and links of its own; only a reader's click on a paper leads elsewhere."""
    lost = set()
    marks = {name: {e.get("id") or e["name"] for e in page.select("[id], [name]")} for name, page in pages.items()}
    for name, page in pages.items():
        for element in page.select("[src], [href], [srcset]"):
            target = element.get("src") or element.get("srcset") or element.get("href")
            path, _, fragment = urllib.parse.unquote(target).partition("#")
            if element.name == "a" and re.match(r"https://|mailto:", target):
                continue
            file = ((site / name).parent / path.partition("?")[0]).resolve() if path else site / name
            inside = not re.match(r"[a-z]+:|/", target) and file.is_file() and file.is_relative_to(site)
            marked = not fragment or file.suffix != ".html" or fragment in marks[file.relative_to(site).as_posix()]
            if not (inside and marked):
                lost.add((name, target))
    assert lost == set()
    for style in site.rglob("*.css"):
        for url in re.findall(r"url\(['\"]?([^)'\"]+)", style.read_text(encoding="utf-8")):
            assert url.startswith("data:") or (style.parent / re.split("[?#]", url)[0]).is_file(), (style.name, url)


@slow
@needs_sphinx
def test_pages_have_title_language_and_headings_in_order(pages):
    for name, page in pages.items():
        assert page.html["lang"] == "en", name
        assert page.title.get_text().strip(), name
        headings = page.select("main h1, main h2, main h3, main h4")
        shown = [heading for heading in headings if not heading.find_parent(id="jb-print-docs-body")]
        levels = [int(heading.name[1]) for heading in shown]
        if name not in ("genindex.html", "py-modindex.html"):
            assert levels.count(1) == 1, name
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), (name, levels)


@slow
@needs_sphinx
def test_every_picture_has_words(pages):
    mute = [
        (name, image["src"])
        for name, page in pages.items()
        for image in page.select("img")
        if not image.get("alt", "").strip()
    ]
    assert mute == []
    for name in NOTEBOOKS:
        for image in pages[f"notebooks/{name}.html"].select(".cell_output img"):
            assert len(image["alt"].split()) >= 8, (name, image["alt"])
            assert not re.search(r"[\\$`]|\.png", image["alt"]), (name, image["alt"])


@slow
@needs_sphinx
@each
def test_help_for_exercises_is_folded_and_the_librarys(pages, name):
    page = pages[f"notebooks/{name}.html"]
    twin = (ROOT / "notebooks" / "source" / f"{name}.md").read_text(encoding="utf-8")
    names = sorted(exercises.names(name[:2]), key=lambda exercise: twin.index(f'@exercise("{exercise}")'))
    folds = page.select("details.help")
    assert [as_words(fold.summary) for fold in folds] == [
        "Hint 1 of 3",
        "Hint 2 of 3",
        "Hint 3 of 3",
        "Solution",
    ] * len(names)
    assert not any(fold.has_attr("open") for fold in folds)
    texts = [re.sub(r"\s+", "", fold.get_text()) for fold in folds]
    for number, exercise in enumerate(names):
        wanted = [*exercises._find(exercise).hints, exercises.solution(exercise).text]
        for text, part in zip(wanted, texts[4 * number : 4 * number + 4], strict=True):
            assert re.sub(r"[\s`]", "", text) in part.replace("`", ""), exercise


@slow
@needs_sphinx
def test_pages_follow_each_other(pages):
    names = [f"notebooks/{name}.html" for name in NOTEBOOKS]
    for before, after in itertools.pairwise(names):
        assert pages[before].select_one("a.right-next")["href"] == Path(after).name
        assert pages[after].select_one("a.left-prev")["href"] == Path(before).name
    for name in names:
        assert len(pages[name].select(".bd-toc-nav a, .page-toc a")) >= 5, name


@slow
@needs_sphinx
def test_the_first_page_is_the_readme_as_cards(site, pages, parts):
    page = pages["index.html"]
    film = site / page.select_one(".film img")["src"]
    assert film.read_bytes() == (ROOT / "notebooks" / "02_first_gan.png").read_bytes()
    assert (site / page.select_one(".film source")["srcset"]).is_file()
    assert "make lab" in as_words(page)
    cards = page.select(".sd-card")
    assert [card.select_one("a[href^=notebooks]")["href"] for card in cards] == [
        f"notebooks/{n}.html" for n in NOTEBOOKS
    ]
    assert all(card.select_one("img") and "min on two cores" in as_words(card) for card in cards)
    assert ("Colab" in as_words(page)) == bool(parts("pages").address())


@slow
@needs_sphinx
def test_formulas_lead_from_paper_to_function_to_test(pages, parts):
    rows = [row.select("td") for row in pages["formulas.html"].select("tbody tr")]
    found = {(as_words(paper), as_words(there), as_words(here.select_one("a"))) for paper, there, here, *_ in rows}
    assert ("Heusel et al. 2017", "eq. 6", "frechet_distance") in found
    assert ("Goodfellow et al. 2014", "eq. 1", "cross_entropy") in found
    assert ("Mescheder et al. 2018", "section 4.1", "r1") in found
    cited = re.findall(r"\d{4}(?: \([^)]*\))?, eq\.", "".join(p.read_text() for p in (ROOT / "gan_lib").glob("*.py")))
    assert len(rows) >= len(cited) > 15
    for *_, test, _ in rows:
        for file, name in re.findall(r"(test_\w+\.py)::(\w+)", as_words(test)):
            assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8")
    untested = [as_words(here.select_one("a")) for _, _, here, test, _ in rows if "::" not in as_words(test)]
    assert untested == []


@slow
@needs_sphinx
def test_the_library_is_there_with_its_docstrings(pages, parts):
    for module in parts("reference").MODULES[:-1]:
        page = pages[f"api/{module}.html"]
        for name, doc in parts("reference").documented(module):
            if doc and "." not in name:
                entry = page.find(id=f"gan_lib.{module}.{name}")
                assert entry, f"{module}.{name}"
                words = re.sub(r"[\s`]", "", doc.split("\n\n")[0])
                assert words[:40] in re.sub(r"\s", "", entry.parent.get_text()), f"{module}.{name}"
        assert not re.search("0x|<function|~", " ".join(map(as_words, page.select(".sig")))), module


# --- one by one ---------------------------------------------------------------------------------------------------------


def a_notebook(*cells):
    picture = {"image/png": base64.b64encode(b"\x89PNG").decode()}
    new = {str: nbformat.v4.new_markdown_cell, dict: nbformat.v4.new_code_cell}
    made = [
        new[type(cell)](cell) if isinstance(cell, str) else nbformat.v4.new_code_cell("draw()", **cell)
        for cell in cells
    ]
    for cell in made:
        if cell.cell_type == "code":
            cell.outputs = [nbformat.v4.new_output("display_data", data=picture)]
    return nbformat.v4.new_notebook(cells=made)


def test_words_for_a_picture_are_the_authors_or_the_texts(parts):
    below = "The blue $D^*$ rises with $\\theta$, **slowly**. Then it falls, and nobody knows why it does so. More."
    words = parts("pages").alternatives(a_notebook("## Two `bumps`\n\nA sentence that leads to it.", {}, below))
    assert words == {
        1: "Figure, Two bumps: The blue D* rises with θ, slowly. Then it falls, and nobody knows why it does so."
    }
    above = "# Top\n\nFirst. And here is a sentence of ten words that leads there:"
    assert parts("pages").alternatives(a_notebook(above, {}, "## Next\n\nText.")) == {
        1: "Figure, Top: And here is a sentence of ten words that leads there"
    }
    written = {"metadata": {"alt": "Two bumps that meet."}}
    assert parts("pages").alternatives(a_notebook(above, written, below)) == {1: "Two bumps that meet."}


def test_words_in_a_twin_reach_the_notebook(parts, tmp_path):
    """As `:alt:` of a code cell; and where they change, the notebook is built again."""
    builder = parts("pages") and importlib.import_module("build")
    twin = tmp_path / "00_twin.md"
    digests = []
    for option in ("", ":alt: Two bumps.\n\n", ":alt: Three bumps.\n\n"):
        twin.write_text(f"One.\n\n```{{code-cell}}\n{option}1 + 1\n```\n")
        notebook, _ = builder.read_twin(twin)
        assert notebook.cells[1].metadata.get("alt", "") == option[6:].strip()
        digests.append(builder.digest(notebook))
    assert len(set(digests)) == 3


def test_an_address_adds_colab_and_no_picture_from_elsewhere(parts, monkeypatch):
    pages = parts("pages")
    line = pages.badges("https://github.com/someone/course", "02_first_gan")
    assert pages.linked(line).count("](https://") == 3
    assert "![" not in pages.linked(line)
    monkeypatch.setattr(pages, "address", lambda: "https://github.com/someone/course")
    assert [words for words, _ in pages.badge_links("02_first_gan")] == [
        "Open in Colab",
        "Open in Kaggle",
        "Open in Binder",
    ]
    assert pages.linked("arXiv 1406.2661: eq. 1") == "[arXiv 1406.2661](https://arxiv.org/abs/1406.2661): eq. 1"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_are_valid_and_call_make(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for name, job in jobs.items():
        commands = [step["run"] for step in job["steps"] if "run" in step]
        if name == "windows":  # what README.md says there
            assert all(line in (ROOT / "README.md").read_text(encoding="utf-8") for line in commands[:2])
        else:
            assert {re.fullmatch(r"make ([a-z-]+) PYTHON=python", line)[1] for line in commands} <= targets
    pytest.importorskip("check_jsonschema", reason="no check-jsonschema here: `make site` brings it")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_there_are_workflows_for_tests_and_site():
    assert [path.stem for path in WORKFLOWS] == ["site", "tests"]


# --- in a browser -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(site):
    """The address of a server that has the site below a path, as a project page has."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=site.parent.parent)
    ) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/{urllib.parse.quote(site.parent.name)}/{site.name}"
        running.shutdown()


@pytest.fixture(scope="module")
def browser():
    selenium = pytest.importorskip("selenium.webdriver", reason="no Selenium here: pip install selenium")
    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = selenium.Chrome(options, selenium.ChromeService(DRIVER))
    chrome.set_script_timeout(60)
    yield chrome
    chrome.quit()


def screen(browser, width, scheme="light", motion="no-preference"):
    """A phone's or a desk's, by width; the reader's wishes about colours and motion."""
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": name, "value": value} for name, value in wishes.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def visit(browser, url):
    """What goes wrong while a page loads and its formulas are set: errors, and requests that fail or lead elsewhere."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what was before
    browser.get(url)
    browser.execute_async_script(
        "const done = arguments[0]; (window.MathJax?.startup?.promise ?? Promise.resolve()).then(() => done(), done)"
    )
    wrong = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        asked = (
            message.get("params", {}).get("request", {}).get("url", "") if message["method"].endswith("BeSent") else ""
        )
        own = url.split("/course/")[0]
        if asked and not asked.startswith((own, "data:", "blob:")):
            wrong.append(f"asks for {asked}")
        if message["method"] == "Network.loadingFailed":
            wrong.append(message["params"]["errorText"])
    wrong += browser.execute_script("return [...document.querySelectorAll('mjx-merror')].map(e => e.innerText)")
    return wrong


@slow
@needs_sphinx
@needs_browser
def test_every_page_loads_from_its_folder_and_fits_a_phone(site, pages, browser):
    screen(browser, 390)
    for name in pages:
        assert visit(browser, (site / name).as_uri()) == [], name
        wide, seen = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= seen == 390, name
        formulas = browser.execute_script("return document.querySelectorAll('span.math, div.math').length")
        assert formulas == browser.execute_script("return document.querySelectorAll('mjx-container > svg').length"), (
            name
        )


@slow
@needs_sphinx
@needs_browser
def test_pages_load_below_a_path_and_code_can_be_copied(server, browser):
    screen(browser, 1300)
    for name in ("index.html", "notebooks/02_first_gan.html", "formulas.html", "api/metrics.html"):
        assert visit(browser, f"{server}/{name}") == [], name
    visit(browser, f"{server}/notebooks/02_first_gan.html")
    cells, buttons = browser.execute_script(
        "return ['.cell_input pre', '.cell_input button.copybtn'].map(s => document.querySelectorAll(s).length)"
    )
    assert cells == buttons > 20


@slow
@needs_sphinx
@needs_browser
@pytest.mark.parametrize("where", ["folder", "server"])
def test_search_finds_mode_collapse(site, server, browser, where):
    base = site.as_uri() if where == "folder" else server
    assert visit(browser, f"{base}/search.html?q=mode+collapse") == []
    found = browser.execute_async_script(
        "const done = arguments[0], look = () => document.querySelector('.search-summary')?.innerText.includes('found')"
        " ? done([...document.querySelectorAll('ul.search a')].map(a => a.innerText)) : setTimeout(look, 100); look()"
    )
    assert {"02 · Your first GAN", "07 · The clinic"} <= set(found)
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@slow
@needs_sphinx
@needs_browser
def test_folds_open_and_the_film_moves(site, browser):
    screen(browser, 1300)
    visit(browser, (site / "notebooks" / "02_first_gan.html").as_uri())
    heights = "return [...document.querySelectorAll('details')].map(d => d.offsetHeight)"
    closed = browser.execute_script(heights)
    browser.execute_script("document.querySelectorAll('details > summary').forEach(s => s.click())")
    assert all(after > before for before, after in zip(closed, browser.execute_script(heights), strict=True))
    for motion, moves in (("no-preference", True), ("reduce", False)):
        screen(browser, 1300, motion=motion)
        visit(browser, (site / "index.html").as_uri())
        film = browser.find_element("css selector", ".film img")
        shots = set()
        for _ in range(4):
            shots.add(film.screenshot_as_png)
            browser.execute_async_script("setTimeout(arguments[0], 700)")
        assert (len(shots) > 1) is moves, motion


@slow
@needs_sphinx
@needs_browser
def test_the_playground_plays_without_a_kernel(site, browser):
    """Play changes the picture; a situation asks; what is drawn is the data."""
    screen(browser, 1300)
    assert visit(browser, (site / "playground.html").as_uri()) == []
    tools = (
        "const root = document.querySelector('.gan-play'), at = name => root.querySelector(`[data-name=\"${name}\"]`);"
        "const canvas = root.querySelector('canvas');"
    )
    here = lambda code: browser.execute_script(tools + code)
    pause = lambda ms: browser.execute_async_script(f"setTimeout(arguments[0], {ms})")
    pause(500)
    before = here("return canvas.toDataURL()")
    here("at('play').click()")
    pause(1000)
    assert here("return canvas.toDataURL()") != before
    here("root.querySelector('[data-name^=situation]').click()")
    pause(1000)
    assert "?" in here("return root.querySelector('p').textContent")
    assert int(here("return canvas.dataset.step")) > 0
    here("at('text').value = 'x,y\\n0,0\\n1,1'; at('paste').click()")
    pause(500)
    assert here("return at('data').value") == "own"
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@slow
@needs_sphinx
@needs_browser
@pytest.mark.skipif(not AXE.exists(), reason="no axe-core here: npm install --no-save --prefix build axe-core@4")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_barrier(site, browser, scheme):
    for width, name in (
        (1300, "index.html"), (390, "index.html"), (1300, "formulas.html"), (1300, "api/losses.html"), (1300, "playground.html"),
        (1300, "notebooks/00_start_here.html"), (1300, "notebooks/06_does_it_work.html"),
    ):  # fmt: skip
        screen(browser, width, scheme)
        visit(browser, (site / name).as_uri())
        assert browser.execute_script("return document.documentElement.dataset.theme") == scheme
        browser.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
        browser.execute_script(AXE.read_text(encoding="utf-8"))
        for _ in range(3):  # colours may still be fading from one scheme to the other
            found = browser.execute_async_script(
                "const done = arguments[0]; axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'best-practice']}).then("
                "r => done(r.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html, v.nodes[0].failureSummary])))"
            )
            if not found:
                break
            browser.execute_async_script("setTimeout(arguments[0], 1000)")
        assert found == [], (name, width)
