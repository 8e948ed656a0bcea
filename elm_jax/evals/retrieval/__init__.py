"""Finding the report of a recording, the recording of a report, and recordings by a text."""
