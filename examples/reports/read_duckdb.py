"""Runs duckdb.sql over the tables of a folder: pip install duckdb; python read_duckdb.py REPORTS"""

import os
import pathlib
import sys

import duckdb

queries = pathlib.Path(__file__).with_name("duckdb.sql").read_text().split(";\n")
os.chdir(sys.argv[1])
for query in queries:
    text = query.strip()
    if text:
        title = [line for line in text.splitlines() if line.startswith("-- ")][-1]
        print(title.removeprefix("-- "))
        try:
            print(duckdb.sql(text))
        except duckdb.IOException:
            print("these tables have no such rows\n")
