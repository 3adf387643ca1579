#!/usr/bin/env python3
"""Where server.py finds what it needs in libchdb.so, which has no symbols: by the texts that functions mention and by the first
bytes of functions. Every pattern must match as often as expected, or the search ends with what did not.

Made on libchdb 26.7.3 (also right for 26.7.0). With another release a pattern may have to be mended:

    offsets.py LIBRARY    prints what is found, in 6 s
"""
import json
import mmap
import os
import re
import struct
import sys
import zlib


class Library:
    """An ELF file of 64 bits, searched by address."""

    def __init__(self, path):
        self.bytes = mmap.mmap(os.open(path, os.O_RDONLY), 0, prot=mmap.PROT_READ)
        table, = struct.unpack_from("<Q", self.bytes, 0x28)
        size, count, names = struct.unpack_from("<HHH", self.bytes, 0x3A)
        headers = [struct.unpack_from("<IIQQQQ", self.bytes, table + i * size) for i in range(count)]
        start_of_names = headers[names][4]
        # name: address, place in the file, length
        self.sections = {self.text_at(start_of_names + header[0]): header[3:6] for header in headers}
        self.code, self.code_at, self.code_length = self.sections[".text"]

    def text_at(self, place):
        return self.bytes[place:self.bytes.find(b"\0", place)].decode()

    def build_id(self):
        _, place, length = self.sections[".note.gnu.build-id"]
        return self.bytes[place + 16:place + length].hex()

    def place(self, address):
        return address - self.code + self.code_at

    def address(self, place):
        return place - self.code_at + self.code

    def code_bytes(self, address, length):
        return self.bytes[self.place(address):self.place(address) + length]

    def text(self, text):
        """Address of a constant."""
        address, place, length = self.sections[".rodata"]
        found = self.bytes.find(text.encode(), place, place + length)
        assert found >= 0, f"no text {text!r}"
        return found - place + address

    def matches(self, pattern, near=None, within=1024):
        """Of a pattern in hex digits with ?? for any byte and (groups): addresses with their matches."""
        tokens = re.findall(r"[()]|\?\?|[0-9a-f]{2}", pattern)
        meaning = {"(": b"(", ")": b")", "??": b"."}
        expression = b"".join(meaning.get(token) or re.escape(bytes.fromhex(token)) for token in tokens)
        start, length = (self.code_at, self.code_length) if near is None else (self.place(near), within)
        found = re.compile(expression, re.DOTALL).finditer(self.bytes, start, start + length)
        return [(self.address(match.start()), match) for match in found]

    def only(self, pattern, **where):
        found = self.matches(pattern, **where)
        assert len(found) == 1, f"{pattern} matches {len(found)} times"
        return found[0]

    def first(self, pattern, **where):
        found = self.matches(pattern, **where)
        assert found, f"{pattern} matches nowhere"
        return found[0]

    def mentions(self, instruction, text):
        """Where an instruction ends in the relative address of a text."""
        wanted, length = self.text(text), len(instruction) // 2 + 4
        found = self.matches(instruction + "(????????)")
        return [address for address, match in found if address + length + signed(match[1]) == wanted]

    def start_of_function(self, address):
        address &= ~63
        while self.code_bytes(address - 1, 1) != b"\xcc":
            address -= 64
        return address

    def pointed_to(self, match, group=1):
        """What the relative address in a group, which ends an instruction, points to."""
        return self.address(match.end(group)) + signed(match[group])

    def symbol(self, name):
        _, place, length = self.sections[".dynsym"]
        _, names, _ = self.sections[".dynstr"]
        for at in range(place, place + length, 24):
            of_name, address = struct.unpack_from("<I4xQ", self.bytes, at)
            if self.text_at(names + of_name) == name:
                return address
        raise AssertionError(f"no symbol {name}")


def signed(raw):
    return struct.unpack("<i", raw)[0]


def unsigned(raw):
    return struct.unpack("<I", raw)[0]


def interserver(library):
    """Fields of ContextSharedPart, from Context::getInterserverIOAddress and its neighbours."""
    getter, match = library.only("41565348 83ec48 4c8b36 490fbe8e(????????) 4885c9 498b96(????????)")
    _, port = library.first("410fb786(????????)", near=getter, within=128)
    _, scheme = library.only("488b06 80b8(????????)00 78?? 4805(????????)", near=getter, within=512)
    _, credentials = library.only(
        "4157415653 4c8b3f 498d9f???????? 4889df e8???????? 4d8bb7(????????) 4d8bbf", near=getter - 192, within=192)
    return {
        "io_host": unsigned(match[2]) - 8,
        "io_port": unsigned(port[1]),
        "io_scheme": unsigned(scheme[2]),
        "io_credentials": unsigned(credentials[1]),
    }


def ddl_worker(library):
    """DDLWorker, and where the context keeps it."""
    getter = library.start_of_function(library.mentions("488d05", "DDL background thread is not initialized")[0])
    _, field = library.only("488b03 4c8bb0(????????) 4c89ff e8", near=getter, within=256)
    constructor, _ = library.only(
        "554157415641554154534881ec????0000 4889cd 4989d7 4189f6 4889fb 4c898424???????? 4c898c24")
    startup, _ = library.only("4157415653 4883ec20 4889fb 31c0 8687????0000 488d05", near=constructor, within=65536)
    _, allocation = library.first("bf78000000 c5f877 e8(????????)", near=constructor)
    return {
        "ddl_worker": unsigned(field[1]),
        "ddl_ctor": constructor,
        "ddl_startup": startup,
        "operator_new": library.pointed_to(allocation),
    }


def handler_factory(library):
    # the name is compared as one vector of 32 bytes
    at = library.start_of_function(library.mentions("c5fdef05", "InterserverIOHTTPHandler-factory")[0])
    assert library.code_bytes(at, 13).hex() == "554157415641554154534881ec", "createHandlerFactory begins otherwise"
    return {"handler_factory": at}


def globals_of(library):
    """ServerUUID's value and the global context, from ServerUUID::get."""
    getter = library.start_of_function(library.mentions("488d05", "ServerUUID is not initialized yet")[0])
    _, value = library.first("488b05(????????) 488b15", near=getter, within=64)
    either = ("488b3d(????????) 488b1d", "4c8d35(????????) 498b3e")
    found = [found for pattern in either for found in library.matches(pattern, near=getter, within=96)]
    assert found, "no global context in ServerUUID::get"
    return {"server_uuid": library.pointed_to(value), "global_context": library.pointed_to(found[0][1])}


def replicated_ddl(library):
    """DatabaseCatalog::instance, and its flag that allows ON CLUSTER: a getter of one byte is asked before the error is thrown."""
    for at in library.mentions("488d05", "Replicated DDL queries are disabled"):
        calls = library.matches("e8(????????) 4889c7 e8(????????)", near=library.start_of_function(at), within=8192)
        for _, call in calls:
            getter = library.code_bytes(library.pointed_to(call, 2), 8)
            if getter[:3] == b"\x0f\xb6\x87" and getter[7:] == b"\xc3":
                return {"catalog": library.pointed_to(call), "catalog_ddl": unsigned(getter[3:7])}
    raise AssertionError("nothing asks whether replicated DDL is allowed")


def error_handler(library):
    """Poco::ErrorHandler's only instance, from its handle(const Poco::Exception &)."""
    _, match = library.only(
        "53 4883ec10 4889fb 488d35???????? 488d7c2408 e8???????? 488d05(????????) 488b38 488b07 4889de ff5010")
    return {"error_handler": library.pointed_to(match)}


def find(path):
    library = Library(path)
    parts = (interserver, ddl_worker, handler_factory, globals_of, replicated_ddl, error_handler)
    found = {name: value for part in parts for name, value in part(library).items()}
    return {**found, "chdb_connect": library.symbol("chdb_connect")}


def cached(path, folder):
    """The same, looked for once for each build of the library and each state of this file."""
    with open(__file__, "rb") as file:
        of_this_file = zlib.crc32(file.read())
    kept = os.path.join(folder, f"offsets-{Library(path).build_id()}-{of_this_file:08x}.json")
    if not os.path.exists(kept):
        unfinished = f"{kept}.{os.getpid()}"
        with open(unfinished, "w", encoding="utf-8") as file:
            json.dump(find(path), file)
        os.replace(unfinished, kept)
    with open(kept, encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    print(json.dumps({name: hex(value) for name, value in find(sys.argv[1]).items()}, indent=1))
