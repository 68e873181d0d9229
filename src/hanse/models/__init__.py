"""Model types, one file each; none of them knows an engine, a socket or a file."""
