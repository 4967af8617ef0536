"""`bootstrap.ports.Notices` by apprise: ntfy, mail, Matrix, Slack and a hundred others by one form of URL."""

from __future__ import annotations

import importlib.util
import logging

WITHOUT_EXTRA = (
    "notices need the package apprise, which the extra `notify` brings: pipx inject homelab-k8s apprise "
    "(uv: install it again with --with apprise)"
)
_MOST_SAID = 300


class AppriseNotices:
    """Sends notices. apprise is imported when the first one is sent: it costs half a second."""

    def why_not(self) -> str:
        """See `bootstrap.ports.upkeep.Notices`."""
        return "" if importlib.util.find_spec("apprise") is not None else WITHOUT_EXTRA

    def send(self, url: str, *, title: str, text: str) -> str:
        """See `bootstrap.ports.upkeep.Notices`."""
        lack = self.why_not()
        if lack:
            return lack
        import apprise

        # Its log has parts of URLs: what it says is returned, and nothing goes to the log of the run.
        logging.getLogger("apprise").propagate = False
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
            service = apprise.Apprise()
            try:
                known = bool(service.add(url))
                sent = known and bool(service.notify(body=text, title=title))
            except Exception as error:  # noqa: BLE001 - a hundred plugins of others: a notice must not end a run
                return f"{type(error).__name__} in apprise"
            lines = said.getvalue().splitlines()
        if not known:
            return "it is not a URL that apprise knows (its wiki lists them), such as ntfys://ntfy.sh/TOPIC"
        return "" if sent else (lines[-1][:_MOST_SAID] if lines else "apprise does not say why")
