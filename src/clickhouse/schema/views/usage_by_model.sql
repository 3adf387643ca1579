{{with_settled}}SELECT
    u.Workspace AS Workspace,
    u.Provider AS Provider,
    u.Model AS Model,
    {{sums_of_sums}}
FROM
(
    {{settled_models}}SELECT r.Workspace AS Workspace, r.Provider AS Provider, r.Model AS Model, {{sums_of_calls}}
    FROM {{database}}.genai_report_rows AS r FINAL
    WHERE r.CountedAs = 'call' AND r.IsDeleted = 0{{not_settled}}{{in_range}}
    GROUP BY Workspace, Provider, Model
) AS u
GROUP BY u.Workspace, u.Provider, u.Model
