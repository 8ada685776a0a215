#!lua flags=allow-oom
-- started: note runs as running (those that run long enough to be worth it, and those that crashed a worker before).
-- args: { {ticket, run}, ... }
-- returns: { run, ... } those that should stop: cancelled meanwhile, or no longer ours
local stop = {}
for _, pair in ipairs(args) do
  local key = record(pair[2])
  local f = redis.call('HMGET', key, 's', 'e')
  if f[2] ~= pair[1] or f[1] == 'X' or SETTLED[f[1]] then
    stop[#stop + 1] = pair[2]
  else
    redis.call('HSET', key, 's', 'R', 'z', now)
    changed(pair[2], 'R')
  end
end
write_journal()
return cmsgpack.pack(stop)
