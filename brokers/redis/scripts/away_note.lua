#!lua flags=allow-oom
-- away_note: what has become of runs that a foreign Celery application does.
-- args: { {run, how, outcome, ttl ms, retries}, ... }; how: 'B' it has begun, 'A' it waits for another attempt, or an end
-- returns: { run, ... } those that were passed over: they have ended already, are unknown, or are none of these runs
local passed_over = {}
for _, note in ipairs(args) do
  local id, how = note[1], note[2]
  local key = record(id)
  local f = redis.call('HMGET', key, 's', 't', 'w', 'd', 'l')
  if f[1] ~= 'A' and f[1] ~= 'B' then
    passed_over[#passed_over + 1] = id
  else
    redis.call('ZREM', P .. 'expiring', id) -- whether or not its sender could say so: it has arrived
    redis.call('HSET', key, 'a', note[5])
    if SETTLED[how] then
      finish(id, how, note[3], note[4], { f[2], f[3], f[4], f[5] })
    else
      redis.call('HSET', key, 's', how)
      changed(id, how)
      if how == 'B' then redis.call('HSET', key, 'z', now) end
    end
  end
end
close_script()
return cmsgpack.pack(passed_over)
