-- Reads the tables of a replay as they lie there. Run in the folder of --reports:
--     duckdb < duckdb.sql        or        python duckdb.py REPORTS

-- Which rules fired, how often, for how many visitors?
SELECT rule, op, count(*) AS matches, count(DISTINCT coalesce(visitor, window_key)) AS visitors
FROM read_parquet('actions/**/*.parquet', hive_partitioning = true)
GROUP BY ALL ORDER BY matches DESC, rule;
