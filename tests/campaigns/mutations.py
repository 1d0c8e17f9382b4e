"""Damage for files: of bytes, of the fields of a format, and packed so that little becomes much."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import sqlite3
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

Mutation = Callable[[bytes, random.Random], bytes]

# What lengths, counts and sizes are replaced by.
_WHOLE = (0, 1, 2, -1, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 1 << 20, (1 << 31) - 1,
          1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1)  # fmt: skip
_TEXTS = ("0", "-1", "1", "65536", "99999999", "2147483648", "1e308", "-1e308", "nan", "inf",
          "1e-30", "", "x", "''", "null", "9" * 400, "0.5", "[", "\u0661", "ÿ")  # fmt: skip
_WORDS = ("", "x", "1.2", "9" * 64, "A\\B\\C", "MONOCHROME1", "LOCALIZER")
_BOMB_BYTES = 60 << 20


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """Return a copy with a few bytes changed, moved, repeated or missing; headers come first."""
    altered = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if not altered:
            break
        at = rng.randrange(min(600, len(altered)) if rng.random() < 0.6 else len(altered))
        kind = rng.randrange(7)
        if kind == 0:
            altered[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            altered[at] = rng.choice((0, 1, 9, 32, 45, 48, 57, 127, 128, 254, 255))
        elif kind == 2:
            block = altered[at : at + rng.randint(1, 60)]
            altered[at:at] = block * rng.randint(1, 3)
        elif kind == 3:
            del altered[at : at + rng.randint(1, 40)]
        elif kind == 4:
            other = rng.randrange(len(altered))
            altered[at : at + 16], altered[other : other + 16] = (
                altered[other : other + 16],
                altered[at : at + 16],
            )
        elif kind == 5:
            altered[at : at + 8] = rng.randbytes(8)
        else:
            altered[at:] = altered[at : at + rng.randint(0, 3)]
    return bytes(altered)


def cut(content: bytes, rng: random.Random) -> bytes:
    """Return the start of a file, or the file with more behind it."""
    if rng.random() < 0.85:
        return content[: rng.randrange(len(content))]
    return content + rng.randbytes(rng.randint(1, 5000))


def set_number(content: bytes, rng: random.Random) -> bytes:
    """Return a copy with a binary length, count or size replaced by an absurd one."""
    form = rng.choice(("<h", ">h", "<i", ">i", "<q", ">q", "<f", "<d"))
    size = struct.calcsize(form)
    if len(content) < size:
        return content
    end = min(600, len(content)) if rng.random() < 0.7 else len(content)
    at = rng.randrange(max(1, end - size + 1))
    if rng.random() < 0.7:
        at -= at % 2
    if form[1] in "fd":
        value = rng.choice((0.0, -1.0, 1e30, -1e30, 1e-30, float("nan"), float("inf")))
        packed = struct.pack(form, value)
    else:
        packed = (rng.choice(_WHOLE) & ((1 << 8 * size) - 1)).to_bytes(
            size, "little" if form[0] == "<" else "big"
        )
    return content[:at] + packed + content[at + size :]


def damage_text(content: bytes, rng: random.Random) -> bytes:
    """Return a copy with numbers, words or lines of a text header replaced, dropped or doubled."""
    end = content.find(b"\n\n")
    mark = content.find(b"ElementDataFile")
    if mark >= 0:
        end = content.find(b"\n", mark)
    head, rest = (content, b"") if end < 0 else (content[:end], content[end:])
    kind = rng.randrange(4)
    if kind < 2:
        found = list(re.finditer(rb"-?\d+\.?\d*(e-?\d+)?" if kind == 0 else rb"\w+", head))
        if found:
            where = rng.choice(found)
            head = head[: where.start()] + rng.choice(_TEXTS).encode() + head[where.end() :]
    else:
        lines = head.split(b"\n")
        at = rng.randrange(len(lines))
        lines[at : at + 1] = [] if kind == 2 else [lines[at], rng.choice(lines)]
        head = b"\n".join(lines)
    return head + rest


def damage_json(content: bytes, rng: random.Random) -> bytes:
    """Return a document with values replaced, keys missing, or nesting without end."""
    if rng.random() < 0.03:
        return b"[" * rng.choice((500, 100_000)) + content
    document = json.loads(content)
    for _ in range(rng.randint(1, 3)):
        nodes = list(_nodes(document))
        holder, key = rng.choice(nodes)
        kind = rng.randrange(4)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(("", "version", "kind", "value", "x"))] = holder[key]
        else:
            holder[key] = rng.choice(
                (None, True, -1, 0, 1, 2**31, 2**70, 1e300, -1e-300, float("nan"), float("inf"), "",
                 "x", "9" * 5000, [], {}, [[]], [0, 0, 0], [1e9, 0, 0], {"a": 1}, "\ud800"[:0])
            )  # fmt: skip
        if not isinstance(document, dict) or not document:
            break
    return json.dumps(document).encode()


def _nodes(node: object):
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(items):
        yield node, key
        if isinstance(value, (dict, list)):
            yield from _nodes(value)


def in_gzip(inner: Mutation) -> Mutation:
    """Return a mutation of what a gzip file holds."""

    def damage(content: bytes, rng: random.Random) -> bytes:
        return gzip.compress(inner(gzip.decompress(content), rng), 1)

    return damage


def gzip_bomb(content: bytes, rng: random.Random) -> bytes:
    """Return a gzip file of a few KB that holds far more than its header says it may."""
    inner = bytearray(gzip.decompress(content))
    if rng.random() < 0.5:
        # The header asks for it, too.
        size = rng.choice((300, 3000, 30000))
        struct.pack_into("<3h", inner, 42, size, size, rng.choice((1, 300, 32000)))
    inner += bytes(rng.randint(1 << 20, _BOMB_BYTES))
    return (
        gzip.compress(bytes(inner), 1)
        if rng.random() < 0.7
        else content + gzip.compress(bytes(_BOMB_BYTES), 1)
    )


def in_zip(content: bytes, rng: random.Random) -> bytes:
    """Return an archive with one member damaged, renamed, missing or doubled; checksums fit."""
    kind = rng.randrange(5)
    members = _members(content)
    at = rng.randrange(len(members))
    name, inner = members[at]
    if kind == 0:
        del members[at]
    elif kind == 1:
        members[at] = (rng.choice(("../x", "", "/etc/x", name + "x", "a" * 300)), inner)
    elif kind == 2:
        members.append((name, inner))
    elif inner:
        mutation = rng.choice((damage_bytes, cut, set_number))
        members[at] = (name, mutation(inner, rng))
    return _archive(members, zipfile.ZIP_STORED)


def zip_bomb(content: bytes, rng: random.Random) -> bytes:
    """Return an archive of a few KB with a member of many MB, which may claim to be an array."""
    members = _members(content)
    at = rng.randrange(len(members))
    name, inner = members[at]
    padding = bytes(rng.randint(1 << 20, _BOMB_BYTES))
    if inner[:6] == b"\x93NUMPY":
        side = round((len(padding) // 4) ** 0.5)
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({side}, {side}), }}"
        head += " " * (117 - len(head)) + "\n"
        inner = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()
    members[at] = (name, inner + padding)
    return _archive(members, zipfile.ZIP_DEFLATED)


def _members(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _archive(members: list[tuple[str, bytes]], compression: int) -> bytes:
    packed = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names that come twice are meant
        with zipfile.ZipFile(packed, "w", compression, compresslevel=1) as archive:
            for name, inner in members:
                archive.writestr(name or "_", inner)
    return packed.getvalue()


def damage_safetensors(content: bytes, rng: random.Random) -> bytes:
    """Return a file whose JSON header lies about names, shapes, types or offsets."""
    (n_bytes,) = struct.unpack_from("<Q", content)
    head, rest = content[8 : 8 + n_bytes], content[8 + n_bytes :]
    head = (damage_json if rng.random() < 0.6 else damage_text)(head, rng)
    claimed = len(head) if rng.random() < 0.9 else rng.choice(_WHOLE) & ((1 << 64) - 1)
    return struct.pack("<Q", claimed) + head + rest


def damage_dicom(content: bytes, rng: random.Random) -> bytes:
    """Return a DICOM file with elements changed, missing or repeated, also inside sequences."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(content))
        for _ in range(rng.randint(1, 3)):
            holder = _any_level(dataset, rng)
            tags = [t for t in list(holder.keys()) if t.group > 2]
            if not tags:
                continue
            tag = rng.choice(tags)
            kind = rng.randrange(5)
            try:
                element = holder[tag]
                if kind == 0:
                    del holder[tag]
                elif element.VR == "SQ":
                    items = list(element.value)
                    items = items * 3 if kind == 1 else items[: rng.randrange(len(items) + 1)]
                    element.value = items
                elif element.VR in ("US", "SS", "UL"):
                    top = 0xFFFFFFFF if element.VR == "UL" else 0x7FFF
                    element.value = min(abs(rng.choice(_WHOLE)), top)
                elif element.VR in ("DS", "IS"):
                    holder._dict[tag] = pydicom.dataelem.RawDataElement(
                        tag,
                        element.VR,
                        8,
                        rng.choice(_TEXTS).encode().ljust(8)[:16],
                        0,
                        False,
                        True,
                    )
                elif tag == 0x7FE00010:
                    mutation = rng.choice((damage_bytes, cut, set_number))
                    pixels = mutation(element.value, rng)
                    element.value = pixels + b"\0" * (len(pixels) % 2)
                elif element.VR in ("UI", "LO", "CS", "SH", "PN", "DA", "TM"):
                    text = rng.choice(
                        ("", "x", "1.2", "9" * 64, "A\\B\\C", "MONOCHROME1", "LOCALIZER")
                    )
                    element.value = text
                else:
                    del holder[tag]
            except (ValueError, TypeError, OverflowError, AttributeError, KeyError):
                continue
        written = io.BytesIO()
        try:
            pydicom.dcmwrite(written, dataset, enforce_file_format=False)
        except Exception:  # noqa: BLE001 - what cannot be written is damaged in another way
            return damage_bytes(content, rng)
        return written.getvalue()


def _any_level(dataset, rng: random.Random):
    while True:
        # Only sequences are parsed: other values may have been damaged already.
        tags = [t for t in list(dataset.keys()) if dataset.get_item(t).VR == "SQ"]
        inner = [item for tag in tags for item in dataset[tag].value]
        if not inner or rng.random() < 0.45:
            return dataset
        dataset = rng.choice(inner)


def jpeg_bomb(content: bytes, rng: random.Random) -> bytes:
    """Return a DICOM file whose frame and, mostly, whose header claim an absurd size."""
    altered = bytearray(content)
    side = rng.choice((2000, 20000, 65535))
    for marker in (b"\xff\xc0", b"\xff\xc1", b"\xff\xc3", b"\xff\xf7"):
        at = altered.find(marker)
        if at >= 0:
            struct.pack_into(">HH", altered, at + 5, side, side)
    at = altered.find(b"\xff\x4f\xff\x51")
    if at >= 0:
        fields = rng.sample(range(8), rng.randint(1, 4))
        for field in fields:
            struct.pack_into(">I", altered, at + 8 + 4 * field, rng.choice((side, side, 1, 2**31)))
    if rng.random() < 0.7:
        for tag in (b"\x28\x00\x10\x00US", b"\x28\x00\x11\x00US"):
            at = altered.find(tag)
            if at >= 0:
                struct.pack_into("<H", altered, at + 8, side)
    return bytes(altered)


_COLUMNS = {
    "workspace": ("image", "cursor", "oldest", "is_saved", "is_closed", "view", "base", "base_crc",
                  "created_at", "changed_at"),
    "step": ("seq", "label", "at", "crc", "content"),
    "base_slice": ("z", "n_bytes", "crc", "content"),
}  # fmt: skip


def damage_sqlite(content: bytes, rng: random.Random) -> bytes:
    """Return a database that is whole, but whose rows hold other things; checksums often fit."""
    import zlib

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.db")
        path.write_bytes(content)
        db = sqlite3.connect(path)
        for _ in range(rng.randint(1, 3)):
            table = rng.choice(("workspace", "step", "step", "base_slice"))
            column = rng.choice(_COLUMNS[table])
            row = db.execute(
                f"SELECT rowid, {column} FROM {table} ORDER BY RANDOM() LIMIT 1"
            ).fetchone()
            if row is None:
                continue
            value: object = rng.choice((*_WHOLE[:16], None, "", "x", b"", b"x", 1e300, "9" * 99))
            if isinstance(row[1], bytes) and row[1] and rng.random() < 0.8:
                value = rng.choice((damage_bytes, cut, set_number))(row[1], rng)
                if rng.random() < 0.3:
                    value = zlib.compress(bytes(rng.randint(1, _BOMB_BYTES)), 1)
            elif isinstance(row[1], str) and row[1].startswith("{") and row[1] != "{}":
                value = damage_json(row[1].encode(), rng).decode()
            try:
                db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row[0]))
                crc = "base_crc" if column == "base" else "crc"
                if column in ("base", "content") and isinstance(value, bytes):
                    db.execute(
                        f"UPDATE {table} SET {crc} = ? WHERE rowid = ?", (zlib.crc32(value), row[0])
                    )
            except (sqlite3.Error, OverflowError):
                continue
        db.commit()
        db.close()
        return path.read_bytes()
