-- replay: give ended runs (dead letters, failed runs) another life under the same id.
-- args: {run, ...}; returns: { run, ... } those that were queued again
local again = {}
for _, id in ipairs(args) do
  local key = record(id)
  local f = redis.call('HMGET', key, 's', 'b')
  if f[1] and SETTLED[f[1]] and f[2] then
    redis.call('PERSIST', key)
    redis.call('HDEL', key, 'o', 'c', 'a', 'v', 'x', 'z', 'e')
    redis.call('ZREM', P .. 'dead', id)
    redis.call('ZREM', P .. 'expiring', id)
    enqueue(id, false)
    changed(id, 'Q')
    again[#again + 1] = id
  end
end
write_journal()
return cmsgpack.pack(again)
