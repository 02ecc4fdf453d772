"""FMUs as devices: the user's own and ours. This package is the only importer of fmpy."""
