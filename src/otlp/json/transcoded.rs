//! A request that was JSON, in protobuf.

use crate::columns::RowGroup;
use crate::genai::prices::Prices;
use crate::otlp::decoded::{Decoded, DecodedRecords, Encoding};
use crate::otlp::error::{DecodeError, TypeErrors};
use crate::otlp::limits::Limits;
use crate::otlp::protobuf::decode::decode;
use crate::otlp::protobuf::{logs, metrics};
use crate::workspace::Workspace;

/// A request in protobuf, and which of its items have a value of the wrong type.
#[derive(Debug, Default)]
pub struct Transcoded {
    pub(in crate::otlp) protobuf: Vec<u8>,
    pub(super) wrong: TypeErrors,
}

impl Transcoded {
    /// The request; never longer than [`JSON_GROWS_AT_MOST`](super::JSON_GROWS_AT_MOST) times the JSON.
    #[must_use]
    pub fn protobuf(&self) -> &[u8] {
        &self.protobuf
    }

    /// What is wrong with the first item that has a value of the wrong type, if one has.
    #[must_use]
    pub fn first_wrong(&self) -> Option<String> {
        self.wrong.values().next().map(ToString::to_string)
    }

    /// Decodes the log records that were JSON.
    ///
    /// # Errors
    /// As [`decode_logs`](crate::otlp::decode_logs).
    pub fn decode_logs(&self, workspace: &Workspace, limits: &Limits) -> Result<DecodedRecords, DecodeError> {
        self.decode_logs_priced(workspace, limits, None)
    }

    /// Decodes the log records that were JSON, with prices.
    ///
    /// # Errors
    /// As [`decode_logs_priced`](crate::otlp::decode_logs_priced).
    pub fn decode_logs_priced(
        &self,
        workspace: &Workspace,
        limits: &Limits,
        prices: Option<&Prices>,
    ) -> Result<DecodedRecords, DecodeError> {
        logs::decode((&self.protobuf, Encoding::Json), &self.wrong, workspace, limits, prices)
    }

    /// Decodes the spans that were JSON.
    ///
    /// # Errors
    /// As [`decode_traces`](crate::otlp::decode_traces).
    pub fn decode(&self, workspace: &Workspace, limits: &Limits) -> Result<Decoded, DecodeError> {
        self.decode_priced(Box::new(RowGroup::for_request_of(self.protobuf.len(), workspace.clone())), limits, None)
    }

    /// Decodes the spans that were JSON into an empty group, with prices.
    ///
    /// # Errors
    /// As [`decode_priced`](crate::otlp::decode_priced).
    pub fn decode_priced(
        &self,
        rows: Box<RowGroup>,
        limits: &Limits,
        prices: Option<&Prices>,
    ) -> Result<Decoded, DecodeError> {
        decode(&self.protobuf, Encoding::Json, &self.wrong, rows, limits, prices)
    }

    /// Decodes the data points that were JSON.
    ///
    /// # Errors
    /// As [`decode_metrics`](crate::otlp::decode_metrics).
    pub fn decode_metrics(&self, workspace: &Workspace, limits: &Limits) -> Result<DecodedRecords, DecodeError> {
        metrics::decode(&self.protobuf, Encoding::Json, &self.wrong, workspace, limits)
    }
}
