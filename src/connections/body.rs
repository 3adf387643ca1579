//! Bodies of requests and answers that note when they move.

use super::activity::{Activity, UnderWay};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The body of a request.
#[derive(Debug)]
pub(super) struct Arriving {
    body: Incoming,
    /// Gone when the client owes nothing more of it.
    owed: Option<Owed>,
}

#[derive(Debug)]
struct Owed(Arc<Activity>);

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.body_ends();
    }
}

impl Arriving {
    pub(super) fn new(body: Incoming, activity: Arc<Activity>) -> Self {
        let owed = (!body.is_end_stream()).then(|| {
            activity.body_begins();
            Owed(activity)
        });
        Self { body, owed }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) if !self.body.is_end_stream() => {
                if let Some(owed) = &self.owed {
                    owed.0.moves();
                }
            }
            Poll::Ready(_) => self.owed = None,
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

/// The body of an answer. Its request is under way until it is gone.
#[derive(Debug)]
pub struct Leaving<B> {
    body: B,
    under_way: UnderWay,
}

impl<B> Leaving<B> {
    pub(super) fn new(body: B, under_way: UnderWay) -> Self {
        Self { body, under_way }
    }
}

impl<B: Body + Unpin> Body for Leaving<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.under_way.moves();
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
