"""The chart, rendered by a real helm: every scenario, and what must hold in all of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import physlm
from physlm.telemetry import generate

CHART = Path(__file__).parents[2] / "charts/physlm"
SCENARIOS = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
MONITORING = "monitoring.coreos.com/v1"
LABELS = {f"app.kubernetes.io/{key}" for key in ("name", "instance", "version", "component", "part-of", "managed-by")}

Resource = dict[str, Any]
Helm = Callable[..., str]
Render = Callable[..., list[Resource]]

pytestmark = pytest.mark.services


@pytest.fixture(scope="session")
def helm(binary: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Run helm and give its output; one that fails gives its error as the assertion's text."""
    program, home = binary("helm"), tmp_path_factory.mktemp("helm")
    environment = {**os.environ, "KUBECONFIG": str(home / "none")}
    environment |= {f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")}

    def run(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """The resources of a scenario, with the Prometheus operator's kinds known unless told otherwise."""

    def run(scenario: str, *arguments: str, release: str = "rel", operator: bool = True) -> list[Resource]:
        known = ("--api-versions", MONITORING) if operator else ()
        values = ("--values", str(CHART / "ci" / scenario))
        text = helm("template", release, str(CHART), "--namespace", "team", *values, *known, *arguments)
        return [resource for resource in yaml.safe_load_all(text) if resource]

    return run


@pytest.fixture(params=SCENARIOS)
def resources(request: pytest.FixtureRequest, render: Render) -> list[Resource]:
    return render(request.param)


def of_kind(resources: list[Resource], kind: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] == kind]


def configuration(resources: list[Resource]) -> dict[str, str]:
    [data] = [r["data"] for r in of_kind(resources, "ConfigMap") if "PHYSLM_STORE" in r["data"]]
    return dict(data)


def pod_specs(value: Any) -> Iterator[Resource]:
    """Every pod's spec in a resource, also those in templates."""
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        for inner in value.values():
            yield from pod_specs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pod_specs(inner)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_lint(helm: Helm, scenario: str) -> None:
    helm("lint", "--strict", str(CHART), "--values", str(CHART / "ci" / scenario))


@pytest.mark.parametrize("version", ["1.33", kubernetes_validate.latest_version()])
def test_resources_fit_the_schema_of_their_kind(resources: list[Resource], version: str) -> None:
    for resource in resources:
        if resource["apiVersion"] != MONITORING:  # those are checked below
            kubernetes_validate.validate(resource, version, strict=True)


def test_resources_are_named_and_labelled(resources: list[Resource]) -> None:
    names = [(resource["kind"], resource["metadata"]["name"]) for resource in resources]
    assert len(set(names)) == len(names)
    for resource in resources:
        metadata = resource["metadata"]
        assert metadata["namespace"] == "team"
        assert set(metadata["labels"]) >= LABELS
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", metadata["name"])


@pytest.mark.parametrize(
    ("release", "overrides"),
    [
        ("r" * 53, ()),
        (f"{'a-' * 26}a", ()),
        ("rel", ("--set", f"nameOverride={'n' * 63}")),
        ("rel", ("--set", f"fullnameOverride={'a-' * 31}a")),
    ],
)
def test_long_names_are_cut_and_stay_apart(render: Render, release: str, overrides: tuple[str, ...]) -> None:
    test_resources_are_named_and_labelled(render("kubeflow-values.yaml", *overrides, release=release))


def test_what_each_scenario_has(render: Render) -> None:
    def kinds(scenario: str, **options: bool) -> list[str]:
        return sorted(resource["kind"] for resource in render(scenario, **options))

    base = ["ConfigMap", "Pod"]
    rights = ["Role", "RoleBinding", "ServiceAccount", "ServiceAccount"]
    watched = ["PodMonitor", "PrometheusRule"]
    assert kinds("bare-values.yaml") == base
    assert kinds("default-values.yaml") == sorted([*base, *rights, *watched, "ConfigMap"])
    assert kinds("default-values.yaml", operator=False) == sorted([*base, *rights, "ConfigMap"])
    assert kinds("kubeflow-values.yaml") == sorted([*base, *rights, *watched, "ConfigMap", "NetworkPolicy"])


def test_the_launcher_may_do_what_it_needs_and_nothing_else(resources: list[Resource]) -> None:
    assert not of_kind(resources, "ClusterRole")
    assert not of_kind(resources, "ClusterRoleBinding")
    allowed = {
        ("batch", "jobs"): {"create", "delete", "get", "list", "watch"},
        ("", "pods"): {"get", "list", "watch"},
        ("", "pods/log"): {"get"},
        ("", "services"): {"create", "delete", "get"},
        ("", "configmaps"): {"create", "delete", "get"},
    }
    for role in of_kind(resources, "Role"):
        assert allowed == {
            (group, resource): set(rule["verbs"])
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        [binding] = of_kind(resources, "RoleBinding")
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert configuration(resources)["PHYSLM_SHARD_SERVICE_ACCOUNT"] not in {s["name"] for s in binding["subjects"]}


def test_only_the_launcher_has_a_token(render: Render) -> None:
    resources = render("kubeflow-values.yaml")
    accounts = {r["metadata"]["name"]: r["automountServiceAccountToken"] for r in of_kind(resources, "ServiceAccount")}
    assert accounts == {"rel-physlm-launcher": True, "rel-physlm-shard": False}
    assert configuration(resources)["PHYSLM_SHARD_SERVICE_ACCOUNT"] == "rel-physlm-shard"
    [binding] = of_kind(resources, "RoleBinding")
    assert {(subject["namespace"], subject["name"]) for subject in binding["subjects"]} == {
        ("team", "rel-physlm-launcher"),
        ("kubeflow", "pipeline-runner"),
        ("team", "default-editor"),
    }


def test_pods_have_no_privileges(resources: list[Resource]) -> None:
    specs = list(pod_specs(resources))
    assert specs
    for spec in specs:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in spec["volumes"])
        for container in spec["containers"] + spec.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]


def test_credentials_are_referred_to_and_never_written(resources: list[Resource]) -> None:
    assert not of_kind(resources, "Secret")
    wanted = configuration(resources).get("PHYSLM_S3_SECRET")
    for spec in pod_specs(resources):
        for variable in spec["containers"][0].get("env", []):
            assert variable["valueFrom"]["secretKeyRef"]["name"] == wanted


def test_monitor_policy_and_launcher_agree_on_the_shards(render: Render) -> None:
    resources = render("kubeflow-values.yaml", "--set", "metrics.port=9999")
    data = configuration(resources)
    shards = json.loads(data["PHYSLM_SHARD_LABELS"])
    assert shards["app.kubernetes.io/component"] == "shard"
    [monitor], [policy] = of_kind(resources, "PodMonitor"), of_kind(resources, "NetworkPolicy")
    assert monitor["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    assert monitor["spec"] == {
        "jobLabel": "app.kubernetes.io/name",
        "selector": {"matchLabels": shards},
        "podMetricsEndpoints": [
            {"port": "metrics", "path": "/metrics", "interval": "15s", "scrapeTimeout": "10s"},
        ],
    }
    assert policy["spec"]["podSelector"]["matchLabels"] == shards
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    scrape, peers = policy["spec"]["ingress"]
    assert scrape["ports"] == [{"port": 9999, "protocol": "TCP"}]
    assert data["PHYSLM_METRICS_PORT"] == "9999"
    assert peers == {"from": [{"podSelector": {"matchLabels": shards}}]}


def test_rules_and_dashboard_arrive_whole(render: Render, binary: Callable[[str], str], tmp_path: Path) -> None:
    resources = render("kubeflow-values.yaml")
    [rule] = of_kind(resources, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((CHART / "files/rules.yaml").read_text())
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    subprocess.run(
        [binary("promtool"), "check", "rules", str(tmp_path / "rules.yaml")], check=True, capture_output=True
    )
    [dashboard] = [r for r in of_kind(resources, "ConfigMap") if "grafana_dashboard" in r["metadata"]["labels"]]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["metadata"]["annotations"] == {"grafana_folder": "Physlm"}
    assert dashboard["data"] == {"physlm-experiment.json": (CHART / "files/dashboard.json").read_text()}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("stroe.address=s3://bucket", "additional properties 'stroe' not allowed"),
        ("store.adress=s3://bucket", "at '/store': additional properties 'adress' not allowed"),
        ("launcher.rbac.verbs=*", "at '/launcher/rbac': additional properties 'verbs' not allowed"),
        ("launcher.rbac.subjects.runner.kind=User", "at '/launcher/rbac/subjects/runner'"),
        ("s3.secretKey=hunter2", "at '/s3': additional properties 'secretKey' not allowed"),
        ("store.address=ftp://bucket", "at '/store/address'"),
        ("s3.endpoint=minio:9000", "at '/s3/endpoint'"),
        ("s3.endpoint=http://minio:9000/path", "at '/s3/endpoint'"),
        ("metrics.port=80", "at '/metrics/port'"),
        ("image.digest=sha256:beef", "at '/image/digest'"),
        ("image.pullPolicy=Sometimes", "at '/image/pullPolicy'"),
        ("podMonitor.enabled=maybe", "at '/podMonitor/enabled'"),
        ("podMonitor.interval=15", "at '/podMonitor/interval'"),
        ("fullnameOverride=Not_a_name", "at '/fullnameOverride'"),
        ("queue=null", "missing property 'queue'"),
        ("launcher.rbac=null", "at '/launcher': missing property 'rbac'"),
        ("metrics.port=null", "at '/metrics': missing property 'port'"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(helm: Helm, value: str, message: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(message)):
        helm("template", "rel", str(CHART), "--set", value)


def test_notes_say_what_to_do_next(helm: Helm) -> None:
    notes = helm("install", "rel", str(CHART), "--namespace", "team", "--dry-run=client").partition("NOTES:")[2]
    assert "helm test rel --namespace team" in notes
    assert "physlm submit pipelines/experiments/capacity.yaml --store s3://mlpipeline/physlm" in notes
    assert "Only the account rel-physlm-launcher may start shards" in notes
    assert "no Prometheus operator" in notes


def in_the_pod(resources: list[Resource], secret: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the test pod's command with the environment that its cluster would give it."""
    [pod] = of_kind(resources, "Pod")
    [container] = pod["spec"]["containers"]
    environment = {"PATH": os.environ["PATH"], **configuration(resources)}
    for variable in container["env"]:
        environment[variable["name"]] = secret[variable["valueFrom"]["secretKeyRef"]["key"]]
    command = [sys.executable, *container["command"][1:]]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_the_test_pod_finds_the_store(render: Render, s3_server: Any) -> None:
    address = f"s3://{s3_server.bucket}/chart"
    values = ("--set", f"store.address={address},s3.endpoint={s3_server.endpoint},s3.region=us-east-1")
    resources = render("default-values.yaml", *values)
    secret = {"accesskey": s3_server.access_key, "secretkey": s3_server.secret_key}
    done = in_the_pod(resources, secret)
    assert (done.returncode, done.stdout) == (0, f"the store {address} answers: no experiment yet\n"), done.stderr
    refused = in_the_pod(resources, {**secret, "secretkey": "wrong"})
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_generated_files_are_up_to_date(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert generate.main([str(CHART), "--check"]) == 0, capsys.readouterr().err
    for name in ("Chart.yaml", "values.yaml"):
        (tmp_path / name).write_text((CHART / name).read_text())
    assert generate.main([str(tmp_path), "--check"]) == 1
    assert "files/rules.yaml is out of date; run python -m physlm.telemetry.generate" in capsys.readouterr().err
    assert not (tmp_path / "README.md").exists()
    assert generate.main([str(tmp_path)]) == 0
    assert (tmp_path / "files/rules.yaml").read_text() == (CHART / "files/rules.yaml").read_text()


def test_every_value_is_described_and_checked() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def leaves(values: Resource, schema: Resource, path: str = "") -> Iterator[str]:
        if "$ref" in schema:
            schema = definitions[schema["$ref"].removeprefix("#/definitions/")]
        assert schema["additionalProperties"] is False, path
        assert set(schema["properties"]) - {"global"} == set(values), path
        for key, value in values.items():
            inner = schema["properties"][key]
            if isinstance(value, dict) and ("properties" in inner or "serviceAccount" in str(inner.get("$ref"))):
                yield from leaves(value, inner, f"{path}{key}.")
            else:
                yield f"{path}{key}"

    definitions = schema["definitions"]
    values = set(leaves(yaml.safe_load((CHART / "values.yaml").read_text()), schema))
    documented = set(re.findall(r"^\| `([\w.]+)` \| `", (CHART / "README.md").read_text(), re.MULTILINE))
    assert values == documented


def test_the_chart_is_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == physlm.__version__
