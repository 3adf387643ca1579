SELECT
    s.Workspace AS Workspace,
    s.TraceId AS TraceId,
    s.Timestamp AS Timestamp,
    s.Duration AS Duration,
    s.RootSpanId AS RootSpanId,
    s.RootName AS RootName,
    s.RootService AS RootService,
    s.IsOrphan AS IsOrphan,
    s.Spans AS Spans,
    s.Errors AS Errors,
    c.Calls AS Calls,
    c.InputTokens AS InputTokens,
    c.OutputTokens AS OutputTokens,
    if(c.InputTokens IS NULL, c.OutputTokens, c.InputTokens + ifNull(c.OutputTokens, 0)) AS TotalTokens,
    c.CacheReadTokens AS CacheReadTokens,
    c.CacheWriteTokens AS CacheWriteTokens,
    c.ReasoningTokens AS ReasoningTokens,
    c.CostTotal AS CostTotal,
    c.Models AS Models,
    c.Providers AS Providers,
    s.SessionId AS SessionId,
    s.UserId AS UserId,
    {{preview_of_input}} AS InputPreview,
    {{preview_of_output}} AS OutputPreview
FROM
(
    SELECT
        t.Workspace AS Workspace,
        t.TraceId AS TraceId,
        min(t.Timestamp) AS Timestamp,
        toUInt64(greatest(max(EndNanos) - min(toUnixTimestamp64Nano(t.Timestamp)), 0)) AS Duration,
        argMin(t.SpanId, RootRank) AS RootSpanId,
        argMin(t.SpanName, RootRank) AS RootName,
        argMin(t.ServiceName, RootRank) AS RootService,
        NOT max(IsRoot) AS IsOrphan,
        uniqExact(t.SpanId) AS Spans,
        uniqExactIf(t.SpanId, t.StatusCode = 'Error') AS Errors,
        argMinIf(t.SessionId, RootRank, t.SessionId != '') AS SessionId,
        argMinIf(t.UserId, RootRank, t.UserId != '') AS UserId,
        argMinIf(t.InputMessages, t.Timestamp, t.InputMessages != '') AS first_input,
        argMaxIf(t.OutputMessages, EndNanos, t.OutputMessages != '') AS last_output
    FROM
    (
        SELECT
            *,
            toUnixTimestamp64Nano(Timestamp) + toInt64(Duration) AS EndNanos,
            ParentSpanId = '' AND JoinState != 'waiting' AS IsRoot,
            -- the root, or else the earliest; a pair that waits for its root knows least
            toUInt64(greatest(toUnixTimestamp64Nano(Timestamp), 0))
                + multiIf(IsRoot, 0, JoinState != 'waiting', 4611686018427387904, 9223372036854775808) AS RootRank
        FROM {{database}}.otel_traces
        WHERE true {{near_spans}}
    ) AS t
    GROUP BY t.Workspace, t.TraceId
    {{having_trace}}
) AS s
{{global}}LEFT JOIN
(
    SELECT
        Workspace,
        TraceId,
        count() AS Calls,
        sum(call.InputTokens) AS InputTokens,
        sum(call.OutputTokens) AS OutputTokens,
        sum(call.CacheReadTokens) AS CacheReadTokens,
        sum(call.CacheWriteTokens) AS CacheWriteTokens,
        sum(call.ReasoningTokens) AS ReasoningTokens,
        sum(call.CostTotal) AS CostTotal,
        arraySort(groupUniqArrayIf(call.Model, call.Model != '')) AS Models,
        arraySort(groupUniqArrayIf(call.Provider, call.Provider != '')) AS Providers
    FROM ({{calls_of_traces}}) AS call
    GROUP BY Workspace, TraceId
) AS c ON c.Workspace = s.Workspace AND c.TraceId = s.TraceId
