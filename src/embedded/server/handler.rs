//! One request, from its URL to its answer.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

use super::body::RequestBody;
use super::guard::{self, DEFAULT_USER};
use super::headers;
use super::request::QueryRequest;
use super::respond::{self, AnswerBody, ResponseEncoding, ResponseMeta};
use crate::connections::browsers::{Browsers, Verdict};
use crate::embedded::engine::capacity::{Capacity, Reservation};
use crate::embedded::engine::job::Setup;
use crate::embedded::engine::run::Runner;
use crate::embedded::server::flush::Peer;
use crate::embedded::server::info::ServerInfo;
use crate::embedded::wire::claim::Claim;
use crate::embedded::wire::errors::QueryError;
use crate::embedded::wire::inspect::inspect;
use crate::embedded::wire::statement::{Effect, Insert, Refusal, Statement};
use crate::sql::code;

/// The text of a statement, and of the VALUES or rows that came with it in the first pieces. ClickHouse's
/// `max_query_size` (256 KiB) is the engine's to enforce.
const STATEMENT_BYTES_MAX: usize = 16 << 20;
/// How often a statement is in memory while it is on its way into the engine, and how much larger its buffer may be.
const STATEMENT_COPIES: usize = 4;
/// A body that begins with INSERT is looked at for its data once this much of it is there.
const INSERT_HEAD_BYTES: usize = 256 << 10;
/// A multipart form: a statement and its parameters.
const FORM_BYTES_MAX: u64 = 64 << 20;
/// Its fields, and the buffer they are read from.
const FORM_COPIES: usize = 2;
const DEFAULT_FORMAT: &str = "TabSeparated";

/// Answers requests.
pub(crate) struct Handler {
    pub(crate) info: ServerInfo,
    pub(crate) runner: Runner,
    pub(crate) capacity: Capacity,
    pub(crate) password: Option<String>,
    /// What only Millrace itself knows.
    pub(crate) own_secret: Option<String>,
    /// Bound wider than loopback, the password guards, not the Host.
    pub(crate) browsers: Browsers,
}

impl Handler {
    /// Answers one request; never fails, an error is an answer too. When it is dropped, its query is stopped.
    pub(crate) async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<AnswerBody> {
        let (parts, incoming) = request.into_parts();
        // whatever the method, a statement is a question
        match self.browsers.judge(&Method::GET, &parts.uri, &parts.headers) {
            Verdict::Refuse(why) => return respond::text(StatusCode::FORBIDDEN, format!("{why}\n")),
            Verdict::Pass | Verdict::PassFrom(_) | Verdict::Preflight(_) => {}
        }
        match parts.uri.path() {
            "/" | "/query" => {}
            "/ping" => return respond::ok(),
            "/replicas_status" => return respond::text(StatusCode::OK, "Ok.\n"),
            path => return respond::text(StatusCode::NOT_FOUND, format!("There is no handle {path}\n")),
        }
        if !matches!(parts.method, Method::GET | Method::HEAD | Method::POST) {
            return respond::text(StatusCode::NOT_IMPLEMENTED, "Only GET, HEAD and POST are served\n");
        }
        if parts.uri.path() == "/" && parts.uri.query().is_none() && parts.method != Method::POST {
            return respond::ok();
        }
        let mut meta = ResponseMeta {
            query_id: crate::random::uuid(),
            format: DEFAULT_FORMAT.to_owned(),
            encoding: ResponseEncoding::Plain,
            exception_tag: crate::random::letters(),
            peer,
            answering: None,
        };
        let mut request = match QueryRequest::read(parts.uri.query(), &parts.headers) {
            Ok(request) => request,
            Err(error) => return self.refused(&meta, &error, incoming).await,
        };
        request.own = guard::is_own(&parts.headers, self.own_secret.as_deref());
        if let Some(id) = &request.query_id {
            meta.query_id.clone_from(id);
        }
        if let Err(error) = request.credentials.check(self.password.as_deref()) {
            let mut response = self.refused(&meta, &error, incoming).await;
            if request.credentials.basic {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                let realm = HeaderValue::from_static("Basic realm=\"ClickHouse server HTTP API\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
            }
            return response;
        }
        meta.encoding = ResponseEncoding::choose(&parts.headers, request.frames_out, request.http_compression);
        let content_type = headers::text_or_empty(&parts.headers, header::CONTENT_TYPE);
        if let Ok(boundary) = multer::parse_boundary(content_type) {
            let mut reservation = self.capacity.reservation(request.own);
            if let Err(error) = read_form(incoming, boundary, &mut request, &mut reservation).await {
                return respond::failed(&self.info, &meta, &error);
            }
            let answer = self.answer_query(request, meta, None, &parts.method).await;
            drop(reservation);
            return answer;
        }
        let encoding = headers::text_or_empty(&parts.headers, header::CONTENT_ENCODING);
        match RequestBody::new(incoming, encoding, request.frames_in) {
            Ok(body) => self.answer_query(request, meta, Some(body), &parts.method).await,
            Err(error) => respond::failed(&self.info, &meta, &error),
        }
    }

    async fn refused(&self, meta: &ResponseMeta, error: &QueryError, incoming: Incoming) -> Response<AnswerBody> {
        if let Ok(body) = RequestBody::new(incoming, "", false) {
            body.drain().await;
        }
        respond::failed(&self.info, meta, error)
    }

    async fn answer_query(
        &self,
        request: QueryRequest,
        mut meta: ResponseMeta,
        mut body: Option<RequestBody>,
        method: &Method,
    ) -> Response<AnswerBody> {
        let result = self.run(request, &mut meta, &mut body, method).await;
        let answer = result.unwrap_or_else(|error| {
            if let Some(body) = body {
                // the answer goes out while the rest of the body is still coming in
                tokio::spawn(body.drain());
            }
            respond::failed(&self.info, &meta, &error)
        });
        respond::keeping(answer, meta.answering)
    }

    async fn run(
        &self,
        request: QueryRequest,
        meta: &mut ResponseMeta,
        body: &mut Option<RequestBody>,
        method: &Method,
    ) -> Result<Response<AnswerBody>, QueryError> {
        let mut text = BytesMut::from(request.query.as_bytes());
        if !text.is_empty() {
            text.extend_from_slice(b"\n");
        }
        let mut reservation = self.capacity.reservation(request.own);
        meta.peer.is_read(body.is_some());
        let read = read_statement(&mut text, body, &mut reservation).await;
        meta.peer.is_read(false);
        read?;
        if body.is_none() {
            meta.answering = Some(meta.peer.expect_answer());
        }
        let statement = inspect(&text)?;
        let default_format = request.default_format.clone().unwrap_or_else(|| DEFAULT_FORMAT.to_owned());
        let (permit, for_answer) = (self.capacity.permit(request.own).await?, self.capacity.reservation(request.own));
        let native_revision = request.native_revision;
        let setup = setup(request, meta, &text, &statement, method, self.own_secret.as_deref(), reservation)?;
        match statement {
            Statement::Rows(rows) => {
                meta.format = rows.format.clone().unwrap_or_else(|| default_format.clone());
                let text = utf8(&text)?;
                let running = self.runner.rows(setup.setup, permit, text, &rows, &default_format)?;
                let revision = if meta.format == "Native" { native_revision } else { 0 };
                let running = running.with_native_revision(revision);
                Ok(respond::rows(&self.info, meta, for_answer, running, setup.wait).await)
            }
            Statement::Command(command) => {
                meta.format = default_format.clone();
                let text = utf8(text.get(..command.end).expect("a command ends within its text"))?;
                let outcome = self.runner.command(setup.setup, permit, text, &default_format).await?;
                Ok(respond::done(&self.info, meta, outcome))
            }
            Statement::Insert(insert) => {
                meta.format = default_format;
                self.insert(setup.setup, permit, meta, text.freeze(), &insert, body).await
            }
        }
    }

    async fn insert(
        &self,
        setup: Setup,
        permit: OwnedSemaphorePermit,
        meta: &mut ResponseMeta,
        text: Bytes,
        insert: &Insert,
        body: &mut Option<RequestBody>,
    ) -> Result<Response<AnswerBody>, QueryError> {
        let head = utf8(text.get(..insert.head_end).expect("the head of an INSERT ends within its text"))?;
        let inserting = self.runner.insert(setup, permit, head, insert);
        if let Some(body) = body {
            body.holds_permit(self.capacity.demand());
        }
        let mut wanted = inserting.piece(text.slice(insert.data_at..)).await;
        while wanted && let Some(body) = body {
            meta.peer.is_read(true);
            let piece = body.piece().await;
            meta.peer.is_read(false);
            let Some(piece) = piece? else { break };
            wanted = inserting.piece(piece).await;
        }
        meta.answering.get_or_insert_with(|| meta.peer.expect_answer());
        let outcome = inserting.end().await?;
        Ok(respond::done(&self.info, meta, outcome))
    }
}

struct Prepared {
    setup: Setup,
    wait: bool,
}

/// Splits what was asked into what the engine is told and what stays here; refuses writes over GET.
fn setup(
    request: QueryRequest,
    meta: &ResponseMeta,
    text: &[u8],
    statement: &Statement,
    method: &Method,
    own_secret: Option<&str>,
    reservation: Reservation,
) -> Result<Prepared, QueryError> {
    let readonly = readonly(&request, method)?;
    let effect = match statement {
        Statement::Rows(rows) if rows.kills => Effect::Lasting,
        Statement::Rows(_) => Effect::Nothing,
        Statement::Command(command) => command.effect,
        Statement::Insert(_) => Effect::Lasting,
    };
    let allowed = match effect {
        // an EXPLAIN that takes no setting of ours cannot be told to be read-only, and its session must not be
        Effect::Nothing => matches!(statement, Statement::Rows(_)) || readonly.is_none() || request.session.is_none(),
        Effect::Database => true,
        // of its session only; a connection without one has the engine's own answer to it
        Effect::Settings => request.session.is_none() || readonly != Some(1),
        Effect::Lasting => readonly.is_none(),
    };
    if !allowed {
        let why = if matches!(*method, Method::GET | Method::HEAD) {
            ". For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries"
        } else {
            ""
        };
        let message = format!("{DEFAULT_USER}: Cannot execute query in readonly mode{why}");
        return Err(QueryError::new(code::READONLY, &message));
    }
    let random = crate::random::uuid();
    // the secret at its end hides the query from others, see `settings`
    let marker =
        own_secret.filter(|_| request.own).map_or_else(|| random.clone(), |secret| format!("{random}-{secret}"));
    let setup = Setup {
        query_id: meta.query_id.clone(),
        own: request.own,
        marker,
        database: request.database,
        settings: request.settings.into_iter().filter(|(name, _value)| name != READONLY).collect(),
        readonly,
        parameters: request.parameters,
        session: request.session,
        close_session: request.close_session,
        changes_session: matches!(effect, Effect::Settings | Effect::Database),
        claim: Claim::new(text, statement),
        _reservation: reservation,
    };
    Ok(Prepared { setup, wait: request.wait_end_of_query })
}

const READONLY: &str = "readonly";

/// The `readonly` a statement runs under. GET means 2, as ClickHouse has it: settings may change, nothing else.
fn readonly(request: &QueryRequest, method: &Method) -> Result<Option<u8>, QueryError> {
    let mut level = matches!(*method, Method::GET | Method::HEAD).then_some(2);
    for (_name, value) in request.settings.iter().filter(|(name, _value)| name == READONLY) {
        match value.as_str() {
            "0" => {}
            "1" => level = Some(1),
            "2" => level = level.or(Some(2)),
            other => {
                let message = format!("readonly is '{other}'; it must be 0, 1 or 2");
                return Err(QueryError::new(code::BAD_ARGUMENTS, &message));
            }
        }
    }
    Ok(level)
}

/// Reads the body until the statement is there: all of it, or for an INSERT enough of it to see where the data begins.
async fn read_statement(
    text: &mut BytesMut,
    body: &mut Option<RequestBody>,
    reservation: &mut Reservation,
) -> Result<(), QueryError> {
    reservation.grow_for_body(text.len().saturating_mul(STATEMENT_COPIES))?;
    let Some(source) = body else { return Ok(()) };
    loop {
        if text.len() >= INSERT_HEAD_BYTES && matches!(inspect(text), Ok(Statement::Insert(_))) {
            return Ok(());
        }
        if text.len() > STATEMENT_BYTES_MAX {
            let message = format!("The statement is larger than {STATEMENT_BYTES_MAX} bytes");
            return Err(QueryError::new(code::QUERY_IS_TOO_LARGE, &message));
        }
        // enough to know what it is, and cheap to look at again
        let wanted = (text.len() * 2).max(INSERT_HEAD_BYTES);
        while text.len() < wanted {
            let Some(piece) = source.piece().await? else {
                *body = None;
                return Ok(());
            };
            reservation.grow_for_body(text.len().saturating_add(piece.len()).saturating_mul(STATEMENT_COPIES))?;
            text.extend_from_slice(&piece);
        }
    }
}

async fn read_form(
    incoming: Incoming,
    boundary: String,
    request: &mut QueryRequest,
    reservation: &mut Reservation,
) -> Result<(), QueryError> {
    let bad = |error: multer::Error| {
        let own = match &error {
            multer::Error::StreamReadFailed(cause) => cause.downcast_ref::<QueryError>().cloned(),
            _ => None,
        };
        let message = format!("Cannot read the multipart form: {error}");
        own.unwrap_or_else(|| QueryError::new(code::BAD_ARGUMENTS, &message))
    };
    let limit = multer::SizeLimit::new().whole_stream(FORM_BYTES_MAX);
    let constraints = multer::Constraints::new().size_limit(limit);
    let read = (RequestBody::new(incoming, "", false)?, reservation, 0_usize);
    let pieces = futures_util::stream::try_unfold(read, |(mut body, reservation, bytes)| async move {
        let Some(piece) = body.piece().await? else { return Ok::<_, QueryError>(None) };
        let bytes = bytes.saturating_add(piece.len());
        reservation.grow_for_body(bytes.saturating_mul(FORM_COPIES))?;
        Ok(Some((piece, (body, reservation, bytes))))
    });
    let mut form = multer::Multipart::with_constraints(pieces, boundary, constraints);
    while let Some(field) = form.next_field().await.map_err(bad)? {
        if field.file_name().is_some() {
            let message = "External tables in a multipart form are not served by the embedded ClickHouse";
            return Err(QueryError::new(code::NOT_IMPLEMENTED, message));
        }
        let name = field.name().map_or_else(String::new, str::to_owned);
        let value = field.text().await.map_err(bad)?;
        request.take_form_field(&name, value)?;
    }
    Ok(())
}

fn utf8(text: &[u8]) -> Result<&str, QueryError> {
    str::from_utf8(text).map_err(|error| {
        let message = format!("The statement is not UTF-8 at byte {}", error.valid_up_to());
        QueryError::new(code::SYNTAX_ERROR, &message)
    })
}

impl From<Refusal> for QueryError {
    fn from(refusal: Refusal) -> Self {
        let syntax = |message: &str| Self::new(code::SYNTAX_ERROR, message);
        let not_served = |message: &str| Self::new(code::NOT_IMPLEMENTED, message);
        match refusal {
            Refusal::Empty => syntax("Empty query"),
            Refusal::Several => syntax("Syntax error (Multi-statements are not allowed)"),
            Refusal::Invalid(at) => syntax(&format!(
                "Syntax error: failed at position {}: no token of ClickHouse begins there, or it has no end",
                at.saturating_add(1)
            )),
            Refusal::IntoOutfile => Self::new(code::INTO_OUTFILE_NOT_ALLOWED, "INTO OUTFILE is not allowed"),
            Refusal::FromInfile => {
                not_served("INSERT FROM INFILE is the command line client's, it is not served over HTTP")
            }
            Refusal::InsertFromInput => {
                not_served("INSERT ... SELECT FROM input() is not served by the embedded ClickHouse")
            }
            Refusal::NotOnlyReading => Self::new(
                code::READONLY,
                "The statement begins as one that only reads, but does more: begin it with what it does",
            ),
        }
    }
}
