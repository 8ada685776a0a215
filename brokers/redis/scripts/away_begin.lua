-- away_begin: write down runs that a foreign Celery application is about to be asked to do.
-- args: { ttl ms, patience ms, { {run, task, flow_run, reply_to}, ... } }, absent parts false
--   ttl: after which a run that never ends is forgotten
--   patience: after which a run whose sender has not confirmed that it was sent (away_sent) is taken for lost, see move.lua
-- returns: how many were written; a run id that is known already is skipped
-- needs: journal
local ttl, patience, runs = unpack(args)
local written = 0
for _, run in ipairs(runs) do
  local id, task, flow_run, inbox = unpack(run, 1, 4)
  local key = record(id)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HSET', key, 's', 'A', 't', task)
    if flow_run then redis.call('HSET', key, 'f', flow_run) end
    if inbox then redis.call('HSET', key, 'w', inbox) end
    redis.call('PEXPIRE', key, ttl)
    put('expiring', now + patience, id)
    written = written + 1
    submitted_runs[written] = id
  end
end
write_journal()
return cmsgpack.pack(written)
