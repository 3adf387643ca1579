"""Exercises clickhouse-connect, unmodified, against a ClickHouse HTTP endpoint.

    python clickhouse_connect_check.py http://127.0.0.1:8123

Exits non-zero at the first thing that is not as a ClickHouse server has it.
"""

import datetime
import decimal
import io
import sys
import threading
import uuid
from urllib.parse import urlparse

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

URL = urlparse(sys.argv[1])
DATABASE = "check_" + uuid.uuid4().hex[:8]
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def client(**more):
    return clickhouse_connect.get_client(host=URL.hostname, port=URL.port, **more)


def equal(got, expected):
    assert got == expected, f"got {got!r}, expected {expected!r}"


def fails(code, call):
    try:
        call()
    except DatabaseError as error:
        assert f"code: {code}" in str(error).lower() or f"code {code}" in str(error).lower(), f"expected code {code}: {error}"
        return
    raise AssertionError(f"expected code {code}, but it succeeded")


@check
def ping_and_version(c):
    assert c.ping()
    equal(c.command("SELECT version()"), c.server_version)
    assert c.server_version.split(".")[0].isdigit()


@check
def types_come_back_as_they_are(c):
    row = c.query(
        "SELECT toUInt64(18446744073709551615), toInt8(-1), 1.5, 'x\\ny', [1, 2], map('a', 1), (1, 'b'), NULL,"
        " toDateTime64('2024-01-02 03:04:05.678', 3, 'UTC'), toDecimal64(1.23, 2), toLowCardinality('lc'),"
        " toUUID('00000000-0000-0000-0000-000000000001'), true"
    ).result_rows[0]
    equal(row[:8], (18446744073709551615, -1, 1.5, "x\ny", [1, 2], {"a": 1}, (1, "b"), None))
    equal(row[8].replace(tzinfo=None), datetime.datetime(2024, 1, 2, 3, 4, 5, 678000))
    equal(row[9:], (decimal.Decimal("1.23"), "lc", uuid.UUID(int=1), True))


@check
def insert_and_read_back(c):
    c.command(f"CREATE TABLE {DATABASE}.rows (a UInt32, s String, t Nullable(Float64)) ENGINE = MergeTree ORDER BY a")
    rows = [[n, f"row {n}\n\n\0{n}", None if n % 2 else n / 2] for n in range(10_000)]
    summary = c.insert(f"{DATABASE}.rows", rows, column_names=["a", "s", "t"])
    equal(summary.written_rows, 10_000)
    back = c.query(f"SELECT * FROM {DATABASE}.rows ORDER BY a").result_rows
    equal([list(row) for row in back], rows)


@check
def compression_both_ways(c):
    for method in ("lz4", "zstd", "gzip", False, True):
        other = client(compress=method, database=DATABASE)
        name = f"packed_{method}"
        other.command(f"CREATE TABLE {name} (s String) ENGINE = MergeTree ORDER BY tuple()")
        other.insert(name, [["0123456789" * 10]] * 20_000, column_names=["s"])
        equal(other.query(f"SELECT count(), max(length(s)) FROM {name}").result_rows, [(20_000, 100)])
        equal(len(other.query(f"SELECT s FROM {name}").result_rows), 20_000)
        other.close()


@check
def parameters(c):
    got = c.query(
        "SELECT {n:Int32} + 1, {s:String}, {l:Array(String)}, {d:DateTime('UTC')}",
        parameters={"n": 41, "s": "it's\ta\\b", "l": ["x", "y'"], "d": datetime.datetime(2024, 5, 6, 7, 8, 9)},
    ).result_rows[0]
    equal(got[:3], (42, "it's\ta\\b", ["x", "y'"]))
    equal(c.query("SELECT %s, %(b)s" if False else "SELECT %(a)s, %(b)s", parameters={"a": 1, "b": "x'"}).result_rows, [(1, "x'")])


@check
def settings_hold_for_one_query(c):
    fresh = client(autogenerate_session_id=False)
    for one in (c, fresh):
        equal(one.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 1234}).result_rows, [(1234,)])
        assert one.query("SELECT getSetting('max_block_size')").result_rows != [(1234,)], "a setting leaked"
    fails(115, lambda: fresh.raw_query("SELECT 1", settings={"no_such_setting": 1}) if False else fresh.command("SELECT 1 SETTINGS no_such_setting = 1"))


@check
def errors_have_their_codes(c):
    fails(60, lambda: c.query("SELECT * FROM no_such_table"))
    fails(81, lambda: c.query("SELECT * FROM no_such_db.t"))
    fails(62, lambda: c.query("SELECT FROM WHERE"))
    fails(47, lambda: c.query("SELECT no_such_column"))
    fails(46, lambda: c.query("SELECT noSuchFunction(1)"))
    fails(395, lambda: c.query("SELECT throwIf(number = 5) FROM numbers(10)"))
    fails(57, lambda: c.command(f"CREATE TABLE {DATABASE}.rows (a Int8) ENGINE = Memory"))
    fails(159, lambda: c.query("SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))", settings={"max_execution_time": 1}))
    try:
        client(username="nobody", password="wrong")
    except DatabaseError as error:
        assert "516" in str(error), error
    else:
        raise AssertionError("a stranger was let in")


@check
def streams(c):
    total = 0
    with c.query_row_block_stream("SELECT number, repeat('x', 100) FROM numbers(2000000)") as stream:
        for block in stream:
            total += len(block)
    equal(total, 2_000_000)
    with c.query_column_block_stream("SELECT number FROM numbers(1000000)") as stream:
        equal(sum(sum(block[0]) for block in stream), sum(range(1_000_000)))


@check
def an_error_in_the_middle_of_a_stream_is_an_error(c):
    seen = 0
    try:
        with c.query_row_block_stream("SELECT number, throwIf(number = 5000000), repeat('x', 50) FROM numbers(10000000)") as stream:
            for block in stream:
                seen += len(block)
    except Exception as error:
        assert "395" in str(error) or "throwIf" in str(error), error
    else:
        raise AssertionError("the stream ended as if nothing had happened")
    assert seen < 10_000_000


@check
def raw_formats(c):
    equal(c.raw_query("SELECT 1 AS a, 'b' AS b", fmt="JSONEachRow"), b'{"a":1,"b":"b"}\n')
    equal(c.raw_query("SELECT 1 AS a FORMAT CSVWithNames"), b'"a"\n1\n')
    c.command(f"CREATE TABLE {DATABASE}.raw (a Int32, b String) ENGINE = MergeTree ORDER BY a")
    c.raw_insert(f"{DATABASE}.raw", ["a", "b"], b"1,one\n2,two\n", fmt="CSV")
    c.raw_insert(f"{DATABASE}.raw", ["a", "b"], io.BytesIO(b'{"a":3,"b":"three"}\n'), fmt="JSONEachRow")
    equal(c.query(f"SELECT * FROM {DATABASE}.raw ORDER BY a").result_rows, [(1, "one"), (2, "two"), (3, "three")])


@check
def sessions_keep_temporary_tables(c):
    mine = client(session_id="check-" + uuid.uuid4().hex)
    mine.command("CREATE TEMPORARY TABLE scratch (a Int32)")
    mine.insert("scratch", [[7]], column_names=["a"])
    equal(mine.query("SELECT a FROM scratch").result_rows, [(7,)])
    mine.command("SET max_block_size = 4321")
    equal(mine.query("SELECT getSetting('max_block_size')").result_rows, [(4321,)])
    equal(mine.query("SELECT getSetting('max_block_size')", settings={"max_block_size": 99}).result_rows, [(99,)])
    equal(mine.query("SELECT getSetting('max_block_size')").result_rows, [(4321,)])
    other = client(session_id="check-" + uuid.uuid4().hex)
    fails(60, lambda: other.query("SELECT a FROM scratch"))


@check
def a_session_is_for_one_query_at_a_time(c):
    session = "check-" + uuid.uuid4().hex
    first, second = client(session_id=session), client(session_id=session)
    sleep = "SELECT sleepEachRow(1), 'held session' FROM numbers(6) SETTINGS max_block_size = 1"
    slow = threading.Thread(target=lambda: first.query(sleep))
    slow.start()
    running = "SELECT count() FROM system.processes WHERE query LIKE concat('%held', ' session%')"
    while c.query(running).result_rows == [(0,)]:
        assert slow.is_alive(), "the slow query ended before it was seen"
    fails(373, lambda: second.query("SELECT 1"))
    slow.join()
    equal(second.query("SELECT 1").result_rows, [(1,)])


@check
def a_token_stores_rows_once(c):
    c.command(
        f"CREATE TABLE {DATABASE}.once (a Int32) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    for token in ("one", "one", "two"):
        c.insert(f"{DATABASE}.once", [[1]], column_names=["a"], settings={"insert_deduplication_token": token, "async_insert": 0})
    equal(c.query(f"SELECT count() FROM {DATABASE}.once").result_rows, [(2,)])


@check
def in_parallel(c):
    results = []

    def one(n):
        own = client()
        results.append(own.query(f"SELECT count() FROM numbers(3000000) WHERE sipHash64(number) % 7 = {n} % 7").row_count)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(results, [1] * 12)


def main():
    c = client()
    c.command(f"CREATE DATABASE {DATABASE}")
    try:
        for function in CHECKS:
            function(c)
            print("ok", function.__name__)
    finally:
        c.command(f"DROP DATABASE {DATABASE}")
    assert len(CHECKS) >= 13, "checks went missing"


main()
