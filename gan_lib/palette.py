"""Few colours for many pixels: small films, in which a surface shows no bands and a rare point keeps its colour."""

import numpy as np
from PIL import Image


def in_palette(pixels: np.ndarray, colours: int, scale: np.ndarray) -> Image.Image:
    """Pixels as an image of at most `colours` colours, each pixel the nearest of them.

    pixels: uint8 (H, W, 3). scale: uint8 (n, 3), the colours of a surface in their order. What occurs of it gets up to half of
    the palette, at equal distances: with few shades, a smooth surface would show bands. White stays white, not nearly white.
    """
    codes, where = np.unique(pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)
    found = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)
    scale = np.int32(scale)[np.isin(np.int32(scale) @ np.array([1 << 16, 1 << 8, 1]), codes)]
    palette = scale[np.linspace(0, len(scale) - 1, min(len(scale), colours // 2)).round().astype(int)]
    others = _nearest(found, palette)[1] > 4**2 if len(palette) else np.full(len(found), True)
    if others.any():
        counts = np.bincount(where.ravel())[others]
        palette = np.concatenate([palette, _shared(found[others], counts, colours - len(palette))])
    if codes[-1] == 0xFFFFFF:
        palette[np.square(palette - 255).sum(1).argmin()] = 255
    nearest, _ = _nearest(found, palette)
    image = Image.fromarray(nearest[where].reshape(pixels.shape[:2]))
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


def _nearest(found, palette):
    """For each colour (n, 3) the place of the nearest in the palette (k, 3), uint8, and its squared distance."""
    places, least = [], []
    for piece in np.array_split(found, len(found) // 10_000 + 1):  # a photograph has a million
        squares = np.square(piece[:, None] - palette).sum(-1)
        places.append(squares.argmin(1))
        least.append(squares.min(1))
    return np.concatenate(places).astype(np.uint8), np.concatenate(least)


def _shared(found, counts, colours):
    """That many colours (k, 3) for those found (n, 3), of counts (n,) pixels each.

    The cube root lets rare ones count: by pixels alone, the page would take all, and points turn grey.
    """
    codes, where = np.unique((found >> 2) @ np.array([1 << 12, 1 << 6, 1]), return_inverse=True)
    codes = np.repeat(codes, np.cbrt(np.bincount(where.ravel(), counts)).astype(int))
    shades = np.stack([codes >> 12, codes >> 6 & 63, codes & 63], axis=-1).astype(np.uint8)
    image = Image.fromarray((shades << 2 | shades >> 4)[None]).quantize(colours, kmeans=1)
    return np.array(image.getpalette()).reshape(-1, 3)
