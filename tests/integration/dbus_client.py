"""A plain D-Bus client: calls, errors by name, and signals in their order; it answers calls too. Knows the types that the tests meet."""
import os
import socket
import struct
import time

from halod_process import SLOWDOWN

METHOD_CALL, METHOD_RETURN, ERROR, SIGNAL = 1, 2, 3, 4
PATH, INTERFACE, MEMBER, ERROR_NAME, REPLY_SERIAL, DESTINATION, SENDER, SIGNATURE = range(1, 9)
FIXED = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
ALIGNMENT = {"s": 4, "o": 4, "g": 1, "a": 4, "(": 8, "{": 8, "v": 1,
             **{code: struct.calcsize(form) for code, form in FIXED.items()}}


class BusError(Exception):
    def __init__(self, name: str, message: str):
        super().__init__(f"{name}: {message}")
        self.name, self.message = name, message


class Variant:
    """A value with its type, to be sent; received variants are plain values."""

    def __init__(self, signature: str, value):
        self.signature, self.value = signature, value


def complete_types(signature: str) -> list[str]:
    """"a{sv}u" -> ["a{sv}", "u"]"""
    types, idx = [], 0
    while idx < len(signature):
        start = idx
        while signature[idx] == "a":
            idx += 1
        depth = 0
        while True:
            depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[idx], 0)
            idx += 1
            if depth == 0:
                break
        types.append(signature[start:idx])
    return types


class Writer:
    def __init__(self):
        self.data = bytearray()

    def align(self, n: int) -> None:
        self.data += bytes(-len(self.data) % n)

    def write(self, kind: str, value) -> None:
        self.align(ALIGNMENT[kind[0]])
        if kind in FIXED:
            self.data += struct.pack("<" + FIXED[kind], value)
        elif kind in "so":
            text = value.encode()
            self.data += struct.pack("<I", len(text)) + text + b"\0"
        elif kind == "g":
            self.data += bytes([len(value)]) + value.encode() + b"\0"
        elif kind == "v":
            self.write("g", value.signature)
            self.write(value.signature, value.value)
        elif kind[0] == "a":
            place = len(self.data)
            self.data += bytes(4)
            self.align(ALIGNMENT[kind[1]])
            start = len(self.data)
            for item in value.items() if kind[1] == "{" else value:
                self.write(kind[1:], item)
            struct.pack_into("<I", self.data, place, len(self.data) - start)
        else:
            for part, item in zip(complete_types(kind[1:-1]), value, strict=True):
                self.write(part, item)


class Reader:
    def __init__(self, data: bytes):
        self.data, self.idx = data, 0

    def align(self, n: int) -> None:
        self.idx += -self.idx % n

    def fixed(self, form: str):
        value, = struct.unpack_from("<" + form, self.data, self.idx)
        self.idx += struct.calcsize(form)
        return value

    def text(self, n: int) -> str:
        self.idx += n + 1
        return self.data[self.idx - n - 1:self.idx - 1].decode()

    def read(self, kind: str):
        self.align(ALIGNMENT[kind[0]])
        if kind in FIXED:
            value = self.fixed(FIXED[kind])
            return bool(value) if kind == "b" else value
        if kind in "so":
            return self.text(self.fixed("I"))
        if kind == "g":
            return self.text(self.fixed("B"))
        if kind == "v":
            return self.read(self.read("g"))
        if kind[0] == "a":
            n_bytes = self.fixed("I")
            self.align(ALIGNMENT[kind[1]])
            end, items = self.idx + n_bytes, []
            while self.idx < end:
                items.append(self.read(kind[1:]))
            return dict(items) if kind[1] == "{" else items
        return tuple(self.read(part) for part in complete_types(kind[1:-1]))


class Message:
    def __init__(self, kind: int, serial: int, fields: dict, body: list):
        self.kind, self.serial, self.body = kind, serial, body
        self.path, self.interface, self.member = fields.get(PATH), fields.get(INTERFACE), fields.get(MEMBER)
        self.error_name, self.reply_serial, self.sender = fields.get(ERROR_NAME), fields.get(REPLY_SERIAL), fields.get(SENDER)

    def __repr__(self) -> str:
        return f"<{self.path} {self.interface}.{self.member} {self.body}>"


class BusClient:
    """One connection. Not for several threads."""

    def __init__(self, socket_path: str, timeout: float = 20):
        self.timeout = timeout * SLOWDOWN
        self.signals: list[Message] = []
        self._serial = 0
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(self.timeout)
        self._socket.connect(socket_path)
        self._stream = self._socket.makefile("rb")
        self._socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        answer = self._stream.readline()
        if not answer.startswith(b"OK"):
            raise ConnectionError(f"the bus answered {answer!r}")
        self._socket.sendall(b"BEGIN\r\n")
        self.name = self.bus("Hello")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def __enter__(self) -> "BusClient":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def bus(self, member: str, signature: str = "", *arguments):
        """A method of the bus itself."""
        return self.call("/org/freedesktop/DBus", "org.freedesktop.DBus", member, signature, *arguments,
                         destination="org.freedesktop.DBus")

    def call(self, path: str, interface: str, member: str, signature: str = "", *arguments, destination="io.halod.Halod1"):
        """The reply's only value, or a list of them. Raises BusError."""
        serial = self.send(path, interface, member, signature, *arguments, destination=destination)
        while True:
            message = self._receive(time.monotonic() + self.timeout)
            if message.kind == SIGNAL:
                self.signals.append(message)
            elif message.reply_serial == serial:
                break
        if message.kind == ERROR:
            raise BusError(message.error_name, message.body[0] if message.body else "")
        return message.body[0] if len(message.body) == 1 else message.body

    def send(self, path: str, interface: str, member: str, signature: str = "", *arguments, destination: str,
             kind: int = METHOD_CALL) -> int:
        fields = [(PATH, Variant("o", path)), (INTERFACE, Variant("s", interface)), (MEMBER, Variant("s", member)),
                  (DESTINATION, Variant("s", destination))]
        return self._send(kind, fields, signature, arguments)

    def answer(self, call: Message, signature: str = "", *values) -> None:
        self._send(METHOD_RETURN, [(REPLY_SERIAL, Variant("u", call.serial)), (DESTINATION, Variant("s", call.sender))], signature, values)

    def refuse(self, call: Message, error_name: str, message: str) -> None:
        fields = [(REPLY_SERIAL, Variant("u", call.serial)), (DESTINATION, Variant("s", call.sender)), (ERROR_NAME, Variant("s", error_name))]
        self._send(ERROR, fields, "s", (message,))

    def next_call(self, what: str) -> Message:
        """The next method call that somebody makes on a name that this client has; signals before it are kept."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                message = self._receive(deadline)
            except TimeoutError:
                raise AssertionError(f"nobody called {what} within {self.timeout} s") from None
            if message.kind == METHOD_CALL:
                return message
            self.signals.append(message)

    def _send(self, message_kind: int, fields: list, signature: str, arguments) -> int:
        body = Writer()
        for kind, value in zip(complete_types(signature), arguments, strict=True):
            body.write(kind, value)
        if signature:
            fields.append((SIGNATURE, Variant("g", signature)))
        self._serial += 1
        head = Writer()
        for kind, value in (("y", ord("l")), ("y", message_kind), ("y", 0), ("y", 1), ("u", len(body.data)), ("u", self._serial),
                            ("a(yv)", fields)):
            head.write(kind, value)
        head.align(8)
        self._socket.sendall(head.data + body.data)
        return self._serial

    def subscribe(self, rule: str = "type='signal',sender='io.halod.Halod1'") -> None:
        self.bus("AddMatch", "s", rule)

    def wait_for_signal(self, matches, what: str) -> Message:
        """The first one not looked at yet for which matches(message); those before it are dropped."""
        deadline = time.monotonic() + self.timeout
        seen = []
        while True:
            while self.signals:
                message = self.signals.pop(0)
                if matches(message):
                    return message
                seen.append(message)
            try:
                message = self._receive(deadline)
            except TimeoutError:
                raise AssertionError(f"no signal {what} within {self.timeout} s; seen: {seen}") from None
            if message.kind == SIGNAL:
                self.signals.append(message)

    def _receive(self, deadline: float) -> Message:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        head = self._exactly(16)
        n_body, serial, n_fields = struct.unpack_from("<III", head, 4)
        rest = self._exactly(n_fields + -n_fields % 8 + n_body)
        reader = Reader(head + rest)
        reader.idx = 12
        fields = {code: value for code, value in reader.read("a(yv)")}
        body = Reader(rest[len(rest) - n_body:])
        return Message(head[1], serial, fields, [body.read(kind) for kind in complete_types(fields.get(SIGNATURE, ""))])

    def _exactly(self, n: int) -> bytes:
        data = self._stream.read(n)
        if len(data) != n:
            raise ConnectionError("the bus hung up")
        return data

    # -- what every object has

    def get(self, path: str, interface: str, name: str):
        return self.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", interface, name)

    def get_all(self, path: str, interface: str) -> dict:
        return self.call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", interface)
