"""The API of Kubeflow Pipelines: submit a compiled pipeline, and watch its run.

Environment:
    PHYSLM_KFP_TOKEN              bearer token, where the server asks for one
    KF_PIPELINES_SA_TOKEN_PATH    file with such a token, as Kubeflow gives its notebooks
    KF_PIPELINES_UI_ENDPOINT      address of the pages for people, if it is not the API's
    SSL_CERT_FILE                 certificate authorities, where the usual ones don't do
"""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import kfp
from kfp_server_api import ApiException
from urllib3.exceptions import HTTPError

from physlm import environment
from physlm.errors import PhyslmError, UserError
from physlm.store.files import reason

ENDED = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
"""States that a run doesn't leave."""

_PATIENCE = 12  # failed questions in a row, about a minute and a half


@dataclass(frozen=True)
class Submission:
    """A run of a pipeline on a server, and where people can look at it."""

    run_id: str
    url: str


class Kubeflow:
    """A server of Kubeflow Pipelines.

    host        address of its API, http://... or https://...
    namespace   of runs, which a server of many users must be told; one for a single user has its own
    Raises UserError for an address that can't be one and for missing rights, and PhyslmError if nothing answers there.
    """

    def __init__(self, host: str, namespace: str | None = None) -> None:
        url = urlsplit(host)
        if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc:
            raise UserError(
                "the address of Kubeflow Pipelines must begin with http:// or https:// and hold no credentials, "
                "such as http://localhost:8888"
            )
        self.host = host.rstrip("/")
        self._called = f"the Kubeflow Pipelines server at {self.host}"
        token = _token()
        if token:
            environment.warn_of_plain_http(self.host, "tokens of Kubeflow Pipelines")
        many_users = self._ask_health(token)
        if many_users and not namespace:
            raise UserError(f"{self._called} has many users; say which --namespace to run in")
        self._namespace = namespace if many_users else None
        with self._explained("connect"):
            self._client = kfp.Client(
                host=self.host,
                namespace=self._namespace,
                existing_token=token,
                ssl_ca_cert=environment.text("SSL_CERT_FILE"),
            )

    def submit(
        self,
        package: Path,
        arguments: Mapping[str, str],
        *,
        experiment: str,
        description: str,
        name: str,
        service_account: str | None = None,
    ) -> Submission:
        """Start a run of a compiled pipeline among the runs of an experiment, which is made if there is none."""
        with self._explained("submit the run"):
            group = self._client.create_experiment(experiment, description, self._namespace)
            run = self._client.create_run_from_pipeline_package(
                str(package),
                arguments=dict(arguments),
                run_name=name,
                experiment_id=group.experiment_id,
                service_account=service_account,
            )
        pages = (environment.text("KF_PIPELINES_UI_ENDPOINT") or self.host).rstrip("/")
        return Submission(run.run_id, f"{pages}/#/runs/details/{run.run_id}")

    def watch(self, run: Submission, hear: Callable[[Mapping[str, str]], None]) -> tuple[str, Mapping[str, str]]:
        """Wait for the run's end; `hear` gets the states of its tasks by their names, every few seconds.

        Returns the final states of the run and of its tasks. A server that doesn't answer for a while is asked again;
        then PhyslmError is raised.
        """
        pause, failures = 0.5, 0
        while True:
            try:
                with self._explained("watch the run"):
                    found = self._client.get_run(run.run_id)
            except UserError:
                raise
            except PhyslmError:
                failures += 1
                if failures == _PATIENCE:
                    raise
            else:
                failures = 0
                details = (found.run_details and found.run_details.task_details) or []
                tasks = {task.display_name: task.state for task in details}
                hear(tasks)
                if found.state in ENDED:
                    return found.state, tasks
            time.sleep(pause)
            pause = min(2 * pause, 8.0)

    def _ask_health(self, token: str | None) -> bool:
        """See whether the server answers as one of Kubeflow Pipelines. Returns whether it has many users."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            answer = httpx.get(f"{self.host}/apis/v2beta1/healthz", headers=headers, timeout=10)
        except httpx.HTTPError as error:
            raise PhyslmError(
                f"{self._called} can't be reached ({_cause(error)}); is kubectl port-forward running?"
            ) from None
        if answer.is_redirect or answer.status_code in (401, 403):
            raise self._no_rights()
        try:
            return bool(answer.raise_for_status().json().get("multi_user"))
        except (httpx.HTTPStatusError, ValueError, AttributeError):
            raise PhyslmError(
                f"what answers at {self.host} is not the API of Kubeflow Pipelines 2 (status {answer.status_code}), "
                "which is the service ml-pipeline, usually on port 8888"
            ) from None

    def _no_rights(self) -> UserError:
        return UserError(
            f"{self._called} refuses the request for want of rights; set PHYSLM_KFP_TOKEN to a token that may run "
            "pipelines there, and check the namespace"
        )

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Keep the client from printing and warning, and turn its exceptions into one sentence."""
        handlers = logging.root.handlers[:]
        try:
            with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")
                yield
        except ApiException as error:
            if error.status in (401, 403):
                raise self._no_rights() from None
            raise PhyslmError(f"can't {doing}: {self._called} answered: {_message(error)}") from None
        except HTTPError as error:
            raise PhyslmError(f"can't {doing}: {self._called} doesn't answer ({_cause(error)})") from None
        except ValueError as error:
            raise PhyslmError(f"can't {doing}: {error}") from None
        finally:
            logging.root.handlers[:] = handlers  # the client's first message adds one


def _token() -> str | None:
    if token := environment.secret(environment.KFP_TOKEN):
        return token
    if file := environment.text("KF_PIPELINES_SA_TOKEN_PATH"):
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            raise UserError(f"KF_PIPELINES_SA_TOKEN_PATH: {file} can't be read: {error.strerror}") from None
    return None


def _message(error: ApiException) -> str:
    """What the server has said, from the JSON of its answer."""
    try:
        answer = json.loads(error.body)
        text = str(answer.get("error") or answer["message"])
    except (TypeError, ValueError, KeyError, AttributeError):
        text = f"{error.status} {error.reason}"
    return " ".join(text.split())[:400]


def _cause(error: BaseException) -> str:
    """What is at the bottom of a failed request, in a few words."""
    for below in (getattr(error, "reason", None), error.__cause__, error.__context__, *error.args[-1:]):
        if isinstance(below, BaseException):
            return _cause(below)
    return reason(error) if isinstance(error, OSError) else str(error)
