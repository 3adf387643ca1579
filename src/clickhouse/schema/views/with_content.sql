SELECT
    {{standard_columns}},
    s.Workspace AS Workspace,
    r.CountedSpanId AS CountedSpanId
FROM
(
    SELECT *, AllAttributes
    FROM {{database}}.otel_traces
    LIMIT 1 BY Workspace, TraceId, SpanId
) AS s
{{global}}LEFT ANY JOIN
(
    SELECT Workspace, TraceId, SpanId, if(CountedAs = 'call', SpanId, CountedIn) AS CountedSpanId
    FROM {{database}}.genai_report_rows FINAL
    WHERE CountedAs IN ('call', 'report') AND IsDeleted = 0
) AS r ON r.Workspace = s.Workspace AND r.TraceId = s.TraceId AND r.SpanId = s.SpanId
{{global}}LEFT ANY JOIN
(
    {{content}}
) AS m ON m.Workspace = s.Workspace AND m.TraceId = s.TraceId AND m.CallSpanId = s.SpanId
