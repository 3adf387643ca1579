//! A proxy between the exporter and ClickHouse that breaks what passes through it, steered while it runs.
//!
//! ```text
//! set(fault)            from now on every INSERT meets this fault; Pass ends it
//! inject(fault, times)  the next INSERTs meet it, whatever stands
//! done(fault)           how often it happened: a test that never met its fault has proved nothing
//! let_go()              what is held goes on
//! inserts()             every INSERT of rows of OTLP that was read whole: its token, its bytes, and what became of it
//! ```
//!
//! It reads just enough of HTTP/1.1 to know where a request's head, its body and the answer end. Statements other than
//! INSERT meet the standing fault only where the whole server is away.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// How often a stalled connection looks whether it may end.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A slow engine takes its first pieces like this, then the rest at once.
const SLOW_PIECE_BYTES: usize = 1024;
const SLOW_PIECE_PAUSE: Duration = Duration::from_secs(1);
/// How a chunked body ends. Source: RFC 9112, section 7.1.
const END_OF_CHUNKS: &[u8] = b"0\r\n\r\n";

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing: it is passed on, and so is the answer.
    Pass,
    /// The connection is taken and dropped at once, as a dying server does.
    Refuse,
    /// A reset once the head is there.
    ResetBeforeBody,
    /// Half of the body is passed on, then both sides are reset.
    ResetMidBody,
    /// All of the body is passed on, then both sides are reset without waiting for the answer.
    ResetAfterBody,
    /// All of the body is passed on and the connection to the client ends at once; ClickHouse works on, and nobody reads its answer.
    Abandon,
    /// The same, and from then on everything meets [`Fault::Refuse`], until that is changed.
    AbandonThenRefuse,
    /// All of the body but its end is passed on and the connection to the client ends at once: the insert is under way until
    /// [`Proxy::let_go`].
    Hold,
    /// All is passed on, ClickHouse answers, and the answer is cut.
    CutAnswer,
    /// An answer with HTTP status 500 and this code of ClickHouse; nothing is passed on.
    Code(u32),
    /// The same code with another text: `Too many partitions for single INSERT block`.
    TooManyPartitions,
    /// An answer of a proxy: this HTTP status, no code.
    Status(u16),
    /// Status 200 with the code in a header; nothing is passed on.
    OkWithHeader(u32),
    /// Status 200 with the exception in the body, in the tagged form; nothing is passed on.
    OkWithBody(u32),
    /// No answer until the plan changes or the client gives up; nothing is passed on.
    Stall,
    /// The same for an INSERT; other statements pass.
    StallInsert,
    /// This many pieces of 1 KiB a second, then the rest.
    Slow(u32),
    /// The peer is gone and nobody said so: no byte is read or written any more.
    HalfOpen,
}

impl Fault {
    fn is_abandoned(self) -> bool {
        matches!(self, Self::Abandon | Self::AbandonThenRefuse | Self::Hold)
    }

    /// Whether a request that is no INSERT meets it too.
    fn is_of_the_whole_server(self) -> bool {
        matches!(self, Self::Refuse | Self::Stall | Self::HalfOpen)
    }
}

/// One INSERT that was read whole.
#[derive(Debug, Clone)]
pub struct Insert {
    /// Its `insert_deduplication_token`.
    pub token: String,
    /// A digest of its body.
    pub digest: u64,
    /// What it met.
    pub fault: Fault,
    /// What ClickHouse answered, if it was asked and answered.
    pub status: Option<u16>,
}

/// A running proxy to `127.0.0.1:port`.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: AtomicU16,
    plan: Mutex<Plan>,
}

struct Plan {
    standing: Fault,
    next: VecDeque<Fault>,
    done: HashMap<Fault, u64>,
    inserts: Vec<Insert>,
    /// Counts the changes of `standing`: a stalled connection ends with the next.
    changes: u64,
    /// Counts the calls of `let_go`: a held insert goes on with the next.
    let_go: u64,
}

impl Proxy {
    /// A proxy whose standing fault is `standing`.
    pub fn before(target: u16, standing: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let plan =
            Plan { standing, next: VecDeque::new(), done: HashMap::new(), inserts: Vec::new(), changes: 0, let_go: 0 };
        let shared = Arc::new(Shared { target: AtomicU16::new(target), plan: Mutex::new(plan) });
        let proxy = Self { port, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let _broken_by_either_side = shared.serve(client);
                });
            }
        });
        proxy
    }

    /// `http://host:port` of the proxy.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What every INSERT meets from now on.
    pub fn set(&self, fault: Fault) {
        let mut plan = self.shared.plan();
        plan.standing = fault;
        plan.changes += 1;
    }

    /// What the next INSERTs meet.
    pub fn inject(&self, fault: Fault, times: usize) {
        self.shared.plan().next.extend(std::iter::repeat_n(fault, times));
    }

    /// What was injected and not met is not met any more.
    pub fn forget_injected(&self) {
        self.shared.plan().next.clear();
    }

    /// The end of each held body is passed on.
    pub fn let_go(&self) {
        self.shared.plan().let_go += 1;
    }

    /// Where it passes requests on to from now on.
    pub fn retarget(&self, target: u16) {
        self.shared.target.store(target, Ordering::SeqCst);
    }

    /// How often it happened so far.
    pub fn done(&self, fault: Fault) -> u64 {
        self.shared.plan().done.get(&fault).copied().unwrap_or_default()
    }

    /// Every INSERT that was read whole, in order.
    pub fn inserts(&self) -> Vec<Insert> {
        self.shared.plan().inserts.clone()
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().expect("no connection panics")
    }

    fn count(&self, fault: Fault) {
        *self.plan().done.entry(fault).or_default() += 1;
    }

    fn take(&self, is_insert: bool) -> Fault {
        let mut plan = self.plan();
        if !is_insert {
            return if plan.standing.is_of_the_whole_server() { plan.standing } else { Fault::Pass };
        }
        let standing = plan.standing;
        plan.next.pop_front().unwrap_or(standing)
    }

    fn serve(&self, client: TcpStream) -> io::Result<()> {
        if self.plan().standing == Fault::Refuse {
            self.count(Fault::Refuse);
            return Ok(());
        }
        let mut from_client = BufReader::new(client.try_clone()?);
        while let Some(head) = Head::read(&mut from_client)? {
            let fault = self.take(head.is_insert());
            if !self.exchange(fault, &head, &mut from_client, &client)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One request and its answer; `false` when the connection ended with it.
    fn exchange(
        &self,
        fault: Fault,
        head: &Head,
        from_client: &mut BufReader<TcpStream>,
        client: &TcpStream,
    ) -> io::Result<bool> {
        match fault {
            Fault::Refuse | Fault::ResetBeforeBody => {
                self.count(fault);
                reset(client);
                return Ok(false);
            }
            Fault::HalfOpen => {
                self.count(fault);
                loop {
                    thread::park();
                }
            }
            _ => {}
        }
        let body = head.read_body(from_client)?;
        let mut insert = Insert { token: head.token(), digest: digest(&body), fault, status: None };
        let goes_on = match fault {
            Fault::Code(code) => {
                let headers = format!("X-ClickHouse-Exception-Code: {code}\r\n");
                answer(client, 500, &headers, &exception(code, "made by the proxy"))?
            }
            Fault::TooManyPartitions => {
                let text = exception(252, "Too many partitions for single INSERT block (more than 100)");
                answer(client, 500, "X-ClickHouse-Exception-Code: 252\r\n", &text)?
            }
            Fault::Status(status) => answer(client, status, "", "<html>no</html>")?,
            Fault::OkWithHeader(code) => {
                let headers = format!("X-ClickHouse-Exception-Code: {code}\r\n");
                answer(client, 200, &headers, &exception(code, "made by the proxy"))?
            }
            Fault::OkWithBody(code) => {
                let text = exception(code, "made by the proxy");
                // Source: ClickHouse 25.11, WriteBufferFromHTTPServerResponse.
                let (tag, length) = ("rnywyenlaeqynhmu", text.len() + 1);
                let body = format!("\r\n__exception__\r\n{tag}\r\n{text}\n{length} {tag}\r\n__exception__\r\n");
                answer(client, 200, &format!("X-ClickHouse-Exception-Tag: {tag}\r\n"), &body)?
            }
            Fault::Stall | Fault::StallInsert => {
                self.count(fault);
                self.stall(client)?;
                return Ok(false);
            }
            _ => self.pass_on(&mut insert, head, &body, client)?,
        };
        // an answer that ClickHouse never gave was not cut; what is abandoned is counted at once
        if !fault.is_abandoned() && (fault != Fault::CutAnswer || insert.status == Some(200)) {
            self.count(fault);
        }
        if head.is_insert() {
            self.plan().inserts.push(insert);
        }
        Ok(goes_on)
    }

    /// Gives ClickHouse the request, or part of it, and the client the answer, or nothing.
    fn pass_on(&self, insert: &mut Insert, head: &Head, body: &[u8], client: &TcpStream) -> io::Result<bool> {
        let mut engine = TcpStream::connect(("127.0.0.1", self.target.load(Ordering::SeqCst)))?;
        engine.write_all(&head.bytes)?;
        match insert.fault {
            Fault::ResetMidBody => {
                engine.write_all(body.get(..body.len() / 2).unwrap_or_default())?;
                reset(&engine);
                reset(client);
                return Ok(false);
            }
            Fault::Slow(pieces) => {
                let slow_bytes = usize::try_from(pieces).unwrap_or(usize::MAX).saturating_mul(SLOW_PIECE_BYTES);
                let (slowly, at_once) = body.split_at(body.len().min(slow_bytes));
                for piece in slowly.chunks(SLOW_PIECE_BYTES) {
                    engine.write_all(piece)?;
                    thread::sleep(SLOW_PIECE_PAUSE);
                }
                engine.write_all(at_once)?;
            }
            Fault::Hold => self.hold(&mut engine, body, client)?,
            _ => engine.write_all(body)?,
        }
        if insert.fault == Fault::ResetAfterBody {
            reset(&engine);
            reset(client);
            return Ok(false);
        }
        if insert.fault == Fault::AbandonThenRefuse {
            self.plan().standing = Fault::Refuse;
        }
        if insert.fault.is_abandoned() && insert.fault != Fault::Hold {
            self.count(insert.fault);
            hang_up(client);
        }
        let mut from_engine = BufReader::new(engine);
        let Some(answer_head) = Head::read(&mut from_engine)? else { return Ok(false) };
        let answer_body = answer_head.read_answer_body(&mut from_engine)?;
        insert.status = answer_head.status();
        if insert.fault == Fault::CutAnswer {
            reset(client);
        }
        if insert.fault.is_abandoned() || insert.fault == Fault::CutAnswer {
            return Ok(false);
        }
        let mut to_client = client;
        to_client.write_all(&answer_head.bytes)?;
        to_client.write_all(&answer_body)?;
        Ok(answer_head.ends_by_itself())
    }

    /// Passes a body on, its end only once it may go on.
    fn hold(&self, engine: &mut TcpStream, body: &[u8], client: &TcpStream) -> io::Result<()> {
        let (first, end) = body.split_at(body.len().saturating_sub(END_OF_CHUNKS.len()));
        let began = self.plan().let_go;
        engine.write_all(first)?;
        self.count(Fault::Hold);
        hang_up(client);
        while self.plan().let_go == began {
            thread::sleep(LOOK_EVERY);
        }
        engine.write_all(end)
    }

    /// Waits until the plan changes or the client is gone.
    fn stall(&self, client: &TcpStream) -> io::Result<()> {
        let began = self.plan().changes;
        client.set_read_timeout(Some(LOOK_EVERY))?;
        while self.plan().changes == began {
            match client.peek(&mut [0]) {
                Ok(0) => return Ok(()),
                // it sends more, which nobody reads
                Ok(_) => thread::sleep(LOOK_EVERY),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Makes the end of the connection a reset, whatever was read.
fn reset(stream: &TcpStream) {
    let _gone_already = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    let _gone_already = stream.shutdown(std::net::Shutdown::Read);
}

/// Ends the connection at once, though what came on it is still at work here.
fn hang_up(stream: &TcpStream) {
    let _gone_already = stream.shutdown(std::net::Shutdown::Both);
}

fn answer(mut client: &TcpStream, status: u16, headers: &str, body: &str) -> io::Result<bool> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} By the proxy\r\n{headers}Content-Length: {length}\r\n\r\n");
    client.write_all(format!("{head}{body}").as_bytes())?;
    Ok(true)
}

fn exception(code: u32, text: &str) -> String {
    format!("Code: {code}. DB::Exception: {text}. (SOME_NAME) (version 26.7.3.1 (official build))")
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// The head of a request or of an answer, as it came.
struct Head {
    bytes: Vec<u8>,
    text: String,
}

impl Head {
    /// `None` when the connection ended before it.
    fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        loop {
            let before = bytes.len();
            if from.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(None);
            }
            if bytes.get(before..) == Some(b"\r\n") {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                return Ok(Some(Self { bytes, text }));
            }
        }
    }

    /// Whether it inserts spans; what is counted goes into tables of its own.
    fn is_insert(&self) -> bool {
        let first = self.text.lines().next().unwrap_or_default();
        first.contains("query=INSERT") && first.contains(".otel_")
    }

    fn token(&self) -> String {
        let behind = self.text.split_once("insert_deduplication_token=").map_or("", |(_, behind)| behind);
        behind.split(['&', ' ']).next().unwrap_or_default().to_owned()
    }

    fn status(&self) -> Option<u16> {
        self.text.split(' ').nth(1)?.parse().ok()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    /// Whether the end of the answer is not the end of the connection.
    fn ends_by_itself(&self) -> bool {
        let is_closed = self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        !is_closed && (self.is_chunked() || self.header("content-length").is_some())
    }

    /// A request's body with its framing.
    fn read_body(&self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        if self.is_chunked() {
            return read_chunks(from);
        }
        let length = self.header("content-length").and_then(|value| value.parse::<u64>().ok()).unwrap_or_default();
        let mut body = Vec::new();
        from.take(length).read_to_end(&mut body)?;
        Ok(body)
    }

    /// An answer's body with its framing.
    fn read_answer_body(&self, from: &mut impl BufRead) -> io::Result<Vec<u8>> {
        if self.is_chunked() || self.header("content-length").is_some() {
            return self.read_body(from);
        }
        let mut body = Vec::new();
        if !matches!(self.status(), Some(204 | 304)) {
            from.read_to_end(&mut body)?;
        }
        Ok(body)
    }
}

/// All chunks up to the empty one and the line behind it, as they came.
fn read_chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    loop {
        let before = raw.len();
        if from.read_until(b'\n', &mut raw)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(raw.get(before..).unwrap_or_default()).into_owned();
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
        let taken = from.take(size + 2).read_to_end(&mut raw)?;
        if u64::try_from(taken).ok() != Some(size + 2) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if size == 0 {
            return Ok(raw);
        }
    }
}
