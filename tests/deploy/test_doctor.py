"""tests/doctor: the object sets that `blastdoor doctor` is tested with are made of what the chart renders now."""

import pathlib
import subprocess
import sys
import unittest

MAKE = pathlib.Path(__file__).parent.parent / "doctor" / "make.py"


class ObjectSets(unittest.TestCase):
    def test_each_is_made_of_its_overlay(self):
        done = subprocess.run([sys.executable, MAKE, "--check"], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
