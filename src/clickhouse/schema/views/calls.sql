SELECT
    r.Workspace AS Workspace,
    r.TraceId AS TraceId,
    -- of several reports an instrumented span counts rather than a chat pair, then the one that began first
    argMin(r.SpanId, Rank) AS SpanId,
    argMin(r.ParentSpanId, Rank) AS ParentSpanId,
    argMin(r.Timestamp, Rank) AS Timestamp,
    argMin(KnownDuration, Rank) AS Duration,
    argMin(r.ServiceName, Rank) AS ServiceName,
    argMin(r.SpanName, Rank) AS SpanName,
    argMin(r.Operation, Rank) AS Operation,
    -- what it does not know is taken from the others
    argMinIf(r.Provider, Rank, r.Provider != '') AS Provider,
    argMinIf(r.RequestModel, Rank, r.RequestModel != '') AS RequestModel,
    argMinIf(r.ResponseModel, Rank, r.ResponseModel != '') AS ResponseModel,
    argMinIf(AnyModel, Rank, AnyModel != '') AS Model,
    argMinIf(r.ResponseId, Rank, r.ResponseId != '') AS ResponseId,
    argMinIf(r.SessionId, Rank, r.SessionId != '') AS SessionId,
    argMinIf(r.ConversationId, Rank, r.ConversationId != '') AS ConversationId,
    argMinIf(r.UserId, Rank, r.UserId != '') AS UserId,
    argMinIf(r.AgentName, Rank, r.AgentName != '') AS AgentName,
    argMin(r.InputTokens, Rank) AS InputTokens,
    argMin(r.OutputTokens, Rank) AS OutputTokens,
    -- an embedding and a ranking have no output
    argMin(r.InputTokens, Rank) + if(any(r.Operation) IN ('embeddings', 'rerank'), ifNull(argMin(r.OutputTokens, Rank), 0), argMin(r.OutputTokens, Rank)) AS TotalTokens,
    argMin(r.CacheReadTokens, Rank) AS CacheReadTokens,
    argMin(r.CacheWriteTokens, Rank) AS CacheWriteTokens,
    argMin(r.ReasoningTokens, Rank) AS ReasoningTokens,
    argMin(r.InputAudioTokens, Rank) AS InputAudioTokens,
    argMin(r.OutputAudioTokens, Rank) AS OutputAudioTokens,
    argMin(r.CostTotal, Rank) AS CostTotal,
    argMin(r.CostInput, Rank) AS CostInput,
    argMin(r.CostOutput, Rank) AS CostOutput,
    argMinIf(r.CostSource, Rank, r.CostTotal IS NOT NULL) AS CostSource,
    argMin(r.TimeToFirstToken, Rank) AS TimeToFirstToken,
    argMin(r.Streaming, Rank) AS Streaming,
    argMinIf(r.FinishReasons, Rank, notEmpty(r.FinishReasons)) AS FinishReasons,
    argMinIf(r.FinishReasonsNormalized, Rank, notEmpty(r.FinishReasonsNormalized)) AS FinishReasonsNormalized,
    max(r.StatusCode = 'Error') AS IsError,
    argMinIf(r.ErrorType, Rank, r.ErrorType != '') AS ErrorType,
    argMinIf(AnyErrorMessage, Rank, AnyErrorMessage != '') AS ErrorMessage,
    argMinIf(r.RequestParameters, Rank, notEmpty(r.RequestParameters)) AS RequestParameters,
    argMinIf(r.InputMessages, Rank, r.InputMessages != '') AS InputMessages,
    argMinIf(r.OutputMessages, Rank, r.OutputMessages != '') AS OutputMessages,
    argMinIf(r.SystemPrompt, Rank, r.SystemPrompt != '') AS SystemPrompt,
    argMinIf(r.ToolDefinitions, Rank, r.ToolDefinitions != '') AS ToolDefinitions,
    arraySort(groupUniqArray(if(r.JoinState = '', 'span', 'pair'))) AS ReportedBy,
    uniqExact(r.SpanId) AS Reports
FROM
(
    SELECT
        *,
        {{rank}} AS Rank,
        if(TimingQuality IN ('ingest', 'unknown'), NULL, Duration) AS KnownDuration,
        if(ResponseModel = '', RequestModel, ResponseModel) AS AnyModel,
        if(ErrorMessage = '' AND StatusCode = 'Error', StatusMessage, ErrorMessage) AS AnyErrorMessage
    FROM {{database}}.otel_traces
    WHERE {{is_model_call}} {{near_model_calls}}
    UNION ALL
    -- an agent counts when nothing below it does; that is a question to its whole trace
    SELECT
        agent.*,
        {{rank}} AS Rank,
        if(TimingQuality IN ('ingest', 'unknown'), NULL, Duration) AS KnownDuration,
        if(ResponseModel = '', RequestModel, ResponseModel) AS AnyModel,
        if(ErrorMessage = '' AND StatusCode = 'Error', StatusMessage, ErrorMessage) AS AnyErrorMessage
    FROM {{database}}.otel_traces AS agent
    {{global}}INNER JOIN
    (
        SELECT
            span.Workspace AS Workspace,
            span.TraceId AS TraceId,
            -- the spans above those that report usage, found from the last begun to the first; four times over, for
            -- clocks that do not agree and spans that begin at the same time
            arrayFold(
                (above, span) -> if((span.2 OR has(above, span.3)) AND NOT has(above, span.4), arrayPushBack(above, span.4), above),
                arrayFlatten(arrayWithConstant(4, arrayReverseSort(span -> span.1, groupArray((
                    toUnixTimestamp64Nano(span.Timestamp),
                    {{is_model_call}} OR {{is_agent_with_usage}},
                    sipHash64(span.SpanId),
                    sipHash64(span.ParentSpanId)))))),
                emptyArrayUInt64()) AS above_usage
        FROM {{database}}.otel_traces AS span
        {{global}}INNER JOIN
        (
            SELECT DISTINCT Workspace, TraceId
            FROM {{database}}.otel_traces
            WHERE {{is_agent_with_usage}} {{agents_in_range}}
        ) AS candidate ON candidate.Workspace = span.Workspace AND candidate.TraceId = span.TraceId
        WHERE true {{near_agents}}
        GROUP BY span.Workspace, span.TraceId
        -- a pair that names only its trace may be a call of any agent there
        HAVING NOT max(span.JoinState IN ('joined', 'waiting'))
    ) AS tree ON tree.Workspace = agent.Workspace AND tree.TraceId = agent.TraceId
    WHERE {{is_agent_with_usage}} {{agents_in_range}} AND NOT has(tree.above_usage, sipHash64(agent.SpanId))
) AS r
GROUP BY r.Workspace, r.TraceId, {{call_key}}
{{having_call}}
