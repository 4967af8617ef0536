"""HTTP for releases: streams to files, retries transient failures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from bootstrap.adapters.artifacts.proxies import proxy_adapter, unusable_proxy
from bootstrap.errors import ArtifactError, ArtifactUnreachableError

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

_TIMEOUT_S = (10.0, 30.0)
_MOST_DIGITS = 19
"""Of a size in bytes."""
_CHUNK = 1 << 20
MOST_BYTES = 2 << 30
"""Of a file: k3s is 70 MiB, its images a few hundred."""
MOST_LIST_BYTES = 1 << 20
"""Of a list of checksums."""
_PASSING = frozenset({408, 429, 500, 502, 503, 504})


class _PassingStatusError(Exception):
    """A status that may change soon."""


class Downloader:
    """Fetches over HTTP(S), through the environment's proxies where the host is not near.

    An https URL must not redirect to http.

    Args:
        attempts: Tries in all, where a connection fails, ends early, or the server says that it is busy.
        pause_s: Before the second try; twice as long before each further one.
    """

    def __init__(self, *, attempts: int = 4, pause_s: float = 0.5) -> None:
        self._attempts = attempts
        self._pause_s = pause_s

    def location(self, url: str, *, what: str) -> str:
        """Where a URL redirects to, unfollowed; empty where it does not."""

        def ask(session: requests.Session) -> str:
            with session.get(url, allow_redirects=False, timeout=_TIMEOUT_S, stream=True) as answer:
                _check(answer, what)
                return answer.headers.get("Location", "")

        return self._persist(ask, url=url, what=what)

    def fetch(self, url: str, path: Path, *, what: str, most_bytes: int = MOST_BYTES) -> None:
        """Download a URL into a file: completely, or the file is not created.

        Raises:
            ArtifactError: It does not exist, is longer than `most_bytes` or the free space, or redirects to http.
            ArtifactUnreachableError: No answer.
        """

        def copy(session: requests.Session) -> None:
            with session.get(url, timeout=_TIMEOUT_S, stream=True) as answer:
                _check(answer, what)
                left = _room(answer, path, what, most_bytes)
                with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                    temporary = Path(file.name)
                    try:
                        # A body shorter than Content-Length raises, so that a part never counts as complete.
                        for chunk in answer.iter_content(_CHUNK):
                            left -= len(chunk)
                            if left < 0:
                                raise _too_long(answer.url, what, most_bytes)
                            file.write(chunk)
                        file.flush()
                        temporary.replace(path)
                    finally:
                        temporary.unlink(missing_ok=True)

        self._persist(copy, url=url, what=what)

    def _persist(self, attempt: Callable[[requests.Session], T], *, url: str, what: str) -> T:
        import requests
        import tenacity

        passing = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._attempts),
            wait=tenacity.wait_exponential(multiplier=self._pause_s, max=10),
            retry=tenacity.retry_if_exception_type((*passing, _PassingStatusError)),
            reraise=True,
        )
        hint = (
            "check that the address is reachable from here; proxies are set with HTTPS_PROXY; k3s.artifacts "
            "needs no network"
        )
        try:
            with requests.Session() as session:
                adapter = proxy_adapter(what)
                session.mount("https://", adapter)
                session.mount("http://", adapter)
                if url.lower().startswith("https://"):
                    session.mount("http://", _refusing_adapter())
                return retrying(attempt, session)
        except requests.exceptions.InvalidSchema as error:
            raise ArtifactError(
                f"cannot fetch {what}: it redirects from https to http",
                details=f"{url}\n{error}",
                resolution="anyone on the network could change it; use a URL that stays on https",
            ) from error
        except (requests.RequestException, _PassingStatusError) as error:
            raise ArtifactUnreachableError(
                f"cannot fetch {what}", details=f"{url}\n{error}", resolution=hint
            ) from error
        except OSError as error:
            raise ArtifactError(
                f"cannot save {what}",
                details=str(error),
                resolution="check the free disk space; XDG_CACHE_HOME sets another directory for downloads",
            ) from error
        except ValueError as error:  # of a proxy for a redirect's other scheme, which requests reads by itself
            raise unusable_proxy(str(error), what=what) from error


def _refusing_adapter() -> requests.adapters.BaseAdapter:
    """Instead of plain HTTP, for what began with https."""
    from requests.adapters import HTTPAdapter
    from requests.exceptions import InvalidSchema

    class Refusing(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *_args: object, **_settings: object) -> requests.Response:
            raise InvalidSchema(f"redirects to {request.url}, which is not https")

    return Refusing()


def _room(answer: requests.Response, path: Path, what: str, most_bytes: int) -> int:
    """The maximum size. Raises ArtifactError where the answer announces more, or the disk has no room for it."""
    stated = answer.headers.get("Content-Length", "")
    size = int(stated) if stated.isascii() and stated.isdigit() and len(stated) < _MOST_DIGITS else 0
    if size > most_bytes:
        raise _too_long(answer.url, what, most_bytes)
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise ArtifactError(
            f"not enough disk space for {what}",
            details=f"it has {size} bytes; {free} are free at {path.parent}",
            resolution="free some space there; XDG_CACHE_HOME sets another directory for downloads",
        )
    return most_bytes


def _too_long(url: str, what: str, most_bytes: int) -> ArtifactError:
    return ArtifactError(
        f"{what} is too long: more than {most_bytes >> 20} MiB",
        details=url,
        resolution="this is not the expected file: check the URL",
    )


def _check(answer: requests.Response, what: str) -> None:
    if answer.status_code in _PASSING:
        raise _PassingStatusError(f"HTTP {answer.status_code} {answer.reason}")
    if answer.status_code == 404:
        raise ArtifactError(
            f"there is no {what}",
            details=f"{answer.url}\nHTTP 404 {answer.reason}",
            resolution="check the version (https://github.com/k3s-io/k3s/releases) and, for a mirror, its URL",
        )
    if answer.status_code >= 400:
        raise ArtifactError(f"cannot fetch {what}", details=f"{answer.url}\nHTTP {answer.status_code} {answer.reason}")
