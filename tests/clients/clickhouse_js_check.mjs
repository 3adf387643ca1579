// Exercises @clickhouse/client, unmodified, against a ClickHouse HTTP endpoint.
//
//     node clickhouse_js_check.mjs http://127.0.0.1:8123
//
// Exits non-zero at the first thing that is not as a ClickHouse server has it.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { createClient } from '@clickhouse/client'

const url = process.argv[2]
const database = 'check_' + randomUUID().slice(0, 8)
const connect = (more = {}) => createClient({ url, database, ...more })

const fails = async (code, call) => {
  await assert.rejects(call, (error) => {
    assert.equal(String(error.code), String(code), `expected code ${code}, got ${error.code}: ${error.message}`)
    return true
  })
}

const checks = {
  async ping(client) {
    assert.equal((await client.ping()).success, true)
    assert.equal((await client.ping({ select: true })).success, true)
  },

  async every_json_format(client) {
    for (const format of ['JSON', 'JSONCompact', 'JSONStrings']) {
      const answer = await (await client.query({ query: 'SELECT number AS n FROM numbers(3)', format })).json()
      assert.equal(answer.rows, 3)
      assert.equal(answer.meta[0].name, 'n')
    }
    for (const format of ['JSONEachRow', 'JSONCompactEachRow']) {
      const rows = await (await client.query({ query: 'SELECT number AS n FROM numbers(3)', format })).json()
      assert.equal(rows.length, 3)
    }
    const csv = await (await client.query({ query: 'SELECT 1 AS a, 2 AS b', format: 'CSVWithNames' })).text()
    assert.equal(csv, '"a","b"\n1,2\n')
  },

  async insert_values_and_streams(client) {
    await client.command({ query: 'CREATE TABLE rows (a UInt32, s String) ENGINE = MergeTree ORDER BY a' })
    const few = await client.insert({ table: 'rows', values: [{ a: 1, s: 'one' }, { a: 2, s: 'two\n\nthree' }], format: 'JSONEachRow' })
    assert.equal(few.summary.written_rows, '2')
    const many = Readable.from((function* () {
      for (let a = 3; a <= 50_000; a++) yield { a, s: 'x'.repeat(50) }
    })())
    await client.insert({ table: 'rows', values: many, format: 'JSONEachRow' })
    const csv = Readable.from(['50001,"a"\n', '50002,"b"\n'], { objectMode: false })
    await client.insert({ table: 'rows', values: csv, format: 'CSV' })
    const back = await (await client.query({ query: 'SELECT count() AS n, max(a) AS top FROM rows', format: 'JSONEachRow' })).json()
    assert.deepEqual(back.map(({ n, top }) => [Number(n), top]), [[50_002, 50_002]])
  },

  async compression_both_ways() {
    const client = connect({ compression: { request: true, response: true } })
    await client.command({ query: 'CREATE TABLE packed (a UInt32, s String) ENGINE = MergeTree ORDER BY a' })
    const values = Array.from({ length: 5000 }, (_, a) => ({ a, s: 'y'.repeat(100) }))
    await client.insert({ table: 'packed', values, format: 'JSONEachRow' })
    const rows = await (await client.query({ query: 'SELECT * FROM packed ORDER BY a', format: 'JSONEachRow' })).json()
    assert.deepEqual(rows, values)
    await fails(60, () => client.query({ query: 'SELECT * FROM nope' }))
    await client.close()
  },

  async parameters(client) {
    const result = await client.query({
      query: 'SELECT {n:Int32} + 1 AS n, {s:String} AS s, {l:Array(String)} AS l, {m:Nullable(String)} AS m',
      query_params: { n: 41, s: "it's\ta\\b\n", l: ['x', "y'"], m: null },
      format: 'JSONEachRow',
    })
    assert.deepEqual(await result.json(), [{ n: 42, s: "it's\ta\\b\n", l: ['x', "y'"], m: null }])
  },

  async settings_hold_for_one_query(client) {
    const ask = async (settings) => {
      const result = await client.query({ query: "SELECT getSetting('max_block_size') AS v", format: 'JSONEachRow', clickhouse_settings: settings })
      return Number((await result.json())[0].v)
    }
    assert.equal(await ask({ max_block_size: '1234' }), 1234)
    assert.notEqual(await ask({}), 1234)
  },

  async errors_have_their_codes(client) {
    const query = (text, more = {}) => () => client.query({ query: text, ...more }).then((result) => result.text())
    await fails(60, query('SELECT * FROM nope'))
    await fails(62, query('SELEC 1'))
    await fails(47, query('SELECT nope'))
    await fails(46, query('SELECT nope(1)'))
    await fails(81, () => connect({ database: 'no_such_db' }).query({ query: 'SELECT 1' }))
    await fails(57, () => client.command({ query: 'CREATE TABLE rows (a Int8) ENGINE = Memory' }))
    await fails(159, query('SELECT count() FROM numbers(100000000000) WHERE NOT ignore(sipHash64(number))', { clickhouse_settings: { max_execution_time: 1 } }))
    await fails(27, () => client.insert({ table: 'rows', values: [{ a: 'not a number', s: '' }], format: 'JSONEachRow' }))
    await fails(516, () => connect({ username: 'nobody', password: 'wrong' }).query({ query: 'SELECT 1' }))
  },

  async streams(client) {
    const result = await client.query({ query: "SELECT number AS n, repeat('x', 100) AS s FROM numbers(500000)", format: 'JSONEachRow' })
    let rows = 0
    let sum = 0
    for await (const batch of result.stream()) {
      for (const row of batch) {
        rows += 1
        sum += Number(row.json().n)
      }
    }
    assert.equal(rows, 500_000)
    assert.equal(sum, (500_000 * 499_999) / 2)
  },

  async an_error_in_the_middle_of_a_stream_is_an_error(client) {
    const result = await client.query({ query: "SELECT number AS n, throwIf(number = 3000000) AS t, repeat('x', 50) AS s FROM numbers(6000000)", format: 'JSONEachRow' })
    let rows = 0
    await assert.rejects(async () => {
      for await (const batch of result.stream()) rows += batch.length
    })
    assert.ok(rows < 6_000_000)
  },

  async exec_and_summary(client) {
    const { stream, query_id } = await client.exec({ query: 'SELECT 1 FORMAT TabSeparated', query_id: 'mine-' + database })
    let text = ''
    for await (const piece of stream) text += piece
    assert.deepEqual([text, query_id], ['1\n', 'mine-' + database])
    const { summary } = await client.command({ query: 'INSERT INTO rows SELECT 100000 + number, \'\' FROM numbers(10)', clickhouse_settings: { wait_end_of_query: 1 } })
    assert.equal(summary.written_rows, '10')
  },

  async sessions_keep_temporary_tables() {
    const mine = connect({ session_id: randomUUID() })
    await mine.command({ query: 'CREATE TEMPORARY TABLE scratch (a Int32)' })
    await mine.insert({ table: 'scratch', values: [{ a: 7 }], format: 'JSONEachRow' })
    assert.deepEqual(await (await mine.query({ query: 'SELECT a FROM scratch', format: 'JSONEachRow' })).json(), [{ a: 7 }])
    const other = connect({ session_id: randomUUID() })
    await fails(60, () => other.query({ query: 'SELECT a FROM scratch' }))
    await mine.close()
    await other.close()
  },

  async an_aborted_query_stops(client) {
    const aborter = new AbortController()
    const query_id = 'slow-' + database
    const slow = client.query({ query: 'SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number), {mark:String})', query_params: { mark: query_id }, abort_signal: aborter.signal, query_id })
    const settled = slow.then(() => 'answered', () => 'aborted')
    const running = async () => {
      const result = await client.query({ query: "SELECT count() AS n FROM system.processes WHERE query LIKE '%1000000000' || '000)%'", format: 'JSONEachRow' })
      return Number((await result.json())[0].n)
    }
    while ((await running()) === 0);
    aborter.abort()
    assert.equal(await settled, 'aborted')
    while ((await running()) !== 0);
  },

  async in_parallel(client) {
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (_, n) => {
        const result = await client.query({ query: `SELECT ${n} AS n, count() AS c FROM numbers(2000000) WHERE sipHash64(number) % 3 = 0`, format: 'JSONEachRow' })
        return (await result.json())[0].n
      }),
    )
    assert.deepEqual(answers, Array.from({ length: 12 }, (_, n) => n))
  },
}

const admin = createClient({ url })
await admin.command({ query: `CREATE DATABASE ${database}` })
const client = connect()
try {
  for (const [name, check] of Object.entries(checks)) {
    await check(client)
    console.log('ok', name)
  }
} finally {
  await admin.command({ query: `DROP DATABASE ${database}` })
  await client.close()
  await admin.close()
}
