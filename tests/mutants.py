"""Take away each protection of the course, one at a time, in a copy: a test must notice.

    python tests/mutants.py [WORD ...]     those whose name holds one of the words; without, all
    python tests/mutants.py 1/2            the first half of them; 2/2 the second

All of them take about twenty minutes on two cores, of which each runs a mutant at a time in a copy of its own. First,
all the tests named below have to pass while nothing is taken away. Then it prints a line for each mutant: which test
noticed what was taken away, and after how long. Exits with 1 if one went unnoticed.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 150  # seconds; a test that hangs has noticed
COPIES = 2  # each with its share of the cores; a run of pytest keeps little more than one busy


class Mutant(NamedTuple):
    what: str  # is gone
    file: str
    old: str  # stands there once
    new: str
    tests: str  # arguments of pytest


TRAINING, EXPERIMENT = "gan_lib/training.py", "gan_lib/experiment.py"
HISTORY, CHECKPOINT = "gan_lib/history.py", "gan_lib/checkpoint.py"
INTERRUPTS, MESH = "gan_lib/interrupts.py", "gan_lib/mesh.py"
EXERCISES, RUNNING = "gan_lib/exercises/__init__.py", "gan_lib/exercises/running.py"
COMPARE = "gan_lib/exercises/compare.py"
IN_TRAINING = "tests/test_training.py -k"
IN_VAE = "tests/test_vae.py -k"
IN_PICTURES = "tests/test_pictures.py -k"
IN_PLAYGROUND = "tests/test_playground.py -k"

MUTANTS = [
    # Training that can be stopped.
    Mutant(
        "interrupt: an update is not cut in half",
        INTERRUPTS, "if self.raising:", "if True:",
        f"{IN_TRAINING} 'interrupt or stopped'",
    ),
    Mutant(
        "interrupt: a real kernel keeps what it reached",
        INTERRUPTS, "if self.raising:", "if True:",
        "tests/test_interrupts.py",
    ),
    Mutant(
        "interrupt: a callback is cut short",
        INTERRUPTS, "if self.raising:", "if False:",
        f"{IN_TRAINING} interrupt_during_the_callback",
    ),
    Mutant(
        "interrupt: fit stops",
        TRAINING, "interrupt.noted or file.trouble)", "file.trouble)",
        f"{IN_TRAINING} interrupt_during_the_callback",
    ),
    Mutant(
        "interrupt: Ctrl-C is the reader's again afterwards",
        INTERRUPTS, "signal.signal(signal.SIGINT, self.previous)", "pass",
        f"{IN_TRAINING} an_interrupt_keeps",
    ),
    Mutant(
        "interrupt: the state given is spared",
        TRAINING, "jax.jit(_advance,", "jax.jit(_advance, donate_argnames='state',",
        f"{IN_TRAINING} spared",
    ),
    Mutant(
        "interrupt: a history of no steps has all its names",
        HISTORY, "self.parts = [names | {\"seconds\": np.zeros(0)}, *", "self.parts = [{\"step\": np.arange(0)}, *",
        f"{IN_TRAINING} before_its_first_step",
    ),
    Mutant(
        "failure: not finite is noticed",
        TRAINING, "if all(sound.values()) and all(np.isfinite(m).all() for m in metrics.values()):", "if True:",
        f"{IN_TRAINING} 'overflow or finite'",
    ),
    Mutant(
        "failure: the last finite state is returned",
        TRAINING, "return state, {name: m[:0]", "return new, {name: m[:0]",
        f"{IN_TRAINING} 'overflow or finite'",
    ),
    Mutant(
        "failure: data with NaN is refused",
        TRAINING, "if not _all_finite(data):", "if False:",
        f"{IN_TRAINING} bad_input",
    ),
    Mutant(
        "speed: convolutions are not put into a loop",
        "gan_lib/device.py", "return any(getattr(p, \"ndim\", 0) > 2 for", "return any(False for",
        f"{IN_TRAINING} picks_its_loop",
    ),
    # Pictures of the reader's own.
    Mutant(
        "pictures: what is broken is left out",
        "gan_lib/pictures.py", "except Exception as error:", "except ZeroDivisionError as error:",
        f"{IN_PICTURES} broken_files",
    ),
    Mutant(
        "pictures: what claims too many pixels is not unpacked",
        "gan_lib/pictures.py", "if width * height > BOMB:", "if False:",
        f"{IN_PICTURES} bomb",
    ),
    Mutant(
        "pictures: no decoder runs but those named",
        "gan_lib/pictures.py", ", formats=sorted(set(FORMATS.values()))", "",
        f"{IN_PICTURES} no_other_decoder",
    ),
    Mutant(
        "pictures: photographs stand upright",
        "gan_lib/pictures.py", "upright = ImageOps.exif_transpose(picture)", "upright = picture.copy()",
        f"{IN_PICTURES} upright",
    ),
    Mutant(
        "pictures: 16 bits are scaled, not cut off",
        "gan_lib/pictures.py", 'if upright.mode.startswith("I"):', "if False:",
        f"{IN_PICTURES} modes_of_all_kinds",
    ),
    Mutant(
        "pictures: what is transparent becomes white",
        "gan_lib/pictures.py", "elif upright.has_transparency_data:", "elif False:",
        f"{IN_PICTURES} transparent",
    ),
    Mutant(
        "pictures: links that lead back end",
        "gan_lib/pictures.py", "if (place := os.path.realpath(at)) in been:", "if (place := str(at)) in been:",
        f"{IN_PICTURES} links_that_lead_back",
    ),
    Mutant(
        "pictures: more than fit are refused",
        "gan_lib/pictures.py", "if need > ROOM:", "if False:",
        f"{IN_PICTURES} more_than_fit",
    ),
    Mutant(
        "pictures: labels of kinds that cannot be read leave no gap",
        "gan_lib/pictures.py", "sorted({kinds[i] for i in read}, key=_in_order)", "sorted(set(kinds), key=_in_order)",
        f"{IN_PICTURES} leave_no_gap",
    ),
    # What a GAN is given.
    Mutant(
        "given: a pair has its halves in order",
        "gan_lib/parts.py", "if x.shape != (n, *gan.given) or not", "if not",
        "tests/test_given.py -k wrong_kind",
    ),
    Mutant(
        "given: images are scaled with the samples",
        "gan_lib/parts.py", "_images(gan, gan.prepare(x), len(real))", "_images(gan, x * 1.0, len(real))",
        "tests/test_given.py -k bytes_of_both",
    ),
    Mutant(
        "given: a term that is no number is refused",
        "gan_lib/parts.py", 'if getattr(term, "shape", None) != ():', "if False:",
        "tests/test_given.py -k no_number",
    ),
    Mutant(
        "given: the term reaches G",
        "gan_lib/gan.py", "term = self.term(fake, real, *labels)", "term = 0",
        "tests/test_given.py -k moves_g_alone",
    ),
    Mutant(
        "patches: logits that are none are refused",
        "gan_lib/losses.py", "if any(len(shape) != 2 for shape in shapes):", "if False:",
        "tests/test_given.py -k no_patches",
    ),
    Mutant(
        "U-Net: each map joins the one of its size",
        "gan_lib/unet.py", "jnp.concatenate([x, beside], axis=-1))", "jnp.concatenate([x, 0 * beside], axis=-1))",
        "tests/test_given.py -k every_layer",
    ),
    # The check-up of notebook 07.
    Mutant(
        "clinic: half of the looks have to agree",
        "gan_lib/clinic.py", "if at.sum() * 2 >= len(at) > 0:", "if at.any():",
        "tests/test_clinic.py -k half_of_the_looks",
    ),
    Mutant(
        "clinic: a reading says what it did not look for",
        "gan_lib/clinic.py", "    if skipped:\n", "    if False:\n",
        "tests/test_clinic.py -k without_a_watch",
    ),
    Mutant(
        "clinic: bad fakes without a finding are called bad",
        "gan_lib/clinic.py", "if not found and", "if False and",
        "tests/test_clinic.py -k bad_fakes",
    ),
    Mutant(
        "clinic: a sample is not its own neighbour",
        "gan_lib/probes.py", "jnp.full(len(real), jnp.inf)", "jnp.zeros(len(real))",
        "tests/test_clinic.py -k stranger",
    ),
    # Sessions that can be lost.
    Mutant(
        "checkpoint: written beside the old one, then renamed (kill -9)",
        CHECKPOINT, 'part = path.with_name(f"{path.name}.{_here()}-{os.getpid()}-{threading.get_ident()}.part")', "part = path",
        f"{IN_TRAINING} kill_9",
    ),
    Mutant(
        "checkpoint: written beside the old one, then renamed (full disk)",
        CHECKPOINT, 'part = path.with_name(f"{path.name}.{_here()}-{os.getpid()}-{threading.get_ident()}.part")', "part = path",
        f"{IN_TRAINING} 'failed_save or halfway'",
    ),
    Mutant(
        "checkpoint: on the disk before it is renamed",
        CHECKPOINT, "os.fsync(file.fileno())", "pass",
        f"{IN_TRAINING} 'failed_save or full_disk'",
    ),
    Mutant(
        "checkpoint: a mounted folder that cannot sync will do",
        CHECKPOINT, "if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):", "if True:",
        f"{IN_TRAINING} cannot_sync",
    ),
    Mutant(
        "checkpoint: no half file is left",
        CHECKPOINT, "part.unlink(missing_ok=True)", "pass",
        f"{IN_TRAINING} 'failed_save or halfway'",
    ),
    Mutant(
        "checkpoint: says which file, why, and what to do",
        CHECKPOINT, "except OSError as error:\n        raise", "except ZeroDivisionError as error:\n        raise",
        f"{IN_TRAINING} cannot_be_written",
    ),
    Mutant(
        "checkpoint: another network's is refused",
        CHECKPOINT, "if others := sorted(wanted.keys() ^ found.keys() | wanted.keys() - same):", "if False:",
        f"{IN_TRAINING} does_not_fit",
    ),
    Mutant(
        "checkpoint: another format's is refused",
        CHECKPOINT, 'if notes.get("gan_lib") != FORMAT:', "if False:",
        f"{IN_TRAINING} does_not_fit",
    ),
    Mutant(
        "checkpoint: one cut short is explained",
        CHECKPOINT, "except safetensors.SafetensorError as error:", "except ZeroDivisionError as error:",
        f"{IN_TRAINING} does_not_fit",
    ),
    Mutant(
        "checkpoint: eight bits with a scale for each channel, not one for all",
        CHECKPOINT, "np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)))", "np.full(kernel.shape[-1:], np.abs(kernel).max())",
        "tests/test_checkpoint.py -k half_a_scale",
    ),
    Mutant(
        "checkpoint: eight bits to the nearest number, not the next one to 0",
        CHECKPOINT, "np.rint(kernel / ", "np.trunc(kernel / ",
        "tests/test_checkpoint.py -k half_a_scale",
    ),
    Mutant(
        "checkpoint: a channel of zeros is not divided by 0",
        CHECKPOINT, "np.where(scale > 0, scale, 1)", "scale",
        "tests/test_checkpoint.py -k half_a_scale",
    ),
    Mutant(
        "checkpoint: weights that are not finite get no eight bits",
        CHECKPOINT, "if not np.isfinite(kernel).all():", "if False:",
        "tests/test_checkpoint.py -k without_a_scale",
    ),
    Mutant(
        "checkpoint: damaged eight bits are refused",
        CHECKPOINT, "if not (fits and scale.shape", "if False and not (fits and scale.shape",
        "tests/test_checkpoint.py -k damaged_eight",
    ),
    Mutant(
        "checkpoint: tried before the first step",
        EXPERIMENT, "self._write(state, {}, 0)  # finds out", "pass  # finds out",
        f"{IN_TRAINING} known_at_the_start",
    ),
    Mutant(
        "checkpoint: a full disk in mid-training loses nothing",
        EXPERIMENT, "            self.trouble = error.strerror\n", "            raise\n",
        f"{IN_TRAINING} full_disk",
    ),
    Mutant(
        "resume: optimisers go on",
        EXPERIMENT, "return kept, restore_history(", "return kept._replace(opt=state.opt), restore_history(",
        f"{IN_TRAINING} bitwise_the_uninterrupted",
    ),
    Mutant(
        "resume: the average goes on",
        EXPERIMENT, "return kept, restore_history(", "return kept._replace(average=state.average), restore_history(",
        f"{IN_TRAINING} bitwise_the_uninterrupted",
    ),
    Mutant(
        "resume: the history goes on",
        EXPERIMENT, "return kept, restore_history(self.path)", "return kept, None",
        f"{IN_TRAINING} bitwise_the_uninterrupted",
    ),
    Mutant(
        "resume: random numbers depend on the step alone",
        TRAINING,
        "jax.random.fold_in(key, state.step)",
        "jax.random.fold_in(key, jnp.ravel(jax.tree.leaves(state.params)[0])[0].view(jnp.int32) % 2 + state.step % 8)",
        f"{IN_TRAINING} 'resumed or random_samples'",
    ),
    Mutant(
        "resume: the lengths of programs are those of one go",
        TRAINING, "if end > done:", "if end > 0:",
        f"{IN_TRAINING} 'resumed or longer_run'",
    ),
    Mutant(
        "resume: a state further on than the file is refused",
        EXPERIMENT, "if kept.step < state.step:", "if False:",
        f"{IN_TRAINING} longer_run",
    ),
    Mutant(
        "checkpoint: bound by time, not by the end alone",
        TRAINING, "if done % every == 0 or file.is_due():", "if done % every == 0:",
        "tests/test_experiment.py -k 'lost_session and None'",
    ),
    Mutant(
        "checkpoint: another experiment's is refused",
        EXPERIMENT, "if theirs and (other := differences(", "if False and (other := differences(",
        "tests/test_experiment.py -k another_experiment",
    ),
    Mutant(
        "checkpoint: a file of save says nothing of its experiment",
        EXPERIMENT, "if theirs is None and not alike(", "if False and not alike(",
        "tests/test_experiment.py -k file_of_save",
    ),
    Mutant(
        "checkpoint: experiments are compared with a tolerance",
        EXPERIMENT, "<= 1e-4 * (a[3] + b[3])", "<= 0 * (a[3] + b[3])",
        "tests/test_experiment.py -k rounding",
    ),
    Mutant(
        "checkpoint: two trainings do not overwrite each other",
        EXPERIMENT, 'and (self._noted() or {}).get("writer") != self.last', "and False",
        "tests/test_experiment.py -k two_trainings",
    ),
    Mutant(
        "callback: numbers of steps cannot be overwritten",
        HISTORY, "if name in self.parts[0]]:", "if False]:",
        "tests/test_experiment.py -k overwritten",
    ),
    Mutant(
        "callback: an error carries what was reached",
        TRAINING, "error.state, error.history = state, log.arrays()", "pass",
        "tests/test_experiment.py -k fails_loses_nothing",
    ),
    Mutant(
        "callback: the file is written before it",
        TRAINING, "if done % every == 0 or file.is_due():", "if file.is_due():",
        "tests/test_experiment.py -k fails_loses_nothing",
    ),
    # Keys.
    Mutant(
        "keys: no step repeats another's",
        TRAINING, "jax.random.fold_in(key, state.step)", "jax.random.fold_in(key, state.step % 100)",
        f"{IN_TRAINING} key",
    ),
    Mutant(
        "keys: batch and step have two",
        TRAINING, "batch_key, step_key = jax.random.split(jax.random.fold_in(key, state.step))",
        "batch_key = step_key = jax.random.fold_in(key, state.step)",
        f"{IN_TRAINING} key",
    ),
    Mutant(
        "keys: latents and penalty have two",
        "gan_lib/gan.py", "z_key, p_key = jax.random.split(key)", "z_key = p_key = key",
        f"{IN_TRAINING} key",
    ),
    Mutant(
        "keys: both networks have their own",
        "gan_lib/gan.py", "g_key, d_key = jax.random.split(key)", "g_key = d_key = key",
        f"{IN_TRAINING} keys_of_their_own",
    ),
    # Labels.
    Mutant(
        "labels: G gets those of the batch",
        "gan_lib/gan.py", "forward(generator, g, g_rest, z, *labels)",
        "forward(generator, g, g_rest, z, *(0 * y for y in labels))",
        "tests/test_models.py -k label",
    ),
    Mutant(
        "labels: fakes are judged with the labels they were made with",
        "gan_lib/gan.py", "    fake_logits, rest = forward(build, params, rest, fake, *labels)",
        "    fake_logits, rest = forward(build, params, rest, fake, *(y[::-1] for y in labels))",
        "tests/test_models.py -k label",
    ),
    Mutant(
        "labels: conditional discriminators judge each pair alone",
        "gan_lib/nets.py", "def _verdict(rngs, spread=False):", "def _verdict(rngs, spread=True):",
        "tests/test_nets.py -k alone",
    ),
    Mutant(
        "labels: … with one-hot channels, too",
        "gan_lib/nets.py", "channels=channels + classes, spread=False, size=size)", "channels=channels + classes, size=size)",
        "tests/test_nets.py -k alone",
    ),
    Mutant(
        "labels: those of no class are refused",
        "gan_lib/parts.py", "    if low < 0 or high >= classes:", "    if False:",
        "tests/test_models.py -k label",
    ),
    # A VAE, and a VAE-GAN.
    Mutant(
        "vae: a small KL keeps its digits",
        "gan_lib/vae.py", "jnp.expm1(log_variance)", "jnp.exp(log_variance) - 1",
        f"{IN_VAE} small_numbers",
    ),
    Mutant(
        "vae: shapes of a KL that would broadcast are refused",
        "gan_lib/vae.py", "if len(shapes[0]) != 2 or shapes[0] != shapes[1]:", "if False:",
        f"{IN_VAE} broadcast",
    ),
    Mutant(
        "vae: the encoder is not moved by fooling D",
        "gan_lib/vae.py", "_, to_z = to_decoder(of_likeness)", "_, to_z = to_decoder(of_likeness + of_fooling)",
        f"{IN_VAE} whose_aim",
    ),
    Mutant(
        "vae: the decoder's weight of likeness is not the encoder's",
        "gan_lib/vae.py", "_, to_z = to_decoder(of_likeness)", "_, to_z = to_decoder(self.gamma * of_likeness)",
        f"{IN_VAE} whose_aim",
    ),
    Mutant(
        "vae: D sees drawn samples beside rebuilt ones",
        "gan_lib/vae.py", "(x, made[:n], made[n:])", "(x, made[:n], made[:n])",
        f"{IN_VAE} of_the_algorithm",
    ),
    Mutant(
        "vae: a log-variance is cut",
        "gan_lib/coder.py", "jnp.clip(log_variance, -10, 10)", "log_variance",
        f"{IN_VAE} overflows",
    ),
    Mutant(
        "vae: a decoder of other samples than the data's is refused",
        "gan_lib/coder.py", ".shape) != x.shape:", ".shape) == ():",
        f"{IN_VAE} explained",
    ),
    Mutant(
        "vae: data without a probability are refused",
        "gan_lib/coder.py", "if lowest < low - 1e-3 or highest > high + 1e-3:", "if False:",
        f"{IN_VAE} explained",
    ),
    # Several devices.
    Mutant(
        "mesh: each device draws its own latents only",
        "gan_lib/pure.py", "module(*dealt(inputs))", "module(*inputs)",
        "tests/test_mesh.py -k no_device",
    ),
    Mutant(
        "mesh: a batch is shared out",
        TRAINING, "with shared(mesh):", "with shared(None):",
        "tests/test_mesh.py -k no_device",
    ),
    Mutant(
        "mesh: a batch that devices do not divide is refused",
        MESH, "if batch_size % mesh.size:", "if False:",
        "tests/test_mesh.py -k goes_on",
    ),
    Mutant(
        "mesh: an Explicit axis is refused",
        MESH, "if mesh.axis_types[0] != AxisType.Auto:", "if False:",
        "tests/test_mesh.py -k refused",
    ),
    Mutant(
        "mesh: another number of devices goes on with a checkpoint",
        TRAINING, "state = everywhere(mesh, state)", "pass",
        "tests/test_mesh.py -k goes_on",
    ),
    # What is handed over.
    Mutant(
        "refused: data that a generator cannot reach",
        "gan_lib/gan.py", "        return check_data(self, data)", "        return None",
        "tests/test_models.py -k reach",
    ),
    Mutant(
        "refused: parts that do not fit",
        "gan_lib/gan.py", "        check_fit(self)", "        pass",
        "tests/test_models.py -k at_once",
    ),
    Mutant(
        "networks: arrays of their own are arrays",
        "gan_lib/pure.py", "setattr(part, name, nnx.data(value))", "pass",
        "tests/test_models.py -k array_of_a_network",
    ),
    Mutant(
        "networks: a mode that nobody set is training's",
        "gan_lib/pure.py", "        _decide(module)", "        pass",
        "tests/test_models.py -k Attentive",
    ),
    Mutant(
        "networks: what a pass brings along is dropped",
        "gan_lib/pure.py", "return y, _only(arrays(module)[1], rest)", "return y, arrays(module)[1]",
        "tests/test_models.py -k Sowing",
    ),
    Mutant(
        "networks: an average of bfloat16 moves",
        "gan_lib/gan.py", "jax.tree.map(in_full, (g, g_rest))", "(g, g_rest)",
        "tests/test_models.py -k bfloat16",
    ),
    Mutant(
        "failure: the advice leads to the line",
        "gan_lib/device.py", "if jax.config.jax_debug_nans or jax.config.jax_debug_infs:", "if False:",
        "tests/test_models.py -k advice",
    ),
    Mutant(
        "memory: what does not fit is counted",
        "gan_lib/device.py", "if free is not None and moved + needed > free:", "if False:",
        "tests/test_models.py -k counted",
    ),
    Mutant(
        "arrays: one of a tuple's parts is asked for by name",
        "gan_lib/arrays.py", 'if fields := getattr(value, "_fields", ()):', "if fields := ():",
        "tests/test_arrays.py tests/test_metrics.py -k 'refused'",
    ),
    Mutant(
        "arrays: other byte orders become this machine's",
        "gan_lib/arrays.py", "return x if stays or x.dtype.isnative else", "return x if True else",
        "tests/test_arrays.py",
    ),
    Mutant(
        "arrays: masked entries are no numbers",
        "gan_lib/arrays.py", "if isinstance(value, np.ma.MaskedArray) and", "if False and",
        "tests/test_arrays.py",
    ),
    Mutant(
        "arrays: what is no number is refused",
        "gan_lib/arrays.py", "if not _real(x.dtype):", "if False:",
        "tests/test_arrays.py",
    ),
    Mutant(
        "metrics: no number where powers leave float64",
        "gan_lib/arrays.py", "> LARGEST:", "> np.inf:",
        "tests/test_metrics.py -k 'powers'",
    ),
    Mutant(
        "metrics: no number where squares vanish",
        "gan_lib/metrics.py", "SMALLEST = 1e-140", "SMALLEST = 0",
        "tests/test_metrics.py -k 'squares_can_show'",
    ),
    Mutant(
        "metrics: one sample far off costs no other its digits",
        "gan_lib/metrics.py", "centre = np.median(real, axis=0)", "centre = real.mean(axis=0)",
        "tests/test_metrics.py -k 'far_off'",
    ),
    Mutant(
        "metrics: small features are not lost beside a 1",
        "gan_lib/metrics.py", "return base * (base * (base + 3) + 3)", "return (base + 1) ** 3",
        "tests/test_metrics.py -k 'rounding_error'",
    ),
    Mutant(
        "metrics: a Gaussian takes a covariance, not its root",
        "gan_lib/metrics.py", "else _root(matrix)", "else matrix",
        "tests/test_metrics.py -k 'gaussian'",
    ),
    Mutant(
        "plots: bytes are not floats",
        "gan_lib/arrays.py", "return inked / 127.5 - 1", "return np.clip(inked, -1, 1)",
        "tests/test_plots.py -k sheet",
    ),
    Mutant(
        "plots: NaN is not paper",
        "gan_lib/arrays.py", "if x.size and not np.isfinite([low, high]).all():", "if False:",
        "tests/test_plots.py -k sheet",
    ),
    Mutant(
        "plots: what lies outside is not cut off without a word",
        "gan_lib/arrays.py", "if low < -1.001 or high > 1.001 or x.dtype == np.uint8:", "if False:",
        "tests/test_plots.py -k sheet",
    ),
    Mutant(
        "plots: one image is one image",
        "gan_lib/plots.py", "x = x[None] if x.ndim == 3 and x.shape[-1] in (1, 3) else x", "pass",
        "tests/test_plots.py -k one_image",
    ),
    Mutant(
        "plots: an empty history is drawn",
        "gan_lib/plots.py", 'mode="valid") if len(values) else values', 'mode="valid")',
        "tests/test_plots.py -k no_steps",
    ),
    Mutant(
        "plots: a film of one frame is drawn",
        "gan_lib/plots.py", "if not 1 <= len(frames) <= 24:", "if not 2 <= len(frames) <= 24:",
        "tests/test_plots.py -k still_picture",
    ),
    Mutant(
        "plots: a film's still picture is its end",
        "gan_lib/plots.py", "stills[-1].save(", "stills[0].save(",
        "tests/test_plots.py -k still_picture",
    ),
    Mutant(
        "palette: half of it for a surface",
        "gan_lib/palette.py", "min(len(scale), colours // 2)", "min(len(scale), 9)",
        "tests/test_plots.py -k bands",
    ),
    Mutant(
        "palette: a page is white",
        "gan_lib/palette.py", "if codes[-1] == 0xFFFFFF:", "if False:",
        "tests/test_plots.py -k white_page",
    ),
    Mutant(
        "layers: 32 bits where JAX's default is 64",
        "gan_lib/layers.py", "features_in, features_out), jnp.float32))", "features_in, features_out)))",
        "tests/test_layers.py -k 64_bits",
    ),
    Mutant(
        "layers: two types become one, as in Flax",
        "gan_lib/layers.py", "return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)", "return x, kernel",
        "tests/test_layers.py -k types_come",
    ),
    Mutant(
        "penalty: the falling γ is the one of this step",
        "gan_lib/gan.py", "at_step(self.penalty, number)", "at_step(self.penalty, 0)",
        "tests/test_penalties.py -k hands_the_step",
    ),
    Mutant(
        "penalty: a schedule is not taken for a number",
        "gan_lib/penalties.py", "if callable(self.r1) or callable(self.r2):", "if False:",
        "tests/test_penalties.py -k gamma_that_falls",
    ),
    Mutant(
        "nets: a residual block starts as the identity",
        "gan_lib/residual.py", "init=nnx.initializers.zeros", "init=he",
        "tests/test_nets.py -k 'identity or linear_maps'",
    ),
    Mutant(
        "nets: a size that cannot be halved is explained",
        "gan_lib/residual.py", "if rest or not side:", "if False:",
        "tests/test_nets.py -k do_not_fit_the_size",
    ),
    Mutant(
        "nets: the logits are float32 whatever the arithmetic is",
        "gan_lib/residual.py", "1, dtype=jnp.float32, rngs=rngs)", "1, dtype=dtype, rngs=rngs)",
        "tests/test_nets.py -k two_digits",
    ),
    Mutant(
        "nets: the spread of a batch in bfloat16 is float32",
        "gan_lib/layers.py", "exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # dev", "exact = x  # dev",
        "tests/test_nets.py -k leaves_weights",
    ),
    Mutant(
        "nets: the last dense layer is float32 whatever the arithmetic is",
        "gan_lib/nets.py", "[dtype] * (len(sizes) - 2) + [jnp.float32]", "[dtype] * (len(sizes) - 1)",
        "tests/test_nets.py -k leaves_weights",
    ),
    Mutant(
        "device: processes that train together compile the same program",
        "gan_lib/device.py", "if convolutional or jax.process_count() > 1:", "if convolutional:",
        "tests/test_training.py -k faster_matrix_library",
    ),
    Mutant(
        "device: the next session takes the same matrix library",
        "gan_lib/device.py", 'if (known := _read(note)) not in ("eigen", "own"):', "if known := True:",
        "tests/test_training.py -k faster_matrix_library",
    ),
    Mutant(
        "stream: no batch is asked for that a training does not use",
        "gan_lib/stream.py", "if self.left:", "if True:",
        "tests/test_stream.py -k none_too_many",
    ),
    Mutant(
        "stream: no more batches ahead than memory was meant for",
        "gan_lib/stream.py", "for _ in range(AHEAD):", "for _ in range(9):",
        "tests/test_stream.py -k while_a_step_runs",
    ),
    Mutant(
        "stream: a batch unlike the first is explained",
        "gan_lib/stream.py", "if shapes[0] != shapes[1]:", "if False:",
        "tests/test_stream.py -k unlike",
    ),
    Mutant(
        "stream: batches are on the device before the step asks",
        "gan_lib/stream.py", "else jax.device_put(batch)", "else batch",
        "tests/test_stream.py -k while_a_step_runs",
    ),
    Mutant(
        "stacked: a training that diverges ends at its last finite state",
        "benchmarks/stacked.py", "if not np.isfinite(list(metrics.values())).all() or not finite(new):", "if False:",
        "tests/test_stacked.py -k diverges",
    ),
    Mutant(
        "stacked: modes are told apart by all three channels",
        "benchmarks/stacked.py", "labels @ [100, 10, 1]", "labels @ [100, 10, 0]",
        "tests/test_stacked.py -k equal_ones",
    ),
    Mutant(
        "stacked: a file that was not trained here is refused",
        "benchmarks/stacked.py", 'if notes.get("data") != DATA:', "if False:",
        "tests/test_stacked.py -k 'not_trained_here'",
    ),
    Mutant(
        "layers: coefficients as exact as the images",
        "gan_lib/layers.py", "_fourier((h, w), k, before, x.dtype)", "_fourier((h, w), k, before)",
        "tests/test_layers.py -k 64_bits",
    ),
    Mutant(
        "checkpoint: numbers in C order",
        CHECKPOINT, 'x, order="C")', "x)",
        "tests/test_checkpoint.py -k 'memory or outside'",
    ),
    Mutant(
        "checkpoint: numbers in this machine's byte order",
        CHECKPOINT, 'array = array.astype(dtype.newbyteorder("="), copy=False)', "pass",
        "tests/test_checkpoint.py -k memory",
    ),
    Mutant(
        "checkpoint: every type of JAX comes back",
        CHECKPOINT, "    if _split(dtype):\n        return", "    if False:\n        return",
        "tests/test_checkpoint.py -k 'every_type'",
    ),
    Mutant(
        "checkpoint: what cannot be read is not written",
        CHECKPOINT, "if np.ma.is_masked(x) or not (dtype.name in PLAIN or _split(dtype)):", "if False:",
        "tests/test_checkpoint.py -k 'refused_at_the_save'",
    ),
    Mutant(
        "checkpoint: keys of other generators",
        CHECKPOINT, ", impl=jax.random.key_impl(like)", "",
        "tests/test_checkpoint.py -k keys",
    ),
    Mutant(
        "checkpoint: whose numbers a key's are",
        CHECKPOINT, "types |= {name: kind} if kind else {}", 'types |= {name: kind} if kind and "key" not in kind else {}',
        "tests/test_checkpoint.py -k keys",
    ),
    Mutant(
        "checkpoint: a Python number is no float32",
        CHECKPOINT, "return array.item()", "return jnp.asarray(array)",
        "tests/test_checkpoint.py -k numbers_come",
    ),
    Mutant(
        "checkpoint: what earlier versions wrote is read",
        CHECKPOINT, 'CODES |= {"BF16": "bfloat16", ', "CODES |= {",
        "tests/test_checkpoint.py -k earlier_versions_are",
    ),
    Mutant(
        "checkpoint: ~ is the home folder",
        CHECKPOINT, "os.path.expanduser(os.fsdecode(path))", "os.fsdecode(path)",
        "tests/test_checkpoint.py -k home",
    ),
    Mutant(
        "checkpoint: a link is written through",
        CHECKPOINT, "Path(os.path.realpath(name) if os.path.islink(name) else name)", "Path(name)",
        "tests/test_checkpoint.py -k link",
    ),
    Mutant(
        "checkpoint: a folder is refused in words",
        CHECKPOINT, 'if real.is_dir() or name.endswith(("/", os.sep)):', "if False:",
        "tests/test_checkpoint.py -k no_files",
    ),
    Mutant(
        "checkpoint: two may save to one file",
        CHECKPOINT,
        'part = path.with_name(f"{path.name}.{_here()}-{os.getpid()}-{threading.get_ident()}.part")',
        'part = path.with_name(f"{path.name}.part")',
        "tests/test_checkpoint.py -k two_trainings",
    ),
    Mutant(
        "checkpoint: killed writers leave no litter",
        CHECKPOINT, "    _sweep(path)\n", "",
        "tests/test_checkpoint.py -k killed_writers",
    ),
    # Version drift.
    Mutant(
        "versions: a pair never tested is called so",
        "gan_lib/notebook.py", "if pair in TESTED:", "if True:",
        "tests/test_notebook.py",
    ),
    Mutant(
        "versions: the floor of the tests is the floor of the package",
        "Makefile", "flax==0.11.2", "flax==0.12.0",
        "tests/test_packaging.py tests/test_notebook.py -k 'floor or tested'",
    ),
    Mutant(
        "versions: a warning is an error in the tests",
        "pyproject.toml", 'filterwarnings = ["error"]', 'filterwarnings = ["default"]',
        "tests/test_notebook.py -k warning",
    ),
    Mutant(
        "versions: a warning is an error in the notebooks, too",
        "gan_lib/notebook.py", 'warnings.filterwarnings("error"', 'warnings.filterwarnings("default"',
        "tests/test_notebook.py -k warning",
    ),
    Mutant(
        "versions: no flag for an XLA that may not know it",
        "gan_lib/device.py", "if known and alone:", "if alone:",
        "tests/test_notebook.py -k sooner",
    ),
    Mutant(
        "versions: with NumPy 2.5 a check of eigenvalues ends",
        "gan_lib/exercises/nb03.py", "bool(np.linalg.eigvals(jacobian).imag.any())",
        "np.iscomplexobj(np.linalg.eigvals(jacobian))",
        "tests/test_exercises.py -k eigenvalues_of_one_dtype",
    ),
    # Colab, Kaggle, Binder.
    Mutant(
        "alone: one setup cell for all notebooks",
        "notebooks/source/05_dcgan.md", "-m pip install -q --no-deps", "-m pip install -q",
        "tests/test_notebooks.py -k 'setup_cell or equal_the_twin'",
    ),
    Mutant(
        "alone: setup cells and badges belong to the one address",
        "pyproject.toml", "[tool.setuptools]\n", '[project.urls]\nRepository = "https://github.com/a/b"\n\n[tool.setuptools]\n',
        "tests/test_notebooks.py -k setup_cell",
    ),
    Mutant(
        "alone: the data comes along",
        "pyproject.toml", '"gan_lib.files.mnist" = ["*.gz", ', '"gan_lib.files.mnist" = [',
        "tests/test_alone.py -k '06'",
    ),
    Mutant(
        "alone: all modules come along",
        "pyproject.toml", 'packages = ["gan_lib", "gan_lib.exercises", ', 'packages = ["gan_lib", ',
        "tests/test_alone.py -k '06'",
    ),
    Mutant(
        "alone: a zip of any shape is unpacked",
        "notebooks/source/links.py", "!unzip -qo", "!false -qo",
        "tests/test_alone.py -k arrives",
    ),
    Mutant(
        "alone: gan_lib is found at any depth",
        "notebooks/source/links.py", "for at, *_ in os.walk(top)]", "for at, *_ in list(os.walk(top))[:1]]",
        "tests/test_alone.py -k arrives",
    ),
    # The set-up.
    Mutant(
        "set-up: ready when the imports work",
        ".ci/install.py", "if look.returncode:", "if False:",
        "tests/test_setup.py -k not_ready",
    ),
    Mutant(
        "set-up: no setting sends packages elsewhere",
        ".ci/install.py", '"CONFIG_FILE": os.devnull, ', "",
        "tests/test_setup.py -k 'elsewhere and file'",
    ),
    Mutant(
        "set-up: a mirror is followed",
        ".ci/install.py", '"find-links", ', "",
        "tests/test_setup.py -k 'elsewhere and file'",
    ),
    Mutant(
        "set-up: settings for other Pythons are none for this one",
        ".ci/setup.sh", "unset $(env |", ": $(env |",
        "tests/test_setup.py -k two_at_once",
    ),
    Mutant(
        "set-up: one at a time",
        ".ci/setup.sh", "\nalone\n", "\n",
        "tests/test_setup.py -k two_at_once",
    ),
    Mutant(
        "set-up: the lock of one that was killed is none",
        ".ci/setup.sh", 'elif [ -L "$lock" ]; then', "elif false; then",
        "tests/test_setup.py -k two_at_once",
    ),
    Mutant(
        "set-up: a reason is never empty",
        ".ci/install.py", '"it ended without a word"', '""',
        "tests/test_setup.py -k empty",
    ),
    Mutant(
        "set-up: make -n only shows",
        "Makefile", "$(if $(dry),", "$(if ,",
        "tests/test_setup.py -k make_n",
    ),
    Mutant(
        "set-up: what builds the site stays",
        ".ci/setup.sh", ' || [ "$(tail -n 1 "$venv/ready" 2>/dev/null)" = lab,test,site ]', "",
        "tests/test_setup.py -k builds_the_site",
    ),
    # The site.
    Mutant(
        "site: new words for a picture are built into its notebook",
        "notebooks/source/build.py", ', *alt]\n', ']\n',
        "tests/test_site.py -k words_in_a_twin",
    ),
    Mutant(
        "site: an author's words for a picture come first",
        "site/pages.py", 'cell.metadata.get("alt") or ', "",
        "tests/test_site.py -k authors",
    ),
    Mutant(
        "site: no picture of a badge comes from elsewhere",
        "site/pages.py", 'text = re.sub(rf"\\[!\\[{words}', 're.sub(rf"\\[!\\[{words}',
        "tests/test_site.py -k colab",
    ),
    # Careless readers.
    Mutant(
        "exercise: the reference stands in",
        EXERCISES, "return fn if result.passed else reference", "return fn",
        "tests/test_exercises.py -k 'stands_in or endless'",
    ),
    Mutant(
        "exercise: an endless loop is stopped",
        RUNNING, "done.wait(TIME_LIMIT)", "done.wait(8)",
        "tests/test_exercises.py -k endless",
    ),
    Mutant(
        "exercise: the stopped thread ends",
        RUNNING, 'ending = "" if _stop(thread) else', 'ending = "" if True else',
        "tests/test_exercises.py -k 'endless or swallows'",
    ),
    Mutant(
        "exercise: a busy machine is given more time",
        RUNNING, "while (computed := time.process_time() - used) < TIME_LIMIT", "while (computed := TIME_LIMIT) < TIME_LIMIT",
        "tests/test_exercises.py -k busy_machine_is_waited_for",
    ),
    Mutant(
        "exercise: a loop inside XLA computes, too",
        RUNNING, "(computed := time.process_time() - used)", "(computed := time.thread_time() - min(used, 0))",
        "tests/test_exercises.py -k inside_xla",
    ),
    Mutant(
        "exercise: what waits is not waited for without end",
        RUNNING, ">= PATIENCE", ">= 12",
        "tests/test_exercises.py -k waits_is_not",
    ),
    Mutant(
        "exercise: an error is told, not raised",
        RUNNING, "    except BaseException as error:\n        said", "    except ZeroDivisionError as error:\n        said",
        "tests/test_exercises.py -k 'wrong_answers_are_explained or careless'",
    ),
    Mutant(
        "exercise: inputs changed in place are noticed",
        RUNNING, "if _contents((args, kwargs)) != before:", "if False:",
        "tests/test_exercises.py -k in_place",
    ),
    Mutant(
        "exercise: infinite values are called so",
        COMPARE, "bad = ~np.isfinite(a) & np.isfinite(b)", "bad = np.zeros(np.shape(a), bool)",
        "tests/test_exercises.py -k 'same or careless'",
    ),
    Mutant(
        "exercise: a solution pasted into a cell is checked",
        EXERCISES, """f'@exercise("{name}")', *lines""", "*lines",
        "tests/test_exercises.py -k pasted_into_a_cell",
    ),
    Mutant(
        "exercise: a solution brings along what it imports",
        EXERCISES, "(alias.asname or alias.name) in used", "False",
        "tests/test_pasted_solutions.py",
    ),
    Mutant(
        "exercise: what a coincidence would explain is not explained",
        COMPARE, "chance = single and", "chance = False and",
        "tests/test_exercises.py -k proves_nothing",
    ),
    Mutant(
        "exercise: a number slightly off is not in reversed order",
        COMPARE, "if not alike(got, expected, times=3):", "if True:",
        "tests/test_exercises.py -k proves_nothing",
    ),
    Mutant(
        "notebook: a cell can run twice",
        "notebooks/04_mlp_gan.ipynb", "images = jnp.asarray(data.mnist()[0])", "images = jnp.asarray(data.mnist()[0]); del data",
        "tests/test_careless.py -k 04",
    ),
    Mutant(
        "notebook: an interrupted training can be gone on with",
        INTERRUPTS, "if self.raising:", "if True:",
        "tests/test_careless.py -k 04",
    ),
    Mutant(
        "notebook: the stop button ends a training",
        TRAINING, "interrupt.noted or file.trouble)", "file.trouble)",
        "tests/test_careless.py -k 04",
    ),
    Mutant(
        "notebook: nonsense keeps no cell for longer than its limit",
        RUNNING, "done.wait(TIME_LIMIT)",
        'done.wait(TIME_LIMIT if TIME_LIMIT > 1 or hasattr(_time_up, "once") else setattr(_time_up, "once", 1) or 11)',
        "tests/test_careless.py -k 04",
    ),
    Mutant(
        "notebook: a number that is none is not below a bound",
        "gan_lib/notebook.py", "(at_most is None or value <= at_most)", "not (at_most is not None and value > at_most)",
        "tests/test_notebook.py -k expectation",
    ),
    Mutant(
        "notebook: a number that is none is not above a bound",
        "gan_lib/notebook.py", "(at_least is None or value >= at_least)", "not (at_least is not None and value < at_least)",
        "tests/test_notebook.py -k expectation",
    ),
    Mutant(
        "notebook: a number that is none is not near another",
        "gan_lib/notebook.py", "(near is None or abs(value - near) <= tol)", "not (near is not None and abs(value - near) > tol)",
        "tests/test_notebook.py -k expectation",
    ),
    Mutant(
        "notebook: a TPU has the budget of a GPU",
        "gan_lib/notebook.py", 'cpu if jax.default_backend() == "cpu" else gpu', 'gpu if jax.default_backend() == "gpu" else cpu',
        "tests/test_notebook.py -k budget",
    ),
    # Chance.
    Mutant(
        "keys: one for the modes, one for the noise",
        "gan_lib/data.py", "key_mode, key_noise = jax.random.split(key)", "key_mode = key_noise = key",
        "tests/test_keys.py -k used_once",
    ),
    Mutant(
        "keys: the penalty's points are drawn anew",
        "gan_lib/penalties.py", "jax.random.uniform(key, (len(real),)", "jax.random.uniform(jax.random.key(0), (len(real),)",
        "tests/test_keys.py -k used_once",
    ),
    Mutant(
        "keys: a share for each sample between real and fake",
        "gan_lib/penalties.py", "(len(real),) + (1,) * (jnp.ndim(real) - 1)", "(1,) * jnp.ndim(real)",
        "tests/test_keys.py -k share_of_its_own",
    ),
    Mutant(
        "keys: each dropout has its own",
        "gan_lib/layers.py", "rngs.dropout.fork()", "nnx.Rngs(dropout=rngs.dropout.key[...]).dropout",
        "tests/test_keys.py -k dropout_draws",
    ),
    Mutant(
        "keys: dropout draws at each call",
        "gan_lib/layers.py", "jax.random.bits(self.rngs(),", "jax.random.bits(self.rngs.key[...],",
        "tests/test_keys.py -k dropout_draws",
    ),
    Mutant(
        "keys: each layer starts from its own",
        "gan_lib/layers.py", "nnx.Param(init(rngs.params(), (size,", "nnx.Param(init(jax.random.key(0), (size,",
        "tests/test_keys.py -k 'one_key and (discriminator or spectral)'",
    ),
    Mutant(
        "keys: a singular vector starts from its own",
        "gan_lib/layers.py", "jax.random.normal(rngs.params(), layer", "jax.random.normal(jax.random.key(0), layer",
        "tests/test_keys.py -k 'used_once or (one_key and spectral)'",
    ),
    Mutant(
        "keys: a classifier's step draws images, shifts and nonsense apart",
        "gan_lib/features.py", "draw, shift, rubbish = jax.random.split(key, 3)", "draw = shift = rubbish = key",
        "tests/test_keys.py -k classifier_draws",
    ),
    Mutant(
        "keys: a classifier's steps differ",
        "gan_lib/features.py", "jax.random.fold_in(key, n)", "key",
        "tests/test_keys.py -k classifier_draws",
    ),
    Mutant(
        "keys: images of nothing are of their own making",
        "gan_lib/features.py", "kind_key, noise_key, grey_key, order_key = jax.random.split(key, 4)",
        "kind_key = noise_key = grey_key = order_key = key",
        "tests/test_keys.py -k used_once",
    ),
    Mutant(
        "keys: a kernel distance draws each subset",
        "gan_lib/metrics.py", "values = [_mmd(rng.choice(a, n, replace=False), rng.choice(b, m, replace=False))",
        "values = [_mmd(np.random.default_rng(seed).choice(a, n, replace=False), rng.choice(b, m, replace=False))",
        "tests/test_keys.py -k kernel_distance",
    ),
    Mutant(
        "keys: a kernel distance draws its two sets apart",
        "gan_lib/metrics.py", "values = [_mmd(rng.choice(a, n, replace=False), rng.choice(b, m, replace=False))",
        "values = [_mmd(a[i := rng.choice(len(a), n, replace=False)], b[i])",
        "tests/test_keys.py -k kernel_distance",
    ),
    Mutant(
        "keys: the floor of a distance is ten draws",
        "gan_lib/features.py", "draws = [rng.choice(unseen", "draws = [np.random.default_rng(0).choice(unseen",
        "tests/test_keys.py -k floor",
    ),
    # Files.
    Mutant(
        "files: nothing is unpickled",
        CHECKPOINT, "import safetensors\n", "import pickle\nimport safetensors\n",
        "tests/test_files.py",
    ),
    Mutant(
        "files: no cell installs",
        "notebooks/source/04_mlp_gan.md", "images = jnp.asarray(data.mnist()[0])", "!pip install images",
        "tests/test_files.py",
    ),
    Mutant(
        "files: no address but the checked ones",
        "gan_lib/fetch.py", "https://storage.googleapis.com/", "https://example.org/",
        "tests/test_files.py",
    ),
    Mutant(
        "files: a download has the right content",
        "gan_lib/fetch.py", "if digest != SHA256[file]:", "if False:",
        "tests/test_data.py -k wrong",
    ),
    Mutant(
        "files: a download is there whole or not at all",
        "gan_lib/fetch.py", "part = Path(folder) / target.name", "part = target",
        "tests/test_data.py -k 'disk or interrupted or wrong'",
    ),
    Mutant(
        "files: a file cut short is explained",
        "gan_lib/fetch.py", "if not unpacker.eof:", "if False:",
        "tests/test_data.py -k wrong",
    ),
    Mutant(
        "files: an unpacked one is taken",
        "gan_lib/fetch.py", '(place, place.with_suffix(""))', "(place,)",
        "tests/test_data.py -k unpacked",
    ),
    Mutant(
        "files: one's own that are not used are named",
        "gan_lib/data.py", "warnings.warn(words, stacklevel=3)", "pass",
        "tests/test_data.py -k own_files",
    ),
    Mutant(
        "files: a home is looked for last",
        "gan_lib/data.py", "next(filter(os.path.isfile, places(file)), None)",
        "next(filter(os.path.isfile, [*places(file)]), None)",
        "tests/test_data.py -k without_a_home",
    ),
    Mutant(
        "files: nobody needs a home",
        "gan_lib/fetch.py", "with contextlib.suppress(RuntimeError):", "with contextlib.suppress(KeyError):",
        "tests/test_data.py -k without_a_home",
    ),
    Mutant(
        "lab: a token",
        "Makefile", "00_start_here.ipynb $(ARGS)", "00_start_here.ipynb --IdentityProvider.token= $(ARGS)",
        "tests/test_files.py -k jupyterlab",
    ),
    Mutant(
        "lab: for this machine alone",
        "Makefile", "00_start_here.ipynb $(ARGS)", "00_start_here.ipynb --ip=0.0.0.0 $(ARGS)",
        "tests/test_files.py -k jupyterlab",
    ),
    # The playground.
    Mutant(
        "playground: no knob compiles anew",
        "gan_lib/playground.py", '@partial(jax.jit, static_argnames=("size", "loss"))\ndef _advance',
        '@partial(jax.jit, static_argnames=("size", "loss", "steps"))\ndef _advance',
        f"{IN_PLAYGROUND} compile_anew",
    ),
    Mutant(
        "playground: G waits for its turn",
        "gan_lib/playground.py", '(number + 1) % controls["d_steps"] == 0', "number >= 0",
        f"{IN_PLAYGROUND} 'turn or gan_step'",
    ),
    Mutant(
        "playground: stops when the browser is gone",
        "gan_lib/live.py", "if self.silent > PATIENCE:", "if False:",
        f"{IN_PLAYGROUND} gone",
    ),
    Mutant(
        "playground: a busy kernel is no silence",
        "gan_lib/live.py", "self.loop and not self.pulsing and", "self.loop and",
        f"{IN_PLAYGROUND} gone",
    ),
    Mutant(
        "playground: an interrupted cell pauses it",
        "gan_lib/live.py", "if isinstance(result.error_in_exec, KeyboardInterrupt):", "if False:",
        f"{IN_PLAYGROUND} kernel_stays_free",
    ),
    Mutant(
        "playground: an interrupt between cells pauses it",
        "gan_lib/live.py", "signal.signal(signal.SIGINT, self.pause)", "pass",
        f"{IN_PLAYGROUND} kernel_stays_free",
    ),
    Mutant(
        "playground: what cannot be obeyed is answered, and the thread lives on",
        "gan_lib/live.py", "except Exception as error:  # the thread lives on, and the reader is told",
        "except KeyError as error:",
        f"{IN_PLAYGROUND} answers_in_words",
    ),
]  # fmt: skip


def copy(target):
    """A clone with what was edited since the last commit."""
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, target], check=True)
    listed = ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    edited = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, edited.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((ROOT / name).read_bytes())


def outcome(folder, tests, *options, timeout=None):
    """(the first test that fails or "", what pytest prints), in this folder, with the gan_lib that lies there."""
    options = ["-q", "-p", "no:cacheprovider", "--tb=short", *options]
    command = [sys.executable, "-m", "pytest", *options, *shlex.split(tests)]
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True, text=True, timeout=timeout,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"still running after {timeout:.0f} s", ""
    printed = f"{done.stdout}\n{done.stderr}"
    if done.returncode:
        found = re.search(r"(?m)^(?:FAILED|ERROR) (?:tests/)?(.+?)(?: - .*)?$", done.stdout)
        if done.returncode == 5:
            raise SystemExit(f"{tests}: no test ran\n{printed}")
        return found[1] if found else "pytest, which ended", printed  # the mutant ended it, or cannot be imported
    return "", printed


def files_of(tests):
    """The files among arguments of pytest, without -k and its words."""
    return tests.partition(" -k ")[0]


def together(selections):
    """Arguments of pytest for all of these, a run for each set of files: JAX is loaded, and a test run, but once."""
    words = defaultdict(list)
    for selection in dict.fromkeys(selections):
        files, _, chosen = selection.partition(" -k ")
        words[files].append("".join(shlex.split(chosen)))
    for files, chosen in words.items():
        yield files if "" in chosen else f"{files} -k {shlex.quote(' or '.join(f'({word})' for word in chosen))}"


def part(number, of):
    """The mutants of one part of several. Those that the same files notice stay together: each part tries fewer files."""
    ordered = sorted(MUTANTS, key=lambda mutant: files_of(mutant.tests))
    return ordered[(number - 1) * len(ordered) // of : number * len(ordered) // of]


def chosen_by(words):
    """The mutants that the command line asks for."""
    if len(words) == 1 and (share := re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", words[0])):
        number, of = map(int, share.groups())
        if number > of:
            raise SystemExit(f"{words[0]}: parts are counted from 1/{of} to {of}/{of}")
        return part(number, of)
    return [mutant for mutant in MUTANTS if not words or any(word in mutant.what for word in words)]


def main(words):
    chosen = chosen_by(words)
    for what, file, old, *_ in chosen:
        times = (ROOT / file).read_text(encoding="utf-8").count(old)
        if times != 1:
            raise SystemExit(f"{what}: {file} has {old!r} {times} times, not once")
    chosen.sort(key=lambda mutant: "careless" not in mutant.tests)  # the longest first, so that no core waits for one
    place, cores = threading.local(), sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    places, took = iter(range(COPIES)), {}  # {files: seconds of their tests while nothing is taken away}

    def settle(folder):
        """A copy and a share of the cores for this thread; what it starts stays there, too."""
        number = next(places)
        place.folder = Path(folder) / str(number)
        copy(place.folder)
        if cores:
            os.sched_setaffinity(0, cores[number::COPIES] or cores)

    def sound(tests):
        start = time.perf_counter()
        failed, printed = outcome(place.folder, tests)
        if failed:
            raise SystemExit(f"{printed}\n{failed}: fails while nothing is taken away")
        took[files_of(tests)] = time.perf_counter() - start

    def taken_away(mutant):
        path, start = place.folder / mutant.file, time.perf_counter()
        patience = min(60 + 2 * took[files_of(mutant.tests)], LONGEST)
        whole = path.read_text(encoding="utf-8")
        path.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
        try:
            noticed, _ = outcome(place.folder, mutant.tests, "--exitfirst", timeout=patience)
        finally:
            path.write_text(whole, encoding="utf-8")
        seconds = time.perf_counter() - start
        print(f"{'noticed' if noticed else 'UNNOTICED':<9} {seconds:4.0f} s  {mutant.what}  ({noticed})", flush=True)
        return bool(noticed)

    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(COPIES, initializer=settle, initargs=(folder,)) as pool,
    ):
        try:
            for done in as_completed([pool.submit(sound, tests) for tests in together(m.tests for m in chosen)]):
                done.result()
            print(f"{'sound':<9} {time.perf_counter() - start:4.0f} s  nothing is taken away", flush=True)
            noticed = [done.result() for done in as_completed([pool.submit(taken_away, m) for m in chosen])]
        finally:
            pool.shutdown(cancel_futures=True)
    print(f"{sum(noticed)} of {len(noticed)} noticed in {time.perf_counter() - start:.0f} s")
    return not all(noticed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
