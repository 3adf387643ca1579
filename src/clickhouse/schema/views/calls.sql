SELECT
    {{call_columns}}
FROM {{database}}.genai_report_rows AS r FINAL
WHERE r.CountedAs = 'call' AND r.IsDeleted = 0{{in_range}}
