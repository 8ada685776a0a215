"""Results found again by key: hashing of arguments and code, the cache itself."""
