"""The password is changed while a service runs: it goes on until its connection ends, then says why it stops."""

import msgspec
import pytest

from rustok_iggy import AuthenticationError, ConnectionLostError
from rustok_iggy_connector import IggyConnector, RemoteConnector
from rustok_iggy_connector.wire.commands.users import ChangePassword, CreateUser, Permissions
from tests.conformance.backends import Backend, Feature, unique
from tests.conformance.services import Handler, Place, place, publish, some_tenants, until_caught_up
from tests.faults import fault_proxy
from tests.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.needs(Feature.LOGIN)]
__all__ = ["place"]
OLD, NEW = "correct-horse-battery", "another-horse-staple"
EVERYTHING = Permissions(
    read_servers=True,
    manage_streams=True,
    read_streams=True,
    manage_topics=True,
    read_topics=True,
    poll_messages=True,
    send_messages=True,
)


async def ask(connector: IggyConnector, request: CreateUser | ChangePassword) -> None:
    await connector.admin._session.run(lambda client: client.request(request, subject="a user"))  # type: ignore[attr-defined]


async def test_open_connections_go_on_and_new_ones_are_refused_until_the_new_password_is_configured(
    place: Place, backend: Backend, connector: IggyConnector
) -> None:
    tenants, first, second = some_tenants(2), Handler(), Handler()
    name = unique("user")
    await ask(connector, CreateUser(username=name, password=OLD, permissions=EVERYTHING))
    async with fault_proxy(backend.remote_config().addresses[0]) as proxy:
        config = msgspec.structs.replace(
            backend.remote_config(), addresses=(proxy.address,), username=name, password=OLD
        )
        stopped = pytest.raises(AuthenticationError)
        async with place.transport(RemoteConnector(config)) as service:
            service.subscribe(group="billing")(first)
            with stopped as caught:
                async with service.consuming():
                    await publish(service, tenants, range(2))
                    await until(lambda: first.book.distinct == 4)
                    await ask(connector, ChangePassword(user=name, current_password=OLD, new_password=NEW))
                    await publish(service, tenants, range(2, 4))
                    await until(lambda: first.book.distinct == 8)
                    proxy.cut()
                    await until(lambda: False)  # until the consuming half says that it has to stop
            assert not service.health().is_ready
            # Sent once over the old connection, before its end was seen, it may have been stored.
            with pytest.raises((AuthenticationError, ConnectionLostError), match="refused the login"):
                await publish(service, tenants, range(9, 10))
        assert OLD not in repr(caught.value)
        renewed = msgspec.structs.replace(config, password=NEW)
        async with place.transport(RemoteConnector(renewed)) as service:
            service.subscribe(group="billing")(second)
            async with service.consuming():
                await publish(service, tenants, range(4, 6))
                await until_caught_up(service)
                await until(lambda: {4, 5} <= set(second.book.numbers(tenants[0])))
        assert [sorted({*first.book.numbers(each), *second.book.numbers(each)}) for each in tenants] == [
            [*range(6)]
        ] * 2
