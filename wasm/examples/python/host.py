"""A host of load-balancing plugins in Python, on the wasmtime package: plays transcripts against a module."""
import ctypes
import struct
import sys

from wasmtime import Engine, Instance, Module, Store

STEP = 0xD1342543DE82EF95
WORD = (1 << 64) - 1


def signed(number, bits=64):
    """wasm's integers have no sign; the package wants them as signed."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def table(rows):
    """Writes instances (id, hash, weight, joined, zone, cluster, flags) as wasm/ABI.md lays them out."""
    texts, records = [b""], b""

    def text(word):
        if word == "-":
            return 0
        texts.append(word.encode())
        return len(texts) - 1

    for id_, hash_, weight, joined, zone, cluster, flags in rows:
        numbers = text(zone), text(cluster), int(flags)
        records += struct.pack("<QdQIII", int(hash_), float(weight), int(joined), *numbers)
        records += struct.pack("<IfIIIII", 0, 0.0, 0, 0, 0, text(id_), 0)
    at, index = len(records) + 8 + 8 * len(texts), b""
    for word in texts:
        index += struct.pack("<II", at, len(word))
        at += len(word)
    return records + struct.pack("<II", at - len(records), len(texts)) + index + b"".join(texts)


class Guest:
    """One instance of a plugin."""

    def __init__(self, engine, module):
        self.store = Store(engine)
        self.exports = Instance(self.store, module, []).exports(self.store)
        self.functions = {name: self.exports[name] for name in self.exports if name.startswith("lb_")}

    def call(self, name, *arguments):
        return self.functions[name](self.store, *arguments)

    def write(self, at, data):
        base = ctypes.addressof(self.exports["memory"].data_ptr(self.store).contents)
        ctypes.memmove(base + (at & 0xFFFFFFFF), data, len(data))

    def place(self, data):
        at = self.call("lb_alloc", len(data))
        if data:
            self.write(at, data)
        return at


def play(engine, module, lines):
    """Yields (line, wanted, got) for each answer."""
    guest, at = None, 0
    for line in lines:
        op, *f = line.split()
        if op == "init":
            guest, config = Guest(engine, module), line.removeprefix("init ").strip().encode()
            yield line, 0, guest.call("lb_init", guest.place(config), len(config))
        elif op == "list":
            data = table([next(lines).split()[1:] for _ in range(int(f[1]))])
            at = guest.place(data)
            yield line, 0, guest.call("lb_update", at, int(f[1]), int(f[0]))
        elif op == "flags":
            guest.write(at + 64 * int(f[0]) + 32, struct.pack("<I", int(f[1])))
        elif op == "draws":
            script = bytes.fromhex(f[0].strip("-"))
            yield line, int(f[1]), guest.call("lb_draws", guest.place(script), len(script))
        elif op == "pick":
            yield line, int(f[4]), guest.call("lb_choose", *(signed(int(n)) for n in f[:4]))
        elif op == "many":
            count, rand, now, wanted = map(int, f)
            total = 0
            for i in range(count):
                total += (i % 1000 + 1) * (guest.call("lb_choose", 0, signed(rand), now, 0) + 2)
                rand = (rand + STEP) & WORD
            yield line, wanted, total & WORD
        elif op in ("start", "report"):
            guest.call("lb_" + op, *map(int, f))


def main():
    engine = Engine()
    module, passed, failed = Module.from_file(engine, sys.argv[1]), 0, 0
    with open(sys.argv[2], encoding="utf-8") as lines:
        for line, wanted, got in play(engine, module, lines):
            passed, failed = (passed + 1, failed) if wanted == got else (passed, failed + 1)
            if wanted != got and failed < 10:
                print(f"expected {wanted}, got {got}: {line.strip()}")
    print(f"{passed} passed, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
