"""Run a reader's function as its notebook will: traced by JAX, on batches of the notebook's size."""

import traceback

import jax
import jax.numpy as jnp

from gan_lib.exercises.compare import Mistake
from gan_lib.exercises.running import ADVICE, _place


def traced(call, *args, where):
    """jax.jit(call)(*args); a Mistake if the reader's code needs a value there. where: what the notebook does with it."""
    try:
        return jax.jit(call)(*args)
    except jax.errors.JAXTypeError as error:
        if type(error).__name__ not in ADVICE:
            raise
        advice = f"inside jit, grad or vmap an array has no value yet: {ADVICE[type(error).__name__]}."
        place = _place(traceback.walk_tb(error.__traceback__))
        raise Mistake(f"Right by itself, but {where}, and {advice}\n{place}".rstrip()) from error


def no_loop(call, *shapes, where, n):
    """Raise a Mistake if a Python loop in call goes over the samples: with n of them it would not compile in time.

    shapes: of one sample, for each of the batches that call takes.
    """

    def rows(size):
        program = []
        batches = [jnp.zeros((size, *shape)) for shape in shapes]
        traced(lambda *xs: program.append(jax.make_jaxpr(call)(*xs)) or 0, *batches, where=where)
        return str(program[0]).count("\n")

    if rows(24) >= rows(12) + 12:
        raise Mistake(
            f"Right, but your Python loop goes over the samples, and {where}, with {n} of them: JAX writes out every round, "
            "and the notebook would compile for minutes. Compute with whole arrays, or use `jax.vmap`."
        )
