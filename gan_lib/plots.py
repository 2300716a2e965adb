"""The pictures of the course: sample sheets, loss curves, the four-layer picture, animations.

One colour per role, told apart by colour-blind readers too (Okabe & Ito 2008): REAL for data, FAKE for samples and
their generator, JUDGE for the discriminator, SURFACE for its probability from 0 (fake) to 1 (real). ALARM
is no role, so it has none of these colours: yellow for a metric that is fooled, purple for one that is alarmed.
"""

import io
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

from gan_lib.arrays import as_array, as_float64, as_ink, check_whole
from gan_lib.losses import Loss, non_saturating
from gan_lib.palette import in_palette

REAL, FAKE, JUDGE = "#0072B2", "#D55E00", "#009E73"
SURFACE = LinearSegmentedColormap.from_list("judge", ["#F0B78E", "#F7D6BF", "#FFFFFF", "#C6E0F2", "#94C4E6"])
ALARM = LinearSegmentedColormap.from_list("alarm", ["#E0AE00", "#F3DFA0", "#FFFFFF", "#CDB8DC", "#6A2C91"])


class Picture(Figure):
    """A Figure outside pyplot: as a cell's last expression it shows once, and hundreds of them need no closing."""

    def __init__(self, width: float, height: float):
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        pixels = _pixels(self)
        grey = (pixels == pixels[..., :1]).all()  # a third of the bytes
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] if grey else pixels).save(file, "PNG", optimize=True)
        return file.getvalue()


def style():
    """Figures as the course draws them: no box, no clutter, readable at a notebook's width."""
    matplotlib.rcParams.update(
        {
            "figure.dpi": 100,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=[REAL, FAKE, JUDGE, "#CC79A7", "#E69F00", "#56B4E9", "#555555"]),
            "legend.frameon": False,
            "image.cmap": "gray_r",
        }
    )


def samples(images, *, columns: int = 10, labels: Sequence[str] = (), title: str | None = None) -> Figure:
    """A sheet of images (N, H, W), (N, H, W, 1) or, in colour, (N, H, W, 3), in reading order; or of one, (H, W, 1 or 3).

    images: in [-1, 1], 1 is ink, in colour light; or bytes from 0 to 255. labels: words left of the rows, from the top.
    Raises ValueError on another shape or range, and on values that are not finite.
    """
    x = as_ink(images)
    x = x[None] if x.ndim == 3 and x.shape[-1] in (1, 3) else x
    x = x[..., 0] if x.ndim == 4 and x.shape[-1] == 1 else x
    colour = x.shape[3:] == (3,)
    if x.ndim != 3 + colour or x.size == 0:
        raise ValueError(f"samples draws images of shape (N, H, W), (…, 1) or (…, 3); got {np.shape(images)}.")
    check_whole(columns, "columns", 1)
    rows, columns, white = -(-len(x) // columns), min(columns, len(x)), 1 if colour else -1
    x = np.concatenate([x, np.full((rows * columns - len(x), *x.shape[1:]), white, np.float32)])
    sheet = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))[: x.ndim], constant_values=white)
    _, height, width, *rgb = sheet.shape
    sheet = sheet.reshape(rows, columns, height, width, *rgb).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, *rgb)
    # Sizes in inches, by hand: 60 screen pixels an image, a whole multiple of an MNIST digit and its margin.
    left, top = 0.1 * max(map(len, labels), default=0), 0.3 if title else 0
    size = 0.6 * columns, 0.6 * rows * height / width
    figure = Picture(left + size[0], size[1] + top)
    figure.set_layout_engine("none")
    ax = figure.add_axes((left / (left + size[0]), 0, size[0] / (left + size[0]), size[1] / (size[1] + top)))
    shown = np.clip((sheet + 1) / 2, 0, 1) if colour else sheet
    ax.imshow(shown, vmin=-1, vmax=1, cmap="gray_r", interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set(title=title or "", xticks=[])
    ax.set_yticks(height * (np.arange(len(labels)) + 0.5), labels)
    return figure


def verdict_table(
    texts, alarm, images, *, rows: Sequence[str], columns: Sequence[str], groups=(), scale=None
) -> Figure:
    """What every metric (a column) says about every set of samples (a row): numbers on a heat map, samples beside it.

    texts: (R, C) strings. alarm: (R, C) from −1 (yellow: better than real) over 0 (white) to 1 (purple: alarmed).
    images: (R, m, H, W) or (R, m, H, W, 1) in [-1, 1]. groups: {name: its first row}, from the top, with a line above each
    but the first. scale: {position: label} of the colour bar, positions from −1 to 1.
    """
    images = as_ink(images).reshape(*np.shape(images)[:4])
    sheet = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=-1)
    (r, m, h, w), c = sheet.shape, len(columns)
    # Sizes in inches, by hand, so that a sample stays as wide as it is high.
    row, cell, head, foot, side = 0.38, 0.8, 0.5, 0.5 if scale else 0.05, 0.3 if groups else 0
    left = side + 0.082 * max(map(len, rows))
    strip, width, height = m * row * w / h, left + m * row * w / h + 0.1 + c * cell, head + r * row + foot
    figure = Picture(width, height)
    figure.set_layout_engine("none")

    def place(x, y, dx, dy):
        return figure.add_axes((x / width, y / height, dx / width, dy / height))

    beside, ax = place(left, foot, strip, r * row), place(left + strip + 0.1, foot, c * cell, r * row)
    beside.imshow(sheet.swapaxes(1, 2).reshape(r * h, m * w), vmin=-1, vmax=1, cmap="gray_r", aspect="auto")
    beside.set_yticks(h * (np.arange(r) + 0.5), rows)
    heat = ax.imshow(alarm, cmap=ALARM, vmin=-1, vmax=1, aspect="auto")
    for (i, j), level in np.ndenumerate(alarm):
        ax.text(j, i, texts[i][j], ha="center", va="center", color="white" if level > 0.75 else "black")
    ax.vlines(np.arange(1, c) - 0.5, -0.5, r - 0.5, color="white", lw=2)
    ax.hlines(np.arange(1, r) - 0.5, -0.5, c - 0.5, color="white", lw=2)
    starts = [*dict(groups).values(), r]
    ax.hlines(np.array(starts[1:-1]) - 0.5, -0.5, c - 0.5, color="#555555", lw=1)
    for name, first, end in zip(groups, starts, starts[1:], strict=False):
        margin = place(0.02, height - head - row * end + 0.04, side, row * (end - first) - 0.08)
        margin.text(0.3, 0.5, name, rotation=90, ha="center", va="center", weight="bold", fontsize=9)
        margin.set(xticks=[], yticks=[])
        margin.spines[:].set_visible(False)
        margin.spines["right"].set_visible(True)
        margin.spines["right"].set_color("#555555")
    ax.set_xticks(range(c), columns, fontsize=9)
    ax.set_yticks([])
    beside.set_xticks([])
    for each in (ax, beside):
        each.tick_params(length=0, labeltop=each is ax, labelbottom=False)
        each.spines[:].set_visible(False)
    if scale:
        bar = figure.colorbar(heat, cax=place(left + strip + 0.1, 0.28, c * cell, 0.12), orientation="horizontal")
        bar.set_ticks(list(scale), labels=list(scale.values()), fontsize=9)
        for side, label in zip(("left", "right"), bar.ax.get_xticklabels()[:: len(scale) - 1], strict=True):
            label.set_ha(side)
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=2)
    return figure


def losses(history, *, title: str | None = None, reference: bool = True) -> Figure:
    """Both losses, and D(x) with D(G(z)), against the step: every step faintly, a moving mean boldly.

    history: what `fit` returned beside the state; of no steps, the frame is empty and says so.
    reference: dotted lines at what a discriminator that cannot tell real from fake gives, for cross-entropy losses.
    Raises ValueError on what is no history.
    """
    if not isinstance(history, Mapping) or not {"step", "d_loss", "g_loss", "d_real", "d_fake"} <= history.keys():
        raise ValueError(
            f"history is a {type(history).__name__} without d_loss and the like; expected the second thing that fit returns."
        )
    figure = Picture(8, 2.6)
    axes = figure.subplots(1, 2)
    lines = [
        [("d_loss", "D's loss", JUDGE), ("g_loss", "G's loss", FAKE)],
        [("d_real", "D(x)", REAL), ("d_fake", "D(G(z))", FAKE)],
    ]
    marks = [[(2 * np.log(2), "2 log 2"), (np.log(2), "log 2")], [(0.5, "½")]]
    for ax, curves, levels in zip(axes, lines, marks, strict=True):
        for name, label, colour in curves:
            step, mean = _moving_mean(history["step"], history[name])
            ax.plot(history["step"], history[name], color=colour, alpha=0.18, lw=0.6)
            ax.plot(step, mean, color=colour, label=label)
        for level, label in levels if reference else []:
            ax.axhline(level, color="#555555", ls=":", lw=1)
            ax.annotate(label, (1, level), xycoords=("axes fraction", "data"), va="center", fontsize=8, color="#555555")
        ax.legend(loc="upper right", ncols=2)
        ax.set_xlabel("step")
        if not len(history["step"]):
            ax.text(0.5, 0.5, "no steps yet", transform=ax.transAxes, ha="center", color="#555555")
    heights = np.ravel([history["d_loss"], history["g_loss"]])
    low, high = np.percentile(heights[np.isfinite(heights)], [0, 99.5]) if np.isfinite(heights).any() else (0, 0)
    axes[0].set_ylim(min(0, low), 1.25 * max(high, 2 * np.log(2)))
    axes[1].set_ylim(0, 1.2)
    figure.suptitle(title or "", fontsize=10)
    return figure


def _moving_mean(step, values):
    """Means over a fiftieth of the run, at the steps where the window fits."""
    width = max(1, len(values) // 50)
    means = np.convolve(values, np.ones(width) / width, mode="valid") if len(values) else values
    return step[width - 1 :], means


def four_layers(
    real,
    fake,
    discriminator,
    *,
    generator_loss: Loss = non_saturating,
    limit: float | None = None,
    arrow: float | None = None,
    title: str | None = None,
    ax=None,
) -> Figure:
    """A GAN in the plane, in four layers: D's probability as a surface, real and fake points, and where G is pushed.

    real, fake: points (n, 2). discriminator: function from points (n, 2) to logits (n,). limit: half the width shown.
    The arrows, on the first 80 fakes, are minus the gradient of each fake's own generator loss with respect to that
    fake: where it would go if it could move freely. arrow: length drawn for a gradient of 1, the same in every picture,
    and cut at a quarter of the width; default: the longest is an eighth of the width.
    """
    real, fake = np.float32(as_float64(real, "real")), np.float32(as_float64(fake, "fake"))
    for name, x in (("real", real), ("fake", fake)):
        if x.shape[1:] != (2,) or not len(x):
            raise ValueError(f"{name} has shape {x.shape}, expected points in the plane (n, 2), at least one.")
    limit = limit or 1.15 * float(np.abs(real).max())
    side = np.linspace(-limit, limit, 121)
    lattice = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2).astype(np.float32)
    surface = np.asarray(jax.nn.sigmoid(discriminator(lattice))).reshape(121, 121)
    shown = fake[:80]
    push = -len(shown) * _slope(generator_loss, discriminator, jnp.resize(real, shown.shape), jnp.asarray(shown))
    norms = np.linalg.norm(push, axis=1, keepdims=True)
    arrow = arrow or limit / 4 / max(norms.max(), 1e-12)
    push *= np.minimum(arrow, limit / 2 / np.maximum(norms, 1e-12))
    ax = ax or Picture(4.4, 4.7).subplots()
    ax.spines[:].set_visible(False)
    ax.imshow(
        surface, extent=2 * (-limit, limit), origin="lower", cmap=SURFACE, vmin=0, vmax=1, interpolation="bilinear"
    )
    if surface.min() < 0.5 < surface.max():
        ax.contour(side, side, surface, levels=[0.5], colors="#777777", linewidths=0.8)
    ax.scatter(*real[:500].T, s=30, color=REAL, alpha=0.6, lw=0, label="real")  # wide: fakes on top hide no cluster
    ax.quiver(*shown.T, *push.T, angles="xy", scale_units="xy", scale=1, width=0.004, color="#333333", zorder=3)
    ax.scatter(*fake[:500].T, s=8, color=FAKE, edgecolor="white", lw=0.3, label="fake", zorder=4)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[], aspect="equal", title=title or "")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, markerscale=1.5, handletextpad=0.1, borderpad=0.2)
    return ax.figure


def _slope(loss, discriminator, real, fake):
    """Gradient (n, 2) of the generator's loss, a mean over n, with respect to the fake points."""
    return np.asarray(jax.grad(lambda x: loss.generator(discriminator(real), discriminator(x)))(fake))


class Animation:
    """An APNG: plays as image/png in JupyterLab, Colab and GitHub; where APNG is unknown, in print say, its last frame."""

    def __init__(self, png: bytes):
        self.png = png

    def __repr__(self):  # what else a cell stores beside the picture
        return f"<Animation, {len(self.png) / 1000:.0f} kB>"

    def _repr_png_(self) -> bytes:
        return self.png

    def save(self, path):
        """Write the .png file."""
        with open(path, "wb") as file:
            file.write(self.png)


def animation(frames, *, seconds: float = 4.0, colours: int = 128) -> Animation:
    """A film of 2 to 24 frames: Figures or uint8 arrays (H, W, 3 or 4), all of one size. One frame is a still picture.

    seconds: duration of a round; the last frame stays a second longer, and is what a still picture or a print shows.
    colours: size of the shared palette, which keeps the file small.
    Raises ValueError on no frames, on more, and on frames of something else.
    """
    frames = list(frames)
    if not 1 <= len(frames) <= 24:
        cure = "Keep every n-th." if frames else "Was the callback never called? Train to another file, or without one."
        raise ValueError(f"An animation takes 2 to 24 frames, to stay small; got {len(frames)}. {cure}")
    arrays = [_pixels(frame) for frame in frames]
    if len({a.shape for a in arrays}) > 1:
        raise ValueError(f"The frames of an animation must be of one size; got {sorted({a.shape for a in arrays})}.")
    # One palette for all frames: PNG has one for the whole file.
    film = in_palette(np.concatenate(arrays), colours, SURFACE(np.arange(256), bytes=True)[:, :3])
    height, width = arrays[0].shape[:2]
    stills = [film.crop((0, i * height, width, (i + 1) * height)) for i in range(len(arrays))]
    durations = [int(1000 * seconds / len(stills))] * (len(stills) - 1) + [int(1000 * seconds / len(stills)) + 1000]
    file, look = io.BytesIO(), dict(optimize=True)
    if len(stills) > 1:  # the file's own picture is the end of the film, and no part of it
        look |= dict(save_all=True, default_image=True, append_images=stills, duration=durations, loop=0)
    stills[-1].save(file, "PNG", **look)
    return Animation(file.getvalue())


def _pixels(frame):
    """uint8 (H, W, 3) of a Figure or an array."""
    if isinstance(frame, Figure):
        frame.canvas.draw()
        return np.asarray(frame.canvas.buffer_rgba())[..., :3]
    pixels = as_array(frame, "A frame")
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] not in (3, 4):
        raise ValueError(f"A frame is {pixels.dtype} {pixels.shape}, expected a Figure, or uint8 (H, W, 3 or 4).")
    return pixels[..., :3]
