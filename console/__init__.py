"""What a person touches: the command line, the Textual app, plain and JSON output."""
