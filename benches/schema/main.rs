//! What our table costs and how fast it answers, beside the table that the OpenTelemetry ClickHouse exporter makes.
//!
//! ```sh
//! cargo bench --bench schema                                   # about five minutes; docs/schema.md has its figures
//! cargo bench --bench schema -- services --spans 200000        # one data set, smaller
//! cargo bench --bench schema -- --try table.sql                # another DDL in the place of ours
//! ```
//!
//! ```text
//! data     spans, made from a seed          native   their blocks, as each table wants them
//! queries  the questions, for each table    here     insert, let merge, ask; one engine, a database for each table
//! ```
//!
//! CPU is that of the engine's process. Times depend on the machine; ratios do so less.

mod data;
mod native;
mod queries;

use anyhow::{Context as _, ensure};
use clap::{Parser, ValueEnum};
use data::{Conversations, Services, Span};
use millrace::clickhouse::Database;
use millrace::clickhouse::schema::{self, Home, Layout};
use native::Wire;
use queries::{Case, Question};
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::machine::{Usage, float, percentile};
use support::sql::Sql;
use support::{Engine, http, tool};

/// What to measure.
#[derive(Debug, Parser)]
struct Arguments {
    /// Data sets; all when none is named
    sets: Vec<Set>,
    /// LLM calls in each of the two sets of conversations; 18,000 are a wave, one wave in five crosses a full hour
    #[arg(long, default_value_t = 2 * data::WAVE)]
    calls: usize,
    /// Ordinary spans, over a week
    #[arg(long, default_value_t = 1_000_000)]
    spans: usize,
    /// Times that each question is asked, each time about something else
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// SQL statements that make `ours.otel_traces`, in the place of Millrace's own
    #[arg(long = "try")]
    instead: Option<PathBuf>,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Set {
    /// LLM calls, one trace for a conversation
    Conversations,
    /// LLM calls, a trace for each turn
    Turns,
    /// Ordinary spans
    Services,
}

/// Of each question so many are asked once more, to see that both tables give as many rows.
const COMPARED: usize = 3;
const TABLES: [&str; 2] = ["stock", "ours"];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let ours = match &arguments.instead {
        Some(file) => statements(&fs::read_to_string(file)?),
        None => {
            let database = Database::try_from("ours".to_owned()).map_err(anyhow::Error::msg)?;
            schema::statements(&Layout::plain(database, Home::Server))
        }
    };
    let sets = if arguments.sets.is_empty() { Set::value_variants() } else { &arguments.sets };
    for set in sets {
        Bench::new(*set, &arguments, &ours).run()?;
    }
    Ok(())
}

fn statements(text: &str) -> Vec<String> {
    text.split(";\n").map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

/// One data set in both tables.
struct Bench {
    set: Set,
    rows: usize,
    runs: usize,
    engine: Engine,
    sql: Sql,
}

/// What a table came to, a row.
#[derive(Default, Clone, Copy)]
struct Cost {
    insert: Duration,
    merge: Duration,
    bytes_inserted: f64,
    bytes_merged: f64,
    bytes_final: f64,
}

impl Bench {
    fn new(set: Set, arguments: &Arguments, ours: &[String]) -> Self {
        let _is_there = tool(".tools/libchdb/node_modules");
        let engine = Engine::start();
        let sql = engine.sql("default");
        let rows = if set == Set::Services { arguments.spans } else { arguments.calls };
        for table in TABLES {
            sql.rows(&format!("CREATE DATABASE {table}"), &[]);
        }
        for statement in statements(include_str!("stock.sql")).iter().chain(ours) {
            sql.rows(statement, &[]);
        }
        Self { set, rows, runs: arguments.runs, engine, sql }
    }

    fn run(&self) -> anyhow::Result<()> {
        println!("\n{}, {} rows", self.name(), self.rows);
        let costs = self.fill()?;
        let print = |what: &str, unit: &str, of: fn(&Cost) -> f64| {
            let [stock, ours] = costs.map(|cost| of(&cost));
            println!("  {what:<42} {stock:>10.1} {ours:>10.1} {unit:<3} {:>7.2}", ours / stock);
        };
        println!("  {:<42} {:>10} {:>10} {:<3} {:>7}", "", "stock", "ours", "", "ratio");
        print("bytes a row, inserted, nothing merged", "B", |cost| cost.bytes_inserted);
        print("bytes a row, merged in the background", "B", |cost| cost.bytes_merged);
        print("bytes a row, after OPTIMIZE FINAL", "B", |cost| cost.bytes_final);
        print("CPU a row, insert", "us", |cost| cost.insert.as_secs_f64() * 1e6);
        print("CPU a row, merges in the background", "us", |cost| cost.merge.as_secs_f64() * 1e6);
        println!(
            "  {:<42} {:>10} {:>10} {:<3} {:>7} {:>10} {:>10}",
            "median time, mean CPU", "stock", "ours", "", "ratio", "stock", "ours"
        );
        let with_calls = self.set != Set::Services;
        let cases = self.cases(with_calls)?;
        let questions = if with_calls { queries::OF_CALLS } else { queries::OF_SERVICES };
        for question in queries::GENERAL.iter().chain(questions) {
            self.ask(question, &cases)?;
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self.set {
            Set::Conversations => "conversations: 12 LLM calls a conversation in one trace",
            Set::Turns => "turns: 12 LLM calls a conversation, each in a trace of its own",
            Set::Services => "services: ordinary spans",
        }
    }

    fn spans(&self) -> Box<dyn Iterator<Item = Span>> {
        match self.set {
            Set::Conversations => Box::new(Conversations::new(false).take(self.rows)),
            Set::Turns => Box::new(Conversations::new(true).take(self.rows)),
            Set::Services => Box::new(Services::new(self.rows, 7 * data::DAY)),
        }
    }

    /// A segment's worth of rows: 32 MiB, or what comes in a second or so.
    fn batch(&self) -> usize {
        if self.set == Set::Services { 20_000 } else { 2_000 }
    }

    fn fill(&self) -> anyhow::Result<[Cost; 2]> {
        for table in TABLES {
            self.sql.rows(&format!("SYSTEM STOP MERGES {table}.otel_traces"), &[]);
        }
        let (mut costs, mut spans, mut rows) = ([Cost::default(); 2], self.spans(), 0);
        let ours: Vec<&Wire> = native::ours(self.set != Set::Services).collect();
        let stock: Vec<&Wire> = native::STOCK.iter().collect();
        loop {
            let batch: Vec<Span> = spans.by_ref().take(self.batch()).collect();
            if batch.is_empty() {
                break;
            }
            rows += batch.len();
            for ((table, columns), cost) in TABLES.iter().zip([&stock, &ours]).zip(&mut costs) {
                let frames = native::encode(columns.iter().copied(), &batch);
                cost.insert += self.cpu_of(|| self.insert(table, columns, &frames))?;
            }
        }
        for (table, cost) in TABLES.iter().zip(&mut costs) {
            cost.bytes_inserted = self.bytes_a_row(table, rows);
            cost.merge = self.cpu_of(|| self.merge(table))?;
            cost.bytes_merged = self.bytes_a_row(table, rows);
            self.sql.rows(&format!("OPTIMIZE TABLE {table}.otel_traces FINAL"), &[]);
            cost.bytes_final = self.bytes_a_row(table, rows);
            let count = u32::try_from(rows)?;
            (cost.insert, cost.merge) = (cost.insert / count, cost.merge / count);
        }
        Ok(costs)
    }

    fn insert(&self, table: &str, columns: &[&Wire], frames: &[u8]) -> anyhow::Result<()> {
        let names: Vec<_> = columns.iter().map(|column| format!("`{}`", column.name)).collect();
        let statement = format!("INSERT INTO {table}.otel_traces ({}) FORMAT Native", names.join(","));
        let settings = "decompress=1&async_insert=0&max_insert_block_size=10000000&min_insert_block_size_rows=10000000\
                        &min_insert_block_size_bytes=1073741824&max_partitions_per_insert_block=0&wait_end_of_query=1";
        let statement = statement.replace(' ', "%20").replace('`', "%60");
        let answer = http::send("POST", &format!("{}/?{settings}&query={statement}", self.engine.url()), &[], frames);
        ensure!(answer.status == 200, "insert into {table}: {}", answer.text());
        Ok(())
    }

    /// Lets the background merge until it rests.
    fn merge(&self, table: &str) -> anyhow::Result<()> {
        const RESTS_FOR: usize = 6;
        const PATIENCE: Duration = Duration::from_secs(300);
        self.sql.rows(&format!("SYSTEM START MERGES {table}.otel_traces"), &[]);
        let (began, mut at_rest) = (Instant::now(), 0);
        while at_rest < RESTS_FOR {
            ensure!(began.elapsed() < PATIENCE, "merges of {table} go on for ever");
            sleep(Duration::from_millis(250));
            at_rest = if self.sql.number("SELECT count() FROM system.merges", &[]) == 0 { at_rest + 1 } else { 0 };
        }
        Ok(())
    }

    fn bytes_a_row(&self, table: &str, rows: usize) -> f64 {
        let parts = format!(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = '{table}' AND table LIKE 'otel_traces'"
        );
        float(self.sql.number(&parts, &[])) / float(rows as u64)
    }

    fn cpu_of(&self, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
        let before = Usage::of(self.engine.pid())?.cpu;
        work()?;
        Ok(Usage::of(self.engine.pid())?.cpu.saturating_sub(before))
    }

    fn cases(&self, with_calls: bool) -> anyhow::Result<Vec<Case>> {
        let rows = self.sql.rows(&queries::cases(with_calls, self.runs), &[]);
        let cases: Vec<Case> = rows.into_iter().map(serde_json::from_value).collect::<Result<_, _>>()?;
        ensure!(cases.len() == self.runs, "too few rows to ask about");
        Ok(cases)
    }

    fn ask(&self, question: &Question, cases: &[Case]) -> anyhow::Result<()> {
        let (mut times, mut cpu) = ([vec![], vec![]], [Duration::ZERO; 2]);
        for (index, case) in cases.iter().enumerate() {
            let asked = [(question.stock)(case), (question.ours)(case)];
            if index < COMPARED {
                let rows = asked.each_ref().map(|sql| self.sql.number(&format!("SELECT count() FROM ({sql})"), &[]));
                ensure!(rows[0] == rows[1] && rows[0] > 0, "{}: {rows:?} rows for {case:?}", question.what);
            }
            for ((sql, times), cpu) in asked.iter().zip(&mut times).zip(&mut cpu) {
                // the condition cache would answer from what the same question found before
                let sql = format!("{sql} SETTINGS use_query_condition_cache = 0 FORMAT Null");
                let began = Instant::now();
                *cpu += self.cpu_of(|| {
                    self.sql.try_rows(&sql, &[]).map(drop).map_err(anyhow::Error::msg).context(question.what)
                })?;
                times.push(began.elapsed());
            }
        }
        let [stock, ours] = times.map(|mut times| {
            times.sort_unstable();
            percentile(&times, 0.5)
        });
        let [stock_cpu, ours_cpu] = cpu.map(|cpu| cpu.as_secs_f64() * 1e3 / float(cases.len() as u64));
        println!(
            "  {:<42} {stock:>10.1} {ours:>10.1} ms  {:>7.2} {stock_cpu:>10.1} {ours_cpu:>10.1}",
            question.what,
            ours / stock
        );
        Ok(())
    }
}
