"""Levels above the home: guidance, its delivery, CEMS, aggregator, market desk, and the EMS that chooses."""
