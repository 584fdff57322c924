"""How images are made elsewhere than here: by a container engine, and by the workflow that publishes a release."""

import re
import subprocess
import unittest

import rig

DOCKERFILE = rig.ROOT / "deploy/image/Dockerfile"
WORKFLOWS = sorted((rig.ROOT / ".github/workflows").glob("*.yaml"))


def read(*path: str) -> str:
    return rig.ROOT.joinpath(*path).read_text()


def lint(*command) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else f"{done.returncode}: {done.stdout}{done.stderr}"


class Dockerfile(unittest.TestCase):
    def test_hadolint_has_nothing_to_say(self):
        self.assertEqual(lint(rig.program("hadolint", "`cargo xtask deploy` installs it"), DOCKERFILE), "")

    def test_it_compiles_with_the_toolchain_of_the_project(self):
        channel = re.search(r'^channel = "(.*)"$', read("rust-toolchain.toml"), re.MULTILINE)[1]
        for file in [DOCKERFILE, *WORKFLOWS]:
            versions = set(re.findall(r"library/rust:([\d.]+)-bookworm", file.read_text()))
            self.assertEqual(versions, {channel}, file)

    def test_its_images_run_as_those_of_xtask(self):
        user = re.search(r'const USER: &str = "(.*)";', read("xtask", "src", "oci.rs"))[1]
        stages = DOCKERFILE.read_text().split("\nFROM ")[1:]
        self.assertEqual(len(stages), 3)
        for stage in stages[1:]:
            self.assertIn(f'\nUSER {user}\nENTRYPOINT ["/blastdoor"]\n', stage)


class Workflows(unittest.TestCase):
    def test_actionlint_has_nothing_to_say(self):
        self.assertTrue(WORKFLOWS)
        self.assertEqual(lint(rig.program("actionlint", "it is built with Go"), *WORKFLOWS), "")

    def test_actions_are_commits(self):
        for file in WORKFLOWS:
            for used in re.findall(r"uses: (.*)", file.read_text()):
                self.assertRegex(used, r"^[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)+$", file)

    def test_tools_are_those_that_the_project_pins(self):
        version = re.search(r'const VERSION: &str = "(.*)";', read("xtask", "src", "sbom.rs"))[1]
        for file in WORKFLOWS:
            self.assertEqual(set(re.findall(r"cargo-cyclonedx --locked --version (\S+)", file.read_text())), {version})

    def test_outputs_are_those_of_the_script(self):
        """`publish` names its outputs after architectures and variants; the workflow must ask for nothing else."""
        given = {f"{what}{variant}" for what in ["amd64", "arm64", "index"] for variant in ["", "-netbind"]}
        asked = set(re.findall(r"steps\.image\.outputs\.([\w-]+)", read(".github", "workflows", "release.yaml")))
        self.assertEqual(asked, given)


if __name__ == "__main__":
    unittest.main()
