{{with_settled}}SELECT
    u.Workspace AS Workspace,
    u.Key AS {{key}},
    {{sums_of_sums_by_key}}
FROM
(
    {{settled_keys}}SELECT r.Workspace AS Workspace, r.{{key}} AS Key, {{sums_of_calls_by_key}}
    FROM {{database}}.genai_report_rows AS r FINAL
    WHERE r.CountedAs = 'call' AND r.IsDeleted = 0{{not_settled}}{{in_range}}
    GROUP BY Workspace, Key
) AS u
GROUP BY u.Workspace, u.Key
