"""Right answers to the exercises of notebook 13 in other styles than the reference's."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

# --- efficiency


def hop_by_hop(batch, devices, seconds, size, speed, delay):
    sent = sum(size / devices / speed + delay for _ in range(2 * (devices - 1)))
    mine = batch / devices * seconds
    return mine / (mine + sent)


def over_the_ideal(batch, devices, seconds, size, speed, delay):
    step = batch * seconds / devices + 2 * (devices - 1) * delay + 2 * (devices - 1) / devices * size / speed
    return jnp.float32(batch * seconds / (devices * step))


def alone_at_once(batch, devices, seconds, size, speed, delay):
    if devices == 1:
        return 1
    return 1 / (1 + 2 * (devices - 1) * (size / speed + devices * delay) / (batch * seconds))


# --- host_keys


def by_names(key, step, host):
    init = jax.random.fold_in(key, 0)
    of_step = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, 1), step), host)
    return init, jax.random.fold_in(of_step, 0), jax.random.fold_in(of_step, 1)


def host_first(key, step, host):
    init, b, z = jax.random.split(key, 3)
    own = lambda k: jax.random.fold_in(jax.random.fold_in(k, host), step)
    return [init, own(b), own(z)]


def even_and_odd(key, step, host):
    init, key = jax.random.split(key)
    key = jax.random.fold_in(key, step)
    return init, jax.random.fold_in(key, 2 * host), jax.random.fold_in(key, 2 * host + 1)


# --- moments


def by_squares(means, variances, counts):
    n = counts.sum()
    mean = counts @ means / n
    return mean, counts @ (variances + means**2) / n - mean**2


def two_at_a_time(means, variances, counts):
    m, v, n = (np.asarray(x, float) for x in (means[0], variances[0], counts[0]))
    for mb, vb, nb in zip(means[1:], variances[1:], counts[1:], strict=True):
        total, gap = n + nb, np.asarray(mb) - m
        v = (n * v + nb * np.asarray(vb)) / total + gap**2 * n * nb / total**2
        m, n = m + gap * nb / total, total
    return m, v


def averaged(means, variances, counts):
    mean = jnp.average(means, axis=0, weights=counts)
    between = jnp.average((means - mean) ** 2, axis=0, weights=counts)
    return mean, jnp.average(variances, axis=0, weights=counts) + between


def by_pairs_of_means(means, variances, counts):
    w = counts / counts.sum()
    gaps = (means[:, None] - means) ** 2
    return [w @ means, w @ variances + jnp.einsum("i,j,ijc->c", w, w, gaps) / 2]


# --- came_out


def in_python(parts):
    s, n = float(sum(parts)), len(parts)
    return {"grad of pmean": s / n, "pmean(grad)": s, "psum(grad)": s * n, "grad": s}


def as_arrays(parts):
    every = jnp.full(len(parts), parts.sum())
    return dict(
        zip(
            ("grad", "psum(grad)", "pmean(grad)", "grad of pmean"),
            (every[0], every.sum(), every.mean(), parts.mean()),
            strict=True,
        )
    )


def by_collectives(parts):
    total = jax.vmap(lambda x: jax.lax.psum(x, "device"), axis_name="device")
    grad = total(parts)
    found = {"grad": grad[0], "psum(grad)": total(grad)[0]}
    return found | {"pmean(grad)": grad.mean(), "grad of pmean": parts.mean()}


# --- effective


def by_divmod(steps, batch_size, devices, every):
    found = {"on a device": int(batch_size / devices), "of a statistic": batch_size}
    return found | {"of an update": every * batch_size, "updates": divmod(steps, every)[0]}


def in_numpy(steps, batch_size, devices, every):
    values = np.array([batch_size // devices, batch_size, batch_size * every, steps // every])
    return dict(zip(("on a device", "of a statistic", "of an update", "updates"), values, strict=True))


# --- largest_batch


def by_loop(sizes, memory, width=4):
    for fan_in, fan_out in pairwise(sizes):
        memory -= 16 * (fan_in * fan_out + fan_out)
    return int(memory / (width * sum(sizes)))


def by_arrays(sizes, memory, width=4):
    s = np.array(sizes)
    return (memory - 16 * ((s[:-1] + 1) * s[1:]).sum()) // (s.sum() * width)


def by_halving(sizes, memory, width=4):
    fits = lambda n: 16 * sum((a + 1) * b for a, b in pairwise(sizes)) + n * width * sum(sizes) <= memory
    low, high = 0, memory
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


RIGHT = {
    "13.efficiency": [hop_by_hop, over_the_ideal, alone_at_once],
    "13.host_keys": [by_names, host_first, even_and_odd],
    "13.moments": [by_squares, two_at_a_time, averaged, by_pairs_of_means],
    "13.came_out": [in_python, as_arrays, by_collectives],
    "13.effective": [by_divmod, in_numpy],
    "13.largest_batch": [by_loop, by_arrays, by_halving],
}
