"""Files that lie about themselves. Run as a program it reads some and says what that took.

python -m tests.helpers.hostile FILE...
"""

import json
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from teacher.worlds.materials import ENGINE
from voxsds.formats import tags as nbt
from voxsds.formats import voxfile
from voxsds.formats.exchange import import_world
from voxsds.formats.mapping import read_mapping
from voxsds.formats.nbtwriter import write_nbt

Tags = dict
STONE = {"Name": "minecraft:stone"}
BYTES = np.zeros(8, np.int8)
SIDES = {"Width": np.int16(2), "Height": np.int16(2), "Length": np.int16(2)}
SPONGE = {"Version": np.int32(2), "Palette": {"minecraft:stone": np.int32(0)}, "BlockData": BYTES, **SIDES}


def xyz(x: int, y: int, z: int) -> Tags:
    return {"x": np.int32(x), "y": np.int32(y), "z": np.int32(z)}


def region(**changes: object) -> Tags:
    """A sound region of 2 x 2 x 2 but for `changes`."""
    tags = {"Position": xyz(0, 0, 0), "Size": xyz(2, 2, 2), "BlockStatePalette": [STONE],
            "BlockStates": np.zeros(1, np.int64), **changes}  # fmt: skip
    return {"Regions": {"r": tags}}


def structure(**changes: object) -> Tags:
    block = {"pos": [np.int32(0)] * 3, "state": np.int32(0)}
    return {"size": [np.int32(1)] * 3, "palette": [STONE], "blocks": [block], **changes}


def scene(*parts: tuple[str, bytes]) -> bytes:
    """A .vox file of one model of one voxel, and further chunks."""
    integers, chunk = voxfile._integers, voxfile._chunk
    body = chunk("SIZE", integers(1, 1, 1)) + chunk("XYZI", integers(1) + bytes([0, 0, 0, 1]))
    body += b"".join(chunk(name, data) for name, data in parts)
    return b"VOX " + integers(150) + b"MAIN" + integers(0, len(body)) + body


def transform(id: int, child: int, frame: dict[str, str]) -> tuple[str, bytes]:
    integers, texts = voxfile._integers, voxfile._texts
    return "nTRN", integers(id) + texts({}) + integers(child, -1, 0, 1) + texts(frame)


def group(id: int, *children: int) -> tuple[str, bytes]:
    integers, texts = voxfile._integers, voxfile._texts
    return "nGRP", integers(id) + texts({}) + integers(len(children), *children)


def shape(id: int, model: int) -> tuple[str, bytes]:
    integers, texts = voxfile._integers, voxfile._texts
    return "nSHP", integers(id) + texts({}) + integers(1, model) + texts({})


def bomb(size: int) -> bytes:
    """Zeros that pack to a thousandth; as NBT they are one list of `size` empty compounds."""
    head = (
        bytes([nbt.COMPOUND, 0, 0, nbt.LIST, 0, 1]) + b"a" + bytes([nbt.COMPOUND]) + struct.pack(">i", size)
    )
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(head) + packer.compress(bytes(size)) + packer.flush()


def nested(tag: int, depth: int) -> bytes:
    """Lists in lists, or compounds in compounds."""
    if tag == nbt.LIST:
        head = bytes([nbt.COMPOUND, 0, 0, nbt.LIST, 0, 1]) + b"a"
        return head + (bytes([nbt.LIST]) + struct.pack(">i", 1)) * depth
    return bytes([nbt.COMPOUND, 0, 0]) + bytes([nbt.COMPOUND, 0, 1, ord("a")]) * depth


def claimed(tag: int, length: int) -> bytes:
    """An array or list that says it has `length` entries and has none."""
    head = bytes([nbt.COMPOUND, 0, 0, tag, 0, 1]) + b"a" + (bytes([nbt.END]) if tag == nbt.LIST else b"")
    return head + struct.pack(">i", length)


def shared(levels: int) -> bytes:
    """Each level shows the one below twice: 2^levels copies of one model."""
    tree = [transform(0, 1, {})]
    tree += [group(1 + i, 2 + i, 2 + i) for i in range(levels)]
    return scene(*tree, shape(1 + levels, 0))


def keyed(count: int) -> bytes:
    """A JSON object of many keys, the last one twice."""
    return json.dumps({f"k{i}": 1 for i in range(count)}).encode()[:-1] + f', "k{count - 1}": 2}}'.encode()


# Name of the file: its contents, and what the error has to say.
FILES: dict[str, tuple[bytes | Tags, str]] = {
    "bomb.schem": (bomb(300 * 2**20), "more than 64 MiB unpacked"),
    "compounds.schem": (bomb(60 * 2**20), "more than 1,500,000 tags"),
    "lists.nbt": (nested(nbt.LIST, 100_000), "more than 64 deep"),
    "deep.litematic": (nested(nbt.COMPOUND, 100_000), "more than 64 deep"),
    "longs.nbt": (claimed(nbt.LONGS, 2**31 - 1), "ends in the middle"),
    "ends.nbt": (claimed(nbt.LIST, 2**31 - 1), "too many to read"),
    "negative.nbt": (claimed(nbt.BYTES, -5), "a length of -5"),
    "tag.nbt": (bytes([nbt.COMPOUND, 0, 0, 77, 0, 1]) + b"a", "a tag of type 77"),
    "empty.nbt": (b"", "not an NBT file"),
    "text.schem": (b"a castle", "not an NBT file"),
    "huge.schem": ({**SPONGE, **dict.fromkeys(SIDES, np.int16(-1))}, "65535 x 65535 x 65535 is"),
    "flat.schem": ({**SPONGE, "Height": np.int16(0)}, "holds no blocks"),
    "old.schem": ({**SPONGE, "Version": np.int32(1)}, "version 1 is not known"),
    "worded.schem": ({**SPONGE, "Width": "two"}, "Width is a text, a whole number is needed"),
    "typed.schem": ({**SPONGE, "BlockData": np.zeros(8, np.int64)}, "no array of bytes"),
    "endless.schem": ({**SPONGE, "BlockData": np.full(8, -1, np.int8)}, "a number that does not end"),
    "short.schem": ({**SPONGE, "BlockData": BYTES[:5]}, "holds 5 of the 8 blocks"),
    "long.schem": ({**SPONGE, "BlockData": np.zeros(9, np.int8)}, "more than the 8 blocks"),
    "unknown.schem": ({**SPONGE, "BlockData": BYTES + 5}, "a block of kind 5, Palette ends at 0"),
    "palette.schem": ({**SPONGE, "Palette": {"a": np.int32(2**30)}}, "indices outside 0 to 65535"),
    "far.litematic": (region(Size=xyz(2**31 - 1, 2**31 - 1, 2**31 - 1)), "can be read; save a smaller part"),
    "apart.litematic": ({"Regions": {"a": region()["Regions"]["r"],
                         "b": region(Position=xyz(10**9, 0, 0))["Regions"]["r"]}}, "1000000002 x 2 x 2"),
    "none.litematic": ({"Regions": {}}, "0 regions"),
    "bits.litematic": (region(BlockStates=np.zeros(9, np.int64)), "has 9 numbers"),
    "listed.litematic": (region(BlockStates=[np.int64(0)]), "BlockStates is a list, an array is needed"),
    "kinds.litematic": (region(BlockStates=np.full(1, 2, np.int64)), "a block of kind 2"),
    "nameless.litematic": (region(BlockStatePalette=[{}]), r"BlockStatePalette[0]: Name is missing"),
    "sized.nbt": (structure(size=[np.int32(2**31 - 1)] * 3), "can be read; save a smaller part"),
    "sides.nbt": (structure(size=[np.int32(1)]), "size is not three whole numbers"),
    "outside.nbt": (structure(blocks=[{"pos": [np.int32(1)] * 3, "state": np.int32(0)}]), "outside the size"),
    "stateless.nbt": (structure(blocks=[{"pos": [np.int32(0)] * 3}]), "no list of a state"),
    "states.nbt": (structure(blocks=[{"pos": [np.int32(0)] * 3, "state": np.int32(7)}]), "states 7 to 7"),
    "palettes.nbt": (structure(palettes=[]), "palettes holds no list"),
    "circle.vox": (scene(transform(0, 1, {}), group(1, 1)), "goes round in a circle"),
    "ring.vox": (scene(transform(0, 1, {}), transform(1, 0, {})), "goes round in a circle"),
    "shared.vox": (shared(40), "20,000 large"),
    "apart.vox": (scene(transform(0, 1, {}), group(1, 2, 4), transform(2, 3, {"_t": "999999999 0 0"}),
                  shape(3, 0), transform(4, 3, {})), "1000000000 x 1 x 1"),
    "turned.vox": (scene(transform(0, 1, {"_r": "5"}), shape(1, 0)), "'5' is no rotation"),
    "moved.vox": (scene(transform(0, 1, {"_t": "1e9 0 0"}), shape(1, 0)), "no translation"),
    "lost.vox": (scene(transform(0, 9, {})), "node 9, which is not there"),
    "model.vox": (scene(transform(0, 1, {}), shape(1, 3)), "model 3, which is not there"),
    "crowd.vox": (scene(("nGRP", struct.pack("<3i", 1, 0, 2**30))), "0 to 20000 can be read"),
    "size.vox": (scene(("SIZE", struct.pack("<3i", 2**30, 1, 1)), ("XYZI", bytes(4))), "1 to 256"),
    "beyond.vox": (scene(("XYZI", struct.pack("<i4B", 1, 5, 0, 0, 1))), "voxels outside its size"),
    "voxels.vox": (scene(("XYZI", struct.pack("<i", 2**29))), "ends early"),
    "hollow.vox": (b"VOX " + struct.pack("<i4sii", 150, b"MAIN", 0, 0), "no visible model"),
    "chunk.vox": (scene() + b"RGBA" + struct.pack("<2i", 2**30, 0), "ends past the file"),
    "chunks.vox": (scene(*[("NOTE", b"")] * 200_000), "over 100,000 chunks"),
    "deep.json": (b"[" * 1_000_000, "nested too deeply"),
    "keys.json": (keyed(200_000), "'k199999' stands twice"),
    "digits.json": (b'{"blocks": ' + b"9" * 1_000_000 + b"}", "digits"),
    "sized.json": (b'{"worldConfig": {"dimensions": {"x": 1e9, "y": 1, "z": 1}}, "blocks": []}', "x is 1000"),
    "wide.json": (b'{"worldConfig": {"dimensions": {"x": 512, "y": 512, "z": 512}}, "blocks": []}',
                  "is too large"),
}  # fmt: skip


def write_hostile(name: str, folder: Path) -> Path:
    contents, _ = FILES[name]
    if isinstance(contents, bytes):
        (folder / name).write_bytes(contents)
    else:
        write_nbt(folder / name, contents)
    return folder / name


def attempt(read: Callable[[], object]) -> dict[str, object]:
    """Seconds of this process's time, and how it ended."""
    start = time.process_time()
    try:
        read()
        error = None
    except Exception as raised:
        error = raised
    return {"seconds": time.process_time() - start, "kind": type(error).__name__, "says": str(error)}


def peak_megabytes() -> float:
    """The most memory that this process ever had; getrusage would count that of the one that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def main() -> None:
    mapping = read_mapping(ENGINE)
    read = {file: attempt(lambda: import_world(Path(file), mapping)) for file in sys.argv[1:]}  # noqa: B023
    print(json.dumps({"read": read, "peak_mb": peak_megabytes()}))


if __name__ == "__main__":
    main()
