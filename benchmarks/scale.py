"""What do more devices bring? Prints one JSON line for each number of them: milliseconds a step, images a second, efficiency.

    python benchmarks/scale.py {mlp,small,dcgan} BATCH [--devices 1,2,4] [--weak] [--steps 20] [--cpus 4]

Strong scaling, the default: BATCH samples are shared by all devices, and n of them are n times as fast at best. --weak: each
device gets BATCH samples, and a step takes as long as on one at best. Efficiency is what was reached of that, and what is
sent is the bytes of all all-reduces of a step, read off the compiled program. --cpus makes that many devices of one
processor, which shares its cores among them: there the efficiency tells what the sharing costs, not what it brings.
"""

import argparse
import json
import os
import re
import sys
import time
from math import prod
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this repository's gan_lib

import jax
import numpy as np
from step import networks

from gan_lib.gan import GAN
from gan_lib.mesh import data_parallel, everywhere
from gan_lib.training import _program

BYTES = {"f32": 4, "bf16": 2, "f16": 2, "u32": 4, "s32": 4, "pred": 1}


def sent(text):
    """Bytes that the all-reduces of a compiled program add up, for each device."""
    results = re.findall(r"= (\(.*?\)|\S+) all-reduce(?:-start)?\(", text)
    arrays = [array for result in results for array in re.findall(r"(\w+)\[([\d,]*)\]", result)]
    return sum(BYTES.get(kind, 4) * prod(map(int, filter(None, sides.split(",")))) for kind, sides in arrays)


def measure(net, batch, devices, steps):
    """(median milliseconds a step, bytes sent) with a batch on so many devices."""
    generator, discriminator, latent_dim, shape = networks(net, naive=False)
    gan, key = GAN(generator, discriminator, latent_dim=latent_dim), jax.random.key(0)
    mesh = data_parallel(jax.devices()[:devices])
    data = jax.random.uniform(key, (max(batch, 1024), *shape), minval=-1, maxval=1)
    state, data, key = everywhere(mesh, (gan.init(key), data, key))
    sizes = dict(batch_size=batch, length=1, mesh=mesh)
    program = _program(net != "mlp").lower(gan, state, data, key, **sizes).compile()
    times = []
    for _ in range(steps + 3):  # three to warm up
        start = time.perf_counter()
        state, *_ = jax.block_until_ready(program(state, data, key))
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times[3:])), sent(program.as_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", choices=["dcgan", "mlp", "small"])
    parser.add_argument("batch", type=int)
    parser.add_argument("--devices", help="numbers of devices, as 1,2,4; default: 1, 2, 4, … up to all")
    parser.add_argument("--weak", action="store_true", help="BATCH samples for each device")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--cpus", type=int, help="devices to make of this processor")
    args = parser.parse_args()
    if args.cpus:  # before the first array
        os.environ["XLA_FLAGS"] = (
            f"--xla_force_host_platform_device_count={args.cpus} {os.environ.get('XLA_FLAGS', '')}"
        )
    there = len(jax.devices())
    asked = args.devices.split(",") if args.devices else [2**i for i in range(there.bit_length())]
    numbers = [int(n) for n in asked]
    if not all(1 <= n <= there for n in numbers):
        parser.error(f"--devices {args.devices}: there are {there}. --cpus N makes N of one processor.")
    if args.batch < 1 or (not args.weak and any(args.batch % n for n in numbers)):
        parser.error(f"BATCH {args.batch} cannot be shared by {', '.join(map(str, numbers))} devices evenly")
    alone = None
    for n in numbers:
        batch = args.batch * (n if args.weak else 1)
        ms, moved = measure(args.net, batch, n, args.steps)
        alone = alone or ms * (1 if args.weak else n)  # what the first line says one device takes
        line = dict(net=args.net, device=jax.devices()[0].device_kind, version=jax.__version__, devices=n, batch=batch)
        line |= dict(scaling="weak" if args.weak else "strong", ms=round(ms, 2), images_per_s=round(1e3 * batch / ms))
        line |= dict(efficiency=round(alone / ms / (1 if args.weak else n), 3), sent_mb=round(moved / 1e6, 3))
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
