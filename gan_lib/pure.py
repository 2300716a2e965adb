"""A Flax network as a pure function: `forward` takes its arrays and returns them, and nothing is changed in place.

A network is named by the function that builds it, from `rngs`. Its arrays are two plain dictionaries: `params` are learnt,
`rest` is what else it keeps (BatchNorm statistics, dropout keys, arrays of its own).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
from flax import nnx

from gan_lib.mesh import dealt

MODES = "deterministic", "use_running_average"  # what nnx.Module.train and .eval set


def create(build: Callable[..., nnx.Module], key: jax.Array) -> nnx.Module:
    """The network that `build` makes, its weights drawn from the key."""
    module = build(rngs=nnx.Rngs(key))
    if not isinstance(module, nnx.Module):
        return module
    for _, part in list(nnx.iter_graph(module)):
        for name, value in list(vars(part).items()) if isinstance(part, nnx.Module) else ():
            # Inside jit Flax takes an array that is no Variable for a constant of the program, which it is not.
            if not isinstance(value, nnx.Object | nnx.Variable) and _holds_arrays(value):
                setattr(part, name, nnx.data(value))
    return module


def _holds_arrays(value):
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))


def arrays(module: nnx.Module) -> tuple[dict, dict]:
    """A module's (params, rest)."""
    _, params, rest = nnx.split(module, nnx.Param, ...)
    return nnx.to_pure_dict(params), nnx.to_pure_dict(rest)


def forward(
    build: Callable[..., nnx.Module], params: dict, rest: dict, *inputs: Any, train: bool = True
) -> tuple[Any, dict]:
    """One pass of the network that `build` makes, with these arrays: (result, the new rest).

    inputs: what it is called with, such as images, or images and their labels.
    train: BatchNorm takes the batch's statistics and dropout drops; False is evaluation mode.
    """
    module = nnx.merge(_graph(build), params, rest, copy=True)
    if train:
        _decide(module)
    else:
        module.eval()
    y = module(*dealt(inputs))
    return y, _only(arrays(module)[1], rest)


@lru_cache(maxsize=64)
def _graph(build):
    """The network without its arrays: what nnx.merge needs beside them."""
    graphs = []

    def split(key):
        graph, *rest = nnx.split(create(build, key), nnx.Param, ...)
        graphs.append(graph)
        return [nnx.to_pure_dict(part) for part in rest]

    jax.eval_shape(split, jax.random.key(0))
    return graphs[0]


def _decide(module):
    """Training mode where a layer leaves that to the caller, as attention does; a layer set to a mode keeps it."""
    for _, part in nnx.iter_graph(module):
        for mode in MODES if isinstance(part, nnx.Module) else ():
            if getattr(part, mode, True) is None:
                setattr(part, mode, False)


def _only(new, like):
    """`new` without what the pass itself brought along, by `Module.sow` say: a state keeps its structure."""
    return {name: _only(new[name], value) if isinstance(value, dict) else new[name] for name, value in like.items()}
