"""Is each expectation of the notebooks met on any machine? Execute them under disturbances of float32's rounding.

    python tests/expectations.py [NN ...] [--seeds 10] [--jobs J] [--cores 2] [--limit 1500] [--out FILE] [--gpu]
    python tests/expectations.py --read FILE ...       the table of what such runs wrote; a later run replaces an earlier

Machines, and versions of JAX, differ in the last digit of each operation, and training makes much of that. So each notebook
is executed once for each seed, in a process of its own on `--cores` cores, `--jobs` of them at a time: seed 0 as it is, the
others with each fresh parameter, each point that gan_lib.data draws, and each draw of jax.random.normal and uniform outside
jit, times 1 + 1e-7·N(0, 1): a last digit or two. It needs no Jupyter, and leaves stored outputs alone. NN picks notebooks
and says their order, for the first seed, then for the second: so --out, a line of JSON for each run that ended, is of use
however early you stop it, and what is in that file already is not run again. --gpu lets them share one GPU.

Prints for each expectation its bound, the least, mean and greatest value, how many runs failed, and how many standard
deviations over the runs lie between the mean and the bound; = says that nothing moved. Exits with 1 where an expectation
failed or a cell raised. Ten seeds of all notebooks take some three hours on two cores (--jobs 2 --cores 1).
"""

import argparse
import json
import linecache
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import types
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).resolve().parent.parent


def disturb(seed):
    """Patch what makes parameters and points. An array's disturbance is that of its shape: equal draws stay equal."""
    import jax
    import numpy as np
    from flax import nnx

    from gan_lib import data

    def disturbed(x, eager_only=True):
        if not isinstance(x, jax.Array) or x.dtype != np.float32 or (eager_only and isinstance(x, jax.core.Tracer)):
            return x
        return x * (1 + 1e-7 * np.random.default_rng([seed, *x.shape]).standard_normal(x.shape)).astype(np.float32)

    create = nnx.Param.__init__  # which nnx.merge, that puts known arrays into a module, does not call
    nnx.Param.__init__ = lambda self, x, *args, **more: create(self, disturbed(x, eager_only=False), *args, **more)
    for owner, name in (data.Mixture, "sample"), (jax.random, "normal"), (jax.random, "uniform"):
        original = getattr(owner, name)
        setattr(owner, name, lambda *args, original=original, **more: disturbed(original(*args, **more)))


def execute(path, seed, cache, note):
    """Run the code cells of a notebook, note(line) each expectation as it is met or not, and a cell that raises."""
    sys.path.insert(0, str(ROOT))
    import flax
    import jax
    import matplotlib
    import matplotlib.pyplot as plt
    import numpy as np

    import gan_lib.device
    import gan_lib.notebook

    matplotlib.use("agg")
    gan_lib.device.cache_folder = lambda: cache  # the reader's does not fill up with disturbed programs
    gan_lib.notebook.receipt()  # first: it decides how the compiler starts, which the first array does
    note(dict(versions=f"Python {platform.python_version()}, jax {jax.__version__}, flax {flax.__version__}"))
    if seed:
        disturb(seed)

    def expect(name, value, **bounds):
        numbers = {kind: float(np.asarray(x)) for kind, x in dict(value=value, **bounds).items() if x is not None}
        note(dict(name=name, **numbers))

    gan_lib.notebook.expect = expect
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        source = re.sub(r"^( *)[!%].*$", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE)
        file = f"<cell {number}>"  # whose text inspect.getsource wants
        linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
        try:
            exec(compile(source, file, "exec"), vars(main))
        except Exception as error:
            note(dict(problem=f"code cell {number}: {type(error).__name__}: {error}"))
            break
        plt.close("all")


def run(path, seed, slot, settings, folder):
    """One run as a record: {notebook, seed, seconds, expectations, ...}, with `problem` where it did not end well."""
    place = folder / f"{path.stem}-{seed}"  # where it works, as notebooks write files
    place.mkdir()
    notes, log = place / "notes.jsonl", place / "log"
    command = [sys.executable, __file__, str(path), "--one", str(seed), str(notes), str(slot), str(settings.cores)]
    here = os.environ | dict(COURSE_STRICT="", OPENBLAS_NUM_THREADS=str(settings.cores))
    # Several share a GPU: none may take all its memory.
    shared = dict(JAX_PLATFORMS="cuda,cpu", XLA_PYTHON_CLIENT_PREALLOCATE="false")
    here |= shared if settings.gpu else dict(JAX_PLATFORMS="cpu")
    record, start = dict(notebook=path.stem[:2], seed=seed), time.perf_counter()
    with log.open("w") as file:
        try:
            done = subprocess.run(command, cwd=place, stdout=file, stderr=file, env=here, timeout=settings.limit)
            if done.returncode:
                record["problem"] = f"status {done.returncode}: {log.read_text(errors='replace')[-300:]}"
        except subprocess.TimeoutExpired:
            record["problem"] = f"not done after {settings.limit} s"
    record["seconds"] = round(time.perf_counter() - start, 1)
    record["expectations"] = []
    for line in map(json.loads, notes.read_text().splitlines() if notes.exists() else []):
        record |= {"expectations": [*record["expectations"], line]} if "name" in line else line
    return record


def read(paths):
    """The records in files, of each notebook and seed the last."""
    records = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    return list({(record["notebook"], record["seed"]): record for record in records}.values())


def run_all(settings):
    """Records of all runs, which are printed and written as they end."""
    paths = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    paths = [path for name in settings.names or [""] for path in paths if path.name.startswith(name)]
    records = read([settings.out]) if settings.out and settings.out.exists() else []
    done = {(record["notebook"], record["seed"]) for record in records}
    todo = [(path, seed) for seed in range(settings.seeds) for path in paths if (path.stem[:2], seed) not in done]
    todo = iter(todo)  # one for all

    def work(slot):
        for path, seed in todo:
            record = run(path, seed, slot, settings, Path(folder))
            failed = [each["name"] for each in record["expectations"] if not room(each) >= 0]
            verdict = "; ".join(["✗", *failed, record.get("problem", "")]) if failed or "problem" in record else "✓"
            print(f"{record['notebook']} seed {record['seed']}: {record['seconds']} s {verdict}", flush=True)
            if settings.out:
                with settings.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
            records.append(record)

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(settings.jobs) as pool:
        list(pool.map(work, range(settings.jobs)))
    return records


def room(each):
    """How far inside its nearest bound a value lies; negative outside, NaN of a NaN."""
    value, near = each["value"], each.get("near", each["value"])
    low, high = each.get("at_least", -inf), each.get("at_most", inf)
    return min(value - low, high - value, each.get("tol", inf) - abs(value - near))


def bound(each):
    words = [f"{sign} {each[kind]:.4g}" for kind, sign in (("at_least", "≥"), ("at_most", "≤")) if kind in each]
    return " ".join(words + ([f"{each['near']:.4g} ± {each['tol']:.4g}"] if "near" in each else []))


def table(records):
    """Print a line for each expectation; True where all were met, in runs that ended well."""
    found, problems = defaultdict(list), []
    for record in sorted(records, key=lambda record: (record["notebook"], record["seed"])):
        seen = Counter()
        for each in record["expectations"]:
            seen[each["name"]] += 1
            found[record["notebook"], each["name"], seen[each["name"]]].append(each)
        if "problem" in record:
            problems.append(f"{record['notebook']} seed {record['seed']}: {record['problem']}")
    print(f"\n{'':3}{'expectation':60} {'bound':>16} {'least':>9} {'mean':>9} {'greatest':>9}  failed  margin")
    good = not problems
    for (notebook, name, _), runs in found.items():
        values, failed, first = [each["value"] for each in runs], sum(not room(each) >= 0 for each in runs), runs[0]
        spread = stdev(values) if len(values) > 1 else 0
        margin = f"{room(first | {'value': mean(values)}) / spread:6.1f}" if spread else "     ="
        numbers = " ".join(f"{number:9.4g}" for number in (min(values), mean(values), max(values)))
        print(f"{notebook} {name[:60]:60} {bound(first):>16} {numbers}  {failed:2}/{len(runs):<3}  {margin}")
        good = good and not failed
    print(*problems, sep="\n")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NN")
    for name, default in dict(seeds=10, jobs=max(1, os.cpu_count() // 2), cores=2, limit=1500).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--gpu", action="store_true", help="notebooks train on a GPU, and take the steps that suit one")
    parser.add_argument("--read", type=Path, nargs="+", metavar="FILE")
    settings = parser.parse_args()
    records = read(settings.read) if settings.read else run_all(settings)
    sys.exit(0 if table(records) else 1)


if __name__ == "__main__" and "--one" in sys.argv:
    notebook, _, seed, notes, slot, count = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):  # before NumPy starts threads
        cores, first = sorted(os.sched_getaffinity(0)), int(slot) * int(count)
        os.sched_setaffinity(0, {cores[i % len(cores)] for i in range(first, first + int(count))})
    with open(notes, "w", buffering=1, encoding="utf-8") as file:
        execute(Path(notebook), int(seed), Path(notes).parent.parent, lambda line: file.write(json.dumps(line) + "\n"))
elif __name__ == "__main__":
    main()
