"""Notebook 13, many devices: references, hints and checks."""

import inspect
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import jitted
from gan_lib.exercises.compare import NOTHING, recognise


def named(got, right, *mistakes, inputs):
    """`same` for a dictionary of numbers, entry by entry: mistakes are (key, value, message)."""
    if not isinstance(got, dict):
        same(got, right, inputs=inputs)
    if set(got) != set(right):
        raise Mistake(f"Return a dictionary with the keys {', '.join(map(repr, right))}; yours has {list(got)}.")
    for key, value, message in mistakes:
        recognise(got[key], (value, message), right=right[key])
    for key, value in right.items():
        same(got[key], value, inputs=inputs, rtol=1e-4, what=f'entry "{key}"')


def by_name(fn, *args, **named):
    """fn(*args, **named), as the notebook calls it; a Mistake if fn has other names."""
    try:
        inspect.signature(fn).bind(*args, **named)
    except TypeError as error:
        raise Mistake(
            f"The notebook passes {', '.join(named)} by name; keep the name of each argument: {error}."
        ) from None
    return fn(*args, **named)


# --- 13.efficiency --------------------------------------------------------------------------------------------------


def check_efficiency(fn):
    """By the sum over hops, at sizes where each part counts."""
    cases = (
        (4096, 16, 1e-5, 20e6, 50e9, 5e-6),  # 16: with 8, bits for bytes would look as if nothing were cut
        (4096, 64, 1e-5, 20e6, 50e9, 5e-6),
        (256, 4, 2e-5, 3e6, 1e9, 1e-3),
        (128, 1, 1e-5, 20e6, 50e9, 5e-6),
        (np.int64(2**32), 512, 1e-5, 20e6, 50e9, 5e-6),  # the notebook's largest
    )
    for batch, n, seconds, size, speed, delay in cases:
        mine, hops = batch / n * seconds, 2 * (n - 1)
        sent = hops * (size / n / speed + delay)
        share = lambda sent, work=mine: work / (work + sent)
        right = share(hops * (size / n / speed + delay))
        got = fn(batch, n, seconds, size, speed, delay)
        recognise(
            np.asarray(got, float) if isinstance(got, jax.Array) else got,
            (
                share(hops * (size / n / speed + delay), batch * seconds),
                "You let each device compute the whole batch. It is shared: batch / devices samples for each.",
            ),
            (
                share(hops * (size / speed + delay)),
                "Each hop carries all bytes in yours. The ring cuts them in as many pieces as devices: size / devices a hop.",
            ),
            (share(hops * size / n / speed), "The delay is missing: each hop takes it, however little is sent."),
            (
                share(hops * size / n / speed + delay),
                "You count the delay once. Each of the 2(devices − 1) hops takes it.",
            ),
            (
                share(hops // 2 * (size / n / speed + delay)),
                "Half of the hops are missing: one round adds up, another hands out.",
            ),
            (
                share(2 * n * (size / n / speed + delay)),
                "2·devices hops are two too many: one device alone sends nothing.",
            ),
            (share(hops * delay), "You count the delay alone. A hop also sends size / devices bytes, at speed."),
            (share(hops * (8 * size / n / speed + delay)), "You count bits. size and speed are both in bytes."),
            (
                share(2 * size / speed + hops * delay),
                "2·size / speed is where the ring ends with very many devices; n of them send 2(n − 1)/n times the size.",
            ),
            (mine / max(mine, sent), "You let it send while it computes. Here nothing overlaps: the two times add up."),
            (100 * right, "That is in per cent; a share in (0, 1] is asked for."),
            (
                mine / sent if sent else np.inf,
                "That is computing over sending. The share is computing over both together.",
            ),
            *[
                (
                    0.0,
                    "jax.numpy keeps whole numbers in 32 bits, and a batch of 2³² is 0 there. Divide before, in Python.",
                )
            ]
            * int(batch > 2**31),
            (
                share(size / speed + delay),
                "You send the bytes once, over one link. A ring has 2(devices − 1) hops of size / devices bytes.",
            ),
            (1 - right, "That is the share of the time that goes into sending."),
            (
                mine + hops * (size / n / speed + delay),
                "That is the time of a step. Asked is the share of it that is computing.",
            ),
            (
                batch * seconds / (mine + hops * (size / n / speed + delay)),
                "That is the speed-up. Divide by the devices.",
            ),
            right=right,
        )
        same(
            got,
            right,
            inputs=dict(batch=batch, devices=n, seconds=seconds, size=size, speed=speed, delay=delay),
            rtol=1e-4,
        )


@define(
    "13.efficiency",
    difficulty=1,
    minutes=8,
    check=check_efficiency,
    hints=(
        "Two times for a step: that of computing a device's own samples, and that of the hops. Nothing overlaps here.",
        "Computing: batch / devices · seconds. A hop: its bytes, size / devices, over the speed, plus the delay.",
        "`work / (work + 2 * (devices - 1) * (size / devices / speed + delay))` with `work = batch / devices * seconds`.",
    ),
)
def efficiency(batch, devices, seconds, size, speed, delay):
    """Share of their time that the devices compute, in (0, 1].

    batch: samples of a step, shared evenly by all devices. seconds: that one device takes for one sample. size: bytes that a
    step adds up. speed: of a link, bytes/s. delay: seconds that a hop takes, however small.
    """
    work = batch / devices * seconds
    hop = size / devices / speed + delay
    return work / (work + 2 * (devices - 1) * hop)


# --- 13.host_keys ---------------------------------------------------------------------------------------------------

# Powers of ten and two: a collision of 1000·host + step, for one, is that of step 0 of host 1 and step 1000 of host 0.
STEPS = 0, 1, 2, 7, *(10**n for n in range(1, 7)), *(2**n for n in range(10, 21, 2))
HOSTS = 0, 1, 7, 10, 100, 1000, *(2**n for n in range(1, 13))


def check_host_keys(fn):
    """All keys of many steps and hosts: which are equal?"""
    key = jax.random.key(7)
    got = fn(key, 0, 0)
    if got is None:
        raise Mistake(NOTHING)
    if not isinstance(got, tuple | list) or len(got) != 3:
        raise Mistake("Return keys, three of them: (init, batch, latents).")
    if not all(
        isinstance(k, jax.Array) and jax.dtypes.issubdtype(k.dtype, jax.dtypes.prng_key) and k.ndim == 0 for k in got
    ):
        raise Mistake(
            "Return keys, three single ones: (init, batch, latents), as jax.random.split or fold_in makes them."
        )

    def numbers(step, host):
        return jnp.stack([jax.random.key_data(k).ravel() for k in fn(key, step, host)])

    steps, hosts = (jnp.array(x, jnp.int32) for x in (STEPS, HOSTS))
    each = jax.vmap(jax.vmap(numbers, (None, 0)), (0, None))
    found = np.asarray(jitted(each, steps, hosts, where="step and host are traced in the notebook"))
    init, drawn = found[:, :, 0], found[:, :, 1:]
    if (init[0] != init[0, 0]).any():
        raise Mistake(
            "The hosts start from different weights: init must not depend on the host. Averaging gradients mends nothing."
        )
    if (init != init[0, 0]).any():
        raise Mistake("init changes with the step: a host that starts again, later, would start from other weights.")
    if (drawn[:, 0] == drawn[:, 1]).all():
        raise Mistake("All hosts draw the same: the host does not go into the keys of batch and latents.")
    for i, name in enumerate(("batch", "latents")):
        if (drawn[:, 0, i] == drawn[:, 1, i]).all():
            raise Mistake(f"All hosts draw the same {name}: the host goes into one of the two keys only.")
    if (drawn[0] == drawn[1]).all():
        raise Mistake("Every step draws the same: the step does not go into the keys of batch and latents.")
    for i, name in enumerate(("batch", "latents")):
        if (drawn[0, :, i] == drawn[1, :, i]).all():
            raise Mistake(f"Every step draws the same {name}: the step goes into one of the two keys only.")
    if (drawn[:, :, 0] == drawn[:, :, 1]).all():
        raise Mistake("batch and latents are one key: what is drawn by it is no longer independent. Split it.")
    other = np.stack([np.asarray(jax.random.key_data(k)).ravel() for k in fn(jax.random.key(8), 0, 0)])
    if (other == found[0, 0]).all(axis=1).any():
        raise Mistake("Another seed gives the same keys: make all three from `key`.")
    if (init[0, 0] == np.asarray(jax.random.key_data(key)).ravel()).all():
        raise Mistake(
            "init is `key` itself, and the others come from it, too: what is drawn by init, or split off it, meets them. Split "
            "`key` first, and use it no more."
        )
    flat = [tuple(k) for k in drawn.reshape(-1, drawn.shape[-1])]
    if tuple(init[0, 0]) in flat:
        raise Mistake("init is drawn by again: it equals the key of a batch or of latents of some step and host.")
    first = {}
    for at in np.ndindex(*drawn.shape[:3]):
        (s, h, i), (t, g, j) = first.setdefault(tuple(drawn[at]), at), at
        names = "batch", "latents"
        if (s, h) == (t, g) and i != j:
            raise Mistake(
                f"batch and latents are one key at step {STEPS[s]} of host {HOSTS[h]}: step and host change places in "
                "yours, and are equal there. Split one key in two."
            )
        if (s, h, i) != (t, g, j):
            cause = (
                f"one's {names[i]}, the other's {names[j]}. Fold in step and host, then split the key in two"
                if i != j
                else "a sum or a product of step and host is the same for several pairs, and an index past the end of an array "
                "is its last one. Fold in one after the other"
            )
            raise Mistake(
                f"Step {STEPS[s]} of host {HOSTS[h]} and step {STEPS[t]} of host {HOSTS[g]} have a key in common: {cause}."
            )


@define(
    "13.host_keys",
    difficulty=2,
    minutes=8,
    check=check_host_keys,
    hints=(
        "`jax.random.fold_in(key, number)` gives a key for each number. Which of the three know the step, which the host?",
        "Step 0 of host 1 and step 1 of host 0 must not meet: fold in twice, do not add. And a key that was split or folded is "
        "not drawn by itself.",
        "`init, key = jax.random.split(key)`, then `key = jax.random.fold_in(jax.random.fold_in(key, step), host)`, then "
        "`batch, latents = jax.random.split(key)`.",
    ),
)
def host_keys(key, step, host):
    """(init, batch, latents): three keys, from one seed's key.

    init: the same for all hosts and steps. batch, latents: different from each other, and from those of any other host or step.
    step, host: whole numbers, perhaps traced.
    """
    init, draws = jax.random.split(key)
    own = jax.random.fold_in(jax.random.fold_in(draws, step), host)
    batch, latents = jax.random.split(own)
    return init, batch, latents


# --- 13.moments -----------------------------------------------------------------------------------------------------


def check_moments(fn):
    """Against all samples in one array; parts of unequal size, far apart."""
    for seed, (counts, width) in enumerate([((3, 5, 4), 2), ((10, 2, 7, 1), 3), ((6, 6), 4)]):
        rng = np.random.default_rng(seed)
        parts = [rng.normal(rng.normal(0, 3, width), 1 + i, (n, width)) for i, n in enumerate(counts)]
        every, n = np.concatenate(parts), np.array(counts, float)
        means, variances = (np.float32([f(p) for p in parts]) for f in (lambda p: p.mean(0), lambda p: p.var(0)))
        mean, var, w = every.mean(0), every.var(0), (n / n.sum())[:, None]
        within, plain = (w * variances).sum(0), means.mean(0)
        inputs = {"means": means, "variances": variances, "counts": np.int32(counts)}
        got = fn(*(jnp.asarray(x) for x in inputs.values()))
        if isinstance(got, tuple | list) and len(got) == 2:
            got, about = tuple(got), (w * (means - plain) ** 2).sum(0)  # a list does: the notebook takes an entry
            unequal = len(set(counts)) > 1
            recognise(
                got[0],
                *[(plain, "Each device's mean has the same weight in yours; it belongs to as many samples as it has.")]
                * unequal,
                (var, "The order is (mean, variance)."),
                ((n[:, None] * means).sum(0), "The mean is a sum: divide by all samples."),
                right=mean,
            )
            recognise(
                got[1],
                (
                    within,
                    "That is the mean of variances: the spread within the parts. What lies *between* them is missing: "
                    "each mean's squared distance from the mean of all.",
                ),
                (
                    variances.mean(0),
                    "That is the plain mean of variances: no counts, and nothing of what lies between the parts.",
                ),
                ((w * (means - mean) ** 2).sum(0), "That is the spread between the parts alone. Add that within them."),
                *[
                    (within + between, "Within the parts you weigh by counts, between them you do not.")
                    for between in (((means - mean) ** 2).mean(0), means.var(0))
                ],
                (
                    variances.mean(0) + (w * (means - mean) ** 2).sum(0),
                    "Between the parts you weigh by counts, within them you do not.",
                ),
                (
                    within + about,
                    "Right, but for the mean that the distances are taken from: it needs the weights, too.",
                ),
                (
                    variances.mean(0) + means.var(0),
                    "Both terms are there, but each device counts the same. Weigh by the counts.",
                ),
                (
                    ((n[:, None] - 1) * variances + n[:, None] * (means - mean) ** 2).sum(0) / (n.sum() - 1),
                    "You undo a division by n − 1. These variances were divided by the count, as BatchNorm's are.",
                ),
                (
                    (w * (variances + means**2)).sum(0),
                    "That is the mean of squares, E[x²]: take the square of the mean off.",
                ),
                (within + (w * means**2).sum(0) - plain**2, "Right, but for the mean in it, which has no weights."),
                (np.sqrt(var), "That is the standard deviation."),
                (var * n.sum() / (n.sum() - 1), "That is the variance divided by N − 1: BatchNorm divides by N."),
                right=var,
            )
        same(got, (np.float32(mean), np.float32(var)), inputs=inputs, rtol=1e-3, atol=1e-4, what="moments")


@define(
    "13.moments",
    difficulty=2,
    minutes=8,
    check=check_moments,
    hints=(
        "Two devices, one sample each, 0 and 2: both variances are 0, that of all is 1. What does their average miss?",
        "Sums add up, moments do not: of each part you know the sum, counts · means, and the sum of squares, "
        "counts · (variances + means²).",
        "With weights w = counts / counts.sum(): mean = Σ w·means, variance = Σ w·(variances + (means − mean)²).",
    ),
)
def moments(means, variances, counts):
    """(mean, variance) of all samples, of shape (C,) each.

    means, variances: of each device's samples, (n, C), the variance divided by the count. counts: samples of each, (n,).
    """
    w = (counts / counts.sum())[:, None]
    mean = (w * means).sum(axis=0)
    return mean, (w * (variances + (means - mean) ** 2)).sum(axis=0)


# --- 13.came_out ----------------------------------------------------------------------------------------------------


def check_came_out(fn):
    """Arithmetic of the four forms."""
    for parts in ([1.0, 2.0, 6.0], [2.0, -1.0, 4.0, 3.0], [5.0, -2.0]):
        parts = np.float32(parts)
        n, total, mean = len(parts), parts.sum(), parts.mean()
        right = {"grad": total, "psum(grad)": n * total, "pmean(grad)": total, "grad of pmean": mean}
        varying = (
            "Each device's slope stays its own in yours. `w` is the same everywhere, so is its slope: the sum of all."
        )
        named(
            fn(jnp.asarray(parts)),
            right,
            ("grad", parts, varying),
            ("grad", parts[0], varying),
            ("grad", mean, "Nobody divides by the number of devices here: what the devices find is added up."),
            (
                "pmean(grad)",
                mean,
                "That is what pmap gave. Here grad has added up already, and the mean of n equal numbers is that number.",
            ),
            ("grad", n * total, "What the devices find is added up once: that is the sum, not n times it."),
            ("psum(grad)", n**2 * total, "psum adds n equal numbers, each of them the sum: n times the sum."),
            ("psum(grad)", 4 * total, "Four devices are the notebook's. n is `len(parts)`."),
            ("grad of pmean", total / 4, "Four devices are the notebook's. n is `len(parts)`."),
            ("pmean(grad)", n * total, "The mean of n equal numbers is that number, not n times it."),
            ("pmean(grad)", total / n**2, "The mean of n equal numbers is that number, not an n-th of it."),
            (
                "psum(grad)",
                total,
                "grad has added up already: psum adds n equal numbers, each of them the sum.",
            ),
            (
                "grad of pmean",
                total,
                "The loss is divided by the number of devices before its slope is taken: so is the slope.",
            ),
            ("grad of pmean", mean / n, "You divide twice: pmean divides by the number of devices once."),
            ("grad of pmean", n * total, "pmean divides the loss by the number of devices, and the slope with it."),
            inputs={"parts": parts},
        )


@define(
    "13.came_out",
    difficulty=3,
    minutes=12,
    check=check_came_out,
    hints=(
        "Start with plain `grad`: one number for all devices. Which one, if what the devices find is added up?",
        "After that every device holds the same number. psum and pmean of n equal numbers are easy.",
        'With s = parts.sum() and n = len(parts): "grad" is s, "psum(grad)" n·s, "pmean(grad)" s. In the last form the loss is '
        "that of the whole batch, so its slope is the right one: s / n.",
    ),
)
def came_out(parts):
    """What each form gives: a dictionary of four numbers.

    parts: each device's slope of its own mean loss, (n,). Keys: "grad", "psum(grad)", "pmean(grad)", "grad of pmean".
    """
    total = parts.sum()
    return {
        "grad": total,
        "psum(grad)": len(parts) * total,
        "pmean(grad)": total,
        "grad of pmean": total / len(parts),
    }


# --- 13.effective ---------------------------------------------------------------------------------------------------


def check_effective(fn):
    """Whole numbers, also where steps leave a rest."""
    for steps, batch, n, every in ((1000, 64, 4, 2), (103, 96, 8, 5), (10, 32, 1, 3), (50, 128, 2, 1), (3, 64, 2, 4)):
        right = {
            "on a device": batch // n,
            "of a statistic": batch,
            "of an update": batch * every,
            "updates": steps // every,
        }
        named(
            by_name(fn, steps=steps, batch_size=batch, devices=n, every=every),
            right,
            ("on a device", batch, "batch_size is that of all devices together: fit shares it out."),
            (
                "on a device",
                batch // n * every,
                "At a time: the small batches come one after the other, so they save memory.",
            ),
            (
                "of a statistic",
                batch * every,
                "BatchNorm sees one small batch at a time: accumulation joins gradients, not statistics.",
            ),
            ("of a statistic", batch // n, "With fit(..., mesh=...) BatchNorm's sums go over all devices."),
            ("of a statistic", batch * n, "batch_size counts all devices already."),
            ("of an update", batch, "`every` gradients go into one update."),
            ("of an update", batch * n * every, "batch_size counts all devices already."),
            ("of an update", batch // n * every, "An update has the samples of all devices."),
            ("updates", steps, "The weights move at every `every`-th step only."),
            ("updates", steps / every, "An update that was not reached is none: whole numbers, rounded down."),
            ("updates", max(1, steps // every), "Fewer steps than `every` make no update: 0."),
            ("updates", -(-steps // every), "What is collected after the last update moves nothing: round down."),
            ("updates", steps * every, "fit counts small batches as steps."),
            inputs=dict(steps=steps, batch_size=batch, devices=n, every=every),
        )


@define(
    "13.effective",
    difficulty=2,
    minutes=8,
    check=check_effective,
    hints=(
        "fit's batch_size is the batch of one call of `step`, whatever the number of devices.",
        "On a device lies its share of one small batch at a time. What moves the weights is the mean of `every` gradients.",
        "`batch_size // devices`, `batch_size`, `batch_size * every`, `steps // every`.",
    ),
)
def effective(steps, batch_size, devices, every):
    """A dictionary of whole numbers, for fit(..., mesh=...).

    steps, batch_size: given to fit. devices: of the mesh. every: of optax.MultiSteps. Keys: "on a device" (samples at a time),
    "of a statistic" (that BatchNorm sees), "of an update", "updates".
    """
    return {
        "on a device": batch_size // devices,
        "of a statistic": batch_size,
        "of an update": batch_size * every,
        "updates": steps // every,
    }


# --- 13.largest_batch -----------------------------------------------------------------------------------------------


def check_largest_batch(fn):
    """By loops over the layers."""
    for sizes, memory, width in (
        ((784, 1024, 1024, 1), 10**9, 4),
        ((784, 1024, 1024, 1), 10**9, 2),
        ((2, 64, 64, 1), 10**6, 4),
        ((10, 20, 5), 20_000, 4),
        ((784, 1024, 1024, 1024, 1), 16 * 10**9, 4),  # the notebook's largest: more than 32 bits
    ):
        weights = sum((a + 1) * b for a, b in pairwise(sizes))
        kernels = sum(a * b for a, b in pairwise(sizes))
        fits = lambda fixed, entries, width=width, memory=memory: (memory - fixed) // (entries * width)
        right = fits(16 * weights, sum(sizes))
        got = fn(sizes, memory) if width == 4 else by_name(fn, sizes, memory, width=width)  # as the notebook does
        if isinstance(got, float) and got.is_integer():
            got = int(got)
        exact = (memory - 16 * weights) / (sum(sizes) * width)
        for value, message in (
            (exact, "Half a sample does not fit: round down to a whole number."),
            (right + 1, "One too many: round down."),
            (
                fits(4 * width * weights, sum(sizes)),
                "Weights, gradient and moments stay float32, 4 bytes each, whatever the layers compute in.",
            ),
            (fits(0, sum(sizes)), "The weights take memory, too: 16 bytes each with Adam."),
            (
                fits(4 * weights, sum(sizes)),
                "Beside the weights lie their gradient and Adam's two moments: four times 4 bytes.",
            ),
            (fits(8 * weights, sum(sizes)), "Adam keeps two moments of each weight beside weight and gradient."),
            (fits(12 * weights, sum(sizes)), "One of the four is missing: weight, gradient, two moments."),
            (fits(16 * kernels, sum(sizes)), "The biases are missing: (fan_in + 1)·fan_out weights a layer."),
            (fits(16 * (weights + sizes[0]), sum(sizes)), "The input has no biases: fan_out of them a layer."),
            (fits(16 * weights, sum(sizes[1:])), "The input is kept, too: the first layer's gradient needs it."),
            (fits(16 * weights, sum(sizes[:-1])), "The output of the last layer is kept, too."),
            (fits(16 * weights, max(sizes)), "All layers' outputs are kept for the way back, not the widest alone."),
            (
                fits(16 * weights, sum(sizes), width=4),
                "`width` is how many bytes a number in a layer takes; yours are always 4.",
            ),
            (
                fits(16 * weights, sum(sizes), width=2),
                "Without `width` a number has 4 bytes: leave the default as it was.",
            ),
            (fits(16 * weights, sum(sizes), width=1), "These are numbers, not bytes: multiply by width."),
            *[
                (
                    fits(16 * weights, entries),
                    "Each output is kept once for the way back, and the input once; yours are twice.",
                )
                for entries in (2 * sum(sizes), sum(sizes) + sum(sizes[1:]))
            ],
        ):
            if isinstance(got, int | float | np.number) and got == value and value != right:
                raise Mistake(message)
        same(got, right, inputs=dict(sizes=sizes, memory=memory, width=width), rtol=0, atol=0)


@define(
    "13.largest_batch",
    difficulty=2,
    minutes=10,
    check=check_largest_batch,
    hints=(
        "Part of the memory does not depend on the batch. The rest grows in proportion to it: two numbers, and a division.",
        "Fixed: 16 bytes for each of Σ (fan_in + 1)·fan_out weights. A sample: width bytes for each entry of the "
        "input and of all outputs.",
        "`(memory - 16 * weights) // (width * sum(sizes))`, weights by a sum over `zip(sizes, sizes[1:])`.",
    ),
)
def largest_batch(sizes, memory, width=4):
    """How many samples a training step of an MLP has room for.

    sizes: entries of its input and of each layer's output, with biases, without BatchNorm. memory: bytes. width: bytes of a
    number in a layer. Adam; weights, gradient and moments are float32. Input and outputs of all layers are kept for the way back.
    """
    weights = sum((a + 1) * b for a, b in pairwise(sizes))
    return (memory - 16 * weights) // (width * sum(sizes))
