SELECT
    {{standard_columns}},
    s.Workspace AS Workspace,
    c.CountedSpanId AS CountedSpanId
FROM
(
    SELECT *, AllAttributes, {{call_key}} AS CallKey
    FROM {{database}}.otel_traces AS r
    LIMIT 1 BY Workspace, TraceId, SpanId
) AS s
{{global}}LEFT JOIN
(
    SELECT
        r.Workspace AS Workspace,
        r.TraceId AS TraceId,
        {{call_key}} AS CallKey,
        argMin(r.SpanId, {{rank}}) AS CountedSpanId,
        argMinIf(r.InputMessages, {{rank}}, r.InputMessages != '') AS InputMessages,
        argMinIf(r.OutputMessages, {{rank}}, r.OutputMessages != '') AS OutputMessages
    FROM {{database}}.otel_traces AS r
    WHERE {{is_model_call}}
    GROUP BY r.Workspace, r.TraceId, CallKey
) AS c ON c.Workspace = s.Workspace AND c.TraceId = s.TraceId AND c.CallKey = s.CallKey
