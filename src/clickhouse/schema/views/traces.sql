SELECT
    {{trace_columns}}
FROM {{database}}.genai_trace_rows AS r FINAL
WHERE r.IsDeleted = 0{{in_range}}
