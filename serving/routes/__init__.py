"""The HTTP API: each route decodes, calls and answers; nothing is decided here."""
