"""Does many things at a broker on one connection, each on a channel of its own, and says which were refused.

Hundreds of channels are opened, used and closed without waiting in between: a client library waits for each.
"""

import socket
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from pamqp import commands, frame, header
from pamqp.base import Frame

ACCESS_REFUSED = 403
TIMEOUT_S = 90.0
"""A broker that makes and removes queues for other tests at the same time answers late."""
AT_ONCE = 50
"""What asks for so many fits into this end's send buffer. With more, both ends may write while neither reads:
the broker's answers are many and small, and a socket counts each as much more.
"""

Act = tuple[str, ...]
"""What is done, and to what: ("publish", exchange, key), ("get", queue), ("bind", queue, exchange, key)."""


class NotLetIn(Exception):
    """The broker did not accept the login."""


class Connection:
    """A connection of the user whom an address names."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._socket.sendall(frame.marshal(header.ProtocolHeader(), 0))
        self._expect(commands.Connection.Start)
        login = f"\0{unquote(parts.username or '')}\0{unquote(parts.password or '')}"
        self._send(0, commands.Connection.StartOk({}, "PLAIN", login, "en_US"))
        try:
            tune = self._expect(commands.Connection.Tune)
        except OSError as error:
            raise NotLetIn(parts.username) from error
        assert isinstance(tune, commands.Connection.Tune)
        self._send(0, commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0))
        self._send(0, commands.Connection.Open(unquote(parts.path[1:])))
        self._expect(commands.Connection.OpenOk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._socket.close()

    def refused(self, acts: Sequence[Act]) -> set[Act]:
        """Do everything, and return what this user has no right to. Whatever else fails is not refused."""
        found: set[Act] = set()
        for first in range(0, len(acts), AT_ONCE):
            found |= self._refused(acts[first : first + AT_ONCE])
        return found

    def _refused(self, acts: Sequence[Act]) -> set[Act]:
        data = bytearray()
        for channel, act in enumerate(acts, start=1):
            frames = (commands.Channel.Open(), *_frames(act), commands.Channel.Close(200, "done", 0, 0))
            data += b"".join(frame.marshal(each, channel) for each in frames)
        self._socket.sendall(data)
        found, ended, open_ = set(), set(), len(acts)
        while open_:
            channel, answer = self._next()
            if isinstance(answer, commands.Connection.Close):
                raise AssertionError(f"the broker ended the connection: {answer.reply_text}")
            if isinstance(answer, commands.Channel.Close):
                ended.add(channel)
                if answer.reply_code == ACCESS_REFUSED:
                    found.add(acts[channel - 1])
            # The answer to our own close comes in either case, after everything else on the channel, as long
            # as the broker's close is not answered before: with that it ends what would write it.
            if isinstance(answer, commands.Channel.CloseOk):
                open_ -= 1
                if channel in ended:
                    self._send(channel, commands.Channel.CloseOk())
        return found

    def _send(self, channel: int, value: Frame) -> None:
        self._socket.sendall(frame.marshal(value, channel))

    def _expect(self, kind: type[Frame]) -> object:
        _, answer = self._next()
        if not isinstance(answer, kind):
            raise ConnectionError(f"{answer!r} instead of {kind.__name__}")
        return answer

    def _next(self) -> tuple[int, object]:
        while True:
            # Seven bytes of head say how much follows, up to the byte that ends a frame.
            size = int.from_bytes(self._received[3:7]) + 8
            if len(self._received) >= max(size, 8):
                _, channel, answer = frame.unmarshal(self._received[:size])
                self._received = self._received[size:]
                return channel, answer
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("the broker closed the connection")
            self._received += more


def _frames(act: Act) -> Iterator[Frame | header.ContentHeader]:
    match act:
        case ("publish", exchange, key):
            yield commands.Basic.Publish(exchange=exchange, routing_key=key)
            yield header.ContentHeader(0, 0, commands.Basic.Properties())
        case ("get", queue):
            yield commands.Basic.Get(queue=queue)
        case ("consume", queue):
            yield commands.Basic.Qos(prefetch_count=1)
            yield commands.Basic.Consume(queue=queue)
        case ("purge", queue):
            yield commands.Queue.Purge(queue=queue)
        case ("delete", queue):
            yield commands.Queue.Delete(queue=queue)
        case ("declare", queue):
            yield commands.Queue.Declare(queue=queue, durable=True)
        case ("bind", queue, exchange, key):
            yield commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=key)
        case ("unbind", queue, exchange, key):
            yield commands.Queue.Unbind(queue=queue, exchange=exchange, routing_key=key)
        case ("declare-exchange", exchange):
            yield commands.Exchange.Declare(exchange=exchange, exchange_type="topic", durable=True)
        case ("delete-exchange", exchange):
            yield commands.Exchange.Delete(exchange=exchange)
        case ("bind-exchange", destination, source, key):
            yield commands.Exchange.Bind(destination=destination, source=source, routing_key=key)
        case ("unbind-exchange", destination, source, key):
            yield commands.Exchange.Unbind(destination=destination, source=source, routing_key=key)
        case _:
            raise ValueError(act)
