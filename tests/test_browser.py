"""A reader's hour in a real browser: open, run, answer, interrupt, restart, save; and the repository is as it was.

Needs Chromium with its driver (Debian: apt install chromium chromium-driver) and Selenium; skipped where they are not.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from mutants import copy

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no Chromium with its driver here: apt install chromium-driver"
    ),
]

ANSWER = """\
@exercise("00.point_gradients")
def point_gradients(score, x):
    return jax.vmap(jax.grad(lambda point: score(point[None])[0]))(x)"""
WRONG = ANSWER.replace("vmap(jax.grad(lambda point: score(point[None])[0]))", "grad(lambda x: -score(x).sum())")
LONG = """\
import numpy
from gan_lib.gan import GAN
from gan_lib.training import fit
small = GAN(lambda rngs: MLP((2, 8, 2), rngs=rngs), lambda rngs: MLP((2, 8, 1), shape=(), rngs=rngs), latent_dim=2)
data = numpy.random.default_rng(0).normal(size=(100, 2))
start = small.init(jax.random.key(0))
reached, history = fit(small, start, data, steps=10_000_000, key=jax.random.key(1))"""


@pytest.fixture
def lab(tmp_path):
    """(a browser that shows what `make lab` opens, the reader's folder)."""
    selenium = pytest.importorskip("selenium.webdriver", reason="no Selenium here: pip install selenium")
    course = tmp_path / "course"
    copy(course)
    subprocess.run([sys.executable, "notebooks/source/mine.py"], cwd=course, check=True)
    recipe = re.search(r"\n\t@cd mine && (\w+=\S+) (.*jupyterlab.*) \$\(ARGS\)", (ROOT / "Makefile").read_text())
    command = shlex.split(recipe[2].replace("../$(RUN)", shlex.quote(sys.executable)))
    command += ["--no-browser", "--ServerApp.port=0", "--allow-root", "--LabApp.expose_app_in_browser=True"]
    places = {f"JUPYTER_{what}_DIR": str(tmp_path / what) for what in ("CONFIG", "DATA", "RUNTIME")}
    settings = dict([recipe[1].split("=")])
    log, options = tmp_path / "log", selenium.ChromeOptions()
    with log.open("w") as said:
        server = subprocess.Popen(command, cwd=course / "mine", env=os.environ | places | settings, stderr=said)
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,900"):
        options.add_argument(word)
    browser = None
    try:
        address = wait(lambda: re.search(r"http://localhost\S+", log.read_text()), "the address that Jupyter prints")[0]
        browser = selenium.Chrome(options, selenium.ChromeService(DRIVER))
        browser.get(address)
        yield Page(browser), course
    finally:
        if browser:
            browser.quit()
        server.terminate()
        server.wait(30)


def wait(look, what, seconds=90):
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.2)
    return found


class Page:
    """The notebook that is open, by JupyterLab's own commands."""

    def __init__(self, browser):
        self.browser = browser

    def __call__(self, code, *args):
        lines = "const app = window.jupyterapp, page = app.shell.currentWidget, cells = page?.content?.widgets;"
        return self.browser.execute_async_script(
            f"const done = arguments[arguments.length - 1]; (async () => {{ {lines} {code} }})().then(done, e => done('' + e));",
            *args,
        )

    def open(self, name):
        """Open a notebook of the reader's folder, and wait for its kernel."""
        self(f"await app.commands.execute('docmanager:open', {{path: {name!r}}}); return 0")
        wait(lambda: self("return page.title.label") == name and self.is_idle(1) is True, f"{name} with its kernel")

    def write(self, number, source):
        """Replace what a cell holds, and run it."""
        self(f"cells[{number}].model.sharedModel.setSource({json.dumps(source)}); return 0")
        self.run(number)

    def is_idle(self, more_than=9):
        kernel = "page?.sessionContext?.session?.kernel?.status === 'idle'"
        return self(f"return {kernel} && cells.length > {more_than}")

    def number(self, words):
        """The cell that holds these words."""
        return self(
            "return cells.findIndex(c => c.model.sharedModel.getSource().includes(arguments[0]))".replace(
                "arguments[0]", json.dumps(words)
            )
        )

    def run_all(self, last, words, seconds):
        """Run all cells until the last one prints these words. It is read from the notebook, as it may be off the screen."""
        self("app.shell.activateById(page.id); await app.commands.execute('notebook:clear-all-cell-outputs'); return 0")
        counts = "cells.filter(c => c.model.executionCount || c.model.executionState === 'running').length"
        for _ in range(3):  # a notebook that was just opened may let the command pass
            self("app.commands.execute('notebook:run-all-cells'); return 0")
            until = time.monotonic() + 20
            while not (began := self(f"return {counts}") > 0) and time.monotonic() < until:
                time.sleep(0.2)
            if began:
                break
        told = f"return JSON.stringify(cells[{last}].model.outputs.toJSON())"
        try:
            wait(lambda: words in self(told), "the last card", seconds)
        except AssertionError as late:
            status = self("return page.sessionContext?.session?.kernel?.status")
            late.add_note(f"{self(f'return {counts}')} cells were run, {self.errors()} failed; kernel: {status}")
            raise

    def run(self, number):
        self(f"page.content.activeCellIndex = {number}; app.commands.execute('notebook:run-cell'); return 0")

    def shown(self, number):
        """The text of a cell's outputs."""
        return self(f"return cells[{number}].node.querySelector('.jp-OutputArea')?.innerText ?? ''")

    def see(self, number):
        """The same of a cell that may be far from what is on the screen: go there first."""
        self(f"page.content.activeCellIndex = {number}; await page.content.scrollToItem({number}); return 0")
        return wait(lambda: self.shown(number).strip(), f"what cell {number} shows", 60)

    def pictures(self, number):
        """How many pictures a cell shows."""
        self(f"page.content.activeCellIndex = {number}; await page.content.scrollToItem({number}); return 0")
        look = f"return cells[{number}].node.querySelectorAll('img[src^=\"data:image/png\"]').length"
        return wait(lambda: self(look), f"a picture in cell {number}", 60)

    def errors(self):
        """How many cells ended with an error."""
        outputs = "(c.model.outputs?.toJSON() ?? [])"
        return self(f"return cells.filter(c => {outputs}.some(o => o.output_type === 'error')).length")


def test_a_readers_hour(lab):
    page, course = lab
    wait(lambda: page("return Boolean(app)") is True and page.is_idle() is True, "notebook 00 with its kernel")
    assert page("return page.title.label") == "00_start_here.ipynb"

    # All cells run, and no answer is given yet.
    last = page.number('progress("00")')
    page.run_all(last, "0 of 6 exercises done", 240)
    assert page.errors() == 0

    # Beside the file browser, a line as wide as tests/test_notebooks.py allows is not cut off.
    at = page.number('@exercise("00.point_gradients")')
    page(f"page.content.activeCellIndex = {at}; await page.content.scrollToItem({at}); return 0")
    sideways = f"const s = cells[{at}].node.querySelector('.cm-scroller'); return s && s.scrollWidth > s.clientWidth"
    for width, cut_off in (75, False), (80, True), (75, False):
        page(f"cells[{at}].model.sharedModel.setSource('x'.repeat({width})); return 0")
        wait(lambda cut_off=cut_off: page(sideways) is cut_off, f"{width} characters", 20)

    # A wrong answer is told its mistake.
    page(f"cells[{at}].model.sharedModel.setSource({json.dumps(WRONG)}); return 0")
    page.run(at)
    wait(lambda: "✗ 00.point_gradients" in page.shown(at), "the check of a wrong answer")
    assert "sign is flipped" in page.shown(at)

    # A right one is checked, and stays when the notebook is saved.
    page(f"cells[{at}].model.sharedModel.setSource({json.dumps(ANSWER)}); return 0")
    page.run(at)
    wait(lambda: "✓ 00.point_gradients" in page.shown(at), "the check of the answer")

    # A training that is interrupted says what to type.
    page(f"page.content.activeCellIndex = {last}; await app.commands.execute('notebook:insert-cell-below'); return 0")
    page(f"cells[{last + 1}].model.sharedModel.setSource({json.dumps(LONG)}); return 0")
    page.run(last + 1)
    wait(lambda: "at a time" in page.shown(last + 1) and "images/s" in page.shown(last + 1), "the bar of a training")
    page("await page.sessionContext.session.kernel.interrupt(); return 0")
    wait(
        lambda: "To go on, in a new cell: state, more = fit(" in page.shown(last + 1), "what to type after an interrupt"
    )

    # After a restart a cell in the middle cannot run; the notebook says what to do, and it helps.
    page("await page.sessionContext.restartKernel(); return 0")
    page.run(at)
    wait(lambda: "NameError" in page.shown(at), "the error after a restart")
    advice = page.number("Run All Above Selected Cell")
    assert advice >= 0
    page(f"page.content.activeCellIndex = {at}; app.commands.execute('notebook:run-all-above'); return 0")
    page.run(at)
    wait(lambda: "✓ 00.point_gradients" in page.shown(at), "the answer's check, once more")

    # Nobody asked about news, and nothing of the repository has changed.
    assert "Jupyter news" not in page("return document.body.innerText")
    page("await app.commands.execute('docmanager:save'); return 0")
    saved = nbformat.read(course / "mine" / "00_start_here.ipynb", as_version=4)
    assert ANSWER in [cell.source for cell in saved.cells]
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=course, capture_output=True, text=True, check=True
    ).stdout
    assert [line for line in done.splitlines() if "notebooks/" in line or "mine" in line] == []


SLOPES = """\
@exercise("02.slopes")
def slopes(psi, theta, real, noise):
    sigma, fake = jax.nn.sigmoid, theta + noise
    in_psi = -(real * sigma(-psi * real)).mean() + (fake * sigma(psi * fake)).mean()
    return in_psi, -psi * sigma(-psi * fake).mean()"""


def test_a_first_gan(lab):
    """Notebook 02 as everyone reads it: Run All, look, answer wrongly, then rightly, stop the long training, go on."""
    page, _ = lab
    wait(lambda: page("return Boolean(app)") is True and page.is_idle() is True, "notebook 00 with its kernel")
    page("await app.commands.execute('notebook:shutdown-kernel'); return 0")  # one kernel is enough for two cores
    page.open("02_first_gan.ipynb")
    page.run_all(page.number('progress("02")'), "0 of 6 exercises done", 600)
    assert page.errors() == 0

    # Open exercises say so, the film is there, and what was to be learnt was.
    at = page.number('@exercise("02.slopes")')
    assert "○ 02.slopes" in page.see(at)
    film = page.number("animation(shots")
    checks = page.see(page.number("distance without noise, at step 300"))
    assert checks.count("✓") == 8
    assert "✗" not in checks

    # A wrong answer is told its mistake, a right one is taken.
    page.write(at, SLOPES.replace("in_psi = -(", "in_psi = (").replace("() + (", "() - ("))
    wait(lambda: "✗ 02.slopes" in page.shown(at), "the check of a wrong answer")
    assert "uphill on D's loss" in page.shown(at)
    page.write(at, SLOPES)
    wait(lambda: "✓ 02.slopes" in page.shown(at), "the check of the answer")

    # The long training is stopped, and the film shows how far it came.
    train = page.number("callback=film.append")
    source = page(f"return cells[{train}].model.sharedModel.getSource()")
    assert page.pictures(film) == 1
    picture = f"return cells[{film}].node.querySelector('img[src^=\"data:image/png\"]')?.src"
    whole = page(picture)
    page.see(train)
    page.write(train, source.replace("steps=4000", "steps=4_000_000"))
    wait(lambda: re.search("[1-9]\\d*/4000000 .*images/s", page.shown(train)), "the bar of the training")
    page("await page.sessionContext.session.kernel.interrupt(); return 0")
    wait(lambda: "Interrupted after" in page.shown(train), "what was reached")
    page.pictures(film)
    page.run(film)
    wait(lambda: page(picture) not in (whole, None), "the film of what was reached")
    assert page.errors() == 0


TOOLS = """\
const root = cells[0].node.querySelector('.gan-play'), at = name => root.querySelector(`[data-name="${name}"]`);
const canvas = root?.querySelector('canvas'), pixels = () => canvas.toDataURL();
"""
DRAG = """\
const box = canvas.getBoundingClientRect();
const touch = (type, x, y) => canvas.dispatchEvent(new PointerEvent(type, {pointerId: 1, bubbles: true,
    clientX: box.left + x * box.width, clientY: box.top + y * box.height}));
canvas.setPointerCapture = () => {};
touch('pointerdown', 0.8, 0.2);
for (let i = 0; i < 20; i++) touch('pointermove', 0.8 + 0.005 * i, 0.2);
touch('pointerup', 0.9, 0.2);
return 0
"""


def test_the_playground(lab):
    """By clicks: play changes the picture, a slider the rate, the mouse the data; another cell runs meanwhile."""
    page, course = lab
    wait(lambda: page("return Boolean(app)") is True and page.is_idle() is True, "notebook 00 with its kernel")
    v4 = nbformat.v4
    start = "from gan_lib.playground import Playground\nplay = Playground(size=16)\nplay"
    kernelspec = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    notebook = v4.new_notebook(
        metadata={"kernelspec": kernelspec}, cells=[v4.new_code_cell(start), v4.new_code_cell("1 + 1")]
    )
    nbformat.write(notebook, course / "mine" / "play.ipynb")
    page.open("play.ipynb")
    page.run(0)
    here = lambda code: page(TOOLS + code)
    step = lambda: int(here("return canvas?.dataset.step ?? -1"))

    wait(lambda: step() == 0, "the picture before the first step")
    assert here("return cells[0].node.querySelectorAll('img[src^=\"data:image/png\"]').length") == 1  # the film

    before = here("return pixels()")
    here("at('play').click(); return 0")
    wait(lambda: step() > 100, "a hundred steps")
    assert here("return pixels()") != before
    assert "pause" in here("return at('play').textContent")

    # Another cell runs while it plays, and sees the slider's new rate.
    here("at('g_rate').value = -2; at('g_rate').dispatchEvent(new Event('input')); return 0")
    page.write(
        1,
        "import time\nn = int(play.state.step)\ntime.sleep(1)\nprint(int(play.state.step) > n, play.settings['g_rate'])",
    )
    wait(lambda: "True 0.01" in page.shown(1), "a cell beside the playground")

    # What is drawn is the data: a short line, right of the middle and above it.
    here(DRAG)
    page.write(1, "import time; time.sleep(0.5); print(play.settings['data'], play.points.mean(0).round(1))")
    wait(lambda: "own [1.1 1" in page.shown(1) or "own [1.2 1" in page.shown(1), "the drawn data")
    assert "own" in here("return at('data').value")

    # One step is one step; a situation is one click; the kernel's interrupt pauses.
    here("at('play').click(); return 0")
    wait(lambda: "play" in here("return at('play').textContent"), "a pause")
    last = wait(step, "a step")
    here("at('step').click(); return 0")
    wait(lambda: step() == last + 1, "one step more")
    here("at('reset').click(); return 0")
    wait(lambda: step() == 0, "step 0 again")
    here("root.querySelector('[data-name^=situation]').click(); return 0")
    wait(lambda: step() > 0 and here("return root.querySelector('p').textContent"), "a question, and the game on")
    time.sleep(2)  # from when on an interrupt is the playground's
    page("await page.sessionContext.session.kernel.interrupt(); return 0")
    wait(lambda: "play" in here("return at('play').textContent"), "a pause by the kernel's interrupt")
