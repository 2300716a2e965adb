"""Recognise a wrong answer by what it returns in several cases."""

import time

import numpy as np

from gan_lib.exercises.compare import Mistake, close


def recognised(fn, cases, right, wrong):
    """What fn returns in each case; a Mistake with the message of the first wrong answer that returns the same in all.

    cases: tuples of arguments; right: their results; wrong: {message: function}. In all, for in one alone many a wrong
    answer is met by chance: a share of 1, or two neighbours that happen to be as near.
    """
    got = []
    try:
        for case in cases:
            got.append(fn(*case))
    finally:  # an answer that raises in the third case is recognised by the first two
        done = list(zip(got, cases, right, strict=False))
        with np.errstate(all="ignore"):
            for message, other in wrong.items() if any(not close(g, r) for g, _, r in done) else ():
                if all(close(g, other(*case)) for g, case, _ in done):
                    raise Mistake(message)
    return got


def seconds(fn, *args):
    """Of computing, in one call."""
    start = time.process_time()
    fn(*args)
    return time.process_time() - start
