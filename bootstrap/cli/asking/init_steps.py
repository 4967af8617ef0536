"""The questions of `init`, in order. An answer comes from a flag, the terminal or the proposal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.advice import Advice
from bootstrap.cli.asking.init_flags import Flags
from bootstrap.cli.asking.init_token import TypedSecret
from bootstrap.cli.asking.prompts import Prompts
from bootstrap.cli.running.session import Session
from bootstrap.errors import AuthenticationError, HomelabError, UsageError

if TYPE_CHECKING:
    from bootstrap.commands.init import Survey
    from bootstrap.inventory import Overrides
    from bootstrap.inventory.answers import Connection
    from bootstrap.model.access.endpoint import PveEndpoint, TlsSpec
    from bootstrap.model.cluster import ClusterSpec, TemplateRef
    from bootstrap.planning.verbs.init import InitOptions
    from bootstrap.ports import Ports

DEFAULT_TOKEN_ID = "homelab@pve!k8s"  # noqa: S105 - its name; the secret is Proxmox VE's to make
"""The token that `init --pveum` creates."""
COMPARE = (
    "`pvenode cert info` on the Proxmox node prints it, too: under pveproxy-ssl.pem if that exists, else under "
    "pve-ssl.pem"
)


class Steps:
    """The dialogue.

    Args:
        session: Shows progress, and masks the token's secret.
        prompts: Asks.
        flags: Answers from the command line.
        base: The inventory's directory; relative paths in it start there.

    Attributes:
        typed: The token's secret, if it was typed.
    """

    def __init__(self, session: Session, prompts: Prompts, flags: Flags, *, base: Path) -> None:
        self._session = session
        self._prompts = prompts
        self._flags = flags
        self._base = base
        self.typed = TypedSecret(session, base=base, ports_of=self._ports)

    def connect(self) -> tuple[Connection, Ports]:
        """Ask for the endpoint, its certificate and the token.

        Raises:
            UsageError: An answer is missing or wrong.
            HomelabError: Nothing answers there, or its certificate is not the expected one.
        """
        url = self._endpoint()
        tls = self._trust(url)
        connection = self._token(url, tls)
        endpoint = self._read(connection)
        self._session.masker.add(endpoint.token.secret)
        return replace(connection, endpoint=endpoint.url, tls=endpoint.tls), self._ports(endpoint)

    def survey(self, ports: Ports, *, cluster: str | None = None) -> Survey:
        """Look at the Proxmox VE."""
        from bootstrap.commands.init import DEFAULT_CLUSTER, survey
        from bootstrap.model.ids import ClusterName

        with self._session.view.busy("reading the resources of Proxmox VE"):
            name = ClusterName(cluster) if cluster else DEFAULT_CLUSTER
            return survey(ports, cluster=name, resource_pool=self._flags.pool)

    def cluster(self, seen: Survey) -> str:
        """Name of the cluster."""
        from bootstrap.commands.init import free_name
        from bootstrap.inventory import Overrides
        from bootstrap.inventory.answers import check_answers

        def check(text: str) -> str:
            check_answers(Overrides(cluster=text))
            return text

        given = self._flags.cluster
        return given or self._prompts.ask(
            "Name of the cluster", flag="--cluster", check=check, proposal=free_name(seen)
        )

    def verb_options(self, seen: Survey, *, cluster: str) -> InitOptions:
        """Ask for template, sizes, storage and bridge, unless there is only one choice."""
        from bootstrap.model.ids import ClusterName, StorageName
        from bootstrap.planning.verbs.init import InitOptions

        flags = self._flags
        said = InitOptions(
            cluster=ClusterName(cluster),
            template=self._template(seen),
            control_planes=flags.control_planes,
            workers=flags.workers,
            storage=StorageName(flags.storage) if flags.storage else None,
            bridge=flags.bridge,
            resource_pool=flags.pool,
        )
        self._known(seen, said)
        said = self._counts(seen, said)
        return self._places(seen, said)

    def _endpoint(self) -> str:
        from bootstrap.inventory.env_and_flags import ENV_ENDPOINT

        given = self._flags.endpoint or os.environ.get(ENV_ENDPOINT)
        check = self._check_endpoint
        if given:
            return check(given)
        return self._prompts.ask(
            "URL of the Proxmox VE API, for example https://192.168.1.10:8006", flag="--endpoint", check=check
        )

    def _check_endpoint(self, text: str) -> str:
        from bootstrap.inventory.answers import parse_endpoint

        return parse_endpoint(text if "://" in text else f"https://{text}")

    def _trust(self, url: str) -> TlsSpec:
        """How the certificate is checked from now on; no secret has been sent yet."""
        from bootstrap.inventory.env_and_flags import ENV_FINGERPRINT
        from bootstrap.model.access.endpoint import ApiToken, PveEndpoint, TlsSpec

        nobody = ApiToken(user="nobody@pve", name="none", secret="")
        pinned = self._flags.fingerprint or os.environ.get(ENV_FINGERPRINT) or None
        look = PveEndpoint(url=url, token=nobody, tls=TlsSpec())
        with self._session.view.busy(f"connecting to {url}"):
            found = self._ports(look).probes.endpoint(look).certificate
        self._session.view.text(f"The certificate of {url} has the SHA-256 fingerprint\n  {found.fingerprint}")
        if pinned is not None:
            if _digits(pinned) != _digits(found.fingerprint):
                raise AuthenticationError(
                    f"the certificate of {url} is not the one of --fingerprint",
                    details=f"expected {pinned}\nfound    {found.fingerprint}",
                    resolution=f"another server may answer at this address; {COMPARE}",
                )
            return TlsSpec(fingerprint=found.fingerprint)
        if found.trust and not found.problem:
            self._session.view.text(f"It is {found.trust}, so it is not pinned (it will be renewed).")
            return TlsSpec()
        self._session.view.text(f"It is not signed by a known CA. Compare it: {COMPARE}.")
        if not self._flags.accept_fingerprint and not self._prompts.agree(
            "Is the fingerprint the same there?", proposal=None, flag="--fingerprint (or --accept-fingerprint)"
        ):
            raise HomelabError("the certificate was not accepted: nothing was written", resolution=COMPARE)
        return TlsSpec(fingerprint=found.fingerprint)

    def _token(self, url: str, tls: TlsSpec) -> Connection:
        from bootstrap.inventory.answers import Connection, parse_token_id
        from bootstrap.inventory.env_and_flags import ENV_TOKEN

        flags = self._flags
        given = Connection(
            endpoint=url,
            token_id=flags.token_id,
            token_env=flags.token_env,
            token_file=self._from_base(flags.token_file) if flags.token_file else None,
            tls=tls,
        )
        if flags.token_env or flags.token_file or os.environ.get(ENV_TOKEN):
            self._read(given)
            return given
        if not self._prompts.asks:
            raise UsageError(
                "--token-env or --token-file is missing",
                details=f"{ENV_TOKEN} is not set either",
                resolution=Advice(
                    "say where the API token is; `homelab-k8s init --pveum` prints the commands that create one"
                ),
            )
        token_id = flags.token_id or self._prompts.ask(
            "ID of the API token", flag="--token-id", check=parse_token_id, proposal=DEFAULT_TOKEN_ID
        )
        return self._secret(replace(given, token_id=token_id))

    def _secret(self, given: Connection) -> Connection:
        """Ask for the secret, or for the file or variable that holds it."""
        typed = self._prompts.ask_hidden(
            "Its secret (hidden; leave it empty to name a file or a variable instead)",
            check=lambda text: self.typed.tried(given, text),
        )
        if typed is not None:
            return typed

        def check(text: str) -> Connection:
            is_variable = text.replace("_", "").isalnum() and text.upper() == text  # in capitals
            said = (
                replace(given, token_env=text)
                if is_variable
                else replace(given, token_file=self._from_base(Path(text)))
            )
            self._read(said)
            return said

        return self._prompts.ask(
            "Where is its secret? A file, or the name of an environment variable",
            flag="--token-file or --token-env",
            check=check,
        )

    def _from_base(self, path: Path) -> Path:
        """A path as the inventory takes it: relative to the inventory, absolute, or below `~/`."""
        is_same = path.is_absolute() or path.parts[:1] == ("~",) or self._base == Path.cwd()
        return path if is_same else path.absolute()

    def _read(self, connection: Connection) -> PveEndpoint:
        from bootstrap.inventory.answers import read_connection

        if self.typed.secret is not None:
            return self.typed.read(connection)
        return read_connection(connection, base=self._base, environ=os.environ)

    def _ports(self, endpoint: PveEndpoint) -> Ports:
        from bootstrap.homelab import Homelab
        from bootstrap.inventory import Inventory

        session = self._session
        inventory = Inventory(spec=_any_spec(), endpoint=endpoint, source="init")
        return Homelab(inventory, ports=session.ports, stop=session.stop).ports

    def _template(self, seen: Survey) -> TemplateRef | None:
        from bootstrap.inventory.answers import parse_template

        usable = [choice for choice in seen.templates if not choice.problem]
        if self._flags.template is not None:
            return parse_template(self._flags.template)
        if len(usable) < 2:
            return None

        def check(text: str) -> TemplateRef:
            ref = next((choice.ref for choice in usable if text == _typed(choice.ref)), None) or parse_template(text)
            self._known(seen, _any_wishes(template=ref))
            return ref

        return self._prompts.ask("Template", flag="--template", check=check, proposal=_typed(usable[0].ref))

    def _counts(self, seen: Survey, said: InitOptions) -> InitOptions:
        from bootstrap.inventory import Overrides
        from bootstrap.planning.verbs.init import propose

        if said.control_planes is None:
            servers = self._count(
                "Control-plane nodes (an odd number)",
                "--control-planes",
                lambda number: Overrides(control_planes=number),
                1,
            )
            said = replace(said, control_planes=servers)
        if said.workers is None:
            fitting = propose(seen.observed, said).spec.workers[0].count
            workers = self._count("Workers", "--workers", lambda number: Overrides(workers=number), fitting)
            said = replace(said, workers=workers)
        return said

    def _count(self, question: str, flag: str, answer: Callable[[int], Overrides], proposal: int) -> int:
        from bootstrap.inventory.answers import check_answers

        def check(text: str) -> int:
            if not text.isascii() or not text.isdigit():
                raise UsageError(f"{flag}: {text!r} is not a number")
            check_answers(answer(int(text)))
            return int(text)

        return self._prompts.ask(question, flag=flag, check=check, proposal=str(proposal))

    def _places(self, seen: Survey, said: InitOptions) -> InitOptions:
        """Storage and bridge, if the template leaves them open and there are several."""
        from bootstrap.planning.templates.discovery import common_bridges, common_storages
        from bootstrap.planning.verbs.init import propose

        proposed = propose(seen.observed, said).spec
        online = [facts for facts in seen.observed.pve_nodes if facts.online]
        storages, bridges = common_storages(online), common_bridges(online)
        storage = proposed.placement.storage if len(storages) > 1 else None
        bridge = proposed.network.bridge if len(bridges) > 1 else None
        said = self._place(seen, said, "storage", "Storage for the machines' disks", proposal=storage)
        return self._place(seen, said, "bridge", "Bridge of the machines", proposal=bridge)

    def _place(
        self, seen: Survey, said: InitOptions, field: str, question: str, *, proposal: str | None
    ) -> InitOptions:
        if proposal is None or getattr(said, field) is not None:
            return said

        def check(text: str) -> str:
            self._known(seen, _any_wishes(**{field: text}))
            return text

        answer = self._prompts.ask(question, flag=f"--{field}", check=check, proposal=proposal)
        return replace(said, **{field: answer})  # type: ignore[arg-type]

    def _known(self, seen: Survey, verb_options: InitOptions) -> None:
        from bootstrap.commands.init import refuse_unknown

        refuse_unknown(seen, verb_options)


def _digits(fingerprint: str) -> str:
    return "".join(each for each in fingerprint.upper() if each.isalnum())


def _typed(ref: TemplateRef) -> str:
    """The template as `--template` takes it."""
    if ref.vmid is not None:
        return str(ref.vmid)
    return f"tag:{ref.tag}" if ref.tag is not None else str(ref.name)


def _any_wishes(**said: object) -> InitOptions:
    from bootstrap.commands.init import DEFAULT_CLUSTER
    from bootstrap.planning.verbs.init import InitOptions

    return replace(InitOptions(cluster=DEFAULT_CLUSTER), **said)  # type: ignore[arg-type]


def _any_spec() -> ClusterSpec:
    """A specification for adapters before there is an inventory."""
    from bootstrap.commands.init import DEFAULT_CLUSTER
    from bootstrap.model.cluster import ClusterSpec, TemplateRef
    from bootstrap.planning.templates.discovery import ANY_POOL
    from bootstrap.records.vms.template import TEMPLATE_TAG

    return ClusterSpec(name=DEFAULT_CLUSTER, template=TemplateRef(tag=TEMPLATE_TAG), control_plane=ANY_POOL)
