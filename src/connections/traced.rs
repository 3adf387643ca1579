//! Spans of the requests that are answered, where Millrace exports its own. What it exported itself is none: it would never end.

use crate::chat::Traceparent;
use crate::telemetry::own_spans::{OwnSpan, OwnSpans, Parent, Value, Work};
use crate::time::{Clock, UnixNanos};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response};

/// Of the exports of a Millrace: which process they are of.
pub const EXPORTED_BY: &str = "x-millrace-telemetry-of";

/// What is noted of requests.
#[derive(Debug)]
pub struct Traced {
    spans: OwnSpans,
    clock: Clock,
    /// Method and path of each route, by the parts of the path.
    routes: Vec<(String, Vec<String>)>,
}

/// The span of a request that is not answered yet.
#[derive(Debug)]
pub(super) struct OpenSpan {
    name: String,
    parent: Option<Parent>,
    began: UnixNanos,
    attributes: Vec<(&'static str, Value)>,
}

impl Traced {
    /// Notes requests of these routes: method and path of each, as they are matched.
    pub fn new<'r>(spans: OwnSpans, clock: Clock, routes: impl Iterator<Item = (&'r str, &'r str)>) -> Self {
        let parts = |path: &str| path.split('/').map(str::to_owned).collect();
        let routes = routes.map(|(method, path)| (method.to_owned(), parts(path))).collect();
        Self { spans, clock, routes }
    }

    /// Begins with the head of a request; `None` if it is not to be noted.
    pub(super) fn begin<B>(&self, request: &Request<B>) -> Option<OpenSpan> {
        if !self.spans.is_on() {
            return None;
        }
        if let Some(exported_by) = request.headers().get(EXPORTED_BY) {
            if exported_by.as_bytes() == self.spans.instance().as_bytes() {
                self.spans.came_back();
            }
            return None;
        }
        let (method, route) = (request.method(), self.route(request.method(), request.uri().path()));
        let mut attributes = vec![("http.request.method", method.as_str().into())];
        let name = match route {
            Some(route) => {
                let name = format!("{method} {route}");
                attributes.push(("http.route", Value::Text(route)));
                name
            }
            None => method.to_string(),
        };
        Some(OpenSpan { name, parent: parent_of(request.headers()), began: self.clock.now(), attributes })
    }

    /// Ends with the head of its answer.
    pub(super) fn end<B>(&self, request: OpenSpan, answer: &Response<B>) {
        let OpenSpan { name, parent, began, mut attributes } = request;
        let status = answer.status().as_u16();
        attributes.push(("http.response.status_code", Value::Number(status.into())));
        // Source: gRPC, "Status codes": those that are the server's fault
        let grpc = answer.headers().get("grpc-status").and_then(|code| code.to_str().ok()?.parse::<i64>().ok());
        attributes.extend(grpc.map(|code| ("rpc.grpc.status_code", Value::Number(code))));
        let has_failed = status >= 500 || grpc.is_some_and(|code| [2, 4, 12, 13, 14, 15].contains(&code));
        let span = OwnSpan::new(Work::Request, name, parent, (began, self.clock.now()));
        self.spans.keep(OwnSpan { attributes, has_failed, ..span });
    }

    /// The route of a request, as it is matched: paths have names in them, and there are too many of those.
    fn route(&self, method: &Method, path: &str) -> Option<String> {
        let parts = || path.split('/');
        let fits = |(of, route): &&(String, Vec<String>)| {
            let is_one = |(part, given): (&String, &str)| part.starts_with('{') || part == given;
            of == method.as_str() && parts().count() == route.len() && route.iter().zip(parts()).all(is_one)
        };
        self.routes.iter().find(fits).map(|(_, route)| route.join("/"))
    }
}

/// The span above a request, if its sender names one that is sampled.
fn parent_of(headers: &HeaderMap) -> Option<Parent> {
    let parent = Traceparent::parse(headers.get("traceparent")?.to_str().ok()?)?;
    let above = Parent { trace: *parent.trace.bytes(), span: *parent.parent.bytes() };
    parent.is_sampled.then_some(above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn traced() -> Traced {
        let routes = [("POST", "/v1/traces"), ("GET", "/w/{workspace}/traces/{id}")];
        let spans = Metrics::new().unwrap().own_spans;
        spans.turn_on();
        Traced::new(spans, Clock::System, routes.into_iter())
    }

    fn request(method: &str, path: &str, header: (&str, &str)) -> Request<()> {
        Request::builder().method(method).uri(path).header(header.0, header.1).body(()).unwrap()
    }

    #[test]
    fn a_request_has_the_name_of_its_route_and_the_place_that_it_names() {
        let traced = traced();
        let parent = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01";
        for (method, path, name) in [
            ("POST", "/v1/traces", "POST /v1/traces"),
            ("GET", "/w/secret-name/traces/7", "GET /w/{workspace}/traces/{id}"),
            ("GET", "/v1/traces", "GET"),
            ("GET", "/w/a/traces/7/more", "GET"),
        ] {
            let begun = traced.begin(&request(method, path, ("traceparent", parent))).unwrap();
            traced.end(begun, &Response::builder().status(503).header("grpc-status", "14").body(()).unwrap());
            let span = traced.spans.take().pop().unwrap();
            assert_eq!((span.name.as_str(), span.has_failed), (name, true));
            assert_eq!((span.trace[15], span.parent.unwrap().span[7]), (0x10, 0x18));
            assert!(!format!("{span:?}").contains("secret-name"));
        }
    }

    #[test]
    fn only_a_sampled_parent_in_its_form_is_one() {
        let of = |text: &str| parent_of(request("GET", "/", ("traceparent", text)).headers());
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        assert!(of(&format!("00-{trace}-{span}-01")).is_some());
        for wrong in [
            format!("00-{trace}-{span}-00"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{trace}x-{span}-01"),
            format!("00-{trace}-{span}"),
            "nonsense".to_owned(),
        ] {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_millrace_exported_is_not_noted_and_ends_it_if_it_is_its_own() {
        let traced = traced();
        assert!(traced.begin(&request("POST", "/v1/traces", (EXPORTED_BY, "another"))).is_none());
        assert!(!traced.spans.is_loop() && traced.spans.is_on());
        let own = traced.spans.instance().to_owned();
        assert!(traced.begin(&request("POST", "/v1/traces", (EXPORTED_BY, &own))).is_none());
        assert!(traced.spans.is_loop() && !traced.spans.is_on());
    }
}
