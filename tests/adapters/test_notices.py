"""Notices by apprise, sent to a server of this test by its form `json://`."""

from __future__ import annotations

import importlib.util
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bootstrap.adapters.local.notices import WITHOUT_EXTRA, AppriseNotices

installed = importlib.util.find_spec("apprise") is not None
with_apprise = pytest.mark.skipif(not installed, reason="apprise (the extra `notify`) is not installed")


@contextmanager
def server(status: int) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A URL of apprise's, and what was sent to it."""
    heard: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"json://user:hunter-twelve@127.0.0.1:{http.server_port}/path-of-mine", heard
        finally:
            http.shutdown()
            thread.join()


@pytest.mark.skipif(installed, reason="apprise is installed")
def test_without_the_extra_it_is_named() -> None:
    assert AppriseNotices().why_not() == AppriseNotices().send("json://x", title="t", text="x") == WITHOUT_EXTRA


@with_apprise
@pytest.mark.filterwarnings("ignore")
def test_a_notice_arrives_with_title_and_text() -> None:
    with server(200) as (url, heard):
        assert AppriseNotices().send(url, title="demo: upkeep done", text="two\nlines") == ""
    assert [(each["title"], each["message"]) for each in heard] == [("demo: upkeep done", "two\nlines")]


@with_apprise
@pytest.mark.filterwarnings("ignore")
def test_why_one_does_not_arrive_is_said_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with server(403) as (url, _heard):
        said = AppriseNotices().send(url, title="t", text="x")
    assert "error=403" in said
    assert "hunter" not in said
    assert "hunter" not in caplog.text
    assert AppriseNotices().send("nonsense://", title="t", text="x").startswith("it is not a URL that apprise knows")
