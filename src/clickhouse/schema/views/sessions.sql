SELECT
    t.Workspace AS Workspace,
    t.SessionId AS SessionId,
    min(t.Timestamp) AS FirstTime,
    max(t.Timestamp + toIntervalNanosecond(t.Duration)) AS LastTime,
    count() AS Traces,
    sum(t.Calls) AS Calls,
    sum(t.InputTokens) AS InputTokens,
    sum(t.OutputTokens) AS OutputTokens,
    if(sum(t.InputTokens) IS NULL, sum(t.OutputTokens), sum(t.InputTokens) + ifNull(sum(t.OutputTokens), 0)) AS TotalTokens,
    sum(t.CostTotal) AS CostTotal,
    sum(t.Errors) AS Errors,
    arraySort(groupUniqArrayIf(t.UserId, t.UserId != '')) AS Users,
    arraySort(groupUniqArrayArray(t.Models)) AS Models,
    argMinIf(t.InputPreview, t.Timestamp, t.InputPreview != '') AS FirstInputPreview,
    argMaxIf(t.OutputPreview, t.Timestamp, t.OutputPreview != '') AS LastOutputPreview
FROM ({{traces}}) AS t
WHERE t.SessionId != ''
GROUP BY t.Workspace, t.SessionId
