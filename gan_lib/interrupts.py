"""The stop button while something trains: noted at once, obeyed between two updates."""

import signal
import threading


class Interrupt:
    """Notes Ctrl-C instead of raising it, so that no update is cut in half; raises it inside a callback only."""

    def __enter__(self):
        self.noted = self.raising = False
        self.main = threading.current_thread() is threading.main_thread()  # signals reach no other thread
        if self.main:
            self.previous = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_):
        if self.main:
            signal.signal(signal.SIGINT, self.previous)

    def _handle(self, *_):
        self.noted = True
        if self.raising:
            raise KeyboardInterrupt

    def around(self, callback, state, history, note):
        """Call the reader's callback, and note its numbers. It may be cut short: the state is safe meanwhile."""
        self.raising = True
        try:
            history.measured(callback(state), note)
        except KeyboardInterrupt:
            self.noted = True
        finally:
            self.raising = False
