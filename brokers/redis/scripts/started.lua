#!lua flags=allow-oom
-- started: note runs as running (those that run long enough to be worth it, and those that crashed a worker before).
-- args: { {ticket, run, its name where it was given one}, ... }
-- returns: { run, ... } those that should stop: cancelled meanwhile, or no longer ours
-- needs: journal keeping
local stop = {}
for _, note in ipairs(args) do
  local ticket, id, name = unpack(note, 1, 3)
  local key = record(id)
  local status, current = unpack(look(key, 's', 'e'))
  if current ~= ticket or status == 'X' or SETTLED[status] then
    stop[#stop + 1] = id
  else
    redis.call('HSET', key, 's', 'R', 'z', now)
    if name and name ~= '' then redis.call('HSET', key, 'r', name) end
    changed(id, 'R')
  end
end
write_journal()
return cmsgpack.pack(stop)
