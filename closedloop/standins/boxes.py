"""Stand-ins for trigger boxes: what comes through their port moves an output, with the time of each edge.

Their commands are those that public drivers use. **Assumed**, as no source tells it: what a box does with bytes that it
does not know (nothing), and that a box that times its pulse ignores what comes meanwhile. Delays of a box's own are
left out.
"""

import struct
from collections.abc import Callable, Mapping


class Output:
    """A box's output of 8 or 16 lines.

    Parameters
    ----------
    width_s
        How long lines stay up, in s; None: until they are told otherwise.

    Attributes
    ----------
    state
        Which lines are up, as bits.
    edges_s
        When a line went up, in s, whichever it was.
    """

    def __init__(self, width_s: float | None = None) -> None:
        self.width_s = width_s
        self.state = 0
        self.edges_s: list[float] = []
        self._falls_s = float("inf")

    def show(self, value: int, now_s: float) -> None:
        """Move the lines to a value."""
        self.pass_time(now_s)
        if self.width_s is not None:
            if self.state:
                return
            self._falls_s = now_s + self.width_s
        if value & ~self.state:
            self.edges_s.append(now_s)
        self.state = value

    def pass_time(self, now_s: float) -> None:
        """Let the lines fall whose time is over."""
        if now_s >= self._falls_s:
            self.state, self._falls_s = 0, float("inf")


class RawByteBox:
    """A box whose output shows each byte that comes.

    Parameters
    ----------
    width_s
        How long its lines stay up, in s; None: until the next byte.
    boot_s
        For how long it hears nothing after it was switched on, in s.

    Attributes
    ----------
    output
        Its output.
    taken
        Time and value of each byte that came.
    repeated
        How many bytes changed nothing: the same value twice has no edge.
    """

    def __init__(self, *, width_s: float | None = None, boot_s: float = 0.0) -> None:
        self.output = Output(width_s)
        self.taken: list[tuple[float, int]] = []
        self.repeated = 0
        self._boot_s = boot_s
        self._hears_s: float | None = None

    @property
    def pulses_s(self) -> list[float]:
        """When its output gave an edge, in s."""
        return self.output.edges_s

    @property
    def actions(self) -> Mapping[str, Callable[..., None]]:
        """What a hand at the box can do, by name; each is called with the time in s."""
        return {"press-reset": self._restart, "hold-line": lambda now_s, value: self.output.show(int(value), now_s)}

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes; none is answered."""
        self.pass_time(now_s)
        assert self._hears_s is not None
        if now_s < self._hears_s:
            return b""
        for value in data:
            self.taken.append((now_s, value))
            self.repeated += value == self.output.state
            self.output.show(value, now_s)
        return b""

    def pass_time(self, now_s: float) -> bytes:
        """Let time pass."""
        if self._hears_s is None:
            self._hears_s = now_s + self._boot_s
        self.output.pass_time(now_s)
        return b""

    def trigger(self, _now_s: float) -> bool:
        """Do nothing: it has no input."""
        return False

    def _restart(self, now_s: float) -> None:
        self.output.show(0, now_s)
        self._hears_s = now_s + self._boot_s


class CommandBox:
    """A box that is told what to do by commands; a kind of box gives them and what it does for each.

    Attributes
    ----------
    output
        Its output.
    unknown
        Bytes that were no command, in their order.
    """

    def __init__(self) -> None:
        self.output = Output()
        self.unknown = bytearray()
        self._waiting = b""

    @property
    def pulses_s(self) -> list[float]:
        """When its output gave an edge, in s."""
        return self.output.edges_s

    @property
    def actions(self) -> Mapping[str, Callable[..., None]]:
        """What a hand at the box can do, by name; each is called with the time in s."""
        return {"hold-line": lambda now_s, value: self.output.show(int(value), now_s)}

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes, in any pieces, and return what it answers."""
        self.pass_time(now_s)
        self._waiting += data
        answered = b""
        while self._waiting and (length := self._length(self._waiting)) <= len(self._waiting):
            command, self._waiting = self._waiting[: max(length, 1)], self._waiting[max(length, 1) :]
            if length == 0:
                self.unknown += command
            else:
                answered += self._obey(command, now_s)
        return answered

    def pass_time(self, now_s: float) -> bytes:
        """Let time pass."""
        self.output.pass_time(now_s)
        return b""

    def trigger(self, _now_s: float) -> bool:
        """Do nothing: it has no input."""
        return False

    def _length(self, waiting: bytes) -> int:
        """Return how many bytes a command has, as far as its beginning tells; 0: it is none."""
        raise NotImplementedError

    def _obey(self, command: bytes, now_s: float) -> bytes:
        """Do what a command says, and return the answer."""
        raise NotImplementedError


class Bbtk(CommandBox):
    """A Black Box ToolKit USB TTL module: two upper-case hexadecimal digits are what its output shows from then on."""

    def _length(self, waiting: bytes) -> int:
        if waiting[:1] in b"R#":
            known = waiting[:2] in (b"R", b"#", b"RR", b"##")
        else:
            known = all(digit in b"0123456789ABCDEF" for digit in waiting[:2])
        return 2 if known else 0

    def _obey(self, command: bytes, now_s: float) -> bytes:
        if command == b"##":
            return b"XX"
        self.output.show(0 if command == b"RR" else int(command, 16), now_s)
        return b""


class CedrusXid(CommandBox):
    """A Cedrus StimTracker or c-pod: it times its pulses itself once it was told how long they are.

    Attributes
    ----------
    xid
        Whether it is in the mode in which it knows the commands for its output.
    """

    _LENGTHS: Mapping[bytes, int] = {b"_c1": 3, b"_d2": 3, b"_d3": 3, b"_d4": 3, b"c10": 3, b"mh": 4, b"mp": 6}
    _ANSWERS: Mapping[bytes, bytes] = {b"_c1": b"_xid0", b"_d2": b"S", b"_d3": b"1", b"_d4": b"2"}

    def __init__(self) -> None:
        super().__init__()
        self.xid = False

    def _length(self, waiting: bytes) -> int:
        for head, length in self._LENGTHS.items():
            if head.startswith(waiting[: len(head)]):
                return length
        return 0

    def _obey(self, command: bytes, now_s: float) -> bytes:
        if command in self._ANSWERS:
            return self._ANSWERS[command]
        if command == b"c10":
            self.xid = True
        elif self.xid and command[:2] == b"mp":
            (width_ms,) = struct.unpack("<I", command[2:])
            self.output.width_s = width_ms / 1000.0 if width_ms else None
        elif self.xid:
            (lines,) = struct.unpack("<H", command[2:])
            self.output.show(lines, now_s)
        return b""


class Usb2Ttl8(CommandBox):
    """A LabHackers USB2TTL8: lines of text.

    Attributes
    ----------
    writes
        Whether its pins were made outputs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.writes = False

    def _length(self, waiting: bytes) -> int:
        return waiting.find(b"\n") + 1 if b"\n" in waiting else len(waiting) + 1

    def _obey(self, command: bytes, now_s: float) -> bytes:
        text = command.decode("ascii", errors="replace").strip()
        if text == "GET CONFIG":
            return b'{"data_mode": "%s"}\n' % (b"WRITE" if self.writes else b"READ")
        if text == "SET DATA_MODE WRITE":
            self.writes = True
        elif text.startswith("WRITE ") and text[6:].isdigit() and int(text[6:]) < 256:
            if self.writes:
                self.output.show(int(text[6:]), now_s)
        else:
            self.unknown += command
        return b""


class QuickFire(CommandBox):
    """A QuickFireBox: ``!`` with a width in µs gives one pulse that it times itself."""

    def _length(self, waiting: bytes) -> int:
        return {0x21: 4, 0x05: 1}.get(waiting[0], 0)

    def _obey(self, command: bytes, now_s: float) -> bytes:
        if command == b"\x05":
            return b'{"device": "QuickFireBox"}\n'  # its fields are assumed
        (width_us,) = struct.unpack("<H", command[1:3])
        if command[3:] != b"\n":
            self.unknown += command
        else:
            self.output.width_s = 1e-6 * width_us
            self.output.show(1, now_s)
        return b""
