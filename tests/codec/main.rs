//! The codecs from outside, without a running service: bytes in, spans, blocks or refusals out.
//!
//! ```text
//! corpus      every sample of tests/corpus becomes the span that it expects
//! ingest      captured calls: what is refused and how, which are the same span, what holds for every body
//! bounds      values that are too large are cut, media become references
//! other_apis  calls of the Responses API, Messages, Gemini, Bedrock, completions, embeddings, rankings
//! producers   producers that deviate from the API that they imitate
//! linear      the cost of foreign bytes is linear in their number
//! fuzz_smoke  the fuzz targets over the samples and a bounded number of mutations (fuzz_seeds)
//! ```

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod bounds;
mod corpus;
mod fuzz_seeds;
mod fuzz_smoke;
mod ingest;
mod linear;
mod other_apis;
mod producers;
mod spans;
