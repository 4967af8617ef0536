"""Checks of `files` and `hooks`: that what they name on this computer is there, and that they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from bootstrap.inventory.files import Places
from bootstrap.inventory.keys.root import Root
from bootstrap.inventory.keys.system import ContentKeys, FileKeys, HookKeys, HooksKeys, one_line
from bootstrap.inventory.problems import Problems, Where
from bootstrap.inventory.values.scalars import RefusedError


def check_system_files(root: Root, places: Places, problems: Problems) -> None:
    """Add a problem for each file, script and secret that cannot be read, and for what cannot be put in place."""
    common = root.files or ()
    _check(common, root.hooks, places, problems)
    _check_paths((), common, problems)
    for pool in root.all_pools:
        _check(pool.files or (), pool.hooks, places, problems)
        _check_paths(common, pool.files or (), problems)


def _check(files: tuple[FileKeys, ...], hooks: HooksKeys | None, places: Places, problems: Problems) -> None:
    for file in files:
        _check_file(file, places, problems)
    for _time, some in hooks.all if hooks is not None else ():
        for hook in some:
            _check_hook(hook, places, problems)


def _check_file(file: FileKeys, places: Places, problems: Problems) -> None:
    if file.is_secret and file.mode is not None and int(file.mode, 8) & 0o077:
        problems.add(file.at(FileKeys.mode), "the content is a secret, and others could read it", "use 0600 or 0400")
    if file.content is not None:
        content = file.content
        _noting(_place(content), problems, lambda: content.read_from(places), unless=not _is_read(content))
    elif file.source is not None and not file.given(FileKeys.content):
        _noting(file.at(FileKeys.source), problems, lambda: file.make(places), unless=file.path is None)


def _check_hook(hook: HookKeys, places: Places, problems: Problems) -> None:
    by_content = hook.given(HookKeys.content)
    key = HookKeys.content if by_content else HookKeys.source
    readable = (hook.content if by_content else hook.source) is not None
    _noting(hook.at(key), problems, lambda: hook.script(places), unless=not readable)
    if readable and hook.known_as is None:
        problems.add(hook.at(HookKeys.name), "a script without a source needs a name", "such as name: tune-nic")
    for _name, value in hook.env or ():
        _noting(_place(value), problems, partial(one_line, value, places), unless=not _is_read(value))


def _noting(where: Where, problems: Problems, read: Callable[[], object], *, unless: bool) -> None:
    """Note why something cannot be read."""
    if unless:
        return  # noted already where it is wrong
    try:
        read()
    except RefusedError as refused:
        problems.add(where, refused.message, refused.hint)


def _is_read(content: ContentKeys) -> bool:
    return len(content.found) == 1 and len(content.places) == 1


def _place(content: ContentKeys) -> Where:
    return next(iter(content.places.values()), content.where)


def _check_paths(common: tuple[FileKeys, ...], files: tuple[FileKeys, ...], problems: Problems) -> None:
    """A file cannot be the directory of another one."""
    known = [each.path for each in (*common, *files) if each.path]
    for file, above in _below(files, known):
        message = f"{above} is itself one of the files, not a directory"
        problems.add(file.at(FileKeys.path), message, "give one of the two another place")


def _below(files: tuple[FileKeys, ...], known: list[str]) -> Iterator[tuple[FileKeys, str]]:
    for file in files:
        above = next((path for path in known if file.path and file.path.startswith(f"{path}/")), None)
        if above is not None:
            yield file, above
