-- progress: note how far attempts have come. One whose ticket is not the record's, or whose run has ended, is not heard.
-- args: { {run, ticket, value}, ... }; returns: nothing
for _, note in ipairs(args) do
  local key = record(note[1])
  local f = redis.call('HMGET', key, 's', 'e')
  if f[1] and f[2] == note[2] and not SETTLED[f[1]] then redis.call('HSET', key, 'h', note[2] .. '\0' .. note[3]) end
end
return cmsgpack.pack(0)
