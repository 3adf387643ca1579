SELECT
        r.Workspace AS Workspace,
        r.TraceId AS TraceId,
        r.CallSpanId AS CallSpanId,
        -- what the report that counts does not have is taken from the others: instrumented spans first, then by time
        argMinIf(t.RequestParameters, (r.IsOther, t.JoinState != '', t.Timestamp), notEmpty(t.RequestParameters)) AS RequestParameters,
        argMinIf(t.InputMessages, (r.IsOther, t.JoinState != '', t.Timestamp), t.InputMessages != '') AS InputMessages,
        argMinIf(t.OutputMessages, (r.IsOther, t.JoinState != '', t.Timestamp), t.OutputMessages != '') AS OutputMessages,
        argMinIf(t.SystemPrompt, (r.IsOther, t.JoinState != '', t.Timestamp), t.SystemPrompt != '') AS SystemPrompt,
        argMinIf(t.ToolDefinitions, (r.IsOther, t.JoinState != '', t.Timestamp), t.ToolDefinitions != '') AS ToolDefinitions
    FROM {{database}}.otel_traces AS t
    {{global}}INNER JOIN
    (
        SELECT
            Workspace,
            TraceId,
            SpanId,
            if(CountedAs = 'call', SpanId, CountedIn) AS CallSpanId,
            CountedAs != 'call' AS IsOther
        FROM {{database}}.genai_report_rows FINAL
        WHERE CountedAs IN ('call', 'report') AND IsDeleted = 0{{near_range}}
    ) AS r ON r.Workspace = t.Workspace AND r.TraceId = t.TraceId AND r.SpanId = t.SpanId
    WHERE t.Operation != ''{{near_range_of_spans}}
    GROUP BY r.Workspace, r.TraceId, r.CallSpanId
