-- replay: give ended runs (dead letters, failed runs) another life under the same id.
-- args: {run, ...}; returns: { run, ... } those that were queued again
-- needs: ends once
local again = {}

local function live_again(id, key, name, upstreams)
  redis.call('PERSIST', key)
  redis.call('HDEL', key, 'o', 'c', 'a', 'v', 'x', 'z', 'e', 'j', 'G', 'U', 'L', 'A', 'H')
  if has_undo_log(id) then count_up(key, 'v', 1) end
  drop('dead', id)
  drop('expiring', id)
  drop('kept', id)
  if name then
    redis.call('SET', P .. 'i:' .. name, id, 'NX')
    local mine = own_key(name, id)
    if mine then redis.call('PERSIST', mine) end
  end
  if upstreams then need(id, upstreams) end
  changed(id, 'Q')
  queue_due(id)
  again[#again + 1] = id
end

for _, id in ipairs(args) do
  local key = record(id)
  local status, body, name, upstreams = unpack(look(key, 's', 'b', 'i', 'u'))
  if status and SETTLED[status] and body then
    redis.call('HSET', key, 's', 'D') -- open, so that a damaged one ends as any other
    apart(id, DAY, live_again, id, key, name, upstreams)
  end
end
close_script()
return answer(again)
