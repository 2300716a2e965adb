"""Take away each protection of the course, one at a time, in a copy: a test must notice.

    python tests/mutants.py [WORD ...]     those whose name holds one of the words; without, all (about half an hour)

Prints a line for each: what was taken away, and how many of the tests named beside it turned red; all of them pass
while nothing is taken away. Exits with 1 if one went unnoticed.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 300  # seconds; a test that hangs has noticed


class Mutant(NamedTuple):
    what: str  # is gone
    file: str
    old: str  # stands there once
    new: str
    tests: str  # arguments of pytest


TRAINING, CHECKPOINT, EXERCISES = "gan_lib/training.py", "gan_lib/checkpoint.py", "gan_lib/exercises/__init__.py"
IN_TRAINING = "tests/test_training.py -k"

MUTANTS = [
    # Training that can be stopped.
    Mutant(
        "interrupt: an update is not cut in half",
        TRAINING, "if self.raising:", "if True:",
        f"{IN_TRAINING} 'interrupt or stopped'",
    ),
    Mutant(
        "interrupt: a real kernel keeps what it reached",
        TRAINING, "if self.raising:", "if True:",
        "tests/test_interrupts.py",
    ),
    Mutant(
        "interrupt: a callback is cut short",
        TRAINING, "if self.raising:", "if False:",
        f"{IN_TRAINING} interrupt_during_the_callback",
    ),
    Mutant(
        "interrupt: fit stops",
        TRAINING, "if interrupt.noted:", "if False:",
        f"{IN_TRAINING} interrupt_during_the_callback",
    ),
    Mutant(
        "interrupt: Ctrl-C is the reader's again afterwards",
        TRAINING, "signal.signal(signal.SIGINT, self.previous)", "pass",
        f"{IN_TRAINING} an_interrupt_keeps",
    ),
    Mutant(
        "interrupt: the state given is spared",
        TRAINING, "jax.jit(_advance,", "jax.jit(_advance, donate_argnames='state',",
        f"{IN_TRAINING} spared",
    ),
    Mutant(
        "interrupt: a history of no steps has all its names",
        TRAINING, "self.parts = [nothing, *", "self.parts = [*",
        f"{IN_TRAINING} before_its_first_step",
    ),
    Mutant(
        "failure: not finite is noticed",
        TRAINING, "if finite.generator and finite.discriminator:", "if True:",
        f"{IN_TRAINING} 'overflow or finite'",
    ),
    Mutant(
        "failure: the last finite state is returned",
        TRAINING, "return state, {name: v[:0]", "return new, {name: v[:0]",
        f"{IN_TRAINING} 'overflow or finite'",
    ),
    Mutant(
        "failure: data with NaN is refused",
        TRAINING, "if not _all_finite(images):", "if False:",
        f"{IN_TRAINING} bad_input",
    ),
    Mutant(
        "speed: convolutions are not put into a loop",
        TRAINING, "return any(p.ndim > 2 for p in jax.tree.leaves(state.params))", "return False",
        f"{IN_TRAINING} picks_its_loop",
    ),
    # Sessions that can be lost.
    Mutant(
        "checkpoint: written beside the old one, then renamed (kill -9)",
        CHECKPOINT, 'part = path.with_name(path.name + ".part")', "part = path",
        f"{IN_TRAINING} kill_9",
    ),
    Mutant(
        "checkpoint: written beside the old one, then renamed (full disk)",
        CHECKPOINT, 'part = path.with_name(path.name + ".part")', "part = path",
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
        CHECKPOINT, "if kind != found:", "if False:",
        f"{IN_TRAINING} does_not_fit",
    ),
    Mutant(
        "checkpoint: another format's is refused",
        CHECKPOINT, "if found != FORMAT:", "if False:",
        f"{IN_TRAINING} does_not_fit",
    ),
    Mutant(
        "checkpoint: one cut short is explained",
        CHECKPOINT, "except safetensors.SafetensorError as error:", "except ZeroDivisionError as error:",
        f"{IN_TRAINING} does_not_fit",
    ),
    Mutant(
        "checkpoint: tried before the first step",
        TRAINING, "save(path, state)  # finds out", "pass  # finds out",
        f"{IN_TRAINING} known_at_the_start",
    ),
    Mutant(
        "checkpoint: a full disk in mid-training loses nothing",
        TRAINING, "        return error.strerror", "        raise",
        f"{IN_TRAINING} full_disk",
    ),
    Mutant(
        "resume: optimisers go on",
        TRAINING, "return kept, _Log(restore", "return kept._replace(opt=state.opt), _Log(restore",
        f"{IN_TRAINING} bitwise_the_uninterrupted",
    ),
    Mutant(
        "resume: the average goes on",
        TRAINING, "return kept, _Log(restore", "return kept._replace(average=state.average), _Log(restore",
        f"{IN_TRAINING} bitwise_the_uninterrupted",
    ),
    Mutant(
        "resume: the history goes on",
        TRAINING, "return kept, _Log(restore_history(path))", "return kept, _Log()",
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
        TRAINING, "if kept.step < state.step:", "if False:",
        f"{IN_TRAINING} longer_run",
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
        "gan_lib/notebook.py", "if known and alone:", "if alone:",
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
        "notebooks/source/links.py", "for at, inside, _ in os.walk(top)", "for at, inside, _ in list(os.walk(top))[:1]",
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
    # Careless readers.
    Mutant(
        "exercise: the reference stands in",
        EXERCISES, "return fn if result.passed else reference", "return fn",
        "tests/test_exercises.py -k 'stands_in or endless'",
    ),
    Mutant(
        "exercise: an endless loop is stopped",
        EXERCISES, "done.wait(TIME_LIMIT)", "done.wait(30)",
        "tests/test_exercises.py -k endless",
    ),
    Mutant(
        "exercise: the stopped thread ends",
        EXERCISES, 'ending = "" if _stop(thread) else', 'ending = "" if True else',
        "tests/test_exercises.py -k 'endless or swallows'",
    ),
    Mutant(
        "exercise: an error is told, not raised",
        EXERCISES, "    except BaseException as error:\n        said", "    except ZeroDivisionError as error:\n        said",
        "tests/test_exercises.py -k 'wrong_answers_are_explained or careless'",
    ),
    Mutant(
        "exercise: inputs changed in place are noticed",
        EXERCISES, "if _contents((args, kwargs)) != before:", "if False:",
        "tests/test_exercises.py -k in_place",
    ),
    Mutant(
        "exercise: infinite values are called so",
        "gan_lib/exercises/compare.py", "bad = ~np.isfinite(a) & np.isfinite(b)", "bad = np.zeros(np.shape(a), bool)",
        "tests/test_exercises.py -k 'same or careless'",
    ),
    Mutant(
        "notebook: a cell can run twice",
        "notebooks/04_mlp_gan.ipynb", "images = jnp.asarray(data.mnist()[0])", "images = jnp.asarray(data.mnist()[0]); del data",
        "tests/test_careless.py -k 04",
    ),
    Mutant(
        "notebook: an interrupted training can be gone on with",
        TRAINING, "if self.raising:", "if True:",
        "tests/test_careless.py -k 06",
    ),
    Mutant(
        "notebook: the stop button ends a training",
        TRAINING, "if interrupt.noted:", "if False:",
        "tests/test_careless.py -k 02",
    ),
    Mutant(
        "notebook: nonsense keeps no cell for longer than its limit",
        EXERCISES, "done.wait(TIME_LIMIT)", "done.wait(15)",
        "tests/test_careless.py -k 01",
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
        "gan_lib/data.py", "https://storage.googleapis.com/", "https://example.org/",
        "tests/test_files.py",
    ),
    Mutant(
        "files: a download has the right content",
        "gan_lib/data.py", "if digest != SHA256[file]:", "if False:",
        "tests/test_data.py -k wrong",
    ),
    Mutant(
        "files: a download is there whole or not at all",
        "gan_lib/data.py", "part = Path(folder) / target.name", "part = target",
        "tests/test_data.py -k 'disk or interrupted or wrong'",
    ),
    Mutant(
        "files: a file cut short is explained",
        "gan_lib/data.py", "if not unpacker.eof:", "if False:",
        "tests/test_data.py -k wrong",
    ),
    Mutant(
        "files: an unpacked one is taken",
        "gan_lib/data.py", '(place, place.with_suffix(""))', "(place,)",
        "tests/test_data.py -k unpacked",
    ),
    Mutant(
        "files: one's own that are not used are named",
        "gan_lib/data.py", "warnings.warn(words, stacklevel=3)", "pass",
        "tests/test_data.py -k own_files",
    ),
    Mutant(
        "files: a home is looked for last",
        "gan_lib/data.py", "next(filter(os.path.isfile, _places(file)), None)",
        "next(filter(os.path.isfile, [*_places(file)]), None)",
        "tests/test_data.py -k without_a_home",
    ),
    Mutant(
        "files: nobody needs a home",
        "gan_lib/data.py", "with contextlib.suppress(RuntimeError):", "with contextlib.suppress(KeyError):",
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
]  # fmt: skip


def copy(target):
    """A clone with what was edited since the last commit."""
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, target], check=True)
    listed = ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    edited = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, edited.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes((ROOT / name).read_bytes())


def outcome(folder, tests):
    """(how many tests fail, how many pass, what pytest prints), in this folder, with the gan_lib that lies there."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *shlex.split(tests)]
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True, text=True, timeout=TIMEOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, 0, ""
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    red = counts.get("failed", 0) + counts.get("error", 0)
    if done.returncode and not red:  # the mutant ended pytest itself
        red = 1
    if not red and not counts.get("passed"):
        raise RuntimeError(f"{tests}: no test ran\n{done.stdout}\n{done.stderr}")
    return red, counts.get("passed", 0), done.stdout


def main(words):
    unnoticed, sound = [], set()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder) / "course"
        copy(folder)
        for mutant in MUTANTS:
            if words and not any(word in mutant.what for word in words):
                continue
            path = folder / mutant.file
            whole = path.read_text(encoding="utf-8")
            if whole.count(mutant.old) != 1:
                raise SystemExit(
                    f"{mutant.what}: {mutant.file} has {mutant.old!r} {whole.count(mutant.old)} times, not once"
                )
            if mutant.tests not in sound:
                failed, _, printed = outcome(folder, mutant.tests)
                if failed:
                    raise SystemExit(f"{printed}\n{mutant.tests}: fails while nothing is taken away")
                sound.add(mutant.tests)
            path.write_text(whole.replace(mutant.old, mutant.new), encoding="utf-8")
            start = time.perf_counter()
            failed, passed, _ = outcome(folder, mutant.tests)
            path.write_text(whole, encoding="utf-8")
            print(
                f"{'noticed' if failed else 'UNNOTICED':<9}  {failed:>3} of {failed + passed:>3} red  "
                f"{time.perf_counter() - start:4.0f} s  {mutant.what}",
                flush=True,
            )
            unnoticed += [] if failed else [mutant.what]
    return bool(unnoticed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
