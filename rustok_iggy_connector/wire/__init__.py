"""The Iggy 0.11 TCP protocol, sans-IO: bytes in, values out, in both directions. No socket, clock, random or log.

    codes.py       Command, Operation, FrameKind, Status, EvictionReason; PROTOCOL_VERSION; operation_of(command)
    header.py      RequestHeader, ReplyHeader, EvictionHeader: 256 bytes each
    connection.py  ServerConnection and ClientConnection: receive_data(bytes), receive_eof(), next_frame();
                   RequestFrame, ReplyFrame, EvictionFrame, NEED_DATA, CLOSED;
                   ClientConnection.send(request); encode_reply, encode_success, encode_eviction for a server
    commands/      a frozen dataclass for each request and reply, with encode() and decode(); COMMANDS maps a Command
                   to both; command_of(header, body) tells which command a request is
    codec.py       reply bodies: encode_reply_body, decode_reply, Refusal (refused before, or while, being applied)
    batch.py       Batch.parse, .stamped, .sliced, .messages; build_batch, split_batches; NewMessage, StoredMessage
    primitives.py  Reader, Writer, Consumer, PollingStrategy, Partitioning
    fields.py      Field (one option or user header), ValueKind; encode_fields, decode_fields, decode_options
    layout.py      how a dataclass becomes bytes

A server's turn, with a handler that stores or reads something:

    connection.receive_data(chunk)
    while isinstance(frame := connection.next_frame(), RequestFrame):
        command = command_of(frame.header, frame.body)
        request = COMMANDS[command].request.decode(frame.body)
        writer.writelines(encode_success(frame.header, command, reply))                    # it worked
        writer.writelines(encode_reply(frame.header, status=Status.RESOURCE_NOT_FOUND))    # refused before
        writer.writelines(encode_reply(frame.header, Refusal(1012, committed=True).encode()))  # refused while applied

Bytes that break the protocol raise RemoteProtocolError and nothing else; values that do not fit raise
LocalProtocolError. Lengths are checked against limits and against what is there before anything is allocated.
"""
