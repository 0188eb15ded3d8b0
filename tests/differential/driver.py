# Kept as it ran against iggy-server, so that the recorded outcomes stay comparable.
# ruff: noqa: BLE001, C901, E401, E501, I001, N806, N817, UP031
# fmt: off
"""Run a seeded random series of operations through the published apache-iggy wheel against a server at 127.0.0.1:PORT
and print one normalised outcome per line. The same seed on a real iggy-server gave expected/seed-N.jsonl.

differential.py PORT SEED [COUNT]          mixed operations, 3 clients
differential.py PORT SEED COUNT groups     consumer groups: 4 clients join, leave, disconnect, poll, commit; 1.3 s to settle after each change
differential.py PORT SEED 0 timeout        a member that polled and does not commit keeps its partitions 30 s after another joined
"""
import asyncio, hashlib, json, os, random, struct, sys

from apache_iggy import Consumer, IggyClient, Partitioning, PollingStrategy as PS, SendMessage


def ident(x):
    if isinstance(x, int):
        return struct.pack("<BBI", 1, 4, x)
    b = x.encode()
    return struct.pack("<BB", 2, len(b)) + b


def create_topic(stream, name, partitions):
    n = name.encode()
    return ident(stream) + struct.pack("<IB", partitions, len(n)) + n


def offset_request(kind, consumer, stream, topic, partition):
    return bytes([kind]) + ident(consumer) + ident(stream) + ident(topic) + struct.pack("<BI", 1, partition)


def sync_reply(b):
    if not b:
        return []
    n = struct.unpack_from("<I", b, 8)[0]
    return sorted(struct.unpack_from("<%dI" % n, b, 12))


def message(m):
    p = m.payload()
    h = m.user_headers()
    return [m.offset(), len(p), hashlib.sha1(p).hexdigest()[:8], sorted((str(k), str(v)) for k, v in h.items()) if h else []]


async def main(port, seed, count, profile):
    rnd = random.Random(seed)
    url = f"iggy+tcp://iggy:iggy@127.0.0.1:{port}?nodelay=true&reconnection_retries=2&reconnection_interval=100ms&reestablish_after=100ms&heartbeat_interval=60s"
    clients = [IggyClient.from_connection_string(url) for _ in range(4 if profile == "groups" else 3)]
    for c in clients:
        await asyncio.wait_for(c.connect(), 5)
    S = f"diff-{profile}-{seed}-{os.getpid()}"
    await clients[0].create_stream(S)
    topics, parts = ["t0", "t1"], {"t0": 3, "t1": 1}
    for t in topics:
        await clients[0].send_binary_request(302, create_topic(S, t, parts[t]))

    if profile == "groups":
        topics, parts = ["t0"], {"t0": 4}
        await clients[0].create_partitions(S, "t0", 1)
        await clients[0].create_consumer_group(S, "t0", "g")
        for p in range(4):
            await clients[0].send_messages(S, "t0", Partitioning.partition_id(p), [SendMessage(b"%d-%d" % (p, i)) for i in range(30)])

    async def one(c, op):
        T = rnd.choice(topics)
        p = rnd.randrange(parts[T] + (rnd.random() < 0.06))
        who = rnd.choice([7, 8, "alpha", "beta"])
        if op == "send":
            ms = []
            for _ in range(rnd.choice([1, 1, 2, 5, 20])):
                size = rnd.choice([1, 10, 100, 1000, 5000])
                head = {"k%d" % i: rnd.choice(["v", 1, 2.5, True, b"\x00\xff"]) for i in range(rnd.choice([0, 0, 1, 3]))}
                ms.append(SendMessage(rnd.randbytes(size), user_headers=head or None))
            r = await c.send_messages(S, T, Partitioning.partition_id(p), ms)
            return [[x.partition_id, x.base_offset] for x in r.confirmations]
        if op == "send_key":
            r = await c.send_messages(S, T, Partitioning.messages_key("tenant-%d" % rnd.randrange(40)), [SendMessage(rnd.randbytes(20))])
            return [[x.partition_id, x.base_offset] for x in r.confirmations]
        if op == "poll":
            st = rnd.choice([PS.Offset(rnd.randrange(60)), PS.First(), PS.Last(), PS.Next()])
            r = await c.poll_messages(S, T, consumer=Consumer.Single(who), polling_strategy=st, count=rnd.choice([1, 2, 10, 100]), auto_commit=False, partition_id=p)
            return [message(m) for m in r]
        if op == "store":
            return len(await c.send_binary_request(121, offset_request(1, who, S, T, p) + struct.pack("<QB", rnd.randrange(40), 1)))
        if op == "get":
            return bytes(await c.send_binary_request(120, offset_request(1, who, S, T, p))).hex()
        if op == "delete_offset":
            return len(await c.send_binary_request(122, offset_request(1, who, S, T, p) + b"\x01"))
        if op == "topic":
            d = await c.get_topic(S, T)
            return [d.name, d.partitions_count, d.messages_count]
        if op == "group_create":
            return await c.create_consumer_group(S, T, "g")
        if op == "group_delete":
            return await c.delete_consumer_group(S, T, "g")
        if op == "join":
            return await c.join_consumer_group(S, T, "g")
        if op == "leave":
            return await c.leave_consumer_group(S, T, "g")
        if op == "sync":
            return sync_reply(bytes(await c.send_binary_request(606, ident(S) + ident(T) + ident("g"))))
        if op == "group":
            d = await c.get_consumer_group(S, T, "g")
            return None if d is None else [d.name, d.partitions_count, d.members_count]
        if op == "group_poll":
            r = await c.poll_messages(S, T, consumer=Consumer.Group("g"), polling_strategy=PS.Offset(rnd.randrange(10)), count=5, auto_commit=False, partition_id=p)
            return [message(m) for m in r]
        if op == "group_store":
            return len(await c.send_binary_request(121, offset_request(2, "g", S, T, p) + struct.pack("<QB", rnd.randrange(20), 1)))
        if op == "group_get":
            return bytes(await c.send_binary_request(120, offset_request(2, "g", S, T, p))).hex()
        if op == "purge":
            return await c.purge_topic(S, T)
        if op == "bad_topic":
            return await c.send_messages(S, "absent", Partitioning.partition_id(0), [SendMessage(b"x")])
        if op == "bad_stream":
            return await c.get_stream("absent-" + S)
        if op == "dup_topic":
            return len(await c.send_binary_request(302, create_topic(S, T, 1)))
        if op == "bad_code":
            return await c.send_binary_request(9998, b"")
        raise AssertionError(op)

    weights = {"send": 20, "send_key": 6, "poll": 22, "store": 10, "get": 8, "delete_offset": 2, "topic": 4, "group_create": 3, "group_delete": 1, "join": 6, "leave": 3,
               "sync": 6, "group": 2, "group_poll": 8, "group_store": 5, "group_get": 4, "purge": 1, "bad_topic": 1, "bad_stream": 1, "dup_topic": 1, "bad_code": 1}
    if profile == "groups":
        weights = {"join": 14, "leave": 8, "cut": 4, "sync": 18, "group_poll": 34, "group_store": 22, "group_get": 6, "group": 4, "send": 2}
    ops, w = list(weights), list(weights.values())

    async def timeout_scenario():
        T = "t0"
        await clients[0].create_consumer_group(S, T, "g")
        for p in range(3):
            await clients[0].send_messages(S, T, Partitioning.partition_id(p), [SendMessage(b"%d-%d" % (p, i)) for i in range(20)])

        async def owned(c):
            return sync_reply(bytes(await c.send_binary_request(606, ident(S) + ident(T) + ident("g"))))

        async def store(c, p, o):
            try:
                return len(await c.send_binary_request(121, offset_request(2, "g", S, T, p) + struct.pack("<QB", o, 1)))
            except Exception as e:
                return str(e)

        async def poll(c, p, o):
            r = await c.poll_messages(S, T, consumer=Consumer.Group("g"), polling_strategy=PS.Offset(o), count=5, auto_commit=False, partition_id=p)
            return [m.offset() for m in r]

        a, b, d = clients[:3]
        await a.join_consumer_group(S, T, "g")
        yield "a alone", await owned(a), [await poll(a, p, 0) for p in range(3)]
        yield "a commits p0 in part, p1 in full", await store(a, 0, 1), await store(a, 1, 4)
        await b.join_consumer_group(S, T, "g")
        await asyncio.sleep(3)
        yield "b joined, 3 s", await owned(a), await owned(b)
        await d.join_consumer_group(S, T, "g")
        await asyncio.sleep(3)
        yield "d joined, 3 s", await owned(a), await owned(b), await owned(d)
        yield "polls of what each asks for", [await poll(c, p, 0) for c in (a, b, d) for p in range(3)]
        yield "commits of what each asks for", [await store(c, p, 2) for c in (d, b, a) for p in range(3)]
        await asyncio.sleep(34)
        yield "34 s later", await owned(a), await owned(b), await owned(d)
        yield "commits again", [await store(c, p, 3) for c in (a, b, d) for p in range(3)]
        await b.leave_consumer_group(S, T, "g")
        yield "b left", await owned(a), await owned(d)
        yield "commits after the deal", [await store(c, p, 4) for c in (a, d) for p in range(3)]

    if profile == "timeout":
        async for row in timeout_scenario():
            print(json.dumps(row, ensure_ascii=False))
    for i in range(count):
        op = rnd.choices(ops, w)[0]
        who = rnd.randrange(len(clients))
        if op == "cut":  # the connection goes; a new one takes its place, not yet a member
            clients[who] = IggyClient.from_connection_string(url)
            await asyncio.wait_for(clients[who].connect(), 5)
            op = "sync"
            await asyncio.sleep(1.3)
        try:
            out = await asyncio.wait_for(one(clients[who], op), 10)
            out = list(out) if isinstance(out, tuple) else out
        except Exception as e:
            out = type(e).__name__ + ": " + str(e)
        print(json.dumps([i, op, who, out], ensure_ascii=False))
        if profile == "groups" and op in ("join", "leave", "group_store"):
            await asyncio.sleep(1.3)
    await clients[0].delete_stream(S)
    sys.stdout.flush()
    os._exit(0)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 300, sys.argv[4] if len(sys.argv) > 4 else "mixed"))
