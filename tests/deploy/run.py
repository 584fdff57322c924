#!/usr/bin/env python3
"""Runs the tests of deploy/: everything in `test_*.py`, or what has one of the given words in its name.

`cargo xtask deploy` makes the virtual environment and says where the programs are (HELM, KUBECTL, …). What cannot run
here is reported; with CI=true that is a failure, but for `rig.NO_TERRAFORM`. Exit status: 0 all passed, 1 something failed.
"""

import argparse
import os
import pathlib
import sys
import time
import unittest

import rig

HERE = pathlib.Path(__file__).parent


class Result(unittest.TextTestResult):
    """Says of each test how long it took."""

    def startTest(self, test):
        self.begun = time.monotonic()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        seconds = time.monotonic() - self.begun
        if seconds >= 1:
            self.stream.writeln(f"    ({seconds:.1f} s)")


def chosen(suite: unittest.TestSuite, words: list[str]) -> unittest.TestSuite:
    found = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            found.addTests(chosen(test, words))
        elif not words or any(word in test.id() for word in words):
            found.addTest(test)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--left-out", type=pathlib.Path, help="a file for what could not run")
    parser.add_argument("words", nargs="*", help="run the tests whose names contain one of these")
    options = parser.parse_args()
    suite = chosen(unittest.defaultTestLoader.discover(str(HERE), pattern="test_*.py"), options.words)
    if suite.countTestCases() == 0:
        sys.exit(f"!!! no test has one of {options.words} in its name")
    done = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(suite)
    left_out = [f"{test.id()}: {reason}" for test, reason in done.skipped]
    if options.left_out:
        options.left_out.write_text("".join(f"{line}\n" for line in left_out))
    refused = [f"{test.id()}: {reason}" for test, reason in done.skipped if reason != rig.NO_TERRAFORM]
    if refused and os.environ.get("CI"):
        sys.exit("!!! left out, which CI does not accept:\n" + "\n".join(refused))
    sys.exit(0 if done.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
