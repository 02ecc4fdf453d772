"""Model Exchange of N devices, solved by CVode."""
