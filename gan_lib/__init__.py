"""A tiny library for learning GANs in JAX: data, networks, losses, one training step, one loop, metrics, plots, checks.

Read losses, gan and nets first, then training. A module imports only from those before it in this list:
arrays, fetch, pictures, data, layers, residual, unet, nets, losses, penalties, mesh, stream, pure, parts, gan,
likelihoods, coder, vae, device, checkpoint, history, experiment, interrupts, training, metrics, features, dirac,
palette, plots, probes, clinic, notebook, situations, live, playground, exercises.
"""

__version__ = "0.1.0"
