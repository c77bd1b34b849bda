"""Counts by day of the rules that watch the shop's two accidents, as a table and as by-day.svg.

pip install duckdb matplotlib; python by_day.py REPORTS
"""

import datetime
import pathlib
import sys

import duckdb
import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
matplotlib.rcParams["svg.hashsalt"] = "by-day"  # the same run draws the same file
import matplotlib.dates
import matplotlib.pyplot

# What the shop's makers say happened: from the first day to the last.
ACCIDENTS = {
    "checkout-broken": ("2024-04-09", "2024-05-09", "tab:orange"),
    "payment-failed": ("2024-05-19", "2024-06-07", "tab:red"),
}
COUNTS = """
SELECT day::DATE AS day, count(rule) AS matches
FROM range(DATE '2024-01-04', DATE '2024-06-30', INTERVAL 1 DAY) AS days(day)
LEFT JOIN read_parquet($actions, hive_partitioning = true) AS actions
    ON (timestamp AT TIME ZONE 'UTC')::DATE = day::DATE AND rule = $rule AND op = 'assert'
GROUP BY ALL ORDER BY day
"""
DAY = datetime.timedelta(days=1)


def main(reports):
    counts = {}
    for rule in ACCIDENTS:
        parameters = {"actions": f"{reports}/actions/**/*.parquet", "rule": rule}
        counts[rule] = dict(duckdb.execute(COUNTS, parameters).fetchall())
    print_table(counts)
    draw(counts, pathlib.Path(__file__).with_name("by-day.svg"))


def print_table(counts):
    """A row for each week with a match, so that a day is a cell."""
    print("| rule | week of | Mon | Tue | Wed | Thu | Fri | Sat | Sun |")
    print("|---|---|--:|--:|--:|--:|--:|--:|--:|")
    for rule, days in counts.items():
        mondays = sorted({day - day.weekday() * DAY for day in days if days[day]})
        for monday in mondays:
            week = [days.get(monday + number * DAY, 0) for number in range(7)]
            print(f"| {rule} | {monday} |", " | ".join(str(n or "·") for n in week), "|")


def draw(counts, path):
    figure, charts = matplotlib.pyplot.subplots(len(counts), sharex=True, figsize=(9, 4))
    for chart, (rule, days) in zip(charts, counts.items()):
        first, last, color = ACCIDENTS[rule]
        first, last = (datetime.date.fromisoformat(day) for day in (first, last))
        chart.axvspan(first, last + DAY, color=color, alpha=0.15, label="accident")
        bars = {"width": 0.9, "align": "edge", "color": color, "label": "matches a day"}
        chart.bar(list(days), list(days.values()), **bars)
        chart.set_title(rule, loc="left", fontsize=11)
        chart.set_xlim(min(days), max(days))
        chart.yaxis.get_major_locator().set_params(integer=True)
        chart.spines[["top", "right"]].set_visible(False)
        chart.legend(loc="upper left", frameon=False)
    charts[-1].xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%-d %B %Y"))
    figure.patch.set_facecolor("white")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


main(sys.argv[1])
