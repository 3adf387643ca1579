//! Which spans count: cases, and what holds for all traces.

mod all_traces;
mod cases;
mod linear;
mod recordings;
mod trace;
