"""The FMUs that come with the program, and their export with parameters of the user."""
