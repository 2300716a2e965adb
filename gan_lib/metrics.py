"""How good are the samples? Plain arrays in, float64 inside, Python floats out. So far: mode coverage in 2-D."""

from typing import NamedTuple

import numpy as np


class ModeCoverage(NamedTuple):
    """modes: how many were found. high_quality: fraction of the samples, in [0, 1]. reverse_kl: nats, inf if none found."""

    modes: int
    high_quality: float
    reverse_kl: float


def mode_coverage(samples, mixture) -> ModeCoverage:
    """Which modes of a 2-D Gaussian mixture do the samples (n, 2) find, and how evenly?

    A sample is of high quality within 3 standard deviations of the nearest mean; a mode counts with at least one such
    sample; the reverse KL goes from the histogram of high-quality samples over modes to the uniform one.
    The mixture itself scores 98.89 % high quality (1 − e^−4.5), so more means samples that are too concentrated.
    The published protocol uses n = 2,500: Srivastava et al. 2017 (VEEGAN), section 4.1; Lin et al. 2018 (PacGAN), 4.1.
    Raises ValueError on samples of another shape or with values that are not finite.
    """
    samples, means = np.asarray(samples, np.float64), np.asarray(mixture.means, np.float64)
    if samples.ndim != 2 or samples.shape[1] != means.shape[1] or len(samples) == 0 or not np.isfinite(samples).all():
        raise ValueError(
            f"mode_coverage takes finite samples of shape (n, {means.shape[1]}); got shape {samples.shape}."
        )
    distances = np.linalg.norm(samples[:, None] - means, axis=-1)
    good = distances.min(axis=1) <= 3 * float(mixture.std)
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=len(means))
    share = counts[counts > 0] / max(good.sum(), 1)
    reverse_kl = float(np.sum(share * np.log(share * len(means)))) if good.any() else float("inf")
    return ModeCoverage(int((counts > 0).sum()), float(good.mean()), max(reverse_kl, 0.0))
