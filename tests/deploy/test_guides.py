"""The guides can be followed: see `guides.py`."""

import os
import unittest

import guides
import rig


class Guides(unittest.TestCase):
    def setUp(self):
        # With a gateway in BLASTDOOR, the configurations that come out are checked as well.
        self.chart = guides.Chart(rig.program("helm", "`cargo xtask deploy` installs it"), os.environ.get("BLASTDOOR"))

    def test_mistakes_are_found(self):
        self.assertEqual(guides.missed(self.chart), [])

    def test_what_guides_show(self):
        hosts = guides.hosts_of_examples()
        self.assertGreater(len(hosts), 4)
        values = scripts = 0
        for guide in guides.guides():
            with self.subTest(guide.name):
                self.assertEqual(list(guides.check(guide, self.chart, hosts)), [])
            values += sum(1 for preset, _ in guide.values if preset)
            scripts += len(guide.scripts)
        self.assertGreater(values, 10)
        self.assertGreater(scripts, 40)
