"""The end of the server: running requests may finish until a deadline, then they are cut."""

import asyncio

from specreason.server.errors import Refused


class Shutdown:
    """Told once that the server stops; everyone who serves looks here."""

    def __init__(self) -> None:
        self.begun = False
        self.cut = asyncio.Event()

    def begin(self, deadline_s: float) -> None:
        """New requests are refused from now on; those that run are cut after `deadline_s` seconds."""
        if not self.begun:
            self.begun = True
            asyncio.get_running_loop().call_later(deadline_s, self.cut.set)

    def check(self) -> None:
        """Raise Refused (503) if the server stops."""
        if self.begun:
            raise stopping()


def stopping() -> Refused:
    """What clients are told whose request is not served, or cut, because the server stops."""
    return Refused(
        "the server is stopping; try again", status=503, code="server_stopping", headers={"Retry-After": "5"}
    )
