-- Reads the tables of a replay or a server as they lie there; what failed, only those of access logs say.
--     python read_duckdb.py REPORTS        or, within the folder:        duckdb < duckdb.sql

-- Which rules fired, how often, for how many visitors?
SELECT rule, kind, count(*) AS matches, count(DISTINCT global_visit_id) AS visitors
FROM read_parquet('actions/**/*.parquet', hive_partitioning = true)
WHERE op = 'assert'
GROUP BY ALL
ORDER BY matches DESC, rule;

-- Which pages did the hot leads read before they were one?
WITH matched AS (
    SELECT match_id, unnest(event_ids) AS event_id
    FROM read_parquet('actions/**/*.parquet')
    WHERE rule = 'evaluates-a-project' AND op = 'assert'
)
SELECT url_path, count(*) AS steps, count(DISTINCT match_id) AS leads
FROM matched JOIN read_parquet('events/**/*.parquet', union_by_name = true) USING (event_id)
GROUP BY ALL
ORDER BY steps DESC, url_path
LIMIT 5;

-- How long are visits of people, and how long those of robots?
SELECT first_event.is_bot AS robot, count(*) AS visits, round(avg(visit.events), 1) AS events,
       round(avg(date_diff('second', visit.started, visit.last_event)), 1) AS seconds
FROM read_parquet('visits/**/*.parquet') AS visit
JOIN read_parquet('events/**/*.parquet', union_by_name = true) AS first_event
  ON first_event.log_sequence = visit.visit_instance AND NOT first_event.made_up
WHERE visit.change = 'closed'
GROUP BY ALL
ORDER BY robot;

-- What failed most? Folders by event name keep other files unread.
SELECT url_path, data_status AS status, count(*) AS times
FROM read_parquet('events/*/event=RequestFailed/*.parquet')
WHERE NOT is_bot
GROUP BY ALL
ORDER BY times DESC, url_path
LIMIT 5;
