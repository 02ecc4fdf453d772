"""A session with one device: link and register map together give samples."""
