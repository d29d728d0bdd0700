"""Idle channels are not sent away: what the client pings and what the server allows agree."""

import asyncio

import grpc
import pytest

from trivium.rpc.channels import CHANNEL_OPTIONS, SERVER_OPTIONS, Options

QUICKER = 80
"""The client's ping interval and the interval that the server allows are divided by it. The server's own pings are not:
they would excuse a client that pings too often."""


def quicker(options: Options, *scaled: str) -> list[tuple[str, int]]:
    return [(name, value // QUICKER if name in scaled else value) for name, value in options]


async def test_an_idle_channel_stays_open() -> None:
    server = grpc.aio.server(options=quicker(SERVER_OPTIONS, "grpc.http2.min_ping_interval_without_data_ms"))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=quicker(CHANNEL_OPTIONS, "grpc.keepalive_time_ms")) as channel:
        await channel.channel_ready()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 4.5)
    await server.stop(None)
