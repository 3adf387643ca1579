SELECT
    {{call_columns}},
    m.RequestParameters AS RequestParameters,
    m.InputMessages AS InputMessages,
    m.OutputMessages AS OutputMessages,
    m.SystemPrompt AS SystemPrompt,
    m.ToolDefinitions AS ToolDefinitions
FROM
(
    SELECT * FROM {{database}}.genai_report_rows FINAL WHERE CountedAs = 'call' AND IsDeleted = 0
) AS r
{{global}}LEFT ANY JOIN
(
    {{content}}
) AS m ON m.Workspace = r.Workspace AND m.TraceId = r.TraceId AND m.CallSpanId = r.SpanId
WHERE true{{in_range}}
