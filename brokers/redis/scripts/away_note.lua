#!lua flags=allow-oom
-- away_note: what has become of runs that a foreign Celery application does.
-- args: { {run, how, outcome, ttl ms, retries}, ... }; how: 'B' it has started, 'A' it waits for another attempt, or an end
-- returns: { run, ... } those that were passed over: they have ended already, are unknown, or are none of these runs
-- needs: ends
local passed_over = {}
for _, note in ipairs(args) do
  local id, how, outcome, ttl, retries = unpack(note)
  local key, run = record(id), load_run(id)
  if run[STATUS] ~= 'A' and run[STATUS] ~= 'B' then
    passed_over[#passed_over + 1] = id
  else
    drop('expiring', id) -- whether or not its sender could say so: it has arrived
    redis.call('HSET', key, 'a', retries)
    if SETTLED[how] then
      finish(id, how, outcome, ttl, run)
    else
      redis.call('HSET', key, 's', how)
      changed(id, how)
      if how == 'B' then redis.call('HSET', key, 'z', now) end
    end
  end
end
close_script()
return cmsgpack.pack(passed_over)
