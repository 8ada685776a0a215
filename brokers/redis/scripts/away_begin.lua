-- away_begin: write down runs that a foreign Celery application is about to be asked to do.
-- args: { ttl ms, patience ms, { {run, task, flow_run, reply_to}, ... } }, absent parts false
--   ttl: after which a run that never ends is forgotten
--   patience: after which a run whose sender has not said that it was sent (away_sent) is taken for lost, see move.lua
-- returns: how many were written; a run id that is known already is skipped
local ttl, patience, runs = args[1], args[2], args[3]
local written = 0
for _, run in ipairs(runs) do
  local key = record(run[1])
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 's', 'A', 't', run[2])
    if run[3] then redis.call('HSET', key, 'f', run[3]) end
    if run[4] then redis.call('HSET', key, 'w', run[4]) end
    redis.call('PEXPIRE', key, ttl)
    redis.call('ZADD', P .. 'expiring', now + patience, run[1])
    written = written + 1
    begun[written] = run[1]
  end
end
write_journal()
return cmsgpack.pack(written)
