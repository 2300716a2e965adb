"""What a training tells: its history, arrays of one entry a step; the words beside the bar; and why it stopped."""

import time
from collections.abc import Callable

import numpy as np

FIRST_FEW = 4  # metrics beside the bar, of a model that has no words for them


class History:
    """Metrics chunk by chunk, the time they took, and numbers that a callback measured.

    names: {name: array of no steps}, of what each step reports. past: the arrays of the run that this one goes on from.
    describe: the words for a dictionary of means; without it, the first few by their names.
    """

    def __init__(self, names: dict, past: dict | None = None, describe: Callable[[dict], str] | None = None):
        self.names, self.describe = names, describe or in_a_row
        self.parts = [names | {"seconds": np.zeros(0)}, *([past] if past else [])]
        passed = float(past["seconds"][-1]) if past and len(past["seconds"]) else 0.0
        self.zero = time.perf_counter() - passed
        self.clock = [(0, passed)]  # (steps made here, seconds) after each chunk
        self.said = ""
        self.measurements = 0

    def add(self, metrics: dict) -> None:
        """The metrics of the steps just made."""
        (done, then), n = self.clock[-1], len(metrics["step"])
        self.clock.append((done + n, time.perf_counter() - self.zero))
        self.parts.append(metrics | {"seconds": np.linspace(then, self.clock[-1][1], n + 1)[1:]})

    def measured(self, numbers, note: bool = True) -> None:
        """Numbers that a callback returned, if it did; note: in the history, at the last step.

        Raises ValueError on a name that the history has already, and on what is no number.
        """
        if not isinstance(numbers, dict):
            return
        if taken := [name for name in numbers if name in self.parts[0]]:
            raise ValueError(
                f"The callback returns {taken[0]!r}, which each step reports itself: give it another name."
            )
        numbers = {name: _number(name, value) for name, value in numbers.items()}
        self.said = "".join(f", {name} {value:.3g}" for name, value in numbers.items())
        if note and len(self.parts[-1]["step"]):
            self.measurements += 1
            for name, value in numbers.items():
                before = self.parts[-1].get(name, np.full(len(self.parts[-1]["step"]), np.nan))
                values = np.append(before[:-1], value)
                self.parts[-1] = self.parts[-1] | {name: values}

    def summary(self, batch_size: int) -> str:
        """The words beside the bar: means over the last chunk; samples/s without the first one, which compiles."""
        (n0, t0), (n1, t1) = self.clock[1 if len(self.clock) > 2 else 0], self.clock[-1]
        last = {name: self.parts[-1][name] for name in self.names if name != "step"}
        means = {name: float(values.mean()) if len(values) else np.nan for name, values in last.items()}
        return f"{self.describe(means)}, {(n1 - n0) * batch_size / (t1 - t0):,.0f} images/s{self.said}"

    def arrays(self) -> dict[str, np.ndarray]:
        """{name: array}, one entry a step; NaN where a number was not measured."""
        names = dict.fromkeys(name for part in self.parts for name in part)
        nan = [np.full(len(part["step"]), np.nan) for part in self.parts]
        return {n: np.concatenate([p.get(n, gap) for p, gap in zip(self.parts, nan, strict=True)]) for n in names}


def _number(name, value):
    try:
        if isinstance(value, str) or np.shape(value):
            raise TypeError
        return float(value)
    except TypeError:
        raise ValueError(
            f"The callback must return {{name: number}}; got {value!r} for {name!r}. Keep other things in a list."
        ) from None


def in_a_row(means: dict[str, float]) -> str:
    """The first few metrics, by name."""
    return ", ".join(f"{name} {value:.3g}" for name, value in list(means.items())[:FIRST_FEW])


def diagnosis(step: int, metrics: dict, sound: dict[str, bool]) -> str:
    """What went wrong at this step, whose it is, what to try.

    metrics: its numbers, in the order in which it computes them: the first that is not finite belongs to what failed first.
    sound: for each part that learns, whether its weights are finite. d_loss is the discriminator's, if there is such a part.
    """

    def owner(name):
        return next((part for part in sound if part.startswith(name.partition("_")[0])), name)

    for part in dict.fromkeys([*map(owner, metrics), *sound]):
        bad = [f"{n} is {value:.3g}" for n, value in metrics.items() if owner(n) == part and not np.isfinite(value)]
        if bad or not sound.get(part, True):
            break
    whose = f" because of the {part}" if part in sound else ""
    return (
        f"Stopped at step {step:,}{whose}: {', '.join(bad) or 'its weights overflow'}. The state before that step is "
        "returned. Try a smaller learning rate for it; look for log, sqrt or a division at 0 in its loss (softplus, not log "
        "of a sigmoid): `with jax.debug_nans(True), jax.debug_infs(True):` around fit ends at the operation."
    )


def interruption(done: int, steps: int, checkpoint) -> str:
    """How to go on after an interrupt: a cell that is run again starts anew, but from a checkpoint."""
    said = f"Interrupted after {done:,} of {steps:,} steps: fit returns what was reached. "
    if checkpoint:
        return said + "The checkpoint has it, too: run the same cell again to go on."
    return said + f"To go on, in a new cell: state, more = fit(model, state, data, steps={steps - done}, key=...)."
