-- read: what is known of runs.
-- args: {run, ...}; status '?' where unknown
-- returns: { {run, status, outcome, retries, crashes, task, flow run, started ms, take-overs}, ... }, of the first runs
--   only when their outcomes are large: at least one, and the others are asked for again
local MOST_BYTES = 8388608
local rows, size = {}, 0
for i, id in ipairs(args) do
  if size > MOST_BYTES then break end
  local f = redis.call('HMGET', record(id), 's', 'o', 'a', 'c', 't', 'f', 'z', 'v')
  rows[i] = { id, f[1] or '?', f[2], tonumber(f[3] or 0) or 0, tonumber(f[4] or 0) or 0, f[5], f[6], tonumber(f[7] or 0) or 0,
    tonumber(f[8] or 0) or 0 }
  size = size + #(f[2] or '')
end
return cmsgpack.pack(rows)
