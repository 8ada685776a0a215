-- read: what is known of runs.
-- args: {run, ...}; status '?' where unknown
-- returns: { {run, status, outcome, retries, crashes, task, flow run, started ms, take-overs}, ... }
local rows = {}
for i, id in ipairs(args) do
  local f = redis.call('HMGET', record(id), 's', 'o', 'a', 'c', 't', 'f', 'z', 'v')
  rows[i] = { id, f[1] or '?', f[2], tonumber(f[3] or 0), tonumber(f[4] or 0), f[5], f[6], tonumber(f[7] or 0),
    tonumber(f[8] or 0) }
end
return cmsgpack.pack(rows)
