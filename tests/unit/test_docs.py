"""What the docs name exists: files, modules, headings; and so do the docs that the code names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "tests/**/*.md", "manifests/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # releases of before had other files
)
SOURCES = sorted(path for top in ("bootstrap", "tests", "benchmarks") for path in (ROOT / top).rglob("*.py"))
TOPS = "bootstrap|tests|docs|benchmarks|manifests|inventories|[.]ci"
ROOMS = "|".join(sorted(path.name for path in (ROOT / "bootstrap").iterdir() if path.is_dir() and path.name[0] != "_"))

CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?:{TOPS})/[\w.*/-]*")
IN_A_ROOM = re.compile(rf"(?:{ROOMS})/[\w.*/-]*")
MODULE = re.compile(r"(?:bootstrap|tests|planning|execution|commands|adapters)(?:[.](?!py$|md$)\w+)+")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CITED = re.compile(r"(?<![\w/.\"-])((?:docs/)?(?:adr/)?[\w-]+[.]md)(?!\w)(#[\w-]+)?")


def words_of(text: str) -> Iterator[str]:
    """All that is set as code, with the places of tests and lines taken off."""
    for found in CODE.findall(text):
        yield found.partition("::")[0].rstrip(":,.")


def anchors(doc: Path) -> set[str]:
    """The headings of a document as links name them."""
    headings = re.findall(r"^#+ (.+)$", doc.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(path: str) -> bool:
    """Whether a path, or a pattern of paths (`NAME` stands for any name), is of something that is there."""
    return any(ROOT.glob(path.rstrip("/").replace("NAME", "*")))


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = (name if name.startswith(("bootstrap.", "tests.")) else f"bootstrap.{name}").split(".")
    for end in range(len(parts), 0, -1):
        if exists("/".join(parts[:end])) or exists("/".join(parts[:end]) + ".py"):
            found: object = importlib.import_module(".".join(parts[:end]))
            for rest in parts[end:]:
                if not hasattr(found, rest):
                    return False
                found = getattr(found, rest)
            return True
    return False


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: str(doc.relative_to(ROOT)))
def test_paths_and_modules_that_a_document_names_exist(doc: Path) -> None:
    missing = []
    for word in words_of(doc.read_text()):
        if PATH.fullmatch(word):
            found = exists(word)
        elif IN_A_ROOM.fullmatch(word):
            found = exists(f"bootstrap/{word}") or exists(f"bootstrap/{word}.py") or exists(word)
        elif MODULE.fullmatch(word):
            found = resolves(word)
        else:
            continue
        if not found:
            missing.append(word)
    assert missing == []


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: str(doc.relative_to(ROOT)))
def test_links_of_a_document_lead_somewhere(doc: Path) -> None:
    broken = []
    for link in LINK.findall(doc.read_text()):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        there = (doc.parent / path).resolve() if path else doc
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(link)
    assert broken == []


def test_documents_that_the_code_cites_exist_with_their_headings() -> None:
    broken = []
    cited = 0
    for source in SOURCES:
        for name, anchor in CITED.findall(source.read_text()):
            if source == Path(__file__) or name in ("README.md", "CHANGELOG.md"):
                continue
            cited += 1
            doc = ROOT / name
            if not doc.exists() or (anchor and anchor[1:] not in anchors(doc)):
                broken.append(f"{source.relative_to(ROOT)}: {name}{anchor}")
    assert cited > 20
    assert broken == []


def test_the_front_page_lists_every_page_once() -> None:
    front = ROOT / "docs/README.md"
    listed = [link for link in LINK.findall(front.read_text()) if not link.startswith("../") and "#" not in link]
    pages = {str(path.relative_to(front.parent)) for path in front.parent.rglob("*.md") if "adr" not in path.parts}
    assert sorted(set(listed) - {"adr"}) == sorted(pages - {"README.md"})
    assert [link for link in set(listed) if listed.count(link) > 1 and link != "lab.md"] == []
