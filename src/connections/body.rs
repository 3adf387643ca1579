//! Bodies of requests and answers that note their progress in the connection's activity.

use super::activity::{Activity, BodyGuard, Question, RequestGuard};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::Response;
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The body of a request.
#[derive(Debug)]
pub(super) struct RequestBody {
    body: Incoming,
    /// `None` once the client has sent all of it.
    arriving: Option<BodyGuard>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        let arriving = (!body.is_end_stream()).then(|| activity.begin_body());
        Self { body, arriving }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {
                if let Some(arriving) = &self.arriving {
                    arriving.touch();
                }
            }
            Poll::Ready(_) => self.arriving = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. Its request is under way until the body is dropped.
#[derive(Debug)]
pub struct ResponseBody<B> {
    body: B,
    /// Of a request that only asks.
    _question: Option<Question>,
    request: RequestGuard,
}

impl<B> ResponseBody<B> {
    pub(super) fn new(body: B, request: RequestGuard, question: Option<Question>) -> Self {
        Self { body, _question: question, request }
    }
}

impl<B: Body + Unpin> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.request.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts the requests of one connection, which keeps its place while one of them is under way.
#[derive(Debug, Clone)]
pub struct Requests(Arc<Activity>);

impl Requests {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self(activity)
    }

    /// Answers a request, which is under way until the body of its answer is dropped.
    pub async fn answer<B>(&self, answer: impl Future<Output = Response<B>>) -> Response<ResponseBody<B>> {
        let request = self.0.begin_request();
        answer.await.map(|body| ResponseBody::new(body, request, None))
    }
}
