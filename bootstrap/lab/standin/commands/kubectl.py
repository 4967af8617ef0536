"""k3s kubectl."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import sys
import urllib.parse
from pathlib import Path

from ..api.resources import Resource, resource_called
from ..built import VERSION
from ..connections.link import Link, in_go_words, split_url
from ..connections.pki import client_context
from ..files import KUBECONFIG
from ..logs import Fatal
from ..shapes import Json, Obj
from .printing import columns


class Kubectl:
    """The few kubectl commands that scripts on a machine use."""

    def __init__(self, argv: list[str]) -> None:
        self.words: list[str] = []
        self.flags: dict[str, str] = {}
        rest = list(argv)
        while rest:
            word = rest.pop(0)
            if not word.startswith("-") or (word.endswith("-") and word != "-"):
                self.words.append(word)
                continue
            name, has_value, value = word.lstrip("-").partition("=")
            name = {"o": "output", "n": "namespace", "l": "selector", "A": "all-namespaces"}.get(name, name)
            switches = ("all-namespaces", "no-headers", "ignore-not-found", "overwrite", "wait", "now", "force")
            if name not in (*switches, "output", "namespace", "selector", "kubeconfig", "raw", "request-timeout"):
                raise Fatal(f"error: unknown flag: --{name} (this is the kubectl of the k3s stand-in)")
            self.flags[name] = value if has_value else "true" if name in switches else rest.pop(0) if rest else ""
        self.link = self._connect()

    def _connect(self) -> Link:
        path = Path(self.flags.get("kubeconfig") or os.environ.get("KUBECONFIG") or KUBECONFIG)
        try:
            text = path.read_text()
        except OSError as error:
            raise Fatal(f"error: error loading config file {path}: {error.strerror}") from error
        found = dict(re.findall(r"^\s*([\w-]+): (\S+)$", text, re.MULTILINE))
        ca = base64.b64decode(found["certificate-authority-data"]).decode()
        descriptor = os.memfd_create("client")  # ssl needs a file; this one never is on a disk
        for field in ("client-certificate-data", "client-key-data"):
            os.write(descriptor, base64.b64decode(found[field]))
        pair = Path(f"/proc/self/fd/{descriptor}")
        timeout = float(self.flags.get("request-timeout", "30").rstrip("s") or 30)
        return Link(*split_url(found["server"]), client_context(ca, (pair, pair)), timeout or 30)

    def run(self) -> int:
        verb = self.words[0] if self.words else "help"
        actions = {"get": self._get, "delete": self._delete, "label": self._label, "annotate": self._label,
                   "cordon": self._cordon, "uncordon": self._cordon, "version": self._version}  # fmt: skip
        if verb not in actions:
            raise Fatal(f'error: unknown command "{verb}" for "kubectl" of the k3s stand-in')
        return actions[verb]()

    def _ask(
        self, method: str, path: str, body: Json = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        try:
            return self.link.request(method, path, data, headers)
        except (OSError, http.client.HTTPException) as error:
            host, port = self.link.host, self.link.port
            text = f"Unable to connect: {in_go_words(error, host, port)}"
            if isinstance(error, ConnectionRefusedError):
                text = (
                    f"The connection to the server {host}:{port} was refused - did you specify the right host or port?"
                )
            raise Fatal(text) from error

    def _path(self) -> tuple[Resource, str]:
        """The resource that the words name, and its path."""
        first, second = [*self.words, "", ""][1:3]
        kind, _, name = first.partition("/")
        resource = resource_called(kind)
        if resource is None:
            raise Fatal(f'error: the server doesn\'t have a resource type "{kind}"')
        path = f"/apis/{resource.group_version}" if resource.group else "/api/v1"
        if resource.namespaced and "all-namespaces" not in self.flags:
            path += f"/namespaces/{self.flags.get('namespace', 'default')}"
        return resource, "/".join(filter(None, (path, resource.plural, name or second)))

    def _get(self) -> int:
        if "raw" in self.flags:
            return self._get_raw(self.flags["raw"])
        resource, path = self._path()
        output = self.flags.get("output", "")
        if self.flags.get("selector"):
            path += "?" + urllib.parse.urlencode({"labelSelector": self.flags["selector"]})
        headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"} if output in ("", "wide") else {}
        answer = self._answer("GET", path, None, headers)
        if answer is None:
            return 0
        if output == "json":
            sys.stdout.write(json.dumps(answer, indent=4) + "\n")
        elif output == "name":
            items = answer.get("items", [answer])
            sys.stdout.writelines(f"{resource.singular}/{item['metadata']['name']}\n" for item in items)
        elif output in ("", "wide"):
            self._print_table(answer, wide=output == "wide")
        else:
            raise Fatal(f"error: the stand-in's kubectl prints json, name and wide, not {output}")
        return 0

    def _get_raw(self, path: str) -> int:
        status, raw = self._ask("GET", path)
        if raw.startswith(b'{"kind": "Status"') and status != 200:
            raise refusal(json.loads(raw))
        (sys.stdout if status == 200 else sys.stderr).write(raw.decode())
        return 0 if status == 200 else 1

    def _answer(self, method: str, path: str, body: Json, headers: dict[str, str]) -> Obj | None:
        """The server's answer; None for a missing object with --ignore-not-found. Raises Fatal for a refusal."""
        status, raw = self._ask(method, path, body, headers)
        answer: Obj = json.loads(raw)
        if status == 404 and "ignore-not-found" in self.flags:
            return None
        if status >= 400:
            raise refusal(answer)
        return answer

    def _print_table(self, answer: Obj, *, wide: bool) -> None:
        if not answer["rows"]:
            sys.stderr.write("No resources found\n")
            return
        rows = table_rows(answer, wide=wide, namespaces="all-namespaces" in self.flags)
        sys.stdout.write(columns(rows[1:] if "no-headers" in self.flags else rows, gap=3))

    def _change(self, method: str, done: str, body: Json = None) -> int:
        resource, path = self._path()
        if self._answer(method, path, body, {"Content-Type": "application/merge-patch+json"}) is None:
            return 0
        name = path.rpartition("/")[2]
        sys.stdout.write(f'{resource.singular} "{name}" deleted\n' if done == "deleted" else
                         f"{resource.singular}/{name} {done}\n")  # fmt: skip
        return 0

    def _delete(self) -> int:
        if "/" not in self.words[1] and len(self.words) < 3:
            raise Fatal("error: resource(s) were provided, but no name was specified")
        return self._change("DELETE", "deleted")

    def _label(self) -> int:
        start = 2 if "/" in self.words[1] else 3
        values = {}
        for word in self.words[start:]:
            key, has_value, value = word.partition("=")
            values[key if has_value else key.rstrip("-")] = value if has_value else None
        field, done = ("labels", "labeled") if self.words[0] == "label" else ("annotations", "annotated")
        return self._change("PATCH", done, {"metadata": {field: values}})

    def _cordon(self) -> int:
        verb = self.words[0]
        self.words = [verb, "node", self.words[1].removeprefix("node/")]
        return self._change("PATCH", f"{verb}ed", {"spec": {"unschedulable": True if verb == "cordon" else None}})

    def _version(self) -> int:
        _, raw = self._ask("GET", "/version")
        sys.stdout.write(f"Client Version: {VERSION}\nServer Version: {json.loads(raw)['gitVersion']}\n")
        return 0


def table_rows(answer: Obj, *, wide: bool, namespaces: bool) -> list[list[str]]:
    """The cells to print, the heads of their columns first."""
    heads = answer["columnDefinitions"]
    shown = [at for at, head in enumerate(heads) if wide or not head["priority"]]
    rows = [[heads[at]["name"].upper() for at in shown]]
    rows += [[str(row["cells"][at]) for at in shown] for row in answer["rows"]]
    if not namespaces:
        return rows
    spaces = ["NAMESPACE", *(row["object"]["metadata"].get("namespace", "") for row in answer["rows"])]
    return [[space, *row] for space, row in zip(spaces, rows, strict=True)]


def refusal(answer: Obj) -> Fatal:
    return Fatal(f"Error from server ({answer.get('reason')}): {answer.get('message')}")


def kubectl(argv: list[str]) -> int:
    """k3s kubectl."""
    return Kubectl(argv).run()
