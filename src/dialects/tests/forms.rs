//! Every form of messages, as the conventions' parts.
