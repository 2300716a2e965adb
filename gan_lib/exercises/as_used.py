"""Run an answer as its notebook does: traced, and on logits at which careless formulas leave float32."""

import contextlib
import traceback

import jax
import jax.numpy as jnp
import numpy as np

from gan_lib.exercises.compare import Mistake
from gan_lib.exercises.running import _brief, _place

# 0, where abs and maximum have a kink; 20, from where 1 − σ(s) is 0; 90, from where exp(s) is infinite.
EDGES = np.array([-200, -90, -40, -20, -3, 0, 0, 3, 20, 40, 90, 200], np.float32)
CURE = "Use softplus: log σ(s) = −softplus(−s), log(1−σ(s)) = −softplus(s)."


@contextlib.contextmanager
def traced(where):
    """Says of an answer that passed with values, and fails with tracers, that it runs inside `where`."""
    try:
        yield
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        place = _place(traceback.walk_tb(error.__traceback__))
        raise Mistake(
            f"Right when called alone, but used inside {where}. There it fails: {_brief(error)}\n{place}".rstrip()
        ) from None


def jitted(call, *args, where):
    """jax.jit(call)(*args), of an answer that passed with values. where: what the notebook does with it, a clause."""
    try:
        return jax.jit(call)(*args)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError) as error:
        place = _place(traceback.walk_tb(error.__traceback__))
        raise Mistake(f"Right by itself, but {where}, and {_brief(error)}\n{place}".rstrip()) from error


def no_loop(call, *shapes, where, n):
    """Raise a Mistake if a Python loop in call goes over the samples: with n of them it would not compile in time.

    shapes: of one sample, for each of the batches that call takes.
    """

    def rows(size):
        program = []
        batches = [jnp.zeros((size, *shape)) for shape in shapes]
        jitted(lambda *xs: program.append(jax.make_jaxpr(call)(*xs)) or 0, *batches, where=where)
        return str(program[0]).count("\n")

    if rows(24) >= rows(12) + 12:
        raise Mistake(
            f"Right, but your Python loop goes over the samples, and {where}, with {n} of them: JAX writes out every round, "
            "and the notebook would compile for minutes. Compute with whole arrays, or use `jax.vmap`."
        )


def nearly(value, expected):
    """A Mistake where a number is off by so little that an ε or a clip explains it best."""
    if np.shape(value) == () and 1e-4 < abs(value - expected) < 0.02 * abs(expected):
        raise Mistake(f"Nearly, {value:.5f} instead of {expected:.5f}: is there an ε or a clip in a log? {CURE}")


def hold(value, slopes, logits, expected, wanted, what):
    """A Mistake that names what a loss does wrong at the edges.

    value, slopes: of the loss, and of its gradient in `logits`; expected, wanted: what they should be.
    """
    value, slopes, n = float(value), np.asarray(slopes, float), len(logits)
    rows = f"\nlogits    {_row(logits)}\ngradient  {_row(slopes)}\nexpected  {_row(wanted)}"
    if not np.isfinite(value):
        raise Mistake(
            f"Right for small logits, but the {what} is {value} for logits up to ±200: σ rounds to 0 or 1, and its log is "
            f"−inf (or exp(s) overflows, from s = 89 on). An ε of 1e-8 beside a 1 is rounded away, too. {CURE}{rows}"
        )
    if abs(value - expected) > 1e-3 * abs(expected) + 1e-4:
        raise Mistake(
            f"Right for small logits, but the {what} is {value:.2f} instead of {expected:.2f} for logits up to ±200. A clip, "
            "or an ε (epsilon) inside the log, hides the −inf, and takes the gradient from just the samples on which D is "
            f"most wrong. {CURE}{rows}"
        )
    if not slopes.any() and wanted.any():
        raise Mistake(
            f"The {what} is right, but no gradient reaches the logits: it is 0 everywhere. Is there a stop_gradient in the "
            f"way?{rows}"
        )
    if not np.isfinite(slopes).all():
        at = logits[~np.isfinite(slopes)][0]
        raise Mistake(
            f"The {what} is right, its gradient is not finite at a logit of {at:g}: a `where` computes both branches, and an "
            f"infinite slope in the one not taken becomes NaN on the way back, 0·∞. {CURE}{rows}"
        )
    wrong = abs(slopes - wanted) > 1e-3 / n
    if not wrong.any():
        return
    at = logits[wrong][0]
    off = f"{slopes[wrong][0] * n:.3g}/{n} instead of {wanted[wrong][0] * n:.3g}/{n}"
    if not wrong[logits != 0].any():
        raise Mistake(
            f"At a logit of exactly 0 the gradient of the {what} is {off}: `abs`, `maximum` or a `where` has a kink there. A D "
            "whose last layer starts at zero has all its logits there. `jax.nn.softplus(s)` and `jnp.logaddexp(0, s)` have "
            f"no kink.{rows}"
        )
    raise Mistake(
        f"The {what} is right, its gradient is not: {off} at a logit of {at:g}. A clip, an ε or a stop_gradient keeps a "
        f"value and removes the gradient. {CURE}{rows}"
    )


def _row(numbers):
    return " ".join(f"{number:.3g}" for number in numbers)
