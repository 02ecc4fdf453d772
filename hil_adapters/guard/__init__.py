"""The only way to the wire: a guard in a process of its own that owns the connections and lets go when the feed stops."""
