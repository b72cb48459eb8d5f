"""Whether the manifests below `deploy/` ask of `crane serve` what it has."""

import json
import pathlib
import re
import subprocess
import typing
import unittest
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Deployment(unittest.TestCase):
    """The manifests for Kubernetes, and a server's address."""

    address: str
    crane: str

    def manifests(self) -> dict[str, typing.Any]:
        files = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
        found = [part for file in files for part in yaml.safe_load_all(file.read_text())]
        return {part["kind"]: part for part in found}

    def container(self) -> dict[str, typing.Any]:
        (container,) = self.manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
        return container

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path) as response:
            self.assertEqual(response.status, 200)
            return response.read().decode()

    def test_parts_fit_each_other(self):
        parts = self.manifests()
        self.assertEqual(set(parts), {"Deployment", "Service", "HorizontalPodAutoscaler"})
        deployment, service = parts["Deployment"], parts["Service"]["spec"]
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(deployment["spec"]["selector"]["matchLabels"], labels)
        self.assertEqual(service["selector"], labels)
        self.assertEqual(service["sessionAffinity"], "ClientIP")
        scaled = parts["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        self.assertEqual((scaled["kind"], scaled["name"]), ("Deployment", deployment["metadata"]["name"]))
        ports = [port["name"] for port in self.container()["ports"]]
        self.assertIn(service["ports"][0]["targetPort"], ports)

    def test_the_pod_may_do_little(self):
        pod = self.manifests()["Deployment"]["spec"]["template"]["spec"]
        self.assertIs(pod["automountServiceAccountToken"], False)
        self.assertIs(pod["securityContext"]["runAsNonRoot"], True)
        self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        container = self.container()
        allowed = container["securityContext"]
        self.assertIs(allowed["allowPrivilegeEscalation"], False)
        self.assertIs(allowed["readOnlyRootFilesystem"], True)
        self.assertEqual(allowed["capabilities"], {"drop": ["ALL"]})
        # What may be written is a folder of the pod's own, and the caches lie in it.
        scratch = {volume["name"] for volume in pod["volumes"] if "emptyDir" in volume}
        written = [mount for mount in container["volumeMounts"] if not mount.get("readOnly")]
        self.assertEqual({mount["name"] for mount in written}, scratch)
        places = [mount["mountPath"] for mount in written]
        for variable in container["env"]:
            if variable["name"] in ("HF_HOME", "CRANE_HOME"):
                self.assertTrue(any(variable["value"].startswith(f"{place}/") for place in places), variable)

    def test_probes_and_metrics_are_there(self):
        container = self.container()
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container[probe]["httpGet"]
            self.assertTrue(json.loads(self.get(asked["path"]))["status"])
        (metric,) = self.manifests()["HorizontalPodAutoscaler"]["spec"]["metrics"]
        names = re.findall(r"^(\w+)[ {]", self.get("/metrics"), re.MULTILINE)
        self.assertIn(metric["pods"]["metric"]["name"], names)

    def test_options_are_there(self):
        arguments = self.container()["args"]
        told = subprocess.run([self.crane, *arguments, "--help"], capture_output=True, text=True, check=True).stdout
        for argument in arguments:
            if argument.startswith("--"):
                self.assertIn(f"{argument.split('=')[0]} ", told)
        drain = next(int(argument.split("=")[1]) for argument in arguments if argument.startswith("--drain="))
        pod = self.manifests()["Deployment"]["spec"]["template"]["spec"]
        self.assertGreater(pod["terminationGracePeriodSeconds"], drain)
