"""A reader presses the stop button: a real kernel, real signals, at random moments."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")]

SETUP = """
import time
import jax, numpy as np
from gan_lib.nets import MLP
from gan_lib.checkpoint import restore
from gan_lib.gan import GAN
from gan_lib.training import fit
key = jax.random.key(0)
points = jax.random.normal(key, (512, 2))
gan = GAN(lambda rngs: MLP((4, 16, 2), rngs=rngs), lambda rngs: MLP((2, 16, 1), shape=(), rngs=rngs), latent_dim=4)
options = dict(key=key, batch_size=32, chunk=10, every=50, callback=lambda state: time.sleep(0.02))
state, history = fit(gan, gan.init(key), points, steps=50, **options)
"""
TRAIN = """
print("go")
state, history = fit(gan, state, points, steps=1_000_000, **options)
try:
    time.sleep(0.1)
except KeyboardInterrupt:
    pass  # the second press of two came when fit had ended; outside a cell it would upset the kernel
"""
CHECK = """
made = history["step"]
assert len(made) == 0 or int(state.step) == made[-1], (state.step, made[-1])
assert len({len(values) for values in history.values()}) == 1
assert all(bool(np.isfinite(a).all()) for a in jax.tree.leaves((state.params, state.average)))
print(int(state.step), end="")
"""


@pytest.fixture
def run(kernel):
    """run(code, moments=()) -> (what the cell printed, the name of its error or None)."""
    manager, client = kernel(ROOT)

    def execute(code, moments=()):
        printed = []

        def note(message):
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])
                if printed[-1].startswith("go"):  # now the cell runs; before, the kernel ignores the button
                    for seconds in moments:
                        time.sleep(seconds)
                        manager.interrupt_kernel()

        reply = client.execute_interactive(code, output_hook=note, timeout=60)
        return "".join(printed), reply["content"].get("ename")

    return execute


def test_twenty_interrupts_leave_a_state_and_history_that_agree(run):
    assert run(SETUP)[1] is None
    rng, steps = np.random.default_rng(0), []
    for attempt in range(20):
        # Every fourth time twice in a row: the second press may come when fit has ended.
        moments = [rng.uniform(0.02, 0.6)] + [0.005] * (attempt % 4 == 0)
        printed, error = run(TRAIN, moments)
        assert error in (None, "KeyboardInterrupt")
        if len(moments) == 1 and "/1000000" in printed:  # before there is a bar fit has nothing to keep, and may raise
            assert error is None, f"step {steps[-1:]} and on were lost"
        step, error = run(CHECK)
        assert error is None, step
        steps.append(int(step))
    assert (np.diff(steps) >= 0).all()
    assert len(set(steps)) >= 15  # nearly every run kept what it had reached
