SELECT
    {{report_columns}}
FROM {{database}}.genai_report_rows AS r FINAL
WHERE r.IsDeleted = 0{{in_range}}
