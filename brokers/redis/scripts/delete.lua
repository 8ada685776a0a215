#!lua flags=allow-oom
-- delete: forget ended runs: record, log and dead letter.
-- args: {run, ...}; returns: { run, ... } those that were deleted; a run that has not ended is not touched
local gone = {}
for _, id in ipairs(args) do
  if SETTLED[redis.call('HGET', record(id), 's') or ''] then
    redis.call('ZREM', P .. 'dead', id)
    redis.call('UNLINK', record(id), P .. 'l:' .. id)
    changed(id, '?')
    gone[#gone + 1] = id
  end
end
write_journal()
return cmsgpack.pack(gone)
