//! One HTTP request, one answer, whatever its status.

use std::time::Duration;

use http::{HeaderMap, Request};
use serde_json::Value;

/// What the server said.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: not JSON: {}", self.text()))
    }

    /// A header's value, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are ASCII"))
    }
}

/// Sends a request; `Err` is the transport's (nobody listens, the connection broke).
pub fn try_send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, ureq::Error> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(100)))
        .max_idle_connections(0)
        .build();
    let agent = ureq::Agent::new_with_config(config);
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = if method == "GET" {
        agent.run(request.body(()).expect("the request is well-formed"))?
    } else {
        agent.run(request.body(body).expect("the request is well-formed"))?
    };
    let body = response.body_mut().with_config().limit(u64::MAX).read_to_vec()?;
    Ok(Answer { status: response.status().as_u16(), headers: response.headers().clone(), body })
}

/// Sends a request that must be answered.
pub fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_send(method, url, headers, body).unwrap_or_else(|error| panic!("{method} {url}: {error}"))
}

/// `GET`.
pub fn get(url: &str) -> Answer {
    send("GET", url, &[], &[])
}

/// `POST` of JSON.
pub fn post_json(url: &str, body: &Value) -> Answer {
    send("POST", url, &[("content-type", "application/json")], body.to_string().as_bytes())
}
