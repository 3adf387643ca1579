SELECT
    r.Workspace AS Workspace,
    r.SessionId AS SessionId,
    min(r.Timestamp) AS FirstTime,
    max(r.Timestamp + toIntervalNanosecond(r.Duration)) AS LastTime,
    count() AS Traces,
    sum(r.Calls) AS Calls,
    sum(r.InputTokens) AS InputTokens,
    sum(r.OutputTokens) AS OutputTokens,
    if(sum(r.InputTokens) IS NULL, sum(r.OutputTokens), sum(r.InputTokens) + ifNull(sum(r.OutputTokens), 0)) AS TotalTokens,
    sum(r.Cost64) AS CostTotal,
    sum(r.Errors) AS Errors,
    arraySort(groupUniqArrayIf(r.UserId, r.UserId != '')) AS Users,
    arraySort(groupUniqArrayArray(r.Models)) AS Models,
    argMinIf(r.InputPreview, r.Timestamp, r.InputPreview != '') AS FirstInputPreview,
    argMaxIf(r.OutputPreview, r.Timestamp, r.OutputPreview != '') AS LastOutputPreview
FROM {{database}}.genai_trace_rows AS r FINAL
WHERE r.IsDeleted = 0 AND r.SessionId != ''{{in_range}}
GROUP BY r.Workspace, r.SessionId
