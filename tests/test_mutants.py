"""The protections that mutants.py takes away: what it looks for is still there. Taking them away is its own affair."""

import re
from collections import Counter
from pathlib import Path

import mutants
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.what)
def test_what_a_mutant_takes_away_stands_once_in_its_file(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old
    files = [ROOT / file for file in mutants.files_of(mutant.tests).split()]
    assert all(file.is_file() for file in files)
    # A test that got another name would not run, and notice nothing.
    words = set(re.findall(r"[A-Za-z]\w+", mutant.tests.partition(" -k ")[2])) - {"and", "or", "not"}
    assert [word for word in words if not any(word in file.read_text(encoding="utf-8") for file in files)] == []


def test_each_mutant_has_a_name_of_its_own():
    assert Counter(mutant.what for mutant in mutants.MUTANTS).most_common(1)[0][1] == 1


def test_tests_run_together_are_all_of_them_and_each_file_once():
    assert list(mutants.together(["a.py -k x", "b.py", "a.py -k 'y or z'", "b.py -k y", "a.py -k x"])) == [
        "a.py -k '(x) or (y or z)'",
        "b.py",
    ]


@pytest.mark.parametrize("of", [1, 2, 3])
def test_the_parts_hold_each_mutant_once(of):
    parts = [mutants.chosen_by([f"{number}/{of}"]) for number in range(1, of + 1)]
    assert Counter(mutant for share in parts for mutant in share) == Counter(mutants.MUTANTS)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_part_beyond_the_last_is_refused():
    with pytest.raises(SystemExit, match="from 1/2 to 2/2"):
        mutants.chosen_by(["3/2"])
