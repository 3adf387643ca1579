//! What somebody may send who means no good.
