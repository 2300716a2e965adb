"""Several devices: the training of one device, whichever network, with all of the work shared."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from gan_lib.checkpoint import header
from gan_lib.mesh import check_mesh, data_parallel

ROOT = Path(__file__).resolve().parent.parent

# The number of devices is fixed when JAX starts: a process of its own. Momentum, not Adam, whose first steps are ±rate
# whatever the gradient's size, so that rounding where that is 0 becomes a step.
PRELUDE = """
import json, os, re, sys
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
from functools import partial
import jax, jax.numpy as jnp, numpy as np, optax
from flax import nnx
from gan_lib import data, nets, training
from gan_lib.gan import GAN
from gan_lib.likelihoods import gaussian
from gan_lib.mesh import data_parallel, everywhere
from gan_lib.penalties import ZeroCentred, gradient_penalty
from gan_lib.training import fit
from gan_lib.vae import VAE

key, sgd = jax.random.key(0), optax.sgd(0.01, momentum=0.9)
points, pictures = jax.random.normal(key, (256, 2)), jax.random.normal(key, (256, 28, 28, 1)).clip(-1, 1)
dense = lambda *sizes, **more: partial(nets.MLP, sizes, **more)
critic = dense(2, 32, 1, shape=())
models = {
    "dense": (GAN(dense(4, 32, 2, norm=True), critic, latent_dim=4, optimizer=sgd), points, 32),
    "R1 + R2": (GAN(dense(4, 32, 2), critic, latent_dim=4, optimizer=sgd, penalty=ZeroCentred(1.0, 1.0)), points, 32),
    "WGAN-GP": (
        GAN(dense(4, 32, 2), critic, latent_dim=4, optimizer=sgd, penalty=gradient_penalty), points, 32
    ),
    "small": (GAN(nets.small_generator, nets.small_discriminator, latent_dim=16, optimizer=sgd), pictures, 16),
    "DCGAN": (
        GAN(nets.dcgan_generator, nets.dcgan_discriminator, latent_dim=100, optimizer=sgd), pictures, 8
    ),
    "VAE": (VAE(dense(2, 32, 8), dense(4, 32, 3), likelihood=gaussian, latent_dim=4, optimizer=sgd), points, 32),
}

def weights(model, x, batch_size, mesh, steps=3, key=key, **more):
    options = dict(steps=steps, key=key, batch_size=batch_size, progress=False, mesh=mesh)
    state, history = fit(model, model.init(key), x, **options, **more)
    assert mesh is None or all(a.sharding.is_fully_replicated for a in jax.tree.leaves(state))
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(state.params)]), history

found = {}
"""

SAME = """
for name, (model, x, batch_size) in models.items():
    for n in (1, 2, 4) if name == "dense" else (4,):
        for own in (key, jax.random.key(1)):  # rounding may tip a ReLU at its kink; a fault shows with both keys
            start = np.concatenate([np.ravel(a) for a in jax.tree.leaves(model.init(own).params)])
            alone, _ = weights(model, x, batch_size, None, key=own)
            together, _ = weights(model, x, batch_size, data_parallel(jax.devices()[:n]), key=own)
            off = float(abs(together - alone).max() / abs(alone - start).max())
            found[f"{name}, {n}"] = min(off, found.get(f"{name}, {n}", 1.0))
            if off < 1e-3:
                break
"""

SHARED = """
model, x, _ = models["small"]
mesh = data_parallel()
state, x, key = everywhere(mesh, (model.init(key), x, key))
program = training._program(True).lower(model, state, x, key, batch_size=32, length=1, mesh=mesh).compile()
text = program.as_text()
found = {
    "samples": sorted({int(n) for n in re.findall(r"f32\\[(\\d+),28,28,1\\]", text)}),
    "latents": sorted({int(n) for n in re.findall(r"[uf]32\\[(\\d+),16\\]", text)}),
    "sums": len(re.findall(r" all-reduce(?:-start)?\\(", text)),
}
"""

RESUMED = """
import tempfile, pathlib
model, x, batch_size = models["dense"]
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder, "run")
    mesh = data_parallel()
    whole, _ = weights(model, x, batch_size, mesh, steps=6)
    weights(model, x, batch_size, mesh, steps=3, checkpoint=file)
    on, history = weights(model, x, batch_size, mesh, steps=6, checkpoint=file)
    found["again"], found["steps"] = float(abs(on - whole).max()), len(history["step"])
    alone, _ = weights(model, x, batch_size, None, steps=9)
    on, _ = weights(model, x, batch_size, None, steps=9, checkpoint=file)
    found["on one device"] = float(abs(on - alone).max() / abs(alone).max())
    try:
        weights(model, x, 30, mesh)
    except ValueError as error:
        found["refused"] = str(error)
"""


@pytest.fixture
def free_port():
    def find():
        with socket.socket() as listener:
            listener.bind(("localhost", 0))
            return listener.getsockname()[1]

    return find


def four(code):
    """What `found` holds after this code, in a process with four devices on the CPU."""
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    program = PRELUDE + code + "\nprint(json.dumps(found))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_devices_that_share_a_batch_learn_what_one_does():
    """Statistics of BatchNorm and BatchSpread, slopes of penalties, dropout: all as on one device, up to rounding."""
    off = four(SAME)
    assert len(off) == 8
    assert max(off.values()) < 1e-3, off  # of what the weights moved


@pytest.mark.slow
def test_no_device_does_the_work_of_all():
    """32 samples on four devices are 8 for each, drawn latents and fakes too: only the data are whole everywhere."""
    found = four(SHARED)
    assert 8 in found["samples"] and 32 not in found["samples"]
    assert 8 in found["latents"] and 32 not in found["latents"]
    assert found["sums"] >= 5


@pytest.mark.slow
def test_a_shared_training_goes_on_where_it_was_on_as_many_devices_or_one():
    found = four(RESUMED)
    assert found.pop("refused") == "4 devices cannot share a batch of 30: take a multiple, 28 say."
    assert found == {"again": 0, "steps": 6, "on one device": pytest.approx(0, abs=1e-4)}


def test_what_cannot_be_shared_is_refused():
    one = data_parallel(jax.devices()[:1])
    assert one.axis_names == ("data",) and one.size == 1
    check_mesh(None, 7)
    check_mesh(one, 7)
    with pytest.raises(ValueError, match=r"jax.sharding.Mesh with one axis, as data_parallel\(\) makes it; got 4"):
        check_mesh(4, 8)
    two = jax.make_mesh((1, 1), ("data", "model"), axis_types=2 * (jax.sharding.AxisType.Auto,))
    with pytest.raises(ValueError, match=r"one axis, .*axes \('data', 'model'\)"):
        check_mesh(two, 8)
    explicit = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    with pytest.raises(ValueError, match="Explicit axis, expected Auto"):
        check_mesh(explicit, 8)


# Two processes on this machine, each with two devices, as two hosts would be.
PROCESS = """
import jax
i, port, file, seconds = int(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])
jax.distributed.initialize(f"localhost:{port}", 2, i, heartbeat_timeout_seconds=10)
"""
TRAINS = """
import time
steps = 4_000 if seconds else 20
model, x, batch_size = models["dense"]
nap = lambda state: (print("at", int(state.step), flush=True), time.sleep(seconds))[0]
more = dict(checkpoint=None if file == "-" else file, every=10, callback=nap)
mesh = data_parallel()
state, history = fit(
    model, model.init(key), np.asarray(x), steps=steps, key=key, batch_size=batch_size, mesh=mesh, progress=False, **more
)
params = [np.asarray(a).ravel() for a in jax.tree.leaves(state.params)]
print("found", json.dumps([int(state.step), len(history["step"]), [float(p.sum()) for p in params]]), flush=True)
os._exit(0)  # jax.distributed waits for a process that was killed
"""


@pytest.fixture
def start(free_port):
    """start(file, seconds) -> two processes that train together, napping so long every ten steps."""
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    opening, rest = PRELUDE.replace("device_count=4", "device_count=2").split("from gan_lib import data", 1)
    code, running = opening + PROCESS + "from gan_lib import data" + rest + TRAINS, []

    def start(file, seconds):
        port = free_port()
        command = lambda i: [sys.executable, "-c", code, str(i), str(port), str(file), str(seconds)]
        pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        both = [subprocess.Popen(command(i), cwd=ROOT, env=env, **pipes) for i in range(2)]
        running.extend(both)
        return both

    yield start
    for process in running:
        process.kill()
        process.communicate()


def until(process, words):
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"the process ended without {words!r}")


def result(process):
    return json.loads(until(process, "found ").partition("found ")[2])


@pytest.mark.slow
def test_two_processes_train_as_one_stop_together_and_go_on(tmp_path, start, monkeypatch):
    first, second = map(result, start("-", 0))
    monkeypatch.setenv("XLA_FLAGS", "")  # back at the end: the next line sets it, in vain, as JAX has started here
    here = {}
    exec(PRELUDE, here)  # one process with one device
    exec("model, x, batch_size = models['dense']\nalone, _ = weights(model, x, batch_size, None, steps=20)", here)
    assert first == second and first[:2] == [20, 20]
    assert sum(first[2]) == pytest.approx(float(here["alone"].sum()), abs=1e-3)

    file = tmp_path / "run"
    both = start(file, 0.3)
    until(both[0], "at 20")
    both[1].send_signal(signal.SIGINT)  # one is stopped: so are both, at the same step, and the file has it
    stopped = [result(process) for process in both]
    assert stopped[0] == stopped[1] and 20 <= stopped[0][0] < 4_000

    both = start(file, 0.3)
    until(both[0], f"at {stopped[0][0]}")
    until(both[0], "at")
    both[1].kill()
    last = both[0].communicate(timeout=120)[0]
    assert both[0].returncode != 0 and "found" not in last  # it does not train on alone
    assert os.listdir(tmp_path) == ["run"]
    assert header(file)
