//! Which Content-Type a format of ClickHouse is.

/// Source: ClickHouse `*OutputFormat.cpp`, `getContentType`.
pub(crate) fn content_type(format: &str) -> &'static str {
    match format {
        "JSONEachRow"
        | "JSONLines"
        | "NDJSON"
        | "JSONCompactEachRow"
        | "PrettyNDJSON"
        | "JSONStringsEachRow"
        | "JSONCompactStringsEachRow" => "application/x-ndjson; charset=UTF-8",
        _ if format.starts_with("JSON") => "application/json; charset=UTF-8",
        "CSVWithNames" | "CSVWithNamesAndTypes" => "text/csv; charset=UTF-8; header=present",
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        _ if format.starts_with("TabSeparated") || format.starts_with("TSV") || format == "Raw" => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "XML" => "application/xml; charset=UTF-8",
        "Markdown" | "MD" => "text/markdown; charset=UTF-8",
        "Prometheus" => "text/plain; version=0.0.4; charset=UTF-8",
        _ if format.starts_with("Pretty") || format.starts_with("CustomSeparated") => "text/plain; charset=UTF-8",
        "Vertical" | "Values" | "SQLInsert" | "Template" | "LineAsString" => "text/plain; charset=UTF-8",
        _ => "application/octet-stream",
    }
}
