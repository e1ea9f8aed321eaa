"""The command line: one file a verb, each with `register(app)`; thin: parse, call the library, print."""
