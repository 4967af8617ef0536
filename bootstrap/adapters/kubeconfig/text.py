"""Adds the cluster's entries to kubeconfigs and removes them; pure.

Several documents count as for kubectl with `$KUBECONFIG`: the first one with an entry of a name, or with a current
context, decides (client-go, tools/clientcmd/loader.go). An entry is written into the document that has it; a new one
and the current context into the first (config.go, ModifyConfig).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count

from yaml import MappingNode, Node, SequenceNode

from bootstrap.adapters.kubeconfig.yaml_nodes import (
    copied,
    drop,
    get,
    is_null,
    not_a_kubeconfig,
    put,
    read_root,
    sequence,
    serialized,
    text_node,
    word,
)
from bootstrap.errors import HomelabError
from bootstrap.k3s.kubeconfig.entries import authority_mark, issuer_mark, server_mark

SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_CONTRADICTING: dict[str, tuple[str, ...]] = {
    "clusters": ("certificate-authority", "insecure-skip-tls-verify"),
    "users": ("client-certificate", "client-key"),
    "contexts": (),
}
"""What kubectl refuses, or ignores, beside the CA, certificate and key of an entry."""


@dataclass
class Document:
    """A kubeconfig's text, to be changed. Raises HomelabError for another text.

    Args:
        text: YAML or JSON; may be empty.
        source: Its name in messages.
    """

    text: str
    source: str
    root: MappingNode | None = field(init=False)
    _before: str = field(init=False)

    def __post_init__(self) -> None:
        self.root = read_root(self.text, self.source)
        self._before = serialized(self.root) if self.root is not None else ""
        for section in SECTIONS:
            self.entries(section)

    def entries(self, section: str) -> list[MappingNode]:
        """The entries of a section."""
        there = get(self.root, section, Node)
        if there is None or is_null(
            there
        ):  # kubectl writes `clusters: null` (or leaves the key out) where there is none
            return []
        found = [entry for entry in there.value if isinstance(entry, MappingNode)]
        if not isinstance(there, SequenceNode) or len(found) < len(there.value):
            raise not_a_kubeconfig(self.source, f"its {section} are not a list of entries")
        return found

    def put_entries(self, section: str, entries: Sequence[MappingNode]) -> None:
        """Set a section's entries."""
        if self.root is None:
            self.root = _new_root()
        put(self.root, section, sequence(entries, like=get(self.root, section, SequenceNode)))

    @property
    def current(self) -> str:
        """The current context; empty for none."""
        return word(self.root, "current-context")

    def set_current(self, name: str) -> None:
        """Make a context the current one."""
        if self.root is None:
            self.root = _new_root()
        put(self.root, "current-context", text_node(name))

    @property
    def rendered(self) -> str:
        """The text now; identical to the original where nothing has changed."""
        after = serialized(self.root) if self.root is not None else ""
        return self.text if after == self._before else after

    @property
    def is_empty(self) -> bool:
        """Whether there are no clusters, users and contexts."""
        return not any(self.entries(section) for section in SECTIONS)


@dataclass(frozen=True, kw_only=True)
class Own:
    """How the cluster's entries are recognized: `name` is their preferred name, `marks` identify them."""

    name: str
    marks: frozenset[str]

    def names(self) -> Iterator[str]:
        """Their possible names, without end; the preferred one first."""
        return chain((self.name, f"homelab-{self.name}"), (f"homelab-{self.name}-{number}" for number in count(2)))

    def is_named(self, name: str) -> bool:
        """Whether a name is one of those."""
        plain = re.escape(self.name)
        return re.fullmatch(rf"{plain}|homelab-{plain}(?:-[0-9]+)?", name) is not None

    def has_cluster(self, entry: MappingNode) -> bool:
        """Whether an entry is this cluster's: it has two of its CA, its addresses, its name; and no other CA.

        The CA alone is not enough: a compromised server may report another cluster's CA.
        """
        cluster = get(entry, "cluster", MappingNode)
        authority, server = word(cluster, "certificate-authority-data"), word(cluster, "server")
        if authority and authority_mark(authority) not in self.marks:
            return False
        is_there = bool(server) and server_mark(server) in self.marks
        return bool(authority) + is_there + self.is_named(name_of(entry)) >= 2

    def has_user(self, entry: MappingNode) -> bool:
        """Whether a user is this cluster's administrator."""
        certificate = word(get(entry, "user", MappingNode), "client-certificate-data")
        return bool(certificate) and issuer_mark(certificate) in self.marks


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The context's name now, and notes for the user where the entries are new."""

    context: str
    notes: tuple[str, ...] = ()


def name_of(entry: MappingNode) -> str:
    """An entry's name; empty where it has none."""
    return word(entry, "name")


def has_ours(documents: Sequence[Document], own: Own) -> bool:
    """Whether one of them has the cluster."""
    return any(own.has_cluster(entry) for document in documents for entry in document.entries("clusters"))


def has_key(document: Document, own: Own) -> bool:
    """Whether a document has the cluster administrator's key."""
    return any(own.has_user(entry) for entry in document.entries("users"))


def merge_entries(
    documents: Sequence[Document], kubeconfig: str, own: Own, *, switch: bool, kubectl: str = "kubectl"
) -> Outcome:
    """Add or renew the cluster, user and context; what a user has added to them is kept.

    The context becomes the current one with `switch`, or if the entries are new and no working context is current.

    Args:
        documents: At least one.
        kubeconfig: The cluster's, with one cluster, user and context of any names.
        own: How its entries are recognized.
        switch: Make its context the current one in any case.
        kubectl: The command that works on these documents.

    Raises:
        HomelabError: `kubeconfig` is not a kubeconfig.
    """
    added = Document(kubeconfig, "the cluster's own kubeconfig")
    first = not has_ours(documents, own)
    name = _choose_name(documents, own)
    context = _context_of(documents, name)
    for section, inner in SECTIONS.items():
        if section != "contexts" or context == name:
            _put_entry(documents, own, section, name, _wanted(added, section, inner, name))
    current = next(filter(None, (document.current for document in documents)), "")
    if switch or (first and not _is_in_use(documents, own, current)):
        documents[0].set_current(context)
        current = context
    if not first:
        return Outcome(context=context)
    notes = list(_taken_notes(documents, own, name))
    if current != context:
        notes.append(f"current-context is still {current}; `{kubectl} config use-context {context}` switches")
    return Outcome(context=context, notes=tuple(notes))


def _taken_notes(documents: Sequence[Document], own: Own, name: str) -> Iterator[str]:
    """A note where the entries have another name, and why."""
    if name != own.name:
        where = next(document.source for document in documents if _has_name(document, own.name))
        yield f"{own.name} in {where} belongs to another cluster; the new entry is called {name}"


def remove_entries(documents: Sequence[Document], own: Own) -> tuple[str, ...]:
    """Remove the cluster's entries, under any name, and what points to them; returns the removed contexts' names."""
    pointing = list(chain.from_iterable(_pointing(document, documents, own) for document in documents))
    gone = set(map(name_of, pointing))
    # The user may have put other credentials into the cluster's user.
    altered = {_refers(context, "user") for context in pointing} & _our_names(documents, own)
    there = {name_of(context) for document in documents for context in document.entries("contexts")}
    for document in documents:
        _drop(document, "clusters", own.has_cluster)
        _drop(document, "users", lambda user: own.has_user(user) or name_of(user) in altered)
        _drop(document, "contexts", lambda context: context in pointing)
        if document.current in gone or (own.is_named(document.current) and document.current not in there):
            document.set_current("")
    return tuple(sorted(gone))


def foreign_notes(documents: Sequence[Document], own: Own) -> tuple[str, ...]:
    """Entries with the cluster's name that are another's, each with its document."""
    return tuple(
        f"the entry {own.name} in {document.source} is kept: its CA or server belongs to another cluster"
        for document in documents
        if any(name_of(entry) == own.name and not own.has_cluster(entry) for entry in document.entries("clusters"))
    )


def _drop(document: Document, section: str, is_ours: Callable[[MappingNode], bool]) -> None:
    entries = document.entries(section)
    kept = [entry for entry in entries if not is_ours(entry)]
    if len(kept) < len(entries):
        document.put_entries(section, kept)


def _pointing(document: Document, documents: Sequence[Document], own: Own) -> list[MappingNode]:
    """The contexts of the cluster; also those of its name that refer to no cluster."""
    own_document = {name_of(entry) for entry in document.entries("clusters")}
    ours_here, ours = _our_names([document], own), _our_names(documents, own)
    known = {name_of(entry) for each in documents for entry in each.entries("clusters")}

    def leads_to_us(context: MappingNode) -> bool:
        cluster = _refers(context, "cluster")
        if cluster in own_document:
            return cluster in ours_here
        is_left_over = own.is_named(cluster) and cluster == name_of(context) and cluster not in known
        return cluster in ours or is_left_over

    return [context for context in document.entries("contexts") if leads_to_us(context)]


def _our_names(documents: Sequence[Document], own: Own) -> set[str]:
    """The cluster's names in the documents."""
    return {
        name_of(entry)
        for document in documents
        for entry in document.entries("clusters")
        if name_of(entry) and own.has_cluster(entry)
    }


def _refers(context: MappingNode, key: str) -> str:
    return word(get(context, "context", MappingNode), key)


def _visible(documents: Sequence[Document], section: str, name: str) -> tuple[Document, MappingNode] | None:
    """The entry of a name that kubectl uses, and its document."""
    for document in documents:
        for entry in document.entries(section):
            if name_of(entry) == name:
                return document, entry
    return None


def _choose_name(documents: Sequence[Document], own: Own) -> str:
    """The entries' name: the present one, else the first that no other cluster uses."""
    named = sorted(filter(own.is_named, _our_names(documents, own)), key=lambda name: (len(name), name))
    as_they_are = [name for name in named if _has_our_cluster(documents, own, name)]
    return next(name for name in chain(as_they_are, own.names()) if not _is_taken(documents, own, name))


def _has_name(document: Document, name: str) -> bool:
    return any(name_of(entry) == name for section in SECTIONS for entry in document.entries(section))


def _context_of(documents: Sequence[Document], name: str) -> str:
    """The context's name: that of the other entries, unless the user has renamed it."""
    contexts = [context for document in documents for context in document.entries("contexts")]
    ours = [name_of(each) for each in contexts if (_refers(each, "cluster"), _refers(each, "user")) == (name, name)]
    return name if _visible(documents, "contexts", name) is not None or not ours else ours[0]


def _has_our_cluster(documents: Sequence[Document], own: Own, name: str) -> bool:
    found = _visible(documents, "clusters", name)
    return found is not None and own.has_cluster(found[1])


def _is_taken(documents: Sequence[Document], own: Own, name: str) -> bool:
    """Whether kubectl finds another cluster's entry under a name."""
    cluster = _visible(documents, "clusters", name)
    context = _visible(documents, "contexts", name)
    user = _visible(documents, "users", name)
    if cluster is not None and not own.has_cluster(cluster[1]):
        return True
    leads_to = _refers(context[1], "cluster") if context is not None else name
    if leads_to != name and not _has_our_cluster(documents, own, leads_to):
        return True
    joins_ours = cluster is not None and context is not None and _refers(context[1], "user") == name
    return user is not None and not joins_ours and not own.has_user(user[1])


def _is_in_use(documents: Sequence[Document], own: Own, current: str) -> bool:
    """Whether the current context refers to another cluster."""
    context = _visible(documents, "contexts", current) if current else None
    if context is None:
        return False
    cluster = _refers(context[1], "cluster")
    return _visible(documents, "clusters", cluster) is not None and not _has_our_cluster(documents, own, cluster)


def _wanted(added: Document, section: str, inner: str, name: str) -> list[tuple[str, Node]]:
    """The content of the cluster's entry in a section."""
    if section == "contexts":
        return [("cluster", text_node(name)), ("user", text_node(name))]
    entries = added.entries(section)
    content = get(entries[0], inner, MappingNode) if len(entries) == 1 else None
    if content is None:
        raise HomelabError(
            "the cluster's own kubeconfig is not as expected", details=f"it does not have exactly one of {section}"
        )
    return [(key.value, value) for key, value in content.value]


def _put_entry(
    documents: Sequence[Document], own: Own, section: str, name: str, wanted: Sequence[tuple[str, Node]]
) -> None:
    """Write an entry where kubectl finds it: its own content, and what the user has added."""
    document, old = _visible(documents, section, name) or (documents[0], None)
    entry = copied(old)
    content = copied(get(old, SECTIONS[section], MappingNode))
    drop(content, _CONTRADICTING[section])
    for key, value in wanted:
        put(content, key, value)
    put(entry, "name", text_node(name))
    put(entry, SECTIONS[section], content)
    others = document.entries(section)
    if old is None:
        document.put_entries(section, [*others, entry])
        return
    at = others.index(old)
    twins = [other for other in others[at + 1 :] if name_of(other) == name and _is_twin(other, section, own)]
    document.put_entries(section, [*others[:at], entry, *(other for other in others[at + 1 :] if other not in twins)])


def _is_twin(entry: MappingNode, section: str, own: Own) -> bool:
    """Whether a further entry of the same name is this cluster's too; kubectl refuses two of a name."""
    if section == "clusters":
        return own.has_cluster(entry)
    return own.has_user(entry) or section == "contexts"


def _new_root() -> MappingNode:
    root = copied(None)
    for key, value in (("apiVersion", "v1"), ("kind", "Config")):
        put(root, key, text_node(value))
    for section in SECTIONS:
        put(root, section, sequence([]))
    return root
