SELECT d.PartitionId AS PartitionId, d.Run AS Run, d.First AS First, d.Last AS Last
FROM {{database}}.genai_usage_days AS d
WHERE (d.PartitionId, d.Parts) IN (SELECT partition_id, {{parts}} FROM {{parts_of_calls}} GROUP BY partition_id)
    -- all rows of the run are there
    AND (d.HourRows = 0 OR (toString(d.Run), d.HourRows) IN (SELECT partition_id, sum(rows) FROM {{parts_of_hours}} GROUP BY partition_id))
    AND (d.KeyRows = 0 OR (toString(d.Run), d.KeyRows) IN (SELECT partition_id, sum(rows) FROM {{parts_of_keys}} GROUP BY partition_id))
ORDER BY d.Run DESC
LIMIT 1 BY d.PartitionId
