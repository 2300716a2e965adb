"""Wrong answers to the exercises of notebook 07, each with words of the message that names its mistake."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid, softplus

from gan_lib.exercises.nb07 import crossed, find_the_line

# --- best_gap


def the_share(told):
    return told


def mistakes(told):
    return 1 - told


def half(told):
    return told - 0.5


def turned(told):
    return 1 - 2 * told


def doubled(told):
    return 2 * told


def squared(told):
    return told**2


def log_odds(told):
    return jnp.log(told / (1 - told))


# --- program_1


def normed(y):
    return (y - y.mean(0)) / jnp.sqrt(y.var(0) + 1e-5)


def program_1(score, draw, real, key, *, g_norm=False, d_norm=False, sign=1.0, on="fake", save="right"):
    z = jax.random.normal(key, (len(real), 2))
    fake = jnp.tanh(normed(draw(z)) if g_norm else draw(z))
    r, f = score(real), score(fake)
    r, f = (normed(r), normed(f)) if d_norm else (r, f)
    g_loss = {"fake": softplus(-f), "real": softplus(-r), "help": softplus(f), "old": -softplus(f)}[on].mean()
    saved = {
        "right": jnp.round((fake + 1) * 127.5).astype(jnp.uint8),
        "cast": fake.astype(jnp.uint8),
        "floats": (fake + 1) * 127.5,
        "half": jnp.clip((0.5 * fake + 1) * 255, 0, 255).astype(jnp.uint8),
    }[save]
    return sign * (softplus(-r).mean() + softplus(f).mean()), g_loss, saved


def variant(name, program, **how):
    def answer(score, draw, real, key):
        return program(score, draw, real, key, **how)

    answer.__name__ = name
    return answer


def no_way_back(score, draw, real, key):
    stopped = lambda z: jax.lax.stop_gradient(draw(z))
    return program_1(score, stopped, real, key)


def from_losses(name, d=lambda r, f: softplus(-r) + softplus(f), g=lambda r, f: softplus(-f), end=jnp.mean):
    def answer(score, draw, real, key):
        _, _, saved = program_1(score, draw, real, key)
        r, f = score(real), score(jnp.tanh(draw(jax.random.normal(key, (len(real), 2)))))
        return end(d(r, f)), end(g(r, f)), saved

    answer.__name__ = name
    return answer


def own_key(score, draw, real, key):
    return program_1(score, draw, real, jax.random.key(0))


def of_128(score, draw, real, key):
    return program_1(score, lambda z: draw(jax.random.normal(key, (128, 2))), real, key)


def by_numpys_state(score, draw, real, key):
    z = jnp.asarray(np.random.normal(size=(len(real), 2)), jnp.float32)  # noqa: NPY002
    return program_1(score, lambda _: draw(z), real, key)


def uniform_latents(score, draw, real, key):
    return program_1(score, lambda z: draw(jax.random.uniform(key, z.shape)), real, key)


def exchanged_losses(score, draw, real, key):
    d_loss, g_loss, saved = program_1(score, draw, real, key)
    return g_loss, d_loss, saved


def two_only(score, draw, real, key):
    return program_1(score, draw, real, key)[:2]


# --- program_2


def program_2(judge, generate, d, g, real, key, *, cost=lambda f: softplus(-f), parts="both", factor=1.0, inside=True):
    z = jax.random.normal(key, (len(real), 2))
    fake = generate(g, z)
    of_real = lambda d: softplus(-judge(d, real)).mean() * (parts != "fake")
    of_fake = lambda d: softplus(judge(d, fake)).mean() * (parts != "real")
    d_slope = jax.grad(lambda d: factor * (of_real(d) + of_fake(d)))(d)
    g_slope = jax.grad(lambda g: cost(judge(d, generate(g, z) if inside else fake)).mean())(g)
    return d_slope, g_slope, fake


def subtracted(judge, generate, d, g, real, key):
    fake = generate(g, jax.random.normal(key, (len(real), 2)))
    d_slope = jax.grad(lambda d: softplus(-judge(d, real)).mean() - softplus(judge(d, fake)).mean())(d)
    return d_slope, *program_2(judge, generate, d, g, real, key)[1:]


def exchanged_in_d(judge, generate, d, g, real, key):
    fake = generate(g, jax.random.normal(key, (len(real), 2)))
    d_slope = jax.grad(lambda d: softplus(judge(d, real)).mean() + softplus(-judge(d, fake)).mean())(d)
    return d_slope, *program_2(judge, generate, d, g, real, key)[1:]


def of_real_only(judge, generate, d, g, real, key):
    d_slope, _, fake = program_2(judge, generate, d, g, real, key)
    return d_slope, jax.grad(lambda g: softplus(-judge(d, real)).mean())(g), fake


def other_latents_for_g(judge, generate, d, g, real, key):
    d_slope, _, fake = program_2(judge, generate, d, g, real, key)
    return d_slope, program_2(judge, generate, d, g, real, jax.random.split(key)[0])[1], fake


def own_key_2(judge, generate, d, g, real, key):
    return program_2(judge, generate, d, g, real, jax.random.key(0))


def of_2(name, **how):
    def answer(judge, generate, d, g, real, key):
        return program_2(judge, generate, d, g, real, key, **how)

    answer.__name__ = name
    return answer


# --- program_3


def program_3(score, draw, real, key, *, n=None, d=(1, 0), g=1):
    z = jax.random.normal(key, (n or len(real), 2))
    fake = draw(z)
    d_loss = crossed(score(real), d[0]) + crossed(score(fake), d[1])
    return d_loss, crossed(score(fake), d_loss if g is None else g), fake


def one_latent_repeated(score, draw, real, key):
    z = jnp.repeat(jax.random.normal(key, (1, 2)), len(real), axis=0)
    fake = draw(z)
    return crossed(score(real), 1) + crossed(score(fake), 0), crossed(score(fake), 1), fake


def data_for_latents(score, draw, real, key):
    return program_3(score, lambda z: draw(real), real, key)


def one_number_twice(score, draw, real, key):
    return program_3(score, lambda z: draw(jnp.stack([z[:, 0], z[:, 0]], 1)), real, key)


def sigmoid_first(score, draw, real, key):
    return program_3(lambda x: sigmoid(score(x)), draw, real, key)


def saturating_3(score, draw, real, key):
    d_loss, _, fake = program_3(score, draw, real, key)
    return d_loss, -crossed(score(fake), 0), fake


def real_for_g(score, draw, real, key):
    d_loss, _, fake = program_3(score, draw, real, key)
    return d_loss, crossed(score(real), 1), fake


# --- program_4


def program_4(score, draw, real, key, *, scale=True, squash=False, end=jnp.tanh, target=1):
    fake = end(draw(jax.random.normal(key, (len(real), 2))))
    r, f = score(2 * real - 1 if scale else real), score(fake)
    r, f = (sigmoid(r), sigmoid(f)) if squash else (r, f)
    return crossed(r, 1) + crossed(f, 0), crossed(f, target), fake


def shown(name, data):
    def answer(score, draw, real, key):
        return program_4(score, draw, (data(real) + 1) / 2, key)

    answer.__name__ = name
    return answer


def log_of_probability(score, draw, real, key):
    _, _, fake = program_4(score, draw, real, key)
    p, q = sigmoid(score(2 * real - 1)), sigmoid(score(fake))
    return -jnp.log(p).mean() - jnp.log(1 - q).mean(), -jnp.log(q).mean(), fake


def hidden_by_an_epsilon(score, draw, real, key):
    _, _, fake = program_4(score, draw, real, key)
    p, q = sigmoid(score(2 * real - 1)), sigmoid(score(fake))
    log = lambda x: jnp.log(x + 1e-7).mean()
    return -log(p) - log(1 - q), -log(q), fake


def of_swapped(score, draw, real, key):
    fake = jnp.tanh(draw(jax.random.normal(key, (len(real), 2))))
    return crossed(score(2 * real - 1), 0) + crossed(score(fake), 1), crossed(score(fake), 0), fake


def bytes_scale(score, draw, real, key):
    return program_4(score, draw, real / 255 + 0 * real, key)


# --- shuffled


def by_rows(x, key):
    return jax.random.permutation(key, x)


def untouched(x, key):
    return x


def everything(x, key):
    return jax.random.permutation(key, x.ravel()).reshape(x.shape)


def with_replacement(x, key):
    return jnp.stack(
        [jax.random.choice(k, c, c.shape) for k, c in zip(jax.random.split(key, x.shape[1]), x.T, strict=True)], 1
    )


def one_key(x, key):
    return jnp.stack([jax.random.permutation(key, column) for column in x.T], 1)


def first_column_only(x, key):
    return x.at[:, 0].set(jax.random.permutation(key, x[:, 0]))


def all_but_the_first(x, key):
    rest = jax.random.permutation(key, x[:, 1:], axis=0, independent=True)
    return jnp.concatenate([x[:, :1], rest], axis=1)


def by_rows_of_columns(x, key):
    return jax.random.permutation(key, x, axis=1)


def in_order(x, key):
    return jnp.sort(x, axis=0)


def numpys_state(x, key):
    return np.stack([np.random.permutation(column) for column in np.asarray(x).T], axis=1)  # noqa: NPY002


def fixed(x, key):
    return jax.random.permutation(jax.random.key(0), x, axis=0, independent=True)


# --- difference


def paired(real, fake):
    return ((real - fake) ** 2).mean()


def of_means(real, fake):
    return jnp.square(real.mean(0) - fake.mean(0)).sum()


def nearest_fake_to_real(real, fake):
    return jnp.square(real[:, None] - fake).sum(-1).min(0).mean()


def backwards(real, fake):
    apart = lambda x, y: jnp.sqrt(jnp.square(x[:, None] - y).sum(-1) + 1e-6).mean()
    return apart(real, real) + apart(fake, fake) - 2 * apart(real, fake)


def root_of_zero(real, fake):
    apart = lambda x, y: jnp.sqrt(jnp.square(x[:, None] - y).sum(-1)).mean()
    return 2 * apart(real, fake) - apart(real, real) - apart(fake, fake)


def superfluous_fakes_are_free(real, fake):
    return jnp.sqrt(jnp.square(real[:, None] - fake).sum(-1).min(1) + 1e-6).mean()


def pushed_apart(real, fake):
    apart = lambda x, y: jnp.sqrt(jnp.square(x[:, None] - y).sum(-1) + 1e-6).mean()
    return apart(real, fake) - apart(real, real) - apart(fake, fake)


def mean_and_one_width(real, fake):
    return jnp.square(real.mean(0) - fake.mean(0)).sum() + (real.std() - fake.std()) ** 2


def attraction_learns(real, fake):
    apart = lambda x, y: jnp.sqrt(jnp.square(x[:, None] - y).sum(-1) + 1e-6).mean()
    still = jax.lax.stop_gradient(fake)
    return 2 * apart(real, fake) - apart(real, real) - apart(still, still)


def no_slope(real, fake):
    apart = lambda x, y: jnp.sqrt(jnp.square(x[:, None] - y).sum(-1) + 1e-6).mean()
    fake = jax.lax.stop_gradient(fake)
    return 2 * apart(real, fake) - apart(real, real) - apart(fake, fake)


def attraction_only(real, fake):
    return jnp.sqrt(jnp.square(real[:, None] - fake).sum(-1) + 1e-6).mean()


# --- find_the_line


def but(**changes):
    def answer():
        return find_the_line() | {int(k[1:]): v for k, v in changes.items()}

    return answer


def nine_only():
    return {k: v for k, v in find_the_line().items() if k < 10}


def eleven():
    return find_the_line() | {11: 1}


def the_lines_as_words():
    return {k: f"line {v}" for k, v in find_the_line().items()}


WRONG = {
    "07.best_gap": [
        (the_share, "That is the share itself"),
        (mistakes, "share of mistakes"),
        (half, "Half of it"),
        (turned, "The sign is lost"),
        (doubled, "the gap is 0"),
        (squared, "not the expected one"),
        (log_odds, "The gap is not the expected one.\n"),
    ],
    "07.program_1": [
        (variant("g_norm", program_1, g_norm=True), "after G's last layer"),
        (variant("d_norm", program_1, d_norm=True), "after D's last layer"),
        (variant("lost_sign", program_1, sign=-1.0), "lacks its sign"),
        (variant("both", program_1, sign=-1.0, d_norm=True), "lacks its sign, and BatchNorm"),
        (variant("real_only", program_1, on="real"), "there is no fake in it"),
        (variant("helps", program_1, on="help"), "G helps D"),
        (variant("saturating", program_1, on="old"), "saturating loss"),
        (variant("cast", program_1, save="cast"), "cast straight"),
        (variant("floats", program_1, save="floats"), "holds floats"),
        (variant("half_scale", program_1, save="half"), "The bytes are off"),
        (no_way_back, "No gradient reaches G"),
        (from_losses("one_sign", d=lambda r, f: softplus(-r) - softplus(f)), "One of the two terms"),
        (from_losses("other_sign", d=lambda r, f: softplus(f) - softplus(-r)), "One of the two terms"),
        (from_losses("sums", end=jnp.sum), "a sum where a mean belongs"),
        (from_losses("log_for_g", g=lambda r, f: -jnp.log(sigmoid(f))), "In the hundreds the gradient is not finite"),
        (
            from_losses("log_for_d", d=lambda r, f: softplus(-r) - jnp.log(1 - sigmoid(f))),
            "In the hundreds the gradient is not finite",
        ),
        (exchanged_losses, "D's comes first"),
        (own_key, "Another `key` gives the same latents"),
        (of_128, "Latents have shape (128, 2)"),
        (by_numpys_state, "The same `key` gives other latents"),
        (uniform_latents, "not standard normal"),
        (two_only, "a tuple of 2, expected a tuple of 3"),
    ],
    "07.program_2": [
        (of_2("as_planted", inside=False), "Exactly 0, still"),
        (of_2("saturating", cost=lambda f: -softplus(f)), "the saturating loss"),
        (of_2("helps", cost=softplus), "it helps D"),
        (of_2("flipped", cost=lambda f: -softplus(-f)), "sign of G's slope"),
        (of_2("real_only", parts="real"), "real samples only"),
        (of_2("fakes_only", parts="fake"), "fakes only"),
        (of_2("minus", factor=-1.0), "sign of D's slope"),
        (of_2("halved", factor=0.5), "Half of D's slope"),
        (subtracted, "You subtract the slopes"),
        (exchanged_in_d, "exchanged in D's loss"),
        (of_real_only, "depends on g"),
        (other_latents_for_g, "You draw latents twice"),
        (own_key_2, "Another `key` gives the same latents"),
        (of_2("summed", cost=lambda f: len(f) * softplus(-f)), "a sum where a mean belongs"),
        (of_2("log_of_sigmoid", cost=lambda f: -jnp.log(sigmoid(f))), "In the hundreds the gradient is not finite"),
    ],
    "07.program_3": [
        (variant("lonely", program_3, n=1), "One latent a step"),
        (one_latent_repeated, "come from one latent"),
        (variant("swapped_in_d", program_3, d=(0, 1)), "swapped in D only"),
        (variant("asks_for_zero", program_3, g=0), "wants to be found out"),
        (variant("loss_as_target", program_3, g=None), "where a target belongs"),
        (variant("swapped_and_loss", program_3, d=(0, 1), g=None), "swapped in D"),
        (variant("all_real", program_3, d=(1, 1)), "told that the fakes are real"),
        (variant("all_fake", program_3, d=(0, 0)), "told that the real samples are fake"),
        (real_for_g, "There is no fake in G's loss"),
        (data_for_latents, "Another `key` gives the same latents"),
        (one_number_twice, "not standard normal"),
        (sigmoid_first, "no sigmoid before it"),
        (saturating_3, "the saturating loss"),
    ],
    "07.shuffled": [
        (by_rows, "moved by one permutation"),
        (one_key, "moved by one permutation"),
        (untouched, "Nothing is shuffled"),
        (everything, "wander between columns"),
        (with_replacement, "neither draw with replacement"),
        (fixed, "Two different keys"),
        (first_column_only, "A column stands as it was"),
        (all_but_the_first, "A column stands as it was"),
        (by_rows_of_columns, "wander between columns"),
        (in_order, "Two different keys"),
        (numpys_state, "The same key gives different copies"),
    ],
    "07.program_4": [
        (variant("squashed", program_4, squash=True), "The sigmoid is still there, and the loss applies its own"),
        (variant("as_planted", program_4, squash=True, scale=False), "and the data still lie in [0, 1]"),
        (variant("unscaled", program_4, scale=False), "one look at the sign"),
        (variant("g_moved", program_4, scale=False, end=sigmoid), "You moved G to [0, 1]"),
        (variant("no_tanh", program_4, end=lambda x: x), "The tanh is gone"),
        (variant("fakes_moved", program_4, end=lambda x: (jnp.tanh(x) + 1) / 2), "You moved the fakes"),
        (variant("asks_for_zero", program_4, target=0), "wants to be found out"),
        (bytes_scale, "The data are not bytes"),
        (shown("halved", lambda x: x - 0.5), "D is shown x − ½"),
        (shown("doubled", lambda x: 2 * x), "D is shown 2x"),
        (shown("wrong_way", lambda x: (x + 1) / 2), "D is shown (x + 1)/2"),
        (shown("whitened", lambda x: (x - x.mean(0)) / x.std(0)), "D is shown x over its deviation"),
        (of_swapped, "exchanged in D's loss"),
        (log_of_probability, "In the hundreds the gradient is not finite"),
        (hidden_by_an_epsilon, "gradient where D's logits are in the hundreds"),
    ],
    "07.difference": [
        (paired, "which fake stands beside which"),
        (of_means, "would prefer, or not notice"),
        (nearest_fake_to_real, "would prefer, or not notice"),
        (attraction_only, "would prefer, or not notice"),
        (backwards, "would prefer, or not notice"),
        (root_of_zero, "gradient is not finite"),
        (no_slope, "no gradient in the fakes"),
        (superfluous_fakes_are_free, "half of the fakes at the mean"),
        (pushed_apart, "wider by a quarter"),
        (mean_and_one_width, "too narrow the other"),
        (attraction_learns, "detached"),
    ],
    "07.find_the_line": [
        (but(_4=5), "9 of 10 found.\n[4] line 5 is innocent"),
        (but(_1=3, _9=1), "8 of 10 found"),
        (but(_6=9), "it has lines 1 to 4"),
        (nine_only, "No answer for 10"),
        (eleven, "There is no snippet 11"),
        (the_lines_as_words, "a str"),
    ],
}
