#!lua flags=allow-oom
-- adopt: queue runs again that waited for a worker that knows their task, since there is one now.
-- args: { {"queue:task", ...}, limit }
-- returns: how many were queued
-- needs: ends
local names, limit = unpack(args)
local queued = 0

local function queue(id, key)
  redis.call('HDEL', key, 'U', 'o')
  enqueue(id, true)
  changed(id, 'Q')
end

for _, name in ipairs(names) do
  if queued >= limit then break end
  local waiting = 'unknown:' .. name
  for _, id in ipairs(places(waiting, 0, limit - queued - 1)) do
    if queued < limit then
      drop(waiting, id)
      drop('unknown', id .. ' ' .. name)
      local key = record(id)
      local status, since = unpack(look(key, 's', 'U'))
      if status == 'W' and since and apart(id, DAY, queue, id, key) then queued = queued + 1 end
    end
  end
  if size_of(waiting) == 0 then redis.pcall('SREM', P .. 'unknown_tasks', name) end
end
close_script()
return cmsgpack.pack(queued)
