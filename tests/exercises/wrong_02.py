"""Wrong answers to the exercises of notebook 02, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.lax import stop_gradient
from jax.nn import sigmoid, softplus

from gan_lib.gan import Pair

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


# --- discriminator_loss


def sign_lost(real_logits, fake_logits):
    return -softplus(-real_logits).mean() - softplus(fake_logits).mean()


def labels_swapped(real_logits, fake_logits):
    return softplus(real_logits).mean() + softplus(-fake_logits).mean()


def log_of_sigmoid(real_logits, fake_logits):
    return -jnp.log(sigmoid(real_logits)).mean() - jnp.log(1 - sigmoid(fake_logits)).mean()


def epsilon_in_log(real_logits, fake_logits):
    return -jnp.log(sigmoid(real_logits) + 1e-8).mean() - jnp.log(1 - sigmoid(fake_logits) + 1e-8).mean()


def sigmoid_twice(real_logits, fake_logits):
    return softplus(-sigmoid(real_logits)).mean() + softplus(sigmoid(fake_logits)).mean()


def logits_for_probabilities(real_logits, fake_logits):
    return -jnp.log(real_logits).mean() - jnp.log(1 - fake_logits).mean()


def halved(real_logits, fake_logits):
    return 0.5 * (softplus(-real_logits).mean() + softplus(fake_logits).mean())


def column_against_row(real_logits, fake_logits):
    return (softplus(-real_logits)[:, None] + softplus(fake_logits)).sum(1)


def fakes_forgotten(real_logits, fake_logits):
    return softplus(-real_logits).mean()


def both_log_d(real_logits, fake_logits):
    return softplus(-real_logits).mean() + softplus(-fake_logits).mean()


# --- generator_loss


def log_d_of_real(real_logits, fake_logits):
    return softplus(-real_logits).mean()


def minus_d_loss(real_logits, fake_logits):
    return -softplus(-real_logits).mean() - softplus(fake_logits).mean()


def saturating(real_logits, fake_logits):
    return -softplus(fake_logits).mean()


def wants_to_be_caught(real_logits, fake_logits):
    return softplus(fake_logits).mean()


def sign_turned(real_logits, fake_logits):
    return -softplus(-fake_logits).mean()


def cut(real_logits, fake_logits):
    return softplus(-stop_gradient(fake_logits)).mean()


def log_of_fake_sigmoid(real_logits, fake_logits):
    return -jnp.log(sigmoid(fake_logits)).mean()


def clipped(real_logits, fake_logits):
    return -jnp.log(jnp.clip(sigmoid(fake_logits), 1e-7, 1)).mean()


def no_log(real_logits, fake_logits):
    return -sigmoid(fake_logits).mean()


def no_mean(real_logits, fake_logits):
    return softplus(-fake_logits)


# --- step: one program with a switch for each mistake


def faulty(mistake):
    """The right step but for one mistake."""

    def step(state, real, key, game):
        params, opt = state
        if mistake == "fixed key":
            key = jax.random.key(0)
        z = game.latents(key, len(real))
        if mistake == "key used and split":
            z = game.latents(jax.random.split(key)[0], len(real))
        fake = game.generate(params.generator, z)
        d_loss_of, g_loss_of = game.d_loss, game.g_loss
        if mistake == "labels swapped":
            d_loss_of = lambda real, fake: game.d_loss(fake, real)
        if mistake == "g_loss swapped":
            g_loss_of = lambda real, fake: game.g_loss(fake, real)
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
            return d_loss_of(game.judge(d, real), game.judge(d, fake))

        d_loss, grads = jax.value_and_grad(d_objective)(params.discriminator)
        if mistake == "bare gradient":
            d, d_opt = jax.tree.map(jnp.subtract, params.discriminator, grads), opt.discriminator
        else:
            d, d_opt = game.descend(grads, opt.discriminator, params.discriminator)
        judge_with = params.discriminator if mistake == "old D" else d

        def g_objective(g):
            made = game.generate(g, z)
            if mistake == "fakes made outside":
                made = fake
            if mistake == "stop_gradient":
                made = stop_gradient(made)
            return g_loss_of(game.judge(judge_with, real), game.judge(judge_with, made))

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


def wrong_axis(samples, means, std):
    distances = distances_of(samples, means)
    good = distances.min(1) <= 3 * std
    return int(good.sum()), good.mean()


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
    ],
    "02.discriminator_loss": [
        (sign_lost, "trains D to be wrong"),
        (labels_swapped, "The labels are swapped"),
        (log_of_sigmoid, "its log is −inf"),
        (epsilon_in_log, "hides the −inf"),
        (sigmoid_twice, "A sigmoid too many"),
        (logits_for_probabilities, "the log of a logit"),
        (halved, "You average the two halves"),
        (column_against_row, "shape (6,), expected ()"),
        (fakes_forgotten, "The half on the fakes is missing"),
        (both_log_d, "which is G's goal"),
    ],
    "02.generator_loss": [
        (log_d_of_real, "no gradient reaches it"),
        (minus_d_loss, "minus D's loss"),
        (saturating, "the saturating loss"),
        (wants_to_be_caught, "teaches G to be caught"),
        (sign_turned, "The sign is turned"),
        (cut, "no gradient reaches the fakes"),
        (log_of_fake_sigmoid, "its log is −inf"),
        (clipped, "hides the −inf"),
        (no_log, "the log is missing"),
        (no_mean, "the mean is missing"),
    ],
    "02.step": [
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
    ],
    "02.modes_left": [
        (straight_line, "as if D(G(z)) were k/K"),
        (doubled_line, "a straight line"),
        (densities_exchanged, "p and q exchanged"),
        (share, "Multiply it by the number of modes"),
        (lost, "the number of modes that are lost"),
    ],
}
