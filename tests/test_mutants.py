"""The protections that mutants.py takes away: what it looks for is still there. Taking them away is its own affair."""

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
    assert all((ROOT / file).is_file() for file in mutant.tests.partition(" -k ")[0].split())


def test_each_mutant_has_a_name_of_its_own():
    assert Counter(mutant.what for mutant in mutants.MUTANTS).most_common(1)[0][1] == 1


def test_tests_run_together_are_all_of_them_and_each_file_once():
    assert list(mutants.together(["a.py -k x", "b.py", "a.py -k 'y or z'", "b.py -k y", "a.py -k x"])) == [
        "a.py -k '(x) or (y or z)'",
        "b.py",
    ]
