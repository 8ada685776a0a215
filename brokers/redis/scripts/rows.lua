-- rows: of runs, what a list shows.
-- args: { {run, ...}, most bytes of an outcome that is given along; 0: none is }
-- returns: { {status, task, route, flow run, meta, retries, crashes, take-overs, started ms, due ms, ticket, outcome}, ... }
--   absent parts false; false for a run of which there is no record
local most = args[2]
local rows = {}
for i, id in ipairs(args[1]) do
  local key = record(id)
  local f = redis.call('HMGET', key, 's', 't', 'q', 'f', 'm', 'a', 'c', 'v', 'z', 'j', 'e')
  if f[1] then
    f[12] = most > 0 and redis.call('HSTRLEN', key, 'o') <= most and redis.call('HGET', key, 'o')
    rows[i] = f
  else
    rows[i] = false
  end
end
return cmsgpack.pack(rows)
