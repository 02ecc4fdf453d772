"""Frames and samples of a run in Parquet, and how to read them again."""
