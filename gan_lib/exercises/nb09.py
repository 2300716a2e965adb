"""Notebook 09, conditional GANs: references, hints and checks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softplus

from gan_lib.exercises import Mistake, define, same
from gan_lib.exercises.as_used import EDGES, hold, jitted
from gan_lib.exercises.compare import fit, recognise


def numbers(seed, *shape):
    """Random numbers of that shape, as JAX holds them."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def some_labels(seed, n, classes):
    """n labels, the last class among them, in no order."""
    labels = np.random.default_rng(seed).integers(0, classes, n)
    labels[n // 2] = classes - 1
    return jnp.asarray(labels, jnp.int32)


def judge(got, right, *mistakes, inputs, what="result"):
    """Raise the message of the mistake (value, message) that `got` is, or of `same` where it is not `right`."""
    recognise(got, *mistakes, right=right)
    same(got, np.float32(right), inputs=inputs, rtol=1e-4, atol=1e-5, what=what)


# --- 09.joined ------------------------------------------------------------------------------------------------------


def check_joined(fn):
    """Against the product with one-hot rows."""
    for seed, (n, d, classes, width) in enumerate([(4, 2, 3, 5), (7, 3, 4, 4), (5, 1, 6, 2)]):
        z, kernel, bias = numbers(seed, n, d), numbers(seed + 10, d + classes, width), numbers(seed + 20, width)
        labels = some_labels(seed, n, classes)
        a, w, b, y = (np.asarray(x, float) for x in (z, kernel, bias, labels))
        rows, c = np.eye(classes)[np.asarray(labels)], np.asarray(labels)
        right = np.concatenate([a, rows], 1) @ w + b
        judge(
            fn(z, labels, kernel, bias),
            right,
            (
                a @ w[:d] + y[:, None] * w[d] + b,
                "You join the label as one number: class 8 then pushes eight times as hard as class 1, in the same direction.",
            ),
            (
                a @ w[:d] * w[d + c] + b,
                "You multiply by the class's row. A matrix product adds: z·W₁ + (the row of the class) + bias.",
            ),
            (a @ w[:d] + w[c] + b, "You count the rows from the top: the first d belong to z."),
            (right - b, "The bias is missing."),
            (right + b, "The bias is added twice."),
            (a @ w[:d] + w[d - 1 + c] + b, "One row too high: class 0 is row d, since rows 0 to d − 1 belong to z."),
            (a @ w[:d] + w[np.minimum(d + 1 + c, d + classes - 1)] + b, "One row too low: class 0 is row d."),
            (a @ w[:d] + w[-1 - c] + b, "You count the classes from the end: class 0 is row d."),
            (a @ w[:d] + w[d + c].sum(0) + b, "You add the rows of the whole batch to each sample."),
            (a @ w[:d] + w[d + c[0]] + b, "You give all samples the label of the first."),
            (a @ w[:d] + b, "The label is missing: z alone passes."),
            (rows @ w[d:] + b, "z is missing: the label alone passes."),
            (a @ w[:d] + w[d:].sum(0) + b, "You add the rows of all classes; each sample adds that of its own."),
            (
                np.concatenate([rows, a], 1) @ w + b,
                "You join in the order (label, z); here z comes first, as in `Joined`.",
            ),
            inputs={"z": z, "labels": labels, "kernel": kernel, "bias": bias},
        )


@define(
    "09.joined",
    difficulty=1,
    minutes=6,
    check=check_joined,
    hints=(
        "A one-hot row times a matrix picks one of its rows. No row of zeros and ones has to be made.",
        "The first d rows of the kernel belong to z, row d + y to class y.",
        "`z @ kernel[:d]` with d = z.shape[1], plus `kernel[d:][labels]`, plus the bias.",
    ),
)
def joined(z, labels, kernel, bias):
    """A dense layer of z (B, d) with one-hot labels beside it: (B, width). kernel: (d + classes, width); no one-hot rows."""
    d = z.shape[1]
    return z @ kernel[:d] + kernel[d:][labels] + bias


# --- 09.best_logit --------------------------------------------------------------------------------------------------


def tables(seed, places, classes):
    """p(x, y), q(x|y) and r(y) on a few places, as float32."""
    rng = np.random.default_rng(seed)
    p, q, r = (
        rng.uniform(0.1, 1, (places, classes)),
        rng.uniform(0.1, 1, (places, classes)),
        rng.uniform(0.2, 1, classes),
    )
    return [np.float32(x) for x in (p / p.sum(), q / q.sum(0), r / r.sum())]


def check_best_logit(fn):
    """Both cases, by Bayes' rule."""
    for seed, size in enumerate([(3, 2), (4, 5), (5, 4)]):
        p, q, r = tables(seed, *size)
        p_x, p_y = p.sum(1, keepdims=True), p.sum(0)
        inputs, right = {"p": p, "q": q, "r": r}, np.log(p / (q * r))
        judge(
            fn(*map(jnp.asarray, (p, q, r))),  # without `shuffled`, as the notebook calls it
            right,
            (-right, "The sign is lost: the logit is high where *real* pairs are more frequent."),
            (np.log(p / q), "r is missing: a fake pair (x, y) comes with probability q(x|y)·r(y)."),
            (
                np.log(p / p_y / q),
                "You compare p(x|y) with q(x|y). Labels differ in how often they come, too: p(y) and r(y).",
            ),
            (
                np.log(p_x / (q * r).sum(1, keepdims=True)) + 0 * right,
                "You compare p(x) with q(x): that is the best D that sees no label.",
            ),
            (
                np.log(p / p_y / (q * r)),
                "You divide p by p(y), as if it were p(x|y): p(x, y) is the density of real pairs.",
            ),
            (np.log(p / q * r), "r is on the wrong side: a fake pair (x, y) comes with probability q(x|y)·r(y)."),
            (np.log(p / q * len(r)), "You take all labels to be as frequent among fakes; r says how frequent."),
            (np.log(p_x * p_y / (q * r)), "You shuffle always; that is for `shuffled=True`, and the default is False."),
            (p / (p + q * r), "That is the probability D*. Its logit is log p − log q."),
            (
                np.log(p / (p + q * r)),
                "That is log D*, the logarithm of a probability; the logit is log D* − log(1 − D*).",
            ),
            (p / (q * r), "The logarithm is missing."),
            (np.log(p * q * r), "You multiply the densities: the fakes' one divides."),
            inputs={**inputs, "shuffled": False},
        )
        fakes = (q * r).sum(1, keepdims=True) * r
        judge(
            fn(*map(jnp.asarray, (p, q, r)), shuffled=True),
            np.log(p_x * p_y / (q * r)),
            (right, "Shuffled changes nothing in yours. Real images and labels are now independent: p(x)·p(y)."),
            (np.log(p / fakes), "You shuffle the fakes' labels. Shuffled are those of the real batch."),
            (np.log(p_x * p_y / fakes), "You shuffle both. The fakes keep the labels they were made with."),
            (
                np.log(p_x / len(r) / (q * r)),
                "After shuffling a label still comes as often as before: p(y), not 1 over the number of classes.",
            ),
            (np.log(p_x / (q * r)), "p(y) is missing: a shuffled pair comes with probability p(x)·p(y)."),
            inputs={**inputs, "shuffled": True},
            what="logit with shuffled labels",
        )


@define(
    "09.best_logit",
    difficulty=3,
    minutes=12,
    check=check_best_logit,
    hints=(
        "Notebook 01: the best logit is log (density of real) − log (density of fake). Now what is judged is a pair (x, y).",
        "A fake pair is made in two draws: first y from r, then x from q(·|y). Its probability is a product.",
        "log p − log(q·r). Shuffling keeps both marginals of p, `p.sum(1)` and `p.sum(0)`, and makes them independent: their "
        "outer product takes the place of p.",
    ),
)
def best_logit(p, q, r, *, shuffled=False):
    """The best D's logit for each pair (x, y): an array (X, Y).

    p: p(x, y) of the real pairs, (X, Y). q: the generator's q(x|y), (X, Y), each column sums to 1. r: how often a fake gets
    label y, (Y,). shuffled: the labels of each real batch were shuffled against its images.
    """
    if shuffled:
        p = p.sum(axis=1, keepdims=True) * p.sum(axis=0)
    return jnp.log(p) - jnp.log(q * r)


# --- 09.pairs -------------------------------------------------------------------------------------------------------


def check_pairs(fn):
    """Players whose result tells which labels they were given, no permutation of 0 … K − 1; then whether G could learn."""
    for seed, n in enumerate((5, 8)):
        z, real, labels = numbers(seed, n, 2), numbers(seed + 10, n, 2), some_labels(seed, n, 4)
        shift = numbers(seed + 20, 4, 2)

        drawn = [labels]  # what G was given

        def generator(z, labels, shift=shift, drawn=drawn):
            drawn.append(labels)
            return 2 * z + shift[labels]

        def discriminator(x, labels):
            return x[:, 0] + jnp.sin(1.0 + labels) * x[:, 1]

        def both(fakes=labels, judged=labels, of_real=labels, z=z, real=real, generator=generator):
            return discriminator(real, of_real), discriminator(generator(z, fakes), judged)

        right, got = both(), fn(generator, discriminator, z, real, labels)
        got = tuple(got) if isinstance(got, list) else got
        turned, used = labels[::-1], drawn[-1]
        swapped = right[::-1]
        recognise(
            got,
            (swapped, "Real and fake are exchanged: return (real_logits, fake_logits)."),
            (both(judged=turned), "D judges the fakes with other labels than G drew them for."),
            (both(fakes=turned), "G draws for other labels than D judges with."),
            (both(of_real=turned), "The labels of the real batch are turned against its images."),
            (both(judged=jnp.zeros_like(labels)), "D judges all fakes as class 0."),
            (jax.nn.sigmoid(jnp.stack(right)), "Probabilities: return what D returns, logits."),
            (tuple(map(jax.nn.sigmoid, right)), "Probabilities: return what D returns, logits."),
            ((right[0], right[0]), "Both are logits of the real pairs: where are the fakes?"),
            right=right,
        )
        if not isinstance(used, jax.core.Tracer) and np.shape(used) == (n,):
            anew = "G and D agree on labels that are not the batch's: fakes get the labels of the real batch, each its own."
            recognise(got, (both(fakes=used, judged=used), anew), (both(used, used, used), anew), right=right)
        if (
            isinstance(got, tuple | list)
            and [np.shape(part) for part in got] == [(n,), (n,)]
            and np.isfinite(got).all()
        ):
            if not np.allclose(got[0], right[0], rtol=1e-4, atol=1e-5):
                raise Mistake("The logits of the real pairs are off: D gets the real images with their own labels.")
            if not np.allclose(got[1], right[1], rtol=1e-4, atol=1e-5):
                raise Mistake(
                    "The logits of the fake pairs are off. The bug is still there: D has to judge each fake with the label "
                    "it was drawn for."
                )
        same(got, right, inputs={"z": z, "real": real, "labels": labels}, rtol=1e-4, atol=1e-5)
    slope = jax.grad(lambda real, z: sum(map(jnp.sum, fn(generator, discriminator, z, real, labels))), (0, 1))
    of_real, of_fake = jitted(slope, real, z, where="a GAN takes its gradient")
    if not np.any(of_fake):
        raise Mistake(
            "No gradient reaches the generator: is there a stop_gradient in the way? G learns by these logits."
        )
    if not np.any(of_real):
        raise Mistake("The real pairs' logits have no gradient: is there a stop_gradient in the way? D learns by them.")


@define(
    "09.pairs",
    difficulty=2,
    minutes=8,
    check=check_pairs,
    hints=(
        "Follow one fake: which label was it drawn for, and which does D see beside it? To G this is the ring 'D only'.",
        "Whether labels come from the batch or are drawn anew, one array of them goes to G and to D.",
        "With the labels of the real batch for all: `discriminator(real, labels)` and "
        "`discriminator(generator(z, labels), labels)`.",
    ),
)
def pairs(generator, discriminator, z, real, labels):
    """(real_logits, fake_logits), both (B,): fakes for z (B, d) get the labels (B,) of the real batch."""
    return discriminator(real, labels), discriminator(generator(z, labels), labels)


# --- 09.projection --------------------------------------------------------------------------------------------------


def check_projection(fn):
    """One sample at a time."""
    for seed, (n, width, classes) in enumerate([(4, 3, 5), (6, 2, 3), (5, 5, 5)]):
        features, vectors, psi = numbers(seed, n, width), numbers(seed + 10, classes, width), numbers(seed + 20, width)
        labels = some_labels(seed, n, classes)
        f, v, w, y = np.asarray(features, float), np.asarray(vectors, float), np.asarray(psi, float), np.asarray(labels)
        inner = np.array([v[y[i]] @ f[i] for i in range(n)])
        right, every = f @ w + inner, f @ v.T
        got = fn(features, labels, vectors, psi)
        chosen = (every - np.log(np.exp(every).sum(1, keepdims=True)))[np.arange(n), y]
        if np.shape(got) in ((n, classes), (n, n)):
            raise Mistake(
                f"The result has shape {np.shape(got)}, expected ({n},): look up one vector for each sample, multiply entry by "
                "entry, and sum over the features."
            )
        judge(
            got,
            right,
            (inner, "ψ is missing: how real is the image, whatever its label?"),
            (f @ w, "The label is missing: add ⟨v_y, φ⟩."),
            (
                (f * v[y]) @ w,
                "You multiply the features by the class's vector, then weigh by ψ. The two parts are added.",
            ),
            (f @ w * inner, "You multiply the two parts; the logarithm of a product is a sum."),
            (f @ w + v[y] @ w, "You multiply the class's vector with ψ; the features belong there: ⟨v_y, φ⟩."),
            (
                f @ w + inner / np.sqrt(width),
                "You divide by the root of the width, as attention does; here nothing is scaled.",
            ),
            (
                f @ w + inner / np.linalg.norm(v[y], axis=1),
                "You take the vector's length out. It is learnt, too: how sure the label is.",
            ),
            (f @ w + f @ v[y].mean(0), "You average the vectors over the batch; each sample has its own label."),
            (f @ w + f @ v[y[0]], "You give all samples the label of the first."),
            (f @ w - inner, "The sign of ⟨v_y, φ⟩ is lost."),
            (f @ w + (f * v[y]).mean(1), "A mean over the features where an inner product, a sum, belongs."),
            (f @ w + every.sum(1), "You add the products with the vectors of all classes; each sample has one label."),
            (f @ w + every.max(1), "You take the class that fits best. Asked is how well the *given* label fits."),
            (
                f @ w + chosen,
                "You normalise over the classes with a softmax: that is a classifier's log p(y|x). Here the difference of two "
                "such logarithms is learnt, and what normalises them goes into ψ.",
            ),
            (
                f @ w + (every - np.log(np.exp(every).sum(0)))[np.arange(n), y],
                "You normalise with a softmax over the wrong axis, the batch. Here no softmax is needed: ⟨v_y, φ⟩ itself.",
            ),
            (f @ w + v[y].sum(1), "You add up the class's vector. Multiply it with the features: ⟨v_y, φ⟩."),
            (f @ w + y, "The label is joined as one number. Look up its vector: vectors[labels]."),
            inputs={"features": features, "labels": labels, "vectors": vectors, "psi": psi},
        )


@define(
    "09.projection",
    difficulty=2,
    minutes=6,
    check=check_projection,
    hints=(
        "Two numbers for each sample, added: one from ψ, which sees no label, one from the vector of its own label.",
        "`vectors[labels]` has shape (B, F), a row for each sample. So have the features.",
        "`features @ psi + (vectors[labels] * features).sum(axis=1)`.",
    ),
)
def projection(features, labels, vectors, psi):
    """Logits (B,) = ψ·φ + ⟨v_y, φ⟩ for features φ (B, F), labels (B,), a vector for each class (K, F), and psi (F,)."""
    return features @ psi + (vectors[labels] * features).sum(axis=1)


# --- 09.obedience ---------------------------------------------------------------------------------------------------


def check_obedience(fn):
    """By loops, on classes asked for unequally often."""
    for seed, (n, classes) in enumerate([(60, 3), (90, 4)]):
        rng = np.random.default_rng(seed)
        asked = np.minimum(rng.integers(0, classes + 1, n), classes - 1)  # the last one more often
        asked[:classes] = np.arange(classes)
        scores = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[asked]
        probs = np.float32(np.exp(scores) / np.exp(scores).sum(1, keepdims=True))
        read = probs.argmax(1)
        right = np.array([(read[asked == c] == c).mean() for c in range(classes)])
        of_read = np.array([(asked[read == c] == c).mean() if (read == c).any() else 0 for c in range(classes)])
        got = fn(jnp.asarray(probs), jnp.asarray(asked))
        if (
            np.size(got) == 1
            and classes > 1
            and math.isclose(float(np.squeeze(got)), (read == asked).mean(), rel_tol=1e-4)
        ):
            raise Mistake(
                "That is one share for all. A class in which everything fails can hide in it: one for each class."
            )
        chances = np.array([probs[asked == c, c].mean() for c in range(classes)])
        hits = np.array([((read == c) & (asked == c)).sum() for c in range(classes)])
        recognise(
            np.asarray(got, float) if np.ndim(got) else got,
            (of_read, "You divide by how often a class was *read*. Divide by how often it was asked for."),
            (hits, "These are counts. Divide by how often each class was asked for."),
            (hits / n, "You divide by the number of all samples; divide by how often each class was asked for."),
            (hits / (n / classes), "You take all classes to be asked for equally often. Count them."),
            (chances, "You average the probability of the right class. Asked is the share of samples *read* as asked."),
            (
                np.array([asked[i] == c for c, i in enumerate(probs.argmax(0))], float),
                "You take the largest probability over the wrong axis: that is one sample for each class. Read each sample by "
                "its own row, axis 1.",
            ),
            (1 - right, "That is the share of disobedience: one minus the expected one."),
            (
                np.array([(read == c).mean() for c in range(classes)]),
                "You count how often each class was read, asked for or not.",
            ),
            (
                np.array([(read == c).sum() / (asked == c).sum() for c in range(classes)]),
                "You count each class as often as it is read, rightly or not; count where it was asked for as well.",
            ),
            (
                np.array([(probs[asked == c, c] > 0.5).mean() for c in range(classes)]),
                "You ask for a probability above ½. Read is the class with the largest one, be it smaller.",
            ),
            (
                (read == asked)[: n - n % classes].reshape(classes, -1).mean(1),
                "You take the samples to come class by class, as many of each. Look at `asked`.",
            ),
            right=right,
        )
        inputs = {"probs": probs, "asked": asked}
        same(got, right.astype(np.float32), inputs=inputs, rtol=1e-4, what="obedience of each class")


@define(
    "09.obedience",
    difficulty=1,
    minutes=6,
    check=check_obedience,
    hints=(
        "The classifier reads a sample as the class with the largest probability in its row.",
        "`read = probs.argmax(axis=1)`; then, for each class, the mean of `read == c` over the samples asked for as c.",
        "For each class `(read == c)[asked == c].mean()`; or all at once, `jnp.bincount(asked, 1.0 * (read == asked), length=K)` "
        "counts the hits of each class.",
    ),
)
def obedience(probs, asked):
    """Share of the samples of each class (K,) that are read as asked. probs: a classifier's, (N, K); asked: labels (N,)."""
    classes = probs.shape[1]
    hits = jnp.bincount(asked, 1.0 * (probs.argmax(axis=1) == asked), length=classes)
    return hits / jnp.bincount(asked, length=classes)


# --- 09.auxiliary ---------------------------------------------------------------------------------------------------


def of_columns(weight, s, c, t, k):
    """Both losses, in NumPy. s, c: what is taken for logits and log p(label | x) of real samples; t, k: of fakes."""
    d, g = np.logaddexp(0, -s).mean() + np.logaddexp(0, t).mean(), np.logaddexp(0, -t).mean()
    return d - weight * (c.mean() + k.mean()), g - weight * k.mean()


def check_auxiliary(fn):
    """Both losses on two batches and weights, their gradients under jit, and logits up to ±200."""
    for seed, (n, weight) in enumerate([(5, 0.3), (8, 2.0)]):
        rng = np.random.default_rng(seed)
        real, fake = (np.stack([rng.normal(size=n), np.log(rng.uniform(0.1, 0.9, n))], 1) for _ in range(2))
        (s, c), (t, k) = real.T, fake.T  # logits and log p(label | x), of real and of fake samples
        d, g = np.logaddexp(0, -s).mean() + np.logaddexp(0, t).mean(), np.logaddexp(0, -t).mean()
        on_real, on_fake = weight * c.mean(), weight * k.mean()
        of_d, of_g = d - on_real - on_fake, g - on_fake
        got = fn(jnp.float32(real), jnp.float32(fake), weight)
        inputs = {"real": np.float32(real), "fake": np.float32(fake), "weight": weight}
        got = tuple(got) if isinstance(got, list) else got
        fit(got, (of_d, of_g), "loss")
        recognise(
            got,
            ((of_g, of_d), "The losses are exchanged: D's comes first."),
            (
                of_columns(weight, c, s, k, t),
                "The columns are exchanged: the logit is column 0, log p(label | x) column 1.",
            ),
            (
                of_columns(weight, *real[:2], *fake[:2]),
                "You take the first two rows for the columns: `real[:, 0]`, not `real[0]`.",
            ),
            (
                (d + on_real + on_fake, g + on_fake),
                "The sign of the class part is lost: as it stands, both players are paid for *wrong* guesses. A loss is "
                "made small, and log p(y|x) is to grow.",
            ),
            ((d - c.mean() - k.mean(), g - k.mean()), "The weight is missing."),
            (
                (d - weight * np.exp(c).mean() - weight * np.exp(k).mean(), g - weight * np.exp(k).mean()),
                "You pay with the probability p(y|x), whose slope is flat where the guess is worst. Column 1 is its "
                "logarithm: take it as it is.",
            ),
            (
                (of_d, -of_d),
                "G's loss is D's times −1: then G makes its samples hard to classify, and D easy. Both want them easy.",
            ),
        )
        recognise(
            got[0],
            (
                d - on_real + on_fake,
                "The sign of the class part on fakes is lost in D's loss: D's classifier is paid for misreading the very "
                "samples that G makes for a label, and G can never satisfy it. AC-GAN's D wants both read as labelled.",
            ),
            (d + on_real - on_fake, "The sign of the class part on real samples is lost in D's loss."),
            (
                d + on_real + on_fake,
                "The sign of the class part is lost in D's loss: a loss is made small, log p(y|x) is to grow.",
            ),
            (
                d - on_real,
                "In D's loss the class part on fakes is missing. AC-GAN's classifier learns from them, too (eq. 3).",
            ),
            (d - on_fake, "In D's loss the class part on real samples is missing: only they know what a label means."),
            (d, "D's loss has no class part: nobody teaches the classifier."),
            (d - c.mean() - k.mean(), "The weight is missing in D's loss."),
            (d - (on_real + on_fake) / 2, "You average the two class parts in D's loss; they are added."),
            right=of_d,
        )
        recognise(
            got[1],
            (
                g + on_fake,
                "The sign of the class part is lost in G's loss: G is paid for fakes that are *not* read as asked.",
            ),
            (g, "G's loss has no class part: what is asked for would not reach it."),
            (g - k.mean(), "The weight is missing in G's loss."),
            (g - on_real, "G's class part is computed on real samples, which G does not change: no slope."),
            (g - on_real - on_fake, "G's class part also has the real samples, which G does not change."),
            (
                -np.logaddexp(0, t).mean() - on_fake,
                "G's first part is the saturating loss of notebook 01; take −log D(G(z)).",
            ),
            (np.logaddexp(0, t).mean() - on_fake, "G's first part wants low logits of fakes: that is D's wish."),
            right=of_g,
        )
        same(got, (of_d, of_g), inputs=inputs, rtol=1e-4, atol=1e-5, what="loss")
    slope = lambda real, fake: [jax.grad(lambda x, i=i: fn(real, x, weight)[i])(fake) for i in range(2)]
    of_d, of_g = jitted(
        slope, jnp.float32(real), jnp.float32(fake), where="the notebook compiles it and takes gradients"
    )
    parts = (
        np.stack([1 / (1 + np.exp(-t)), 0 * t - weight], 1) / n,
        np.stack([1 / (1 + np.exp(t)), 0 * t + weight], 1) / -n,
    )
    same((of_d, of_g), tuple(map(np.float32, parts)), inputs=inputs, rtol=1e-3, atol=1e-5, what="gradient in the fakes")
    in_real = jitted(
        jax.grad(lambda x: fn(x, jnp.float32(fake), weight)[0]), jnp.float32(real), where="D learns by its gradient"
    )
    wanted = np.float32(np.stack([1 / (1 + np.exp(s)), 0 * s + weight], 1) / -n)
    same(in_real, wanted, inputs=inputs, rtol=1e-3, atol=1e-5, what="gradient of D's loss in the real samples")
    far, n = np.stack([EDGES, 0 * EDGES], 1), len(EDGES)
    right = 2 * np.logaddexp(0, EDGES).mean(), np.logaddexp(0, -EDGES).mean()
    pull = 1 / (1 + np.exp(-np.float64(EDGES))) / n
    for i, (value, wanted, what) in enumerate(
        zip(right, (pull, pull - 1 / n), ("loss of D", "loss of G"), strict=True)
    ):
        got, slopes = jax.value_and_grad(lambda x, i=i: fn(-far, x, 1.0)[i])(far)
        hold(got, slopes[:, 0], EDGES, value, wanted, what)


@define(
    "09.auxiliary",
    difficulty=2,
    minutes=8,
    check=check_auxiliary,
    hints=(
        "Two games in one. Over column 0 the players fight, as in any GAN. Over column 1 they agree: read every sample as "
        "labelled. What is to grow enters a loss with a minus.",
        "D guesses for real samples and for fakes; G only has its fakes. Nothing is clipped, and no softmax is needed: "
        "column 1 is a logarithm already.",
        "D: `softplus(-s_real).mean() + softplus(s_fake).mean()`, less weight times the sum of the means of the two columns 1. "
        "G: `softplus(-s_fake).mean()`, less weight times the mean of the fakes' column 1.",
    ),
)
def auxiliary(real, fake, weight):
    """(D's loss, G's loss) of AC-GAN. real, fake: (B, 2), D's logit and log p(label | x). Odena et al. 2017, eq. 2 and 3."""
    of_real, of_fake = weight * real[:, 1].mean(), weight * fake[:, 1].mean()
    d_loss = softplus(-real[:, 0]).mean() + softplus(fake[:, 0]).mean()
    return d_loss - of_real - of_fake, softplus(-fake[:, 0]).mean() - of_fake


# --- 09.truncate ----------------------------------------------------------------------------------------------------


def cut(x, bound):
    """Distribution function of N(0, 1) kept within ±bound."""
    whole = np.vectorize(math.erf)(np.asarray(x) / math.sqrt(2))
    return (whole / math.erf(bound / math.sqrt(2)) + 1) / 2


def check_truncate(fn):
    """Bounds, the distribution of entries at two bounds, independence of entries, keys."""
    n, d = 4000, 4
    for bound in (0.7, 1.5):
        inputs = {"key": jax.random.key(0), "n": n, "d": d, "bound": bound}
        got = fn(jax.random.key(0), n, d, bound)
        if np.shape(got) != (n, d):
            same(got, np.zeros((n, d), np.float32), inputs=inputs)
        z = np.asarray(got, float)
        if not np.isfinite(z).all():
            same(got, np.zeros((n, d), np.float32), inputs=inputs)
        if (abs(z) >= bound * 0.9999).mean() > 0.01 and abs(z).max() <= bound * 1.0001:
            raise Mistake(
                f"{(abs(z) >= bound * 0.9999).mean():.0%} of the entries lie on ±{bound}: you clip. What falls outside is "
                "drawn again."
            )
        if abs(z).max() > bound * 1.0001:
            scaled = bool(abs(z.std() - bound) < 0.05 * bound)
            norms = bool(np.linalg.norm(z, axis=1).max() <= bound * math.sqrt(d) * 1.0001)
            raise Mistake(
                f"There are entries up to {abs(z).max():.2f}, and the bound is {bound}."
                + " You scale: that shrinks all latents, and still has rare large ones." * scaled
                + " The bound is one for each entry, not for the length." * (norms and not scaled)
            )
        if z.min() > -0.1 * bound:
            raise Mistake("All entries are positive: keep both signs.")
        if np.unique(z).size < z.size / 3:  # before the distribution, which few numbers do not show
            raise Mistake("Entries repeat. Draw each of the n·d entries on its own.")
        flat = np.sort(z.ravel())
        steps = (np.arange(flat.size) + 0.5) / flat.size
        if abs(cut(flat, bound) - steps).max() > 0.02:
            if abs((flat / bound + 1) / 2 - steps).max() < 0.02:
                raise Mistake(
                    "Your entries are uniform between the bounds. They should be normal, with the tails cut off."
                )
            raise Mistake(
                f"Within ±{bound} the entries should be spread as N(0, 1) is there: standard deviation "
                f"{np.sqrt(np.mean(quantiles(bound) ** 2)):.3f}, yours {z.std():.3f}."
            )
        if np.unique(z).size < 0.9 * z.size or abs(np.corrcoef(z.T) - np.eye(d)).max() > 0.1:
            raise Mistake("Entries repeat or go together. Draw each of the n·d entries on its own.")
    if np.array_equal(z, np.asarray(fn(jax.random.key(1), n, d, bound))):
        raise Mistake("Two different keys give the same latents. Draw from the `key` that comes in.")
    if not np.array_equal(z, np.asarray(fn(jax.random.key(0), n, d, bound))):
        raise Mistake("The same key gives different latents. Draw from `key` alone.")


def quantiles(bound, n=2001):
    """Equally likely values of N(0, 1) kept within ±bound."""
    fine = np.linspace(-bound, bound, 20001)
    return np.interp((np.arange(n) + 0.5) / n, cut(fine, bound), fine)


@define(
    "09.truncate",
    difficulty=2,
    minutes=8,
    check=check_truncate,
    hints=(
        "Clipping is not it: clipped entries pile up on the bound. Each entry is drawn again until it lies within.",
        "In one go: a uniform u between Φ(−bound) and Φ(bound), then Φ⁻¹(u). `jax.scipy.stats.norm` has cdf and ppf.",
        "JAX has it ready: `jax.random.truncated_normal(key, lower, upper, shape)`.",
    ),
)
def truncate(key, n, d, bound):
    """Latents (n, d) from N(0, 1), each entry drawn again until it lies within ±bound."""
    return jax.random.truncated_normal(key, -bound, bound, (n, d))
