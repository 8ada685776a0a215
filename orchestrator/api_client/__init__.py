"""The client of the JSON API: one table of methods, over HTTP or in this process on the store."""
