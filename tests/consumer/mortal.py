"""A process that dies at a chosen moment: before or after it reaches the server for the n-th time to write."""

from typing import Any

from rustok_iggy_connector import (
    BatchConfirmation,
    ConnectorClosedError,
    InMemoryConnector,
    MemoryServer,
    MessageSubscriber,
    PublishBatch,
    TopologyAdmin,
)


class Mortal:
    """Counts appends to the dead-letter topic and commits; from the fatal one on, nothing reaches the server."""

    def __init__(self, *, dies_at: int, after: bool) -> None:
        self.dies_at = dies_at
        self.after = after
        self.writes = 0
        self.is_dead = False

    def check(self) -> None:
        if self.is_dead:
            raise ConnectorClosedError("killed")

    async def write(self, call: Any) -> Any:
        self.check()
        self.writes += 1
        fatal = self.writes == self.dies_at
        if fatal and not self.after:
            self.is_dead = True
            self.check()
        result = await call
        if fatal:
            self.is_dead = True
        self.check()
        return result


class MortalConnector(InMemoryConnector):
    """What a process has of the server, until it dies. Its death ends its sessions when it is shut down."""

    def __init__(self, server: MemoryServer, life: Mortal) -> None:
        super().__init__(server)
        self.life = life

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        call = super().publish_batch(batch)
        if batch.topic == "dlq":
            try:
                return await self.life.write(call)
            finally:
                call.close()
        return await call

    async def subscribe(self, **names: Any) -> MessageSubscriber:
        self.life.check()
        return Watched(await super().subscribe(**names), self.life)  # type: ignore[return-value]

    @property
    def admin(self) -> TopologyAdmin:
        return Watched(super().admin, self.life)  # type: ignore[return-value]


class Watched:
    """Anything with coroutine methods: a commit is a write, the rest only needs to be alive."""

    def __init__(self, of: Any, life: Mortal) -> None:
        self._of = of
        self._life = life

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._of, name)

        async def call(*positional: Any, **named: Any) -> Any:
            if name == "leave":
                return await method(*positional, **named)
            self._life.check()
            if name == "commit":
                awaitable = method(*positional, **named)
                try:
                    return await self._life.write(awaitable)
                finally:
                    awaitable.close()
            return await method(*positional, **named)

        return call
