"""A tiny library for learning GANs in JAX: data, networks, losses, one training step, plots, checks.

Read the modules in this order: losses, gan, training, nets, data, metrics, features, plots, notebook.
"""

__version__ = "0.1.0"
