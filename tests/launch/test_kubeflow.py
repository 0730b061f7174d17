"""The client of Kubeflow Pipelines against a small double of its API, whose answers and questions are typed by
kfp_server_api's own models."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import kfp_server_api
import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from physlm import engines
from physlm import experiment as experiments
from physlm.errors import ExperimentError, Interrupted, PhyslmError, UserError
from physlm.experiment import Experiment
from physlm.launch.kubeflow import Kubeflow
from physlm.steps import Event

pytestmark = pytest.mark.slow  # each needs the compiled pipeline

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: tiny
question: Does it run?
task: {type: biod, people: 20, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {batch_size: 8, exposures: 2}
measure: [loss]
"""
STORE = "s3://physlm/results"


def typed(kind: str, value: Any) -> Any:
    """The value, after checking that it is one of kfp_server_api's types by name."""
    if listed := re.fullmatch(r"list\[(\w+)\]", kind):
        assert all(typed(listed[1], item) for item in value)
    elif model := getattr(kfp_server_api, kind, None):
        if model.openapi_types:
            names = {json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()}
            assert set(value) <= set(names), kind
            assert all(typed(names[name], item) is not None for name, item in value.items())
        else:
            assert value in {constant for name, constant in vars(model).items() if name.isupper()}, (kind, value)
    elif kind in ("str", "bool"):
        assert type(value).__name__ == kind
    return value


@dataclass
class Server:
    """A Kubeflow Pipelines server's API: experiments, runs, and the states that a run goes through."""

    port: int
    many_users: bool = False
    refuses: int = 0  # with this status, but for its health
    token: str = ""
    states: list[tuple[str, dict[str, str]]] = field(default_factory=lambda: [("SUCCEEDED", {})])
    answers: int = 1000  # before it goes silent
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> tuple[str, dict[str, Any]]:
        if path.endswith("/healthz"):
            return "V2beta1GetHealthzResponse", {"multi_user": self.many_users}
        if path.endswith("/experiments"):
            return "V2beta1ListExperimentsResponse", {"experiments": self.experiments}
        state, tasks = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        details = [{"display_name": name, "state": state} for name, state in tasks.items()]
        return "V2beta1Run", {"run_id": "run-1", "state": state, "run_details": {"task_details": details}}

    def post(self, path: str, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if path.endswith("/experiments"):
            self.experiments.append({**typed("V2beta1Experiment", body), "experiment_id": "experiment-1"})
            return "V2beta1Experiment", self.experiments[-1]
        self.runs.append(typed("V2beta1Run", body))
        return "V2beta1Run", {"run_id": "run-1", "display_name": body["display_name"]}


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def answer(self, body: Any = None) -> None:
            path = self.path.partition("?")[0]
            double.answers -= 1
            status = double.refuses if not path.endswith("/healthz") else 200
            if double.token and self.headers["authorization"] != f"Bearer {double.token}":
                status = 401
            if double.answers < 0:
                self.close_connection = True
                return
            if status not in (0, 200):
                answer: Any = {"error": "it is\nfull", "code": 8}
            else:
                kind, answer = double.get(path) if body is None else double.post(path, body)
                typed(kind, answer)
            data = json.dumps(answer).encode()
            self.send_response(status or 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        double = Server(listening.server_address[1])
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield double
        listening.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Keep the client from this machine's own settings."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PHYSLM_KFP_HOST", "PHYSLM_KFP_TOKEN", "KF_PIPELINES_SA_TOKEN_PATH", "KF_PIPELINES_UI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def tiny() -> Experiment:
    return experiments.parse(TEXT)


def test_what_is_submitted_is_the_pipeline_with_its_arguments(
    server: Server, tiny: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    result = engines.registry["kfp"](tiny, STORE, host=f"{server.url}/", service_account="launcher", wait=False)
    assert result == {"run_id": "run-1", "url": f"{server.url}/#/runs/details/run-1"}
    (group,) = server.experiments
    assert (group["display_name"], group["description"]) == ("tiny", "Does it run?")
    (run,) = server.runs
    assert run["experiment_id"] == "experiment-1"
    assert run["display_name"] == f"tiny-{tiny.experiment_id}"
    assert run["service_account"] == "launcher"
    assert run["runtime_config"]["parameters"] == {"store": STORE, "experiment_file": TEXT}
    spec = json_format.ParseDict(run["pipeline_spec"]["pipeline_spec"], pipeline_spec_pb2.PipelineSpec())
    assert set(run["runtime_config"]["parameters"]) <= set(spec.root.input_definitions.parameters)
    assert "kubernetes" in run["pipeline_spec"]["platform_spec"]["platforms"]
    assert capsys.readouterr() == ("", "")


def test_runs_of_one_experiment_are_together(server: Server, tiny: Experiment) -> None:
    for _ in range(2):
        engines.registry["kfp"](tiny, STORE, host=server.url, wait=False)
    assert len(server.experiments) == 1
    assert len(server.runs) == 2


def test_a_namespace_is_given_where_there_are_many(server: Server, tiny: Experiment) -> None:
    engines.registry["kfp"](tiny, STORE, host=server.url, namespace="team", wait=False)
    assert "namespace" not in server.experiments.pop()  # a server for a single user takes none
    server.many_users = True
    engines.registry["kfp"](tiny, STORE, host=server.url, namespace="team", wait=False)
    assert server.experiments[0]["namespace"] == "team"
    with pytest.raises(UserError, match=r"has many users; say which --namespace"):
        engines.registry["kfp"](tiny, STORE, host=server.url, wait=False)


def test_waiting_tells_how_far_the_run_is(server: Server, tiny: Experiment) -> None:
    server.states = [
        ("PENDING", {}),
        ("RUNNING", {"root": "RUNNING", "plan": "SUCCEEDED", "train": "RUNNING"}),
        ("SUCCEEDED", {"root": "SUCCEEDED", "plan": "SUCCEEDED", "train": "SUCCEEDED"}),
    ]
    events: list[Event] = []
    engines.registry["kfp"](tiny, STORE, events.append, host=server.url)
    assert [(event.step, event.text) for event in events] == [
        ("plan", "succeeded"),
        ("train", "running"),
        ("plan", "succeeded"),
        ("train", "succeeded"),
    ]


@pytest.mark.parametrize(
    ("state", "tasks", "sentence"),
    [
        ("FAILED", {"root": "FAILED", "fit": "FAILED"}, "the run has ended as FAILED in step fit; its logs are at"),
        ("CANCELED", {"train": "CANCELED"}, "the run has ended as CANCELED; its logs are at"),
    ],
)
def test_a_run_that_does_not_succeed_is_an_error(
    state: str, tasks: dict[str, str], sentence: str, server: Server, tiny: Experiment
) -> None:
    server.states = [(state, tasks)]
    with pytest.raises(PhyslmError, match=sentence):
        engines.registry["kfp"](tiny, STORE, host=server.url)


def test_ctrl_c_ends_the_waiting_alone(server: Server, tiny: Experiment) -> None:
    server.states = [("RUNNING", {"train": "RUNNING"})]

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="no longer waiting; the run goes on at http"):
        engines.registry["kfp"](tiny, STORE, interrupt, host=server.url)


def test_a_server_that_stays_silent_is_given_up(
    server: Server, tiny: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("physlm.launch.kubeflow._PATIENCE", 2)
    server.states = [("RUNNING", {})]
    server.answers = 6
    with pytest.raises(PhyslmError, match=r"can't watch the run: .* doesn't answer \(remote end closed"):
        engines.registry["kfp"](tiny, STORE, host=server.url)


def test_a_token_is_sent_and_its_lack_explained(
    server: Server, tiny: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    server.token = "letmein"
    with pytest.raises(UserError, match="for want of rights; set PHYSLM_KFP_TOKEN") as caught:
        Kubeflow(server.url)
    (tmp_path / "token").write_text("letmein\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    engines.registry["kfp"](tiny, STORE, host=server.url, wait=False)
    monkeypatch.setenv("PHYSLM_KFP_TOKEN", "wrong")
    with pytest.raises(UserError) as caught:
        Kubeflow(server.url)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (403, UserError, "refuses the request for want of rights"),
        (429, PhyslmError, "can't submit the run: the .* at .* answered: it is full"),
    ],
)
def test_a_refused_run_is_explained(
    status: int, kind: type[PhyslmError], sentence: str, server: Server, tiny: Experiment
) -> None:
    server.refuses = status
    with pytest.raises(kind, match=sentence) as caught:
        engines.registry["kfp"](tiny, STORE, host=server.url, wait=False)
    assert "\n" not in str(caught.value)


def test_what_is_no_server_is_explained(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(PhyslmError, match=rf":{port} can't be reached \(connection refused\); is kubectl"):
        Kubeflow(f"http://127.0.0.1:{port}")
    server.get = lambda path: ("object", [])  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(PhyslmError, match=r"is not the API of Kubeflow Pipelines 2 \(status 200\)"):
        Kubeflow(server.url)
    for address in ("localhost:8888", "ftp://host", "http://", "http://me:secret@host"):
        with pytest.raises(UserError, match="must begin with http:// or https:// and hold no credentials") as caught:
            Kubeflow(address)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("store", "sentence"),
    [
        ("results", "pods see no folder of this machine such as results; use s3://bucket/prefix"),
        ("file:///data", "pods see no folder of this machine"),
        ("s3://key:secret@bucket", "the address must hold no credentials"),
    ],
)
def test_a_store_out_of_the_pods_reach_is_refused(store: str, sentence: str, server: Server, tiny: Experiment) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        engines.registry["kfp"](tiny, store, host=server.url)
    assert "secret" not in str(caught.value)
    assert server.answers == 1000


@pytest.mark.parametrize("engine", ["kfp", "kfp-local"])
def test_an_experiment_longer_than_a_parameter_is_refused(engine: str, server: Server) -> None:
    long = experiments.parse(TEXT + "# a comment\n" * 1000)
    options = {"host": server.url} if engine == "kfp" else {}
    with pytest.raises(ExperimentError, match=r"tiny: the experiment file has 12,\d{3} bytes, and .* at most 10,000"):
        engines.registry[engine](long, STORE, **options)
    assert server.answers == 1000


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UserError, match="engine 'kfp-lcal' is not known; did you mean 'kfp-local'"):
        engines.registry["kfp-lcal"]


def test_a_host_must_be_said(tiny: Experiment, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="PHYSLM_KFP_HOST must be set"):
        engines.registry["kfp"](tiny, STORE)
    monkeypatch.setenv("PHYSLM_KFP_HOST", server.url)
    engines.registry["kfp"](tiny, STORE)
    assert len(server.runs) == 1
