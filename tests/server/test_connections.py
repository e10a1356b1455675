"""What comes over a socket that no HTTP library would send: half requests, two lengths, strange hosts."""

import asyncio

from serving import served

from specreason.server.admission import LONGEST_RETRY_S
from specreason.server.errors import TRY_AGAIN_S


async def test_a_kept_connection_outlives_every_retry_after() -> None:
    async with served() as state:
        assert state.server.config.timeout_keep_alive >= max(TRY_AGAIN_S, LONGEST_RETRY_S) + 10
