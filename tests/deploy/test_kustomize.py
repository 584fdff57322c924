"""deploy/kustomize: each overlay is, object by object, what the chart renders with the preset of its name."""

import subprocess
import unittest

import rig


MANAGED = ("app.kubernetes.io/managed-by", "Helm")


def built(overlay) -> list[dict]:
    kubectl = rig.program("kubectl", "`cargo xtask apiserver` builds it")
    done = subprocess.run([kubectl, "kustomize", overlay], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{overlay}: {done.stderr}")
    return rig.documents(done.stdout)


def without_helm(value):
    """What Helm writes about itself into labels, wherever they are."""
    if isinstance(value, dict):
        return {key: without_helm(inner) for key, inner in value.items() if (key, inner) != MANAGED and key != "helm.sh/chart"}
    return [without_helm(inner) for inner in value] if isinstance(value, list) else value


class Overlays(unittest.TestCase):
    def test_there_is_one_for_each_preset(self):
        folders = sorted(folder.name for folder in (rig.KUSTOMIZE / "overlays").iterdir())
        self.assertEqual(folders, rig.PRESETS)

    def test_each_is_what_the_chart_renders(self):
        for name in rig.PRESETS:
            done = rig.template(rig.preset(name), options=("--skip-tests", "--set", "namespace.create=true"))
            self.assertEqual(done.returncode, 0, done.stderr)
            rendered = {rig.named(document): without_helm(document) for document in rig.documents(done.stdout)}
            overlay = {rig.named(document): document for document in built(rig.KUSTOMIZE / "overlays" / name)}
            with self.subTest(name):
                self.assertEqual(sorted(overlay), sorted(rendered))
            for which, document in overlay.items():
                with self.subTest(name, object=which):
                    self.assertEqual(document, rendered.get(which))


if __name__ == "__main__":
    unittest.main()
