"""Seasonal naive forecasts of a long CSV: naive.py TRAIN.csv.gz PERIOD HORIZON"""
import csv
import gzip
import sys

path, period, horizon = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
series = {}
with gzip.open(path, "rt", newline="") as f:
    for row in csv.DictReader(f):
        series.setdefault(row["series"], []).append(row["value"])
print("series,h,mean")
for name, values in series.items():
    for h in range(horizon):
        at = len(values) - period + h % period
        while not values[at]:
            at -= period
        print(f"{name},{h + 1},{values[at]}")
