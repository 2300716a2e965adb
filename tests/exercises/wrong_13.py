"""Wrong answers to the exercises of notebook 13, each with words of the message that names its mistake."""

from itertools import pairwise

import jax
import jax.numpy as jnp

from gan_lib.exercises.nb13 import came_out, effective

# --- efficiency


def share(work, sent):
    return work / (work + sent)


def whole_batch_each(batch, devices, seconds, size, speed, delay):
    return share(batch * seconds, 2 * (devices - 1) * (size / devices / speed + delay))


def all_bytes_each_hop(batch, devices, seconds, size, speed, delay):
    return share(batch / devices * seconds, 2 * (devices - 1) * (size / speed + delay))


def no_delay(batch, devices, seconds, size, speed, delay):
    return share(batch / devices * seconds, 2 * (devices - 1) * size / devices / speed)


def one_delay(batch, devices, seconds, size, speed, delay):
    return share(batch / devices * seconds, 2 * (devices - 1) * size / devices / speed + delay)


def half_the_hops(batch, devices, seconds, size, speed, delay):
    return share(batch / devices * seconds, (devices - 1) * (size / devices / speed + delay))


def sent_once(batch, devices, seconds, size, speed, delay):
    return share(batch / devices * seconds, size / speed + delay)


def share_of_sending(batch, devices, seconds, size, speed, delay):
    return 1 - share(batch / devices * seconds, 2 * (devices - 1) * (size / devices / speed + delay))


def speed_up(batch, devices, seconds, size, speed, delay):
    return devices * share(batch / devices * seconds, 2 * (devices - 1) * (size / devices / speed + delay))


def at_once(batch, devices, seconds, size, speed, delay):
    work, sent = batch / devices * seconds, 2 * (devices - 1) * (size / devices / speed + delay)
    return work / max(work, sent)


def ratio(batch, devices, seconds, size, speed, delay):
    work, sent = batch / devices * seconds, 2 * (devices - 1) * (size / devices / speed + delay)
    return work / sent if sent else 1.0


def in_bits(batch, devices, seconds, size, speed, delay):
    return share(batch / devices * seconds, 2 * (devices - 1) * (8 * size / devices / speed + delay))


def delay_alone(batch, devices, seconds, size, speed, delay):
    return share(batch / devices * seconds, 2 * (devices - 1) * delay)


def of_many_devices(batch, devices, seconds, size, speed, delay):
    return share(batch / devices * seconds, 2 * size / speed + 2 * (devices - 1) * delay)


def per_cent(batch, devices, seconds, size, speed, delay):
    return 100 * share(batch / devices * seconds, 2 * (devices - 1) * (size / devices / speed + delay))


def in_32_bits(batch, devices, seconds, size, speed, delay):
    work = jnp.divide(batch, devices) * seconds
    return work / (work + 2 * (devices - 1) * (size / devices / speed + delay))


# --- host_keys


def all_alike(key, step, host):
    init, key = jax.random.split(key)
    batch, latents = jax.random.split(jax.random.fold_in(key, step))
    return init, batch, latents


def weights_apart(key, step, host):
    init, key = jax.random.split(jax.random.fold_in(key, host))
    batch, latents = jax.random.split(jax.random.fold_in(key, step))
    return init, batch, latents


def weights_by_step(key, step, host):
    init, key = jax.random.split(jax.random.fold_in(key, step))
    batch, latents = jax.random.split(jax.random.fold_in(key, host))
    return init, batch, latents


def same_latents(key, step, host):
    init, b, z = jax.random.split(key, 3)
    own = jax.random.fold_in(jax.random.fold_in(b, step), host)
    return init, own, jax.random.fold_in(z, step)


def added(key, step, host):
    init, key = jax.random.split(key)
    batch, latents = jax.random.split(jax.random.fold_in(key, step + host))
    return init, batch, latents


def by_eight(key, step, host):
    init, key = jax.random.split(key)
    batch, latents = jax.random.split(jax.random.fold_in(key, 8 * step + host))
    return init, batch, latents


def one_for_both(key, step, host):
    init, key = jax.random.split(key)
    own = jax.random.fold_in(jax.random.fold_in(key, step), host)
    return init, own, own


def in_turned_order(key, step, host):
    init, key = jax.random.split(key)
    fold = jax.random.fold_in
    return init, fold(fold(key, step), host), fold(fold(key, host), step)


def each_step_the_same(key, step, host):
    init, key = jax.random.split(key)
    batch, latents = jax.random.split(jax.random.fold_in(key, host))
    return init, batch, latents


def own_seed(key, step, host):
    init, key = jax.random.split(jax.random.key(0))
    own = jax.random.fold_in(jax.random.fold_in(key, step), host)
    return init, *jax.random.split(own)


def by_python(key, step, host):
    init, key = jax.random.split(key)
    own = jax.random.fold_in(jax.random.fold_in(key, int(step)), int(host))
    return init, *jax.random.split(own)


def two_keys(key, step, host):
    return tuple(jax.random.split(jax.random.fold_in(jax.random.fold_in(key, step), host)))


def by_a_thousand(key, step, host):
    init, key = jax.random.split(key)
    batch, latents = jax.random.split(jax.random.fold_in(key, 1000 * host + step))
    return init, batch, latents


def by_bits(key, step, host):
    init, key = jax.random.split(key)
    batch, latents = jax.random.split(jax.random.fold_in(key, (host << 12) + step))
    return init, batch, latents


def steps_share_latents(key, step, host):
    init, b, z = jax.random.split(key, 3)
    return init, jax.random.fold_in(jax.random.fold_in(b, step), host), jax.random.fold_in(z, host)


def next_host_for_latents(key, step, host):
    init, key = jax.random.split(key)
    key = jax.random.fold_in(key, step)
    return init, jax.random.fold_in(key, host), jax.random.fold_in(key, host + 1)


def seed_from_numbers(key, step, host):
    return jax.random.split(key)[0], *jax.random.split(jax.random.key(1000 * step + host))


def init_is_the_seed(key, step, host):
    return key, *jax.random.split(jax.random.fold_in(jax.random.fold_in(key, step), host))


# --- moments


def weigh(counts):
    return (counts / counts.sum())[:, None]


def mean_of_variances(means, variances, counts):
    w = weigh(counts)
    return (w * means).sum(0), (w * variances).sum(0)


def plain_means(means, variances, counts):
    return means.mean(0), variances.mean(0)


def plain_variances(means, variances, counts):
    return (weigh(counts) * means).sum(0), variances.mean(0)


def between_alone(means, variances, counts):
    w = weigh(counts)
    mean = (w * means).sum(0)
    return mean, (w * (means - mean) ** 2).sum(0)


def half_weighted(means, variances, counts):
    w = weigh(counts)
    mean = (w * means).sum(0)
    return mean, (w * variances).sum(0) + ((means - mean) ** 2).mean(0)


def unweighted_terms(means, variances, counts):
    return (weigh(counts) * means).sum(0), variances.mean(0) + means.var(0)


def by_n_less_one(means, variances, counts):
    n, mean = counts[:, None], (weigh(counts) * means).sum(0)
    return mean, ((n - 1) * variances + n * (means - mean) ** 2).sum(0) / (counts.sum() - 1)


def mean_of_squares(means, variances, counts):
    w = weigh(counts)
    return (w * means).sum(0), (w * (variances + means**2)).sum(0)


def a_deviation(means, variances, counts):
    w = weigh(counts)
    mean = (w * means).sum(0)
    return mean, jnp.sqrt((w * (variances + (means - mean) ** 2)).sum(0))


def half_weighted_by_var(means, variances, counts):
    w = weigh(counts)
    return (w * means).sum(0), (w * variances).sum(0) + means.var(0)


def other_half_weighted(means, variances, counts):
    w = weigh(counts)
    mean = (w * means).sum(0)
    return mean, variances.mean(0) + (w * (means - mean) ** 2).sum(0)


def about_the_plain_mean(means, variances, counts):
    w = weigh(counts)
    return (w * means).sum(0), (w * (variances + (means - means.mean(0)) ** 2)).sum(0)


def turned(means, variances, counts):
    w = weigh(counts)
    mean = (w * means).sum(0)
    return (w * (variances + (means - mean) ** 2)).sum(0), mean


# --- came_out


def but(**other):
    """The right dictionary, but for some entries."""
    names = {"grad": "grad", "psum": "psum(grad)", "pmean": "pmean(grad)", "of_pmean": "grad of pmean"}

    def answer(parts):
        return came_out(parts) | {names[name]: value(parts) for name, value in other.items()}

    return answer


as_under_pmap = but(pmean=lambda parts: parts.mean())
own_slopes = but(grad=lambda parts: parts)
divided_by_itself = but(grad=lambda parts: parts.mean())
added_once = but(psum=lambda parts: parts.sum())
sum_at_the_end = but(of_pmean=lambda parts: parts.sum())
divided_twice = but(of_pmean=lambda parts: parts.mean() / len(parts))
n_times = but(grad=lambda parts: len(parts) * parts.sum())
added_thrice = but(psum=lambda parts: len(parts) ** 2 * parts.sum())
mean_too_large = but(pmean=lambda parts: len(parts) * parts.sum())
always_four = but(psum=lambda parts: 4 * parts.sum())
always_a_quarter = but(of_pmean=lambda parts: parts.sum() / 4)
other_names = lambda parts: {"grad": parts.sum()}

# --- effective


def instead(**other):
    """The right dictionary, but for one entry."""

    def answer(steps, batch_size, devices, every):
        right = effective(steps, batch_size, devices, every)
        return right | {name.replace("_", " "): f(steps, batch_size, devices, every) for name, f in other.items()}

    return answer


whole_on_each = instead(on_a_device=lambda steps, batch, n, every: batch)
all_at_a_time = instead(on_a_device=lambda steps, batch, n, every: batch // n * every)
statistics_of_all = instead(of_a_statistic=lambda steps, batch, n, every: batch * every)
statistics_of_one = instead(of_a_statistic=lambda steps, batch, n, every: batch // n)
devices_twice = instead(of_an_update=lambda steps, batch, n, every: batch * n * every)
no_accumulation = instead(of_an_update=lambda steps, batch, n, every: batch)
each_step_moves = instead(updates=lambda steps, batch, n, every: steps)
rounded_up = instead(updates=lambda steps, batch, n, every: -(-steps // every))
not_rounded = instead(updates=lambda steps, batch, n, every: steps / every)

at_least_one = instead(updates=lambda steps, batch, n, every: max(1, steps // every))


def other_arguments(s, b, n, every):
    return effective(s, b, n, every)


# --- largest_batch


def count(sizes):
    return sum((a + 1) * b for a, b in pairwise(sizes))


def no_weights(sizes, memory, width=4):
    return memory // (width * sum(sizes))


def weights_once(sizes, memory, width=4):
    return (memory - 4 * count(sizes)) // (width * sum(sizes))


def no_moments(sizes, memory, width=4):
    return (memory - 8 * count(sizes)) // (width * sum(sizes))


def all_in_width(sizes, memory, width=4):
    return (memory - 4 * width * count(sizes)) // (width * sum(sizes))


def no_input(sizes, memory, width=4):
    return (memory - 16 * count(sizes)) // (width * sum(sizes[1:]))


def widest(sizes, memory, width=4):
    return (memory - 16 * count(sizes)) // (width * max(sizes))


def in_twos(sizes, memory, width=2):
    return (memory - 16 * count(sizes)) // (width * sum(sizes))


def other_width(sizes, memory, bytes_each=4):
    return (memory - 16 * count(sizes)) // (bytes_each * sum(sizes))


def input_biases(sizes, memory, width=4):
    return (memory - 16 * (count(sizes) + sizes[0])) // (width * sum(sizes))


def kept_twice(sizes, memory, width=4):
    return (memory - 16 * count(sizes)) // (2 * width * sum(sizes))


def in_int32(sizes, memory, width=4):
    s = jnp.array(sizes)
    return (memory - 16 * ((s[:-1] + 1) * s[1:]).sum()) // (width * s.sum())


def four_bytes(sizes, memory, width=4):
    return (memory - 16 * count(sizes)) // (4 * sum(sizes))


def numbers_not_bytes(sizes, memory, width=4):
    return (memory - 16 * count(sizes)) // sum(sizes)


def no_biases(sizes, memory, width=4):
    return (memory - 16 * sum(a * b for a, b in pairwise(sizes))) // (width * sum(sizes))


def not_whole(sizes, memory, width=4):
    return (memory - 16 * count(sizes)) / (width * sum(sizes))


WRONG = {
    "13.efficiency": [
        (whole_batch_each, "compute the whole batch"),
        (all_bytes_each_hop, "carries all bytes"),
        (no_delay, "delay is missing"),
        (one_delay, "delay once"),
        (half_the_hops, "Half of the hops"),
        (sent_once, "over one link"),
        (share_of_sending, "goes into sending"),
        (speed_up, "the speed-up"),
        (at_once, "nothing overlaps"),
        (ratio, "computing over sending"),
        (in_bits, "You count bits"),
        (delay_alone, "You count the delay alone"),
        (of_many_devices, "very many devices"),
        (per_cent, "per cent"),
        (in_32_bits, "in 32 bits"),
    ],
    "13.host_keys": [
        (all_alike, "the host does not go into"),
        (weights_apart, "start from different weights"),
        (weights_by_step, "init changes with the step"),
        (same_latents, "draw the same latents"),
        (added, "have a key in common"),
        (by_eight, "have a key in common"),
        (one_for_both, "are one key"),
        (in_turned_order, "change places"),
        (each_step_the_same, "Every step draws the same"),
        (own_seed, "Another seed gives the same"),
        (by_python, "are traced in the notebook"),
        (two_keys, "three of them"),
        (by_a_thousand, "step 1000 of host 0 have a key in common"),
        (by_bits, "step 4096 of host 0 have a key in common"),
        (steps_share_latents, "Every step draws the same latents"),
        (next_host_for_latents, "one's latents, the other's batch"),
        (seed_from_numbers, "make all three from `key`"),
        (init_is_the_seed, "init is `key` itself"),
    ],
    "13.moments": [
        (mean_of_variances, "What lies *between* them is missing"),
        (plain_means, "has the same weight"),
        (plain_variances, "no counts"),
        (between_alone, "between the parts alone"),
        (half_weighted, "between them you do not"),
        (unweighted_terms, "each device counts the same"),
        (by_n_less_one, "You undo a division"),
        (mean_of_squares, "mean of squares"),
        (a_deviation, "standard deviation"),
        (half_weighted_by_var, "between them you do not"),
        (other_half_weighted, "within them you do not"),
        (about_the_plain_mean, "that the distances are taken from"),
        (turned, "The order is (mean, variance)"),
    ],
    "13.came_out": [
        (as_under_pmap, "what pmap gave"),
        (own_slopes, "stays its own"),
        (divided_by_itself, "Nobody divides"),
        (added_once, "has added up already"),
        (sum_at_the_end, "before its slope is taken"),
        (divided_twice, "You divide twice"),
        (n_times, "added up once"),
        (added_thrice, "n times the sum"),
        (mean_too_large, "not n times it"),
        (always_four, "n is `len(parts)`"),
        (always_a_quarter, "n is `len(parts)`"),
        (other_names, "Return a dictionary with the keys"),
    ],
    "13.effective": [
        (whole_on_each, "of all devices together"),
        (all_at_a_time, "one after the other"),
        (statistics_of_all, "not statistics"),
        (statistics_of_one, "go over all devices"),
        (devices_twice, "counts all devices already"),
        (no_accumulation, "go into one update"),
        (each_step_moves, "`every`-th step only"),
        (rounded_up, "round down"),
        (not_rounded, "expected integers"),
        (at_least_one, "make no update"),
        (other_arguments, "by name; keep the name of each argument"),
    ],
    "13.largest_batch": [
        (no_weights, "take memory, too"),
        (weights_once, "Adam's two moments"),
        (no_moments, "keeps two moments"),
        (all_in_width, "stay float32"),
        (no_input, "The input is kept"),
        (widest, "not the widest alone"),
        (four_bytes, "yours are always 4"),
        (numbers_not_bytes, "numbers, not bytes"),
        (no_biases, "biases are missing"),
        (not_whole, "Half a sample"),
        (in_twos, "leave the default as it was"),
        (other_width, "passes width by name"),
        (input_biases, "The input has no biases"),
        (kept_twice, "is kept once"),
        (in_int32, "OverflowError"),
    ],
}
