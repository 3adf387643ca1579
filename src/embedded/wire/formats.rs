//! Which Content-Type a format of ClickHouse is.

const PLAIN: &str = "text/plain; charset=UTF-8";
const JSON: &str = "application/json; charset=UTF-8";
const TSV: &str = "text/tab-separated-values; charset=UTF-8";

/// As the server answers each of its formats; `tests/service/embedded/differential.rs` compares them.
pub(crate) fn content_type(format: &str) -> &'static str {
    match format {
        "JSONEachRow" | "JSONL" | "JSONLines" | "NDJSON" | "PrettyNDJSON" | "PrettyJSONEachRow" | "PrettyJSONLines"
        | "JSONStringsEachRow" => "application/x-ndjson; charset=UTF-8",
        "JSONCompactEachRowWithProgress" | "JSONCompactStringsEachRowWithProgress" => JSON,
        _ if format.starts_with("JSONCompact") && format.contains("EachRow") => PLAIN,
        _ if format.starts_with("JSON") => JSON,
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        _ if ["TabSeparated", "TSV", "TSKV", "LineAsString"].iter().any(|begin| format.starts_with(begin)) => TSV,
        "Raw" | "RawWithNames" | "RawWithNamesAndTypes" => TSV,
        "XML" => "application/xml; charset=UTF-8",
        "Prometheus" => "text/plain; version=0.0.4; charset=UTF-8",
        _ if format.starts_with("Pretty") || format.starts_with("CustomSeparated") => PLAIN,
        "Vertical" | "Values" | "SQLInsert" | "Template" | "Markdown" | "MD" | "Null" | "Hash" | "RawBLOB" => PLAIN,
        _ => "application/octet-stream",
    }
}
