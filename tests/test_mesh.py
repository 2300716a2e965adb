"""Several devices: the training of one device, whichever network, with all of the work shared."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

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

def weights(model, x, batch_size, mesh, steps=3, **more):
    options = dict(steps=steps, key=key, batch_size=batch_size, progress=False, mesh=mesh)
    state, history = fit(model, model.init(key), x, **options, **more)
    assert mesh is None or all(a.sharding.is_fully_replicated for a in jax.tree.leaves(state))
    return np.concatenate([np.ravel(a) for a in jax.tree.leaves(state.params)]), history

found = {}
"""

SAME = """
for name, (model, x, batch_size) in models.items():
    start = np.concatenate([np.ravel(a) for a in jax.tree.leaves(model.init(key).params)])
    alone, _ = weights(model, x, batch_size, None)
    for n in (1, 2, 4) if name == "dense" else (4,):
        together, _ = weights(model, x, batch_size, data_parallel(jax.devices()[:n]))
        found[f"{name}, {n}"] = float(abs(together - alone).max() / abs(alone - start).max())
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
