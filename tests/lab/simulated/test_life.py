"""What a simulated server has open goes with it, whenever it ends."""

from __future__ import annotations

from bootstrap.lab.simulated.embedding.standin import ServerLife


class Ear:
    """A listener."""

    server_address = ("127.0.0.1", 6443)
    stopped = False

    def stop(self) -> None:
        self.stopped = True


def life() -> ServerLife:
    return ServerLife(
        bind="127.0.0.1",
        ready_delay_s=0.0,
        tell=lambda _line: None,
        up=lambda: None,
        listening=lambda _host, _port: None,
        refusal=lambda: None,
        held=lambda: False,
    )


def test_what_listens_when_it_ends_is_stopped() -> None:
    ended, ear = life(), Ear()
    ended.listening(ear)
    ended.stop()
    assert ear.stopped


def test_what_begins_to_listen_while_it_ends_is_stopped_too() -> None:
    ended, ear = life(), Ear()
    ended.stop()
    ended.listening(ear)
    assert ear.stopped
