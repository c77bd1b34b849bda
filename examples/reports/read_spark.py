"""Reads the tables of a folder with Spark: pip install pyspark; python read_spark.py REPORTS

Spark needs a Java runtime (17 or later)."""

import sys

from pyspark.sql import SparkSession

reports = sys.argv[1]
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
for table in ("events", "visits", "actions", "epochs", "deliveries"):
    # The folders' names (date=..., event=...) come as columns.
    spark.read.option("mergeSchema", "true").parquet(f"{reports}/{table}").createOrReplaceTempView(table)

spark.sql(
    """SELECT rule, kind, count(*) AS matches, count(DISTINCT global_visit_id) AS visitors
       FROM actions WHERE op = 'assert' GROUP BY rule, kind ORDER BY matches DESC, rule"""
).show(truncate=False)
spark.sql(
    """SELECT event, count(*) AS events, count(DISTINCT visit_instance) AS visits
       FROM events WHERE NOT made_up GROUP BY event ORDER BY events DESC"""
).show(truncate=False)
