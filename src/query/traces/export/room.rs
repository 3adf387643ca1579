//! How large an export may be.

use crate::bounds::REQUEST_BYTES_MAX;
use crate::query::answer::Refusal;

/// Bytes that an export may still grow by. It is at most as large as a request, so that what was exported can be ingested.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(REQUEST_BYTES_MAX)
    }
}

impl Room {
    /// # Errors
    /// 413 if it would be larger with so many bytes more.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(too_large)?;
        Ok(())
    }
}

/// # Errors
/// 413 if so many bytes of content are too many, however they are written.
pub(super) fn check(content_bytes: u64) -> Result<(), Refusal> {
    match usize::try_from(content_bytes) {
        Ok(bytes) if bytes <= REQUEST_BYTES_MAX => Ok(()),
        _ => Err(too_large()),
    }
}

fn too_large() -> Refusal {
    let mib = REQUEST_BYTES_MAX >> 20;
    Refusal::too_large(&format!(
        "the export would be larger than {mib} MiB; read the spans page by page at /spans?filter[trace_id]=..."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    #[test]
    fn what_would_be_larger_than_a_request_is_refused() {
        let mut room = Room::default();
        assert_eq!(room.take(REQUEST_BYTES_MAX), Ok(()));
        let refused = room.take(1).unwrap_err();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(refused.detail().as_str().unwrap().contains("64 MiB"), "{refused:?}");
        assert_eq!((check(64 << 20), check((64 << 20) + 1).is_err()), (Ok(()), true));
    }
}
