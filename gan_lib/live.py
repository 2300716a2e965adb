"""The playground on the screen: a thread that trains and sends pictures, and an anywidget in front of it.

The kernel's own thread only passes messages on, so other cells run meanwhile. Training pauses when you say so, when the
kernel is interrupted (by the stop button; where a cell catches that itself, press it again), when the picture is closed,
and when the browser is gone. The browser's half is playground.js: no imports, and nothing is fetched from elsewhere.
"""

import asyncio
import math
import queue
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gan_lib.situations import SITUATIONS

MISSING = (
    'The live picture needs anywidget: %pip install "anywidget>=0.9.14", then restart the kernel and reload the page.'
)
PERIOD = 0.05  # seconds from picture to picture, at least
YIELD = 0.01  # seconds after each picture in which other threads have the processor to themselves
PULSE = 1.0  # seconds between two looks at who is still there
PATIENCE = 10  # looks in which the kernel was free and the browser silent, until it counts as gone


class Player:
    """Plays a playground in a thread of its own, by commands.

    send(content, buffers): takes what is to be shown; called from that thread alone. loop: the kernel's, if there is one.
    A command is a dictionary with "do": hello, play, pause, step, reset, set (settings), draw (points), paste (text),
    situation (name), or alive, which only says that somebody looks. A command that cannot be obeyed is answered in words.
    """

    def __init__(self, playground, send: Callable[[dict, list], None], loop: asyncio.AbstractEventLoop | None = None):
        self.playground, self.send, self.loop = playground, send, loop
        self.commands, self.thread, self.playing = queue.SimpleQueue(), None, False
        self.silent, self.pulsed, self.pulsing = 0, 0.0, False
        self.shown = {}  # what the browser knows: the settings, and which data

    def ask(self, command: dict) -> None:
        """Obey soon; returns at once."""
        self.silent = 0
        if command.get("do") == "alive":
            return
        if command.get("do") == "pause":
            self.pause()
        else:
            self.commands.put(command)
        if not self.thread:
            self.thread = threading.Thread(target=self._work, name="playground", daemon=True)
            self.thread.start()

    def pause(self, *_) -> None:
        """Stop after the picture that is being made; from any thread, or as a handler of signals."""
        self.playing = False
        self.commands.put({"do": "pause"})  # for the browser to be told

    def _work(self):
        while True:
            start = time.perf_counter()
            try:
                while not self.playing or not self.commands.empty():
                    self._obey(self.commands.get())
                    start = time.perf_counter()
                self._pulse()
                self.playground.run(self.playground.settings["speed"])
                self._show()
            except Exception as error:  # the thread lives on, and the reader is told
                self.playing = False
                self._say(str(error))
            time.sleep(max(YIELD, PERIOD - (time.perf_counter() - start)))

    def _obey(self, command):
        do, game = command.get("do"), self.playground
        if do == "hello":
            self.shown = {}
            self.send({"kind": "hello", "choices": game.choices(), "situations": list(SITUATIONS)}, [])
        elif do == "situation":
            game.enter(command.get("name"))
        elif do == "set":
            game.set(**command.get("settings", {}))
        elif do == "draw":
            game.draw(command.get("points", []))
        elif do == "paste":
            game.paste(str(command.get("text", "")))
        elif do == "reset":
            game.reset()
        elif do == "step":
            self.playing = False
            game.run(1)
        if do in ("play", "situation"):
            self.playing = True
        self._say("")
        self._show()

    def _say(self, words):
        self.send({"kind": "state", "playing": self.playing, "said": words}, [])

    def _show(self):
        """Send what is to be seen, and of settings and data what is new."""
        game = self.playground
        if self.shown.get("settings") != game.settings or self.shown.get("about") is not game.about:
            about = game.about and {"question": game.about.question, "section": game.about.section}
            self.send({"kind": "settings", "settings": game.settings, "about": about}, [])
        if self.shown.get("points") is not game.points:
            self.send({"kind": "data"}, [np.asarray(game.points[:600]).tobytes()])
        self.shown = {"settings": game.settings, "points": game.points, "about": game.about}
        view = game.view()
        numbers = {name: value if math.isfinite(value) else None for name, value in view.numbers.items()}
        parts = [np.ascontiguousarray(part).tobytes() for part in (view.surface, view.fake, view.push)]
        self.send({"kind": "view", "step": view.step, "numbers": numbers}, parts)
        if not np.isfinite(view.fake).all():
            raise ValueError("The numbers are not finite any more: smaller rates, then reset.")

    # --- who is still there ---

    def _pulse(self):
        """Every PULSE seconds, ask the kernel's loop to count the browser's silence: while a cell runs, nobody can be heard."""
        if self.loop and not self.pulsing and time.monotonic() > self.pulsed + PULSE:
            self.pulsing, self.pulsed = True, time.monotonic()
            self.loop.call_soon_threadsafe(self._beat)

    def _beat(self):
        self.pulsing = False
        self.silent += 1
        if self.silent > PATIENCE:
            self.pause()
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # ipykernel's, while no cell runs
            signal.signal(signal.SIGINT, self.pause)


def widget(playground):
    """The live picture as a widget, or None where anywidget is not installed."""
    try:
        import anywidget
    except ImportError:
        return None

    class Live(anywidget.AnyWidget):
        _esm = Path(__file__).with_name("playground.js").read_text(encoding="utf-8")

    shown = Live()
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    player = shown.player = Player(playground, lambda content, buffers: shown.send(content, buffers), loop)
    shown.on_msg(lambda _, command, buffers: player.ask(command))
    _pause_with_cells(player)
    return shown


def _pause_with_cells(player):
    """A cell that is interrupted pauses the player, too."""
    from IPython import get_ipython

    def after(result):
        if isinstance(result.error_in_exec, KeyboardInterrupt):
            player.pause()

    if shell := get_ipython():
        shell.events.register("post_run_cell", after)
