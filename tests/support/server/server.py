#!/usr/bin/env python3
"""A ClickHouse server out of libchdb, for tests only: alone, or as a node of a cluster.

`chdb_query_cmdline` runs the engine as `clickhouse local`, and that starts the server's own TCP and HTTP listeners when it is
told to (`SYSTEM START LISTEN`). The config file gives it Keeper, macros and clusters.

What only the server's main program sets up is written into the engine's memory; all but the first only for a node:

    error handler        after the start     a connection that breaks ends the process
    server id            before the start    without one of their own, nodes end each other's sessions in Keeper
    interserver port     before the start    the HTTP listener on the second address serves other replicas
    interserver address  after the start     without it replicated tables are read-only
    DDL worker           after the start     what does ON CLUSTER

`offsets.py` finds where these are. x86-64 only.

    server.py CONFIG.xml LIBRARY CACHE [--node]

Prints READY, and ends when its standard input is closed. CACHE is a folder for what offsets.py found.
"""
import ctypes
import http.client
import mmap
import os
import struct
import sys
import threading
import time
import uuid
import xml.etree.ElementTree as ElementTree

import offsets

# Keeps the process in the one statement that it was started with.
LISTEN_AND_SLEEP = """
SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP;
SELECT sleepEachRow(3) FROM numbers(10000000) FORMAT Null
SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1
"""
DDL_QUEUE = ("/clickhouse/task_queue/ddl", "/clickhouse/task_queue/replicas", "", "default", "DDLWorker")
DDL_WORKER_BYTES = 4096
INTERSERVER_FACTORY = "InterserverIOHTTPHandler-factory"
PROLOGUE_BYTES = 17

# Objects that the engine points to.
alive = []


def address_of(buffer):
    alive.append(buffer)
    return ctypes.addressof(buffer)


def std_string(text):
    """Address of a std::string: up to 22 bytes lie in the object itself, more of them elsewhere."""
    raw = text.encode()
    if len(raw) <= 22:
        return address_of(ctypes.create_string_buffer(raw.ljust(23, b"\0") + bytes([len(raw)]), 24))
    elsewhere = address_of(ctypes.create_string_buffer(raw))
    capacity = (len(raw) + 8) & ~7 | 1 << 63
    return address_of(ctypes.create_string_buffer(struct.pack("<QQQ", elsewhere, len(raw), capacity), 24))


def word(address):
    return ctypes.c_uint64.from_address(address)


def function(address, result, *arguments):
    return ctypes.CFUNCTYPE(result, *arguments)(address)


class Engine:
    """The engine in this process."""

    def __init__(self, library, found):
        self.at = found
        self.base = ctypes.cast(library.chdb_connect, ctypes.c_void_p).value - found["chdb_connect"]

    def address(self, name):
        return self.base + self.at[name]

    def outlive_broken_connections(self):
        """Replaces the handler of what connections throw, which ends the process, by one whose functions only return."""
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page[0:1] = b"\xc3"  # ret
        does_nothing = address_of(ctypes.c_char.from_buffer(page))
        alive.append(page)
        functions = address_of((ctypes.c_uint64 * 16)(*[does_nothing] * 16))
        word(self.address("error_handler")).value = address_of(ctypes.c_uint64(functions))

    def name_it(self, name):
        ctypes.memmove(self.address("server_uuid"), uuid.uuid5(uuid.NAMESPACE_URL, name).bytes, 16)

    def serve_replicas_on_the_second_address(self):
        """Every second handler factory that is asked for becomes the interserver one: a jump to code of our own counts."""
        target = self.address("handler_factory")
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        counter = address_of(ctypes.c_char.from_buffer(page))
        alive.append(page)
        code = counter + 64
        replaced = ctypes.string_at(target, PROLOGUE_BYTES)
        instructions = b"".join((
            b"\x48\xb8", struct.pack("<Q", counter),  # mov rax, counter
            b"\xff\x00",  # inc dword [rax]
            b"\xf6\x00\x01",  # test byte [rax], 1
            b"\x75\x0a",  # jnz, over the next one
            b"\x48\xb9", struct.pack("<Q", std_string(INTERSERVER_FACTORY)),  # mov rcx, name
            replaced,
            b"\xff\x25\0\0\0\0", struct.pack("<Q", target + PROLOGUE_BYTES),  # jmp back
        ))
        ctypes.memmove(code, instructions, len(instructions))
        pages = ctypes.c_void_p(target & ~4095), ctypes.c_size_t(8192)
        if ctypes.CDLL(None).mprotect(*pages, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC):
            sys.exit("the engine's code cannot be changed")
        ctypes.memmove(target, b"\xff\x25\0\0\0\0" + struct.pack("<Q", code), 14)

    def join(self, host, port):
        """Makes it reachable for other replicas and starts the DDL worker. Its listeners must be up."""
        context, owners = (word(self.address("global_context") + at).value for at in (0, 8))
        shared = word(context).value
        self.announce(shared, host, port)
        pointer = ctypes.c_void_p
        worker = function(self.address("operator_new"), pointer, ctypes.c_size_t)(DDL_WORKER_BYTES)
        word(owners + 8).value += 1  # the constructor takes a std::shared_ptr by value
        queue, replicas, prefix, keeper, log = map(std_string, DDL_QUEUE)
        function(self.address("ddl_ctor"), None, pointer, ctypes.c_int, *[pointer] * 10)(
            worker, 1, queue, replicas, context, owners, None, prefix, keeper, log, None, None)
        word(shared + self.at["ddl_worker"]).value = worker
        function(self.address("ddl_startup"), None, pointer)(worker)
        catalog = function(self.address("catalog"), pointer)()
        ctypes.c_uint8.from_address(catalog + self.at["catalog_ddl"]).value = 1

    def announce(self, shared, host, port):
        # nobody's name and password, for going out and, in a vector of pairs, for coming in
        nobody = address_of(ctypes.create_string_buffer(48))
        vector = struct.pack("<QQQ", nobody, nobody + 48, nobody + 48)
        word(shared + self.at["io_credentials"]).value = address_of(
            ctypes.create_string_buffer(bytes(48) + vector + bytes(128)))
        ctypes.memmove(shared + self.at["io_scheme"], std_string("http"), 24)
        ctypes.memmove(shared + self.at["io_host"], std_string(host), 24)
        ctypes.c_uint16.from_address(shared + self.at["io_port"]).value = port


def wait_for_http(host, port):
    while True:
        try:
            connection = http.client.HTTPConnection(host, port, timeout=5)
            connection.request("GET", "/ping")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.02)


def end_with_the_test():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    config, library_path, cache = sys.argv[1:4]
    is_node = sys.argv[4:] == ["--node"]
    xml = ElementTree.parse(config).getroot()
    path, tcp_port, http_port = (xml.findtext(name) for name in ("path", "tcp_port", "http_port"))
    hosts = [host.text for host in xml.findall("listen_host")]
    library = ctypes.CDLL(library_path)
    engine = Engine(library, offsets.cached(library_path, cache))
    if is_node:
        engine.name_it(path)
        engine.serve_replicas_on_the_second_address()

    def when_it_listens():
        wait_for_http(hosts[0], int(http_port))
        engine.outlive_broken_connections()
        if is_node:
            engine.join(hosts[1], int(http_port))
        print("READY", flush=True)

    for work in (end_with_the_test, when_it_listens):
        threading.Thread(target=work, daemon=True).start()
    arguments = ["clickhouse", "--config-file", config, "--path", path, "--tcp_port", tcp_port, "--http_port", http_port,
                 "--implicit_select=0", "--query", LISTEN_AND_SLEEP]
    run = library.chdb_query_cmdline
    run.restype, run.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    result = run(len(arguments), (ctypes.c_char_p * len(arguments))(*[argument.encode() for argument in arguments]))
    library.chdb_result_error.restype = ctypes.c_char_p
    library.chdb_result_error.argtypes = [ctypes.c_void_p]
    sys.exit(f"the engine ended: {library.chdb_result_error(result)}")


if __name__ == "__main__":
    main()
