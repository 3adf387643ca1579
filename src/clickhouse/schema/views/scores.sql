SELECT
    s.Workspace AS Workspace,
    s.CreatedAt AS CreatedAt,
    'evaluator' AS Source,
    s.EvaluatorResultId AS Id,
    s.TraceId AS TraceId,
    s.SessionId AS SessionId,
    s.SpanId AS SpanId,
    s.Name AS Name,
    s.DataType AS DataType,
    s.Value AS Value,
    s.StringValue AS StringValue,
    s.Comment AS Comment,
    s.CreatedBy AS CreatedBy
FROM {{database}}.genai_evaluator_results AS s FINAL
WHERE s.IsDeleted = 0
UNION ALL
SELECT
    a.Workspace,
    a.CreatedAt,
    'annotation',
    a.AnnotationId,
    a.TraceId,
    a.SessionId,
    a.SpanId,
    if(a.Name = '', a.Kind, a.Name),
    multiIf(a.Kind = 'feedback', 'BOOLEAN', isNotNull(a.ValueNumeric), 'NUMERIC', a.Kind = 'label', 'CATEGORICAL', 'TEXT'),
    if(a.Kind = 'feedback', toFloat64(a.ValueText = 'positive'), a.ValueNumeric),
    multiIf(a.Kind = 'note', a.Text, a.Kind = 'metadata', a.Metadata, a.ValueText),
    '',
    a.CreatedBy
FROM {{database}}.genai_annotations AS a FINAL
WHERE a.IsDeleted = 0
