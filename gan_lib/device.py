"""What is measured or set about this device: how `fit` loops, how XLA compiles, where compiled programs are kept, how
much memory there is."""

import os
import platform
import re
import time
import zlib
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp

from gan_lib.fetch import cache_folder

OLDEST = ("0.7.2", "0.11.2")  # the first (jax, flax) that the course supports
# The pairs on which every test passes: the oldest, and those of constraints.txt.
TESTED = {OLDEST, ("0.10.2", "0.12.8"), ("0.12.0.1", "0.12.12")}


def numbers(version: str) -> list[int]:
    """A version as numbers, which compare as versions do."""
    return [int(number) for number in re.findall(r"\d+", version)]


# --- loops ----------------------------------------------------------------------------------------------------------


def chunk_for(state) -> int:
    """Steps that `fit` puts in one compiled loop: 50, or 1 where the device is slow at convolutions inside a loop.

    1, too, with jax_debug_nans, which names the operation that made a NaN, but not one inside a loop.
    """
    if jax.config.jax_debug_nans or jax.config.jax_debug_infs:
        return 1
    return 1 if is_convolutional(state) and slowdown_in_loop() > 2 else 50


def is_convolutional(state) -> bool:
    """Does a network of this state hold a convolution's kernel?"""
    return any(getattr(p, "ndim", 0) > 2 for p in jax.tree.leaves(getattr(state, "params", state)))


@lru_cache
def slowdown_in_loop() -> float:
    """How many times as long the gradient of a convolution takes inside `lax.scan` as outside it, on this device.

    About 10 on a CPU, whose XLA lacks fast convolutions for loops (jax-ml/jax#12868). Measured once a session.
    """
    x, weights = jnp.ones((16, 14, 14, 32)), jnp.full((4, 4, 32, 32), 0.01)

    def descend_once(w, _=None):
        form = dict(window_strides=(2, 2), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return w - 1e-6 * jax.grad(lambda w: (jax.lax.conv_general_dilated(x, w, **form) ** 2).sum())(w), None

    alone = _seconds(jax.jit(lambda w: descend_once(w)[0]), weights)
    return _seconds(jax.jit(lambda w: jax.lax.scan(descend_once, w, length=4)[0]), weights) / (4 * alone)


# --- compiling ------------------------------------------------------------------------------------------------------


@lru_cache
def compiler_options(convolutional: bool = False):
    """Options for jax.jit that make training faster on a CPU, or None for the compiler's own.

    From 0.10 on jaxlib hands matrix products to YNNPACK, else to Eigen. For networks with convolutions Eigen is the
    faster one (benchmarks/step.py); for dense ones that depends on the processor, and is measured once on a machine. Several
    processes do without, so that all of them take the same sums.
    """
    eigen = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}  # YNNPACK for sums alone
    try:
        jax.jit(lambda x: x, compiler_options=eigen).lower(0.0).compile()
    except Exception:  # an older jaxlib, or no CPU; which error differs between versions
        return None
    if convolutional or jax.process_count() > 1:  # processes that measured would compile different programs
        return eigen
    return eigen if _eigen_is_faster(eigen) else None


def _eigen_is_faster(eigen):
    """The measurement's answer, kept in the user's cache folder where that can be written.

    The two libraries differ in the last digits. A session that measured anew, and came to another answer on a busy
    machine, would not go on bitwise where the last one ended.
    """
    processor = re.search(r"model name\s*:(.*)", _read("/proc/cpuinfo")) or [platform.processor()] * 2
    where = f"{jax.__version__}, {processor[1].strip()}, {os.cpu_count()} cores"
    note = cache_folder() / f"matrices-{zlib.crc32(where.encode()):08x}"
    if (known := _read(note)) not in ("eigen", "own"):
        known = "eigen" if _seconds_of_products(None) > 1.3 * _seconds_of_products(eigen) else "own"
        with suppress(OSError):
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(known)
    return known == "eigen"


def _read(path):
    """What a small text file holds, or "" where there is none to read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _seconds_of_products(options):
    """How long a dense layer takes, forwards and backwards, compiled with these options."""
    x, weights = jnp.ones((128, 512)), jnp.full((512, 1024), 0.01)
    return _seconds(jax.jit(jax.grad(lambda a: ((a[0] @ a[1]) ** 2).sum()), compiler_options=options), (x, weights))


def _seconds(fn, *args):
    """The best of four calls, without the first, which compiles."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(fn(*args))
        times.append(time.perf_counter() - start)
    return min(times[1:])


def compile_sooner() -> None:
    """On a CPU, have XLA leave out optimisations that are a quarter of its work and make no training step faster.

    No effect after the first array, with a GPU or a TPU to compile for, and where jax is newer than any version tested: XLA
    ends the program at a flag that it does not know.
    """
    known = any(numbers(jax.__version__) <= numbers(tested) for tested, _ in TESTED)
    alone = jax.config.jax_platforms == "cpu" or not any(find_spec(name) for name in ("jax_plugins", "libtpu"))
    if known and alone:
        start_xla("xla_backend_optimization_level=1", "xla_llvm_disable_expensive_passes=true")


def start_xla(*flags: str) -> None:
    """Start the compiler of JAX with these flags and those in XLA_FLAGS, which stays as it is and wins where they differ.

    It reads them once: no effect after the first array.
    """
    given = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = " ".join([*(f"--{flag}" for flag in flags), given or ""])
    try:
        jax.devices()
    finally:
        if given is None:
            del os.environ["XLA_FLAGS"]
        else:
            os.environ["XLA_FLAGS"] = given


def enable_compilation_cache() -> None:
    """Keep compiled programs in the user's cache folder, so that a second run starts in a fraction of the time.

    Where nothing can be written there, each run compiles; no cell fails for it.
    """
    folder = cache_folder() / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        drop_damaged(folder)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def drop_damaged(folder: Path) -> None:
    """Delete compiled programs that are not whole, as when a kernel was killed while it wrote one.

    JAX warns of each, each time it is wanted, and never replaces it. Looks at those written since the last look.
    """
    looked = folder / "looked-at"
    since = looked.stat().st_mtime - 60 if looked.exists() else 0.0
    looked.touch()
    for entry in os.scandir(folder):
        if entry.name.endswith("-cache") and entry.stat().st_mtime >= since and not _is_whole(Path(entry).read_bytes()):
            Path(entry).unlink(missing_ok=True)


def _is_whole(packed):
    try:
        if packed.startswith(b"\x28\xb5\x2f\xfd"):  # Zstandard, which Python 3.14 has
            import_module("compression.zstd").decompress(packed)
        else:
            zlib.decompress(packed)
    except ImportError:
        pass  # written by another Python, which can tell
    except Exception:
        return False
    return True


# --- memory ---------------------------------------------------------------------------------------------------------


def check_room(data, state) -> None:
    """Raise ValueError, with the bytes that data and state take, where the device has no room for them.

    What lies on the device already takes none. The state counts four times: the old one, the new one, gradients, and
    what the optimisers pass on.
    """
    moved = sum(x.nbytes for x in jax.tree.leaves(data) if not isinstance(x, jax.Array))
    needed = 4 * sum(x.nbytes for x in jax.tree.leaves(state))
    free = free_bytes()
    if free is not None and moved + needed > free:
        raise ValueError(
            f"The device has {free / 1e9:.1f} GB free; the data take {moved / 1e9:.1f} GB there, training their state "
            f"{needed / 1e9:.1f} GB. Give fewer data, or leave images uint8, a quarter of the size: "
            "GAN(..., prepare=data.scaled)."
        )


def free_bytes() -> int | None:
    """Memory that the default device can still give, in bytes; None where it cannot tell."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats["bytes_in_use"] if {"bytes_limit", "bytes_in_use"} <= stats.keys() else None
    try:
        with open("/proc/meminfo") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):  # not Linux
        return None
