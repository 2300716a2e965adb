"""Wrong answers to the exercises of notebook 12, each with a fragment of the message it must get."""

import jax
import jax.numpy as jnp
from jax.nn import sigmoid, softplus
from jax.scipy.special import rel_entr

# --- pairing


def as_planted(real_logits, fake_logits):
    return softplus(fake_logits - real_logits).mean(), softplus(-fake_logits).mean()


def plain(real_logits, fake_logits):
    return softplus(-real_logits).mean() + softplus(fake_logits).mean(), softplus(-fake_logits).mean()


def d_is_plain(real_logits, fake_logits):
    return softplus(-real_logits).mean() + softplus(fake_logits).mean(), softplus(real_logits - fake_logits).mean()


def exchanged(real_logits, fake_logits):
    return softplus(real_logits - fake_logits).mean(), softplus(fake_logits - real_logits).mean()


def zero_sum(real_logits, fake_logits):
    loss = softplus(fake_logits - real_logits).mean()
    return loss, -loss


def no_adversary(real_logits, fake_logits):
    loss = softplus(fake_logits - real_logits).mean()
    return loss, loss


def summed(real_logits, fake_logits):
    return softplus(fake_logits - real_logits).sum(), softplus(real_logits - fake_logits).sum()


def every_pair(real_logits, fake_logits):
    gap = real_logits[:, None] - fake_logits
    return softplus(-gap).mean(), softplus(gap).mean()


def mean_inside(real_logits, fake_logits):
    gap = (real_logits - fake_logits).mean()
    return softplus(-gap), softplus(gap)


def no_softplus(real_logits, fake_logits):
    gap = (real_logits - fake_logits).mean()
    return -gap, gap


def log_of_sigmoid(real_logits, fake_logits):
    gap = real_logits - fake_logits
    return -jnp.log(sigmoid(gap)).mean(), -jnp.log(sigmoid(-gap)).mean()


def with_epsilon(real_logits, fake_logits):
    gap = real_logits - fake_logits
    return -jnp.log(sigmoid(gap) + 1e-7).mean(), -jnp.log(sigmoid(-gap) + 1e-7).mean()


def cut_off(real_logits, fake_logits):
    gap = real_logits - jax.lax.stop_gradient(fake_logits)
    return softplus(-gap).mean(), softplus(gap).mean()


def g_cut_off_here(real_logits, fake_logits):
    gap = real_logits - jax.lax.stop_gradient(fake_logits)
    return softplus(fake_logits - real_logits).mean(), softplus(gap).mean()


def reals_cut_off(real_logits, fake_logits):
    gap = jax.lax.stop_gradient(real_logits) - fake_logits
    return softplus(-gap).mean(), softplus(gap).mean()


def to_the_mean(real_logits, fake_logits):
    return softplus(fake_logits.mean() - real_logits).mean(), softplus(real_logits.mean() - fake_logits).mean()


def to_both_means(real_logits, fake_logits):
    above, below = real_logits - fake_logits.mean(), fake_logits - real_logits.mean()
    return (softplus(-above) + softplus(below)).mean() / 2, (softplus(above) + softplus(-below)).mean() / 2


def gap_of_probabilities(real_logits, fake_logits):
    gap = sigmoid(real_logits) - sigmoid(fake_logits)
    return softplus(-gap).mean(), softplus(gap).mean()


def by_python(real_logits, fake_logits):
    stable = lambda x: x + jnp.log1p(jnp.exp(-x)) if x > 0 else jnp.log1p(jnp.exp(x))
    gaps = [r - f for r, f in zip(real_logits, fake_logits, strict=True)]
    return sum(stable(-g) for g in gaps) / len(gaps), sum(map(stable, gaps)) / len(gaps)


# --- pair_jsd


def mixed(a, b):
    return rel_entr(a, (a + b) / 2).sum()


def of_single_samples(p, q):
    return (mixed(p, q) + mixed(q, p)) / 2


def twice(p, q):
    joint = jnp.outer(p, q)
    return mixed(joint, joint.T) + mixed(joint.T, joint)


def half(p, q):
    joint = jnp.outer(p, q)
    return mixed(joint, joint.T) / 2


def sign_lost(p, q):
    joint = jnp.outer(p, q)
    return -mixed(joint, joint.T)


def in_bits(p, q):
    joint = jnp.outer(p, q)
    return mixed(joint, joint.T) / jnp.log(2)


def the_loss(p, q):
    joint = jnp.outer(p, q)
    return jnp.log(2) - mixed(joint, joint.T)


def minus_the_loss(p, q):
    joint = jnp.outer(p, q)
    return mixed(joint, joint.T) - jnp.log(2)


def kl_of_pairs(p, q):
    joint = jnp.outer(p, q)
    return jnp.where(joint > 0, joint * jnp.log(joint / jnp.where(joint.T > 0, joint.T, 1)), 0).sum()


def kl_of_singles(p, q):
    return jnp.where(p > 0, p * jnp.log(p / jnp.where(q > 0, q, 1)), 0).sum()


def nothing_at_zero(p, q):
    joint = jnp.outer(p, q)
    return (joint * jnp.log(2 * joint / (joint + joint.T))).sum()


def same_kind(p, q):
    return rel_entr(jnp.outer(p, q), (jnp.outer(p, p) + jnp.outer(q, q)) / 2).sum()


def epsilon_in_the_log(p, q):
    joint = jnp.outer(p, q)
    return (joint * jnp.log((joint + 1e-6) / ((joint + joint.T) / 2 + 1e-6))).sum()


def one_order_dropped(p, q):
    joint = jnp.outer(p, q)
    both = (joint > 0) & (joint.T > 0)
    return jnp.where(both, joint * jnp.log(2 * joint / (joint + joint.T)), 0).sum()


def two_singles(p, q):
    return mixed(p, q) + mixed(q, p)


# --- dirac_eigenvalues


def pair(half_of, inside):
    root = jnp.sqrt(inside + 0j)
    return jnp.stack([-half_of - root, -half_of + root])


def as_printed(s, r1, r2):
    total = r1 + r2
    return pair(total / 2, total**2 / 4 - s)


def plus_inside(s, r1, r2):
    total = r1 + r2
    return pair(total / 2, total**2 / 4 + s**2)


def unstable(s, r1, r2):
    return -pair((r1 + r2) / 2, (r1 + r2) ** 2 / 4 - s**2)


def twice_the_friction(s, r1, r2):
    return pair(r1 + r2, (r1 + r2) ** 2 - s**2)


def half_the_friction(s, r1, r2):
    return pair((r1 + r2) / 4, (r1 + r2) ** 2 / 16 - s**2)


def half_missing(s, r1, r2):
    return pair((r1 + r2) / 2, (r1 + r2) ** 2 - 4 * s**2)


def r1_alone(s, r1, r2):
    return pair(r1 / 2, r1**2 / 4 - s**2)


def r2_alone(s, r1, r2):
    return pair(r2 / 2, r2**2 / 4 - s**2)


def multiplied(s, r1, r2):
    return pair(r1 * r2 / 2, (r1 * r2) ** 2 / 4 - s**2)


def real_root(s, r1, r2):
    half_of = (r1 + r2) / 2
    root = jnp.sqrt(half_of**2 - s**2)
    return jnp.stack([-half_of - root, -half_of + root])


def real_parts(s, r1, r2):
    return pair((r1 + r2) / 2, (r1 + r2) ** 2 / 4 - s**2).real


def one_twice(s, r1, r2):
    root = jnp.sqrt((r1 + r2) ** 2 / 4 - s**2 + 0j)
    return jnp.stack([root, root]) - (r1 + r2) / 2


def one_of_them(s, r1, r2):
    return pair((r1 + r2) / 2, (r1 + r2) ** 2 / 4 - s**2)[1]


# --- who_pays


def squared_slope(critic, d, x):
    return (jax.grad(lambda x: critic(d, x).sum())(x) ** 2).sum(axis=1).mean()


def payers(one=0.5, two=0.5, of_g=0.0, at_one="real", at_two="fake", turn=1, plain_g=False, cut=False):
    """A family of answers: weights of R1 and R2 over γ, of R2 in G's loss, and where each is taken."""

    def answer(generator, critic, g, d, z, real, gamma):
        fake = generator(g, z)
        places = {"real": real, "fake": fake}

        def d_loss(d):
            terms = one * squared_slope(critic, d, places[at_one]) + two * squared_slope(critic, d, places[at_two])
            return softplus(critic(d, fake) - critic(d, real)).mean() + gamma * terms

        def g_loss(g):
            x = generator(g, z)
            x = jax.lax.stop_gradient(x) if cut else x
            shift = 0 if plain_g else critic(d, real)
            return softplus(shift - critic(d, x)).mean() + of_g * gamma * squared_slope(critic, d, x)

        return jax.tree.map(lambda x: turn * x, jax.grad(d_loss)(d)), jax.grad(g_loss)(g)

    return answer


def r2_trains_g(*args):
    return payers(of_g=0.5)(*args)


def g_cut_off(*args):
    return payers(cut=True)(*args)


def no_r2(*args):
    return payers(two=0.0)(*args)


def no_r1(*args):
    return payers(one=0.0)(*args)


def no_penalty(*args):
    return payers(one=0.0, two=0.0)(*args)


def without_half(*args):
    return payers(one=1.0, two=1.0)(*args)


def mean_of_both(*args):
    return payers(one=0.25, two=0.25)(*args)


def r2_at_reals(*args):
    return payers(at_two="real")(*args)


def r1_at_fakes(*args):
    return payers(at_one="fake")(*args)


def d_ascends(*args):
    return payers(turn=-1)(*args)


def plain_for_g(*args):
    return payers(plain_g=True)(*args)


def turned_around(*args):
    return payers()(*args)[::-1]


def one_loss_for_both(generator, critic, g, d, z, real, gamma):
    def loss(d, g):
        fake = generator(g, z)
        terms = squared_slope(critic, d, real) + squared_slope(critic, d, fake)
        return softplus(critic(d, fake) - critic(d, real)).mean() + gamma / 2 * terms

    return jax.grad(loss)(d, g), jax.grad(loss, argnums=1)(d, g)


def minimax_for_both(generator, critic, g, d, z, real, gamma):
    of_d, of_g = one_loss_for_both(generator, critic, g, d, z, real, gamma)
    return of_d, jax.tree.map(jnp.negative, of_g)


def slopes_of(critic, d, x, total=jnp.sum):
    return jax.grad(lambda x: total(critic(d, x)))(x)


def with_penalty(penalty, loss=lambda real, fake: softplus(fake - real).mean()):
    """D's gradient by another penalty (of the critic's slopes), or another loss; G's is right."""

    def answer(generator, critic, g, d, z, real, gamma):
        fake = generator(g, z)

        def d_loss(d):
            both = penalty(critic, d, real) + penalty(critic, d, fake)
            return loss(critic(d, real), critic(d, fake)) + gamma / 2 * both

        return jax.grad(d_loss)(d), payers()(generator, critic, g, d, z, real, gamma)[1]

    return answer


def of_the_mean_logit(*args):
    return with_penalty(lambda *at: (slopes_of(*at, jnp.mean) ** 2).sum(1).mean())(*args)


def summed_over_the_batch(*args):
    return with_penalty(lambda *at: (slopes_of(*at) ** 2).sum())(*args)


def mean_over_entries(*args):
    return with_penalty(lambda *at: (slopes_of(*at) ** 2).mean())(*args)


def not_squared(*args):
    return with_penalty(lambda *at: jnp.linalg.norm(slopes_of(*at), axis=1).mean())(*args)


def to_one(*args):
    return with_penalty(lambda *at: ((jnp.linalg.norm(slopes_of(*at), axis=1) - 1) ** 2).mean())(*args)


def plain_for_d(*args):
    plain = lambda real, fake: (softplus(-real) + softplus(fake)).mean()
    return with_penalty(squared_slope, plain)(*args)


def of_d_without_penalties(generator, critic, g, d, z, real, gamma):
    return jax.grad(lambda g: softplus(critic(d, generator(g, z)) - critic(d, real)).mean())(g)


def as_d(*args):
    return payers()(*args)[0], of_d_without_penalties(*args)


def against_d(*args):
    return payers()(*args)[0], jax.tree.map(jnp.negative, of_d_without_penalties(*args))


# --- gamma_for


def one_penalty(slope, distance):
    return distance * sigmoid(-slope * distance) / slope


def four_penalties(slope, distance):
    return distance * sigmoid(-slope * distance) / (4 * slope)


def no_inner_derivative(slope, distance):
    return sigmoid(-slope * distance) / (2 * slope)


def wrong_side(slope, distance):
    return distance * sigmoid(slope * distance) / (2 * slope)


def loss_equals_penalty(slope, distance):
    return softplus(-slope * distance) / slope**2


def size_only(slope, distance):
    return 1 / slope**2 + 0 * distance


def push_only(slope, distance):
    return distance * sigmoid(-slope * distance)


def for_the_plain_loss(slope, distance):
    return distance * sigmoid(-slope * distance / 2) / (2 * slope)


def negative(slope, distance):
    return -distance * sigmoid(-slope * distance) / (2 * slope)


def no_sigmoid(slope, distance):
    return distance / (2 * slope)


def softplus_for_its_slope(slope, distance):
    return distance * softplus(-slope * distance) / (2 * slope)


def upside_down(slope, distance):
    return 2 * slope / (distance * sigmoid(-slope * distance))


def no_brackets(slope, distance):
    return distance * sigmoid(-slope * distance) / 2 * slope


def penalty_for_its_slope(slope, distance):
    return distance * sigmoid(-slope * distance) / (2 * slope**2)


def exchanged_arguments(slope, distance):
    return slope * sigmoid(-slope * distance) / (2 * distance)


# --- branch_grads


def true_grads(x, first, last, up):
    before = x @ first
    gate = jnp.where(before > 0, 1.0, 0.2)
    return x.T @ (gate * (up @ last.T)), (gate * before).T @ up


def nothing_moves(x, first, last, up):
    return jnp.zeros_like(first), jnp.zeros_like(last)


def last_stands_still(x, first, last, up):
    return true_grads(x, first, last, up)[0], jnp.zeros_like(last)


def turned(x, first, last, up):
    return true_grads(x, first, last, up)[::-1]


def no_gate(x, first, last, up):
    return x.T @ (up @ last.T), true_grads(x, first, last, up)[1]


def before_the_relu(x, first, last, up):
    return true_grads(x, first, last, up)[0], (x @ first).T @ up


def means(x, first, last, up):
    return jax.tree.map(lambda g: g / len(x), true_grads(x, first, last, up))


def value_for_slope(x, first, last, up):
    act = jax.nn.leaky_relu(x @ first, 0.2)
    return x.T @ (act * (up @ last.T)), act.T @ up


def plain_relu(x, first, last, up):
    before = x @ first
    gate = jnp.where(before > 0, 1.0, 0.0)
    return x.T @ (gate * (up @ last.T)), (gate * before).T @ up


def default_slope(x, first, last, up):
    before = x @ first
    gate = jnp.where(before > 0, 1.0, 0.01)
    return x.T @ (gate * (up @ last.T)), jax.nn.leaky_relu(before).T @ up


def sign_of_what_comes_back(x, first, last, up):
    return x.T @ jax.nn.leaky_relu(up @ last.T, 0.2), true_grads(x, first, last, up)[1]


def slope_in_last(x, first, last, up):
    gate = jnp.where(x @ first > 0, 1.0, 0.2)
    return true_grads(x, first, last, up)[0], (gate * jax.nn.leaky_relu(x @ first, 0.2)).T @ up


def slope_as_a_ratio(x, first, last, up):
    before = x @ first
    act = jax.nn.leaky_relu(before, 0.2)
    return x.T @ (act / before * (up @ last.T)), act.T @ up


WRONG = {
    "12.pairing": [
        (as_planted, "The bug is still there"),
        (plain, "That is the plain pair of losses"),
        (d_is_plain, "D's loss is the plain one"),
        (exchanged, "The two are exchanged"),
        (zero_sum, "zero-sum form"),
        (no_adversary, "nobody is an adversary"),
        (summed, "You sum over the batch"),
        (every_pair, "every real sample with every fake one"),
        (mean_inside, "The mean is inside the softplus"),
        (no_softplus, "The softplus is missing"),
        (log_of_sigmoid, "Right for small logits"),
        (with_epsilon, "Right for small logits"),
        (cut_off, "D would not learn to lower them"),
        (g_cut_off_here, "G would stand still"),
        (reals_cut_off, "no gradient reaches the logits"),
        (to_the_mean, "relativistic *average*"),
        (to_both_means, "relativistic *average*"),
        (gap_of_probabilities, "gap of two probabilities"),
        (by_python, "used inside `jax.jit` and `jax.grad`"),
    ],
    "12.pair_jsd": [
        (of_single_samples, "of single samples"),
        (twice, "Twice too much"),
        (half, "Half of it"),
        (sign_lost, "The sign is lost"),
        (in_bits, "in bits"),
        (the_loss, "That is D's loss at its best"),
        (minus_the_loss, "That is minus D's loss"),
        (kl_of_pairs, "That is KL(p⊗q"),
        (kl_of_singles, "That is KL(p ‖ q)"),
        (nothing_at_zero, "0·log 0 counts as 0"),
        (same_kind, "pairs that never come"),
        (two_singles, "a pair is not two samples"),
        (one_order_dropped, "Pairs that come in one order only"),
        (epsilon_in_the_log, "an ε or a clip in the logarithm"),
    ],
    "12.dirac_eigenvalues": [
        (as_printed, "The square at s is missing"),
        (plus_inside, "The sign under the root"),
        (unstable, "friction makes real parts negative"),
        (twice_the_friction, "Twice the friction"),
        (half_the_friction, "Half the friction"),
        (half_missing, "The ½ before the root"),
        (r1_alone, "R2 is missing"),
        (r2_alone, "R1 is missing"),
        (multiplied, "You multiply the two"),
        (real_root, "NaN among real numbers"),
        (real_parts, "Only the real parts"),
        (one_twice, "one of the two eigenvalues twice"),
        (one_of_them, "There are two eigenvalues"),
    ],
    "12.who_pays": [
        (r2_trains_g, "R2 trains G here"),
        (g_cut_off, "No gradient reaches G"),
        (no_r2, "R2 is missing"),
        (no_r1, "R1 is missing"),
        (no_penalty, "Both penalties are missing"),
        (without_half, "Twice the penalties"),
        (mean_of_both, "Half the penalties"),
        (r2_at_reals, "R2 is taken at real samples"),
        (r1_at_fakes, "R1 is taken at fakes"),
        (d_ascends, "D's gradient is turned"),
        (plain_for_g, "G's loss is the plain one"),
        (turned_around, "The order is"),
        (one_loss_for_both, "it would help D"),
        (minimax_for_both, "penalties included"),
        (of_the_mean_logit, "of the *mean* logit"),
        (summed_over_the_batch, "sums over the batch"),
        (mean_over_entries, "average over a sample's entries"),
        (not_squared, "is not squared"),
        (to_one, "as WGAN-GP does"),
        (plain_for_d, "D's loss is the plain one"),
        (as_d, "nobody is an adversary"),
        (against_d, "the zero-sum form"),
    ],
    "12.gamma_for": [
        (one_penalty, "there are two penalties"),
        (four_penalties, "Half of it"),
        (no_inner_derivative, "The inner derivative"),
        (wrong_side, "σ(+ψd) where σ(−ψd)"),
        (loss_equals_penalty, "their *derivatives* cancel"),
        (size_only, "without looking at the loss"),
        (push_only, "how hard the loss pushes"),
        (for_the_plain_loss, "for the plain loss"),
        (negative, "The sign is lost"),
        (no_sigmoid, "not −d"),
        (softplus_for_its_slope, "where its derivative belongs"),
        (upside_down, "upside down"),
        (no_brackets, "in brackets"),
        (penalty_for_its_slope, "The penalty's slope is missing"),
        (exchanged_arguments, "are exchanged"),
    ],
    "12.branch_grads": [
        (nothing_moves, "You say nothing moves"),
        (last_stands_still, "last kernel's gradient is not 0"),
        (turned, "The order is (for first, for last)"),
        (no_gate, "slope of the leaky ReLU is missing"),
        (before_the_relu, "What comes into the last layer"),
        (means, "You take a mean over the batch"),
        (value_for_slope, "not its value"),
        (plain_relu, "yours has 0."),
        (default_slope, "yours has 0.01."),
        (sign_of_what_comes_back, "by the sign of x·first"),
        (slope_in_last, "does not belong in the gradient of `last`"),
        (slope_as_a_ratio, "0/0"),
    ],
}
