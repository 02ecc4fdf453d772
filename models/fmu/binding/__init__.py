"""FMU libraries in this process: loading, instances, values by address, states."""
