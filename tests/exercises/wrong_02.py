"""Wrong answers to the exercises of notebook 02, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jax.nn import sigmoid, softplus

from gan_lib.gan import Pair
from gan_lib.losses import non_saturating

# --- slopes


def uphill(psi, theta, real, noise):
    in_psi, in_theta = right_slopes(psi, theta, real, noise)
    return -in_psi, in_theta


def right_slopes(psi, theta, real, noise):
    fake = theta + noise
    in_psi = -(real * sigmoid(-psi * real)).mean() + (fake * sigmoid(psi * fake)).mean()
    return in_psi, -psi * sigmoid(-psi * fake).mean()


def other_order(psi, theta, real, noise):
    return right_slopes(psi, theta, real, noise)[::-1]


def sign_outside_only(psi, theta, real, noise):
    fake = theta + noise
    in_psi = -(real * sigmoid(psi * real)).mean() + (fake * sigmoid(-psi * fake)).mean()
    return in_psi, right_slopes(psi, theta, real, noise)[1]


def noise_for_fakes(psi, theta, real, noise):
    return right_slopes(psi, 0.0, real, noise)


def psi_forgotten(psi, theta, real, noise):
    return right_slopes(psi, theta, real, noise)[0], -sigmoid(-psi * (theta + noise)).mean()


def saturating_slope(psi, theta, real, noise):
    return right_slopes(psi, theta, real, noise)[0], -psi * sigmoid(psi * (theta + noise)).mean()


def slope_on_real(psi, theta, real, noise):
    return right_slopes(psi, theta, real, noise)[0], -psi * sigmoid(-psi * real).mean()


def cut_slope(psi, theta, real, noise):
    def g_loss(t):
        return softplus(-psi * stop_gradient(t + noise)).mean()

    return right_slopes(psi, theta, real, noise)[0], jax.grad(g_loss)(theta)


def summed_slopes(psi, theta, real, noise):
    fake = theta + noise
    in_psi = -(real * sigmoid(-psi * real)).sum() + (fake * sigmoid(psi * fake)).sum()
    return in_psi, -psi * sigmoid(-psi * fake).sum()


def one_slope(psi, theta, real, noise):
    return right_slopes(psi, theta, real, noise)[0]


def numpy_slopes(psi, theta, real, noise):
    fake, s = theta + noise, lambda t: 1 / (1 + np.exp(-t))
    return -(real * s(-psi * real)).mean() + (fake * s(psi * fake)).mean(), -psi * s(-psi * fake).mean()


def float_slopes(psi, theta, real, noise):
    return tuple(float(slope) for slope in right_slopes(psi, theta, real, noise))


def slopes_by_loop(psi, theta, real, noise):
    on_real = sum(-x * sigmoid(-psi * x) for x in real) / len(real)
    on_fake = sum((theta + n) * sigmoid(psi * (theta + n)) for n in noise) / len(noise)
    return on_real + on_fake, right_slopes(psi, theta, real, noise)[1]


def the_losses(psi, theta, real, noise):
    fake = theta + noise
    return softplus(-psi * real).mean() + softplus(psi * fake).mean(), softplus(-psi * fake).mean()


def second_derivative(psi, theta, real, noise):
    fake = theta + noise
    in_psi = (-real * sigmoid(-psi * real) * sigmoid(psi * real)).mean()
    in_psi += (fake * sigmoid(psi * fake) * sigmoid(-psi * fake)).mean()
    return in_psi, right_slopes(psi, theta, real, noise)[1]


def of_the_mean_fake(psi, theta, real, noise):
    return right_slopes(psi, theta, real, noise)[0], -psi * sigmoid(-psi * (theta + noise).mean())


def without_noise(psi, theta, real, noise):
    return right_slopes(psi, theta, real, noise)[0], -psi * sigmoid(-psi * theta)


def one_size(psi, theta, real, noise):
    fake = theta + noise
    in_psi = (fake * sigmoid(psi * fake) - real * sigmoid(-psi * real)).mean()
    return in_psi, right_slopes(psi, theta, real, noise)[1]


# --- step: one program with a switch for each mistake


def faulty(mistake):
    """The right step but for one mistake."""

    def step(state, real, key, game):
        params, opt = state
        if mistake == "fixed key":
            key = jax.random.key(0)
        z = game.latents(key, {"one latent": 1, "256 latents": 256}.get(mistake, len(real)))
        if mistake == "key used and split":
            z = game.latents(jax.random.split(key)[0], len(real))
        fake = game.generate(params.generator, z)
        d_loss_of, g_loss_of = game.d_loss, game.g_loss
        if mistake == "labels swapped":
            d_loss_of = lambda real, fake: game.d_loss(fake, real)
        if mistake == "g_loss swapped":
            g_loss_of = lambda real, fake: game.g_loss(fake, real)
        if mistake == "the library's losses":
            d_loss_of, g_loss_of = non_saturating.discriminator, non_saturating.generator
        if mistake == "D on G's loss":
            d_loss_of = game.g_loss
        if mistake == "G on D's loss":
            g_loss_of = game.d_loss
        if mistake == "G climbs":
            g_loss_of = lambda real, fake: -game.g_loss(real, fake)
        if mistake == "D climbs":
            d_loss_of = lambda real, fake: -game.d_loss(real, fake)

        def d_objective(d):
            if mistake == "D's old logits":
                d = params.discriminator
            if mistake == "latents judged":
                return d_loss_of(game.judge(d, real), game.judge(d, z))
            if mistake == "samples for logits":
                return d_loss_of(real, fake)
            if mistake == "fakes detached in D":
                return d_loss_of(game.judge(d, real), stop_gradient(game.judge(d, fake)))
            return d_loss_of(game.judge(d, real), game.judge(d, fake))

        d_loss, grads = jax.value_and_grad(d_objective)(params.discriminator)
        if mistake == "bare gradient":
            d, d_opt = jax.tree.map(jnp.subtract, params.discriminator, grads), opt.discriminator
        else:
            d, d_opt = game.descend(grads, opt.discriminator, params.discriminator)
        if mistake == "arguments of descend":
            d, d_opt = game.descend(opt.discriminator, grads, params.discriminator)
        if mistake == "D twice":
            again = jax.grad(d_objective)(d)
            d, d_opt = game.descend(again, d_opt, d)
        judge_with = params.discriminator if mistake == "old D" else d

        def g_objective(g):
            made = game.generate(g, z)
            if mistake == "fakes made outside":
                made = fake
            if mistake == "stop_gradient":
                made = stop_gradient(made)
            on_fake = game.judge(judge_with, made)
            on_real = {
                "real by the old D": lambda: game.judge(params.discriminator, real),
                "None for real": lambda: None,
                "samples for real": lambda: real,
                "fakes for real": lambda: on_fake,
                "zeros for real": lambda: jnp.zeros(len(real)),
            }.get(mistake, lambda: game.judge(judge_with, real))()
            return g_loss_of(on_real, on_fake)

        g_loss, grads = jax.value_and_grad(g_objective)(params.generator)
        start, start_opt = params.generator, opt.generator
        if mistake == "G moves twice":
            along = jax.grad(
                lambda g: game.d_loss(*(game.judge(params.discriminator, x) for x in (real, game.generate(g, z))))
            )
            start, start_opt = game.descend(along(start), start_opt, start)
        g, g_opt = game.descend(grads, start_opt, start)
        d = params.discriminator if mistake == "D returned as it was" else d
        g = params.generator if mistake == "G returned as it was" else g
        g_opt = opt.generator if mistake == "stale optimiser" else g_opt
        losses = {"d_loss": d_loss, "g_loss": g_loss}
        if mistake == "losses exchanged":
            losses = {"d_loss": g_loss, "g_loss": d_loss}
        if mistake == "losses after the update":
            losses = {"d_loss": d_objective(d), "g_loss": g_objective(g)}
        if mistake == "plain tuples":
            return ((g, d), (g_opt, d_opt)), losses
        if mistake == "a list":
            return [Pair(g, d), Pair(g_opt, d_opt)], losses
        if mistake == "three things":
            return Pair(g, d), Pair(g_opt, d_opt), losses
        if mistake == "plain floats":
            losses = {name: float(value) for name, value in losses.items()}
        return (Pair(g, d), Pair(g_opt, d_opt)), losses

    return step


def generator_first(state, real, key, game):
    params, opt = state
    z = game.latents(key, len(real))

    def g_objective(g):
        return game.g_loss(
            game.judge(params.discriminator, real), game.judge(params.discriminator, game.generate(g, z))
        )

    g_loss, grads = jax.value_and_grad(g_objective)(params.generator)
    g, g_opt = game.descend(grads, opt.generator, params.generator)

    def d_objective(d):
        return game.d_loss(game.judge(d, real), game.judge(d, game.generate(g, z)))

    d_loss, grads = jax.value_and_grad(d_objective)(params.discriminator)
    d, d_opt = game.descend(grads, opt.discriminator, params.discriminator)
    return (Pair(g, d), Pair(g_opt, d_opt)), {"d_loss": d_loss, "g_loss": g_loss}


def players_exchanged(state, real, key, game):
    (params, opt), losses = faulty(None)(state, real, key, game)
    return (Pair(*params[::-1]), Pair(*opt[::-1])), losses


# --- coverage


def distances_of(samples, means):
    return np.linalg.norm(np.asarray(samples)[:, None] - np.asarray(means), axis=-1)


def stray_points_count(samples, means, std):
    distances = distances_of(samples, means)
    return len(set(distances.argmin(1))), (distances.min(1) <= 3 * std).mean()


def every_close_mode(samples, means, std):
    close = distances_of(samples, means) <= 3 * std
    return int(close.any(0).sum()), close.any(1).mean()


def one_std(samples, means, std):
    distances = distances_of(samples, means)
    good = distances.min(1) <= std
    return len(set(distances.argmin(1)[good])), good.mean()


def squared_distance(samples, means, std):
    distances = distances_of(samples, means) ** 2
    good = distances.min(1) <= 3 * std
    return len(set(distances.argmin(1)[good])), good.mean()


def three_units(samples, means, std):
    distances = distances_of(samples, means)
    good = distances.min(1) <= 3
    return len(set(distances.argmin(1)[good])), good.mean()


def percent(samples, means, std):
    distances = distances_of(samples, means)
    good = distances.min(1) <= 3 * std
    return len(set(distances.argmin(1)[good])), 100 * good.mean()


def all_pairs(samples, means, std):
    close = distances_of(samples, means) <= 3 * std
    return int(close.any(0).sum()), close.mean()


def square_box(samples, means, std):
    gaps = np.abs(np.asarray(samples)[:, None] - np.asarray(means)).max(-1)
    good = gaps.min(1) <= 3 * std
    return len(set(gaps.argmin(1)[good])), good.mean()


def modes_by(count):
    """The right share; the modes by count(nearest, good, number of modes)."""

    def coverage(samples, means, std):
        distances = distances_of(samples, means)
        good = distances.min(1) <= 3 * std
        return int(count(distances.argmin(1), good, len(means))), good.mean()

    return coverage


def good_by(share):
    """The right modes; the share by share(distances, std)."""

    def coverage(samples, means, std):
        distances = distances_of(samples, means)
        good = distances.min(1) <= 3 * std
        return len(set(distances.argmin(1)[good])), share(distances, std)

    return coverage


def set_of_arrays(samples, means, std):
    distances = jnp.linalg.norm(samples[:, None] - means, axis=-1)
    good = distances.min(1) <= 3 * std
    return len(set(distances.argmin(1)[good])), good.mean()


def wrong_axis(samples, means, std):
    distances = distances_of(samples, means)
    good = distances.min(1) <= 3 * std
    return int(good.sum()), good.mean()


# --- by_chance: lambdas, below


def at_least_one_expected(weights, n):
    return (n * weights >= 1).sum()


def in_proportion(weights, n):
    return jnp.minimum(1, n * weights).sum()


def renormalised(weights, n):
    return (1 - (1 - weights / weights.sum()) ** n).sum()


# --- moved


def stepped(generate, g, z, slope, rate):
    (grads,) = jax.vjp(lambda g: generate(g, z), g)[1](slope)
    return jax.tree.map(lambda w, grad: w - rate * grad, g, grads)


def right_way(generate, g, z, slope, rate):
    return generate(stepped(generate, g, z, slope, rate), z) - generate(g, z)


def free_fakes(generate, g, z, slope, rate):
    return -rate * slope


def new_places(generate, g, z, slope, rate):
    return generate(stepped(generate, g, z, slope, rate), z)


def straight_on(generate, g, z, slope, rate):
    (grads,) = jax.vjp(lambda g: generate(g, z), g)[1](slope)
    return -rate * jax.jvp(lambda g: generate(g, z), (g,), (grads,))[1]


def one_g_each(generate, g, z, slope, rate):
    ways = [right_way(generate, g, z[i : i + 1], slope[i : i + 1], rate) for i in range(len(z))]
    return jnp.concatenate(ways)


def latents_moved(generate, g, z, slope, rate):
    (in_z,) = jax.vjp(lambda z: generate(g, z), z)[1](slope)
    return generate(g, z - rate * in_z) - generate(g, z)


# --- modes_left


def straight_line(d_fake, modes):
    return modes * d_fake


def doubled_line(d_fake, modes):
    return 2 * modes * d_fake


def densities_exchanged(d_fake, modes):
    return modes * (1 - d_fake) / d_fake


def share(d_fake, modes):
    return d_fake / (1 - d_fake)


def lost(d_fake, modes):
    return modes - modes * d_fake / (1 - d_fake)


WRONG = {
    "02.slopes": [
        (uphill, "this is uphill on D's loss"),
        (other_order, "in the wrong order"),
        (sign_outside_only, "the two σ are exchanged"),
        (noise_for_fakes, "takes the noise for the fakes"),
        (psi_forgotten, "the inner derivative is missing"),
        (saturating_slope, "that of the saturating loss"),
        (slope_on_real, "looks at the real samples"),
        (cut_slope, "Your slope in θ is 0"),
        (summed_slopes, "sums over the batch"),
        (one_slope, "Return two numbers"),
        (numpy_slopes, "inside lax.scan"),
        (float_slopes, "find no value in it"),
        (slopes_by_loop, "loop goes over the samples"),
        (the_losses, "the loss itself"),
        (second_derivative, "stands σ′"),
        (of_the_mean_fake, "takes the mean before σ"),
        (without_noise, "the noise is missing"),
        (one_size, "take a mean over each batch first"),
    ],
    "02.step": [
        (faulty("the library's losses"), "You call neither game.d_loss"),
        (faulty("fakes made outside"), "The gradient of G's loss is 0"),
        (faulty("stop_gradient"), "The gradient of G's loss is 0"),
        (faulty("g_loss swapped"), "real logits first"),
        (faulty("old D"), "from the old D"),
        (generator_first, "G has moved before D"),
        (faulty("labels swapped"), "the labels swapped"),
        (faulty("D climbs"), "D climbs its loss"),
        (faulty("G climbs"), "G climbs its loss"),
        (faulty("D on G's loss"), "so it helps G"),
        (faulty("G on D's loss"), "G descends D's loss"),
        (faulty("G moves twice"), "G moves twice"),
        (faulty("D's old logits"), "The gradient of D's loss is 0"),
        (faulty("bare gradient"), "bare gradient"),
        (faulty("stale optimiser"), "its old optimiser state"),
        (faulty("D returned as it was"), "D has not moved"),
        (faulty("G returned as it was"), "G has not moved"),
        (faulty("fixed key"), "a fixed key inside"),
        (faulty("key used and split"), "One key, one use"),
        (faulty("losses exchanged"), "the two losses are exchanged"),
        (faulty("three things"), "You return three things"),
        (faulty("plain floats"), "inside jit, grad or vmap an array has no value yet"),
        (players_exchanged, "expected"),
        (faulty("real by the old D"), "The real logits in G's loss come from the old D"),
        (faulty("None for real"), "argument of game.g_loss is None"),
        (faulty("samples for real"), "argument of game.g_loss is an array of shape (7, 2)"),
        (faulty("fakes for real"), "Both arguments of game.g_loss are the logits of the fakes"),
        (faulty("zeros for real"), "not the logits of the real samples"),
        (faulty("samples for logits"), "argument of game.d_loss is an array of shape (7, 2)"),
        (faulty("latents judged"), "the latents z in place of fakes"),
        (faulty("fakes detached in D"), "D learns from the real samples alone"),
        (faulty("one latent"), "as many fakes as there are real samples"),
        (faulty("256 latents"), "as many fakes as there are real samples"),
        (faulty("arguments of descend"), "you exchange the first two"),
        (faulty("D twice"), "D moves twice"),
        (faulty("losses after the update"), "after their update"),
        (faulty("plain tuples"), "expected a Pair of 2"),
        (faulty("a list"), "Return (params, opt) as it came in"),
    ],
    "02.coverage": [
        (stray_points_count, "a stray point is nearest to some mode too"),
        (every_close_mode, "a good sample speaks for its nearest mode only"),
        (one_std, "within one standard deviation"),
        (squared_distance, "a squared distance"),
        (three_units, "within a distance of 3"),
        (percent, "in percent"),
        (all_pairs, "over all pairs"),
        (square_box, "a square around the mean"),
        (wrong_axis, "You count good samples, not modes"),
        (modes_by(lambda nearest, good, K: np.bincount(nearest[good]).size), "the length of a bincount"),
        (modes_by(lambda nearest, good, K: len(set(np.where(good, nearest, -1))) - 1), "the mark of bad samples"),
        (modes_by(lambda nearest, good, K: len(set(np.where(good, nearest, -1)))), "as one mode more"),
        (modes_by(lambda nearest, good, K: len(set(np.where(good, nearest, 0)))), "the bad ones, or the mark"),
        (modes_by(lambda nearest, good, K: (np.bincount(nearest[good]) > 1).sum()), "One is enough"),
        (modes_by(lambda nearest, good, K: K - len(set(nearest[good]))), "the modes that are missing"),
        (modes_by(lambda nearest, good, K: K), "all the modes there are"),
        (good_by(lambda distances, std: (distances.min(1) <= 3 * std**2).mean()), "not the variance"),
        (good_by(lambda distances, std: (distances.min(1) ** 2 <= 3 * std**2).mean()), "is 9·std²"),
        (good_by(lambda distances, std: (distances.min(1) <= 2 * std).mean()), "two standard deviations"),
        (good_by(lambda distances, std: (distances.max(1) <= 3 * std).mean()), "the largest distance"),
        (good_by(lambda distances, std: (distances.min(1) > 3 * std).mean()), "the share of bad samples"),
        (good_by(lambda distances, std: (distances <= 3 * std).sum() / len(distances)), "once for each mode"),
        (set_of_arrays, "unhashable"),
    ],
    "02.by_chance": [
        (lambda weights, n: len(weights), "all modes"),
        (lambda weights, n: (weights > 0).sum(), "a chance above 0"),
        (at_least_one_expected, "That is an average"),
        (in_proportion, "several samples may fall on one mode"),
        (lambda weights, n: (n * weights).sum(), "at most 1 for each mode"),
        (lambda weights, n: ((1 - weights) ** n).sum(), "how many modes are missed"),
        (lambda weights, n: 1 - (1 - weights.sum()) ** n, "the chance that some mode is found"),
        (lambda weights, n: jnp.prod(1 - (1 - weights) ** n), "the chance that all modes are found"),
        (lambda weights, n: (1 - (1 - weights) ** n).mean(), "a share of the modes"),
        (lambda weights, n: (1 - weights**n).sum(), "unless all n miss it"),
        (lambda weights, n: (n * weights * (1 - weights) ** (n - 1)).sum(), "exactly one sample"),
        (lambda weights, n: 1 - (1 - weights) ** n, "one number a mode"),
        (lambda weights, n: (1 - jnp.exp(-n * weights)).sum(), "Take the power"),
        (renormalised, "as if all samples were good"),
        (lambda weights, n: (1 - (1 - weights) ** 2500).sum(), "whatever `n` is"),
        (lambda weights, n: (1 - (1 - weights) ** n).sum().round(), "need not be whole"),
    ],
    "02.moved": [
        (free_fakes, "as if it were free"),
        (lambda generate, g, z, slope, rate: rate * slope, "uphill, and each fake by itself"),
        (lambda generate, g, z, slope, rate: right_way(generate, g, z, slope, -rate), "Your weights go uphill"),
        (new_places, "where the fakes are after the step"),
        (lambda *inputs: -right_way(*inputs), "From old to new"),
        (straight_on, "infinitely small steps"),
        (lambda generate, g, z, slope, rate: right_way(generate, g, z, slope / len(z), rate), "a mean already"),
        (lambda generate, g, z, slope, rate: right_way(generate, g, z, slope, 1.0), "Your step has length 1"),
        (one_g_each, "There is one G"),
        (lambda generate, g, z, slope, rate: right_way(generate, g, z, 0 * slope + slope.mean(0), rate), "one slope"),
        (lambda generate, g, z, slope, rate: right_way(generate, g, z, 0 * slope + 1, rate), "the sum of its outputs"),
        (latents_moved, "You move the latents"),
        (stepped, "You return weights"),
    ],
    "02.modes_left": [
        (straight_line, "as if D(G(z)) were k/K"),
        (doubled_line, "a straight line"),
        (densities_exchanged, "p and q exchanged"),
        (share, "Multiply it by the number of modes"),
        (lost, "the number of modes that are lost"),
        (lambda d_fake, modes: round(modes * d_fake / (1 - d_fake)), "You round k"),
        (lambda d_fake, modes: int(modes * d_fake / (1 - d_fake)), "You round k"),
        (lambda d_fake, modes: np.clip(modes * d_fake / (1 - d_fake), 1, modes), "no less than 1"),
        (lambda d_fake, modes: modes * d_fake / (1 + d_fake), "A sign"),
        (lambda d_fake, modes: modes / (1 - d_fake), "D·K stays on its side"),
        (lambda d_fake, modes: (1 - d_fake) / d_fake, "Turn it round"),
        (lambda d_fake, modes: 8 * d_fake / (1 - d_fake), "You take K = 8"),
        (lambda d_fake, modes: modes * (1 - d_fake), "a straight line"),
    ],
}
