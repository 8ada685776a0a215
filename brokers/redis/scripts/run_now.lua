-- run_now: queue runs at once that wait for a moment (a countdown, or their next attempt).
-- args: { {run, ...}, ttl ms }; returns: { run, ... } those that were queued
-- needs: ends once
local runs, ttl = unpack(args)
local queued = {}
for _, id in ipairs(runs) do
  local key = record(id)
  if look(key, 's')[1] == 'D' and drop('delayed', id) == 1 then
    redis.call('HSET', key, 'j', now) -- it is due now: what came before was no waiting
    if apart(id, ttl, queue_due, id) then
      changed(id, 'Q')
      queued[#queued + 1] = id
    end
  end
end
close_script()
return answer(queued)
