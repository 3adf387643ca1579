//! How soon lists, usage and sessions are found among millions of calls, which it makes itself.
//!
//! ```sh
//! make bench-queries                                              # 1,000,000 and 10,000,000 calls over 30 days
//! make bench-queries BENCH_QUERIES="--calls 1000000 --runs 3"     # fewer
//! ```
//!
//! ```text
//! data       rows of the roll-up tables, made by the engine       questions   what is asked of the views
//! here       the schema as `millrace schema print` has it, rows, settled days and their sums, answers
//! ```
//!
//! The engine does the work, so nothing of it depends on how this program was built. Times are warm; CPU is the engine's.

mod data;
mod questions;

use anyhow::Context as _;
use clap::Parser;
use millrace::clickhouse::schema::{self, Home, Layout, REPORT_ROWS, TRACE_ROWS};
use millrace::clickhouse::{Client, Config, Database};
use millrace::reconciler::sums::sum_all;
use millrace::time::Clock;
use questions::Question;
use std::time::{Duration, Instant};
use support::machine::{Usage, float, percentile};
use support::sql::Sql;
use support::{Engine, tool};

/// What to measure.
#[derive(Debug, Parser)]
struct Arguments {
    /// Calls over 30 days, for each run of all questions
    #[arg(long, value_delimiter = ',', default_value = "1000000,10000000")]
    calls: Vec<u64>,
    /// Times that each question is asked after it was asked once
    #[arg(long, default_value_t = 7)]
    runs: u32,
    /// What cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _is_there = tool(".tools/libchdb/node_modules");
    for calls in arguments.calls {
        Bench::new()?.run(calls, arguments.runs)?;
    }
    Ok(())
}

/// An engine with the schema.
struct Bench {
    engine: Engine,
    sql: Sql,
}

impl Bench {
    fn new() -> anyhow::Result<Self> {
        let engine = Engine::start();
        for statement in schema::statements(&Layout::plain(Database::default(), Home::Server)) {
            engine.sql("default").try_rows(&statement, &[]).map_err(anyhow::Error::msg).context(statement)?;
        }
        let sql = engine.sql("otel");
        Ok(Self { engine, sql })
    }

    fn run(&self, calls: u64, runs: u32) -> anyhow::Result<()> {
        let began = Instant::now();
        self.fill(calls)?;
        println!("\n{calls} calls over {} days, made in {:.0} s", data::DAYS, began.elapsed().as_secs_f64());
        for table in [REPORT_ROWS, TRACE_ROWS] {
            self.tell_size(table);
        }
        println!("  {:<44} {:>10} {:>10} {:>10}", "", "median ms", "CPU ms", "wanted ms");
        for question in questions::all() {
            self.ask(&question, runs)?;
        }
        Ok(())
    }

    /// A day after the other. A fifth of the rows is written again, as rows are of traces that change. Days before the last
    /// become one part, as they do when nothing was written to them for an hour, and are summed. The last is as a day that goes on.
    fn fill(&self, calls: u64) -> anyhow::Result<()> {
        for day in 0..data::DAYS {
            if day + 1 == data::DAYS {
                self.sum_days()?;
            }
            for insert in data::inserts(calls, day) {
                self.execute(&insert)?;
            }
            if day + 1 < data::DAYS {
                for table in [REPORT_ROWS, TRACE_ROWS] {
                    let partition = data::partition(day);
                    self.execute(&format!("OPTIMIZE TABLE {table} PARTITION {partition} FINAL"))?;
                }
            }
        }
        Ok(())
    }

    fn sum_days(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::new(&self.engine.url(), &Config::default());
        let before = Usage::of(self.engine.pid())?.cpu;
        let days = runtime.block_on(sum_all(&client, Clock::System.now()))?;
        let cpu = Usage::of(self.engine.pid())?.cpu.saturating_sub(before);
        println!("\n{days} days summed, {:.2} s of the engine's CPU", cpu.as_secs_f64());
        Ok(())
    }

    fn execute(&self, sql: &str) -> anyhow::Result<()> {
        self.sql.try_rows(sql, &[]).map(drop).map_err(anyhow::Error::msg).with_context(|| sql.to_owned())
    }

    fn tell_size(&self, table: &str) {
        let of_parts = |what: &str| {
            let parts =
                format!("SELECT {what} FROM system.parts WHERE active AND database = 'otel' AND table = '{table}'");
            self.sql.number(&parts, &[])
        };
        let (rows, bytes, parts) = (of_parts("sum(rows)"), of_parts("sum(bytes_on_disk)"), of_parts("count()"));
        println!("  {table}: {rows} rows, {:.1} bytes each, {parts} parts", float(bytes) / float(rows));
    }

    fn ask(&self, question: &Question, runs: u32) -> anyhow::Result<()> {
        // the condition cache would answer from what the same question found before
        let sql = format!("{} SETTINGS use_query_condition_cache = 0 FORMAT Null", question.sql);
        self.execute(&sql)?;
        let before = Usage::of(self.engine.pid())?.cpu;
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..runs {
            let began = Instant::now();
            self.execute(&sql)?;
            times.push(began.elapsed());
        }
        let cpu = Usage::of(self.engine.pid())?.cpu.saturating_sub(before) / runs;
        times.sort_unstable();
        println!(
            "  {:<44} {:>10.1} {:>10.1} {:>10}",
            question.what,
            percentile(&times, 0.5),
            cpu.as_secs_f64() * 1e3,
            question.wanted_ms
        );
        Ok(())
    }
}
