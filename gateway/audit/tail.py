"""The newest records of a trail, for a glance; whether the trail is whole, `verify` tells."""

from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.audit.files import name_of, numbers
from gateway.audit.record import Body

READ: Final = 64 * 1024

_decode = msgspec.json.Decoder(Body).decode


def tail(folder: Path, most: int) -> list[dict[str, Any]]:
    """Records of all chains, newest first, as far as the last READ bytes of each chain's last file hold them. Raises OSError."""
    found: list[Body] = []
    for chain, known in numbers(folder).items():
        with (folder / name_of(chain, known[-1])).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - READ))
            lines = file.read().split(b"\n")[1 if size > READ else 0 : -1]
        for line in lines[-most:]:
            try:
                found.append(_decode(line))
            except msgspec.MsgspecError:
                continue
    found.sort(key=lambda record: (record.time, record.chain, record.seq), reverse=True)
    return [
        {"time": one.time, "chain": one.chain, "seq": one.seq, "event": one.event, "fields": one.fields}
        for one in found[:most]
    ]
