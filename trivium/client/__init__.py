"""What a Python product imports: ask over gRPC, or publish to Kafka and await the answers.

    async with TriviumClient("localhost:7300") as mesh:
        terminal = await mesh.complete(request(tenant="acme", prompt="What is never cached?", endpoint="/how-to"))

    async with KafkaClient("localhost:9092", "acme") as mesh:
        pending = await mesh.publish(request(tenant="acme", prompt="Where is my order?", endpoint="/classify"))
        terminal = await pending

Requests are `trivium.v1.Request` messages or `trivium.core.request.Request` values; answers are
`trivium.core.outcome.Terminal`. A request without an id gets a new one; the same id again is the same request.
"""

from trivium.client.grpc_client import GatewayError, TriviumClient
from trivium.client.kafka_client import KafkaClient, Pending
from trivium.client.requests import request

__all__ = ["GatewayError", "KafkaClient", "Pending", "TriviumClient", "request"]
