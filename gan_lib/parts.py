"""What cannot be trained is refused in words, before anything compiles: parts, parts that do not fit, data out of reach."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from gan_lib.arrays import as_array
from gan_lib.losses import Loss
from gan_lib.pure import arrays, create, forward

PLAYERS = "generator", "discriminator"
B = 12  # samples in a trial batch: layers that look at groups of 2, 3, 4 or 6 can divide it
REACH = {"tanh": (-1, 1), "logistic": (0, 1)}  # of the functions that generators end in


def check_parts(gan) -> None:
    """Raise ValueError on a part of a GAN that is not what its name says, without building the networks."""
    for name in PLAYERS:
        if isinstance(build := getattr(gan, name), nnx.Module) or not callable(build):
            raise ValueError(
                f"GAN builds its networks itself, from a key: {name} must be a function of rngs that returns an "
                f"nnx.Module, e.g. lambda rngs: MLP((64, 128, 2), rngs=rngs); got {_kind(build)}."
            )
        optimizer = getattr(gan.optimizer, name)
        parts = getattr(optimizer, "init", None), getattr(optimizer, "update", None)
        if isinstance(optimizer, nnx.Optimizer | type) or not all(map(callable, parts)):
            raise ValueError(
                "optimizer must be an optax transformation, e.g. optax.adam(2e-4, b1=0.5), or a Pair of two; got "
                f"{_kind(optimizer)} for the {name}."
            )
    if not isinstance(gan.loss, Loss):
        raise ValueError(f"loss must be a Loss, e.g. losses.non_saturating; got {_kind(gan.loss)}.")
    if isinstance(gan.latent_dim, bool) or not isinstance(gan.latent_dim, int | np.integer) or gan.latent_dim < 1:
        raise ValueError(f"latent_dim must be a whole number of at least 1; got {gan.latent_dim!r}.")
    for name, example in (
        ("penalty", "penalties.OneCentred(10.0)"),
        ("prepare", "data.scaled"),
        ("term", "losses.L1(100.0)"),
    ):
        if isinstance(part := getattr(gan, name), type) or not callable(part):
            raise ValueError(f"{name} must be a function, e.g. {example}; got {_kind(part)}. Leave it out for none.")
    if isinstance(gan.classes, bool) or not isinstance(gan.classes, int | np.integer) or gan.classes < 0:
        raise ValueError(f"classes must be how many there are, or 0 for a GAN without labels; got {gan.classes!r}.")
    if not isinstance(gan.given, tuple) or not all(isinstance(n, int) and n > 0 for n in gan.given):
        raise ValueError(f"given is the shape of an image, such as (28, 28, 1), or () for none; got {gan.given!r}.")
    if gan.given and gan.classes:
        raise ValueError("A GAN has classes or is given images, not both: put the label into the image, as channels.")
    if isinstance(gan.averaging, bool | str) or not np.isscalar(gan.averaging) or not 0 <= gan.averaging < 1:
        raise ValueError(f"averaging is the decay of a moving average, in [0, 1); got {gan.averaging!r}.")


def _kind(part):
    """What stands where a part should: a number or text as it is, of anything else the type."""
    if isinstance(part, type):
        return f"the class {part.__name__} itself"
    return repr(part) if part is None or isinstance(part, str | int | float) else f"a {type(part).__name__}"


def check_fit(gan) -> None:
    """Raise ValueError where latent_dim, networks and optimisers do not fit together. Traces them; compiles nothing."""
    key = jax.random.key(0)
    x, wanted = jax.ShapeDtypeStruct((B, gan.latent_dim), jnp.float32), f"latents of shape (B, {gan.latent_dim})"
    labels, and_labels = _labels(gan), " and labels (B,)" if gan.classes else ""
    and_labels = f" and images {('B', *gan.given)}".replace("'", "") if gan.given else and_labels
    samples = None
    for name in PLAYERS:
        build = getattr(gan, name)
        params, rest = jax.eval_shape(partial(_arrays, name, build, key))
        try:
            y = jax.eval_shape(partial(forward, build), params, rest, x, *labels)[0]
        except (TypeError, ValueError) as error:
            said = str(error).strip().partition("\n")[0]
            hint = _hint(name, build, params, rest, labels)
            raise ValueError(f"The {name} does not take {wanted}{and_labels}: {said}{hint}") from error
        shape = getattr(y, "shape", None)
        if shape is None or shape[:1] != (B,) or not jnp.issubdtype(y.dtype, jnp.floating):
            given = "None: is its return missing?" if y is None else f"{_shape(y)} for a batch of {B}"
            raise ValueError(f"The {name} must return floats, an entry of the first axis for each sample; got {given}.")
        x, wanted = y, f"what the generator makes, of shape {('B', *shape[1:])}".replace("'", "")
        samples = samples or y  # the generator's
        _check_optimizer(name, getattr(gan.optimizer, name), params)
    term = jax.eval_shape(gan.term, samples, samples, *labels)
    if getattr(term, "shape", None) != ():
        raise ValueError(
            f"term(fake, real, ...) must return one number for the batch, as a mean does; got {_shape(term)}."
        )


def _arrays(name, build, key):
    """Those of the network, if it is one."""
    if not isinstance(module := create(build, key), nnx.Module):
        raise ValueError(f"{name} must be a function of rngs that returns an nnx.Module; it returned {_kind(module)}.")
    return arrays(module)


def _shape(y):
    return f"{y.dtype} of shape {y.shape}" if hasattr(y, "shape") else f"a {type(y).__name__}"


def _labels(gan):
    """The labels of a trial batch, or the images, if it has any."""
    if gan.given:
        return [jax.ShapeDtypeStruct((B, *gan.given), jnp.float32)]
    return [jax.ShapeDtypeStruct((B,), jnp.int32)] if gan.classes else []


def _hint(name, build, params, rest, labels):
    """The latent_dim that the generator does take, if one of its dense layers tells."""
    widths = {leaf.shape[0] for leaf in jax.tree.leaves(params) if leaf.ndim == 2} if name == "generator" else ()
    for width in sorted(widths):
        try:
            jax.eval_shape(
                partial(forward, build), params, rest, jax.ShapeDtypeStruct((B, width), jnp.float32), *labels
            )
        except Exception:
            continue
        return f" It takes {width}: GAN(..., latent_dim={width})."
    return ""


def _check_optimizer(name, optimizer, params):
    """As `descend` will use it."""
    try:
        jax.eval_shape(lambda p: optimizer.update(p, optimizer.init(p), p), params)
    except Exception as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"The optimizer of the {name} cannot make a step from gradients alone ({said}). Give one that can, such as "
            "optax.adam; lbfgs and reduce_on_plateau also ask for the loss."
        ) from error


def ready(gan, batch) -> list[jax.Array]:
    """The real samples of a batch, prepared, and their labels if the GAN has classes: [real] or [real, labels].

    Where it is given images, they are prepared, too, and stand in the place of labels. ValueError unless the samples are one
    array of floats (B, ...), the labels whole numbers (B,), the images floats (B, *given).
    """
    several = isinstance(batch, tuple | list | dict)
    if several and not gan.classes and not gan.given:
        raise ValueError(
            f"This GAN learns from one array of samples; got a {type(batch).__name__} of {len(batch)}. mnist() returns "
            "images and labels: images, labels = mnist(), and give the images; or make it a conditional GAN by its classes."
        )
    if (gan.classes or gan.given) and not (several and not isinstance(batch, dict) and len(batch) == 2):
        kind, second = ("is given images", "images") if gan.given else (f"of {gan.classes} classes", "labels")
        raise ValueError(
            f"A GAN {kind} learns from (samples, {second}); got {_kind(batch)}.".replace("GAN is", "GAN that is")
        )
    real, *labels = batch if several else [batch]
    real = gan.prepare(real)
    if real.ndim < 2 or not jnp.issubdtype(real.dtype, jnp.floating):
        raise ValueError(
            f"images must be a float array of shape (N, ...); got {real.dtype} of shape {real.shape}. Scale uint8 pixels "
            "with x / 127.5 − 1, or leave that to the step: GAN(..., prepare=data.scaled)."
        )
    if gan.given:
        return [real, *(_images(gan, gan.prepare(x), len(real)) for x in labels)]
    return [real, *(_whole(y, len(real)) for y in labels)]


def _images(gan, x, n):
    """Images, unless they are not what this GAN is given with n samples."""
    if x.shape != (n, *gan.given) or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"This GAN is given images of floats, {(n, *gan.given)} for {n} samples; got {x.dtype} of shape {x.shape}. "
            "A pair is (samples, images): what is to be drawn comes first."
        )
    return x


def _whole(labels, n):
    """Labels, unless they are none for n samples."""
    if labels.shape != (n,) or not jnp.issubdtype(labels.dtype, jnp.integer):
        one_hot = " One-hot rows become numbers with labels.argmax(axis=1)." if labels.ndim == 2 else ""
        raise ValueError(
            f"labels must be whole numbers of shape ({n},), one a sample; got {labels.dtype} of shape {labels.shape}.{one_hot}"
        )
    return labels


def _in_range(labels, classes):
    """Raise ValueError on a label that no class has; labels have values."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        cure = "Subtract 1." if low == 1 and high == classes else f"Or is it a GAN of {high + 1} classes?"
        raise ValueError(f"labels go from {low} to {high}; a GAN of {classes} classes takes 0 to {classes - 1}. {cure}")


def asked(gan, labels, n) -> list[jax.Array]:
    """The labels that a conditional GAN is asked for, as [int32 (n,)]; [] without classes. One number stands for all.

    Of one that is given images, [float32 (n, *given)]; one image stands for all.
    """
    if gan.given:
        if labels is None:
            raise ValueError(f"What is it given? Hand over images {(n, *gan.given)}, or one {gan.given} for all.")
        x = labels if isinstance(labels, jax.core.Tracer) else as_array(labels, "labels", on_device=True)
        x = jnp.asarray(x, jnp.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x
        return [_images(gan, jnp.broadcast_to(x, (n, *gan.given)) if x.shape == gan.given else x, n)]
    if not gan.classes:
        if labels is not None:
            raise ValueError("This GAN has no classes, so no labels can be asked for: GAN(..., classes=10).")
        return []
    if labels is None:
        raise ValueError(f"Which of the {gan.classes} classes? Give labels (n,), or one number for all: labels=7.")
    if not isinstance(labels, jax.core.Tracer):
        labels = as_array(labels, "labels", on_device=True)
    if labels.ndim == 0:
        labels = jnp.full(n, labels)
    labels = _whole(labels, n)
    if not isinstance(labels, jax.core.Tracer):
        _in_range(labels, gan.classes)
    return [jnp.asarray(labels, jnp.int32)]


def check_data(gan, data) -> str:
    """Raise ValueError on data that is not what `ready` asks for, or that the end of the generator keeps it from drawing.

    Returns a remark where only a half of what the generator can draw is data; else "".
    """
    few = jax.tree.map(lambda x: x[:: max(1, len(x) // 1000)], data)
    some, *_ = ready(gan, few)
    if gan.classes:
        _in_range(data[1], gan.classes)
    low, high = float(some.min()), float(some.max())
    weights = jax.eval_shape(lambda: arrays(create(gan.generator, jax.random.key(0))))
    z = jax.ShapeDtypeStruct((B, gan.latent_dim), jnp.float32)
    end = _end(jax.make_jaxpr(partial(forward, gan.generator))(*weights, z, *_labels(gan)).jaxpr)
    if end not in REACH:
        return ""
    bottom, top = REACH[end]
    slack = 0.01 * (top - bottom)
    cure = "x / 127.5 − 1" if high > 1 + slack else "2·x − 1" if end == "tanh" else "(x + 1) / 2"
    said = (
        f"The generator ends in {'a sigmoid' if end == 'logistic' else end}, from {bottom} to {top}; "
        f"the data go from {low:.3g} to {high:.3g}.\nScale them: {cure}."
    )
    if low < bottom - slack or high > top + slack:
        raise ValueError(said)
    return said if end == "tanh" and low >= 0 else ""


def _end(jaxpr):
    """The name of the function that a program's first result comes from, looking through changes of shape and type."""
    made = {id(v): eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    var = jaxpr.outvars[0]
    while eqn := made.get(id(var)):
        inner = eqn.params.get("jaxpr") or eqn.params.get("call_jaxpr")
        if inner is not None:
            at = [id(v) for v in eqn.outvars].index(id(var))
            inner = getattr(inner, "jaxpr", inner)
            return _end(inner.replace(outvars=[inner.outvars[at]]))
        if eqn.primitive.name not in (
            "reshape",
            "convert_element_type",
            "squeeze",
            "transpose",
            "broadcast_in_dim",
            "copy",
        ):
            return eqn.primitive.name
        var = eqn.invars[0]
    return None
