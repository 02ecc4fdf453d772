"""Plans: the linear program of a home, and of homes that share energy."""
