"""Idle channels are not sent away: what the client pings and what the server allows agree."""

import asyncio

import grpc
import pytest

from trivium.rpc.channels import CHANNEL_OPTIONS, SERVER_OPTIONS, Options

QUICKER = 200
"""All times of both sides are divided by it, so that their proportions are tested in a second."""


def quicker(options: Options) -> list[tuple[str, int]]:
    return [(name, value // QUICKER if name.endswith(("time_ms", "interval_without_data_ms")) else value) for name, value in options]


async def test_an_idle_channel_stays_open() -> None:
    server = grpc.aio.server(options=quicker(SERVER_OPTIONS))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=quicker(CHANNEL_OPTIONS)) as channel:
        await channel.channel_ready()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 2.5)
    await server.stop(None)
